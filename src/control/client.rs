//! The other end: one question after the other.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::UnixStream;

use super::Request;
use super::wire::{Failure, Incoming, parse_incoming, read_line, request_line, write_line};
use crate::types::limits;

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client<S = UnixStream> {
    stream: BufReader<S>,
    path: PathBuf,
    asked: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No daemon, or it went away.
    #[error("no syncd answers at {}: {cause}", path.display())]
    Unavailable { path: PathBuf, cause: io::Error },
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The daemon is of another version.
    #[error("syncd answers in a form this syncctl does not know; restart syncd after an upgrade")]
    Unintelligible,
}

impl Client {
    /// Connects to the daemon at `path`.
    pub async fn connect(path: &Path) -> Result<Self, CallError> {
        let stream =
            UnixStream::connect(path).await.map_err(|cause| CallError::Unavailable { path: path.to_owned(), cause })?;
        Ok(Self::over(stream, path))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Speaks over `stream`; `path` is what errors call it.
    pub fn over(stream: S, path: &Path) -> Self {
        Self { stream: BufReader::new(stream), path: path.to_owned(), asked: 0 }
    }

    /// Asks and waits for the answer.
    pub async fn call<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, CallError> {
        self.asked += 1;
        let line = request_line(self.asked, request);
        write_line(&mut self.stream, &line).await.map_err(|cause| self.unavailable(cause))?;
        match self.incoming().await? {
            Incoming::Answer(Ok(value)) => serde_json::from_value(value).map_err(|_| CallError::Unintelligible),
            Incoming::Answer(Err(failure)) => Err(failure.into()),
            Incoming::Notification(_) => Err(CallError::Unintelligible),
        }
    }

    /// The next notification after [`Request::Follow`].
    pub async fn notification<T: DeserializeOwned>(&mut self) -> Result<T, CallError> {
        match self.incoming().await? {
            Incoming::Notification(value) => serde_json::from_value(value).map_err(|_| CallError::Unintelligible),
            Incoming::Answer(_) => Err(CallError::Unintelligible),
        }
    }

    /// Waits until the daemon goes away, or says what it was not asked.
    pub async fn closed(&mut self) {
        let _ = self.incoming().await;
    }

    async fn incoming(&mut self) -> Result<Incoming, CallError> {
        match read_line(&mut self.stream, limits::CONTROL_ANSWER_MAX_BYTES).await {
            Ok(Some(line)) => parse_incoming(&line).ok_or(CallError::Unintelligible),
            Ok(None) => Err(self.unavailable(io::ErrorKind::UnexpectedEof.into())),
            Err(cause) => Err(self.unavailable(cause)),
        }
    }

    fn unavailable(&self, cause: io::Error) -> CallError {
        CallError::Unavailable { path: self.path.clone(), cause }
    }
}
