//! The system flags of 64 UIDs in a row, a bit each ([`Bits`]), as they are read. What is asked of the flags of a whole
//! mailbox is asked of a few rows so. Keywords are kept so as well, each combination of a block by itself; a mod-sequence is
//! in a row of its own only where a message has another than its block.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row, params};

use super::{Reader, Result};
use crate::types::{Flags, LocalUid, MailboxId, ModSeq, SystemFlag, UidSet};

/// UIDs in a block, as the table has it.
const BLOCK_UIDS: u32 = u64::BITS;

/// Of the UIDs of a block some: the lowest bit is the first.
pub(in crate::store) type Bits = u64;

/// The system flags that a block tells of, in the order of its columns and of their bits in [`Flags::system_bits`].
pub(in crate::store) const SYSTEM_FLAGS: [SystemFlag; 5] =
    [SystemFlag::Seen, SystemFlag::Answered, SystemFlag::Flagged, SystemFlag::Deleted, SystemFlag::Draft];

/// The columns that [`Block::from_row`] reads, by their places.
const COLUMNS: &str = "block, base_mod_seq, present, seen, answered, flagged, deleted, draft";

/// Which blocks of a mailbox are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Which {
    All,
    /// Those with a message without `\Seen`.
    Unseen,
    /// Those with a message with `\Deleted`.
    Deleted,
}

impl Which {
    /// Where they are, up to the mailbox. SQLite would take another way to few of them.
    const fn rows(self) -> &'static str {
        match self {
            Self::All => "flag_block WHERE mailbox_id = ?1",
            Self::Unseen => "flag_block INDEXED BY flag_block_unseen WHERE seen <> present AND mailbox_id = ?1",
            Self::Deleted => "flag_block INDEXED BY flag_block_deleted WHERE deleted <> 0 AND mailbox_id = ?1",
        }
    }
}

/// 64 UIDs in a row.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Block {
    pub number: u32,
    pub base_mod_seq: ModSeq,
    /// Those that name a message.
    pub present: Bits,
    pub system: [Bits; SYSTEM_FLAGS.len()],
}

impl Block {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let bits = |place| Ok::<_, rusqlite::Error>(row.get::<_, i64>(place)?.cast_unsigned());
        Ok(Self {
            number: row.get(0)?,
            base_mod_seq: ModSeq::new(row.get::<_, i64>(1)?.unsigned_abs()),
            present: bits(2)?,
            system: [bits(3)?, bits(4)?, bits(5)?, bits(6)?, bits(7)?],
        })
    }

    /// Those with the flag.
    pub fn having(&self, flag: SystemFlag) -> Bits {
        self.system[(flag as u8).trailing_zeros() as usize]
    }

    /// The flags of one of its UIDs, see [`Flags::system_bits`].
    pub fn system_bits(&self, uid: LocalUid) -> u8 {
        let place = uid.get() % BLOCK_UIDS;
        self.system.iter().rev().fold(0, |flags, bits| flags << 1 | (bits >> place & 1) as u8)
    }
}

/// Counts of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::store) struct Tally {
    pub messages: u32,
    /// From the UID on that was asked for.
    pub recent: u32,
    /// Without the owner's `\Seen`.
    pub unseen: u32,
    pub deleted: u32,
}

/// Keywords, by blocks: each combination, and which UIDs have it.
#[derive(Default)]
pub(in crate::store) struct Worded(BTreeMap<u32, Vec<(Bits, Flags)>>);

impl Worded {
    /// All flags of one of the UIDs of a block.
    pub fn flags_of(&self, block: &Block, uid: LocalUid) -> Flags {
        let words = self.0.get(&block.number).and_then(|words| words.iter().find(|(bits, _)| bits & bit_of(uid) != 0));
        words.map_or(const { &Flags::none() }, |(_, keywords)| keywords).with_system_bits(block.system_bits(uid))
    }
}

/// The block in which a UID is.
pub(in crate::store) const fn block_of(uid: LocalUid) -> u32 {
    uid.get() / BLOCK_UIDS
}

/// The UID in its block.
pub(in crate::store) const fn bit_of(uid: LocalUid) -> Bits {
    1 << (uid.get() % BLOCK_UIDS)
}

/// The UIDs of a block that are meant, ascending.
pub(in crate::store) fn uids_of(number: u32, bits: Bits) -> impl Iterator<Item = LocalUid> {
    let next = |left: &Bits| Some(left & (left - 1)).filter(|left| *left != 0);
    std::iter::successors(Some(bits).filter(|bits| *bits != 0), next)
        .map(move |left| LocalUid::new(number * BLOCK_UIDS + left.trailing_zeros()))
}

/// Those of a block that are in the set.
pub(in crate::store) fn bits_among(number: u32, uids: &UidSet<LocalUid>) -> Bits {
    let (first, last) = range_of(number);
    let ranges = uids.ranges();
    let from = ranges.partition_point(|range| range.1 < first);
    let within = ranges[from..].iter().take_while(|range| range.0 <= last);
    within.fold(0, |bits, range| {
        let (low, high) = (range.0.max(first) - first, range.1.min(last) - first);
        bits | Bits::MAX << low & Bits::MAX >> (BLOCK_UIDS - 1 - high)
    })
}

/// The first and the last UID of a block.
pub(in crate::store) const fn range_of(number: u32) -> (u32, u32) {
    (number * BLOCK_UIDS, number * BLOCK_UIDS + (BLOCK_UIDS - 1))
}

impl Reader<'_> {
    /// Those blocks of a mailbox in which some of the UIDs from `first` to `last` are, ascending.
    pub(in crate::store) fn blocks(
        &self,
        mailbox: MailboxId,
        (first, last): (u32, u32),
        which: Which,
    ) -> Result<Vec<Block>> {
        let rows = which.rows();
        let mut select = self
            .conn()
            .prepare_cached(&format!("SELECT {COLUMNS} FROM {rows} AND block BETWEEN ?2 AND ?3 ORDER BY block"))?;
        let values = params![mailbox.get(), first / BLOCK_UIDS, last / BLOCK_UIDS];
        Ok(select.query_map(values, Block::from_row)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The UIDs among which are all that changed after `since`, those that came included.
    pub(in crate::store) fn blocks_changed(&self, mailbox: MailboxId, since: ModSeq) -> Result<UidSet<LocalUid>> {
        let mut select =
            self.conn().prepare_cached("SELECT block FROM flag_block WHERE mailbox_id = ?1 AND mod_seq > ?2")?;
        let numbers = select.query_map(params![mailbox.get(), since.get().cast_signed()], |row| row.get("block"))?;
        let numbers = numbers.collect::<rusqlite::Result<Vec<u32>>>()?;
        let ranges = numbers.into_iter().map(range_of).map(|(first, last)| (first.max(1), last));
        Ok(UidSet::from_ranges(ranges))
    }

    /// The first message without `\Seen`.
    pub(in crate::store) fn first_unseen(&self, mailbox: MailboxId) -> Result<Option<LocalUid>> {
        let rows = Which::Unseen.rows();
        let mut select = self
            .conn()
            .prepare_cached(&format!("SELECT block, present & ~seen AS unseen FROM {rows} ORDER BY block LIMIT 1"))?;
        let mut rows = select.query([mailbox.get()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(uids_of(row.get("block")?, row.get::<_, i64>("unseen")?.cast_unsigned()).next())
    }

    /// How many messages of a mailbox are what, without reading any: they may be hundreds of thousands.
    pub(in crate::store) fn tally(&self, mailbox: MailboxId, recent_from: LocalUid) -> Result<Tally> {
        let mut select =
            self.conn().prepare_cached("SELECT block, present, seen, deleted FROM flag_block WHERE mailbox_id = ?1")?;
        let mut rows = select.query([mailbox.get()])?;
        let recent = UidSet::range(recent_from, LocalUid::new(u32::MAX));
        let mut tally = Tally::default();
        while let Some(row) = rows.next()? {
            let [present, seen, deleted] = [1, 2, 3].map(|place| row.get(place).map(i64::cast_unsigned));
            let (number, present) = (row.get(0)?, present?);
            for (sum, bits) in [
                (&mut tally.messages, present),
                (&mut tally.recent, present & bits_among(number, &recent)),
                (&mut tally.unseen, present & !seen?),
                (&mut tally.deleted, deleted?),
            ] {
                *sum += bits.count_ones();
            }
        }
        Ok(tally)
    }

    /// The messages with `\Deleted`, ascending.
    pub(in crate::store) fn deleted(&self, mailbox: MailboxId) -> Result<Vec<LocalUid>> {
        let blocks = self.blocks(mailbox, (0, u32::MAX), Which::Deleted)?;
        Ok(blocks.iter().flat_map(|block| uids_of(block.number, block.having(SystemFlag::Deleted))).collect())
    }

    /// The mod-sequences of messages in these ranges that have one of their own, ascending by UID.
    pub(in crate::store) fn own_mod_seqs(
        &self,
        mailbox: MailboxId,
        ranges: impl IntoIterator<Item = (u32, u32)>,
    ) -> Result<Vec<(LocalUid, ModSeq)>> {
        let mut select = self.conn().prepare_cached(
            "SELECT uid, mod_seq FROM message_mod_seq WHERE mailbox_id = ?1 AND uid BETWEEN ?2 AND ?3 ORDER BY uid",
        )?;
        let mut own = Vec::new();
        for (first, last) in ranges {
            let mut rows = select.query(params![mailbox.get(), first, last])?;
            while let Some(row) = rows.next()? {
                own.push((LocalUid::new(row.get(0)?), ModSeq::new(row.get::<_, i64>(1)?.unsigned_abs())));
            }
        }
        Ok(own)
    }

    /// The keywords of messages that have some, by their blocks.
    pub(in crate::store) fn keywords_at(&self, mailbox: MailboxId, (first, last): (u32, u32)) -> Result<Worded> {
        let mut select = self.conn().prepare_cached(
            "SELECT block, keywords, bits FROM keyword_block WHERE mailbox_id = ?1 AND block BETWEEN ?2 AND ?3",
        )?;
        let mut rows = select.query(params![mailbox.get(), first / BLOCK_UIDS, last / BLOCK_UIDS])?;
        let mut worded = Worded::default();
        while let Some(row) = rows.next()? {
            let keywords = Flags::from_columns(0, row.get_ref(1)?.as_str().unwrap_or_default());
            worded.0.entry(row.get(0)?).or_default().push((row.get::<_, i64>(2)?.cast_unsigned(), keywords));
        }
        Ok(worded)
    }

    /// The keywords that messages of a mailbox have, in each combination that there is: from one to the next, since there are
    /// a few of them in many blocks.
    pub(in crate::store) fn keyword_texts(&self, mailbox: MailboxId) -> Result<Vec<(String, Flags)>> {
        let mut select = self.conn().prepare_cached(
            "SELECT keywords FROM keyword_block WHERE mailbox_id = ?1 AND keywords > ?2 ORDER BY keywords LIMIT 1",
        )?;
        let mut texts: Vec<(String, Flags)> = Vec::new();
        loop {
            let last = texts.last().map_or("", |(text, _)| text.as_str());
            let next: Option<String> = select.query_row(params![mailbox.get(), last], |row| row.get(0)).optional()?;
            let Some(text) = next else { return Ok(texts) };
            let keywords = Flags::from_columns(0, &text);
            texts.push((text, keywords));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_is_a_uid() {
        for uid in [1, 63, 64, 127, u32::MAX].map(LocalUid::new) {
            assert_eq!(uids_of(block_of(uid), bit_of(uid)).collect::<Vec<_>>(), [uid]);
        }
        let of = |bits| uids_of(1, bits).map(LocalUid::get).collect::<Vec<_>>();
        assert_eq!((of(0), of(0b1011), of(1 << 63)), (vec![], vec![64, 65, 67], vec![127]));
    }

    #[test]
    fn a_set_is_some_of_a_block() {
        let uids = UidSet::from_ranges([(3, 4), (60, 66), (127, 200)]);
        let of = |number| uids_of(number, bits_among(number, &uids)).map(LocalUid::get).collect::<Vec<_>>();
        assert_eq!(of(0), [3, 4, 60, 61, 62, 63]);
        assert_eq!(of(1), [64, 65, 66, 127]);
        assert_eq!((bits_among(2, &uids), bits_among(4, &uids)), (Bits::MAX, 0));
    }

    #[test]
    fn flags_are_read_in_the_order_of_their_bits() {
        let uid = LocalUid::new(70);
        for (place, flag) in SYSTEM_FLAGS.into_iter().enumerate() {
            let mut block =
                Block { number: 1, base_mod_seq: ModSeq::new(1), present: bit_of(uid), system: [!bit_of(uid); 5] };
            assert_eq!((block.system_bits(uid), block.having(flag) & bit_of(uid)), (0, 0));
            block.system[place] = bit_of(uid);
            assert_eq!((block.system_bits(uid), block.having(flag)), (flag as u8, bit_of(uid)));
        }
    }
}
