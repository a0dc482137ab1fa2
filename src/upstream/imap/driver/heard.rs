//! What is heard on a connection.

use bytes::Bytes;

use crate::message::Part;
use crate::sync::remote::RemoteError;
use crate::upstream::imap::code::StatusLine;
use crate::upstream::imap::fetch::FetchedItems;
use crate::upstream::imap::untagged::Untagged;

/// What the server said while commands run.
#[derive(Debug)]
pub(in crate::upstream::imap) enum Heard {
    Untagged(Untagged),
    Fetch(FetchedItems),
    /// Kept for [`Driver::take_vanished`] as well.
    Vanished(Vec<(u32, u32)>),
    BodyBegins(u64),
    Body(Bytes),
    BodyEnds,
    /// BODYSTRUCTURE of the message told of next.
    Structure(Box<Part>),
    /// The command at this place of those run was answered.
    Answered(usize, StatusLine),
}

impl Heard {
    /// Of commands that stand at other places of what was asked.
    pub(super) fn at(self, place_of: impl FnOnce(usize) -> usize) -> Self {
        match self {
            Self::Answered(place, status) => Self::Answered(place_of(place), status),
            heard => heard,
        }
    }
}

/// Takes what is heard: true if it was an answer to what was asked, false if the server told it by itself.
pub(in crate::upstream::imap) type Hear<'a> = dyn FnMut(Heard) -> Result<bool, RemoteError> + Send + 'a;

/// What happened on the connection.
pub(in crate::upstream::imap) enum Event {
    Heard(Heard),
    Continue,
    Tagged(String, StatusLine),
    /// What was to be sent is sent, or nearly.
    Room,
}
