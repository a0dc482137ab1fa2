//! Who a message from elsewhere is really from: SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 9989), and what follows from it.
//!
//! Everything found is told in one Authentication-Results field (RFC 8601). Whether it counts for more is the
//! configuration's: a message is refused only where its own domain asks for that, or says that the client may not send
//! for it. What DNS does not tell now never counts against a message.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hickory_resolver::proto::rr::RData;
use mail_auth::common::to_a_label;
use mail_auth::dmarc::Policy as DmarcPolicy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimResult, DmarcOutput, DmarcResult, MessageAuthenticator, SpfOutput, SpfResult,
};

use super::author::{self, NoAuthor};
use super::results::Results;

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
    /// Waits for DNS. The domains in From are each asked.
    fn check(&self, client: &Client, from: Result<&[String], NoAuthor>, message: &[u8]) -> Findings;
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
///
/// In order: of several domains the strictest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dmarc {
    Passes,
    /// It says nothing.
    Silent,
    /// It is not from there, and that domain lets it be.
    Fails,
    /// DNS does not tell now.
    Unknown,
    FailsToJunk,
    FailsToRefuse,
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
        let from = author::domains(message);
        let findings = self.checker.check(client, from.as_deref().map_err(|why| *why), message);
        let advice = match (self.mode, from) {
            (Some(CheckSenders::Enforce), Ok(_)) => advise(findings.facts),
            // RFC 5322 section 3.6: one From field, with an author in it. What has none could be shown as anyone's.
            (Some(CheckSenders::Enforce), Err(why)) => {
                Advice::Refuse(Refusal::permanent(550, "5.7.1", format!("It cannot be told who this is from: {why}")))
            }
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
    fn check(&self, client: &Client, from: Result<&[String], NoAuthor>, message: &[u8]) -> Findings {
        let found = async { tokio::time::timeout(PATIENCE, self.ask(client, from, message)).await };
        self.runtime.block_on(found).unwrap_or_else(|_| {
            tracing::warn!(peer = %client.address, "DNS takes too long: the sender is not checked");
            let field = Results::of(&self.hostname).nothing_known().finish();
            let facts = Facts { spf_fails: false, dkim_passes: false, dmarc: Dmarc::Unknown };
            Findings { field, facts }
        })
    }
}

impl DnsChecker {
    async fn ask(&self, client: &Client, from: Result<&[String], NoAuthor>, message: &[u8]) -> Findings {
        let spf_domain = client.mail_from.rsplit_once('@').map_or(client.helo.as_str(), |(_, domain)| domain);
        let spf = self.ask_spf(client, spf_domain).await;
        let mut field = Results::of(&self.hostname).spf(&spf.result(), client);
        // Of a message without any header field there is nothing to know.
        let message = AuthenticatedMessage::parse(message).unwrap_or_default();
        let mut dmarc = Dmarc::Silent;
        let signatures = self.authenticator.verify_dkim(&message).await;
        for signature in &signatures {
            let signed = signature.signature().map(|signature| (signature.d.as_str(), signature.s.as_str()));
            field = field.dkim(signature.result(), signed);
        }
        let dkim_passes = signatures.iter().any(|signature| *signature.result() == DkimResult::Pass);
        match from {
            Err(why) => field = field.no_author(why),
            Ok(domains) => {
                let mut found = Vec::with_capacity(domains.len());
                for domain in domains {
                    let author = AuthenticatedMessage { from: vec![format!("author@{domain}")], ..Default::default() };
                    let parameters = DmarcParameters::new(&author, &signatures, spf_domain, &spf);
                    let policy = self.authenticator.verify_dmarc(parameters).await;
                    field = field.dmarc(&policy, domain);
                    found.push(wanted(&policy));
                }
                dmarc = found.into_iter().max().unwrap_or(Dmarc::Silent);
            }
        }
        let facts = Facts { spf_fails: spf.result() == SpfResult::Fail, dkim_passes, dmarc };
        Findings { field: field.finish(), facts }
    }

    /// The null reverse-path is checked by the name in EHLO (RFC 7208 section 2.4).
    async fn ask_spf(&self, client: &Client, domain: &str) -> SpfOutput {
        let Client { address, helo, mail_from } = client;
        if self.has_several_spf_records(domain).await {
            return SpfOutput::new(domain.to_owned()).with_result(SpfResult::PermError);
        }
        self.authenticator.verify_spf(SpfParameters::verify_mail_from(*address, helo, &self.hostname, mail_from)).await
    }

    /// Which of them is meant nobody knows (RFC 7208 section 4.5).
    async fn has_several_spf_records(&self, domain: &str) -> bool {
        let name = format!("{}.", to_a_label(domain).trim_end_matches('.'));
        let Ok(found) = self.authenticator.0.txt_lookup(name).await else { return false };
        let records = found.answers().iter().filter(|record| match &record.data {
            RData::TXT(text) => is_spf_record(&text.txt_data.concat()),
            _ => false,
        });
        records.count() > 1
    }
}

/// `record = version terms *SP`: the version is followed by a space or nothing.
fn is_spf_record(text: &[u8]) -> bool {
    let version = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    version.eq_ignore_ascii_case(b"v=spf1")
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
    fn of_several_domains_the_strictest_counts() {
        use Dmarc::{Fails, FailsToJunk, FailsToRefuse, Passes, Silent, Unknown};
        let mut all = [FailsToRefuse, Silent, Unknown, FailsToJunk, Passes, Fails];
        all.sort();
        assert_eq!(all, [Passes, Silent, Fails, Unknown, FailsToJunk, FailsToRefuse]);
    }

    #[test]
    fn an_spf_record_is_one_by_its_first_word() {
        for (text, is_one) in [
            ("v=spf1 -all", true),
            ("V=SPF1", true),
            ("v=spf10 -all", false),
            ("v=spf1-all", false),
            ("x v=spf1", false),
        ] {
            assert_eq!(is_spf_record(text.as_bytes()), is_one, "{text}");
        }
    }

    #[test]
    fn messages_held_have_one_bound_together() {
        struct Nothing;
        impl Checker for Nothing {
            fn check(&self, _: &Client, _: Result<&[String], NoAuthor>, _: &[u8]) -> Findings {
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
