//! One session that uses everything, whole, trickling, and cut at every byte.

use mailtide::sync::remote::{
    Connect, Excerpt, Fetched, Known, MessageSink, Outgoing, Remote, RemoteError, RemoteName, Woken,
};
use mailtide::types::{Flag, Flags, InternalDate, ModSeq, RemoteUid, SystemFlag, UidSet, UidValidity};

use super::imap_errors::append_one;
use super::script::{Line, Scripted, account};

const SESSION: &str = r#"
    S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready
    C: AUTHENTICATE PLAIN AGFubgBodW50ZXIy
    S: * CAPABILITY IMAP4rev1
    S: $ OK welcome
    C: CAPABILITY
    S: * CAPABILITY IMAP4rev1 ID NAMESPACE ENABLE QRESYNC CONDSTORE UIDPLUS MOVE IDLE ESEARCH LIST-EXTENDED LIST-STATUS SPECIAL-USE LITERAL+ OBJECTID
    S: $ OK done
    C: ID ("name" "Mailtide"..
    C: NAMESPACE
    C: ENABLE QRESYNC
    C: LIST "" "*" RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ))
    S: * ID ("name" "Scripted" "version" NIL)
    S: $ OK done
    S: * NAMESPACE (("" "/")) NIL NIL
    S: $ OK done
    S: * ENABLED QRESYNC
    S: $ OK done
    S: * LIST (\Subscribed \HasNoChildren) "/" INBOX
    S: * STATUS INBOX (MESSAGES 2 UIDNEXT 8 UIDVALIDITY 5 HIGHESTMODSEQ 77)
    S: * LIST (\HasNoChildren \Sent) "/" "Entw&APw-rfe/a \"b\""
    S: * LIST (\Noselect) "/" {3}
    S: foo
    S: $ OK done
    C: STATUS "INBOX" (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)
    C: STATUS "x" (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)
    S: * STATUS "inbox" (MESSAGES 2 UIDNEXT 8 UIDVALIDITY 5 HIGHESTMODSEQ 77)
    S: $ OK done
    S: $ NO [NONEXISTENT] no such mailbox
    C: SELECT "INBOX" (QRESYNC (5 70))
    S: * 9 EXISTS
    S: * OK [CLOSED] was not open
    S: * FLAGS (\Answered \Seen)
    S: * OK [PERMANENTFLAGS (\Answered \Seen \*)] kept
    S: * 2 EXISTS
    S: * OK [UIDVALIDITY 5] valid
    S: * OK [UIDNEXT 8] next
    S: * OK [HIGHESTMODSEQ 77] highest
    S: * VANISHED (EARLIER) 1:2,4
    S: * 1 FETCH (UID 3 FLAGS (\Seen $Work) MODSEQ (77))
    S: $ OK [READ-WRITE] selected
    C: UID SEARCH RETURN (ALL) ALL
    S: * ESEARCH (TAG "A0008") UID ALL 3,7
    S: $ OK done
    C: UID FETCH 1:7 (UID FLAGS MODSEQ) (CHANGEDSINCE 70)
    S: * 1 FETCH (UID 3 MODSEQ (77) FLAGS (\Seen $Work))
    S: * VANISHED 6
    S: * 2 FETCH (FLAGS () UID 7 MODSEQ (71))
    S: $ OK done
    C: UID FETCH 3 (UID FLAGS RFC822.SIZE INTERNALDATE EMAILID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE FROM SUBJECT)])
    S: * 1 FETCH (UID 3 FLAGS (\Deleted) RFC822.SIZE 14 INTERNALDATE "17-Jul-1996 02:44:25 -0700" EMAILID (M1) BODY[HEADER.FIELDS (MESSAGE-ID DATE FROM SUBJECT)] {16}
    S: Subject: a
    S:  b
    S: )
    S: $ OK done
    C: UID FETCH 3,7 (UID FLAGS INTERNALDATE MODSEQ EMAILID BODY.PEEK[])
    S: * 1 FETCH (UID 3 FLAGS (\Seen $Work) INTERNALDATE "17-Jul-1996 02:44:25 -0700" MODSEQ (77) EMAILID (M1) BODY[] {14}
    S: Subject: a
    S:
    S: )
    S: * 3 EXISTS
    S: * 2 FETCH (BODY[] "Hi \"x\"" FLAGS () UID 7 INTERNALDATE "18-Jul-1996 02:44:25 -0700" MODSEQ (71))
    S: $ OK done
    C: UID FETCH 3 (UID FLAGS BODY.PEEK[1]<0.2>)
    C: UID FETCH 7 (UID FLAGS BODY.PEEK[2.MIME])
    S: * 2 FETCH (UID 7 FLAGS () BODY[2.MIME] NIL)
    S: * 1 FETCH (UID 3 FLAGS () BODY[1]<0> {2}
    S: ab)
    S: $ OK done
    S: $ OK done
    C: UID STORE 3 +FLAGS.SILENT (\Flagged $Work)
    C: UID SEARCH RETURN (ALL) UID 3
    S: * 1 FETCH (UID 3 MODSEQ (78))
    S: $ OK done
    S: * ESEARCH (TAG "x") UID ALL 3
    S: $ OK done
    C: UID COPY 3,7 "Entw&APw-rfe/a \"b\""
    S: $ OK [COPYUID 9 3,7 21:22] done
    C: UID MOVE 7 "foo"
    S: * OK [COPYUID 10 7 31] moved
    S: * VANISHED 7
    S: $ OK done
    C: NOOP
    C: UID EXPUNGE 3
    S: $ OK done
    S: * VANISHED 3
    S: $ OK done
    C: APPEND "foo" (\Seen) "17-Jul-1996 02:44:25 -0700" {5+}
    C: a
    C: bc
    S: $ OK [APPENDUID 10 32] done
    C: IDLE
    S: + idling
    S: * OK Still here
    S: * 4 EXISTS
    C: DONE
    S: $ OK done
    C: LOGOUT
"#;

/// What a sink was given.
#[derive(Debug, Default)]
struct Kept {
    open: Option<(u64, Vec<u8>)>,
    messages: Vec<(Vec<u8>, Fetched)>,
    absent: Vec<RemoteUid>,
}

impl MessageSink for Kept {
    fn begin(&mut self, size_bytes: u64) -> std::io::Result<()> {
        self.open = Some((size_bytes, Vec::new()));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.open.as_mut().expect("begun").1.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, message: Fetched) -> std::io::Result<()> {
        let (size, bytes) = self.open.take().expect("begun");
        assert_eq!(bytes.len() as u64, size);
        self.messages.push((bytes, message));
        Ok(())
    }

    fn absent(&mut self, uid: RemoteUid) -> std::io::Result<()> {
        self.absent.push(uid);
        Ok(())
    }
}

fn set(text: &str) -> UidSet<RemoteUid> {
    UidSet::parse(text).expect("a valid set")
}

fn name(text: &str) -> RemoteName {
    RemoteName(text.to_owned())
}

/// Everything once. Each answer as text, up to the first error.
async fn everything(dial: Scripted, answers: &mut Vec<String>) -> Result<(), RemoteError> {
    let mut remote = account(dial).connect().await?;
    answers.push(format!("{:?}", remote.facts()));
    answers.push(format!("{:#?}", remote.list().await?));
    answers.push(format!("{:?}", remote.status(&[name("INBOX"), name("x")]).await?));
    let known = Known { uid_validity: UidValidity::new(5), highest_mod_seq: ModSeq::new(70) };
    answers.push(format!("{:#?}", remote.select(&name("INBOX"), Some(known)).await?));
    answers.push(format!("{:?}", remote.uids().await?));
    answers.push(format!("{:?}", remote.scan(&set("1:7"), Some(ModSeq::new(70))).await?));
    answers.push(format!("{:?}", remote.take_vanished()));
    answers.push(format!("{:?}", remote.fingerprints(&set("3")).await?));
    let mut kept = Kept::default();
    remote.fetch(&set("3,7"), &mut kept).await?;
    let excerpt = |uids, section: &str, piece| Excerpt { uids: set(uids), section: section.to_owned(), piece };
    let excerpts = [excerpt("3", "1", Some((0, 2))), excerpt("7", "2.MIME", None)];
    remote.excerpts(&excerpts, &mut kept).await?;
    answers.push(format!("{kept:?}"));
    let flags: Flags =
        [Flag::from(SystemFlag::Flagged), Flag::parse("$Work").expect("a keyword")].into_iter().collect();
    answers.push(format!("{:?}", remote.add_flags(&set("3"), &flags).await?));
    answers.push(format!("{:?}", remote.copy(&set("3,7"), &name("Entw&APw-rfe/a \"b\"")).await?));
    answers.push(format!("{:?}", remote.move_messages(&set("7"), &name("foo")).await?));
    answers.push(format!("{:?}", remote.expunge(&set("3")).await?));
    answers.push(format!("{:?}", remote.take_vanished()));
    let date = InternalDate::parse_imap("17-Jul-1996 02:44:25 -0700").expect("a valid date");
    let mut bytes = b"a\r\nbc".to_vec();
    let message =
        Outgoing { flags: [SystemFlag::Seen.into()].into_iter().collect(), internal_date: date, bytes: &mut bytes };
    answers.push(format!("{:?}", append_one(&mut remote, &name("foo"), message).await?));
    // What was told during the commands counts as news at once; then it is waited for.
    answers.push(format!("{:?}", remote.wait(60_000, Box::pin(std::future::pending())).await?));
    let woken = remote.wait(60_000, Box::pin(std::future::pending())).await?;
    assert_eq!(woken, Woken::Arrived);
    answers.push(format!("{woken:?}"));
    remote.logout().await;
    // The server answers DONE still. Time is paused: it goes on once everyone waits.
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    Ok(())
}

async fn run(line: Line) -> (Vec<String>, Result<(), RemoteError>, Scripted) {
    let dial = Scripted::new(&[SESSION], line);
    let mut answers = Vec::new();
    let end = everything(dial.clone(), &mut answers).await;
    // The server's last lines are on their way still. Time is paused: it goes on once everyone waits.
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    (answers, end, dial)
}

#[tokio::test(start_paused = true)]
async fn a_whole_session_gives_what_the_server_said() {
    let (answers, end, dial) = run(Line::default()).await;
    dial.assert_followed();
    assert_eq!(end, Ok(()));
    let holds = |place: usize, parts: &[&str]| {
        let answer: &str = answers[place].as_str();
        for part in parts {
            assert!(answer.contains(part), "{part} is not in {answer}");
        }
    };
    holds(0, &["uid_plus: true", "move: true", "qresync: true", "idle: true", "object_id: true"]);
    holds(
        1,
        &[
            "\"INBOX\"",
            "subscribed: true",
            "messages: 2",
            "\"Entwürfe\"",
            "\"a \\\"b\\\"\"",
            "Sent",
            "selectable: false",
        ],
    );
    holds(2, &["Ok(Status { messages: 2", "Err(Refused { request: \"STATUS\", code: Some(NonExistent)"]);
    holds(
        3,
        &[
            "exists: 2",
            "read_only: false",
            "any_keyword: true",
            "UidSet(1:2,4)",
            "uid: RemoteUid(\n                        3",
        ],
    );
    holds(4, &["UidSet(3,7)"]);
    holds(5, &["RemoteUid(3)", "RemoteUid(7)", "ModSeq(71)"]);
    holds(6, &["UidSet(6)"]);
    holds(7, &["size_bytes: 14", "\"SUBJECT\"", "Some(\"M1\")", "is_deleted: true"]);
    holds(8, &["open: None", "[97, 98]", "absent: [RemoteUid(7)]"]);
    holds(10, &["UidValidity(9)", "RemoteUid(3): RemoteUid(21)", "RemoteUid(7): RemoteUid(22)"]);
    holds(11, &["UidValidity(10)", "RemoteUid(7): RemoteUid(31)"]);
    holds(13, &["UidSet(3,7)"]);
    holds(14, &["RemoteUid(32)"]);
}

#[tokio::test(start_paused = true)]
async fn bytes_one_at_a_time_give_the_same_session() {
    let (whole, _, _) = run(Line::default()).await;
    let (trickled, end, dial) = run(Line { trickles: true, ..Line::default() }).await;
    dial.assert_followed();
    assert_eq!((trickled, end), (whole, Ok(())));
}

/// Invariant 7: a cut is an error for whatever was running, and never a shorter answer.
#[tokio::test(start_paused = true)]
async fn a_cut_at_any_byte_is_an_error_and_never_a_shorter_answer() {
    let (whole, _, dial) = run(Line::default()).await;
    let sent = dial.report.lock().expect("no panic while locked").sent_bytes;
    // Behind the last answer only the end of IDLE and LOGOUT are left, which cannot fail.
    let farewell = "A0021 OK done\r\n* BYE see you\r\nA0022 OK done\r\n".len();
    for cut in 0..sent - farewell {
        let (answers, end, _) = run(Line { cut_after: Some(cut), ..Line::default() }).await;
        let error = end.expect_err("what was running fails");
        assert!(error.connection_lost(), "cut after {cut}: {error:?}");
        assert!(answers.len() < whole.len(), "cut after {cut} of {sent}");
        assert_eq!(answers, whole[..answers.len()], "cut after {cut}");
    }
}
