//! `-bs`: SMTP on standard input and output, spoken with the daemon's local server after a login.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::temporary;
use crate::agent::Exit;
use crate::cli::failure::Failure;
use crate::control::report::ClientConfig;
use crate::sasl::{self, Credentials};
use crate::types::Secret;

/// Logs in, then hands bytes on in both directions until either side is done.
pub(super) async fn run(config: ClientConfig, user: String) -> Result<Exit, Failure> {
    // Standard input knows no readiness: threads that wait are what there is.
    let relayed = tokio::task::spawn_blocking(move || relay(&config, user)).await;
    match relayed {
        Ok(Ok(())) => Ok(Exit::Done),
        Ok(Err(error)) => Err(temporary(format!("the local SMTP server: {error}"))),
        Err(panicked) => Err(Failure::Said { message: panicked.to_string(), exit: Exit::Software }),
    }
}

fn relay(config: &ClientConfig, user: String) -> io::Result<()> {
    let stream = TcpStream::connect(&config.smtp)?;
    let mut server = BufReader::new(stream.try_clone()?);
    let greeting = reply(&mut server)?;
    let password = Secret::new(&config.password);
    let response = BASE64.encode(sasl::client::plain(&Credentials { user, authorize_as: None, password }));
    for command in ["EHLO localhost\r\n", &format!("AUTH PLAIN {response}\r\n")] {
        (&stream).write_all(command.as_bytes())?;
        let answer = reply(&mut server)?;
        if !answer.starts_with('2') {
            return Err(io::Error::other(answer.trim_end().to_owned()));
        }
    }
    let mut out = io::stdout().lock();
    out.write_all(greeting.as_bytes())?;
    out.flush()?;
    let to_server = stream.try_clone()?;
    let has_said_all = Arc::new(AtomicBool::new(false));
    let says_all = Arc::clone(&has_said_all);
    std::thread::spawn(move || {
        // The reading side tells how it ended.
        let _ = pump(&mut io::stdin().lock(), &mut &to_server);
        says_all.store(true, Ordering::SeqCst);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let mut out = Replies { out, last: Vec::new(), is_over: true };
    pump(&mut server, &mut out)?;
    match &out.last[..] {
        b"221" => Ok(()),
        // Who stops in the middle has what was answered.
        last if has_said_all.load(Ordering::SeqCst) && last != b"354" => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before all was answered; send it again")),
    }
}

/// What the server says, on its way to standard output.
struct Replies<W> {
    out: W,
    /// The code of the line that came last.
    last: Vec<u8>,
    /// The line is.
    is_over: bool,
}

impl<W: Write> Write for Replies<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        for byte in &bytes[..count] {
            if std::mem::replace(&mut self.is_over, *byte == b'\n') {
                self.last.clear();
            }
            if self.last.len() < 3 {
                self.last.push(*byte);
            }
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A whole reply (RFC 5321 section 4.2.1).
fn reply(server: &mut impl BufRead) -> io::Result<String> {
    const REPLY_MAX_BYTES: u64 = 64 * 1024;
    let mut text = String::new();
    let mut server = server.take(REPLY_MAX_BYTES);
    loop {
        let start = text.len();
        if server.read_line(&mut text)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if text.as_bytes().get(start + 3) != Some(&b'-') {
            return Ok(text);
        }
    }
}

/// Copies, and lets no byte wait for the next.
fn pump(from: &mut impl BufRead, to: &mut impl Write) -> io::Result<()> {
    loop {
        let bytes = from.fill_buf()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let count = bytes.len();
        to.write_all(bytes)?;
        to.flush()?;
        from.consume(count);
    }
}
