//! Where mail for another domain goes: a static route, or DNS (RFC 5321 section 5, RFC 7505).

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

use crate::outbox::sender::Reply;
use crate::smtp::address;
use crate::upstream::dial::BoxedStream;
use crate::upstream::{Dial, Tcp};

/// SMTP's port (RFC 5321 section 4.5.4.2).
pub const SMTP_PORT: u16 = 25;

/// Servers tried for one message; a domain with more lists most of them for other days.
const HOSTS_MAX: usize = 8;

/// What DNS says of a domain's mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailRecords {
    /// Preference and host of each MX record. A host of `""` is the root: null MX.
    Mx(Vec<(u16, String)>),
    /// The domain exists without MX records.
    NoMx,
    NoDomain,
    /// DNS did not answer.
    Unknown(String),
}

/// Asks DNS.
pub trait Resolve: Send + Sync {
    fn mail_records(&self, domain: &str) -> impl Future<Output = MailRecords> + Send;
}

/// Where mail for a domain goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Host and port, in the order in which they are tried. Never empty.
    Hosts(Vec<(String, u16)>),
    /// Nowhere, for good.
    Never(Reply),
    /// It cannot be told now.
    Later(Reply),
}

/// Static routes: domains in lower case, each with `host` or `host:port`.
pub type Routes = BTreeMap<String, String>;

/// What decides beside DNS.
#[derive(Debug, Clone, Copy)]
pub struct Local<'a> {
    /// To know ourselves among a domain's mail exchangers.
    pub own_name: &'a str,
    /// Where mail exchangers listen.
    pub port: u16,
    /// Any number, evenly spread.
    pub chance: u32,
}

/// The route to `domain` as DNS records say it.
pub fn by_records(domain: &str, records: MailRecords, local: Local<'_>) -> Route {
    let own_name = local.own_name;
    let mut records = match records {
        // RFC 5321 section 5.1: the domain itself is its own mail exchanger.
        MailRecords::NoMx => vec![(0, domain.to_owned())],
        MailRecords::Mx(records) => records,
        MailRecords::NoDomain => return Route::Never(Reply::own(550, "5.1.2", format!("There is no domain {domain}"))),
        MailRecords::Unknown(cause) => {
            return Route::Later(Reply::own(451, "4.4.3", format!("DNS does not answer for {domain}: {cause}")));
        }
    };
    if records.iter().all(|(_, host)| host.is_empty()) {
        return Route::Never(Reply::own(556, "5.1.10", format!("{domain} takes no mail (null MX)")));
    }
    records.retain(|(_, host)| !host.is_empty());
    records.sort();
    // RFC 5321 section 5.1: what is not better than ourselves would bring the mail back here.
    let own = records.iter().find(|(_, host)| host.eq_ignore_ascii_case(own_name)).map(|(preference, _)| *preference);
    records.retain(|(preference, _)| own.is_none_or(|own| *preference < own));
    if records.is_empty() {
        return Route::Never(Reply::own(554, "5.4.6", format!("Mail for {domain} would come back here")));
    }
    // Among equals each has its turn (RFC 5321 section 5.1): by chance another of them is first.
    for equals in records.chunk_by_mut(|a, b| a.0 == b.0) {
        let first = usize::try_from(local.chance).unwrap_or_default() % equals.len();
        equals.rotate_left(first);
    }
    Route::Hosts(records.into_iter().take(HOSTS_MAX).map(|(_, host)| (host, local.port)).collect())
}

/// The route to `domain`: static, an address literal, or by DNS.
pub async fn find(domain: &str, routes: &Routes, dns: &impl Resolve, local: Local<'_>) -> Route {
    if let Some(route) = routes.get(&domain.to_ascii_lowercase()) {
        return Route::Hosts(vec![host_and_port(route)]);
    }
    if domain.starts_with('[') {
        return match address::literal(domain) {
            Some(address) => Route::Hosts(vec![(address.to_string(), local.port)]),
            None => Route::Never(Reply::own(550, "5.1.2", format!("{domain} is no address that mail goes to"))),
        };
    }
    by_records(domain, dns.mail_records(domain).await, local)
}

/// `host`, `host:port`, `[v6]:port` or a bare IPv6 address.
fn host_and_port(text: &str) -> (String, u16) {
    let split = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match split {
        Some((host, port)) if !host.contains(':') => (host.to_owned(), port),
        Some((host, port)) if host.starts_with('[') && host.ends_with(']') => {
            (host[1..host.len() - 1].to_owned(), port)
        }
        _ => (text.trim_start_matches('[').trim_end_matches(']').to_owned(), SMTP_PORT),
    }
}

/// DNS by a resolver.
#[derive(Clone)]
pub struct Dns(Option<TokioResolver>);

impl Dns {
    /// As `/etc/resolv.conf` says. Without a usable one every question is left open, and mail waits.
    pub fn of_the_system() -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        if let Err(error) = &resolver {
            tracing::warn!(%error, "DNS cannot be used: mail for domains without a static route waits");
        }
        Self(resolver.ok())
    }

    /// One server and no other; the hosts file does not count.
    pub fn at(server: SocketAddr) -> Self {
        let mut name_server = NameServerConfig::udp_and_tcp(server.ip());
        name_server.connections.iter_mut().for_each(|connection| connection.port = server.port());
        let config = ResolverConfig::from_name_servers(vec![name_server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        Self(builder.build().ok())
    }
}

impl Dns {
    /// The TXT records of a name, the strings of each joined. None where DNS does not tell.
    pub async fn texts(&self, name: &str) -> Vec<String> {
        let Some(resolver) = &self.0 else { return Vec::new() };
        let Ok(found) = resolver.txt_lookup(format!("{name}.")).await else { return Vec::new() };
        let texts = found.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        });
        texts.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }

    /// The resolver, for those who ask it other things.
    pub fn resolver(&self) -> Option<&TokioResolver> {
        self.0.as_ref()
    }
}

impl Resolve for Dns {
    async fn mail_records(&self, domain: &str) -> MailRecords {
        let Some(resolver) = &self.0 else { return MailRecords::Unknown("no DNS server is configured".to_owned()) };
        // The dot at the end: search domains are for people, not for mail.
        match resolver.mx_lookup(format!("{}.", domain.trim_end_matches('.'))).await {
            Ok(found) => {
                let records = found.answers().iter().filter_map(|record| match &record.data {
                    RData::MX(mx) => Some((mx.preference, mx.exchange.to_ascii().trim_end_matches('.').to_owned())),
                    _ => None,
                });
                MailRecords::Mx(records.collect())
            }
            Err(error) if error.is_nx_domain() => MailRecords::NoDomain,
            Err(error) if error.is_no_records_found() => MailRecords::NoMx,
            Err(error) => MailRecords::Unknown(said(&error)),
        }
    }
}

/// TCP to hosts whose addresses that DNS knows, each address in turn (RFC 5321 section 5.1).
impl Dial for Dns {
    async fn dial(&self, host: &str, port: u16) -> io::Result<BoxedStream> {
        let Some(resolver) = &self.0 else { return Tcp.dial(host, port).await };
        let addresses: Vec<IpAddr> = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = resolver.lookup_ip(format!("{}.", host.trim_end_matches('.'))).await;
                found.map_err(|error| io::Error::other(said(&error)))?.iter().collect()
            }
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
        for address in addresses {
            match Tcp.dial(&address.to_string(), port).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// What DNS said, in words: an answer without records the resolver tells as its own value.
fn said(error: &NetError) -> String {
    match error {
        error if error.is_nx_domain() => "there is no such host".to_owned(),
        error if error.is_no_records_found() => "it has no address".to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_hosts_in_order_or_a_reason() {
        let mx = |records: &[(u16, &str)]| {
            MailRecords::Mx(records.iter().map(|(preference, host)| (*preference, (*host).to_owned())).collect())
        };
        let hosts = |route: Route| match route {
            Route::Hosts(hosts) => hosts.into_iter().map(|(host, _)| host).collect::<Vec<_>>().join(" "),
            Route::Never(reply) | Route::Later(reply) => reply.enhanced.unwrap_or_default(),
        };
        let local = Local { own_name: "me", port: SMTP_PORT, chance: 4 };
        for (records, expected) in [
            (mx(&[(20, "b"), (10, "a"), (30, "c")]), "a b c"),
            (mx(&[(20, "b"), (10, "a"), (20, "d"), (20, "c")]), "a c d b"),
            (mx(&[(20, "b"), (10, "a"), (20, "ME"), (30, "c")]), "a"),
            (mx(&[(10, "me")]), "5.4.6"),
            (mx(&[(0, "")]), "5.1.10"),
            (MailRecords::NoMx, "x.example"),
            (MailRecords::NoDomain, "5.1.2"),
            (MailRecords::Unknown("timeout".to_owned()), "4.4.3"),
        ] {
            assert_eq!(hosts(by_records("x.example", records.clone(), local)), expected, "{records:?}");
        }
    }

    #[test]
    fn what_dns_says_is_told_in_words() {
        use hickory_resolver::net::{DnsError, NoRecords};
        use hickory_resolver::proto::op::{Query, ResponseCode};
        let answer = |code| NetError::Dns(DnsError::NoRecordsFound(NoRecords::new(Query::default(), code)));
        for (error, words) in [
            (answer(ResponseCode::NXDomain), "there is no such host"),
            (answer(ResponseCode::NoError), "it has no address"),
            (NetError::Timeout, "request timed out"),
        ] {
            assert_eq!(said(&error), words);
        }
    }

    #[test]
    fn a_static_route_names_host_and_port() {
        for (text, host, port) in [
            ("mx.example", "mx.example", 25),
            ("127.0.0.1:2525", "127.0.0.1", 2525),
            ("[::1]:2525", "::1", 2525),
            ("::1", "::1", 25),
            ("[::1]", "::1", 25),
        ] {
            assert_eq!(host_and_port(text), (host.to_owned(), port), "{text}");
        }
    }
}
