//! A mailbox as a mail client's session sees it: opened, counted, and what changed since.

use std::sync::Arc;

use rusqlite::params;

use super::flag_blocks::{Tally, Which, bits_among, uids_of};
use super::messages::{GuestColumns, flags_from_row, joined_ranges, wide_ranges};
use super::rights::Standing;
use super::uid_lists::key_of;
use super::{Error, Mailbox, Reader, Result, Txn};
use crate::types::{AccountId, Flags, LocalUid, MailboxId, ModSeq, Right, Rights, UidSet, UidValidity};

/// STATUS (RFC 3501 section 6.3.10, RFC 8438, RFC 7162).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub messages: u32,
    pub recent: u32,
    pub unseen: u32,
    pub deleted: u32,
    pub uid_next: LocalUid,
    pub uid_validity: UidValidity,
    pub highest_mod_seq: ModSeq,
}

/// How many bytes the messages of a mailbox have, by what is told of each (RFC 8438; RFC 9208 section 4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub all_bytes: u64,
    /// Those with `\Deleted`.
    pub deleted_bytes: u64,
}

/// A mailbox just opened: everything of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub mailbox: Mailbox,
    /// All messages, ascending. Their places are the sequence numbers.
    pub uids: Arc<Vec<LocalUid>>,
    /// The first message without `\Seen`.
    pub first_unseen: Option<LocalUid>,
    /// Keywords in use.
    pub keywords: Flags,
    /// What the viewer may do.
    pub rights: Rights,
}

/// What changed since a mod-sequence: everything of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    pub mailbox: Mailbox,
    /// New messages and messages with other flags, ascending.
    pub changed: Vec<Changed>,
    /// Messages that went, ascending. May name some that a session never saw.
    pub vanished: Vec<LocalUid>,
    /// What the viewer may do.
    pub rights: Rights,
}

/// A message with its flags now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    pub uid: LocalUid,
    pub flags: Flags,
    pub mod_seq: ModSeq,
}

/// UIDs between two that are wanted whose blocks are read along: to look a place up takes as long as some blocks do.
const GAP_MAX_UIDS: u32 = 1024;

/// The same of mod-sequences, which messages may have one by one.
const MOD_SEQ_GAP_MAX_UIDS: u32 = 16;

impl Reader<'_> {
    /// Opens a mailbox. A session that claims the recent messages follows with [`Txn::claim_recent`] where
    /// `recent_from < uid_next`.
    pub fn open(&self, mailbox: MailboxId) -> Result<Opened> {
        let (mailbox, Standing { rights, guest }) = self.open_mailbox(mailbox)?;
        let uids = self.uids_of(&mailbox)?;
        let first_unseen = match guest {
            None => self.first_unseen(mailbox.id)?,
            Some(guest) => self.first_unseen_by(guest, mailbox.id)?,
        };
        let mut keywords = Flags::none();
        for (_, some) in self.keyword_texts(mailbox.id)? {
            keywords.add_all(&some);
        }
        Ok(Opened { mailbox, uids, first_unseen, keywords, rights })
    }

    /// The first message that a guest has not seen.
    fn first_unseen_by(&self, guest: AccountId, mailbox: MailboxId) -> Result<Option<LocalUid>> {
        let mut select = self.conn().prepare_cached(
            "SELECT min(m.uid) AS uid FROM message AS m WHERE m.mailbox_id = ?1 AND NOT EXISTS (SELECT 1 FROM guest_seen AS g
               WHERE g.message_id = m.id AND g.account_id = ?2 AND g.seen)",
        )?;
        let first: Option<u32> = select.query_row([mailbox.get(), guest.get()], |row| row.get("uid"))?;
        Ok(first.map(LocalUid::new))
    }

    /// Every message of a mailbox.
    fn uids_of(&self, mailbox: &Mailbox) -> Result<Arc<Vec<LocalUid>>> {
        if let Some(kept) = self.lists().and_then(|lists| lists.get(key_of(mailbox))) {
            return Ok(kept);
        }
        let mut select = self.conn().prepare_cached("SELECT uid FROM message WHERE mailbox_id = ?1 ORDER BY uid")?;
        let uids = select.query_map([mailbox.id.get()], uid)?.collect::<rusqlite::Result<_>>()?;
        let uids = Arc::new(uids);
        if let Some(lists) = self.lists() {
            lists.keep(key_of(mailbox), Arc::clone(&uids));
        }
        Ok(uids)
    }

    /// Counts of a mailbox.
    pub fn status(&self, mailbox: MailboxId) -> Result<Status> {
        let (mailbox, Standing { guest, .. }) = self.open_mailbox(mailbox)?;
        let Tally { messages, recent, unseen, deleted } = self.tally(mailbox.id, mailbox.recent_from)?;
        let unseen = match guest {
            Some(guest) => messages.saturating_sub(self.seen_by_guest(mailbox.id, guest)?),
            None => unseen,
        };
        Ok(Status {
            messages,
            recent,
            unseen,
            deleted,
            uid_next: mailbox.uid_next,
            uid_validity: mailbox.uid_validity,
            highest_mod_seq: mailbox.highest_mod_seq,
        })
    }

    /// The sizes of all messages of a mailbox, which takes a look at each.
    pub fn sizes(&self, mailbox: MailboxId) -> Result<Sizes> {
        let mut select = self.conn().prepare_cached(
            "SELECT total(coalesce(told_bytes, size_bytes)) AS size,
               (SELECT total(coalesce(m.told_bytes, m.size_bytes)) FROM flag_block AS b
                  CROSS JOIN message AS m ON m.mailbox_id = b.mailbox_id AND m.uid BETWEEN b.block * 64 AND b.block * 64 + 63
                WHERE b.mailbox_id = ?1 AND b.deleted <> 0 AND b.deleted >> (m.uid & 63) & 1) AS deleted_size
             FROM message WHERE mailbox_id = ?1",
        )?;
        Ok(select.query_row([mailbox.get()], |row| {
            Ok(Sizes {
                all_bytes: row.get::<_, f64>("size")? as u64,
                deleted_bytes: row.get::<_, f64>("deleted_size")? as u64,
            })
        })?)
    }

    /// How many messages are in a mailbox, selectable or not.
    pub fn message_count(&self, mailbox: MailboxId) -> Result<u32> {
        let mut select = self.conn().prepare_cached("SELECT count(*) AS n FROM message WHERE mailbox_id = ?1")?;
        Ok(select.query_row([mailbox.get()], |row| row.get("n"))?)
    }

    /// What changed in an open mailbox after `since`. Fails with `NoSuchMailbox` once it is deleted.
    pub fn changes(&self, mailbox: MailboxId, since: ModSeq) -> Result<Changes> {
        let (mailbox, Standing { rights, guest }) = self.open_mailbox(mailbox)?;
        let changed = self.flags_among(mailbox.id, &self.blocks_changed(mailbox.id, since)?, since, guest)?;
        let after = params![mailbox.id.get(), since.get().cast_signed()];
        let mut select = self
            .conn()
            .prepare_cached("SELECT uid FROM expunged WHERE mailbox_id = ?1 AND mod_seq > ?2 ORDER BY uid")?;
        let vanished = select.query_map(after, uid)?.collect::<rusqlite::Result<_>>()?;
        Ok(Changes { mailbox, changed, vanished, rights })
    }

    /// The flags of those of `uids` (in any order) that exist, ascending. Call it in batches: the answer is held in memory.
    pub fn flags(&self, mailbox: MailboxId, uids: &[LocalUid]) -> Result<Vec<Changed>> {
        let guest = self.guest_who_reads(mailbox)?;
        self.flags_among(mailbox, &uids.iter().copied().collect(), ModSeq::new(0), guest)
    }

    /// The flags of those messages that changed after `since`.
    pub(in crate::store) fn flags_among(
        &self,
        mailbox: MailboxId,
        uids: &UidSet<LocalUid>,
        since: ModSeq,
        guest: Option<AccountId>,
    ) -> Result<Vec<Changed>> {
        let mut found = Vec::new();
        let is_meant = |changed: &Changed| changed.mod_seq > since && uids.contains(changed.uid);
        match guest {
            None => self.each_owners_flags(mailbox, uids, |changed| {
                found.extend(Some(changed).filter(|changed| changed.mod_seq > since));
            })?,
            Some(guest) => {
                for range in wide_ranges(uids) {
                    found.extend(self.guests_flags(guest, mailbox, range)?.into_iter().filter(is_meant));
                }
            }
        }
        Ok(found)
    }

    /// Shows `visit` the flags of each of those messages as their owner sees them, ascending.
    fn each_owners_flags(
        &self,
        mailbox: MailboxId,
        uids: &UidSet<LocalUid>,
        mut visit: impl FnMut(Changed),
    ) -> Result<()> {
        let mut near = joined_ranges(uids, MOD_SEQ_GAP_MAX_UIDS).into_iter().peekable();
        for range in joined_ranges(uids, GAP_MAX_UIDS) {
            let within = std::iter::from_fn(|| near.next_if(|near| near.1 <= range.1));
            let mut own = self.own_mod_seqs(mailbox, within)?.into_iter().peekable();
            let worded = self.keywords_at(mailbox, range)?;
            for block in self.blocks(mailbox, range, Which::All)? {
                for uid in uids_of(block.number, block.present & bits_among(block.number, uids)) {
                    while own.next_if(|(of, _)| *of < uid).is_some() {}
                    let mod_seq = own.next_if(|(of, _)| *of == uid).map_or(block.base_mod_seq, |(_, own)| own);
                    visit(Changed { uid, flags: worded.flags_of(&block, uid), mod_seq });
                }
            }
        }
        Ok(())
    }

    /// The same as a guest sees them.
    fn guests_flags(&self, guest: AccountId, mailbox: MailboxId, (first, last): (u32, u32)) -> Result<Vec<Changed>> {
        let own = GuestColumns::of(guest);
        let mut select = self.conn().prepare_cached(&format!(
            "SELECT f.uid, f.keywords, {} FROM message_flags AS f {}
             WHERE f.mailbox_id = ?1 AND f.uid BETWEEN ?2 AND ?3 ORDER BY f.uid",
            own.columns, own.join
        ))?;
        let flags = select.query_map(params![mailbox.get(), first, last], Changed::from_row)?;
        Ok(flags.collect::<rusqlite::Result<_>>()?)
    }

    fn seen_by_guest(&self, mailbox: MailboxId, guest: AccountId) -> Result<u32> {
        let mut select = self.conn().prepare_cached(
            "SELECT count(*) AS n FROM guest_seen WHERE account_id = ?1 AND mailbox_id = ?2 AND seen",
        )?;
        Ok(select.query_row([guest.get(), mailbox.get()], |row| row.get("n"))?)
    }

    /// A guest is shown no message as recent: that is between the owner's sessions.
    fn open_mailbox(&self, mailbox: MailboxId) -> Result<(Mailbox, Standing)> {
        let mut mailbox = self.mailbox(mailbox)?;
        if mailbox.name.is_none() {
            return Err(Error::NoSuchMailbox);
        }
        let standing = self.admit(&mailbox, &[Right::Read])?;
        if standing.guest.is_some() {
            mailbox.recent_from = mailbox.uid_next;
        }
        match mailbox.selectable {
            true => Ok((mailbox, standing)),
            false => Err(Error::NotSelectable),
        }
    }
}

impl Txn<'_> {
    /// The messages below `up_to` that no session was shown yet are recent to the caller alone: those from the
    /// returned UID on. Tells nobody: what is recent is no change of the mailbox.
    pub fn claim_recent(&mut self, mailbox: MailboxId, up_to: LocalUid) -> Result<LocalUid> {
        let before = self.reader().mailbox(mailbox)?.recent_from;
        let mut update = self
            .conn()
            .prepare_cached("UPDATE mailbox SET recent_from_uid = max(recent_from_uid, ?2) WHERE id = ?1")?;
        update.execute(params![mailbox.get(), up_to.get()])?;
        Ok(before)
    }
}

impl Changed {
    /// From the columns of `message_flags`, or a guest's.
    pub(in crate::store) fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            uid: LocalUid::new(row.get("uid")?),
            flags: flags_from_row(row)?,
            mod_seq: ModSeq::new(row.get::<_, i64>("mod_seq")?.unsigned_abs()),
        })
    }
}

fn uid(row: &rusqlite::Row<'_>) -> rusqlite::Result<LocalUid> {
    row.get("uid").map(LocalUid::new)
}
