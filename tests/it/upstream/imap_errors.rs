//! Every way in which a server can fail us, and the error that says what to do about it.

use mailtide::sync::remote::{
    AppendUid, Connect, Fetched, MessageSink, Outgoing, RefusalCode, Remote, RemoteError, RemoteName,
};
use mailtide::types::{ByteSource, Flags, InternalDate, RemoteUid, UidSet};
use mailtide::upstream::{ImapRemote, TlsMode};

use super::script::{Line, Scripted, account};

/// A script that logs in, names these capabilities, and goes on with `rest`.
pub fn logged_in(capabilities: &str, rest: &str) -> String {
    format!(
        "S: * OK hello\nC: CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: $ OK\nC: LOGIN \"ann\" \"hunter2\"\nS: $ OK in\n\
         C: CAPABILITY\nS: * CAPABILITY IMAP4rev1 {capabilities}\nS: $ OK\n{rest}"
    )
}

/// Logs in to a server that follows `script`.
pub async fn connect(script: &str) -> (ImapRemote, Scripted) {
    let dial = Scripted::new(&[script], Line::default());
    (account(dial.clone()).connect().await.expect("a login"), dial)
}

/// A sink that counts, and may fail.
#[derive(Default)]
pub struct Counting {
    pub ended: Vec<Fetched>,
    pub absent: Vec<RemoteUid>,
    pub bytes: u64,
    pub is_full: bool,
}

impl MessageSink for Counting {
    fn begin(&mut self, _size_bytes: u64) -> std::io::Result<()> {
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes += bytes.len() as u64;
        if self.is_full { Err(std::io::Error::other("disk full")) } else { Ok(()) }
    }

    fn end(&mut self, message: Fetched) -> std::io::Result<()> {
        self.ended.push(message);
        Ok(())
    }

    fn absent(&mut self, uid: RemoteUid) -> std::io::Result<()> {
        self.absent.push(uid);
        Ok(())
    }
}

pub fn uids(text: &str) -> UidSet<RemoteUid> {
    UidSet::parse(text).expect("a valid set")
}

pub fn outgoing(bytes: &mut dyn ByteSource) -> Outgoing<'_> {
    Outgoing { flags: Flags::none(), internal_date: InternalDate::new(0, 0), bytes }
}

/// Appends one message.
pub async fn append_one(
    remote: &mut ImapRemote,
    to: &RemoteName,
    message: Outgoing<'_>,
) -> Result<Option<AppendUid>, RemoteError> {
    let mut answer = None;
    remote.append(to, vec![message], &mut |_, told| answer = Some(told)).await?;
    answer.expect("it is told of")
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_cannot_be_made_says_why() {
    let long = format!("s: {}", "x".repeat(1_100_000));
    let plain = TlsMode::None;
    let rows: Vec<(TlsMode, &str, &str)> = vec![
        (plain, "", "Lost"),
        (plain, "S: 220 mail.example ESMTP ready", "Protocol:not IMAP: \"220 mail.example ESMTP ready\""),
        (plain, "S: HTTP/1.1 400 Bad Request", "Protocol:not IMAP"),
        (plain, "s: \\0\\0\\0\\0\nS: x", "Protocol:not IMAP"),
        (plain, "S: * 5 EXISTS", "Protocol:not IMAP"),
        (plain, &long, "Protocol:a line longer than 1048576 bytes"),
        (plain, "s: * OK hel", "Lost"),
        (plain, "C: never", "Lost:no greeting within 60 s"),
        (plain, "S: * BYE go away", "Lost:go away"),
        (plain, "S: * BYE [UNAVAILABLE] maintenance", "Wait:maintenance"),
        (plain, "S: * PREAUTH welcome", "Insecure:PREAUTH"),
        (plain, "S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hello", "LoginRefused:no way to log in"),
        (
            plain,
            "S: * OK [CAPABILITY IMAP4rev1] hello\nC: LOGIN \"ann\" \"hunter2\"\n\
             S: $ NO [AUTHENTICATIONFAILED] hunter2 is wrong",
            "LoginRefused:[AUTHENTICATIONFAILED] ... is wrong",
        ),
        (
            plain,
            "S: * OK [CAPABILITY IMAP4rev1] hello\nC: LOGIN \"ann\" \"hunter2\"\n\
             S: $ NO Too many simultaneous connections",
            "Wait:Too many simultaneous connections",
        ),
        (plain, "S: * OK [CAPABILITY IMAP4rev1] hi\nC: LOGIN \"ann\" \"hunter2\"\nS: * BYE overload", "Lost:overload"),
        (
            plain,
            "S: * OK [CAPABILITY IMAP4rev1] hi\nC: LOGIN \"ann\" \"hunter2\"\nS: * BYE hunter2 AGFubgBodW50ZXIy",
            "Lost:said goodbye: ... ...",
        ),
        (
            plain,
            "S: * OK [CAPABILITY IMAP4rev1] hi\nC: LOGIN \"ann\" \"hunter2\"\nS: hunter2 AGFubgBodW50ZXIy",
            "Protocol:not IMAP",
        ),
        (
            plain,
            "S: * OK [CAPABILITY IMAP4rev1] hi\nC: LOGIN \"ann\" \"hunter2\"\nS: $ NO [UNAVAILABLE] hunter2 AGFubgBodW50ZXIy",
            "Wait:... ...",
        ),
        (
            plain,
            "S: * OK [CAPABILITY IMAP4rev1] hi\nC: LOGIN \"ann\" \"hunter2\"\nC: never",
            "Lost:no answer to the login",
        ),
        (TlsMode::StartTls, "S: * OK [CAPABILITY IMAP4rev1] hello", "Insecure:does not offer STARTTLS"),
        (TlsMode::StartTls, "S: * PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] hello", "Insecure:PREAUTH"),
        (
            TlsMode::StartTls,
            "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] hello\nC: STARTTLS\nS: $ NO not now",
            "Insecure:refuses STARTTLS: not now",
        ),
        (
            TlsMode::StartTls,
            "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] hello\nC: STARTTLS\ns: A0001 OK begin\\n* CAPABILITY IMAP4rev1\\n",
            "Insecure:plain text where TLS should have begun",
        ),
        (
            TlsMode::StartTls,
            "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] hello\nC: STARTTLS\nS: $ OK begin\nB: 50\nS: no TLS at all",
            "Insecure:not TLS",
        ),
        (TlsMode::Implicit, "S: * OK hello", "Insecure:not TLS"),
    ];
    for (tls, script, expected) in rows {
        let dial = Scripted::new(&[script], Line::default());
        let mut account = account(dial.clone());
        account.endpoint.tls = tls;
        let Err(error) = account.connect().await else { panic!("{script:?} is no server to log in to") };
        assert_fits(&error, expected, script);
        let said = format!("{error} {error:?}");
        assert!(!said.contains("hunter2") && !said.contains("AGFubgBodW50ZXIy"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn plain_text_is_never_spoken_without_leave() {
    for tls in [TlsMode::None, TlsMode::Opportunistic] {
        let dial = Scripted::new(&["S: * OK [CAPABILITY IMAP4rev1] hello\nC: never"], Line::default());
        let mut account = account(dial);
        account.endpoint.tls = tls;
        account.endpoint.allow_plaintext = false;
        let error = account.connect().await.err().expect("no login");
        assert_fits(&error, "Insecure:plain text is not allowed", "");
    }
}

/// One thing to ask.
#[derive(Debug, Clone, Copy)]
enum Ask {
    List,
    Uids,
    Scan,
    Fetch,
    Select,
    Copy,
    Append,
}

async fn ask(remote: &mut ImapRemote, ask: Ask) -> Result<String, RemoteError> {
    let name = RemoteName("x".to_owned());
    Ok(match ask {
        Ask::List => format!("{:?}", remote.list().await?),
        Ask::Uids => format!("{:?}", remote.uids().await?),
        Ask::Scan => format!("{:?}", remote.scan(&uids("1:9"), None).await?),
        Ask::Fetch => {
            let mut sink = Counting::default();
            remote.fetch(&uids("1:9"), &mut sink).await?;
            format!("{} {} {}", sink.ended.len(), sink.absent.len(), sink.bytes)
        }
        Ask::Select => format!("{:?}", remote.select(&name, None).await?),
        Ask::Copy => format!("{:?}", remote.copy(&uids("1"), &name).await?),
        Ask::Append => format!("{:?}", append_one(remote, &name, outgoing(&mut b"abc".to_vec())).await?),
    })
}

const FETCH: &str = "C: UID FETCH 1:9 (UID FLAGS INTERNALDATE BODY.PEEK[])\n";
const LISTS: &str = "C: LIST \"\" \"*\"\nC: LSUB \"\" \"*\"\n";
const APPEND: &str = "C: APPEND \"x\" () \" 1-Jan-1970 00:00:00 +0000\" {3}\n";

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_says_what_to_do() {
    let odd = |line: u32| (0..50_000).map(|nth| format!(" {}", 100_000 * line + 2 * nth + 1)).collect::<String>();
    let scattered: String = (0..25).map(|line| format!("S: * SEARCH{}\n", odd(line))).collect();
    let again = format!("S: * OK {}\n", "x".repeat(1_000_000));
    let message = "S: * 1 FETCH (UID 1 FLAGS () BODY[] {3}\ns: abc\nS: )\n";
    let rows: Vec<(Ask, String, &str)> = vec![
        (Ask::List, format!("{LISTS}S: $ NO not today\nS: $ OK\n"), "Refused:LIST: not today"),
        (Ask::List, format!("{LISTS}S: * LIST () \"/\" INBOX\nS: $ OK\nS: $ NO no\n"), "Refused:LSUB"),
        (Ask::List, format!("{LISTS}S: $ OK\nS: $ OK\n"), "Protocol:not even INBOX"),
        (Ask::List, format!("{LISTS}S: * LIST oops\nS: $ OK\nS: $ OK\n"), "Protocol:malformed LIST"),
        (Ask::Uids, "C: UID SEARCH ALL\nS: $ NO no".into(), "Refused:SEARCH"),
        (Ask::Uids, "C: UID SEARCH ALL\nS: $ BAD what".into(), "Protocol:what"),
        (Ask::Uids, "C: UID SEARCH ALL\nS: $ OK nothing said".into(), "Protocol:OK without a SEARCH response"),
        (Ask::Uids, "C: UID SEARCH ALL\nS: * SEARCH 1 2 x\nS: $ OK".into(), "Protocol:malformed SEARCH"),
        (Ask::Uids, format!("C: UID SEARCH ALL\n{scattered}"), "Protocol:more UIDs than any mailbox holds"),
        (
            Ask::Uids,
            format!("C: UID SEARCH ALL\n{}", again.repeat(140)),
            "Protocol:an answer of more than 134217728 bytes",
        ),
        (Ask::Uids, "C: UID SEARCH ALL\nS: * SEARCH 1 2".into(), "Lost:closed"),
        (Ask::Uids, "C: UID SEARCH ALL\nS: * SEARCH 1 2\nC: never".into(), "Lost:no answer for 120 s"),
        (Ask::Uids, "C: UID SEARCH ALL\nS: * BYE shutting down".into(), "Lost:shutting down"),
        (Ask::Uids, "C: UID SEARCH ALL\nS: what is this\n".into(), "Protocol:not IMAP"),
        (Ask::Uids, "C: UID SEARCH ALL\nS: * BYE [LIMIT] rate\n".into(), "Wait:rate"),
        (
            Ask::Uids,
            "C: UID SEARCH ALL\nS: $ BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds".into(),
            "Wait:299961",
        ),
        (
            Ask::Uids,
            "C: UID SEARCH ALL\nS: $ BAD User is authenticated but not connected.".into(),
            "LoginRefused:not connected",
        ),
        (
            Ask::Scan,
            "C: UID FETCH 1:9 (UID FLAGS)\nS: * 1 FETCH (UID 1 FLAGS ())\nS: $ NO [LIMIT] slow".into(),
            "Wait:slow",
        ),
        (
            Ask::Scan,
            "C: UID FETCH 1:9 (UID FLAGS)\nS: * 1 FETCH (UID 1 FLAGS (\nS: $ OK".into(),
            "Protocol:malformed FETCH",
        ),
        (Ask::Fetch, format!("{FETCH}{message}S: $ NO some are gone"), "Refused:some are gone"),
        (Ask::Fetch, format!("{FETCH}S: * 1 FETCH (BODY[] {{2147483648}}\n"), "Protocol:2147483648"),
        (
            Ask::Fetch,
            format!("{FETCH}S: * 1 FETCH (BODY[] {{99999999999999999999}}\n"),
            "Protocol:99999999999999999999",
        ),
        (Ask::Fetch, format!("{FETCH}{message}{message}S: $ OK"), "Protocol:sent twice"),
        (Ask::Fetch, format!("{FETCH}S: * 1 FETCH (UID 77 FLAGS () BODY[] \"\")\nS: $ OK"), "Protocol:not asked for"),
        (Ask::Select, "C: SELECT \"x\"\nS: $ NO [NONEXISTENT] gone".into(), "Refused:Some(NonExistent)"),
        (
            Ask::Select,
            "C: SELECT \"x\"\nS: * 1 EXISTS\nS: $ OK\nC: STATUS..\nS: $ NO".into(),
            "Refused:OK without UIDVALIDITY",
        ),
        (Ask::Uids, "C: UID SEARCH ALL\nS: $ NO [AUTHENTICATIONFAILED] token".into(), "Lost:counts no more: token"),
        (Ask::Select, "C: SELECT \"x\"\nS: $ NO [EXPIRED] token".into(), "Lost:counts no more: token"),
        (Ask::Append, format!("{APPEND}S: $ NO [EXPIRED] it"), "Refused:it [EXPIRED]"),
        (Ask::Copy, "C: UID COPY 1 \"x\"\nS: $ NO [TRYCREATE] make it".into(), "Refused:Some(TryCreate)"),
        (Ask::Append, format!("{APPEND}S: $ NO [OVERQUOTA] full"), "Refused:Some(OverQuota)"),
        (Ask::Append, format!("{APPEND}S: $ BAD [TOOBIG] large"), "Refused:Some(TooBig)"),
        (Ask::Append, format!("{APPEND}S: $ OK done"), "Protocol:not complete"),
        (Ask::Append, format!("{APPEND}S: + go\nB: 3\nS: $ NO [LIMIT] too many"), "Refused:Some(Limit)"),
        (Ask::Append, format!("{APPEND}S: * 4 EXISTS\nS: + go"), "Lost:"),
    ];
    for (what, script, expected) in rows {
        let (mut remote, _) = connect(&logged_in("", &script)).await;
        let error = ask(&mut remote, what).await.expect_err(&script);
        assert_fits(&error, expected, &script);
    }
}

/// `Variant:part` where `part` stands somewhere in what the error says.
fn assert_fits(error: &RemoteError, expected: &str, script: &str) {
    let (variant, part) = expected.split_once(':').unwrap_or((expected, ""));
    let said = format!("{error:?} {error}");
    assert!(said.starts_with(variant) && said.contains(part), "{said}\nis not {expected}\nafter {script:.300}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_append_leaves_the_connection_in_step() {
    let script =
        format!("{APPEND}S: * 5 EXISTS\nS: $ NO [OVERQUOTA] full\nC: UID SEARCH ALL\nS: * SEARCH 3\nS: $ OK\n");
    let (mut remote, dial) = connect(&logged_in("", &script)).await;
    let refused = ask(&mut remote, Ask::Append).await;
    assert!(matches!(refused, Err(RemoteError::Refused { code: Some(RefusalCode::OverQuota), .. })), "{refused:?}");
    assert_eq!(remote.uids().await, Ok(uids("3")));
    dial.assert_followed();
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_announced_limit_is_not_even_offered() {
    let (mut remote, dial) = connect(&logged_in("APPENDLIMIT=2", "")).await;
    let refused = ask(&mut remote, Ask::Append).await;
    assert!(matches!(refused, Err(RemoteError::Refused { code: Some(RefusalCode::TooBig), .. })), "{refused:?}");
    dial.assert_followed();
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_stops_the_fetch() {
    let script = format!("{FETCH}S: * 1 FETCH (UID 1 FLAGS () BODY[] \"abc\")\nS: $ OK\n");
    let (mut remote, _) = connect(&logged_in("", &script)).await;
    let mut sink = Counting { is_full: true, ..Counting::default() };
    let error = remote.fetch(&uids("1:9"), &mut sink).await;
    assert_eq!(error, Err(RemoteError::Local("disk full".to_owned())));
    assert!(sink.ended.is_empty());
    assert!(matches!(remote.uids().await, Err(RemoteError::Lost { .. })), "the connection is of no more use");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_stops_the_append() {
    struct Torn;
    impl ByteSource for Torn {
        fn size(&self) -> u64 {
            9
        }
        fn read_at(&mut self, _offset: u64, _max: usize) -> std::io::Result<Vec<u8>> {
            Err(std::io::Error::other("unreadable"))
        }
    }
    let (mut remote, _) = connect(&logged_in("LITERAL+", "C: APPEND..")).await;
    let error = append_one(&mut remote, &RemoteName("x".to_owned()), outgoing(&mut Torn)).await;
    assert_eq!(error, Err(RemoteError::Local("unreadable".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn after_a_request_given_up_half_way_nothing_more_is_asked() {
    let (mut remote, _) = connect(&logged_in("", "C: UID SEARCH ALL\nC: never")).await;
    let given_up = tokio::time::timeout(std::time::Duration::from_secs(1), remote.uids()).await;
    assert!(given_up.is_err());
    assert!(matches!(remote.uids().await, Err(RemoteError::Lost { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hung_up_asking_to_wait_is_not_waited_for_on_the_same_connection() {
    let (mut remote, _) = connect(&logged_in("", "C: UID SEARCH ALL\nS: * BYE [UNAVAILABLE] restarting\n")).await;
    assert!(matches!(remote.uids().await, Err(RemoteError::Wait { .. })));
    let after = remote.uids().await.expect_err("there is no connection");
    assert!(after.connection_lost(), "{after:?}");
}
