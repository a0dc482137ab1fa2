//! A look at a store that nobody has open: is it one that would open, and does its database hold together? Writes nothing,
//! and leaves no file that was not there.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::files::{Files, open_looking};
use super::migrate::{self, HOT};
use super::{Error, Result};

/// What a look found where nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inspected {
    /// There is no store yet.
    Absent,
    Sound,
    /// As far as it could be read in the time there was.
    SoundSoFar,
}

/// How many steps SQLite takes between two looks at the clock: well below a second's.
const STEPS: i32 = 10_000;

/// Looks at the store in `folder` until `is_over` says that there is no more time.
pub fn inspect(folder: &Path, is_over: impl FnMut() -> bool + Send + 'static) -> Result<Inspected> {
    let path = Files::of(folder).hot;
    let wrong = |error| Error::open(&path, error);
    if !path.try_exists().map_err(|error| Error::io(&path, error))? {
        return Ok(Inspected::Absent);
    }
    migrate::refuse_newer(&path, HOT).map_err(wrong)?;
    Ok(match holds_together(&path, is_over).map_err(wrong)? {
        true => Inspected::Sound,
        false => Inspected::SoundSoFar,
    })
}

/// False: there was no time to read all of it.
fn holds_together(path: &Path, is_over: impl FnMut() -> bool + Send + 'static) -> Result<bool> {
    let mut conn = open(path)?;
    conn.progress_handler(STEPS, Some(is_over))?;
    let told = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match told {
        Ok(told) if told == "ok" => Ok(true),
        Ok(fault) => Err(Error::Damaged(format!("{}: {fault}", path.display()))),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A database that was closed cleanly is opened as one that nobody writes: SQLite would else put a write-ahead log beside
/// it.
fn open(path: &Path) -> Result<Connection> {
    if migrate::has_log(path).map_err(|error| Error::io(path, error))? {
        return open_looking(path);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Ok(Connection::open_with_flags(immutable(path), flags)?)
}

/// As an URI (sqlite.org/uri.html).
fn immutable(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => write!(uri, "%{byte:02X}").expect("a String takes all"),
        }
    }
    uri + "?immutable=1"
}
