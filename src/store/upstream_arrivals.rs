//! Messages that arrived upstream, and are candidates for those that vanished until the round is closed: once every mailbox
//! that they may have left was looked into, or could not be for long.
//!
//! One with the bytes of a message that upstream had before the round waits: it may be that message, moved, and what
//! would tell may come only after a cut. Nobody sees it before it is known, so nobody acts on one message twice.

use std::collections::BTreeMap;

use rusqlite::params;

use super::upstream_messages::FACTS;
use super::{Error, Mailbox, MessageFacts, NewMessage, Outline, Reader, Result, Txn, contents};
use crate::types::{AccountId, ContentId, LocalUid, MailboxId, MessageId, RemoteUid, Timestamp, UidSet};

/// A message that arrived upstream.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub uid: RemoteUid,
    pub message: NewMessage,
    /// Only its header was fetched, which is the message's content then.
    pub outline: Option<Outline>,
}

/// Rows in one statement.
const DELETED_AT_ONCE: i64 = 10_000;

impl Reader<'_> {
    /// Messages that arrived since the last round was closed and that upstream still has.
    pub fn fresh_arrivals(&self, account: AccountId) -> Result<Vec<MessageFacts>> {
        let mut select = self.conn().prepare_cached(&format!(
            "{FACTS} WHERE m.id IN (SELECT message_id FROM remote_arrival) AND m.account_id = ?1 AND r.message_id IS NOT NULL
             ORDER BY m.id"
        ))?;
        Ok(select.query_map([account.get()], MessageFacts::from_row)?.collect::<rusqlite::Result<_>>()?)
    }

    /// How many those are.
    pub fn count_fresh_arrivals(&self, account: AccountId) -> Result<usize> {
        let mut select = self.conn().prepare_cached(
            "SELECT count(*) AS arrivals FROM remote_arrival AS a CROSS JOIN message AS m ON m.id = a.message_id
             WHERE m.account_id = ?1 AND EXISTS (SELECT 1 FROM remote_message AS r WHERE r.message_id = a.message_id)",
        )?;
        let arrivals: u32 = select.query_row([account.get()], |row| row.get("arrivals"))?;
        Ok(arrivals as usize)
    }

    /// When the first of them came.
    pub fn first_fresh_arrival(&self, account: AccountId) -> Result<Option<Timestamp>> {
        let mut select = self.conn().prepare_cached(
            "SELECT min(m.saved_ms) AS first FROM remote_arrival AS a JOIN message AS m ON m.id = a.message_id
             WHERE m.account_id = ?1 AND EXISTS (SELECT 1 FROM remote_message AS r WHERE r.message_id = a.message_id)",
        )?;
        let first: Option<i64> = select.query_row([account.get()], |row| row.get("first"))?;
        Ok(first.map(Timestamp::from_unix_ms))
    }

    /// Those of them that wait, and the mailbox that each came to, ascending.
    fn waiting_arrivals(&self, account: AccountId) -> Result<Vec<(MailboxId, MessageId)>> {
        let mut select = self.conn().prepare_cached(
            "SELECT r.mailbox_id, a.message_id FROM remote_arrival AS a CROSS JOIN message AS m ON m.id = a.message_id
             JOIN remote_message AS r ON r.message_id = a.message_id
             WHERE m.account_id = ?1 AND a.waits = 1 ORDER BY a.message_id",
        )?;
        let waiting = select.query_map([account.get()], |row| {
            Ok((MailboxId::new(row.get("mailbox_id")?), MessageId::new(row.get("message_id")?)))
        })?;
        Ok(waiting.collect::<rusqlite::Result<_>>()?)
    }

    /// The mailboxes upstream of the messages that those that wait may be.
    pub fn mailboxes_of_twins(&self, account: AccountId) -> Result<Vec<MailboxId>> {
        let mut select = self.conn().prepare_cached(
            "SELECT DISTINCT r.mailbox_id FROM remote_arrival AS a CROSS JOIN message AS m ON m.id = a.message_id
             CROSS JOIN message AS twin ON twin.account_id = m.account_id AND twin.id IN (
               SELECT same.id FROM message AS same WHERE same.content_id = m.content_id
               UNION ALL
               SELECT alike.id FROM outline AS o JOIN outline AS t ON t.header_id = o.header_id
                 JOIN message AS alike ON alike.outline_id = t.id AND alike.size_bytes = m.size_bytes WHERE o.id = m.outline_id)
             CROSS JOIN remote_message AS r ON r.message_id = twin.id
             WHERE m.account_id = ?1 AND a.waits = 1
               AND NOT EXISTS (SELECT 1 FROM remote_arrival AS other WHERE other.message_id = twin.id AND other.waits = 1)
             ORDER BY r.mailbox_id",
        )?;
        let ids = select.query_map([account.get()], |row| row.get("mailbox_id").map(MailboxId::new))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    /// The other messages like this one that upstream has, and in which mailbox each is there.
    pub fn twins_upstream(&self, message: MessageId) -> Result<Vec<(MailboxId, MessageId)>> {
        let mut select = self.conn().prepare_cached(
            "SELECT r.mailbox_id, twin.id FROM message AS m CROSS JOIN message AS twin ON twin.account_id = m.account_id
               AND twin.id <> m.id AND twin.id IN (
               SELECT same.id FROM message AS same WHERE same.content_id = m.content_id
               UNION ALL
               SELECT alike.id FROM outline AS o JOIN outline AS t ON t.header_id = o.header_id
                 JOIN message AS alike ON alike.outline_id = t.id AND alike.size_bytes = m.size_bytes WHERE o.id = m.outline_id)
             CROSS JOIN remote_message AS r ON r.message_id = twin.id
             WHERE m.id = ?1 ORDER BY r.mailbox_id, twin.id",
        )?;
        let twins = select.query_map([message.get()], |row| {
            Ok((MailboxId::new(row.get("mailbox_id")?), MessageId::new(row.get("id")?)))
        })?;
        Ok(twins.collect::<rusqlite::Result<_>>()?)
    }

    /// The mailboxes upstream of messages that came in this round, and before another that is like them came elsewhere: that may
    /// be one of them, moved on behind our back.
    pub fn mailboxes_of_late_twins(&self, account: AccountId) -> Result<Vec<MailboxId>> {
        let mut select = self.conn().prepare_cached(
            "SELECT DISTINCT r.mailbox_id FROM remote_arrival AS a CROSS JOIN message AS m ON m.id = a.message_id
             CROSS JOIN message AS twin ON twin.content_id = m.content_id AND twin.account_id = m.account_id AND twin.id < m.id
             JOIN remote_arrival AS fresh ON fresh.message_id = twin.id
             JOIN remote_message AS r ON r.message_id = twin.id
             JOIN remote_message AS its ON its.message_id = m.id
             WHERE m.account_id = ?1 AND r.mailbox_id <> its.mailbox_id
             ORDER BY r.mailbox_id",
        )?;
        let ids = select.query_map([account.get()], |row| row.get("mailbox_id").map(MailboxId::new))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    /// Did upstream have a message with these bytes, no newer than `since`? With a size, they are the header of a message of
    /// that size.
    pub(in crate::store) fn had_upstream(
        &self,
        account: AccountId,
        content: ContentId,
        size_bytes: Option<u64>,
        since: MessageId,
    ) -> Result<bool> {
        // The unary plus keeps SQLite from walking all messages up to `since`.
        let is_like = match size_bytes {
            None => "m.content_id = ?1 AND ?4 IS NULL",
            Some(_) => "m.outline_id IN (SELECT o.id FROM outline AS o WHERE o.header_id = ?1) AND m.size_bytes = ?4",
        };
        let mut select = self.conn().prepare_cached(&format!(
            "SELECT EXISTS (SELECT 1 FROM message AS m CROSS JOIN remote_message AS r ON r.message_id = m.id
               WHERE {is_like} AND m.account_id = ?2 AND +m.id <= ?3) AS found"
        ))?;
        let values = params![content.get(), account.get(), since.get(), size_bytes.map(u64::cast_signed)];
        Ok(select.query_row(values, |row| row.get("found"))?)
    }

    /// The greatest UID upstream of the messages of a mailbox; `None`: no message has one (any more).
    pub fn last_bound(&self, mailbox: MailboxId) -> Result<Option<RemoteUid>> {
        let mut select = self
            .conn()
            .prepare_cached("SELECT max(uid) AS last FROM remote_message WHERE mailbox_id = ?1 AND uid > 0")?;
        let last: Option<u32> = select.query_row([mailbox.get()], |row| row.get("last"))?;
        Ok(last.map(RemoteUid::new))
    }

    /// The newest message of those that a mailbox has upstream.
    pub fn newest_in(&self, mailbox: MailboxId) -> Result<Option<MessageId>> {
        let mut select =
            self.conn().prepare_cached("SELECT max(message_id) AS newest FROM remote_message WHERE mailbox_id = ?1")?;
        let newest: Option<i64> = select.query_row([mailbox.get()], |row| row.get("newest"))?;
        Ok(newest.map(MessageId::new))
    }

    /// The newest message of all; 0 if there is none.
    pub fn last_message(&self) -> Result<MessageId> {
        let mut select = self.conn().prepare_cached("SELECT coalesce(max(id), 0) AS last FROM message")?;
        Ok(MessageId::new(select.query_row([], |row| row.get("last"))?))
    }
}

impl Txn<'_> {
    /// Messages arrived. One that is bound already is passed over; of one whose bytes were lost here the bytes are
    /// taken; one that may be a message up to `since`, moved, waits. Returns how many are new.
    pub fn arrive(&mut self, mailbox: MailboxId, arrivals: &[Arrival], since: MessageId) -> Result<usize> {
        let target = self.writable(mailbox)?;
        let uids: UidSet<RemoteUid> = arrivals.iter().map(|arrival| arrival.uid).collect();
        let mut bound = self.bound_among(mailbox, &uids)?;
        let mut came = 0;
        let mut seen = Vec::new();
        for arrival in arrivals {
            if let Some(&message) = bound.get(&arrival.uid) {
                match &arrival.outline {
                    None => drop(self.refill(message, &arrival.message.content)?),
                    Some(outline) => self.outline_anew(message, &arrival.message.content, outline)?,
                }
                continue;
            }
            came += 1;
            match self.has_twin(&target, arrival, since)? {
                true => {
                    let message = self.insert(&target, None, &arrival.message, arrival.outline.as_ref())?;
                    self.arrived(message, mailbox, arrival, true)?;
                    bound.insert(arrival.uid, message);
                }
                false => seen.push(arrival),
            }
        }
        if !seen.is_empty() {
            let messages: Vec<_> = seen.iter().map(|arrival| (&arrival.message, arrival.outline.as_ref())).collect();
            let appended = self.append_outlined(mailbox, &messages)?;
            for ((message, _), arrival) in appended.messages.iter().zip(seen) {
                self.arrived(*message, mailbox, arrival, false)?;
            }
        }
        self.unskip(mailbox, &uids)?;
        self.goes_ahead(mailbox)?;
        Ok(came)
    }

    /// The messages that are bound to some of these UIDs.
    fn bound_among(&self, mailbox: MailboxId, uids: &UidSet<RemoteUid>) -> Result<BTreeMap<RemoteUid, MessageId>> {
        let mut select = self.conn().prepare_cached(
            "SELECT uid, message_id FROM remote_message WHERE mailbox_id = ?1 AND uid BETWEEN ?2 AND ?3",
        )?;
        let mut found = BTreeMap::new();
        for (first, last) in uids.ranges() {
            let bound = select.query_map(params![mailbox.get(), first, last], |row| {
                Ok((RemoteUid::new(row.get("uid")?), MessageId::new(row.get("message_id")?)))
            })?;
            for bound in bound {
                found.extend(Some(bound?));
            }
        }
        Ok(found)
    }

    fn arrived(&mut self, message: MessageId, mailbox: MailboxId, arrival: &Arrival, waits: bool) -> Result<()> {
        self.bind_new(message, mailbox, arrival.uid, &arrival.message.flags)?;
        let mut insert =
            self.conn().prepare_cached("INSERT INTO remote_arrival (message_id, waits) VALUES (?1, ?2)")?;
        insert.execute(params![message.get(), waits])?;
        Ok(())
    }

    /// Did upstream have a message with the same bytes (as far as they are here), no newer than `since`?
    fn has_twin(&self, target: &Mailbox, arrival: &Arrival, since: MessageId) -> Result<bool> {
        // Upstream had none.
        if since == MessageId::new(0) {
            return Ok(false);
        }
        let Some(content) = contents::find(self.conn(), &arrival.message.content.hash)? else { return Ok(false) };
        let size_bytes = arrival.outline.as_ref().map(|outline| outline.size_bytes);
        self.reader().had_upstream(target.account, content, size_bytes, since)
    }

    /// `arrival` is `message`, moved upstream: the message takes its place, its UID here and its binding.
    pub fn absorb(&mut self, message: MessageId, arrival: MessageId) -> Result<()> {
        let (mailbox, uid) = match self.reader().message(arrival)? {
            Some(came) => (came.mailbox, came.uid),
            None => {
                let facts = self.reader().message_facts(arrival)?.filter(|facts| facts.waits);
                let binding = facts.and_then(|facts| facts.upstream).ok_or(Error::NoSuchMessage)?;
                (binding.mailbox, self.take_uids(binding.mailbox, 1)?)
            }
        };
        self.take_binding(message, arrival)?;
        if let Some(here) = self.reader().message(message)? {
            let left = self.next_mod_seq(here.mailbox)?;
            self.vanish(here.mailbox, left, here.uid)?;
        }
        self.forget(arrival)?;
        self.put(message, mailbox, uid)
    }

    /// `arrival` is `message`, moved upstream, but the message stays where the user put it: it takes the binding.
    pub fn absorb_binding(&mut self, message: MessageId, arrival: MessageId) -> Result<()> {
        self.take_binding(message, arrival)?;
        if let Some(came) = self.reader().message(arrival)? {
            let left = self.next_mod_seq(came.mailbox)?;
            self.vanish(came.mailbox, left, came.uid)?;
        }
        self.forget(arrival)
    }

    /// A message that no client saw, or whose place another has taken, leaves no trace.
    pub fn forget(&mut self, message: MessageId) -> Result<()> {
        self.conn().prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([message.get()])?;
        Ok(())
    }

    /// The user deletes the mailbox: what waits for it has not been seen, and is mail that came into it.
    pub(in crate::store) fn forget_waiting(&mut self, mailbox: MailboxId) -> Result<()> {
        let mut delete = self.conn().prepare_cached(
            "DELETE FROM message WHERE id IN (SELECT a.message_id FROM remote_arrival AS a
               JOIN remote_message AS r ON r.message_id = a.message_id WHERE r.mailbox_id = ?1 AND a.waits = 1)",
        )?;
        delete.execute([mailbox.get()])?;
        Ok(())
    }

    /// Every mailbox was covered, and what vanished was accounted for: arrivals are no candidates any more, and what
    /// waited is a message of its own.
    pub fn close_round(&mut self, account: AccountId) -> Result<()> {
        let mut waited: BTreeMap<MailboxId, Vec<MessageId>> = BTreeMap::new();
        for (mailbox, message) in self.reader().waiting_arrivals(account)? {
            waited.entry(mailbox).or_default().push(message);
        }
        for (mailbox, messages) in waited {
            let first = self.take_uids(mailbox, messages.len())?;
            for (message, uid) in messages.into_iter().zip(first.get()..) {
                self.put(message, mailbox, LocalUid::new(uid))?;
            }
        }
        self.forget_arrivals(account)
    }

    fn forget_arrivals(&self, account: AccountId) -> Result<()> {
        let mut of_others = self.conn().prepare_cached(
            "SELECT 1 AS one FROM remote_arrival AS a CROSS JOIN message AS m ON m.id = a.message_id
             WHERE m.account_id <> ?1 LIMIT 1",
        )?;
        if !of_others.exists([account.get()])? {
            // All at once costs nothing for each.
            self.conn().prepare_cached("DELETE FROM remote_arrival")?.execute([])?;
            return Ok(());
        }
        // SQLite notes in memory which rows a statement is to delete.
        let mut delete = self.conn().prepare_cached(
            "DELETE FROM remote_arrival WHERE message_id IN
               (SELECT a.message_id FROM remote_arrival AS a CROSS JOIN message AS m ON m.id = a.message_id
                WHERE m.account_id = ?1 LIMIT ?2)",
        )?;
        while delete.execute(params![account.get(), DELETED_AT_ONCE])? > 0 {}
        Ok(())
    }

    fn take_binding(&mut self, message: MessageId, arrival: MessageId) -> Result<()> {
        self.take_bytes(message, arrival)?;
        let came = self.reader().message_facts(arrival)?.ok_or(Error::NoSuchMessage)?;
        let binding = came.upstream.ok_or(Error::NoSuchMessage)?;
        let uid = binding.uid.ok_or(Error::NoSuchMessage)?;
        self.observe_flags(message, &binding.base)?;
        self.conn().prepare_cached("DELETE FROM remote_message WHERE message_id = ?1")?.execute([arrival.get()])?;
        self.bind(message, binding.mailbox, uid, &binding.base)?;
        let mut update =
            self.conn().prepare_cached("UPDATE message SET email_id = coalesce(?2, email_id) WHERE id = ?1")?;
        update.execute(params![message.get(), came.email_id])?;
        Ok(())
    }

    /// The bytes of a message that has none here, where what arrived for it has them.
    fn take_bytes(&mut self, message: MessageId, arrival: MessageId) -> Result<()> {
        let mut update = self.conn().prepare_cached(
            "UPDATE message SET (content_id, size_bytes) = (SELECT content_id, size_bytes FROM message WHERE id = ?2),
               told_bytes = nullif(size_bytes, (SELECT size_bytes FROM message WHERE id = ?2)), outline_id = NULL
             WHERE id = ?1 AND content_id IS NULL AND (SELECT content_id FROM message WHERE id = ?2) IS NOT NULL",
        )?;
        update.execute(params![message.get(), arrival.get()])?;
        Ok(())
    }
}
