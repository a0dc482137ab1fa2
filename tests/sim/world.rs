//! A world: the agent, the server, the line between them and the people at both ends, played from a script on one thread
//! with a clock that jumps to the next thing that happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mailtide::journal::{Entry, Op, State};
use mailtide::net::Clock;
use mailtide::refserver::faults::Faults;
use mailtide::store::check;
use mailtide::types::{Conversation, Step as SessionStep, Timestamp};
use tokio::time::{Instant, sleep_until};

use super::agent::Agent;
use super::client::{Client, Law};
use super::disk::Power;
use super::ledger::{Ledger, Sent, Side};
use super::network::{Break, Network};
use super::people::Person;
use super::presence::Presence;
use super::random::Random;
use super::script::{Act, Doing, Script};
use super::server::Server;
use super::template::{DOMAIN, EPOCH_MS, PASSWORD, USERS};
use super::trace::Trace;
use super::{mail, quiet};

/// See the module.
pub struct World {
    pub trace: Trace,
    pub clock: Clock,
    pub random: Random,
    pub network: Network,
    pub agent: Agent,
    pub server: Server,
    pub people: Vec<Person>,
    pub ledger: Ledger,
    /// Messages by the hash of their bytes.
    pub by_hash: BTreeMap<[u8; 32], u32>,
    pub folders_changed: bool,
    /// Accounts that may hold nothing more at the server.
    pub full: BTreeSet<usize>,
    at_server: Presence,
    violations: Vec<String>,
    jump_ms: Arc<AtomicI64>,
    doom: Power,
    revival: Option<Instant>,
}

/// What came of a world.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub hash: String,
    /// What was violated first; everything was right if there is nothing.
    pub violations: Vec<String>,
    pub story: Vec<String>,
}

/// Plays a script.
pub fn play(script: &Script) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut world = World::new(script);
        world.play(script).await;
        Outcome { hash: world.trace.hash(), violations: world.violations, story: world.trace.story() }
    })
}

impl World {
    fn new(script: &Script) -> Self {
        let (seed, setup) = (script.seed, &script.setup);
        let trace = Trace::begin();
        trace.event("the world", format!("{setup:?}").as_bytes());
        let (began, jump_ms) = (Instant::now(), Arc::new(AtomicI64::new(0)));
        let jumped = Arc::clone(&jump_ms);
        let clock = Clock::from_fn(move || {
            let passed = i64::try_from(began.elapsed().as_millis()).expect("less than the age of the universe");
            Timestamp::from_unix_ms(EPOCH_MS + passed + jumped.load(Ordering::SeqCst))
        });
        let network = Network::new(seed, trace.clone());
        let mut agent = Agent::new(seed, setup.accounts, clock.clone(), trace.clone(), network.clone());
        agent.checks_each_commit = setup.checks_each_commit;
        let mut server = Server::new(
            setup.capabilities,
            Faults::new(setup.quirks.clone()),
            clock.clone(),
            trace.clone(),
            network.clone(),
        );
        server.posts_per_hour = setup.posts_per_hour;
        let mut random = Random::stream(seed, "world");
        let people = people(script, &mut random);
        Self {
            trace,
            clock,
            random,
            network,
            agent,
            server,
            people,
            ledger: Ledger::default(),
            by_hash: BTreeMap::new(),
            folders_changed: false,
            full: BTreeSet::new(),
            at_server: Presence::default(),
            violations: Vec::new(),
            jump_ms,
            doom: Power::Stays,
            revival: None,
        }
    }

    async fn play(&mut self, script: &Script) {
        self.server.start();
        for nth in 0..script.setup.mail {
            self.deliver(nth as usize % script.setup.accounts);
        }
        self.agent.start();
        self.pass(3_000).await;
        for step in &script.steps {
            self.pass(step.after_ms).await;
            self.perform(&step.act).await;
            self.look_after();
            if !self.violations.is_empty() {
                return;
            }
        }
        quiet::settle(self).await;
    }

    pub fn violate(&mut self, what: &str) {
        self.trace.tell(&format!("VIOLATED: {what}"));
        self.violations.push(what.to_owned());
    }

    pub fn is_violated(&self) -> bool {
        !self.violations.is_empty()
    }

    /// Lets time pass. An agent that dies meanwhile is started again a little later.
    pub async fn pass(&mut self, ms: u64) {
        let until = Instant::now() + Duration::from_millis(ms);
        loop {
            self.bury_and_revive();
            let next = self.revival.map_or(until, |revival| revival.min(until));
            let died = self.agent.life.as_ref().map(|life| Arc::clone(&life.disk.died));
            let death = async {
                match died {
                    Some(died) => died.notified().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = death => {}
                () = sleep_until(next) => {}
            }
            self.bury_and_revive();
            if Instant::now() >= until && !self.agent.is_dead() {
                return;
            }
        }
    }

    fn bury_and_revive(&mut self) {
        if self.agent.is_dead() {
            self.crash(self.doom);
        }
        if self.agent.life.is_none() && self.revival.is_some_and(|revival| revival <= Instant::now()) {
            self.revival = None;
            self.agent.start();
        }
    }

    fn crash(&mut self, power: Power) {
        self.agent.crash(power);
        self.disconnect(Side::Here);
        let pause = self.random.below(20_000);
        self.revival = Some(Instant::now() + Duration::from_millis(pause));
    }

    pub fn disconnect(&mut self, side: Side) {
        for person in self.people.iter_mut().filter(|person| person.side == side) {
            person.client = None;
        }
    }

    async fn perform(&mut self, act: &Act) {
        match act {
            Act::Mail { who, doing } => self.act(*who, doing),
            Act::Deliver { account } => self.deliver(*account),
            Act::Submit { who } => self.submit(*who),
            Act::LineDown { how } => {
                self.trace.tell(&format!("the line goes down ({how:?})"));
                self.network.go_down(*how);
            }
            Act::LineUp => {
                self.trace.tell("the line is up");
                self.network.come_up();
            }
            Act::Trap(trap) => self.network.arm(*trap),
            Act::Crash { power } => {
                if self.agent.life.is_some() {
                    self.crash(*power);
                }
            }
            Act::Doom { moments, power } => {
                self.doom = *power;
                if let Some(life) = &self.agent.life {
                    life.disk.die_after(*moments);
                }
            }
            Act::RestartServer { pause_ms } => {
                self.server.stop();
                self.disconnect(Side::There);
                self.pass(*pause_ms).await;
                self.trace.tell("the server starts");
                self.server.start();
            }
            Act::DiskFull => self.set_disk_full(true),
            Act::DiskFree => self.set_disk_full(false),
            Act::Renumber { account, pick } => self.renumber(*account, *pick),
            Act::Clash { here, there, ours, theirs } => self.clash(*here, *there, ours, theirs),
            Act::Quota { account, is_full } => self.set_quota(*account, *is_full),
            Act::ClockJump { ms } => {
                self.trace.tell(&format!("the clock of the machine jumps by {} s", ms / 1000));
                self.jump_ms.fetch_add(*ms, Ordering::SeqCst);
            }
            Act::Sync => {
                if let Some(life) = &self.agent.life {
                    self.trace.tell("the user asks for a sync");
                    life.handles.iter().for_each(mailtide::agent::account::Handle::nudge);
                }
            }
            Act::SetPaused { account, paused } => {
                if let Some(life) = &self.agent.life {
                    self.trace.tell(&format!("the user pauses {}: {paused}", USERS[*account]));
                    life.handles[*account].set_paused(*paused);
                }
            }
        }
    }

    fn clash(&mut self, here: usize, there: usize, ours: &Doing, theirs: &Doing) {
        let of = |people: &[Person], side: Side, nth: usize| {
            let all: Vec<usize> = (0..people.len()).filter(|who| people[*who].side == side).collect();
            all[nth % all.len()]
        };
        let who = [of(&self.people, Side::Here, here), of(&self.people, Side::There, there)];
        let was_up = self.network.is_up();
        if was_up {
            self.trace.tell("the line goes down");
            self.network.go_down(Break::Cut);
        }
        for (who, doing) in who.into_iter().zip([ours, theirs]) {
            self.act(who, &Doing::Open { folder: 0 });
            self.act(who, doing);
        }
        if was_up {
            self.trace.tell("the line is up");
            self.network.come_up();
        }
    }

    pub fn set_quota(&mut self, account: usize, is_full: bool) {
        if self.server.running.is_none() {
            return;
        }
        let what = if is_full { "may hold nothing more" } else { "may hold what they like" };
        self.trace.tell(&format!("{} {what} at the server", USERS[account]));
        self.server.set_full(USERS[account], is_full);
        match is_full {
            true => self.full.insert(account),
            false => self.full.remove(&account),
        };
    }

    pub fn set_disk_full(&mut self, is_full: bool) {
        if let Some(life) = &self.agent.life {
            self.trace.tell(if is_full { "the agent's disk is full" } else { "the agent's disk has room again" });
            life.disk.set_full(is_full);
        }
    }

    /// Everything that must hold at any moment.
    pub fn look_after(&mut self) {
        let mut broken: Vec<String> = Vec::new();
        broken.extend(self.network.take_storm());
        for person in &self.people {
            broken.append(&mut person.law.lock().broken);
        }
        broken.append(&mut self.agent.violations.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        if let Some(life) = self.agent.life.as_ref().filter(|_| !self.agent.is_dead()) {
            let wrong = check(&life.store).unwrap_or_else(|error| vec![error.to_string()]);
            broken.extend(wrong.into_iter().map(|wrong| format!("the agent's store: {wrong}")));
        }
        if self.server.running.is_some() {
            broken.extend(self.at_server.look(&self.server, self.agent.accounts, &self.ledger));
        }
        for what in broken {
            self.violate(&what);
        }
    }

    /// Has the agent done something of which it does not know what became of it?
    pub fn has_in_flight(&self, account: usize) -> bool {
        let Some(life) = self.agent.life.as_ref().filter(|_| !self.agent.is_dead()) else { return true };
        let entries = life.store.read(|reader| reader.entries(life.account(account)));
        // A copy that is still to be made is looked for where others may put the same message before it is.
        let is_open = |entry: &Entry| {
            matches!(entry.state, State::InFlight { .. } | State::Parked { doubt: Some(_), .. })
                || matches!(entry.op, Op::Copy { .. })
        };
        entries.is_ok_and(|entries| entries.iter().any(is_open))
    }

    /// Mail comes in from elsewhere.
    pub fn deliver(&mut self, account: usize) {
        if self.server.running.is_none() {
            return;
        }
        let number = self.ledger.next_number();
        let bytes = plain(number);
        self.trace.tell(&format!("message {number} arrives for {}", USERS[account]));
        let to = format!("{}@{DOMAIN}", USERS[account]);
        let taken = hand_over(self.server.mx(), &self.clock, None, "stranger@far.example", &to, &bytes);
        let count = i32::from(taken);
        self.ledger.make(number, bytes, true, count, count);
    }

    /// A mail program at the agent sends a message to someone whose mail the agent does not mirror.
    fn submit(&mut self, who: usize) {
        let Some(life) = self.agent.life.as_ref().filter(|_| !self.agent.is_dead()) else { return };
        let here: Vec<&Person> = self.people.iter().filter(|person| person.side == Side::Here).collect();
        let account = here[who % here.len()].account;
        let session = life.submission();
        let number = self.ledger.next_number();
        let bytes = plain(number);
        self.trace.tell(&format!("{} sends message {number} to friend", USERS[account]));
        let (from, to) = (format!("{}@{DOMAIN}", USERS[account]), format!("friend@{DOMAIN}"));
        let is_acknowledged =
            hand_over(session, &self.clock, Some(USERS[account]), &from, &to, &bytes) && !self.agent.is_dead();
        let is_possible = is_acknowledged || self.agent.is_dead();
        self.ledger.make(number, bytes, true, i32::from(is_acknowledged), i32::from(is_possible));
        if is_possible {
            self.ledger.sent.push(Sent { number, is_acknowledged });
        }
    }

    /// The server's mailbox is made anew, as after a repair: another UIDVALIDITY, other UIDs, the same mail.
    fn renumber(&mut self, account: usize, pick: usize) {
        if self.server.running.is_none() {
            return;
        }
        let (now, is_full) = (self.clock.now(), self.full.contains(&account));
        if is_full {
            self.set_quota(account, false);
        }
        let admin = Client::connect("admin", USERS[account], self.server.imap(), Law::default(), false, now);
        let Some(mut admin) = admin else { return };
        let folders = admin.folders(now);
        let has_child = |folder: &String| folders.iter().any(|other| other.starts_with(&format!("{folder}/")));
        let fit: Vec<&String> = folders.iter().filter(|folder| !has_child(folder)).collect();
        let folder = fit[pick % fit.len()].clone();
        self.trace.tell(&format!("the server numbers {folder} of {} anew", USERS[account]));
        admin.command(now, &format!("RENAME \"{folder}\" \"being repaired\""));
        admin.command(now, &format!("CREATE \"{folder}\""));
        admin.select(now, "being repaired");
        let numbers: Vec<u32> = admin.take_bodies().iter().filter_map(|bytes| mail::number_of(bytes)).collect();
        if admin.view.as_ref().is_some_and(|view| !view.uids.is_empty()) {
            admin.command(now, &format!("COPY 1:* \"{folder}\""));
        }
        admin.command(now, "UNSELECT");
        admin.command(now, "DELETE \"being repaired\"");
        if is_full {
            self.set_quota(account, true);
        }
        for number in numbers {
            if let Some(entry) = self.ledger.entry(number) {
                entry.is_contested = true;
            }
        }
    }
}

fn people(script: &Script, random: &mut Random) -> Vec<Person> {
    const HERE: [&str; 3] = ["laptop", "phone", "script"];
    const THERE: [&str; 3] = ["webmail", "tablet", "office"];
    let laws: BTreeMap<(Side, usize), Law> = BTreeMap::from_iter(
        [Side::Here, Side::There].into_iter().flat_map(|side| (0..2).map(move |n| ((side, n), Law::default()))),
    );
    let setup = &script.setup;
    let here = HERE[..setup.here].iter().map(|name| (*name, Side::Here));
    let there = THERE[..setup.there].iter().map(|name| (*name, Side::There));
    let person = |(name, side): (&'static str, Side)| {
        let account = random.index(setup.accounts);
        let uses_qresync = random.percent(40);
        Person { name, side, account, uses_qresync, law: laws[&(side, account)].clone(), client: None }
    };
    here.chain(there).map(person).collect()
}

/// A message as it may travel by SMTP.
fn plain(number: u32) -> Vec<u8> {
    let mut bytes = mail::message(number, &mut Random::new(7));
    bytes.extend_from_slice(b"Sent by mail.\r\n");
    bytes
}

/// Hands a message to an SMTP server; true if it took it.
fn hand_over(
    mut session: Box<dyn Conversation>,
    clock: &Clock,
    login: Option<&str>,
    from: &str,
    to: &str,
    bytes: &[u8],
) -> bool {
    let mut say = |bytes: &[u8]| {
        session.handle_input(bytes, clock.now());
        let mut output = Vec::new();
        while session.poll_output(clock.now(), &mut output) == SessionStep::Continue {}
        let last = String::from_utf8_lossy(&output).lines().last().unwrap_or_default().to_owned();
        last.get(..3).and_then(|code| code.parse::<u16>().ok()).unwrap_or(0)
    };
    say(b"EHLO client.example\r\n");
    if let Some(user) = login {
        use base64::Engine;
        let plain = format!("\0{user}\0{PASSWORD}");
        let encoded = base64::engine::general_purpose::STANDARD.encode(plain);
        say(format!("AUTH PLAIN {encoded}\r\n").as_bytes());
    }
    say(format!("MAIL FROM:<{from}>\r\n").as_bytes());
    say(format!("RCPT TO:<{to}>\r\n").as_bytes());
    if say(b"DATA\r\n") != 354 {
        return false;
    }
    say(&[bytes, b".\r\n"].concat()) == 250
}
