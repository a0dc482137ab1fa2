//! A name server (RFC 1035) that knows a handful of records.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

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
    records: Arc<Mutex<Vec<(String, Record)>>>,
}

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const TYPE_MX: u16 = 15;
const TYPE_TXT: u16 = 16;

impl Dns {
    /// Answers until the test is over. What it does not know does not exist.
    pub fn start() -> Self {
        let socket = UdpSocket::bind(free_address()).expect("a free address");
        let address = socket.local_addr().expect("a bound socket");
        let records = Arc::new(Mutex::new(Vec::new()));
        let known = Arc::clone(&records);
        thread::spawn(move || {
            let mut query = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut query) {
                if let Some(answer) = answer(&query[..length], &known.lock().expect("held by none")) {
                    // A client that went away asks no more.
                    let _ = socket.send_to(&answer, client);
                }
            }
        });
        Self { address, records }
    }

    /// There is nothing of that name any more.
    pub fn remove(&self, name: &str) {
        self.records.lock().expect("held by none").retain(|(of, _)| of != name);
    }

    pub fn add(&self, name: &str, record: Record) {
        self.records.lock().expect("held by none").push((name.to_owned(), record));
    }
}

/// RFC 1035 section 4.1.
fn answer(query: &[u8], records: &[(String, Record)]) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut place = 12;
    loop {
        let length = usize::from(*query.get(place)?);
        place += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(place..place + length)?).to_lowercase());
        place += length;
    }
    let kind = u16::from_be_bytes(query.get(place..place + 2)?.try_into().ok()?);
    let name = labels.join(".");
    let of_name: Vec<_> = records.iter().filter(|(of, _)| *of == name).collect();
    let data: Vec<Vec<u8>> = of_name
        .iter()
        .filter_map(|(_, record)| match record {
            Record::Txt(text) if kind == TYPE_TXT => {
                // Strings of at most 255 octets (section 3.3.14).
                let strings = text.as_bytes().chunks(255);
                let string = |piece: &[u8]| [&[u8::try_from(piece.len()).expect("short")], piece].concat();
                Some(strings.flat_map(string).collect())
            }
            Record::Aaaa(address) if kind == TYPE_AAAA => Some(address.octets().to_vec()),
            Record::A(address) if kind == TYPE_A => Some(address.octets().to_vec()),
            Record::Mx(preference, host) if kind == TYPE_MX => {
                let mut data = preference.to_be_bytes().to_vec();
                for label in host.split('.').filter(|label| !label.is_empty()) {
                    data.push(u8::try_from(label.len()).expect("a short label"));
                    data.extend_from_slice(label.as_bytes());
                }
                data.push(0);
                Some(data)
            }
            _ => None,
        })
        .collect();
    // Response, authoritative, recursion available; NXDOMAIN where the name is of nothing.
    let code = match of_name.first() {
        None => 3,
        Some((_, Record::Trouble)) => 2,
        Some(_) => 0,
    };
    let mut out = query[..2].to_vec();
    out.extend([0x85, 0x80 | code, 0, 1]);
    out.extend(u16::try_from(data.len()).expect("a few").to_be_bytes());
    out.extend([0; 4]);
    out.extend(&query[12..place + 4]);
    for data in data {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 60]);
        out.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        out.extend(data);
    }
    Some(out)
}
