//! The commands one by one: what the standard asks, the call, the reply.

use super::backend::{Backend, Envelope};
use super::receiving::{Receiving, too_big};
use super::{Client, Phase, Role, Session, Tls, Transaction};
use crate::smtp::command::{Command, CommandError, MailFrom, RcptTo};
use crate::smtp::reply::Reply;
use crate::smtp::trace::Trace;
use crate::types::{Timestamp, limits};

impl<B: Backend> Session<B> {
    pub(super) fn handle_command(&mut self, line: &str, now: Timestamp) {
        let command = match Command::parse(line) {
            Ok(command) => command,
            // What follows can be taken for nothing: where a chunk ends is not known, and a web page may have written it.
            Err(error @ (CommandError::BadChunk | CommandError::Web)) => return self.close(&bad_command(&error)),
            Err(error) => return self.mistake(bad_command(&error)),
        };
        match command {
            // RFC 2033 section 4.1: one of them or the other, never both.
            Command::Ehlo(_) | Command::Helo(_) if self.config.role == Role::Lmtp => {
                self.mistake(Reply::new(500, "5.5.1", "This is LMTP: say LHLO"));
            }
            Command::Lhlo(_) if self.config.role != Role::Lmtp => {
                self.mistake(bad_command(&CommandError::Unknown));
            }
            Command::Ehlo(name) | Command::Lhlo(name) => self.ehlo(name, now),
            Command::Helo(name) => self.helo(name),
            Command::StartTls => self.start_tls(),
            Command::Auth(mechanism, initial) => self.auth(&mechanism, initial.as_deref()),
            Command::Mail(from) => self.mail(from, now),
            Command::Rcpt(to) => self.rcpt(to),
            Command::Data => self.data(now),
            Command::Bdat { size, last } => self.bdat(size, last, now),
            Command::Rset => {
                self.transaction = None;
                self.reply(&Reply::new(250, "2.0.0", "Forgotten"));
            }
            Command::Noop => self.reply(&Reply::new(250, "2.0.0", "OK")),
            Command::Vrfy(name) => self.vrfy(&name),
            Command::Expn(name) => self.expn(&name),
            Command::Help => self.reply(&Reply::new(214, "2.0.0", "See RFC 5321")),
            Command::Quit => self.close(&Reply::new(221, "2.0.0", "Goodbye")),
        }
    }

    /// RFC 5321 section 4.1.1.1. What is listed is what this session does at this moment.
    fn ehlo(&mut self, name: String, now: Timestamp) {
        let size = format!("SIZE {}", self.config.message_max_bytes);
        let mut reply = Reply::bare(250, &self.config.hostname);
        for keyword in ["PIPELINING", size.as_str(), "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES", "DSN"] {
            reply = reply.and(keyword);
        }
        // RFC 9422. The other limits that it knows do not exist here.
        reply = reply.and(format!("LIMITS RCPTMAX={}", limits::SMTP_RECIPIENTS_MAX));
        if self.config.hold_max_seconds > 0 {
            // RFC 4865 section 4: the longest wait, and the last moment.
            let (seconds, last) = (self.config.hold_max_seconds, self.last_hold(now).to_rfc3339());
            reply = reply.and(format!("FUTURERELEASE {seconds} {last}"));
        }
        if self.config.tls == Tls::Offered {
            reply = reply.and("STARTTLS");
        }
        let mechanisms = self.offer().names();
        if !mechanisms.is_empty() {
            reply = reply.and(format!("AUTH {}", mechanisms.join(" ")));
        }
        self.greet(Client { name, extended: true }, &reply);
    }

    fn helo(&mut self, name: String) {
        let reply = Reply::bare(250, &self.config.hostname);
        self.greet(Client { name, extended: false }, &reply);
    }

    /// EHLO and HELO end a transaction (RFC 5321 section 4.1.4).
    fn greet(&mut self, client: Client, reply: &Reply) {
        self.client = Some(client);
        self.transaction = None;
        self.reply(reply);
    }

    /// RFC 3207 section 4.
    fn start_tls(&mut self) {
        match self.config.tls {
            Tls::Offered => {
                self.reply(&Reply::new(220, "2.0.0", "Ready for TLS"));
                self.phase = Phase::StartingTls;
            }
            Tls::Active(_) => self.mistake(Reply::new(503, "5.5.1", "TLS is active")),
            Tls::Absent => self.mistake(Reply::new(502, "5.5.1", "Not implemented")),
        }
    }

    /// RFC 5321 section 3.5. Who is here is told to whom the backend tells it.
    fn vrfy(&mut self, name: &str) {
        match self.backend.mailboxes(name).as_deref() {
            None => self.reply(&Reply::new(252, "2.5.0", "Send mail and see")),
            Some([]) => self.mistake(Reply::new(550, "5.1.1", "No such user here")),
            Some([only]) => self.reply(&Reply::new(250, "2.1.5", format!("<{only}>"))),
            Some(_) => self.reply(&Reply::new(252, "2.1.5", "These are several: EXPN shows them")),
        }
    }

    fn expn(&mut self, name: &str) {
        match self.backend.mailboxes(name).as_deref() {
            None => self.mistake(Reply::new(502, "5.7.1", "Who is here is not told")),
            Some([]) => self.mistake(Reply::new(550, "5.1.1", "No such user here")),
            Some([first, more @ ..]) => {
                let reply = Reply::new(250, "2.1.5", format!("<{first}>"));
                let reply = more.iter().fold(reply, |reply, mailbox| reply.and(format!("<{mailbox}>")));
                self.reply(&reply);
            }
        }
    }

    /// RFC 5321 section 4.1.1.2.
    fn mail(&mut self, from: MailFrom, now: Timestamp) {
        let Some(client) = &self.client else {
            return self.mistake(Reply::new(503, "5.5.1", "EHLO first"));
        };
        if self.transaction.is_some() {
            return self.mistake(Reply::new(503, "5.5.1", "A transaction is under way"));
        }
        if self.user.is_none() && self.config.role == (Role::Submission { anonymous: false }) {
            return self.mistake(Reply::new(530, "5.7.0", "Authentication required"));
        }
        if from.size.is_some_and(|size| size > self.config.message_max_bytes) {
            return self.reply(too_big().reply());
        }
        if !from.smtp_utf8 && from.address.as_ref().is_some_and(|address| !address.is_ascii()) {
            return self.mistake(Reply::new(550, "5.6.7", "A non-ASCII address needs SMTPUTF8"));
        }
        if let Some(hold) = from.hold {
            if self.config.hold_max_seconds == 0 {
                return self.mistake(Reply::new(555, "5.5.4", "FUTURERELEASE is not offered here"));
            }
            if hold.moment(now) > self.last_hold(now) {
                return self.mistake(Reply::new(501, "5.5.4", "Nothing is held for so long"));
            }
        }
        let trace = Trace {
            helo: client.name.clone(),
            extended: client.extended,
            peer: self.config.peer.clone(),
            tls: self.tls_facts().cloned(),
            user: self.user.clone(),
            is_lmtp: self.config.role == Role::Lmtp,
            smtp_utf8: from.smtp_utf8,
        };
        match self.backend.sender(&trace, &from) {
            Ok(()) => {
                self.transaction =
                    Some(Transaction { trace, envelope: Envelope { from, to: Vec::new() }, chunks: None });
                self.reply(&Reply::new(250, "2.1.0", "Sender OK"));
            }
            Err(refusal) => self.reply(refusal.reply()),
        }
    }

    /// RFC 5321 section 4.1.1.3.
    fn rcpt(&mut self, to: RcptTo) {
        let Some(Transaction { trace, envelope, chunks }) = &mut self.transaction else {
            return self.mistake(Reply::new(503, "5.5.1", "MAIL first"));
        };
        if chunks.is_some() {
            return self.mistake(Reply::new(503, "5.5.1", "The message is under way"));
        }
        if envelope.to.len() >= limits::SMTP_RECIPIENTS_MAX {
            // RFC 5321 section 4.5.3.1.10.
            return self.reply(&Reply::new(452, "4.5.3", "Too many recipients: send these, then the others"));
        }
        if !envelope.from.smtp_utf8 && !to.address.is_ascii() {
            return self.mistake(Reply::new(553, "5.6.7", "A non-ASCII address needs SMTPUTF8"));
        }
        match self.backend.recipient(trace, &envelope.from, &to) {
            Ok(()) => {
                envelope.to.push(to);
                self.reply(&Reply::new(250, "2.1.5", "Recipient OK"));
            }
            // A refused recipient counts as a mistake: one who guesses names is cut off.
            Err(refusal) if refusal.reply().code() >= 500 => self.mistake(refusal.reply().clone()),
            Err(refusal) => self.reply(refusal.reply()),
        }
    }

    /// RFC 5321 section 4.1.1.4.
    fn data(&mut self, now: Timestamp) {
        let Some(Transaction { trace, envelope, chunks }) = &self.transaction else {
            return self.mistake(Reply::new(503, "5.5.1", "MAIL first"));
        };
        if chunks.is_some() {
            return self.mistake(Reply::new(503, "5.5.1", "After BDAT comes BDAT or RSET"));
        }
        if envelope.to.is_empty() {
            return self.mistake(Reply::new(554, "5.5.1", "No valid recipients"));
        }
        match self.backend.begin(trace, envelope, now) {
            Ok(upload) => {
                self.reply(&Reply::bare(354, "Send the message, end it with a line holding only a dot"));
                self.phase = Phase::Data(Receiving::dotted(upload, self.config.message_max_bytes));
            }
            Err(refusal) => {
                self.transaction = None;
                self.reply(refusal.reply());
            }
        }
    }

    /// The end of data.
    pub(super) fn finish_data(&mut self, now: Timestamp) {
        if let Phase::Data(receiving) = std::mem::replace(&mut self.phase, Phase::Commands) {
            self.finish_message(receiving, now);
        }
    }

    /// The message is complete. The transaction is over whatever comes of it.
    pub(super) fn finish_message(&mut self, receiving: Receiving<B::Upload>, now: Timestamp) {
        let answers = self.answers_to_message();
        self.transaction = None;
        let finished = receiving.finish(now);
        self.answer_unseen |= finished.is_ok();
        let reply = |place| match &finished {
            Ok(taken) => taken.refused.get(&place).map_or_else(
                || Reply::new(250, "2.0.0", format!("Taken as {}", taken.id)),
                |refusal| refusal.reply().clone(),
            ),
            Err(refusal) => refusal.reply().clone(),
        };
        (0..answers).for_each(|place| self.reply(&reply(place)));
    }

    /// How often the end of the message under way is answered. RFC 2033 section 4.2: once for each recipient.
    pub(super) fn answers_to_message(&self) -> usize {
        match (&self.transaction, self.config.role) {
            (Some(transaction), Role::Lmtp) => transaction.envelope.to.len().max(1),
            _ => 1,
        }
    }

    /// The last moment at which a message may be wanted to go out.
    fn last_hold(&self, now: Timestamp) -> Timestamp {
        now.plus_ms(i64::from(self.config.hold_max_seconds) * 1000)
    }
}

fn bad_command(error: &CommandError) -> Reply {
    let text = error.to_string();
    match error {
        CommandError::Unknown | CommandError::Web => Reply::new(500, "5.5.1", text),
        CommandError::Syntax(_) | CommandError::BadChunk => Reply::new(501, "5.5.4", text),
        CommandError::BadSender => Reply::new(501, "5.1.7", text),
        CommandError::BadRecipient => Reply::new(501, "5.1.3", text),
        CommandError::BadParameter(_) | CommandError::RepeatedParameter(_) => Reply::new(501, "5.5.4", text),
        CommandError::UnknownParameter(_) => Reply::new(555, "5.5.4", text),
    }
}
