//! The next thing that happens on a connection: one poll of async-imap, and what its stream told beside it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_imap::imap_proto::Response;
use tokio::time::timeout;

use super::sending::UNSENT_MAX_BYTES;
use super::{Driver, Event, Heard, IDLE};
use crate::sync::remote::RemoteError;
use crate::types::limits;
use crate::upstream::imap::code::{Condition, StatusLine};
use crate::upstream::imap::fetch::FetchedItems;
use crate::upstream::imap::inward::Told;
use crate::upstream::imap::refusal;
use crate::upstream::imap::untagged::Untagged;

/// What async-imap read.
pub(super) enum Read {
    Tagged,
    Continue,
    Fetch(FetchedItems),
    Vanished(Vec<(u32, u32)>),
    Other,
}

impl Driver {
    /// The next thing that happens. `wants_room`: also tell when there is room to send more.
    pub(in crate::upstream::imap) async fn next(&mut self, wants_room: bool) -> Result<Event, RemoteError> {
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
    pub(in crate::upstream::imap) fn next_unhurried(
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

    /// The answer to an IDLE that was ended. What it refuses is seen by what is asked next.
    fn left_idle(&mut self, status: StatusLine) -> Result<(), RemoteError> {
        self.leaving = None;
        match self.check(IDLE, status) {
            Ok(_) | Err(RemoteError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Why there is nothing more to read.
    fn end_of_stream(&self, cause: &str) -> RemoteError {
        match (self.session.get_ref().fault(), &self.goodbye) {
            (Some(fault), _) => self.protocol(&fault.to_string()),
            (None, Some(goodbye)) => refusal::wait(goodbye)
                .unwrap_or_else(|| self.lost(&format!("the server said goodbye: {}", goodbye.text))),
            (None, None) => self.lost(cause),
        }
    }
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
