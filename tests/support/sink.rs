//! An SMTP server that takes everything and remembers it: the far end of submissions.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use super::net::free_address;

pub struct Sink {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    delivered: Vec<Delivered>,
    /// Recipients answered with a code of their own, by a piece of their address.
    verdicts: Vec<(String, &'static str)>,
    connections: usize,
    closed: bool,
}

/// A message that was answered with 250.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivered {
    pub from: String,
    pub to: Vec<String>,
    /// Dots undone, CRLF kept.
    pub bytes: Vec<u8>,
}

impl Sink {
    pub fn start() -> Self {
        Self::at(free_address())
    }

    pub fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("an address of our own");
        let shared = Arc::new(Mutex::new(Shared::default()));
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if lock(&accepting).closed {
                    return;
                }
                lock(&accepting).connections += 1;
                let (Ok(stream), shared) = (stream, accepting.clone()) else { continue };
                // A client that vanishes is the client's affair.
                std::thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        Self { address, shared }
    }

    pub fn delivered(&self) -> Vec<Delivered> {
        lock(&self.shared).delivered.clone()
    }

    /// How many those are.
    pub fn count(&self) -> usize {
        lock(&self.shared).delivered.len()
    }

    /// How often somebody connected.
    pub fn connections(&self) -> usize {
        lock(&self.shared).connections
    }

    /// RCPT for an address holding `part` is answered with `reply` from now on.
    pub fn answer_recipient(&self, part: &str, reply: &'static str) {
        lock(&self.shared).verdicts.push((part.to_owned(), reply));
    }

    /// All recipients are welcome again.
    pub fn welcome_all(&self) {
        lock(&self.shared).verdicts.clear();
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        lock(&self.shared).closed = true;
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().expect("no panic under this lock")
}

fn serve(stream: &TcpStream, shared: &Mutex<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream.try_clone()?);
    let say = |line: &str| {
        let mut output = stream;
        output.write_all(format!("{line}\r\n").as_bytes())
    };
    say("220 sink.example ESMTP")?;
    let (mut from, mut to) = (String::new(), Vec::new());
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let verb = line.split(' ').next().unwrap_or("").to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => say("250-sink.example\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 0\r\n250 AUTH PLAIN LOGIN")?,
            "HELO" => say("250 sink.example")?,
            "AUTH" if line.split(' ').count() < 3 => {
                // PLAIN without initial response, or LOGIN's two questions.
                let questions = if line.to_ascii_uppercase().contains("LOGIN") { 2 } else { 1 };
                for _ in 0..questions {
                    say("334 ")?;
                    input.read_line(&mut String::new())?;
                }
                say("235 2.7.0 welcome")?;
            }
            "AUTH" => say("235 2.7.0 welcome")?,
            "MAIL" => {
                from = address(line);
                to.clear();
                say("250 2.1.0 sender ok")?;
            }
            "RCPT" => {
                let recipient = address(line);
                let verdict =
                    lock(shared).verdicts.iter().find(|(part, _)| recipient.contains(part)).map(|found| found.1);
                if verdict.is_none() {
                    to.push(recipient);
                }
                say(verdict.unwrap_or("250 2.1.5 recipient ok"))?;
            }
            "DATA" if to.is_empty() => say("554 5.5.1 no valid recipients")?,
            "DATA" => {
                say("354 go on")?;
                let bytes = data(&mut input)?;
                lock(shared).delivered.push(Delivered { from: from.clone(), to: std::mem::take(&mut to), bytes });
                say("250 2.0.0 taken")?;
            }
            "RSET" => {
                to.clear();
                say("250 2.0.0 forgotten")?;
            }
            "NOOP" => say("250 2.0.0 still here")?,
            "QUIT" => {
                say("221 2.0.0 bye")?;
                return stream.shutdown(Shutdown::Both);
            }
            _ => say("500 5.5.2 what?")?,
        }
    }
}

/// The address between the angle brackets.
fn address(line: &str) -> String {
    let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or(String::new(), |(address, _)| address.to_owned())
}

fn data(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.as_slice() {
            b".\r\n" => return Ok(bytes),
            [b'.', rest @ ..] => bytes.extend(rest),
            line => bytes.extend(line),
        }
    }
}
