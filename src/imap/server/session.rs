//! The session: takes input and events, runs one command after the other, gives output (see [`Conversation`]).

use super::append::Appending;
use super::auth;
use super::backend::{Account, Backend};
use super::config::{Capability, SessionConfig};
use super::framer::Framer;
use super::reply::{Context, Done, Enabled, Progress, Refusal, Reply, Task, User};
use super::table::{Outcome, Row, Run};
use super::telling::{MailboxGone, Telling, Tells};
use super::view::By;
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::deflate::{Deflate, without_rest_of_layer};
use crate::sasl::server::Exchange;
use crate::types::{Conversation, Event, Step, Timestamp, limits};

/// An IMAP session as the server.
pub struct Session<B: Backend> {
    pub(super) context: Context,
    pub(super) backend: B,
    pub(super) user: Option<User<B::Account>>,
    pub(super) framer: Framer,
    pub(super) layer: Option<Deflate>,
    /// A layer ended: the first input may still belong to it.
    layer_ended: bool,
    /// What went through the layer, or was said before there was one.
    wire: Vec<u8>,
    pub(super) awaiting: Awaiting<B::Account>,
    pub(super) work: Work<B::Account>,
    login_failures: u32,
    /// The answer to a failed login, not given before then: whoever guesses passwords waits.
    held: Option<(Timestamp, Vec<u8>)>,
    bad_commands: u32,
    /// To be said, and the end, once the running command is done.
    pub(super) goodbye: Option<&'static str>,
    /// When a login has to be complete.
    login_deadline: Timestamp,
    /// When something was heard or said last.
    last_active: Timestamp,
    /// Something may have changed of which a client that gave NOTIFY is told: in the selected mailbox, elsewhere.
    pub(super) push: bool,
    pub(super) look: bool,
    /// What runs can go on only once something has come from elsewhere.
    pub(super) holds: bool,
}

/// What the next input is.
pub(super) enum Awaiting<A: Account> {
    Command,
    /// The bytes of messages, or what stands between and behind them.
    Append(Appending<A>),
    /// The rest of a command that is refused; then its tagged response.
    Refused {
        tag: String,
        refusal: Refusal,
    },
    /// The answer to a challenge.
    Sasl {
        tag: String,
        exchange: Exchange,
    },
    /// DONE. News are looked for when `changed`.
    Idle {
        tag: String,
        changed: bool,
    },
    /// A TLS handshake.
    Tls,
    /// Nothing any more.
    End,
}

/// What is to be written before any more input is looked at.
pub(super) enum Work<A: Account> {
    None,
    Command {
        tells: Tells,
        task: Box<dyn Task<A>>,
    },
    /// What nobody asked for and NOTIFY has told.
    Unasked(Box<dyn Task<A>>),
    /// News of the selected mailbox, then the tagged response.
    Telling {
        telling: Box<Telling>,
        then: Option<Result<Reply, Refusal>>,
    },
}

impl<B: Backend> Session<B> {
    /// A session that begins now, with its greeting.
    pub fn new(mut config: SessionConfig, backend: B, now: Timestamp) -> Self {
        config.capabilities = config.capabilities.and(backend.capabilities());
        config.scram_nonce = config.scram_nonce.filter(|_| backend.offers_scram());
        config.tokens &= backend.offers_tokens();
        let non_synchronizing = [Capability::LiteralPlus, Capability::LiteralMinus];
        let framer = Framer::new(non_synchronizing.into_iter().any(|one| config.capabilities.has(one)));
        let greeting = format!("OK [CAPABILITY {}] {} ready", config.capability_list(false), config.name);
        let enabled = Enabled::default();
        let mut context = Context {
            config,
            tag: String::new(),
            enabled,
            others: Vec::new(),
            scram_exchanges: 0,
            compressed: false,
            now,
            progress_told: now,
            out: Vec::new(),
        };
        context.untagged(greeting);
        Self {
            context,
            backend,
            user: None,
            framer,
            layer: None,
            layer_ended: false,
            wire: Vec::new(),
            awaiting: Awaiting::Command,
            work: Work::None,
            login_failures: 0,
            held: None,
            bad_commands: 0,
            goodbye: None,
            login_deadline: now.plus_ms(limits::PRE_LOGIN_TIMEOUT_MS),
            last_active: now,
            push: false,
            look: false,
            holds: false,
        }
    }

    /// How long the session may go on without a word, or without a login.
    fn silent_until(&self) -> Timestamp {
        match &self.user {
            None => self.login_deadline,
            Some(_) => self.last_active.plus_ms(limits::IMAP_IDLE_TIMEOUT_MS),
        }
    }

    /// Works until output is due or input is needed.
    fn advance(&mut self) -> Step {
        match self.held.take() {
            Some((until, answer)) if until > self.context.now => {
                self.held = Some((until, answer));
                return Step::Wait;
            }
            Some((_, answer)) => self.context.out.extend(answer),
            None => {}
        }
        self.holds = false;
        loop {
            if self.holds {
                return Step::Hold;
            }
            if self.held.is_some() {
                return Step::Continue;
            }
            if self.context.out.len() >= limits::OUTPUT_CHUNK_BYTES {
                return Step::Continue;
            }
            match std::mem::replace(&mut self.work, Work::None) {
                Work::Command { tells, task } => {
                    let takes_its_time = task.progress().is_some();
                    self.step_command(tells, task);
                    // The driver knows what time it is.
                    if takes_its_time && !self.holds {
                        return Step::Continue;
                    }
                }
                Work::Unasked(task) => self.step_unasked(task),
                Work::Telling { telling, then } => self.step_telling(telling, then),
                Work::None => {
                    if let Some(step) = self.take_up_work() {
                        return step;
                    }
                }
            }
        }
    }

    /// Finds something to do; `Some`: there is nothing before the driver did that.
    fn take_up_work(&mut self) -> Option<Step> {
        match &mut self.awaiting {
            Awaiting::End => return Some(Step::Close),
            _ if self.goodbye.is_some() => {
                let why = self.goodbye.take().unwrap_or_default();
                self.context.untagged(format_args!("BYE {why}"));
                self.awaiting = Awaiting::End;
            }
            Awaiting::Tls => return Some(Step::StartTls),
            Awaiting::Idle { changed: changed @ true, .. } => {
                *changed = false;
                self.tell(Tells::All, None);
            }
            _ => return (!self.take_up_unasked() && !self.take_frame()).then_some(Step::Wait),
        }
        None
    }

    fn step_command(&mut self, tells: Tells, mut task: Box<dyn Task<B::Account>>) {
        let Some(user) = &mut self.user else { return };
        let tells = if task.uses_numbers() { Tells::AllButExpunge } else { tells };
        match task.step(&mut self.context, user) {
            Ok(Progress::More) => {
                if let Some(done) = task.progress() {
                    self.context.tell_progress(done);
                }
                self.work = Work::Command { tells, task };
            }
            Ok(Progress::Hold) => {
                self.context.tell_holding();
                self.work = Work::Command { tells, task };
                self.holds = true;
            }
            Ok(Progress::Done(reply)) => {
                // "The untagged form indicates an information-only message" (RFC 3501 section 7.1.1).
                let unsearched = user.account.take_unsearched();
                if unsearched > 0 {
                    self.context.untagged(format_args!(
                        "OK Of {unsearched} messages only the header is here, and was searched"
                    ));
                }
                self.tell(tells, Some(Ok(reply)));
            }
            Ok(Progress::Broken) => self.awaiting = Awaiting::End,
            Err(refusal) => self.tell(tells, Some(Err(refusal))),
        }
    }

    fn step_telling(&mut self, mut telling: Box<Telling>, then: Option<Result<Reply, Refusal>>) {
        let view = self.user.as_ref().and_then(|user| user.selected.as_ref());
        if view.is_some_and(|view| telling.step(&mut self.context, view)) {
            self.work = Work::Telling { telling, then };
        } else if let Some(result) = then {
            self.context.tagged(&result);
        }
    }

    /// Brings the view up to date as far as the command allows, then ends the command with `then`.
    pub(super) fn tell(&mut self, tells: Tells, mut then: Option<Result<Reply, Refusal>>) {
        let events = self.user.as_ref().and_then(|user| user.notify.as_ref()).map(|notify| &notify.selected);
        let (wanted, flags, fetches) = match events {
            Some(events) => (events.messages, events.flags, events.messages && !events.fetch.is_empty()),
            None => (true, true, false),
        };
        let own = tells == Tells::Own;
        let is_told = tells != Tells::Nothing && (wanted || own);
        let selected = self.user.as_mut().and_then(|user| {
            let User { account, selected, notify } = user;
            selected.as_mut().map(|view| (account, view, notify))
        });
        let Some((account, view, notify)) = selected.filter(|_| is_told) else {
            if let Some(result) = then {
                self.context.tagged(&result);
            }
            return;
        };
        match Telling::begin(account, view, tells, flags || own, &mut self.context) {
            Ok(mut telling) => {
                if let Some(notify) = notify.as_mut().filter(|_| fetches) {
                    notify.arrived.append(&mut telling.arrived);
                }
                // All of it is told before: also what others did since the command.
                if let Some(Ok(Reply { code: Some(Code::HighestModSeq(told)), .. })) = &mut then {
                    *told = view.mod_seq();
                }
                self.work = Work::Telling { telling: Box::new(telling), then };
            }
            Err(gone) => {
                if let Some(result) = then {
                    self.context.tagged(&result);
                }
                self.goodbye = Some(match gone {
                    MailboxGone::Deleted => "The selected mailbox was deleted",
                    MailboxGone::Closed => "You may not read the selected mailbox any more",
                });
            }
        }
    }

    /// Runs a whole command.
    pub(super) fn run_command(&mut self, command: &[u8]) {
        let mut parser = Parser::new(command);
        self.context.progress_told = self.context.now;
        let (tells, outcome) = match self.recognise(&mut parser) {
            Ok(row) => {
                tracing::debug!(command = row.name, "IMAP command");
                (row.tells, self.run_row(row, &mut parser))
            }
            Err(refusal) => (Tells::All, Err(refusal)),
        };
        self.finish(tells, outcome);
    }

    /// `tag SP command-name`, where `UID` belongs to the name behind it.
    pub(super) fn recognise(&mut self, parser: &mut Parser<'_>) -> Result<&'static Row<B>, Refusal> {
        self.context.tag.clear();
        self.context.tag = parser.tag()?;
        parser.sp()?;
        let mut name = parser.word()?;
        if name == "UID" {
            parser.sp()?;
            name = format!("UID {}", parser.word()?);
        }
        Row::find(&name, &self.context).ok_or_else(|| Refusal::bad("Unknown command"))
    }

    fn run_row(&mut self, row: &Row<B>, parser: &mut Parser<'_>) -> Outcome<B> {
        let logged_in = self.user.is_some();
        match (&row.run, &mut self.user) {
            (Run::Always(run), _) => run(&mut self.context, logged_in, parser),
            (Run::BeforeLogin(run), None) => run(&mut self.context, &mut self.backend, parser),
            (Run::BeforeLogin(_), Some(_)) => Err(Refusal::bad("Already logged in")),
            (Run::LoggedIn(_) | Run::Selected(..), None) => Err(Refusal::bad("Log in first")),
            (Run::LoggedIn(run), Some(user)) => run(&mut self.context, user, parser),
            (Run::Selected(_, By::Sequence), Some(_)) if self.context.enabled.uid_only => Err(Refusal::uid_required()),
            (Run::Selected(run, by), Some(user)) => {
                let (account, view) = user.selected()?;
                run(&mut self.context, account, view, parser, *by)
            }
        }
    }

    /// Does what a command's function left to be done.
    pub(super) fn finish(&mut self, tells: Tells, outcome: Outcome<B>) {
        let tag = self.context.tag.clone();
        self.count_bad(&outcome);
        match outcome {
            Ok(Done::Reply(reply)) => self.tell(tells, Some(Ok(reply))),
            Ok(Done::Run(task)) => self.work = Work::Command { tells, task },
            Ok(Done::Challenge(exchange, challenge)) => {
                let challenge = auth::encoded(&challenge);
                self.context.out.extend_from_slice(format!("+ {challenge}\r\n").as_bytes());
                self.awaiting = Awaiting::Sasl { tag, exchange };
            }
            Ok(Done::LoggedIn(account)) => {
                self.context.others = account.namespaces().into_iter().flatten().collect();
                self.user = Some(User { account, selected: None, notify: None });
                let list = self.context.config.capability_list(true);
                self.context.tagged(&Ok(Reply::with(Code::Capability(list), "Logged in")));
            }
            Ok(Done::Idle) => {
                self.context.out.extend_from_slice(b"+ Idling\r\n");
                self.awaiting = Awaiting::Idle { tag, changed: true };
            }
            Ok(Done::StartTls) => {
                self.context.tagged(&Ok(Reply::new("Begin TLS now")));
                // What came before the handshake was not protected (RFC 9051 section 6.2.1).
                self.framer.discard_input();
                self.awaiting = Awaiting::Tls;
            }
            Ok(Done::Compress) => {
                self.context.tagged(&Ok(Reply::new("Everything is compressed from here on")));
                self.wire.append(&mut self.context.out);
                self.layer = Some(Deflate::new(self.framer.take_unread()));
            }
            Ok(Done::Unauthenticate) => self.unauthenticate(),
            Ok(Done::Logout) => {
                self.context.tagged(&Ok(Reply::new("Logged out")));
                self.awaiting = Awaiting::End;
            }
            Err(refusal) => self.finish_refused(tells, refusal),
        }
    }

    /// Back to where the session was before the login: "reset all connection state except for the state of the TLS layer"
    /// (RFC 8437 section 3).
    fn unauthenticate(&mut self) {
        self.context.tagged(&Ok(Reply::new("Nobody is logged in")));
        self.user = None;
        (self.context.enabled, self.context.compressed) = (Enabled::default(), false);
        self.login_deadline = self.context.now.plus_ms(limits::PRE_LOGIN_TIMEOUT_MS);
        if let Some(mut layer) = self.layer.take() {
            layer.deflate(&self.context.out, true, &mut self.wire);
            self.context.out.clear();
            self.layer_ended = true;
            self.push_after_layer(&layer.into_rest());
        }
    }

    fn push_after_layer(&mut self, input: &[u8]) {
        let input = without_rest_of_layer(input);
        self.layer_ended &= input.is_empty();
        self.framer.push(input);
    }

    fn finish_refused(&mut self, tells: Tells, refusal: Refusal) {
        let failed_login = matches!(refusal.code, Some(Code::AuthenticationFailed | Code::AuthorizationFailed));
        let answered_before = self.context.out.len();
        self.tell(tells, Some(Err(refusal)));
        if failed_login {
            self.login_failures += 1;
            let times = self.login_failures.max(self.backend.login_failed(self.context.now));
            let delay_ms = (limits::LOGIN_FAILURE_DELAY_MS * i64::from(times)).min(limits::LOGIN_FAILURE_DELAY_MAX_MS);
            let answer = self.context.out.split_off(answered_before);
            self.held = Some((self.context.now.plus_ms(delay_ms), answer));
        }
        if self.login_failures >= limits::LOGIN_FAILURES_MAX {
            self.goodbye = Some("Too many failed logins");
        } else if self.bad_commands >= limits::IMAP_BAD_COMMANDS_MAX {
            self.goodbye = Some("Too many bad commands");
        }
    }

    /// A peer that sends nothing but what is no command does not speak IMAP (or is made to speak it, as by a form that
    /// a browser posts).
    fn count_bad(&mut self, outcome: &Outcome<B>) {
        match outcome {
            Err(refusal) if refusal.bad => self.bad_commands += 1,
            _ => self.bad_commands = 0,
        }
    }
}

impl<B: Backend> Conversation for Session<B> {
    fn handle_input(&mut self, input: &[u8], now: Timestamp) {
        (self.last_active, self.context.now) = (now, now);
        match &mut self.layer {
            Some(layer) => layer.push(input),
            None if self.layer_ended => self.push_after_layer(input),
            None => self.framer.push(input),
        }
    }

    fn handle_event(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Changed => {
                if let Awaiting::Idle { changed, .. } = &mut self.awaiting {
                    *changed = true;
                }
                (self.push, self.look) = (true, true);
            }
            Event::PeerClosed => {
                (self.work, self.held) = (Work::None, None);
                self.awaiting = Awaiting::End;
            }
            Event::TlsStarted(facts) => {
                tracing::debug!(version = %facts.version, cipher = %facts.cipher_suite, "TLS started");
                if matches!(self.awaiting, Awaiting::Tls) {
                    self.framer.discard_input();
                    self.context.config.starttls = false;
                    self.context.config.plaintext_login = true;
                    self.context.config.binding = facts.binding;
                    self.awaiting = Awaiting::Command;
                }
            }
            Event::Shutdown => {
                self.context.out.extend(self.held.take().map(|(_, answer)| answer).unwrap_or_default());
                self.goodbye = Some("The server is stopping");
            }
            Event::Deadline => {
                if self.silent_until() <= now && !self.holds {
                    self.goodbye = Some("Too long without a word");
                }
            }
        }
    }

    fn poll_output(&mut self, now: Timestamp, out: &mut Vec<u8>) -> Step {
        self.context.now = now;
        let step = self.advance();
        if !self.context.out.is_empty() {
            self.last_active = now;
        }
        out.append(&mut self.wire);
        match &mut self.layer {
            Some(layer) => {
                layer.deflate(&self.context.out, step != Step::Continue, out);
                self.context.out.clear();
            }
            None => out.append(&mut self.context.out),
        }
        step
    }

    fn deadline(&self) -> Option<Timestamp> {
        let silent_until = match self.holds {
            true => self.context.progress_told.plus_ms(limits::IMAP_PROGRESS_MS),
            false => self.silent_until(),
        };
        Some(self.held.as_ref().map_or(silent_until, |(until, _)| silent_until.min(*until)))
    }
}
