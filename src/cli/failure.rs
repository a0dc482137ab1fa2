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
            Self::Daemon(CallError::Unavailable { cause, .. }) if is_no_place(cause) => Exit::Config,
            Self::Daemon(CallError::Unavailable { .. }) => Exit::Unavailable,
            Self::Daemon(CallError::Failed(failure)) => match failure.code {
                control::Failure::NOT_FOUND | control::Failure::INVALID_PARAMS => Exit::Usage,
                control::Failure::NOT_NOW => Exit::TempFail,
                control::Failure::NOT_PERMITTED => Exit::NoPermission,
                control::Failure::INTERNAL => Exit::Software,
                _ => Exit::Failed,
            },
            Self::Daemon(CallError::Unintelligible) => Exit::Software,
            Self::NoHome(_) => Exit::Config,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Output(_) => Exit::TempFail,
            Self::Said { exit, .. } => *exit,
        }
    }

    /// Says it, and how the program ends.
    pub fn tell(&self) -> Exit {
        if let Some(message) = self.message() {
            eprintln!("syncctl: {message}");
        }
        self.exit()
    }

    /// What is said of it; nothing where whoever read the output has had enough.
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Daemon(error @ CallError::Unavailable { cause, .. }) => {
                let remedy = match cause.kind() {
                    _ if is_no_place(cause) => "Say --data DIR, with the folder that syncd has its data in.",
                    io::ErrorKind::PermissionDenied => "That daemon is another user's: say --data DIR of one of yours.",
                    _ => "Start it with `syncd`, or `systemctl --user start mailtide`.",
                };
                Some(format!("{error}\n{remedy}"))
            }
            other => Some(other.to_string()),
        }
    }
}

/// There can be no daemon at a place below what is no folder.
fn is_no_place(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::NotADirectory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_no_daemon_answers_decides_what_helps() {
        for (kind, remedy, exit) in [
            (io::ErrorKind::NotFound, "Start it with `syncd`", Exit::Unavailable),
            (io::ErrorKind::ConnectionRefused, "Start it with `syncd`", Exit::Unavailable),
            (io::ErrorKind::PermissionDenied, "another user's", Exit::Unavailable),
            (io::ErrorKind::NotADirectory, "Say --data DIR", Exit::Config),
        ] {
            let failure =
                Failure::Daemon(CallError::Unavailable { path: "/d/control.sock".into(), cause: kind.into() });
            assert_eq!(failure.exit(), exit, "{kind}");
            let message = failure.message().expect("a message");
            assert!(message.contains("/d/control.sock") && message.contains(remedy), "{message}");
        }
    }

    #[test]
    fn what_the_daemon_says_decides_how_it_ends() {
        for (failure, exit) in [
            (control::Failure::not_found("x"), Exit::Usage),
            (control::Failure::wrong("x"), Exit::Usage),
            (control::Failure::not_permitted("x"), Exit::NoPermission),
            (control::Failure::not_possible("x"), Exit::Failed),
            (control::Failure::not_now("x"), Exit::TempFail),
            (control::Failure::internal("x"), Exit::Software),
        ] {
            assert_eq!(Failure::Daemon(CallError::Failed(failure.clone())).exit(), exit, "{failure:?}");
        }
    }
}
