//! What every searching command does first: it finds the messages of the selected mailbox that match, batch by batch; and
//! what sorting ones do then: they ask for the keys of what was found.

use std::borrow::Cow;

use super::backend::Account;
use super::query::resolve;
use super::reply::{Context, Progress, Refusal};
use super::select::enable_condstore;
use super::thread_id;
use super::view::View;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::search::{SearchKey, is_known_charset};
use crate::message::search::Query;
use crate::message::{Keyed, KeysRead};
use crate::types::{LocalUid, ModSeq, UidSet, limits};

pub fn check_charset(charset: &str) -> Result<(), Refusal> {
    match is_known_charset(charset) {
        true => Ok(()),
        false => Err(Refusal::no(Code::BadCharset, "Search in US-ASCII or UTF-8")),
    }
}

/// A search under way in a view.
pub struct Hunt {
    query: Query,
    asks_thread: bool,
    /// What is not here is asked about elsewhere first.
    inquiry: Inquiry,
    /// Where in the view it is.
    place: usize,
    goal: usize,
    found: Vec<LocalUid>,
    /// With a MODSEQ key: the highest mod-sequence of what was found.
    highest: Option<ModSeq>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inquiry {
    ToBeMade,
    UnderWay,
    Over,
}

/// What was found, ascending, and with a MODSEQ key the highest mod-sequence of it.
pub struct Found {
    pub uids: Vec<LocalUid>,
    pub highest: Option<ModSeq>,
}

impl Hunt {
    pub fn new(key: SearchKey, context: &mut Context, view: &View) -> Result<Self, Refusal> {
        let resolved = resolve(key, view, context)?;
        if resolved.asks_mod_seq {
            enable_condstore(context, Some(view));
        }
        let highest = resolved.asks_mod_seq.then(|| ModSeq::new(0));
        let inquiry = Inquiry::ToBeMade;
        let (asks_thread, goal) = (thread_id::asks(&resolved.query), view.uids().len());
        Ok(Self { query: resolved.query, asks_thread, inquiry, place: 0, goal, found: Vec::new(), highest })
    }

    /// As [`Self::new`], where the keys of what is found are asked for afterwards: that leaves out what is there no more, so
    /// that ALL needs no search.
    pub fn for_keys(key: SearchKey, context: &mut Context, view: &View) -> Result<Self, Refusal> {
        let mut hunt = Self::new(key, context, view)?;
        if hunt.query == Query::All {
            (hunt.found, hunt.place) = (view.uids().to_vec(), hunt.goal);
        }
        Ok(hunt)
    }

    /// How much is searched, and of how much.
    pub const fn progress(&self) -> (usize, usize) {
        (self.place, self.goal)
    }

    /// What comes next while nothing is found yet.
    pub fn pause(&self) -> Progress {
        if self.inquiry == Inquiry::UnderWay { Progress::Hold } else { Progress::More }
    }

    /// Searches a batch of the view; after the last one, gives what was found.
    pub fn step<A: Account>(&mut self, account: &mut A, view: &View) -> Result<Option<Found>, Refusal> {
        if self.inquiry != Inquiry::Over && self.place < self.goal {
            let is_coming = account.inquire(view.mailbox, &self.query)?;
            self.inquiry = if is_coming { Inquiry::UnderWay } else { Inquiry::Over };
            if is_coming {
                return Ok(None);
            }
        }
        let end = (self.place + limits::IMAP_SEARCH_BATCH).min(view.uids().len());
        let batch = &view.uids()[self.place..end];
        self.place = end;
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return Ok(Some(Found { uids: std::mem::take(&mut self.found), highest: self.highest }));
        };
        let among = UidSet::range(*first, *last);
        let resolved = match self.asks_thread {
            true => Cow::Owned(thread_id::resolved(&self.query, account, view.mailbox, batch)?),
            false => Cow::Borrowed(&self.query),
        };
        let mut found = account.search(view.mailbox, &among, &resolved)?;
        found.retain(|uid| batch.binary_search(uid).is_ok());
        if let Some(highest) = &mut self.highest {
            *highest = highest_of(account, view, &found, *highest)?;
        }
        self.found.extend(found);
        Ok(None)
    }
}

impl Found {
    /// The highest mod-sequence of those of them that are told, if any was found.
    pub fn highest_of_told<A: Account>(
        &self,
        account: &mut A,
        view: &View,
        told: &[LocalUid],
    ) -> Result<Option<ModSeq>, Refusal> {
        match self.highest.filter(|_| !self.uids.is_empty()) {
            Some(_) if told.len() < self.uids.len() => highest_of(account, view, told, ModSeq::new(0)).map(Some),
            highest => Ok(highest),
        }
    }
}

/// The highest mod-sequence of these messages and `before`.
fn highest_of<A: Account>(account: &mut A, view: &View, uids: &[LocalUid], before: ModSeq) -> Result<ModSeq, Refusal> {
    let mut highest = before;
    for batch in uids.chunks(limits::IMAP_ROWS_BATCH) {
        let flags = account.flags(view.mailbox, batch)?;
        highest = flags.iter().map(|changed| changed.mod_seq).fold(highest, Ord::max);
    }
    Ok(highest)
}

/// The keys of what was found, on their way.
pub struct Keying<T> {
    read: KeysRead,
    place: usize,
    rows: Vec<T>,
}

impl<T> Keying<T> {
    pub const fn new(read: KeysRead) -> Self {
        Self { read, place: 0, rows: Vec::new() }
    }

    /// Asks for the keys of a batch, of which `row` keeps what is needed; after the last one, gives all of it, in the order
    /// of the mailbox.
    pub fn step<A: Account>(
        &mut self,
        account: &mut A,
        view: &View,
        found: &[LocalUid],
        row: impl Fn(Keyed) -> T,
    ) -> Result<Option<Vec<T>>, Refusal> {
        let end = (self.place + limits::IMAP_SEARCH_BATCH).min(found.len());
        let batch = &found[self.place..end];
        self.place = end;
        if batch.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rows)));
        }
        self.rows.extend(account.keyed(view.mailbox, batch, self.read)?.into_iter().map(row));
        Ok(None)
    }
}
