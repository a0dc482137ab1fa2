//! The session's side of the framer: what becomes of lines, literals and message bytes, and how the session stays in
//! step with a client whose command it refuses half-way.

use super::append::{self, Appending, Begun};
use super::auth;
use super::backend::Backend;
use super::config::Capability;
use super::framer::{Announced, Frame};
use super::reply::{Done, Refusal};
use super::session::{Awaiting, Session};
use super::telling::Tells;
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::deflate::NotDeflate;
use crate::types::limits;

/// What is told with a command that is refused before all of it was there: it may be one during which no EXPUNGE is told (RFC
/// 3501 section 7.4.1), and those the client sent behind it count on that. The next command tells.
const REFUSED_UNREAD_TELLS: Tells = Tells::AllButExpunge;

impl<B: Backend> Session<B> {
    /// Looks at the next piece of input; false where there is none.
    pub(super) fn take_frame(&mut self) -> bool {
        match self.framer.next() {
            Frame::NeedInput => return self.inflate(),
            Frame::Command(line) => self.take_line(&line),
            Frame::Announced(announced) => self.take_announcement(announced),
            Frame::Streamed(bytes) => self.take_message_bytes(&bytes),
            Frame::TooLong(beginning) => {
                self.context.tag = match std::mem::replace(&mut self.awaiting, Awaiting::Command) {
                    Awaiting::Append(Appending { tag, .. })
                    | Awaiting::Sasl { tag, .. }
                    | Awaiting::Idle { tag, .. } => tag,
                    _ => Parser::new(&beginning).tag().unwrap_or_default(),
                };
                let refusal = Refusal { code: Some(Code::TooBig), ..Refusal::bad("The line is too long") };
                self.finish(REFUSED_UNREAD_TELLS, Err(refusal));
            }
            Frame::Refused => self.end_refused(),
        }
        true
    }

    /// Takes the next piece of compressed input; false where there is none.
    fn inflate(&mut self) -> bool {
        let Some(layer) = &mut self.layer else { return false };
        match layer.inflate() {
            Ok(inflated) => {
                self.framer.push(&inflated);
                !inflated.is_empty()
            }
            Err(NotDeflate) => {
                self.goodbye = Some("Not a DEFLATE stream");
                true
            }
        }
    }

    /// Takes a line that announces no literal: the end of a command, or an answer that was asked for.
    fn take_line(&mut self, line: &[u8]) {
        match std::mem::replace(&mut self.awaiting, Awaiting::Command) {
            Awaiting::Command | Awaiting::Tls | Awaiting::End | Awaiting::Refused { .. } => self.run_command(line),
            Awaiting::Append(appending) => {
                self.context.tag.clone_from(&appending.tag);
                let outcome = match &mut self.user {
                    Some(user) => appending.finish::<B>(&mut self.context, user, line),
                    None => Err(Refusal::bad("Log in first")),
                };
                self.finish(Tells::All, outcome);
            }
            Awaiting::Sasl { tag, exchange } => {
                self.context.tag = tag;
                let outcome = auth::answer(&mut self.context, &mut self.backend, exchange, line);
                self.finish(Tells::Nothing, outcome);
            }
            Awaiting::Idle { tag, .. } => {
                self.context.tag = tag;
                let outcome = match line.eq_ignore_ascii_case(b"DONE") {
                    true => Done::ok("Idled"),
                    false => Err(Refusal::bad("Expected DONE")),
                };
                self.finish(Tells::All, outcome);
            }
        }
    }

    /// A line ends with the announcement of a literal.
    fn take_announcement(&mut self, announced: Announced) {
        let small = self.context.has(Capability::LiteralMinus) && !announced.waits;
        if small && announced.size_bytes > limits::LITERAL_MINUS_MAX_BYTES {
            let tag = match std::mem::replace(&mut self.awaiting, Awaiting::Command) {
                Awaiting::Append(Appending { tag, .. }) | Awaiting::Sasl { tag, .. } | Awaiting::Idle { tag, .. } => {
                    tag
                }
                _ => Parser::new(self.framer.so_far()).tag().unwrap_or_default(),
            };
            let refusal = Refusal { bad: true, ..Refusal::no(Code::TooBig, "A literal this large waits for its +") };
            return self.refuse(announced, tag, refusal);
        }
        match std::mem::replace(&mut self.awaiting, Awaiting::Command) {
            Awaiting::Append(mut appending) => {
                let line = self.framer.so_far().to_vec();
                let begun = match &mut self.user {
                    Some(user) => appending.next_piece(&self.context, &mut user.account, &line),
                    None => Err(Refusal::bad("Log in first")),
                };
                match begun {
                    Ok(Begun::Message(())) => self.stream(announced, appending),
                    Ok(Begun::Argument) => {
                        let tag = appending.tag.clone();
                        if self.collect(announced, tag) {
                            self.awaiting = Awaiting::Append(appending);
                        }
                    }
                    Err(refusal) => self.refuse(announced, appending.tag, refusal),
                }
            }
            Awaiting::Sasl { tag, .. } => self.refuse(announced, tag, Refusal::bad("Not BASE64")),
            Awaiting::Idle { tag, .. } => self.refuse(announced, tag, Refusal::bad("Expected DONE")),
            Awaiting::Command | Awaiting::Refused { .. } | Awaiting::Tls | Awaiting::End => {
                let command = self.framer.so_far().to_vec();
                let begun = match append::recognise(&command) {
                    Some((mut args, tag, taking)) => {
                        let begun = append::begin(&self.context, self.user.as_mut(), &mut args, tag.clone(), taking);
                        begun.map_err(|refusal| (tag, refusal))
                    }
                    // What is no command needs no argument (RFC 9051 section 7.6, the example).
                    None => match self.recognise(&mut Parser::new(&command)) {
                        Ok(_) => Ok(Begun::Argument),
                        Err(refusal) => Err((self.context.tag.clone(), refusal)),
                    },
                };
                match begun {
                    Ok(Begun::Message(appending)) => self.stream(announced, appending),
                    Ok(Begun::Argument) => {
                        let tag = Parser::new(&command).tag().unwrap_or_default();
                        self.collect(announced, tag);
                    }
                    Err((tag, refusal)) => self.refuse(announced, tag, refusal),
                }
            }
        }
    }

    fn stream(&mut self, announced: Announced, appending: Appending<B::Account>) {
        self.ask_for(announced);
        self.framer.stream();
        self.awaiting = Awaiting::Append(appending);
    }

    /// Has the literal become part of the command, unless it is too large; then the command is refused.
    fn collect(&mut self, announced: Announced, tag: String) -> bool {
        let allowed = limits::IMAP_ARGUMENT_LITERALS_MAX_BYTES - self.framer.literal_bytes();
        if announced.size_bytes > allowed as u64 {
            let refusal = Refusal { bad: true, ..Refusal::no(Code::TooBig, "The literal is too large") };
            self.refuse(announced, tag, refusal);
            return false;
        }
        self.ask_for(announced);
        self.framer.collect();
        true
    }

    fn ask_for(&mut self, announced: Announced) {
        if announced.waits {
            self.context.out.extend_from_slice(b"+ Go ahead\r\n");
        }
    }

    /// Refuses a command at a literal. A client that waits for `+` gets the tagged response in its place; of one that
    /// does not wait the rest of the command is thrown away first, unless that is without end.
    fn refuse(&mut self, announced: Announced, tag: String, refusal: Refusal) {
        if !append::worth_discarding(announced) {
            self.context.tag = tag;
            self.context.tagged(&Err(refusal));
            self.goodbye = Some("The literal is too large to wait for");
            return;
        }
        self.framer.refuse();
        self.awaiting = Awaiting::Refused { tag, refusal };
        if announced.waits {
            self.end_refused();
        }
    }

    fn end_refused(&mut self) {
        if let Awaiting::Refused { tag, refusal } = std::mem::replace(&mut self.awaiting, Awaiting::Command) {
            self.context.tag = tag;
            self.finish(REFUSED_UNREAD_TELLS, Err(refusal));
        }
    }

    fn take_message_bytes(&mut self, bytes: &[u8]) {
        let Awaiting::Append(appending) = &mut self.awaiting else { return };
        if let Err(refusal) = appending.write(bytes) {
            let tag = appending.tag.clone();
            self.framer.refuse();
            self.awaiting = Awaiting::Refused { tag, refusal };
        }
    }
}
