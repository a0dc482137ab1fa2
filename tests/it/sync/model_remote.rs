//! A mail server in memory that speaks [`Remote`]: complete enough to be synced with, small enough to be seen through.
//! It can be told to cut the line before or after the n-th call, or in the middle of a FETCH.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use mailtide::message::search::Query;
use mailtide::message::section::resolve;
use mailtide::message::{Scanner, Section, SectionText};
use mailtide::sync::remote::{
    AppendUid, AppendsTold, CopyUid, Described, Excerpt, Facts, Fetched, Fingerprinted, Interrupt, Known, Listed,
    MessageSink, Outgoing, RefusalCode, Remote, RemoteError, RemoteName, Resync, Scanned, Selected, Status, Woken,
};
use mailtide::sync::tour::{Errand, Guide, Stop, run};
use mailtide::types::{Flag, Flags, InternalDate, ModSeq, RemoteUid, SpecialUse, SystemFlag, UidSet, UidValidity};

/// A message on the server.
#[derive(Debug, Clone)]
pub struct Message {
    pub bytes: Vec<u8>,
    pub flags: Flags,
    pub date: InternalDate,
    pub email_id: Option<String>,
    mod_seq: u64,
}

/// A mailbox on the server.
#[derive(Debug, Clone)]
pub struct Mailbox {
    pub uid_validity: u32,
    pub uid_next: u32,
    pub messages: BTreeMap<u32, Message>,
    pub subscribed: bool,
    mod_seq: u64,
    expunged: Vec<(u64, u32)>,
}

/// What the server can do and how it misbehaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traits {
    pub facts: Facts,
    pub tells_uid_next: bool,
    pub status_with_list: bool,
    pub permanent: Flags,
    pub any_keyword: bool,
    /// Where a message is one thing: what the server says of one that is put where it is.
    pub onto: Onto,
    /// How several messages are appended.
    pub appends: Appends,
}

/// How several messages are appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appends {
    /// One after the other; each is told of at once.
    Each,
    /// One after the other, and nothing is told of any before the last is there.
    Unheard,
    /// All of them or none (RFC 3502).
    AsOne,
}

/// What COPYUID tells of a message that was there before (nobody knows of all servers which it is).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onto {
    /// The UID that it has.
    Same,
    /// Another UID, which it has from then on.
    Anew,
    /// Nothing.
    Untold,
}

/// When the line is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Never,
    /// The n-th call does not reach the server.
    Before(usize),
    /// The n-th call is done, its answer lost; a FETCH brings half of its messages.
    After(usize),
}

#[derive(Debug)]
pub struct State {
    pub mailboxes: BTreeMap<String, Mailbox>,
    /// Of deleted mailboxes: kept by those below them, as `\Noselect` (RFC 3501 section 6.3.4).
    pub bare_names: BTreeSet<String>,
    pub traits: Traits,
    pub cut: Cut,
    pub calls: usize,
    /// Calls that changed something.
    pub changes: usize,
    /// Numbers of the calls of which a lost answer leaves something behind: changes and fetches.
    pub telling: Vec<usize>,
    /// Commits of the store on the other side.
    pub commits: Arc<AtomicUsize>,
    /// Mailboxes entered. What a tour heard before a cut may be written down after it.
    pub entered: usize,
    /// Before each call, all that its not being made can leave: how many commits, telling calls and mailboxes entered
    /// there had been.
    pub moments: Vec<(usize, usize, usize)>,
    /// UIDs whose bytes were sent, for the count of fetches.
    pub fetched: Vec<(String, u32)>,
    /// Bytes of messages, headers and parts sent.
    pub given_bytes: usize,
    /// What the server refuses: (the call's name, a word in its argument).
    pub refuses: Vec<(&'static str, String, Option<RefusalCode>)>,
    /// How often it did.
    pub refused: Cell<usize>,
    /// RFC822.SIZE is more than there is (QUIRKS.md row 14).
    pub lies_about_sizes: bool,
    /// After so many more, one SELECT is answered as if the mailbox were not there (QUIRKS.md row 35).
    pub denies_after: Option<usize>,
    /// Before the n-th call someone moves a message that is still there: from, its UID, to, which is made if need be.
    pub meanwhile: Option<(usize, &'static str, u32, &'static str)>,
    /// And then another.
    pub then: Option<(usize, &'static str, u32, &'static str)>,
    /// Before the n-th call someone renames a mailbox that is still there.
    pub renamed: Option<(usize, &'static str, &'static str)>,
    /// Before the n-th call someone moves all that is in a mailbox to INBOX, and deletes it.
    pub emptied: Option<(usize, &'static str)>,
    /// Before the n-th call someone marks a message to be expunged: its mailbox, its UID.
    pub marked: Option<(usize, &'static str, u32)>,
    /// Before the n-th call the user does something on the other side.
    pub here: Option<(usize, Here)>,
    /// UIDs that UID SEARCH and FETCH leave out by mistake, of the named mailbox.
    pub hides: BTreeMap<String, BTreeSet<u32>>,
    /// UIDs that a FETCH of several leaves out (QUIRKS.md row 19).
    pub leaves_out: BTreeSet<u32>,
    /// Mailboxes that may only be read, with the flags that they keep all the same.
    pub read_only: BTreeMap<String, Flags>,
    /// UID EXPUNGE is answered OK and does nothing (QUIRKS.md row 41).
    pub forgets_to_expunge: bool,
    /// A mailbox that someone replaces by another of its name, with as many other messages, in the moment before the
    /// next tour enters it to change something.
    pub replaced: Option<String>,
    next_uid_validity: u32,
    next_email_id: u32,
}

/// What the user does while a sync waits for the server.
pub struct Here(pub Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Here {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Here")
    }
}

/// The server; clones share it.
#[derive(Debug, Clone)]
pub struct Server(Arc<Mutex<State>>);

/// One connection to it.
pub struct ModelRemote {
    server: Server,
    facts: Facts,
    selected: Option<String>,
    is_dead: bool,
}

impl Traits {
    /// Everything that the engine can make use of.
    pub fn modern() -> Self {
        let facts = Facts {
            uid_plus: true,
            r#move: true,
            cond_store: true,
            qresync: true,
            notify: false,
            idle: true,
            special_use: true,
            object_id: false,
            labels: false,
            unselect: true,
            outlines: true,
            append_limit_bytes: None,
        };
        let permanent = SystemFlag::ALL.into_iter().map(Flag::from).collect();
        Self {
            facts,
            tells_uid_next: true,
            status_with_list: true,
            permanent,
            any_keyword: true,
            onto: Onto::Same,
            appends: Appends::Each,
        }
    }

    /// Gmail: mailboxes are labels, and `All` has every message that is not in `Trash`.
    pub fn labels(onto: Onto) -> Self {
        let mut traits = Self { onto, ..Self::modern() };
        (traits.facts.labels, traits.facts.object_id, traits.facts.qresync) = (true, true, false);
        traits
    }

    /// CONDSTORE and UIDPLUS, no more.
    pub fn middling() -> Self {
        let mut traits = Self::modern();
        traits.facts.qresync = false;
        traits.facts.r#move = false;
        traits.status_with_list = false;
        traits
    }

    /// RFC 3501 and nothing else.
    pub fn plain() -> Self {
        let mut traits = Self::middling();
        traits.facts.uid_plus = false;
        traits.facts.cond_store = false;
        traits
    }

    pub fn all() -> [Self; 3] {
        [Self::modern(), Self::middling(), Self::plain()]
    }
}

impl Mailbox {
    fn touch(&mut self) -> u64 {
        self.mod_seq += 1;
        self.mod_seq
    }

    fn add(&mut self, mut message: Message) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        message.mod_seq = self.touch();
        self.messages.insert(uid, message);
        uid
    }

    fn remove(&mut self, uid: u32) -> Option<Message> {
        let message = self.messages.remove(&uid)?;
        let mod_seq = self.touch();
        self.expunged.push((mod_seq, uid));
        Some(message)
    }

    fn uids_in(&self, uids: &UidSet<RemoteUid>) -> Vec<u32> {
        self.messages.keys().copied().filter(|uid| uids.contains(RemoteUid::new(*uid))).collect()
    }
}

impl Server {
    pub fn new(traits: Traits) -> Self {
        let state = State {
            bare_names: BTreeSet::new(),
            mailboxes: BTreeMap::new(),
            traits,
            cut: Cut::Never,
            calls: 0,
            changes: 0,
            telling: Vec::new(),
            commits: Arc::default(),
            entered: 0,
            moments: Vec::new(),
            fetched: Vec::new(),
            given_bytes: 0,
            refuses: Vec::new(),
            refused: Cell::new(0),
            lies_about_sizes: false,
            denies_after: None,
            meanwhile: None,
            then: None,
            renamed: None,
            emptied: None,
            marked: None,
            here: None,
            hides: BTreeMap::new(),
            leaves_out: BTreeSet::new(),
            read_only: BTreeMap::new(),
            forgets_to_expunge: false,
            replaced: None,
            next_uid_validity: 1000,
            next_email_id: 1,
        };
        let server = Self(Arc::new(Mutex::new(state)));
        server.create("INBOX");
        server
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the server")
    }

    /// A copy that goes its own way.
    pub fn fork(&self) -> Self {
        let state = self.state();
        Self(Arc::new(Mutex::new(State {
            mailboxes: state.mailboxes.clone(),
            bare_names: state.bare_names.clone(),
            traits: state.traits.clone(),
            cut: Cut::Never,
            calls: 0,
            changes: 0,
            telling: Vec::new(),
            commits: Arc::default(),
            entered: 0,
            moments: Vec::new(),
            fetched: Vec::new(),
            given_bytes: 0,
            refuses: state.refuses.clone(),
            refused: Cell::new(0),
            lies_about_sizes: state.lies_about_sizes,
            denies_after: state.denies_after,
            meanwhile: state.meanwhile,
            then: state.then,
            renamed: state.renamed,
            emptied: state.emptied,
            marked: state.marked,
            here: None,
            hides: state.hides.clone(),
            leaves_out: state.leaves_out.clone(),
            read_only: state.read_only.clone(),
            forgets_to_expunge: state.forgets_to_expunge,
            replaced: None,
            next_uid_validity: state.next_uid_validity,
            next_email_id: state.next_email_id,
        })))
    }

    pub fn connect(&self) -> ModelRemote {
        let facts = self.state().traits.facts.clone();
        ModelRemote { server: self.clone(), facts, selected: None, is_dead: false }
    }

    pub fn create(&self, name: &str) {
        self.state().create(name);
    }

    pub fn deliver(&self, mailbox: &str, text: &str, flags: &str) -> u32 {
        let mut state = self.state();
        state.next_email_id += 1;
        let email_id = state.traits.facts.object_id.then(|| format!("E{}", state.next_email_id));
        let message = Message {
            bytes: super::mail(text),
            flags: super::flags(flags),
            date: InternalDate::new(1_000_000, 0),
            email_id,
            mod_seq: 0,
        };
        state.place(mailbox, message).expect("it is new")
    }

    pub fn set_flags(&self, mailbox: &str, uid: u32, flags: &str) {
        let mut state = self.state();
        let mailbox = state.mailboxes.get_mut(mailbox).expect("a mailbox");
        let mod_seq = mailbox.touch();
        let message = mailbox.messages.get_mut(&uid).expect("a message");
        (message.flags, message.mod_seq) = (super::flags(flags), mod_seq);
    }

    pub fn expunge(&self, mailbox: &str, uid: u32) {
        self.state().mailboxes.get_mut(mailbox).expect("a mailbox").remove(uid).expect("a message");
    }

    pub fn move_message(&self, from: &str, uid: u32, to: &str) -> u32 {
        self.state().move_message(from, uid, to)
    }

    pub fn copy(&self, from: &str, uid: u32, to: &str) -> u32 {
        let mut state = self.state();
        let message = state.mailboxes[from].messages[&uid].clone();
        state.place(to, message).expect("told")
    }

    pub fn rename(&self, from: &str, to: &str) {
        self.state().rename(from, to);
    }

    /// The messages get new UIDs under a new UIDVALIDITY, in the reverse order.
    pub fn renumber(&self, name: &str) {
        let mut state = self.state();
        state.next_uid_validity += 1;
        let uid_validity = state.next_uid_validity;
        let mailbox = state.mailboxes.get_mut(name).expect("a mailbox");
        let messages: Vec<Message> = std::mem::take(&mut mailbox.messages).into_values().rev().collect();
        (mailbox.uid_validity, mailbox.uid_next, mailbox.mod_seq) = (uid_validity, 1, 1);
        mailbox.expunged.clear();
        for message in messages {
            mailbox.add(message);
        }
    }
}

impl ModelRemote {
    /// Runs a call unless the line is cut before it; loses the answer if it is cut after it.
    fn call<T>(
        &mut self,
        changes: bool,
        work: impl FnOnce(&mut State, Option<&str>) -> Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        let lost = || RemoteError::Lost { host: "model".to_owned(), cause: "cut".to_owned() };
        if self.is_dead {
            return Err(lost());
        }
        let mut state = self.server.state();
        state.calls += 1;
        let (calls, cut) = (state.calls, state.cut);
        let is_due = |deed: &mut (usize, &'static str, u32, &'static str)| deed.0 == calls;
        let deeds = [state.meanwhile.take_if(is_due), state.then.take_if(is_due)];
        for (_, from, uid, to) in deeds.into_iter().flatten() {
            if !state.mailboxes.contains_key(to) {
                state.create(to);
            }
            if state.mailboxes.get(from).is_some_and(|mailbox| mailbox.messages.contains_key(&uid)) {
                state.move_message(from, uid, to);
            }
        }
        if let Some((_, from, to)) = state.renamed.take_if(|(nth, ..)| *nth == calls)
            && state.mailboxes.contains_key(from)
        {
            state.rename(from, to);
        }
        if let Some((_, name)) = state.emptied.take_if(|(nth, _)| *nth == calls)
            && let Some(mailbox) = state.mailboxes.get(name)
        {
            let uids: Vec<u32> = mailbox.messages.keys().copied().collect();
            for uid in uids {
                state.move_message(name, uid, "INBOX");
            }
            state.mailboxes.remove(name);
        }
        if let Some((_, name, uid)) = state.marked.take_if(|(nth, ..)| *nth == calls) {
            let mailbox = state.mailboxes.get_mut(name).expect("a mailbox");
            let mod_seq = mailbox.touch();
            let message = mailbox.messages.get_mut(&uid).expect("a message");
            (message.flags, message.mod_seq) = (super::flags("\\Deleted"), mod_seq);
        }
        if let Some((_, Here(act))) = state.here.take_if(|(nth, _)| *nth == calls) {
            act();
        }
        let moment = (state.commits.load(Ordering::SeqCst), state.telling.len(), state.entered);
        state.moments.push(moment);
        if cut == Cut::Before(calls) {
            self.is_dead = true;
            return Err(lost());
        }
        let answer = work(&mut state, self.selected.as_deref());
        if changes && answer.is_ok() {
            state.changes += 1;
            state.telling.push(calls);
        }
        if cut == Cut::After(calls) {
            self.is_dead = true;
            return Err(lost());
        }
        answer
    }
}

fn refused<T>(request: &'static str, code: Option<RefusalCode>) -> Result<T, RemoteError> {
    Err(RemoteError::Refused { request, code, text: format!("no {request}") })
}

impl State {
    fn create(&mut self, name: &str) {
        self.next_uid_validity += 1;
        let new = Mailbox {
            uid_validity: self.next_uid_validity,
            uid_next: 1,
            messages: BTreeMap::new(),
            subscribed: false,
            mod_seq: 1,
            expunged: Vec::new(),
        };
        self.mailboxes.insert(name.to_owned(), new);
        self.bare_names.remove(name);
    }

    /// As DELETE does it to a mailbox with others below it.
    pub fn delete_but_for_its_name(&mut self, name: &str) {
        self.mailboxes.remove(name).expect("a mailbox");
        self.bare_names.insert(name.to_owned());
    }

    fn move_message(&mut self, from: &str, uid: u32, to: &str) -> u32 {
        let message = self.mailboxes.get_mut(from).expect("a mailbox").remove(uid).expect("a message");
        self.place(to, message).expect("told")
    }

    /// Puts a message into a mailbox. Returns its UID there, as far as the server tells it.
    fn place(&mut self, to: &str, message: Message) -> Option<u32> {
        if !self.traits.facts.labels {
            return Some(self.mailboxes.get_mut(to).expect("a mailbox").add(message));
        }
        let email_id = message.email_id.clone();
        let has = |mailbox: &Mailbox| {
            let found = mailbox.messages.iter().find(|(_, other)| other.email_id == email_id);
            found.map(|(uid, _)| *uid)
        };
        if to == "Trash" {
            for (_, mailbox) in self.mailboxes.iter_mut().filter(|(name, _)| *name != "Trash") {
                has(mailbox).and_then(|uid| mailbox.remove(uid));
            }
        } else if let Some(all) = self.mailboxes.get_mut("All").filter(|all| has(all).is_none()) {
            all.add(message.clone());
        }
        let target = self.mailboxes.get_mut(to).expect("a mailbox");
        match (has(target), self.traits.onto) {
            // `All` has it by now.
            (Some(uid), _) if to == "All" => Some(uid),
            (None, _) => Some(target.add(message)),
            (Some(uid), Onto::Same) => Some(uid),
            (Some(_), Onto::Untold) => None,
            (Some(uid), Onto::Anew) => {
                target.remove(uid);
                Some(target.add(message))
            }
        }
    }

    /// Renames with everything below.
    fn rename(&mut self, from: &str, to: &str) {
        let below = format!("{from}.");
        let is_meant = |name: &&String| *name == from || name.starts_with(&below);
        let names: Vec<String> = self.mailboxes.keys().filter(is_meant).cloned().collect();
        for name in names {
            let mailbox = self.mailboxes.remove(&name).expect("just listed");
            self.mailboxes.insert(format!("{to}{}", &name[from.len()..]), mailbox);
        }
    }

    /// Someone was quicker.
    fn replace(&mut self, name: &str) {
        if self.replaced.take_if(|replaced| replaced == name).is_none() {
            return;
        }
        let uids: Vec<u32> = self.mailboxes.remove(name).expect("a mailbox").messages.into_keys().collect();
        self.create(name);
        let mailbox = self.mailboxes.get_mut(name).expect("just made");
        for uid in uids {
            mailbox.uid_next = uid;
            let bytes = super::mail(&format!("stranger{uid}"));
            let date = InternalDate::new(1_000_000, 0);
            mailbox.add(Message { bytes, flags: Flags::none(), date, email_id: None, mod_seq: 0 });
        }
    }

    fn check(&self, request: &'static str, argument: &str) -> Result<(), RemoteError> {
        match self.refuses.iter().find(|(refused, word, _)| *refused == request && argument.contains(word.as_str())) {
            Some((.., code)) => {
                self.refused.set(self.refused.get() + 1);
                refused(request, *code)
            }
            None => Ok(()),
        }
    }

    fn selected(&mut self, name: Option<&str>) -> Result<&mut Mailbox, RemoteError> {
        let none = RemoteError::Protocol { request: "FETCH", text: "nothing selected".to_owned() };
        name.and_then(|name| self.mailboxes.get_mut(name)).ok_or(none)
    }

    fn hidden(&self, name: Option<&str>) -> BTreeSet<u32> {
        name.and_then(|name| self.hides.get(name)).cloned().unwrap_or_default()
    }

    fn status(&self, name: &str) -> Result<Status, RemoteError> {
        let Some(mailbox) = self.mailboxes.get(name) else { return refused("STATUS", Some(RefusalCode::NonExistent)) };
        Ok(Status {
            messages: mailbox.messages.len() as u32,
            uid_next: self.traits.tells_uid_next.then(|| RemoteUid::new(mailbox.uid_next)),
            uid_validity: UidValidity::new(mailbox.uid_validity),
            highest_mod_seq: self.traits.facts.cond_store.then(|| ModSeq::new(mailbox.mod_seq)),
        })
    }

    fn scanned(&self, uid: u32, message: &Message) -> Scanned {
        let mod_seq = self.traits.facts.cond_store.then(|| ModSeq::new(message.mod_seq));
        Scanned { uid: RemoteUid::new(uid), flags: message.flags.clone(), mod_seq }
    }
}

fn special_use(name: &str) -> Option<SpecialUse> {
    SpecialUse::ALL.into_iter().find(|special_use| &special_use.as_str()[1..] == name)
}

impl ModelRemote {
    fn excerpt(&mut self, excerpt: &Excerpt, sink: &mut dyn MessageSink) -> Result<(), RemoteError> {
        let Excerpt { uids, section, piece } = excerpt;
        let mut words = section.split('.').filter(|word| !word.is_empty()).peekable();
        let part = std::iter::from_fn(|| words.next_if(|word| word.parse::<u32>().is_ok()));
        let part: Vec<u32> = part.map(|number| number.parse().expect("a number")).collect();
        let text = match words.next() {
            None => SectionText::Whole,
            Some("MIME") => SectionText::Mime,
            Some("HEADER") => SectionText::Header,
            Some(_) => SectionText::Text,
        };
        let piece = *piece;
        self.send(uids, sink, move |message| {
            let summary = Scanner::scan(&message.bytes);
            let section = Section { part: part.clone(), text: text.clone() };
            let Some(range) = resolve(&summary, &section) else { return (None, None) };
            let (first, count) = piece.unwrap_or((0, u64::MAX));
            let start = (range.start + first).min(range.end);
            let range = start..start.saturating_add(count).min(range.end);
            let place = |at| usize::try_from(at).expect("a small message");
            (Some(message.bytes[place(range.start)..place(range.end)].to_vec()), None)
        })
    }

    /// Sends of each message what `of` makes of it; `None`: NIL.
    fn send(
        &mut self,
        uids: &UidSet<RemoteUid>,
        sink: &mut dyn MessageSink,
        of: impl Fn(&Message) -> (Option<Vec<u8>>, Option<Described>),
    ) -> Result<(), RemoteError> {
        let mut sent = Vec::new();
        let answer = self.call(false, |state, name| {
            state.telling.push(state.calls);
            let mailbox = state.selected(name)?.clone();
            let name = name.expect("selected").to_owned();
            let mut uids = mailbox.uids_in(uids);
            if uids.len() > 1 {
                uids.retain(|uid| !state.leaves_out.contains(uid));
            }
            let is_cut = state.cut == Cut::After(state.calls);
            let count = if is_cut { uids.len().div_ceil(2) } else { uids.len() };
            for uid in &uids[..count] {
                state.check("FETCH", &format!("{name} {uid}."))?;
                let message = mailbox.messages[uid].clone();
                let (bytes, outline) = of(&message);
                if outline.is_none() {
                    state.fetched.push((name.clone(), *uid));
                }
                state.given_bytes += bytes.as_ref().map_or(0, Vec::len);
                sent.push((*uid, message, bytes, outline));
            }
            Ok(())
        });
        let broken = |error: std::io::Error| RemoteError::Local(error.to_string());
        for (uid, message, bytes, outline) in sent {
            let Some(bytes) = bytes else {
                sink.absent(RemoteUid::new(uid)).map_err(broken)?;
                continue;
            };
            sink.begin(bytes.len() as u64).map_err(broken)?;
            for piece in bytes.chunks(7) {
                sink.write(piece).map_err(broken)?;
            }
            let fetched = Fetched {
                uid: RemoteUid::new(uid),
                flags: message.flags,
                mod_seq: Some(ModSeq::new(message.mod_seq)),
                internal_date: Some(message.date),
                email_id: message.email_id,
                outline,
            };
            sink.end(fetched).map_err(broken)?;
        }
        if answer.is_err() && self.is_dead {
            // A message cut in the middle.
            sink.begin(100).map_err(broken)?;
            sink.write(b"Subject: half").map_err(broken)?;
        }
        answer
    }
}

impl Remote for ModelRemote {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn list(&mut self) -> Result<Vec<Listed>, RemoteError> {
        self.call(false, |state, _| {
            let listed = state.mailboxes.iter().map(|(name, mailbox)| Listed {
                name: RemoteName(name.clone()),
                delimiter: Some('.'),
                components: name.split('.').map(str::to_owned).collect(),
                selectable: true,
                special_use: special_use(name),
                subscribed: mailbox.subscribed,
                status: if state.traits.status_with_list { state.status(name).ok() } else { None },
                rights: None,
            });
            let bare = state.bare_names.iter().map(|name| Listed {
                name: RemoteName(name.clone()),
                delimiter: Some('.'),
                components: name.split('.').map(str::to_owned).collect(),
                selectable: false,
                special_use: None,
                subscribed: false,
                status: None,
                rights: None,
            });
            Ok(listed.chain(bare).collect())
        })
    }

    async fn status(&mut self, names: &[RemoteName]) -> Result<Vec<Result<Status, RemoteError>>, RemoteError> {
        self.call(false, |state, _| Ok(names.iter().map(|name| state.status(&name.0)).collect()))
    }

    fn name_for(&self, components: &[&str], _delimiter: Option<char>) -> Result<RemoteName, RemoteError> {
        match components.iter().any(|component| component.contains('.')) {
            true => Err(RemoteError::Impossible("the name holds the delimiter".to_owned())),
            false => Ok(RemoteName(components.join("."))),
        }
    }

    async fn create(&mut self, name: &RemoteName, _use: Option<SpecialUse>) -> Result<(), RemoteError> {
        self.call(true, |state, _| {
            state.check("CREATE", &name.0)?;
            match state.mailboxes.contains_key(&name.0) {
                true => refused("CREATE", Some(RefusalCode::AlreadyExists)),
                false => {
                    state.create(&name.0);
                    Ok(())
                }
            }
        })
    }

    async fn rename(&mut self, from: &RemoteName, to: &RemoteName) -> Result<(), RemoteError> {
        self.call(true, |state, _| {
            state.check("RENAME", &from.0)?;
            if state.mailboxes.contains_key(&to.0) {
                return refused("RENAME", Some(RefusalCode::AlreadyExists));
            }
            if !state.mailboxes.contains_key(&from.0) {
                return refused("RENAME", Some(RefusalCode::NonExistent));
            }
            state.rename(&from.0, &to.0);
            Ok(())
        })
    }

    async fn delete(&mut self, name: &RemoteName) -> Result<(), RemoteError> {
        self.selected = None;
        self.call(true, |state, _| {
            state.check("DELETE", &name.0)?;
            match state.mailboxes.remove(&name.0) {
                Some(_) => Ok(()),
                None => refused("DELETE", Some(RefusalCode::NonExistent)),
            }
        })
    }

    async fn set_subscribed(&mut self, name: &RemoteName, subscribed: bool) -> Result<(), RemoteError> {
        self.call(true, |state, _| match state.mailboxes.get_mut(&name.0) {
            Some(mailbox) => {
                mailbox.subscribed = subscribed;
                Ok(())
            }
            None => refused("SUBSCRIBE", Some(RefusalCode::NonExistent)),
        })
    }

    async fn select(&mut self, name: &RemoteName, known: Option<Known>) -> Result<Selected, RemoteError> {
        self.selected = None;
        let selected = self.call(false, |state, _| {
            state.check("SELECT", &name.0)?;
            let denies_after = state.denies_after.take();
            state.denies_after = denies_after.and_then(|selects| selects.checked_sub(1));
            if denies_after == Some(0) {
                return refused("SELECT", Some(RefusalCode::NonExistent));
            }
            let status = state.status(&name.0)?;
            state.entered += 1;
            let mailbox = &state.mailboxes[&name.0];
            let known = known.filter(|known| state.traits.facts.qresync && known.uid_validity == status.uid_validity);
            let since = known.map(|known| {
                let after = known.highest_mod_seq.get();
                let vanished = mailbox.expunged.iter().filter(|(mod_seq, _)| *mod_seq > after);
                let changed = mailbox.messages.iter().filter(|(_, message)| message.mod_seq > after);
                Resync {
                    vanished: vanished.map(|(_, uid)| RemoteUid::new(*uid)).collect(),
                    changed: changed.map(|(uid, message)| state.scanned(*uid, message)).collect(),
                }
            });
            Ok(Selected {
                uid_validity: status.uid_validity,
                uid_next: status.uid_next,
                exists: status.messages,
                highest_mod_seq: status.highest_mod_seq,
                read_only: state.read_only.contains_key(&name.0),
                permanent_flags: state.read_only.get(&name.0).unwrap_or(&state.traits.permanent).clone(),
                any_keyword: state.traits.any_keyword && !state.read_only.contains_key(&name.0),
                since,
            })
        })?;
        self.selected = Some(name.0.clone());
        Ok(selected)
    }

    async fn uids(&mut self) -> Result<UidSet<RemoteUid>, RemoteError> {
        self.call(false, |state, name| {
            let hidden = state.hidden(name);
            let uids = state.selected(name)?.messages.keys().filter(|uid| !hidden.contains(uid));
            Ok(uids.map(|uid| RemoteUid::new(*uid)).collect())
        })
    }

    async fn find(&mut self, key: &Query) -> Result<UidSet<RemoteUid>, RemoteError> {
        let (Query::Text(text) | Query::Body(text)) = key else { panic!("no text: {key:?}") };
        self.call(false, |state, name| {
            let messages = &state.selected(name)?.messages;
            let holds = |message: &Message| String::from_utf8_lossy(&message.bytes).contains(text);
            Ok(messages.iter().filter(|(_, message)| holds(message)).map(|(uid, _)| RemoteUid::new(*uid)).collect())
        })
    }

    async fn present(&mut self, uids: &UidSet<RemoteUid>) -> Result<UidSet<RemoteUid>, RemoteError> {
        Ok(self.uids().await?.intersection(uids))
    }

    async fn deleted_uids(&mut self) -> Result<UidSet<RemoteUid>, RemoteError> {
        self.call(false, |state, name| {
            let messages = &state.selected(name)?.messages;
            let deleted = messages.iter().filter(|(_, message)| message.flags.has(SystemFlag::Deleted));
            Ok(deleted.map(|(uid, _)| RemoteUid::new(*uid)).collect())
        })
    }

    async fn scan(
        &mut self,
        uids: &UidSet<RemoteUid>,
        changed_since: Option<ModSeq>,
    ) -> Result<Vec<Scanned>, RemoteError> {
        self.call(false, |state, name| {
            assert!(changed_since.is_none() || state.traits.facts.cond_store, "CHANGEDSINCE needs CONDSTORE");
            let mut hidden = state.hidden(name);
            if uids.len() > 1 {
                hidden.extend(&state.leaves_out);
            }
            let mailbox = state.selected(name)?.clone();
            let after = changed_since.map_or(0, ModSeq::get);
            let shown = mailbox.uids_in(uids).into_iter().filter(|uid| !hidden.contains(uid));
            let shown = shown.map(|uid| (uid, &mailbox.messages[&uid])).filter(|(_, message)| message.mod_seq > after);
            Ok(shown.map(|(uid, message)| state.scanned(uid, message)).collect())
        })
    }

    async fn fingerprints(&mut self, uids: &UidSet<RemoteUid>) -> Result<Vec<Fingerprinted>, RemoteError> {
        self.call(false, |state, name| {
            let lie = u64::from(state.lies_about_sizes);
            for uid in state.selected(name)?.uids_in(uids) {
                state.check("FINGERPRINTS", &format!("{} {uid}.", name.unwrap_or_default()))?;
            }
            let mailbox = state.selected(name)?;
            let shown = mailbox.uids_in(uids).into_iter().map(|uid| {
                let message = &mailbox.messages[&uid];
                Fingerprinted {
                    uid: RemoteUid::new(uid),
                    size_bytes: message.bytes.len() as u64 + lie,
                    internal_date: Some(message.date),
                    fields: fields(&message.bytes),
                    email_id: message.email_id.clone(),
                    is_deleted: message.flags.has(SystemFlag::Deleted),
                }
            });
            Ok(shown.collect())
        })
    }

    async fn outline(&mut self, uids: &UidSet<RemoteUid>, sink: &mut dyn MessageSink) -> Result<(), RemoteError> {
        let lie = u64::from(self.server.state().lies_about_sizes);
        self.send(uids, sink, |message| {
            let whole = Scanner::scan(&message.bytes);
            let header = message.bytes[..usize::try_from(whole.root.body_start).expect("a small header")].to_vec();
            let described = Described { size_bytes: message.bytes.len() as u64 + lie, structure: Box::new(whole.root) };
            (Some(header), Some(described))
        })
    }

    async fn excerpts(&mut self, wanted: &[Excerpt], sink: &mut dyn MessageSink) -> Result<(), RemoteError> {
        wanted.iter().try_for_each(|excerpt| self.excerpt(excerpt, sink))
    }

    async fn identify(&mut self, uids: &UidSet<RemoteUid>) -> Result<Vec<Fetched>, RemoteError> {
        self.call(false, |state, name| {
            let mailbox = state.selected(name)?;
            let told = mailbox.uids_in(uids).into_iter().map(|uid| {
                let Message { flags, date, email_id, mod_seq, .. } = mailbox.messages[&uid].clone();
                let (uid, mod_seq) = (RemoteUid::new(uid), Some(ModSeq::new(mod_seq)));
                Fetched { uid, flags, mod_seq, internal_date: Some(date), email_id, outline: None }
            });
            Ok(told.collect())
        })
    }

    async fn fetch(&mut self, uids: &UidSet<RemoteUid>, sink: &mut dyn MessageSink) -> Result<(), RemoteError> {
        self.send(uids, sink, |message| (Some(message.bytes.clone()), None))
    }

    fn take_vanished(&mut self) -> UidSet<RemoteUid> {
        UidSet::new()
    }

    async fn add_flags(&mut self, uids: &UidSet<RemoteUid>, flags: &Flags) -> Result<UidSet<RemoteUid>, RemoteError> {
        self.change_flags(uids, |before| before.union(flags), flags)
    }

    async fn remove_flags(
        &mut self,
        uids: &UidSet<RemoteUid>,
        flags: &Flags,
    ) -> Result<UidSet<RemoteUid>, RemoteError> {
        self.change_flags(uids, |before| before.difference(flags), flags)
    }

    async fn expunge(&mut self, uids: &UidSet<RemoteUid>) -> Result<(), RemoteError> {
        self.call(true, |state, name| {
            assert!(state.traits.facts.uid_plus, "UID EXPUNGE needs UIDPLUS");
            state.check("EXPUNGE", &uids.to_string())?;
            if state.forgets_to_expunge {
                return Ok(());
            }
            let mailbox = state.selected(name)?;
            for uid in mailbox.uids_in(uids) {
                if mailbox.messages[&uid].flags.has(SystemFlag::Deleted) {
                    mailbox.remove(uid);
                }
            }
            Ok(())
        })
    }

    async fn expunge_all_deleted(&mut self) -> Result<(), RemoteError> {
        self.call(true, |state, name| {
            let mailbox = state.selected(name)?;
            let deleted = mailbox.messages.iter().filter(|(_, message)| message.flags.has(SystemFlag::Deleted));
            let deleted: Vec<u32> = deleted.map(|(uid, _)| *uid).collect();
            deleted.into_iter().for_each(|uid| drop(mailbox.remove(uid)));
            Ok(())
        })
    }

    async fn copy(&mut self, uids: &UidSet<RemoteUid>, to: &RemoteName) -> Result<Option<CopyUid>, RemoteError> {
        self.transfer(uids, to, false)
    }

    async fn move_messages(
        &mut self,
        uids: &UidSet<RemoteUid>,
        to: &RemoteName,
    ) -> Result<Option<CopyUid>, RemoteError> {
        assert!(self.facts.r#move, "MOVE needs MOVE");
        self.transfer(uids, to, true)
    }

    async fn append(
        &mut self,
        to: &RemoteName,
        messages: Vec<Outgoing<'_>>,
        told: &mut AppendsTold<'_>,
    ) -> Result<(), RemoteError> {
        let letters = messages.into_iter().map(|message| {
            let bytes = message.bytes.read_at(0, usize::MAX).expect("readable bytes");
            assert_eq!(bytes.len() as u64, message.bytes.size());
            (bytes, message.flags, message.internal_date)
        });
        let letters: Vec<Letter> = letters.collect();
        let appends = self.server.state().traits.appends;
        if appends == Appends::AsOne {
            match self.call(true, |state, _| state.append(&to.0, &letters)) {
                Err(error) if error.connection_lost() => return Err(error),
                Err(_) => {}
                Ok(uids) => {
                    uids.into_iter().enumerate().for_each(|(at, uid)| told(at, Ok(uid)));
                    return Ok(());
                }
            }
        }
        let mut outcomes = Vec::new();
        for (at, letter) in letters.iter().enumerate() {
            let outcome = self.call(true, |state, _| state.append(&to.0, std::slice::from_ref(letter)));
            match outcome {
                Err(error) if error.connection_lost() => return Err(error),
                outcome if appends == Appends::Unheard => outcomes.push(outcome),
                outcome => told(at, outcome.map(|uids| uids[0])),
            }
        }
        outcomes.into_iter().enumerate().for_each(|(at, outcome)| told(at, outcome.map(|uids| uids[0])));
        Ok(())
    }

    /// Blind, as one that sends all at once: what it does in a mailbox it does whichever mailbox that is.
    async fn tour(&mut self, stops: &[Stop], guide: &mut dyn Guide, _then_lists: bool) -> Result<(), RemoteError> {
        for (at, stop) in stops.iter().enumerate() {
            if stop.errands.iter().any(Errand::changes) {
                self.server.state().replace(&stop.name.0);
            }
            match self.select(&stop.name, stop.known).await {
                Err(error) if error.connection_lost() => return Err(error),
                Err(error) => guide.enter(at, Err(error))?,
                Ok(selected) => {
                    guide.enter(at, Ok(selected))?;
                    for (nth, errand) in stop.errands.iter().enumerate() {
                        let brought = match run(self, errand, guide).await {
                            Err(error) if error.connection_lost() => return Err(error),
                            brought => brought,
                        };
                        guide.done(at, nth, brought)?;
                    }
                }
            }
        }
        self.selected = None;
        Ok(())
    }

    async fn wait(&mut self, _max_ms: u64, _interrupt: Interrupt<'_>) -> Result<Woken, RemoteError> {
        Ok(Woken::TimedOut)
    }

    async fn logout(&mut self) {}
}

/// A message to append: its bytes, flags and date.
type Letter = (Vec<u8>, Flags, InternalDate);

impl State {
    /// All of them or none.
    fn append(&mut self, to: &str, letters: &[Letter]) -> Result<Vec<Option<AppendUid>>, RemoteError> {
        self.check("APPEND", to)?;
        for (bytes, ..) in letters {
            self.check("APPEND", &String::from_utf8_lossy(bytes))?;
        }
        let Some(mailbox) = self.mailboxes.get(to) else { return refused("APPEND", Some(RefusalCode::TryCreate)) };
        let (uid_validity, tells) = (UidValidity::new(mailbox.uid_validity), self.traits.facts.uid_plus);
        let mut told = Vec::new();
        for (bytes, flags, date) in letters {
            let email_id = self.traits.facts.object_id.then(|| format!("E{}", self.next_email_id + 1));
            self.next_email_id += 1;
            let new = Message { bytes: bytes.clone(), flags: self.kept(flags), date: *date, email_id, mod_seq: 0 };
            let uid = self.place(to, new).expect("it is new");
            told.push(tells.then(|| AppendUid { uid_validity, uid: RemoteUid::new(uid) }));
        }
        Ok(told)
    }

    fn kept(&self, flags: &Flags) -> Flags {
        let is_kept = |flag: &Flag| {
            self.traits.permanent.contains(flag) || (self.traits.any_keyword && matches!(flag, Flag::Keyword(_)))
        };
        flags.iter().filter(is_kept).collect()
    }
}

impl ModelRemote {
    fn change_flags(
        &mut self,
        uids: &UidSet<RemoteUid>,
        change: impl Fn(&Flags) -> Flags,
        argument: &Flags,
    ) -> Result<UidSet<RemoteUid>, RemoteError> {
        self.call(true, |state, name| {
            state.check("STORE", &argument.to_string())?;
            assert_eq!(&state.kept(argument), argument, "a flag that is not kept is not stored");
            let mailbox = state.selected(name)?;
            let there = mailbox.uids_in(uids);
            for uid in &there {
                let mod_seq = mailbox.touch();
                let message = mailbox.messages.get_mut(uid).expect("just listed");
                (message.flags, message.mod_seq) = (change(&message.flags), mod_seq);
            }
            Ok(there.into_iter().map(RemoteUid::new).collect())
        })
    }

    fn transfer(
        &mut self,
        uids: &UidSet<RemoteUid>,
        to: &RemoteName,
        moves: bool,
    ) -> Result<Option<CopyUid>, RemoteError> {
        self.call(true, |state, name| {
            state.check(if moves { "MOVE" } else { "COPY" }, &to.0)?;
            let name = name.expect("selected").to_owned();
            let tells = state.traits.facts.uid_plus;
            if !state.mailboxes.contains_key(&to.0) {
                return refused("COPY", Some(RefusalCode::TryCreate));
            }
            let mut copied = BTreeMap::new();
            for uid in state.selected(Some(&name))?.uids_in(uids) {
                let source = state.selected(Some(&name))?;
                let message = if moves { source.remove(uid) } else { source.messages.get(&uid).cloned() };
                if let Some(new) = state.place(&to.0, message.expect("just listed")) {
                    copied.insert(RemoteUid::new(uid), RemoteUid::new(new));
                }
            }
            let uid_validity = Some(UidValidity::new(state.mailboxes[&to.0].uid_validity));
            Ok((tells && !copied.is_empty()).then_some(CopyUid { uid_validity, uids: copied }))
        })
    }
}

fn fields(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let header = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
    let named = header.lines().filter_map(|line| line.split_once(':'));
    let named = named.map(|(name, value)| (name.to_ascii_uppercase(), value.trim().as_bytes().to_vec()));
    named.filter(|(name, _)| ["MESSAGE-ID", "DATE", "FROM", "SUBJECT"].contains(&name.as_str())).collect()
}
