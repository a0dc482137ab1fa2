//! A name server that knows a handful of records: hickory's, with a zone that a test changes while it answers.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{A, AAAA, MX, TXT};
use hickory_server::proto::rr::{Name, RData, Record as Answer, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};

use super::net::free_address;

/// A record, by the name it is of.
pub enum Record {
    Mx(u16, &'static str),
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Txt(String),
    /// The server cannot tell now (SERVFAIL).
    Trouble,
}

pub struct Dns {
    pub address: SocketAddr,
    zone: Zone,
}

/// What it does not know does not exist.
#[derive(Clone, Default)]
struct Zone(Arc<Mutex<Vec<(String, Record)>>>);

/// How long an answer counts.
const TTL_SECONDS: u32 = 60;

/// A client that says nothing for so long is sent away.
const SILENCE: Duration = Duration::from_secs(10);

/// Answers that wait for one client.
const ANSWERS_WAITING: usize = 16;

impl Dns {
    /// Answers until the test is over, by UDP and TCP.
    pub fn start() -> Self {
        let (address, zone) = (free_address(), Zone::default());
        let (handler, (ready, heard)) = (zone.clone(), mpsc::channel());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut server = Server::new(handler);
                server.register_socket(UdpSocket::bind(address).await.expect("a free address"));
                let listener = TcpListener::bind(address).await.expect("a free address");
                server.register_listener(listener, SILENCE, ANSWERS_WAITING);
                ready.send(()).expect("the test waits for it");
                server.block_until_done().await
            })
        });
        heard.recv().expect("the name server starts");
        Self { address, zone }
    }

    /// There is nothing of that name any more.
    pub fn remove(&self, name: &str) {
        self.zone.0.lock().expect("held by none").retain(|(of, _)| of != name);
    }

    pub fn add(&self, name: &str, record: Record) {
        self.zone.0.lock().expect("held by none").push((name.to_owned(), record));
    }
}

impl Zone {
    fn look_up(&self, name: &str, kind: RecordType) -> (ResponseCode, Vec<RData>) {
        let records = self.0.lock().expect("held by none");
        let of_name = || records.iter().filter(|(of, _)| of == name).map(|(_, record)| record);
        let code = match of_name().next() {
            None => ResponseCode::NXDomain,
            Some(Record::Trouble) => ResponseCode::ServFail,
            Some(_) => ResponseCode::NoError,
        };
        (code, of_name().filter_map(Record::data).filter(|data| data.record_type() == kind).collect())
    }
}

impl Record {
    fn data(&self) -> Option<RData> {
        Some(match self {
            Self::Mx(preference, host) => {
                RData::MX(MX::new(*preference, Name::from_ascii(format!("{host}.")).expect("a host's name")))
            }
            Self::A(address) => RData::A(A(*address)),
            Self::Aaaa(address) => RData::AAAA(AAAA(*address)),
            // Strings of at most 255 octets (RFC 1035 section 3.3.14).
            Self::Txt(text) => {
                let strings = text.as_bytes().chunks(255).map(|piece| String::from_utf8_lossy(piece).into_owned());
                RData::TXT(TXT::new(strings.collect()))
            }
            Self::Trouble => return None,
        })
    }
}

#[async_trait::async_trait]
impl RequestHandler for Zone {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut out: R) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = true;
        metadata.recursion_available = true;
        let mut answers = Vec::new();
        match request.request_info() {
            Ok(asked) => {
                let name = Name::from(asked.query.name().clone());
                let (code, found) = self.look_up(name.to_ascii().trim_end_matches('.'), asked.query.query_type());
                metadata.response_code = code;
                answers.extend(found.into_iter().map(|data| Answer::from_rdata(name.clone(), TTL_SECONDS, data)));
            }
            Err(_) => metadata.response_code = ResponseCode::FormErr,
        }
        let unsent = ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });
        let response = MessageResponseBuilder::from_message_request(request).build(metadata, &answers, [], [], []);
        // A client that went away asks no more.
        out.send_response(response).await.unwrap_or(unsent)
    }
}
