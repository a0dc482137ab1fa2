//! Messages that arrived upstream, and are candidates for those that vanished until the round is closed.

use rusqlite::params;

use super::upstream_messages::FACTS;
use super::{Error, MessageFacts, NewMessage, Reader, Result, StoredContent, Txn};
use crate::types::{AccountId, MailboxId, MessageId, RemoteUid};

/// A message that arrived upstream.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub uid: RemoteUid,
    pub message: NewMessage,
}

impl Reader<'_> {
    /// Messages that arrived since the last round was closed and that upstream still has.
    pub fn fresh_arrivals(&self, account: AccountId) -> Result<Vec<MessageFacts>> {
        let mut select = self.conn().prepare_cached(&format!(
            "{FACTS} JOIN remote_arrival AS a ON a.message_id = m.id
             WHERE m.account_id = ?1 AND r.message_id IS NOT NULL ORDER BY m.id"
        ))?;
        Ok(select.query_map([account.get()], MessageFacts::from_row)?.collect::<rusqlite::Result<_>>()?)
    }
}

impl Txn<'_> {
    /// Messages arrived. One that is bound already is passed over; of one whose bytes were lost here the bytes are
    /// taken. Returns how many are new.
    pub fn arrive(&mut self, mailbox: MailboxId, arrivals: &[Arrival]) -> Result<usize> {
        let mut new = Vec::new();
        for arrival in arrivals {
            match self.bound_at(mailbox, arrival.uid)? {
                Some(message) => self.refill(message, &arrival.message.content)?,
                None => new.push(arrival),
            }
        }
        let messages: Vec<NewMessage> = new.iter().map(|arrival| arrival.message.clone()).collect();
        if messages.is_empty() {
            return Ok(0);
        }
        let appended = self.append(mailbox, &messages)?;
        for ((message, _), arrival) in appended.messages.iter().zip(&new) {
            self.bind(*message, mailbox, arrival.uid, &arrival.message.flags)?;
            self.conn()
                .prepare_cached("INSERT INTO remote_arrival (message_id) VALUES (?1)")?
                .execute([message.get()])?;
            self.unskip(mailbox, arrival.uid)?;
        }
        Ok(new.len())
    }

    /// `arrival` is `message`, moved upstream: the message takes its place, its UID here and its binding.
    pub fn absorb(&mut self, message: MessageId, arrival: MessageId) -> Result<()> {
        let came = self.reader().message(arrival)?.ok_or(Error::NoSuchMessage)?;
        self.take_binding(message, arrival)?;
        if let Some(here) = self.reader().message(message)? {
            let left = self.next_mod_seq(here.mailbox)?;
            self.vanish(here.mailbox, left, here.uid)?;
        }
        self.conn().prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([arrival.get()])?;
        let mod_seq = self.next_mod_seq(came.mailbox)?;
        let mut update = self.conn().prepare_cached(
            "UPDATE message SET mailbox_id = ?2, uid = ?3, mod_seq = ?4, saved_ms = ?5, gone_ms = NULL,
               gone_from = NULL, gone_why = NULL WHERE id = ?1",
        )?;
        let saved = self.now().unix_ms();
        update.execute(params![
            message.get(),
            came.mailbox.get(),
            came.uid.get(),
            mod_seq.get().cast_signed(),
            saved
        ])?;
        Ok(())
    }

    /// `arrival` is `message`, moved upstream, but the message stays where the user put it: it takes the binding.
    pub fn absorb_binding(&mut self, message: MessageId, arrival: MessageId) -> Result<()> {
        let came = self.reader().message(arrival)?.ok_or(Error::NoSuchMessage)?;
        self.take_binding(message, arrival)?;
        let left = self.next_mod_seq(came.mailbox)?;
        self.vanish(came.mailbox, left, came.uid)?;
        self.conn().prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([arrival.get()])?;
        Ok(())
    }

    /// Every mailbox was covered, and what vanished was accounted for: arrivals are no candidates any more.
    pub fn close_round(&mut self, account: AccountId) -> Result<()> {
        let mut delete = self.conn().prepare_cached(
            "DELETE FROM remote_arrival WHERE message_id IN (SELECT id FROM message WHERE account_id = ?1)",
        )?;
        delete.execute([account.get()])?;
        Ok(())
    }

    fn take_binding(&mut self, message: MessageId, arrival: MessageId) -> Result<()> {
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

    /// The bytes of a message that has none here.
    fn refill(&mut self, message: MessageId, stored: &StoredContent) -> Result<()> {
        let facts = self.reader().message_facts(message)?;
        if facts.is_none_or(|facts| facts.content.is_some()) {
            return Ok(());
        }
        let content = self.link(stored)?;
        let mut update =
            self.conn().prepare_cached("UPDATE message SET content_id = ?2, size_bytes = ?3 WHERE id = ?1")?;
        update.execute(params![message.get(), content.get(), stored.size_bytes.cast_signed()])?;
        if let Some(here) = self.reader().message(message)? {
            self.touch(here.account);
        }
        Ok(())
    }
}
