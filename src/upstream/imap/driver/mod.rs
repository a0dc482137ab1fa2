//! Owns the async-imap session of one connection: sends commands, several at once where they allow it, and reads until
//! each has its tagged answer.
//!
//! Only a tagged answer completes a command; an end of file, a silence or bytes that are no IMAP are errors for all of
//! them. A command whose future was dropped half way leaves the connection out of step: the next one is refused.

mod heard;
mod news;
mod next;
mod patient;
mod ranges;
mod sending;

use std::collections::VecDeque;

use async_imap::Session;
use tokio::io::AsyncWriteExt;

pub(super) use self::patient::asked_wait_ms;
pub(super) use self::ranges::Ranges;

use self::next::Read;
use self::sending::Sending;
use super::code::{Condition, StatusLine};
use super::command::{Command, NonSync};
use super::layer::Layer;
use super::outward::Line;
use super::refusal;
use super::shim::WireShim;
use crate::sync::remote::{News, RemoteError};
use crate::types::limits;
use crate::upstream::dial::{BoxedStream, Timeouts};

pub(super) use self::heard::{Event, Hear, Heard};

/// What async-imap reads from.
pub(super) type Wire = WireShim<Layer<BoxedStream>>;

/// The command whose end is not waited for.
pub(super) const IDLE: &str = "IDLE";

/// See the module.
pub(super) struct Driver {
    session: Session<Wire>,
    host: String,
    timeouts: Timeouts,
    pub non_sync: NonSync,
    pub pipeline_max: usize,
    /// What is running, for errors.
    request: &'static str,
    busy: bool,
    read: Option<Read>,
    /// The stream has ended, and not all is heard yet.
    stream_end: Option<String>,
    /// All is heard.
    ended: Option<RemoteError>,
    last_tagged: Option<(String, StatusLine)>,
    goodbye: Option<StatusLine>,
    vanished: Ranges,
    touched: bool,
    /// Of what touched, something was EXISTS.
    arrived: bool,
    /// The tag of an IDLE to which DONE was said, and that is not answered yet.
    leaving: Option<String>,
    /// NOTIFY is in force: mailboxes are told of by themselves.
    pub notifies: bool,
    news: Vec<News>,
    /// How many commands were sent.
    sent: u64,
}

impl Driver {
    pub(super) fn new(session: Session<Wire>, host: String, timeouts: Timeouts) -> Self {
        Self {
            session,
            host,
            timeouts,
            non_sync: NonSync::None,
            pipeline_max: limits::UPSTREAM_PIPELINE_MAX,
            request: "login",
            busy: false,
            read: None,
            stream_end: None,
            ended: None,
            last_tagged: None,
            goodbye: None,
            vanished: Ranges::default(),
            touched: false,
            arrived: false,
            leaving: None,
            notifies: false,
            news: Vec::new(),
            sent: 0,
        }
    }

    /// How many commands were sent.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Did the server say goodbye?
    pub(super) const fn is_ending(&self) -> bool {
        self.goodbye.is_some()
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Runs one command that is answered by its tagged line alone.
    pub(super) async fn run_plain(&mut self, command: Command<'_>) -> Result<StatusLine, RemoteError> {
        self.run_one(command, &mut |_| Ok(false)).await
    }

    /// Runs one command; anything but OK is an error.
    pub(super) async fn run_one(
        &mut self,
        command: Command<'_>,
        hear: &mut Hear<'_>,
    ) -> Result<StatusLine, RemoteError> {
        let request = command.request;
        let status = self
            .run(vec![command], hear)
            .await?
            .pop()
            .ok_or(RemoteError::Protocol { request, text: "no answer".to_owned() })?;
        self.check(request, status)
    }

    /// The status if it is OK, else what it means.
    pub(super) fn check(&self, request: &'static str, status: StatusLine) -> Result<StatusLine, RemoteError> {
        match status.condition {
            Condition::Ok => Ok(status),
            _ => Err(refusal::refusal(&self.host, request, &status)),
        }
    }

    /// Runs commands, as many at a time as the server bears, and returns their answers in order. None of them may
    /// depend on another having succeeded.
    pub(super) async fn run<'c>(
        &mut self,
        commands: Vec<Command<'c>>,
        hear: &mut Hear<'_>,
    ) -> Result<Vec<StatusLine>, RemoteError> {
        self.begin("command")?;
        let mut answers: Vec<Option<StatusLine>> = commands.iter().map(|_| None).collect();
        let mut waiting = commands.into_iter().enumerate().peekable();
        let mut running: VecDeque<(String, usize)> = VecDeque::new();
        let mut sending = Sending::default();
        loop {
            while sending.is_done() && running.len() < self.pipeline_max {
                let Some((place, command)) = waiting.next() else { break };
                self.request = command.request;
                let (line, rest) = Sending::start(command.into_segments(self.non_sync));
                running.push_back((self.submit(line).await?, place));
                sending = rest;
            }
            sending.proceed(self.session.get_mut())?;
            if sending.is_done() && running.len() < self.pipeline_max && waiting.peek().is_some() {
                continue;
            }
            if running.is_empty() && sending.is_done() {
                break;
            }
            match self.next(sending.is_streaming()).await? {
                Event::Room => {}
                Event::Continue => sending.awaits_continue = false,
                Event::Heard(heard) => self.pass(heard, hear)?,
                Event::Tagged(tag, status) => {
                    let Some(at) = running.iter().position(|(running, _)| *running == tag) else { continue };
                    let is_last = at + 1 == running.len();
                    let Some((_, place)) = running.remove(at) else { continue };
                    if is_last && sending.needs_continue() {
                        // A refusal instead of "+": the rest is not sent (RFC 3501 section 7.5).
                        if status.condition == Condition::Ok {
                            return Err(self.protocol("OK to a command that is not complete"));
                        }
                        sending.cut_short();
                    }
                    self.session.get_mut().inward.begin_answer();
                    answers[place] = Some(status.clone());
                    hear(Heard::Answered(place, status))?;
                }
            }
        }
        self.busy = false;
        Ok(answers.into_iter().flatten().collect())
    }

    /// Marks the connection as out of step until [`Self::done`]: whoever stops in between leaves it so.
    pub(super) fn begin(&mut self, request: &'static str) -> Result<(), RemoteError> {
        if let Some(ended) = &self.ended {
            // A server that hung up asking to wait must not be waited for on this connection.
            return Err(if ended.connection_lost() { ended.clone() } else { self.lost(&ended.to_string()) });
        }
        if std::mem::replace(&mut self.busy, true) {
            return Err(self.lost("an earlier request was given up half way"));
        }
        self.request = request;
        self.session.get_mut().inward.begin_answer();
        Ok(())
    }

    /// The connection is in step again.
    pub(super) const fn done(&mut self) {
        self.busy = false;
    }

    /// Sends a command's first line; returns its tag.
    pub(super) async fn submit(&mut self, line: Line) -> Result<String, RemoteError> {
        self.sent += 1;
        self.session.get_mut().outward.prepare(line);
        match self.session.run_command("").await {
            Ok(id) => Ok(id.0),
            Err(error) => Err(self.lost(&error.to_string())),
        }
    }

    /// COMPRESS was answered OK, and nothing is running.
    pub(super) fn compress(&mut self) {
        self.session.get_mut().compress();
    }

    /// Sends the last command of this connection, whose answer nobody reads, and closes it for writing.
    pub(super) async fn take_leave(&mut self, command: Command<'_>) -> Result<(), RemoteError> {
        self.begin(command.request)?;
        let (line, _) = Sending::start(command.into_segments(self.non_sync));
        self.submit(line).await?;
        self.session.get_mut().shutdown().await.map_err(|error| self.lost(&error.to_string()))
    }

    /// Sends bytes outside a command line.
    pub(super) fn push(&mut self, bytes: &[u8], shown: &str) {
        self.session.get_mut().outward.push(bytes, shown);
    }

    /// Ends an IDLE. Its answer is not waited for: what is asked next goes out along with DONE.
    pub(super) fn leave_idle(&mut self, tag: String) {
        self.push(b"DONE\r\n", "DONE");
        self.leaving = Some(tag);
        self.done();
    }

    pub(super) fn lost(&self, cause: &str) -> RemoteError {
        RemoteError::Lost { host: self.host.clone(), cause: cause.to_owned() }
    }

    pub(super) fn protocol(&self, text: &str) -> RemoteError {
        RemoteError::Protocol { request: self.request, text: text.to_owned() }
    }
}
