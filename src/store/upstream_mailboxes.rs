//! Where upstream has the mailboxes, and how far each was taken in.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, Row, params};

use super::{Error, NewConflict, Reader, Result, Txn};
use crate::journal::{Entry, Op};
use crate::merge::ConflictKind;
use crate::merge::policy::{self, FolderDecision, FolderHere, FolderThere};
use crate::types::{AccountId, Flags, MailboxId, MailboxName, ModSeq, RemoteUid, SpecialUse, UidValidity};

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
}

impl Cursor {
    /// Nothing is covered yet.
    pub const fn start(uid_validity: Option<UidValidity>) -> Self {
        Self { uid_validity, uid_next: RemoteUid::new(1), highest_mod_seq: ModSeq::new(0), messages: 0 }
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

/// A mailbox in a complete answer to LIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedMailbox {
    pub remote_name: String,
    /// The name to show here.
    pub name: MailboxName,
    pub special_use: Option<SpecialUse>,
    pub selectable: bool,
    pub subscribed: bool,
    /// To be mirrored. One that is not gets no mailbox here.
    pub is_wanted: bool,
    pub uid_validity: Option<UidValidity>,
    pub uid_next: Option<RemoteUid>,
}

/// What came of [`Txn::take_listing`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The mailbox of each that was listed, in order; `None` for one that is not mirrored.
    pub mailboxes: Vec<Option<MailboxId>>,
    /// Mailboxes that upstream has no more.
    pub gone: Vec<MailboxId>,
    pub conflicts: usize,
}

const SELECT: &str = "SELECT r.mailbox_id, r.name AS remote_name, m.name, m.selectable, r.uid_validity, r.uid_next,
    r.highest_mod_seq, r.messages, r.permanent_flags, r.any_keyword
    FROM remote_mailbox AS r JOIN mailbox AS m ON m.id = r.mailbox_id";

impl RemoteMailbox {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let uid_validity: u32 = row.get("uid_validity")?;
        let cursor = Cursor {
            uid_validity: (uid_validity != 0).then(|| UidValidity::new(uid_validity)),
            uid_next: RemoteUid::new(row.get("uid_next")?),
            highest_mod_seq: ModSeq::new(row.get::<_, i64>("highest_mod_seq")?.unsigned_abs()),
            messages: row.get("messages")?,
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
}

impl Txn<'_> {
    /// Takes in a complete answer to LIST: mailboxes made, renamed and subscribed to upstream. Those that are gone are
    /// only told: their messages are accounted for first.
    pub fn take_listing(&mut self, account: AccountId, listed: &[ListedMailbox]) -> Result<Listing> {
        let mut matching = Matching::new(self.reader().remote_mailboxes(account)?, listed);
        let entries: Vec<Entry> = self.reader().entries(account)?;
        let mut conflicts = 0;
        for (mailbox, at) in matching.renamed_by_us(listed, &entries) {
            matching.link(mailbox, at);
            self.rename_remote_row(mailbox, &listed[at].remote_name)?;
        }
        for (mailbox, at) in matching.renamed_upstream(listed) {
            if self.reader().mailbox_named(account, &listed[at].name)?.is_none() {
                matching.link(mailbox, at);
                conflicts += usize::from(self.follow_rename(account, mailbox, &listed[at], &entries)?);
            }
        }
        for (at, listed) in listed.iter().enumerate() {
            if listed.is_wanted && !matching.is_linked(at) {
                let (mailbox, is_conflict) = self.adopt(account, listed, &entries)?;
                matching.link(mailbox, at);
                conflicts += usize::from(is_conflict);
            }
            if let Some(mailbox) = matching.mailboxes[at] {
                self.take_attributes(account, mailbox, listed, &entries)?;
            }
        }
        let gone = matching.missing();
        Ok(Listing { mailboxes: matching.mailboxes, gone, conflicts })
    }

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
            "UPDATE remote_mailbox SET uid_validity = ?2, uid_next = ?3, highest_mod_seq = ?4, messages = ?5
             WHERE mailbox_id = ?1",
        )?;
        update.execute(params![
            mailbox.get(),
            cursor.uid_validity.map_or(0, UidValidity::get),
            cursor.uid_next.get(),
            cursor.highest_mod_seq.get().cast_signed(),
            cursor.messages,
        ])?;
        Ok(())
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

    /// Upstream has the mailbox no more, and its messages are accounted for: it goes, unless something of the user's
    /// is still in it; then it will be made upstream again. Returns whether it went.
    pub fn forget_mailbox(&mut self, mailbox: MailboxId) -> Result<bool> {
        let local = self.reader().mailbox(mailbox)?;
        self.conn().prepare_cached("DELETE FROM remote_message WHERE mailbox_id = ?1")?.execute([mailbox.get()])?;
        self.conn().prepare_cached("DELETE FROM remote_mailbox WHERE mailbox_id = ?1")?.execute([mailbox.get()])?;
        self.touch(local.account);
        let holds_mail = match local.name {
            Some(_) => self.reader().message_count(mailbox)? > 0,
            None => false,
        };
        if holds_mail || local.name.as_ref().is_some_and(MailboxName::is_inbox) {
            return Ok(false);
        }
        self.settle_mailbox_entries(local.account, mailbox)?;
        self.drop_mailbox(mailbox)?;
        Ok(true)
    }

    /// The user's deletion of the mailbox was confirmed upstream. Messages still shown in it go with it.
    pub fn mailbox_deleted(&mut self, mailbox: MailboxId) -> Result<()> {
        let local = self.reader().mailbox(mailbox)?;
        if let Some(name) = &local.name {
            self.remove_all(&local, "its mailbox was deleted")?;
            if !self.reader().mailboxes_below(local.account, name)?.is_empty() {
                self.conn()
                    .prepare_cached("DELETE FROM remote_message WHERE mailbox_id = ?1")?
                    .execute([mailbox.get()])?;
                let mut update = self.conn().prepare_cached("UPDATE mailbox SET selectable = 0 WHERE id = ?1")?;
                update.execute([mailbox.get()])?;
                return self.set_cursor(mailbox, &Cursor::start(None));
            }
        }
        self.touch(local.account);
        self.drop_mailbox(mailbox)
    }

    /// A mailbox deleted here is back, with the messages that went with it. Returns the name that it has.
    pub fn restore_mailbox(&mut self, mailbox: MailboxId, name: &MailboxName) -> Result<MailboxName> {
        let local = self.reader().mailbox(mailbox)?;
        let name = match &local.name {
            Some(name) => name.clone(),
            None => self.free_name(local.account, name)?,
        };
        let mut update = self.conn().prepare_cached("UPDATE mailbox SET name = ?2, selectable = 1 WHERE id = ?1")?;
        update.execute(params![mailbox.get(), name.as_str()])?;
        for bound in self.reader().bound(mailbox)? {
            if !bound.is_here && !self.reader().is_pending(bound.message)? {
                self.bring_back(bound.message, local.account, mailbox)?;
            }
        }
        self.touch(local.account);
        Ok(name)
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

    /// Upstream gave the mailbox another name. Its UIDs are looked at anew: that it is the same is only likely.
    fn follow_rename(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        listed: &ListedMailbox,
        entries: &[Entry],
    ) -> Result<bool> {
        let local = self.reader().mailbox(mailbox)?;
        let is_renamed = |entry: &&Entry| matches!(&entry.op, Op::RenameMailbox { mailbox: id, .. } if *id == mailbox);
        let renames: Vec<&Entry> = entries.iter().filter(is_renamed).collect();
        let here = match (&local.name, renames.is_empty()) {
            (None, _) => FolderHere::Deleted,
            (Some(_), true) => FolderHere::Nothing,
            (Some(_), false) => FolderHere::Renamed,
        };
        let (decision, conflict) = policy::folder(here, FolderThere::Renamed);
        if local.name.is_some() && decision == FolderDecision::UpstreamsName {
            let mut update = self.conn().prepare_cached("UPDATE mailbox SET name = ?2 WHERE id = ?1")?;
            update.execute(params![mailbox.get(), listed.name.as_str()])?;
            for entry in renames {
                self.settle_op(entry.id)?;
            }
        }
        if decision == FolderDecision::Restored {
            self.restore_mailbox(mailbox, &listed.name)?;
            let is_deletion =
                |entry: &&Entry| matches!(&entry.op, Op::DeleteMailbox { mailbox: id, .. } if *id == mailbox);
            for entry in entries.iter().filter(is_deletion) {
                self.settle_op(entry.id)?;
            }
        }
        self.rename_remote_row(mailbox, &listed.remote_name)?;
        self.set_cursor(mailbox, &Cursor::start(None))?;
        if let Some(kind) = conflict {
            self.tell(account, kind, None, listed.name.as_str())?;
        }
        self.touch(account);
        Ok(conflict.is_some())
    }

    /// A mailbox that upstream lists and that is bound to none here: the one that an entry is to make under its name
    /// (the answer to an earlier try may have been lost), the one of its name, or a new one.
    fn adopt(&mut self, account: AccountId, listed: &ListedMailbox, entries: &[Entry]) -> Result<(MailboxId, bool)> {
        for entry in entries {
            if let Op::CreateMailbox { mailbox, name } = &entry.op
                && *name == listed.name
                && self.is_here_only(*mailbox)?
            {
                self.link_mailbox(account, *mailbox, &listed.remote_name)?;
                return Ok((*mailbox, false));
            }
        }
        let namesake = self.reader().mailbox_named(account, &listed.name)?;
        let (mailbox, is_conflict) = match namesake {
            Some(namesake) if self.reader().remote_mailbox(namesake.id)?.is_none() => (namesake.id, false),
            Some(_) => {
                let name = self.free_name(account, &listed.name)?;
                self.tell(account, ConflictKind::NameTaken, None, name.as_str())?;
                (self.insert_mailbox(account, &name, listed.special_use)?, true)
            }
            None => (self.insert_mailbox(account, &listed.name, listed.special_use)?, false),
        };
        self.link_mailbox(account, mailbox, &listed.remote_name)?;
        Ok((mailbox, is_conflict))
    }

    /// Is there such a mailbox, and is it not upstream?
    fn is_here_only(&self, mailbox: MailboxId) -> Result<bool> {
        match self.reader().mailbox(mailbox) {
            Ok(_) => Ok(self.reader().remote_mailbox(mailbox)?.is_none()),
            Err(Error::NoSuchMailbox) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn take_attributes(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        listed: &ListedMailbox,
        entries: &[Entry],
    ) -> Result<()> {
        let local = self.reader().mailbox(mailbox)?;
        let Some(name) = &local.name else { return Ok(()) };
        let is_about = |entry: &Entry| match &entry.op {
            Op::CreateMailbox { mailbox: id, .. } | Op::DeleteMailbox { mailbox: id, .. } => *id == mailbox,
            _ => false,
        };
        let special_use = listed.special_use.or(local.special_use);
        let selectable = if entries.iter().any(is_about) { local.selectable } else { listed.selectable };
        if (special_use, selectable) != (local.special_use, local.selectable) {
            let mut update =
                self.conn().prepare_cached("UPDATE mailbox SET special_use = ?2, selectable = ?3 WHERE id = ?1")?;
            update.execute(params![mailbox.get(), special_use.map_or("", SpecialUse::as_str), selectable])?;
            self.touch(account);
        }
        let is_unsettled =
            entries.iter().any(|entry| matches!(&entry.op, Op::Subscribe { name: about, .. } if about == name));
        if !is_unsettled && local.subscribed != listed.subscribed {
            self.set_subscribed(account, name, listed.subscribed)?;
        }
        Ok(())
    }

    fn rename_remote_row(&mut self, mailbox: MailboxId, remote_name: &str) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE remote_mailbox SET name = ?2 WHERE mailbox_id = ?1")?;
        update.execute(params![mailbox.get(), remote_name])?;
        Ok(())
    }

    /// `name`, or the first like it that no mailbox has.
    fn free_name(&self, account: AccountId, name: &MailboxName) -> Result<MailboxName> {
        let others = (1..).map(|nth| match nth {
            1 => format!("{name} (upstream)"),
            nth => format!("{name} (upstream {nth})"),
        });
        for text in std::iter::once(name.to_string()).chain(others) {
            let Ok(candidate) = MailboxName::parse(&text) else { break };
            if self.reader().mailbox_named(account, &candidate)?.is_none() {
                return Ok(candidate);
            }
        }
        Err(Error::AlreadyExists)
    }

    /// Entries about a mailbox that is no more have nothing to do.
    fn settle_mailbox_entries(&mut self, account: AccountId, mailbox: MailboxId) -> Result<()> {
        for entry in self.reader().entries(account)? {
            let about = match &entry.op {
                Op::CreateMailbox { mailbox, .. }
                | Op::RenameMailbox { mailbox, .. }
                | Op::DeleteMailbox { mailbox, .. } => Some(*mailbox),
                _ => None,
            };
            if about == Some(mailbox) {
                self.settle_op(entry.id)?;
            }
        }
        Ok(())
    }
}

/// Which listed mailbox is which of those known.
struct Matching {
    mailboxes: Vec<Option<MailboxId>>,
    unmatched: BTreeMap<MailboxId, RemoteMailbox>,
}

impl Matching {
    fn new(known: Vec<RemoteMailbox>, listed: &[ListedMailbox]) -> Self {
        let by_name: BTreeMap<&str, MailboxId> =
            known.iter().map(|known| (known.remote_name.as_str(), known.mailbox)).collect();
        let mailboxes: Vec<Option<MailboxId>> =
            listed.iter().map(|listed| by_name.get(listed.remote_name.as_str()).copied()).collect();
        let matched: BTreeSet<MailboxId> = mailboxes.iter().flatten().copied().collect();
        let unmatched = known.into_iter().filter(|known| !matched.contains(&known.mailbox));
        Self { mailboxes, unmatched: unmatched.map(|known| (known.mailbox, known)).collect() }
    }

    /// Mailboxes that have upstream one of the names that an open RENAME gives them: its answer was lost.
    fn renamed_by_us(&self, listed: &[ListedMailbox], entries: &[Entry]) -> Vec<(MailboxId, usize)> {
        let find = |known: &RemoteMailbox| {
            let names = names_given(known, entries);
            let mut free = listed.iter().enumerate().filter(|(at, _)| !self.is_linked(*at));
            free.find(|(_, listed)| names.contains(&listed.name)).map(|(at, _)| (known.mailbox, at))
        };
        self.unmatched.values().filter_map(find).collect()
    }

    /// Mailboxes missing under their name while exactly one new name has the same UIDVALIDITY, and may hold as much.
    fn renamed_upstream(&self, listed: &[ListedMailbox]) -> Vec<(MailboxId, usize)> {
        let is_like = |known: &RemoteMailbox, listed: &ListedMailbox| {
            known.cursor.uid_validity.is_some()
                && known.cursor.uid_validity == listed.uid_validity
                && listed.uid_next.is_some_and(|uid_next| uid_next >= known.cursor.uid_next)
        };
        let mut pairs = Vec::new();
        for known in self.unmatched.values() {
            let like = |at: &usize| !self.is_linked(*at) && is_like(known, &listed[*at]);
            let candidates: Vec<usize> = (0..listed.len()).filter(like).collect();
            if let [only] = candidates[..]
                && self.unmatched.values().filter(|other| is_like(other, &listed[only])).count() == 1
            {
                pairs.push((known.mailbox, only));
            }
        }
        pairs
    }

    fn link(&mut self, mailbox: MailboxId, at: usize) {
        self.mailboxes[at] = Some(mailbox);
        self.unmatched.remove(&mailbox);
    }

    fn is_linked(&self, at: usize) -> bool {
        self.mailboxes[at].is_some()
    }

    fn missing(&self) -> Vec<MailboxId> {
        self.unmatched.keys().copied().collect()
    }
}

/// The names that the open entries give a mailbox, walking back from the one it has now.
fn names_given(known: &RemoteMailbox, entries: &[Entry]) -> Vec<MailboxName> {
    let mut names = Vec::new();
    let mut name = known.name.clone();
    for entry in entries.iter().rev() {
        match &entry.op {
            Op::DeleteMailbox { mailbox, name: last } if *mailbox == known.mailbox => name = Some(last.clone()),
            Op::RenameMailbox { from, to, .. } => {
                if let Some(before) = name.as_ref().and_then(|name| name.rebased(to, from)) {
                    names.extend(name.replace(before));
                }
            }
            _ => {}
        }
    }
    names
}
