//! The SMTP session as a value (RFC 5321), for both roles: the MX port and submission (RFC 6409).
//!
//! Rules: a command is a line ended by CRLF and nothing else; one that holds a bare CR or LF is refused. What the
//! client sent behind STARTTLS in the clear is thrown away. A message is ours from the moment its 250 is said, and
//! it is said only after the backend made it durable.

mod auth;
pub mod backend;
mod chunks;
mod commands;
mod receiving;

use crate::sasl::server::Exchange;
use crate::smtp::reply::Reply;
use crate::smtp::trace::Trace;
use crate::types::{Conversation, Event, Step, Timestamp, TlsFacts, limits};

use backend::{Backend, Envelope};
use chunks::Chunk;
use receiving::Receiving;

/// What a session is told at its beginning.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our name, in the greeting and the trace.
    pub hostname: String,
    /// The client's address.
    pub peer: String,
    pub role: Role,
    pub tls: Tls,
    /// Passwords are taken without TLS: loopback only.
    pub plaintext_auth: bool,
    /// Random, of this session alone; without one SCRAM is not offered.
    pub scram_nonce: Option<String>,
    pub message_max_bytes: u64,
    /// How long a message may be asked to wait before it goes out (RFC 4865); 0: FUTURERELEASE is not offered.
    pub hold_max_seconds: u32,
    /// How long the greeting waits. Who speaks before it is no mail server: those wait (RFC 5321 section 4.3.1).
    pub greet_delay_ms: i64,
    /// How long the answer to a failed login waits, and to what should not have been sent once there was some of it.
    pub tarpit_ms: i64,
}

/// Which of the two services this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Mail from other servers, for users of ours. No AUTH.
    Mx,
    /// Mail for users of ours from a server of ours, each recipient with an answer of its own (RFC 2033). No AUTH.
    Lmtp,
    /// Mail from users of ours, for anyone (RFC 6409).
    Submission {
        /// Whether mail is taken without a login. For loopback only.
        anonymous: bool,
    },
}

/// The TLS layer below the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// There from the first byte.
    Active(TlsFacts),
    /// STARTTLS is offered (RFC 3207).
    Offered,
    Absent,
}

/// A session.
pub struct Session<B: Backend> {
    backend: B,
    config: Config,
    phase: Phase<B>,
    /// Who the client says it is, once it did.
    client: Option<Client>,
    user: Option<String>,
    transaction: Option<Transaction<B::Upload>>,
    /// A message got its 250, and nothing that the client sent shows yet that it saw it.
    answer_unseen: bool,
    /// Input not used yet.
    input: Vec<u8>,
    /// The beginning of a line, of which the rest did not come yet.
    line: Vec<u8>,
    output: Vec<u8>,
    last_heard: Option<Timestamp>,
    /// Nothing is said or looked at before then.
    held: Option<Timestamp>,
    mistakes: u32,
    login_failures: u32,
    /// SCRAM exchanges so far: each has a nonce of its own.
    scram_exchanges: u32,
}

/// What the next bytes from the client are.
enum Phase<B: Backend> {
    /// Nothing, before the greeting.
    Silence,
    Commands,
    /// The rest of a line too long to keep.
    SkippingLine,
    /// The answer to a SASL challenge.
    Sasl(Exchange),
    /// A message.
    Data(Receiving<B::Upload>),
    /// A part of one (RFC 3030).
    Chunk(Chunk<B::Upload>),
    /// Nothing, before the TLS handshake is done.
    StartingTls,
    /// Nothing: the session is over.
    Over,
}

/// Who the client says it is.
struct Client {
    name: String,
    extended: bool,
}

/// A transaction under way: MAIL was taken.
struct Transaction<U> {
    trace: Trace,
    envelope: Envelope,
    /// The message as far as it came, in chunks.
    chunks: Option<Receiving<U>>,
}

impl<B: Backend> Session<B> {
    /// A session that begins with its greeting.
    pub fn new(backend: B, mut config: Config) -> Self {
        config.scram_nonce = config.scram_nonce.filter(|_| backend.offers_scram());
        let mut session = Self {
            backend,
            config,
            phase: Phase::Silence,
            client: None,
            user: None,
            transaction: None,
            answer_unseen: false,
            input: Vec::new(),
            line: Vec::new(),
            output: Vec::new(),
            last_heard: None,
            held: None,
            mistakes: 0,
            login_failures: 0,
            scram_exchanges: 0,
        };
        if session.config.greet_delay_ms == 0 {
            session.say_greeting();
        }
        session
    }

    fn say_greeting(&mut self) {
        let protocol = if self.config.role == Role::Lmtp { "LMTP" } else { "ESMTP" };
        self.reply(&Reply::bare(220, format!("{} {protocol} Mailtide", self.config.hostname)));
        self.phase = Phase::Commands;
    }

    /// Uses input up, as long as there is room to answer.
    fn advance(&mut self, now: Timestamp) {
        let taken = std::mem::take(&mut self.input);
        let mut input = &taken[..];
        while !input.is_empty() && self.held.is_none() && self.output.len() < limits::OUTPUT_CHUNK_BYTES {
            match &mut self.phase {
                Phase::Over | Phase::StartingTls => break,
                Phase::Silence => self.close(&Reply::new(554, "5.5.1", "The server speaks first")),
                Phase::Data(receiving) => {
                    let used = receiving.receive(input);
                    input = &input[used..];
                    if receiving.is_complete() {
                        self.finish_data(now);
                    }
                }
                Phase::Chunk(_) => {
                    let used = self.take_chunk(input, now);
                    input = &input[used..];
                }
                Phase::SkippingLine => {
                    let end = input.iter().position(|byte| *byte == b'\n');
                    input = end.map_or(&[], |end| &input[end + 1..]);
                    if end.is_some() {
                        self.phase = Phase::Commands;
                    }
                }
                Phase::Commands | Phase::Sasl(_) => input = self.take_line(input, now),
            }
        }
        if self.reads() {
            self.input.extend_from_slice(input);
        }
    }

    /// Does what the client sends count? What it sent in the clear behind STARTTLS does not (RFC 3207 section 4.2).
    const fn reads(&self) -> bool {
        !matches!(self.phase, Phase::Over | Phase::StartingTls)
    }

    /// Uses input up to the first line end and handles that line.
    fn take_line<'a>(&mut self, input: &'a [u8], now: Timestamp) -> &'a [u8] {
        let end = input.iter().position(|byte| *byte == b'\n').map(|place| place + 1);
        let (line, rest) = input.split_at(end.unwrap_or(input.len()));
        if self.line.len() + line.len() > limits::SMTP_LINE_MAX_BYTES {
            self.line.clear();
            // RFC 5321 section 4.5.3.1.9 and RFC 4954 section 4 (an AUTH exchange ends).
            self.phase = if end.is_some() { Phase::Commands } else { Phase::SkippingLine };
            self.mistake(Reply::new(500, "5.5.6", "Line too long"));
            return rest;
        }
        self.line.extend_from_slice(line);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.handle_line(&line, now);
        }
        rest
    }

    fn handle_line(&mut self, line: &[u8], now: Timestamp) {
        let text = line.strip_suffix(b"\r\n").filter(|text| !text.iter().any(|byte| b"\r\n\0".contains(byte)));
        let Some(text) = text else {
            return self.mistake(Reply::new(500, "5.5.2", "Lines end with CRLF and hold no bare CR, LF or NUL"));
        };
        let Ok(text) = std::str::from_utf8(text) else {
            return self.mistake(Reply::new(500, "5.5.2", "A command is ASCII or UTF-8"));
        };
        match std::mem::replace(&mut self.phase, Phase::Commands) {
            Phase::Sasl(exchange) => self.continue_auth(exchange, text),
            phase => {
                self.phase = phase;
                self.handle_command(text, now);
            }
        }
    }

    fn reply(&mut self, reply: &Reply) {
        reply.write(&mut self.output);
    }

    /// Answers something the client should not have sent. Too many of those and it is no mail client.
    fn mistake(&mut self, reply: Reply) {
        self.reply(&reply);
        self.mistakes += 1;
        if self.mistakes > limits::SMTP_MISTAKES_FREE {
            self.hold();
        }
        if self.mistakes >= limits::SMTP_MISTAKES_MAX {
            self.close(&Reply::new(421, "4.7.0", "Too many errors"));
        }
    }

    /// Who guesses names or passwords waits for each answer.
    fn hold(&mut self) {
        let wait_ms = self.config.tarpit_ms;
        self.held = self.last_heard.filter(|_| wait_ms > 0).map(|heard| heard.plus_ms(wait_ms));
    }

    /// Says a last word.
    fn close(&mut self, reply: &Reply) {
        self.reply(reply);
        self.phase = Phase::Over;
    }

    fn tls_facts(&self) -> Option<&TlsFacts> {
        match &self.config.tls {
            Tls::Active(facts) => Some(facts),
            Tls::Offered | Tls::Absent => None,
        }
    }
}

impl<B: Backend> Conversation for Session<B> {
    fn handle_input(&mut self, input: &[u8], now: Timestamp) {
        self.last_heard = Some(now);
        // What came in one piece with the end of a message was sent before its answer could be read.
        if !input.is_empty() && std::mem::take(&mut self.answer_unseen) {
            self.backend.answer_seen();
        }
        if self.reads() {
            self.input.extend_from_slice(input);
        }
        if self.held.is_some() && self.input.len() > limits::SMTP_HELD_INPUT_MAX_BYTES {
            self.close(&Reply::new(421, "4.7.0", "Wait for the answers"));
        }
    }

    fn handle_event(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Changed => {}
            Event::PeerClosed => self.phase = Phase::Over,
            Event::TlsStarted(facts) => {
                // RFC 3207 section 4.2: everything known of the client before the handshake is forgotten.
                self.config.tls = Tls::Active(facts);
                self.last_heard = Some(now);
                self.backend.forget_login();
                (self.client, self.user, self.transaction) = (None, None, None);
                self.phase = Phase::Commands;
            }
            Event::Shutdown => {
                self.held = None;
                self.close(&Reply::new(421, "4.3.2", "Stopping, try again later"));
            }
            Event::Deadline if self.held.is_some() => self.held = None,
            Event::Deadline if matches!(self.phase, Phase::Silence) => {
                self.last_heard = Some(now);
                self.say_greeting();
            }
            Event::Deadline => self.close(&Reply::new(421, "4.4.2", "Silent for too long")),
        }
    }

    fn poll_output(&mut self, now: Timestamp, out: &mut Vec<u8>) -> Step {
        self.last_heard.get_or_insert(now);
        self.held = self.held.filter(|until| now < *until);
        self.advance(now);
        if self.held.is_some() {
            return Step::Wait;
        }
        out.append(&mut self.output);
        match self.phase {
            Phase::Over => Step::Close,
            Phase::StartingTls => Step::StartTls,
            _ if !self.input.is_empty() => Step::Continue,
            Phase::Silence
            | Phase::Commands
            | Phase::SkippingLine
            | Phase::Sasl(_)
            | Phase::Data(_)
            | Phase::Chunk(_) => Step::Wait,
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        let wait_ms = match self.phase {
            Phase::Silence => self.config.greet_delay_ms,
            _ => limits::SMTP_IDLE_TIMEOUT_MS,
        };
        if self.held.is_some() {
            return self.held;
        }
        self.last_heard.map(|heard| heard.plus_ms(wait_ms))
    }
}
