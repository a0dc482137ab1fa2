//! What is computed once when a message arrives and then serves ENVELOPE, BODYSTRUCTURE, every section and search.

use serde::{Deserialize, Serialize};

/// The summary of one message. Stored; its encoding is postcard, so fields are only ever added with a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub envelope: Envelope,
    /// The message as a tree of parts; the root is the message itself.
    pub root: Part,
}

/// ENVELOPE (RFC 3501 section 7.4.2). Raw header values, unfolded, encoded-words left as they are; `None` is NIL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub date: Option<Vec<u8>>,
    pub subject: Option<Vec<u8>>,
    pub from: Vec<Address>,
    /// Defaults to `from` (RFC 3501 section 7.4.2), filled in here.
    pub sender: Vec<Address>,
    /// Defaults to `from`, filled in here.
    pub reply_to: Vec<Address>,
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    pub bcc: Vec<Address>,
    pub in_reply_to: Option<Vec<u8>>,
    pub message_id: Option<Vec<u8>>,
    /// The Date header as seconds since the epoch and minutes east, where it can be read (SENTBEFORE, SORT).
    pub sent: Option<(i64, i16)>,
}

/// An address structure (RFC 3501 section 7.4.2). A group begins with `host: None, mailbox: Some(name)` and ends with
/// both `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub name: Option<Vec<u8>>,
    pub route: Option<Vec<u8>>,
    pub mailbox: Option<Vec<u8>>,
    pub host: Option<Vec<u8>>,
}

/// A MIME entity and where it stands in the message's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Where its header begins.
    pub header_start: u64,
    /// Where its body begins: after the empty line.
    pub body_start: u64,
    /// Where its body ends: before the line break that belongs to the next boundary (RFC 2046 section 5.1.1).
    pub end: u64,
    /// Line breaks in the body.
    pub lines: u64,
    /// Media type, upper case: `TEXT`, `MULTIPART`. Defaults as RFC 2045 section 5.2, and `MESSAGE` within digests.
    pub media_type: String,
    /// Subtype, upper case.
    pub media_subtype: String,
    /// Content-Type parameters in order; names upper case, values raw (RFC 2231 continuations joined).
    pub parameters: Parameters,
    pub content_id: Option<Vec<u8>>,
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding, upper case; `7BIT` by default.
    pub encoding: String,
    pub md5: Option<Vec<u8>>,
    pub disposition: Option<Disposition>,
    pub language: Vec<Vec<u8>>,
    pub location: Option<Vec<u8>>,
    pub body: Body,
}

/// Parameters in order: names upper case, values raw.
pub type Parameters = Vec<(String, Vec<u8>)>;

/// Content-Disposition (RFC 2183).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disposition {
    /// Upper case: `INLINE`, `ATTACHMENT`.
    pub kind: String,
    pub parameters: Parameters,
}

/// What a part holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Bytes.
    Leaf,
    /// Parts, in order.
    Multipart(Vec<Part>),
    /// A whole message (message/rfc822, message/global): its envelope and its root part.
    Message(Box<Envelope>, Box<Part>),
}
