//! The IMAP `Backend` over the store.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::bring::{Answers, Bringer, Errands, Outcome};
use super::failures::Failures;
use super::labels::{self, Labels};
use super::neighbours::Neighbours;
use super::search::{Elsewhere, matching_uids};
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
use crate::store::{self, Annotated, Origin, Store, Txn, Viewer};
use crate::types::{
    AccountId, ContentId, Identifier, InternalDate, LocalUid, MailboxId, MailboxName, ModSeq, Right, Rights,
    RightsChange, SpecialUse, Timestamp, UidSet, limits,
};

/// Texts of one search that are asked for elsewhere.
const INQUIRED_MAX: usize = 8;

/// Makes accounts for sessions. One for each session.
pub struct MailBackend {
    store: Store,
    origin: Origin,
    users: Arc<dyn Users>,
    clock: Clock,
    wake: store::Wake,
    sessions: Sessions,
    bringer: Option<Arc<dyn Bringer>>,
    neighbours: Option<Neighbours>,
    /// Where mailboxes are labels: the one that has every message.
    all_mail: Option<&'static str>,
    /// Where failed logins are counted, and from where this session comes.
    failures: Option<(Failures, IpAddr)>,
}

impl MailBackend {
    /// A backend whose changes are made on behalf of `origin`; `wake` is called when the account may have changed.
    pub fn new(store: Store, origin: Origin, users: Arc<dyn Users>, clock: Clock, wake: store::Wake) -> Self {
        let sessions = Sessions::default();
        Self {
            store,
            origin,
            users,
            clock,
            wake,
            sessions,
            failures: None,
            bringer: None,
            neighbours: None,
            all_mail: None,
        }
    }

    /// Logins that fail count against all sessions from that address.
    #[must_use]
    pub fn from(mut self, address: IpAddr, failures: Failures) -> Self {
        self.failures = Some((failures, address));
        self
    }

    /// Users see what others let them see.
    #[must_use]
    pub const fn with_neighbours(mut self, neighbours: Neighbours) -> Self {
        self.neighbours = Some(neighbours);
        self
    }

    /// Mailboxes are labels of messages, and the one of this name has every message (`labels`).
    #[must_use]
    pub const fn with_labels(mut self, all_mail: Option<&'static str>) -> Self {
        self.all_mail = all_mail;
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
            Origin::Authority if self.all_mail.is_some() => Capabilities::all(),
            Origin::Authority => Capabilities::all().without(Capability::GmailLabels),
            Origin::LocalUser | Origin::Upstream => {
                let here_only = [Capability::GmailLabels, Capability::Acl, Capability::Metadata, Capability::Quota];
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
        let viewer = self.store.read(|reader| reader.viewer(account)).map_err(|error| {
            tracing::error!(%account, %error, "the user's account cannot be opened");
            LoginError::Unavailable
        })?;
        let seat = self.sessions.take(account).ok_or(LoginError::TooMany)?;
        let watch = self.store.watch(account, Arc::clone(&self.wake));
        Ok(MailAccount {
            store: self.store.clone(),
            origin: self.origin,
            clock: Arc::clone(&self.clock),
            viewer,
            neighbours: self.neighbours,
            labels: self.all_mail.map(Labels::new),
            unsearched: 0,
            errands: Errands::new(account, self.bringer.clone(), Arc::clone(&self.wake)),
            answers: Answers::default(),
            wake: Arc::clone(&self.wake),
            watches: BTreeMap::from([(account, watch)]),
            _seat: seat,
        })
    }
}

/// One user's mail in the store.
pub struct MailAccount {
    pub(super) store: Store,
    origin: Origin,
    clock: Clock,
    pub(super) viewer: Viewer,
    pub(super) neighbours: Option<Neighbours>,
    labels: Option<Labels>,
    /// Messages that could not be searched, since that was last told.
    unsearched: usize,
    errands: Errands,
    /// What was told of texts that are not here, for the search under way.
    answers: Answers,
    wake: store::Wake,
    /// Of this user's account, and of those into which the session has looked.
    watches: BTreeMap<AccountId, store::Watch>,
    _seat: Seat,
}

impl MailAccount {
    /// Changes something in the user's name.
    pub(super) fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> store::Result<T> + Send + 'static,
    {
        let viewer = self.viewer.clone();
        let in_name = move |txn: &mut Txn<'_>| {
            txn.act_for(viewer);
            work(txn)
        };
        self.store.write(self.origin, (self.clock)(), in_name).map_err(Error::from)
    }

    /// Brings in line what came by other ways than a session's, where mailboxes are labels.
    fn settle_labels(&mut self) -> Result<(), Error> {
        let (Some(mut labels), account) = (self.labels, self.viewer.account()) else { return Ok(()) };
        if !self.show(|reader| labels.are_settled(reader, account))? {
            labels = self.write(move |txn| labels.settle(txn, account))?;
            self.labels = Some(labels);
        }
        Ok(())
    }

    /// The session is woken when something changes in that account.
    pub(super) fn attend(&mut self, account: AccountId) {
        let (store, wake) = (&self.store, &self.wake);
        self.watches.entry(account).or_insert_with(|| store.watch(account, Arc::clone(wake)));
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
        self.settle_labels()?;
        self.listed()
    }

    fn namespaces(&self) -> Option<[MailboxName; 2]> {
        self.neighbours.map(|_| Neighbours::namespaces())
    }

    fn rights(&mut self, name: &MailboxName) -> Result<Rights, Error> {
        self.rights_at(name)
    }

    fn acl(&mut self, name: &MailboxName) -> Result<Vec<(Identifier, Rights)>, Error> {
        self.acl_of(name)
    }

    fn set_rights(&mut self, name: &MailboxName, identifier: &Identifier, change: RightsChange) -> Result<(), Error> {
        self.change_rights(name, identifier, change)
    }

    fn subscriptions(&mut self) -> Result<Vec<MailboxName>, Error> {
        self.show(|reader| reader.subscriptions(self.viewer.account()))
    }

    fn set_subscribed(&mut self, name: &MailboxName, subscribed: bool) -> Result<(), Error> {
        let (account, name) = (self.viewer.account(), name.clone());
        self.write(move |txn| txn.set_subscribed(account, &name, subscribed))
    }

    fn create(&mut self, name: &MailboxName, special_use: Option<SpecialUse>) -> Result<MailboxId, Error> {
        let place = self.new_place(name, special_use)?;
        self.write(move |txn| txn.create_mailbox(place.account, &place.name, special_use))
    }

    fn delete(&mut self, name: &MailboxName) -> Result<(), Error> {
        let place = self.show(|reader| self.place(reader, name))?.ok_or(Error::NoSuchMailbox)?;
        self.write(move |txn| txn.delete_mailbox(place.account, &place.name))
    }

    fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        let (from, to) = self.places(from, to)?;
        self.write(move |txn| txn.rename_mailbox(from.account, &from.name, &to.name))
    }

    fn metadata(&mut self, of: Option<&MailboxName>) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let of = self.annotated(of)?;
        self.show(|reader| reader.annotations(of))
    }

    fn set_metadata(&mut self, of: Option<&MailboxName>, entries: Vec<(String, Option<Vec<u8>>)>) -> Result<(), Error> {
        let of = self.annotated(of)?;
        self.write(move |txn| txn.annotate(of, &entries))
    }

    fn quota(&mut self) -> Result<Quota, Error> {
        let quota = self.show(|reader| reader.quota(self.viewer.account()))?;
        Ok(Quota {
            storage_limit_bytes: quota.limit_bytes,
            storage_bytes: quota.used_bytes,
            message_limit: quota.limit_messages,
            messages: quota.used_messages,
        })
    }

    fn status(&mut self, name: &MailboxName) -> Result<Status, Error> {
        self.settle_labels()?;
        let mailbox = self.mailbox(name)?;
        let status = self.show(|reader| reader.status(mailbox))?;
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
        self.settle_labels()?;
        let mailbox = self.mailbox(name)?;
        let opened = self.show(|reader| reader.open(mailbox))?;
        self.attend(opened.mailbox.account);
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
            rights: opened.rights,
        })
    }

    fn changes(&mut self, mailbox: MailboxId, since: ModSeq, claim_recent: bool) -> Result<Changes, Error> {
        self.settle_labels()?;
        let changes = self.show(|reader| reader.changes(mailbox, since)).map_err(|error| match error {
            // To a session that has it open it is as good as gone.
            Error::NoPermission => Error::NoSuchMailbox,
            error => error,
        })?;
        let recent_from = self.recent_from(&changes.mailbox, claim_recent)?;
        Ok(Changes {
            highest_mod_seq: changes.mailbox.highest_mod_seq,
            uid_next: changes.mailbox.uid_next,
            changed: changes.changed.into_iter().map(Changed::from).collect(),
            vanished: changes.vanished,
            recent_from,
            rights: changes.rights,
        })
    }

    fn messages(&mut self, mailbox: MailboxId, uids: &[LocalUid], with: With) -> Result<Vec<Message>, Error> {
        let with = match with {
            With::Columns => store::With::Columns,
            With::Summary => store::With::Summary,
        };
        let messages = self.show(|reader| reader.messages(mailbox, uids, with))?;
        Ok(messages.into_iter().map(Message::from).collect())
    }

    fn search(&mut self, mailbox: MailboxId, among: &UidSet<LocalUid>, query: &Query) -> Result<Vec<LocalUid>, Error> {
        let mut elsewhere = Elsewhere { told: &self.answers, unsearched: 0 };
        let found = matching_uids(&self.store, &self.viewer, mailbox, among, query, &mut elsewhere)?;
        self.unsearched += elsewhere.unsearched;
        Ok(found)
    }

    fn labels(&mut self, mailbox: MailboxId, uid: LocalUid) -> Result<Vec<MailboxName>, Error> {
        Ok(self.show(|reader| labels::labels(reader, mailbox, uid))?.into_iter().collect())
    }

    fn inquire(&mut self, mailbox: MailboxId, query: &Query) -> Result<bool, Error> {
        let is_text = |key: &&Query| matches!(key, Query::Text(text) | Query::Body(text) if !text.is_empty());
        let keys: Vec<Query> = query.text_keys().into_iter().filter(is_text).take(INQUIRED_MAX).cloned().collect();
        if keys.is_empty() || self.store.show(|reader| reader.outlined_in(mailbox))?.is_empty() {
            return Ok(false);
        }
        match self.errands.inquire(mailbox, keys) {
            None => Ok(true),
            Some(answers) => {
                self.answers = answers.unwrap_or_default();
                Ok(false)
            }
        }
    }

    fn take_unsearched(&mut self) -> usize {
        std::mem::take(&mut self.unsearched)
    }

    fn keyed(&mut self, mailbox: MailboxId, uids: &[LocalUid]) -> Result<Vec<Keyed>, Error> {
        self.show(|reader| reader.keyed(mailbox, uids))
    }

    fn bring(&mut self, mailbox: MailboxId, uid: LocalUid, wanted: &Wanted) -> Result<Brought, Error> {
        let message = self.show(|reader| reader.messages(mailbox, &[uid], store::With::Columns))?.pop();
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
        let (uids, labels) = (uids.to_vec(), self.labels);
        let stored = self.write(move |txn| {
            let stored = txn.store_flags(mailbox, &uids, &change, unchanged_since)?;
            if let Some(labels) = labels {
                let changed: Vec<LocalUid> = stored.now.iter().map(|changed| changed.uid).collect();
                labels.share_flags(txn, mailbox, &changed, &change)?;
            }
            Ok(stored)
        })?;
        Ok(Stored { now: stored.now.into_iter().map(Changed::from).collect(), modified: stored.modified })
    }

    fn expunge(&mut self, mailbox: MailboxId, uids: Option<&UidSet<LocalUid>>) -> Result<Vec<LocalUid>, Error> {
        let uids = uids.cloned();
        self.write(move |txn| txn.expunge(mailbox, uids.as_ref()))
    }

    fn copy(&mut self, mailbox: MailboxId, uids: &[LocalUid], to: &MailboxName) -> Result<Copied, Error> {
        let (to, uids, labels) = (self.mailbox(to)?, uids.to_vec(), self.labels);
        let copied = self.write(move |txn| {
            let copied = match labels {
                Some(labels) => labels.transfer(txn, mailbox, &uids, to, false)?,
                None => txn.copy(mailbox, &uids, to)?,
            };
            txn.refuse_full(to).map(|()| copied)
        })?;
        Ok(Copied { uid_validity: copied.uid_validity, uids: copied.uids })
    }

    fn move_messages(&mut self, mailbox: MailboxId, uids: &[LocalUid], to: &MailboxName) -> Result<Copied, Error> {
        let (to, uids, labels) = (self.mailbox(to)?, uids.to_vec(), self.labels);
        let moved = self.write(move |txn| {
            let between_accounts = txn.reader().mailbox(mailbox)?.account != txn.reader().mailbox(to)?.account;
            let moved = match labels {
                Some(labels) => labels.transfer(txn, mailbox, &uids, to, true)?,
                None => txn.move_messages(mailbox, &uids, to)?,
            };
            if between_accounts { txn.refuse_full(to).map(|()| moved) } else { Ok(moved) }
        })?;
        Ok(Copied { uid_validity: moved.uid_validity, uids: moved.uids })
    }

    fn upload(&mut self, to: &MailboxName, size: u64) -> Result<MailUpload, Error> {
        let mailbox = self.mailbox(to)?;
        if size > limits::MESSAGE_MAX_BYTES {
            return Err(Error::TooBig { limit_bytes: limits::MESSAGE_MAX_BYTES });
        }
        let mailbox = self.show(|reader| reader.permitted(mailbox, &[Right::Insert]))?;
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
        let replaced = self.write(move |txn| {
            let replaced = txn.replace(mailbox, uid, to, &new)?;
            txn.refuse_full(to).map(|()| replaced)
        })?;
        Ok(Appended {
            uid_validity: replaced.uid_validity,
            uids: replaced.messages.into_iter().map(|(_, uid)| uid).collect(),
        })
    }

    fn append(&mut self, to: &MailboxName, messages: Vec<Append<MailUpload>>) -> Result<Appended, Error> {
        let mailbox = self.mailbox(to)?;
        let new = messages.into_iter().map(|message| self.new_message(message)).collect::<Result<Vec<_>, Error>>()?;
        let appended = self.write(move |txn| {
            let appended = txn.append(mailbox, &new)?;
            txn.refuse_full(mailbox).map(|()| appended)
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
            None => Ok(Annotated::Account(self.viewer.account())),
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
            store::Error::NoPermission => Self::NoPermission,
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
