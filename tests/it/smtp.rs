//! The SMTP session over a backend in memory: transcripts, garbage, smuggling.

pub mod memory_backend;

use mailtide::types::{Conversation, Event, Step, Timestamp, TlsFacts, limits};

use self::memory_backend::session;
use super::transcript::{Settings, run_folder};

#[test]
fn smtp_sessions_go_as_the_transcripts_say() {
    run_folder("smtp", |settings| {
        let (session, log) = session(settings);
        (Box::new(session), Box::new(move || std::mem::take(&mut *log.lock().expect("no panic holds it"))))
    });
}

const NOW: Timestamp = Timestamp::from_unix_ms(1_000_000_000_000);

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
fn no_near_miss_of_the_end_lets_a_second_message_in() {
    let smuggled = "MAIL FROM:<evil@x>\r\nRCPT TO:<alice@here>\r\nDATA\r\nsmuggled\r\n.\r\n";
    for near_miss in [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r\n.\r",
        "\r.\r\n",
        "\r\n\0.\r\n",
        "\r\n.\0\r\n",
        "\n\r\n.\n",
        "\r\r\n.\n",
        "\r\n.\r\r\n",
        "\n.\r",
        "\r.\n",
    ] {
        let (mut session, log) = session(&Settings::new());
        talk(&mut session, b"EHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<alice@here>\r\nDATA\r\n");
        let (said, _) = talk(&mut session, format!("first{near_miss}{smuggled}").as_bytes());
        let log = log.lock().expect("no panic holds it");
        let messages = log.iter().filter(|line| line.contains(" from <")).count();
        let bare = near_miss.replace("\r\n", "").contains(['\r', '\n']);
        assert_eq!(messages, usize::from(!bare), "{near_miss:?}");
        assert!(log.iter().all(|line| !line.contains(" from <evil@x>")), "{near_miss:?}");
        assert_eq!(said.lines().next().map(|line| &line[..3]), Some(if bare { "554" } else { "250" }), "{near_miss:?}");
    }
}

/// RFC 3207 section 4.2, also where the answers before STARTTLS fill what a session may say at once.
#[test]
fn what_stands_behind_starttls_is_forgotten_however_much_was_asked_before() {
    let settings = Settings::from([("tls".to_owned(), "offered".to_owned())]);
    let answer_bytes = {
        let (mut session, _) = session(&settings);
        talk(&mut session, b"EHLO c\r\n");
        talk(&mut session, b"NOOP\r\n").0.len()
    };
    let full = limits::OUTPUT_CHUNK_BYTES / answer_bytes;
    for before in full - 30..full + 2 {
        let (mut session, log) = session(&settings);
        let asked = "NOOP\r\n".repeat(before);
        let smuggled = "MAIL FROM:<a@x>\r\nRCPT TO:<alice@here>\r\nDATA\r\nsmuggled\r\n.\r\n";
        let (_, step) = talk(&mut session, format!("EHLO c\r\n{asked}STARTTLS\r\nEHLO c\r\n{smuggled}").as_bytes());
        assert_eq!(step, Step::StartTls);
        session.handle_event(Event::TlsStarted(TlsFacts::default()), NOW);
        assert_eq!(talk(&mut session, b"").0, "", "{before} commands before");
        assert!(log.lock().expect("held by none").is_empty());
    }
}

#[test]
fn a_message_that_never_ends_takes_no_memory_in_the_session() {
    let settings = Settings::from([("max-bytes".to_owned(), "1000".to_owned())]);
    let (mut session, log) = session(&settings);
    talk(&mut session, b"EHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<alice@here>\r\nDATA\r\n");
    for _ in 0..1000 {
        let (said, step) = talk(&mut session, &[b'x'; 10_000]);
        assert_eq!((said.as_str(), step), ("", Step::Wait));
    }
    let (said, _) = talk(&mut session, b"\r\n.\r\n");
    assert!(said.starts_with("552 5.3.4 "), "{said}");
    assert!(log.lock().expect("no panic holds it").is_empty());
}

#[test]
fn a_line_without_end_is_refused_and_not_kept() {
    let (mut session, _) = session(&Settings::new());
    talk(&mut session, b"EHLO c\r\n");
    let (said, step) = talk(&mut session, &vec![b'A'; limits::SMTP_LINE_MAX_BYTES + 1]);
    assert_eq!((&said[..9], step), ("500 5.5.6", Step::Wait));
    for _ in 0..100 {
        assert_eq!(talk(&mut session, &[b'A'; 10_000]).0, "");
    }
    assert!(talk(&mut session, b"A\r\nNOOP\r\n").0.starts_with("250 "));
}

/// RFC 9422 section 4.2, RFC 5321 section 4.5.3.1.10.
#[test]
fn as_many_recipients_are_taken_as_ehlo_says() {
    let (mut session, log) = session(&Settings::new());
    let (hello, _) = talk(&mut session, b"EHLO c\r\n");
    let max = hello.split_once("LIMITS RCPTMAX=").expect("a limit").1.lines().next().expect("a line");
    let max: usize = max.parse().expect("a number");
    let rcpt = "RCPT TO:<alice@here>\r\n";
    let (said, _) = talk(&mut session, format!("MAIL FROM:<a@x>\r\n{}", rcpt.repeat(max)).as_bytes());
    assert!(said.lines().all(|line| line.starts_with("250 ")), "{said}");
    for _ in 0..limits::SMTP_MISTAKES_MAX {
        assert!(talk(&mut session, rcpt.as_bytes()).0.starts_with("452 4.5.3 "));
    }
    let (said, step) = talk(&mut session, b"DATA\r\nhi\r\n.\r\nMAIL FROM:<a@x>\r\nRCPT TO:<alice@here>\r\n");
    assert!(said.lines().all(|line| line.starts_with(['2', '3'])) && step == Step::Wait, "{said}");
    assert_eq!(log.lock().expect("held by none")[0].matches(" to <").count(), max);
}

#[test]
fn the_silent_are_sent_home() {
    let (mut session, _) = session(&Settings::new());
    assert_eq!(session.deadline(), None);
    talk(&mut session, b"");
    assert_eq!(session.deadline(), Some(NOW.plus_ms(limits::SMTP_IDLE_TIMEOUT_MS)));
}
