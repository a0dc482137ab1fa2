//! A plain SMTP client (RFC 5321) over a blocking socket.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::imap::{Wire, connect, secure};

pub struct Smtp {
    stream: BufReader<Box<dyn Wire>>,
    pub greeting: Answer,
    /// The keywords of the answer to EHLO.
    pub extensions: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub code: u16,
    pub lines: Vec<String>,
}

impl Smtp {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::over(Box::new(connect(address)?))
    }

    pub fn connect_tls(address: SocketAddr, root: &Path) -> io::Result<Self> {
        Self::over(secure(connect(address)?, root)?)
    }

    fn over(stream: Box<dyn Wire>) -> io::Result<Self> {
        let greeting = Answer { code: 0, lines: Vec::new() };
        let mut smtp = Self { stream: BufReader::new(stream), greeting, extensions: Vec::new() };
        smtp.greeting = smtp.answer()?;
        if smtp.greeting.code == 220 {
            smtp.extensions = smtp.try_command("EHLO test.example")?.lines;
        }
        Ok(smtp)
    }

    pub fn login(&mut self, user: &str, password: &str) -> io::Result<Answer> {
        let response = STANDARD.encode(format!("\0{user}\0{password}"));
        self.try_command(&format!("AUTH PLAIN {response}"))
    }

    pub fn try_command(&mut self, line: &str) -> io::Result<Answer> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.answer()
    }

    /// A command that must be answered with `code`.
    pub fn expect(&mut self, code: u16, line: &str) -> Answer {
        let answer = self.try_command(line).unwrap_or_else(|error| panic!("{error} after {line}"));
        assert_eq!(answer.code, code, "{line} was answered {answer:?}");
        answer
    }

    /// One whole transaction; the answer is the one after the final dot, or the first refusal.
    pub fn send(&mut self, from: &str, to: &[&str], message: &[u8]) -> io::Result<Answer> {
        let mut commands = vec![format!("MAIL FROM:<{from}>")];
        commands.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
        commands.push("DATA".to_owned());
        for command in commands {
            let answer = self.try_command(&command)?;
            if answer.code >= 400 {
                self.try_command("RSET")?;
                return Ok(answer);
            }
        }
        self.write(&stuffed(message))?;
        self.answer()
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    pub fn answer(&mut self) -> io::Result<Answer> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            let malformed = || io::Error::other(format!("not an SMTP reply: {line:?}"));
            let code = line.get(..3).and_then(|code| code.parse().ok()).ok_or_else(malformed)?;
            lines.push(line.get(4..).unwrap_or("").to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Answer { code, lines });
            }
        }
    }
}

/// Dots doubled, CRLF and the final dot put (RFC 5321 section 4.5.2).
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend(b"\r\n");
    }
    out.extend(b".\r\n");
    out
}
