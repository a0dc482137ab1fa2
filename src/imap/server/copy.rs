//! COPY and MOVE (RFC 3501 section 6.4.7; RFC 6851; COPYUID: RFC 4315 section 3).

use super::backend::{Account, Backend, Changes, Copied};
use super::config::Capability;
use super::expunge::{mod_seq_after, refuse_read_only};
use super::reply::{Context, Done, Refusal, Reply};
use super::table::Outcome;
use super::view::{By, View};
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::Code;
use crate::types::LocalUid;

pub fn copy<B: Backend>(
    context: &mut Context,
    account: &mut B::Account,
    view: &mut View,
    args: &mut Parser<'_>,
    by: By,
) -> Outcome<B> {
    let (set, target) = args.set_and_mailbox()?;
    let target = context.mailbox_name(&target)?;
    let uids = view.select(&set, by)?.all(view);
    refuse_gone(account, view, &uids, by)?;
    let copied = account.copy(view.mailbox, &uids, &target).map_err(Refusal::target)?;
    view.note_own(copied.target, copied.uids.iter().map(|(_, target)| *target));
    let code = copy_uid(context, copied);
    Ok(Done::Reply(Reply { code, text: "Copied".into() }))
}

/// COPYUID goes in an untagged OK before the EXPUNGEs (RFC 6851 section 4.3), which the command's end tells.
pub fn move_messages<B: Backend>(
    context: &mut Context,
    account: &mut B::Account,
    view: &mut View,
    args: &mut Parser<'_>,
    by: By,
) -> Outcome<B> {
    let (set, target) = args.set_and_mailbox()?;
    let target = context.mailbox_name(&target)?;
    refuse_read_only(view)?;
    let uids = view.select(&set, by)?.all(view);
    refuse_gone(account, view, &uids, by)?;
    let moved = account.move_messages(view.mailbox, &uids, &target).map_err(Refusal::target)?;
    view.note_own(moved.target, moved.uids.iter().map(|(_, target)| *target));
    let moved_some = !moved.uids.is_empty();
    if let Some(code) = copy_uid(context, moved) {
        context.untagged_ok(&code, "Moved");
    }
    // "If at least one message was moved, the server MUST send the updated per-mailbox modification sequence" (RFC 6851 section
    // 4.4); where VANISHED tells of them, that comes with it.
    let code = mod_seq_after(context, view).filter(|_| moved_some && !context.enabled.qresync);
    Ok(Done::Reply(Reply { code, text: "Moved".into() }))
}

/// A number names what the client sees, which must all be copied or nothing (RFC 2180 section 4.4); a UID that names nothing
/// is no error (RFC 9051 section 6.4.9).
fn refuse_gone<A: Account>(account: &mut A, view: &View, uids: &[LocalUid], by: By) -> Result<(), Refusal> {
    let is_gone = |changes: Changes| {
        let mut gone = changes.vanished.iter().chain(view.gone());
        gone.any(|uid| uids.binary_search(uid).is_ok())
    };
    match by == By::Sequence && is_gone(account.changes(view.mailbox, view.mod_seq(), false)?) {
        true => Err(Refusal::no(Code::ExpungeIssued, "Some of the messages no longer exist")),
        false => Ok(()),
    }
}

/// None where nothing was copied, or the client cannot ask by UIDPLUS.
fn copy_uid(context: &Context, copied: Copied) -> Option<Code> {
    let told = context.has(Capability::UidPlus) && !copied.uids.is_empty();
    told.then_some(Code::CopyUid(copied.uid_validity, copied.uids))
}
