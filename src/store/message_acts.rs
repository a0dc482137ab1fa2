//! Messages come, are copied and moved, and go.

use std::borrow::Cow;

use rusqlite::params;

use super::flag_rows::Marks;
use super::messages::With;
use super::rights::Standing;
use super::{Error, Mailbox, Message, Origin, Outline, Result, StoredContent, Txn};
use crate::journal::Op;
use crate::types::mutant::mutant;
use crate::types::{
    Flags, InternalDate, LocalUid, MailboxId, MessageId, ModSeq, Right, SystemFlag, UidSet, UidValidity, limits,
};

/// A message to add.
#[derive(Debug, Clone)]
pub struct NewMessage {
    pub content: StoredContent,
    pub flags: Flags,
    pub internal_date: InternalDate,
    /// EMAILID or X-GM-MSGID, from upstream.
    pub email_id: Option<String>,
}

/// Messages that came into a mailbox, in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    pub uid_validity: UidValidity,
    pub messages: Vec<(MessageId, LocalUid)>,
}

/// Messages that were copied or moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    pub uid_validity: UidValidity,
    /// (source, target), ascending by source.
    pub uids: Vec<(LocalUid, LocalUid)>,
}

/// "The union of the ACL rights required for UID STORE, UID COPY, and UID EXPUNGE" (RFC 6851 section 4.2; RFC 8508 section
/// 4.1), as far as they are of the mailbox that messages leave.
const REMOVE: [Right; 3] = [Right::Read, Right::DeleteMessages, Right::Expunge];

impl Txn<'_> {
    /// Adds messages in order.
    pub fn append(&mut self, mailbox: MailboxId, messages: &[NewMessage]) -> Result<Appended> {
        let messages: Vec<_> = messages.iter().map(|message| (message, None)).collect();
        self.append_outlined(mailbox, &messages)
    }

    /// Adds messages in order; the content of one with an outline is its header.
    pub(in crate::store) fn append_outlined(
        &mut self,
        mailbox: MailboxId,
        messages: &[(&NewMessage, Option<&Outline>)],
    ) -> Result<Appended> {
        let target = self.writable(mailbox)?;
        let standing = self.eyes().admit(&target, &[Right::Insert])?;
        let mod_seq = self.next_mod_seq(mailbox)?;
        let first = self.take_uids(mailbox, messages.len())?;
        let (mut placed, mut marks) = (Vec::with_capacity(messages.len()), Marks::default());
        for ((message, outline), uid) in messages.iter().zip(first.get()..) {
            let (flags, seen_by) = standing.kept(&message.flags);
            let message = match flags == message.flags {
                true => Cow::Borrowed(*message),
                false => Cow::Owned(NewMessage { flags, ..(*message).clone() }),
            };
            let id = self.insert(&target, Some(LocalUid::new(uid)), &message, *outline)?;
            marks.add_new(LocalUid::new(uid), &message.flags);
            if let Some(guest) = seen_by {
                self.set_guest_seen(guest, (id, mailbox), true, mod_seq)?;
            }
            self.journal(target.account, Op::Append { message: id, mailbox })?;
            placed.push((id, LocalUid::new(uid)));
        }
        self.mark(mailbox, &marks, mod_seq)?;
        let sizes = messages.iter().map(|(message, outline)| size_bytes(message, *outline));
        self.count_in(target.account, placed.len(), sizes.sum())?;
        Ok(Appended { uid_validity: target.uid_validity, messages: placed })
    }

    /// The row of a new message: in the mailbox, where its flags are still to be marked and it is to be counted, or (without a
    /// UID) in none yet. With an outline its content is the header alone.
    pub(in crate::store) fn insert(
        &mut self,
        target: &Mailbox,
        uid: Option<LocalUid>,
        message: &NewMessage,
        outline: Option<&Outline>,
    ) -> Result<MessageId> {
        check_keywords(&message.flags)?;
        let (content, outlined) = match outline {
            None => (Some(self.link(&message.content)?.get()), None),
            Some(outline) => (None, Some(self.insert_outline(&message.content, outline)?.get())),
        };
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO message (account_id, mailbox_id, uid, internal_s,
               internal_offset, size_bytes, content_id, email_id, saved_ms, object_id, gone_ms, outline_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        let now = self.now().unix_ms();
        insert.execute(params![
            target.account.get(),
            uid.map(|_| target.id.get()),
            uid.map(LocalUid::get),
            message.internal_date.unix_seconds(),
            message.internal_date.offset_minutes(),
            size_bytes(message, outline).cast_signed(),
            content,
            message.email_id,
            now,
            object_id(&message.content),
            uid.is_none().then_some(now),
            outlined,
        ])?;
        let id = MessageId::new(self.conn().last_insert_rowid());
        if outline.is_some() {
            // Messages with one header may have several bodies.
            self.conn()
                .prepare_cached("UPDATE message SET object_id = 'L' || id WHERE id = ?1")?
                .execute([id.get()])?;
        }
        if uid.is_none() {
            self.set_apart(id, &message.flags)?;
        }
        Ok(id)
    }

    /// The message is in the mailbox from now on, with a UID that was taken for it, wherever it was.
    pub(in crate::store) fn put(&mut self, message: MessageId, mailbox: MailboxId, uid: LocalUid) -> Result<()> {
        let mod_seq = self.next_mod_seq(mailbox)?;
        let mut update = self.conn().prepare_cached(
            "UPDATE message SET mailbox_id = ?2, uid = ?3, saved_ms = ?4, gone_ms = NULL,
               gone_from = NULL, gone_why = NULL, told_bytes = NULL WHERE id = ?1",
        )?;
        update.execute(params![message.get(), mailbox.get(), uid.get(), self.now().unix_ms()])?;
        self.move_flags(message, (mailbox, uid), mod_seq)
    }

    /// Copies messages; flags and INTERNALDATE go along. UIDs without a message are passed over.
    pub fn copy(&mut self, from: MailboxId, uids: &[LocalUid], to: MailboxId) -> Result<Copied> {
        let (target, standing) = self.writable_by(to, &[Right::Insert])?;
        let sources = self.eyes().messages(from, uids, With::Columns)?;
        if sources.is_empty() {
            return Ok(Copied { uid_validity: target.uid_validity, uids: Vec::new() });
        }
        let mod_seq = self.next_mod_seq(to)?;
        let first = self.take_uids(to, sources.len())?;
        let mut copy = self.conn().prepare_cached(
            "INSERT INTO message (account_id, mailbox_id, uid, internal_s,
               internal_offset, size_bytes, content_id, email_id, saved_ms, object_id, outline_id)
             SELECT ?5, ?2, ?3, internal_s,
               internal_offset, size_bytes, content_id, email_id, ?4, object_id, outline_id
             FROM message WHERE id = ?1",
        )?;
        let (mut copies, mut uids) = (Vec::with_capacity(sources.len()), Vec::with_capacity(sources.len()));
        let mut marks = Marks::default();
        for (source, uid) in sources.iter().zip(first.get()..) {
            let now = self.now().unix_ms();
            let (flags, seen_by) = standing.kept(&source.flags);
            let flags = if mutant!(CopyWithoutFlags) { Flags::none() } else { flags };
            copy.execute(params![source.id.get(), to.get(), uid, now, target.account.get()])?;
            let (id, uid) = (MessageId::new(self.conn().last_insert_rowid()), LocalUid::new(uid));
            marks.add_new(uid, &flags);
            if let Some(guest) = seen_by {
                self.set_guest_seen(guest, (id, to), true, mod_seq)?;
            }
            copies.push((source.id, id));
            uids.push((source.uid, uid));
        }
        self.mark(to, &marks, mod_seq)?;
        self.count_in(target.account, sources.len(), sources.iter().map(|source| source.size_bytes).sum())?;
        self.journal(target.account, Op::Copy { copies, from, to })?;
        Ok(Copied { uid_validity: target.uid_validity, uids })
    }

    /// Moves messages. UIDs without a message are passed over. Between accounts they are copied, and the originals go.
    pub fn move_messages(&mut self, from: MailboxId, uids: &[LocalUid], to: MailboxId) -> Result<Copied> {
        let (source, _) = self.writable_by(from, &REMOVE)?;
        let (target, _) = self.writable_by(to, &[Right::Insert])?;
        let messages = self.reader().messages(from, uids, With::Columns)?;
        if source.account == target.account {
            return self.place(from, &messages, &target);
        }
        let copied = self.copy(from, uids, to)?;
        self.take_out(&source, &messages, "moved to another account")?;
        Ok(copied)
    }

    /// Moves everything.
    pub(in crate::store) fn move_all(&mut self, from: &Mailbox, to: MailboxId) -> Result<Copied> {
        let target = self.writable(to)?;
        let messages = self.reader().messages_in(from.id, &everything(), With::Columns)?;
        self.place(from.id, &messages, &target)
    }

    /// Adds a message and removes that one, as one act.
    pub fn replace(
        &mut self,
        mailbox: MailboxId,
        uid: LocalUid,
        to: MailboxId,
        message: &NewMessage,
    ) -> Result<Appended> {
        let source = self.writable(mailbox)?;
        self.eyes().admit(&source, &REMOVE)?;
        let replaced = self.reader().messages(mailbox, &[uid], With::Columns)?;
        if replaced.is_empty() {
            return Err(Error::NoSuchMessage);
        }
        let appended = self.append(to, std::slice::from_ref(message))?;
        self.remove(&source, &replaced, "replaced")?;
        Ok(appended)
    }

    /// Removes the messages with `\Deleted`, all or those among `uids`. Returns what went, ascending.
    pub fn expunge(&mut self, mailbox: MailboxId, uids: Option<&UidSet<LocalUid>>) -> Result<Vec<LocalUid>> {
        let source = self.writable(mailbox)?;
        self.eyes().admit(&source, &[Right::Read, Right::Expunge])?;
        let mut deleted = self.reader().deleted(mailbox)?;
        deleted.retain(|uid| uids.is_none_or(|uids| uids.contains(*uid)));
        let messages = self.reader().messages(mailbox, &deleted, With::Columns)?;
        debug_assert!(messages.iter().all(|message| message.flags.has(SystemFlag::Deleted)));
        self.remove(&source, &messages, "expunged")
    }

    /// Removes messages whatever their flags (POP3 DELE). Returns what went, ascending.
    pub fn remove_messages(&mut self, mailbox: MailboxId, uids: &UidSet<LocalUid>) -> Result<Vec<LocalUid>> {
        let source = self.writable(mailbox)?;
        let messages = self.reader().messages_in(mailbox, uids, With::Columns)?;
        self.remove(&source, &messages, "deleted")
    }

    /// Removes everything, without a journal entry of its own: the mailbox itself goes.
    pub(in crate::store) fn remove_all(&mut self, mailbox: &Mailbox, why: &str) -> Result<()> {
        let messages = self.reader().messages_in(mailbox.id, &everything(), With::Columns)?;
        self.take_out(mailbox, &messages, why)?;
        Ok(())
    }

    /// Removes messages from their mailbox, and writes that to the journal.
    pub(in crate::store) fn remove(
        &mut self,
        mailbox: &Mailbox,
        messages: &[Message],
        why: &str,
    ) -> Result<Vec<LocalUid>> {
        let gone = self.take_out(mailbox, messages, why)?;
        if !gone.is_empty() {
            let messages = messages.iter().map(|message| message.id).collect();
            self.journal(mailbox.account, Op::Expunge { messages, from: mailbox.id })?;
        }
        Ok(gone)
    }

    /// Takes messages out of their mailbox. Their rows stay, gone but recoverable; those of [`Origin::Authority`] go.
    pub(in crate::store) fn take_out(
        &mut self,
        mailbox: &Mailbox,
        messages: &[Message],
        why: &str,
    ) -> Result<Vec<LocalUid>> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let mod_seq = self.next_mod_seq(mailbox.id)?;
        let name = mailbox.name.as_ref().map(crate::types::MailboxName::as_str);
        for message in messages {
            if self.origin() == Origin::Authority {
                self.conn().prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([message.id.get()])?;
            } else {
                let mut update = self.conn().prepare_cached(
                    "UPDATE message SET mailbox_id = NULL, uid = NULL, gone_ms = ?2,
                       gone_from = coalesce(?3, (SELECT hidden_name FROM mailbox WHERE id = ?5)), gone_why = ?4
                     WHERE id = ?1",
                )?;
                update.execute(params![message.id.get(), self.now().unix_ms(), name, why, mailbox.id.get()])?;
                self.hand_on_popped(message.id)?;
            }
            self.vanish(mailbox.id, mod_seq, message.uid)?;
        }
        Ok(messages.iter().map(|message| message.uid).collect())
    }

    /// Puts messages of `from` into `target`, and writes that to the journal.
    pub(in crate::store) fn place(
        &mut self,
        from: MailboxId,
        messages: &[Message],
        target: &Mailbox,
    ) -> Result<Copied> {
        if messages.is_empty() {
            return Ok(Copied { uid_validity: target.uid_validity, uids: Vec::new() });
        }
        let left = self.next_mod_seq(from)?;
        let came = if from == target.id { left } else { self.next_mod_seq(target.id)? };
        let first = self.take_uids(target.id, messages.len())?;
        let mut update = self.conn().prepare_cached(
            "UPDATE message SET mailbox_id = ?2, uid = ?3, saved_ms = ?4, told_bytes = NULL WHERE id = ?1",
        )?;
        let mut uids = Vec::with_capacity(messages.len());
        for (message, uid) in messages.iter().zip(first.get()..) {
            let now = self.now().unix_ms();
            update.execute(params![message.id.get(), target.id.get(), uid, now])?;
            let uid = LocalUid::new(uid);
            self.move_flags(message.id, (target.id, uid), came)?;
            self.vanish(from, left, message.uid)?;
            uids.push((message.uid, uid));
        }
        if from != target.id {
            let messages = messages.iter().map(|message| message.id).collect();
            self.journal(target.account, Op::Move { messages, from, to: target.id })?;
        }
        Ok(Copied { uid_validity: target.uid_validity, uids })
    }

    /// Records that a UID went.
    pub(in crate::store) fn vanish(&self, mailbox: MailboxId, mod_seq: ModSeq, uid: LocalUid) -> Result<()> {
        let mut insert =
            self.conn().prepare_cached("INSERT INTO expunged (mailbox_id, mod_seq, uid) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![mailbox.get(), mod_seq.get().cast_signed(), uid.get()])?;
        Ok(())
    }

    /// As [`Self::writable`], for a viewer who may do that there. What may not be looked up is not told to be there, not even as
    /// what cannot be written to (RFC 4314 section 6).
    fn writable_by(&self, mailbox: MailboxId, needs: &[Right]) -> Result<(Mailbox, Standing)> {
        let standing = self.eyes().admit(&self.reader().mailbox(mailbox)?, needs)?;
        Ok((self.writable(mailbox)?, standing))
    }

    /// The mailbox, if its messages may be changed on this transaction's behalf.
    pub(in crate::store) fn writable(&self, mailbox: MailboxId) -> Result<Mailbox> {
        let mailbox = self.reader().mailbox(mailbox)?;
        if mailbox.name.is_none() {
            return Err(Error::NoSuchMailbox);
        }
        if self.origin() == Origin::Upstream {
            return Ok(mailbox);
        }
        match (mailbox.selectable, mailbox.read_only) {
            (false, _) => Err(Error::NotSelectable),
            (true, true) => Err(Error::ReadOnly),
            (true, false) => Ok(mailbox),
        }
    }
}

/// RFC822.SIZE of a new message.
fn size_bytes(message: &NewMessage, outline: Option<&Outline>) -> u64 {
    outline.map_or(message.content.size_bytes, |outline| outline.size_bytes)
}

pub(in crate::store) fn check_keywords(flags: &Flags) -> Result<()> {
    match flags.keywords().count() > limits::KEYWORDS_MAX {
        true => Err(Error::Limit("too many keywords on a message")),
        false => Ok(()),
    }
}

/// EMAILID of messages with these bytes (RFC 8474).
fn object_id(content: &StoredContent) -> String {
    let hash = content.hash.to_string();
    format!("M{}", &hash[..40])
}

pub(in crate::store) fn everything() -> UidSet<LocalUid> {
    UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX))
}
