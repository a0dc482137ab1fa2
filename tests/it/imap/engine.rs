//! The engine over a store in memory: every transcript, however its bytes are cut, and what no transcript can show.

use std::fs;
use std::path::Path;

use mailtide::imap::server::{Capabilities, Capability, Session, SessionConfig};
use mailtide::types::{Conversation, Event, Step, Timestamp, limits};

use super::memory_backend::MemoryBackend;
use super::transcript::{Compressing, Wishes, converse, run};

const NOW: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

/// What the root would say for these wishes.
pub fn config(wishes: &Wishes) -> SessionConfig {
    let off = |capability: &Capability| wishes.without.iter().any(|name| name == capability.name());
    let without = Capability::all().filter(off);
    let all = if wishes.bare { Capabilities::none() } else { Capabilities::all() };
    SessionConfig {
        scram_nonce: Some("3rfcNHYJY1ZVvWVs7j".to_owned()),
        binding: None,
        name: "Mailtide".to_owned(),
        version: "0.1.0".to_owned(),
        plaintext_login: !wishes.tls_wanted,
        tokens: true,
        starttls: wishes.tls_wanted,
        capabilities: without.fold(all, Capabilities::without),
    }
}

fn session(backend: &MemoryBackend) -> Session<MemoryBackend> {
    Session::new(config(&Wishes::default()), backend.clone(), NOW)
}

/// Every transcript with its name, sorted.
pub fn transcripts() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/imap");
    let files = fs::read_dir(folder).expect("the transcripts' folder").map(|file| file.expect("a file").path());
    let mut transcripts: Vec<(String, String)> = files
        .map(|path| (path.display().to_string(), fs::read_to_string(path).expect("a readable transcript")))
        .collect();
    transcripts.sort();
    transcripts
}

#[test]
fn every_transcript_holds_over_memory_however_its_bytes_are_cut() {
    let mut wrong = Vec::new();
    for (name, text) in transcripts().into_iter().filter(|(_, text)| !text.contains("\n@authority")) {
        for piece_bytes in [usize::MAX, 1, 7] {
            let backend = MemoryBackend::new();
            let outcome = run(&text, piece_bytes, &mut |wishes, now| {
                Box::new(Session::new(config(wishes), backend.clone(), now))
            });
            if let Err(why) = outcome {
                wrong.push(format!("{name}, {piece_bytes} bytes at a time, {why}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn only_the_answer_to_a_failed_login_is_held_back() {
    let mut session = session(&MemoryBackend::new());
    converse(&mut session, b"", NOW);
    let said = converse(&mut session, b"a NOOP\r\nb LOGIN alice wrong\r\nc NOOP\r\n", NOW);
    assert_eq!(String::from_utf8_lossy(&said), "a OK Done\r\n");
}

#[test]
fn a_search_in_an_unknown_charset_is_refused_for_that_whatever_its_text_holds() {
    let backend = MemoryBackend::new();
    backend.fill_inbox(1, b"Subject: x\r\n\r\nbody\r\n");
    let mut session = session(&backend);
    converse(&mut session, b"a LOGIN alice secret\r\nb SELECT INBOX\r\nc SEARCH RETURN (SAVE) ALL\r\n", NOW);
    for command in ["SEARCH CHARSET", "SORT (DATE)", "THREAD REFERENCES", "ESEARCH CHARSET"] {
        let asked = [format!("d {command} ISO-8859-1 SUBJECT {{1+}}\r\n").as_bytes(), b"\xe9\r\n"].concat();
        let said = converse(&mut session, &asked, NOW);
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with("d NO [BADCHARSET "), "{command}: {said}");
    }
    // In a charset that is known it is no text.
    let said = converse(&mut session, b"e SEARCH CHARSET UTF-8 SUBJECT {1+}\r\n\xe9\r\n", NOW);
    assert!(said.starts_with(b"e BAD Expected text in UTF-8"));
    // "Sets the value of the search result variable to the empty sequence" (RFC 5182 section 2.1).
    let asked = b"f SEARCH RETURN (SAVE) CHARSET ISO-8859-1 SUBJECT {1+}\r\n\xe9\r\ng SEARCH $\r\n";
    let said = converse(&mut session, asked, NOW);
    assert!(String::from_utf8_lossy(&said).ends_with("* SEARCH\r\ng OK Searched\r\n"));
}

#[test]
fn a_mailbox_name_that_is_no_utf8_where_it_has_to_be_is_bad_and_changes_nothing() {
    let backend = MemoryBackend::new();
    let mut session = session(&backend);
    converse(&mut session, b"a LOGIN alice secret\r\nb ENABLE UTF8=ACCEPT\r\nc SELECT INBOX\r\n", NOW);
    let said = converse(&mut session, b"d SELECT \"\xff\"\r\ne CHECK\r\n", NOW);
    let expected = "d BAD Expected a mailbox name in UTF-8\r\ne OK Checked\r\n";
    assert_eq!(String::from_utf8_lossy(&said), expected);
}

#[test]
fn a_large_mailbox_is_told_in_bounded_pieces() {
    const COUNT: u32 = 20_000;
    let backend = MemoryBackend::new();
    backend.fill_inbox(COUNT, b"Subject: x\r\n\r\nbody\r\n");
    let mut session = session(&backend);
    converse(&mut session, b"a LOGIN alice secret\r\nb SELECT INBOX\r\n", NOW);
    for (command, responses) in [
        ("c FETCH 1:* (FLAGS)\r\n", COUNT),
        ("d UID FETCH 1:* (UID BODY.PEEK[])\r\n", COUNT),
        ("e STORE 1:* +FLAGS (\\Deleted)\r\n", COUNT),
        ("f UID SEARCH ALL\r\n", 1),
        ("g EXPUNGE\r\n", COUNT),
    ] {
        session.handle_input(command.as_bytes(), NOW);
        let mut said = Vec::new();
        loop {
            let before = said.len();
            let step = session.poll_output(NOW, &mut said);
            assert!(said.len() - before < 2 * limits::OUTPUT_CHUNK_BYTES, "too much at once by {command}");
            if step == Step::Wait {
                break;
            }
        }
        let told = String::from_utf8_lossy(&said).lines().filter(|line| line.starts_with("* ")).count();
        assert_eq!(told, responses as usize, "responses to {command}");
    }
}

#[test]
fn a_large_message_passes_in_bounded_pieces_both_ways() {
    const BYTES: usize = 5_000_000;
    let backend = MemoryBackend::new();
    let mut session = session(&backend);
    let begin = format!("a LOGIN alice secret\r\nb APPEND INBOX {{{BYTES}+}}\r\n");
    converse(&mut session, begin.as_bytes(), NOW);
    let message = [b"Subject: x\r\n\r\n".as_slice(), &vec![b'x'; BYTES - 14]].concat();
    for piece in message.chunks(10_000) {
        assert_eq!(converse(&mut session, piece, NOW), b"");
    }
    let appended = converse(&mut session, b"\r\nc SELECT INBOX\r\n", NOW);
    assert!(String::from_utf8_lossy(&appended).starts_with("b OK [APPENDUID 1 1]"));
    session.handle_input(b"d FETCH 1 BODY.PEEK[]\r\n", NOW);
    let mut fetched = Vec::new();
    loop {
        let before = fetched.len();
        let step = session.poll_output(NOW, &mut fetched);
        assert!(fetched.len() - before <= 2 * limits::OUTPUT_CHUNK_BYTES);
        if step == Step::Wait {
            break;
        }
    }
    let head = format!("* 1 FETCH (BODY[] {{{BYTES}}}\r\n");
    assert!(fetched.starts_with(head.as_bytes()));
    assert!(fetched[head.len()..].starts_with(&message));
    assert!(fetched.ends_with(b")\r\nd OK Fetched\r\n"));
}

#[test]
fn a_message_that_is_not_here_is_refused_and_the_others_given() {
    let backend = MemoryBackend::new();
    backend.fill_inbox(1, b"Subject: away\r\n\r\nbody\r\n");
    backend.withhold_bytes();
    backend.fill_inbox(1, b"Subject: here\r\n\r\nbody\r\n");
    let mut session = session(&backend);
    converse(&mut session, b"a LOGIN alice secret\r\nb EXAMINE INBOX\r\n", NOW);
    let fetched = converse(&mut session, b"c FETCH 1:2 (BODY.PEEK[HEADER] RFC822.SIZE)\r\n", NOW);
    let expected = "* 1 FETCH (RFC822.SIZE 23)\r\n* 2 FETCH (BODY[HEADER] {17}\r\nSubject: here\r\n\r\n RFC822.SIZE 23)\r\n\
                    c NO [UNAVAILABLE] Some of the messages are not here, and cannot be fetched while there is no \
                    connection\r\n";
    assert_eq!(String::from_utf8_lossy(&fetched), expected);
    let fetched = converse(&mut session, b"d FETCH 1 ENVELOPE\r\n", NOW);
    assert!(fetched.starts_with(b"* 1 FETCH (UID 1)\r\nd NO [UNAVAILABLE]"));
}

#[test]
fn a_message_that_breaks_off_ends_the_session_rather_than_show_other_bytes() {
    let backend = MemoryBackend::new();
    backend.fill_inbox(1, &vec![b'x'; 600_000]);
    backend.break_after(300_000);
    let mut session = session(&backend);
    converse(&mut session, b"a LOGIN alice secret\r\nb EXAMINE INBOX\r\n", NOW);
    session.handle_input(b"c FETCH 1 BODY.PEEK[]\r\nd NOOP\r\n", NOW);
    let mut said = Vec::new();
    let last = loop {
        match session.poll_output(NOW, &mut said) {
            Step::Continue => {}
            last => break last,
        }
    };
    assert_eq!(last, Step::Close);
    let head = "* 1 FETCH (BODY[] {600000}\r\n";
    assert_eq!(said.len(), head.len() + 300_000);
    // Where nothing of it can be read, it is refused before anything is announced.
    backend.break_after(0);
    let mut session = self::session(&backend);
    converse(&mut session, b"a LOGIN alice secret\r\nb EXAMINE INBOX\r\n", NOW);
    let fetched = converse(&mut session, b"c FETCH 1 (UID BODY.PEEK[])\r\n", NOW);
    assert!(fetched.starts_with(b"* 1 FETCH (UID 1)\r\nc NO [UNAVAILABLE]"));
}

/// RFC 7162 section 3.2.5: who selects with what is known counts on EXISTS and FLAGS as they were told right before.
#[test]
fn what_happens_while_a_mailbox_is_selected_with_what_is_known_is_told_afterwards() {
    let backend = MemoryBackend::new();
    backend.fill_inbox(3, b"Subject: x\r\n\r\nbody\r\n");
    let (mut client, mut other) = (session(&backend), session(&backend));
    let said = converse(&mut client, b"a LOGIN alice secret\r\nb ENABLE QRESYNC\r\nc SELECT INBOX\r\n", NOW);
    let said = String::from_utf8_lossy(&said);
    let number = |name: &str| said.split_once(name).and_then(|(_, rest)| rest.split(']').next()).expect("a code");
    let select = format!("d SELECT INBOX (QRESYNC ({} {}))\r\n", number("[UIDVALIDITY "), number("[HIGHESTMODSEQ "));
    converse(&mut other, b"a LOGIN alice secret\r\nb SELECT INBOX\r\nc STORE 3 +FLAGS (Old)\r\n", NOW);
    backend.before_changes(move || {
        converse(&mut other, b"d STORE 1 +FLAGS (\\Deleted)\r\ne EXPUNGE\r\nf STORE 1 +FLAGS (New)\r\n", NOW);
    });
    let resumed = String::from_utf8(converse(&mut client, select.as_bytes(), NOW)).expect("text");
    assert!(resumed.contains("* 3 EXISTS\r\n"), "{resumed}");
    assert!(resumed.contains("* 3 FETCH (UID 3 FLAGS (Old)"), "{resumed}");
    assert!(!resumed.contains("VANISHED") && !resumed.contains("New"), "{resumed}");
    let news = String::from_utf8(converse(&mut client, b"e NOOP\r\n", NOW)).expect("text");
    for told in ["* VANISHED 1\r\n", " New Old)\r\n", "* 1 FETCH (UID 2 FLAGS (New)"] {
        assert!(news.contains(told), "{told}: {news}");
    }
}

/// Says something over a compressed connection, in small pieces.
fn converse_compressed(client: &mut Compressing, session: &mut dyn Conversation, text: &str) -> String {
    let sent = client.compressed(text.as_bytes());
    let said = sent.chunks(3).flat_map(|piece| converse(session, piece, NOW)).collect::<Vec<u8>>();
    String::from_utf8(client.inflated(&said)).expect("text")
}

#[test]
fn a_session_compresses_until_it_is_left() {
    let backend = MemoryBackend::new();
    backend.fill_inbox(2000, b"Subject: x\r\n\r\nbody\r\n");
    let mut session = session(&backend);
    let said = converse(&mut session, b"a LOGIN alice secret\r\nb COMPRESS LZW\r\nc COMPRESS DEFLATE\r\n", NOW);
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("b BAD Only DEFLATE is known\r\n"), "{said}");
    assert!(said.ends_with("c OK Everything is compressed from here on\r\n"), "{said}");
    let mut client = Compressing::new();
    let said =
        converse_compressed(&mut client, &mut session, "d COMPRESS DEFLATE\r\ne SELECT INBOX\r\nf FETCH 1:* FLAGS\r\n");
    assert!(said.starts_with("d NO [COMPRESSIONACTIVE] "), "{said}");
    assert_eq!(said.lines().filter(|line| line.contains(" FETCH (FLAGS")).count(), 2000);
    assert!(said.ends_with("f OK Fetched\r\n"));
    assert_eq!(converse_compressed(&mut client, &mut session, "g UNAUTHENTICATE\r\n"), "g OK Nobody is logged in\r\n");
    assert_eq!(converse(&mut session, b"h NOOP\r\n", NOW), b"h OK Done\r\n");
}

#[test]
fn a_few_compressed_bytes_that_swell_are_taken_in_pieces() {
    let backend = MemoryBackend::new();
    let mut session = session(&backend);
    converse(&mut session, b"a LOGIN alice secret\r\nb COMPRESS DEFLATE\r\n", NOW);
    let mut client = Compressing::new();
    let bomb = format!("c NOOP {}\r\nd NOOP\r\n", "x".repeat(5_000_000));
    assert_eq!(
        converse_compressed(&mut client, &mut session, &bomb),
        "c BAD [TOOBIG] The line is too long\r\nd OK Done\r\n"
    );
}

#[test]
fn a_search_that_takes_its_time_tells_how_far_it_is() {
    let backend = MemoryBackend::new();
    // The example of RFC 9585, of which 447 and 735 are found, in 10,000 messages.
    for (count, body) in [(446, "body"), (1, "stuff"), (287, "body"), (1, "stuff"), (9_265, "body")] {
        backend.fill_inbox(count, format!("Subject: x\r\n\r\n{body} in one of a million messages\r\n").as_bytes());
    }
    let mut session = session(&backend);
    converse(&mut session, b"a LOGIN alice secret\r\nb SELECT INBOX\r\n", NOW);
    session.handle_input(b"A001 SEARCH TEXT \"stuff in one of a million messages\"\r\n", NOW);
    let (mut now, mut said) = (NOW, Vec::new());
    while session.poll_output(now, &mut said) == Step::Continue {
        now = now.plus_ms(6_000);
    }
    let expected = "* OK [INPROGRESS (\"A001\" 6000 10000)] Still at it\r\n\
                    * OK [INPROGRESS (\"A001\" 10000 10000)] Still at it\r\n\
                    * SEARCH 447 735\r\nA001 OK Searched\r\n";
    assert_eq!(String::from_utf8_lossy(&said), expected);
}

#[test]
fn a_client_that_wants_to_be_told_of_too_much_is_told_so_and_nothing_more() {
    let backend = MemoryBackend::new();
    let [mut listener, mut actor] = [session(&backend), session(&backend)];
    for one in [&mut listener, &mut actor] {
        converse(one, b"a LOGIN alice secret\r\n", NOW);
    }
    // INBOX is the last of those that may be watched.
    for number in 1..limits::IMAP_NOTIFY_MAILBOXES_MAX {
        converse(&mut actor, format!("a CREATE m{number}\r\n").as_bytes(), NOW);
    }
    let wish = b"n NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))\r\n";
    assert!(converse(&mut listener, wish, NOW).ends_with(b"n OK Told from now on\r\n"));
    let mut hear = |act: &[u8]| {
        converse(&mut actor, act, NOW);
        listener.handle_event(Event::Changed, NOW);
        String::from_utf8(converse(&mut listener, b"", NOW)).expect("text")
    };
    assert_eq!(hear(b"a APPEND m1 {1+}\r\nx\r\n"), "* STATUS m1 (UIDNEXT 2 MESSAGES 1)\r\n");
    let told = hear(b"a CREATE more\r\n");
    assert!(told.ends_with("* OK [NOTIFICATIONOVERFLOW] There are too many mailboxes to watch\r\n"), "{told}");
    assert_eq!(hear(b"a APPEND m1 {1+}\r\nx\r\n"), "");
    let refused = converse(&mut listener, wish, NOW);
    assert_eq!(refused, b"n NO [NOTIFICATIONOVERFLOW] There are too many mailboxes to watch\r\n");
}
