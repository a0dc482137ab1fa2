//! STORE (RFC 3501 section 6.4.6; UNCHANGEDSINCE: RFC 7162 section 3.1.3; expunged messages: RFC 2180 section 4.2).

use super::backend::{Account, Backend, FlagChange};
use super::config::Capability;
use super::expunge::refuse_read_only;
use super::fetch_flags::{Responses, unasked_items};
use super::reply::{Context, Done, Progress, Refusal, Reply, Task, User};
use super::select::enable_condstore;
use super::table::Outcome;
use super::view::{By, Places, View};
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::fetch::{FetchItem, StoreAction};
use crate::types::{LocalUid, ModSeq, UidSet, limits};

pub fn store<B: Backend>(
    context: &mut Context,
    _: &mut B::Account,
    view: &mut View,
    args: &mut Parser<'_>,
    by: By,
) -> Outcome<B> {
    let wanted = args.store()?;
    if wanted.unchanged_since.is_some() && !context.has(Capability::CondStore) {
        return Err(Refusal::bad("Unknown modifier UNCHANGEDSINCE"));
    }
    refuse_read_only(view)?;
    if wanted.flags.keywords().count() > limits::KEYWORDS_MAX {
        return Err(Refusal::no(Code::Limit, format!("A message can have {} keywords", limits::KEYWORDS_MAX)));
    }
    let places = view.select(&wanted.set, by)?;
    if wanted.unchanged_since.is_some() {
        enable_condstore(context, Some(view));
    }
    let change = match wanted.action {
        StoreAction::Replace => FlagChange::Replace(wanted.flags),
        StoreAction::Add => FlagChange::Add(wanted.flags),
        StoreAction::Remove => FlagChange::Remove(wanted.flags),
    };
    Ok(Done::Run(Box::new(Storing {
        places,
        by,
        change,
        silent: wanted.silent,
        unchanged_since: wanted.unchanged_since,
        modified: Vec::new(),
        responses: Responses::default(),
        missing: false,
    })))
}

struct Storing {
    places: Places,
    by: By,
    change: FlagChange,
    silent: bool,
    unchanged_since: Option<ModSeq>,
    modified: Vec<LocalUid>,
    /// Those of the batch.
    responses: Responses,
    /// A message went meanwhile.
    missing: bool,
}

impl<A: Account> Task<A> for Storing {
    fn step(&mut self, context: &mut Context, user: &mut User<A>) -> Result<Progress, Refusal> {
        let (account, view) = user.selected()?;
        if self.responses.step(context, view) {
            return Ok(Progress::More);
        }
        let uids = self.places.next_batch(view, limits::IMAP_STORE_BATCH);
        if uids.is_empty() {
            return self.finish(view).map(Progress::Done);
        }
        let mut stored = account.store(view.mailbox, &uids, &self.change, self.unchanged_since)?;
        self.missing |= stored.now.len() + stored.modified.len() < uids.len();
        if !self.silent {
            view.announce_keywords(context, stored.now.iter().map(|changed| &changed.flags));
        }
        // Left alone: the client did not change it and learns its flags by asking (RFC 7162 section 3.1.3).
        stored.now.retain(|changed| stored.modified.binary_search(&changed.uid).is_err());
        if !stored.taken.is_some_and(|taken| view.follows(taken)) {
            for changed in &stored.now {
                view.told(changed.uid, changed.mod_seq);
            }
        }
        // Even a silent STORE tells the new mod-sequence (RFC 7162 section 3.1.3).
        if !self.silent || context.enabled.condstore {
            self.responses = Responses::new(self.items(context), stored.now);
        }
        self.modified.extend(stored.modified);
        Ok(Progress::More)
    }
}

impl Storing {
    /// What is told of each message.
    fn items(&self, context: &Context) -> Vec<FetchItem> {
        let mut items = unasked_items(context);
        items.retain(|item| !self.silent || *item != FetchItem::Flags);
        if self.by == By::Uid && !context.enabled.uid_only && !items.contains(&FetchItem::Uid) {
            items.insert(0, FetchItem::Uid);
        }
        items
    }

    fn finish(&mut self, view: &View) -> Result<Reply, Refusal> {
        let named = self.modified.iter().filter_map(|uid| view.number_by(self.by, *uid));
        let set: UidSet<LocalUid> = named.map(LocalUid::new).collect();
        let modified = (!self.modified.is_empty()).then_some(Code::Modified(set));
        // A UID that names nothing is no error (RFC 3501 section 6.4.8), and a silent STORE did all there was to do (RFC 2180
        // section 4.2.1).
        if self.missing && self.by == By::Sequence && !self.silent {
            let code = modified.unwrap_or(Code::ExpungeIssued);
            return Err(Refusal::no(code, "Some of the messages no longer exist"));
        }
        Ok(match modified {
            Some(code) => Reply::with(code, "Some were changed meanwhile"),
            None => Reply::new("Stored"),
        })
    }
}
