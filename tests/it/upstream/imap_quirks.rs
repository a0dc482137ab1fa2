//! What real servers do wrong (QUIRKS.md), one test a quirk: how the client goes about it.

use mailtide::sync::remote::{Connect, Remote, RemoteName};
use mailtide::types::Quirks;

use super::imap_errors::{Counting, connect, logged_in, uids};
use super::script::{Line, Scripted, account};

fn name(text: &str) -> RemoteName {
    RemoteName(text.to_owned())
}

const SELECT: &str = "C: SELECT \"x\"\nS: * 1 EXISTS\nS: * OK [UIDVALIDITY 5]\nS: * OK [UIDNEXT 8]\nS: $ OK\n";

#[tokio::test]
async fn a_mailbox_is_left_before_its_name_goes_even_without_unselect() {
    for (capabilities, leave) in
        [("UNSELECT", "C: UNSELECT\nS: $ OK\n"), ("", "C: SELECT \"INBOX\"\nS: * 9 EXISTS\nS: $ OK\n")]
    {
        let script =
            format!("{SELECT}{leave}C: RENAME \"x\" \"y\"\nS: $ OK\n{SELECT}{leave}C: DELETE \"x\"\nS: $ OK\n");
        let (mut remote, dial) = connect(&logged_in(capabilities, &script)).await;
        remote.select(&name("x"), None).await.expect("SELECT");
        remote.rename(&name("x"), &name("y")).await.expect("RENAME");
        remote.select(&name("x"), None).await.expect("SELECT");
        remote.delete(&name("x")).await.expect("DELETE");
        dial.assert_followed();
    }
}

#[tokio::test]
async fn names_below_a_prefix_are_shown_and_made_without_it() {
    let script = "C: NAMESPACE\nS: * NAMESPACE ((\"INBOX.\" \".\")) NIL ((\"shared.\" \".\"))\nS: $ OK\n\
        C: LIST \"\" \"*\"\nC: LSUB \"\" \"*\"\nS: * LIST () \".\" INBOX\nS: * LIST () \".\" INBOX.Sent\n\
        S: * LIST () \".\" shared.all\nS: $ OK\nS: * LSUB () \".\" INBOX.Sent\nS: $ OK\n";
    let (mut remote, dial) = connect(&logged_in("NAMESPACE", script)).await;
    let listed = remote.list().await.expect("LIST");
    let shown: Vec<_> = listed.iter().map(|mailbox| (mailbox.name.0.as_str(), mailbox.components.join("/"))).collect();
    let expected = [("INBOX", "INBOX"), ("INBOX.Sent", "Sent"), ("shared.all", "shared/all")];
    assert_eq!(shown, expected.map(|(wire, shown)| (wire, shown.to_owned())));
    assert!(listed[1].subscribed);
    assert_eq!(remote.name_for(&["Sent", "2026"], Some('.')), Ok(name("INBOX.Sent.2026")));
    dial.assert_followed();
}

/// They are asked for once; where there are any, along with the list from then on.
#[tokio::test]
async fn mailboxes_that_are_listed_only_by_the_prefix_of_their_namespace_are_there_too() {
    let plain = "C: LIST \"\" \"*\"\nC: LSUB \"\" \"*\"\n";
    let inbox = "S: * LIST () \".\" INBOX\nS: $ OK\nS: $ OK\n";
    let shared = "S: * LIST () \".\" #shared.all\nS: $ OK\n";
    let script = format!(
        "C: NAMESPACE\nS: * NAMESPACE ((\"\" \".\")) ((\"user.\" \".\")) ((\"#shared.\" \".\"))\nS: $ OK\n\
         {plain}{inbox}C: LIST \"\" \"user.*\"\nC: LIST \"\" \"#shared.*\"\nS: $ NO none\n{shared}\
         C: LIST \"\" \"#shared.*\"\n{plain}{shared}{inbox}"
    );
    let (mut remote, dial) = connect(&logged_in("NAMESPACE", &script)).await;
    for _ in 0..2 {
        let mut listed: Vec<_> = remote.list().await.expect("LIST").into_iter().map(|listed| listed.name.0).collect();
        listed.sort();
        assert_eq!(listed, ["#shared.all", "INBOX"]);
    }
    dial.assert_followed();
}

#[tokio::test]
async fn a_server_that_refuses_namespace_has_no_prefix() {
    let (remote, dial) = connect(&logged_in("NAMESPACE", "C: NAMESPACE\nS: $ BAD what\n")).await;
    assert_eq!(remote.name_for(&["Sent"], Some('.')), Ok(name("Sent")));
    dial.assert_followed();
}

#[tokio::test]
async fn a_compressed_session_never_stands_still_even_a_byte_at_a_time() {
    let compressed =
        "C: NAMESPACE\nC: COMPRESS DEFLATE\nS: * NAMESPACE ((\"\" \"/\")) NIL NIL\nS: $ OK\nS: $ OK active\nZ:\n";
    let search = "C: UID SEARCH ALL\nS: * SEARCH 7\nS: $ OK\n";
    let script =
        logged_in("NAMESPACE COMPRESS=DEFLATE", &format!("{compressed}{SELECT}{}C: LOGOUT\n", search.repeat(50)));
    for trickles in [false, true] {
        let dial = Scripted::new(&[&script], Line { trickles, ..Line::default() });
        let mut remote = account(dial.clone()).connect().await.expect("a login");
        remote.select(&name("x"), None).await.expect("SELECT");
        for _ in 0..50 {
            assert_eq!(remote.uids().await.expect("SEARCH").to_string(), "7");
        }
        dial.assert_followed_to_logout(remote).await;
    }
}

#[tokio::test]
async fn news_right_behind_the_answer_to_compress_are_inflated() {
    let script = logged_in("COMPRESS=DEFLATE", "C: COMPRESS DEFLATE\nS: $ OK\nZ:\nS: * OK [ALERT] hello\nC: LOGOUT\n");
    let (remote, dial) = connect(&script).await;
    dial.assert_followed_to_logout(remote).await;
}

#[tokio::test]
async fn compression_refused_or_not_wanted_is_none() {
    let search = "C: UID SEARCH ALL\nS: * SEARCH 7\nS: $ OK\n";
    let rows = [
        (None, format!("C: COMPRESS DEFLATE\nS: $ NO [COMPRESSIONACTIVE] no\n{SELECT}{search}")),
        (Some(false), format!("{SELECT}{search}")),
    ];
    for (compress, script) in rows {
        let dial = Scripted::new(&[&logged_in("COMPRESS=DEFLATE", &script)], Line::default());
        let connector =
            mailtide::upstream::Connector { quirks: Quirks { compress, ..Quirks::default() }, ..account(dial.clone()) };
        let mut remote = connector.connect().await.expect("a login");
        remote.select(&name("x"), None).await.expect("SELECT");
        assert_eq!(remote.uids().await.expect("SEARCH").to_string(), "7");
        dial.assert_followed();
    }
}

/// QUIRKS.md row 12. Found by the simulator, seed 20001: what was throttled after thirty commands was begun anew each time.
#[tokio::test(start_paused = true)]
async fn a_question_that_is_asked_too_fast_is_asked_again_when_the_server_says_so() {
    let status = |name: &str| format!("C: STATUS \"{name}\" (MESSAGES UIDNEXT UIDVALIDITY)\n");
    let told = |name: &str| format!("S: * STATUS \"{name}\" (MESSAGES 2 UIDNEXT 8 UIDVALIDITY 5)\nS: $ OK\n");
    let busy = "S: $ NO Request is throttled. Suggested Backoff Time: 29961 milliseconds\n";
    let (x, y, z) = (status("x"), status("y"), status("z"));
    let script = format!("{x}{y}{z}{busy}{}{busy}{x}{z}{}{}{SELECT}", told("y"), told("x"), told("z"))
        + &format!("C: UID SEARCH ALL\n{busy}C: UID SEARCH ALL\n{busy}");
    let (mut remote, dial) = connect(&logged_in("", &script)).await;
    let began = tokio::time::Instant::now();
    let told = remote.status(&["x", "y", "z"].map(name)).await.expect("STATUS");
    assert!(told.iter().all(Result::is_ok), "{told:?}");
    assert_eq!(began.elapsed().as_millis(), 29_961);
    remote.select(&name("x"), None).await.expect("SELECT");
    let twice = remote.uids().await.expect_err("it goes on being too fast");
    assert!(format!("{twice:?}").starts_with("Wait"), "{twice:?}");
    dial.assert_followed();
}

/// QUIRKS.md rows 5 and 32: what is wrong with one message is no reason to go without the others.
#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_understood_costs_no_other_of_its_batch() {
    let good = "S: * 2 FETCH (UID 8 FLAGS () RFC822.SIZE 9 BODYSTRUCTURE (\"text\" \"plain\" NIL NIL NIL \"7bit\" 3 1) \
        BODY[HEADER] {3}\ns: abc\nS: )\n";
    let rows = [
        "UID 7 FLAGS () BODYSTRUCTURE (\"application\" \"pdf\" (\"name\" \"7\" screen.pdf\") NIL NIL \"base64\" 800) \
         BODY[HEADER] {4}\ns: wxyz\nS: )",
        "UID 7 FLAGS (\\Seen a\"b) BODY[HEADER] \"wxyz\")",
        &format!("UID 7 BODYSTRUCTURE {}", "(".repeat(100_000)),
        "UID 7 FLAGS NIL BODY[HEADER] \"wxyz\")",
        "UID 0 FLAGS () BODY[HEADER] \"wxyz\")",
        "FLAGS () BODY[HEADER] \"wxyz\")",
        "UID 7 BODY[HEADER] \"wxyz\")",
        "UID 7 FLAGS () BODY[HEADER] 7)",
    ];
    for row in rows {
        let ask = "C: UID FETCH 7:8 (UID FLAGS INTERNALDATE RFC822.SIZE BODYSTRUCTURE BODY.PEEK[HEADER])\n";
        let script = format!("{ask}S: * 1 FETCH ({row}\n{good}S: $ OK\nC: UID SEARCH ALL\nS: * SEARCH 7 8\nS: $ OK\n");
        let (mut remote, dial) = connect(&logged_in("", &script)).await;
        let mut sink = Counting::default();
        remote.outline(&uids("7:8"), &mut sink).await.expect(row);
        let told: Vec<_> = sink.ended.iter().map(|message| message.uid.get()).collect();
        assert_eq!(told, [8], "{row:.200}");
        assert_eq!(remote.uids().await, Ok(uids("7:8")));
        dial.assert_followed();
    }
}

/// To leave one out of what changed would be to say that it did not.
#[tokio::test(start_paused = true)]
async fn flags_that_cannot_be_understood_are_not_taken_for_unchanged() {
    let scan = "C: UID FETCH 7:8 (UID FLAGS)\nS: * 1 FETCH (UID 7 FLAGS (a\"b))\nS: $ OK\n";
    let (mut remote, _) = connect(&logged_in("", scan)).await;
    let error = remote.scan(&uids("7:8"), None).await.expect_err("it is not known what was told");
    assert!(format!("{error:?}").starts_with("Protocol"), "{error:?}");
}

/// QUIRKS.md row 12.
#[tokio::test(start_paused = true)]
async fn messages_that_came_before_the_server_asked_to_wait_may_come_again() {
    let fetch = "C: UID FETCH 1:2 (UID FLAGS INTERNALDATE BODY.PEEK[])\n";
    let first = "S: * 1 FETCH (UID 1 FLAGS () BODY[] \"abc\")\n";
    let second = "S: * 2 FETCH (UID 2 FLAGS () BODY[] \"abc\")\n";
    let busy = "S: $ BAD Request is throttled. Suggested Backoff Time: 2000 milliseconds\n";
    let script = format!("{fetch}{first}{busy}{fetch}{first}{second}S: $ OK\n");
    let (mut remote, dial) = connect(&logged_in("", &script)).await;
    let mut sink = Counting::default();
    remote.fetch(&uids("1:2"), &mut sink).await.expect("it is asked again");
    let told: Vec<_> = sink.ended.iter().map(|message| message.uid.get()).collect();
    assert_eq!(told, [1, 2]);
    dial.assert_followed();
}
