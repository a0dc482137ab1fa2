//! Waiting for news: IDLE, its interrupt, its renewal, and servers without it.

use std::time::Duration;

use mailtide::sync::remote::{News, Remote, RemoteError, RemoteName, Woken};
use mailtide::types::RemoteUid;
use mailtide::upstream::ImapRemote;
use tokio::time::{Instant, sleep};

use super::imap_errors::{connect, logged_in};
use super::script::Scripted;

const NEVER: u64 = 24 * 3_600_000;

/// A connection with a mailbox selected.
async fn selected(capabilities: &str, rest: &str) -> (ImapRemote, Scripted) {
    let select = "C: SELECT \"x\"\nS: * 3 EXISTS\nS: * OK [UIDVALIDITY 5]\nS: * OK [UIDNEXT 9]\nS: $ OK\n";
    let (mut remote, dial) = connect(&logged_in(capabilities, &format!("{select}{rest}"))).await;
    remote.select(&RemoteName("x".to_owned()), None).await.expect("SELECT");
    (remote, dial)
}

async fn wait(remote: &mut ImapRemote, max_ms: u64) -> Result<Woken, RemoteError> {
    remote.wait(max_ms, Box::pin(std::future::pending())).await
}

#[tokio::test(start_paused = true)]
async fn a_change_ends_the_wait_and_a_sign_of_life_does_not() {
    let script = "C: IDLE\nS: + \nS: * OK Still here\nS: * FLAGS (\\Seen)\nS: * VANISHED 3\nC: DONE\nS: * 2 EXISTS\nS: $ OK\n\
        C: IDLE\nS: + \nC: DONE\nS: $ OK\nC: IDLE\nS: + \nC: DONE\nS: $ OK\nC: UID SEARCH ALL\nS: * SEARCH\nS: $ OK\n";
    let (mut remote, dial) = selected("IDLE", script).await;
    assert_eq!(wait(&mut remote, NEVER).await, Ok(Woken::Changed));
    assert_eq!(remote.take_vanished().to_string(), "3");
    // What came while the first IDLE ended may have come too late for whoever it woke.
    assert_eq!(wait(&mut remote, 1000).await, Ok(Woken::Arrived));
    assert_eq!(wait(&mut remote, 1000).await, Ok(Woken::TimedOut));
    assert!(remote.uids().await.is_ok());
    dial.assert_followed();
}

#[tokio::test(start_paused = true)]
async fn the_interrupt_ends_the_wait_and_leaves_the_connection_in_step() {
    let (mut remote, dial) =
        selected("IDLE", "C: IDLE\nS: + \nC: DONE\nS: $ OK\nC: UID SEARCH ALL\nS: * SEARCH\nS: $ OK\n").await;
    let begun = Instant::now();
    let woken = remote.wait(NEVER, Box::pin(sleep(Duration::from_secs(7)))).await;
    assert_eq!(woken, Ok(Woken::Interrupted));
    assert_eq!(begun.elapsed().as_secs(), 7);
    assert!(remote.uids().await.is_ok_and(|uids| uids.is_empty()));
    dial.assert_followed();
}

#[tokio::test(start_paused = true)]
async fn idle_is_renewed_before_servers_hang_up() {
    let once = "C: IDLE\nS: + \nC: DONE\nS: $ OK\n";
    let script = format!("{}C: UID SEARCH ALL\nS: * SEARCH\nS: $ OK\n", once.repeat(3));
    let (mut remote, dial) = selected("IDLE", &script).await;
    let begun = Instant::now();
    assert_eq!(wait(&mut remote, 60 * 60_000).await, Ok(Woken::TimedOut));
    assert_eq!(begun.elapsed().as_secs(), 60 * 60);
    assert!(remote.uids().await.is_ok());
    dial.assert_followed();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_died_while_idle_is_noticed() {
    for (script, cause) in [
        ("C: IDLE\nS: + \n", "closed"),
        ("C: IDLE\nS: + \nS: * BYE too long\n", "too long"),
        ("C: IDLE\nS: + \nC: DONE\nC: IDLE\nC: never\n", "no answer for 20 s"),
        ("C: IDLE\nC: never\n", "no answer"),
        // A token expired meanwhile.
        ("C: IDLE\nS: + \nS: * BYE [AUTHENTICATIONFAILED] token\n", "token"),
        ("C: IDLE\nS: + \nS: $ NO [AUTHENTICATIONFAILED] token\n", "counts no more: token"),
        ("C: IDLE\nS: + \nS: $ NO [EXPIRED] token\n", "counts no more: token"),
        ("C: IDLE\nS: $ NO [EXPIRED] token\n", "counts no more: token"),
    ] {
        let (mut remote, _) = selected("IDLE", script).await;
        let error = wait(&mut remote, NEVER).await.expect_err("the server is gone");
        assert!(error.connection_lost() && error.to_string().contains(cause), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_idle_it_is_asked_now_and_then_and_sooner_after_something_happened() {
    let noop = "C: NOOP\nS: $ OK\n";
    for (capabilities, refusal) in
        [("", ""), ("IDLE", "C: IDLE\nS: $ NO not you\n"), ("IDLE", "C: IDLE\nS: $ BAD what\n")]
    {
        let script = format!("{refusal}{}C: NOOP\nS: * 4 EXISTS\nS: $ OK\n{noop}{noop}", noop.repeat(3));
        let (mut remote, dial) = selected(capabilities, &script).await;
        let begun = Instant::now();
        assert_eq!(wait(&mut remote, NEVER).await, Ok(Woken::Arrived));
        assert_eq!(begun.elapsed().as_secs(), 15 + 30 + 60 + 60);
        assert_eq!(remote.wait(NEVER, Box::pin(sleep(Duration::from_secs(5)))).await, Ok(Woken::Interrupted));
        assert_eq!(wait(&mut remote, 30_000).await, Ok(Woken::TimedOut));
        dial.assert_followed();
    }
}

#[tokio::test(start_paused = true)]
async fn goodbye_is_said_and_its_answer_is_not_waited_for() {
    let (remote, dial) = selected("", "C: LOGOUT\n").await;
    let begun = Instant::now();
    dial.assert_followed_to_logout(remote).await;
    assert_eq!(begun.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_told_of_a_mailbox_that_is_left_is_no_news_though_the_next_is_refused() {
    let script = "C: UID SEARCH ALL\nS: * 3 FETCH (FLAGS ())\nS: * SEARCH\nS: $ OK\nC: SELECT \"y\"\nS: $ NO not now\nC: NOOP\nS: $ OK\n";
    let (mut remote, dial) = selected("IDLE", script).await;
    assert!(remote.uids().await.is_ok());
    let refused = remote.select(&RemoteName("y".to_owned()), None).await;
    assert!(matches!(refused, Err(RemoteError::Refused { .. })), "{refused:?}");
    assert_eq!(wait(&mut remote, 1000).await, Ok(Woken::TimedOut));
    dial.assert_followed();
}

/// A connection on which NOTIFY was taken.
async fn notified(rest: &str) -> (ImapRemote, Scripted) {
    let notify = "C: NOTIFY SET STATUS (personal (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))\n\
        S: * STATUS first (MESSAGES 1)\nS: $ OK\n";
    let (mut remote, dial) = connect(&logged_in("IDLE NOTIFY", &format!("{notify}{rest}"))).await;
    assert!(remote.facts().notify);
    remote.notify().await.expect("NOTIFY");
    let first = remote.take_news();
    assert!(first.len() == 1 && first[0].messages == Some(1), "{first:?}");
    (remote, dial)
}

#[tokio::test(start_paused = true)]
async fn with_notify_every_mailbox_is_told_of_though_none_is_selected() {
    let script = "C: IDLE\nS: + \nS: * STATUS \"a b\" (MESSAGES 4 UIDNEXT 9)\nC: DONE\nS: $ OK\n\
        C: IDLE\nS: + \nS: * LIST () \"/\" new\nC: DONE\nS: $ OK\nC: LOGOUT\n";
    let (mut remote, dial) = notified(script).await;
    assert_eq!(wait(&mut remote, NEVER).await, Ok(Woken::Changed));
    let told = News {
        name: Some(RemoteName("a b".to_owned())),
        messages: Some(4),
        uid_next: Some(RemoteUid::new(9)),
        highest_mod_seq: None,
    };
    assert_eq!(remote.take_news(), [told]);
    assert_eq!(wait(&mut remote, NEVER).await, Ok(Woken::Changed));
    assert_eq!(remote.take_news(), [News::default()]);
    dial.assert_followed_to_logout(remote).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_gives_up_notifying_is_left() {
    let (mut remote, _) = notified("C: IDLE\nS: + \nS: * OK [NOTIFICATIONOVERFLOW] too much\n").await;
    let error = wait(&mut remote, NEVER).await.expect_err("nothing would be told any more");
    assert!(error.connection_lost(), "{error}");
}
