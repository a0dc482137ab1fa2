//! Runs transcripts: data files that say who says what, on a bare session without a socket.
//!
//! A file begins with settings, `name: value`, up to an empty line. Then, line by line:
//!
//! - `C: text`: the client says text and CRLF; `C> text`: exactly text, with `\r \n \t \0 \\ \xNN` understood.
//! - `S: text`: the server says just that line; `{}` stands for anything.
//! - `= text`: the next line of what the backend has to report.
//! - `! starttls`: the server wants the handshake, and gets it. `! close`: it closes. `! open`: it waits for more.
//! - `! peer-closed`, `! deadline`, `! shutdown`: that happens.
//! - `#`: a comment.
//!
//! Each file runs twice: with input in the lines of the file, and byte by byte. Nothing but the settings is hidden.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mailtide::types::{Conversation, Event, Step, Timestamp, TlsFacts};

pub type Settings = BTreeMap<String, String>;

/// What the backend has to report since the last time, a line each.
pub type Reporter = Box<dyn FnMut() -> Vec<String>>;

/// Runs every file in `tests/transcripts/FOLDER` on sessions that `start` makes.
pub fn run_folder(folder: &str, start: impl Fn(&Settings) -> (Box<dyn Conversation>, Reporter)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(folder);
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no transcripts in {}", folder.display());
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable transcript");
        let (settings, lines) = parse(&text);
        for byte_by_byte in [false, true] {
            let (session, reporter) = start(&settings);
            let place = format!("{}{}", file.display(), if byte_by_byte { " (byte by byte)" } else { "" });
            Run {
                session,
                reporter,
                byte_by_byte,
                place,
                output: Vec::new(),
                reported: Vec::new(),
                step: Step::Continue,
            }
            .run(&lines);
        }
    }
}

/// The settings, and the other lines with their numbers.
fn parse(text: &str) -> (Settings, Vec<(usize, &str)>) {
    let mut settings = Settings::new();
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    for (number, line) in lines.by_ref() {
        if line.is_empty() {
            break;
        }
        if !line.starts_with('#') {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("line {number}: no setting: {line:?}"));
            settings.insert(name.to_owned(), value.to_owned());
        }
    }
    (settings, lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect())
}

struct Run {
    session: Box<dyn Conversation>,
    reporter: Reporter,
    byte_by_byte: bool,
    place: String,
    output: Vec<u8>,
    reported: Vec<String>,
    step: Step,
}

const NOW: Timestamp = Timestamp::from_unix_ms(1_000_000_000_000);

impl Run {
    fn run(mut self, lines: &[(usize, &str)]) {
        let file = self.place.clone();
        self.poll();
        for (number, line) in lines {
            self.place = format!("{file}, line {number}");
            let (kind, text) = (line.get(..2).unwrap_or_default(), line.get(3..).unwrap_or_default());
            match kind {
                "C:" => self.client(format!("{text}\r\n").as_bytes()),
                "C>" => self.client(&unescaped(text)),
                "S:" => self.expect_line(text),
                "= " => self.expect_report(line[2..].trim_end()),
                "! " => self.happens(&line[2..]),
                _ => panic!("{}: neither C: nor S: nor anything else: {line:?}", self.place),
            }
        }
        self.place = file;
        assert_eq!(String::from_utf8_lossy(&self.output), "", "{}: said more than the transcript has", self.place);
        self.reported.extend((self.reporter)());
        assert_eq!(self.reported, Vec::<String>::new(), "{}: more happened than the transcript has", self.place);
    }

    fn client(&mut self, bytes: &[u8]) {
        let size = if self.byte_by_byte { 1 } else { bytes.len() };
        for piece in bytes.chunks(size) {
            self.session.handle_input(piece, NOW);
            self.poll();
        }
    }

    fn poll(&mut self) {
        loop {
            self.step = self.session.poll_output(NOW, &mut self.output);
            if self.step != Step::Continue {
                return;
            }
        }
    }

    fn expect_line(&mut self, expected: &str) {
        let end = self.output.windows(2).position(|pair| pair == b"\r\n");
        let end = end.unwrap_or_else(|| panic!("{}: nothing more is said, not {expected:?}", self.place));
        let line: Vec<u8> = self.output.drain(..end + 2).take(end).collect();
        let line = String::from_utf8_lossy(&line);
        assert!(matches(&line, expected), "{}:\n     said {line:?}\n expected {expected:?}", self.place);
    }

    fn expect_report(&mut self, expected: &str) {
        self.reported.extend((self.reporter)());
        assert!(!self.reported.is_empty(), "{}: nothing happened, not {expected:?}", self.place);
        let line = self.reported.remove(0);
        assert!(matches(&line, expected), "{}:\n happened {line:?}\n expected {expected:?}", self.place);
    }

    fn happens(&mut self, what: &str) {
        match what {
            "close" => assert_eq!(self.step, Step::Close, "{}", self.place),
            "open" => assert_eq!(self.step, Step::Wait, "{}", self.place),
            "starttls" => {
                assert_eq!(self.step, Step::StartTls, "{}", self.place);
                self.event(Event::TlsStarted(TlsFacts {
                    version: "TLSv1_3".to_owned(),
                    cipher_suite: String::new(),
                    binding: None,
                }));
            }
            "peer-closed" => self.event(Event::PeerClosed),
            "deadline" => self.event(Event::Deadline),
            "shutdown" => self.event(Event::Shutdown),
            other => panic!("{}: nothing is called {other:?}", self.place),
        }
    }

    fn event(&mut self, event: Event) {
        self.session.handle_event(event, NOW);
        self.poll();
    }
}

/// Is `line` what `pattern` says, `{}` standing for anything?
fn matches(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split("{}");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(place) => rest = &rest[place + part.len()..],
            None => return false,
        }
    }
    true
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (byte, length) = match tail {
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b't', ..] => (b'\t', 1),
            [b'0', ..] => (0, 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', hex @ ..] if hex.len() >= 2 => {
                let hex = std::str::from_utf8(&hex[..2]).expect("two hex digits");
                (u8::from_str_radix(hex, 16).expect("two hex digits"), 3)
            }
            other => panic!("no escape: \\{}", String::from_utf8_lossy(other)),
        };
        bytes.push(byte);
        rest = &tail[length..];
    }
    bytes
}
