//! Tells the client what changed in the selected mailbox (RFC 3501 section 5.2, section 7.3, section 7.4), at the
//! moments when it may be told: EXPUNGE never at the end of FETCH, STORE or SEARCH (section 7.4.1), everything else at
//! the end of every command and during IDLE.

use super::backend::{Account, Changed, Error};
use super::fetch_flags::{Responses, unasked_items};
use super::reply::Context;
use super::view::View;
use crate::imap::syntax::code::Code;
use crate::types::mutant::mutant;
use crate::types::{LocalUid, ModSeq, UidSet};

/// What may be told at a command's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    Nothing,
    AllButExpunge,
    All,
    /// What the command itself did is told, even to a client that does not want to hear of such (RFC 5465).
    Own,
}

/// News on their way to the client, written piece by piece.
#[derive(Debug, Default)]
pub struct Telling {
    /// Numbers as they were before the first of these expunges, ascending.
    expunged: Vec<(usize, LocalUid)>,
    expunges_told: usize,
    exists: Option<(usize, usize)>,
    /// The messages that came and are others'.
    pub arrived: Vec<LocalUid>,
    flags: Responses,
    /// Up to where a client that resynchronises may take itself to be up to date.
    safe_up_to: Option<ModSeq>,
}

/// The mailbox is gone, or the user may not read it any more: RFC 2180 section 3.3 leaves the session no other way than to end.
#[derive(Debug)]
pub enum MailboxGone {
    /// It is there no more, as far as the user may know.
    Deleted,
    /// It is there, and the user may not read it any more.
    Closed,
}

/// Responses of one step.
const STEP: usize = 500;

impl Telling {
    /// Brings the view up to date. `tells_flags`: the client wants to hear of flags.
    pub fn begin<A: Account>(
        account: &mut A,
        view: &mut View,
        tells: Tells,
        tells_flags: bool,
        context: &mut Context,
    ) -> Result<Self, MailboxGone> {
        let changes = match account.changes(view.mailbox, view.mod_seq(), view.claim_recent) {
            Ok(changes) => changes,
            // One with others below it stays as a name that cannot be selected (RFC 3501 section 6.3.4).
            Err(Error::NoSuchMailbox | Error::NotSelectable) => return Err(MailboxGone::Deleted),
            Err(Error::NoPermission) => return Err(MailboxGone::Closed),
            Err(error) => {
                // The command itself was done. What is new is told when it can be read again.
                tracing::warn!(error = %error, "changes of the selected mailbox cannot be read");
                return Ok(Self::default());
            }
        };
        // "It SHOULD send FLAGS and PERMANENTFLAGS responses if they have changed" (RFC 4314 section 5.1.1).
        if view.has_new_rights(changes.rights) {
            view.write_flags(context);
        }
        let mut news = view.apply(changes);
        if !tells_flags {
            news.flags.clear();
        }
        let tells = if mutant!(ExpungeToldAnytime) { Tells::All } else { tells };
        let (expunged, safe_up_to) = match tells {
            Tells::All | Tells::Own => view.forget_gone(),
            Tells::AllButExpunge | Tells::Nothing => (Vec::new(), view.delayed_since()),
        };
        view.announce_keywords(context, news.flags.iter().map(|changed| &changed.flags));
        let exists = (!news.arrived.is_empty()).then(|| (view.uids().len(), view.recent_count()));
        let safe_up_to = safe_up_to.filter(|_| context.enabled.qresync);
        let arrived = view.of_others(news.arrived);
        let flags = Responses::new(unasked_items(context), news.flags);
        Ok(Self { expunged, expunges_told: 0, exists, arrived, flags, safe_up_to })
    }

    /// Only the flags of some messages: for SELECT (QRESYNC ...).
    pub fn flags_only(flags: Vec<Changed>, context: &Context) -> Self {
        Self { flags: Responses::new(unasked_items(context), flags), ..Self::default() }
    }

    /// Writes the next piece; false at the end.
    pub fn step(&mut self, context: &mut Context, view: &View) -> bool {
        if self.expunges_told < self.expunged.len() {
            self.write_expunges(context);
            return true;
        }
        if let Some((exists, recent)) = self.exists.take() {
            context.untagged(format_args!("{exists} EXISTS"));
            if !context.enabled.rev2 {
                context.untagged(format_args!("{recent} RECENT"));
            }
            return true;
        }
        if self.flags.step(context, view) {
            return true;
        }
        // While VANISHED is held back, the mod-sequences of FETCH responses must not lead the client beyond it
        // (RFC 7162 section 3.2).
        if let Some(mod_seq) = self.safe_up_to.take() {
            context.untagged_ok(&Code::HighestModSeq(mod_seq), "Up to here everything was told");
        }
        false
    }

    fn write_expunges(&mut self, context: &mut Context) {
        if mutant!(ExpungeNotTold) {
            self.expunges_told = self.expunged.len();
            return;
        }
        if context.enabled.tells_vanished() {
            let uids: UidSet<LocalUid> = self.expunged.iter().map(|(_, uid)| *uid).collect();
            context.untagged(format_args!("VANISHED {uids}"));
            self.expunges_told = self.expunged.len();
            return;
        }
        let rest = self.expunged.iter().enumerate().skip(self.expunges_told).take(STEP);
        for (before, (number, _)) in rest {
            // Each of those before moved this one up by one.
            context.untagged(format_args!("{} EXPUNGE", number - before));
        }
        self.expunges_told = (self.expunges_told + STEP).min(self.expunged.len());
    }
}
