//! A mail store in memory behind the IMAP engine's seam: the simplest thing that keeps the seam's promises.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailtide::imap::server::backend::{
    Account, Append, Appended, Backend, Changed, Changes, Copied, Error, FlagChange, LoginError, Mailbox, Message,
    Opened, Quota, Sizes, Status, Stored, Summed, Upload, With,
};
use mailtide::imap::server::{Capabilities, Capability};
use mailtide::message::scan::Scanner;
use mailtide::message::search::{Candidate, Query, UNINDEXED};
use mailtide::message::{Keyed, Keys, KeysRead, Summary};
use mailtide::sasl::Credentials;
use mailtide::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use mailtide::types::{
    ByteSource, ContentHash, ContentId, Flag, Flags, InternalDate, LocalUid, MailboxId, MailboxName, ModSeq, Rights,
    SpecialUse, SystemFlag, Timestamp, UidSet, UidValidity,
};

/// The date of messages appended without one: 23 Nov 2026 13:49:00 UTC.
const NOW: InternalDate = InternalDate::new(1_795_441_740, 0);

/// And the moment.
const SAVED: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

fn email_id(bytes: &[u8]) -> String {
    let hash = ContentHash::of(bytes).to_string();
    format!("M{}", &hash[..40])
}

/// alice's keys, and nobody's.
pub fn scram_keys(user: &str, hash: ScramHash) -> ScramKeys {
    match user {
        "alice" => ScramKeys::derive(hash, "secret", b"transcript salt!"),
        _ => ScramKeys::of_nobody(hash, b"another salt"),
    }
}

/// One user's mail, shared by the sessions: alice, whose password is secret.
#[derive(Clone)]
pub struct MemoryBackend(Arc<Mutex<World>>);

struct World {
    mailboxes: BTreeMap<MailboxName, Stand>,
    subscriptions: Vec<MailboxName>,
    contents: Vec<Content>,
    /// Contents that are not here, by their index.
    withheld: BTreeSet<usize>,
    /// No content can be read from this offset on.
    readable_bytes: u64,
    last_id: i64,
    /// Happens before changes are told the next time.
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
}

struct Content {
    bytes: Vec<u8>,
    summary: Arc<Summary>,
    keys: Keys,
}

struct Stand {
    id: MailboxId,
    selectable: bool,
    special_use: Option<SpecialUse>,
    uid_validity: UidValidity,
    uid_next: u32,
    mod_seq: u64,
    recent_from: u32,
    messages: BTreeMap<LocalUid, Kept>,
    expunged: Vec<(u64, LocalUid)>,
}

#[derive(Clone)]
struct Kept {
    flags: Flags,
    mod_seq: u64,
    internal_date: InternalDate,
    content: usize,
}

impl MemoryBackend {
    pub fn new() -> Self {
        let (mailboxes, subscriptions) = (BTreeMap::new(), Vec::new());
        let mut world = World {
            mailboxes,
            subscriptions,
            contents: Vec::new(),
            withheld: BTreeSet::new(),
            readable_bytes: u64::MAX,
            last_id: 0,
            meanwhile: None,
        };
        world.add_mailbox(MailboxName::inbox(), None);
        Self(Arc::new(Mutex::new(world)))
    }

    /// `count` messages in INBOX at once, all with the same bytes.
    pub fn fill_inbox(&self, count: u32, bytes: &[u8]) {
        let mut world = self.world();
        let content = world.keep(bytes.to_vec());
        let inbox = world.mailboxes.get_mut(&MailboxName::inbox()).expect("INBOX is always there");
        for _ in 0..count {
            inbox.add(Kept { flags: Flags::none(), mod_seq: 0, internal_date: NOW, content });
        }
    }

    /// The bytes of the messages put in so far are not here.
    pub fn withhold_bytes(&self) {
        let mut world = self.world();
        world.withheld = (0..world.contents.len()).collect();
    }

    /// No message can be read from that offset on.
    pub fn break_after(&self, readable_bytes: u64) {
        self.world().readable_bytes = readable_bytes;
    }

    /// Somebody does something right before changes are asked for the next time.
    pub fn before_changes(&self, act: impl FnOnce() + Send + 'static) {
        self.world().meanwhile = Some(Box::new(act));
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for MemoryBackend {
    type Account = Self;

    /// No annotations, no quota, no rights.
    fn capabilities(&self) -> Capabilities {
        let missing = [Capability::Acl, Capability::Metadata, Capability::Quota];
        missing.into_iter().fold(Capabilities::all(), Capabilities::without)
    }

    fn offers_scram(&self) -> bool {
        true
    }

    fn scram_keys(&mut self, user: &str, hash: ScramHash) -> ScramKeys {
        scram_keys(user, hash)
    }

    fn login_proved(&mut self, proved: &ScramProved) -> Result<Self, LoginError> {
        match proved.authorize_as {
            Some(_) => Err(LoginError::NotAuthorized),
            None => Ok(self.clone()),
        }
    }

    fn login(&mut self, credentials: &Credentials) -> Result<Self, LoginError> {
        if credentials.authorize_as.is_some() {
            return Err(LoginError::NotAuthorized);
        }
        let known = credentials.user == "alice" && credentials.password.matches("secret");
        if known { Ok(self.clone()) } else { Err(LoginError::Refused) }
    }

    fn offers_tokens(&self) -> bool {
        true
    }

    fn login_token(&mut self, credentials: &Credentials) -> Result<Self, LoginError> {
        if holds_token(credentials) { Ok(self.clone()) } else { Err(LoginError::Refused) }
    }
}

/// Is it the token, and the user, of RFC 7628 section 4.1?
pub fn holds_token(credentials: &Credentials) -> bool {
    let token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
    credentials.user == "user@example.com" && credentials.password.matches(token)
}

impl World {
    fn add_mailbox(&mut self, name: MailboxName, special_use: Option<SpecialUse>) {
        self.last_id += 1;
        let stand = Stand {
            id: MailboxId::new(self.last_id),
            selectable: true,
            special_use,
            uid_validity: UidValidity::new(u32::try_from(self.last_id).expect("a test makes few mailboxes")),
            uid_next: 1,
            mod_seq: 1,
            recent_from: 1,
            messages: BTreeMap::new(),
            expunged: Vec::new(),
        };
        self.mailboxes.insert(name, stand);
    }

    fn keep(&mut self, bytes: Vec<u8>) -> usize {
        let (summary, keys) = Scanner::scan_with_keys(&bytes);
        self.contents.push(Content { bytes, summary: Arc::new(summary), keys });
        self.contents.len() - 1
    }

    fn stand(&mut self, id: MailboxId) -> Result<&mut Stand, Error> {
        match self.mailboxes.values_mut().find(|stand| stand.id == id) {
            None => Err(Error::NoSuchMailbox),
            Some(stand) if !stand.selectable => Err(Error::NotSelectable),
            Some(stand) => Ok(stand),
        }
    }

    fn named(&mut self, name: &MailboxName) -> Result<&mut Stand, Error> {
        match self.mailboxes.get_mut(name) {
            None => Err(Error::NoSuchMailbox),
            Some(stand) if !stand.selectable => Err(Error::NotSelectable),
            Some(stand) => Ok(stand),
        }
    }

    fn has_below(&self, name: &MailboxName) -> bool {
        self.mailboxes.keys().any(|other| other.is_below(name))
    }

    fn message(&self, uid: LocalUid, kept: &Kept) -> Message {
        let Content { bytes, summary, .. } = &self.contents[kept.content];
        let content = Some(kept.content).filter(|content| !self.withheld.contains(content));
        Message {
            uid,
            flags: kept.flags.clone(),
            mod_seq: ModSeq::new(kept.mod_seq),
            internal_date: kept.internal_date,
            saved: SAVED,
            size_bytes: bytes.len() as u64,
            told_bytes: bytes.len() as u64,
            email_id: email_id(bytes),
            content: content.map(|content| ContentId::new(i64::try_from(content).expect("few messages"))),
            header: None,
            is_bare: false,
            summary: content.map(|_| Arc::clone(summary)),
        }
    }
}

impl Stand {
    fn add(&mut self, mut kept: Kept) -> LocalUid {
        let uid = LocalUid::new(self.uid_next);
        self.uid_next += 1;
        self.mod_seq += 1;
        kept.mod_seq = self.mod_seq;
        self.messages.insert(uid, kept);
        uid
    }

    fn remove(&mut self, uids: &[LocalUid]) {
        self.mod_seq += u64::from(!uids.is_empty());
        for uid in uids {
            self.messages.remove(uid);
            self.expunged.push((self.mod_seq, *uid));
        }
    }

    fn claim(&mut self, claim_recent: bool) -> LocalUid {
        let from = LocalUid::new(self.recent_from);
        if claim_recent {
            self.recent_from = self.uid_next;
        }
        from
    }
}

impl Account for MemoryBackend {
    type Upload = Bytes;

    fn list(&mut self) -> Result<Vec<Mailbox>, Error> {
        let world = self.world();
        let mailbox = |(name, stand): (&MailboxName, &Stand)| Mailbox {
            id: stand.id,
            name: name.clone(),
            selectable: stand.selectable,
            special_use: stand.special_use,
            subscribed: world.subscriptions.contains(name),
            highest_mod_seq: ModSeq::new(stand.mod_seq),
        };
        Ok(world.mailboxes.iter().map(mailbox).collect())
    }

    fn subscriptions(&mut self) -> Result<Vec<MailboxName>, Error> {
        Ok(self.world().subscriptions.clone())
    }

    fn set_subscribed(&mut self, name: &MailboxName, subscribed: bool) -> Result<(), Error> {
        let mut world = self.world();
        world.subscriptions.retain(|other| other != name);
        if subscribed {
            world.subscriptions.push(name.clone());
            world.subscriptions.sort();
        }
        Ok(())
    }

    fn create(&mut self, name: &MailboxName, special_use: Option<SpecialUse>) -> Result<MailboxId, Error> {
        let mut world = self.world();
        match world.mailboxes.get_mut(name) {
            Some(stand) if stand.selectable => return Err(Error::AlreadyExists),
            Some(stand) => (stand.selectable, stand.special_use) = (true, special_use),
            None => {
                let above = std::iter::successors(name.parent(), MailboxName::parent);
                for name in above.collect::<Vec<_>>() {
                    if !world.mailboxes.contains_key(&name) {
                        world.add_mailbox(name, None);
                    }
                }
                world.add_mailbox(name.clone(), special_use);
            }
        }
        Ok(world.mailboxes[name].id)
    }

    fn delete(&mut self, name: &MailboxName) -> Result<(), Error> {
        let mut world = self.world();
        if !world.has_below(name) {
            return world.mailboxes.remove(name).map(drop).ok_or(Error::NoSuchMailbox);
        }
        if world.mailboxes.get(name).is_some_and(|stand| !stand.selectable) {
            return Err(Error::HasChildren);
        }
        let stand = world.named(name)?;
        (stand.selectable, stand.special_use) = (false, None);
        stand.messages.clear();
        Ok(())
    }

    fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        if self.world().mailboxes.contains_key(to) {
            return Err(Error::AlreadyExists);
        }
        if from.is_inbox() {
            self.create(to, None)?;
            let mut world = self.world();
            let inbox = world.named(from)?;
            let messages: Vec<Kept> = inbox.messages.values().cloned().collect();
            let uids: Vec<LocalUid> = inbox.messages.keys().copied().collect();
            inbox.remove(&uids);
            let target = world.named(to)?;
            for kept in messages {
                target.add(kept);
            }
            return Ok(());
        }
        let mut world = self.world();
        if !world.mailboxes.contains_key(from) {
            return Err(Error::NoSuchMailbox);
        }
        let renamed = |name: MailboxName| name.rebased(from, to).unwrap_or(name);
        world.mailboxes =
            std::mem::take(&mut world.mailboxes).into_iter().map(|(name, stand)| (renamed(name), stand)).collect();
        Ok(())
    }

    fn metadata(&mut self, _: Option<&MailboxName>) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        Ok(BTreeMap::new())
    }

    fn set_metadata(&mut self, _: Option<&MailboxName>, _: Vec<(String, Option<Vec<u8>>)>) -> Result<(), Error> {
        Err(Error::Cannot("there are no annotations"))
    }

    fn quota_root(&mut self, _: &MailboxName) -> Result<Option<String>, Error> {
        Ok(None)
    }

    fn quota(&mut self, _: &str) -> Result<Option<Quota>, Error> {
        Ok(None)
    }

    fn status(&mut self, name: &MailboxName, summed: Summed) -> Result<Status, Error> {
        let mut world = self.world();
        let stand = world.named(name)?;
        let count = |wanted: &dyn Fn(&LocalUid, &Kept) -> bool| {
            let count = stand.messages.iter().filter(|(uid, kept)| wanted(uid, kept)).count();
            u32::try_from(count).expect("a test keeps few messages")
        };
        let (messages, recent) = (count(&|_, _| true), count(&|uid, _| uid.get() >= stand.recent_from));
        let unseen = count(&|_, kept| !kept.flags.has(SystemFlag::Seen));
        let deleted = count(&|_, kept| kept.flags.has(SystemFlag::Deleted));
        let gone = stand.messages.values().filter(|kept| kept.flags.has(SystemFlag::Deleted));
        let gone: Vec<usize> = gone.map(|kept| kept.content).collect();
        let (id, uid_next, uid_validity) = (stand.id, LocalUid::new(stand.uid_next), stand.uid_validity);
        let highest_mod_seq = ModSeq::new(stand.mod_seq);
        let contents: Vec<usize> = stand.messages.values().map(|kept| kept.content).collect();
        let sum = |contents: Vec<usize>| contents.into_iter().map(|at| world.contents[at].bytes.len() as u64).sum();
        let sizes = (summed == Summed::Sizes).then(|| Sizes { all_bytes: sum(contents), deleted_bytes: sum(gone) });
        Ok(Status { id, messages, recent, unseen, deleted, sizes, uid_next, uid_validity, highest_mod_seq })
    }

    fn open(&mut self, name: &MailboxName, claim_recent: bool) -> Result<Opened, Error> {
        let mut world = self.world();
        let stand = world.named(name)?;
        let unseen = stand.messages.iter().find(|(_, kept)| !kept.flags.has(SystemFlag::Seen));
        let keywords = stand.messages.values().fold(Flags::none(), |all, kept| all.union(&kept.flags));
        Ok(Opened {
            id: stand.id,
            uids: Arc::new(stand.messages.keys().copied().collect()),
            first_unseen: unseen.map(|(uid, _)| *uid),
            uid_next: LocalUid::new(stand.uid_next),
            uid_validity: stand.uid_validity,
            highest_mod_seq: ModSeq::new(stand.mod_seq),
            recent_from: stand.claim(claim_recent),
            keywords: keywords.keywords().cloned().map(Flag::Keyword).collect(),
            read_only: false,
            rights: Rights::ALL,
        })
    }

    fn changes(&mut self, mailbox: MailboxId, since: ModSeq, claim_recent: bool) -> Result<Changes, Error> {
        let meanwhile = self.world().meanwhile.take();
        if let Some(act) = meanwhile {
            act();
        }
        let mut world = self.world();
        let stand = world.stand(mailbox)?;
        let changed = stand.messages.iter().filter(|(_, kept)| kept.mod_seq > since.get());
        let changed = changed.map(|(uid, kept)| Changed {
            uid: *uid,
            flags: kept.flags.clone(),
            mod_seq: ModSeq::new(kept.mod_seq),
        });
        let mut vanished: Vec<LocalUid> =
            stand.expunged.iter().filter(|(mod_seq, _)| *mod_seq > since.get()).map(|(_, uid)| *uid).collect();
        vanished.sort_unstable();
        Ok(Changes {
            highest_mod_seq: ModSeq::new(stand.mod_seq),
            uid_next: LocalUid::new(stand.uid_next),
            changed: changed.collect(),
            vanished,
            recent_from: stand.claim(claim_recent),
            rights: Rights::ALL,
        })
    }

    fn flags(&mut self, mailbox: MailboxId, uids: &[LocalUid]) -> Result<Vec<Changed>, Error> {
        let mut world = self.world();
        let stand = world.stand(mailbox)?;
        let kept = uids.iter().filter_map(|uid| Some((*uid, stand.messages.get(uid)?)));
        let changed =
            kept.map(|(uid, kept)| Changed { uid, flags: kept.flags.clone(), mod_seq: ModSeq::new(kept.mod_seq) });
        Ok(changed.collect())
    }

    fn messages(&mut self, mailbox: MailboxId, uids: &[LocalUid], _: With) -> Result<Vec<Message>, Error> {
        let mut world = self.world();
        let stand = world.stand(mailbox)?;
        let kept: Vec<(LocalUid, Kept)> =
            uids.iter().filter_map(|uid| Some((*uid, stand.messages.get(uid)?.clone()))).collect();
        Ok(kept.iter().map(|(uid, kept)| world.message(*uid, kept)).collect())
    }

    fn search(&mut self, mailbox: MailboxId, among: &UidSet<LocalUid>, query: &Query) -> Result<Vec<LocalUid>, Error> {
        let mut world = self.world();
        let stand = world.stand(mailbox)?;
        let among = stand.messages.iter().filter(|(uid, _)| among.contains(**uid));
        let kept: Vec<(LocalUid, Kept)> = among.map(|(uid, kept)| (*uid, kept.clone())).collect();
        let matches = |(uid, kept): &(LocalUid, Kept)| {
            let mut bytes = world.contents[kept.content].bytes.clone();
            let summary = &world.contents[kept.content].summary;
            let email_id = email_id(&bytes);
            let mut candidate = Candidate {
                uid: *uid,
                flags: &kept.flags,
                mod_seq: ModSeq::new(kept.mod_seq),
                internal_date: kept.internal_date,
                saved: SAVED,
                size_bytes: bytes.len() as u64,
                email_id: &email_id,
                summary: Some(&**summary),
                bytes: Some(&mut bytes as &mut dyn ByteSource),
                indexed: UNINDEXED,
            };
            query.matches(&mut candidate).expect("memory can be read")
        };
        Ok(kept.iter().filter(|one| matches(one)).map(|(uid, _)| *uid).collect())
    }

    fn keyed(&mut self, mailbox: MailboxId, uids: &[LocalUid], _: KeysRead) -> Result<Vec<Keyed>, Error> {
        let messages = self.messages(mailbox, uids, With::Columns)?;
        let mut world = self.world();
        let stand = world.stand(mailbox)?;
        let contents: Vec<usize> = messages.iter().map(|message| stand.messages[&message.uid].content).collect();
        let keyed = |(message, content): (&Message, usize)| Keyed {
            uid: message.uid,
            internal_date: message.internal_date,
            size_bytes: message.size_bytes,
            keys: world.contents[content].keys.clone(),
        };
        Ok(messages.iter().zip(contents).map(keyed).collect())
    }

    fn read(&mut self, content: ContentId, offset: u64, max: usize) -> Result<Vec<u8>, Error> {
        let content = usize::try_from(content.get()).expect("ids are indices");
        let mut world = self.world();
        let max = max.min(usize::try_from(world.readable_bytes.saturating_sub(offset)).unwrap_or(usize::MAX));
        world.contents[content].bytes.read_at(offset, max).map_err(|error| Error::Store(Box::new(error)))
    }

    fn store(
        &mut self,
        mailbox: MailboxId,
        uids: &[LocalUid],
        change: &FlagChange,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Stored, Error> {
        let mut world = self.world();
        let stand = world.stand(mailbox)?;
        let next = stand.mod_seq + 1;
        let mut stored = Stored::default();
        for uid in uids {
            let Some(kept) = stand.messages.get_mut(uid) else { continue };
            if unchanged_since.is_some_and(|since| kept.mod_seq > since.get()) {
                stored.modified.push(*uid);
            } else {
                let flags = match change {
                    FlagChange::Add(flags) => kept.flags.union(flags),
                    FlagChange::Remove(flags) => kept.flags.difference(flags),
                    FlagChange::Replace(flags) => flags.clone(),
                };
                if flags != kept.flags {
                    (kept.flags, kept.mod_seq, stand.mod_seq) = (flags, next, next);
                    stored.taken = Some(ModSeq::new(next));
                }
            }
            let (flags, mod_seq) = (kept.flags.clone(), ModSeq::new(kept.mod_seq));
            stored.now.push(Changed { uid: *uid, flags, mod_seq });
        }
        Ok(stored)
    }

    fn expunge(&mut self, mailbox: MailboxId, uids: Option<&UidSet<LocalUid>>) -> Result<Vec<LocalUid>, Error> {
        let mut world = self.world();
        let stand = world.stand(mailbox)?;
        let named = |uid: LocalUid| uids.is_none_or(|uids| uids.contains(uid));
        let deleted = stand.messages.iter().filter(|(uid, kept)| kept.flags.has(SystemFlag::Deleted) && named(**uid));
        let deleted: Vec<LocalUid> = deleted.map(|(uid, _)| *uid).collect();
        stand.remove(&deleted);
        Ok(deleted)
    }

    fn copy(&mut self, mailbox: MailboxId, uids: &[LocalUid], to: &MailboxName) -> Result<Copied, Error> {
        let mut world = self.world();
        let source = world.stand(mailbox)?;
        let kept: Vec<(LocalUid, Kept)> =
            uids.iter().filter_map(|uid| Some((*uid, source.messages.get(uid)?.clone()))).collect();
        let target = world.named(to)?;
        let uids = kept.into_iter().map(|(uid, kept)| (uid, target.add(kept))).collect();
        Ok(Copied { target: target.id, uid_validity: target.uid_validity, uids })
    }

    fn move_messages(&mut self, mailbox: MailboxId, uids: &[LocalUid], to: &MailboxName) -> Result<Copied, Error> {
        let moved = self.copy(mailbox, uids, to)?;
        let sources: Vec<LocalUid> = moved.uids.iter().map(|(source, _)| *source).collect();
        self.world().stand(mailbox)?.remove(&sources);
        Ok(moved)
    }

    fn upload(&mut self, to: &MailboxName, _: u64) -> Result<Bytes, Error> {
        self.world().named(to)?;
        Ok(Bytes(Vec::new()))
    }

    fn replace(
        &mut self,
        mailbox: MailboxId,
        uid: LocalUid,
        to: &MailboxName,
        message: Append<Bytes>,
    ) -> Result<Appended, Error> {
        if !self.world().stand(mailbox)?.messages.contains_key(&uid) {
            return Err(Error::NoSuchMessage);
        }
        let appended = self.append(to, vec![message])?;
        self.world().stand(mailbox)?.remove(&[uid]);
        Ok(appended)
    }

    fn append(&mut self, to: &MailboxName, messages: Vec<Append<Bytes>>) -> Result<Appended, Error> {
        let mut world = self.world();
        let mut uids = Vec::new();
        for Append { upload, flags, internal_date } in messages {
            let content = world.keep(upload.0);
            let internal_date = internal_date.unwrap_or(NOW);
            uids.push(world.named(to)?.add(Kept { flags, mod_seq: 0, internal_date, content }));
        }
        let target = world.named(to)?;
        Ok(Appended { target: target.id, uid_validity: target.uid_validity, uids })
    }
}

/// A message on its way in.
#[derive(Debug)]
pub struct Bytes(Vec<u8>);

impl Upload for Bytes {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
