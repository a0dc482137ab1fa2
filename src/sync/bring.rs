//! Bodies that are not here and for which somebody waits.
//!
//! Rules: what is wanted at the same time is asked for together, mailbox by mailbox: first the sections of messages and the
//! small ones, then the large ones; nothing is asked for once the day's budget is spent. A section that the server does not
//! give, though it described it, may not be there (RFC 3501 section 6.4.5 tells such by NIL): then the message is asked for
//! whole, and tells.

use std::collections::{BTreeMap, BTreeSet};

use super::Result;
use super::engine::{Clock, Engine};
use super::haul::{Hauler, PIECE_BYTES, SectionOf};
use super::remote::Remote;
use super::stock::batch;
use crate::message::outline::Wanted;
use crate::store::Absent;
use crate::types::{MailboxId, MessageId, UidValidity};

/// What came of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brought {
    /// It is here.
    Here,
    /// The server does not give it.
    Refused(String),
    /// The day's budget is spent.
    OverBudget,
}

/// A wish by its place among those that were made, and what is told once it is known what came of it.
pub type Tell<'a> = &'a mut (dyn FnMut(usize, Brought) + Send);

impl Engine {
    /// Fetches messages, or sections of them, for somebody who waits; tells of each what came of it. Of those of which nothing
    /// was told before an error nothing is known.
    pub async fn bring<R: Remote>(
        &self,
        remote: &mut R,
        wishes: &[(MessageId, Wanted)],
        clock: Clock<'_>,
        tell: Tell<'_>,
    ) -> Result<()> {
        self.hauler(remote, clock, true)?.bring(wishes, tell).await
    }
}

/// What is wanted in one mailbox, each with the place of its wish.
#[derive(Default)]
struct Order {
    whole: Vec<(usize, Absent)>,
    sections: Vec<(usize, Absent, Wanted)>,
}

impl<R: Remote> Hauler<'_, R> {
    async fn bring(&mut self, wishes: &[(MessageId, Wanted)], tell: Tell<'_>) -> Result<()> {
        let mut orders: BTreeMap<MailboxId, Order> = BTreeMap::new();
        for (place, (message, wanted)) in wishes.iter().enumerate() {
            let Some(absent) = self.store.read(|reader| reader.absent_message(*message))? else {
                let facts = self.store.read(|reader| reader.message_facts(*message))?;
                tell(
                    place,
                    match facts.is_some_and(|facts| facts.content.is_some()) {
                        true => Brought::Here,
                        false => Brought::Refused("the server does not have the message (any more)".to_owned()),
                    },
                );
                continue;
            };
            let order = orders.entry(absent.mailbox).or_default();
            match wanted {
                Wanted::Whole => order.whole.push((place, absent)),
                Wanted::Section { .. } => order.sections.push((place, absent, wanted.clone())),
            }
        }
        for (mailbox, order) in orders {
            let Some(uid_validity) = self.select(mailbox).await? else {
                let places = order.whole.iter().map(|(place, _)| place);
                for place in places.chain(order.sections.iter().map(|(place, ..)| place)) {
                    tell(*place, Brought::Refused("the mailbox cannot be opened on the server".to_owned()));
                }
                continue;
            };
            let mut whole = order.whole;
            whole.extend(self.bring_sections(order.sections, uid_validity, tell).await?);
            self.bring_whole(whole, uid_validity, tell).await?;
        }
        Ok(())
    }

    /// Of each message one section at a time: an answer tells of which message it is, not of which section. Those that are
    /// not given.
    async fn bring_sections(
        &mut self,
        mut todo: Vec<(usize, Absent, Wanted)>,
        uid_validity: UidValidity,
        tell: Tell<'_>,
    ) -> Result<Vec<(usize, Absent)>> {
        let mut missing = Vec::new();
        while !todo.is_empty() {
            if self.left_bytes()? == 0 {
                todo.into_iter().for_each(|(place, ..)| tell(place, Brought::OverBudget));
                return Ok(missing);
            }
            let mut messages = BTreeSet::new();
            let (now, later): (Vec<_>, Vec<_>) =
                todo.into_iter().partition(|(_, absent, _)| messages.insert(absent.uid));
            todo = later;
            let sections: Vec<SectionOf<'_>> = now
                .iter()
                .filter_map(|(_, absent, wanted)| match wanted {
                    Wanted::Whole => None,
                    Wanted::Section { name, first_bytes } => Some(SectionOf {
                        absent,
                        section: name,
                        piece: first_bytes.map(|count| (0, count)),
                        kept_as: wanted.to_string(),
                    }),
                })
                .collect();
            let came = self.take_sections(&sections, uid_validity).await?;
            for ((place, absent, _), content) in now.into_iter().zip(came) {
                match content {
                    Some(_) => tell(place, Brought::Here),
                    None => missing.push((place, absent)),
                }
            }
        }
        Ok(missing)
    }

    async fn bring_whole(
        &mut self,
        mut todo: Vec<(usize, Absent)>,
        uid_validity: UidValidity,
        tell: Tell<'_>,
    ) -> Result<()> {
        todo.sort_by_key(|(_, absent)| absent.size_bytes > PIECE_BYTES);
        while !todo.is_empty() {
            if self.left_bytes()? == 0 {
                todo.into_iter().for_each(|(place, _)| tell(place, Brought::OverBudget));
                return Ok(());
            }
            let all = todo.iter().map(|(_, absent)| absent.clone()).collect();
            let together = batch(all, u64::MAX);
            let missing = match together.as_slice() {
                [large] if large.size_bytes > PIECE_BYTES => {
                    let is_here = self.take_pieces(large, uid_validity, &|| false).await?;
                    if is_here { Vec::new() } else { vec![large.message] }
                }
                small => self.take_whole(small, uid_validity).await?,
            };
            for (place, absent) in todo.drain(..together.len()) {
                tell(place, if missing.contains(&absent.message) { withheld() } else { Brought::Here });
            }
        }
        Ok(())
    }
}

fn withheld() -> Brought {
    Brought::Refused("the server does not give it".to_owned())
}
