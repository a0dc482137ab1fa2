//! A message of 100 MB: mirrored, served and sent in little memory.

use std::io::{BufRead, BufReader, Read, Write};

use crate::support::agent::{Account, Agent, LOCAL_PASSWORD};
use crate::support::corpus;
use crate::support::imap::{connect, date_time};
use crate::support::refserver::RefServer;
use crate::support::wait::{SOON, wait_until};

const SIZE: usize = 100 * 1024 * 1024;

/// Memory that may be used for it above what the idle process had: far less than the message.
const ABOVE_IDLE_KIB_MAX: u64 = 64 * 1024;

/// Lines of mail without end.
fn lines() -> impl Iterator<Item = u8> {
    (0_u64..).flat_map(|number| format!("{number:070}\r\n").into_bytes())
}

fn big_message() -> Vec<u8> {
    let mut message = corpus::small(1);
    message.extend(lines().take(SIZE - message.len() - 2));
    message.extend(b"\r\n");
    message
}

/// Fetches the first message of INBOX in a stream; its size and hash.
fn fetch_streamed(agent: &Agent) -> (usize, blake3::Hash) {
    let mut stream = BufReader::new(connect(agent.imap).expect("syncd serves"));
    let mut line = String::new();
    stream.read_line(&mut line).expect("a greeting");
    let commands = format!("a LOGIN ada \"{LOCAL_PASSWORD}\"\r\nb SELECT INBOX\r\nc FETCH 1 BODY.PEEK[]\r\n");
    stream.get_mut().write_all(commands.as_bytes()).expect("syncd serves");
    let size = loop {
        line.clear();
        stream.read_line(&mut line).expect("an answer");
        if let Some((_, size)) = line.trim_end().strip_suffix('}').and_then(|line| line.split_once("BODY[] {")) {
            break size.parse().expect("a number");
        }
        assert!(!line.starts_with("c "), "{line}");
    };
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut (&mut stream).take(size as u64), &mut hasher).expect("the whole literal");
    (size, hasher.finalize())
}

#[test]
fn a_message_of_100_mb_is_mirrored_and_served_in_little_memory() {
    let mut server = RefServer::with_users(&["ada"]);
    let mut agent = Agent::started(&Account::at(&server, "ada", server.address("imap")).text());
    agent.sync();
    let idle = agent.process().memory_kib("VmHWM");
    let server_idle = server.process().memory_kib("VmHWM");

    let message = big_message();
    let hash = blake3::hash(&message);
    append_streamed(&server, &message);
    drop(message);
    wait_until("the message to arrive", SOON * 2, || agent.login("ada").select("INBOX").exists() == 1);
    let mirrored = agent.process().memory_kib("VmHWM");
    assert_eq!(fetch_streamed(&agent), (SIZE, hash));
    let mut pop3 = agent.login_pop3("ada");
    assert_eq!(blake3::hash(&pop3.lines("RETR 1")), hash);
    let served = agent.process().memory_kib("VmHWM");
    let server_peak = server.process().memory_kib("VmHWM");
    println!("syncd: idle {idle} KiB, after the mirror {mirrored} KiB, after serving {served} KiB");
    println!("refserver: idle {server_idle} KiB, peak {server_peak} KiB");
    assert!(served - idle < ABOVE_IDLE_KIB_MAX, "syncd: {idle} KiB idle, {served} KiB at its peak");
    assert!(server_peak - server_idle < ABOVE_IDLE_KIB_MAX, "refserver: {server_idle} idle, {server_peak} at its peak");
}

fn append_streamed(server: &RefServer, message: &[u8]) {
    let mut imap = server.login("ada");
    let head = format!("big APPEND INBOX () {} {{{}+}}\r\n", date_time(1_000_000_000), message.len());
    for piece in [head.as_bytes(), message, b"\r\n"] {
        imap.write(piece).expect("refserver takes it");
    }
    assert_eq!(imap.answer("big").expect("an answer").status, "OK");
}

#[test]
fn thousands_of_messages_are_fetched_by_a_slow_reader_in_little_memory() {
    let server = RefServer::with_users(&["ada"]);
    let mut upstream = server.login("ada");
    let mut piece = corpus::small(1);
    piece.extend(lines().take(1024 * 72));
    for number in 0..600_u32 {
        piece.truncate(piece.len() - 12);
        piece.extend(format!("{number:010}\r\n").bytes());
        upstream.append("INBOX", &[], 1_000_000_000, &piece);
    }
    let mut agent = Agent::started(&Account::at(&server, "ada", server.address("imap")).text());
    agent.sync();
    let idle = agent.process().memory_kib("VmHWM");
    let mut stream = connect(agent.imap).expect("syncd serves");
    let commands = format!("a LOGIN ada \"{LOCAL_PASSWORD}\"\r\nb SELECT INBOX\r\nc FETCH 1:* BODY.PEEK[]\r\n");
    stream.write_all(commands.as_bytes()).expect("syncd serves");
    let mut tail = Vec::new();
    let mut piece = vec![0; 4096];
    loop {
        let length = stream.read(&mut piece).expect("a stream that goes on");
        assert!(length > 0, "the connection broke");
        tail.extend_from_slice(&piece[..length]);
        if String::from_utf8_lossy(&tail).contains("\r\nc OK") {
            break;
        }
        tail.drain(..tail.len().saturating_sub(64));
    }
    let peak = agent.process().memory_kib("VmHWM");
    println!("syncd: before {idle} KiB, after fetching 43 MB {peak} KiB");
    assert!(peak - idle < ABOVE_IDLE_KIB_MAX, "{idle} KiB before, {peak} KiB after");
}
