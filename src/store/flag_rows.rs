//! Writing flags and mod-sequences: those of all messages of a block ([`super::flag_blocks`]) that change at once with one
//! statement; with some more where keywords change.
//!
//! A mod-sequence is that of the block, or the message's own where others in the block have another: when all that are in the
//! block change together nothing else is written.

use rusqlite::params;

use super::flag_blocks::{Bits, SYSTEM_FLAGS, bit_of, block_of, range_of, uids_of};
use super::messages::flags_from_row;
use super::{Result, Txn};
use crate::types::{Flags, LocalUid, MailboxId, MessageId, ModSeq, SystemFlag};

/// Where a message is.
pub(in crate::store) type Place = (MailboxId, LocalUid);

/// The flags that messages of a mailbox have from now on.
#[derive(Default)]
pub(in crate::store) struct Marks(Vec<(u32, Mark)>);

/// The same, of a block.
#[derive(Default)]
struct Mark {
    of: Bits,
    /// For each flag those of them that it is said of, and those that have it.
    said: [Bits; SYSTEM_FLAGS.len()],
    set: [Bits; SYSTEM_FLAGS.len()],
    /// Those of them whose keywords are said, and what those are where there are some.
    worded: Bits,
    words: Vec<(Flags, Bits)>,
}

/// Of which flags a mark is.
#[derive(Clone, Copy)]
pub(in crate::store) struct Of {
    system_bits: u8,
    keywords: bool,
}

impl Of {
    pub const ALL: Self = Self { system_bits: u8::MAX, keywords: true };
    pub const SYSTEM: Self = Self { system_bits: u8::MAX, keywords: false };
    const ALL_BUT_SEEN: Self = Self { system_bits: !(SystemFlag::Seen as u8), keywords: true };
}

impl Marks {
    /// Those of one message.
    pub fn one(uid: LocalUid, of: Of, flags: &Flags) -> Self {
        let mut marks = Self::default();
        marks.add(uid, of, flags);
        marks
    }

    /// Of one message more, which is new where it is.
    pub fn add_new(&mut self, uid: LocalUid, flags: &Flags) {
        self.add(uid, if flags.keywords().next().is_some() { Of::ALL } else { Of::SYSTEM }, flags);
    }

    /// Of one message more. Called for ascending UIDs.
    pub fn add(&mut self, uid: LocalUid, of: Of, flags: &Flags) {
        if self.0.last().is_none_or(|(block, _)| *block != block_of(uid)) {
            self.0.push((block_of(uid), Mark::default()));
        }
        let Some((_, mark)) = self.0.last_mut() else { return };
        let (bit, system_bits) = (bit_of(uid), flags.system_bits());
        mark.of |= bit;
        for (place, flag) in SYSTEM_FLAGS.into_iter().enumerate() {
            mark.said[place] |= if of.system_bits & flag as u8 != 0 { bit } else { 0 };
            mark.set[place] |= if of.system_bits & system_bits & flag as u8 != 0 { bit } else { 0 };
        }
        if of.keywords {
            mark.word(bit, flags);
        }
    }
}

impl Mark {
    fn word(&mut self, bit: Bits, flags: &Flags) {
        self.worded |= bit;
        match self.words.iter_mut().find(|(words, _)| words.has_keywords_of(flags)) {
            Some((_, bits)) => *bits |= bit,
            None => self.words.extend(flags.keywords().next().map(|_| (flags.clone(), bit))),
        }
    }
}

impl Txn<'_> {
    /// The message has these flags from now on.
    pub(in crate::store) fn set_flags(
        &mut self,
        message: MessageId,
        place: Option<Place>,
        flags: &Flags,
        mod_seq: ModSeq,
    ) -> Result<()> {
        match place {
            Some((mailbox, uid)) => self.mark(mailbox, &Marks::one(uid, Of::ALL, flags), mod_seq),
            None => self.set_apart(message, flags),
        }
    }

    /// The same of what is in that place, but for the owner's `\Seen`.
    pub(in crate::store) fn set_flags_but_seen(
        &mut self,
        (mailbox, uid): Place,
        flags: &Flags,
        mod_seq: ModSeq,
    ) -> Result<()> {
        self.mark(mailbox, &Marks::one(uid, Of::ALL_BUT_SEEN, flags), mod_seq)
    }

    /// The message's flags are in that place from now on, as the message is: it had none, or left it.
    pub(in crate::store) fn move_flags(
        &mut self,
        message: MessageId,
        (mailbox, uid): Place,
        mod_seq: ModSeq,
    ) -> Result<()> {
        let mut select = self.conn().prepare_cached(
            "SELECT apart_flags AS system_flags, apart_keywords AS keywords FROM message WHERE id = ?1",
        )?;
        let flags = select.query_row([message.get()], flags_from_row)?;
        self.set_apart(message, &Flags::none())?;
        self.mark(mailbox, &Marks::one(uid, Of::ALL, &flags), mod_seq)
    }

    /// Messages of the mailbox have these flags from now on, with that mod-sequence.
    pub(in crate::store) fn mark(&self, mailbox: MailboxId, marks: &Marks, mod_seq: ModSeq) -> Result<()> {
        let mut upsert = self.conn().prepare_cached(
            "INSERT INTO flag_block (mailbox_id, block, mod_seq, base_mod_seq, present, seen, answered, flagged, deleted, draft)
             VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT DO UPDATE SET mod_seq = ?3, base_mod_seq = iif(present & ~?4 = 0, ?3, base_mod_seq),
               present = present | ?4, seen = seen & ~?10 | ?5, answered = answered & ~?11 | ?6,
               flagged = flagged & ~?12 | ?7, deleted = deleted & ~?13 | ?8, draft = draft & ~?14 | ?9
             RETURNING present & ~?4 AS others",
        )?;
        let mut same = self
            .conn()
            .prepare_cached("DELETE FROM message_mod_seq WHERE mailbox_id = ?1 AND uid BETWEEN ?2 AND ?3")?;
        let mut own = self.conn().prepare_cached(
            "INSERT INTO message_mod_seq (mailbox_id, uid, mod_seq) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET mod_seq = excluded.mod_seq",
        )?;
        let (id, at) = (mailbox.get(), mod_seq.get().cast_signed());
        for (block, Mark { of, said, set, .. }) in &marks.0 {
            let [of, a, b, c, d, e] = [*of, set[0], set[1], set[2], set[3], set[4]].map(u64::cast_signed);
            let [v, w, x, y, z] = said.map(u64::cast_signed);
            let values = params![id, block, at, of, a, b, c, d, e, v, w, x, y, z];
            let others: i64 = upsert.query_row(values, |row| row.get("others"))?;
            if others == 0 {
                let (first, last) = range_of(*block);
                same.execute(params![id, first, last])?;
            } else {
                for uid in uids_of(*block, of.cast_unsigned()) {
                    own.execute(params![id, uid.get(), at])?;
                }
            }
        }
        self.mark_keywords(mailbox, marks)
    }

    fn mark_keywords(&self, mailbox: MailboxId, marks: &Marks) -> Result<()> {
        let mut worded = marks.0.iter().filter(|(_, mark)| mark.worded != 0).peekable();
        if worded.peek().is_none() {
            return Ok(());
        }
        let mut clear = self.conn().prepare_cached(
            "UPDATE keyword_block SET bits = bits & ~?3 WHERE mailbox_id = ?1 AND block = ?2 AND bits & ?3 <> 0",
        )?;
        let mut put = self.conn().prepare_cached(
            "INSERT INTO keyword_block (mailbox_id, block, keywords, bits) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET bits = bits | excluded.bits",
        )?;
        let mut remove = self
            .conn()
            .prepare_cached("DELETE FROM keyword_block WHERE mailbox_id = ?1 AND block = ?2 AND bits = 0")?;
        for (block, mark) in worded {
            let cleared = clear.execute(params![mailbox.get(), block, mark.worded.cast_signed()])?;
            for (flags, bits) in &mark.words {
                put.execute(params![mailbox.get(), block, flags.keywords_text(), bits.cast_signed()])?;
            }
            if cleared > 0 {
                remove.execute(params![mailbox.get(), block])?;
            }
        }
        Ok(())
    }

    /// What is in that place changed for somebody.
    pub(in crate::store) fn note_change(&self, (mailbox, uid): Place, mod_seq: ModSeq) -> Result<()> {
        let mut update =
            self.conn().prepare_cached("UPDATE flag_block SET mod_seq = ?3 WHERE mailbox_id = ?1 AND block = ?2")?;
        update.execute(params![mailbox.get(), block_of(uid), mod_seq.get().cast_signed()])?;
        Ok(())
    }

    /// The message, which is in no mailbox, has these flags from now on.
    pub(in crate::store) fn set_apart(&self, message: MessageId, flags: &Flags) -> Result<()> {
        let mut update = self.conn().prepare_cached(
            "UPDATE message SET apart_flags = ?2, apart_keywords = ?3
             WHERE id = ?1 AND (apart_flags <> ?2 OR apart_keywords <> ?3)",
        )?;
        update.execute(params![message.get(), flags.system_bits(), flags.keywords_text()])?;
        Ok(())
    }
}
