//! Numbered migrations. A database's `user_version` is the number of the last one applied. A released migration is
//! never edited: the next one is added.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{Error, Result};

/// The hot database's migrations, from number 1 on.
pub(super) const HOT: &[&str] = &[include_str!("migrations/0001_first.sql")];

/// The content database's.
pub(super) const CONTENT: &[&str] = &[include_str!("migrations/content_0001_first.sql")];

/// Fails if the database was written by a later version of this program. Opens it for reading only, so that not even
/// its write-ahead log is touched.
pub(super) fn refuse_newer(path: &Path, migrations: &[&str]) -> Result<()> {
    if !path.try_exists().map_err(|error| Error::io(path, error))? {
        return Ok(());
    }
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let (version, known) = (version(&conn)?, migrations.len() as i64);
    match version <= known {
        true => Ok(()),
        false => Err(Error::Newer { path: path.to_owned(), version, known }),
    }
}

/// Brings the database to the newest version, each migration in a transaction of its own.
pub(super) fn migrate(conn: &mut Connection, migrations: &[&str]) -> Result<()> {
    let done = usize::try_from(version(conn)?).unwrap_or(0);
    for (place, migration) in migrations.iter().enumerate().skip(done) {
        let transaction = conn.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", place as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

fn version(conn: &Connection) -> Result<i64> {
    Ok(conn.pragma_query_value(None, "user_version", |row| row.get(0))?)
}
