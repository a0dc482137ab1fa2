//! Where upstream has the messages, what it was last seen to have of each, and what it says of them.
//!
//! A message is bound while upstream has it, wherever the user put it here and even if it is gone here. The flags of a
//! binding are the base: what upstream was last seen to have.

use rusqlite::{OptionalExtension, Row, params};

use super::journal::PartFlags;
use super::messages::flags_from_row;
use super::{Reader, Result, Txn};
use crate::journal::{Op, intent};
use crate::merge::FlagReplicas;
use crate::types::mutant::mutant;
use crate::types::{
    AccountId, ContentHash, ContentId, Flag, Flags, InternalDate, LocalUid, MailboxId, MessageId, ModSeq, OutlineId,
    RemoteUid, SystemFlag, Timestamp, UidSet, UidValidity,
};

/// A message that upstream has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    pub message: MessageId,
    /// `None`: UIDVALIDITY changed, and it was not found again.
    pub uid: Option<RemoteUid>,
    pub base: Flags,
    /// It is in some mailbox here, or will be: the user did not expunge it.
    pub is_here: bool,
    /// Its bytes are here, or its outline.
    pub is_known: bool,
}

/// What is known of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFacts {
    pub message: MessageId,
    /// Where it is here; `None` if it is gone.
    pub place: Option<MailboxId>,
    /// Under which UID.
    pub uid: Option<LocalUid>,
    pub flags: Flags,
    pub internal_date: InternalDate,
    pub size_bytes: u64,
    pub content: Option<ContentId>,
    /// Of a message whose bytes are not here.
    pub outline: Option<OutlineId>,
    pub hash: Option<ContentHash>,
    pub email_id: Option<String>,
    pub upstream: Option<Binding>,
    /// It arrived, and may be another message, moved: it is in no mailbox here before that is known.
    pub waits: bool,
}

/// Where upstream has a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub mailbox: MailboxId,
    /// `None`: UIDVALIDITY changed, and it was not found again.
    pub uid: Option<RemoteUid>,
    pub base: Flags,
}

pub(super) const FACTS: &str =
    "SELECT m.id, m.mailbox_id, m.uid, f.system_flags, f.keywords, m.internal_s, m.internal_offset, m.size_bytes,
    m.content_id, m.outline_id, c.hash, m.email_id, r.mailbox_id AS bound_to, r.uid AS bound_uid, r.system_flags AS base_flags,
    r.keywords AS base_keywords, coalesce(a.waits, 0) AS waits
    FROM message AS m JOIN message_flags AS f ON f.message_id = m.id LEFT JOIN remote_message AS r ON r.message_id = m.id LEFT JOIN content AS c ON c.id = m.content_id
    LEFT JOIN remote_arrival AS a ON a.message_id = m.id";

impl MessageFacts {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let upstream = match row.get::<_, Option<i64>>("bound_to")? {
            Some(mailbox) => Some(Binding {
                mailbox: MailboxId::new(mailbox),
                uid: uid_from(row.get("bound_uid")?),
                base: Flags::from_columns(row.get("base_flags")?, row.get_ref("base_keywords")?.as_str()?),
            }),
            None => None,
        };
        Ok(Self {
            message: MessageId::new(row.get("id")?),
            place: row.get::<_, Option<i64>>("mailbox_id")?.map(MailboxId::new),
            uid: row.get::<_, Option<u32>>("uid")?.map(LocalUid::new),
            flags: flags_from_row(row)?,
            internal_date: InternalDate::new(row.get("internal_s")?, row.get("internal_offset")?),
            size_bytes: row.get::<_, i64>("size_bytes")?.unsigned_abs(),
            content: row.get::<_, Option<i64>>("content_id")?.map(ContentId::new),
            outline: row.get::<_, Option<i64>>("outline_id")?.map(OutlineId::new),
            hash: row.get::<_, Option<[u8; 32]>>("hash")?.map(ContentHash::from_bytes),
            email_id: row.get("email_id")?,
            upstream,
            waits: row.get("waits")?,
        })
    }
}

/// Bindings whose UIDs are void bear the message's id, negative, in their place.
fn uid_from(column: i64) -> Option<RemoteUid> {
    u32::try_from(column).ok().filter(|uid| *uid > 0).map(RemoteUid::new)
}

impl Reader<'_> {
    /// Is a copy of the message, of which only the header is here, still to be made upstream?
    pub fn is_to_be_copied(&self, message: MessageId) -> Result<bool> {
        let mut select = self.conn().prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM message AS m JOIN message AS copy ON copy.outline_id = m.outline_id
               WHERE m.id = ?1 AND copy.id <> m.id AND copy.mailbox_id IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM remote_message AS r WHERE r.message_id = copy.id)) AS found",
        )?;
        Ok(select.query_row([message.get()], |row| row.get("found"))?)
    }

    /// The messages that upstream has in the mailbox, by their UIDs there; those without first.
    pub fn bound(&self, mailbox: MailboxId) -> Result<Vec<Bound>> {
        let mut select = self.conn().prepare_cached(
            "SELECT r.message_id, r.uid, r.system_flags, r.keywords,
               coalesce(m.content_id, m.outline_id) IS NOT NULL AS is_known, (m.mailbox_id IS NOT NULL OR coalesce(a.waits, 0)) AS is_here
             FROM remote_message AS r JOIN message AS m ON m.id = r.message_id
             LEFT JOIN remote_arrival AS a ON a.message_id = m.id WHERE r.mailbox_id = ?1 ORDER BY r.uid",
        )?;
        let bound = select.query_map([mailbox.get()], |row| {
            Ok(Bound {
                message: MessageId::new(row.get("message_id")?),
                uid: uid_from(row.get("uid")?),
                base: flags_from_row(row)?,
                is_here: row.get("is_here")?,
                is_known: row.get("is_known")?,
            })
        })?;
        Ok(bound.collect::<rusqlite::Result<_>>()?)
    }

    /// Does the UID there name a message of ours?
    pub fn is_bound(&self, mailbox: MailboxId, uid: RemoteUid) -> Result<bool> {
        let mut select =
            self.conn().prepare_cached("SELECT 1 AS one FROM remote_message WHERE mailbox_id = ?1 AND uid = ?2")?;
        Ok(select.exists(params![mailbox.get(), uid.get()])?)
    }

    /// How many messages upstream has in all mailboxes of the account.
    pub fn count_bound(&self, account: AccountId) -> Result<usize> {
        let mut select = self.conn().prepare_cached(
            "SELECT count(*) AS n FROM remote_message AS r JOIN remote_mailbox AS b ON b.mailbox_id = r.mailbox_id
             WHERE b.account_id = ?1",
        )?;
        let count: u32 = select.query_row([account.get()], |row| row.get("n"))?;
        Ok(count as usize)
    }

    /// What is known of the message, if there is such a row.
    pub fn message_facts(&self, message: MessageId) -> Result<Option<MessageFacts>> {
        let mut select = self.conn().prepare_cached(&format!("{FACTS} WHERE m.id = ?1"))?;
        Ok(select.query_row([message.get()], MessageFacts::from_row).optional()?)
    }

    /// What is known of the messages that upstream has in the mailbox.
    pub fn bound_facts(&self, mailbox: MailboxId) -> Result<Vec<MessageFacts>> {
        let mut select = self.conn().prepare_cached(&format!("{FACTS} WHERE r.mailbox_id = ?1 ORDER BY r.uid"))?;
        Ok(select.query_map([mailbox.get()], MessageFacts::from_row)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Mailboxes that must be looked into though upstream shows no change: bytes are missing, messages have no UID any
    /// more, they are in quarantine.
    pub fn restless_mailboxes(&self, account: AccountId, now: Timestamp) -> Result<Vec<MailboxId>> {
        let mut select = self.conn().prepare_cached(
            "SELECT b.mailbox_id FROM remote_mailbox AS b WHERE b.account_id = ?1 AND (
               EXISTS (SELECT 1 FROM remote_message AS r WHERE r.mailbox_id = b.mailbox_id AND r.uid < 0)
               OR EXISTS (SELECT 1 FROM message AS m JOIN remote_message AS r ON r.message_id = m.id
                          WHERE m.content_id IS NULL AND m.outline_id IS NULL AND r.mailbox_id = b.mailbox_id)
               OR EXISTS (SELECT 1 FROM remote_skipped AS s WHERE s.mailbox_id = b.mailbox_id AND s.again_ms <= ?2)
               OR EXISTS (SELECT 1 FROM quarantine AS q WHERE q.mailbox_id = b.mailbox_id))
             ORDER BY b.mailbox_id",
        )?;
        let ids =
            select.query_map(params![account.get(), now.unix_ms()], |row| row.get("mailbox_id").map(MailboxId::new))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }
}

impl Txn<'_> {
    /// Upstream has the message there, with these flags.
    pub fn bind(&mut self, message: MessageId, mailbox: MailboxId, uid: RemoteUid, base: &Flags) -> Result<()> {
        let mut update = self.conn().prepare_cached(
            "UPDATE remote_message SET mailbox_id = ?2, uid = ?3, system_flags = ?4, keywords = ?5 WHERE message_id = ?1",
        )?;
        let values = params![message.get(), mailbox.get(), uid.get(), base.system_bits(), base.keywords_text()];
        if update.execute(values)? == 0 {
            self.bind_new(message, mailbox, uid, base)?;
        }
        Ok(())
    }

    /// The same of a message that is bound nowhere. Its statement is a plain one: for an upsert, which may have to be undone
    /// alone, SQLite copies every page that it touches.
    pub(super) fn bind_new(&self, message: MessageId, mailbox: MailboxId, uid: RemoteUid, base: &Flags) -> Result<()> {
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO remote_message (message_id, mailbox_id, uid, system_flags, keywords) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        insert.execute(params![message.get(), mailbox.get(), uid.get(), base.system_bits(), base.keywords_text()])?;
        Ok(())
    }

    /// Upstream has the message no more.
    pub fn unbind(&mut self, message: MessageId) -> Result<()> {
        self.conn().prepare_cached("DELETE FROM remote_message WHERE message_id = ?1")?.execute([message.get()])?;
        self.forget_replicas(message)
    }

    /// Upstream shows these flags on a bound message: what changed there since the base is merged with what the user
    /// changed here. Returns whether upstream changed anything.
    pub fn observe_flags(&mut self, message: MessageId, now: &Flags) -> Result<bool> {
        let Some(facts) = self.reader().message_facts(message)? else { return Ok(false) };
        let Some(binding) = facts.upstream.filter(|binding| binding.base != *now) else { return Ok(false) };
        let open = self.reader().open_flags(message)?;
        let replicas = match self.replicas(message)? {
            Some(replicas) => Some(replicas),
            None if open.is_empty() => None,
            None => Some(self.new_replicas(&binding.base, &open, &facts.flags)?),
        };
        let merged = match replicas {
            Some(mut replicas) => {
                replicas.observe_upstream(&binding.base, now);
                // What is seen of our own act, whose answer was lost, is not another's: the user has taken it back since.
                let tried = open.iter().filter(|open| open.is_tried);
                let tried = tried.fold(Flags::none(), |flags, open| flags.union(&open.add));
                let appeared = now.difference(&binding.base).difference(&facts.flags);
                replicas.set_local(&Flags::none(), &appeared.difference(&appeared.difference(&tried)));
                self.set_replicas(message, &replicas)?;
                replicas.value()
            }
            None => facts.flags.difference(&binding.base.difference(now)).union(&now.difference(&binding.base)),
        };
        let merged = if mutant!(UpstreamFlagsWin) { now.clone() } else { merged };
        if merged != facts.flags {
            // A message that is gone is in no mailbox whose mod-sequence could grow.
            let mod_seq = facts.place.map_or(Ok(ModSeq::new(1)), |place| self.next_mod_seq(place))?;
            self.set_flags(message, facts.place.zip(facts.uid), &merged, mod_seq)?;
        }
        self.set_base(message, now)?;
        Ok(true)
    }

    /// The message goes from here, recoverable: upstream has it no more.
    pub fn goes(&mut self, message: MessageId, why: &str) -> Result<()> {
        if let Some(here) = self.reader().message(message)? {
            let mailbox = self.reader().mailbox(here.mailbox)?;
            self.take_out(&mailbox, &[here], why)?;
        }
        Ok(())
    }

    /// The message is put where upstream has it.
    pub fn follow(&mut self, message: MessageId, to: MailboxId) -> Result<()> {
        let target = self.reader().mailbox(to)?;
        if let Some(here) = self.reader().message(message)?.filter(|here| here.mailbox != to)
            && target.name.is_some()
        {
            self.place(here.mailbox, &[here], &target)?;
        }
        Ok(())
    }

    /// The user's deletion of the message is off: `\\Deleted` is as upstream has it.
    pub fn undelete(&mut self, message: MessageId) -> Result<()> {
        let Some(facts) = self.reader().message_facts(message)? else { return Ok(()) };
        let (Some(place), Some(binding)) = (facts.place, facts.upstream) else { return Ok(()) };
        let deleted: Flags = std::iter::once(Flag::from(SystemFlag::Deleted)).collect();
        if facts.flags.has(SystemFlag::Deleted) && !binding.base.has(SystemFlag::Deleted) {
            let mod_seq = self.next_mod_seq(place)?;
            let flags = facts.flags.difference(&deleted);
            self.set_flags(message, Some(place).zip(facts.uid), &flags, mod_seq)?;
        }
        self.forget_replicas(message)
    }

    /// UIDVALIDITY changed: the messages in `found` have these UIDs now, the others none. Nothing else is covered.
    pub fn rematch(
        &mut self,
        mailbox: MailboxId,
        uid_validity: UidValidity,
        found: &[(MessageId, RemoteUid)],
    ) -> Result<()> {
        for sql in [
            "UPDATE remote_message SET uid = -message_id WHERE mailbox_id = ?1",
            "DELETE FROM remote_skipped WHERE mailbox_id = ?1",
        ] {
            self.conn().prepare_cached(sql)?.execute([mailbox.get()])?;
        }
        for (message, uid) in found {
            let mut update = self
                .conn()
                .prepare_cached("UPDATE remote_message SET uid = ?3 WHERE message_id = ?1 AND mailbox_id = ?2")?;
            update.execute(params![message.get(), mailbox.get(), uid.get()])?;
        }
        self.set_cursor(mailbox, &super::Cursor::start(Some(uid_validity)))
    }

    /// The user wants upstream what vanished there: it is appended anew, unless it is to be put somewhere anyway. By [`super::Origin::LocalUser`].
    pub fn append_anew(&mut self, message: MessageId) -> Result<()> {
        self.unbind(message)?;
        let Some(here) = self.reader().message(message)? else { return Ok(()) };
        let entries = self.reader().entries_about(message)?;
        let is_placed = intent(&entries, message).is_some_and(|net| !net.place_entries.is_empty());
        if !is_placed {
            self.journal(here.account, Op::Append { message, mailbox: here.mailbox })?;
        }
        Ok(())
    }

    pub(in crate::store) fn set_base(&mut self, message: MessageId, base: &Flags) -> Result<()> {
        let mut update = self
            .conn()
            .prepare_cached("UPDATE remote_message SET system_flags = ?2, keywords = ?3 WHERE message_id = ?1")?;
        update.execute(params![message.get(), base.system_bits(), base.keywords_text()])?;
        Ok(())
    }

    /// The replicas of a message that is so here: upstream's base, with the open entries' changes on top.
    fn new_replicas(&self, base: &Flags, open: &[PartFlags], here: &Flags) -> Result<FlagReplicas> {
        let mut replicas = FlagReplicas::new(base, base, self.generation()?);
        for PartFlags { add, remove, .. } in open {
            replicas.set_local(add, remove);
        }
        let value = replicas.value();
        replicas.set_local(&here.difference(&value), &value.difference(here));
        Ok(replicas)
    }

    /// What is open says all again: what both sides changed is settled, or off.
    pub(in crate::store) fn forget_replicas(&self, message: MessageId) -> Result<()> {
        self.conn().prepare_cached("DELETE FROM flag_merge WHERE message_id = ?1")?.execute([message.get()])?;
        Ok(())
    }

    pub(super) fn bound_at(&self, mailbox: MailboxId, uid: RemoteUid) -> Result<Option<MessageId>> {
        let mut select =
            self.conn().prepare_cached("SELECT message_id FROM remote_message WHERE mailbox_id = ?1 AND uid = ?2")?;
        let message = select.query_row(params![mailbox.get(), uid.get()], |row| row.get("message_id"));
        Ok(message.optional()?.map(MessageId::new))
    }

    fn generation(&self) -> Result<i64> {
        let mut select = self.conn().prepare_cached("SELECT generation FROM store_info WHERE id = 1")?;
        Ok(select.query_row([], |row| row.get("generation"))?)
    }
}

/// UIDs as a set.
pub fn bound_uids(bound: &[Bound]) -> UidSet<RemoteUid> {
    bound.iter().filter_map(|bound| bound.uid).collect()
}
