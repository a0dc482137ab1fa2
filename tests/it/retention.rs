//! Retention rules: what was in its mailbox for long enough goes, or is archived, and nothing else is touched; sessions are told.

use mailtide::config::mailboxes::Retention;
use mailtide::refserver::retention::{Done, expiries, follow};
use mailtide::serve::neighbours::{Neighbours, SHARED_ACCOUNT};
use mailtide::store::{Origin, check};
use mailtide::types::{AccountId, MailboxName, Timestamp};

use crate::serve::face::{Face, NOW};

const DAY_MS: i64 = 24 * 3600 * 1000;

fn name(text: &str) -> MailboxName {
    MailboxName::parse(text).expect("a name")
}

fn rule(mailbox: &str, days: u32, archive: Option<&str>) -> Retention {
    Retention { mailbox: name(mailbox), user: None, days, archive: archive.map(name) }
}

struct Town {
    face: Face,
    accounts: Vec<(String, AccountId)>,
    neighbours: Neighbours,
}

impl Town {
    fn new() -> Self {
        let face = Face::new(Origin::Authority);
        let shared = face.store.write(Origin::Authority, NOW, |txn| txn.ensure_account(SHARED_ACCOUNT));
        let accounts = vec![("alice".to_owned(), face.account)];
        Self { neighbours: Neighbours { shared: shared.expect("an account") }, face, accounts }
    }

    fn follow(&self, rules: &[Retention], now: Timestamp) -> Vec<(String, usize, Option<String>)> {
        let done = follow(&self.face.store, &self.accounts, self.neighbours, rules, now).expect("rules are followed");
        assert_eq!(check(&self.face.store).expect("a check"), Vec::<String>::new());
        let told =
            |Done { mailbox, messages, archive, .. }| (String::from(mailbox), messages, archive.map(String::from));
        done.into_iter().map(told).collect()
    }
}

#[test]
fn what_was_kept_long_enough_is_deleted_and_sessions_are_told() {
    let town = Town::new();
    for number in 0..1200 {
        town.face.give(format!("Subject: {number}\r\n\r\n").as_bytes(), if number == 0 { "\\Flagged" } else { "" });
    }
    let mut session = town.face.login();
    session.say("e ENABLE QRESYNC\r\ns SELECT INBOX\r\n");
    assert!(session.say("i IDLE\r\n").starts_with("+ "));
    let rules = [rule("INBOX", 30, None), rule("Absent", 1, None)];
    let due = NOW.plus_ms(30 * DAY_MS);
    assert_eq!(town.follow(&rules, due), [], "thirty days are thirty days");
    assert_eq!(session.hear(), "");
    assert_eq!(town.follow(&rules, due.plus_ms(1)), [("INBOX".to_owned(), 1200, None)]);
    assert_eq!(session.hear().lines().filter(|line| line.starts_with("* VANISHED 1:1200")).count(), 1);
    assert_eq!(town.follow(&rules, due.plus_ms(1)), [], "there is nothing more");
}

#[test]
fn what_was_kept_long_enough_is_archived_with_its_flags_and_counts_anew_there() {
    let town = Town::new();
    town.face.give(b"Subject: old\r\n\r\n", "\\Seen work");
    let rules = [rule("INBOX", 10, Some("Archive/Old")), rule("Archive/Old", 10, None)];
    let due = NOW.plus_ms(11 * DAY_MS);
    let archived = [("INBOX".to_owned(), 1, Some("Archive/Old".to_owned()))];
    assert_eq!(town.follow(&rules, due), archived);
    let mut session = town.face.login();
    session.say("s SELECT Archive/Old\r\n");
    assert!(session.say("f FETCH 1 (FLAGS)\r\n").contains("FLAGS (\\Seen work"));
    assert_eq!(town.follow(&rules, due.plus_ms(9 * DAY_MS)), []);
    assert_eq!(town.follow(&rules, due.plus_ms(11 * DAY_MS)), [("Archive/Old".to_owned(), 1, None)]);
}

#[test]
fn a_rule_is_for_whom_it_says_and_for_what_is_nobodys() {
    let mut town = Town::new();
    let ben = town.face.store.write(Origin::Authority, NOW, |txn| txn.ensure_account("ben")).expect("an account");
    town.accounts.push(("ben".to_owned(), ben));
    town.face.give(b"Subject: alice's\r\n\r\n", "");
    let shared = town.neighbours.shared;
    let inbox = town.face.mailbox("INBOX");
    let team = town.face.store.write(Origin::Authority, NOW, move |txn| {
        let team = txn.create_mailbox(shared, &name("Team"), None)?;
        txn.copy(inbox, &[mailtide::types::LocalUid::new(1)], team)
    });
    team.expect("a copy");
    let due = NOW.plus_ms(2 * DAY_MS);
    let of_ben = Retention { user: Some("ben".to_owned()), ..rule("INBOX", 1, None) };
    assert_eq!(town.follow(&[of_ben], due), [], "ben's is empty, and alice's is not his");
    let archived = [("Team".to_owned(), 1, Some("Done".to_owned()))];
    assert_eq!(town.follow(&[rule("Shared/Team", 1, Some("Shared/Done"))], due), archived);
    assert_eq!(town.follow(&[rule("INBOX", 1, None)], due), [("INBOX".to_owned(), 1, None)]);
}

#[test]
fn what_pop3_tells_of_it_is_the_strictest_rule_of_each_inbox() {
    let accounts = [("alice".to_owned(), AccountId::new(1)), ("bob".to_owned(), AccountId::new(2))];
    let of_bob = |days| Retention { user: Some("bob".to_owned()), ..rule("inbox", days, Some("Archive")) };
    for (rules, alice, bob) in [
        (vec![rule("Trash", 3, None)], None, None),
        (vec![rule("INBOX", 30, None)], Some(30), Some(30)),
        (vec![of_bob(7)], None, Some(7)),
        (vec![rule("INBOX", 30, None), of_bob(7), of_bob(9)], Some(30), Some(7)),
    ] {
        let told = expiries(&accounts, &rules);
        assert_eq!(told.into_values().collect::<Vec<_>>(), [alice, bob], "{rules:?}");
    }
}
