//! The POP3 session over a maildrop in memory: transcripts, broken connections, garbage.

pub mod memory_backend;

use mailtide::types::{Conversation, Event, Step, Timestamp, limits};

use self::memory_backend::session;
use super::transcript::{Settings, run_folder};

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
