//! How the programs end: the exit codes of all three, in one place (sysexits.h where it has a word for it).

use std::ffi::OsString;
use std::process::ExitCode;

/// Why a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done,
    /// It was tried or looked at, and it is not as it should be.
    Failed,
    /// EX_USAGE: the command line is wrong, or names what is not there.
    Usage,
    /// EX_UNAVAILABLE: no daemon answers.
    Unavailable,
    /// EX_SOFTWARE: our own fault.
    Software,
    /// EX_TEMPFAIL: not now; later it may work.
    TempFail,
    /// EX_NOPERM: a login was refused.
    NoPermission,
    /// EX_CONFIG: the configuration, or the data it names, must be changed first.
    Config,
}

impl Exit {
    /// As the shell sees it.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::TempFail => 75,
            Self::NoPermission => 77,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Reads the command line. Help and version are printed and end well; a mistake is told and is EX_USAGE.
pub fn parse_arguments<A: clap::Parser>() -> Result<A, Exit> {
    parse_arguments_from(std::env::args_os())
}

/// The same, for a command line that is given.
pub fn parse_arguments_from<A: clap::Parser>(line: impl IntoIterator<Item = OsString>) -> Result<A, Exit> {
    A::try_parse_from(line).map_err(|told| {
        // Whoever closed our output does not want to be told.
        let _ = told.print();
        if told.use_stderr() { Exit::Usage } else { Exit::Done }
    })
}
