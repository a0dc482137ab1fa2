//! The IMAP session, whatever a client says: it ends or waits, what it says is IMAP, and how the input was cut makes no
//! difference. The first byte of the input says how the session is made.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateDecoder, DeflateEncoder};
use mailtide::imap::server::{Capabilities, Capability, Session, SessionConfig};
use mailtide::types::limits;

use super::converse::{NOW, Said, converse, same_however_cut};
use super::imap_wire::responses;
use super::pieces::{Cut, expanded};
use crate::imap::memory_backend::MemoryBackend;

const MESSAGE: &[u8] = b"From: a@b\r\nTo: \"c \\\" d\" <e@f>, g: h@i;\r\nSubject: =?utf-8?q?=C3=A4?= x\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\n\r\ntext \xe9\r\n--b\r\nContent-Type: \
    message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n--b--\r\npost";

/// Bits of the first byte.
const LOGGED_IN: u8 = 1;
const SELECTED: u8 = 2;
const BARE: u8 = 4;
const STARTTLS: u8 = 8;
/// The input is what comes after COMPRESS, compressed or not.
const BEHIND_COMPRESS: u8 = 16;

pub fn check(input: &[u8]) {
    let Some((mode, input)) = input.split_first() else { return };
    let input = &expanded(input, 2 * limits::IMAP_LINE_MAX_BYTES);
    if mode & BEHIND_COMPRESS != 0 {
        // What the server says is cut into blocks by when it was flushed: only its end can be compared.
        let ends = Cut::ALL.map(|cut| run(*mode, COMPRESS, input, cut).step);
        assert!(ends.iter().all(|end| *end == ends[0]), "cut another way: {ends:?}");
        return;
    }
    let (said, ()) = same_however_cut(|cut| (run(*mode, b"", input, cut), ()));
    for response in responses(&said.output) {
        let head = response.split(|byte| *byte == b' ').next().unwrap_or_default();
        let is_tag = !head.is_empty() && head.iter().all(|byte| byte.is_ascii_graphic());
        assert!(is_tag && response.len() > head.len(), "no response: {}", response.escape_ascii());
    }
    if *mode == LOGGED_IN {
        check_compressed(input, &said);
    }
}

const LOGIN: &[u8] = b"a LOGIN alice secret\r\n";
const COMPRESS: &[u8] = b"z COMPRESS DEFLATE\r\n";

/// The same said in a compressed session is answered in the same words.
fn check_compressed(input: &[u8], plain: &Said) {
    let speaks_of_it = |text: &[u8]| {
        let text = text.to_ascii_uppercase();
        [&b"COMPRESS"[..], b"UNAUTHENTICATE"].iter().any(|word| text.windows(word.len()).any(|window| window == *word))
    };
    let login = run(LOGGED_IN, b"", b"", Cut::Whole).output;
    let answers = &plain.output[login.len()..];
    if speaks_of_it(input) || speaks_of_it(answers) {
        return;
    }
    let compressed = run(LOGGED_IN, COMPRESS, &deflated(input), Cut::Mixed);
    let begins = login.len() + run(LOGGED_IN, COMPRESS, b"", Cut::Whole).output[login.len()..].len();
    let inflated = inflated(&compressed.output[begins..]);
    let texts = (inflated.escape_ascii(), answers.escape_ascii());
    assert!(inflated == answers, "compressed it says:\n{}\nnot\n{}", texts.0, texts.1);
    assert_eq!(compressed.step, plain.step);
}

fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).and_then(|()| encoder.flush()).expect("memory takes all");
    encoder.get_ref().clone()
}

fn inflated(wire: &[u8]) -> Vec<u8> {
    let mut decoder = DeflateDecoder::new(Vec::new());
    decoder.write_all(wire).and_then(|()| decoder.flush()).expect("the server's stream is a DEFLATE stream");
    decoder.get_ref().clone()
}

/// The prelude that `mode` asks for and `then`, and behind that the input.
fn run(mode: u8, then: &[u8], input: &[u8], cut: Cut) -> Said {
    let backend = MemoryBackend::new();
    backend.fill_inbox(1, MESSAGE);
    backend.fill_inbox(2, b"Subject: x\n\nbare \0 \n");
    let capabilities = match mode & BARE {
        0 if then.is_empty() => Capabilities::all().without(Capability::CompressDeflate),
        0 => Capabilities::all(),
        _ => Capabilities::none().with(Capability::Idle),
    };
    let config = SessionConfig {
        scram_nonce: None,
        binding: None,
        name: "Mailtide".to_owned(),
        version: "1".to_owned(),
        plaintext_login: mode & STARTTLS == 0,
        tokens: true,
        starttls: mode & STARTTLS != 0,
        capabilities,
    };
    let login = if mode & (LOGGED_IN | SELECTED | BEHIND_COMPRESS) != 0 { LOGIN } else { b"" };
    let select = if mode & SELECTED != 0 { &b"b SELECT INBOX\r\n"[..] } else { b"" };
    converse(Session::new(config, backend, NOW), &[login, select, then, input].concat(), cut)
}
