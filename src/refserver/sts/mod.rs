//! MTA-STS (RFC 8461): a domain can say that its mail goes under TLS only, and to which servers. Policies are looked for
//! before mail is handed over, and kept in the data folder until their time is over.
//!
//! [`policy`] reads and decides; here it is asked: the record in DNS, the policy by HTTPS from the domain's own host.

mod policy;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::lanes::Lanes;
use super::route::Dns;
use crate::net::Clock;
use crate::net::tls::write_private;
use crate::upstream::http::{self, Request};
use crate::upstream::{ClientTls, Endpoint, TlsMode, TrustError};
use policy::{Failed, Fetched, must_fetch};
pub use policy::{Mode, Policy};

/// Policies kept; the oldest make room.
const POLICIES_MAX: usize = 10_000;

/// HTTPS.
pub const HTTPS_PORT: u16 = 443;

/// Whose certificates are believed: the system's roots, read when first needed, and one more.
#[derive(Clone, Default)]
pub struct Trust(Arc<OnceLock<ClientTls>>);

impl Trust {
    /// The system's roots and those in `extra_ca`, a PEM file's bytes.
    pub fn with(extra_ca: &[u8]) -> Result<Self, TrustError> {
        Ok(Self(Arc::new(OnceLock::from(ClientTls::new(Some(extra_ca))?))))
    }

    /// TLS that knows to whom.
    pub fn tls(&self) -> ClientTls {
        self.0.get_or_init(|| ClientTls::new(None).expect("only an extra root can be wrong")).clone()
    }
}

/// The policies of other domains.
pub struct Policies {
    dns: Dns,
    trust: Trust,
    https_port: u16,
    clock: Clock,
    file: PathBuf,
    known: Mutex<Known>,
    /// One look at a domain at once.
    looks: Lanes,
}

#[derive(Default)]
struct Known {
    fetched: BTreeMap<String, Fetched>,
    failed: BTreeMap<String, Failed>,
}

impl Policies {
    /// With the policies that `file` keeps.
    pub fn open(dns: Dns, trust: Trust, https_port: u16, clock: Clock, file: PathBuf) -> Self {
        let fetched = match std::fs::read(&file).map(|bytes| serde_json::from_slice(&bytes)) {
            Ok(Ok(fetched)) => fetched,
            Ok(Err(error)) => {
                tracing::warn!(file = %file.display(), %error, "the kept MTA-STS policies cannot be read and are fetched anew");
                BTreeMap::new()
            }
            Err(_) => BTreeMap::new(),
        };
        let known = Mutex::new(Known { fetched, failed: BTreeMap::new() });
        Self { dns, trust, https_port, clock, file, known, looks: Lanes::each_of(1) }
    }

    /// What that domain, in lower case, wants; `None`: nothing, or it cannot be told.
    pub async fn of(&self, domain: &str) -> Option<Policy> {
        if domain.is_empty() || domain.starts_with('[') {
            return None;
        }
        let id = policy::id(&self.dns.texts(&format!("_mta-sts.{domain}")).await);
        let _look = self.looks.enter(domain).await;
        let now = self.clock.now();
        let is_due = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            must_fetch(id.as_deref(), known.fetched.get(domain), known.failed.get(domain), now)
        };
        if let Some(id) = id.filter(|_| is_due) {
            let got = self.fetch(domain).await;
            self.note(domain, id, got);
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = known.fetched.get(domain).filter(|fetched| fetched.is_fresh(now));
        fresh.map(|fetched| fetched.policy.clone()).filter(|policy| policy.mode != Mode::None)
    }

    /// RFC 8461 section 3.3: from the domain's own host, whose certificate must be good; redirects are not followed.
    async fn fetch(&self, domain: &str) -> Result<Policy, String> {
        let host = format!("mta-sts.{domain}");
        let endpoint = Endpoint { host, port: self.https_port, tls: TlsMode::Implicit, allow_plaintext: false };
        let request = Request { path: "/.well-known/mta-sts.txt", accept: "text/plain", form: None };
        let response = http::ask(&self.dns, &endpoint, &self.trust.tls(), request).await;
        let response = response.map_err(|error| error.to_string())?;
        match (response.status, response.media_type.as_str()) {
            (200, "text/plain") => {}
            (200, other) => return Err(format!("it is {other:?} and not text/plain")),
            (status, _) => return Err(format!("the answer is {status}")),
        }
        let policy = std::str::from_utf8(&response.body).ok().and_then(Policy::parse);
        policy.ok_or_else(|| "what came is no policy".to_owned())
    }

    fn note(&self, domain: &str, id: String, got: Result<Policy, String>) {
        let now = self.clock.now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match got {
            Ok(policy) => {
                tracing::info!(domain, id, mode = ?policy.mode, "a new MTA-STS policy");
                known.failed.remove(domain);
                known.fetched.retain(|_, fetched| fetched.is_fresh(now));
                if known.fetched.len() >= POLICIES_MAX {
                    let oldest = known.fetched.iter().min_by_key(|(_, fetched)| fetched.at_ms);
                    let oldest = oldest.map(|(domain, _)| domain.clone()).unwrap_or_default();
                    known.fetched.remove(&oldest);
                }
                known.fetched.insert(domain.to_owned(), Fetched { id, policy, at_ms: now.unix_ms() });
                if let Err(error) = keep(&self.file, &known.fetched) {
                    tracing::warn!(file = %self.file.display(), %error, "MTA-STS policies are not kept over a restart");
                }
            }
            Err(cause) => {
                tracing::warn!(domain, id, cause, "the domain's MTA-STS policy cannot be had");
                if known.failed.len() >= POLICIES_MAX {
                    known.failed.clear();
                }
                known.failed.insert(domain.to_owned(), Failed { id, at: now });
            }
        }
    }
}

fn keep(file: &std::path::Path, fetched: &BTreeMap<String, Fetched>) -> std::io::Result<()> {
    write_private(file, &serde_json::to_vec(fetched)?)
}
