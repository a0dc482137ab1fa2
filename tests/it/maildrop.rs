//! POP3 on the real store: INBOX as a maildrop, under both origins.

use std::sync::Arc;

use mailtide::journal::Op;
use mailtide::pop3::server::{Config, Session, Tls};
use mailtide::serve::pop3::{MaildropBackend, Maildrops};
use mailtide::store::{Origin, check};
use mailtide::types::{Conversation, LocalUid, Step, UidSet};

use super::serve::face::{Alice, Face, NOW};

struct Home {
    face: Face,
    locks: Maildrops,
    login_delay_seconds: u32,
}

impl Home {
    fn new(origin: Origin) -> Self {
        let home = Self { face: Face::new(origin), locks: Maildrops::default(), login_delay_seconds: 0 };
        for text in ["A: 1\r\n\r\none\r\n", "A: 2\r\n\r\ntwo\r\n", "A: 3\r\n\r\nthree\r\n"] {
            home.face.give(text.as_bytes(), "");
        }
        home
    }

    fn session(&self) -> Session<MaildropBackend> {
        let users = Arc::new(Alice(self.face.account));
        let backend = MaildropBackend::new(self.face.store.clone(), self.face.origin, users, self.locks.clone());
        let (hostname, login_delay_seconds) = ("here".to_owned(), self.login_delay_seconds);
        let config = Config {
            hostname,
            tls: Tls::Absent,
            plaintext_auth: true,
            scram_nonce: None,
            binding: None,
            login_delay_seconds,
            tarpit_ms: 0,
        };
        Session::new(backend.with_login_delay(login_delay_seconds), config)
    }

    fn uids(&self) -> Vec<u32> {
        let inbox = self.face.mailbox("INBOX");
        let opened = self.face.store.read(|reader| reader.open(inbox)).expect("readable");
        opened.uids.iter().map(|uid| uid.get()).collect()
    }
}

fn talk(session: &mut dyn Conversation, input: &str) -> String {
    session.handle_input(input.as_bytes(), NOW);
    let mut output = Vec::new();
    while session.poll_output(NOW, &mut output) == Step::Continue {}
    String::from_utf8_lossy(&output).into_owned()
}

const LOGIN: &str = "USER alice\r\nPASS secret\r\n";

#[test]
fn who_was_in_just_now_waits_where_that_is_the_rule() {
    let home = Home { login_delay_seconds: 60, ..Home::new(Origin::Authority) };
    assert!(talk(&mut home.session(), LOGIN).ends_with("+OK 3 messages\r\n"));
    let mut hasty = home.session();
    assert!(talk(&mut hasty, LOGIN).contains("-ERR [LOGIN-DELAY] "));
    let mut output = Vec::new();
    let later = NOW.plus_ms(60_000);
    hasty.handle_input(LOGIN.as_bytes(), later);
    while hasty.poll_output(later, &mut output) == Step::Continue {}
    assert!(String::from_utf8_lossy(&output).ends_with("+OK 3 messages\r\n"));
}

#[test]
fn a_maildrop_has_one_session_and_is_free_when_that_ends_however_it_ends() {
    let home = Home::new(Origin::Authority);
    let mut first = home.session();
    assert!(talk(&mut first, LOGIN).ends_with("+OK 3 messages\r\n"));
    assert!(talk(&mut home.session(), LOGIN).contains("-ERR [IN-USE] "));
    drop(first);
    let mut second = home.session();
    assert!(talk(&mut second, LOGIN).ends_with("+OK 3 messages\r\n"));
    talk(&mut second, "QUIT\r\n");
    assert!(talk(&mut home.session(), LOGIN).ends_with("+OK 3 messages\r\n"));
}

#[test]
fn unique_ids_stay_and_are_never_given_again() {
    let home = Home::new(Origin::Authority);
    let mut session = home.session();
    talk(&mut session, LOGIN);
    let before = talk(&mut session, "UIDL\r\n");
    talk(&mut session, "DELE 3\r\nQUIT\r\n");
    home.face.give(b"A: 4\r\n\r\n", "");
    let mut session = home.session();
    talk(&mut session, LOGIN);
    let after = talk(&mut session, "UIDL\r\n");
    let ids = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.split_once(' ')).map(|(_, id)| id.to_owned()).collect()
    };
    let (before, after) = (ids(&before), ids(&after));
    assert_eq!(before[..2], after[..2]);
    assert!(after.len() == 3 && !before.contains(&after[2]));
    assert!(talk(&mut session, "RETR 3\r\n").ends_with("+OK\r\nA: 4\r\n\r\n.\r\n"));
}

#[test]
fn what_quit_deletes_is_journalled_where_it_is_the_user_who_deletes() {
    for (origin, journalled) in [(Origin::LocalUser, 1), (Origin::Authority, 0)] {
        let home = Home::new(origin);
        let mut session = home.session();
        talk(&mut session, &format!("{LOGIN}DELE 1\r\nDELE 3\r\n"));
        assert_eq!(home.uids(), [1, 2, 3], "nothing goes before QUIT");
        assert!(talk(&mut session, "QUIT\r\n").ends_with("+OK goodbye\r\n"));
        assert_eq!(home.uids(), [2]);
        let entries = home.face.store.read(|reader| reader.entries(home.face.account)).expect("readable");
        assert_eq!(entries.len(), journalled);
        assert!(entries.iter().all(|entry| matches!(&entry.op, Op::Expunge { messages, .. } if messages.len() == 2)));
        assert_eq!(check(&home.face.store).expect("readable"), Vec::<String>::new());
    }
}

/// Octets on the line as they are counted: dot-stuffing aside, the line ends being CRLF (RFC 1939 section 11).
fn retrieved(session: &mut dyn Conversation, number: usize) -> usize {
    let said = talk(session, &format!("RETR {number}\r\n"));
    let (first, message) = said.split_once("\r\n").expect("a line");
    assert_eq!(first, "+OK");
    let message = message.strip_suffix(".\r\n").expect("an end");
    assert!(!message.replace("\r\n", "").contains('\n'), "{message:?}");
    message.split_inclusive("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line).len()).sum()
}

#[test]
fn the_sizes_told_are_those_of_what_the_session_is_sent_also_of_mail_from_before_they_were_measured() {
    let mut home = Home::new(Origin::Authority);
    let long =
        format!("Subject: {}\r\nTo: ü <ü@bücher.example>\r\n\r\n{}", "Grüße ".repeat(60), "ö\r\n".repeat(50_000));
    for text in [
        "A: ü\r\n\r\nü\r\n",
        "A: 5\n\n.dot\n.\nno end",
        &long,
        "To: x <an-address-of-its-own@überaus-länglich.example>\r\n\r\n",
    ] {
        home.face.give(text.as_bytes(), "");
    }
    let talked = |home: &Home, greeting: &str| {
        let mut session = home.session();
        talk(&mut session, &format!("{greeting}{LOGIN}"));
        let listed = talk(&mut session, "LIST\r\n");
        let sizes: Vec<usize> = listed.lines().filter_map(|line| line.split_once(' ')?.1.parse().ok()).collect();
        let sent: Vec<usize> = (1..=7).map(|number| retrieved(&mut session, number)).collect();
        assert_eq!(sizes, sent, "{greeting:?}");
        assert_eq!(talk(&mut session, "STAT\r\n"), format!("+OK 7 {}\r\n", sent.iter().sum::<usize>()));
        assert_eq!(talk(&mut session, "LIST 4\r\n"), format!("+OK 4 {}\r\n", sent[3]));
        sent
    };
    let ascii = talked(&home, "");
    let utf8 = talked(&home, "UTF8\r\n");
    assert_eq!(ascii[..3], utf8[..3]);
    assert!(ascii[3] > utf8[3] && ascii[6] < utf8[6], "{ascii:?} {utf8:?}");
    home.face.reopen_after(|folder| {
        let hot = rusqlite::Connection::open(folder.join("mailtide.db")).expect("a database");
        let before = "DELETE FROM content_growth; INSERT INTO content_unmeasured SELECT id FROM content;";
        hot.execute_batch(before).expect("a database from before");
    });
    assert_eq!(talked(&home, ""), ascii);
    assert_eq!(talked(&home, "UTF8\r\n"), utf8);
    assert_eq!(check(&home.face.store).expect("readable"), Vec::<String>::new());
}

#[test]
fn what_another_client_removed_meanwhile_is_no_error_and_is_not_cut_short() {
    let home = Home::new(Origin::Authority);
    let mut session = home.session();
    talk(&mut session, LOGIN);
    let inbox = home.face.mailbox("INBOX");
    let gone: UidSet<LocalUid> = [LocalUid::new(2)].into_iter().collect();
    let remove = move |txn: &mut mailtide::store::Txn<'_>| txn.remove_messages(inbox, &gone).map(drop);
    home.face.store.write(Origin::Authority, NOW, remove).expect("there");
    let said = talk(&mut session, "RETR 2\r\n");
    assert!(said == "+OK\r\nA: 2\r\n\r\ntwo\r\n.\r\n" || said.starts_with("-ERR [SYS/TEMP]"), "{said}");
    assert!(talk(&mut session, "DELE 2\r\nDELE 3\r\nQUIT\r\n").ends_with("+OK goodbye\r\n"));
    assert_eq!(home.uids(), [1]);
}
