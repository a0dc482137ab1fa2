//! The agent: its production code on a simulated line and disk, one life after another on the same files.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mailtide::agent::account::{Common, Handle, Work};
use mailtide::agent::servers::ServersOf;
use mailtide::agent::supply::Wishes;
use mailtide::agent::users::{LocalUsers, SendingUsers, User};
use mailtide::config::{self, Credential, TlsMode};
use mailtide::imap::server::{Capabilities, Session as ImapSession, SessionConfig};
use mailtide::message::outline::Wanted;
use mailtide::net::{Chance, Clock};
use mailtide::serve::bring::{Bringer, Outcome, Ticket, Wish};
use mailtide::serve::imap::MailBackend;
use mailtide::serve::submission::{Sequence, SubmissionBackend};
use mailtide::smtp::server::{Config as SmtpConfig, Role, Session as SmtpSession, Tls};
use mailtide::store::{Error, Origin, Store, check};
use mailtide::types::{AccountId, BodyPolicy, Conversation, FolderFilter, Keep, MessageId, Secret, SecretKind};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::disk::{Disk, Power, Safe};
use super::network::Network;
use super::presence::Presence;
use super::random::Random;
use super::script::Setup;
use super::template::{self, DOMAIN, PASSWORD, USERS};
use super::trace::Trace;

pub const IMAP_PORT: u16 = 143;
pub const SMTP_PORT: u16 = 587;
pub const POP3_PORT: u16 = 110;

/// In worlds that look at the store after every commit: so many of a life; then every sixteenth.
const CHECKED_EACH: u32 = 200;

/// The agent's machine, with or without the agent running.
pub struct Agent {
    pub accounts: usize,
    pub poll_seconds: u32,
    clock: Clock,
    trace: Trace,
    network: Network,
    random: Random,
    folder: tempfile::TempDir,
    /// What of the folder is on disk.
    safe: Safe,
    has_all_moments: bool,
    /// At which moment the next openings of the store come to an end, and how.
    pub doomed_openings: VecDeque<(u32, Power)>,
    pub life: Option<Life>,
    /// The store is looked at after every commit.
    pub checks_each_commit: bool,
    /// What is mirrored of each account.
    choices: Vec<Choice>,
    /// Is the account in the configuration?
    is_configured: Vec<bool>,
    connections: usize,
    maildrop: Option<Keep>,
    pub violations: Arc<std::sync::Mutex<Vec<String>>>,
}

/// What the configuration says is mirrored of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub folders: FolderFilter,
    pub bodies: BodyPolicy,
}

impl Choice {
    pub fn everything() -> Self {
        Self { folders: FolderFilter::all(), bodies: BodyPolicy::ALL }
    }
}

/// The agent, running.
pub struct Life {
    pub store: Store,
    pub disk: Arc<Disk>,
    pub handles: Vec<Handle>,
    users: Arc<LocalUsers>,
    sequence: Sequence,
    tasks: Vec<JoinHandle<()>>,
    common: Common,
    pub presence: Presence,
    /// Commits at the last check of the store.
    pub checked_at: Option<u64>,
}

impl Agent {
    pub fn new(seed: u64, setup: &Setup, clock: Clock, trace: Trace, network: Network) -> Self {
        let folder = template::folder();
        template::copy(&template::template().agent, folder.path());
        let mut random = Random::stream(seed, "agent");
        let safe = Safe::all(folder.path());
        Self {
            accounts: setup.accounts,
            poll_seconds: *random.pick(&[300, 900, 1800]),
            clock,
            trace,
            network,
            folder,
            safe,
            has_all_moments: setup.has_all_moments,
            doomed_openings: VecDeque::new(),
            life: None,
            checks_each_commit: setup.checks_each_commit,
            choices: vec![Choice { bodies: setup.bodies.clone(), ..Choice::everything() }; setup.accounts],
            is_configured: vec![true; setup.accounts],
            connections: setup.connections,
            maildrop: setup.maildrop,
            violations: Arc::default(),
            random,
        }
    }

    /// Starts the agent on its files. Returns whether the power failed on the way.
    pub fn start(&mut self) -> bool {
        assert!(self.life.is_none(), "it runs already");
        let mut has_lost_power = false;
        let (store, disk) = loop {
            self.trace.tell("the agent starts");
            let doom = self.doomed_openings.pop_front();
            match self.open(doom) {
                Some(opened) => break opened,
                None => has_lost_power |= doom.is_some_and(|(_, power)| power != Power::Stays),
            }
        };
        if self.checks_each_commit {
            self.check_each_commit(&store, &disk);
        }
        let chance = Arc::new(std::sync::Mutex::new(Random::new(self.random.next())));
        let chance = Chance::from_fn(move || {
            let mut random = chance.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            u32::try_from(random.next() >> 32).expect("32 bits")
        });
        let changes = Arc::new(watch::Sender::new(0));
        let common =
            Common { store: store.clone(), clock: self.clock.clone(), chance, changes, wishes: Wishes::default() };
        let users = Arc::new(LocalUsers::new(Secret::new(PASSWORD)));
        let mut life = Life {
            store,
            disk,
            handles: Vec::new(),
            users,
            sequence: Sequence::default(),
            tasks: Vec::new(),
            common,
            presence: Presence::default(),
            checked_at: None,
        };
        for account in 0..self.accounts {
            let (handle, task) = self.set_to_work(account, &life.disk, &life.common).expect("an account");
            life.handles.push(handle);
            life.tasks.push(task);
        }
        self.life = Some(life);
        self.let_users_in();
        has_lost_power
    }

    /// Opens the store. `None`: the agent died over it.
    fn open(&mut self, doom: Option<(u32, Power)>) -> Option<(Store, Arc<Disk>)> {
        let folder: PathBuf = self.folder.path().to_owned();
        let disk = Disk::new(folder.clone(), self.trace.clone(), self.safe.clone(), self.has_all_moments);
        if let Some((moments, power)) = doom {
            disk.die_opening(moments, power, Random::new(self.random.next()));
        }
        let opened = Store::open_under(&folder, &template::options("syncd"), self.clock.now(), disk.clone());
        if let Some(remains) = disk.take_remains() {
            assert!(opened.is_err(), "who died opened the store");
            (self.folder, self.safe) = remains;
            return None;
        }
        let store = opened.unwrap_or_else(|error| panic!("the store cannot be opened: {error}"));
        disk.opened();
        Some((store, disk))
    }

    /// The accounts of the configuration may log in at the local servers, and nobody else.
    fn let_users_in(&self) {
        let Some(life) = &self.life else { return };
        let user = |(account, name): (usize, &&str)| {
            let (id, address) = (life.account(account), format!("{name}@{DOMAIN}"));
            self.is_configured[account].then(|| ((*name).to_owned(), User { account: id, address, can_send: true }))
        };
        let by_name = USERS[..self.accounts].iter().enumerate().filter_map(user).collect();
        life.users.replace(Secret::new(PASSWORD), 0, by_name);
    }

    fn set_to_work(&self, account: usize, disk: &Disk, common: &Common) -> Result<(Handle, JoinHandle<()>), Error> {
        let config = self.config(account);
        let servers = ServersOf::new(config.clone(), self.network.dialer(Arc::clone(&disk.is_alive)));
        let (mut work, handle) = Work::prepare(config, servers, common)?;
        let is_at_work = self.is_configured[account];
        let work = async move {
            if is_at_work {
                work.proceed().await;
            }
        };
        Ok((handle, tokio::spawn(work)))
    }

    /// The configuration of the account is another from now on: it is stopped and taken up again, as the daemon does it.
    pub async fn choose(&mut self, account: usize, choice: Choice) {
        self.choices[account] = choice;
        self.take_up_anew(account).await;
    }

    /// The account is in the configuration from now on, or not any more. What is here of it stays.
    pub async fn configure(&mut self, account: usize, is_configured: bool) {
        self.is_configured[account] = is_configured;
        self.let_users_in();
        self.take_up_anew(account).await;
    }

    pub fn is_configured(&self, account: usize) -> bool {
        self.is_configured[account]
    }

    async fn take_up_anew(&mut self, account: usize) {
        let Some(life) = &mut self.life else { return };
        life.handles[account].ask_to_stop();
        let _ = (&mut life.tasks[account]).await;
        let Some(life) = &self.life else { return };
        match self.set_to_work(account, &life.disk, &life.common) {
            Ok((handle, task)) => {
                let life = self.life.as_mut().expect("it was there a moment ago");
                (life.handles[account], life.tasks[account]) = (handle, task);
            }
            // It died over it.
            Err(Error::Closed) => {}
            Err(error) => panic!("an account: {error}"),
        }
    }

    pub fn choice(&self, account: usize) -> Choice {
        self.choices[account].clone()
    }

    /// Is every folder of every account mirrored, with all bodies?
    pub fn mirrors_all(&self) -> bool {
        self.is_configured.iter().all(|is_configured| *is_configured)
            && self.choices.iter().all(|choice| *choice == Choice::everything())
    }

    fn check_each_commit(&self, store: &Store, disk: &Disk) {
        let (store, violations) = (store.clone(), Arc::clone(&self.violations));
        let commits = AtomicU32::new(0);
        disk.set_check(Some(Arc::new(move || {
            // After so many there is little in the next that was not in one of them: weeks of polls, mostly.
            let nth = commits.fetch_add(1, Ordering::SeqCst);
            if nth > CHECKED_EACH && !nth.is_multiple_of(16) {
                return;
            }
            let wrong = check(&store).unwrap_or_else(|error| vec![error.to_string()]);
            violations.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(wrong);
        })));
    }

    fn config(&self, account: usize) -> config::Account {
        let name = USERS[account];
        let server = |port| config::Server { host: DOMAIN.to_owned(), port, tls: TlsMode::None };
        config::Account {
            name: name.to_owned(),
            address: format!("{name}@{DOMAIN}"),
            incoming: match self.maildrop {
                Some(keep) => config::Incoming::Pop3 { server: server(POP3_PORT), keep },
                None => config::Incoming::Imap(server(IMAP_PORT)),
            },
            smtp: vec![server(SMTP_PORT)],
            user: name.to_owned(),
            password: Credential::Password(Secret::new(PASSWORD)),
            secret: SecretKind::Password,
            tls_ca: None,
            folders: self.choices[account].folders.clone(),
            bodies: self.choices[account].bodies.clone(),
            poll_seconds: self.poll_seconds,
            connections: self.connections,
            quirks: mailtide::types::Quirks::default(),
        }
    }

    /// The agent is gone from one moment to the next, and of its files there is what `power` leaves.
    pub fn crash(&mut self, power: Power) {
        let Some(life) = self.life.take() else { return };
        self.trace.tell(&match power {
            Power::Stays => "the agent is killed".to_owned(),
            power => format!("the power fails where the agent runs: {power:?}"),
        });
        life.disk.die();
        // The store keeps its disk, and the check the store.
        life.disk.set_check(None);
        self.network.drop_all();
        life.tasks.iter().for_each(JoinHandle::abort);
        let folder = template::folder();
        self.safe = life.disk.leave(power, &mut self.random, folder.path()).expect("files that can be copied");
        drop(life);
        // The old files are not needed any more; whoever of the old life still holds them writes into nothing.
        self.folder = folder;
    }

    /// The world is over: nothing is done any more, also not on its account.
    pub fn end(&mut self) {
        let Some(life) = self.life.take() else { return };
        life.disk.die();
        // The store keeps its disk, and the check the store.
        life.disk.set_check(None);
        life.tasks.iter().for_each(JoinHandle::abort);
    }

    pub fn is_dead(&self) -> bool {
        self.life.as_ref().is_some_and(|life| !life.disk.is_alive.load(Ordering::SeqCst))
    }
}

impl Life {
    pub fn accounts(&self) -> Vec<AccountId> {
        self.handles.iter().map(|handle| handle.id).collect()
    }

    pub fn account(&self, number: usize) -> AccountId {
        self.handles[number].id
    }

    /// Someone waits for all of a message that is not here, until the ticket is dropped.
    pub fn bring(&self, account: AccountId, message: MessageId) -> Ticket<Outcome> {
        let (wish, ticket) = Wish::new(message, Wanted::Whole, Arc::new(|| {}));
        self.common.wishes.bring(account, wish);
        ticket
    }

    /// A session of the local IMAP server. What is not here it does not wait for.
    pub fn imap(&self, clock: &Clock) -> Box<dyn Conversation> {
        let telling = clock.clone();
        let backend = MailBackend::new(
            self.store.clone(),
            Origin::LocalUser,
            self.users.clone(),
            Arc::new(move || telling.now()),
            Arc::new(|| {}),
        );
        let config = SessionConfig {
            scram_nonce: None,
            binding: None,
            name: "Mailtide".to_owned(),
            version: "sim".to_owned(),
            plaintext_login: true,
            tokens: true,
            starttls: false,
            capabilities: Capabilities::all(),
        };
        Box::new(ImapSession::new(config, backend, clock.now()))
    }

    /// A session of the local submission server.
    pub fn submission(&self) -> Box<dyn Conversation> {
        let sending = Arc::new(SendingUsers(self.users.clone()));
        let backend = SubmissionBackend::new(self.store.clone(), sending.clone(), sending, self.sequence.clone());
        let config = SmtpConfig {
            hostname: "localhost".to_owned(),
            peer: "127.0.0.1".to_owned(),
            role: Role::Submission { anonymous: false },
            tls: Tls::Absent,
            plaintext_auth: true,
            scram_nonce: None,
            message_max_bytes: 1_000_000,
            hold_max_seconds: 0,
            greet_delay_ms: 0,
            tarpit_ms: 0,
        };
        Box::new(SmtpSession::new(backend, config))
    }
}
