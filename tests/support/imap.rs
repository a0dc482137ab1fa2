//! A plain IMAP client over a blocking socket: says what it is told to, and takes answers apart just as far as the tests
//! need. Written apart from the library, whose judge it is.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::names;

/// Anything a protocol can be spoken over.
pub trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// How long a peer may be silent before the test fails.
const SILENCE_MAX: Duration = Duration::from_secs(60);

pub struct Imap {
    stream: BufReader<Box<dyn Wire>>,
    tags: u32,
    /// Known once it was asked for.
    literal_plus: Option<bool>,
    /// The greeting's text.
    pub greeting: String,
}

/// One response with its literals taken out: each stands as `{n}` in the text.
#[derive(Debug, Clone)]
pub struct Line {
    pub text: String,
    pub literals: Vec<Vec<u8>>,
}

#[derive(Debug)]
pub struct Reply {
    /// `OK`, `NO` or `BAD`.
    pub status: String,
    pub text: String,
    pub untagged: Vec<Line>,
}

/// What FETCH told of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub sequence: u32,
    pub uid: u32,
    pub flags: BTreeSet<String>,
    /// Seconds since 1970.
    pub internal_date: i64,
    pub body: Vec<u8>,
}

/// One mailbox of LIST.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// In UTF-8, with the server's own delimiter.
    pub name: String,
    pub delimiter: Option<char>,
    pub attributes: BTreeSet<String>,
}

/// A TCP connection that does not hang for ever.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, SILENCE_MAX)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// TLS over a connection; `root` is the only certificate trusted.
pub fn secure(stream: TcpStream, root: &Path) -> io::Result<Box<dyn Wire>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(root).expect("a PEM certificate")).expect("a usable certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::from(stream.peer_addr()?.ip());
    let session = rustls::ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut secured = rustls::StreamOwned::new(session, stream);
    secured.conn.complete_io(&mut secured.sock)?;
    Ok(Box::new(secured))
}

impl Imap {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::over(Box::new(connect(address)?))
    }

    pub fn connect_tls(address: SocketAddr, root: &Path) -> io::Result<Self> {
        Self::over(secure(connect(address)?, root)?)
    }

    /// Connects in the clear and goes on over TLS (RFC 3501 section 6.2.1).
    pub fn connect_starttls(address: SocketAddr, root: &Path) -> io::Result<Self> {
        let mut stream = connect(address)?;
        let mut line = Vec::new();
        for command in [None, Some("s1 STARTTLS\r\n")] {
            if let Some(command) = command {
                stream.write_all(command.as_bytes())?;
            }
            line.clear();
            // Byte by byte: nothing that belongs to TLS may be taken.
            while !line.ends_with(b"\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                line.extend(byte);
            }
        }
        if !line.starts_with(b"s1 OK") {
            return Err(io::Error::other(String::from_utf8_lossy(&line).into_owned()));
        }
        let secured = secure(stream, root)?;
        Ok(Self { stream: BufReader::new(secured), tags: 0, literal_plus: None, greeting: String::new() })
    }

    pub fn over(stream: Box<dyn Wire>) -> io::Result<Self> {
        let mut imap = Self { stream: BufReader::new(stream), tags: 0, literal_plus: None, greeting: String::new() };
        imap.greeting = imap.line()?.text;
        if imap.greeting.starts_with("* OK") || imap.greeting.starts_with("* PREAUTH") {
            Ok(imap)
        } else {
            Err(io::Error::other(format!("greeted with {:?}", imap.greeting)))
        }
    }

    pub fn login(&mut self, user: &str, password: &str) -> io::Result<Reply> {
        self.try_command(&format!("LOGIN {} {}", quoted(user), quoted(password)))
    }

    /// Sends a command and gathers the answer. A connection that breaks is an error, NO and BAD are not.
    pub fn try_command(&mut self, command: &str) -> io::Result<Reply> {
        let tag = self.send(command)?;
        self.answer(&tag)
    }

    /// As [`Self::try_command`] for a connection that must hold.
    pub fn command(&mut self, command: &str) -> Reply {
        self.try_command(command).unwrap_or_else(|error| panic!("{error} after {command:.100}"))
    }

    /// A command that must be answered with OK.
    pub fn ok(&mut self, command: &str) -> Reply {
        let reply = self.command(command);
        assert_eq!(reply.status, "OK", "{command:.200} was answered {} {}", reply.status, reply.text);
        reply
    }

    /// Sends without waiting; [`Self::answer`] takes the answer later.
    pub fn send(&mut self, command: &str) -> io::Result<String> {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.write(format!("{tag} {command}\r\n").as_bytes())?;
        Ok(tag)
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    pub fn answer(&mut self, tag: &str) -> io::Result<Reply> {
        let mut untagged = Vec::new();
        loop {
            let line = self.line()?;
            let Some(rest) = line.text.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) else {
                untagged.push(line);
                continue;
            };
            let (status, text) = rest.split_once(' ').unwrap_or((rest, ""));
            return Ok(Reply { status: status.to_owned(), text: text.to_owned(), untagged });
        }
    }

    /// One response, with its literals.
    pub fn line(&mut self) -> io::Result<Line> {
        let mut line = Line { text: String::new(), literals: Vec::new() };
        loop {
            let mut bytes = Vec::new();
            self.stream.read_until(b'\n', &mut bytes)?;
            let Some(bytes) = bytes.strip_suffix(b"\n") else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            line.text.push_str(&String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes)));
            let Some(length) = announced(&line.text) else {
                return Ok(line);
            };
            let mut literal = vec![0; length];
            self.stream.read_exact(&mut literal)?;
            line.literals.push(literal);
        }
    }

    pub fn select(&mut self, mailbox: &str) -> Reply {
        self.ok(&format!("SELECT {}", mailbox_argument(mailbox)))
    }

    /// As the server names them in the state it is in.
    pub fn capabilities(&mut self) -> BTreeSet<String> {
        let reply = self.ok("CAPABILITY");
        let line = reply.untagged.iter().find_map(|line| line.text.strip_prefix("* CAPABILITY "));
        line.expect("a CAPABILITY response").split(' ').map(str::to_ascii_uppercase).collect()
    }

    /// What all names of the user's mailboxes but INBOX begin with (RFC 2342).
    pub fn personal_prefix(&mut self) -> String {
        let reply = self.ok("NAMESPACE");
        let line = reply.untagged.iter().find_map(|line| line.text.strip_prefix("* NAMESPACE (("));
        names::decode(&unquoted(line.and_then(|rest| rest.split(' ').next()).expect("a personal namespace")))
    }

    /// APPEND, with a non-synchronizing literal where the server takes it (RFC 7888). `date` is in seconds since 1970.
    pub fn append(&mut self, mailbox: &str, flags: &[&str], date: i64, message: &[u8]) -> Reply {
        let reply = self.try_append(mailbox, flags, date, message).expect("a connection that holds");
        assert_eq!(reply.status, "OK", "APPEND to {mailbox} was answered {} {}", reply.status, reply.text);
        reply
    }

    pub fn try_append(&mut self, mailbox: &str, flags: &[&str], date: i64, message: &[u8]) -> io::Result<Reply> {
        let tag = self.send_append(mailbox, flags, date, message)?;
        self.answer(&tag)
    }

    /// For pipelining: the answer is taken with [`Self::answer`].
    pub fn send_append(&mut self, mailbox: &str, flags: &[&str], date: i64, message: &[u8]) -> io::Result<String> {
        let at_once = self.takes_literals_at_once();
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        let head = format!(
            "{tag} APPEND {} ({}) {} {{{}{}}}\r\n",
            mailbox_argument(mailbox),
            flags.join(" "),
            date_time(date),
            message.len(),
            if at_once { "+" } else { "" },
        );
        self.write(head.as_bytes())?;
        if !at_once {
            self.wait_continue(&tag)?;
        }
        self.write(&[message, b"\r\n"].concat())?;
        Ok(tag)
    }

    /// LITERAL+ (RFC 7888): without it nothing can be pipelined behind an APPEND.
    pub fn takes_literals_at_once(&mut self) -> bool {
        let known = self.literal_plus.unwrap_or_else(|| self.capabilities().contains("LITERAL+"));
        *self.literal_plus.insert(known)
    }

    /// What is told before the `+` is thrown away.
    fn wait_continue(&mut self, tag: &str) -> io::Result<()> {
        loop {
            let line = self.line()?.text;
            if line.starts_with('+') {
                return Ok(());
            }
            if line.starts_with(tag) {
                return Err(io::Error::other(line));
            }
        }
    }

    pub fn list(&mut self) -> Vec<Listed> {
        let reply = self.ok("LIST \"\" *");
        let mut listed: Vec<Listed> = reply.untagged.iter().filter_map(Listed::read).collect();
        listed.sort();
        listed
    }

    /// Everything in the selected mailbox, in UID order. The bodies are fetched without setting `\Seen`.
    pub fn fetch_all(&mut self) -> Vec<Fetched> {
        self.try_fetch_all().expect("a connection that holds")
    }

    pub fn try_fetch_all(&mut self) -> io::Result<Vec<Fetched>> {
        self.try_fetch("UID FLAGS INTERNALDATE BODY.PEEK[]")
    }

    /// As [`Self::fetch_all`] without the bodies.
    pub fn fetch_flags(&mut self) -> Vec<Fetched> {
        self.try_fetch("UID FLAGS INTERNALDATE").expect("a connection that holds")
    }

    /// The items must be UID and FLAGS at least; a literal among them is the body.
    pub fn try_fetch(&mut self, items: &str) -> io::Result<Vec<Fetched>> {
        let reply = self.try_command(&format!("UID FETCH 1:* ({items})"))?;
        if reply.status != "OK" {
            return Err(io::Error::other(reply.text));
        }
        let mut messages: Vec<Fetched> = reply.untagged.iter().filter_map(Fetched::read).collect();
        messages.sort_by_key(|message| message.uid);
        Ok(messages)
    }
}

impl Reply {
    /// The EXISTS count told with a SELECT.
    pub fn exists(&self) -> u32 {
        let count = self.untagged.iter().rev().find_map(|line| {
            let number = line.text.strip_prefix("* ")?.strip_suffix(" EXISTS")?;
            number.parse().ok()
        });
        count.expect("an EXISTS response")
    }

    /// What follows `[CODE ` up to `]`, in the tagged or an untagged answer.
    pub fn code(&self, code: &str) -> Option<String> {
        let start = format!("[{code} ");
        let texts = std::iter::once(&self.text).chain(self.untagged.iter().map(|line| &line.text));
        texts.into_iter().find_map(|text| {
            let (_, rest) = text.split_once(&start)?;
            Some(rest.split_once(']')?.0.to_owned())
        })
    }

    /// The numbers of a SEARCH response.
    pub fn found(&self) -> Vec<u32> {
        let lines = self.untagged.iter().filter_map(|line| line.text.strip_prefix("* SEARCH"));
        lines.flat_map(|line| line.split_whitespace().filter_map(|number| number.parse().ok())).collect()
    }
}

impl Listed {
    /// `* LIST (\HasNoChildren) "/" name`.
    fn read(line: &Line) -> Option<Self> {
        let rest = line.text.strip_prefix("* LIST (")?;
        let (attributes, rest) = rest.split_once(") ")?;
        let (delimiter, name) = match rest.strip_prefix("NIL ") {
            Some(name) => (None, name),
            None => {
                let mut characters = rest.strip_prefix('"')?.chars();
                let delimiter = characters.next().filter(|first| *first != '\\').or_else(|| characters.next());
                (delimiter, characters.as_str().strip_prefix("\" ")?)
            }
        };
        let name = match line.literals.first() {
            Some(literal) => String::from_utf8_lossy(literal).into_owned(),
            None => unquoted(name),
        };
        let attributes = attributes.split_whitespace().map(str::to_owned).collect();
        Some(Self { name: names::decode(&name), delimiter, attributes })
    }
}

impl Fetched {
    fn read(line: &Line) -> Option<Self> {
        let (sequence, items) = line.text.strip_prefix("* ")?.split_once(" FETCH (")?;
        let flags = after(items, "FLAGS (")?.split(')').next()?;
        // \Recent is the session's, not the message's (RFC 3501 section 2.3.2).
        let flags = flags.split_whitespace().filter(|flag| *flag != "\\Recent").map(str::to_owned).collect();
        let date = after(items, "INTERNALDATE \"").and_then(|rest| rest.split('"').next());
        Some(Self {
            sequence: sequence.parse().ok()?,
            uid: after(items, "UID ")?.split([' ', ')']).next()?.parse().ok()?,
            flags,
            internal_date: date.map_or(0, |text| seconds(text).unwrap_or_else(|| panic!("the date {text:?}"))),
            body: line.literals.first().cloned().unwrap_or_default(),
        })
    }
}

fn after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.split_once(start).map(|(_, rest)| rest)
}

/// The length of the literal a line ends with.
fn announced(line: &str) -> Option<usize> {
    line.strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}

pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn unquoted(text: &str) -> String {
    let Some(inside) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let (mut out, mut escaped) = (String::new(), false);
    for character in inside.chars() {
        if character == '\\' && !escaped {
            escaped = true;
        } else {
            out.push(character);
            escaped = false;
        }
    }
    out
}

/// A mailbox name in UTF-8 as an argument.
pub fn mailbox_argument(name: &str) -> String {
    quoted(&names::encode(name))
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// RFC 3501 section 9, date-time, in UTC.
pub fn date_time(seconds: i64) -> String {
    let time = chrono::DateTime::from_timestamp(seconds, 0).expect("a date of this era");
    time.format("\"%d-%b-%Y %H:%M:%S +0000\"").to_string()
}

/// `17-Jul-1996 02:44:25 -0700` in seconds since 1970.
fn seconds(text: &str) -> Option<i64> {
    let (date, rest) = text.trim_start().split_once(' ')?;
    let (time, zone) = rest.split_once(' ')?;
    let mut date = date.split('-');
    let day: i64 = date.next()?.parse().ok()?;
    let month = date.next()?;
    let month = 1 + MONTHS.iter().position(|name| *name == month)? as i64;
    let year: i64 = date.next()?.parse().ok()?;
    let mut clock = time.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let zone: i64 = zone.parse().ok()?;
    let offset = (zone / 100) * 3600 + (zone % 100) * 60;
    // Days since 1970 by the civil calendar; the year begins in March so that the leap day comes last.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

#[test]
fn dates_are_read_as_they_are_written() {
    assert_eq!(seconds("01-Jan-1970 00:00:00 +0000"), Some(0));
    assert_eq!(seconds("17-Jul-1996 02:44:25 -0700"), Some(837_596_665));
    assert_eq!(seconds(date_time(951_782_399).trim_matches('"')), Some(951_782_399));
}
