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
    #[serde(with = "octets")]
    pub date: Option<Vec<u8>>,
    #[serde(with = "octets")]
    pub subject: Option<Vec<u8>>,
    pub from: Vec<Address>,
    /// Defaults to `from` (RFC 3501 section 7.4.2), filled in here.
    pub sender: Vec<Address>,
    /// Defaults to `from`, filled in here.
    pub reply_to: Vec<Address>,
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    pub bcc: Vec<Address>,
    #[serde(with = "octets")]
    pub in_reply_to: Option<Vec<u8>>,
    #[serde(with = "octets")]
    pub message_id: Option<Vec<u8>>,
    /// The Date header as seconds since the epoch and minutes east, where it can be read (SENTBEFORE, SORT).
    pub sent: Option<(i64, i16)>,
}

/// An address structure (RFC 3501 section 7.4.2). A group begins with `host: None, mailbox: Some(name)` and ends with
/// both `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    #[serde(with = "octets")]
    pub name: Option<Vec<u8>>,
    #[serde(with = "octets")]
    pub route: Option<Vec<u8>>,
    #[serde(with = "octets")]
    pub mailbox: Option<Vec<u8>>,
    #[serde(with = "octets")]
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
    #[serde(with = "octets")]
    pub content_id: Option<Vec<u8>>,
    #[serde(with = "octets")]
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding, upper case; `7BIT` by default.
    pub encoding: String,
    #[serde(with = "octets")]
    pub md5: Option<Vec<u8>>,
    pub disposition: Option<Disposition>,
    pub language: Vec<Vec<u8>>,
    #[serde(with = "octets")]
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

/// Byte strings as such: serde takes each byte for a value of its own. Postcard writes both alike.
mod octets {
    use std::fmt;

    use serde::de::{Error, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    struct Lent<'a>(&'a [u8]);

    struct Owned(Vec<u8>);

    struct Taking;

    pub fn serialize<S: Serializer>(value: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_deref().map(Lent).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Owned>::deserialize(deserializer)?.map(|Owned(bytes)| bytes))
    }

    impl Serialize for Lent<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }

    impl<'de> Deserialize<'de> for Owned {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_byte_buf(Taking).map(Self)
        }
    }

    impl Visitor<'_> for Taking {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a byte string")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_strings_are_written_as_they_were_byte_by_byte() {
        #[derive(Serialize, Deserialize)]
        struct Before {
            name: Option<Vec<u8>>,
            route: Option<Vec<u8>>,
            mailbox: Option<Vec<u8>>,
            host: Option<Vec<u8>>,
        }
        let long = vec![0xff; 300];
        let before =
            Before { name: Some(long.clone()), route: None, mailbox: Some(Vec::new()), host: Some(vec![0, 1]) };
        let before = postcard::to_stdvec(&before).expect("bytes");
        let now = Address { name: Some(long), route: None, mailbox: Some(Vec::new()), host: Some(vec![0, 1]) };
        assert_eq!(postcard::to_stdvec(&now).expect("bytes"), before);
        assert_eq!(postcard::from_bytes::<Address>(&before).expect("an address"), now);
    }
}
