//! The people of a world: what they do with their mail programs, told and entered into the ledger.

use std::collections::BTreeSet;

use mailtide::imap::server::Capability;
use mailtide::journal::Op;
use mailtide::types::{FolderFilter, MailboxName};

use super::client::{Answer, Client, Law};
use super::ledger::Side;
use super::mail;
use super::maildrop;
use super::quiet;
use super::script::Doing;
use super::template::USERS;
use super::world::World;

/// One person with one mail program.
pub struct Person {
    pub name: &'static str,
    pub side: Side,
    pub account: usize,
    pub uses_qresync: bool,
    pub law: Law,
    pub client: Option<Client>,
}

/// The message a person picked.
struct Picked {
    number: u32,
    uid: u32,
}

impl World {
    /// Does one thing with one mail program. What cannot be done (no message, no such folder) is left.
    pub fn act(&mut self, who: usize, doing: &Doing) {
        let who = who % self.people.len();
        let is_there = self.people[who].side == Side::There;
        if (is_there && self.is_undone(self.people[who].account)) || !self.connect(who) {
            return;
        }
        if is_there && self.maildrop.is_some() && !maildrop::may_be_done_there(doing) {
            return;
        }
        match doing {
            Doing::Open { folder } => {
                if let Some(folder) = self.folder(who, *folder) {
                    self.open(who, &folder);
                }
            }
            Doing::Look => {
                self.client(who, |client, now| client.look(now));
                self.read(who);
            }
            Doing::Idle => {
                self.client(who, |client, now| {
                    client.set_idle(now, true);
                    Answer::Ok(String::new())
                });
            }
            Doing::Flag { pick, flag, set, by_number } => self.flag(who, *pick, flag, *set, *by_number),
            Doing::Move { pick, to } => self.move_message(who, *pick, *to),
            Doing::Copy { pick, to } => self.copy(who, *pick, *to),
            Doing::Delete { pick, plain_expunge } => self.delete(who, *pick, *plain_expunge),
            Doing::Append { to } => {
                if let Some(folder) = self.folder(who, *to) {
                    self.append(who, &folder, "");
                }
            }
            Doing::Redraft { pick } => self.redraft(who, *pick),
            Doing::CreateFolder { name } => {
                self.tell(who, &format!("makes folder {name}"));
                self.client(who, |client, now| client.command(now, &format!("CREATE \"{name}\"")));
            }
            Doing::RenameFolder { folder, name } => self.rename_folder(who, *folder, name),
            Doing::DeleteFolder { folder } => self.delete_folder(who, *folder),
        }
        self.drop_if_dead(who);
    }

    fn tell(&self, who: usize, what: &str) {
        let person = &self.people[who];
        let place = if person.side == Side::Here { "at the agent" } else { "at the server" };
        self.trace.tell(&format!("{} ({}, {place}) {what}", person.name, USERS[person.account]));
    }

    /// Opens a session where there is none, in INBOX.
    fn connect(&mut self, who: usize) -> bool {
        if self.people[who].client.is_some() {
            return true;
        }
        let person = &self.people[who];
        let session = match person.side {
            Side::Here => self.agent.life.as_ref().map(|life| life.imap(&self.clock)),
            Side::There => self.server.running.is_some().then(|| self.server.imap()),
        };
        let Some(session) = session else { return false };
        let (name, user, law) = (person.name, USERS[person.account], person.law.clone());
        let client = Client::connect(name, user, session, law, person.uses_qresync, self.clock.now());
        self.people[who].client = client;
        self.people[who].client.is_some() && self.open(who, "INBOX")
    }

    fn client(&mut self, who: usize, act: impl FnOnce(&mut Client, mailtide::types::Timestamp) -> Answer) -> Answer {
        let now = self.clock.now();
        let answer = self.people[who].client.as_mut().map_or(Answer::Nothing, |client| act(client, now));
        // A process that died while it answered has answered nothing.
        let is_dead = self.people[who].side == Side::Here && self.agent.is_dead();
        let answer = if is_dead { Answer::Nothing } else { answer };
        if answer == Answer::Nothing {
            self.people[who].client = None;
        }
        let told = match &answer {
            Answer::Ok(_) => "ok".to_owned(),
            Answer::No(text) => format!("NO {text}"),
            Answer::Nothing => "no answer".to_owned(),
        };
        self.trace.event("answer", told.as_bytes());
        answer
    }

    fn drop_if_dead(&mut self, who: usize) {
        if self.people[who].side == Side::Here && self.agent.is_dead() {
            self.people[who].client = None;
        }
    }

    fn open(&mut self, who: usize, folder: &str) -> bool {
        let answer = self.client(who, |client, now| client.select(now, folder));
        self.read(who);
        answer.is_ok()
    }

    /// Takes in what was read, and holds it against what was written.
    fn read(&mut self, who: usize) {
        let Some(client) = &mut self.people[who].client else { return };
        for bytes in client.take_bodies() {
            let hash = *blake3::hash(&bytes).as_bytes();
            match mail::number_of(&bytes) {
                Some(number) if self.ledger.is_intact(number, &bytes) => {
                    self.by_hash.insert(hash, number);
                }
                Some(number) => self.violate(&format!("the bytes of message {number} were altered")),
                // A report of the agent's own, or of the server's.
                None => {}
            }
        }
    }

    /// The `pick`-th folder that this person sees.
    fn folder(&mut self, who: usize, pick: usize) -> Option<String> {
        let mut folders = Vec::new();
        self.client(who, |client, now| {
            folders = client.folders(now);
            Answer::Ok(String::new())
        });
        folders.sort();
        // Most of what people do is in INBOX.
        match pick % 3 {
            _ if folders.is_empty() => None,
            0 => Some("INBOX".to_owned()),
            _ => Some(folders[pick % folders.len()].clone()),
        }
    }

    fn pick(&mut self, who: usize, pick: usize) -> Option<Picked> {
        let mut known = self.known_messages(who);
        (!known.is_empty()).then(|| known.swap_remove(pick % known.len()))
    }

    /// The messages in the selected mailbox that this person knows, by their bytes or else by their subjects.
    fn known_messages(&self, who: usize) -> Vec<Picked> {
        let Some(client) = &self.people[who].client else { return Vec::new() };
        let by_bytes = client.messages().into_iter().map(|(uid, hash)| (uid, self.by_hash.get(&hash).copied()));
        let by_subject = client.subjects().into_iter().map(|(uid, subject)| (uid, mail::number_by(&subject)));
        by_bytes.chain(by_subject).filter_map(|(uid, number)| Some(Picked { number: number?, uid })).collect()
    }

    fn selected(&self, who: usize) -> String {
        let view = self.people[who].client.as_ref().and_then(|client| client.view.as_ref());
        view.map(|view| view.folder.clone()).unwrap_or_default()
    }

    fn flag(&mut self, who: usize, pick: usize, flag: &str, set: bool, by_number: bool) {
        let Some(picked) = self.pick(who, pick) else { return };
        let (number, folder) = (picked.number, self.selected(who));
        self.tell(who, &format!("{} {flag} on message {number} in {folder}", if set { "sets" } else { "clears" }));
        let sign = if set { '+' } else { '-' };
        let goes_along = set && flag == "\\Deleted" && !self.marked_for_all(who).is_empty();
        let answer = self.client(who, |client, now| {
            // What it hears at the end of its IDLE may change the number.
            client.set_idle(now, false);
            let place = client.number_of(picked.uid).filter(|_| by_number);
            client.command(
                now,
                &match place {
                    Some(place) => format!("STORE {place} {sign}FLAGS ({flag})"),
                    None => format!("UID STORE {} {sign}FLAGS ({flag})", picked.uid),
                },
            )
        });
        // A message that another program took away meanwhile is not flagged, and nobody says so.
        let is_there = self.people[who].client.as_ref().is_some_and(|client| {
            let flags = client.view.as_ref().and_then(|view| view.flags.get(&picked.uid));
            flags.is_some_and(|flags| flags.contains(flag) == set)
        });
        let side = self.people[who].side;
        // What is moved by copying it may be copied already.
        let is_left_behind = self.is_in_doubt(who) && !self.server.capabilities.has(Capability::Move);
        if let Some(entry) = self.ledger.entry(number).filter(|_| !matches!(answer, Answer::No(_))) {
            entry.flagged(side, flag, set, answer.is_ok() && is_there && !is_left_behind);
            if goes_along {
                entry.deleted(false);
            }
        }
    }

    fn move_message(&mut self, who: usize, pick: usize, to: usize) {
        let Some(picked) = self.pick(who, pick) else { return };
        let Some(to) = self.folder(who, to) else { return };
        let from = self.selected(who);
        if to == from {
            return;
        }
        self.tell(who, &format!("moves message {} from {from} to {to}", picked.number));
        let in_doubt = self.is_in_doubt(who) || self.is_there_unseen(who, picked.number, &to);
        let answer = self.client(who, |client, now| client.command(now, &format!("UID MOVE {} \"{to}\"", picked.uid)));
        let may_go = self.may_go(who, &to);
        let is_out_of_sight = self.is_out_of_sight(who, &to);
        if let Some(entry) = self.ledger.entry(picked.number) {
            entry.is_moved = true;
            entry.is_contested |= answer == Answer::Nothing || in_doubt || is_out_of_sight;
            if may_go {
                entry.deleted(false);
            }
        }
        self.allow_for_doubt(who, picked.number, in_doubt);
        // Moved to where its sent copy is to be filed, it is taken for that.
        let is_sent = to == "Sent" && self.ledger.sent.iter().any(|sent| sent.number == picked.number);
        if let Some(entry) = self.ledger.entry(picked.number).filter(|entry| is_sent && entry.least > 1) {
            entry.least -= 1;
        }
        // What the server lost is put there anew, where the user moved it.
        let is_undone = self.people[who].side == Side::Here && self.is_undone(self.people[who].account);
        if let Some(entry) = self.ledger.entry(picked.number).filter(|_| is_undone) {
            entry.may_be_one_more();
        }
        self.allow_for_what_is_hidden(self.people[who].account);
        self.expect_again();
    }

    fn copy(&mut self, who: usize, pick: usize, to: usize) {
        let Some(picked) = self.pick(who, pick) else { return };
        let Some(to) = self.folder(who, to) else { return };
        let is_here = self.people[who].side == Side::Here;
        if is_here {
            self.client(who, |client, now| client.look(now));
            self.read(who);
        }
        self.tell(who, &format!("copies message {} from {} to {to}", picked.number, self.selected(who)));
        let in_doubt = self.is_in_doubt(who) || (is_here && self.is_taken_away(who, picked.number));
        let is_filed = to == "Sent" && self.is_to_be_filed(who, picked.number);
        let goes_along = self.goes_along(who, picked.number);
        let flags = self.flags_of(who, picked.uid);
        let answer = self.client(who, |client, now| client.command(now, &format!("UID COPY {} \"{to}\"", picked.uid)));
        let copied = match &answer {
            Answer::Ok(text) => text.contains("COPYUID"),
            Answer::No(_) => return,
            Answer::Nothing => false,
        };
        let is_possible = copied || answer == Answer::Nothing;
        let has_labels = self.has_labels();
        let may_go = self.may_go(who, &to);
        if let Some(entry) = self.ledger.entry(picked.number).filter(|_| is_possible) {
            // While an answer of the agent's is lost, nobody can tell another's copy from its own.
            match has_labels {
                true => entry.is_contested = true,
                false => entry.copied(copied && !in_doubt && !may_go && !is_filed && !goes_along),
            }
        }
        if let Answer::Ok(text) = answer
            && let Some(uid) = copied_to(&text).filter(|_| is_here)
        {
            self.open(who, &to);
            let (copy, number) = (self.flags_of(who, uid), picked.number);
            if copy.is_some() && copy != flags {
                self.violate(&format!("a copy of message {number} has the flags {copy:?}, not {flags:?}"));
            }
        }
    }

    /// The flags of a message in the selected mailbox, but \Recent.
    fn flags_of(&self, who: usize, uid: u32) -> Option<BTreeSet<String>> {
        let view = self.people[who].client.as_ref()?.view.as_ref()?;
        Some(view.flags.get(&uid)?.iter().filter(|flag| *flag != "\\Recent").cloned().collect())
    }

    fn delete(&mut self, who: usize, pick: usize, plain_expunge: bool) {
        let Some(picked) = self.pick(who, pick) else { return };
        self.tell(who, &format!("deletes message {} in {}", picked.number, self.selected(who)));
        self.delete_picked(who, &picked, plain_expunge);
    }

    fn delete_picked(&mut self, who: usize, picked: &Picked, plain_expunge: bool) {
        let folder = self.selected(who);
        let flagged = self
            .client(who, |client, now| client.command(now, &format!("UID STORE {} +FLAGS (\\Deleted)", picked.uid)));
        if !flagged.is_ok() {
            // It may be flagged, and then another's EXPUNGE takes it away.
            if flagged == Answer::Nothing {
                self.deleted(who, &folder, picked.number, false);
            }
            return;
        }
        // Everything else with \Deleted goes by a plain EXPUNGE as well, also what came a moment ago.
        let others: Vec<u32> = match plain_expunge {
            true => {
                self.client(who, |client, now| client.look(now));
                self.read(who);
                self.flagged_deleted(who, picked.uid)
            }
            false => Vec::new(),
        };
        let answer = self.client(who, |client, now| {
            client
                .command(now, &if plain_expunge { "EXPUNGE".to_owned() } else { format!("UID EXPUNGE {}", picked.uid) })
        });
        self.deleted(who, &folder, picked.number, answer.is_ok());
        for other in others {
            self.deleted(who, &folder, other, false);
        }
    }

    /// Enters a deletion into the ledger. Where mailboxes are labels it may have been of a label alone.
    fn deleted(&mut self, who: usize, folder: &str, number: u32, is_certain: bool) {
        let is_lost = self.loses_by_deletion(self.people[who].account, folder, number);
        let Some(entry) = self.ledger.entry(number) else { return };
        match is_lost {
            true => entry.deleted(is_certain),
            false => entry.is_contested = true,
        }
    }

    /// The messages marked \Deleted in the selected mailbox but that one.
    fn flagged_deleted(&self, who: usize, but: u32) -> Vec<u32> {
        let Some(client) = &self.people[who].client else { return Vec::new() };
        let Some(view) = &client.view else { return Vec::new() };
        let is_deleted =
            |uid: &u32| *uid != but && view.flags.get(uid).is_some_and(|flags| flags.contains("\\Deleted"));
        self.known_messages(who).into_iter().filter(|known| is_deleted(&known.uid)).map(|known| known.number).collect()
    }

    fn append(&mut self, who: usize, folder: &str, flags: &str) -> Option<u32> {
        let number = self.ledger.next_number();
        let bytes = mail::message(number, &mut self.random, self.same_ids);
        self.tell(who, &format!("stores message {number} in {folder}"));
        let answer = self.client(who, |client, now| client.append(now, folder, flags, &bytes));
        self.by_hash.insert(*blake3::hash(&bytes).as_bytes(), number);
        match answer {
            Answer::Ok(_) if self.may_go(who, folder) => self.ledger.make(number, bytes, false, 0, 1),
            Answer::Ok(_) => self.ledger.make(number, bytes, false, 1, 1),
            Answer::No(_) => self.ledger.make(number, bytes, false, 0, 0),
            Answer::Nothing => self.ledger.make(number, bytes, false, 0, 1),
        }
        let side = self.people[who].side;
        if let Some(entry) = self.ledger.entry(number) {
            for flag in flags.split(' ').filter(|flag| !flag.is_empty()) {
                entry.flagged(side, flag, true, answer.is_ok());
            }
        }
        answer.is_ok().then_some(number)
    }

    fn redraft(&mut self, who: usize, pick: usize) {
        if !self.open(who, "Drafts") {
            return;
        }
        let old = self.pick(who, pick);
        if self.append(who, "Drafts", "\\Draft \\Seen").is_none() {
            return;
        }
        if let Some(old) = old {
            self.tell(who, &format!("deletes the draft before it, message {}", old.number));
            self.delete_picked(who, &old, false);
        }
    }

    fn rename_folder(&mut self, who: usize, pick: usize, name: &str) {
        let Some(folder) = self.folder(who, pick).filter(|folder| folder != name) else { return };
        if !self.may_be_changed(&folder) {
            return;
        }
        self.tell(who, &format!("renames folder {folder} to {name}"));
        self.client(who, |client, now| client.command(now, &format!("RENAME \"{folder}\" \"{name}\"")));
        self.folders_changed = true;
    }

    fn delete_folder(&mut self, who: usize, pick: usize) {
        let Some(folder) = self.folder(who, pick) else { return };
        // What is in it goes with it.
        if !self.may_be_changed(&folder) || !self.open(who, &folder) {
            return;
        }
        let inside: Vec<u32> = self.known_messages(who).into_iter().map(|known| known.number).collect();
        let unread = self.people[who].client.as_ref().and_then(|client| client.view.as_ref());
        if unread.is_none_or(|view| view.uids.len() != inside.len()) {
            return;
        }
        self.tell(who, &format!("deletes folder {folder} with messages {inside:?}"));
        self.client(who, |client, now| client.command(now, "UNSELECT"));
        let answer = self.client(who, |client, now| client.command(now, &format!("DELETE \"{folder}\"")));
        if !matches!(answer, Answer::No(_)) {
            self.folders_changed = true;
            for number in inside {
                self.deleted(who, &folder, number, answer.is_ok());
            }
        }
        self.open(who, "INBOX");
    }

    /// Is it unknown to the agent what became of something it did, while someone acts at the server?
    fn is_in_doubt(&self, who: usize) -> bool {
        let person = &self.people[who];
        person.side == Side::There && self.has_in_flight(person.account)
    }

    /// Did someone at the server put a copy of the message where this person at the agent is about to move it? If the agent has
    /// not seen that one yet, and the answer to its own move is lost, it cannot tell the one from the other.
    fn is_there_unseen(&self, who: usize, number: u32, folder: &str) -> bool {
        let person = &self.people[who];
        let is_asked = person.side == Side::Here && self.server.running.is_some();
        let Some(life) = self.agent.life.as_ref().filter(|_| is_asked) else { return false };
        let there = quiet::numbers_in(self.server.store(), self.server.account(USERS[person.account]), folder);
        let here = quiet::numbers_in(&life.store, life.account(person.account), folder);
        there.contains(&number) && !here.contains(&number)
    }

    /// Was the message sent, and is its copy not in Sent yet? What comes there with its Message-ID is taken for that, since providers
    /// write all else anew.
    fn is_to_be_filed(&self, who: usize, number: u32) -> bool {
        let is_sent = self.ledger.sent.iter().any(|sent| sent.number == number);
        is_sent && {
            let account = self.server.account(USERS[self.people[who].account]);
            self.server.running.is_none() || !quiet::numbers_in(self.server.store(), account, "Sent").contains(&number)
        }
    }

    /// Is the message marked to be expunged where someone at the server copies it? The copy is marked as well (RFC 3501 section 6.4.7).
    fn goes_along(&self, who: usize, number: u32) -> bool {
        self.marked_for_all(who).contains(&number)
    }

    /// What is marked to be expunged where someone at the server acts. Without UIDPLUS all that is marked goes by the EXPUNGE that
    /// follows, and between the last look at what is marked and that nothing can be asked for: RFC 3501 has no EXPUNGE of some,
    /// nor one that depends on what is there. It may be on its way.
    fn marked_for_all(&self, who: usize) -> BTreeSet<u32> {
        let person = &self.people[who];
        if self.tells_copies() || person.side == Side::Here || self.server.running.is_none() {
            return BTreeSet::new();
        }
        let account = self.server.account(USERS[person.account]);
        quiet::numbers_marked_in(self.server.store(), account, &self.selected(who))
    }

    /// What was put where the agent does not look is gone for it: where the user moved that here, it is made anew, as the policy
    /// has it (moved here, expunged there). Then there is one more.
    pub fn allow_for_what_is_hidden(&mut self, account: usize) {
        let choice = self.agent.choice(account);
        if choice.folders == FolderFilter::all() || self.server.running.is_none() {
            return;
        }
        let (store, theirs) = (self.server.store(), self.server.account(USERS[account]));
        let (mut seen, mut hidden) = (BTreeSet::new(), BTreeSet::new());
        for mailbox in store.read(|reader| reader.mailboxes(theirs)).expect("mailboxes") {
            let Some(name) = mailbox.name else { continue };
            let numbers = quiet::numbers_in(store, theirs, name.as_str());
            if choice.folders.includes(&name) { seen.extend(numbers) } else { hidden.extend(numbers) }
        }
        let life = self.agent.life.as_ref().filter(|_| !self.agent.is_dead());
        let moved = life.map(|life| quiet::numbers_to_be_moved(&life.store, life.account(account)));
        for number in hidden.difference(&seen) {
            let Some(entry) = self.ledger.entry(*number) else { continue };
            // Of an agent that does not run it is not known what it has still to do.
            if moved.as_ref().map_or(entry.is_moved, |moved| moved.contains(number)) {
                entry.may_be_made_anew();
            }
        }
    }

    /// Does someone at the server move mail to where the agent does not know it again, for it is not mirrored?
    fn is_out_of_sight(&self, who: usize, to: &str) -> bool {
        let person = &self.people[who];
        let choice = self.agent.choice(person.account);
        let is_mirrored = MailboxName::parse(to).is_ok_and(|name| choice.folders.includes(&name));
        person.side == Side::There && !is_mirrored
    }

    /// Has someone at the server taken the message out of the folder in which this person still sees it? If it was put where a
    /// copy is to be, a server that tells no UIDs of copies does not tell it from that.
    fn is_taken_away(&self, who: usize, number: u32) -> bool {
        if self.server.running.is_none() {
            return true;
        }
        let (account, folder) = (self.server.account(USERS[self.people[who].account]), self.selected(who));
        !self.tells_copies() && !quiet::numbers_in(self.server.store(), account, &folder).contains(&number)
    }

    /// Does someone put mail at the server into a folder that was deleted at the agent, which is about to delete it there? What
    /// comes between its look and its DELETE goes with the folder.
    fn may_go(&self, who: usize, folder: &str) -> bool {
        let person = &self.people[who];
        let Some(life) = self.agent.life.as_ref().filter(|_| person.side == Side::There && self.network.is_up()) else {
            return false;
        };
        let entries = life.store.read(|reader| reader.entries(life.account(person.account))).unwrap_or_default();
        entries.iter().any(|entry| matches!(&entry.op, Op::DeleteMailbox { name, .. } if name.as_str() == folder))
    }

    /// Does the server tell the UIDs of copies?
    pub fn tells_copies(&self) -> bool {
        self.server.faults.capabilities(self.server.capabilities).has(Capability::UidPlus)
    }

    /// Someone took a message along that the agent was about to move: without MOVE both copies may stay. Or to copy: put
    /// where the copy was to be, it cannot be told from that.
    fn allow_for_doubt(&mut self, who: usize, number: u32, in_doubt: bool) {
        if let Some(entry) = self.ledger.entry(number).filter(|entry| in_doubt && entry.least > 1) {
            entry.least -= 1;
        }
        let is_atomic = self.server.capabilities.has(Capability::Move);
        let is_theirs = self.people[who].side == Side::There;
        if let Some(entry) = self.ledger.entry(number).filter(|_| in_doubt && !is_atomic && is_theirs) {
            entry.may_be_one_more();
        }
    }
}

/// Where the one message of a COPY went, by COPYUID.
fn copied_to(text: &str) -> Option<u32> {
    let (_, told) = text.split_once("COPYUID ")?;
    told.split([' ', ']']).nth(2)?.parse().ok()
}
