//! Where upstream has the mailboxes, and how far each was taken in.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row, params};

use super::{NewConflict, Reader, Result, Txn};
use crate::merge::ConflictKind;
use crate::types::{AccountId, Flags, MailboxId, MailboxName, ModSeq, RemoteUid, UidValidity};

/// How far a mailbox was taken in. It covers only what really was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// `None`: never covered, or the UIDs known are not to be trusted.
    pub uid_validity: Option<UidValidity>,
    /// Every message below this UID was taken in.
    pub uid_next: RemoteUid,
    /// Zero: flags and expunges must be looked for one by one.
    pub highest_mod_seq: ModSeq,
    /// How many messages upstream had.
    pub messages: u32,
    /// More is known of the mailbox than that: from the answers to what was sent, or by a look that was cut short; or more
    /// was known, before a stop that was not clean. If nothing seems to have happened since the cursor, all that is undone
    /// (the server was restored from a backup).
    pub is_ahead: bool,
}

impl Cursor {
    /// The cursor as a sync that begins may believe it: where the one before was cut, ahead of the cursor, the server may have
    /// been restored to before what was sent or taken in, and have other changes since. Only a look at all flags tells.
    #[must_use]
    pub const fn after_a_cut(self) -> Self {
        match self.is_ahead {
            true => Self { highest_mod_seq: ModSeq::new(0), ..self },
            false => self,
        }
    }

    /// Nothing is covered yet.
    pub const fn start(uid_validity: Option<UidValidity>) -> Self {
        Self {
            uid_validity,
            uid_next: RemoteUid::new(1),
            highest_mod_seq: ModSeq::new(0),
            messages: 0,
            is_ahead: false,
        }
    }

    /// Is nothing covered yet?
    pub fn is_start(&self) -> bool {
        Self { is_ahead: false, ..*self } == Self::start(self.uid_validity)
    }
}

/// A mailbox that upstream has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteMailbox {
    pub mailbox: MailboxId,
    /// Its name, exactly as the server spells it.
    pub remote_name: String,
    /// Its name here; `None` if it was deleted here.
    pub name: Option<MailboxName>,
    pub selectable: bool,
    pub cursor: Cursor,
    /// Flags that the server keeps; meaningful once the mailbox was covered.
    pub permanent_flags: Flags,
    pub any_keyword: bool,
}

const SELECT: &str = "SELECT r.mailbox_id, r.name AS remote_name, m.name, m.selectable, r.uid_validity, r.uid_next,
    r.highest_mod_seq, r.messages, r.is_ahead, r.permanent_flags, r.any_keyword
    FROM remote_mailbox AS r JOIN mailbox AS m ON m.id = r.mailbox_id";

impl RemoteMailbox {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let uid_validity: u32 = row.get("uid_validity")?;
        let cursor = Cursor {
            uid_validity: (uid_validity != 0).then(|| UidValidity::new(uid_validity)),
            uid_next: RemoteUid::new(row.get("uid_next")?),
            highest_mod_seq: ModSeq::new(row.get::<_, i64>("highest_mod_seq")?.unsigned_abs()),
            messages: row.get("messages")?,
            is_ahead: row.get("is_ahead")?,
        };
        let permanent: String = row.get("permanent_flags")?;
        Ok(Self {
            mailbox: MailboxId::new(row.get("mailbox_id")?),
            remote_name: row.get("remote_name")?,
            name: row.get::<_, Option<String>>("name")?.and_then(|name| MailboxName::parse(&name).ok()),
            selectable: row.get("selectable")?,
            cursor,
            permanent_flags: permanent.split(' ').filter_map(crate::types::Flag::parse).collect(),
            any_keyword: row.get("any_keyword")?,
        })
    }
}

impl Reader<'_> {
    /// Every mailbox that upstream has, by its name there.
    pub fn remote_mailboxes(&self, account: AccountId) -> Result<Vec<RemoteMailbox>> {
        let mut select = self.conn().prepare_cached(&format!("{SELECT} WHERE r.account_id = ?1 ORDER BY r.name"))?;
        Ok(select.query_map([account.get()], RemoteMailbox::from_row)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The mailbox upstream, if it is there.
    pub fn remote_mailbox(&self, mailbox: MailboxId) -> Result<Option<RemoteMailbox>> {
        let mut select = self.conn().prepare_cached(&format!("{SELECT} WHERE r.mailbox_id = ?1"))?;
        Ok(select.query_row([mailbox.get()], RemoteMailbox::from_row).optional()?)
    }

    /// In how many syncs in a row each of the account's mailboxes opened and could not be looked into; without those that could.
    pub fn half_seen(&self, account: AccountId) -> Result<BTreeMap<MailboxId, u32>> {
        let mut select = self.conn().prepare_cached(
            "SELECT mailbox_id, half_seen FROM remote_mailbox WHERE account_id = ?1 AND half_seen > 0",
        )?;
        let rows = select
            .query_map([account.get()], |row| Ok((MailboxId::new(row.get("mailbox_id")?), row.get("half_seen")?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl Txn<'_> {
    /// The mailbox is upstream under this name.
    pub fn link_mailbox(&mut self, account: AccountId, mailbox: MailboxId, remote_name: &str) -> Result<()> {
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO remote_mailbox (mailbox_id, account_id, name) VALUES (?1, ?2, ?3)
             ON CONFLICT (mailbox_id) DO UPDATE SET name = excluded.name",
        )?;
        insert.execute(params![mailbox.get(), account.get(), remote_name])?;
        Ok(())
    }

    /// RENAME was done upstream: the mailbox and those below it have other names there.
    pub fn renamed_upstream(
        &mut self,
        account: AccountId,
        from: &str,
        to: &str,
        delimiter: Option<char>,
    ) -> Result<()> {
        for known in self.reader().remote_mailboxes(account)? {
            let rest = known.remote_name.strip_prefix(from);
            let is_below = |rest: &str| delimiter.is_some_and(|delimiter| rest.starts_with(delimiter));
            if let Some(rest) = rest.filter(|rest| rest.is_empty() || is_below(rest)) {
                self.rename_remote_row(known.mailbox, &format!("{to}{rest}"))?;
            }
        }
        Ok(())
    }

    /// How far the mailbox is taken in now.
    pub fn set_cursor(&mut self, mailbox: MailboxId, cursor: &Cursor) -> Result<()> {
        let mut update = self.conn().prepare_cached(
            "UPDATE remote_mailbox SET uid_validity = ?2, uid_next = ?3, highest_mod_seq = ?4, messages = ?5,
               is_ahead = ?6
             WHERE mailbox_id = ?1
               AND (uid_validity, uid_next, highest_mod_seq, messages, is_ahead) <> (?2, ?3, ?4, ?5, ?6)",
        )?;
        update.execute(params![
            mailbox.get(),
            cursor.uid_validity.map_or(0, UidValidity::get),
            cursor.uid_next.get(),
            cursor.highest_mod_seq.get().cast_signed(),
            cursor.messages,
            cursor.is_ahead,
        ])?;
        Ok(())
    }

    /// More is known of the mailbox than its cursor tells.
    pub fn goes_ahead(&mut self, mailbox: MailboxId) -> Result<()> {
        let sql = "UPDATE remote_mailbox SET is_ahead = 1 WHERE mailbox_id = ?1 AND NOT is_ahead";
        self.conn().prepare_cached(sql)?.execute([mailbox.get()])?;
        Ok(())
    }

    /// What [`Reader::half_seen`] tells from now on.
    pub fn note_half_seen(&mut self, account: AccountId, syncs: &BTreeMap<MailboxId, u32>) -> Result<()> {
        let forget = "UPDATE remote_mailbox SET half_seen = 0 WHERE account_id = ?1 AND half_seen > 0";
        self.conn().prepare_cached(forget)?.execute([account.get()])?;
        let mut note = self.conn().prepare_cached("UPDATE remote_mailbox SET half_seen = ?2 WHERE mailbox_id = ?1")?;
        syncs.iter().try_for_each(|(mailbox, syncs)| Ok(note.execute(params![mailbox.get(), syncs]).map(drop)?))
    }

    /// Which flags upstream keeps in the mailbox.
    pub fn set_kept_flags(&mut self, mailbox: MailboxId, flags: &Flags, any_keyword: bool) -> Result<()> {
        let mut update = self.conn().prepare_cached(
            "UPDATE remote_mailbox SET permanent_flags = ?2, any_keyword = ?3
             WHERE mailbox_id = ?1 AND (permanent_flags <> ?2 OR any_keyword <> ?3)",
        )?;
        update.execute(params![mailbox.get(), flags.to_string(), any_keyword])?;
        Ok(())
    }

    /// Whether upstream lets the user change what is in the mailbox: if not, nobody here may either. Where it told rights,
    /// they count: it says [READ-ONLY] to who may set `\Seen` alone.
    pub fn set_read_only(&mut self, mailbox: MailboxId, read_only: bool) -> Result<()> {
        let read_only = read_only && self.rights_told(mailbox)?.is_none();
        let mut update =
            self.conn().prepare_cached("UPDATE mailbox SET read_only = ?2 WHERE id = ?1 AND read_only <> ?2")?;
        update.execute(params![mailbox.get(), read_only])?;
        Ok(())
    }

    /// Records a conflict in the words of its kind.
    pub fn tell(
        &mut self,
        account: AccountId,
        kind: ConflictKind,
        message: Option<crate::types::MessageId>,
        mailbox: &str,
    ) -> Result<()> {
        let told = kind.told();
        self.record_conflict(
            account,
            &NewConflict {
                kind: kind.as_str().to_owned(),
                message,
                mailbox: mailbox.to_owned(),
                here: told.here.to_owned(),
                upstream: told.upstream.to_owned(),
                result: told.result.to_owned(),
            },
        )?;
        Ok(())
    }

    pub(in crate::store) fn rename_remote_row(&mut self, mailbox: MailboxId, remote_name: &str) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE remote_mailbox SET name = ?2 WHERE mailbox_id = ?1")?;
        update.execute(params![mailbox.get(), remote_name])?;
        Ok(())
    }
}
