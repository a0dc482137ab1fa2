//! The commands one by one: what the standard asks, the call, the reply.

use super::auth::IN_THE_CLEAR;
use super::backend::{Backend, Brought, Maildrop, Message};
use super::{Session, State, Tls, Transaction};
use crate::message::surrogate::Surrogate;
use crate::pop3::command::Command;
use crate::pop3::lines::Stuffer;
use crate::sasl::Credentials;
use crate::types::{Secret, Step, Timestamp, limits};

/// A multi-line response on its way out.
pub(super) enum Outgoing {
    /// A message that has to be brought first.
    Awaited { place: usize, body_lines: Option<u64> },
    Message {
        place: usize,
        offset: u64,
        /// None: the bytes go as they are.
        surrogate: Option<Surrogate>,
        stuffer: Stuffer,
    },
    /// The messages from `next` on.
    Listing { next: usize, column: Column },
}

/// What a listing shows of each message.
#[derive(Clone, Copy)]
pub(super) enum Column {
    Size,
    UniqueId,
}

impl<B: Backend> Session<B> {
    pub(super) fn handle_line(&mut self, line: &str, now: Timestamp) {
        match std::mem::replace(&mut self.state, State::Authorization { user: None }) {
            State::Sasl(exchange) => self.continue_auth(exchange, line, now),
            State::Authorization { user } => match Command::parse(line) {
                Ok(command) => self.authorization(command, user, now),
                Err(error) => self.say(format!("-ERR {error}")),
            },
            State::Transaction(mut transaction) => match Command::parse(line) {
                Ok(Command::Quit) => self.update(*transaction, now),
                Ok(Command::Capa) => {
                    self.state = State::Transaction(transaction);
                    self.capa();
                }
                Ok(Command::Lang(range)) => {
                    self.state = State::Transaction(transaction);
                    self.lang(range.as_deref());
                }
                Ok(command) => {
                    transaction.handle(&command, &mut self.output);
                    self.state = State::Transaction(transaction);
                }
                Err(error) => {
                    self.state = State::Transaction(transaction);
                    self.say(format!("-ERR {error}"));
                }
            },
            over @ (State::StartingTls | State::Over) => self.state = over,
        }
    }

    /// Before the login (RFC 1939 section 4). `user` is what USER just said.
    fn authorization(&mut self, command: Command, user: Option<String>, now: Timestamp) {
        match command {
            Command::Quit => self.close("+OK goodbye"),
            Command::Capa => self.capa(),
            Command::Lang(range) => self.lang(range.as_deref()),
            Command::Utf8 => {
                self.utf8 = true;
                self.say("+OK UTF-8 it is");
            }
            // RFC 6856 section 2.1.
            Command::Stls if self.utf8 => self.say("-ERR not after UTF8"),
            Command::Stls => match self.config.tls {
                Tls::Offered => {
                    self.say("+OK ready for TLS");
                    // RFC 2595 section 4: what came behind the command in the clear is not the client's.
                    self.forget_input();
                    self.state = State::StartingTls;
                }
                Tls::Active => self.say("-ERR TLS is active"),
                Tls::Absent => self.say("-ERR no TLS here"),
            },
            Command::Auth(None, _) => {
                self.say("+OK");
                self.offer().names().into_iter().for_each(|name| self.say(name));
                self.say(".");
            }
            Command::User(_) | Command::Pass(_) if !self.offer().passwords => self.say(IN_THE_CLEAR),
            Command::User(name) => {
                // Whether there is such a user is told with the password (RFC 1939 section 13).
                self.say("+OK");
                self.state = State::Authorization { user: Some(name) };
            }
            Command::Pass(password) => match user {
                Some(user) => {
                    let password = Secret::new(password);
                    self.login(&Credentials { user, authorize_as: None, password }, now);
                }
                None => self.say("-ERR say USER first"),
            },
            Command::Auth(Some(mechanism), initial) => self.auth(&mechanism, initial.as_deref(), now),
            Command::Stat
            | Command::List(_)
            | Command::Uidl(_)
            | Command::Retr(_)
            | Command::Top(..)
            | Command::Dele(_)
            | Command::Noop
            | Command::Rset => self.say("-ERR log in first"),
        }
    }

    /// RFC 2449 section 5. What is listed is what this session does at this moment.
    fn capa(&mut self) {
        let before_login = matches!(self.state, State::Authorization { .. });
        self.say("+OK");
        for capability in ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"] {
            self.say(capability);
        }
        self.say(self.expire());
        self.say("UTF8 USER");
        self.say("LANG");
        let offer = self.offer();
        if before_login && offer.passwords {
            self.say("USER");
        }
        if before_login && !offer.names().is_empty() {
            self.say(format!("SASL {}", offer.names().join(" ")));
        }
        if self.config.login_delay_seconds > 0 {
            self.say(format!("LOGIN-DELAY {}", self.config.login_delay_seconds));
        }
        if before_login && self.config.tls == Tls::Offered {
            self.say("STLS");
        }
        self.say("IMPLEMENTATION Mailtide");
        self.say(".");
    }

    /// RFC 2449 section 6.7: before the login the least that is in force for anybody, and whether to ask again.
    fn expire(&self) -> String {
        let (days, after) = match &self.state {
            State::Transaction(transaction) => (transaction.maildrop.expires_days(), ""),
            _ => {
                let expiry = self.backend.expiry();
                (expiry.least_days, if expiry.differs { " USER" } else { "" })
            }
        };
        match days {
            Some(days) => format!("EXPIRE {days}{after}"),
            None => "EXPIRE NEVER".to_owned(),
        }
    }

    /// RFC 6856 section 3: there is one language.
    fn lang(&mut self, range: Option<&str>) {
        match range {
            None => ["+OK", "en English", "."].iter().for_each(|line| self.say(line)),
            Some(range) if range == "*" || range.eq_ignore_ascii_case("en") => self.say("+OK en English it is"),
            Some(_) => self.say("-ERR no such language here"),
        }
    }

    /// QUIT after the login: the UPDATE state (RFC 1939 section 6).
    fn update(&mut self, transaction: Transaction<B::Maildrop>, now: Timestamp) {
        let marked: Vec<usize> =
            transaction.deleted.iter().enumerate().filter_map(|(place, deleted)| deleted.then_some(place)).collect();
        let done = if marked.is_empty() { Ok(()) } else { transaction.maildrop.delete(&marked, now) };
        match done {
            Ok(()) => self.close("+OK goodbye"),
            Err(_) => self.close("-ERR [SYS/TEMP] the messages could not be removed"),
        }
    }

    /// Appends a piece of the response on its way out, and says what comes next; `None` where there is no such response.
    pub(super) fn poll_outgoing(&mut self, out: &mut Vec<u8>) -> Option<Step> {
        let State::Transaction(transaction) = &mut self.state else { return None };
        match transaction.outgoing.take()? {
            Outgoing::Awaited { place, body_lines } => {
                transaction.send(place, body_lines, out);
                if matches!(transaction.outgoing, Some(Outgoing::Awaited { .. })) {
                    return Some(Step::Hold);
                }
            }
            Outgoing::Listing { next, column } => transaction.poll_listing(next, column, out),
            Outgoing::Message { place, offset, surrogate, stuffer } => {
                if transaction.poll_message(place, offset, surrogate, stuffer, out).is_err() {
                    // The response has begun and cannot be taken back; an end would pass half a message for a whole one.
                    self.state = State::Over;
                }
            }
        }
        Some(Step::Continue)
    }
}

impl<M: Maildrop> Transaction<M> {
    /// The commands of the TRANSACTION state (RFC 1939 section 5) other than QUIT and CAPA.
    fn handle(&mut self, command: &Command, out: &mut Vec<u8>) {
        match *command {
            Command::Noop => say(out, "+OK"),
            Command::Stat => {
                let (count, size) = self
                    .present()
                    .fold((0, 0_u64), |(count, size), (_, it)| (count + 1, size.saturating_add(self.size(it))));
                say(out, format!("+OK {count} {size}"));
            }
            Command::List(number) => self.listing(number, Column::Size, out),
            Command::Uidl(number) => self.listing(number, Column::UniqueId, out),
            Command::Retr(number) => self.ask_for(number, None, out),
            Command::Top(number, lines) => self.ask_for(number, Some(lines), out),
            Command::Dele(number) => match self.place(number) {
                Some(place) => {
                    self.deleted[place] = true;
                    say(out, "+OK");
                }
                None => no_such_message(out),
            },
            Command::Rset => {
                self.deleted.fill(false);
                say(out, "+OK");
            }
            Command::Quit
            | Command::Capa
            | Command::Lang(_)
            | Command::Utf8
            | Command::User(_)
            | Command::Pass(_)
            | Command::Auth(..)
            | Command::Stls => say(out, "-ERR not after the login"),
        }
    }

    /// LIST and UIDL: of one message on the first line, of all in a multi-line response.
    fn listing(&mut self, number: Option<usize>, column: Column, out: &mut Vec<u8>) {
        let Some(number) = number else {
            say(out, "+OK");
            self.outgoing = Some(Outgoing::Listing { next: 0, column });
            return;
        };
        match self.place(number) {
            Some(place) => say(out, format!("+OK {number} {}", self.shown(column, &self.maildrop.messages()[place]))),
            None => no_such_message(out),
        }
    }

    fn poll_listing(&mut self, next: usize, column: Column, out: &mut Vec<u8>) {
        let mut unfinished = None;
        for (place, message) in self.present().skip_while(|(place, _)| *place < next) {
            if out.len() >= limits::OUTPUT_CHUNK_BYTES {
                unfinished = Some(Outgoing::Listing { next: place, column });
                break;
            }
            say(out, format!("{} {}", place + 1, self.shown(column, message)));
        }
        match unfinished {
            None => say(out, "."),
            Some(_) => self.outgoing = unfinished,
        }
    }

    fn shown(&self, column: Column, message: &Message) -> String {
        match column {
            Column::Size => self.size(message).to_string(),
            Column::UniqueId => message.unique_id.clone(),
        }
    }

    /// As this session gets it (RFC 6856 section 2.1).
    const fn size(&self, message: &Message) -> u64 {
        if self.utf8 { message.octets.utf8 } else { message.octets.ascii }
    }

    fn poll_message(
        &mut self,
        place: usize,
        offset: u64,
        mut surrogate: Option<Surrogate>,
        mut stuffer: Stuffer,
        out: &mut Vec<u8>,
    ) -> Result<(), super::backend::Error> {
        let piece = self.maildrop.read(place, offset, limits::OUTPUT_CHUNK_BYTES)?;
        match &mut surrogate {
            Some(surrogate) => {
                let mut put = Vec::new();
                surrogate.write(&piece, &mut put);
                stuffer.write(&put, out);
            }
            None => stuffer.write(&piece, out),
        }
        if piece.is_empty() || stuffer.is_satisfied() {
            let mut put = Vec::new();
            surrogate.into_iter().for_each(|surrogate| surrogate.finish(&mut put));
            stuffer.write(&put, out);
            stuffer.finish(out);
        } else {
            let offset = offset + piece.len() as u64;
            self.outgoing = Some(Outgoing::Message { place, offset, surrogate, stuffer });
        }
        Ok(())
    }

    /// RETR and TOP.
    fn ask_for(&mut self, number: usize, body_lines: Option<u64>, out: &mut Vec<u8>) {
        match self.place(number) {
            Some(place) => self.send(place, body_lines, out),
            None => no_such_message(out),
        }
    }

    /// The first piece is read before +OK is said, so that a message that is not here is refused.
    fn send(&mut self, place: usize, body_lines: Option<u64>, out: &mut Vec<u8>) {
        let brought = self.maildrop.bring(place, body_lines == Some(0));
        let first = match brought {
            Ok(Brought::Coming) => {
                self.outgoing = Some(Outgoing::Awaited { place, body_lines });
                return;
            }
            Ok(Brought::Here) => self.maildrop.read(place, 0, 1),
            Err(error) => Err(error),
        };
        match first {
            Ok(_) => {
                say(out, "+OK");
                self.outgoing = Some(Outgoing::Message {
                    place,
                    offset: 0,
                    surrogate: (!self.utf8).then(Surrogate::default),
                    stuffer: Stuffer::new(body_lines),
                });
            }
            Err(error) => say(out, format!("-ERR [SYS/TEMP] {error}")),
        }
    }

    /// The messages not marked deleted, with their places.
    fn present(&self) -> impl Iterator<Item = (usize, &Message)> {
        self.maildrop.messages().iter().enumerate().filter(|(place, _)| !self.deleted[*place])
    }

    /// The place of the message with this number, unless it is marked deleted.
    fn place(&self, number: usize) -> Option<usize> {
        let place = number.checked_sub(1)?;
        self.deleted.get(place).is_some_and(|deleted| !deleted).then_some(place)
    }
}

fn say(out: &mut Vec<u8>, line: impl AsRef<str>) {
    out.extend_from_slice(line.as_ref().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn no_such_message(out: &mut Vec<u8>) {
    say(out, "-ERR no such message");
}
