//! What is asked along with something else, so that it costs no round trip: capabilities with the login, the list of
//! mailboxes with the login and behind a tour.

use mailtide::sync::remote::{Connect, Fetched, MessageSink, Remote, RemoteError, RemoteName, Selected};
use mailtide::sync::tour::{Brought, Errand, Guide, Stop};
use mailtide::types::{QuotaUse, RemoteUid, Rights, UidSet, UidValidity};
use mailtide::upstream::ImapRemote;

use super::script::{Line, Scripted, account};

const FULL: &str = "IMAP4rev1 LIST-EXTENDED LIST-STATUS UNSELECT";
const LIST: &str = r#"C: LIST "" "*" RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT UIDVALIDITY))"#;

/// A login answered with these capabilities, and what comes behind it.
fn welcomed(capabilities: &str, rest: &str) -> String {
    format!(
        "S: * OK [CAPABILITY IMAP4rev1] hello\nC: LOGIN \"ann\" \"hunter2\"\nS: $ OK [CAPABILITY {capabilities}] in\n{rest}"
    )
}

/// The answer to a list of one mailbox, with so many messages.
fn listed(messages: u32) -> String {
    format!(
        "S: * LIST () \"/\" INBOX\nS: * STATUS INBOX (MESSAGES {messages} UIDNEXT 9 UIDVALIDITY 5)\nS: $ OK listed\n"
    )
}

async fn connect(script: &str) -> (ImapRemote, Scripted) {
    let dial = Scripted::new(&[script], Line::default());
    (account(dial.clone()).connect().await.expect("a login"), dial)
}

async fn messages(remote: &mut ImapRemote) -> Option<u32> {
    let listed = remote.list().await.expect("a list");
    listed.first().and_then(|mailbox| mailbox.status).map(|status| status.messages)
}

/// Takes whatever comes.
struct Nobody;

impl Guide for Nobody {
    fn enter(&mut self, _stop: usize, selected: Result<Selected, RemoteError>) -> Result<(), RemoteError> {
        selected.map(drop)
    }
    fn done(&mut self, _stop: usize, _errand: usize, brought: Result<Brought, RemoteError>) -> Result<(), RemoteError> {
        brought.map(drop)
    }
    fn news(&mut self, _stop: usize) {}
}

impl MessageSink for Nobody {
    fn begin(&mut self, _size_bytes: u64) -> std::io::Result<()> {
        Ok(())
    }
    fn write(&mut self, _bytes: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
    fn end(&mut self, _message: Fetched) -> std::io::Result<()> {
        Ok(())
    }
    fn absent(&mut self, _uid: RemoteUid) -> std::io::Result<()> {
        Ok(())
    }
}

fn stop() -> Stop {
    let uids: UidSet<RemoteUid> = UidSet::parse("1:4").expect("a valid set");
    let name = RemoteName("INBOX".to_owned());
    Stop { name, uid_validity: UidValidity::new(5), known: None, errands: vec![Errand::Present(uids)] }
}

const VISIT: &str = "C: SELECT \"INBOX\"\nC: UID SEARCH UID 1:4\n";
const VISITED: &str =
    "S: * 3 EXISTS\nS: * OK [UIDVALIDITY 5]\nS: * OK [UIDNEXT 9]\nS: $ OK\nS: * SEARCH 1 2 3\nS: $ OK\n";

#[tokio::test(start_paused = true)]
async fn capabilities_told_with_the_login_are_not_asked_for() {
    let (remote, dial) = connect(&welcomed("IMAP4rev1 MOVE", "")).await;
    assert!(remote.facts().r#move);
    dial.assert_followed();
    // iCloud's proxy puts a word of its own into the first ones (QUIRKS.md row 4).
    let asked = "C: CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: $ OK\n";
    let (remote, dial) = connect(&welcomed("XAPPLEPUSHSERVICE IMAP4rev1 MOVE", asked)).await;
    assert!(!remote.facts().r#move);
    dial.assert_followed();
}

#[tokio::test(start_paused = true)]
async fn the_list_comes_with_the_login_and_is_used_once() {
    let script = welcomed(FULL, &format!("{LIST}\n{}{LIST}\n{}", listed(3), listed(4)));
    let (mut remote, dial) = connect(&script).await;
    assert_eq!((messages(&mut remote).await, messages(&mut remote).await), (Some(3), Some(4)));
    dial.assert_followed();
}

#[tokio::test(start_paused = true)]
async fn what_was_told_ahead_of_time_is_asked_again_once_it_may_have_changed() {
    let noop = "C: SELECT \"x\"\nS: $ NO no such mailbox\n";
    for (does, between) in [(true, noop), (false, "")] {
        let script = welcomed(FULL, &format!("{LIST}\n{}{between}{LIST}\n{}", listed(3), listed(4)));
        let (mut remote, dial) = connect(&script).await;
        match does {
            true => drop(remote.select(&RemoteName("x".to_owned()), None).await),
            false => tokio::time::sleep(std::time::Duration::from_secs(3)).await,
        }
        assert_eq!(messages(&mut remote).await, Some(4));
        dial.assert_followed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_refused_with_the_login_is_asked_for_otherwise() {
    let plain = "C: LIST \"\" \"*\"\nC: LSUB \"\" \"*\"\nS: * LIST () \"/\" INBOX\nS: $ OK\nS: $ OK\n";
    let script = welcomed(FULL, &format!("{LIST}\nS: $ BAD what\n{LIST}\nS: $ BAD what\n{plain}"));
    let (mut remote, dial) = connect(&script).await;
    assert_eq!(remote.list().await.expect("a list").len(), 1);
    dial.assert_followed();
}

#[tokio::test(start_paused = true)]
async fn the_list_comes_behind_a_tour_where_it_is_next() {
    let tour = format!("{VISIT}C: UNSELECT\n{LIST}\n{VISITED}S: $ OK left\n{}", listed(4));
    let script = welcomed(FULL, &format!("{LIST}\n{}{tour}", listed(3)));
    let (mut remote, dial) = connect(&script).await;
    remote.tour(&[stop()], &mut Nobody, true).await.expect("a tour");
    assert_eq!(messages(&mut remote).await, Some(4));
    dial.assert_followed();
    // Where it is not, nothing is asked.
    let script = welcomed(FULL, &format!("{LIST}\n{}{VISIT}{VISITED}", listed(3)));
    let (mut remote, dial) = connect(&script).await;
    remote.tour(&[stop()], &mut Nobody, false).await.expect("a tour");
    dial.assert_followed();
}

#[tokio::test(start_paused = true)]
async fn quota_and_rights_come_with_the_list_and_a_refusal_is_no_answer() {
    let list = r#"LIST "" "*" RETURN (SUBSCRIBED MYRIGHTS STATUS (MESSAGES UIDNEXT UIDVALIDITY))"#;
    let asked = format!("C: GETQUOTAROOT \"INBOX\"\nC: {list}\n");
    let quota = "S: * QUOTAROOT INBOX \"\"\nS: * QUOTA \"\" (STORAGE 1 4)\nS: $ OK\n";
    let rights = "S: * LIST () \"/\" INBOX\nS: * MYRIGHTS inbox lrswi\nS: $ OK\n";
    let told = QuotaUse { root: String::new(), resource: "STORAGE".to_owned(), used: 1024, limit: 4096 };
    for (quota, expected) in [(quota, Some(vec![told])), ("S: $ NO not now\n", None)] {
        let script = welcomed(&format!("{FULL} QUOTA ACL LIST-MYRIGHTS"), &format!("{asked}{quota}{rights}"));
        let (mut remote, dial) = connect(&script).await;
        let listed = remote.list().await.expect("a list");
        assert_eq!(listed[0].rights, Some(Rights::told("lrswi")));
        assert_eq!(remote.take_quota(), expected);
        dial.assert_followed();
    }
    // Where there is none any more, that is told.
    let (mut remote, _) = connect(&welcomed(FULL, &format!("{LIST}\n{}", listed(3)))).await;
    remote.list().await.expect("a list");
    assert_eq!(remote.take_quota(), Some(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn what_may_be_done_with_mailboxes_of_others_is_asked_once_they_are_known_and_along_with_the_list_from_then_on() {
    let lists = "S: * LIST () \"/\" INBOX\nS: * LIST () \"/\" user/bob/a\nS: * LIST () \"/\" user/bob/b\n";
    let plain = "C: LIST \"\" \"*\"\nC: LSUB \"\" \"*\"\n";
    let both = "C: MYRIGHTS \"user/bob/a\"\nC: MYRIGHTS \"user/bob/b\"\n";
    let answers = "S: * MYRIGHTS user/bob/a lr\nS: $ OK\nS: $ NO not yours\n";
    let script = welcomed(
        "IMAP4rev1 NAMESPACE ACL",
        &format!(
            "C: NAMESPACE\nS: * NAMESPACE ((\"\" \"/\")) ((\"user/\" \"/\")) NIL\nS: $ OK\n\
             {plain}{lists}S: $ OK\nS: $ OK\n{both}{answers}\
             {both}{plain}{answers}{lists}S: $ OK\nS: $ OK\n"
        ),
    );
    let (mut remote, dial) = connect(&script).await;
    for _ in 0..2 {
        let rights: Vec<_> = remote.list().await.expect("a list").into_iter().map(|listed| listed.rights).collect();
        assert_eq!(rights, [None, Some(Rights::told("lr")), None]);
    }
    dial.assert_followed();
}
