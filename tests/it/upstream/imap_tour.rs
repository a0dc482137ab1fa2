//! A tour: everything is on its way before anything is answered, and the guide is told stop by stop.

use std::io;

use mailtide::sync::remote::{Connect, Fetched, Known, MessageSink, Remote, RemoteError, RemoteName, Selected};
use mailtide::sync::tour::{Brought, Errand, Guide, Stop};
use mailtide::types::{Flag, Flags, ModSeq, RemoteUid, SystemFlag, UidSet, UidValidity};

use super::script::{Line, Scripted, account};

/// Up to the first command of the tour.
const BEFORE: &str = r#"
    S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready
    C: AUTHENTICATE PLAIN AGFubgBodW50ZXIy
    S: $ OK welcome
    C: CAPABILITY
    S: * CAPABILITY IMAP4rev1 ENABLE QRESYNC CONDSTORE UIDPLUS MOVE UNSELECT
    S: $ OK done
    C: ENABLE QRESYNC
    S: * ENABLED QRESYNC
    S: $ OK done
"#;

/// The server closes without an answer, having followed the script.
const AFTER: &str = "
    C: LOGOUT
";

/// Writes down what it is told.
#[derive(Default)]
struct Diary(Vec<String>);

impl Guide for Diary {
    fn enter(&mut self, stop: usize, selected: Result<Selected, RemoteError>) -> Result<(), RemoteError> {
        self.0.push(match selected {
            Ok(selected) => format!(
                "{stop}: {} messages of {}, vanished {}",
                selected.exists,
                selected.uid_validity,
                selected.since.map_or_else(|| "untold".to_owned(), |since| since.vanished.to_string())
            ),
            Err(error) => format!("{stop}: {error}"),
        });
        Ok(())
    }

    fn done(&mut self, stop: usize, errand: usize, brought: Result<Brought, RemoteError>) -> Result<(), RemoteError> {
        self.0.push(match brought {
            Ok(Brought::Nothing) => format!("{stop}.{errand}: done"),
            Ok(Brought::Scanned(scanned)) => {
                let uids: UidSet<RemoteUid> = scanned.iter().map(|scanned| scanned.uid).collect();
                format!("{stop}.{errand}: scanned {uids}")
            }
            Ok(Brought::Fingerprinted(shown)) => {
                let shown: Vec<_> =
                    shown.iter().map(|shown| format!("{} of {}", shown.uid, shown.size_bytes)).collect();
                format!("{stop}.{errand}: known by {shown:?}")
            }
            Ok(Brought::Present(there)) => format!("{stop}.{errand}: {there} is there"),
            Ok(Brought::Placed(told)) => format!("{stop}.{errand}: placed {:?}", told.map(|told| told.uids)),
            Err(error) => format!("{stop}.{errand}: {error}"),
        });
        Ok(())
    }

    fn news(&mut self, stop: usize) {
        self.0.push(format!("{stop}: news"));
    }
}

impl MessageSink for Diary {
    fn begin(&mut self, size_bytes: u64) -> io::Result<()> {
        self.0.push(format!("a message of {size_bytes} bytes"));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(bytes);
        match self.0.last_mut().and_then(|last| last.strip_prefix("bytes ")) {
            Some(before) => *self.0.last_mut().expect("just seen") = format!("bytes {before}{text}"),
            None => self.0.push(format!("bytes {text}")),
        }
        Ok(())
    }

    fn end(&mut self, message: Fetched) -> io::Result<()> {
        self.0.push(format!("it is {}", message.uid));
        Ok(())
    }

    fn absent(&mut self, uid: RemoteUid) -> io::Result<()> {
        self.0.push(format!("{uid} has no bytes"));
        Ok(())
    }
}

fn uids(text: &str) -> UidSet<RemoteUid> {
    UidSet::parse(text).expect("a valid set")
}

fn stop(name: &str, uid_validity: u32, errands: Vec<Errand>) -> Stop {
    Stop { name: RemoteName(name.to_owned()), uid_validity: UidValidity::new(uid_validity), known: None, errands }
}

/// Runs the tour against the script, whole and in single bytes.
async fn tour(script: &str, stops: &[Stop]) -> Vec<(Vec<String>, Result<(), RemoteError>)> {
    tours(script, &[stops]).await
}

/// Runs one tour after the other, until one fails.
async fn tours(script: &str, tours: &[&[Stop]]) -> Vec<(Vec<String>, Result<(), RemoteError>)> {
    let mut told = Vec::new();
    for trickles in [false, true] {
        let server = Scripted::new(&[&format!("{BEFORE}{script}{AFTER}")], Line { cut_after: None, trickles });
        let mut remote = account(server.clone()).connect().await.expect("a login");
        let mut diary = Diary::default();
        let mut ended = Ok(());
        for stops in tours {
            if ended.is_ok() {
                ended = remote.tour(stops, &mut diary, false).await;
            }
        }
        if ended.is_ok() {
            server.assert_followed_to_logout(remote).await;
        }
        told.push((diary.0, ended));
    }
    told
}

#[tokio::test(start_paused = true)]
async fn reading_goes_out_at_once_and_comes_back_stop_by_stop() {
    let script = r#"
    C: SELECT "INBOX" (QRESYNC (5 70))
    C: UID FETCH 8:9 (UID FLAGS INTERNALDATE MODSEQ BODY.PEEK[])
    C: SELECT "a" (CONDSTORE)
    C: UID FETCH 1:4 (UID FLAGS MODSEQ)
    C: UID FETCH 4 (UID FLAGS RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE FROM SUBJECT)])
    S: * 2 EXISTS
    S: * OK [UIDVALIDITY 5] valid
    S: * OK [UIDNEXT 10] next
    S: * OK [HIGHESTMODSEQ 77] highest
    S: * VANISHED (EARLIER) 1:2
    S: $ OK [READ-WRITE] selected
    S: * 2 FETCH (UID 9 FLAGS () MODSEQ (76) BODY[] {5}
    S: abc
    S: )
    S: $ OK fetched
    S: * OK [CLOSED] left
    S: * 1 EXISTS
    S: * OK [UIDVALIDITY 6] valid
    S: * OK [UIDNEXT 5] next
    S: $ OK [READ-WRITE] selected
    S: * 1 FETCH (UID 4 FLAGS (\Seen) MODSEQ (3))
    S: * 2 EXISTS
    S: $ OK fetched
    S: * 1 FETCH (UID 4 FLAGS () RFC822.SIZE 9 INTERNALDATE "17-Jul-1996 02:44:25 -0700" BODY[HEADER.FIELDS (MESSAGE-ID)] "A: b")
    S: $ OK fetched
    "#;
    let mut inbox = stop("INBOX", 5, vec![Errand::Fetch(uids("8:9"))]);
    inbox.known = Some(Known { uid_validity: UidValidity::new(5), highest_mod_seq: ModSeq::new(70) });
    let scan = Errand::Scan { uids: uids("1:4"), changed_since: None };
    let other = stop("a", 6, vec![scan, Errand::Fingerprint(uids("4"))]);
    for (diary, ended) in tour(script, &[inbox, other]).await {
        assert_eq!(ended, Ok(()));
        let expected = [
            "0: 2 messages of 5, vanished 1:2",
            "a message of 5 bytes",
            "bytes abc\r\n",
            "it is 9",
            "0.0: done",
            "1: 1 messages of 6, vanished untold",
            "1: news",
            "1.0: scanned 4",
            "1.1: known by [\"4 of 9\"]",
        ];
        assert_eq!(diary, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_refused_leaves_none_selected_for_its_errands() {
    let script = r#"
    C: SELECT "a" (CONDSTORE)
    C: UID STORE 3 +FLAGS.SILENT (\Seen)
    C: UID SEARCH UID 3
    C: NOOP
    C: UID EXPUNGE 2
    C: UNSELECT
    C: SELECT "b" (CONDSTORE)
    C: UID MOVE 4:5 "c"
    C: NOOP
    C: UID EXPUNGE 6
    S: $ NO [NONEXISTENT] no such mailbox
    S: $ BAD no mailbox is selected
    S: $ BAD no mailbox is selected
    S: $ OK nothing is new
    S: $ BAD no mailbox is selected
    S: $ BAD no mailbox is selected
    S: * 3 EXISTS
    S: * OK [UIDVALIDITY 6] valid
    S: * OK [UIDNEXT 7] next
    S: $ OK [READ-WRITE] selected
    S: * OK [COPYUID 9 4:5 21:22] moved
    S: * VANISHED 4:5
    S: $ OK done
    S: $ OK done
    S: * VANISHED 6
    S: $ OK done
    "#;
    let seen: Flags = std::iter::once(Flag::from(SystemFlag::Seen)).collect();
    let first = stop("a", 5, vec![Errand::AddFlags { uids: uids("3"), flags: seen }, Errand::Expunge(uids("2"))]);
    let to = RemoteName("c".to_owned());
    let second = stop("b", 6, vec![Errand::Move { uids: uids("4:5"), to }, Errand::Expunge(uids("6"))]);
    for (diary, ended) in tour(script, &[first, second]).await {
        assert_eq!(ended, Ok(()));
        assert_eq!(diary.len(), 4, "{diary:#?}");
        assert!(diary[0].starts_with("0: the server refused SELECT"), "{diary:#?}");
        assert_eq!(diary[1], "1: 3 messages of 6, vanished untold");
        assert!(diary[2].starts_with("1.0: placed Some({") && diary[2].contains("22"), "{diary:#?}");
        assert_eq!(diary[3], "1.1: done");
    }
}

/// A server that refuses SELECT unread, for it is asked too much, has the mailbox selected that it had (QUIRKS.md row 12).
#[tokio::test(start_paused = true)]
async fn where_the_last_tour_ended_is_left_before_anything_is_changed() {
    let script = r#"
    C: SELECT "a" (CONDSTORE)
    C: UID SEARCH UID 1
    S: * 3 EXISTS
    S: * OK [UIDVALIDITY 5] valid
    S: * OK [UIDNEXT 7] next
    S: $ OK [READ-WRITE] selected
    S: * SEARCH 1
    S: $ OK done
    C: UNSELECT
    C: SELECT "b" (CONDSTORE)
    C: UID COPY 4 "c"
    S: $ OK left
    S: $ NO Request is throttled
    S: $ BAD no mailbox is selected
    "#;
    let looks = [stop("a", 5, vec![Errand::Present(uids("1"))])];
    let changes = [stop("b", 6, vec![Errand::Copy { uids: uids("4"), to: RemoteName("c".to_owned()) }])];
    for (diary, ended) in tours(script, &[&looks, &changes]).await {
        assert_eq!(ended, Ok(()));
        assert!(diary.len() == 3 && diary[2].starts_with("0: the server"), "{diary:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_done_where_nothing_was_selected_is_not_taken_for_undone() {
    let script = r#"
    C: SELECT "b" (CONDSTORE)
    C: UID COPY 4 "c"
    S: $ NO Request is throttled
    S: $ OK [COPYUID 9 4 21] copied
    "#;
    let changes = [stop("b", 6, vec![Errand::Copy { uids: uids("4"), to: RemoteName("c".to_owned()) }])];
    for (diary, ended) in tour(script, &changes).await {
        assert_eq!(diary.len(), 1, "{diary:#?}");
        assert!(ended.is_err_and(|error| error.connection_lost()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_errand_is_told_and_the_others_go_on() {
    let script = r#"
    C: SELECT "a" (CONDSTORE)
    C: UID COPY 3 "b"
    C: UID STORE 4:5 -FLAGS.SILENT (\Seen)
    C: UID SEARCH UID 4:5
    S: * 3 EXISTS
    S: * OK [UIDVALIDITY 6] valid
    S: * OK [UIDNEXT 7] next
    S: $ OK [READ-WRITE] selected
    S: $ NO [OVERQUOTA] full
    S: $ OK done
    S: * SEARCH 5
    S: $ OK done
    "#;
    let seen: Flags = std::iter::once(Flag::from(SystemFlag::Seen)).collect();
    let copy = Errand::Copy { uids: uids("3"), to: RemoteName("b".to_owned()) };
    let store = Errand::RemoveFlags { uids: uids("4:5"), flags: seen };
    for (diary, ended) in tour(script, &[stop("a", 6, vec![copy, store])]).await {
        assert_eq!(ended, Ok(()));
        assert!(diary[1].starts_with("0.0: the server refused COPY"), "{diary:#?}");
        assert_eq!(diary[2], "0.1: 5 is there");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_overtakes_another_waits_for_it() {
    let script = r#"
    C: SELECT "a" (CONDSTORE)
    C: UID COPY 1 "b"
    C: UID FETCH 1 (UID FLAGS MODSEQ)
    S: A0005 NO [OVERQUOTA] before its time
    S: * 1 EXISTS
    S: * OK [UIDVALIDITY 6] valid
    S: * OK [UIDNEXT 2] next
    S: A0004 OK [READ-WRITE] selected
    S: * 1 FETCH (UID 1 FLAGS ())
    S: A0006 OK done
    "#;
    let copy = Errand::Copy { uids: uids("1"), to: RemoteName("b".to_owned()) };
    let scan = Errand::Scan { uids: uids("1"), changed_since: None };
    for (diary, ended) in tour(script, &[stop("a", 6, vec![copy, scan])]).await {
        assert_eq!(ended, Ok(()));
        assert_eq!(diary[0], "0: 1 messages of 6, vanished untold");
        assert!(diary[1].starts_with("0.0: the server refused COPY"), "{diary:#?}");
        assert_eq!(diary[2], "0.1: scanned 1");
    }
}

#[tokio::test(start_paused = true)]
async fn moves_that_the_server_tells_of_together_are_told_apart_by_their_uids() {
    let script = r#"
    C: SELECT "a" (CONDSTORE)
    C: UID MOVE 3,5 "b"
    C: UID MOVE 4 "c"
    S: * 3 EXISTS
    S: * OK [UIDVALIDITY 6] valid
    S: * OK [UIDNEXT 7] next
    S: $ OK [READ-WRITE] selected
    S: * OK [COPYUID 8 3,5 21:22] moved
    S: * OK [COPYUID 9 4 31] moved
    S: * VANISHED 3:5
    S: $ OK done
    S: $ OK done
    "#;
    let goes = |set: &str, to: &str| Errand::Move { uids: uids(set), to: RemoteName(to.to_owned()) };
    for (diary, ended) in tour(script, &[stop("a", 6, vec![goes("3,5", "b"), goes("4", "c")])]).await {
        assert_eq!(ended, Ok(()));
        assert!(diary[1].starts_with("0.0: placed Some({") && diary[1].contains("22"), "{diary:#?}");
        assert!(diary[2].starts_with("0.1: placed Some({") && diary[2].contains("31"), "{diary:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn which_messages_are_there_is_asked_once_behind_stores_that_follow_each_other() {
    let script = r#"
    C: SELECT "a" (CONDSTORE)
    C: UID STORE 3:5 +FLAGS.SILENT (\Seen)
    C: UID STORE 5,7 -FLAGS.SILENT (\Seen)
    C: UID SEARCH UID 3:5,7
    C: UID MOVE 3 "b"
    C: UID STORE 9 +FLAGS.SILENT (\Seen)
    C: UID SEARCH UID 9
    S: * 2 EXISTS
    S: * OK [UIDVALIDITY 6] valid
    S: * OK [UIDNEXT 7] next
    S: A0004 OK [READ-WRITE] selected
    S: * SEARCH 3 5
    S: A0005 OK done
    S: A0006 OK done
    S: A0007 OK done
    S: * SEARCH 9
    S: A0008 OK [COPYUID 8 3 21] moved
    S: A0009 OK done
    S: A0010 OK done
    "#;
    let seen: Flags = std::iter::once(Flag::from(SystemFlag::Seen)).collect();
    let add = |set| Errand::AddFlags { uids: uids(set), flags: seen.clone() };
    let remove = Errand::RemoveFlags { uids: uids("5,7"), flags: seen.clone() };
    let goes = Errand::Move { uids: uids("3"), to: RemoteName("b".to_owned()) };
    for (diary, ended) in tour(script, &[stop("a", 6, vec![add("3:5"), remove, goes, add("9")])]).await {
        assert_eq!(ended, Ok(()));
        let expected = [
            "0.0: 3,5 is there",
            "0.1: 5 is there",
            "0.2: placed Some({RemoteUid(3): RemoteUid(21)})",
            "0.3: 9 is there",
        ];
        assert_eq!(diary[1..], expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_behind_a_select_is_done_though_it_tells_no_exists() {
    let script = r#"
    C: SELECT "a" (CONDSTORE)
    C: UID COPY 3 "b"
    S: * OK [UIDVALIDITY 6] valid
    S: $ OK [READ-WRITE] selected
    S: $ OK [COPYUID 9 3 12] copied
    "#;
    let copy = || vec![Errand::Copy { uids: uids("3"), to: RemoteName("b".to_owned()) }];
    for (diary, ended) in tour(script, &[stop("a", 6, copy())]).await {
        assert_eq!(ended, Ok(()));
        let expected = ["0: 0 messages of 6, vanished untold", "0.0: placed Some({RemoteUid(3): RemoteUid(12)})"];
        assert_eq!(diary, expected);
    }
    let untold = script.replace("S: * OK [UIDVALIDITY 6] valid\n", "");
    for (_, ended) in tour(&untold, &[stop("a", 6, copy())]).await {
        // What became of it is found out over the next connection.
        assert!(ended.is_err_and(|error| error.connection_lost()));
    }
}

/// Found by measuring: Dovecot did so for each mailbox with new mail, which then was looked into once more, alone.
#[tokio::test(start_paused = true)]
async fn a_fingerprint_that_is_told_before_the_end_of_what_was_asked_before_it_is_no_news() {
    let script = r#"
    C: SELECT "a" (CONDSTORE)
    C: UID FETCH 8 (UID FLAGS INTERNALDATE MODSEQ BODY.PEEK[])
    C: UID FETCH 4 (UID FLAGS RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE FROM SUBJECT)])
    S: * 2 EXISTS
    S: * OK [UIDVALIDITY 6] valid
    S: * OK [UIDNEXT 9] next
    S: $ OK [READ-WRITE] selected
    S: * 2 FETCH (UID 8 FLAGS () MODSEQ (3) INTERNALDATE "17-Jul-1996 02:44:25 -0700" BODY[] "abc")
    S: * 1 FETCH (UID 4 FLAGS () RFC822.SIZE 9 INTERNALDATE "17-Jul-1996 02:44:25 -0700" BODY[HEADER.FIELDS (MESSAGE-ID)] "A: b")
    S: $ OK fetched
    S: $ OK fetched
    "#;
    let errands = vec![Errand::Fetch(uids("8")), Errand::Fingerprint(uids("4"))];
    for (diary, ended) in tour(script, &[stop("a", 6, errands)]).await {
        assert_eq!(ended, Ok(()));
        let last = ["it is 8", "0.0: done", "0.1: known by [\"4 of 9\"]"];
        assert_eq!(diary[diary.len() - 3..], last, "{diary:?}");
        assert!(!diary.contains(&"0: news".to_owned()), "{diary:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_refused_costs_only_its_own_errand_and_a_search_those_before_it() {
    let script = |search: &str| {
        format!(
            r#"
    C: SELECT "a" (CONDSTORE)
    C: UID STORE 3 +FLAGS.SILENT (\Seen)
    C: UID STORE 5 -FLAGS.SILENT (\Seen)
    C: UID SEARCH UID 3,5
    S: * 2 EXISTS
    S: * OK [UIDVALIDITY 6] valid
    S: * OK [UIDNEXT 7] next
    S: $ OK [READ-WRITE] selected
    S: $ NO [NOPERM] not this one
    S: $ OK stored
    {search}
    "#
        )
    };
    let seen: Flags = std::iter::once(Flag::from(SystemFlag::Seen)).collect();
    let errands = || {
        vec![
            Errand::AddFlags { uids: uids("3"), flags: seen.clone() },
            Errand::RemoveFlags { uids: uids("5"), flags: seen.clone() },
        ]
    };
    let expected: [(&str, [&str; 2]); 2] = [
        ("S: * SEARCH 3 5\n    S: $ OK found", ["0.0: the server refused STORE", "0.1: 5 is there"]),
        ("S: $ NO search is busy", ["0.0: the server refused STORE", "0.1: the server refused SEARCH"]),
    ];
    for (search, told) in expected {
        for (diary, ended) in tour(&script(search), &[stop("a", 6, errands())]).await {
            assert_eq!(ended, Ok(()));
            let is_told = diary[1..].iter().zip(told).all(|(line, told)| line.starts_with(told));
            assert!(is_told && diary.len() == 3, "{diary:#?}");
        }
    }
    // An answer without its response is none all the same.
    let untold = script("S: $ OK found");
    for (_, ended) in tour(&untold, &[stop("a", 6, errands())]).await {
        assert!(matches!(ended, Err(RemoteError::Protocol { .. })), "{ended:?}");
    }
}
