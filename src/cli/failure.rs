//! Why a command did not do what it was asked, and how the program ends then.

use std::io;

use crate::agent::Exit;
use crate::agent::paths::NoHome;
use crate::control::{self, CallError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Daemon(#[from] CallError),
    #[error(transparent)]
    NoHome(#[from] NoHome),
    /// The reader of our output went away, or its disk is full.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
    #[error("{message}")]
    Said { message: String, exit: Exit },
}

impl Failure {
    /// How the program ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Daemon(CallError::Unavailable { .. }) => Exit::Unavailable,
            Self::Daemon(CallError::Failed(failure)) if failure.code == control::Failure::NOT_FOUND => Exit::Usage,
            Self::Daemon(CallError::Failed(failure)) if failure.code == control::Failure::INTERNAL => Exit::Software,
            Self::Daemon(CallError::Failed(_)) => Exit::Failed,
            Self::Daemon(CallError::Unintelligible) => Exit::Software,
            Self::NoHome(_) => Exit::Config,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Output(_) => Exit::TempFail,
            Self::Said { exit, .. } => *exit,
        }
    }

    /// What is said of it; nothing where whoever read the output has had enough.
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Daemon(error @ CallError::Unavailable { .. }) => {
                Some(format!("{error}\nStart it with `syncd`, or `systemctl --user start mailtide`."))
            }
            other => Some(other.to_string()),
        }
    }
}
