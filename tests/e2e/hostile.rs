//! Peers that break off, talk nonsense or ask for too much: told clearly, in bounded memory, and nothing is lost.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::support::agent::{Account, Agent};
use crate::support::corpus;
use crate::support::imap::{Imap, connect};
use crate::support::net::free_address;
use crate::support::proxy::Proxy;
use crate::support::refserver::RefServer;
use crate::support::snapshot;
use crate::support::wait::{SOON, wait_until};

/// A server that runs `script` for every connection.
fn serve(script: impl Fn(TcpStream) -> io::Result<()> + Send + Clone + 'static) -> SocketAddr {
    let address = free_address();
    let listener = TcpListener::bind(address).expect("an address of our own");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let script = script.clone();
            // How it ends is the other side's affair.
            std::thread::spawn(move || drop(script(stream)));
        }
    });
    address
}

#[test]
fn a_server_that_closes_after_any_byte_costs_nothing() {
    let server = RefServer::with_users(&["ada"]);
    let mut upstream = server.login("ada");
    upstream.ok("CREATE Shelf");
    for number in 0..6 {
        let folder = if number % 2 == 0 { "INBOX" } else { "Shelf" };
        upstream.append(folder, &["\\Flagged"], 1_000_000_000, &corpus::small(number));
    }
    let line = Proxy::to(server.address("imap"));
    let mut agent = Agent::new(&Account::at(&server, "ada", line.address).text());
    // A step that is prime to everything, so that over the whole talk cuts fall at all kinds of places.
    let mut bytes = 0;
    loop {
        line.cut_each_after(bytes);
        let said = agent.once();
        if said.code == 0 {
            break;
        }
        assert_eq!(said.code, 75, "cut after {bytes} bytes: {said:?}");
        assert!(bytes < 60_000, "it should be done by now: {said:?}");
        bytes = bytes * 11 / 10 + 37;
    }
    agent.start();
    assert_eq!(snapshot::take(&mut agent.login("ada")), snapshot::take(&mut upstream));
}

#[test]
fn garbage_in_place_of_a_greeting_leaves_the_mirror_as_it_was() {
    let greetings: [&[u8]; 7] = [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"220 mail.example ESMTP\r\n",
        b"* BYE too busy\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not plaintext at all\r\n",
        b"\0\0\0\0\0\0\0\0\r\n",
        b"* NO\r\n",
        b"",
    ];
    let server = RefServer::with_users(&["ada"]);
    server.login("ada").append("INBOX", &[], 1_000_000_000, &corpus::small(1));
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::new(&Account::at(&server, "ada", line.address).text());
    assert_eq!(agent.once().code, 0);
    for greeting in greetings {
        line.lead_to(serve(move |mut stream| {
            stream.write_all(greeting)?;
            // Stays for a moment, as a confused server does.
            stream.set_read_timeout(Some(Duration::from_millis(300)))?;
            drop(stream.read(&mut [0; 256]));
            Ok(())
        }));
        let said = agent.once();
        assert_eq!(said.code, 75, "{greeting:?}: {said:?}");
        assert!(!said.err.trim().is_empty(), "{greeting:?}");
    }
    line.lead_to(server.address("imap"));
    let said = agent.once();
    assert_eq!(said.code, 0, "{said:?}");
}

/// A mailbox with one message, whose FETCH is answered with `answer`.
fn one_message(mut stream: TcpStream, answer: Answer) -> io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    stream.write_all(b"* OK ready\r\n")?;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (tag, command) = line.trim_end().split_once(' ').unwrap_or(("*", ""));
        let upper = command.to_ascii_uppercase();
        let untagged = if upper.starts_with("CAPABILITY") {
            "* CAPABILITY IMAP4rev1\r\n"
        } else if upper.starts_with("LIST") || upper.starts_with("LSUB") {
            "* LIST () \"/\" INBOX\r\n"
        } else if upper.starts_with("STATUS") {
            "* STATUS INBOX (MESSAGES 1 RECENT 0 UIDNEXT 2 UIDVALIDITY 9 UNSEEN 1)\r\n"
        } else if upper.starts_with("SELECT") || upper.starts_with("EXAMINE") {
            "* FLAGS (\\Seen)\r\n* 1 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 9] x\r\n* OK [UIDNEXT 2] x\r\n"
        } else if upper.starts_with("UID SEARCH") {
            "* SEARCH 1\r\n"
        } else if upper.contains("FETCH") {
            answer(&mut stream)?;
            ""
        } else {
            ""
        };
        stream.write_all(format!("{untagged}{tag} OK done\r\n").as_bytes())?;
    }
}

type Answer = fn(&mut TcpStream) -> io::Result<()>;

/// What is announced or said in place of a message.
const HOSTILE: [(&str, Answer); 6] = [
    ("a literal of 2 GB", |stream| {
        stream.write_all(b"* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"01-Jan-2026 00:00:00 +0000\" ")?;
        stream.write_all(b"RFC822.SIZE 2147483648 BODY[] {2147483648}\r\n")?;
        pour(stream, b"0123456789abcdef")
    }),
    ("a literal of 16 exabytes", |stream| {
        stream.write_all(b"* 1 FETCH (UID 1 FLAGS () BODY[] {18446744073709551615}\r\n")?;
        pour(stream, b"x")
    }),
    ("a line without end", |stream| {
        stream.write_all(b"* 1 FETCH (UID 1 FLAGS (")?;
        pour(stream, b"\\Seen ")
    }),
    ("parentheses without end", |stream| {
        stream.write_all(b"* 1 FETCH (UID 1 BODYSTRUCTURE ")?;
        pour(stream, b"(")
    }),
    ("NUL bytes", |stream| stream.write_all(b"* 1 FETCH (UID 1 FLAGS (\0\0\0) BODY[] {3}\r\n\0\0\0)\r\n\0\r\n")),
    ("numbers too large", |stream| {
        stream.write_all(b"* 99999999999999999999 FETCH (UID 99999999999999999999 FLAGS () RFC822.SIZE -1)\r\n")
    }),
];

/// 256 MB of the same, or as much as the other side takes.
fn pour(stream: &mut TcpStream, piece: &[u8]) -> io::Result<()> {
    let chunk = piece.repeat(64 * 1024 / piece.len());
    for _ in 0..4096 {
        stream.write_all(&chunk)?;
    }
    Ok(())
}

#[test]
fn what_a_server_announces_is_not_believed() {
    let server = RefServer::with_users(&["ada"]);
    for (what, answer) in HOSTILE {
        let address = serve(move |stream| one_message(stream, answer));
        let mut agent = Agent::new(&Account::at(&server, "ada", address).text());
        let said = agent.once();
        // A message that the server does not give is passed over, and said to be; anything else is no sync at all.
        assert!(said.code == 75 || said.err.contains("not given"), "{what}: {said:?}");
        assert!(!said.err.contains("panicked"), "{what}: {said:?}");
        // The daemon lives through it, too, and stays small.
        agent.start();
        let trouble = || agent.account()["last_error"].is_string() || agent.log().contains("not given");
        wait_until(&format!("the trouble with {what} to be told"), SOON, trouble);
        let peak = agent.process().memory_kib("VmHWM");
        assert!(peak < 128 * 1024, "{what}: {peak} KiB");
    }
}

#[test]
fn nonsense_from_clients_harms_nobody_else() {
    let server = RefServer::with_users(&["ada"]);
    server.login("ada").append("INBOX", &[], 1_000_000_000, &corpus::small(1));
    let mut agent = Agent::started(&Account::at(&server, "ada", server.address("imap")).text());
    agent.sync();
    let idle = agent.process().memory_kib("VmHWM");
    let long = vec![b'x'; 1024 * 1024];
    let nonsense: Vec<Vec<u8>> = vec![
        [b"a NOOP ".as_slice(), &long, b"\r\n"].concat(),
        long.clone(),
        b"\0\0\0\0\r\n\0a NOOP\r\n".to_vec(),
        b"a LOGIN {2147483648}\r\n".to_vec(),
        b"a LOGIN {2147483648+}\r\nxxxx".to_vec(),
        b"a LOGIN {99999999999999999999999999}\r\n".to_vec(),
        b"a AUTHENTICATE PLAIN AAAA\r\n".to_vec(),
        [b"a SEARCH ".as_slice(), &b"(".repeat(30_000), b"\r\n"].concat(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"EHLO x\r\nAUTH PLAIN =\r\nMAIL FROM:<\0>\r\nRCPT TO:<<<>>>\r\nDATA\r\n.\r\n".to_vec(),
        b"USER \xff\xfe\r\nPASS \0\r\nRETR 99999999999999\r\nTOP -1 -1\r\n".to_vec(),
        b"\r\n\r\n\r\n\n\n\n\r\r\r".to_vec(),
    ];
    for address in [agent.imap, agent.smtp, agent.pop3] {
        for bytes in &nonsense {
            let mut stream = connect(address).expect("syncd serves");
            // It may hang up in the middle; what it says until then is not looked at.
            if stream.write_all(bytes).is_ok() {
                drop(stream.shutdown(std::net::Shutdown::Write));
                drop(stream.read_to_end(&mut Vec::new()));
            }
        }
    }
    // With a login behind it.
    let mut inside = agent.login("ada");
    inside.select("INBOX");
    for command in ["APPEND INBOX {2147483648}", "APPEND INBOX {2147483648+}"] {
        let mut inside = agent.login("ada");
        let tag = inside.send(command).expect("syncd serves");
        match inside.answer(&tag) {
            Ok(reply) => assert_ne!(reply.status, "OK", "{command}"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{command}: {error}"),
        }
    }
    assert_eq!(inside.fetch_all().len(), 1, "another session goes on");
    Imap::connect(agent.imap).expect("and new ones are welcome");
    let peak = agent.process().memory_kib("VmHWM");
    assert!(peak - idle < 64 * 1024, "{idle} KiB idle, {peak} KiB after the nonsense");
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
}

#[test]
fn a_line_that_stalls_does_not_hold_up_reading() {
    let server = RefServer::with_users(&["ada"]);
    server.login("ada").append("INBOX", &[], 1_000_000_000, &corpus::small(1));
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&Account::at(&server, "ada", line.address).text());
    agent.sync();
    line.stall();
    let mut local = agent.login("ada");
    local.select("INBOX");
    local.ok("STORE 1 +FLAGS (\\Flagged)");
    assert_eq!(local.fetch_all().len(), 1);
    line.join();
    wait_until("the flag to go up when the line is whole again", SOON, || {
        let mut upstream = server.login("ada");
        upstream.select("INBOX");
        upstream.fetch_flags()[0].flags.contains("\\Flagged")
    });
}
