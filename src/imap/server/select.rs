//! SELECT, EXAMINE, ENABLE, IDLE (RFC 3501 sections 6.3.1, 6.3.2; RFC 5161, 2177, 6855, 7162,
//! 9051).

use super::backend::{Account, Backend, Changed};
use super::config::Capability;
use super::list::list_selected;
use super::reply::{Context, Done, Progress, Refusal, Reply, Task, User};
use super::table::Outcome;
use super::telling::Telling;
use super::view::{By, View};
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::mailbox::Qresync;
use crate::types::{LocalUid, UidSet};

pub fn select<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    open::<B>(context, user, args, false)
}

pub fn examine<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    open::<B>(context, user, args, true)
}

fn open<B: Backend>(
    context: &mut Context,
    user: &mut User<B::Account>,
    args: &mut Parser<'_>,
    examine: bool,
) -> Outcome<B> {
    let wanted = args.select(context.has(Capability::CondStore), context.has(Capability::QResync))?;
    if wanted.qresync.is_some() && !context.enabled.qresync {
        return Err(Refusal::bad("ENABLE QRESYNC first"));
    }
    let name = context.mailbox_name(&wanted.mailbox);
    if let Err(refusal) = &name
        && refusal.bad
    {
        return Err(refusal.clone());
    }
    // "The SELECT command automatically deselects any currently selected mailbox before attempting the new selection"
    // (RFC 3501 section 6.3.1), which is told "whether or not a CONDSTORE enabling command was issued" (RFC 7162 section
    // 3.2.11).
    let tells_closed = context.has(Capability::CondStore) || context.enabled.rev2;
    if user.selected.take().is_some() && tells_closed {
        context.untagged_ok(&Code::Closed, "The mailbox before is closed");
    }
    context.enabled.condstore |= wanted.condstore;
    let name = name?;
    let opened = user.account.open(&name, !examine)?;
    let (first_unseen, uid_next) = (opened.first_unseen, opened.uid_next);
    let (uid_validity, mod_seq) = (opened.uid_validity, opened.highest_mod_seq);
    let view = View::new(name.clone(), opened, examine, !examine, context);
    view.write_flags(context);
    context.untagged(format_args!("{} EXISTS", view.uids().len()));
    if context.enabled.rev2 {
        list_selected(context, &mut user.account, &name, &wanted.mailbox)?;
    } else {
        context.untagged(format_args!("{} RECENT", view.recent_count()));
        if !context.enabled.uid_only
            && let Some(number) = first_unseen.and_then(|uid| view.number_by(By::Sequence, uid))
        {
            context.untagged_ok(&Code::Unseen(number), "The first message without \\Seen");
        }
    }
    context.untagged_ok(&Code::UidValidity(uid_validity), "UIDs are valid");
    context.untagged_ok(&Code::UidNext(uid_next), "The next UID");
    if context.has(Capability::CondStore) {
        context.untagged_ok(&Code::HighestModSeq(mod_seq), "The highest mod-sequence");
    }
    if context.has(Capability::ObjectId) {
        context.untagged_ok(&Code::MailboxId(view.mailbox), "The mailbox's id");
    }
    let code = if view.is_told_read_only() { Code::ReadOnly } else { Code::ReadWrite };
    let reply = Reply::with(code, if examine { "Examined" } else { "Selected" });
    let resync = wanted.qresync.filter(|known| known.uid_validity == uid_validity);
    let done = match resync {
        Some(known) => resync_since::<B>(context, &mut user.account, &view, &known, reply)?,
        None => Done::Reply(reply),
    };
    user.selected = Some(view);
    Ok(done)
}

/// VANISHED (EARLIER) and the flags of what changed since the client looked last (RFC 7162 section 3.2.5).
fn resync_since<B: Backend>(
    context: &mut Context,
    account: &mut B::Account,
    view: &View,
    known: &Qresync,
    reply: Reply,
) -> Outcome<B> {
    let changes = account.changes(view.mailbox, known.mod_seq, false)?;
    let among = known.known_uids.as_ref().map(|set| view.uids_of_uids(set));
    let wanted = |uid: LocalUid| among.as_ref().is_none_or(|among| among.contains(uid));
    // What happened since the mailbox was opened is news: EXISTS counts what went meanwhile, and FLAGS lacks new keywords.
    let is_there = |uid: &LocalUid| view.uids().binary_search(uid).is_ok();
    let vanished = changes.vanished.into_iter().filter(|uid| wanted(*uid) && !is_there(uid));
    let vanished: UidSet<LocalUid> = vanished.collect();
    if !vanished.is_empty() {
        context.untagged(format_args!("VANISHED (EARLIER) {vanished}"));
    }
    let is_old = |changed: &Changed| wanted(changed.uid) && changed.mod_seq <= view.mod_seq();
    let flags = changes.changed.into_iter().filter(is_old).collect();
    Ok(Done::Run(Box::new(Resyncing { telling: Telling::flags_only(flags, context), reply })))
}

struct Resyncing {
    telling: Telling,
    reply: Reply,
}

impl<A: Account> Task<A> for Resyncing {
    fn step(&mut self, context: &mut Context, user: &mut User<A>) -> Result<Progress, Refusal> {
        let (_, view) = user.selected()?;
        Ok(match self.telling.step(context, view) {
            true => Progress::More,
            false => Progress::Done(self.reply.clone()),
        })
    }
}

/// What the server does not know is passed over (RFC 5161 section 3.1).
pub fn enable<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let mut enabled = String::new();
    for name in args.enable()? {
        let capability = match name.as_str() {
            "CONDSTORE" => Capability::CondStore,
            "QRESYNC" => Capability::QResync,
            "IMAP4REV2" => Capability::Imap4Rev2,
            "UTF8=ACCEPT" => Capability::Utf8Accept,
            "UIDONLY" => Capability::UidOnly,
            _ => continue,
        };
        if !context.has(capability) {
            continue;
        }
        match capability {
            Capability::Imap4Rev2 => context.enabled.rev2 = true,
            Capability::UidOnly => context.enabled.uid_only = true,
            Capability::Utf8Accept => context.enabled.utf8 = true,
            _ => {
                enable_condstore(context, user.selected.as_ref());
                context.enabled.qresync |= capability == Capability::QResync;
            }
        }
        enabled.push(' ');
        enabled.push_str(capability.name());
    }
    context.untagged(format_args!("ENABLED{enabled}"));
    Done::ok("Enabled")
}

/// A CONDSTORE-enabling command was given: from now on FETCH responses bear MODSEQ, and the client is told where the
/// selected mailbox stands (RFC 7162 section 3.1).
pub fn enable_condstore(context: &mut Context, view: Option<&View>) {
    if let Some(view) = view.filter(|_| !context.enabled.condstore) {
        context.untagged_ok(&Code::HighestModSeq(view.mod_seq()), "The highest mod-sequence");
    }
    context.enabled.condstore = true;
}

pub fn idle<B: Backend>(_: &mut Context, _: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    args.end()?;
    Ok(Done::Idle)
}
