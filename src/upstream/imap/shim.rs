//! The layer between a server's byte stream and async-imap.
//!
//! Inward it cuts the stream into responses and sorts them. What async-imap reads well goes on to it, rewritten in strict
//! form: the greeting, tagged lines and `+` (bare), FETCH and VANISHED. Everything told beside that waits in a queue
//! for the driver, and so do the bytes of messages. At most one response is on its way to async-imap at a time,
//! and what was told before it is in the queue before it arrives: the driver sees all in the server's order.
//!
//! Outward it takes from async-imap only the tag. The line itself was prepared by the driver, so that a secret or a
//! literal never passes through async-imap, which logs what it sends. Bytes are written while reading, so the two
//! directions never wait for each other.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::code::{Condition, StatusLine, printable, uid_ranges};
use super::fetch;
use super::frame::{FrameError, Framer, Piece};
use super::layer::Layer;
use super::untagged::Untagged;
use crate::types::{RemoteUid, UidSet};
use crate::upstream::trace;

/// What the server said beside what async-imap reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    Untagged(Untagged),
    /// Told before async-imap reads the same line without code and text.
    Tagged(String, StatusLine),
    /// `+`, with its text.
    Continue(String),
    BodyBegins(u64),
    Body(Vec<u8>),
    BodyEnds,
}

/// Why the shim gave up on the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("the server sends {0}")]
    Limit(#[from] FrameError),
    #[error("what the server sends is not IMAP: {0:?}")]
    NotImap(String),
}

/// A line to send: the bytes, and what the wire trace shows of it.
#[derive(Default)]
pub(super) struct Line {
    pub bytes: Vec<u8>,
    pub shown: String,
}

impl Line {
    /// A line that holds a secret behind `shown`.
    pub(super) fn secret(shown: &str, rest: &[u8]) -> Self {
        Self { bytes: [shown.as_bytes(), rest, b"\r\n"].concat(), shown: format!("{shown}...") }
    }

    /// Goes on with text that may be shown.
    pub(super) fn text(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.shown.push_str(&String::from_utf8_lossy(text));
    }
}

/// How much is read from the stream at once.
const READ_BYTES: usize = 32 * 1024;
/// How much may wait in the queue before the driver has to take some.
const TOLD_MAX_BYTES: usize = 128 * 1024;
const TOLD_MAX: usize = 1024;
/// VANISHED goes to async-imap in lines of this length: it parses a response from the start for each 4 KiB that arrive.
const VANISHED_LINE_BYTES: usize = 2000;

/// See the module.
pub(super) struct WireShim<T> {
    inner: T,
    label: String,
    raw: Cursor,
    framer: Framer,
    ready: Cursor,
    told: VecDeque<Told>,
    told_bytes: usize,
    greeted: bool,
    fault: Option<Fault>,
    /// What async-imap has written of its current line.
    line: Vec<u8>,
    prepared: VecDeque<Line>,
    answers_itself: bool,
    out: Cursor,
    unflushed: bool,
    moved_bytes: u64,
    hushed: bool,
}

/// Bytes with a place up to which they are used.
#[derive(Debug, Default)]
struct Cursor {
    bytes: Vec<u8>,
    used: usize,
}

impl Cursor {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    fn is_empty(&self) -> bool {
        self.used == self.bytes.len()
    }

    fn extend(&mut self, more: &[u8]) {
        if self.used > READ_BYTES {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        self.bytes.extend_from_slice(more);
    }

    fn advance(&mut self, count: usize) {
        self.used += count;
        if self.is_empty() {
            self.bytes.clear();
            self.used = 0;
        }
    }
}

impl<T> WireShim<T> {
    /// A shim over `inner`; `label` names the connection in the wire trace.
    pub(super) fn new(inner: T, label: String) -> Self {
        Self {
            inner,
            label,
            raw: Cursor::default(),
            framer: Framer::new(),
            ready: Cursor::default(),
            told: VecDeque::new(),
            told_bytes: 0,
            greeted: false,
            fault: None,
            line: Vec::new(),
            prepared: VecDeque::new(),
            answers_itself: false,
            out: Cursor::default(),
            unflushed: false,
            moved_bytes: 0,
            hushed: false,
        }
    }

    /// A shim over a connection whose greeting is past (after STARTTLS).
    pub(super) fn after_greeting(inner: T, label: String) -> Self {
        Self { greeted: true, ..Self::new(inner, label) }
    }

    /// The stream, if nothing that came is unread: bytes sent before a TLS handshake are an attack
    /// (RFC 9051 section 6.2.1).
    pub(super) fn into_inner(self) -> Option<T> {
        let clean = self.raw.is_empty() && self.framer.is_between_responses() && self.told.is_empty();
        clean.then_some(self.inner)
    }

    /// What was told next.
    pub(super) fn take_told(&mut self) -> Option<Told> {
        let told = self.told.pop_front()?;
        if let Told::Body(bytes) = &told {
            self.told_bytes -= bytes.len();
        }
        Some(told)
    }

    /// Has anything been told that was not taken?
    pub(super) fn has_told(&self) -> bool {
        !self.told.is_empty()
    }

    /// Why the stream ended, if it did not end by itself.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// The next line that async-imap writes is replaced by this one; of a command only its tag is kept.
    pub(super) fn prepare(&mut self, line: Line) {
        self.prepared.push_back(line);
    }

    /// Forgets lines prepared and not written.
    pub(super) fn forget_prepared(&mut self) {
        self.prepared.clear();
    }

    /// The next command is not sent: async-imap is told OK. It makes a session only from a login, and after PREAUTH there
    /// is none.
    pub(super) const fn answer_next_command(&mut self) {
        self.answers_itself = true;
    }

    /// Sends bytes that are no command of their own: the rest of one, a literal, DONE.
    pub(super) fn push(&mut self, bytes: &[u8], shown: &str) {
        trace::sent(&self.label, shown);
        self.out.extend(bytes);
    }

    /// How many bytes wait to be written.
    pub(super) fn unsent(&self) -> usize {
        self.out.rest().len()
    }

    /// How many bytes went either way so far: a connection on which this stands still is silent.
    pub(super) const fn moved_bytes(&self) -> u64 {
        self.moved_bytes
    }

    /// While hushed, the wire trace shows nothing that the server says: it may repeat a secret.
    pub(super) const fn hush(&mut self, hushed: bool) {
        self.hushed = hushed;
    }

    /// Bytes kept, of all kinds.
    #[cfg(test)]
    fn kept_bytes(&self) -> usize {
        self.raw.bytes.capacity() + self.ready.bytes.capacity() + self.out.bytes.capacity() + self.told_bytes
    }

    fn tell(&mut self, told: Told) {
        if let Told::Body(bytes) = &told {
            self.told_bytes += bytes.len();
        }
        self.told.push_back(told);
    }

    /// Takes a line that async-imap finished.
    fn line_written(&mut self) {
        let written = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.answers_itself) {
            let tag = written.split(|byte| *byte == b' ').next().unwrap_or_default();
            self.ready.extend(&[tag, b" OK .\r\n"].concat());
            return;
        }
        let Some(line) = self.prepared.pop_front() else {
            trace::sent(&self.label, &String::from_utf8_lossy(&written));
            self.out.extend(&written);
            return;
        };
        // A command is written as tag and text; an answer to a challenge has no tag, and async-imap writes no space.
        let tag = written.iter().position(|byte| *byte == b' ').map_or(&b""[..], |space| &written[..=space]);
        trace::sent(&self.label, &format!("{}{}", String::from_utf8_lossy(tag), line.shown));
        self.out.extend(tag);
        self.out.extend(&line.bytes);
    }

    /// Works on what was read until async-imap has something to read, the queue is full, or more is needed.
    fn digest(&mut self) -> Result<(), Fault> {
        while self.ready.is_empty() && self.told.len() < TOLD_MAX && self.told_bytes < TOLD_MAX_BYTES {
            let mut input = self.raw.rest();
            let before = input.len();
            let piece = self.framer.next(&mut input)?;
            let taken = before - input.len();
            self.raw.advance(taken);
            match piece {
                None => return Ok(()),
                Some(Piece::BodyBegins(size)) => self.tell(Told::BodyBegins(size)),
                Some(Piece::Body(bytes)) => self.tell(Told::Body(bytes)),
                Some(Piece::BodyEnds) => self.tell(Told::BodyEnds),
                Some(Piece::Response(response)) => self.response(&response)?,
            }
        }
        Ok(())
    }

    fn response(&mut self, response: &[u8]) -> Result<(), Fault> {
        trace::received(&self.label, if self.hushed { b"(not shown)" } else { response });
        if let Some(line) = response.strip_prefix(b"* ") {
            return self.untagged(line);
        }
        if let Some(text) = response.strip_prefix(b"+") {
            self.tell(Told::Continue(printable(text)));
            self.ready.extend(b"+ \r\n");
            return Ok(());
        }
        if response.trim_ascii().is_empty() {
            return Ok(());
        }
        let not_imap = || Fault::NotImap(printable(response));
        let space = response.iter().position(|byte| *byte == b' ').filter(|space| *space > 0).ok_or_else(not_imap)?;
        let tag = std::str::from_utf8(&response[..space]).map_err(|_| not_imap())?;
        let status = StatusLine::parse(response[space..].trim_ascii_start()).ok_or_else(not_imap)?;
        // Tags are ours: letters and digits. Another one answers nothing, and need not be readable to imap-proto.
        if tag.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            self.ready.extend(format!("{tag} {} .\r\n", status.condition.as_str()).as_bytes());
        }
        self.tell(Told::Tagged(tag.to_owned(), status));
        Ok(())
    }

    fn untagged(&mut self, line: &[u8]) -> Result<(), Fault> {
        if !self.greeted {
            let status = StatusLine::parse(line)
                .filter(|status| matches!(status.condition, Condition::Ok | Condition::PreAuth | Condition::Bye))
                .ok_or_else(|| Fault::NotImap(printable(line)))?;
            self.greeted = true;
            self.ready.extend(format!("* {} .\r\n", status.condition.as_str()).as_bytes());
            self.tell(Told::Untagged(Untagged::Status(status)));
            return Ok(());
        }
        if let Some(rewritten) = fetch::rewrite(line) {
            match rewritten {
                Ok(rewritten) => {
                    if let Some(bytes) = rewritten.inline_body {
                        self.tell(Told::BodyBegins(bytes.len() as u64));
                        self.tell(Told::Body(bytes));
                        self.tell(Told::BodyEnds);
                    }
                    self.ready.extend(&rewritten.line);
                }
                Err(_) => self.tell(Told::Untagged(Untagged::Unusable("FETCH"))),
            }
            return Ok(());
        }
        match vanished(line) {
            Some(Some(lines)) => self.ready.extend(&lines),
            Some(None) => self.tell(Told::Untagged(Untagged::Unusable("VANISHED"))),
            None => self.tell(Told::Untagged(Untagged::parse(line))),
        }
        Ok(())
    }
}

/// `expunged-resp = "VANISHED" [SP "(EARLIER)"] SP known-uids` (RFC 7162 section 7), written anew in short lines with
/// every range ascending. `None`: another response; `Some(None)`: a malformed one.
fn vanished(line: &[u8]) -> Option<Option<Vec<u8>>> {
    let rest = strip_word(line, b"VANISHED")?;
    let (earlier, set) = match strip_word(rest, b"(EARLIER)") {
        Some(set) => ("(EARLIER) ", set),
        None => ("", rest),
    };
    let Ok(ranges) = uid_ranges(set.trim_ascii()) else { return Some(None) };
    let lines = UidSet::<RemoteUid>::from_ranges(ranges).split(VANISHED_LINE_BYTES);
    Some(Some(lines.iter().flat_map(|set| format!("* VANISHED {earlier}{set}\r\n").into_bytes()).collect()))
}

fn strip_word<'a>(line: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (first, rest) = line.split_at_checked(word.len())?;
    (first.eq_ignore_ascii_case(word) && rest.first() == Some(&b' ')).then(|| rest.trim_ascii_start())
}

impl<T> WireShim<Layer<T>> {
    /// What was read behind the last response, and all that follows, is compressed.
    pub(super) fn compress(&mut self) {
        let input = self.raw.rest().to_vec();
        self.raw.advance(input.len());
        self.inner.compress(input);
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> WireShim<T> {
    /// Writes what waits to be written, as far as the stream takes it.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, self.out.rest()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.moved_bytes += count as u64;
            self.unflushed = true;
            self.out.advance(count);
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more; false at the end of the stream.
    fn poll_in(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let held = self.raw.bytes.len();
        self.raw.bytes.resize(held + READ_BYTES, 0);
        let mut buf = ReadBuf::new(&mut self.raw.bytes[held..]);
        let polled = Pin::new(&mut self.inner).poll_read(cx, &mut buf);
        let count = buf.filled().len();
        self.raw.bytes.truncate(held + count);
        ready!(polled)?;
        self.moved_bytes += count as u64;
        Poll::Ready(Ok(count > 0))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for WireShim<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // An error in writing shows in reading as well, and what the server said before is worth reading.
        let written = this.poll_out(cx);
        loop {
            if !this.ready.is_empty() {
                let count = buf.remaining().min(this.ready.rest().len());
                buf.put_slice(&this.ready.rest()[..count]);
                this.ready.advance(count);
                return Poll::Ready(Ok(()));
            }
            if let Err(fault) = this.digest() {
                let error = io::Error::other(fault.to_string());
                this.fault = Some(fault);
                return Poll::Ready(Err(error));
            }
            if !this.ready.is_empty() {
                continue;
            }
            if !this.raw.is_empty() {
                // The queue is full; the driver polls again when it has taken what is in it.
                return Poll::Pending;
            }
            match this.poll_in(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => match written {
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    _ => return Poll::Pending,
                },
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WireShim<T> {
    fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.line.extend_from_slice(buf);
        if self.line.ends_with(b"\r\n") {
            self.line_written();
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T> fmt::Debug for WireShim<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireShim").field("label", &self.label).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use async_imap::imap_proto::Response;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Reads what async-imap would read, and what was told, from a server that says `stream`; also the most bytes that
    /// were kept at any time.
    async fn seen(parts: Vec<Vec<u8>>) -> (String, Vec<Told>, u64, usize) {
        let (client, mut server) = tokio::io::duplex(16 * 1024);
        let writer = tokio::spawn(async move {
            for part in parts {
                server.write_all(&part).await.expect("the client reads");
            }
        });
        let mut shim = WireShim::after_greeting(client, String::new());
        let (mut read, mut told, mut body_bytes, mut kept) = (Vec::new(), Vec::new(), 0, 0);
        let mut buf = [0; 4096];
        loop {
            let count = std::future::poll_fn(|cx| {
                let mut buf = ReadBuf::new(&mut buf);
                let polled = Pin::new(&mut shim).poll_read(cx, &mut buf);
                kept = kept.max(shim.kept_bytes());
                let had_told = shim.has_told();
                while let Some(one) = shim.take_told() {
                    match one {
                        Told::Body(bytes) => body_bytes += bytes.len() as u64,
                        one => told.push(one),
                    }
                }
                match polled {
                    Poll::Pending if had_told => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(result) => Poll::Ready(Some(result.map(|()| buf.filled().len()))),
                }
            })
            .await;
            match count {
                None => {}
                Some(Ok(0)) | Some(Err(_)) => break,
                Some(Ok(count)) => read.extend_from_slice(&buf[..count]),
            }
        }
        writer.await.expect("the server speaks to its end");
        (String::from_utf8(read).expect("what is handed on is text"), told, body_bytes, kept)
    }

    #[tokio::test]
    async fn a_message_of_100_mb_passes_in_bounded_memory() {
        const SIZE: usize = 100 << 20;
        let mut parts = vec![format!("* 1 FETCH (UID 7 BODY[] {{{SIZE}}}\r\n").into_bytes()];
        parts.extend(std::iter::repeat_with(|| vec![b'x'; 1 << 20]).take(SIZE >> 20));
        parts.push(b" FLAGS ())\r\nA0001 OK done\r\n".to_vec());
        let (read, told, body_bytes, kept) = seen(parts).await;
        assert_eq!(read, "* 1 FETCH (UID 7 BODY[] \"streamed\" FLAGS ())\r\nA0001 OK .\r\n");
        assert_eq!(told[..2], [Told::BodyBegins(SIZE as u64), Told::BodyEnds]);
        assert_eq!(body_bytes, SIZE as u64);
        assert!(kept < 512 * 1024, "{kept} bytes were kept");
    }

    #[tokio::test]
    async fn a_flood_of_news_waits_on_the_server_not_in_memory() {
        let parts = vec![b"* 5 EXISTS\r\n".repeat(100_000), b"A0001 NO [OVERQUOTA] full\r\n".to_vec()];
        let (read, told, _, kept) = seen(parts).await;
        assert_eq!(read, "A0001 NO .\r\n");
        assert_eq!(told.len(), 100_001);
        assert!(kept < 512 * 1024, "{kept} bytes were kept");
    }

    #[tokio::test]
    async fn the_forms_that_break_imap_proto_never_reach_it() {
        let deep = format!("* 1 FETCH (UID 3 BODYSTRUCTURE {}{})\r\n", "(".repeat(60), ")".repeat(60));
        let stream = [
            "* 1 FETCH (INTERNALDATE NIL UID 1)\r\n",
            "* OK [ALERT]\u{e9}\r\n",
            "A0001 OK [ALERT]\u{e9}\r\n",
            "+ [ALERT]\u{e9}\r\n",
            &deep,
            "* VANISHED (EARLIER) 5:3\r\n",
            "* vanished 1:*\r\n",
        ];
        let (read, ..) = seen(vec![stream.concat().into_bytes()]).await;
        assert_eq!(read, "* 1 FETCH (UID 1)\r\nA0001 OK .\r\n+ \r\n* 1 FETCH (UID 3)\r\n* VANISHED (EARLIER) 3:5\r\n");
    }

    #[tokio::test]
    async fn only_the_tag_is_taken_from_what_async_imap_writes() {
        let (client, mut server) = tokio::io::duplex(1024);
        let mut shim = WireShim::after_greeting(client, String::new());
        shim.prepare(Line::secret("LOGIN ", b"\"ann\" \"hunter2\""));
        shim.write_all(b"A0001 ").await.expect("a shim takes all");
        shim.write_all(b"LOGIN nobody nothing\r\n").await.expect("a shim takes all");
        let _ = tokio::time::timeout(std::time::Duration::from_millis(1), shim.read_u8()).await;
        let mut sent = [0; 100];
        let count = server.read(&mut sent).await.expect("the line was sent");
        assert_eq!(&sent[..count], b"A0001 LOGIN \"ann\" \"hunter2\"\r\n");
    }

    /// What servers say, well and badly, in pieces to be put together.
    const WORDS: &[&str] = &[
        "* ",
        "A0001 ",
        "+ ",
        "OK ",
        "NO",
        "BYE ",
        "[ALERT]",
        "[COPYUID 1 2 3]",
        "]",
        "1 ",
        "0 ",
        "4294967296 ",
        "FETCH ",
        "EXISTS",
        "VANISHED ",
        "(EARLIER) ",
        "5:3,9",
        "1:*",
        "(",
        ")",
        "UID ",
        "7",
        "FLAGS ",
        "(\\Seen a])",
        "{",
        "\\*",
        "INTERNALDATE ",
        "\"17-Jul-1996 02:44:25 -0700\"",
        "NIL",
        "MODSEQ (9)",
        "RFC822.SIZE ",
        "BODY[] ",
        "BODY[HEADER] ",
        "EMAILID (M1)",
        "X-GM-MSGID ",
        "BODYSTRUCTURE ((",
        "{3}\r\nabc",
        "{0}\r\n",
        "{9}\r\n",
        "\"",
        "\"q\\\"\"",
        "\\",
        "é",
        "\0",
        "\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        "SEARCH 1 2",
        "LIST () \"/\" x",
        "STATUS x (MESSAGES 1)",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn whatever_a_server_says_imap_proto_reads_all_it_is_given(
            words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60),
            noise in proptest::collection::vec(any::<u8>(), 0..8),
        ) {
            let mut shim = WireShim::after_greeting((), String::new());
            shim.raw.extend(words.concat().as_bytes());
            shim.raw.extend(&noise);
            let mut given = Vec::new();
            loop {
                let fault = shim.digest().is_err();
                while shim.take_told().is_some() {}
                given.extend_from_slice(shim.ready.rest());
                let progressed = !shim.ready.is_empty();
                shim.ready.advance(shim.ready.rest().len());
                if fault || !progressed {
                    break;
                }
            }
            let mut rest: &[u8] = &given;
            while !rest.is_empty() {
                let text = String::from_utf8_lossy(rest).into_owned();
                let parsed = Response::parse(rest);
                prop_assert!(parsed.is_ok(), "{text:?}");
                if let Ok((after, _)) = parsed {
                    rest = after;
                }
            }
        }
    }
}
