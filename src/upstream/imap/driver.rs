//! Owns the async-imap session of one connection: sends commands, several at once where they allow it, and reads until
//! each has its tagged answer.
//!
//! Only a tagged answer completes a command; an end of file, a silence or bytes that are no IMAP are errors for all of
//! them. A command whose future was dropped half way leaves the connection out of step: the next one is refused.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_imap::Session;
use async_imap::imap_proto::Response;
use tokio::time::timeout;

use super::code::{Code, Condition, StatusLine};
use super::command::{Command, NonSync, Segment};
use super::fetch::FetchedItems;
use super::inward::{Fault, Told};
use super::layer::Layer;
use super::outward::Line;
use super::refusal;
use super::shim::WireShim;
use super::untagged::Untagged;
use crate::message::Part;
use crate::sync::remote::{News, RemoteError, RemoteName, Woken};
use crate::types::{RemoteUid, UidSet, limits};
use crate::upstream::dial::{BoxedStream, Timeouts};

/// What async-imap reads from.
pub(super) type Wire = WireShim<Layer<BoxedStream>>;

/// What the server said while commands run.
#[derive(Debug)]
pub(super) enum Heard {
    Untagged(Untagged),
    Fetch(FetchedItems),
    /// Kept for [`Driver::take_vanished`] as well.
    Vanished(Vec<(u32, u32)>),
    BodyBegins(u64),
    Body(Vec<u8>),
    BodyEnds,
    /// BODYSTRUCTURE of the message told of next.
    Structure(Box<Part>),
    /// The command at this place of those run was answered.
    Answered(usize, StatusLine),
}

/// Takes what is heard: true if it was an answer to what was asked, false if the server told it by itself.
pub(super) type Hear<'a> = dyn FnMut(Heard) -> Result<bool, RemoteError> + Send + 'a;

/// What happened on the connection.
pub(super) enum Event {
    Heard(Heard),
    Continue,
    Tagged(String, StatusLine),
    /// What was to be sent is sent, or nearly.
    Room,
}

/// What async-imap read.
enum Read {
    Tagged,
    Continue,
    Fetch(FetchedItems),
    Vanished(Vec<(u32, u32)>),
    Other,
}

/// The command whose end is not waited for.
pub(super) const IDLE: &str = "IDLE";
/// How many bytes of a streamed literal wait to be written at most.
const UNSENT_MAX_BYTES: usize = limits::CONTENT_CHUNK_BYTES;
/// How many bytes are read from a source at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Ranges of vanished UIDs that nobody asked for yet. A mailbox that lost every second of two million messages fits.
const VANISHED_MAX_RANGES: usize = 1_000_000;

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
    vanished: Vec<(u32, u32)>,
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
            vanished: Vec::new(),
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

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Whether the server told of a change by itself since last asked, and whether messages may have come with it.
    pub(super) fn take_touched(&mut self) -> Option<Woken> {
        let arrived = std::mem::take(&mut self.arrived);
        std::mem::take(&mut self.touched).then_some(if arrived { Woken::Arrived } else { Woken::Changed })
    }

    /// Whether it did.
    pub(super) const fn is_touched(&self) -> bool {
        self.touched
    }

    /// UIDs that vanished since last asked.
    pub(super) fn take_vanished(&mut self) -> UidSet<RemoteUid> {
        UidSet::from_ranges(std::mem::take(&mut self.vanished))
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
        let mut waiting = commands.into_iter().enumerate();
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
                    if is_last && sending.awaits_continue {
                        // A refusal instead of "+": the rest is not sent (RFC 3501 section 7.5).
                        if status.condition == Condition::Ok {
                            return Err(self.protocol("OK to a command that is not complete"));
                        }
                        sending = Sending::default();
                    }
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

    /// Sends bytes outside a command line.
    pub(super) fn push(&mut self, bytes: &[u8], shown: &str) {
        self.session.get_mut().outward.push(bytes, shown);
    }

    /// Hands on what was heard; keeps what nobody asked for.
    pub(super) fn pass(&mut self, heard: Heard, hear: &mut Hear<'_>) -> Result<(), RemoteError> {
        let may_be_news = matches!(
            heard,
            Heard::Fetch(_)
                | Heard::Vanished(_)
                | Heard::Untagged(Untagged::Exists(_) | Untagged::Expunge | Untagged::Unusable(_))
        );
        if let Heard::Untagged(Untagged::Unusable(what)) = &heard
            && *what != "VANISHED"
        {
            return Err(self.protocol(&format!("a malformed {what} response")));
        }
        if self.notifies {
            self.note(&heard)?;
        }
        let is_exists = matches!(heard, Heard::Untagged(Untagged::Exists(_)));
        let is_news = match self.leaving.is_some() {
            // It is told of the mailbox that was watched. What comes next asks for what is new there, but another IDLE.
            true => self.request == IDLE,
            false => !hear(heard)?,
        };
        self.touched |= is_news && may_be_news;
        self.arrived |= is_news && is_exists;
        Ok(())
    }

    /// What NOTIFY brings beside what concerns the mailbox selected (RFC 5465 section 5).
    fn note(&mut self, heard: &Heard) -> Result<(), RemoteError> {
        let news = match heard {
            Heard::Untagged(Untagged::MailboxStatus(status)) => News {
                name: Some(RemoteName(String::from_utf8_lossy(&status.name).into_owned())),
                messages: status.messages,
                uid_next: status.uid_next,
                highest_mod_seq: status.highest_mod_seq,
            },
            Heard::Untagged(Untagged::List(_)) => News::default(),
            // From here on nothing is told any more (section 5.8).
            Heard::Untagged(Untagged::Status(StatusLine { code: Some(Code::Other(name)), .. }))
                if name == "NOTIFICATIONOVERFLOW" =>
            {
                return Err(self.lost("the server gave up telling of changes"));
            }
            _ => return Ok(()),
        };
        self.touched = true;
        self.news.retain(|other| other.name != news.name);
        if self.news.len() < limits::MAILBOXES_MAX {
            self.news.push(news);
        }
        Ok(())
    }

    /// What was told of mailboxes since last asked.
    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Ends an IDLE. Its answer is not waited for: what is asked next goes out along with DONE.
    pub(super) fn leave_idle(&mut self, tag: String) {
        self.push(b"DONE\r\n", "DONE");
        self.leaving = Some(tag);
        self.done();
    }

    /// The answer to an IDLE that was ended. What it refuses is seen by what is asked next.
    fn left_idle(&mut self, status: StatusLine) -> Result<(), RemoteError> {
        self.leaving = None;
        match self.check(IDLE, status) {
            Ok(_) | Err(RemoteError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The next thing that happens. `wants_room`: also tell when there is room to send more.
    pub(super) async fn next(&mut self, wants_room: bool) -> Result<Event, RemoteError> {
        loop {
            // A line on which nothing was asked for long may be dead: the answer to DONE shows.
            let silence_ms = match self.leaving {
                Some(_) => self.timeouts.silence_ms.min(limits::UPSTREAM_PROBE_TIMEOUT_MS),
                None => self.timeouts.silence_ms,
            };
            let silence = Duration::from_millis(silence_ms);
            let moved = self.session.get_ref().moved_bytes();
            match timeout(silence, self.next_unhurried(wants_room)).await {
                Ok(event) => return event,
                Err(_) if self.session.get_ref().moved_bytes() != moved => {}
                Err(_) => {
                    let lost = self.lost(&format!("no answer for {} s", silence_ms / 1000));
                    self.ended = Some(lost.clone());
                    return Err(lost);
                }
            }
        }
    }

    /// As [`Self::next`], however long it takes: for IDLE.
    pub(super) fn next_unhurried(
        &mut self,
        wants_room: bool,
    ) -> impl Future<Output = Result<Event, RemoteError>> + Send + '_ {
        poll_fn(move |cx| self.poll_next(cx, wants_room))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, wants_room: bool) -> Poll<Result<Event, RemoteError>> {
        loop {
            while let Some(told) = self.session.get_mut().inward.take_told() {
                match told {
                    Told::Tagged(tag, status) => self.last_tagged = Some((tag, status)),
                    Told::Continue(_) => {}
                    Told::Untagged(Untagged::Status(status)) if status.condition == Condition::Bye => {
                        self.goodbye = Some(status);
                    }
                    Told::Untagged(untagged) => return Poll::Ready(Ok(Event::Heard(Heard::Untagged(untagged)))),
                    Told::BodyBegins(size) => return Poll::Ready(Ok(Event::Heard(Heard::BodyBegins(size)))),
                    Told::Body(bytes) => return Poll::Ready(Ok(Event::Heard(Heard::Body(bytes)))),
                    Told::BodyEnds => return Poll::Ready(Ok(Event::Heard(Heard::BodyEnds))),
                    Told::Structure(part) => return Poll::Ready(Ok(Event::Heard(Heard::Structure(part)))),
                }
            }
            match self.read.take() {
                Some(Read::Tagged) => {
                    if let Some((tag, status)) = self.last_tagged.take() {
                        if self.leaving.as_ref() == Some(&tag) {
                            match self.left_idle(status) {
                                Ok(()) => continue,
                                Err(error) => return Poll::Ready(Err(error)),
                            }
                        }
                        return Poll::Ready(Ok(Event::Tagged(tag, status)));
                    }
                }
                Some(Read::Continue) => return Poll::Ready(Ok(Event::Continue)),
                Some(Read::Fetch(items)) => return Poll::Ready(Ok(Event::Heard(Heard::Fetch(items)))),
                Some(Read::Vanished(ranges)) => {
                    let kept = self.vanish(&ranges);
                    return Poll::Ready(kept.map(|()| Event::Heard(Heard::Vanished(ranges))));
                }
                Some(Read::Other) | None => {}
            }
            if let Some(cause) = self.stream_end.take() {
                self.ended.get_or_insert(self.end_of_stream(&cause));
            }
            if let Some(ended) = &self.ended {
                return Poll::Ready(Err(ended.clone()));
            }
            let polled = pin!(self.session.read_response()).poll(cx).map_ok(|response| {
                let response = response.as_ref();
                response.map(|response| Read::of(response.parsed()))
            });
            match polled {
                Poll::Ready(Ok(Some(read))) => self.read = Some(read),
                // What was told before the end comes first: it may say why.
                Poll::Ready(Ok(None)) => self.stream_end = Some("the server closed it".to_owned()),
                Poll::Ready(Err(error)) => self.stream_end = Some(error.to_string()),
                Poll::Pending if self.session.get_ref().inward.has_told() => {}
                Poll::Pending if wants_room && self.session.get_ref().outward.unsent() < UNSENT_MAX_BYTES => {
                    return Poll::Ready(Ok(Event::Room));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Keeps UIDs until they are asked for.
    pub(super) fn vanish(&mut self, ranges: &[(u32, u32)]) -> Result<(), RemoteError> {
        self.vanished.extend_from_slice(ranges);
        if self.vanished.len() > VANISHED_MAX_RANGES {
            self.vanished = self.take_vanished().ranges().to_vec();
            if self.vanished.len() > VANISHED_MAX_RANGES {
                return Err(self.protocol("more VANISHED UIDs than any mailbox holds"));
            }
        }
        Ok(())
    }

    /// Why there is nothing more to read.
    fn end_of_stream(&self, cause: &str) -> RemoteError {
        match (self.session.get_ref().fault(), &self.goodbye) {
            (Some(fault), _) => fault_error(self.request, fault),
            (None, Some(goodbye)) => refusal::wait(goodbye)
                .unwrap_or_else(|| self.lost(&format!("the server said goodbye: {}", goodbye.text))),
            (None, None) => self.lost(cause),
        }
    }

    pub(super) fn lost(&self, cause: &str) -> RemoteError {
        RemoteError::Lost { host: self.host.clone(), cause: cause.to_owned() }
    }

    pub(super) fn protocol(&self, text: &str) -> RemoteError {
        RemoteError::Protocol { request: self.request, text: text.to_owned() }
    }
}

/// What a fault of the stream means.
pub(super) fn fault_error(request: &'static str, fault: &Fault) -> RemoteError {
    RemoteError::Protocol { request, text: fault.to_string() }
}

impl Read {
    fn of(response: &Response<'_>) -> Self {
        match response {
            Response::Done { .. } => Self::Tagged,
            Response::Continue(_) => Self::Continue,
            Response::Vanished { uids, .. } => {
                Self::Vanished(uids.iter().map(|range| (*range.start(), *range.end())).collect())
            }
            response => FetchedItems::of(response).map_or(Self::Other, Self::Fetch),
        }
    }
}

/// What is left to send of the command sent last.
#[derive(Default)]
struct Sending<'c> {
    segments: VecDeque<Segment<'c>>,
    awaits_continue: bool,
}

impl<'c> Sending<'c> {
    /// The first line of a command, and the rest.
    fn start(mut segments: VecDeque<Segment<'c>>) -> (Line, Self) {
        match segments.pop_front() {
            Some(Segment::Line { line, awaits_continue }) => (line, Self { segments, awaits_continue }),
            other => {
                segments.extend(other);
                (Line::default(), Self { segments, awaits_continue: false })
            }
        }
    }

    fn is_done(&self) -> bool {
        self.segments.is_empty()
    }

    fn is_streaming(&self) -> bool {
        !self.awaits_continue && matches!(self.segments.front(), Some(Segment::Stream { .. }))
    }

    /// Sends as much as can be sent now.
    fn proceed(&mut self, wire: &mut Wire) -> Result<(), RemoteError> {
        while !self.awaits_continue {
            match self.segments.front_mut() {
                None => return Ok(()),
                Some(Segment::Line { line, awaits_continue }) => {
                    wire.outward.push(&line.bytes, &line.shown);
                    self.awaits_continue = *awaits_continue;
                    self.segments.pop_front();
                }
                Some(Segment::Stream { source, sent }) => {
                    if *sent == source.size() {
                        self.segments.pop_front();
                        continue;
                    }
                    if wire.outward.unsent() >= UNSENT_MAX_BYTES {
                        return Ok(());
                    }
                    let left = usize::try_from(source.size() - *sent).unwrap_or(usize::MAX);
                    let bytes = source.read_at(*sent, left.min(CHUNK_BYTES));
                    let bytes = bytes.map_err(|error| RemoteError::Local(error.to_string()))?;
                    if bytes.is_empty() || bytes.len() > left {
                        return Err(RemoteError::Local("the message is not as long as it was".to_owned()));
                    }
                    *sent += bytes.len() as u64;
                    wire.outward.push(&bytes, "");
                }
            }
        }
        Ok(())
    }
}
