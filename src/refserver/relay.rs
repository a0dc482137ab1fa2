//! Mail of our users for other domains: one engine a user works off their queue, each domain's mail goes to that
//! domain's servers, what fails comes back as a report in the user's INBOX.
//!
//! The queue is the store's outbox; states, retries and reports are `outbox`'s. Here is only where mail goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use mail_auth::common::to_a_label;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::dkim::Signer;
use super::home::Home;
use super::lanes::Lanes;
use super::route::{self, Dns, Local, Resolve, Route, Routes};
use super::sts::{Mode, Policies, Trust};
use crate::net::{Chance, Clock, Shutdown};
use crate::outbox::engine::{Engine, Progress, SentCopy, Settings, World};
use crate::outbox::sender::{Envelope, Farewell, HandedOver, Outcome, Reply, SendError, Sender};
use crate::store::{Origin, Store};
use crate::types::{AccountId, ByteSource};
use crate::upstream::smtp::Kept;
use crate::upstream::{ClientTls, Endpoint, SmtpSender, TlsMode};

/// Sends mail to whoever takes mail for its recipients' domains.
pub struct RelaySender<R, H> {
    pub routes: Routes,
    pub dns: R,
    /// Our name: in EHLO, and to know ourselves among a domain's mail exchangers.
    pub hostname: String,
    pub hosts: H,
    /// Where other domains' servers listen.
    pub mx_port: u16,
    pub chance: Chance,
    /// Signs what leaves.
    pub signer: Option<Arc<Signer>>,
    pub lanes: Lanes,
    /// What other domains want of those who bring them mail; `None`: they are not asked.
    pub policies: Option<Policies>,
    /// Takes what is for our own domain.
    pub home: Option<Home>,
}

/// Makes the sender for one host: a seam for tests.
pub trait Hosts: Send + Sync {
    type Host: Sender;

    fn host(&self, host: &str, port: u16, hello_name: &str, proof: Proof) -> Self::Host;
}

/// Must a host prove who it is?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Whoever answers there gets the mail.
    NotAsked,
    /// By a certificate of that name (RFC 8461 section 4.2); without it no mail.
    Required,
}

/// Real mail exchangers.
pub struct MailExchangers {
    pub dial: Dns,
    pub tls: ClientTls,
    /// Where they offer no TLS they get no mail. Else TLS is taken where it is offered (RFC 7435).
    pub require_tls: bool,
    /// Connections for the next message.
    pub kept: Kept,
    /// For those who must prove who they are: what they are believed by, and the connections on which they did.
    pub trust: Trust,
    pub proved: Kept,
}

impl Hosts for MailExchangers {
    type Host = SmtpSender<Dns>;

    fn host(&self, host: &str, port: u16, hello_name: &str, proof: Proof) -> SmtpSender<Dns> {
        let require_tls = self.require_tls || proof == Proof::Required;
        let mode = if require_tls { TlsMode::StartTls } else { TlsMode::Opportunistic };
        let endpoint = Endpoint { host: host.to_owned(), port, tls: mode, allow_plaintext: !require_tls };
        let (tls, kept) = match proof {
            Proof::NotAsked => (self.tls.clone(), &self.kept),
            Proof::Required => (self.trust.tls(), &self.proved),
        };
        let sender = SmtpSender::new(self.dial.clone(), endpoint, tls, None, hello_name);
        SmtpSender { kept: Some(kept.clone()), ..sender }
    }
}

impl<R: Resolve, H: Hosts> Sender for RelaySender<R, H> {
    async fn send(&self, envelope: &Envelope, bytes: &mut dyn ByteSource) -> Result<Vec<Outcome>, SendError> {
        Ok(self.hand_over(envelope, bytes).await?.and_leave().await)
    }

    async fn hand_over(&self, envelope: &Envelope, bytes: &mut dyn ByteSource) -> Result<HandedOver, SendError> {
        let Some(signer) = &self.signer else { return self.hand_over_signed(envelope, bytes).await };
        let signed = signer.sign(bytes).map_err(|error| SendError::Local(error.to_string()));
        self.hand_over_signed(envelope, &mut signed?).await
    }
}

impl<R: Resolve, H: Hosts> RelaySender<R, H> {
    /// Each domain's mail to that domain.
    async fn hand_over_signed(&self, envelope: &Envelope, bytes: &mut dyn ByteSource) -> Result<HandedOver, SendError> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; envelope.recipients.len()];
        let mut farewell: Vec<Farewell> = Vec::new();
        let domains = by_domain(envelope);
        let only_one = domains.len() == 1;
        for (domain, places) in domains {
            let part = envelope.part(&places);
            let handed_over = match self.home.as_ref().filter(|home| home.is_of(&domain)) {
                Some(home) => home.deliver(&part, bytes),
                None => self.send_in_lane(&domain, &part, bytes, only_one).await?,
            };
            farewell.extend(handed_over.farewell);
            for (place, outcome) in places.iter().zip(handed_over.outcomes) {
                outcomes[*place] = Some(outcome);
            }
        }
        let forgotten = || Outcome::Deferred(Reply::own(451, "4.3.0", "no answer for this recipient"));
        let outcomes = outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(forgotten)).collect();
        Ok(HandedOver { outcomes, farewell })
    }

    /// Sends to a domain, beside a few others at most.
    async fn send_in_lane(
        &self,
        domain: &str,
        envelope: &Envelope,
        bytes: &mut dyn ByteSource,
        is_only_domain: bool,
    ) -> Result<HandedOver, SendError> {
        let lane = self.lanes.enter(domain).await;
        let mut handed_over = self.send_to_domain(domain, envelope, bytes).await?;
        if is_only_domain {
            // Who comes next finds the connection. With more domains the lane would wait for the slowest of them.
            handed_over.farewell.push(Box::pin(async move { drop(lane) }));
        }
        Ok(handed_over)
    }

    /// Tries the domain's hosts in order until one answers. Only trouble with our own disk is an error.
    async fn send_to_domain(
        &self,
        domain: &str,
        envelope: &Envelope,
        bytes: &mut dyn ByteSource,
    ) -> Result<HandedOver, SendError> {
        let all = |outcome: Outcome| {
            let outcomes = vec![outcome; envelope.recipients.len()];
            Ok(HandedOver { outcomes, farewell: Vec::new() })
        };
        let local = Local { own_name: &self.hostname, port: self.mx_port, chance: self.chance.number() };
        let hosts = match route::find(domain, &self.routes, &self.dns, local).await {
            Route::Hosts(hosts) => hosts,
            Route::Never(reply) => return all(Outcome::Failed(reply)),
            Route::Later(reply) => return all(Outcome::Deferred(reply)),
        };
        let (hosts, proof) = self.as_wanted(domain, hosts).await;
        if hosts.is_empty() {
            let text = format!("no mail server of {domain} is one that its MTA-STS policy names");
            return all(Outcome::Deferred(Reply::own(451, "4.7.0", text)));
        }
        let mut last = Reply::own(451, "4.4.1", format!("no mail server of {domain} answers"));
        for (host, port) in hosts {
            match self.hosts.host(&host, port, &self.hostname, proof).hand_over(envelope, bytes).await {
                Ok(handed_over) => return Ok(handed_over),
                Err(error @ (SendError::Local(_) | SendError::LocalForNow(_))) => return Err(error),
                // It may have taken the message: another of its hosts must not get it as well.
                Err(error @ SendError::AnswerLost { .. }) => {
                    return all(Outcome::Deferred(Reply::own(451, "4.4.2", error.to_string())));
                }
                Err(SendError::Refused { reply, .. }) => last = reply,
                Err(error) => last = Reply::own(451, "4.4.1", error.to_string()),
            }
        }
        all(Outcome::Deferred(last))
    }

    /// The hosts that the domain wants its mail to go to, and what is asked of them (RFC 8461 section 5). Where a static
    /// route says where mail goes, nobody else does.
    async fn as_wanted(&self, domain: &str, hosts: Vec<(String, u16)>) -> (Vec<(String, u16)>, Proof) {
        let policies = self.policies.as_ref().filter(|_| !self.routes.contains_key(domain));
        let policy = match policies {
            Some(policies) => policies.of(domain).await,
            None => None,
        };
        match policy {
            Some(policy) if policy.mode == Mode::Enforce => {
                (hosts.into_iter().filter(|(host, _)| policy.names(host)).collect(), Proof::Required)
            }
            _ => (hosts, Proof::NotAsked),
        }
    }
}

/// The places of the recipients in each domain, as DNS has its name.
fn by_domain(envelope: &Envelope) -> BTreeMap<String, Vec<usize>> {
    let mut domains: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, recipient) in envelope.recipients.iter().enumerate() {
        let domain = recipient.address.rsplit_once('@').map_or("", |(_, domain)| domain);
        domains.entry(to_a_label(domain).to_ascii_lowercase()).or_default().push(place);
    }
    domains
}

/// Shares one sender among the users' engines.
struct Shared<S>(Arc<S>);

impl<S: Sender> Sender for Shared<S> {
    fn send(
        &self,
        envelope: &Envelope,
        bytes: &mut dyn ByteSource,
    ) -> impl Future<Output = Result<Vec<Outcome>, SendError>> + Send {
        self.0.send(envelope, bytes)
    }

    fn hand_over(
        &self,
        envelope: &Envelope,
        bytes: &mut dyn ByteSource,
    ) -> impl Future<Output = Result<HandedOver, SendError>> + Send {
        self.0.hand_over(envelope, bytes)
    }
}

/// How long a queue rests at most: a clock that was set back must not make it sleep for days.
const REST_MAX: Duration = Duration::from_secs(600);

/// How long mail that is through with is kept, for those who ask what became of it.
const QUEUE_MEMORY_MS: i64 = 7 * 24 * 60 * 60_000;

/// Messages of one user on their way at once: a server that takes its time holds up no other's mail.
const ATTEMPTS_AT_ONCE: usize = 10;

/// Looks into one queue under way at once: new mail goes out beside a look that still waits for a slow server.
const LOOKS_AT_ONCE: usize = 5;

/// Rest after our own disk failed.
const REST_AFTER_TROUBLE: Duration = Duration::from_secs(30);

/// The users' queues.
pub struct Queues<S> {
    pub store: Store,
    pub accounts: Vec<AccountId>,
    pub sender: S,
    /// Our name in reports.
    pub hostname: String,
    pub clock: Clock,
}

impl<S: Sender + 'static> Queues<S> {
    /// Works off every queue, on a thread of its own since it waits for the store, until `shutdown`. An attempt that
    /// is cut off then is made again at the next start.
    pub fn start(self, shutdown: Shutdown) -> JoinHandle<()> {
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = self.work_off() => {}
                    () = shutdown.requested() => {}
                }
            });
        })
    }

    async fn work_off(self) {
        let Self { store, accounts, sender, hostname, clock } = self;
        let sender = Arc::new(sender);
        let queues = accounts.into_iter().map(|account| {
            let settings = Settings {
                origin: Origin::Authority,
                hostname: hostname.clone(),
                sent_copy: SentCopy::AfterLooking,
                attempts_at_once: ATTEMPTS_AT_ONCE,
            };
            work_off_one(store.clone(), account, Arc::clone(&sender), settings, &clock)
        });
        join_all(queues).await;
    }
}

/// Works off one user's queue for ever.
async fn work_off_one<S: Sender>(store: Store, account: AccountId, sender: Arc<S>, settings: Settings, clock: &Clock) {
    let woken = Arc::new(Notify::new());
    let wake = Arc::clone(&woken);
    let _watch = store.watch(account, Arc::new(move || wake.notify_one()));
    let engine = loop {
        let opened = Engine::new(store.clone(), account, Shared(Arc::clone(&sender)), settings.clone(), clock.now());
        match opened.and_then(|engine| engine.hasten(clock.now()).map(|()| engine)) {
            Ok(engine) => break engine,
            // A disk that is full now has room later.
            Err(error) => tracing::error!(%account, %error, "the queue cannot be opened; it is tried again"),
        }
        tokio::time::sleep(REST_AFTER_TROUBLE).await;
    };
    let mut looks = FuturesUnordered::new();
    looks.push(run(&engine, clock));
    let mut rest = REST_MAX;
    loop {
        tokio::select! {
            Some(looked) = looks.next() => {
                rest = looked.unwrap_or_else(|error| {
                    tracing::error!(%account, %error, "the queue cannot be worked off");
                    REST_AFTER_TROUBLE
                });
                continue;
            }
            // Mail for INBOX wakes as well and finds nothing due.
            () = woken.notified() => {}
            () = tokio::time::sleep(rest) => rest = REST_MAX,
        }
        if looks.len() < LOOKS_AT_ONCE {
            looks.push(run(&engine, clock));
        }
    }
}

/// Sends what is due. Gives how long nothing will be.
async fn run<S: Sender>(engine: &Engine<S>, clock: &Clock) -> crate::store::Result<Duration> {
    let chance = Chance::system();
    let progress =
        engine.run_due(World { now: &|| clock.now(), chance: &|| chance.number(), goes_on: &|| true }).await?;
    if progress != Progress::default() {
        let now = clock.now();
        engine.forget(now.plus_ms(-QUEUE_MEMORY_MS), now)?;
    }
    let due = engine.next_due()?;
    Ok(due.map_or(REST_MAX, |due| clock.until(due).min(REST_MAX)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::store::{Error, Executor, Fate, Moment, NewSubmission, Options};
    use crate::types::Timestamp;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

    /// A disk that has no room for so many commits.
    struct Full(AtomicUsize);

    impl Fate for Full {
        fn at(&self, moment: Moment) -> crate::store::Result<()> {
            let is_refused = |left: usize| (moment == Moment::BeforeCommit).then(|| left.checked_sub(1)).flatten();
            match self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, is_refused) {
                Ok(_) => Err(Error::DISK_FULL),
                Err(_) => Ok(()),
            }
        }
    }

    /// Takes everything, and tells.
    struct Taking(Arc<Notify>);

    impl Sender for Taking {
        async fn send(&self, envelope: &Envelope, _: &mut dyn ByteSource) -> Result<Vec<Outcome>, SendError> {
            self.0.notify_one();
            Ok(vec![Outcome::Accepted(Reply::own(250, "2.0.0", "taken")); envelope.recipients.len()])
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_for_which_the_disk_has_no_room_at_the_start_is_worked_off_once_there_is() {
        for commits_refused in 1..4 {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let options = Options { executor: Executor::Inline, program: "test".to_owned(), max_bytes: None };
            let disk = Arc::new(Full(AtomicUsize::new(0)));
            let store = Store::open_under(folder.path(), &options, NOW, disk.clone()).expect("a new store");
            let account = store.write(Origin::Authority, NOW, |txn| txn.ensure_account("ada")).expect("an account");
            let mut upload = store.upload();
            upload.write(b"Message-ID: <1@here>\r\n\r\nHi\r\n").expect("room");
            let new = NewSubmission {
                account,
                content: upload.finish().expect("room"),
                envelope: Envelope::plain("ada@here", &["bob@far.example"]),
                message_id: "<1@here>".to_owned(),
                file: false,
                not_before: None,
            };
            store.write(Origin::Authority, NOW, move |txn| txn.enqueue(&new)).expect("room");
            disk.0.store(commits_refused, Ordering::SeqCst);
            let settings = Settings {
                origin: Origin::Authority,
                hostname: "here".to_owned(),
                sent_copy: SentCopy::AfterLooking,
                attempts_at_once: 1,
            };
            let taken = Arc::new(Notify::new());
            let sender = Arc::new(Taking(Arc::clone(&taken)));
            let clock = Clock::from_fn(|| NOW);
            tokio::select! {
                () = taken.notified() => {}
                () = work_off_one(store.clone(), account, sender, settings, &clock) => panic!("the queue was given up"),
            }
            assert_eq!(disk.0.load(Ordering::SeqCst), 0, "it was refused each time before");
        }
    }
}
