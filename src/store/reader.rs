//! A read transaction: everything it answers is of one moment. What it can tell is spread over this folder, one file a
//! subject, each an `impl Reader`.

use rusqlite::Connection;

/// A read transaction, open (or the inside of a write transaction).
#[derive(Clone, Copy)]
pub struct Reader<'c> {
    conn: &'c Connection,
}

impl<'c> Reader<'c> {
    pub(super) const fn new(conn: &'c Connection) -> Self {
        Self { conn }
    }

    pub(in crate::store) const fn conn(&self) -> &'c Connection {
        self.conn
    }
}
