//! The POP3 session over a maildrop in memory: transcripts, broken connections, garbage.

use std::sync::{Arc, Mutex};

use mailtide::pop3::server::backend::{Backend, Error, LoginError, Maildrop, Message};
use mailtide::pop3::server::{Config, Session, Tls};
use mailtide::sasl::Credentials;
use mailtide::types::{Conversation, Event, Step, Timestamp, limits};
use proptest::prelude::*;

use super::transcript::{Settings, run_folder};

type Log = Arc<Mutex<Vec<String>>>;

/// Knows user `alice` with password `secret`.
struct Memory {
    log: Log,
    messages: Vec<String>,
    fail: Option<String>,
}

struct MemoryMaildrop {
    log: Log,
    messages: Vec<String>,
    listing: Vec<Message>,
    fail: Option<String>,
}

impl Backend for Memory {
    type Maildrop = MemoryMaildrop;

    fn login(&mut self, credentials: &Credentials) -> Result<MemoryMaildrop, LoginError> {
        match credentials.user.as_str() {
            "busy" => return Err(LoginError::InUse),
            "down" => return Err(LoginError::Unavailable),
            "alice" if credentials.password.matches("secret") => {}
            _ => return Err(LoginError::Refused),
        }
        let listing = |(place, text): (usize, &String)| Message {
            unique_id: format!("7.{}", place + 1),
            size_bytes: text.len() as u64,
        };
        Ok(MemoryMaildrop {
            log: Arc::clone(&self.log),
            listing: self.messages.iter().enumerate().map(listing).collect(),
            messages: self.messages.clone(),
            fail: self.fail.clone(),
        })
    }
}

impl Maildrop for MemoryMaildrop {
    fn messages(&self) -> &[Message] {
        &self.listing
    }

    fn read(&mut self, place: usize, offset: u64, max: usize) -> Result<Vec<u8>, Error> {
        let text = self.messages[place].as_bytes();
        let broken = || Error(Box::new(std::io::Error::other("broken")));
        match (text, self.fail.as_deref()) {
            (b"", _) => Err(broken()),
            (_, Some("read")) if offset > 0 => Err(broken()),
            _ => Ok(text.iter().copied().skip(offset as usize).take(max.min(6)).collect()),
        }
    }

    fn delete(self, places: &[usize], _: Timestamp) -> Result<(), Error> {
        if self.fail.as_deref() == Some("delete") {
            return Err(Error(Box::new(std::io::Error::other("broken"))));
        }
        self.log.lock().expect("no panic holds it").push(format!("deleted {places:?}"));
        Ok(())
    }
}

/// Settings: tls (active, offered), plaintext-auth (yes), fail. The last of the four messages cannot be read.
fn session(settings: &Settings) -> (Session<Memory>, Log) {
    let setting = |name: &str| settings.get(name).map(String::as_str);
    let log = Log::default();
    let tls = match setting("tls") {
        Some("active") => Tls::Active,
        Some("offered") => Tls::Offered,
        _ => Tls::Absent,
    };
    let messages = ["A: 1\r\n\r\none\r\n", "A: 2\r\n\r\n.dot\r\n..\r\n.\r\nno end", "A: 3\n\nbare\n.\nfeeds\n", ""];
    let backend = Memory {
        log: Arc::clone(&log),
        messages: messages.map(str::to_owned).to_vec(),
        fail: setting("fail").map(str::to_owned),
    };
    let plaintext_auth = setting("plaintext-auth") == Some("yes");
    (Session::new(backend, Config { hostname: "pop.here".to_owned(), tls, plaintext_auth }), log)
}

#[test]
fn pop3_sessions_go_as_the_transcripts_say() {
    run_folder("pop3", |settings| {
        let (session, log) = session(settings);
        (Box::new(session), Box::new(move || std::mem::take(&mut *log.lock().expect("no panic holds it"))))
    });
}

const NOW: Timestamp = Timestamp::from_unix_ms(1_000_000_000_000);

fn plain() -> Settings {
    Settings::from([("plaintext-auth".to_owned(), "yes".to_owned())])
}

fn talk(session: &mut dyn Conversation, input: &[u8]) -> (String, Step) {
    session.handle_input(input, NOW);
    let mut output = Vec::new();
    loop {
        match session.poll_output(NOW, &mut output) {
            Step::Continue => {}
            step => return (String::from_utf8(output).expect("replies are UTF-8"), step),
        }
    }
}

#[test]
fn however_a_session_ends_but_by_quit_nothing_is_deleted() {
    let script = b"USER alice\r\nPASS secret\r\nDELE 1\r\nDELE 2\r\nRETR 3\r\nQUIT\r\n";
    for event in [Event::PeerClosed, Event::Deadline, Event::Shutdown] {
        for end in 0..script.len() {
            let (mut session, log) = session(&plain());
            talk(&mut session, &script[..end]);
            session.handle_event(event.clone(), NOW);
            let (_, step) = talk(&mut session, b"QUIT\r\n");
            assert_eq!(step, Step::Close, "{event:?} after {end} bytes");
            assert!(log.lock().expect("held by none").is_empty(), "{event:?} after {end} bytes");
        }
    }
    let (mut session, log) = session(&plain());
    talk(&mut session, script);
    assert_eq!(*log.lock().expect("held by none"), ["deleted [0, 1]"]);
}

#[test]
fn the_silent_are_logged_out_in_their_time() {
    let (mut session, _) = session(&plain());
    talk(&mut session, b"");
    assert_eq!(session.deadline(), Some(NOW.plus_ms(limits::PRE_LOGIN_TIMEOUT_MS)));
    talk(&mut session, b"USER alice\r\nPASS secret\r\n");
    assert_eq!(session.deadline(), Some(NOW.plus_ms(limits::POP3_IDLE_TIMEOUT_MS)));
}

#[test]
fn a_line_without_end_closes_the_session() {
    let (mut session, _) = session(&plain());
    let (said, step) = talk(&mut session, &vec![b'A'; limits::POP3_LINE_MAX_BYTES + 1]);
    assert_eq!((said.lines().last(), step), (Some("-ERR line too long"), Step::Close));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn garbage_never_panics_and_pieces_do_not_matter(
        parts in prop::collection::vec(prop_oneof![
            Just(b"USER alice\r\n".to_vec()), Just(b"PASS secret\r\n".to_vec()), Just(b"RETR 2\r\n".to_vec()),
            Just(b"TOP 3 1\r\n".to_vec()), Just(b"LIST\r\n".to_vec()), Just(b"UIDL 1\r\n".to_vec()), Just(b"DELE 1\r\n".to_vec()),
            Just(b"RSET\r\n".to_vec()), Just(b"AUTH PLAIN\r\n".to_vec()), Just(b"CAPA\r\n".to_vec()), Just(b"STLS\r\n".to_vec()),
            Just(b"QUIT\r\n".to_vec()), prop::collection::vec(any::<u8>(), 0..40),
        ], 0..25),
        size in 1..50_usize,
    ) {
        let input = parts.concat();
        let settings = Settings::from([
            ("tls".to_owned(), "offered".to_owned()),
            ("plaintext-auth".to_owned(), "yes".to_owned()),
        ]);
        let (mut whole, whole_log) = session(&settings);
        let (mut pieces, pieces_log) = session(&settings);
        let expected = talk(&mut whole, &input);
        let mut said = talk(&mut pieces, b"");
        for piece in input.chunks(size) {
            let (more, step) = talk(&mut pieces, piece);
            said = (said.0 + &more, step);
        }
        prop_assert_eq!(said, expected);
        prop_assert_eq!(&*pieces_log.lock().expect("held by none"), &*whole_log.lock().expect("held by none"));
    }
}
