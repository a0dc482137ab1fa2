//! The seam to a maildrop, in the words of mail.
//!
//! Failure is never an empty answer: a call returns `Ok` only after the server gave the whole of it. After an error the
//! connection is of no more use, and nothing was deleted by it, unless it was [`Maildrop::leave`] that failed.

use std::future::Future;
use std::io;

use crate::sync::remote::RemoteError;

/// A message as the server lists it. Its number is good for one visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub number: u32,
    /// What the server says; some say otherwise each time.
    pub size_bytes: u64,
    /// UIDL; `None` where the server tells none.
    pub unique_id: Option<String>,
}

impl Listed {
    /// By what a message that was not given is known again at the next visit.
    pub fn called(&self) -> String {
        match &self.unique_id {
            Some(id) => id.clone(),
            None => format!("(without a unique id, number {}, {} bytes)", self.number, self.size_bytes),
        }
    }
}

/// How much of a message is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The header; what follows it may come along.
    Header,
    Whole,
}

/// Where the bytes of messages go, dots undone. For each: `begin`, `write` as often as needed, `end`; or `refused`.
/// A message begun and not ended (a cut) leaves nothing.
pub trait LetterSink: Send {
    fn begin(&mut self, number: u32) -> io::Result<()>;
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn end(&mut self) -> io::Result<()>;
    /// The server does not give this one.
    fn refused(&mut self, number: u32, why: String) -> io::Result<()>;
}

/// A maildrop, open, and locked by the server for as long.
pub trait Maildrop: Send {
    /// Can a header be had without the rest (TOP)?
    fn gives_headers(&self) -> bool;
    /// Every message.
    fn list(&mut self) -> impl Future<Output = Result<Vec<Listed>, RemoteError>> + Send;
    /// These messages, or the headers of them.
    fn fetch(
        &mut self,
        wanted: &[(u32, Extent)],
        sink: &mut dyn LetterSink,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;
    /// Marks messages, to be deleted by [`Self::leave`]. How many the server marked.
    fn delete(&mut self, numbers: &[u32]) -> impl Future<Output = Result<usize, RemoteError>> + Send;
    /// Ends the visit. Only now what was marked is deleted.
    fn leave(&mut self) -> impl Future<Output = Result<(), RemoteError>> + Send;
}

/// Opens an account's maildrop.
pub trait OpenMaildrop: Send + Sync {
    type Maildrop: Maildrop;
    fn open(&self) -> impl Future<Output = Result<Self::Maildrop, RemoteError>> + Send;
}
