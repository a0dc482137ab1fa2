//! Who a message from elsewhere is really from: SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 9989), and what follows from it.
//!
//! Everything found is told in one Authentication-Results field (RFC 8601). Whether it counts for more is the
//! configuration's: a message is refused only where its own domain asks for that, or says that the client may not send
//! for it. What DNS does not tell now never counts against a message.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dmarc::Policy as DmarcPolicy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, AuthenticationResults, DkimResult, DmarcOutput, DmarcResult, MessageAuthenticator, SpfResult,
};

use crate::config::server::CheckSenders;
use crate::smtp::reply::Refusal;
use crate::types::limits;

/// All questions about one message together.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is done about senders.
pub struct Senders {
    /// `None`: not configured, which marks what comes from elsewhere and leaves alone what comes from this machine.
    mode: Option<CheckSenders>,
    checker: Arc<dyn Checker>,
    /// Octets of messages that are held to be checked.
    held: Arc<AtomicU64>,
}

/// Finds out. A seam for tests.
pub trait Checker: Send + Sync {
    /// Waits for DNS.
    fn check(&self, client: &Client, message: &[u8]) -> Findings;
}

/// Who hands a message over, by its own account.
#[derive(Debug, Clone)]
pub struct Client {
    pub address: IpAddr,
    pub helo: String,
    /// Empty: the null reverse-path.
    pub mail_from: String,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Findings {
    /// The Authentication-Results field, line end included.
    pub field: String,
    pub facts: Facts,
}

/// What is decided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The domain of MAIL says that the client may not send for it.
    pub spf_fails: bool,
    /// A signature is good, whoever signed.
    pub dkim_passes: bool,
    pub dmarc: Dmarc,
}

/// What the domain in From wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dmarc {
    /// It says nothing.
    Silent,
    Passes,
    /// It is not from there, and that domain lets it be.
    Fails,
    FailsToJunk,
    FailsToRefuse,
    /// DNS does not tell now.
    Unknown,
}

/// What becomes of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    Take,
    Junk,
    Refuse(Refusal),
}

impl Senders {
    pub fn new(mode: Option<CheckSenders>, checker: Arc<dyn Checker>) -> Self {
        Self { mode, checker, held: Arc::default() }
    }

    /// Is mail from there looked at?
    pub fn are_checked_from(&self, address: IpAddr) -> bool {
        match self.mode {
            None => !address.to_canonical().is_loopback(),
            Some(mode) => mode != CheckSenders::Off,
        }
    }

    /// What is found out about a message, and what is to be done with it.
    pub(super) fn judge(&self, client: &Client, message: &[u8]) -> (Findings, Advice) {
        let findings = self.checker.check(client, message);
        let advice = match self.mode {
            Some(CheckSenders::Enforce) => advise(findings.facts),
            _ => Advice::Take,
        };
        (findings, advice)
    }

    /// Room for a message that is checked once it is complete.
    pub(super) fn hold(&self) -> Held {
        Held { bytes: Vec::new(), all: Arc::clone(&self.held) }
    }
}

/// A message in memory.
pub(super) struct Held {
    pub bytes: Vec<u8>,
    all: Arc<AtomicU64>,
}

impl Held {
    /// Takes the next bytes, if there is room beside the other sessions' messages.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let more = bytes.len() as u64;
        if self.all.fetch_add(more, Ordering::Relaxed) + more > limits::CHECKED_TOTAL_MAX_BYTES {
            self.all.fetch_sub(more, Ordering::Relaxed);
            return Err(Refusal::no_room());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
    }
}

/// What is done where findings count.
fn advise(facts: Facts) -> Advice {
    match facts.dmarc {
        Dmarc::FailsToRefuse => {
            let text = "Not from the domain in From, which asks for such mail to be refused (DMARC)";
            Advice::Refuse(Refusal::permanent(550, "5.7.1", text))
        }
        Dmarc::FailsToJunk => Advice::Junk,
        // RFC 7372 section 3.2. A list or a forwarder breaks SPF and not the signature.
        Dmarc::Silent if facts.spf_fails && !facts.dkim_passes => {
            Advice::Refuse(Refusal::permanent(550, "5.7.23", "The sender's domain does not send from there (SPF)"))
        }
        Dmarc::Silent | Dmarc::Passes | Dmarc::Fails | Dmarc::Unknown => Advice::Take,
    }
}

/// Asks DNS.
pub struct DnsChecker {
    pub authenticator: MessageAuthenticator,
    /// Our name, as the writer of the results.
    pub hostname: String,
    pub runtime: tokio::runtime::Handle,
}

impl Checker for DnsChecker {
    fn check(&self, client: &Client, message: &[u8]) -> Findings {
        let found = async { tokio::time::timeout(PATIENCE, self.ask(client, message)).await };
        self.runtime.block_on(found).unwrap_or_else(|_| {
            tracing::warn!(peer = %client.address, "DNS takes too long: the sender is not checked");
            let field = format!(
                "Authentication-Results: {};\r\n\tspf=temperror;\r\n\tdkim=temperror;\r\n\tdmarc=temperror\r\n",
                self.hostname
            );
            let facts = Facts { spf_fails: false, dkim_passes: false, dmarc: Dmarc::Unknown };
            Findings { field, facts }
        })
    }
}

impl DnsChecker {
    async fn ask(&self, client: &Client, message: &[u8]) -> Findings {
        let Client { address, helo, mail_from } = client;
        // The null reverse-path is checked by the name in EHLO (RFC 7208 section 2.4).
        let spf = SpfParameters::verify_mail_from(*address, helo, &self.hostname, mail_from);
        let spf = self.authenticator.verify_spf(spf).await;
        let mut field =
            AuthenticationResults::new(&self.hostname).with_spf_mailfrom_result(&spf, *address, mail_from, helo);
        let (mut dkim_passes, mut dmarc) = (false, Dmarc::Silent);
        if let Some(message) = AuthenticatedMessage::parse(message) {
            let signatures = self.authenticator.verify_dkim(&message).await;
            let domain = mail_from.rsplit_once('@').map_or(helo.as_str(), |(_, domain)| domain);
            let parameters = DmarcParameters::new(&message, &signatures, domain, &spf);
            let policy = self.authenticator.verify_dmarc(parameters).await;
            dkim_passes = signatures.iter().any(|signature| *signature.result() == DkimResult::Pass);
            dmarc = wanted(&policy);
            field = field.with_dkim_results(&signatures, message.from()).with_dmarc_result(&policy);
        }
        let facts = Facts { spf_fails: spf.result() == SpfResult::Fail, dkim_passes, dmarc };
        Findings { field: field.to_header(), facts }
    }
}

fn wanted(policy: &DmarcOutput) -> Dmarc {
    match (policy.result(), policy.policy()) {
        (DmarcResult::Pass, _) => Dmarc::Passes,
        (DmarcResult::None, _) => Dmarc::Silent,
        (DmarcResult::TempError(_), _) => Dmarc::Unknown,
        (DmarcResult::Fail(_) | DmarcResult::PermError(_), DmarcPolicy::Reject) => Dmarc::FailsToRefuse,
        (DmarcResult::Fail(_) | DmarcResult::PermError(_), DmarcPolicy::Quarantine) => Dmarc::FailsToJunk,
        (DmarcResult::Fail(_) | DmarcResult::PermError(_), _) => Dmarc::Fails,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_domain_itself_says_counts_against_a_message() {
        let shown = |spf_fails, dkim_passes, dmarc| match advise(Facts { spf_fails, dkim_passes, dmarc }) {
            Advice::Take => 250,
            Advice::Junk => 1,
            Advice::Refuse(refusal) => refusal.reply().code(),
        };
        for (spf_fails, dkim_passes, dmarc, expected) in [
            (false, false, Dmarc::Silent, 250),
            (true, false, Dmarc::Silent, 550),
            (true, true, Dmarc::Silent, 250),
            (true, false, Dmarc::Passes, 250),
            (true, false, Dmarc::Fails, 250),
            (true, false, Dmarc::Unknown, 250),
            (false, true, Dmarc::FailsToJunk, 1),
            (false, true, Dmarc::FailsToRefuse, 550),
        ] {
            assert_eq!(shown(spf_fails, dkim_passes, dmarc), expected, "{spf_fails} {dkim_passes} {dmarc:?}");
        }
    }

    #[test]
    fn messages_held_have_one_bound_together() {
        struct Nothing;
        impl Checker for Nothing {
            fn check(&self, _: &Client, _: &[u8]) -> Findings {
                unreachable!("nothing is complete")
            }
        }
        let senders = Senders::new(Some(CheckSenders::Mark), Arc::new(Nothing));
        senders.held.store(limits::CHECKED_TOTAL_MAX_BYTES - 10, Ordering::Relaxed);
        let (mut first, mut second) = (senders.hold(), senders.hold());
        assert!(first.push(b"123456").is_ok());
        assert_eq!(second.push(b"123456"), Err(Refusal::no_room()));
        drop(first);
        assert!(second.push(b"123456").is_ok());
    }
}
