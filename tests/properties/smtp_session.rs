//! The SMTP session, whatever a client says: it ends or waits, what it says are replies, and how the input was cut makes
//! no difference, to the mail that was taken either. The first byte of the input says how the session is made.

use std::collections::BTreeMap;

use mailtide::types::limits;

use super::converse::{Said, converse, same_however_cut};
use super::pieces::{Cut, expanded};
use super::words::assert_lines;
use crate::smtp::memory_backend::session;

/// Bits of the first byte.
const SUBMISSION: u8 = 1;
const ANONYMOUS: u8 = 2;
const STARTTLS: u8 = 4;
const SMALL_MESSAGES: u8 = 8;

pub fn check(input: &[u8]) {
    let Some((mode, input)) = input.split_first() else { return };
    let input = &expanded(input, 2 * limits::SMTP_LINE_MAX_BYTES);
    let (said, _) = same_however_cut(|cut| run(*mode, input, cut));
    let negative = assert_lines(&said.output, |line| {
        // Reply-line (RFC 5321 section 4.2).
        let (code, text) = line.split_at_checked(3).expect("three digits");
        assert!(code.bytes().all(|byte| byte.is_ascii_digit()) && text.starts_with([' ', '-']), "no reply: {line:?}");
        usize::from(code >= "400" && text.starts_with(' '))
    });
    assert!(negative <= limits::SMTP_MISTAKES_MAX as usize + input.len(), "more refusals than there was to refuse");
}

fn run(mode: u8, input: &[u8], cut: Cut) -> (Said, Vec<String>) {
    let set = |bit: u8, yes: &'static str, no: &'static str| if mode & bit != 0 { yes } else { no };
    let role = if mode & ANONYMOUS != 0 { "anonymous" } else { set(SUBMISSION, "submission", "mx") };
    let settings: BTreeMap<String, String> = [
        ("role", role),
        ("tls", set(STARTTLS, "offered", "absent")),
        ("plaintext-auth", "yes"),
        ("max-bytes", set(SMALL_MESSAGES, "40", "1000000")),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let (session, log) = session(&settings);
    let said = converse(session, input, cut);
    let taken = std::mem::take(&mut *log.lock().expect("held by none"));
    (said, taken)
}
