//! Bytes on their way from the server: into the store, or only through the hash.

use std::collections::BTreeMap;
use std::io;

use super::Result;
use super::landing::{Landing, is_commit_due};
use super::pass::{Pass, refusal};
use super::remote::{Fetched, Fingerprinted, MessageSink, Remote, RemoteError, Scanned};
use crate::message::outline::lay_out;
use crate::store::{self, Arrival, NewMessage, Origin, Outline, Pending, Store, Txn};
use crate::types::mutant::mutant;
use crate::types::{ContentHash, InternalDate, MailboxId, MessageId, RemoteUid, Timestamp, UidSet, limits};

/// UIDs in one FETCH: enough that round trips do not count, few enough that a server can plan it.
const FETCH_MAX: usize = 500;

/// UIDs in one FETCH of fingerprints.
const FINGERPRINTS_MAX: usize = 1000;

impl<R: Remote> Pass<'_, R> {
    /// Takes in the messages with these UIDs of the selected mailbox, ascending: whole, or described where that suffices. What
    /// the server cannot describe is taken whole. Whatever came before a cut stays. Those that the server does not give when
    /// asked for each are skipped, and tried again another day.
    pub(super) async fn take_in(&mut self, mailbox: MailboxId, uids: &[RemoteUid]) -> Result<()> {
        let outlines = self.outlines(mailbox)?;
        let left = self.take_in_known(mailbox, uids).await?;
        let mut todo: Vec<(bool, Vec<RemoteUid>)> =
            left.chunks(FETCH_MAX).rev().map(|uids| (outlines, uids.to_vec())).collect();
        while let Some((outlines, wanted)) = todo.pop() {
            let mut sink = ArrivalSink::new(self.store.clone(), mailbox, self.now(), self.since);
            let set = wanted.iter().copied().collect();
            let answer = match outlines {
                true => self.remote.outline(&set, &mut sink).await,
                false => self.remote.fetch(&set, &mut sink).await,
            };
            let committed = sink.commit();
            self.report.arrived += sink.arrived;
            committed?;
            let refused = refusal(answer)?.err();
            let asked = wanted.len();
            let missing: Vec<RemoteUid> = wanted.into_iter().filter(|uid| !sink.came.contains(uid)).collect();
            match refused {
                // Which of them it does not give is found out by asking for fewer.
                Some(_) if missing.len() > 1 => {
                    let (first, second) = missing.split_at(missing.len() / 2);
                    todo.extend([(outlines, second.to_vec()), (outlines, first.to_vec())]);
                }
                _ if outlines => todo.extend((!missing.is_empty()).then_some((false, missing))),
                // Left out of an answer about several (QUIRKS.md row 19), and maybe what vanished elsewhere in this round.
                None if asked > 1 => todo.extend(missing.into_iter().map(|uid| (false, vec![uid]))),
                refused => {
                    let why = refused.map_or_else(|| "the server gave no bytes".to_owned(), |refused| refused.text);
                    self.skip(mailbox, missing, why)?;
                }
            }
        }
        Ok(())
    }

    fn skip(&mut self, mailbox: MailboxId, uids: Vec<RemoteUid>, why: String) -> Result<()> {
        if uids.is_empty() {
            return Ok(());
        }
        self.report.skipped += uids.len();
        // What vanished elsewhere may be it: the next sync asks again.
        self.is_half_seen |= self
            .write(move |txn| uids.iter().try_fold(false, |again, uid| Ok(txn.skip(mailbox, *uid, &why)? || again)))?;
        Ok(())
    }

    /// The fingerprints of these messages of the selected mailbox, of each that the server shows when asked for it alone, and
    /// the first refusal to show one.
    pub(super) async fn show_each(&mut self, uids: &[RemoteUid]) -> Result<(Vec<Fingerprinted>, Option<RemoteError>)> {
        let (mut shown, mut refused) = (Vec::with_capacity(uids.len()), None);
        let mut todo: Vec<&[RemoteUid]> = uids.chunks(FINGERPRINTS_MAX).rev().collect();
        while let Some(uids) = todo.pop() {
            match self.remote.fingerprints(&uids.iter().copied().collect()).await {
                Ok(some) => {
                    // Those that it leaves out of an answer about several (QUIRKS.md row 19) are asked for each.
                    let is_left_out = |uid: &&RemoteUid| uids.len() > 1 && !some.iter().any(|shown| shown.uid == **uid);
                    todo.extend(uids.iter().filter(is_left_out).map(std::slice::from_ref));
                    shown.extend(some);
                }
                Err(RemoteError::Refused { .. }) if uids.len() > 1 => {
                    let (first, second) = uids.split_at(uids.len() / 2);
                    todo.extend([second, first]);
                }
                Err(error @ RemoteError::Refused { .. }) => refused = refused.or(Some(error)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok((shown, refused))
    }

    /// The hash of the bytes of each of these messages of the selected mailbox.
    pub(super) async fn hashes(&mut self, uids: &UidSet<RemoteUid>) -> Result<BTreeMap<RemoteUid, ContentHash>> {
        let mut sink = HashSink::default();
        if !uids.is_empty() {
            self.remote.fetch(uids, &mut sink).await?;
        }
        let left_out: Vec<RemoteUid> = uids.iter().filter(|uid| !sink.hashes.contains_key(uid)).collect();
        for uid in left_out {
            self.remote.fetch(&std::iter::once(uid).collect(), &mut sink).await?;
        }
        Ok(sink.hashes)
    }

    /// Each of these messages of the selected mailbox that is there. Some servers leave messages out of an answer about
    /// several (QUIRKS.md row 19), and name them when asked for each.
    pub(super) async fn scan_each(&mut self, uids: &UidSet<RemoteUid>) -> Result<Vec<Scanned>> {
        Ok(scan_each(self.remote, uids).await?)
    }
}

/// The flags of messages in the selected mailbox, of each that is there: those that an answer about several leaves out
/// (QUIRKS.md row 19) are asked for each.
pub async fn scan_each<R: Remote>(
    remote: &mut R,
    uids: &UidSet<RemoteUid>,
) -> std::result::Result<Vec<Scanned>, RemoteError> {
    let mut scanned = match uids.is_empty() {
        true => Vec::new(),
        false => remote.scan(uids, None).await?,
    };
    let unnamed = uids.difference(&scanned.iter().map(|scanned| scanned.uid).collect());
    if !unnamed.is_empty() {
        for uid in remote.present(&unnamed).await?.iter() {
            scanned.extend(remote.scan(&std::iter::once(uid).collect(), None).await?);
        }
    }
    Ok(scanned)
}

/// Puts messages into the store, in small commits.
pub(super) struct ArrivalSink {
    store: Store,
    mailbox: MailboxId,
    now: Timestamp,
    since: MessageId,
    landing: Landing,
    batch: Vec<Arrival>,
    batch_bytes: u64,
    /// The batch before, on its way into the store while the next one comes.
    under_way: Option<Pending<usize>>,
    pub(super) arrived: usize,
    pub(super) came: std::collections::BTreeSet<RemoteUid>,
}

impl ArrivalSink {
    pub(super) fn new(store: Store, mailbox: MailboxId, now: Timestamp, since: MessageId) -> Self {
        Self {
            landing: Landing::new(&store),
            store,
            mailbox,
            now,
            since,
            batch: Vec::new(),
            batch_bytes: 0,
            under_way: None,
            arrived: 0,
            came: std::collections::BTreeSet::new(),
        }
    }

    /// Returns once all that came is in the store.
    pub(super) fn commit(&mut self) -> store::Result<()> {
        self.hand_over()?;
        self.wait()
    }

    /// Has what came since written, once what was handed over before is in the store.
    fn hand_over(&mut self) -> store::Result<()> {
        self.wait()?;
        let (mailbox, since, batch) = (self.mailbox, self.since, std::mem::take(&mut self.batch));
        self.batch_bytes = 0;
        if !batch.is_empty() {
            let arrive = move |txn: &mut Txn<'_>| txn.arrive(mailbox, &batch, since);
            self.under_way = Some(self.store.begin_write(Origin::Upstream, self.now, arrive)?);
        }
        Ok(())
    }

    fn wait(&mut self) -> store::Result<()> {
        match self.under_way.take().map_or(Ok(0), Pending::wait) {
            Ok(arrived) => self.arrived += arrived,
            // The user deleted the mailbox meanwhile: what is upstream is looked at before it is deleted there.
            Err(store::Error::NoSuchMailbox) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Whoever looks at the mailbox after a fetch that was given up sees what of it was kept.
impl Drop for ArrivalSink {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure; what is not in the store is fetched again.
        let _ = self.wait();
    }
}

impl MessageSink for ArrivalSink {
    fn begin(&mut self, _size_bytes: u64) -> io::Result<()> {
        self.landing.begin();
        match mutant!(MarkerHeader) {
            true => self.landing.write(b"X-Mailtide: seen\r\n"),
            false => Ok(()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.landing.write(bytes)
    }

    fn end(&mut self, message: Fetched) -> io::Result<()> {
        // One that was passed over is skipped.
        let Some(content) = self.landing.end()? else { return Ok(()) };
        if message.outline.is_some() && content.size_bytes > limits::HEADER_MAX_BYTES as u64 {
            return Ok(());
        }
        let outline = message.outline.map(|described| {
            let summary = lay_out(content.summary(), content.size_bytes, *described.structure, described.size_bytes);
            Outline { size_bytes: described.size_bytes, summary: summary.into(), is_bare: false }
        });
        self.batch_bytes += content.size_bytes;
        let internal_date = message.internal_date.unwrap_or_else(|| InternalDate::from(self.now));
        let new = NewMessage { content, flags: message.flags, internal_date, email_id: message.email_id };
        self.came.insert(message.uid);
        self.batch.push(Arrival { uid: message.uid, message: new, outline });
        match is_commit_due(self.batch.len(), self.batch_bytes) {
            true => self.hand_over().map_err(io::Error::other),
            false => Ok(()),
        }
    }

    fn absent(&mut self, _uid: RemoteUid) -> io::Result<()> {
        self.landing.drop_it();
        Ok(())
    }
}

/// Keeps only the hash of each message.
#[derive(Default)]
struct HashSink {
    hasher: blake3::Hasher,
    hashes: BTreeMap<RemoteUid, ContentHash>,
}

impl MessageSink for HashSink {
    fn begin(&mut self, _size_bytes: u64) -> io::Result<()> {
        self.hasher = blake3::Hasher::new();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        Ok(())
    }

    fn end(&mut self, message: Fetched) -> io::Result<()> {
        self.hashes.insert(message.uid, ContentHash::from_bytes(*self.hasher.finalize().as_bytes()));
        Ok(())
    }

    fn absent(&mut self, _uid: RemoteUid) -> io::Result<()> {
        Ok(())
    }
}
