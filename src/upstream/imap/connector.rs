//! Opens connections to one IMAP account.

use super::capability::{Capabilities, facts};
use super::code::{Condition, StatusLine};
use super::command::Command;
use super::driver::{Driver, Heard};
use super::list::{Listing, is_told};
use super::login::{self, Login};
use super::namespace::Namespaces;
use super::profile::Profile;
use super::remote::ImapRemote;
use super::untagged::Untagged;
use crate::sync::remote::{Connect, RemoteError};
use crate::types::{Quirks, Secret, SecretKind};
use crate::upstream::dial::{self, Dial, Endpoint, Tcp, Timeouts};
use crate::upstream::tls::ClientTls;

/// One IMAP account: where it is and how to log in. A value; each connection is made from it anew.
#[derive(Debug, Clone)]
pub struct Connector<D = Tcp> {
    pub dial: D,
    pub endpoint: Endpoint,
    pub tls: ClientTls,
    pub user: String,
    pub password: Secret,
    /// What the password is.
    pub kind: SecretKind,
    pub timeouts: Timeouts,
    /// What the person says of the server's ways.
    pub quirks: Quirks,
    /// Tells random text; without it there is no SCRAM.
    pub nonce: fn() -> Option<String>,
}

impl<D> Connector<D> {
    /// An account reached by `dial`, with the usual timeouts.
    pub fn new(dial: D, endpoint: Endpoint, tls: ClientTls, user: impl Into<String>, password: Secret) -> Self {
        Self {
            dial,
            endpoint,
            tls,
            user: user.into(),
            password,
            kind: SecretKind::Password,
            timeouts: Timeouts::default(),
            quirks: Quirks::default(),
            nonce: || None,
        }
    }
}

impl<D: Dial> Connect for Connector<D> {
    type Remote = ImapRemote;

    async fn connect(&self) -> Result<ImapRemote, RemoteError> {
        self.open(true).await
    }
}

impl<D: Dial> Connector<D> {
    /// A connection that is only to wait on: nobody will ask it for the list of mailboxes.
    pub async fn connect_to_wait(&self) -> Result<ImapRemote, RemoteError> {
        self.open(false).await
    }

    async fn open(&self, lists: bool) -> Result<ImapRemote, RemoteError> {
        let Self { dial, endpoint, tls, user, password, kind, timeouts, quirks, nonce } = self;
        let stream =
            dial::open(dial, endpoint, tls, *timeouts).await.map_err(|error| login::dial_error(endpoint, error))?;
        let login = Login { endpoint, tls, user, password, kind: *kind, timeouts: *timeouts, nonce: *nonce };
        let logged_in = login::log_in(stream, &login).await?;
        let mut driver = Driver::new(logged_in.session, endpoint.host.clone(), *timeouts);
        // What was named before the login may have changed with it, and iCloud's proxy has put words of its own into it
        // (QUIRKS.md row 4).
        let capabilities = match logged_in.capabilities {
            Some(told) if !told.has("XAPPLEPUSHSERVICE") => told,
            _ => capabilities(&mut driver).await?,
        };
        let profile = Profile::of(&endpoint.host, &logged_in.greeting, &[], quirks);
        let told = introduce(&mut driver, &capabilities, &profile, lists).await?;
        let profile = Profile::of(&endpoint.host, &logged_in.greeting, &told.id, quirks);
        driver.non_sync = capabilities.non_sync();
        driver.pipeline_max = profile.pipeline_max;
        let facts = facts(&capabilities, &Capabilities::new(&told.enabled), &profile);
        tracing::debug!(host = %endpoint.host, greeting = %logged_in.greeting, ?facts, quirks = %profile.quirks, "logged in");
        let mut remote = ImapRemote::new(driver, facts, capabilities, profile, told.namespaces);
        if let Some(listing) = told.listing {
            remote.keep_listing(listing);
        }
        Ok(remote)
    }
}

async fn capabilities(driver: &mut Driver) -> Result<Capabilities, RemoteError> {
    let mut named = Capabilities::default();
    driver
        .run_one(Command::new("CAPABILITY", "CAPABILITY"), &mut |heard| {
            if let Heard::Untagged(Untagged::Capability(words)) = heard {
                named = Capabilities::new(&words);
            }
            Ok(true)
        })
        .await?;
    Ok(named)
}

/// What a server says of itself after the login.
#[derive(Default)]
struct Introduction {
    id: Vec<(String, String)>,
    namespaces: Namespaces,
    enabled: Vec<String>,
    listing: Option<Listing>,
}

/// ID, which some want before anything else (QUIRKS.md row 27), NAMESPACE, ENABLE, COMPRESS, and the list of mailboxes,
/// which is what comes next wherever one command tells all of it. In one burst. Servers refuse any of them at times: then
/// it is as if it were not offered.
async fn introduce(
    driver: &mut Driver,
    capabilities: &Capabilities,
    profile: &Profile,
    lists: bool,
) -> Result<Introduction, RemoteError> {
    let mut commands = Vec::new();
    if capabilities.has("ID") {
        let version = env!("CARGO_PKG_VERSION");
        commands.push(Command::new("ID", format!("ID (\"name\" \"Mailtide\" \"version\" \"{version}\")")));
    }
    if capabilities.has("NAMESPACE") && profile.uses_namespace {
        commands.push(Command::new("NAMESPACE", "NAMESPACE"));
    }
    let has_qresync = capabilities.has("QRESYNC") && profile.uses_qresync;
    let wanted = match (has_qresync, capabilities.has("CONDSTORE") && profile.uses_condstore) {
        (true, _) => Some("ENABLE QRESYNC"),
        (false, true) => Some("ENABLE CONDSTORE"),
        (false, false) => None,
    };
    commands.extend(wanted.filter(|_| capabilities.has("ENABLE")).map(|text| Command::new("ENABLE", text)));
    // Asking for mod-sequences would be CONDSTORE's (RFC 7162 section 3.1): it must be offered whatever ENABLE brings.
    let cond_store = capabilities.has("CONDSTORE") && profile.uses_condstore;
    let lists = lists
        && profile.uses_list_return
        && ["LIST-EXTENDED", "LIST-STATUS"].iter().all(|name| capabilities.has(name))
        && (cond_store || !has_qresync);
    let mut listing = lists.then(|| Listing::new(capabilities, cond_store));
    let list_at = listing.as_ref().map_or(0..0, |listing| listing.ask(&mut commands, &[], &[]));
    let compresses = capabilities.has("COMPRESS=DEFLATE") && profile.uses_compress;
    if compresses {
        // The last: nothing more may be sent before its answer (RFC 4978 section 3).
        commands.push(Command::new("COMPRESS", "COMPRESS DEFLATE"));
    }
    let mut told = Introduction::default();
    let hear = &mut |heard| {
        let Some(heard) = Listing::offer(&mut listing, heard)? else { return Ok(true) };
        match heard {
            Heard::Untagged(Untagged::Id(pairs)) => told.id = pairs,
            Heard::Untagged(Untagged::Namespaces(namespaces)) => told.namespaces = namespaces,
            Heard::Untagged(Untagged::Enabled(words)) => told.enabled.extend(words),
            _ => {}
        }
        Ok(true)
    };
    let answers = driver.run(commands, hear).await?;
    let is_ok = |answer: Option<&StatusLine>| answer.is_some_and(|answer| answer.condition == Condition::Ok);
    if compresses && is_ok(answers.last()) {
        driver.compress();
    }
    told.listing = listing.filter(|_| is_told(&answers, list_at));
    Ok(told)
}
