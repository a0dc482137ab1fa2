//! What is left to send of a command: lines, and literals streamed from their source in bounded memory.

use std::collections::VecDeque;

use super::Wire;
use crate::sync::remote::RemoteError;
use crate::types::limits;
use crate::upstream::imap::command::Segment;
use crate::upstream::imap::outward::Line;

/// How many bytes of a streamed literal wait to be written at most.
pub(super) const UNSENT_MAX_BYTES: usize = limits::CONTENT_CHUNK_BYTES;
/// How many bytes are read from a source at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What is left to send of the command sent last.
#[derive(Default)]
pub(super) struct Sending<'c> {
    segments: VecDeque<Segment<'c>>,
    pub(super) awaits_continue: bool,
}

impl<'c> Sending<'c> {
    /// The first line of a command, and the rest.
    pub(super) fn start(mut segments: VecDeque<Segment<'c>>) -> (Line, Self) {
        match segments.pop_front() {
            Some(Segment::Line { line, awaits_continue }) => (line, Self { segments, awaits_continue }),
            other => {
                segments.extend(other);
                (Line::default(), Self { segments, awaits_continue: false })
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn is_streaming(&self) -> bool {
        !self.awaits_continue && matches!(self.segments.front(), Some(Segment::Stream { .. }))
    }

    /// Must the server ask for what is left of it, now or later?
    pub(super) fn needs_continue(&self) -> bool {
        self.awaits_continue || self.place_of_next_wait().is_some()
    }

    /// Leaves out what the server would have to ask for. A literal that it did ask for is sent to its end, and the line ended.
    pub(super) fn cut_short(&mut self) {
        if self.awaits_continue {
            *self = Self::default();
        } else if let Some(at) = self.place_of_next_wait() {
            self.segments.truncate(at);
            let mut line = Line::default();
            line.text(b"\r\n");
            self.segments.push_back(Segment::Line { line, awaits_continue: false });
        }
    }

    fn place_of_next_wait(&self) -> Option<usize> {
        self.segments.iter().position(|segment| matches!(segment, Segment::Line { awaits_continue: true, .. }))
    }

    /// Sends as much as can be sent now.
    pub(super) fn proceed(&mut self, wire: &mut Wire) -> Result<(), RemoteError> {
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
