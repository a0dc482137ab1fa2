//! Messages as rows.

use std::sync::Arc;

use rusqlite::{OptionalExtension, Row, params};

use super::{Changed, Error, Reader, Result};
use crate::message::Summary;
use crate::types::{
    AccountId, ContentId, Flags, InternalDate, LocalUid, MailboxId, MessageId, ModSeq, Timestamp, UidSet,
};

/// UIDs between two that are wanted which are read along with them: to look a place up takes as long as some rows do.
const GAP_MAX: u32 = 4;

/// What to read beside the cheap columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    /// Flags, dates, sizes.
    Columns,
    /// The summary as well.
    Summary,
}

/// A message in a mailbox.
#[derive(Debug, Clone)]
pub struct Message {
    pub id: MessageId,
    pub account: AccountId,
    pub mailbox: MailboxId,
    pub uid: LocalUid,
    pub mod_seq: ModSeq,
    pub flags: Flags,
    pub internal_date: InternalDate,
    pub size_bytes: u64,
    /// RFC822.SIZE, if clients were told another one before the bytes were here.
    pub told_bytes: Option<u64>,
    /// `None`: the bytes are not here.
    pub content: Option<ContentId>,
    /// With [`With::Summary`], if the bytes are not here but the header is: that.
    pub header: Option<ContentId>,
    /// With [`With::Summary`]: only the header is known, so its parts are not.
    pub is_bare: bool,
    /// EMAILID or X-GM-MSGID of the server upstream.
    pub email_id: Option<String>,
    /// EMAILID as this program's own IMAP server shows it (RFC 8474).
    pub object_id: String,
    /// When it came into its mailbox (RFC 8514).
    pub saved: Timestamp,
    /// With [`With::Summary`], if the bytes are here, or an outline.
    pub summary: Option<Arc<Summary>>,
}

/// What [`Message::from_row`] reads, by their places: to look names up for every row takes half the time of telling the flags of
/// a large mailbox.
const COLUMNS: &str =
    "m.id, m.account_id, m.mailbox_id, m.uid, m.internal_s, m.internal_offset, m.size_bytes, m.content_id,
    m.email_id, m.saved_ms, m.object_id, m.told_bytes";

/// Where among them the UID is, and behind all of them what [`With::Summary`] adds.
const UID: usize = 3;
const SUMMARY: usize = 12;
const HEADER_ID: usize = 13;
const BARE: usize = 14;

/// UIDs of which the flags are read at once.
const FLAGS_MAX: u32 = 4096;

/// What is a guest's own of `message_flags AS f`: the mod-sequence, and `\Seen` among the flags.
pub(in crate::store) struct GuestColumns {
    pub columns: &'static str,
    pub join: String,
}

impl GuestColumns {
    pub fn of(guest: AccountId) -> Self {
        Self {
            columns: "max(f.mod_seq, coalesce(g.mod_seq, 0)) AS mod_seq,
                (f.system_flags & ~1) | coalesce(g.seen, 0) AS system_flags",
            join: format!("LEFT JOIN guest_seen AS g ON g.message_id = f.message_id AND g.account_id = {guest}"),
        }
    }
}

impl Message {
    fn from_row(row: &Row<'_>, flags: Changed) -> rusqlite::Result<Self> {
        Ok(Self {
            id: MessageId::new(row.get(0)?),
            account: AccountId::new(row.get(1)?),
            mailbox: MailboxId::new(row.get(2)?),
            uid: flags.uid,
            mod_seq: flags.mod_seq,
            flags: flags.flags,
            internal_date: InternalDate::new(row.get(4)?, row.get(5)?),
            size_bytes: row.get::<_, i64>(6)?.unsigned_abs(),
            told_bytes: row.get::<_, Option<i64>>(11)?.map(i64::unsigned_abs),
            content: row.get::<_, Option<i64>>(7)?.map(ContentId::new),
            header: None,
            is_bare: false,
            email_id: row.get(8)?,
            object_id: row.get(10)?,
            saved: Timestamp::from_unix_ms(row.get(9)?),
            summary: None,
        })
    }
}

/// The flags in the columns `system_flags` and `keywords`.
pub(in crate::store) fn flags_from_row(row: &Row<'_>) -> rusqlite::Result<Flags> {
    Ok(Flags::from_columns(row.get("system_flags")?, row.get_ref("keywords")?.as_str()?))
}

/// A stored summary.
pub(in crate::store) fn summary_from_bytes(bytes: &[u8]) -> Result<Arc<Summary>> {
    let summary = postcard::from_bytes(bytes);
    summary.map(Arc::new).map_err(|error| Error::Damaged(format!("unreadable summary: {error}")))
}

impl Reader<'_> {
    /// Those of `uids` (in any order) that exist, ascending. Call it in batches: the answer is held in memory.
    pub fn messages(&self, mailbox: MailboxId, uids: &[LocalUid], with: With) -> Result<Vec<Message>> {
        self.messages_in(mailbox, &uids.iter().copied().collect(), with)
    }

    /// Those messages whose UIDs are in the set, ascending.
    pub fn messages_in(&self, mailbox: MailboxId, uids: &UidSet<LocalUid>, with: With) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        self.for_each_message(mailbox, uids, with, |message| {
            messages.push(message);
            Ok(())
        })?;
        Ok(messages)
    }

    /// The UIDs in the set that exist, ascending, and of each the bytes that are here.
    pub fn contents_in(
        &self,
        mailbox: MailboxId,
        uids: &UidSet<LocalUid>,
    ) -> Result<Vec<(LocalUid, Option<ContentId>)>> {
        self.guest_who_reads(mailbox)?;
        let mut select = self.conn().prepare_cached(
            "SELECT uid, content_id FROM message WHERE mailbox_id = ?1 AND uid BETWEEN ?2 AND ?3 ORDER BY uid",
        )?;
        let mut found = Vec::new();
        for (first, last) in wide_ranges(uids) {
            let mut rows = select.query(params![mailbox.get(), first, last])?;
            while let Some(row) = rows.next()? {
                let uid = LocalUid::new(row.get("uid")?);
                if uids.contains(uid) {
                    found.push((uid, row.get::<_, Option<i64>>("content_id")?.map(ContentId::new)));
                }
            }
        }
        Ok(found)
    }

    /// The messages with these UIDs, all of which exist, by their UIDs.
    pub(in crate::store) fn ids_of(&self, mailbox: MailboxId, uids: &UidSet<LocalUid>) -> Result<Vec<MessageId>> {
        let mut select = self.conn().prepare_cached(
            "SELECT uid, id FROM message WHERE mailbox_id = ?1 AND uid BETWEEN ?2 AND ?3 ORDER BY uid",
        )?;
        let mut ids = Vec::new();
        for (first, last) in wide_ranges(uids) {
            let mut rows = select.query(params![mailbox.get(), first, last])?;
            while let Some(row) = rows.next()? {
                if uids.contains(LocalUid::new(row.get(0)?)) {
                    ids.push(MessageId::new(row.get(1)?));
                }
            }
        }
        Ok(ids)
    }

    /// The UIDs of messages that came into the mailbox before that moment, ascending, at most `max`.
    pub fn kept_since_before(&self, mailbox: MailboxId, before: Timestamp, max: usize) -> Result<Vec<LocalUid>> {
        let mut select = self
            .conn()
            .prepare_cached("SELECT uid FROM message WHERE mailbox_id = ?1 AND saved_ms < ?2 ORDER BY uid LIMIT ?3")?;
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let rows = select.query_map(params![mailbox.get(), before.unix_ms(), max], |row| row.get("uid"))?;
        Ok(rows.map(|uid| uid.map(LocalUid::new)).collect::<rusqlite::Result<_>>()?)
    }

    /// Shows `visit` each message whose UID is in the set, ascending, one at a time.
    pub fn for_each_message(
        &self,
        mailbox: MailboxId,
        uids: &UidSet<LocalUid>,
        with: With,
        mut visit: impl FnMut(Message) -> Result<()>,
    ) -> Result<()> {
        let (summary, join) = match with {
            With::Columns => ("NULL AS summary, NULL AS header_id, 0 AS bare", ""),
            With::Summary => (
                "coalesce(c.summary, o.summary) AS summary, o.header_id, coalesce(o.bare, 0) AS bare",
                "LEFT JOIN content AS c ON c.id = m.content_id LEFT JOIN outline AS o ON o.id = m.outline_id",
            ),
        };
        let guest = self.guest_who_reads(mailbox)?;
        let mut select = self.conn().prepare_cached(&format!(
            "SELECT {COLUMNS}, {summary} FROM message AS m {join}
             WHERE m.mailbox_id = ?1 AND m.uid BETWEEN ?2 AND ?3 ORDER BY m.uid"
        ))?;
        let (mut flags, mut known_to) = (Vec::new().into_iter(), 0);
        for (first, last) in wide_ranges(uids) {
            let mut rows = select.query(params![mailbox.get(), first, last])?;
            while let Some(row) = rows.next()? {
                let uid = LocalUid::new(row.get(UID)?);
                if !uids.contains(uid) {
                    continue;
                }
                if uid.get() > known_to {
                    known_to = uid.get().saturating_add(FLAGS_MAX - 1);
                    let next = uids.intersection(&UidSet::range(uid, LocalUid::new(known_to)));
                    flags = self.flags_among(mailbox, &next, ModSeq::new(0), guest)?.into_iter();
                }
                let unmarked = || Error::Damaged(format!("no flags of UID {uid} in mailbox {mailbox}"));
                let mut message = Message::from_row(row, flags.find(|flags| flags.uid == uid).ok_or_else(unmarked)?)?;
                message.header = row.get::<_, Option<i64>>(HEADER_ID)?.map(ContentId::new);
                message.is_bare = row.get(BARE)?;
                message.summary = row
                    .get_ref(SUMMARY)?
                    .as_blob_or_null()
                    .map_err(rusqlite::Error::from)?
                    .map(summary_from_bytes)
                    .transpose()?;
                visit(message)?;
            }
        }
        Ok(())
    }

    /// The message, if it is in a mailbox.
    pub fn message(&self, message: MessageId) -> Result<Option<Message>> {
        let mut select = self.conn().prepare_cached(&format!(
            "SELECT {COLUMNS}, f.mod_seq, f.system_flags, f.keywords
             FROM message AS m JOIN message_flags AS f ON f.message_id = m.id
             WHERE m.id = ?1 AND m.mailbox_id IS NOT NULL"
        ))?;
        Ok(select.query_row([message.get()], |row| Message::from_row(row, Changed::from_row(row)?)).optional()?)
    }

    /// The summary of a content.
    pub fn summary(&self, content: ContentId) -> Result<Arc<Summary>> {
        let mut select = self.conn().prepare_cached("SELECT summary FROM content WHERE id = ?1")?;
        let bytes: Option<Vec<u8>> = select.query_row([content.get()], |row| row.get("summary")).optional()?;
        summary_from_bytes(&bytes.ok_or(Error::NoContent)?)
    }
}

/// The set's ranges, those with small gaps between them joined.
pub(super) fn wide_ranges(uids: &UidSet<LocalUid>) -> Vec<(u32, u32)> {
    joined_ranges(uids, GAP_MAX)
}

/// The set's ranges, those joined between which no more than `gap_max` UIDs are.
pub(super) fn joined_ranges(uids: &UidSet<LocalUid>, gap_max: u32) -> Vec<(u32, u32)> {
    let mut wide: Vec<(u32, u32)> = Vec::new();
    for (first, last) in uids.ranges() {
        match wide.last_mut() {
            Some(before) if first - before.1 <= gap_max => before.1 = *last,
            _ => wide.push((*first, *last)),
        }
    }
    wide
}
