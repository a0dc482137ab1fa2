//! The server: refserver's sessions and delivery on a store of their own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mailtide::imap::server::{Capabilities, Capability, Session as ImapSession, SessionConfig};
use mailtide::net::Clock;
use mailtide::pop3::server as pop3;
use mailtide::refserver::delivery::{Delivery, DeliveryBackend};
use mailtide::refserver::faults::{Faults, Quirky};
use mailtide::refserver::policy::{Policy, Sent};
use mailtide::refserver::post::Seen;
use mailtide::serve::imap::MailBackend;
use mailtide::serve::pop3::{MaildropBackend, Maildrops};
use mailtide::serve::submission::Sequence;
use mailtide::smtp::server::{Config as SmtpConfig, Role, Session as SmtpSession, Tls};
use mailtide::store::{self, Fate, Moment, Origin, Store};
use mailtide::types::{AccountId, Conversation, Event, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::agent::{IMAP_PORT, POP3_PORT, SMTP_PORT};
use super::network::{Accept, End, Network};
use super::random::Random;
use super::template::{self, DOMAIN};
use super::trace::Trace;

/// The server's machine.
pub struct Server {
    folder: tempfile::TempDir,
    clock: Clock,
    trace: Trace,
    network: Network,
    pub capabilities: Capabilities,
    pub faults: Faults,
    pub posts_per_hour: Option<u32>,
    /// How long it may take over what it read, and what decides how long it does.
    pub slow: Slow,
    pub running: Option<Running>,
    /// What it was when it was backed up.
    backup: Option<tempfile::TempDir>,
    was_restored: bool,
    commits: Arc<Commits>,
}

/// Counts the commits of a store, over all its openings.
#[derive(Default)]
struct Commits(AtomicU64);

impl Fate for Commits {
    fn at(&self, moment: Moment) -> store::Result<()> {
        if matches!(moment, Moment::AfterCommit { .. }) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// The server, running.
pub struct Running {
    pub store: Store,
    shared: Arc<Shared>,
}

struct Shared {
    delivery: Arc<Delivery>,
    clock: Clock,
    capabilities: Capabilities,
    faults: Faults,
    maildrops: Maildrops,
    connections: Mutex<Vec<AbortHandle>>,
    slow: Slow,
}

/// How slow a server is.
#[derive(Clone, Default)]
pub struct Slow(Option<(u64, Arc<Mutex<Random>>)>);

impl Slow {
    /// It takes up to so long over most of the pieces that it reads with something to be written.
    pub fn up_to(ms: u64, seed: u64) -> Self {
        Self((ms > 0).then(|| (ms, Arc::new(Mutex::new(Random::stream(seed, "slow"))))))
    }

    const fn is_slow(&self) -> bool {
        self.0.is_some()
    }

    fn over_a_piece(&self, piece: &[u8]) -> Option<Duration> {
        const WRITES: [&[u8]; 5] = [b" APPEND ", b" COPY ", b" MOVE ", b" STORE ", b" EXPUNGE "];
        let (most_ms, random) = self.0.as_ref()?;
        let is_one = |window: &[u8]| WRITES.iter().any(|write| window.starts_with(write));
        let writes = (0..piece.len()).any(|at| is_one(&piece[at..]));
        if !writes {
            return None;
        }
        let mut random = random.lock().unwrap_or_else(PoisonError::into_inner);
        random.percent(70).then(|| Duration::from_millis(random.below(*most_ms + 1)))
    }
}

impl Server {
    pub fn new(capabilities: Capabilities, faults: Faults, clock: Clock, trace: Trace, network: Network) -> Self {
        let folder = template::folder();
        template::copy(&template::template().server, folder.path());
        // What is compressed nobody can read.
        let capabilities = match trace.is_loud() {
            true => capabilities.without(Capability::CompressDeflate),
            false => capabilities,
        };
        Self {
            folder,
            clock,
            trace,
            network,
            capabilities,
            faults,
            posts_per_hour: None,
            slow: Slow::default(),
            running: None,
            backup: None,
            was_restored: false,
            commits: Arc::default(),
        }
    }

    pub fn start(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        let (options, fate) = (template::options("refserver"), Arc::clone(&self.commits));
        let opened = Store::open_under(self.folder.path(), &options, self.clock.now(), fate);
        let store = opened.expect("the server's store");
        let delivery = Delivery {
            store: store.clone(),
            users: template::template().users.clone(),
            hostname: DOMAIN.to_owned(),
            seen: Seen::default(),
            sequence: Sequence::default(),
            policy: Policy { messages_per_hour: self.posts_per_hour, ..Policy::default() },
            sent: Sent::default(),
            senders: None,
        };
        let shared = Arc::new(Shared {
            delivery: Arc::new(delivery),
            clock: self.clock.clone(),
            capabilities: self.faults.capabilities(self.capabilities),
            faults: self.faults.clone(),
            maildrops: Maildrops::default(),
            connections: Mutex::default(),
            slow: self.slow.clone(),
        });
        let accepting = Arc::clone(&shared);
        let accept: Accept = Arc::new(move |port, end| accepting.accept(port, end));
        self.network.set_accept(Some(accept));
        self.running = Some(Running { store, shared });
    }

    /// Every connection breaks; what was acknowledged is on its disk.
    pub fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        self.trace.tell("the server stops");
        self.network.set_accept(None);
        self.network.drop_all();
        for connection in running.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            connection.abort();
        }
    }

    /// Keeps a copy of everything as it is now.
    pub fn back_up(&mut self) {
        let folder = template::folder();
        template::copy(self.folder.path(), folder.path());
        self.backup = Some(folder);
    }

    pub const fn has_backup(&self) -> bool {
        self.backup.is_some()
    }

    /// Makes it what it was when it was backed up. It must not run.
    pub fn restore(&mut self) {
        assert!(self.running.is_none(), "it runs");
        if let Some(backup) = self.backup.take() {
            self.folder = backup;
            self.was_restored = true;
        }
    }

    pub const fn was_restored(&self) -> bool {
        self.was_restored
    }

    /// Every commit changes this number.
    pub fn commits(&self) -> u64 {
        self.commits.0.load(Ordering::SeqCst)
    }

    pub fn store(&self) -> &Store {
        &self.running.as_ref().expect("the server runs").store
    }

    pub fn account(&self, user: &str) -> AccountId {
        template::template().users.mailbox(user).expect("a user")
    }

    /// Lets the user hold nothing more, or as much as they like.
    pub fn set_full(&self, user: &str, is_full: bool) {
        let (account, limit) = (self.account(user), is_full.then_some(1));
        let set =
            self.store().write(Origin::Authority, self.clock.now(), move |txn| txn.set_quota(account, limit, None));
        set.unwrap_or_else(|error| panic!("a quota: {error}"));
    }

    /// A session of a mail program that talks to the server directly.
    pub fn imap(&self) -> Box<dyn Conversation> {
        let shared = &self.running.as_ref().expect("the server runs").shared;
        Box::new(shared.imap(Capabilities::all(), Arc::new(|| {})))
    }

    /// A session of another mail server that brings mail.
    pub fn mx(&self) -> Box<dyn Conversation> {
        Box::new(self.running.as_ref().expect("the server runs").shared.smtp(Role::Mx))
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, port: u16, end: End) {
        let woken = Arc::new(Notify::new());
        let waking = Arc::clone(&woken);
        let session: Box<dyn Conversation> = match port {
            IMAP_PORT => {
                let session = self.imap(self.capabilities, Arc::new(move || waking.notify_one()));
                match self.faults.is_empty() {
                    true => Box::new(session),
                    false => Box::new(Quirky::new(session, &self.faults)),
                }
            }
            SMTP_PORT => Box::new(self.smtp(Role::Submission { anonymous: false })),
            POP3_PORT => Box::new(self.pop3()),
            other => panic!("nobody listens on port {other}"),
        };
        let clock = self.clock.clone();
        let slow = if port == IMAP_PORT { self.slow.clone() } else { Slow::default() };
        let task = tokio::spawn(drive(end, session, clock, woken, slow));
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| !connection.is_finished());
        connections.push(task.abort_handle());
    }

    fn imap(&self, capabilities: Capabilities, wake: mailtide::store::Wake) -> ImapSession<MailBackend> {
        let clock = self.clock.clone();
        let users = self.delivery.users.clone();
        let backend = MailBackend::new(
            self.delivery.store.clone(),
            Origin::Authority,
            users,
            Arc::new(move || clock.now()),
            wake,
        )
        .with_labels(self.faults.all_mail());
        let config = SessionConfig {
            scram_nonce: None,
            binding: None,
            name: self.faults.server_name().unwrap_or("Mailtide refserver").to_owned(),
            version: "sim".to_owned(),
            plaintext_login: true,
            tokens: true,
            starttls: false,
            capabilities,
        };
        ImapSession::new(config, backend, self.clock.now())
    }

    fn pop3(&self) -> pop3::Session<MaildropBackend> {
        let store = self.delivery.store.clone();
        let users = self.delivery.users.clone();
        let config = pop3::Config {
            hostname: DOMAIN.to_owned(),
            tls: pop3::Tls::Absent,
            plaintext_auth: true,
            scram_nonce: None,
            binding: None,
            login_delay_seconds: 0,
            tarpit_ms: 0,
        };
        pop3::Session::new(MaildropBackend::new(store, Origin::Authority, users, self.maildrops.clone()), config)
    }

    fn smtp(&self, role: Role) -> SmtpSession<DeliveryBackend> {
        let config = SmtpConfig {
            hostname: DOMAIN.to_owned(),
            peer: "192.0.2.1".to_owned(),
            role,
            tls: Tls::Absent,
            plaintext_auth: true,
            scram_nonce: None,
            message_max_bytes: 1_000_000,
            hold_max_seconds: 0,
            greet_delay_ms: 0,
            tarpit_ms: 0,
        };
        SmtpSession::new(DeliveryBackend::new(self.delivery.clone(), role), config)
    }
}

/// Drives one session over its end of a connection, as `net::pump` does it over a socket.
async fn drive(mut end: End, mut session: Box<dyn Conversation>, clock: Clock, woken: Arc<Notify>, slow: Slow) {
    let mut input = vec![0; 16 * 1024];
    loop {
        // Who is slow notices late that nobody hears the answers: what was read is done.
        let mut is_heard = true;
        loop {
            let mut output = Vec::new();
            let step = session.poll_output(clock.now(), &mut output);
            if is_heard && !output.is_empty() {
                is_heard = end.write_all(&output).await.is_ok();
            }
            let is_done = !matches!(step, Step::Continue);
            if !is_heard && (is_done || !slow.is_slow()) {
                session.handle_event(Event::PeerClosed, clock.now());
                let _ = session.poll_output(clock.now(), &mut Vec::new());
                return;
            }
            match step {
                Step::Continue => {}
                Step::Wait | Step::Hold => break,
                Step::Close | Step::StartTls => {
                    let _ = end.shutdown().await;
                    return;
                }
            }
        }
        let deadline = session.deadline().map(|moment| clock.until(moment));
        let late = async {
            match deadline {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            read = end.read(&mut input) => match read {
                Ok(count) if count > 0 => {
                    if let Some(wait) = slow.over_a_piece(&input[..count]) {
                        tokio::time::sleep(wait).await;
                    }
                    session.handle_input(&input[..count], clock.now());
                }
                Ok(_) | Err(_) => {
                    session.handle_event(Event::PeerClosed, clock.now());
                    let _ = session.poll_output(clock.now(), &mut Vec::new());
                    return;
                }
            },
            () = woken.notified() => session.handle_event(Event::Changed, clock.now()),
            () = late => session.handle_event(Event::Deadline, clock.now()),
        }
    }
}
