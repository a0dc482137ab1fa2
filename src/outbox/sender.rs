//! The seam to an upstream submission server.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::store;
use crate::types::ByteSource;

/// The envelope of one message, as it was submitted (RFC 5321 section 2.3.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// MAIL FROM; empty is the null reverse-path.
    pub mail_from: String,
    pub recipients: Vec<Recipient>,
    /// BODY=8BITMIME was asked for, or the bytes need it.
    pub eight_bit: bool,
    pub smtp_utf8: bool,
    /// DSN parameters of MAIL, as text after `RET=` and `ENVID=` (RFC 3461 section 4.3).
    pub ret: Option<String>,
    pub envid: Option<String>,
}

impl Envelope {
    /// From one to some, with nothing else asked for.
    pub fn plain(mail_from: &str, recipients: &[&str]) -> Self {
        Self {
            mail_from: mail_from.to_owned(),
            recipients: recipients.iter().copied().map(Recipient::plain).collect(),
            eight_bit: false,
            smtp_utf8: false,
            ret: None,
            envid: None,
        }
    }

    /// The envelope of those recipients alone.
    pub fn part(&self, places: &[usize]) -> Self {
        Self {
            mail_from: self.mail_from.clone(),
            recipients: places.iter().filter_map(|place| self.recipients.get(*place).cloned()).collect(),
            eight_bit: self.eight_bit,
            smtp_utf8: self.smtp_utf8,
            ret: self.ret.clone(),
            envid: self.envid.clone(),
        }
    }
}

/// One recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    pub address: String,
    /// As after `NOTIFY=` and `ORCPT=` (RFC 3461 section 4.1).
    pub notify: Option<String>,
    pub orcpt: Option<String>,
}

impl Recipient {
    /// Nothing is asked for them.
    pub fn plain(address: &str) -> Self {
        Self { address: address.to_owned(), notify: None, orcpt: None }
    }
}

/// What the server said to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Taken over: the server is responsible now.
    Accepted(Reply),
    /// The same, by a server that was not told to report success although the sender asked for it (no DSN extension):
    /// that it was handed on is ours to report (RFC 3461 section 5.2.3).
    AcceptedSilently(Reply),
    /// Not now (4yz).
    Deferred(Reply),
    /// Never (5yz).
    Failed(Reply),
}

/// An SMTP reply (RFC 5321 section 4.2), text without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub code: u16,
    /// RFC 3463, for instance `5.1.1`, where the server gave it.
    pub enhanced: Option<String>,
    pub text: String,
    /// The host that said it; none where it is our own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Reply {
    /// What no server said.
    pub fn own(code: u16, enhanced: &str, text: impl Into<String>) -> Self {
        Self { code, enhanced: Some(enhanced.to_owned()), text: text.into(), by: None }
    }
}

/// Why nothing is known of any recipient of this attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There never was a connection; `place` is host and port.
    #[error("cannot reach {place}: {cause}")]
    Unreachable { place: String, cause: String },
    /// The connection broke before the bytes of the message were complete: nothing was taken over.
    #[error("connection to {host} lost: {cause}")]
    Lost { host: String, cause: String },
    /// It broke after the bytes of the message and before the answer: the server may have taken it over.
    #[error("connection to {host} lost before its answer to the message: {cause}")]
    AnswerLost { host: String, cause: String },
    #[error("no secure connection to {host}: {cause}")]
    Insecure { host: String, cause: String },
    #[error("{host} refused the login: {text}")]
    LoginRefused { host: String, text: String },
    /// The server refuses service for now, or the transaction as a whole with 4yz.
    #[error("{host} refused: {} {}", reply.code, reply.text)]
    Refused { host: String, reply: Reply },
    #[error("cannot read the queued message: {0}")]
    Local(String),
    /// It can be again by itself: too many files are open, say.
    #[error("cannot read the queued message now: {0}")]
    LocalForNow(String),
}

impl SendError {
    /// The bytes of the message could not be read.
    pub fn of_bytes(error: &std::io::Error) -> Self {
        match error.get_ref().and_then(|cause| cause.downcast_ref()) {
            Some(cause) => Self::of_store(cause),
            None => Self::Local(error.to_string()),
        }
    }

    /// The store did not give the message.
    pub fn of_store(error: &store::Error) -> Self {
        match error {
            store::Error::NoContent => Self::Local(error.to_string()),
            _ if error.is_damage() => Self::Local(error.to_string()),
            _ => Self::LocalForNow(error.to_string()),
        }
    }
}

/// Outcomes, and what is still to be said to the servers that gave them.
pub struct HandedOver {
    pub outcomes: Vec<Outcome>,
    /// Goodbyes. A server that hears one knows that we saw its answer, and may take the same message for another from then
    /// on: so they are said once the outcomes are durable. Dropped, the connections just end.
    pub farewell: Vec<Farewell>,
}

/// What is said to a server once its answer is recorded.
pub type Farewell = Pin<Box<dyn Future<Output = ()> + Send>>;

impl HandedOver {
    /// Says goodbye.
    pub async fn and_leave(self) -> Vec<Outcome> {
        for farewell in self.farewell {
            farewell.await;
        }
        self.outcomes
    }
}

/// An upstream submission server.
pub trait Sender: Send + Sync {
    /// Hands one message over. The bytes are those to be sent (Bcc already gone), line ends CRLF.
    /// One outcome for each recipient, in order.
    fn send(
        &self,
        envelope: &Envelope,
        bytes: &mut dyn ByteSource,
    ) -> impl Future<Output = Result<Vec<Outcome>, SendError>> + Send;

    /// The same for one who records the outcomes and says goodbye then.
    fn hand_over(
        &self,
        envelope: &Envelope,
        bytes: &mut dyn ByteSource,
    ) -> impl Future<Output = Result<HandedOver, SendError>> + Send {
        async {
            let outcomes = self.send(envelope, bytes).await?;
            Ok(HandedOver { outcomes, farewell: Vec::new() })
        }
    }
}
