//! The IMAP session, whatever a client says: it ends or waits, what it says is IMAP, and how the input was cut makes no
//! difference. The first byte of the input says how the session is made.

use mailtide::imap::server::{Capabilities, Capability, Session, SessionConfig};

use super::converse::{NOW, Said, converse};
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

pub fn check(input: &[u8]) {
    let Some((mode, input)) = input.split_first() else { return };
    let input = &expanded(input);
    let said = run(*mode, input, Cut::Whole);
    for cut in [Cut::Bytes, Cut::Mixed] {
        let again = run(*mode, input, cut);
        let (again_text, said_text) = (again.output.escape_ascii(), said.output.escape_ascii());
        assert!(again == said, "cut another way:\n{again_text}\n{:?}\nnot\n{said_text}\n{:?}", again.step, said.step);
    }
    for response in responses(&said.output) {
        let head = response.split(|byte| *byte == b' ').next().unwrap_or_default();
        let is_tag = !head.is_empty() && head.iter().all(|byte| byte.is_ascii_graphic());
        assert!(is_tag && response.len() > head.len(), "no response: {}", response.escape_ascii());
    }
}

fn run(mode: u8, input: &[u8], cut: Cut) -> Said {
    let backend = MemoryBackend::new();
    backend.fill_inbox(1, MESSAGE);
    backend.fill_inbox(2, b"Subject: x\n\nbare \0 \n");
    let without_all = Capabilities::none().with(Capability::Idle);
    let config = SessionConfig {
        name: "Mailtide".to_owned(),
        version: "1".to_owned(),
        plaintext_login: mode & STARTTLS == 0,
        starttls: mode & STARTTLS != 0,
        capabilities: if mode & BARE == 0 { Capabilities::all() } else { without_all },
    };
    let mut prelude = Vec::new();
    if mode & (LOGGED_IN | SELECTED) != 0 {
        prelude.extend_from_slice(b"a LOGIN alice secret\r\n");
    }
    if mode & SELECTED != 0 {
        prelude.extend_from_slice(b"b SELECT INBOX\r\n");
    }
    converse(Session::new(config, backend, NOW), &[&prelude[..], input].concat(), cut)
}
