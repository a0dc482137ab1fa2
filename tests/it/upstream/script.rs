//! A server that follows a script, at the other end of a pipe.
//!
//! A script is lines: `C: text` is awaited from the client (`..` at its end: any further text), `S: text` is sent; in the
//! latter `$` at the start stands for the tag of the oldest command not yet answered. `s: text` is sent without CRLF, `\\0` and `\\n` in it being bytes;
//! `B: n` awaits n bytes of any kind and a line end. From `Z:` on both directions are compressed (RFC 4978). After its
//! last line the server closes.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use mailtide::sync::remote::Remote;
use mailtide::types::{Quirks, Secret, SecretKind};
use mailtide::upstream::dial::BoxedStream;
use mailtide::upstream::imap::ImapRemote;
use mailtide::upstream::{ClientTls, Connector, Dial, Endpoint, Timeouts, TlsMode};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;

/// How the server's bytes reach the client.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line {
    /// Close after so many bytes.
    pub cut_after: Option<usize>,
    /// One byte at a time.
    pub trickles: bool,
}

/// Dials into a scripted server; each connection takes the next script.
#[derive(Clone)]
pub struct Scripted {
    scripts: Arc<Mutex<VecDeque<String>>>,
    line: Line,
    servers: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// What went wrong, and how many bytes the servers sent.
    pub report: Arc<Mutex<Report>>,
}

#[derive(Debug, Default)]
pub struct Report {
    pub surprises: Vec<String>,
    /// Hosts, in the order in which they were dialled.
    pub dialled: Vec<String>,
    /// Lines of scripts not come to yet.
    pub left: usize,
    pub sent_bytes: usize,
}

impl Scripted {
    pub fn new(scripts: &[&str], line: Line) -> Self {
        let scripts = Arc::new(Mutex::new(scripts.iter().map(|script| (*script).to_owned()).collect()));
        Self { scripts, line, servers: Arc::default(), report: Arc::default() }
    }

    /// Fails the test if the client said what the script does not hold, or not all that it holds.
    pub fn assert_followed(&self) {
        let report = self.report.lock().expect("no panic while locked");
        assert!(report.surprises.is_empty() && report.left == 0, "{report:#?}");
    }

    /// Says goodbye, lets the server hear it, and see [`Self::assert_followed`].
    pub async fn assert_followed_to_logout(&self, mut remote: ImapRemote) {
        remote.logout().await;
        let servers = std::mem::take(&mut *self.servers.lock().expect("no panic while locked"));
        for server in servers {
            server.await.expect("a server that does not panic");
        }
        self.assert_followed();
    }
}

impl Dial for Scripted {
    async fn dial(&self, host: &str, _port: u16) -> io::Result<BoxedStream> {
        self.report.lock().expect("no panic while locked").dialled.push(host.to_owned());
        let script = self.scripts.lock().expect("no panic while locked").pop_front();
        let script = script.ok_or(io::ErrorKind::ConnectionRefused)?;
        let (client, server) = tokio::io::duplex(64 * 1024);
        let serving = tokio::spawn(serve(server, script, self.line, self.report.clone()));
        self.servers.lock().expect("no panic while locked").push(serving);
        Ok(Box::new(client))
    }
}

/// Making one takes longer than a session.
static TLS: LazyLock<ClientTls> = LazyLock::new(ClientTls::unauthenticated);

/// An account on a scripted server, in plain text.
pub fn account(dial: Scripted) -> Connector<Scripted> {
    let endpoint = Endpoint { host: "mail.example".to_owned(), port: 143, tls: TlsMode::None, allow_plaintext: true };
    Connector {
        dial,
        endpoint,
        tls: TLS.clone(),
        user: "ann".to_owned(),
        password: Secret::new("hunter2"),
        kind: SecretKind::Password,
        timeouts: Timeouts::default(),
        quirks: Quirks::default(),
        nonce: || None,
    }
}

struct Server {
    input: BufReader<ReadHalf<DuplexStream>>,
    output: WriteHalf<DuplexStream>,
    line: Line,
    sent: usize,
    tags: VecDeque<String>,
    compressed: Option<Compressed>,
    report: Arc<Mutex<Report>>,
}

/// Both directions after COMPRESS.
struct Compressed {
    out: Compress,
    input: Decompress,
    /// Inflated and not read yet.
    plain: Vec<u8>,
}

async fn serve(stream: DuplexStream, script: String, line: Line, report: Arc<Mutex<Report>>) {
    let (input, output) = tokio::io::split(stream);
    let mut server =
        Server { input: BufReader::new(input), output, line, sent: 0, tags: VecDeque::new(), compressed: None, report };
    let steps: Vec<&str> = script.lines().map(str::trim_start).filter(|step| !step.is_empty()).collect();
    server.report.lock().expect("no panic while locked").left += steps.len();
    for step in steps {
        if server.step(step).await.is_none() {
            break;
        }
        server.report.lock().expect("no panic while locked").left -= 1;
    }
    let _ = server.output.shutdown().await;
}

impl Server {
    /// `None`: the line is cut, or the client is gone or says something else.
    async fn step(&mut self, step: &str) -> Option<()> {
        let (kind, text) = (step.get(..2)?, step.get(3..).unwrap_or_default());
        match kind {
            "C:" => self.expect(text).await,
            "B:" => {
                let mut bytes = vec![0; text.parse().expect("a number")];
                self.input.read_exact(&mut bytes).await.ok()?;
                let mut rest = Vec::new();
                self.input.read_until(b'\n', &mut rest).await.ok().map(|_| ())
            }
            "S:" => {
                let text = match text.strip_prefix('$') {
                    Some(rest) => format!("{}{rest}", self.tags.pop_front().unwrap_or_default()),
                    None => text.to_owned(),
                };
                self.send(format!("{text}\r\n").as_bytes()).await
            }
            "s:" => self.send(text.replace("\\0", "\0").replace("\\n", "\n").as_bytes()).await,
            "Z:" => {
                let out = Compress::new(Compression::default(), false);
                self.compressed = Some(Compressed { out, input: Decompress::new(false), plain: Vec::new() });
                Some(())
            }
            _ => panic!("a script line begins with C:, S:, s:, B: or Z:, not {step:?}"),
        }
    }

    async fn expect(&mut self, wanted: &str) -> Option<()> {
        let line = String::from_utf8_lossy(&self.read_line().await?).trim_end().to_owned();
        let (tag, text) = match line.split_once(' ') {
            Some((tag, text)) if tag.len() == 5 && tag.starts_with('A') => (Some(tag), text),
            _ => (None, line.as_str()),
        };
        self.tags.extend(tag.map(str::to_owned));
        let fits = match wanted.strip_suffix("..") {
            Some(start) => text.starts_with(start),
            None => text == wanted,
        };
        if !fits && !line.is_empty() {
            let surprise = format!("wanted {wanted:?}, got {text:?}");
            self.report.lock().expect("no panic while locked").surprises.push(surprise);
        }
        fits.then_some(())
    }

    async fn read_line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let Some(Compressed { input, plain, .. }) = &mut self.compressed else {
            self.input.read_until(b'\n', &mut line).await.ok()?;
            return Some(line);
        };
        loop {
            if let Some(end) = plain.iter().position(|byte| *byte == b'\n') {
                return Some(plain.drain(..=end).collect());
            }
            // A byte at a time: what the client has flushed must be readable from the last of its bytes.
            let byte = [self.input.read_u8().await.ok()?];
            plain.reserve(64 * 1024);
            input.decompress_vec(&byte, plain, FlushDecompress::Sync).expect("a DEFLATE stream");
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Option<()> {
        let mut deflated = Vec::with_capacity(bytes.len() + 1024);
        let bytes = match &mut self.compressed {
            Some(compressed) => {
                compressed.out.compress_vec(bytes, &mut deflated, FlushCompress::Sync).expect("bytes deflate");
                &deflated
            }
            None => bytes,
        };
        let left = self.line.cut_after.map_or(usize::MAX, |cut| cut - self.sent);
        let now = &bytes[..bytes.len().min(left)];
        for piece in now.chunks(if self.line.trickles { 1 } else { usize::MAX }) {
            self.output.write_all(piece).await.ok()?;
            if self.line.trickles {
                tokio::task::yield_now().await;
            }
        }
        self.sent += now.len();
        self.report.lock().expect("no panic while locked").sent_bytes += now.len();
        (now.len() == bytes.len() && left != bytes.len()).then_some(())
    }
}
