//! A person's mail with everything around it: a real server upstream, a line that can break, the agent between, an SMTP server
//! that remembers; and a model that knows what both sides must hold in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::load;
use crate::support::agent::{Account, Agent};
use crate::support::corpus;
use crate::support::dovecot::PASSWORD;
use crate::support::imap::{Imap, mailbox_argument};
use crate::support::proxy::Proxy;
use crate::support::random::Random;
use crate::support::server::{Kind, MailServer, Naming};
use crate::support::sink::Sink;
use crate::support::snapshot::{self, Entry, Snapshot};
use crate::support::wait::wait_equal;

pub const USER: &str = "ada";

/// Messages made while the test runs have numbers from here on: no message of the first load has such a one.
const NEW_FROM: u64 = 5_000_000;

/// How long a replay may take until both sides agree.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

pub struct World {
    // Dropped in this order: the agent before the server it talks to.
    pub agent: Agent,
    pub imap_line: Proxy,
    pub smtp_line: Proxy,
    pub sink: Sink,
    pub upstream: MailServer,
    pub random: Random,
    naming: Naming,
    /// What both sides must hold, by local folder name.
    model: BTreeMap<String, Vec<Known>>,
    /// The Message-IDs handed to the local SMTP server.
    submitted: BTreeSet<String>,
    /// Numbers for messages and folders that never repeat.
    numbers: u64,
}

/// A message of the model.
#[derive(Clone)]
struct Known {
    entry: Entry,
    /// In the local mailbox where it stood when the round began.
    uid: u32,
}

/// How much happens in one round.
#[derive(Clone, Copy)]
pub struct Scale {
    pub flags: usize,
    pub moves: usize,
    pub deletes: usize,
    pub appends: usize,
    pub folders: usize,
    pub renames: usize,
    pub submissions: usize,
    pub server_new: usize,
    pub server_flags: usize,
}

impl World {
    /// A filled server and an agent that has mirrored it. `None` where the server is missing.
    pub fn mirrored(kind: &Kind, folders: &[&str], messages: &[Vec<u8>], seed: u64) -> Option<Self> {
        let upstream = kind.start()?;
        let mut random = Random::new(seed);
        let naming = kind.naming();
        let refused = load::fill(&mut upstream.login(USER), naming, folders, messages, &mut random);
        let may_refuse = if matches!(kind, Kind::Cyrus(_)) { messages.len() / 10 } else { 0 };
        assert!(refused <= may_refuse, "{refused} of {} messages were refused", messages.len());
        let sink = Sink::start();
        let (imap_line, smtp_line) = (Proxy::to(upstream.imap()), Proxy::to(sink.address));
        let account = Account {
            name: USER,
            address: "ada@home.example".to_owned(),
            imap: imap_line.address,
            smtp: smtp_line.address,
            tls: "none",
            user: USER,
            password: PASSWORD,
            more: "",
        };
        let agent = Agent::started(&account.text());
        let (model, submitted) = (BTreeMap::new(), BTreeSet::new());
        let mut world =
            Self { agent, imap_line, smtp_line, sink, upstream, random, naming, model, submitted, numbers: NEW_FROM };
        world.agent.sync();
        world.await_equal();
        world.remember();
        Some(world)
    }

    pub fn local(&self) -> Imap {
        self.agent.login(USER)
    }

    pub fn server(&self) -> Imap {
        self.upstream.login(USER)
    }

    /// Waits until the server and the local face show the same mail.
    pub fn await_equal(&self) {
        let look = || (snapshot::take_in_motion(|| self.server()), snapshot::take_in_motion(|| self.local()));
        wait_equal("the server (left) to equal the local face (right)", SETTLED_WITHIN, look, snapshot::tell);
    }

    /// Takes what the local face shows as the truth that the next round starts from.
    fn remember(&mut self) {
        let mut local = self.local();
        self.model.clear();
        for name in snapshot::selectable(&mut local) {
            let empty = local.select(&name.wire).exists() == 0;
            let messages = if empty { Vec::new() } else { local.fetch_all() };
            let known = messages.iter().map(|message| Known { entry: Entry::of(message), uid: message.uid });
            self.model.insert(name.local, known.collect());
        }
    }

    /// What a person does while the line is cut, and what happens on the server meanwhile.
    pub fn act(&mut self, scale: Scale) {
        self.imap_line.cut();
        self.smtp_line.cut();
        let untouched = self.model.clone();
        let mut local = self.local();
        self.make_folders(&mut local, scale.folders);
        self.change_flags(&mut local, scale.flags);
        self.move_messages(&mut local, scale.moves);
        self.delete_messages(&mut local, scale.deletes);
        let renamed = self.rename_folders(&mut local, scale.renames);
        self.append_messages(&mut local, scale.appends);
        self.submit_messages(scale.submissions);
        self.change_server(&untouched, &renamed, scale);
    }

    pub fn join(&self) {
        self.imap_line.join();
        self.smtp_line.join();
    }

    fn make_folders(&mut self, local: &mut Imap, count: usize) {
        for _ in 0..count {
            let number = self.number();
            let name =
                if number.is_multiple_of(2) { format!("Made {number}") } else { format!("Made/ünter {number}/ganz") };
            local.ok(&format!("CREATE {}", mailbox_argument(&name)));
            self.model.insert(name, Vec::new());
        }
        // A parent may have come as a mailbox of its own.
        for name in snapshot::selectable(local) {
            self.model.entry(name.local).or_default();
        }
    }

    fn change_flags(&mut self, local: &mut Imap, count: usize) {
        for (folder, places) in self.draw_places(count) {
            local.select(&folder);
            for place in places {
                let kind = self.random.below(4);
                let known = &mut self.model.get_mut(&folder).expect("a known folder")[place];
                let (change, flags): (_, &[&str]) = match kind {
                    0 => ("+FLAGS", &["\\Flagged", "later"]),
                    1 => ("+FLAGS.SILENT", &["\\Seen"]),
                    2 => ("-FLAGS", &["\\Seen", "$junk"]),
                    _ => ("FLAGS", &["\\Seen", "\\Draft", "rewritten"]),
                };
                local.ok(&format!("UID STORE {} {change} ({})", known.uid, flags.join(" ")));
                let flags: BTreeSet<String> = flags.iter().map(|flag| flag.to_ascii_lowercase()).collect();
                match kind {
                    0 | 1 => known.entry.flags.extend(flags),
                    2 => known.entry.flags.retain(|flag| !flags.contains(flag)),
                    _ => known.entry.flags = flags,
                }
            }
        }
    }

    fn move_messages(&mut self, local: &mut Imap, count: usize) {
        let targets: Vec<String> = self.model.keys().filter(|name| !is_special(name)).cloned().collect();
        let mut moved = Vec::new();
        for (folder, places) in self.draw_places(count) {
            local.select(&folder);
            for place in places.iter().rev() {
                let known = self.model.get_mut(&folder).expect("a known folder").swap_remove(*place);
                let others: Vec<&String> = targets.iter().filter(|name| **name != folder).collect();
                let target = others[self.random.index(others.len())];
                local.ok(&format!("UID MOVE {} {}", known.uid, mailbox_argument(target)));
                // Its new UID is of no interest: whoever moved is left alone for the rest of the round.
                moved.push((target.clone(), known.entry));
            }
        }
        for (target, entry) in moved {
            self.model.get_mut(&target).expect("a known folder").push(Known { entry, uid: 0 });
        }
    }

    fn delete_messages(&mut self, local: &mut Imap, count: usize) {
        for (folder, places) in self.draw_places(count) {
            local.select(&folder);
            for place in places.iter().rev() {
                let known = self.model.get_mut(&folder).expect("a known folder").swap_remove(*place);
                local.ok(&format!("UID STORE {} +FLAGS.SILENT (\\Deleted)", known.uid));
                local.ok(&format!("UID EXPUNGE {}", known.uid));
            }
        }
    }

    /// Old names with the new.
    fn rename_folders(&mut self, local: &mut Imap, count: usize) -> BTreeMap<String, String> {
        let mut pool: Vec<String> = self.model.keys().filter(|name| !is_special(name)).cloned().collect();
        // Only leaves: a renamed parent would take along what another rename names.
        pool.retain(|name| !self.model.keys().any(|other| other.starts_with(&format!("{name}/"))));
        let mut renamed = BTreeMap::new();
        for name in self.random.draw(&mut pool, count) {
            let number = self.number();
            let new = format!("Renamed/№ {number}");
            local.ok(&format!("RENAME {} {}", mailbox_argument(&name), mailbox_argument(&new)));
            let messages = self.model.remove(&name).expect("a known folder");
            self.model.insert(new.clone(), messages);
            renamed.insert(name, new);
        }
        for name in snapshot::selectable(local) {
            self.model.entry(name.local).or_default();
        }
        renamed
    }

    fn append_messages(&mut self, local: &mut Imap, count: usize) {
        let targets: Vec<String> = self.model.keys().filter(|name| *name != "Sent").cloned().collect();
        for _ in 0..count {
            let message = corpus::small(self.number());
            let folder = &targets[self.random.index(targets.len())];
            let date = load::FIRST_DATE + i64::try_from(self.numbers).expect("a small number");
            local.append(folder, &["\\Seen", "written-here"], date, &message);
            let flags = ["\\seen", "written-here"].map(str::to_owned).into();
            let entry = Entry { hash: snapshot::hash(&message), flags, internal_date: date };
            self.model.get_mut(folder).expect("a known folder").push(Known { entry, uid: 0 });
        }
    }

    fn submit_messages(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let mut smtp = self.agent.login_smtp(USER);
        for _ in 0..count {
            let number = self.number();
            let id = format!("<submitted.{number}@home.example>");
            let message = format!(
                "From: ada@home.example\r\nTo: bob@far.example\r\nSubject: Submitted {number}\r\n\
                 Date: Mon, 02 Mar 2026 10:00:00 +0000\r\nMessage-ID: {id}\r\n\r\n.\r\n..two\r\nGreetings.\r\n"
            );
            let answer = smtp.send("ada@home.example", &["bob@far.example"], message.as_bytes());
            let answer = answer.expect("the local SMTP server stays");
            assert_eq!(answer.code, 250, "{answer:?}");
            self.submitted.insert(id);
        }
    }

    /// New mail arrives in folders under the names the server still knows; other clients change flags.
    fn change_server(
        &mut self,
        untouched: &BTreeMap<String, Vec<Known>>,
        renamed: &BTreeMap<String, String>,
        scale: Scale,
    ) {
        let mut server = self.server();
        let now = |name: &String| renamed.get(name).unwrap_or(name).clone();
        let folders: Vec<String> = untouched.keys().filter(|name| !is_special(name)).cloned().collect();
        for _ in 0..scale.server_new {
            let message = corpus::small(self.number());
            let folder = &folders[self.random.index(folders.len())];
            let date = load::FIRST_DATE + i64::try_from(self.numbers).expect("a small number");
            server.append(&self.wire(folder), &["arrived"], date, &message);
            let flags = BTreeSet::from(["arrived".to_owned()]);
            let entry = Entry { hash: snapshot::hash(&message), flags, internal_date: date };
            self.model.get_mut(&now(folder)).expect("a known folder").push(Known { entry, uid: 0 });
        }
        // Only messages whose bytes nobody else has can be found again on the other side.
        let mut seen = BTreeMap::new();
        for known in untouched.values().flatten() {
            *seen.entry(&known.entry.hash).or_insert(0) += 1;
        }
        let mut pool: Vec<(&String, &Known)> = untouched
            .iter()
            .filter(|(name, _)| !is_special(name))
            .flat_map(|(name, messages)| messages.iter().map(move |known| (name, known)))
            .filter(|(_, known)| seen[&known.entry.hash] == 1)
            .collect();
        let mut chosen: BTreeMap<&String, Vec<&Known>> = BTreeMap::new();
        for (name, known) in self.random.draw(&mut pool, scale.server_flags) {
            chosen.entry(name).or_default().push(known);
        }
        for (name, messages) in chosen {
            server.select(&self.wire(name));
            let uids: BTreeMap<String, u32> =
                server.fetch_all().iter().map(|message| (snapshot::hash(&message.body), message.uid)).collect();
            for known in messages {
                let uid = uids[&known.entry.hash];
                // Nothing done locally adds $Forwarded: no add stands against this remove.
                let removes = known.entry.flags.contains("$forwarded");
                let change = if removes { "-FLAGS ($Forwarded)" } else { "+FLAGS (\\Answered elsewhere)" };
                server.ok(&format!("UID STORE {uid} {change}"));
                // Wherever the message went meanwhile; a deleted one stays deleted.
                let here = self.model.values_mut().flatten().find(|here| here.entry.hash == known.entry.hash);
                if let Some(Known { entry, .. }) = here {
                    if removes {
                        entry.flags.remove("$forwarded");
                    } else {
                        // Setting a flag again that is set is no change that could stand against a remove.
                        let set = ["\\answered", "elsewhere"].map(str::to_owned).into_iter();
                        entry.flags.extend(set.filter(|flag| !known.entry.flags.contains(flag)));
                    }
                }
            }
        }
    }

    /// Waits until both sides hold exactly what the model says, and every submitted message was delivered and filed.
    pub fn await_settled(&mut self) -> Vec<String> {
        let expected: Snapshot = self
            .model
            .iter()
            .filter(|(name, _)| *name != "Sent")
            .map(|(name, messages)| {
                let mut entries: Vec<Entry> = messages.iter().map(|known| known.entry.clone()).collect();
                entries.sort();
                (name.clone(), entries)
            })
            .collect();
        let without_sent = |mut snapshot: Snapshot| {
            snapshot.remove("Sent");
            snapshot
        };
        let look = || (expected.clone(), without_sent(snapshot::take_in_motion(|| self.local())));
        wait_equal("what was meant (left) to equal the local face (right)", SETTLED_WITHIN, look, snapshot::tell);
        let look = || (expected.clone(), without_sent(snapshot::take_in_motion(|| self.server())));
        wait_equal("what was meant (left) to equal the server (right)", SETTLED_WITHIN, look, snapshot::tell);
        let submitted = self.submitted();
        for (side, connect) in [("local", Self::local as fn(&Self) -> Imap), ("server's", Self::server)] {
            let what = format!("each submitted message (left) to be once in the {side} Sent (right)");
            let look = || (submitted.clone(), sent(&mut connect(self)));
            wait_equal(&what, SETTLED_WITHIN, look, |left, right| format!("{left:?}\n{right:?}"));
        }
        self.await_equal();
        assert_eq!(self.agent.unsettled(), 0, "{}", self.agent.account());
        self.remember();
        self.sink.delivered().iter().map(|delivered| message_id(&delivered.bytes)).collect()
    }

    /// The Message-IDs of everything submitted, sorted.
    pub fn submitted(&self) -> Vec<String> {
        self.submitted.iter().cloned().collect()
    }

    /// Different messages, as folder and the places in the model's list (ascending), that this round has not touched.
    fn draw_places(&mut self, count: usize) -> BTreeMap<String, Vec<usize>> {
        let mut pool: Vec<(String, usize)> = self
            .model
            .iter()
            .filter(|(name, _)| *name != "Sent")
            .flat_map(|(name, messages)| {
                let here = messages.iter().enumerate().filter(|(_, known)| known.uid != 0);
                here.map(move |(place, _)| (name.clone(), place))
            })
            .collect();
        let mut drawn: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (name, place) in self.random.draw(&mut pool, count) {
            drawn.entry(name).or_default().push(place);
        }
        drawn.values_mut().for_each(|places| places.sort_unstable());
        drawn
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// What the server calls a folder. A `/` within a part stands as U+2215 here.
    fn wire(&self, local: &str) -> String {
        match self.naming.delimiter {
            '/' => self.naming.wire(local, '/'),
            _ => self.naming.wire(local, '/').replace('\u{2215}', "/"),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the journal:\n{}", self.agent.ctl(&["journal", "list"]).out);
        }
    }
}

fn is_special(name: &str) -> bool {
    ["INBOX", "Sent", "Drafts"].contains(&name)
}

/// The Message-IDs in the Sent folder, sorted.
fn sent(imap: &mut Imap) -> Vec<String> {
    let folder = snapshot::selectable(imap).into_iter().find(|name| name.local == "Sent");
    let Some(folder) = folder else { return Vec::new() };
    let empty = imap.select(&folder.wire).exists() == 0;
    let messages = if empty { Vec::new() } else { imap.fetch_all() };
    let mut ids: Vec<String> = messages.iter().map(|message| message_id(&message.body)).collect();
    ids.sort();
    ids
}

fn message_id(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with("message-id:"));
    line.map_or(String::new(), |line| line["message-id:".len()..].trim().to_owned())
}
