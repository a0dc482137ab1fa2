//! `config.toml` of syncd.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::error::{ConfigError, Problem, Source};
use super::value::{
    BodiesValue, Connections, Credential, DelaySeconds, KeepOnServer, Listen, OwnTls, Password, PollSeconds, Port,
    Size, TlsIdentity, TlsMode, credential,
};
use crate::smtp::address::Address;
use crate::types::{Bodies, BodyPolicy, FolderFilter, Glob, Keep, Quirks, SecretKind};

/// Everything syncd is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub local: Local,
    pub accounts: Vec<Account>,
}

/// What mail clients connect to.
#[derive(Debug, Clone, PartialEq)]
pub struct Local {
    pub imap: SocketAddr,
    pub smtp: SocketAddr,
    pub pop3: Option<SocketAddr>,
    /// The same under TLS from the start; with any of them `tls` is there.
    pub imaps: Option<SocketAddr>,
    pub smtps: Option<SocketAddr>,
    pub pop3s: Option<SocketAddr>,
    /// `None`: one is made at first start and kept in the data folder.
    pub password: Option<Credential>,
    /// With it STARTTLS is offered, and the listeners may be off loopback.
    pub tls: Option<TlsIdentity>,
    /// How long outgoing mail waits, so that it can be taken back.
    pub undo_seconds: u32,
}

/// One upstream account.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// The user name at the local servers.
    pub name: String,
    /// The mail address.
    pub address: String,
    /// Where its mail comes from.
    pub incoming: Incoming,
    /// What it is sent by: the first that answers. None: mail cannot be submitted for this account.
    pub smtp: Vec<Server>,
    /// The user name upstream.
    pub user: String,
    pub password: Credential,
    /// What the password is.
    pub secret: SecretKind,
    /// A PEM file with one more trust root.
    pub tls_ca: Option<PathBuf>,
    pub folders: FolderFilter,
    /// Of which messages more than the header is mirrored.
    pub bodies: BodyPolicy,
    /// How often to look into mailboxes that nobody watches.
    pub poll_seconds: u32,
    /// How many connections to the IMAP server there may be at once.
    pub connections: usize,
    /// What the person says of the IMAP server's ways.
    pub quirks: Quirks,
}

/// Where an account's mail comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A mirror of all its mailboxes.
    Imap(Server),
    /// Mail is taken from a maildrop into INBOX.
    Pop3 { server: Server, keep: Keep },
}

impl Incoming {
    /// The server, whatever it speaks.
    pub const fn server(&self) -> &Server {
        match self {
            Self::Imap(server) | Self::Pop3 { server, .. } => server,
        }
    }
}

/// An upstream server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub tls: TlsMode,
}

/// Where mail clients connect when the configuration does not say.
const DEFAULT_IMAP: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1143);
const DEFAULT_SMTP: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1025);

/// A look at all mailboxes is a handful of round trips: once a minute is little traffic and soon enough for mailboxes
/// that are not watched.
const DEFAULT_POLL_SECONDS: u32 = 60;

/// A visit to a maildrop is a login each time, and locks it for others: what most clients do, and most servers bear.
const DEFAULT_POP3_POLL_SECONDS: u32 = 300;

/// One that works and watches INBOX, one that watches the rest: where the server has NOTIFY it needs no more, and servers
/// that grant few (Courier four) have other programs to serve as well.
const DEFAULT_CONNECTIONS: usize = 2;

impl Config {
    /// Reads a configuration. Relative paths in it are meant from the folder of `file`, which is otherwise only a name
    /// for errors.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let source = Source { file, text };
        let raw: Raw = toml::from_str(text).map_err(|error| source.unreadable(&error))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let local = local(&source, folder, raw.local)?;
        let mut accounts = Vec::new();
        let mut lines = BTreeMap::new();
        for account in raw.account {
            let (name, span) = (account.get_ref().name.get_ref().clone(), account.get_ref().name.span());
            if let Some(first_line) = lines.insert(name.clone(), source.line(&span)) {
                return Err(source.error(&span, Problem::DuplicateAccount { name, first_line }));
            }
            accounts.push(self::account(&source, folder, account)?);
        }
        Ok(Self { local, accounts })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    local: RawLocal,
    #[serde(default, deserialize_with = "accounts")]
    account: Vec<Spanned<RawAccount>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table [local]")]
struct RawLocal {
    imap: Option<Spanned<Listen>>,
    smtp: Option<Spanned<Listen>>,
    pop3: Option<Spanned<Listen>>,
    imaps: Option<Spanned<Listen>>,
    smtps: Option<Spanned<Listen>>,
    pop3s: Option<Spanned<Listen>>,
    password: Option<Spanned<Password>>,
    password_command: Option<Spanned<Vec<String>>>,
    tls: Option<OwnTls>,
    undo_seconds: Option<DelaySeconds>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table")]
struct RawAccount {
    name: Spanned<String>,
    address: Spanned<String>,
    imap: Option<Spanned<RawServer>>,
    pop3: Option<Spanned<RawPop3>>,
    #[serde(default)]
    smtp: OneOrMore,
    user: Option<Spanned<String>>,
    password: Option<Spanned<Password>>,
    password_command: Option<Spanned<Vec<String>>>,
    keyring: Option<Spanned<bool>>,
    oauth2: Option<Spanned<RawOauth2>>,
    tls_ca: Option<PathBuf>,
    mirror: Option<Spanned<RawMirror>>,
    #[serde(default)]
    allow_plaintext: bool,
    poll_seconds: Option<PollSeconds>,
    connections: Option<Spanned<Connections>>,
    quirks: Option<Spanned<Quirks>>,
}

/// Where the access token comes from; it is asked for again when a login is refused.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table such as { token-command = [\"oama\", \"access\", \"me@example.org\"] }"
)]
struct RawOauth2 {
    token: Option<Spanned<Password>>,
    token_command: Option<Spanned<Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table such as { host = \"mail.example.org\", port = 993, tls = \"implicit\" }"
)]
struct RawServer {
    host: Spanned<String>,
    port: Option<Port>,
    tls: Option<Spanned<TlsMode>>,
    #[serde(default)]
    allow_plaintext: bool,
}

/// A server, or several in the order in which they are tried.
#[derive(Default)]
struct OneOrMore(Vec<RawServer>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> serde::de::Visitor<'de> for Reader {
            type Value = OneOrMore;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(
                    "a table such as { host = \"mail.example.org\", port = 465, tls = \"implicit\" }, or several in [ ]",
                )
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<OneOrMore, A::Error> {
                RawServer::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    .map(|one| OneOrMore(vec![one]))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMore, A::Error> {
                let mut servers = Vec::new();
                while let Some(server) = seq.next_element()? {
                    servers.push(server);
                }
                Ok(OneOrMore(servers))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A server of mail that is taken, and how long it stays there.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table such as { host = \"pop.example.org\", port = 995, tls = \"implicit\", keep = \"always\" }"
)]
struct RawPop3 {
    host: Spanned<String>,
    port: Option<Port>,
    tls: Option<Spanned<TlsMode>>,
    #[serde(default)]
    allow_plaintext: bool,
    keep: Option<KeepOnServer>,
}

#[derive(Deserialize, Default)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table such as { folders = [\"*\"], exclude = [\"Junk\"], bodies = \"all\" }"
)]
struct RawMirror {
    folders: Option<Spanned<Vec<String>>>,
    exclude: Option<Spanned<Vec<String>>>,
    bodies: Option<BodiesValue>,
    #[serde(default)]
    per_folder: BTreeMap<String, BodiesValue>,
    budget_per_day: Option<Size>,
    #[serde(default)]
    metered: bool,
}

impl RawMirror {
    fn bodies(&self) -> BodyPolicy {
        BodyPolicy {
            default: self.bodies.map(|bodies| bodies.0).unwrap_or_default(),
            per_folder: self.per_folder.iter().map(|(glob, bodies)| (Glob::new(glob), bodies.0)).collect(),
            budget_bytes: self.budget_per_day.map(|size| size.0),
            metered: self.metered,
        }
    }

    /// Is there any message of which it wants no more than the header?
    fn leaves_out(&self) -> bool {
        self.bodies.iter().chain(self.per_folder.values()).any(|bodies| bodies.0 != Bodies::All)
    }
}

/// `[account]` in place of `[[account]]` is what people write first: the error says so.
fn accounts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Spanned<RawAccount>>, D::Error> {
    struct Reader;
    impl<'de> serde::de::Visitor<'de> for Reader {
        type Value = Vec<Spanned<RawAccount>>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("[[account]] in double brackets, once for each account")
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut accounts = Vec::new();
            while let Some(account) = seq.next_element()? {
                accounts.push(account);
            }
            Ok(accounts)
        }
    }
    deserializer.deserialize_any(Reader)
}

fn local(source: &Source<'_>, folder: &Path, raw: RawLocal) -> Result<Local, ConfigError> {
    let tls = raw.tls.and_then(|tls| tls.0).map(|tls| tls.within(folder));
    let listen = |address: Option<Spanned<Listen>>| match address {
        Some(address) if tls.is_none() && !address.get_ref().0.ip().to_canonical().is_loopback() => {
            Err(source.error(&address.span(), Problem::ListensInPlain { address: address.get_ref().0 }))
        }
        Some(address) => Ok(Some(address.into_inner().0)),
        None => Ok(None),
    };
    let listen_secured = |key, address: Option<Spanned<Listen>>| match address {
        Some(address) if tls.is_none() => Err(source.error(&address.span(), Problem::NeedsTls { key })),
        address => listen(address),
    };
    Ok(Local {
        imaps: listen_secured("imaps", raw.imaps)?,
        smtps: listen_secured("smtps", raw.smtps)?,
        pop3s: listen_secured("pop3s", raw.pop3s)?,
        imap: listen(raw.imap)?.unwrap_or(DEFAULT_IMAP),
        smtp: listen(raw.smtp)?.unwrap_or(DEFAULT_SMTP),
        pop3: listen(raw.pop3)?,
        password: credential(source, raw.password, raw.password_command)?,
        tls,
        undo_seconds: raw.undo_seconds.map_or(0, |seconds| seconds.0),
    })
}

fn account(source: &Source<'_>, folder: &Path, raw: Spanned<RawAccount>) -> Result<Account, ConfigError> {
    let place = raw.span();
    let raw = raw.into_inner();
    refuse_imap_keys(source, &raw)?;
    let name = raw.name.get_ref();
    if name.is_empty() || name.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Err(source.error(&raw.name.span(), Problem::BadAccountName { name: name.clone() }));
    }
    let address = raw.address.get_ref();
    if Address::parse(address).is_none() {
        return Err(source.error(&raw.address.span(), Problem::BadAddress { address: address.clone() }));
    }
    if let Some(user) = raw.user.as_ref().filter(|user| !is_login(user.get_ref())) {
        return Err(source.error(&user.span(), Problem::BadUser { user: user.get_ref().clone() }));
    }
    let password = credential(source, raw.password, raw.password_command)?;
    let password = match (password, raw.keyring.filter(|keyring| *keyring.get_ref())) {
        (Some(_), Some(keyring)) => return Err(source.error(&keyring.span(), Problem::KeyringAndPassword)),
        (None, Some(_)) => Some(Credential::Keyring(name.clone())),
        (password, None) => password,
    };
    let (password, secret) = match (password, raw.oauth2) {
        (Some(_), Some(oauth2)) => return Err(source.error(&oauth2.span(), Problem::TwoSecrets)),
        (Some(password), None) => (Some(password), SecretKind::Password),
        (None, None) => (None, SecretKind::Password),
        (None, Some(oauth2)) => {
            let RawOauth2 { token, token_command } = oauth2.into_inner();
            (credential(source, token, token_command)?, SecretKind::Token)
        }
    };
    let password = password.ok_or_else(|| source.error(&place, Problem::NoSecret))?;
    let incoming = incoming(source, &place, raw.imap, raw.pop3, raw.allow_plaintext)?;
    let usual_poll_seconds = match incoming {
        Incoming::Imap(_) => DEFAULT_POLL_SECONDS,
        Incoming::Pop3 { .. } => DEFAULT_POP3_POLL_SECONDS,
    };
    let mirror = raw.mirror.map(Spanned::into_inner).unwrap_or_default();
    let bodies = mirror.bodies();
    let folders = mirror.folders.map_or_else(|| vec!["*".to_owned()], Spanned::into_inner);
    let exclude = mirror.exclude.map(Spanned::into_inner).unwrap_or_default();
    Ok(Account {
        incoming,
        smtp: raw
            .smtp
            .0
            .into_iter()
            .map(|smtp| server(source, smtp, raw.allow_plaintext, Ports { implicit: 465, other: 587 }))
            .collect::<Result<_, _>>()?,
        user: raw.user.map_or_else(|| address.clone(), Spanned::into_inner),
        name: raw.name.into_inner(),
        address: raw.address.into_inner(),
        password,
        secret,
        tls_ca: raw.tls_ca.map(|path| folder.join(path)),
        folders: FolderFilter {
            folders: folders.iter().map(|glob| Glob::new(glob)).collect(),
            exclude: exclude.iter().map(|glob| Glob::new(glob)).collect(),
        },
        bodies,
        poll_seconds: raw.poll_seconds.map_or(usual_poll_seconds, |seconds| seconds.0),
        connections: raw.connections.map_or(DEFAULT_CONNECTIONS, |connections| connections.into_inner().0),
        quirks: raw.quirks.map(Spanned::into_inner).unwrap_or_default(),
    })
}

/// What is only of an IMAP server is refused with a POP3 server, never ignored.
fn refuse_imap_keys(source: &Source<'_>, raw: &RawAccount) -> Result<(), ConfigError> {
    if let Some(pop3) = &raw.pop3 {
        let mirror = raw.mirror.as_ref().map(Spanned::get_ref);
        let meant_for_imap = [
            ("folders", mirror.and_then(|mirror| mirror.folders.as_ref()).map(Spanned::span)),
            ("exclude", mirror.and_then(|mirror| mirror.exclude.as_ref()).map(Spanned::span)),
            ("quirks", raw.quirks.as_ref().map(Spanned::span)),
            ("connections", raw.connections.as_ref().map(Spanned::span)),
        ];
        if let Some((key, span)) = meant_for_imap.into_iter().find_map(|(key, span)| Some((key, span?))) {
            return Err(source.error(&span, Problem::NotWithPop3 { key }));
        }
        // Nothing goes from the server of which not all is here.
        let goes_at_once = pop3.get_ref().keep.as_ref().is_some_and(|keep| keep.0 == Keep::Never);
        if let Some(mirror) = raw.mirror.as_ref().filter(|mirror| goes_at_once && mirror.get_ref().leaves_out()) {
            return Err(source.error(&mirror.span(), Problem::NothingLeftOut));
        }
    }
    Ok(())
}

/// Exactly one of the two servers.
fn incoming(
    source: &Source<'_>,
    place: &Range<usize>,
    imap: Option<Spanned<RawServer>>,
    pop3: Option<Spanned<RawPop3>>,
    allow_plaintext: bool,
) -> Result<Incoming, ConfigError> {
    match (imap, pop3) {
        (Some(imap), None) => {
            server(source, imap.into_inner(), allow_plaintext, Ports { implicit: 993, other: 143 }).map(Incoming::Imap)
        }
        (None, Some(pop3)) => {
            let RawPop3 { host, port, tls, allow_plaintext: own, keep } = pop3.into_inner();
            let raw = RawServer { host, port, tls, allow_plaintext: own };
            let server = server(source, raw, allow_plaintext, Ports { implicit: 995, other: 110 })?;
            Ok(Incoming::Pop3 { server, keep: keep.map_or(Keep::default(), |keep| keep.0) })
        }
        (Some(_), Some(pop3)) => Err(source.error(&pop3.span(), Problem::TwoServers)),
        (None, None) => Err(source.error(place, Problem::NoServer)),
    }
}

/// The usual ports of a protocol (RFC 8314 section 3).
struct Ports {
    implicit: u16,
    other: u16,
}

fn server(source: &Source<'_>, raw: RawServer, allow_plaintext: bool, ports: Ports) -> Result<Server, ConfigError> {
    let span = raw.tls.as_ref().map_or_else(|| raw.host.span(), Spanned::span);
    let tls = raw.tls.map(Spanned::into_inner).unwrap_or_default();
    let host = raw.host.get_ref().clone();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if host.is_empty() || !host.bytes().all(allowed) {
        return Err(source.error(&raw.host.span(), Problem::BadHost { host }));
    }
    if tls == TlsMode::None && !is_loopback(&host) && !allow_plaintext && !raw.allow_plaintext {
        return Err(source.error(&span, Problem::Plaintext { host }));
    }
    let usual = if tls == TlsMode::Implicit { ports.implicit } else { ports.other };
    Ok(Server { host, port: raw.port.map_or(usual, |port| port.0), tls })
}

/// Only what cannot be resolved to another machine: `localhost` (RFC 6761 section 6.3) and loopback addresses.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// What a server can be told: something, on one line.
fn is_login(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(char::is_control)
}
