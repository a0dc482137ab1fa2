//! APPEND: messages on their way to one mailbox, many at a time.
//!
//! Each entry's own evidence is durable, in one commit, before anything is sent. What the server said of each message is
//! written down, in one commit, even if the line was cut after it; what it did not say is found out by looking, for all of
//! them together ([`super::recover`]).

use std::collections::{BTreeMap, BTreeSet};

use super::Result;
use super::pass::{Pass, Refusal};
use super::plan::Item;
use super::remote::{AppendUid, Outgoing, Remote, RemoteError};
use super::send::{Did, Ready, Target, is_absent};
use crate::journal::Evidence;
use crate::store::{self, ContentSource, Landed};
use crate::types::mutant::mutant;
use crate::types::{ContentHash, ContentId, EntryId, Flags, InternalDate, MailboxId, MessageId, RemoteUid};

/// Messages on their way at once: bounds what is in flight, and must be looked for after a cut.
const MESSAGES_MAX: usize = 400;
/// Their bytes.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A message ready to be sent.
struct Letter {
    message: MessageId,
    /// The entry that holds the evidence.
    carrier: EntryId,
    settles: Vec<EntryId>,
    content: ContentId,
    hash: ContentHash,
    size_bytes: u64,
    flags: Flags,
    internal_date: InternalDate,
}

/// What the server said of each message, by its place; `None`: nothing.
type Told = Vec<Option<std::result::Result<Option<AppendUid>, RemoteError>>>;

/// What came of the messages of a batch.
#[derive(Default)]
struct Outcome {
    landed: Vec<(Landed, Vec<EntryId>)>,
    refused: Vec<(Letter, Refusal)>,
    /// Entries of which it must be looked for what became of them, with the evidence that is left.
    open: BTreeMap<EntryId, Evidence>,
    /// Of these, those of which something is known.
    partly: BTreeSet<EntryId>,
    /// Entries of which all is known.
    closed: BTreeSet<EntryId>,
}

impl<R: Remote> Pass<'_, R> {
    /// Appends what can be appended; what cannot is set aside.
    pub(super) async fn append(&mut self, to: MailboxId, items: Vec<Item>) -> Result<Did> {
        let (mut letters, mut did) = self.letters(to, &items)?;
        if letters.is_empty() {
            return Ok(did);
        }
        let mut target = match self.target_as_listed(to)? {
            Some(target) => target,
            None => match self.target(to).await? {
                Ready::Yes(target) => target,
                Ready::NotNow => return Ok(did),
                Ready::Refused(refused) => {
                    return self.park_all(letters.into_iter().map(|letter| (letter.message, letter.settles)), refused);
                }
            },
        };
        while !letters.is_empty() {
            let mut bytes = 0;
            let fits = letters.iter().take(MESSAGES_MAX).take_while(|letter| {
                bytes += letter.size_bytes;
                bytes <= BYTES_MAX
            });
            let rest = letters.split_off(fits.count().max(1));
            did = did.or(self.append_batch(&mut target, letters).await?);
            letters = rest;
        }
        Ok(did)
    }

    /// The messages as they are to be sent. Those that cannot be are set aside.
    fn letters(&mut self, to: MailboxId, items: &[Item]) -> Result<(Vec<Letter>, Did)> {
        let (keeps, limit) = (self.keeps(to)?, self.remote.facts().append_limit_bytes);
        let (mut letters, mut did) = (Vec::with_capacity(items.len()), Did::Nothing);
        for Item { message, carrier, settles, .. } in items {
            let Some(carrier) = *carrier else { continue };
            let Some(facts) = self.read(|reader| reader.message_facts(*message))? else { continue };
            let (Some(content), Some(hash)) = (facts.content, facts.hash) else {
                did = self.park(*message, settles, "its bytes are not here")?;
                continue;
            };
            if let Some(limit) = limit.filter(|limit| facts.size_bytes > *limit) {
                did = self.park(*message, settles, format!("the server takes messages up to {limit} bytes"))?;
                continue;
            }
            letters.push(Letter {
                message: *message,
                carrier,
                settles: settles.clone(),
                content,
                hash,
                size_bytes: facts.size_bytes,
                flags: keeps.of(&facts.flags),
                internal_date: facts.internal_date,
            });
        }
        Ok((letters, did))
    }

    async fn append_batch(&mut self, target: &mut Target, mut letters: Vec<Letter>) -> Result<Did> {
        let flights = flights(target, &letters);
        let marked = self.mark_all_in_flight(flights.clone())?;
        letters.retain(|letter| marked.contains(&letter.carrier));
        if letters.is_empty() {
            return Ok(Did::Nothing);
        }
        let sources = letters.iter().map(|letter| self.store.source(letter.content));
        let mut sources = sources.collect::<store::Result<Vec<ContentSource>>>()?;
        let outgoing = letters.iter().zip(&mut sources).map(|(letter, bytes)| Outgoing {
            flags: letter.flags.clone(),
            internal_date: letter.internal_date,
            bytes,
        });
        let outgoing = outgoing.collect();
        let mut told: Told = letters.iter().map(|_| None).collect();
        let ended = self.remote.append(&target.name, outgoing, &mut |at, outcome| told[at] = Some(outcome)).await;
        if mutant!(LostIsDone) && ended.is_err() {
            self.write(move |txn| {
                letters.iter().try_for_each(|letter| txn.settle_parts(letter.message, &letter.settles))
            })?;
            return Ok(Did::Something);
        }
        let flights = flights.into_iter().filter(|(carrier, _)| marked.contains(carrier)).collect();
        let mut made = BTreeSet::new();
        for told in told.iter_mut().flatten() {
            if let Ok(Some(AppendUid { uid, .. })) = told
                && !self.may_be_made(*uid, (target.mailbox, target.uid_next), &mut made)?
            {
                *told = Ok(None);
            }
        }
        let (outcome, failed) = outcome(target, letters, told, flights);
        if mutant!(AppendedTwice) && !outcome.landed.is_empty() {
            self.write(move |txn| marked.iter().try_for_each(|carrier| txn.not_in_flight(*carrier)))?;
            return Ok(Did::Nothing);
        }
        let did = self.record_appended(target, outcome, ended.is_err() || failed.is_some()).await?;
        ended?;
        failed.map_or(Ok(did), |error| Err(error.into()))
    }

    /// Makes the evidence durable. Returns the entries that hold it: of those that are no more, the user took the message
    /// back.
    fn mark_all_in_flight(&self, flights: BTreeMap<EntryId, Evidence>) -> Result<BTreeSet<EntryId>> {
        if mutant!(NoEvidence) {
            return Ok(flights.into_keys().collect());
        }
        self.write_durably(move |txn| {
            let mut marked = BTreeSet::new();
            for (carrier, evidence) in &flights {
                match txn.mark_in_flight(&[*carrier], evidence) {
                    Ok(()) => drop(marked.insert(*carrier)),
                    Err(store::Error::NoSuchEntry) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(marked)
        })
    }

    /// Writes down what is known, and looks for the rest unless the line is cut: then the next sync does.
    async fn record_appended(&mut self, target: &mut Target, outcome: Outcome, is_cut: bool) -> Result<Did> {
        let Outcome { landed, refused, open, partly, closed } = outcome;
        let mut did = if landed.is_empty() { Did::Nothing } else { Did::Something };
        self.report.appended += landed.len();
        if let Some(last) = landed.iter().map(|(landed, _)| landed.uid).max() {
            target.uid_next = target.uid_next.max(RemoteUid::new(last.get().saturating_add(1)));
        }
        let left: Vec<(EntryId, Evidence)> = open
            .iter()
            .filter(|(carrier, _)| partly.contains(carrier))
            .map(|(carrier, evidence)| (*carrier, evidence.clone()))
            .collect();
        let to = target.mailbox;
        self.write(move |txn| {
            for (landed, settles) in &landed {
                txn.landed(to, std::slice::from_ref(landed), settles)?;
            }
            left.iter().try_for_each(|(carrier, evidence)| txn.mark_in_flight(&[*carrier], evidence))?;
            closed.iter().try_for_each(|carrier| txn.not_in_flight(*carrier))
        })?;
        for (letter, refused) in refused {
            if !is_absent(&refused) {
                did = self.park(letter.message, &letter.settles, refused)?;
            }
        }
        if !is_cut && !open.is_empty() {
            let done =
                self.resolve_all(&open.into_iter().collect::<Vec<_>>(), false).await?.map_or(0, |done| done.len());
            self.report.appended += done;
            did = if done > 0 { Did::Something } else { did };
        }
        Ok(did)
    }
}

/// What is to be known of each entry's messages before they are sent.
fn flights(target: &Target, letters: &[Letter]) -> BTreeMap<EntryId, Evidence> {
    let mut flights: BTreeMap<EntryId, Evidence> = BTreeMap::new();
    for letter in letters {
        let evidence = flights.entry(letter.carrier).or_insert_with(|| Evidence {
            target: target.mailbox,
            target_uid_validity: target.uid_validity,
            target_uid_next: target.uid_next,
            source: None,
            messages: Vec::new(),
            flags: Vec::new(),
            settles: Vec::new(),
            unfinished: BTreeSet::new(),
        });
        evidence.messages.push((letter.message, Some(letter.hash), letter.size_bytes));
        evidence.flags.push(letter.flags.clone());
        evidence.settles.extend(
            letter.settles.iter().filter(|entry| !evidence.settles.contains(entry)).copied().collect::<Vec<_>>(),
        );
    }
    flights
}

/// Sorts what was told. The second is a failure that is no refusal: of those messages nothing is known.
fn outcome(
    target: &Target,
    letters: Vec<Letter>,
    told: Told,
    mut open: BTreeMap<EntryId, Evidence>,
) -> (Outcome, Option<RemoteError>) {
    let (mut outcome, mut failed) = (Outcome::default(), None);
    for (letter, told) in letters.into_iter().zip(told) {
        let told = match told.map(Refusal::of) {
            Some(Ok(told)) => told,
            Some(Err(error)) => {
                failed = Some(error);
                continue;
            }
            None => continue,
        };
        let (carrier, message) = (letter.carrier, letter.message);
        let is_known = match told {
            Ok(Some(AppendUid { uid_validity, uid })) if uid_validity == target.uid_validity => {
                let (sent, shown) = (letter.flags.clone(), letter.flags);
                outcome.landed.push((Landed { message, uid, sent, shown, is_finished: true }, letter.settles));
                true
            }
            Ok(_) => false,
            Err(refused) => {
                outcome.refused.push((letter, refused));
                true
            }
        };
        if is_known {
            outcome.partly.insert(carrier);
            open.entry(carrier).and_modify(|evidence| evidence.forget(message));
        }
    }
    let (open, closed): (BTreeMap<_, _>, BTreeMap<_, _>) =
        open.into_iter().partition(|(_, evidence)| !evidence.messages.is_empty());
    (outcome.open, outcome.closed) = (open, closed.into_keys().collect());
    (outcome, failed)
}
