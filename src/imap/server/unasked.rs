//! The session's side of NOTIFY (RFC 5465): what is told between commands and in IDLE, without being asked for.

use super::backend::Backend;
use super::fetch::of_arrived;
use super::look::Looking;
use super::notify::Notify;
use super::reply::{Progress, Task, User};
use super::session::{Awaiting, Session, Work};
use super::telling::Tells;
use crate::imap::syntax::code::Code;

impl<B: Backend> Session<B> {
    /// Does what NOTIFY asks for, between commands and in IDLE; false where there is nothing to do.
    pub(super) fn take_up_unasked(&mut self) -> bool {
        if !matches!(self.awaiting, Awaiting::Command | Awaiting::Idle { .. }) {
            return false;
        }
        let Some(User { notify: Some(notify), selected, .. }) = &mut self.user else {
            (self.push, self.look) = (false, false);
            return false;
        };
        self.look |= !notify.own.is_empty();
        let arrived = std::mem::take(&mut notify.arrived);
        if let Some(view) = selected.as_ref().filter(|_| !arrived.is_empty()) {
            self.work = Work::Unasked(of_arrived(notify.selected.fetch.clone(), view, &arrived));
        } else if std::mem::take(&mut self.push) {
            let tells = if notify.selected.delayed { Tells::AllButExpunge } else { Tells::All };
            self.tell(tells, None);
        } else if std::mem::take(&mut self.look) {
            self.work = Work::Unasked(Box::new(Looking::again()));
        } else {
            return false;
        }
        true
    }

    pub(super) fn step_unasked(&mut self, mut task: Box<dyn Task<B::Account>>) {
        let Some(user) = &mut self.user else { return };
        match task.step(&mut self.context, user) {
            Ok(Progress::More) => self.work = Work::Unasked(task),
            Ok(Progress::Hold) => {
                self.context.tell_holding();
                self.work = Work::Unasked(task);
                self.holds = true;
            }
            Ok(Progress::Done(_)) => {}
            Ok(Progress::Broken) => self.awaiting = Awaiting::End,
            Err(refusal) => {
                // "If the server is unable ... to deliver as many notifications as it is being asked to" (RFC 5465
                // section 5.8).
                tracing::warn!(why = %refusal.text, "a client is no longer notified");
                self.context.untagged_ok(&Code::NotificationOverflow, "What changed cannot be read now");
                user.notify = Some(Notify::default());
            }
        }
    }
}
