//! Accounts whose mail is taken from a POP3 maildrop: what was taken, what the server still has of it, what it does not
//! give. Mail comes into INBOX; what the user does with it from then on is between the user and this store.

use rusqlite::{OptionalExtension, Row, params};

use super::outlines::{ASKED_MAX, SMALL_MAX_BYTES};
use super::{Error, NewMessage, Outline, Reader, Result, StoredContent, Txn};
use crate::types::{AccountId, ContentHash, InternalDate, MailboxName, MessageId, PoppedId, Timestamp, limits};

/// The wait before a message that was refused is asked for again, doubled each time, and its limit.
const AGAIN_FIRST_MS: i64 = 10 * 60_000;
const AGAIN_MAX_MS: i64 = 24 * 3_600_000;

/// A line may break by chance while a message is sent; so often it is the message.
const CUTS_BY_CHANCE_MAX: i64 = 3;

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Popped {
    pub id: PoppedId,
    /// Empty: the server told none.
    pub unique_id: String,
    /// As the server listed it.
    pub size_bytes: u64,
    /// Of the header fields that a server leaves alone.
    pub header: ContentHash,
    /// Of those and the body; `None` where that never was here.
    pub whole: Option<ContentHash>,
    pub taken: Timestamp,
    /// When the server was first seen without it.
    pub missing_since: Option<Timestamp>,
    /// The user deleted it.
    pub is_gone_here: bool,
    pub has_bytes: bool,
    /// Only its header is here.
    pub is_outlined: bool,
}

/// A message just taken.
#[derive(Debug, Clone)]
pub struct Fresh {
    pub unique_id: String,
    pub listed_bytes: u64,
    pub header: ContentHash,
    /// `None`: only the header was taken.
    pub whole: Option<ContentHash>,
    pub message: NewMessage,
    /// Of one of which only the header was taken, which is the message's content then.
    pub outline: Option<Outline>,
}

/// A message of which only the header was taken, in a mailbox in which it or a copy of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpopped {
    pub id: PoppedId,
    /// As of [`Popped`].
    pub header: ContentHash,
    /// `None`: in one that is on its way out.
    pub mailbox: Option<MailboxName>,
    pub size_bytes: u64,
    pub internal_date: InternalDate,
    /// The user wants it.
    pub pinned: bool,
    /// It was asked for so often in vain that it is asked for no more unless the user wants it.
    pub is_withheld: bool,
    pub taken: Timestamp,
}

/// What a visit to the maildrop showed of messages that were taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Under another unique id or with another size than before, or after they were missing.
    pub changed: Vec<(PoppedId, String, u64)>,
    /// The server has them no more.
    pub absent: Vec<PoppedId>,
    /// About to be deleted there.
    pub going: Vec<PoppedId>,
}

impl Seen {
    /// Is there nothing to write down?
    pub const fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.absent.is_empty() && self.going.is_empty()
    }
}

/// A message that the server lists and did not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postponed {
    pub unique_id: String,
    pub why: String,
    /// Not asked for again before.
    pub until: Timestamp,
}

impl Popped {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: PoppedId::new(row.get("id")?),
            unique_id: row.get("unique_id")?,
            size_bytes: row.get::<_, i64>("size_bytes")?.unsigned_abs(),
            header: ContentHash::from_bytes(row.get("header")?),
            whole: whole_from_row(row)?,
            taken: Timestamp::from_unix_ms(row.get("taken_ms")?),
            missing_since: row.get::<_, Option<i64>>("missing_ms")?.map(Timestamp::from_unix_ms),
            is_gone_here: row.get("is_gone")?,
            has_bytes: row.get("has_bytes")?,
            is_outlined: row.get("is_outlined")?,
        })
    }
}

/// Empty where the body never was here.
fn whole_from_row(row: &Row<'_>) -> rusqlite::Result<Option<ContentHash>> {
    match row.get_ref("whole")?.as_blob()?.is_empty() {
        true => Ok(None),
        false => row.get("whole").map(|hash| Some(ContentHash::from_bytes(hash))),
    }
}

impl Reader<'_> {
    /// Every message taken from the account's maildrop that the server may still have, oldest first.
    pub fn popped(&self, account: AccountId) -> Result<Vec<Popped>> {
        let mut select = self.conn().prepare_cached(
            "SELECT p.id, p.unique_id, p.size_bytes, p.header, p.whole, p.taken_ms, p.missing_ms,
               m.mailbox_id IS NULL AS is_gone, m.content_id IS NOT NULL AS has_bytes, m.outline_id IS NOT NULL AS is_outlined
             FROM popped AS p LEFT JOIN message AS m ON m.id = p.message_id WHERE p.account_id = ?1 ORDER BY p.id",
        )?;
        Ok(select.query_map([account.get()], Popped::from_row)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The unique ids under which the server was last seen to have the message.
    pub fn popped_as(&self, message: MessageId) -> Result<Option<String>> {
        let mut select = self.conn().prepare_cached(
            "SELECT unique_id FROM popped WHERE message_id = ?1 AND missing_ms IS NULL AND going = 0",
        )?;
        Ok(select.query_row([message.get()], |row| row.get("unique_id")).optional()?)
    }

    /// Messages of which only the header is here and the server may have the rest: those that the server was asked for in vain
    /// last, small ones first, newer ones before older ones. A message is among them once for each mailbox that it is in.
    pub fn unpopped(&self, account: AccountId) -> Result<Vec<Unpopped>> {
        let mut select = self.conn().prepare_cached(
            "SELECT p.id, p.header, p.taken_ms, b.name, m.size_bytes, m.internal_s, m.internal_offset, m.pinned,
               m.withheld >= ?2 AS is_withheld
             FROM message AS m JOIN mailbox AS b ON b.id = m.mailbox_id
             JOIN message AS taken ON taken.outline_id = m.outline_id JOIN popped AS p ON p.message_id = taken.id
             WHERE m.account_id = ?1 AND m.outline_id IS NOT NULL AND p.missing_ms IS NULL
             ORDER BY m.withheld, m.size_bytes > ?3, m.internal_s DESC, m.id DESC",
        )?;
        let rows = select.query_map(params![account.get(), ASKED_MAX, SMALL_MAX_BYTES], |row| {
            let name: Option<String> = row.get("name")?;
            Ok(Unpopped {
                id: PoppedId::new(row.get("id")?),
                header: ContentHash::from_bytes(row.get("header")?),
                mailbox: name.and_then(|name| MailboxName::parse(&name).ok()),
                size_bytes: row.get::<_, i64>("size_bytes")?.unsigned_abs(),
                internal_date: InternalDate::new(row.get("internal_s")?, row.get("internal_offset")?),
                pinned: row.get("pinned")?,
                is_withheld: row.get("is_withheld")?,
                taken: Timestamp::from_unix_ms(row.get("taken_ms")?),
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// As what the message, of which only the header is here, was taken, or that of which it is a copy; `None`: the server
    /// does not have it any more.
    pub fn unpopped_message(&self, message: MessageId) -> Result<Option<PoppedId>> {
        let mut select = self.conn().prepare_cached(
            "SELECT p.id FROM message AS m JOIN message AS taken ON taken.outline_id = m.outline_id
             JOIN popped AS p ON p.message_id = taken.id WHERE m.id = ?1 AND p.missing_ms IS NULL ORDER BY p.id LIMIT 1",
        )?;
        Ok(select.query_row([message.get()], |row| row.get("id").map(PoppedId::new)).optional()?)
    }

    /// What the server lists and did not give.
    pub fn postponed(&self, account: AccountId) -> Result<Vec<Postponed>> {
        let mut select = self.conn().prepare_cached(
            "SELECT unique_id, why, again_ms FROM popped_refused WHERE account_id = ?1 ORDER BY unique_id",
        )?;
        let rows = select.query_map([account.get()], |row| {
            Ok(Postponed {
                unique_id: row.get("unique_id")?,
                why: row.get("why")?,
                until: Timestamp::from_unix_ms(row.get("again_ms")?),
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn has_mirror(&self, account: AccountId) -> Result<bool> {
        let mut select = self.conn().prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM remote_mailbox WHERE account_id = ?1)
                 OR EXISTS (SELECT 1 FROM journal WHERE account_id = ?1) AS found",
        )?;
        Ok(select.query_row([account.get()], |row| row.get("found"))?)
    }
}

impl Txn<'_> {
    /// The account with that name, whose mail is taken from a maildrop; made, with its INBOX, if there is none.
    pub fn ensure_maildrop(&mut self, name: &str) -> Result<AccountId> {
        let account = match self.reader().account_named(name)? {
            Some(account) if account.maildrop => return Ok(account.id),
            Some(account) if self.reader().has_mirror(account.id)? => {
                return Err(Error::OtherKind { name: name.to_owned(), was: "mirrors an IMAP server", now: "pop3" });
            }
            Some(account) => account.id,
            None => self.ensure_account(name)?,
        };
        self.set_maildrop(account, true)?;
        Ok(account)
    }

    /// The account is to mirror an IMAP server from now on.
    pub(in crate::store) fn become_mirror(&mut self, account: AccountId) -> Result<()> {
        let mut select = self.conn().prepare_cached("SELECT 1 AS one FROM message WHERE account_id = ?1")?;
        if select.exists([account.get()])? {
            let name = self.reader().account(account)?.name;
            return Err(Error::OtherKind { name, was: "took its mail by POP3", now: "imap" });
        }
        self.set_maildrop(account, false)
    }

    /// A message went from here: if it came from a maildrop and was copied, the copy is what was taken from there now. Mail
    /// programs without MOVE file it so.
    pub(in crate::store) fn hand_on_popped(&mut self, message: MessageId) -> Result<()> {
        let mut update = self.conn().prepare_cached(
            "UPDATE popped SET message_id = coalesce((SELECT m.id FROM message AS gone
               JOIN message AS m ON (m.content_id = gone.content_id OR m.outline_id = gone.outline_id)
                 AND m.account_id = gone.account_id
               WHERE gone.id = ?1 AND m.id <> ?1 AND m.mailbox_id IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM popped AS p WHERE p.message_id = m.id)
               ORDER BY m.id LIMIT 1), message_id) WHERE message_id = ?1",
        )?;
        update.execute([message.get()])?;
        Ok(())
    }

    /// Is the account's mail taken from a maildrop?
    pub(in crate::store) fn is_maildrop(&self, account: AccountId) -> Result<bool> {
        let mut select = self.conn().prepare_cached("SELECT maildrop FROM account WHERE id = ?1")?;
        Ok(select.query_row([account.get()], |row| row.get("maildrop"))?)
    }

    /// Messages were taken, and are in INBOX now. Returns them in the same order.
    pub fn pop(&mut self, account: AccountId, fresh: &[Fresh]) -> Result<Vec<PoppedId>> {
        let inbox = self.reader().mailbox_named(account, &MailboxName::inbox())?.ok_or(Error::NoSuchMailbox)?;
        let messages: Vec<_> = fresh.iter().map(|one| (&one.message, one.outline.as_ref())).collect();
        let appended = self.append_outlined(inbox.id, &messages)?;
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO popped (account_id, message_id, unique_id, size_bytes, header, whole, taken_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        let mut ids = Vec::with_capacity(fresh.len());
        for (one, (message, _)) in fresh.iter().zip(appended.messages) {
            insert.execute(params![
                account.get(),
                message.get(),
                one.unique_id,
                one.listed_bytes.cast_signed(),
                one.header.as_bytes(),
                one.whole.as_ref().map_or(&[][..], |whole| whole.as_bytes()),
                self.now().unix_ms(),
            ])?;
            ids.push(PoppedId::new(self.conn().last_insert_rowid()));
            self.given(account, &one.unique_id)?;
        }
        Ok(ids)
    }

    /// The bytes of a message whose bytes never were here, or were lost here.
    pub fn pop_again(&mut self, popped: PoppedId, whole: ContentHash, content: &StoredContent) -> Result<()> {
        let mut select = self.conn().prepare_cached("SELECT message_id FROM popped WHERE id = ?1")?;
        let message: Option<i64> = select.query_row([popped.get()], |row| row.get("message_id"))?;
        let mut update = self.conn().prepare_cached("UPDATE popped SET whole = ?2 WHERE id = ?1")?;
        update.execute(params![popped.get(), whole.as_bytes()])?;
        message.map_or(Ok(()), |message| self.refill(MessageId::new(message), content).map(drop))
    }

    /// The server did not give the rest of a message of which the header is here.
    pub fn pop_withheld(&mut self, popped: PoppedId) -> Result<()> {
        let mut update = self.conn().prepare_cached(
            "UPDATE message SET withheld = withheld + 1 WHERE outline_id IS NOT NULL AND outline_id =
               (SELECT m.outline_id FROM popped AS p JOIN message AS m ON m.id = p.message_id WHERE p.id = ?1)",
        )?;
        update.execute([popped.get()])?;
        Ok(())
    }

    /// What a visit showed. What we deleted and the server has no more is forgotten; what went otherwise is remembered for
    /// a while, since it may only have got another unique id.
    pub fn seen_in_maildrop(&mut self, account: AccountId, seen: &Seen) -> Result<()> {
        let now = self.now().unix_ms();
        let mut update = self
            .conn()
            .prepare_cached("UPDATE popped SET unique_id = ?2, size_bytes = ?3, missing_ms = NULL WHERE id = ?1")?;
        for (id, unique_id, size_bytes) in &seen.changed {
            update.execute(params![id.get(), unique_id, size_bytes.cast_signed()])?;
        }
        let mut forget = self.conn().prepare_cached("DELETE FROM popped WHERE id = ?1 AND going = 1")?;
        let mut miss =
            self.conn().prepare_cached("UPDATE popped SET missing_ms = coalesce(missing_ms, ?2) WHERE id = ?1")?;
        for id in &seen.absent {
            forget.execute([id.get()])?;
            miss.execute(params![id.get(), now])?;
        }
        let mut going = self.conn().prepare_cached("UPDATE popped SET going = 1 WHERE id = ?1")?;
        seen.going.iter().try_for_each(|id| going.execute([id.get()]).map(drop))?;
        let mut expire = self.conn().prepare_cached(
            "DELETE FROM popped WHERE account_id = ?1 AND missing_ms < ?2
             AND NOT EXISTS (SELECT 1 FROM message AS m WHERE m.id = popped.message_id AND m.content_id IS NULL)",
        )?;
        expire.execute(params![account.get(), now - limits::RECOVERY_MS])?;
        Ok(())
    }

    /// The server lists the message and does not give it: it is asked for again later, and the others go on.
    pub fn postpone(&mut self, account: AccountId, unique_id: &str, why: &str) -> Result<()> {
        let mut upsert = self.conn().prepare_cached(
            "INSERT INTO popped_refused (account_id, unique_id, why, tries, again_ms) VALUES (?1, ?2, ?3, 1, ?4 + ?5)
             ON CONFLICT (account_id, unique_id) DO UPDATE SET why = excluded.why, tries = tries + 1,
               again_ms = ?4 + min(?6, ?5 << min(tries, 16))",
        )?;
        let now = self.now().unix_ms();
        upsert.execute(params![account.get(), unique_id, why, now, AGAIN_FIRST_MS, AGAIN_MAX_MS])?;
        self.touch(account);
        Ok(())
    }

    /// The line broke while the server sent the message. The others come before it from now on; where it broke so often that
    /// it is hardly chance, it is asked for again later only.
    pub fn cut_off(&mut self, account: AccountId, unique_id: &str) -> Result<()> {
        let mut upsert = self.conn().prepare_cached(
            "INSERT INTO popped_refused (account_id, unique_id, why, tries, again_ms) VALUES (?1, ?2, ?3, 1, ?4)
             ON CONFLICT (account_id, unique_id) DO UPDATE SET why = excluded.why, tries = tries + 1,
               again_ms = iif(tries + 1 < ?5, ?4, ?4 + min(?7, ?6 << min(tries + 1 - ?5, 16)))",
        )?;
        let (now, why) = (self.now().unix_ms(), "the line broke each time while it was sent");
        let values = params![account.get(), unique_id, why, now, CUTS_BY_CHANCE_MAX, AGAIN_FIRST_MS, AGAIN_MAX_MS];
        upsert.execute(values)?;
        self.touch(account);
        Ok(())
    }

    /// The server gave the message, or has it no more.
    pub fn given(&mut self, account: AccountId, unique_id: &str) -> Result<()> {
        let mut delete =
            self.conn().prepare_cached("DELETE FROM popped_refused WHERE account_id = ?1 AND unique_id = ?2")?;
        delete.execute(params![account.get(), unique_id])?;
        Ok(())
    }

    fn set_maildrop(&mut self, account: AccountId, maildrop: bool) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE account SET maildrop = ?2 WHERE id = ?1")?;
        update.execute(params![account.get(), maildrop])?;
        Ok(())
    }
}
