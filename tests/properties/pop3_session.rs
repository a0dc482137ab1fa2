//! The POP3 session, whatever a client says: it ends or waits, what it says are answers, and how the input was cut makes
//! no difference, to what is deleted either. The first byte of the input says how the session is made.

use std::collections::BTreeMap;

use mailtide::types::{Step, limits};

use super::converse::{Said, converse, same_however_cut};
use super::pieces::{Cut, expanded};
use super::words::assert_lines;
use crate::pop3::memory_backend::session;

/// Bits of the first byte.
const LOGGED_IN: u8 = 1;
const STLS: u8 = 2;

pub fn check(input: &[u8]) {
    let Some((mode, input)) = input.split_first() else { return };
    let input = &expanded(input, 2 * limits::POP3_LINE_MAX_BYTES);
    let (said, deleted) = same_however_cut(|cut| run(*mode, input, cut));
    assert_lines(&said.output, |_| 0);
    assert!(deleted.len() <= 1, "the maildrop was updated {} times", deleted.len());
    assert!(deleted.is_empty() || said.step == Step::Close, "deleted and not over");
}

fn run(mode: u8, input: &[u8], cut: Cut) -> (Said, Vec<String>) {
    let tls = if mode & STLS != 0 { "offered" } else { "absent" };
    let settings: BTreeMap<String, String> =
        [("tls", tls), ("plaintext-auth", "yes")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let (session, log) = session(&settings);
    let prelude = if mode & LOGGED_IN != 0 { &b"USER alice\r\nPASS secret\r\n"[..] } else { b"" };
    let said = converse(session, &[prelude, input].concat(), cut);
    let deleted = std::mem::take(&mut *log.lock().expect("held by none"));
    (said, deleted)
}
