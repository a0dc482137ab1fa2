//! A read transaction: everything it answers is of one moment. What it can tell is spread over this folder, one file a
//! subject, each an `impl Reader`.

use rusqlite::Connection;

use super::Viewer;
use super::uid_lists::UidLists;

/// A read transaction, open (or the inside of a write transaction).
#[derive(Clone, Copy)]
pub struct Reader<'c> {
    conn: &'c Connection,
    viewer: Option<&'c Viewer>,
    /// Only for what is committed.
    lists: Option<&'c UidLists>,
}

impl<'c> Reader<'c> {
    pub(super) const fn new(conn: &'c Connection) -> Self {
        Self { conn, viewer: None, lists: None }
    }

    pub(super) const fn of_committed(conn: &'c Connection, lists: &'c UidLists) -> Self {
        Self { conn, viewer: None, lists: Some(lists) }
    }

    /// The same with the eyes of a user: what they may not see is refused, and `\Seen` is what they have seen.
    #[must_use]
    pub const fn seen_by<'v>(&self, viewer: &'v Viewer) -> Reader<'v>
    where
        'c: 'v,
    {
        Reader { conn: self.conn, viewer: Some(viewer), lists: self.lists }
    }

    pub(in crate::store) const fn conn(&self) -> &'c Connection {
        self.conn
    }

    pub(in crate::store) const fn lists(&self) -> Option<&'c UidLists> {
        self.lists
    }

    pub(in crate::store) const fn viewer_if_any(&self) -> Option<&'c Viewer> {
        self.viewer
    }
}
