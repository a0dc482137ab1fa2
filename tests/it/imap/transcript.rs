//! Runs transcripts: what clients say, and what the server must answer, line by line, over any [`Conversation`].
//!
//! A transcript is a text file. Its lines:
//!
//! - `C: text` is sent with CRLF; `C2: text` by a second client, and so on. A `{#}` in it is replaced by the size of
//!   the literal below, as `{12}`; `{#+}` as `{12+}`.
//! - `L: text` is a line of the literal; all together, each with CRLF, are its bytes.
//! - `S: pattern` is the server's next line, to the first client; `S2:` to the second. `{{any}}` matches anything.
//! - `E: event` is handed to the first client's session (`E2:` to the second's): `changed`, `shutdown`, `deadline`,
//!   `peer-closed`, `tls-started`. `compress` and `uncompressed` are no events: the client goes on so (RFC 4978).
//! - `T: seconds` lets time pass.
//! - At the top: `@authority`: only refserver's face can do this; `@quota 1000 3`: octets and messages alice may hold.
//! - `@slow 20`: each piece of an answer takes that many seconds.
//! - And `@without MOVE IDLE`, `@bare` (no capability at all) and `@tls-wanted` say how sessions are made; `@messages 3` puts numbered messages
//!   into INBOX; `@logged-in` logs every client in; `@greeting`: the greeting is part of the transcript.
//! - `#` begins a comment.
//!
//! `{{set name}}` in the server's line matches a word, for which `{{name}}` then stands in every line below. In a
//! client's text `{{repeat 70000 x}}` stands for that many x, `{{nul}}` for a NUL. The server's lines `{{close}}` and
//! `{{starttls}}` stand for the session's wish to close, to begin TLS. Everything the server says must be in the
//! transcript: before a client speaks again, and at the end.

use std::collections::{BTreeMap, VecDeque};

use mailtide::types::{Conversation, Event, Step, Timestamp, TlsFacts};

use script::{Words, expanded, matches, sized};

#[path = "../../support/script.rs"]
mod script;

/// How the sessions of a transcript are to be made.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Capabilities turned off, by name.
    pub without: Vec<String>,
    /// Every capability is turned off.
    pub bare: bool,
    /// STARTTLS is offered and passwords are refused without.
    pub tls_wanted: bool,
    greeting: bool,
    logged_in: bool,
    slow_seconds: i64,
}

/// Makes one more session on the transcript's mail store.
pub type Open<'a> = dyn FnMut(&Wishes, Timestamp) -> Box<dyn Conversation> + 'a;

/// Runs a transcript, with the clients' bytes handed in `piece_bytes` at a time. The error names the line.
pub fn run(text: &str, piece_bytes: usize, open: &mut Open<'_>) -> Result<(), String> {
    let mut stage = Stage {
        wishes: Wishes::default(),
        open,
        piece_bytes,
        now: Timestamp::from_unix_ms(1_795_441_740_000),
        clients: BTreeMap::new(),
        words: Words::default(),
    };
    let lines: Vec<&str> = text.lines().collect();
    let mut speaking = false;
    for (index, line) in lines.iter().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |why: String| format!("line {}: {line}\n  {why}", index + 1);
        let (head, rest) = line.split_once(':').unwrap_or((line, ""));
        let rest = &stage.words.in_place(rest.strip_prefix(' ').unwrap_or(rest));
        if let Some(wish) = line.strip_prefix('@') {
            stage.wish(wish);
            continue;
        }
        let client = head[1..].parse::<u32>().unwrap_or(1);
        let says = matches!(&head[..1], "C" | "L");
        if matches!(&head[..1], "C" | "E" | "T") && !(says && speaking) {
            stage.nothing_left().map_err(at)?;
        }
        speaking = says;
        match &head[..1] {
            "C" => stage.say(client, &sized(rest, &lines[index + 1..])),
            "L" => stage.say(client, rest),
            "S" => stage.expect(client, rest).map_err(at)?,
            "E" => stage.event(client, rest),
            "T" => stage.now = stage.now.plus_ms(rest.parse::<i64>().expect("a number of seconds") * 1000),
            other => panic!("a transcript line begins with C, L, S, E, T or @, not {other}"),
        }
    }
    stage.nothing_left().map_err(|why| format!("at the end\n  {why}"))
}

/// The sessions of one transcript.
struct Stage<'a, 'b> {
    wishes: Wishes,
    open: &'a mut Open<'b>,
    piece_bytes: usize,
    now: Timestamp,
    clients: BTreeMap<u32, Client>,
    /// What `{{set name}}` matched.
    words: Words,
}

struct Client {
    session: Box<dyn Conversation>,
    layer: Option<Compressing>,
    /// How much later it is for the session, and by how much each piece makes it later.
    ahead_ms: i64,
    slow_ms: i64,
    /// Lines said and not yet expected.
    said: VecDeque<String>,
    /// The beginning of a line.
    partial: Vec<u8>,
    last_step: Step,
}

impl Stage<'_, '_> {
    fn wish(&mut self, wish: &str) {
        let mut words = wish.split(' ');
        match words.next() {
            Some("without") => self.wishes.without.extend(words.map(str::to_owned)),
            // For those who make the sessions.
            Some("authority" | "quota") => {}
            Some("bare") => self.wishes.bare = true,
            Some("slow") => {
                let seconds = words.next().and_then(|seconds| seconds.parse().ok());
                self.wishes.slow_seconds = seconds.expect("@slow SECONDS");
            }
            Some("tls-wanted") => self.wishes.tls_wanted = true,
            Some("greeting") => self.wishes.greeting = true,
            Some("logged-in") => self.wishes.logged_in = true,
            Some("messages") => {
                let count: u32 = words.next().and_then(|count| count.parse().ok()).expect("@messages COUNT");
                let mut session = (self.open)(&Wishes::default(), self.now);
                let mut client = |text: &str| converse(&mut *session, text.as_bytes(), self.now);
                client("x LOGIN alice secret\r\n");
                for number in 1..=count {
                    let message = format!("From: a@example.org\r\nSubject: message {number}\r\n\r\nbody {number}\r\n");
                    client(&format!("x APPEND INBOX {{{}+}}\r\n{message}\r\n", message.len()));
                }
            }
            other => panic!("unknown wish {other:?}"),
        }
    }

    fn client(&mut self, number: u32) -> &mut Client {
        let (wishes, now, open) = (&self.wishes, self.now, &mut self.open);
        self.clients.entry(number).or_insert_with(|| {
            let session = open(wishes, now);
            let mut client = Client {
                session,
                layer: None,
                ahead_ms: 0,
                slow_ms: wishes.slow_seconds * 1000,
                said: VecDeque::new(),
                partial: Vec::new(),
                last_step: Step::Wait,
            };
            client.listen(now);
            if wishes.logged_in {
                client.session.handle_input(b"x LOGIN alice secret\r\n", now);
                client.listen(now);
            }
            if !wishes.greeting {
                client.said.clear();
            }
            client
        })
    }

    fn say(&mut self, number: u32, text: &str) {
        let (now, piece_bytes) = (self.now, self.piece_bytes);
        let bytes = [&expanded(text)[..], b"\r\n"].concat();
        let client = self.client(number);
        let bytes = client.layer.as_mut().map_or_else(|| bytes.clone(), |layer| layer.compressed(&bytes));
        for piece in bytes.chunks(piece_bytes) {
            client.session.handle_input(piece, now.plus_ms(client.ahead_ms));
            client.listen(now);
        }
        for (_, other) in self.clients.iter_mut().filter(|(other, _)| **other != number) {
            other.session.handle_event(Event::Changed, now);
            other.listen(now);
        }
    }

    fn event(&mut self, number: u32, name: &str) {
        let now = self.now;
        match name {
            "compress" => return self.client(number).layer = Some(Compressing::new()),
            "uncompressed" => return self.client(number).layer = None,
            _ => {}
        }
        let event = match name {
            "changed" => Event::Changed,
            "shutdown" => Event::Shutdown,
            "deadline" => Event::Deadline,
            "peer-closed" => Event::PeerClosed,
            "tls-started" => Event::TlsStarted(TlsFacts::default()),
            other => panic!("unknown event {other}"),
        };
        let client = self.client(number);
        client.session.handle_event(event, now);
        client.listen(now);
    }

    fn expect(&mut self, number: u32, pattern: &str) -> Result<(), String> {
        match self.client(number).said.pop_front() {
            Some(line) if matches(&self.words.taken(pattern, &line), &line) => Ok(()),
            Some(line) => Err(format!("the server said: {line}")),
            None => Err("the server said nothing".to_owned()),
        }
    }

    fn nothing_left(&mut self) -> Result<(), String> {
        for (number, client) in &mut self.clients {
            if let Some(line) = client.said.front() {
                return Err(format!("to client {number} the server said besides: {line}"));
            }
        }
        Ok(())
    }
}

impl Client {
    /// Takes what the session has to say.
    fn listen(&mut self, now: Timestamp) {
        let mut out = Vec::new();
        loop {
            out.clear();
            let step = self.session.poll_output(now.plus_ms(self.ahead_ms), &mut out);
            self.ahead_ms += self.slow_ms;
            match &mut self.layer {
                Some(layer) => self.partial.extend(layer.inflated(&out)),
                None => self.partial.extend_from_slice(&out),
            }
            while let Some(end) = self.partial.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.partial.drain(..end + 2).collect();
                self.said.push_back(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if step == Step::Continue {
                continue;
            }
            if step != self.last_step {
                match step {
                    Step::StartTls => self.said.push_back("{{starttls}}".to_owned()),
                    Step::Close => self.said.push_back("{{close}}".to_owned()),
                    Step::Wait | Step::Hold | Step::Continue => {}
                }
            }
            self.last_step = step;
            return;
        }
    }
}

/// A client's end of a compressed connection (RFC 4978).
pub struct Compressing {
    compress: flate2::Compress,
    decompress: flate2::Decompress,
}

impl Compressing {
    pub fn new() -> Self {
        let compress = flate2::Compress::new(flate2::Compression::fast(), false);
        Self { compress, decompress: flate2::Decompress::new(false) }
    }

    pub fn compressed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut sent = Vec::with_capacity(100_000);
        self.compress.compress_vec(bytes, &mut sent, flate2::FlushCompress::Sync).expect("memory is there");
        sent
    }

    pub fn inflated(&mut self, said: &[u8]) -> Vec<u8> {
        let mut inflated = Vec::with_capacity(1_000_000);
        self.decompress.decompress_vec(said, &mut inflated, flate2::FlushDecompress::Sync).expect("a DEFLATE stream");
        inflated
    }
}

/// Hands in all of `input` and gives everything the session says to it.
pub fn converse(session: &mut dyn Conversation, input: &[u8], now: Timestamp) -> Vec<u8> {
    let mut said = Vec::new();
    session.handle_input(input, now);
    while session.poll_output(now, &mut said) == Step::Continue {}
    said
}
