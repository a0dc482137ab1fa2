//! What refserver is told: the command line, the file named by `--config`, and the one value that comes of both.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Parser;
use mail_auth::common::to_a_label;

use super::dkim::{DkimError, Signer};
use super::faults::{Faults, Profile, Quirk};
use super::policy::Policy;
use super::route::{Routes, SMTP_PORT};
use super::sts::HTTPS_PORT;
use crate::agent::password::{self, PasswordError};
use crate::config::mailboxes::{Retention, Shared, shared_name};
use crate::config::server::{CheckSenders, Dkim, Listeners, RelayTls, SendAs, domain_name};
use crate::config::{ConfigError, Credential, ServerConfig, TlsIdentity};
use crate::imap::server::config::{Capabilities, Capability};
use crate::types::{Identifier, Rights, Secret, SecretKind};

/// Where nobody says another.
const DEFAULT_DOMAIN: &str = "localhost";

/// A small mail server: SMTP, submission, POP3 and IMAP over one store.
#[derive(Debug, Parser)]
#[command(name = "refserver", version)]
pub struct Arguments {
    /// Where mail, users and the certificate are kept
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A file with the same settings but --quota, and more
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// IMAP with STARTTLS (port 0 picks a free one)
    #[arg(long, value_name = "ADDRESS")]
    pub imap: Option<SocketAddr>,
    /// IMAP under TLS
    #[arg(long, value_name = "ADDRESS")]
    pub imaps: Option<SocketAddr>,
    /// POP3 with STLS
    #[arg(long, value_name = "ADDRESS")]
    pub pop3: Option<SocketAddr>,
    /// POP3 under TLS
    #[arg(long, value_name = "ADDRESS")]
    pub pop3s: Option<SocketAddr>,
    /// SMTP from other servers
    #[arg(long, value_name = "ADDRESS")]
    pub smtp: Option<SocketAddr>,
    /// LMTP from a server of ours
    #[arg(long, value_name = "ADDRESS")]
    pub lmtp: Option<SocketAddr>,
    /// Submission with STARTTLS
    #[arg(long, value_name = "ADDRESS")]
    pub submission: Option<SocketAddr>,
    /// Submission under TLS
    #[arg(long, value_name = "ADDRESS")]
    pub submissions: Option<SocketAddr>,
    /// The domain whose mail is taken in
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    pub domain: Option<String>,
    /// Makes a user, or gives one another password. Others on this machine can read arguments: for more than a test
    /// name users in --config, with password-command
    #[arg(long = "user", value_name = "NAME:PASSWORD", value_parser = name_and_password)]
    pub users: Vec<(String, Secret)>,
    /// Hands mail for a domain to that server, in place of DNS
    #[arg(long = "route", value_name = "DOMAIN=HOST:PORT", value_parser = domain_and_host)]
    pub routes: Vec<(String, String)>,
    /// IMAP capabilities not to be offered, for instance MOVE,UIDPLUS
    #[arg(long, value_name = "CAPABILITIES", value_delimiter = ',')]
    pub without: Vec<String>,
    /// Asks this DNS server, in place of the system's
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Option<SocketAddr>,
    /// Where other domains' servers listen [default: 25]
    #[arg(long, value_name = "PORT")]
    pub mx_port: Option<u16>,
    /// How much a user may hold in all: octets (K, M, G), and if wanted a number of messages
    #[arg(long = "quota", value_name = "NAME=OCTETS[,MESSAGES]", value_parser = name_and_quota)]
    pub quotas: Vec<(String, UserQuota)>,
    /// Makes a mailbox that is nobody's, and says who may do what with it by the letters of RFC 4314, for instance
    /// Team=ann:lrswipkxtea,anyone:lrs (repeatable)
    #[arg(long = "shared", value_name = "NAME=WHO:RIGHTS,...", value_parser = shared)]
    pub shared: Vec<Shared>,
    /// Deviates as some real servers do, for tests of clients (repeatable; `list` tells which there are)
    #[arg(long = "quirk", value_name = "NAME")]
    pub quirks: Vec<String>,
    /// Is like a provider's server, as far as IMAP goes (`list` tells which there are)
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    #[command(flatten)]
    pub log: crate::agent::log::Options,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What is done in place of serving.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Shows and steers the mail that a running server has for others (say which by --data or --config)
    #[command(subcommand)]
    Queue(super::queue::Act),
    /// Shows the DNS record by which others check our DKIM signatures; makes the key where there is none yet
    Dkim,
}

/// What a user may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserQuota {
    pub bytes: u64,
    pub messages: Option<u64>,
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    pub data: PathBuf,
    pub domain: String,
    pub listen: Listeners,
    pub tls: TlsIdentity,
    pub users: Vec<(String, Secret)>,
    /// Access tokens of users.
    pub tokens: Vec<(String, Secret)>,
    /// Whose addresses users send as, beside their own.
    pub may_send_as: Vec<(String, Option<Vec<SendAs>>)>,
    pub routes: Routes,
    pub capabilities: Capabilities,
    pub pop3_login_delay_seconds: u32,
    /// `None`: the system's.
    pub dns: Option<SocketAddr>,
    pub mx_port: u16,
    pub relay_tls: RelayTls,
    /// Other domains are asked for their MTA-STS policies, on this port of their hosts.
    pub mta_sts: bool,
    pub https_port: u16,
    /// A PEM file with one more trust root for servers that must prove who they are.
    pub tls_ca: Option<PathBuf>,
    /// Limits of users; the others keep those they have.
    pub quotas: Vec<(String, UserQuota)>,
    pub faults: Faults,
    pub aliases: BTreeMap<String, Vec<String>>,
    pub catch_all: Option<String>,
    pub policy: Policy,
    pub greet_delay_seconds: u32,
    pub tarpit_seconds: Option<u32>,
    pub check_senders: Option<CheckSenders>,
    pub dkim: Option<Dkim>,
    /// Mailboxes that are nobody's.
    pub shared: Vec<Shared>,
    /// How long mailboxes keep their mail.
    pub retention: Vec<Retention>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    #[error("cannot read {}: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("user {name}: {cause}")]
    Password { name: String, cause: PasswordError },
    #[error("no data folder: say --data DIR, or --config FILE with one that names it (data = \"DIR\")")]
    NoData,
    #[error("{} names no data folder: add data = \"DIR\" to it, or say --data DIR as well", path.display())]
    NoDataNamed { path: PathBuf },
    #[error(
        "nothing to listen on: say at least one of --imap, --imaps, --pop3, --pop3s, --smtp, --lmtp, --submission, --submissions"
    )]
    NoListener,
    #[error("{name:?} is no capability that can be left out; these can: {}", known_capabilities())]
    Capability { name: String },
    #[error("nothing is signed: the file named by --config has no dkim = {{ selector = \"mail\" }}")]
    NoDkim,
    #[error(transparent)]
    Dkim(#[from] DkimError),
    #[error("{name:?}: {cause}")]
    Quirk { name: String, cause: String },
    #[error("{name:?}: {cause}")]
    Profile { name: String, cause: String },
}

impl OptionsError {
    fn no_data(config: Option<PathBuf>) -> Self {
        config.map_or(Self::NoData, |path| Self::NoDataNamed { path })
    }
}

impl Settings {
    /// The settings that the command line and its configuration file give together; the command line says it louder.
    pub async fn gather(options: Arguments) -> Result<Self, OptionsError> {
        let file = match &options.config {
            Some(path) => read_config(path)?,
            None => ServerConfig::default(),
        };
        let (mut users, mut tokens, mut may_send_as) = (Vec::new(), Vec::new(), Vec::new());
        for user in file.users {
            if let Some(token) = &user.token {
                tokens.push((user.name.clone(), resolve(&user.name, token, SecretKind::Token).await?));
            }
            let password = resolve(&user.name, &user.password, SecretKind::Password).await?;
            may_send_as.push((user.name.clone(), user.may_send_as));
            users.push((user.name, password));
        }
        users.extend(options.users);
        let mut routes = file.routes;
        routes.extend(options.routes);
        let listen = Listeners {
            imap: options.imap.or(file.listen.imap),
            imaps: options.imaps.or(file.listen.imaps),
            pop3: options.pop3.or(file.listen.pop3),
            pop3s: options.pop3s.or(file.listen.pop3s),
            smtp: options.smtp.or(file.listen.smtp),
            lmtp: options.lmtp.or(file.listen.lmtp),
            submission: options.submission.or(file.listen.submission),
            submissions: options.submissions.or(file.listen.submissions),
        };
        if listen == Listeners::default() {
            return Err(OptionsError::NoListener);
        }
        let mut capabilities = Capabilities::all();
        for name in file.without.iter().chain(&options.without) {
            let known = Capability::all().find(|capability| capability.name().eq_ignore_ascii_case(name));
            let capability = known.ok_or_else(|| OptionsError::Capability { name: name.clone() })?;
            capabilities = capabilities.without(capability);
        }
        let quirk =
            |name: &String| name.parse::<Quirk>().map_err(|cause| OptionsError::Quirk { name: name.clone(), cause });
        let quirks = options.quirks.iter().map(quirk).collect::<Result<Vec<_>, _>>()?;
        let profile = match options.profile.or(file.profile) {
            Some(name) => match name.parse::<&'static Profile>() {
                Ok(profile) => Faults::of(profile),
                Err(cause) => return Err(OptionsError::Profile { name, cause }),
            },
            None => Faults::default(),
        };
        let faults = profile.and(quirks);
        Ok(Self {
            data: options.data.or(file.data).ok_or_else(|| OptionsError::no_data(options.config))?,
            domain: options.domain.or(file.domain).unwrap_or_else(|| DEFAULT_DOMAIN.to_owned()),
            listen,
            tls: file.tls.unwrap_or(TlsIdentity::Own),
            users,
            tokens,
            may_send_as,
            routes,
            capabilities,
            pop3_login_delay_seconds: file.pop3_login_delay,
            faults,
            dns: options.dns.or(file.dns),
            mx_port: options.mx_port.or(file.mx_port).unwrap_or(SMTP_PORT),
            relay_tls: file.relay_tls,
            mta_sts: file.mta_sts.unwrap_or(true),
            https_port: file.https_port.unwrap_or(HTTPS_PORT),
            tls_ca: file.tls_ca,
            quotas: options.quotas,
            aliases: file.aliases,
            catch_all: file.catch_all,
            policy: Policy { messages_per_hour: file.messages_per_hour, tells_users: file.vrfy },
            greet_delay_seconds: file.greet_delay_seconds,
            tarpit_seconds: file.tarpit_seconds,
            check_senders: file.check_senders,
            dkim: file.dkim,
            shared: file.shared.into_iter().chain(options.shared).collect(),
            retention: file.retention,
        })
    }
}

/// The signer that the command line and its configuration file describe.
pub(super) fn signer(options: Arguments) -> Result<Signer, OptionsError> {
    let file = options.config.as_deref().map(read_config).transpose()?.unwrap_or_default();
    let data = options.data.or(file.data).ok_or_else(|| OptionsError::no_data(options.config))?;
    let domain = options.domain.or(file.domain).unwrap_or_else(|| DEFAULT_DOMAIN.to_owned());
    let dkim = file.dkim.ok_or(OptionsError::NoDkim)?;
    std::fs::create_dir_all(&data).map_err(|cause| OptionsError::Read { path: data.clone(), cause })?;
    Ok(Signer::open(&dkim, &domain, &data)?)
}

/// The data folder that the command line or its configuration file names.
pub(super) fn data_folder(options: Arguments) -> Result<PathBuf, OptionsError> {
    let file = options.config.as_deref().map(read_config).transpose()?;
    options.data.or(file.and_then(|file| file.data)).ok_or_else(|| OptionsError::no_data(options.config))
}

fn read_config(path: &Path) -> Result<ServerConfig, OptionsError> {
    let text = std::fs::read_to_string(path).map_err(|cause| OptionsError::Read { path: path.to_owned(), cause })?;
    Ok(ServerConfig::parse(&text, path)?)
}

async fn resolve(name: &str, credential: &Credential, kind: SecretKind) -> Result<Secret, OptionsError> {
    password::resolve(credential, kind).await.map_err(|cause| OptionsError::Password { name: name.to_owned(), cause })
}

fn known_capabilities() -> String {
    Capability::all().map(Capability::name).collect::<Vec<_>>().join(", ")
}

fn name_and_password(text: &str) -> Result<(String, Secret), &'static str> {
    match text.split_once(':') {
        Some((name, password)) if !name.is_empty() && !password.is_empty() => {
            Ok((name.to_owned(), Secret::new(password)))
        }
        _ => Err("not NAME:PASSWORD"),
    }
}

fn name_and_quota(text: &str) -> Result<(String, UserQuota), &'static str> {
    const WRONG: &str = "not NAME=OCTETS or NAME=OCTETS,MESSAGES, as ann=500M,100000";
    let (name, quota) = text.split_once('=').ok_or(WRONG)?;
    let (bytes, messages) = match quota.split_once(',') {
        Some((bytes, messages)) => (bytes, Some(messages.parse::<u64>().map_err(|_| WRONG)?)),
        None => (quota, None),
    };
    let bytes = octets(bytes).filter(|_| !name.is_empty()).ok_or(WRONG)?;
    Ok((name.to_ascii_lowercase(), UserQuota { bytes, messages }))
}

fn shared(text: &str) -> Result<Shared, &'static str> {
    const WRONG: &str = "not NAME=WHO:RIGHTS,WHO:RIGHTS, as Team=ann:lrswipkxtea,anyone:lrs";
    let (name, rights) = text.split_once('=').ok_or(WRONG)?;
    let entry = |entry: &str| {
        let (who, letters) = entry.split_once(':')?;
        Some((Identifier::parse(who)?, Rights::parse(letters)?))
    };
    let rights = rights.split(',').map(entry).collect::<Option<_>>().ok_or(WRONG)?;
    Ok(Shared { name: shared_name(name).ok_or(WRONG)?, rights })
}

fn octets(text: &str) -> Option<u64> {
    let (number, unit) = match text.as_bytes().last()?.to_ascii_uppercase() {
        b'K' => (&text[..text.len() - 1], 1024),
        b'M' => (&text[..text.len() - 1], 1024 * 1024),
        b'G' => (&text[..text.len() - 1], 1024 * 1024 * 1024),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

fn domain(text: &str) -> Result<String, &'static str> {
    domain_name(text).ok_or("not a domain name, as home.example")
}

fn domain_and_host(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((domain, host)) if !domain.is_empty() && !host.is_empty() => {
            Ok((to_a_label(domain).to_ascii_lowercase(), host.to_owned()))
        }
        _ => Err("not DOMAIN=HOST:PORT"),
    }
}
