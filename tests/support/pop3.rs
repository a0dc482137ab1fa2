//! A plain POP3 client (RFC 1939) over a blocking socket.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;

use super::imap::{Wire, connect};

pub struct Pop3 {
    stream: BufReader<Box<dyn Wire>>,
}

impl Pop3 {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut pop3 = Self { stream: BufReader::new(Box::new(connect(address)?)) };
        let greeting = pop3.text_line()?;
        if greeting.starts_with("+OK") { Ok(pop3) } else { Err(io::Error::other(greeting)) }
    }

    /// The status line, `+OK` or `-ERR` with its text.
    pub fn try_command(&mut self, line: &str) -> io::Result<String> {
        let stream = self.stream.get_mut();
        stream.write_all(format!("{line}\r\n").as_bytes())?;
        stream.flush()?;
        self.text_line()
    }

    /// The same, where the connection must hold.
    pub fn command(&mut self, line: &str) -> String {
        self.try_command(line).unwrap_or_else(|error| panic!("{error} after {line}"))
    }

    /// A command that must be answered with +OK; what follows it.
    pub fn ok(&mut self, line: &str) -> String {
        let answer = self.command(line);
        let rest = answer.strip_prefix("+OK").unwrap_or_else(|| panic!("{line} was answered {answer}"));
        rest.trim_start().to_owned()
    }

    /// A command with an answer of many lines, dots undone.
    pub fn lines(&mut self, line: &str) -> Vec<u8> {
        self.ok(line);
        self.rest()
    }

    /// What follows the status line of such an answer.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            let line = self.raw_line().expect("an answer that ends");
            match line.as_slice() {
                b".\r\n" => return out,
                [b'.', rest @ ..] => out.extend(rest),
                line => out.extend(line),
            }
        }
    }

    fn text_line(&mut self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&self.raw_line()?).trim_end().to_owned())
    }

    fn raw_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.ends_with(b"\n") { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}
