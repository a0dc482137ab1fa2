//! What is on the server.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use mailtide::sync::remote::{AppendUid, RefusalCode, RemoteError, Scanned, Status};
use mailtide::types::{Flag, Flags, InternalDate, ModSeq, RemoteUid, UidSet, UidValidity};

use super::{Cut, Onto, Traits};

/// A message on the server.
#[derive(Debug, Clone)]
pub struct Message {
    pub bytes: Vec<u8>,
    pub flags: Flags,
    pub date: InternalDate,
    pub email_id: Option<String>,
    pub(super) mod_seq: u64,
}

/// A mailbox on the server.
#[derive(Debug, Clone)]
pub struct Mailbox {
    pub uid_validity: u32,
    pub uid_next: u32,
    pub messages: BTreeMap<u32, Message>,
    pub subscribed: bool,
    pub(super) mod_seq: u64,
    pub(super) expunged: Vec<(u64, u32)>,
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
    /// APPENDUID and COPYUID name the first message, whatever was made (QUIRKS.md row 26).
    pub lies_about_uids: bool,
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
    pub(super) next_uid_validity: u32,
    pub(super) next_email_id: u32,
}

/// What the user does while a sync waits for the server.
pub struct Here(pub Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Here {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Here")
    }
}

impl Mailbox {
    pub(super) fn touch(&mut self) -> u64 {
        self.mod_seq += 1;
        self.mod_seq
    }

    pub(super) fn add(&mut self, mut message: Message) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        message.mod_seq = self.touch();
        self.messages.insert(uid, message);
        uid
    }

    pub(super) fn remove(&mut self, uid: u32) -> Option<Message> {
        let message = self.messages.remove(&uid)?;
        let mod_seq = self.touch();
        self.expunged.push((mod_seq, uid));
        Some(message)
    }

    pub(super) fn uids_in(&self, uids: &UidSet<RemoteUid>) -> Vec<u32> {
        self.messages.keys().copied().filter(|uid| uids.contains(RemoteUid::new(*uid))).collect()
    }
}

impl State {
    pub(super) fn create(&mut self, name: &str) {
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

    pub(super) fn move_message(&mut self, from: &str, uid: u32, to: &str) -> u32 {
        let message = self.mailboxes.get_mut(from).expect("a mailbox").remove(uid).expect("a message");
        self.place(to, message).expect("told")
    }

    /// Puts a message into a mailbox. Returns its UID there, as far as the server tells it.
    pub(super) fn place(&mut self, to: &str, message: Message) -> Option<u32> {
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
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        let below = format!("{from}.");
        let is_meant = |name: &&String| *name == from || name.starts_with(&below);
        let names: Vec<String> = self.mailboxes.keys().filter(is_meant).cloned().collect();
        for name in names {
            let mailbox = self.mailboxes.remove(&name).expect("just listed");
            self.mailboxes.insert(format!("{to}{}", &name[from.len()..]), mailbox);
        }
    }

    /// Someone was quicker.
    pub(super) fn replace(&mut self, name: &str) {
        if self.replaced.take_if(|replaced| replaced == name).is_none() {
            return;
        }
        let uids: Vec<u32> = self.mailboxes.remove(name).expect("a mailbox").messages.into_keys().collect();
        self.create(name);
        let mailbox = self.mailboxes.get_mut(name).expect("just made");
        for uid in uids {
            mailbox.uid_next = uid;
            let bytes = crate::sync::mail(&format!("stranger{uid}"));
            let date = InternalDate::new(1_000_000, 0);
            mailbox.add(Message { bytes, flags: Flags::none(), date, email_id: None, mod_seq: 0 });
        }
    }

    pub(super) fn check(&self, request: &'static str, argument: &str) -> Result<(), RemoteError> {
        match self.refuses.iter().find(|(refused, word, _)| *refused == request && argument.contains(word.as_str())) {
            Some((.., code)) => {
                self.refused.set(self.refused.get() + 1);
                refused(request, *code)
            }
            None => Ok(()),
        }
    }

    pub(super) fn selected(&mut self, name: Option<&str>) -> Result<&mut Mailbox, RemoteError> {
        let none = RemoteError::Protocol { request: "FETCH", text: "nothing selected".to_owned() };
        name.and_then(|name| self.mailboxes.get_mut(name)).ok_or(none)
    }

    pub(super) fn hidden(&self, name: Option<&str>) -> BTreeSet<u32> {
        name.and_then(|name| self.hides.get(name)).cloned().unwrap_or_default()
    }

    pub(super) fn status(&self, name: &str) -> Result<Status, RemoteError> {
        let Some(mailbox) = self.mailboxes.get(name) else { return refused("STATUS", Some(RefusalCode::NonExistent)) };
        Ok(Status {
            messages: mailbox.messages.len() as u32,
            uid_next: self.traits.tells_uid_next.then(|| RemoteUid::new(mailbox.uid_next)),
            uid_validity: UidValidity::new(mailbox.uid_validity),
            highest_mod_seq: self.traits.facts.cond_store.then(|| ModSeq::new(mailbox.mod_seq)),
        })
    }

    pub(super) fn scanned(&self, uid: u32, message: &Message) -> Scanned {
        let mod_seq = self.traits.facts.cond_store.then(|| ModSeq::new(message.mod_seq));
        Scanned { uid: RemoteUid::new(uid), flags: message.flags.clone(), mod_seq }
    }
}

/// A message to append: its bytes, flags and date.
pub(super) type Letter = (Vec<u8>, Flags, InternalDate);

impl State {
    /// All of them or none.
    pub(super) fn append(&mut self, to: &str, letters: &[Letter]) -> Result<Vec<Option<AppendUid>>, RemoteError> {
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
            let uid = RemoteUid::new(self.told(uid));
            told.push(tells.then_some(AppendUid { uid_validity, uid }));
        }
        Ok(told)
    }

    /// The UID that is told of what was made.
    pub(super) const fn told(&self, uid: u32) -> u32 {
        if self.lies_about_uids { 1 } else { uid }
    }

    pub(super) fn kept(&self, flags: &Flags) -> Flags {
        let is_kept = |flag: &Flag| {
            self.traits.permanent.contains(flag) || (self.traits.any_keyword && matches!(flag, Flag::Keyword(_)))
        };
        flags.iter().filter(is_kept).collect()
    }
}

pub(super) fn refused<T>(request: &'static str, code: Option<RefusalCode>) -> Result<T, RemoteError> {
    Err(RemoteError::Refused { request, code, text: format!("no {request}") })
}
