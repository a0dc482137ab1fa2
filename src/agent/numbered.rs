//! What the user names by its number, and what is said of a number that nothing has.

use crate::control::{Failure, Request};

/// The number in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbered {
    what: &'static str,
    number: i64,
    /// The command that shows which numbers there are.
    list: &'static str,
}

impl Numbered {
    /// `None`: nothing in the request is named by a number, or it is one of many.
    pub(super) const fn of(request: &Request) -> Option<Self> {
        let (what, number, list) = match request {
            Request::JournalShow { id } | Request::JournalRetry { id: Some(id) } | Request::JournalDiscard { id } => {
                ("journal entry", id.get(), "syncctl journal list")
            }
            Request::OutboxShow { id }
            | Request::OutboxHold { id }
            | Request::OutboxRelease { id }
            | Request::OutboxCancel { id }
            | Request::OutboxRequeue { id }
            | Request::OutboxSchedule { id, .. }
            | Request::OutboxSource { id } => ("message in the outbox", id.get(), "syncctl outbox list"),
            Request::DismissConflicts { id: Some(id) } => ("conflict", id.get(), "syncctl conflicts"),
            _ => return None,
        };
        Some(Self { what, number, list })
    }

    /// What was not found is told by its number, with where to look.
    pub(super) fn told(self, failure: Failure) -> Failure {
        let Self { what, number, list } = self;
        match failure.code {
            Failure::NOT_FOUND => {
                Failure::not_found(format!("there is no {what} with the number {number}; `{list}` shows what there is"))
            }
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{EntryId, SubmissionId};

    #[test]
    fn a_number_that_nothing_has_is_told_with_where_to_look() {
        let told = |request, failure| Numbered::of(&request).map(|numbered| numbered.told(failure).message);
        let missing = || Failure::not_found("no such thing");
        assert_eq!(
            told(Request::JournalDiscard { id: EntryId::new(7) }, missing()).as_deref(),
            Some("there is no journal entry with the number 7; `syncctl journal list` shows what there is")
        );
        assert_eq!(
            told(Request::OutboxHold { id: SubmissionId::new(3) }, missing()).as_deref(),
            Some("there is no message in the outbox with the number 3; `syncctl outbox list` shows what there is")
        );
        let sent = Failure::not_possible("the message was sent to everyone");
        assert_eq!(
            told(Request::OutboxHold { id: SubmissionId::new(3) }, sent.clone()),
            Some(sent.message),
            "another failure is told as it is"
        );
        assert_eq!(told(Request::JournalRetry { id: None }, missing()), None);
    }
}
