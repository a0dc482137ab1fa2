//! The rest of messages of which only the header is here: what is wanted of it while a visit lasts, and what somebody waits for.
//!
//! Rules: the rest is taken for that of the message only where its header is the one that is here, or the server shows that one
//! still when it is asked for the header alone (some write fields of their own into what they give whole). What the server
//! gave is in the store before it is told, and durable before the goodbye.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::engine::{Again, MaildropEngine, Visit, extents};
use super::imprint::Imprinter;
use super::intake::Headers;
use super::seam::{Extent, LetterSink, Maildrop};
use crate::message::outline::Wanted;
use crate::store::{Origin, Store, StoredContent, Unpopped};
use crate::sync::Result;
use crate::sync::bring::{Brought, Tell};
use crate::sync::engine::Clock;
use crate::sync::haul::{FETCH_MAX_BYTES, FETCH_MAX_MESSAGES};
use crate::sync::landing::Landing;
use crate::sync::remote::RemoteError;
use crate::sync::stock::Stocked;
use crate::types::{ContentHash, MessageId, PoppedId, Timestamp};

/// A maildrop that was opened for what somebody waits for.
pub struct Counter<M> {
    maildrop: M,
    visit: Visit,
    numbers: BTreeMap<PoppedId, u32>,
}

/// What came of asking for some messages.
#[derive(Default)]
struct Filled {
    messages: usize,
    bytes: u64,
    refused: BTreeMap<PoppedId, String>,
}

/// A message whose rest is to be fetched.
struct Lacking {
    id: PoppedId,
    number: u32,
    /// Of what is here.
    header: ContentHash,
    /// As it is told.
    size_bytes: u64,
}

impl MaildropEngine {
    /// Fetches what is wanted and is not all here.
    pub(super) async fn stock<M: Maildrop>(
        &self,
        maildrop: &mut M,
        visit: &Visit,
        clock: Clock<'_>,
        is_urgent: &(dyn Fn() -> bool + Sync),
    ) -> Result<Stocked> {
        let (numbers, mut stocked) = (visit.numbers(), Stocked::default());
        let lacking = |Unpopped { id, header, size_bytes, .. }| {
            Some(Lacking { id, number: *numbers.get(&id)?, header, size_bytes })
        };
        let mut todo: Vec<Lacking> = self.due(clock())?.into_iter().filter_map(lacking).collect();
        loop {
            let together = together(&mut todo, self.left_bytes(clock())?);
            if together.is_empty() {
                return Ok(stocked);
            }
            if is_urgent() {
                stocked.has_more = true;
                return Ok(stocked);
            }
            let filled = self.fill(maildrop, &together, false, clock).await?;
            stocked.messages += filled.messages;
            stocked.bytes += filled.bytes;
        }
    }

    /// Looks around in a maildrop, to fetch from it what somebody waits for.
    pub async fn open<M: Maildrop>(&self, mut maildrop: M, clock: Clock<'_>) -> Result<Counter<M>> {
        let (visit, _) = self.look_around(&mut maildrop, Again::Unclear, clock).await?;
        let numbers = visit.numbers();
        Ok(Counter { maildrop, visit, numbers })
    }

    /// Fetches messages for somebody who waits: always all of each, since the server knows no parts. Tells of each wish what
    /// came of it. Of those of which nothing was told before an error nothing is known.
    pub async fn bring<M: Maildrop>(
        &self,
        counter: &mut Counter<M>,
        wishes: &[(MessageId, Wanted)],
        clock: Clock<'_>,
        tell: Tell<'_>,
    ) -> Result<()> {
        let mut places: BTreeMap<PoppedId, Vec<usize>> = BTreeMap::new();
        let mut todo = Vec::new();
        for (place, (message, _)) in wishes.iter().enumerate() {
            let (facts, id) =
                self.store.read(|reader| Ok((reader.message_facts(*message)?, reader.unpopped_message(*message)?)))?;
            let size_bytes = facts.as_ref().map_or(0, |facts| facts.size_bytes);
            match id.and_then(|id| counter.lacking(id, size_bytes)) {
                _ if facts.is_some_and(|facts| facts.content.is_some()) => tell(place, Brought::Here),
                Some(lacking) => {
                    let waiting = places.entry(lacking.id).or_default();
                    if waiting.is_empty() {
                        todo.push(lacking);
                    }
                    waiting.push(place);
                }
                None => tell(place, Brought::Refused("the server does not have the message (any more)".to_owned())),
            }
        }
        while !todo.is_empty() {
            if self.left_bytes(clock())? == 0 {
                let waiting = todo.iter().filter_map(|lacking| places.get(&lacking.id)).flatten();
                waiting.for_each(|place| tell(*place, Brought::OverBudget));
                break;
            }
            let together = together(&mut todo, u64::MAX);
            let filled = self.fill(&mut counter.maildrop, &together, true, clock).await?;
            // Durable before whatever makes the server say goodbye.
            self.store.settle()?;
            for Lacking { id, .. } in together {
                let brought = match filled.refused.get(&id) {
                    Some(why) => Brought::Refused(why.clone()),
                    None => Brought::Here,
                };
                places.remove(&id).unwrap_or_default().into_iter().for_each(|place| tell(place, brought.clone()));
            }
        }
        Ok(())
    }

    /// Fetches messages, and puts into the store what comes, also before a cut.
    async fn fill<M: Maildrop>(
        &self,
        maildrop: &mut M,
        together: &[Lacking],
        on_demand: bool,
        clock: Clock<'_>,
    ) -> Result<Filled> {
        let numbers: Vec<u32> = together.iter().map(|lacking| lacking.number).collect();
        let mut sink = Filling::new(&self.store);
        let mut outcome = maildrop.fetch(&extents(&numbers, Extent::Whole), &mut sink).await;
        let Filling { came, mut refused, answered, .. } = sink;
        let cut = numbers.get(answered).copied().filter(|_| matches!(outcome, Err(RemoteError::Lost { .. })));
        let by_number: BTreeMap<u32, &Lacking> = together.iter().map(|lacking| (lacking.number, lacking)).collect();
        let is_it = |number: &u32, header: ContentHash| by_number.get(number).is_some_and(|it| it.header == header);
        let (mut of_them, others): (Vec<_>, Vec<_>) =
            came.into_iter().partition(|(number, came)| is_it(number, came.header));
        if !others.is_empty() && outcome.is_ok() {
            let numbers: Vec<u32> = others.iter().map(|(number, _)| *number).collect();
            let mut shown = Headers::default();
            if maildrop.gives_headers() {
                outcome = maildrop.fetch(&extents(&numbers, Extent::Header), &mut shown).await;
            }
            for (number, came) in others.into_iter().filter(|_| outcome.is_ok()) {
                match shown.of.get(&number).is_some_and(|header| is_it(&number, *header)) {
                    true => of_them.push((number, came)),
                    false => refused.push((number, "the server has another message in its place".to_owned())),
                }
            }
        }
        let id = |number: &u32| by_number.get(number).map(|lacking| lacking.id);
        let content = |(number, came): (u32, Came)| Some((id(&number)?, came.whole, came.content));
        let taken: Vec<(PoppedId, ContentHash, StoredContent)> = of_them.into_iter().filter_map(content).collect();
        let refused: BTreeMap<PoppedId, String> =
            refused.into_iter().filter_map(|(number, why)| Some((id(&number)?, why))).collect();
        let withheld: BTreeSet<PoppedId> = refused.keys().copied().chain(cut.and_then(|number| id(&number))).collect();
        let filled = Filled {
            messages: taken.len(),
            bytes: taken.iter().map(|(.., content)| content.size_bytes).sum(),
            refused,
        };
        self.keep_filled(taken, withheld, on_demand, clock())?;
        outcome?;
        Ok(filled)
    }

    fn keep_filled(
        &self,
        taken: Vec<(PoppedId, ContentHash, StoredContent)>,
        withheld: BTreeSet<PoppedId>,
        on_demand: bool,
        now: Timestamp,
    ) -> Result<()> {
        let account = self.account;
        if taken.is_empty() && withheld.is_empty() {
            return Ok(());
        }
        Ok(self.store.write(Origin::Upstream, now, move |txn| {
            let bytes: u64 = taken.iter().map(|(.., content)| content.size_bytes).sum();
            if bytes > 0 {
                txn.spend(account, bytes, on_demand)?;
            }
            taken.iter().try_for_each(|(id, whole, content)| txn.pop_again(*id, *whole, content))?;
            withheld.iter().try_for_each(|id| txn.pop_withheld(*id))
        })?)
    }
}

impl<M: Maildrop> Counter<M> {
    fn lacking(&self, id: PoppedId, size_bytes: u64) -> Option<Lacking> {
        let (number, known) = (*self.numbers.get(&id)?, self.visit.matching.known(id)?);
        Some(Lacking { id, number, header: known.header, size_bytes })
    }

    /// Says goodbye. Nothing is deleted by it.
    pub async fn leave(&mut self) -> Result<()> {
        Ok(self.maildrop.leave().await?)
    }
}

/// Takes from what is to be fetched what is asked for together: within the budget, many small messages or one large one. What
/// does not fit into the budget is passed over.
fn together(todo: &mut Vec<Lacking>, left_bytes: u64) -> Vec<Lacking> {
    todo.retain(|lacking| lacking.size_bytes <= left_bytes);
    let mut bytes = 0;
    let fits = todo.iter().take(FETCH_MAX_MESSAGES).take_while(|lacking| {
        bytes += lacking.size_bytes;
        bytes <= FETCH_MAX_BYTES.min(left_bytes)
    });
    let count = fits.count().max(1).min(todo.len());
    todo.drain(..count).collect()
}

/// A message that came whole.
struct Came {
    header: ContentHash,
    whole: ContentHash,
    content: StoredContent,
}

/// Takes in whole messages.
struct Filling {
    landing: Landing,
    now: Option<(u32, Imprinter)>,
    came: Vec<(u32, Came)>,
    refused: Vec<(u32, String)>,
    /// How many messages the server told what becomes of.
    answered: usize,
}

impl Filling {
    fn new(store: &Store) -> Self {
        Self { landing: Landing::new(store), now: None, came: Vec::new(), refused: Vec::new(), answered: 0 }
    }
}

impl LetterSink for Filling {
    fn begin(&mut self, number: u32) -> io::Result<()> {
        self.now = Some((number, Imprinter::default()));
        self.landing.begin();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some((_, imprinter)) = &mut self.now {
            imprinter.push(bytes);
        }
        self.landing.write(bytes)
    }

    fn end(&mut self) -> io::Result<()> {
        let Some((number, imprinter)) = self.now.take() else { return Ok(()) };
        self.answered += 1;
        let imprint = imprinter.finish();
        match self.landing.end()? {
            Some(content) => {
                self.came.push((number, Came { header: imprint.header, whole: imprint.whole, content }));
            }
            None => self.refused.push((number, "it is larger than what is taken here".to_owned())),
        }
        Ok(())
    }

    fn refused(&mut self, number: u32, why: String) -> io::Result<()> {
        self.answered += 1;
        self.refused.push((number, why));
        Ok(())
    }
}
