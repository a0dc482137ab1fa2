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
        opened.uids.into_iter().map(LocalUid::get).collect()
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
