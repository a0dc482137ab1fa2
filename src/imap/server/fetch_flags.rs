//! FETCH of flags alone, which is what a client asks of a whole mailbox each time it opens one; and the responses in which
//! flags are told, asked for or not.
//!
//! Nothing is read of a message but its flags.

use std::vec;

use super::backend::{Account, Changed};
use super::fetch::gone_meanwhile;
use super::reply::{Context, Progress, Refusal, Reply, Task, User};
use super::view::{By, Places, View};
use crate::imap::syntax::fetch::FetchItem;
use crate::types::{ModSeq, limits};

/// Is it known with the flags?
pub const fn is_known_with_flags(item: &FetchItem) -> bool {
    matches!(item, FetchItem::Uid | FetchItem::Flags | FetchItem::ModSeq)
}

/// What a response tells that nobody asked for: flags, with the UID where it is wanted, and MODSEQ where the client knows
/// mod-sequences.
pub fn unasked_items(context: &Context) -> Vec<FetchItem> {
    let wanted = [
        (context.enabled.tells_uids(), FetchItem::Uid),
        (true, FetchItem::Flags),
        (context.enabled.condstore, FetchItem::ModSeq),
    ];
    wanted.into_iter().filter_map(|(is_wanted, item)| is_wanted.then_some(item)).collect()
}

/// FETCH responses of items that are known with the flags, written piece by piece.
#[derive(Debug, Default)]
pub struct Responses {
    items: Vec<FetchItem>,
    rest: vec::IntoIter<Changed>,
}

impl Responses {
    pub fn new(items: Vec<FetchItem>, of: Vec<Changed>) -> Self {
        Self { items, rest: of.into_iter() }
    }

    /// Writes the next piece; false where there is none.
    pub fn step(&mut self, context: &mut Context, view: &View) -> bool {
        let is_more = !self.rest.as_slice().is_empty();
        while context.out.len() < limits::OUTPUT_CHUNK_BYTES
            && let Some(changed) = self.rest.next()
        {
            if context.begin_fetch(view, changed.uid) {
                write_items(context, view, &changed, &self.items);
            }
        }
        is_more
    }
}

fn write_items(context: &mut Context, view: &View, changed: &Changed, items: &[FetchItem]) {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            context.out.push(b' ');
        }
        match item {
            FetchItem::Uid => context.write(format_args!("UID {}", changed.uid)),
            FetchItem::ModSeq => context.write(format_args!("MODSEQ ({})", changed.mod_seq)),
            _ => view.write_message_flags(&mut context.out, context.enabled, changed.uid, &changed.flags),
        }
    }
    context.out.extend_from_slice(b")\r\n");
}

/// The FETCH.
pub struct FetchingFlags {
    by: By,
    items: Vec<FetchItem>,
    changed_since: Option<ModSeq>,
    places: Places,
    /// Those of the batch.
    responses: Responses,
    /// A message went meanwhile.
    missing: bool,
}

impl FetchingFlags {
    /// With items of [`is_known_with_flags`] alone.
    pub fn new(by: By, items: Vec<FetchItem>, changed_since: Option<ModSeq>, places: Places) -> Self {
        Self { by, items, changed_since, places, responses: Responses::default(), missing: false }
    }
}

impl<A: Account> Task<A> for FetchingFlags {
    fn step(&mut self, context: &mut Context, user: &mut User<A>) -> Result<Progress, Refusal> {
        let (account, view) = user.selected()?;
        if self.responses.step(context, view) {
            return Ok(Progress::More);
        }
        let uids = self.places.next_batch(view, limits::IMAP_ROWS_BATCH);
        if uids.is_empty() {
            gone_meanwhile(self.missing, self.by)?;
            return Ok(Progress::Done(Reply::new("Fetched")));
        }
        let mut found = account.flags(view.mailbox, &uids)?;
        self.missing |= found.len() < uids.len();
        if let Some(since) = self.changed_since {
            found.retain(|changed| changed.mod_seq > since);
        }
        if self.items.contains(&FetchItem::Flags) {
            view.announce_keywords(context, found.iter().map(|changed| &changed.flags));
            for changed in &found {
                view.told(changed.uid, changed.mod_seq);
            }
        }
        self.responses = Responses::new(self.items.clone(), found);
        Ok(Progress::More)
    }
}
