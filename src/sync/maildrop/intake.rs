//! Where the bytes of a maildrop's messages go: into the store, in small commits, or only into imprints.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::imprint::Imprinter;
use super::matching::Matching;
use super::seam::{Extent, LetterSink, Listed, Maildrop};
use crate::message::received_at;
use crate::store::{self, Fresh, NewMessage, Origin, Outline, Store, StoredContent};
use crate::sync::landing::{Landing, is_commit_due};
use crate::sync::remote::RemoteError;
use crate::types::{AccountId, ContentHash, Flags, InternalDate, PoppedId, Timestamp, limits};

/// Takes imprints of headers.
#[derive(Default)]
pub(super) struct Headers {
    now: Option<(u32, Imprinter)>,
    pub(super) of: BTreeMap<u32, ContentHash>,
}

impl LetterSink for Headers {
    fn begin(&mut self, number: u32) -> io::Result<()> {
        self.now = Some((number, Imprinter::default()));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some((_, imprinter)) = self.now.as_mut().filter(|(_, imprinter)| !imprinter.has_header()) {
            imprinter.push(bytes);
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.of.extend(self.now.take().map(|(number, imprinter)| (number, imprinter.finish().header)));
        Ok(())
    }

    /// All of it is looked at then.
    fn refused(&mut self, _number: u32, _why: String) -> io::Result<()> {
        Ok(())
    }
}

/// Takes messages in.
pub(super) struct Intake<'a> {
    store: &'a Store,
    account: AccountId,
    now: Timestamp,
    listed: &'a BTreeMap<u32, Listed>,
    matching: &'a mut Matching,
    landing: Landing,
    letter: Option<Letter>,
    /// What the server was asked for last.
    asked: Vec<(u32, Extent)>,
    /// Of how many of them, from the first on, it told what becomes of them.
    answered: usize,
    batch: Vec<(u32, Fresh)>,
    again: Vec<(PoppedId, ContentHash, StoredContent)>,
    batch_bytes: u64,
    /// Numbers of which the header did not suffice.
    unclear: Vec<u32>,
    /// Which each number was found to be.
    pub(super) found: BTreeMap<u32, PoppedId>,
    pub(super) arrived: Vec<(u32, PoppedId)>,
    /// Those of them of which only the header came.
    pub(super) outlined: BTreeSet<u32>,
    pub(super) refused: Vec<(u32, String)>,
}

/// A message on its way in.
struct Letter {
    number: u32,
    extent: Extent,
    imprinter: Imprinter,
    /// The line that is being read of a header.
    line: HeaderLine,
    /// As much of its beginning as tells when the server got it.
    beginning: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HeaderLine {
    Start,
    /// A CR is all of it so far.
    Cr,
    Within,
    /// The empty line came, and nothing more is wanted. It is the one at which a header ends wherever one is read here: a
    /// line of two CRs, as one server makes it of a CRLF in its files, is none.
    Over,
}

/// A server writes its Received field at the top.
const BEGINNING_MAX_BYTES: usize = 16 * 1024;

/// Clocks differ. What came from further ahead says nothing.
const AHEAD_MAX_MS: i64 = 24 * 3_600_000;

impl<'a> Intake<'a> {
    pub(super) fn new(
        store: &'a Store,
        account: AccountId,
        now: Timestamp,
        listed: &'a BTreeMap<u32, Listed>,
        matching: &'a mut Matching,
    ) -> Self {
        Self {
            store,
            account,
            now,
            listed,
            matching,
            landing: Landing::new(store),
            letter: None,
            asked: Vec::new(),
            answered: 0,
            batch: Vec::new(),
            again: Vec::new(),
            batch_bytes: 0,
            unclear: Vec::new(),
            found: BTreeMap::new(),
            arrived: Vec::new(),
            outlined: BTreeSet::new(),
            refused: Vec::new(),
        }
    }

    /// Takes messages, or their headers; all of those of which the header does not suffice.
    pub(super) async fn fetch<M: Maildrop>(
        &mut self,
        maildrop: &mut M,
        wanted: Vec<(u32, Extent)>,
    ) -> Result<(), RemoteError> {
        let mut next = wanted;
        while !next.is_empty() {
            self.asked.clone_from(&next);
            self.answered = 0;
            maildrop.fetch(&next, self).await?;
            next = std::mem::take(&mut self.unclear).into_iter().map(|number| (number, Extent::Whole)).collect();
        }
        Ok(())
    }

    /// Puts into the store what came whole. It may be lost in a power cut until something durable follows.
    pub(super) fn commit(&mut self) -> store::Result<()> {
        let (batch, again) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.again));
        self.batch_bytes = 0;
        if batch.is_empty() && again.is_empty() {
            return Ok(());
        }
        let account = self.account;
        let (numbers, fresh): (Vec<u32>, Vec<Fresh>) = batch.into_iter().unzip();
        let ids = self.store.write(Origin::Upstream, self.now, move |txn| {
            again.iter().try_for_each(|(id, whole, content)| txn.pop_again(*id, *whole, content))?;
            if fresh.is_empty() { Ok(Vec::new()) } else { txn.pop(account, &fresh) }
        })?;
        self.arrived.extend(numbers.into_iter().zip(ids));
        Ok(())
    }

    /// Of those that were asked for last, the one of which the answer did not come whole.
    pub(super) fn interrupted_at(&self) -> Option<u32> {
        self.asked.get(self.answered).map(|(number, _)| *number)
    }

    /// How much of the message that comes now is wanted: they are answered in order (RFC 2449 section 6.6).
    fn extent(&self) -> Extent {
        self.asked.get(self.answered).map_or(Extent::Whole, |(_, extent)| *extent)
    }

    fn take(&mut self, letter: Letter, content: StoredContent) {
        let Some(listed) = self.listed.get(&letter.number) else { return };
        let (number, imprint) = (letter.number, letter.imprinter.finish());
        let is_whole = letter.extent == Extent::Whole;
        let outline = (!is_whole).then(|| outline(listed, &content));
        let known = match outline {
            None => self.matching.find_by_bytes(listed, imprint),
            Some(_) if content.size_bytes > limits::HEADER_MAX_BYTES as u64 => return self.unclear.push(number),
            Some(_) if self.matching.asks_for_bytes(imprint.header) => return self.unclear.push(number),
            Some(_) => self.matching.find_by_header(listed, imprint.header),
        };
        self.batch_bytes += content.size_bytes;
        if let Some(id) = known {
            self.found.insert(number, id);
            let lacks_bytes = self.matching.known(id).is_some_and(|known| !known.has_bytes && !known.is_gone_here);
            self.again.extend((is_whole && lacks_bytes).then_some((id, imprint.whole, content)));
            return;
        }
        let latest_s = self.now.plus_ms(AHEAD_MAX_MS).unix_seconds();
        let received = received_at(&letter.beginning).filter(|at| at.unix_seconds() <= latest_s);
        let message = NewMessage {
            content,
            flags: Flags::default(),
            internal_date: received.unwrap_or_else(|| InternalDate::from(self.now)),
            email_id: None,
        };
        self.outlined.extend((!is_whole).then_some(number));
        let fresh = Fresh {
            unique_id: listed.unique_id.clone().unwrap_or_default(),
            listed_bytes: listed.size_bytes,
            header: imprint.header,
            whole: is_whole.then_some(imprint.whole),
            message,
            outline,
        };
        self.batch.push((number, fresh));
    }
}

/// What is known of a message by its header, and by the size that the server tells.
fn outline(listed: &Listed, header: &StoredContent) -> Outline {
    let size_bytes = listed.size_bytes.max(header.size_bytes);
    let mut summary = header.summary().clone();
    summary.root.end = size_bytes;
    Outline { size_bytes, summary: summary.into(), is_bare: true }
}

impl HeaderLine {
    /// Is the next byte part of the header?
    const fn step(&mut self, byte: u8) -> bool {
        let (next, is_wanted) = match (*self, byte) {
            (Self::Over, _) => (Self::Over, false),
            (Self::Start | Self::Cr, b'\n') => (Self::Over, true),
            (Self::Within, b'\n') => (Self::Start, true),
            (Self::Start, b'\r') => (Self::Cr, true),
            _ => (Self::Within, true),
        };
        *self = next;
        is_wanted
    }
}

impl Letter {
    /// Takes the next bytes; how many of them are wanted. What some servers send behind a header is not.
    fn push(&mut self, bytes: &[u8]) -> usize {
        let mut wanted = bytes.len();
        match self.extent {
            Extent::Whole => self.imprinter.push(bytes),
            Extent::Header => {
                wanted = bytes.iter().take_while(|byte| self.line.step(**byte)).count();
                self.imprinter.push(&bytes[..wanted]);
            }
        }
        let room = (BEGINNING_MAX_BYTES - self.beginning.len()).min(wanted);
        self.beginning.extend_from_slice(&bytes[..room]);
        wanted
    }
}

impl LetterSink for Intake<'_> {
    fn begin(&mut self, number: u32) -> io::Result<()> {
        let extent = self.extent();
        let (imprinter, beginning) = (Imprinter::default(), Vec::new());
        self.letter = Some(Letter { number, extent, imprinter, line: HeaderLine::Start, beginning });
        self.landing.begin();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let wanted = self.letter.as_mut().map_or(0, |letter| letter.push(bytes));
        self.landing.write(&bytes[..wanted])
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(letter) = self.letter.take() else { return Ok(()) };
        self.answered += 1;
        let Some(content) = self.landing.end()? else {
            self.refused.push((letter.number, "it is larger than what is taken here".to_owned()));
            return Ok(());
        };
        self.take(letter, content);
        match is_commit_due(self.batch.len(), self.batch_bytes) {
            true => self.commit().map_err(io::Error::other),
            false => Ok(()),
        }
    }

    fn refused(&mut self, number: u32, why: String) -> io::Result<()> {
        let extent = self.extent();
        self.answered += 1;
        match extent {
            // Some servers know TOP, and not of every message.
            Extent::Header => self.unclear.push(number),
            Extent::Whole => self.refused.push((number, why)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_where_its_reader_ends_it_and_takes_no_more() {
        for (sent, header) in [
            ("A: 1\r\n\r\nbody\r\n", "A: 1\r\n\r\n"),
            ("A: 1\n\nbody\n\n", "A: 1\n\n"),
            ("\r\nbody", "\r\n"),
            ("A: 1\r\n", "A: 1\r\n"),
            ("A: 1\r\r\n\r\r\nB: 2\r\n\r\nbody", "A: 1\r\r\n\r\r\nB: 2\r\n\r\n"),
            ("A: 1\r\n \r\nB: 2\r\n\r\n\r\n", "A: 1\r\n \r\nB: 2\r\n\r\n"),
        ] {
            let mut line = HeaderLine::Start;
            let count = sent.bytes().take_while(|byte| line.step(*byte)).count();
            assert_eq!(&sent[..count], header);
            let summary = crate::message::Scanner::scan(sent.as_bytes());
            assert_eq!(summary.root.body_start, count as u64, "{sent:?}");
        }
    }
}
