//! Room on a disk that is nearly full: the logs are the first to give some back.
//!
//! SQLite copies a log back late and keeps its file at the length it once had, which is quick; on a small disk the logs
//! may so be most of what there is, and copying one back takes room as well. So what is in a log is copied back before the
//! next change, and the log cut to nothing, while there still is room for that: as much as the log is long, and some to
//! spare. The last of the room is not for bytes of messages, nor for the search index: whoever deletes some, or flags what
//! is there, needs it, and then no log is kept at all.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::{Result, files};

/// A log shorter than this is left alone, as long as the last of the room is not touched.
const LOG_KEPT_BYTES: u64 = 256 * 1024;

/// What is to be spared: a few messages, and the log of what is done with them.
const SPARED_BYTES: u64 = 4 * 1024 * 1024;

/// What messages leave to what is done with them.
const RESERVED_BYTES: u64 = 1024 * 1024;

/// What a change may take before the log is cut: as much log as is kept, and as much again where it is copied to.
const CHANGE_BYTES: u64 = 2 * LOG_KEPT_BYTES;

/// What a message takes beside its bytes: its rows, in the log and in the database. Some pages of the database; measured.
const ROWS_BYTES: u64 = 32 * 1024;

/// How long those who read from the log are waited for: they read little at once.
const PATIENCE: Duration = Duration::from_millis(200);

/// What is to become of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice {
    Keep,
    Cut,
    /// There is no room to copy it back.
    TooLate,
}

/// Has `cut` shorten the log, where room is short.
pub(super) fn give_back(log: &Path, cut: impl FnOnce() -> Result<()>) {
    if advice(log) == Advice::Keep {
        return;
    }
    // However late it is: most of what is in the log has its place in the database already.
    if let Err(error) = cut() {
        // The change for which room was wanted may find enough all the same.
        tracing::debug!(%error, log = %log.display(), "room is short, and the log could not be cut");
    }
}

pub(super) fn advice(log: &Path) -> Advice {
    let length = log.metadata().map_or(0, |log| log.len());
    let is_long = length > LOG_KEPT_BYTES;
    match beside(log) {
        Some(room) if length > 0 && room < length + LOG_KEPT_BYTES => Advice::TooLate,
        Some(room) if is_long && room < SPARED_BYTES + length => Advice::Cut,
        Some(room) if length > 0 && room < RESERVED_BYTES => Advice::Cut,
        _ => Advice::Keep,
    }
}

/// How many bytes what can be done without may take beside `file`.
pub(super) fn to_spare(file: &Path) -> u64 {
    beside(file).map_or(u64::MAX, |room| room.saturating_sub(SPARED_BYTES))
}

/// How many bytes of messages the disk of the folder still takes, beside so many messages that are not committed yet.
pub(super) fn for_messages(folder: &Path, uncommitted: u64) -> u64 {
    let kept = RESERVED_BYTES + CHANGE_BYTES + uncommitted.saturating_mul(ROWS_BYTES);
    files::room_bytes(folder).map_or(u64::MAX, |room| room.saturating_sub(kept))
}

/// Gives back the blocks of a file within `unused`, where the file system can do that.
#[cfg(target_os = "linux")]
pub(super) fn punch(file: &File, unused: &Range<u64>) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;

    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, unused.start, unused.end - unused.start) {
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn punch(_: &File, _: &Range<u64>) -> io::Result<()> {
    Ok(())
}

/// Copies the connection's log back and cuts it. What it refers to must be on disk. Not within a transaction.
pub(super) fn cut(conn: &Connection) -> Result<()> {
    conn.busy_timeout(PATIENCE)?;
    let cut = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    conn.busy_timeout(files::BUSY_TIMEOUT)?;
    Ok(cut?)
}

fn beside(file: &Path) -> Option<u64> {
    file.parent().and_then(files::room_bytes)
}
