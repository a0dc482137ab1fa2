//! The POP3 session as a value (RFC 1939): AUTHORIZATION, TRANSACTION, UPDATE.
//!
//! Rules: nothing is deleted but by QUIT; a connection that just ends, a timeout or a stop deletes nothing (section 6).
//! To who said UTF8 (RFC 6856) a message is its bytes; to others its header is put as ASCII ([`crate::message::surrogate`]): nobody must
//! find mail withheld. Sizes are of what the session is sent.
//! Messages and listings stream: while one goes out, commands already received wait.

mod auth;
pub mod backend;
mod commands;

use crate::sasl::server::Exchange;
use crate::types::{ChannelBinding, Conversation, Event, Step, Timestamp, limits};

use backend::Backend;
use commands::Outgoing;

/// What a session is told at its beginning.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our name, in the greeting.
    pub hostname: String,
    pub tls: Tls,
    /// Passwords are taken without TLS: loopback only.
    pub plaintext_auth: bool,
    /// Random, of this session alone; without one SCRAM is not offered.
    pub scram_nonce: Option<String>,
    /// What names the TLS connection, where there is one that can be bound to.
    pub binding: Option<ChannelBinding>,
    /// How long a user must wait between logins (RFC 2449 section 6.5); 0: not at all.
    pub login_delay_seconds: u32,
    /// How long the answer to a failed login waits.
    pub tarpit_ms: i64,
}

/// The TLS layer below the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    Active,
    /// STLS is offered (RFC 2595 section 4).
    Offered,
    Absent,
}

/// A session.
pub struct Session<B: Backend> {
    backend: B,
    config: Config,
    state: State<B::Maildrop>,
    /// Input from `used` on is not used yet: whole lines that wait for a message to go out, and a partial line.
    input: Vec<u8>,
    used: usize,
    output: Vec<u8>,
    last_heard: Option<Timestamp>,
    /// Nothing is said or looked at before then.
    held: Option<Timestamp>,
    login_failures: u32,
    /// SCRAM exchanges so far: each has a nonce of its own.
    scram_exchanges: u32,
    /// The client said UTF8.
    utf8: bool,
}

/// Where the session stands.
enum State<M> {
    /// Before the login; the name after USER.
    Authorization {
        user: Option<String>,
    },
    /// Before the login, a challenge was sent.
    Sasl(Exchange),
    /// STLS was answered; nothing is read before the handshake is done.
    StartingTls,
    /// Logged in.
    Transaction(Box<Transaction<M>>),
    Over,
}

/// The maildrop with what was done to it in this session.
struct Transaction<M> {
    maildrop: M,
    /// Which messages are marked to be deleted, by their places.
    deleted: Vec<bool>,
    outgoing: Option<Outgoing>,
    /// The client said UTF8.
    utf8: bool,
}

impl<B: Backend> Session<B> {
    /// A session that begins with its greeting.
    pub fn new(backend: B, mut config: Config) -> Self {
        config.scram_nonce = config.scram_nonce.filter(|_| backend.offers_scram());
        let output = format!("+OK {} POP3 Mailtide\r\n", config.hostname).into_bytes();
        let state = State::Authorization { user: None };
        Self {
            backend,
            config,
            state,
            input: Vec::new(),
            used: 0,
            output,
            last_heard: None,
            held: None,
            login_failures: 0,
            scram_exchanges: 0,
            utf8: false,
        }
    }

    /// Handles whole lines as long as no message is going out and there is room to answer; true where room is missing.
    fn advance(&mut self, now: Timestamp) -> bool {
        while self.takes_commands() {
            if self.output.len() >= limits::OUTPUT_CHUNK_BYTES {
                return true;
            }
            let rest = &self.input[self.used..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            if end.unwrap_or(rest.len()) > limits::POP3_LINE_MAX_BYTES {
                self.close("-ERR line too long");
                break;
            }
            let Some(end) = end else { break };
            let line = rest[..end].to_vec();
            self.used += end + 1;
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            match std::str::from_utf8(line) {
                Ok(text) if !text.contains(['\r', '\0']) => self.handle_line(text, now),
                _ => self.say("-ERR not a command line"),
            }
        }
        false
    }

    fn forget_input(&mut self) {
        self.input.clear();
        self.used = 0;
    }

    fn takes_commands(&self) -> bool {
        match &self.state {
            _ if self.held.is_some() => false,
            State::Authorization { .. } | State::Sasl(_) => true,
            State::Transaction(transaction) => transaction.outgoing.is_none(),
            State::StartingTls | State::Over => false,
        }
    }

    fn say(&mut self, line: impl AsRef<str>) {
        self.output.extend_from_slice(line.as_ref().as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    /// Who guesses passwords waits for each answer.
    fn hold(&mut self) {
        let wait_ms = self.config.tarpit_ms;
        self.held = self.last_heard.filter(|_| wait_ms > 0).map(|heard| heard.plus_ms(wait_ms));
    }

    /// Says a last word. Nothing is deleted.
    fn close(&mut self, line: &str) {
        self.say(line);
        self.state = State::Over;
    }
}

impl<B: Backend> Conversation for Session<B> {
    fn handle_input(&mut self, input: &[u8], now: Timestamp) {
        self.last_heard = Some(now);
        if !matches!(self.state, State::StartingTls | State::Over) {
            self.input.drain(..self.used);
            self.used = 0;
            self.input.extend_from_slice(input);
        }
        if self.held.is_some() && self.input.len() > limits::POP3_HELD_INPUT_MAX_BYTES {
            self.held = None;
            self.close("-ERR wait for the answers");
        }
    }

    fn handle_event(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Changed => {}
            Event::PeerClosed => (self.held, self.state) = (None, State::Over),
            Event::TlsStarted(facts) => {
                (self.config.tls, self.config.binding) = (Tls::Active, facts.binding);
                self.last_heard = Some(now);
                self.state = State::Authorization { user: None };
            }
            Event::Shutdown => {
                self.held = None;
                self.close("-ERR [SYS/TEMP] stopping, try again later");
            }
            Event::Deadline if self.held.is_some() => self.held = None,
            // RFC 1939 section 3: close without UPDATE and without a reply.
            Event::Deadline => self.state = State::Over,
        }
    }

    fn poll_output(&mut self, now: Timestamp, out: &mut Vec<u8>) -> Step {
        self.last_heard.get_or_insert(now);
        self.held = self.held.filter(|until| now < *until);
        let more = self.advance(now);
        if self.held.is_some() {
            return Step::Wait;
        }
        out.append(&mut self.output);
        if let Some(step) = self.poll_outgoing(out) {
            self.last_heard = Some(now);
            return step;
        }
        if more {
            return Step::Continue;
        }
        match self.state {
            State::Over => Step::Close,
            State::StartingTls => Step::StartTls,
            State::Authorization { .. } | State::Sasl(_) | State::Transaction(_) => Step::Wait,
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        let patience_ms = match self.state {
            State::Transaction(_) => limits::POP3_IDLE_TIMEOUT_MS,
            _ => limits::PRE_LOGIN_TIMEOUT_MS,
        };
        self.held.or_else(|| self.last_heard.map(|heard| heard.plus_ms(patience_ms)))
    }
}
