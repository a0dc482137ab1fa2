//! `--config` of refserver.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mail_auth::common::to_a_label;
use serde::Deserialize;
use toml::Spanned;

use super::error::{ConfigError, Problem, Source};
use super::mailboxes::{RawRetention, RawShared, Retention, Shared};
use super::value::{
    Credential, DelaySeconds, Listen, OwnTls, Password, PollSeconds, Port, TlsIdentity, credential, word,
};
use crate::smtp::address::Address;

/// Everything refserver can be told in a file. What the command line says as well, it says louder.
#[derive(Debug, Clone, Default)]
pub struct ServerConfig {
    pub data: Option<PathBuf>,
    pub domain: Option<String>,
    pub listen: Listeners,
    /// `None`: a certificate of its own, made at first start.
    pub tls: Option<TlsIdentity>,
    pub users: Vec<User>,
    /// Domains whose mail goes to a given host and port, in lower case; others are found by their MX records.
    pub routes: BTreeMap<String, String>,
    /// IMAP capabilities that are not to be offered.
    pub without: Vec<String>,
    /// The provider whose server it is like.
    pub profile: Option<String>,
    /// Seconds between two POP3 logins of a user.
    pub pop3_login_delay: u32,
    /// The DNS server to ask in place of the system's.
    pub dns: Option<SocketAddr>,
    /// Where other domains' servers listen.
    pub mx_port: Option<u16>,
    pub relay_tls: RelayTls,
    /// Other domains' MTA-STS policies are looked for and kept to, unless this says no.
    pub mta_sts: Option<bool>,
    /// Where the hosts of those policies listen.
    pub https_port: Option<u16>,
    /// A PEM file with one more trust root for servers that must prove who they are.
    pub tls_ca: Option<PathBuf>,
    /// More names of users.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// The user who gets what is for nobody.
    pub catch_all: Option<String>,
    /// How many messages a user may send within an hour.
    pub messages_per_hour: Option<u32>,
    /// How long other servers wait for the greeting.
    pub greet_delay_seconds: u32,
    /// How long who makes mistakes waits for an answer. `None`: nothing was said.
    pub tarpit_seconds: Option<u32>,
    /// Users are told by VRFY and EXPN who is here.
    pub vrfy: bool,
    /// `None`: nothing was said.
    pub check_senders: Option<CheckSenders>,
    /// Signs what leaves.
    pub dkim: Option<Dkim>,
    /// Mailboxes that are nobody's.
    pub shared: Vec<Shared>,
    /// How long mailboxes keep their mail.
    pub retention: Vec<Retention>,
}

/// What is done about who mail from elsewhere is really from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckSenders {
    Off,
    /// It is found out and told.
    Mark,
    /// It counts as the sender's domain wants it to.
    Enforce,
}

/// DKIM signatures.
#[derive(Debug, Clone)]
pub struct Dkim {
    /// What the key's DNS record is found by: labels of a domain name.
    pub selector: String,
    /// A private key in PEM; else one is made.
    pub key: Option<PathBuf>,
}

/// TLS to other domains' servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RelayTls {
    /// Where they offer it.
    #[default]
    Opportunistic,
    /// Or no mail.
    Required,
}

/// Addresses to listen on; what is absent is not served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Listeners {
    pub imap: Option<SocketAddr>,
    pub imaps: Option<SocketAddr>,
    pub pop3: Option<SocketAddr>,
    pub pop3s: Option<SocketAddr>,
    pub smtp: Option<SocketAddr>,
    pub lmtp: Option<SocketAddr>,
    pub submission: Option<SocketAddr>,
    pub submissions: Option<SocketAddr>,
}

/// A user made or updated at start.
#[derive(Debug, Clone)]
pub struct User {
    pub name: String,
    pub password: Credential,
    /// An access token that logs in as well.
    pub token: Option<Credential>,
    /// Whose addresses stand in what the user sends, beside the user's own; unsaid, anybody's but those of our own domain.
    pub may_send_as: Option<Vec<SendAs>>,
}

/// An address, or all of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendAs {
    /// `None`: any.
    local_part: Option<String>,
    /// As A-labels.
    domain: String,
}

impl SendAs {
    /// Is the address of these parts, the domain as A-labels, meant? In any case, as names of users are.
    pub fn means(&self, local_part: &str, domain: &str) -> bool {
        self.domain.eq_ignore_ascii_case(domain)
            && self.local_part.as_ref().is_none_or(|meant| meant.eq_ignore_ascii_case(local_part))
    }
}

impl ServerConfig {
    /// Reads a configuration. Relative paths are meant from the folder of `file`.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let source = Source { file, text };
        let raw: Raw = toml::from_str(text).map_err(|error| source.unreadable(&error))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut users = Vec::new();
        for user in raw.user {
            let place = user.span();
            let user = user.into_inner();
            let password = credential(&source, user.password, user.password_command)?
                .ok_or_else(|| source.error(&place, Problem::NoPassword))?;
            let token = credential(&source, user.token, user.token_command)?;
            users.push(User { name: user.name, password, token, may_send_as: user.may_send_as });
        }
        let address = |listen: Option<Listen>| listen.map(|listen| listen.0);
        Ok(Self {
            data: raw.data.map(|path| folder.join(path)),
            domain: raw.domain.map(|name| name.0),
            listen: Listeners {
                imap: address(raw.imap),
                imaps: address(raw.imaps),
                pop3: address(raw.pop3),
                pop3s: address(raw.pop3s),
                smtp: address(raw.smtp),
                lmtp: address(raw.lmtp),
                submission: address(raw.submission),
                submissions: address(raw.submissions),
            },
            tls: raw.tls.and_then(|tls| tls.0).map(|tls| tls.within(folder)),
            users,
            routes: raw.routes.into_iter().map(|(domain, to)| (to_a_label(&domain).to_ascii_lowercase(), to)).collect(),
            without: raw.without,
            profile: raw.profile,
            pop3_login_delay: raw.pop3_login_delay.map_or(0, |seconds| seconds.0),
            dns: address(raw.dns),
            mx_port: raw.mx_port.map(|port| port.0),
            relay_tls: raw.relay_tls.unwrap_or_default(),
            mta_sts: raw.mta_sts,
            https_port: raw.https_port.map(|port| port.0),
            tls_ca: raw.tls_ca.map(|path| folder.join(path)),
            aliases: raw.aliases,
            catch_all: raw.catch_all,
            messages_per_hour: raw.messages_per_hour,
            greet_delay_seconds: raw.greet_delay.map_or(0, |seconds| seconds.0),
            tarpit_seconds: raw.tarpit.map(|seconds| seconds.0),
            vrfy: raw.vrfy,
            check_senders: raw.check_senders,
            shared: raw.shared.into_iter().map(RawShared::parsed).collect(),
            retention: raw
                .retention
                .into_iter()
                .map(|rule| RawRetention::parsed(rule, &source))
                .collect::<Result<_, _>>()?,
            dkim: raw.dkim.map(|dkim| Dkim { selector: dkim.selector.0, key: dkim.key.map(|path| folder.join(path)) }),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    data: Option<PathBuf>,
    domain: Option<DomainName>,
    imap: Option<Listen>,
    imaps: Option<Listen>,
    pop3: Option<Listen>,
    pop3s: Option<Listen>,
    smtp: Option<Listen>,
    submission: Option<Listen>,
    submissions: Option<Listen>,
    tls: Option<OwnTls>,
    #[serde(default)]
    user: Vec<Spanned<RawUser>>,
    #[serde(default)]
    routes: BTreeMap<String, String>,
    #[serde(default)]
    without: Vec<String>,
    profile: Option<String>,
    pop3_login_delay: Option<PollSeconds>,
    dns: Option<Listen>,
    mx_port: Option<Port>,
    relay_tls: Option<RelayTls>,
    mta_sts: Option<bool>,
    https_port: Option<Port>,
    tls_ca: Option<PathBuf>,
    #[serde(default)]
    aliases: BTreeMap<String, Vec<String>>,
    catch_all: Option<String>,
    messages_per_hour: Option<u32>,
    greet_delay: Option<PollSeconds>,
    lmtp: Option<Listen>,
    tarpit: Option<DelaySeconds>,
    #[serde(default)]
    vrfy: bool,
    check_senders: Option<CheckSenders>,
    dkim: Option<RawDkim>,
    #[serde(default)]
    shared: Vec<RawShared>,
    #[serde(default)]
    retention: Vec<Spanned<RawRetention>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { selector = \"mail\" }")]
struct RawDkim {
    selector: Selector,
    key: Option<PathBuf>,
}

struct Selector(String);

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "labels of a domain name, such as \"mail\" or \"2026.mail\"", |text| {
            let fits = |label: &str| {
                let inside = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                !label.is_empty() && inside && !label.starts_with('-') && !label.ends_with('-') && label.len() <= 63
            };
            (text.split('.').all(fits) && text.len() <= 100).then(|| Self(text.to_owned()))
        })
    }
}

impl<'de> Deserialize<'de> for CheckSenders {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "one of \"off\", \"mark\", \"enforce\"", |text| match text {
            "off" => Some(Self::Off),
            "mark" => Some(Self::Mark),
            "enforce" => Some(Self::Enforce),
            _ => None,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table [[user]]")]
struct RawUser {
    name: String,
    password: Option<Spanned<Password>>,
    password_command: Option<Spanned<Vec<String>>>,
    token: Option<Spanned<Password>>,
    token_command: Option<Spanned<Vec<String>>>,
    may_send_as: Option<Vec<SendAs>>,
}

impl<'de> Deserialize<'de> for SendAs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "an address such as \"team@example.org\", or \"*@example.org\"", |text| {
            let (local_part, domain) = text.rsplit_once('@')?;
            let local_part_fits = local_part == "*" || !local_part.contains('*');
            (local_part_fits && Address::parse(text).is_some()).then(|| Self {
                local_part: Some(local_part.to_owned()).filter(|local_part| local_part != "*"),
                domain: to_a_label(domain).into_owned(),
            })
        })
    }
}

/// A domain name as DNS has it, in lower case; `None`: it is none.
pub fn domain_name(text: &str) -> Option<String> {
    let name = to_a_label(text.strip_suffix('.').unwrap_or(text)).to_ascii_lowercase();
    let fits = |label: &str| {
        let inside = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        !label.is_empty() && inside && !label.starts_with('-') && !label.ends_with('-') && label.len() <= 63
    };
    (name.split('.').all(fits) && name.len() <= 253).then_some(name)
}

struct DomainName(String);

impl<'de> Deserialize<'de> for DomainName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "a domain name such as \"home.example\"", |text| domain_name(text).map(Self))
    }
}

impl<'de> Deserialize<'de> for RelayTls {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "one of \"opportunistic\", \"required\"", |text| match text {
            "opportunistic" => Some(Self::Opportunistic),
            "required" => Some(Self::Required),
            _ => None,
        })
    }
}
