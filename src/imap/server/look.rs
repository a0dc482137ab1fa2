//! A look at the account for a client that gave NOTIFY (RFC 5465 sections 5.1 to 5.7): what is now is compared with what the
//! client knows, and the differences are told. One mailbox a step.

use std::collections::{BTreeMap, BTreeSet};

use super::backend::{Account, Error, Mailbox, Status, Summed};
use super::config::Capability;
use super::list::{Names, write_no_access};
use super::metadata::write_changed;
use super::notify::Notify;
use super::reply::{Context, Progress, Refusal, Reply, Task, User};
use super::status::write_status;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::mailbox::StatusItem;
use crate::imap::syntax::notify::Events;
use crate::types::{ContentHash, LocalUid, MailboxId, MailboxName, ModSeq, UidValidity, limits};

/// What the client knows of the account.
#[derive(Debug, Default)]
pub struct Known {
    mailboxes: BTreeMap<MailboxId, Place>,
    subscriptions: BTreeSet<MailboxName>,
    counts: BTreeMap<MailboxId, Counts>,
    /// Annotations by name with a hash of their values, of watched mailboxes, and of the server (`None`).
    annotations: BTreeMap<Option<MailboxName>, Annotations>,
}

type Annotations = BTreeMap<String, ContentHash>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    name: MailboxName,
    selectable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    uid_validity: UidValidity,
    uid_next: LocalUid,
    messages: u32,
    unseen: u32,
    mod_seq: ModSeq,
}

impl Counts {
    const fn of(status: &Status) -> Self {
        Self {
            uid_validity: status.uid_validity,
            uid_next: status.uid_next,
            messages: status.messages,
            unseen: status.unseen,
            mod_seq: status.highest_mod_seq,
        }
    }
}

/// The look on its way.
pub struct Looking {
    /// The command that begins it all: its wish, and whether it asks for every STATUS.
    first: Option<(Box<Notify>, bool)>,
    stage: Stage,
}

enum Stage {
    List,
    Mailboxes(std::vec::IntoIter<(Mailbox, Events)>),
}

impl Looking {
    /// At the end of the command itself: so far the client knows nothing of what it asked for.
    pub fn first<A: Account>(account: &mut A, mut wish: Notify, status: bool) -> Result<Self, Refusal> {
        let mailboxes = account.list()?;
        wish.known.subscriptions = account.subscriptions()?.into_iter().collect();
        wish.known.mailboxes = mailboxes.iter().map(place).collect();
        let watched = watched(&wish, mailboxes).ok_or_else(|| overflow("There are too many mailboxes to watch"))?;
        if wish.watches_server_metadata() {
            wish.known.annotations.insert(None, annotations(account, None)?);
        }
        Ok(Self { first: Some((Box::new(wish), status)), stage: Stage::Mailboxes(watched.into_iter()) })
    }

    /// Later: something may have changed.
    pub const fn again() -> Self {
        Self { first: None, stage: Stage::List }
    }
}

fn overflow(why: &'static str) -> Refusal {
    Refusal::no(Code::NotificationOverflow, why)
}

fn place(mailbox: &Mailbox) -> (MailboxId, Place) {
    (mailbox.id, Place { name: mailbox.name.clone(), selectable: mailbox.selectable })
}

/// The mailboxes of which more than the name is watched; `None` where there are too many of them.
fn watched(notify: &Notify, mailboxes: Vec<Mailbox>) -> Option<Vec<(Mailbox, Events)>> {
    let events = mailboxes.into_iter().filter(|mailbox| mailbox.selectable).map(|mailbox| {
        let events = notify.events_of(&mailbox.name, mailbox.subscribed);
        (mailbox, events)
    });
    let watched: Vec<_> = events.filter(|(_, events)| events.message_new || events.mailbox_metadata_change).collect();
    (watched.len() <= limits::IMAP_NOTIFY_MAILBOXES_MAX).then_some(watched)
}

fn annotations<A: Account>(account: &mut A, of: Option<&MailboxName>) -> Result<Annotations, Error> {
    let annotations = account.metadata(of)?;
    Ok(annotations.into_iter().map(|(name, value)| (name, ContentHash::of(&value))).collect())
}

impl<A: Account> Task<A> for Looking {
    fn step(&mut self, context: &mut Context, user: &mut User<A>) -> Result<Progress, Refusal> {
        if let Stage::List = self.stage {
            let Some(mailboxes) = look_at_names(context, user)? else {
                context.untagged_ok(&Code::NotificationOverflow, "There are too many mailboxes to watch");
                user.notify = Some(Notify::default());
                return Ok(Progress::Done(Reply::new("Nothing is told any more")));
            };
            self.stage = Stage::Mailboxes(mailboxes.into_iter());
            return Ok(Progress::More);
        }
        let Stage::Mailboxes(mailboxes) = &mut self.stage else { return Ok(Progress::More) };
        if let Some((mailbox, events)) = mailboxes.next() {
            look_at_mailbox(context, user, self.first.as_mut(), &mailbox, &events)?;
            return Ok(Progress::More);
        }
        if let Some(notify) = &mut user.notify {
            notify.own.clear();
        }
        if let Some((wish, _)) = self.first.take() {
            user.notify = Some(*wish);
            context.enabled.notify = true;
        }
        Ok(Progress::Done(Reply::new("Told from now on")))
    }
}

/// MailboxName and SubscriptionChange, and metadata of the server; gives the mailboxes whose messages are watched, or
/// `None` where there are too many.
fn look_at_names<A: Account>(
    context: &mut Context,
    user: &mut User<A>,
) -> Result<Option<Vec<(Mailbox, Events)>>, Refusal> {
    let mailboxes = user.account.list()?;
    let subscriptions: BTreeSet<MailboxName> = user.account.subscriptions()?.into_iter().collect();
    let Some(notify) = &mut user.notify else { return Ok(Some(Vec::new())) };
    let places: BTreeMap<MailboxId, Place> = mailboxes.iter().map(place).collect();
    let changes = changes(notify, &places, &subscriptions);
    if !changes.is_empty() {
        let names = Names::of(mailboxes.clone(), subscriptions.iter().cloned().collect());
        for (name, old_name) in changes {
            names.write_change(context, &name, old_name.as_ref());
        }
    }
    for id in places.keys().filter(|id| !notify.known.mailboxes.contains_key(id)) {
        // A mailbox that is new is known to be empty.
        notify.known.counts.insert(*id, EMPTY);
    }
    notify.known.counts.retain(|id, _| places.contains_key(id));
    (notify.known.mailboxes, notify.known.subscriptions) = (places, subscriptions);
    if notify.watches_server_metadata() {
        let now = annotations(&mut user.account, None)?;
        tell_annotations(context, notify, None, now);
    }
    let watched = watched(notify, mailboxes);
    Ok(watched)
}

const EMPTY: Counts = Counts {
    uid_validity: UidValidity::new(1),
    uid_next: LocalUid::new(1),
    messages: 0,
    unseen: 0,
    mod_seq: ModSeq::new(0),
};

/// The names of which LIST is to be told, with the ones they had (RFC 5465 sections 5.4, 5.5), in the order of the names.
fn changes(
    notify: &Notify,
    places: &BTreeMap<MailboxId, Place>,
    subscriptions: &BTreeSet<MailboxName>,
) -> BTreeMap<MailboxName, Option<MailboxName>> {
    let known = &notify.known;
    let is_own = |name: &MailboxName| {
        let is_it = |own: &MailboxName| own == name || own.is_below(name) || name.is_below(own);
        notify.own.iter().flatten().any(is_it)
    };
    let wants_name = |name: &MailboxName| notify.events_of(name, subscriptions.contains(name)).mailbox_name;
    let mut told = BTreeMap::new();
    let mut affected = |name: &MailboxName| {
        // "the mailbox itself and its direct parent ... are considered to be affected".
        for name in [Some(name.clone()), name.parent()].into_iter().flatten().filter(|name| wants_name(name)) {
            told.entry(name).or_insert(None);
        }
    };
    let mut renamed = Vec::new();
    for (id, place) in places {
        match known.mailboxes.get(id) {
            Some(before) if before == place => {}
            Some(before) if before.name != place.name => renamed.push((before.name.clone(), place.name.clone())),
            _ if is_own(&place.name) => {}
            _ => affected(&place.name),
        }
    }
    for (_, place) in known.mailboxes.iter().filter(|(id, _)| !places.contains_key(id)) {
        if !is_own(&place.name) {
            affected(&place.name);
        }
    }
    // "When a mailbox is renamed, its children are renamed too. No additional MailboxName events are sent for children".
    let from: BTreeMap<&MailboxName, &MailboxName> = renamed.iter().map(|(from, to)| (from, to)).collect();
    for (before, now) in &renamed {
        let above = std::iter::successors(before.parent(), MailboxName::parent);
        let with_another = above
            .filter_map(|above| Some((from.get(&above)?.to_owned(), above)))
            .any(|(to, above)| before.rebased(&above, to).as_ref() == Some(now));
        if !with_another && !is_own(now) && !is_own(before) && (wants_name(now) || wants_name(before)) {
            told.insert(now.clone(), Some(before.clone()));
        }
    }
    for name in subscriptions.symmetric_difference(&known.subscriptions) {
        if notify.events_of(name, true).subscription_change && !is_own(name) {
            told.entry(name.clone()).or_insert(None);
        }
    }
    told
}

/// MessageNew, MessageExpunge and FlagChange of a mailbox that is not selected, and MailboxMetadataChange.
fn look_at_mailbox<A: Account>(
    context: &mut Context,
    user: &mut User<A>,
    first: Option<&mut (Box<Notify>, bool)>,
    mailbox: &Mailbox,
    events: &Events,
) -> Result<(), Refusal> {
    let (notify, asks_status, is_first) = match (first, &mut user.notify) {
        (Some((wish, status)), _) => (&mut **wish, *status, true),
        (None, Some(notify)) => (notify, false, false),
        (None, None) => return Ok(()),
    };
    if events.mailbox_metadata_change {
        match annotations(&mut user.account, Some(&mailbox.name)) {
            Ok(now) if is_first => drop(notify.known.annotations.insert(Some(mailbox.name.clone()), now)),
            Ok(now) => tell_annotations(context, notify, Some(&mailbox.name), now),
            // "If the name refers to a mailbox that the client can LIST ..., but the client doesn't have another right required ...,
            // then the server MUST respond with an untagged extended LIST response containing the \NoAccess name attribute" (RFC
            // 5465 section 3.1).
            Err(Error::NoPermission) if is_first => {
                write_no_access(context, &mailbox.name);
                return Ok(());
            }
            // It went meanwhile: the next look tells it.
            Err(Error::NoSuchMailbox | Error::NoPermission) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let known = notify.known.counts.get(&mailbox.id).copied();
    let unchanged = known.is_some_and(|known| known.mod_seq == mailbox.highest_mod_seq);
    if !events.message_new || (unchanged && !is_first) {
        return Ok(());
    }
    let status = match user.account.status(&mailbox.name, Summed::Nothing) {
        Ok(status) => status,
        Err(Error::NoPermission) if is_first => {
            write_no_access(context, &mailbox.name);
            return Ok(());
        }
        Err(Error::NoSuchMailbox | Error::NotSelectable | Error::NoPermission) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let now = Counts::of(&status);
    notify.known.counts.insert(mailbox.id, now);
    // What happens in the selected mailbox is told otherwise.
    if user.selected.as_ref().is_some_and(|view| view.mailbox == mailbox.id) {
        return Ok(());
    }
    let items = match (is_first, known) {
        (true, _) if asks_status => asked_items(context, events),
        (false, Some(known)) => changed_items(context, events, &known, &now),
        _ => Vec::new(),
    };
    if !items.is_empty() {
        write_status(context, &mailbox.name, &items, &status);
    }
    Ok(())
}

/// "If MessageNew is enabled, the STATUS response MUST contain MESSAGES, UIDNEXT, and UIDVALIDITY. ... If either
/// AnnotationChange or FlagChange are included and the server also supports the CONDSTORE ... extensions, the STATUS response
/// MUST contain UIDVALIDITY and HIGHESTMODSEQ" (section 3.1).
fn asked_items(context: &Context, events: &Events) -> Vec<StatusItem> {
    let mut items = vec![StatusItem::UidValidity, StatusItem::UidNext, StatusItem::Messages];
    if events.flag_change && context.has(Capability::CondStore) {
        items.push(StatusItem::HighestModSeq);
    }
    items
}

/// What of a mailbox is told (sections 5.1 to 5.3).
fn changed_items(context: &Context, events: &Events, known: &Counts, now: &Counts) -> Vec<StatusItem> {
    let mut items = Vec::new();
    let moved = known.uid_next != now.uid_next || known.messages != now.messages;
    if moved {
        items.extend([StatusItem::UidNext, StatusItem::Messages]);
    }
    // A change that came with new messages may be theirs alone: only the number of unseen ones tells, then.
    let flags = events.flag_change && (known.unseen != now.unseen || !moved);
    if flags && known.unseen != now.unseen {
        items.push(StatusItem::Unseen);
    }
    if context.enabled.condstore && (moved || flags) {
        items.push(StatusItem::HighestModSeq);
    }
    if (context.enabled.condstore && flags) || (*known != EMPTY && known.uid_validity != now.uid_validity) {
        items.push(StatusItem::UidValidity);
    }
    items
}

/// "Only the names of changed metadata entries SHOULD be returned" (section 5.7), those that went among them.
fn tell_annotations(context: &mut Context, notify: &mut Notify, of: Option<&MailboxName>, now: Annotations) {
    let before = notify.known.annotations.insert(of.cloned(), now.clone());
    let is_own = notify.own.remove(&of.cloned());
    let Some(before) = before.filter(|_| !is_own) else { return };
    let all: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let changed: Vec<&str> =
        all.into_iter().filter(|name| before.get(*name) != now.get(*name)).map(String::as_str).collect();
    write_changed(context, of, &changed);
}
