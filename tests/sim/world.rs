//! A world: the agent, the server, the line between them and the people at both ends, played from a script on one thread
//! with a clock that jumps to the next thing that happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mailtide::imap::server::Capability;
use mailtide::journal::{Entry, Op, State};
use mailtide::net::Clock;
use mailtide::refserver::faults::Faults;
use mailtide::serve::bring::{Outcome as Brought, Ticket};
use mailtide::store::{Origin, Submission, SubmissionState, check};
use mailtide::types::folder_filter::Glob;
use mailtide::types::{Bodies, BodyPolicy, Conversation, FolderFilter, Keep, Step as SessionStep, Timestamp, limits};
use tokio::time::{Instant, sleep_until};

use super::agent::{Agent, Choice};
use super::client::{Client, Law};
use super::disk::Power;
use super::ledger::{Ledger, Sent, Side};
use super::network::{Break, Network};
use super::people::Person;
use super::presence::Presence;
use super::random::Random;
use super::script::{Act, Doing, Script};
use super::server::{Server, Slow};
use super::template::{DOMAIN, EPOCH_MS, PASSWORD, USERS};
use super::trace::Trace;
use super::{mail, provider, quiet};

/// Lines of a long message: some blocks of a file system.
const LONG_LINES: usize = 200;

/// What passes in less is no long time.
const LONG_MS: u64 = 3_600_000;

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
    /// Messages of one world may all have the same Message-ID.
    pub same_ids: bool,
    /// Some of the mail that comes in is long.
    has_long_mail: bool,
    /// Not all bodies were at the agent at all times: of what someone deleted there may be nothing left to put back.
    pub is_partial: bool,
    /// The account's mail is taken from a maildrop.
    pub maildrop: Option<Keep>,
    /// What is waited for.
    awaited: Vec<Ticket<Brought>>,
    violations: Vec<String>,
    jump_ms: Arc<AtomicI64>,
    doom: Power,
    revival: Option<Instant>,
    /// The agent is gone by a power cut.
    lost_power: bool,
    /// The server may do later what the agent sent before it died: it is back before that.
    is_slow: bool,
}

/// What came of a world.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub hash: String,
    /// What was violated first; everything was right if there is nothing.
    pub violations: Vec<String>,
    pub story: Vec<String>,
}

impl Outcome {
    /// The hash as a number.
    pub fn trace_number(&self) -> u128 {
        u128::from_str_radix(&self.hash, 16).expect("a hash of 128 bits in hex")
    }
}

/// Plays a script.
pub fn play(script: &Script) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut world = World::new(script);
        world.play(script).await;
        world.agent.end();
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
        let agent = Agent::new(seed, setup, clock.clone(), trace.clone(), network.clone());
        let mut server = Server::new(
            setup.capabilities,
            match setup.provider {
                Some(name) => Faults::of(provider::profile(name)),
                None => Faults::new(setup.quirks.clone()),
            },
            clock.clone(),
            trace.clone(),
            network.clone(),
        );
        server.posts_per_hour = setup.posts_per_hour;
        server.slow = Slow::up_to(setup.slow_ms, seed);
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
            same_ids: setup.same_ids,
            has_long_mail: setup.has_long_mail,
            is_partial: setup.is_partial(),
            maildrop: setup.maildrop,
            awaited: Vec::new(),
            violations: Vec::new(),
            jump_ms,
            doom: Power::Stays,
            revival: None,
            lost_power: false,
            is_slow: setup.slow_ms > 0,
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
                if ms >= LONG_MS {
                    self.forget_what_was_taken();
                }
                return;
            }
        }
    }

    /// A server knows what is sent to it again for a week. What was tried before that may come twice: SMTP has no way to ask.
    fn forget_what_was_taken(&mut self) {
        let Some(life) = &self.agent.life else { return };
        let forgotten = self.clock.now().plus_ms(-limits::TAKEN_MEMORY_MS);
        for account in life.accounts() {
            let submissions = life.store.read(|reader| reader.submissions(account)).unwrap_or_default();
            let is_old = |tried: &Submission| tried.attempts > 0 && tried.created < forgotten;
            let open = submissions.into_iter().filter(|tried| tried.state != SubmissionState::Settled && is_old(tried));
            for number in open.filter_map(|tried| mail::number_of(&quiet::bytes(&life.store, tried.content))) {
                self.ledger.may_come_twice(number);
            }
        }
    }

    fn bury_and_revive(&mut self) {
        if self.agent.is_dead() {
            self.crash(self.doom);
        }
        if self.agent.life.is_none() && self.revival.is_some_and(|revival| revival <= Instant::now()) {
            self.revival = None;
            if self.agent.start() {
                self.lose_power();
            }
            if std::mem::take(&mut self.lost_power) {
                self.expect_again();
            }
        }
    }

    fn crash(&mut self, power: Power) {
        self.agent.crash(power);
        if power != Power::Stays {
            self.lose_power();
        }
        self.disconnect(Side::Here);
        let pause = self.random.below(if self.is_slow { 300 } else { 20_000 });
        self.revival = Some(Instant::now() + Duration::from_millis(pause));
    }

    fn lose_power(&mut self) {
        self.lost_power = true;
        // What was fetched a moment ago may have gone with it.
        self.ledger.messages.values_mut().for_each(|entry| entry.must_be_recoverable = false);
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
            Act::Submit { who, to } => self.submit(*who, *to),
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
            Act::DoomOpenings { deaths } => self.agent.doomed_openings = deaths.iter().copied().collect(),
            Act::RestartServer { pause_ms } => {
                self.server.stop();
                self.disconnect(Side::There);
                self.pass(*pause_ms).await;
                self.trace.tell("the server starts");
                self.server.start();
            }
            Act::DiskFull => self.set_disk_full(true),
            Act::DiskFree => self.set_disk_full(false),
            Act::Renumber { account, pick, shuffles } => self.renumber(*account, *pick, *shuffles),
            Act::BackUp => self.back_up(),
            Act::Restore => self.restore_server(),
            Act::Mirror { account, exclude } => self.mirror(*account, *exclude).await,
            Act::Configure { account, is_in } => self.configure(*account, *is_in).await,
            Act::Bodies { account, bodies } => self.choose_bodies(*account, *bodies).await,
            Act::Bring { account, pick } => self.bring(*account, *pick),
            Act::Sweep { is_late } => self.sweep(*is_late),
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
        if let Some(life) = self.agent.life.as_mut().filter(|life| life.disk.is_alive.load(Ordering::SeqCst)) {
            // A store in which nothing was committed is as it was.
            let commits = life.disk.commits();
            if life.checked_at.replace(commits) != Some(commits) {
                let looked = check(&life.store);
                // To look writes out the bytes that wait: the agent may die of that.
                let is_dead = looked.is_err() && !life.disk.is_alive.load(Ordering::SeqCst);
                let wrong = if is_dead { Vec::new() } else { looked.unwrap_or_else(|error| vec![error.to_string()]) };
                broken.extend(wrong.into_iter().map(|wrong| format!("the agent's store: {wrong}")));
            }
        }
        broken.extend(self.look_for_mail());
        for what in broken {
            self.violate(&what);
        }
    }

    /// What was there once, and nobody deleted, is there.
    fn look_for_mail(&mut self) -> Vec<String> {
        if self.server.running.is_none() {
            return Vec::new();
        }
        let (ledger, has_labels) = (&self.ledger, self.has_labels());
        let is_wanted =
            |number: &u32| ledger.messages.get(number).is_some_and(|entry| entry.least > 0 && !entry.is_unwanted);
        let mut broken: Vec<String> = Vec::new();
        // A maildrop is there to be emptied.
        if self.maildrop.is_none() {
            let accounts =
                USERS[..self.agent.accounts].iter().map(|user| self.server.account(user)).collect::<Vec<_>>();
            let missing = self.at_server.look(self.server.store(), &accounts, self.server.commits());
            let missing = missing.into_iter().filter(is_wanted);
            broken.extend(
                missing.map(|number| format!("message {number}, that nobody deleted, is nowhere at the server")),
            );
            // One that is moved without MOVE is there twice for a while, and so is each copy of it.
            let is_too_often = |number: u32, count: i32| {
                ledger.messages.get(&number).is_some_and(|entry| count > 2 * entry.most.max(1))
            };
            let at_server = if has_labels { None } else { Some(&self.at_server.there) };
            let doubled = at_server.into_iter().flatten().filter(|(number, count)| is_too_often(**number, **count));
            broken.extend(doubled.map(|(number, count)| format!("message {number} is {count} times at the server")));
        }
        let is_whole = self.agent.mirrors_all();
        if let Some(life) = self.agent.life.as_mut().filter(|life| life.disk.is_alive.load(Ordering::SeqCst)) {
            if !is_whole {
                life.presence = Presence::default();
                return broken;
            }
            let (accounts, commits) = (life.accounts(), life.disk.commits());
            let missing = life.presence.look(&life.store, &accounts, commits);
            // Where a label was taken off, the one that it has besides may not be here yet.
            let has_lost_a_label = |number: &u32| has_labels && ledger.messages[number].is_contested;
            let must_be = |number: &u32| {
                (self.maildrop.is_some() || self.at_server.there.contains_key(number)) && !has_lost_a_label(number)
            };
            let missing = missing.into_iter().filter(is_wanted).filter(must_be);
            broken.extend(missing.map(|number| format!("message {number}, that nobody deleted, went from the agent")));
        }
        broken
    }

    /// The server is what it was once.
    pub fn forget_the_servers_past(&mut self) {
        self.at_server = Presence::default();
        for person in self.people.iter().filter(|person| person.side == Side::There) {
            person.law.lock().forget();
        }
    }

    /// The configuration leaves a folder out, or mirrors every one again.
    pub async fn mirror(&mut self, account: usize, exclude: Option<&'static str>) {
        // Who changes a configuration makes room first.
        if self.agent.is_dead() || self.agent.life.as_ref().is_some_and(|life| life.disk.is_full()) {
            return;
        }
        let user = USERS[account];
        self.trace.tell(&match exclude {
            Some(name) => format!("the configuration of {user} leaves out {name}"),
            None => format!("the configuration of {user} leaves nothing out"),
        });
        let mut folders = FolderFilter::all();
        folders.exclude =
            exclude.into_iter().flat_map(|name| [Glob::new(name), Glob::new(&format!("{name}/*"))]).collect();
        self.agent.choose(account, Choice { folders, ..self.agent.choice(account) }).await;
        self.allow_for_what_is_hidden(account);
    }

    /// An account is taken out of the configuration, or back into it.
    async fn configure(&mut self, account: usize, is_in: bool) {
        if self.agent.is_dead() || self.agent.life.as_ref().is_some_and(|life| life.disk.is_full()) {
            return;
        }
        self.trace.tell(&format!("{} is {} the configuration", USERS[account], if is_in { "in" } else { "out of" }));
        self.agent.configure(account, is_in).await;
    }

    /// The configuration names other bodies.
    async fn choose_bodies(&mut self, account: usize, bodies: Bodies) {
        if self.agent.is_dead() || self.agent.life.as_ref().is_some_and(|life| life.disk.is_full()) {
            return;
        }
        self.trace.tell(&format!("the configuration of {} asks for bodies: {bodies:?}", USERS[account]));
        let bodies = BodyPolicy { default: bodies, ..BodyPolicy::ALL };
        self.agent.choose(account, Choice { bodies, ..self.agent.choice(account) }).await;
    }

    /// The configuration asks for everything.
    pub async fn mirror_everything(&mut self) {
        for (account, user) in USERS.iter().enumerate().take(self.agent.accounts) {
            if !self.agent.is_configured(account) {
                self.configure(account, true).await;
            }
            if !self.agent.is_dead() && self.agent.choice(account) != Choice::everything() {
                self.trace.tell(&format!("the configuration of {user} asks for everything"));
                self.agent.choose(account, Choice::everything()).await;
            }
        }
    }

    /// Someone at the agent opens a message whose body is not there.
    fn bring(&mut self, account: usize, pick: usize) {
        let Some(life) = self.agent.life.as_ref().filter(|_| !self.agent.is_dead()) else { return };
        let id = life.account(account);
        let outlined = life.store.read(|reader| {
            let mailboxes = reader.mailboxes(id)?;
            mailboxes.iter().map(|mailbox| reader.outlined_in(mailbox.id)).collect::<mailtide::store::Result<Vec<_>>>()
        });
        let outlined = outlined.unwrap_or_default().concat();
        if let Some(message) = (!outlined.is_empty()).then(|| outlined[pick % outlined.len()]) {
            self.trace.tell(&format!("someone waits for the body of a message of {}", USERS[account]));
            self.awaited.push(life.bring(id, message));
        }
    }

    /// What nobody needs any more is swept, as the daemon does it now and then; `is_late`: when the time for which what went
    /// is kept is over.
    fn sweep(&mut self, is_late: bool) {
        let Some(life) = self.agent.life.as_ref().filter(|_| !self.agent.is_dead()) else { return };
        self.trace.tell("the agent sweeps");
        let (now, accounts) = (self.clock.now(), life.accounts());
        let before = if is_late { now } else { now.plus_ms(-limits::RECOVERY_MS) };
        let swept = life
            .store
            .write(Origin::Upstream, now, move |txn| {
                accounts.iter().try_for_each(|account| txn.forget_submissions(*account, before).map(drop))
            })
            .and_then(|()| life.store.sweep(before, now).map(drop));
        if let Err(error) = swept {
            self.trace.tell(&format!("it cannot: {error}"));
        }
        // What went longer ago than that need not be recoverable any more.
        self.ledger.messages.values_mut().for_each(|entry| entry.must_be_recoverable = false);
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

    /// A message as it may travel by SMTP.
    fn plain(&self, number: u32) -> Vec<u8> {
        let mut bytes = mail::message(number, &mut Random::new(7), self.same_ids);
        bytes.extend_from_slice(b"Sent by mail.\r\n");
        if self.has_long_mail && number.is_multiple_of(2) {
            bytes.extend_from_slice(&b"Longer than what a file system gives back at once.\r\n".repeat(LONG_LINES));
        }
        bytes
    }

    /// Mail comes in from elsewhere.
    pub fn deliver(&mut self, account: usize) {
        if self.server.running.is_none() || !self.may_come(account) {
            return;
        }
        let number = self.ledger.next_number();
        let bytes = self.plain(number);
        self.trace.tell(&format!("message {number} arrives for {}", USERS[account]));
        let to = format!("{}@{DOMAIN}", USERS[account]);
        let taken = hand_over(self.server.mx(), &self.clock, None, "stranger@far.example", &to, &bytes);
        let count = i32::from(taken);
        self.ledger.make(number, bytes, true, count, count);
    }

    /// A mail program at the agent sends a message: to that account, or to someone whose mail the agent does not mirror.
    fn submit(&mut self, who: usize, to: Option<usize>) {
        let Some(life) = self.agent.life.as_ref().filter(|_| !self.agent.is_dead()) else { return };
        let here: Vec<&Person> = self.people.iter().filter(|person| person.side == Side::Here).collect();
        let account = here[who % here.len()].account;
        let session = life.submission();
        let number = self.ledger.next_number();
        let bytes = self.plain(number);
        let whom = to.map_or("friend", |to| USERS[to]);
        self.trace.tell(&format!("{} sends message {number} to {whom}", USERS[account]));
        let (from, address) = (format!("{}@{DOMAIN}", USERS[account]), format!("{whom}@{DOMAIN}"));
        let is_acknowledged =
            hand_over(session, &self.clock, Some(USERS[account]), &from, &address, &bytes) && !self.agent.is_dead();
        let is_possible = is_acknowledged || self.agent.is_dead();
        // The copy in Sent, and what arrives. Anything with its Message-ID that comes into Sent meanwhile may be taken for
        // the former, since providers write all else anew.
        let arrives = i32::from(to.is_some());
        let least = i32::from(is_acknowledged) * (arrives + i32::from(!self.same_ids));
        self.ledger.make(number, bytes, true, least, i32::from(is_possible) * (arrives + 1));
        if is_possible {
            self.ledger.sent.push(Sent { number, is_acknowledged, to, is_undone: false, is_forgotten: false });
        }
    }

    /// The server's mailbox is made anew, as after a repair: another UIDVALIDITY, other UIDs, the same mail.
    fn renumber(&mut self, account: usize, pick: usize, shuffles: bool) {
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
        let count = admin.view.as_ref().map_or(0, |view| view.uids.len());
        if shuffles {
            for number in (1..=count).rev() {
                admin.command(now, &format!("COPY {number} \"{folder}\""));
            }
        } else if count > 0 {
            admin.command(now, &format!("COPY 1:* \"{folder}\""));
        }
        admin.command(now, "UNSELECT");
        admin.command(now, "DELETE \"being repaired\"");
        if is_full {
            self.set_quota(account, true);
        }
        // Under its new UID it cannot be told from a copy that was to be made of it; and the original of one that is moved by
        // copying is another message.
        let in_doubt = self.has_in_flight(account);
        let may_be_both = in_doubt && !self.server.capabilities.has(Capability::Move);
        for number in numbers {
            if let Some(entry) = self.ledger.entry(number) {
                entry.is_contested = true;
                entry.least -= i32::from(in_doubt && entry.least > 1);
                if may_be_both {
                    entry.may_be_one_more();
                }
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
