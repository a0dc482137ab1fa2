//! How long contents are on the line (see [`Growth`]): kept of those that are longer or shorter than their bytes.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Reader, Result, Txn};
use crate::message::octets::Growth;
use crate::types::{ContentId, LocalUid, MailboxId};

/// A message whose octets on the line may be others than its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grown {
    pub uid: LocalUid,
    /// Where its bytes are; of a message that is not here, its header.
    pub content: ContentId,
    /// `None`: the content was stored before contents were measured.
    pub growth: Option<Growth>,
}

impl Reader<'_> {
    /// Those messages of the mailbox, ascending.
    pub fn grown(&self, mailbox: MailboxId) -> Result<Vec<Grown>> {
        self.guest_who_reads(mailbox)?;
        let mut select = self.conn().prepare_cached(
            "SELECT m.uid, coalesce(g.content_id, u.content_id) AS content_id, g.utf8, g.ascii
             FROM message AS m LEFT JOIN outline AS o ON o.id = m.outline_id
             LEFT JOIN content_growth AS g ON g.content_id = coalesce(m.content_id, o.header_id)
             LEFT JOIN content_unmeasured AS u ON u.content_id = coalesce(m.content_id, o.header_id)
             WHERE m.mailbox_id = ?1 AND (g.content_id IS NOT NULL OR u.content_id IS NOT NULL) ORDER BY m.uid",
        )?;
        let grown = select.query_map([mailbox.get()], |row| {
            Ok(Grown {
                uid: LocalUid::new(row.get("uid")?),
                content: ContentId::new(row.get("content_id")?),
                growth: growth_from_row(row)?,
            })
        })?;
        Ok(grown.collect::<rusqlite::Result<_>>()?)
    }

    /// The growth of a content that was measured.
    pub fn growth(&self, content: ContentId) -> Result<Growth> {
        let mut select = self.conn().prepare_cached("SELECT utf8, ascii FROM content_growth WHERE content_id = ?1")?;
        let growth = select.query_row([content.get()], growth_from_row).optional()?;
        Ok(growth.flatten().unwrap_or_default())
    }
}

fn growth_from_row(row: &Row<'_>) -> rusqlite::Result<Option<Growth>> {
    let (utf8, ascii): (Option<i64>, Option<i64>) = (row.get("utf8")?, row.get("ascii")?);
    Ok(utf8.zip(ascii).map(|(utf8, ascii)| Growth { utf8, ascii }))
}

impl Txn<'_> {
    /// What was found of contents that were stored before contents were measured.
    pub fn note_growth(&mut self, measured: &[(ContentId, Growth)]) -> Result<()> {
        let mut delete = self.conn().prepare_cached("DELETE FROM content_unmeasured WHERE content_id = ?1")?;
        for (content, growth) in measured {
            // It may have been swept meanwhile.
            if delete.execute([content.get()])? > 0 {
                note(self.conn(), *content, *growth)?;
            }
        }
        Ok(())
    }
}

/// Keeps the growth of a content, if it has any.
pub(super) fn note(hot: &Connection, content: ContentId, growth: Growth) -> Result<()> {
    if growth != Growth::default() {
        let mut insert =
            hot.prepare_cached("INSERT INTO content_growth (content_id, utf8, ascii) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![content.get(), growth.utf8, growth.ascii])?;
    }
    Ok(())
}
