//! The rows of flags and mod-sequences, beside those of the messages, and what changed since a moment.
//!
//! A mod-sequence has no index of its own: it would have to be written with every flag. Instead the highest one among some
//! UIDs in a row is kept, which is the same for all that change at once, and is written once for them.

use rusqlite::params;

use super::{Reader, Result, Txn};
use crate::types::{Flags, LocalUid, MailboxId, MessageId, ModSeq, UidSet};

/// UIDs in a block, as the table has it: so many rows are read for one that changed.
const BLOCK_UIDS: u32 = 64;

/// Where a message is.
pub(in crate::store) type Place = (MailboxId, LocalUid);

impl Reader<'_> {
    /// The UIDs among which are all that changed after `since`, those that came included.
    pub(in crate::store) fn blocks_changed(&self, mailbox: MailboxId, since: ModSeq) -> Result<UidSet<LocalUid>> {
        let mut select =
            self.conn().prepare_cached("SELECT block FROM uid_block WHERE mailbox_id = ?1 AND mod_seq > ?2")?;
        let first = |row: &rusqlite::Row<'_>| Ok(row.get::<_, u32>("block")? * BLOCK_UIDS);
        let firsts = select.query_map(params![mailbox.get(), since.get().cast_signed()], first)?;
        let firsts = firsts.collect::<rusqlite::Result<Vec<_>>>()?;
        let ranges = firsts.into_iter().map(|first| (first.max(1), first + (BLOCK_UIDS - 1)));
        Ok(UidSet::from_ranges(ranges))
    }
}

impl Txn<'_> {
    /// The flags of a new message.
    pub(in crate::store) fn insert_flags(
        &mut self,
        message: MessageId,
        place: Option<Place>,
        flags: &Flags,
        mod_seq: ModSeq,
    ) -> Result<()> {
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO message_flags (message_id, mailbox_id, uid, mod_seq, system_flags, keywords)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        insert.execute(params![
            message.get(),
            place.map(|(mailbox, _)| mailbox.get()),
            place.map(|(_, uid)| uid.get()),
            mod_seq.get().cast_signed(),
            flags.system_bits(),
            flags.keywords_text()
        ])?;
        self.note_change(place, mod_seq)
    }

    /// The message has these flags from now on.
    pub(in crate::store) fn set_flags(
        &mut self,
        message: MessageId,
        place: Option<Place>,
        flags: &Flags,
        mod_seq: ModSeq,
    ) -> Result<()> {
        self.change_flags((message, message), (u8::MAX, flags), mod_seq)?;
        self.note_change(place, mod_seq)
    }

    /// The messages with the ids from `first` to `last`, all of them, have these keywords from now on, and of the system flags
    /// in `mask` these. Those that have them keep their mod-sequence.
    pub(in crate::store) fn change_flags(
        &self,
        (first, last): (MessageId, MessageId),
        (mask, flags): (u8, &Flags),
        mod_seq: ModSeq,
    ) -> Result<()> {
        let mut update = self.conn().prepare_cached(
            "UPDATE message_flags SET system_flags = (system_flags & ~?3) | ?4, keywords = ?5, mod_seq = ?6
             WHERE message_id BETWEEN ?1 AND ?2 AND ((system_flags & ?3) <> ?4 OR keywords <> ?5)",
        )?;
        let (bits, keywords) = (flags.system_bits() & mask, flags.keywords_text());
        update.execute(params![first.get(), last.get(), mask, bits, keywords, mod_seq.get().cast_signed()])?;
        Ok(())
    }

    /// The message's flags are in that place from now on, as the message is.
    pub(in crate::store) fn move_flags(
        &mut self,
        message: MessageId,
        place: Option<Place>,
        mod_seq: ModSeq,
    ) -> Result<()> {
        let mut update = self
            .conn()
            .prepare_cached("UPDATE message_flags SET mailbox_id = ?2, uid = ?3, mod_seq = ?4 WHERE message_id = ?1")?;
        let (mailbox, uid) = place.map(|(mailbox, uid)| (mailbox.get(), uid.get())).unzip();
        update.execute(params![message.get(), mailbox, uid, mod_seq.get().cast_signed()])?;
        self.note_change(place, mod_seq)
    }

    /// What is in that place has that mod-sequence, for whoever sees it.
    pub(in crate::store) fn note_change(&mut self, place: Option<Place>, mod_seq: ModSeq) -> Result<()> {
        let Some((mailbox, uid)) = place else { return Ok(()) };
        let block = (mailbox, uid.get() / BLOCK_UIDS, mod_seq);
        if self.noted_last != Some(block) {
            let mut insert = self.conn().prepare_cached(
                "INSERT INTO uid_block (mailbox_id, block, mod_seq) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET mod_seq = excluded.mod_seq",
            )?;
            insert.execute(params![mailbox.get(), block.1, mod_seq.get().cast_signed()])?;
            self.noted_last = Some(block);
        }
        Ok(())
    }
}
