//! The POP3 client against refserver's own session and against scripts of other servers, over pipes: cut at every byte,
//! in pieces of one byte, with and without SASL, pipelining, capabilities.

use std::io;
use std::sync::{Arc, Mutex};

use mailtide::message::octets::Meter;
use mailtide::net::pump::{Surroundings, Wake, drive};
use mailtide::net::{Clock, Shutdown};
use mailtide::pop3::server::backend::{Backend, Error, LoginError, Maildrop as Served, Message};
use mailtide::pop3::server::{Config, Session, Tls};
use mailtide::sasl::Credentials;
use mailtide::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use mailtide::sync::maildrop::seam::{Extent, LetterSink, Maildrop, OpenMaildrop};
use mailtide::sync::remote::RemoteError;
use mailtide::types::{Secret, SecretKind, Timestamp};
use mailtide::upstream::dial::BoxedStream;
use mailtide::upstream::{ClientTls, Dial, Endpoint, Pop3Connector, Timeouts, TlsMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::script::{Line, Scripted};
use crate::imap::memory_backend::scram_keys;

/// Messages that try every place of a dot and a line end.
const MESSAGES: [&str; 3] = ["A: 1\r\n\r\none\r\n", "A: 2\r\n\r\n.dot\r\n..\r\n.\r\n\r\nend\r\n", "A: 3\r\n\r\n\r\n"];

type Mail = Arc<Mutex<Vec<(u32, String)>>>;

/// Knows `alice` with `secret`, or with `a-token`.
struct Memory {
    mail: Mail,
    scram: bool,
    tokens: bool,
}

struct Open {
    mail: Mail,
    snapshot: Vec<(u32, String)>,
    listing: Vec<Message>,
}

impl Memory {
    fn open(&self) -> Open {
        let snapshot = self.mail.lock().expect("no panic holds it").clone();
        let one = |(serial, text): &(u32, String)| Message {
            unique_id: format!("7.{serial}"),
            octets: Meter::measure(text.as_bytes()).of(text.len() as u64),
        };
        Open { mail: self.mail.clone(), listing: snapshot.iter().map(one).collect(), snapshot }
    }
}

impl Backend for Memory {
    type Maildrop = Open;

    fn login(&mut self, credentials: &Credentials, _: Timestamp) -> Result<Open, LoginError> {
        match (credentials.user.as_str(), credentials.password.matches("secret")) {
            ("alice", true) => Ok(self.open()),
            ("busy", _) => Err(LoginError::InUse),
            ("hasty", _) => Err(LoginError::TooSoon),
            ("down", _) => Err(LoginError::Unavailable),
            _ => Err(LoginError::Refused),
        }
    }

    fn offers_tokens(&self) -> bool {
        self.tokens
    }

    fn login_token(&mut self, credentials: &Credentials, _: Timestamp) -> Result<Open, LoginError> {
        if credentials.password.matches("a-token") { Ok(self.open()) } else { Err(LoginError::Refused) }
    }

    fn offers_scram(&self) -> bool {
        self.scram
    }

    fn scram_keys(&mut self, user: &str, hash: ScramHash) -> ScramKeys {
        scram_keys(user, hash)
    }

    fn login_proved(&mut self, _: &ScramProved, _: Timestamp) -> Result<Open, LoginError> {
        Ok(self.open())
    }
}

impl Served for Open {
    fn messages(&self) -> &[Message] {
        &self.listing
    }

    fn read(&mut self, place: usize, offset: u64, max: usize) -> Result<Vec<u8>, Error> {
        let offset = usize::try_from(offset).expect("small");
        Ok(self.snapshot[place].1.bytes().skip(offset).take(max.min(5)).collect())
    }

    fn delete(self, places: &[usize], _: Timestamp) -> Result<(), Error> {
        let gone: Vec<u32> = places.iter().map(|place| self.snapshot[*place].0).collect();
        self.mail.lock().expect("no panic holds it").retain(|(serial, _)| !gone.contains(serial));
        Ok(())
    }
}

/// Dials into a session of refserver.
#[derive(Clone)]
struct Refserver {
    mail: Mail,
    scram: bool,
    tokens: bool,
    /// The line breaks after so many bytes in both directions together.
    cut_after: usize,
}

impl Refserver {
    fn new() -> Self {
        let mail = (1..).zip(MESSAGES.map(str::to_owned)).collect();
        Self { mail: Arc::new(Mutex::new(mail)), scram: false, tokens: false, cut_after: usize::MAX }
    }
}

impl Dial for Refserver {
    async fn dial(&self, _: &str, _: u16) -> io::Result<BoxedStream> {
        let (client, near) = duplex(64 * 1024);
        let (far, server) = duplex(64 * 1024);
        let backend = Memory { mail: self.mail.clone(), scram: self.scram, tokens: self.tokens };
        let config = Config {
            hostname: "pop.here".to_owned(),
            tls: Tls::Absent,
            plaintext_auth: true,
            scram_nonce: Some("3rfcNHYJY1ZVvWVs7j".to_owned()),
            binding: None,
            login_delay_seconds: 30,
            tarpit_ms: 0,
        };
        let around =
            Surroundings { wake: Wake::default(), clock: Clock::system(), shutdown: Shutdown::new(), upgrade: None };
        tokio::spawn(drive(server, Box::new(Session::new(backend, config)), around));
        tokio::spawn(relay(near, far, self.cut_after));
        Ok(Box::new(client))
    }
}

/// Carries bytes between two pipes until so many were carried.
async fn relay(mut near: tokio::io::DuplexStream, mut far: tokio::io::DuplexStream, mut left: usize) {
    let (mut up, mut down) = ([0; 512], [0; 512]);
    while left > 0 {
        let (bytes, to) = tokio::select! {
            biased;
            read = near.read(&mut up) => (&up[..read.unwrap_or(0)], &mut far),
            read = far.read(&mut down) => (&down[..read.unwrap_or(0)], &mut near),
        };
        let bytes = &bytes[..bytes.len().min(left)];
        left -= bytes.len();
        if bytes.is_empty() || to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

fn connector<D: Dial>(dial: D) -> Pop3Connector<D> {
    Pop3Connector {
        dial,
        endpoint: Endpoint { host: "pop.example".to_owned(), port: 110, tls: TlsMode::None, allow_plaintext: true },
        tls: ClientTls::unauthenticated(),
        user: "alice".to_owned(),
        password: Secret::new("secret"),
        kind: SecretKind::Password,
        timeouts: Timeouts::default(),
        nonce: || Some("rOprNGfwEbeRWgbNEkqO".to_owned()),
    }
}

/// What came, by number.
#[derive(Default)]
struct Kept {
    whole: Vec<(u32, String)>,
    refused: Vec<(u32, String)>,
    under_way: Option<(u32, Vec<u8>)>,
}

impl LetterSink for Kept {
    fn begin(&mut self, number: u32) -> io::Result<()> {
        self.under_way = Some((number, Vec::new()));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.under_way.as_mut().expect("one begun").1.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        let (number, bytes) = self.under_way.take().expect("one begun");
        self.whole.push((number, String::from_utf8(bytes).expect("text")));
        Ok(())
    }

    fn refused(&mut self, number: u32, why: String) -> io::Result<()> {
        self.refused.push((number, why));
        Ok(())
    }
}

fn whole(numbers: &[u32]) -> Vec<(u32, Extent)> {
    numbers.iter().map(|number| (*number, Extent::Whole)).collect()
}

/// Fetches and deletes everything.
async fn empty(dial: impl Dial, kept: &mut Kept) -> Result<(), RemoteError> {
    let mut maildrop = connector(dial).open().await?;
    let numbers: Vec<u32> = maildrop.list().await?.iter().map(|listed| listed.number).collect();
    maildrop.fetch(&whole(&numbers), kept).await?;
    maildrop.delete(&numbers).await?;
    maildrop.leave().await
}

#[tokio::test]
async fn a_line_cut_at_any_byte_gives_only_whole_messages_and_deletes_only_by_quit() {
    let mut cut_after = 0;
    loop {
        let server = Refserver { cut_after, ..Refserver::new() };
        let mut kept = Kept::default();
        let outcome = empty(server.clone(), &mut kept).await;
        for (number, text) in &kept.whole {
            assert_eq!(*text, MESSAGES[*number as usize - 1], "cut after {cut_after}");
        }
        match outcome {
            Ok(()) => {
                assert_eq!(kept.whole.len(), MESSAGES.len());
                assert!(server.mail.lock().expect("no panic holds it").is_empty());
                return;
            }
            Err(RemoteError::Lost { .. }) => {
                let left = server.mail.lock().expect("no panic holds it").len();
                assert!(left == MESSAGES.len() || kept.whole.len() == MESSAGES.len(), "cut after {cut_after}");
            }
            Err(error) => panic!("cut after {cut_after}: {error}"),
        }
        cut_after += 1;
    }
}

#[tokio::test]
async fn what_is_told_of_a_maildrop_is_what_is_in_it() {
    let server = Refserver::new();
    let mut maildrop = connector(server).open().await.expect("a maildrop");
    assert_eq!(maildrop.login_delay_seconds(), Some(30));
    assert!(maildrop.gives_headers());
    let listed = maildrop.list().await.expect("a list");
    let told: Vec<_> = listed.iter().map(|one| (one.number, one.size_bytes, one.unique_id.as_deref())).collect();
    let size = |place: usize| MESSAGES[place].len() as u64;
    assert_eq!(told, [(1, size(0), Some("7.1")), (2, size(1), Some("7.2")), (3, size(2), Some("7.3"))]);
    let mut kept = Kept::default();
    let wanted = [(2, Extent::Header), (1, Extent::Whole), (3, Extent::Header)];
    maildrop.fetch(&wanted, &mut kept).await.expect("a message between two headers");
    let (second, third) = ((2, "A: 2\r\n\r\n".to_owned()), (3, "A: 3\r\n\r\n".to_owned()));
    assert_eq!(kept.whole, [second, (1, MESSAGES[0].to_owned()), third]);
    let mut kept = Kept::default();
    maildrop.fetch(&whole(&[9, 1]), &mut kept).await.expect("what there is");
    assert_eq!((kept.whole.len(), kept.refused[0].0), (1, 9));
    maildrop.leave().await.expect("a goodbye");
}

#[tokio::test]
async fn a_login_goes_by_what_the_server_offers_and_its_refusal_means_what_its_code_says() {
    for (scram, tokens, user, password, kind, outcome) in [
        (false, false, "alice", "secret", SecretKind::Password, "in"),
        (true, false, "alice", "secret", SecretKind::Password, "in"),
        (true, false, "alice", "wrong", SecretKind::Password, "refused"),
        (false, false, "alice", "wrong", SecretKind::Password, "refused"),
        (false, true, "alice", "a-token", SecretKind::Token, "in"),
        (false, true, "alice", "stale", SecretKind::Token, "refused"),
        (false, false, "alice", "a-token", SecretKind::Token, "refused"),
        (false, false, "busy", "secret", SecretKind::Password, "wait None"),
        (false, false, "hasty", "secret", SecretKind::Password, "wait Some(30000)"),
        (false, false, "down", "secret", SecretKind::Password, "wait None"),
    ] {
        let account = Pop3Connector {
            user: user.to_owned(),
            password: Secret::new(password),
            kind,
            ..connector(Refserver { scram, tokens, ..Refserver::new() })
        };
        let shown = match account.open().await {
            Ok(_) => "in".to_owned(),
            Err(RemoteError::LoginRefused { .. }) => "refused".to_owned(),
            Err(RemoteError::Wait { retry_after_ms, .. }) => format!("wait {retry_after_ms:?}"),
            Err(other) => other.to_string(),
        };
        assert_eq!(shown, outcome, "{user} {password} {kind:?} scram {scram} tokens {tokens}");
    }
}

const PLAIN_LOGIN: &str = "S: +OK hello\nC: CAPA\nS: -ERR what?\nC: USER alice\nS: +OK\nC: PASS secret\nS: +OK\n\
    C: CAPA\nS: -ERR what?\n";

async fn scripted(script: &str) -> (Scripted, Result<mailtide::upstream::Pop3Remote, RemoteError>) {
    let dial = Scripted::new(&[script], Line { cut_after: None, trickles: true });
    let opened = connector(dial.clone()).open().await;
    (dial, opened)
}

#[tokio::test]
async fn a_server_of_1988_is_enough() {
    let script = format!(
        "{PLAIN_LOGIN}C: LIST\nS: +OK\nS: 1 20 and more\nS: 2 30\nS: .\nC: UIDL\nS: -ERR no such command\n\
         C: RETR 1\nS: +OK\nS: A: 1\nS:\nS: ..a\nS: .\nC: RETR 2\nS: -ERR [SYS/PERM] broken\nC: DELE 1\nS: +OK\n\
         C: DELE 2\nS: -ERR no\nC: QUIT\nS: -ERR some are still there\n"
    );
    let (dial, opened) = scripted(&script).await;
    let mut maildrop = opened.expect("a maildrop");
    assert!(!maildrop.gives_headers());
    let listed = maildrop.list().await.expect("a list");
    assert!(listed.iter().all(|one| one.unique_id.is_none()));
    let mut kept = Kept::default();
    maildrop.fetch(&whole(&[1, 2]), &mut kept).await.expect("one of them");
    assert_eq!(kept.whole, [(1, "A: 1\r\n\r\n.a\r\n".to_owned())]);
    assert_eq!(kept.refused, [(2, "[SYS/PERM] broken".to_owned())]);
    assert_eq!(maildrop.delete(&[1, 2]).await.expect("an answer"), 1);
    maildrop.leave().await.expect("a goodbye");
    // The server notes that it said its last line.
    tokio::task::yield_now().await;
    dial.assert_followed();
}

#[tokio::test]
async fn what_a_server_should_not_say_is_an_error_that_says_so() {
    for (script, error) in [
        ("S: -ERR [SYS/TEMP] later\n".to_owned(), "the server asks to wait: [SYS/TEMP] later"),
        ("S: * OK IMAP\n".to_owned(), "neither +OK nor -ERR"),
        (format!("s: +OK {}\n", "x".repeat(5000)), "a line of more than 4096 bytes"),
        ("S: +OK\nC: CAPA\nS: +OK\nS: SASL SCRAM-SHA-256\nS: .\nC: AUTH..\nS: +OK in\n".to_owned(), "does not prove"),
        (
            "S: +OK\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\nC: AUTH PLAIN..\nS: -ERR no, AGFsaWNlAHNlY3JldA== secret\n"
                .to_owned(),
            "refused the login: no, ... ...",
        ),
        (
            "S: +OK\nC: CAPA\nS: -ERR\nC: USER alice\nS: secret AGFsaWNlAHNlY3JldA==\n".to_owned(),
            "neither +OK nor -ERR",
        ),
    ] {
        let (_, opened) = scripted(&script).await;
        let told = opened.map(drop).expect_err(&script).to_string();
        assert!(told.contains(error) && !told.contains("AGFs") && !told.contains("secret"), "{told}");
    }
    for (listing, error) in [
        ("S: 1 2\nS: 1 3\nS: .\n", "it lists 1 twice"),
        ("S: one\nS: .\n", "lists nothing"),
        ("S: 1 99999999999999999999999\nS: .\n", "lists nothing"),
        ("S: 1 2\n", "the server closed it"),
    ] {
        let (_, opened) = scripted(&format!("{PLAIN_LOGIN}C: LIST\nS: +OK\n{listing}")).await;
        let told = opened.expect("a maildrop").list().await.expect_err(listing).to_string();
        assert!(told.contains(error), "{told}");
    }
}

#[tokio::test]
async fn nothing_goes_in_plain_text_where_tls_is_wanted() {
    for script in [
        "S: +OK\nC: CAPA\nS: -ERR\n",
        "S: +OK\nC: CAPA\nS: +OK\nS: USER\nS: .\n",
        "S: +OK\nC: CAPA\nS: +OK\nS: STLS\nS: .\nC: STLS\nS: -ERR not now\n",
        "S: +OK\nC: CAPA\nS: +OK\nS: STLS\nS: .\nC: STLS\ns: +OK\\nevil\n",
    ] {
        let dial = Scripted::new(&[script], Line::default());
        let endpoint =
            Endpoint { host: "pop.example".to_owned(), port: 110, tls: TlsMode::StartTls, allow_plaintext: false };
        let account = Pop3Connector { endpoint, ..connector(dial.clone()) };
        let error = account.open().await.map(drop).expect_err(script);
        assert!(matches!(error, RemoteError::Insecure { .. }), "{error}");
        dial.assert_followed();
    }
}
