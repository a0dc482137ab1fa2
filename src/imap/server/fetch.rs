//! FETCH (RFC 3501 sections 6.4.5, 7.4.2; CHANGEDSINCE, VANISHED: RFC 7162 sections 3.1.4, 3.2.6).
//!
//! Rows come from the backend in batches, bytes in chunks, and each step writes one item or one piece: what a FETCH
//! holds in memory depends neither on the mailbox's size nor on a message's.

use std::collections::{BTreeMap, VecDeque};

use super::backend::{Account, Backend, Error, FlagChange, Message, With};
use super::bringing::{self, Prepared};
use super::config::Capability;
use super::content::{ContentError, Source, Streaming};
use super::fetch_flags::{FetchingFlags, is_known_with_flags};
use super::fetch_item::{check_items, needs_summary, write_item};
use super::reply::{Context, Done, Progress, Refusal, Reply, Task, User};
use super::select::enable_condstore;
use super::table::Outcome;
use super::view::{By, Places, View};
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::fetch::FetchItem;
use crate::types::{Flags, LocalUid, ModSeq, Right, SystemFlag, UidSet, limits};

pub fn fetch<B: Backend>(
    context: &mut Context,
    account: &mut B::Account,
    view: &mut View,
    args: &mut Parser<'_>,
    by: By,
) -> Outcome<B> {
    let wanted = args.fetch()?;
    let mut items = wanted.items;
    check_items(context, &items)?;
    if wanted.changed_since.is_some() && !context.has(Capability::CondStore) {
        return Err(Refusal::bad("Unknown modifier CHANGEDSINCE"));
    }
    if wanted.partial.is_some() && !(context.has(Capability::Partial) && by == By::Uid) {
        return Err(Refusal::bad("Unknown modifier PARTIAL"));
    }
    let asks_mod_seq = items.contains(&FetchItem::ModSeq) || wanted.changed_since.is_some();
    // RFC 7162 section 3.2.6: VANISHED only with UID FETCH, CHANGEDSINCE and QRESYNC enabled.
    if wanted.vanished && (by != By::Uid || wanted.changed_since.is_none() || !context.enabled.qresync) {
        return Err(Refusal::bad("VANISHED needs UID FETCH, CHANGEDSINCE and ENABLE QRESYNC"));
    }
    let mut places = view.select(&wanted.set, by)?;
    if let Some(partial) = wanted.partial {
        places = places.partial(partial);
    }
    if asks_mod_seq {
        enable_condstore(context, Some(view));
    }
    // The UID is part of every answer to a UID command (RFC 3501 section 6.4.8), MODSEQ of one to CHANGEDSINCE.
    if by == By::Uid && !context.enabled.uid_only && !items.contains(&FetchItem::Uid) {
        items.insert(0, FetchItem::Uid);
    }
    if wanted.changed_since.is_some() && !items.contains(&FetchItem::ModSeq) {
        items.push(FetchItem::ModSeq);
    }
    if let Some(since) = wanted.changed_since {
        let changes = account.changes(view.mailbox, since, false)?;
        if wanted.vanished {
            let among = view.uids_ever_named(&wanted.set, changes.uid_next);
            let vanished: UidSet<LocalUid> = changes.vanished.into_iter().filter(|uid| among.contains(*uid)).collect();
            if !vanished.is_empty() {
                context.untagged(format_args!("VANISHED (EARLIER) {vanished}"));
            }
        }
        let changed: Vec<LocalUid> = changes.changed.iter().map(|changed| changed.uid).collect();
        places = places.among(view, &changed);
    }
    if items.iter().all(is_known_with_flags) {
        return Ok(Done::Run(Box::new(FetchingFlags::new(by, items, wanted.changed_since, places))));
    }
    let fetching = Fetching { changed_since: wanted.changed_since, ..Fetching::new(by, items, places, view) };
    Ok(Done::Run(Box::new(fetching)))
}

/// FETCH responses of messages that came into the selected mailbox, with what the client wants to know of such (RFC 5465
/// section 5.2).
pub fn of_arrived<A: Account>(items: Vec<FetchItem>, view: &View, uids: &[LocalUid]) -> Box<dyn Task<A>> {
    Box::new(Fetching::new(By::Uid, items, view.places_of(uids), view))
}

struct Fetching {
    by: By,
    with: With,
    sets_seen: bool,
    items: Vec<FetchItem>,
    changed_since: Option<ModSeq>,
    places: Places,
    /// The rest of the batch.
    ready: VecDeque<Row>,
    current: Option<Current>,
    /// A message went meanwhile.
    missing: bool,
    /// Why some items were left out.
    trouble: Option<ContentError>,
}

pub(super) struct Row {
    pub message: Message,
    /// This FETCH set `\Seen`, so the flags are told even if nobody asked.
    seen_now: bool,
    /// What was brought for the items of these places, or why it was not.
    pub brought: BTreeMap<usize, Result<Source, ContentError>>,
}

impl Row {
    const fn new(message: Message) -> Self {
        Self { message, seen_now: false, brought: BTreeMap::new() }
    }

    /// Is it, or what is asked for of it, here?
    fn is_here(&self) -> bool {
        self.message.content.is_some() || self.brought.values().any(Result::is_ok)
    }
}

/// The message whose response is being written.
struct Current {
    row: Row,
    next_item: usize,
    written: bool,
    streaming: Option<Streaming>,
}

impl<A: Account> Task<A> for Fetching {
    fn step(&mut self, context: &mut Context, user: &mut User<A>) -> Result<Progress, Refusal> {
        let (account, view) = user.selected()?;
        if let Some(current) = &mut self.current {
            if let Some(streaming) = &mut current.streaming {
                match streaming.step(context, account) {
                    Ok(true) => {}
                    Ok(false) => current.streaming = None,
                    Err(_) => return Ok(Progress::Broken),
                }
                return Ok(Progress::More);
            }
            if current.next_item < self.items.len() {
                let place = current.next_item;
                current.next_item += 1;
                if let Err(trouble) = write_next(current, place, &self.items[place], context, account, view) {
                    self.trouble = Some(trouble);
                }
                return Ok(Progress::More);
            }
            end_response(current, &self.items, context, view);
            self.current = None;
            return Ok(Progress::More);
        }
        if let Some(mut row) = self.ready.pop_front() {
            match bringing::prepare(&mut row, &self.items, account, view.mailbox)? {
                Prepared::Ready => {}
                Prepared::Gone => {
                    self.missing = true;
                    return Ok(Progress::More);
                }
                Prepared::Coming => {
                    let ahead = self.ready.iter().take(bringing::AHEAD_MAX);
                    bringing::ask_ahead(ahead, &self.items, account, view.mailbox)?;
                    self.ready.push_front(row);
                    return Ok(Progress::Hold);
                }
            }
            if self.sets_seen && row.brought.values().any(Result::is_ok) {
                set_seen(std::slice::from_mut(&mut row), account, view)?;
                view.told(row.message.uid, row.message.mod_seq);
            }
            if context.begin_fetch(view, row.message.uid) {
                self.current = Some(Current { row, next_item: 0, written: false, streaming: None });
            }
            return Ok(Progress::More);
        }
        match self.next_batch(context, account, view)? {
            true => Ok(Progress::More),
            false => self.finish().map(Progress::Done),
        }
    }
}

impl Fetching {
    fn new(by: By, items: Vec<FetchItem>, places: Places, view: &View) -> Self {
        let sets_seen = items.iter().any(|item| matches!(item, FetchItem::Content(content) if content.sets_seen));
        Self {
            by,
            with: if items.iter().any(needs_summary) { With::Summary } else { With::Columns },
            // "A FETCH request that implies setting \\Seen flag MUST NOT set it, if the current user doesn't have "s" right" (RFC 4314
            // section 4).
            sets_seen: sets_seen && view.permits(Right::Seen),
            items,
            changed_since: None,
            places,
            ready: VecDeque::new(),
            current: None,
            missing: false,
            trouble: None,
        }
    }

    /// Reads the next rows; false at the end.
    fn next_batch<A: Account>(
        &mut self,
        context: &mut Context,
        account: &mut A,
        view: &mut View,
    ) -> Result<bool, Refusal> {
        let max = match self.with {
            With::Columns => limits::IMAP_ROWS_BATCH,
            With::Summary => limits::IMAP_SUMMARIES_BATCH,
        };
        let uids = self.places.next_batch(view, max);
        if uids.is_empty() {
            return Ok(false);
        }
        let mut messages = account.messages(view.mailbox, &uids, self.with)?;
        self.missing |= messages.len() < uids.len();
        if let Some(since) = self.changed_since {
            messages.retain(|message| message.mod_seq > since);
        }
        let mut rows: VecDeque<Row> = messages.into_iter().map(Row::new).collect();
        if self.sets_seen {
            set_seen(rows.make_contiguous(), account, view)?;
        }
        if self.items.contains(&FetchItem::Flags) || self.sets_seen {
            view.announce_keywords(context, rows.iter().map(|row| &row.message.flags));
            for row in &rows {
                view.told(row.message.uid, row.message.mod_seq);
            }
        }
        self.ready = rows;
        Ok(true)
    }

    fn finish(&self) -> Result<Reply, Refusal> {
        gone_meanwhile(self.missing, self.by)?;
        match self.trouble {
            None => Ok(Reply::new("Fetched")),
            Some(ContentError::Unavailable) => Err(Refusal::no(
                Code::Unavailable,
                "Some of the messages are not here, and cannot be fetched while there is no connection",
            )),
            Some(ContentError::Withheld) => Err(Refusal::no(
                Code::Unavailable,
                "Some of the messages are not here, and their server does not give them",
            )),
            Some(ContentError::OverBudget) => {
                Err(Refusal::no(Code::Unavailable, "Some of the messages are not here, and today's budget is spent"))
            }
            Some(ContentError::UnknownEncoding) => {
                Err(Refusal::no(Code::UnknownCte, "Some parts are in an encoding this server does not know"))
            }
        }
    }
}

/// A UID that names nothing is no error (RFC 3501 section 6.4.8); a sequence number the client holds named something (RFC
/// 2180 section 4.1).
pub(super) fn gone_meanwhile(missing: bool, by: By) -> Result<(), Refusal> {
    match missing && by == By::Sequence {
        true => Err(Refusal::no(Code::ExpungeIssued, "Some of the messages no longer exist")),
        false => Ok(()),
    }
}

/// Sets `\Seen` on the rows that lack it (RFC 3501 section 6.4.5, BODY[...]); on one whose bytes have to be brought, once they
/// are.
fn set_seen<A: Account>(rows: &mut [Row], account: &mut A, view: &View) -> Result<(), Refusal> {
    let unseen = |row: &&Row| !row.message.flags.has(SystemFlag::Seen) && row.is_here();
    let uids: Vec<LocalUid> = rows.iter().filter(unseen).map(|row| row.message.uid).collect();
    if uids.is_empty() {
        return Ok(());
    }
    let seen: Flags = [SystemFlag::Seen.into()].into_iter().collect();
    let stored = match account.store(view.mailbox, &uids, &FlagChange::Add(seen), None) {
        Ok(stored) => stored,
        // The right was taken meanwhile.
        Err(Error::NoPermission) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for changed in stored.now {
        if let Ok(place) = rows.binary_search_by(|row| row.message.uid.cmp(&changed.uid)) {
            let row = &mut rows[place];
            row.message.flags = changed.flags;
            row.message.mod_seq = changed.mod_seq;
            row.seen_now = true;
        }
    }
    Ok(())
}

/// Writes an item, or begins to; what the message does not have here is left out.
fn write_next<A: Account>(
    current: &mut Current,
    place: usize,
    item: &FetchItem,
    context: &mut Context,
    account: &mut A,
    view: &View,
) -> Result<(), ContentError> {
    let mut text = Vec::new();
    let brought = current.row.brought.get(&place).cloned().transpose()?;
    current.streaming = write_item(&current.row.message, item, (context, view), account, brought, &mut text)?;
    if current.written {
        context.out.push(b' ');
    }
    context.out.extend_from_slice(&text);
    current.written = true;
    Ok(())
}

/// Writes what was not asked for and has to be told, and closes the response.
fn end_response(current: &mut Current, items: &[FetchItem], context: &mut Context, view: &View) {
    let Row { message, seen_now, .. } = &current.row;
    let mut more = Vec::new();
    let untold = |item: FetchItem| *seen_now && !items.contains(&item);
    if untold(FetchItem::Uid) && context.enabled.tells_uids() {
        more.push(format!("UID {}", message.uid).into_bytes());
    }
    if untold(FetchItem::Flags) {
        let mut flags = Vec::new();
        view.write_message_flags(&mut flags, context.enabled, message.uid, &message.flags);
        more.push(flags);
    }
    if untold(FetchItem::ModSeq) && context.enabled.condstore {
        more.push(format!("MODSEQ ({})", message.mod_seq).into_bytes());
    }
    // A response must tell something (RFC 3501 section 9, msg-att).
    if !current.written && more.is_empty() {
        more.push(format!("UID {}", message.uid).into_bytes());
    }
    for item in more {
        if current.written {
            context.out.push(b' ');
        }
        context.out.extend_from_slice(&item);
        current.written = true;
    }
    context.out.extend_from_slice(b")\r\n");
}
