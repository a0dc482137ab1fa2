//! The zone of the demonstration: a name server on loopback that knows two domains, each with one mail server on this
//! machine. What it does not know does not exist.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, MX};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

/// How long an answer counts.
const TTL_SECONDS: u32 = 60;

/// Answers for those domains as long as the runtime lives. Gives where.
pub async fn start(domains: &'static [&'static str]) -> io::Result<SocketAddr> {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        let mut query = [0; 1500];
        loop {
            let Ok((length, client)) = socket.recv_from(&mut query).await else { continue };
            let answer =
                Message::from_vec(&query[..length]).ok().and_then(|query| answer(&query, domains).to_vec().ok());
            if let Some(answer) = answer {
                // Who asked and went away needs none.
                let _ = socket.send_to(&answer, client).await;
            }
        }
    });
    Ok(address)
}

/// RFC 1035 section 4.1: `DOMAIN` has an MX record of `mx.DOMAIN`, and that an address.
fn answer(query: &Message, domains: &[&str]) -> Message {
    let mut message = Message::response(query.metadata.id, query.metadata.op_code);
    message.metadata.authoritative = true;
    message.metadata.recursion_available = true;
    for question in &query.queries {
        message.add_query(question.clone());
        let asked = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let host = asked.strip_prefix("mx.").filter(|domain| domains.contains(domain));
        let data = match question.query_type() {
            RecordType::MX if domains.contains(&asked.as_str()) => {
                Name::from_ascii(format!("mx.{asked}.")).ok().map(|host| RData::MX(MX::new(10, host)))
            }
            RecordType::A if host.is_some() => Some(RData::A(A(Ipv4Addr::LOCALHOST))),
            _ => None,
        };
        if data.is_none() && host.is_none() && !domains.contains(&asked.as_str()) {
            message.metadata.response_code = ResponseCode::NXDomain;
        }
        message.add_answers(data.map(|data| Record::from_rdata(question.name().clone(), TTL_SECONDS, data)));
    }
    message
}
