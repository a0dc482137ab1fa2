//! Numbered migrations. A database's `user_version` is the number of the last one applied. A released migration is
//! never edited: the next one is added. A new database is made at once as they leave it in the end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{Error, Result, files};

/// A new hot database: what [`HOT`] ends in.
const NEW_HOT: &str = include_str!("migrations/newest.sql");

/// The hot database's migrations, from number 1 on.
pub(super) const HOT: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_outbox.sql"),
    include_str!("migrations/0003_object_id.sql"),
    include_str!("migrations/0004_mirror.sql"),
    include_str!("migrations/0005_annotations_and_quota.sql"),
    include_str!("migrations/0006_waiting.sql"),
    include_str!("migrations/0007_message_id.sql"),
    include_str!("migrations/0008_keys.sql"),
    include_str!("migrations/0009_doubt.sql"),
    include_str!("migrations/0010_queue.sql"),
    include_str!("migrations/0011_retry.sql"),
    include_str!("migrations/0012_maildrop.sql"),
    include_str!("migrations/0013_outlines.sql"),
    include_str!("migrations/0014_rights.sql"),
    include_str!("migrations/0015_upstream_quota.sql"),
    include_str!("migrations/0016_ahead.sql"),
    include_str!("migrations/0017_tried.sql"),
    include_str!("migrations/0018_octets.sql"),
    include_str!("migrations/0019_edited.sql"),
    include_str!("migrations/0020_long_journal.sql"),
    include_str!("migrations/0021_in_doubt.sql"),
    include_str!("migrations/0022_packs.sql"),
    include_str!("migrations/0023_flags.sql"),
    include_str!("migrations/0024_flag_bits.sql"),
    include_str!("migrations/0025_counted_together.sql"),
    include_str!("migrations/0026_bare.sql"),
    include_str!("migrations/0027_twins.sql"),
    include_str!("migrations/0028_keyword_bits.sql"),
    include_str!("migrations/0029_half_seen.sql"),
];

/// The search index's.
pub(super) const SEARCH: &[&str] =
    &[include_str!("migrations/search_0001_first.sql"), include_str!("migrations/search_0002_addresses.sql")];

/// The former content database's ([`super::former`]).
pub(super) const CONTENT: &[&str] = &[include_str!("migrations/content_0001_first.sql")];

/// Fails if the database was written by a later version of this program, leaving every file as it is: one that was closed
/// cleanly is not even opened, since SQLite would put a write-ahead log beside it.
pub(super) fn refuse_newer(path: &Path, migrations: &[&str]) -> Result<()> {
    let io = |error| Error::io(path, error);
    if !path.try_exists().map_err(io)? {
        return Ok(());
    }
    let version = match has_log(path).map_err(io)? {
        true => version(&files::open_looking(path)?)?,
        false => version_in_header(path).map_err(io)?,
    };
    let known = migrations.len() as i64;
    match version <= known {
        true => Ok(()),
        false => Err(Error::Newer { path: path.to_owned(), version, known }),
    }
}

/// Is there a write-ahead log beside the database?
pub(super) fn has_log(path: &Path) -> io::Result<bool> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).try_exists()
}

/// The user version, a big-endian number at offset 60 (sqlite.org/fileformat2.html section 1.3). What is no database is
/// of no version, and told when it is opened.
fn version_in_header(path: &Path) -> io::Result<i64> {
    let mut header = Vec::new();
    File::open(path)?.take(64).read_to_end(&mut header)?;
    let is_database = header.starts_with(b"SQLite format 3\0");
    let version = header.get(60..64).filter(|_| is_database).and_then(|bytes| bytes.try_into().ok());
    Ok(version.map_or(0, |bytes| i32::from_be_bytes(bytes).into()))
}

/// Brings the hot database to the newest version, or makes it.
pub(super) fn migrate_hot(conn: &mut Connection) -> Result<()> {
    match version(conn)? {
        0 => apply(conn, NEW_HOT, HOT.len()),
        _ => migrate(conn, HOT),
    }
}

/// Brings the database to the newest version, each migration in a transaction of its own.
pub(super) fn migrate(conn: &mut Connection, migrations: &[&str]) -> Result<()> {
    let done = usize::try_from(version(conn)?).unwrap_or(0);
    for (migration, number) in migrations.iter().zip(1..).skip(done) {
        apply(conn, migration, number)?;
    }
    Ok(())
}

/// Runs `script` in a transaction that leaves the database at `version`.
fn apply(conn: &mut Connection, script: &str, version: usize) -> Result<()> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    transaction.execute_batch(script)?;
    transaction.pragma_update(None, "user_version", version as i64)?;
    Ok(transaction.commit()?)
}

fn version(conn: &Connection) -> Result<i64> {
    Ok(conn.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;

    use super::*;

    type Rows = Vec<Vec<Value>>;

    fn rows(conn: &Connection, select: &str) -> Rows {
        let mut select = conn.prepare(select).expect("SQL");
        let columns = select.column_count();
        let rows = select.query_map([], |row| (0..columns).map(|column| row.get(column)).collect());
        rows.expect("a query").map(|row| row.expect("a row")).collect()
    }

    /// What the database is made of, without comments and however it is laid out. In order: which of two equally good
    /// indexes is taken may depend on it.
    fn schema(conn: &Connection) -> Rows {
        let mut schema = rows(conn, "SELECT tbl_name, type, name, sql FROM sqlite_schema ORDER BY 1, 2, rowid");
        for sql in schema.iter_mut().filter_map(|row| row.last_mut()) {
            if let Value::Text(sql) = sql {
                *sql = plain(sql);
            }
        }
        schema
    }

    fn plain(sql: &str) -> String {
        let code = sql.lines().map(|line| line.split_once("--").map_or(line, |(code, _)| code));
        let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
        // A table that was renamed has its name in quotes.
        words.join(" ").replace('"', "").replace(" ,", ",").replace(" )", ")")
    }

    #[test]
    fn a_new_database_is_what_all_migrations_in_turn_end_in() {
        let mut made = Connection::open_in_memory().expect("a database");
        migrate_hot(&mut made).expect("a new database");
        let mut migrated = Connection::open_in_memory().expect("a database");
        migrate(&mut migrated, HOT).expect("every migration");

        assert_eq!(version(&made).expect("a version"), version(&migrated).expect("a version"));
        assert_eq!(schema(&made), schema(&migrated));
        for table in rows(&migrated, "SELECT name FROM sqlite_schema WHERE type = 'table'").concat() {
            let Value::Text(table) = table else { panic!("a name that is no text: {table:?}") };
            let select = format!("SELECT * FROM {table}");
            assert_eq!(rows(&made, &select), rows(&migrated, &select), "{table}");
        }
    }
}
