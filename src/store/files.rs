//! The files of the store and how their connections are set up.

use std::fs::{DirBuilder, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::migrate::{self, CONTENT, HOT};
use super::packs::Packs;
use super::{Error, Options, Result, former, keys, room, settle, trace};

/// Prepared statements kept by a connection: more than this room has.
const STATEMENTS_MAX: usize = 256;

/// How long a connection waits for another of the same process: only schema changes and checkpoints make it wait.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The part of SQLite that reaches for the files. This one keeps them to its own process, which the lock file does anyhow,
/// and has the index of the log in its memory: in a file that is mapped, a disk without room ends the process at whatever
/// moment the index grows (SIGBUS).
pub(super) const VFS: &str = "unix-excl";

/// Size of a page in databases that are made now.
pub(super) const PAGE_BYTES: u32 = 8 * 1024;

/// With less than this nothing can be opened: a page of each database, and what the file system writes beside it.
const ROOM_BYTES: u64 = 64 * 1024;

/// Page caches, in KiB. Each connection has its own, and they are most of the memory of an idle program: all of them together
/// take no new page where they have as much as this, but one of their own that was not used for long.
const ALL_CACHES_KIB: i64 = 24 * 1024;
const HOT_CACHE_KIB: i64 = 16 * 1024;
pub(super) const SEARCH_CACHE_KIB: i64 = 4 * 1024;
pub(super) const HOT_READER_CACHE_KIB: i64 = 6 * 1024;

/// The files in a data folder.
pub(super) struct Files {
    pub(super) hot: PathBuf,
    /// Of a store from before there were packs.
    pub(super) former: PathBuf,
    pub(super) search: PathBuf,
    pub(super) lock: PathBuf,
}

impl Files {
    pub(super) fn of(folder: &Path) -> Self {
        Self {
            hot: folder.join("mailtide.db"),
            former: folder.join("content.db"),
            search: folder.join("search.db"),
            lock: folder.join("mailtide.lock"),
        }
    }
}

/// Makes the folder, for its owner only: it holds mail.
pub(super) fn make_folder(folder: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    builder.mode(0o700);
    builder.create(folder).map_err(|error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::DISK_FULL,
        // What was found there, said by the name of the call that made it, would tell nobody anything.
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            Error::Folder { path: folder.to_owned(), cause: Arc::new(ErrorKind::NotADirectory.into()) }
        }
        _ => Error::Folder { path: folder.to_owned(), cause: Arc::new(error) },
    })
}

/// Opens the database for writing, at the newest version. A store of a later version is refused before anything is
/// written to it.
pub(super) fn open_writing(files: &Files, options: &Options, packs: &Arc<Packs>) -> Result<Connection> {
    let in_hot = |error| Error::open(&files.hot, error);
    let in_former = |error| Error::open(&files.former, error);
    migrate::refuse_newer(&files.hot, HOT).map_err(in_hot)?;
    migrate::refuse_newer(&files.former, CONTENT).map_err(in_former)?;
    let mut hot = open(&files.hot, options, PAGE_BYTES, HOT_CACHE_KIB).map_err(in_hot)?;
    give_back_room(files, &hot, packs);
    migrate::migrate_hot(&mut hot).map_err(in_hot)?;
    former::move_in(&mut hot, packs, &files.former, options).map_err(in_former)?;
    trace::note_message_ids(&mut hot).map_err(in_hot)?;
    keys::note_missing(&mut hot, packs).map_err(in_hot)?;
    Ok(hot)
}

/// Some file systems tell only when they are to keep what they took that they have no room for it, and SQLite calls that an
/// I/O error. Where there is no room, that is what is wrong.
pub(super) fn told_by_room(folder: &Path, error: Error) -> Error {
    let (Error::Open { cause, .. } | Error::Database(cause)) = &error else { return error };
    if cause.sqlite_error_code() != Some(rusqlite::ErrorCode::SystemIoFailure) {
        return error;
    }
    if room_bytes(folder).is_some_and(|bytes| bytes < ROOM_BYTES) { Error::DISK_FULL } else { error }
}

/// What the disk of a folder still takes.
pub(super) fn room_bytes(folder: &Path) -> Option<u64> {
    rustix::fs::statvfs(folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// What the last run left in the log is copied back, where a start would find no room; bytes of messages before what
/// refers to them.
fn give_back_room(files: &Files, hot: &Connection, packs: &Arc<Packs>) {
    room::give_back(&settle::path_of(&files.hot), || packs.sync_all().and_then(|()| room::cut(hot)));
}

/// Opens a database that nobody has open, to be looked at: with the log that it may have, and leaving both as they are.
pub(super) fn open_looking(path: &Path) -> Result<Connection> {
    // To write: the index of the log would else be a file.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags_and_vfs(path, flags, VFS)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.execute_batch("PRAGMA query_only = 1")?;
    Ok(conn)
}

/// What holds for every connection. A statement keeps its plan whatever is bound to it: SQLite would otherwise prepare
/// one anew each time a value changes that statistics could say something about, and there are none here.
pub(super) fn set_up(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // It is that of the process.
    conn.pragma_update(None, "soft_heap_limit", ALL_CACHES_KIB * 1024)?;
    conn.busy_timeout(BUSY_TIMEOUT)
}

/// Begins or ends a transaction: prepared once for a connection, like every other statement, since each read and each
/// commit needs some.
pub(super) fn control(conn: &Connection, statement: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(statement)?.execute([]).map(drop)
}

/// Opens a database for writing, whatever its version; makes it where there is none.
pub(super) fn open(path: &Path, options: &Options, page_bytes: u32, cache_kib: i64) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    keep_private(path)?;
    let conn = Connection::open_with_flags_and_vfs(path, flags, VFS)?;
    set_up(&conn)?;
    conn.pragma_update(None, "page_size", page_bytes)?;
    conn.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    conn.pragma_update(None, "cache_size", -cache_kib)?;
    if let Some(max_bytes) = options.max_bytes {
        let page_bytes: i64 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
        conn.pragma_update(None, "max_page_count", max_bytes.cast_signed() / page_bytes)?;
    }
    Ok(conn)
}

/// The file is its owner's alone from the beginning, and what SQLite puts beside it has its mode: the folder may be moved
/// or opened for others one day.
fn keep_private(path: &Path) -> Result<()> {
    let io = |error| Error::io(path, error);
    match File::options().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let mode = std::fs::metadata(path).map_err(io)?.permissions().mode();
            match mode & 0o077 {
                0 => Ok(()),
                _ => std::fs::set_permissions(path, Permissions::from_mode(mode & 0o700)).map_err(io),
            }
        }
        Err(error) => Err(io(error)),
    }
}

/// Removes a database. Whoever has it open keeps it until he is done.
pub(super) fn remove_database(path: &Path) {
    for end in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(end);
        // What is not there need not go; what cannot go is told when it cannot be opened.
        let _ = std::fs::remove_file(&file);
    }
}
