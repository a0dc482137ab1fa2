//! COPY and MOVE (RFC 3501 section 6.4.7; RFC 6851; COPYUID: RFC 4315 section 3).

use super::backend::{Account, Backend, Copied};
use super::config::Capability;
use super::expunge::refuse_read_only;
use super::reply::{Context, Done, Refusal, Reply};
use super::table::Outcome;
use super::view::{By, View};
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::Code;

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
    let moved = account.move_messages(view.mailbox, &uids, &target).map_err(Refusal::target)?;
    view.note_own(moved.target, moved.uids.iter().map(|(_, target)| *target));
    if let Some(code) = copy_uid(context, moved) {
        context.untagged_ok(&code, "Moved");
    }
    Done::ok("Moved")
}

/// None where nothing was copied, or the client cannot ask by UIDPLUS.
fn copy_uid(context: &Context, copied: Copied) -> Option<Code> {
    let told = context.has(Capability::UidPlus) && !copied.uids.is_empty();
    told.then_some(Code::CopyUid(copied.uid_validity, copied.uids))
}
