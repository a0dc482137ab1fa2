//! What a quirky server does with a command before the engine sees it.

use super::cutter::Literal;
use super::quirk::{Faults, Quirk};

/// Commands of one kind that are taken at once by a server with [`Quirk::StatusBurst`].
const BURST_MAX: u32 = 25;
/// The largest message that one with [`Quirk::TooBigBad`] takes.
const MESSAGE_MAX_BYTES: usize = 16 * 1024;
/// The longest line that one with [`Quirk::ShortLines`] takes.
const LINE_MAX_BYTES: usize = 1000;
/// The longest line of a message that one with [`Quirk::LongLinesRefused`] takes.
const MESSAGE_LINE_MAX_BYTES: usize = 9_900;

/// What becomes of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// The engine gets this.
    Pass(Vec<u8>),
    /// It is answered here.
    Answer { answer: String, hangs_up: bool },
}

/// Looks at commands.
pub(super) struct Requests {
    faults: Faults,
    /// The number of the connection.
    number: u32,
    is_logged_in: bool,
    commands: u32,
    selects: u32,
    fetches: u32,
    /// In the input that came last.
    statuses: u32,
    stores: u32,
    /// Of the message that is being appended: how long its last line is by now, and whether one was too long.
    message_line_bytes: usize,
    has_long_line: bool,
}

/// A command line, taken apart.
struct Command<'a> {
    tag: &'a str,
    /// In upper case; with `UID` in front where it is there.
    name: String,
    arguments: &'a str,
}

impl<'a> Command<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let (tag, rest) = line.trim_end().split_once(' ')?;
        let (first, arguments) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut name = first.to_ascii_uppercase();
        let mut arguments = arguments;
        if name == "UID" {
            let (second, rest) = arguments.split_once(' ').unwrap_or((arguments, ""));
            name = format!("UID {}", second.to_ascii_uppercase());
            arguments = rest;
        }
        Some(Self { tag, name, arguments })
    }
}

impl Requests {
    pub(super) fn new(faults: Faults, number: u32) -> Self {
        Self {
            faults,
            number,
            is_logged_in: false,
            commands: 0,
            selects: 0,
            fetches: 0,
            statuses: 0,
            stores: 0,
            message_line_bytes: 0,
            has_long_line: false,
        }
    }

    /// Bytes of a literal pass.
    pub(super) fn look_at_bytes(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.message_line_bytes += line.len();
            self.has_long_line |= self.message_line_bytes > MESSAGE_LINE_MAX_BYTES;
            self.message_line_bytes *= usize::from(!line.ends_with(b"\n"));
        }
    }

    /// The line that goes on behind a literal, as the engine gets it: a message with a long line is spoilt, so that it is
    /// refused.
    pub(super) fn line_behind(&mut self, line: &[u8]) -> Vec<u8> {
        self.message_line_bytes = 0;
        match std::mem::take(&mut self.has_long_line) && self.faults.has(Quirk::LongLinesRefused) {
            true => [b" spoilt".as_slice(), line].concat(),
            false => line.to_vec(),
        }
    }

    /// More input came.
    pub(super) fn begin_burst(&mut self) {
        (self.statuses, self.stores) = (0, 0);
    }

    /// Rules on a line that begins a command (or is the answer to a challenge, which passes).
    pub(super) fn look_at(&mut self, line: &[u8], literal: Option<Literal>) -> Ruling {
        let text = String::from_utf8_lossy(line).into_owned();
        let Some(command) = Command::of(&text) else { return Ruling::Pass(line.to_vec()) };
        let said = self.refusal(&command, line.len(), literal);
        let was_login = matches!(command.name.as_str(), "LOGIN" | "AUTHENTICATE");
        self.is_logged_in |= was_login;
        match said {
            Some((words, hangs_up)) => {
                self.is_logged_in &= !was_login;
                let bye = if hangs_up { "* BYE [LIMIT] Rate limit hit\r\n" } else { "" };
                Ruling::Answer { answer: format!("{bye}{} {words}\r\n", command.tag), hangs_up }
            }
            None => Ruling::Pass(self.rewritten(&command, line)),
        }
    }

    /// What the command is answered with instead of being done.
    fn refusal(&mut self, command: &Command<'_>, length: usize, literal: Option<Literal>) -> Option<(String, bool)> {
        let faults = self.faults.clone();
        let has = |quirk| faults.has(quirk);
        let said = |words: &str| Some((words.to_owned(), false));
        self.commands += u32::from(self.is_logged_in);
        match command.name.as_str() {
            "LOGOUT" => return None,
            "AUTHENTICATE" if has(Quirk::SaslIrBad) && command.arguments.contains(' ') => {
                return said("BAD No initial response, please");
            }
            "APPEND" if has(Quirk::TooBigBad) && literal.is_some_and(|one| one.size_bytes > MESSAGE_MAX_BYTES) => {
                return said("BAD [TOOBIG] Message too large");
            }
            "SELECT" | "EXAMINE" => {
                self.selects += 1;
                if has(Quirk::NonExistent) && self.selects.is_multiple_of(7) {
                    return said("NO [NONEXISTENT] Unknown Mailbox");
                }
            }
            "STATUS" => {
                self.statuses += 1;
                if has(Quirk::StatusBurst) && self.statuses > BURST_MAX {
                    return said("BAD Too many commands at once");
                }
            }
            "UID STORE" => self.stores += 1,
            "UID EXPUNGE" if has(Quirk::ForgottenExpunge) && self.stores > 0 => return said("OK Expunge completed"),
            "UID FETCH" => {
                self.fetches += 1;
                if has(Quirk::RateLimit) && self.fetches.is_multiple_of(20) {
                    return Some(("NO [LIMIT] UID FETCH Rate limit hit".to_owned(), true));
                }
                if has(Quirk::UnavailableOnce) && self.is_unavailable(command.arguments) {
                    return said("NO [UNAVAILABLE] UID FETCH server error, please try again later");
                }
            }
            _ => {}
        }
        if has(Quirk::ShortLines) && length > LINE_MAX_BYTES {
            return said("BAD Command line too long");
        }
        if has(Quirk::NotConnected) && self.is_logged_in && self.number % 3 == 1 {
            return said("BAD User is authenticated but not connected.");
        }
        if has(Quirk::SuggestedBackoff) && self.is_logged_in && self.commands.is_multiple_of(30) {
            return said("NO Request is throttled. Suggested Backoff Time: 29961 milliseconds");
        }
        None
    }

    /// Every fifth message's bytes are not to be had at the first two tries.
    fn is_unavailable(&mut self, arguments: &str) -> bool {
        let Some((set, items)) = arguments.split_once(' ') else { return false };
        if !items.contains("BODY") {
            return false;
        }
        let first_of = |range: &str| range.split(':').next().and_then(|first| first.parse::<u32>().ok());
        let Some(uid) = set.split(',').filter_map(first_of).find(|uid| uid.is_multiple_of(5)) else { return false };
        self.faults.tries_of(uid) <= 2
    }

    fn rewritten(&self, command: &Command<'_>, line: &[u8]) -> Vec<u8> {
        let has = |quirk| self.faults.has(quirk);
        let is_store = matches!(command.name.as_str(), "STORE" | "UID STORE");
        let mut text = String::from_utf8_lossy(line).into_owned();
        if is_store && has(Quirk::FetchDespiteSilent) {
            text = text.replace(".SILENT", "").replace(".silent", "");
        }
        if (is_store || command.name == "APPEND") && has(Quirk::FewKeywords) {
            text = without_keywords(&text);
        }
        if text.as_bytes() == String::from_utf8_lossy(line).as_bytes() { line.to_vec() } else { text.into_bytes() }
    }
}

/// The line without the keywords in its last list.
fn without_keywords(line: &str) -> String {
    let Some((before, rest)) = line.rsplit_once('(') else { return line.to_owned() };
    let Some((flags, after)) = rest.split_once(')') else { return line.to_owned() };
    let kept = |flag: &&str| flag.starts_with('\\') || ["$Junk", "$NotJunk"].contains(flag);
    let flags = flags.split(' ').filter(kept).collect::<Vec<_>>().join(" ");
    format!("{before}({flags}){after}")
}
