//! The IMAP `Backend` over the store.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::bring::{Bringer, Errands, Outcome};
use super::failures::Failures;
use super::search::matching;
use super::sessions::{Seat, Sessions};
use super::{Clock, Refused, Users};
use crate::imap::server::backend::{
    Account, Append, Appended, Backend, Brought, Changed, Changes, Copied, Error, FlagChange, LoginError, Mailbox,
    Message, Opened, Quota, Status, Stored, Upload, With,
};
use crate::imap::server::{Capabilities, Capability};
use crate::message::Keyed;
use crate::message::outline::Wanted;
use crate::message::search::Query;
use crate::sasl::Credentials;
use crate::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use crate::store::{self, Annotated, Origin, Store, Txn};
use crate::types::{
    AccountId, ContentId, InternalDate, LocalUid, MailboxId, MailboxName, ModSeq, SpecialUse, Timestamp, UidSet, limits,
};

/// Makes accounts for sessions. One for each session.
pub struct MailBackend {
    store: Store,
    origin: Origin,
    users: Arc<dyn Users>,
    clock: Clock,
    wake: store::Wake,
    sessions: Sessions,
    bringer: Option<Arc<dyn Bringer>>,
    /// Where failed logins are counted, and from where this session comes.
    failures: Option<(Failures, IpAddr)>,
}

impl MailBackend {
    /// A backend whose changes are made on behalf of `origin`; `wake` is called when the account may have changed.
    pub fn new(store: Store, origin: Origin, users: Arc<dyn Users>, clock: Clock, wake: store::Wake) -> Self {
        Self { store, origin, users, clock, wake, sessions: Sessions::default(), failures: None, bringer: None }
    }

    /// Logins that fail count against all sessions from that address.
    #[must_use]
    pub fn from(mut self, address: IpAddr, failures: Failures) -> Self {
        self.failures = Some((failures, address));
        self
    }

    /// Each user has no more sessions open than that.
    #[must_use]
    pub fn among(mut self, sessions: Sessions) -> Self {
        self.sessions = sessions;
        self
    }
}

impl MailBackend {
    /// What is not here is fetched by `bringer`; without one it cannot be had.
    #[must_use]
    pub fn fetching(mut self, bringer: Arc<dyn Bringer>) -> Self {
        self.bringer = Some(bringer);
        self
    }
}

impl Backend for MailBackend {
    type Account = MailAccount;

    /// What is only kept here, or said here for a server elsewhere, is the authority's to offer.
    fn capabilities(&self) -> Capabilities {
        match self.origin {
            Origin::Authority => Capabilities::all(),
            Origin::LocalUser | Origin::Upstream => {
                let here_only = [Capability::Metadata, Capability::Quota];
                here_only.into_iter().fold(Capabilities::all(), Capabilities::without)
            }
        }
    }

    fn login_failed(&mut self, now: Timestamp) -> u32 {
        self.failures.as_ref().map_or(0, |(failures, address)| failures.add(*address, now))
    }

    fn login(&mut self, credentials: &Credentials) -> Result<MailAccount, LoginError> {
        self.open(self.users.check(credentials))
    }

    fn offers_tokens(&self) -> bool {
        self.users.offers_tokens()
    }

    fn login_token(&mut self, credentials: &Credentials) -> Result<MailAccount, LoginError> {
        self.open(self.users.check_token(credentials))
    }

    fn offers_scram(&self) -> bool {
        self.users.offers_scram()
    }

    fn scram_keys(&mut self, user: &str, hash: ScramHash) -> ScramKeys {
        self.users.scram_keys(user, hash)
    }

    fn login_proved(&mut self, proved: &ScramProved) -> Result<MailAccount, LoginError> {
        self.open(self.users.proved(proved))
    }
}

impl MailBackend {
    fn open(&self, account: Result<AccountId, Refused>) -> Result<MailAccount, LoginError> {
        let account = account.map_err(|refused| match refused {
            Refused::Credentials => LoginError::Refused,
            Refused::NotAuthorized => LoginError::NotAuthorized,
            Refused::Unavailable => LoginError::Unavailable,
        })?;
        let seat = self.sessions.take(account).ok_or(LoginError::TooMany)?;
        Ok(MailAccount {
            store: self.store.clone(),
            origin: self.origin,
            clock: Arc::clone(&self.clock),
            account,
            unsearched: 0,
            errands: Errands::new(account, self.bringer.clone(), Arc::clone(&self.wake)),
            _seat: seat,
            _watch: self.store.watch(account, Arc::clone(&self.wake)),
        })
    }
}

/// One user's mail in the store.
pub struct MailAccount {
    store: Store,
    origin: Origin,
    clock: Clock,
    account: AccountId,
    /// Messages that could not be searched, since that was last told.
    unsearched: usize,
    errands: Errands,
    _seat: Seat,
    _watch: store::Watch,
}

impl MailAccount {
    fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> store::Result<T> + Send + 'static,
    {
        self.store.write(self.origin, (self.clock)(), work).map_err(Error::from)
    }

    fn mailbox(&self, name: &MailboxName) -> Result<MailboxId, Error> {
        let found = self.store.show(|reader| reader.mailbox_named(self.account, name))?;
        found.map(|mailbox| mailbox.id).ok_or(Error::NoSuchMailbox)
    }

    /// The UID from which messages are recent to this session. A mailbox whose messages were all shown costs no write;
    /// a claim lost in a power cut only makes them recent once more.
    fn recent_from(&self, mailbox: &store::Mailbox, claim: bool) -> Result<LocalUid, Error> {
        if !claim || mailbox.recent_from >= mailbox.uid_next {
            return Ok(mailbox.recent_from);
        }
        let (id, up_to) = (mailbox.id, mailbox.uid_next);
        let claimed = self.store.write(Origin::Upstream, (self.clock)(), move |txn| txn.claim_recent(id, up_to));
        Ok(claimed_or_shown(claimed, mailbox.recent_from)?)
    }
}

/// Mail can be read on a full disk: what could not be claimed is recent to this session, and to the next one as well.
fn claimed_or_shown(claimed: store::Result<LocalUid>, unclaimed: LocalUid) -> store::Result<LocalUid> {
    match claimed {
        Err(store::Error::DiskFull) => Ok(unclaimed),
        claimed => claimed,
    }
}

impl Account for MailAccount {
    type Upload = MailUpload;

    fn list(&mut self) -> Result<Vec<Mailbox>, Error> {
        let mailboxes = self.store.show(|reader| reader.mailboxes(self.account))?;
        let shown = |mailbox: store::Mailbox| {
            let store::Mailbox { id, name, selectable, special_use, subscribed, highest_mod_seq, .. } = mailbox;
            name.map(|name| Mailbox { id, name, selectable, special_use, subscribed, highest_mod_seq })
        };
        Ok(mailboxes.into_iter().filter_map(shown).collect())
    }

    fn subscriptions(&mut self) -> Result<Vec<MailboxName>, Error> {
        Ok(self.store.show(|reader| reader.subscriptions(self.account))?)
    }

    fn set_subscribed(&mut self, name: &MailboxName, subscribed: bool) -> Result<(), Error> {
        let (account, name) = (self.account, name.clone());
        self.write(move |txn| txn.set_subscribed(account, &name, subscribed))
    }

    fn create(&mut self, name: &MailboxName, special_use: Option<SpecialUse>) -> Result<MailboxId, Error> {
        let (account, name) = (self.account, name.clone());
        self.write(move |txn| txn.create_mailbox(account, &name, special_use))
    }

    fn delete(&mut self, name: &MailboxName) -> Result<(), Error> {
        let (account, name) = (self.account, name.clone());
        self.write(move |txn| txn.delete_mailbox(account, &name))
    }

    fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        let (account, from, to) = (self.account, from.clone(), to.clone());
        self.write(move |txn| txn.rename_mailbox(account, &from, &to))
    }

    fn metadata(&mut self, of: Option<&MailboxName>) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let of = self.annotated(of)?;
        Ok(self.store.show(|reader| reader.annotations(of))?)
    }

    fn set_metadata(&mut self, of: Option<&MailboxName>, entries: Vec<(String, Option<Vec<u8>>)>) -> Result<(), Error> {
        let of = self.annotated(of)?;
        self.write(move |txn| txn.annotate(of, &entries))
    }

    fn quota(&mut self) -> Result<Quota, Error> {
        let quota = self.store.show(|reader| reader.quota(self.account))?;
        Ok(Quota {
            storage_limit_bytes: quota.limit_bytes,
            storage_bytes: quota.used_bytes,
            message_limit: quota.limit_messages,
            messages: quota.used_messages,
        })
    }

    fn status(&mut self, name: &MailboxName) -> Result<Status, Error> {
        let mailbox = self.mailbox(name)?;
        let status = self.store.show(|reader| reader.status(mailbox))?;
        Ok(Status {
            id: mailbox,
            messages: status.messages,
            recent: status.recent,
            unseen: status.unseen,
            deleted: status.deleted,
            deleted_size: status.deleted_bytes,
            size: status.size_bytes,
            uid_next: status.uid_next,
            uid_validity: status.uid_validity,
            highest_mod_seq: status.highest_mod_seq,
        })
    }

    fn open(&mut self, name: &MailboxName, claim_recent: bool) -> Result<Opened, Error> {
        let mailbox = self.mailbox(name)?;
        let opened = self.store.show(|reader| reader.open(mailbox))?;
        let recent_from = self.recent_from(&opened.mailbox, claim_recent)?;
        Ok(Opened {
            id: mailbox,
            uids: opened.uids,
            first_unseen: opened.first_unseen,
            uid_next: opened.mailbox.uid_next,
            uid_validity: opened.mailbox.uid_validity,
            highest_mod_seq: opened.mailbox.highest_mod_seq,
            recent_from,
            keywords: opened.keywords,
            read_only: opened.mailbox.read_only,
        })
    }

    fn changes(&mut self, mailbox: MailboxId, since: ModSeq, claim_recent: bool) -> Result<Changes, Error> {
        let changes = self.store.show(|reader| reader.changes(mailbox, since))?;
        let recent_from = self.recent_from(&changes.mailbox, claim_recent)?;
        Ok(Changes {
            highest_mod_seq: changes.mailbox.highest_mod_seq,
            uid_next: changes.mailbox.uid_next,
            changed: changes.changed.into_iter().map(Changed::from).collect(),
            vanished: changes.vanished,
            recent_from,
        })
    }

    fn messages(&mut self, mailbox: MailboxId, uids: &[LocalUid], with: With) -> Result<Vec<Message>, Error> {
        let with = match with {
            With::Columns => store::With::Columns,
            With::Summary => store::With::Summary,
        };
        let messages = self.store.show(|reader| reader.messages(mailbox, uids, with))?;
        Ok(messages.into_iter().map(Message::from).collect())
    }

    fn search(&mut self, mailbox: MailboxId, among: &UidSet<LocalUid>, query: &Query) -> Result<Vec<LocalUid>, Error> {
        let found = matching(&self.store, mailbox, among, query, &mut self.unsearched)?;
        Ok(found.into_iter().map(|message| message.uid).collect())
    }

    fn take_unsearched(&mut self) -> usize {
        std::mem::take(&mut self.unsearched)
    }

    fn keyed(&mut self, mailbox: MailboxId, uids: &[LocalUid]) -> Result<Vec<Keyed>, Error> {
        Ok(self.store.show(|reader| reader.keyed(mailbox, uids))?)
    }

    fn bring(&mut self, mailbox: MailboxId, uid: LocalUid, wanted: &Wanted) -> Result<Brought, Error> {
        let message = self.store.show(|reader| reader.messages(mailbox, &[uid], store::With::Columns))?.pop();
        let message = message.ok_or(Error::NoSuchMessage)?;
        if let Some(brought) = self.find(&message, wanted)? {
            self.errands.forget(message.id);
            return Ok(brought);
        }
        match self.errands.ask(message.id, wanted) {
            None => Ok(Brought::Coming),
            Some(Outcome::OverBudget) => Err(Error::OverBudget),
            Some(Outcome::Refused(_)) => Err(Error::Withheld),
            // Here, and gone again since.
            Some(Outcome::Offline | Outcome::Here) => Err(Error::Unavailable),
        }
    }

    fn read(&mut self, content: ContentId, offset: u64, max: usize) -> Result<Vec<u8>, Error> {
        Ok(self.store.read_content(content, offset, max)?)
    }

    fn store(
        &mut self,
        mailbox: MailboxId,
        uids: &[LocalUid],
        change: &FlagChange,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Stored, Error> {
        let change = match change.clone() {
            FlagChange::Add(flags) => store::FlagChange::Add(flags),
            FlagChange::Remove(flags) => store::FlagChange::Remove(flags),
            FlagChange::Replace(flags) => store::FlagChange::Replace(flags),
        };
        let uids = uids.to_vec();
        let stored = self.write(move |txn| txn.store_flags(mailbox, &uids, &change, unchanged_since))?;
        Ok(Stored { now: stored.now.into_iter().map(Changed::from).collect(), modified: stored.modified })
    }

    fn expunge(&mut self, mailbox: MailboxId, uids: Option<&UidSet<LocalUid>>) -> Result<Vec<LocalUid>, Error> {
        let uids = uids.cloned();
        self.write(move |txn| txn.expunge(mailbox, uids.as_ref()))
    }

    fn copy(&mut self, mailbox: MailboxId, uids: &[LocalUid], to: &MailboxName) -> Result<Copied, Error> {
        let (to, uids) = (self.mailbox(to)?, uids.to_vec());
        let account = self.account;
        let copied = self.write(move |txn| {
            let copied = txn.copy(mailbox, &uids, to)?;
            txn.refuse_over_quota(account).map(|()| copied)
        })?;
        Ok(Copied { uid_validity: copied.uid_validity, uids: copied.uids })
    }

    fn move_messages(&mut self, mailbox: MailboxId, uids: &[LocalUid], to: &MailboxName) -> Result<Copied, Error> {
        let (to, uids) = (self.mailbox(to)?, uids.to_vec());
        let moved = self.write(move |txn| txn.move_messages(mailbox, &uids, to))?;
        Ok(Copied { uid_validity: moved.uid_validity, uids: moved.uids })
    }

    fn upload(&mut self, to: &MailboxName, size: u64) -> Result<MailUpload, Error> {
        let mailbox = self.mailbox(to)?;
        if size > limits::MESSAGE_MAX_BYTES {
            return Err(Error::TooBig { limit_bytes: limits::MESSAGE_MAX_BYTES });
        }
        let mailbox = self.store.show(|reader| reader.mailbox(mailbox))?;
        match (mailbox.selectable, mailbox.read_only) {
            (false, _) => Err(Error::NotSelectable),
            (true, true) => Err(Error::ReadOnly),
            (true, false) => Ok(MailUpload(self.store.upload())),
        }
    }

    fn replace(
        &mut self,
        mailbox: MailboxId,
        uid: LocalUid,
        to: &MailboxName,
        message: Append<MailUpload>,
    ) -> Result<Appended, Error> {
        let (to, new) = (self.mailbox(to)?, self.new_message(message)?);
        let account = self.account;
        let replaced = self.write(move |txn| {
            let replaced = txn.replace(mailbox, uid, to, &new)?;
            txn.refuse_over_quota(account).map(|()| replaced)
        })?;
        Ok(Appended {
            uid_validity: replaced.uid_validity,
            uids: replaced.messages.into_iter().map(|(_, uid)| uid).collect(),
        })
    }

    fn append(&mut self, to: &MailboxName, messages: Vec<Append<MailUpload>>) -> Result<Appended, Error> {
        let mailbox = self.mailbox(to)?;
        let new = messages.into_iter().map(|message| self.new_message(message)).collect::<Result<Vec<_>, Error>>()?;
        let account = self.account;
        let appended = self.write(move |txn| {
            let appended = txn.append(mailbox, &new)?;
            txn.refuse_over_quota(account).map(|()| appended)
        })?;
        Ok(Appended {
            uid_validity: appended.uid_validity,
            uids: appended.messages.into_iter().map(|(_, uid)| uid).collect(),
        })
    }
}

impl MailAccount {
    /// What is wanted, if it is here.
    fn find(&self, message: &store::Message, wanted: &Wanted) -> Result<Option<Brought>, Error> {
        if message.content.is_some() {
            return Ok(Some(Brought::Whole));
        }
        let Wanted::Section { name, .. } = wanted else { return Ok(None) };
        let found = self.store.show(|reader| match reader.section(message.id, name)? {
            Some(all) => Ok(Some(all)),
            None => reader.section(message.id, &wanted.to_string()),
        })?;
        Ok(found.map(|(content, size_bytes)| Brought::Section { content, size_bytes }))
    }

    fn annotated(&self, of: Option<&MailboxName>) -> Result<Annotated, Error> {
        match of {
            None => Ok(Annotated::Account(self.account)),
            Some(name) => self.mailbox(name).map(Annotated::Mailbox),
        }
    }

    fn new_message(&self, append: Append<MailUpload>) -> Result<store::NewMessage, Error> {
        let internal_date = append.internal_date.unwrap_or_else(|| InternalDate::from((self.clock)()));
        let content = append.upload.0.finish()?;
        Ok(store::NewMessage { content, flags: append.flags, internal_date, email_id: None })
    }
}

/// Message bytes on their way into the store.
pub struct MailUpload(store::Upload);

impl Upload for MailUpload {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.0.write(bytes)?)
    }
}

impl From<store::Changed> for Changed {
    fn from(changed: store::Changed) -> Self {
        Self { uid: changed.uid, flags: changed.flags, mod_seq: changed.mod_seq }
    }
}

impl From<store::Message> for Message {
    fn from(message: store::Message) -> Self {
        Self {
            uid: message.uid,
            flags: message.flags,
            mod_seq: message.mod_seq,
            internal_date: message.internal_date,
            saved: message.saved,
            size_bytes: message.size_bytes,
            told_bytes: message.told_bytes.unwrap_or(message.size_bytes),
            email_id: message.object_id,
            thread_id: None,
            content: message.content,
            header: message.header,
            summary: message.summary,
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NoSuchMailbox | store::Error::NoSuchAccount => Self::NoSuchMailbox,
            store::Error::NoSuchMessage => Self::NoSuchMessage,
            store::Error::AlreadyExists => Self::AlreadyExists,
            store::Error::NotSelectable => Self::NotSelectable,
            store::Error::ReadOnly => Self::ReadOnly,
            store::Error::Cannot(why) => Self::Cannot(why),
            store::Error::Limit(why) => Self::Limit(why),
            store::Error::TooBig { limit_bytes } => Self::TooBig { limit_bytes },
            store::Error::DiskFull | store::Error::UploadLost | store::Error::OverQuota => Self::OverQuota,
            store::Error::NoContent => Self::Unavailable,
            other => Self::Store(Box::new(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_keeps_nobody_from_opening_a_mailbox() {
        let unclaimed = LocalUid::new(3);
        let shown = claimed_or_shown(Err(store::Error::DiskFull), unclaimed).expect("it is shown");
        assert_eq!(shown, unclaimed);
        let claimed = claimed_or_shown(Ok(LocalUid::new(7)), unclaimed).expect("it is claimed");
        assert_eq!(claimed, LocalUid::new(7));
        let gone = claimed_or_shown(Err(store::Error::NoSuchMailbox), unclaimed);
        assert!(matches!(gone, Err(store::Error::NoSuchMailbox)), "nothing else is passed over: {gone:?}");
    }
}
