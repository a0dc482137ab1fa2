//! The two small clients with which the demonstration plays the user: enough IMAP and SMTP for its own script.
//!
//! Blocking sockets with a time-out on every read: a server that stalls fails the demonstration, it does not hang it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;

use crate::sasl::{self, Credentials};
use crate::types::limits;

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection that reads lines.
struct Wire {
    reader: BufReader<TcpStream>,
}

impl Wire {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// One line with its line break.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(limits::UPSTREAM_LINE_MAX_BYTES as u64);
        limited.read_until(b'\n', &mut line)?;
        if line.ends_with(b"\n") { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// An untagged IMAP response: its text with every literal taken out, and the literals.
pub struct Response {
    pub text: String,
    pub literals: Vec<Vec<u8>>,
}

/// An IMAP client, logged in.
pub struct Imap {
    wire: Wire,
    commands: u32,
}

impl Imap {
    /// Connects and logs in.
    pub fn login(address: SocketAddr, user: &str, password: &str) -> io::Result<Self> {
        let mut imap = Self { wire: Wire::connect(address)?, commands: 0 };
        imap.wire.line()?;
        imap.run(&format!("LOGIN {} {}", quoted(user), quoted(password)))?;
        Ok(imap)
    }

    /// Runs a command; anything but OK is an error that names the command.
    pub fn run(&mut self, command: &str) -> io::Result<Vec<Response>> {
        let tag = self.next_tag();
        self.wire.send(format!("{tag} {command}\r\n").as_bytes())?;
        self.answer(&tag, command)
    }

    /// APPENDs a message. `options` is what stands between the mailbox and the literal.
    pub fn append(&mut self, mailbox: &str, options: &str, message: &[u8]) -> io::Result<()> {
        let tag = self.next_tag();
        let command = format!("APPEND {} {options}", quoted(mailbox));
        self.wire.send(format!("{tag} {command} {{{}+}}\r\n", message.len()).as_bytes())?;
        self.wire.send(message)?;
        self.wire.send(b"\r\n")?;
        self.answer(&tag, &command).map(drop)
    }

    fn next_tag(&mut self) -> String {
        self.commands += 1;
        format!("d{}", self.commands)
    }

    fn answer(&mut self, tag: &str, command: &str) -> io::Result<Vec<Response>> {
        let mut responses = Vec::new();
        loop {
            let response = self.response()?;
            match response.text.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                Some(rest) if rest.starts_with("OK") => return Ok(responses),
                Some(rest) => return Err(io::Error::other(format!("{command}: {rest}"))),
                None => responses.push(response),
            }
        }
    }

    fn response(&mut self) -> io::Result<Response> {
        let mut response = Response { text: String::new(), literals: Vec::new() };
        loop {
            let line = self.wire.line()?;
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            match literal_size(line) {
                Some((text, size)) if size <= limits::MESSAGE_MAX_BYTES => {
                    response.text.push_str(text);
                    let mut literal = Vec::new();
                    (&mut self.wire.reader).take(size).read_to_end(&mut literal)?;
                    if literal.len() as u64 != size {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    response.literals.push(literal);
                }
                _ => {
                    response.text.push_str(line);
                    return Ok(response);
                }
            }
        }
    }
}

/// `text {12}` gives `text ` and 12.
fn literal_size(line: &str) -> Option<(&str, u64)> {
    let (text, number) = line.strip_suffix('}')?.rsplit_once('{')?;
    Some((text, number.parse().ok()?))
}

/// A quoted string (RFC 3501 section 4.3).
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Hands one message to an SMTP server. With credentials it is submitted; without, the server takes it for its users.
pub fn send_mail(
    address: SocketAddr,
    login: Option<&Credentials>,
    from: &str,
    to: &str,
    message: &[u8],
) -> io::Result<()> {
    let mut wire = Wire::connect(address)?;
    expect(&mut wire, 220)?;
    wire.send(b"EHLO demo.example\r\n")?;
    expect(&mut wire, 250)?;
    if let Some(credentials) = login {
        let response = base64::engine::general_purpose::STANDARD.encode(sasl::client::plain(credentials));
        wire.send(format!("AUTH PLAIN {response}\r\n").as_bytes())?;
        expect(&mut wire, 235)?;
    }
    for (command, code) in
        [(format!("MAIL FROM:<{from}>"), 250), (format!("RCPT TO:<{to}>"), 250), ("DATA".to_owned(), 354)]
    {
        wire.send(format!("{command}\r\n").as_bytes())?;
        expect(&mut wire, code)?;
    }
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            wire.send(b".")?;
        }
        wire.send(line)?;
    }
    wire.send(b".\r\n")?;
    expect(&mut wire, 250)?;
    wire.send(b"QUIT\r\n")
}

fn expect(wire: &mut Wire, code: u16) -> io::Result<()> {
    loop {
        let line = wire.line()?;
        let line = String::from_utf8_lossy(&line);
        match line.strip_prefix(&code.to_string()) {
            Some(rest) if rest.starts_with('-') => {}
            Some(_) => return Ok(()),
            None => return Err(io::Error::other(format!("expected {code}, the server said: {}", line.trim_end()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_seen_at_the_end_of_a_line_only() {
        assert_eq!(literal_size("* 1 FETCH (BODY[] {12}"), Some(("* 1 FETCH (BODY[] ", 12)));
        assert_eq!(literal_size("* 1 FETCH (BODY[] {x}"), None);
        assert_eq!(literal_size("{12} no"), None);
    }
}
