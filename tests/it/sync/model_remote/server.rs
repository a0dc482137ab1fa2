//! The server as a test steers it: what others do there.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use mailtide::types::InternalDate;

use super::state::{Message, State};
use super::{Cut, ModelRemote, Traits};

/// The server; clones share it.
#[derive(Debug, Clone)]
pub struct Server(Arc<Mutex<State>>);

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
            lies_about_uids: false,
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
            lies_about_uids: state.lies_about_uids,
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
            bytes: crate::sync::mail(text),
            flags: crate::sync::flags(flags),
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
        (message.flags, message.mod_seq) = (crate::sync::flags(flags), mod_seq);
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
