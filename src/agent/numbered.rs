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
            | Request::OutboxEdit { id }
            | Request::OutboxEditEnd { id }
            | Request::OutboxReplace { id, .. }
            | Request::OutboxSource { id } => ("outgoing message", id.get(), "syncctl outbox list"),
            Request::DismissConflicts { id: Some(id) } => ("conflict", id.get(), "syncctl conflicts"),
            _ => return None,
        };
        Some(Self { what, number, list })
    }

    /// The failure with the number it belongs to: of many that were asked for, each may have another. What was not found
    /// is told with where to look.
    pub(super) fn told(self, failure: Failure) -> Failure {
        let Self { what, number, list } = self;
        match failure.code {
            Failure::NOT_FOUND => {
                Failure::not_found(format!("there is no {what} with the number {number}; `{list}` shows what there is"))
            }
            code => Failure { code, message: format!("{what} {number}: {}", failure.message) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{EntryId, SubmissionId};

    #[test]
    fn a_failure_names_its_number_and_where_to_look_for_others() {
        let told = |request, failure| Numbered::of(&request).map(|numbered| numbered.told(failure).message);
        let missing = || Failure::not_found("no such thing");
        assert_eq!(
            told(Request::JournalDiscard { id: EntryId::new(7) }, missing()).as_deref(),
            Some("there is no journal entry with the number 7; `syncctl journal list` shows what there is")
        );
        assert_eq!(
            told(Request::OutboxHold { id: SubmissionId::new(3) }, missing()).as_deref(),
            Some("there is no outgoing message with the number 3; `syncctl outbox list` shows what there is")
        );
        let sent = Failure::not_possible("it has gone out already");
        assert_eq!(
            told(Request::OutboxHold { id: SubmissionId::new(3) }, sent).as_deref(),
            Some("outgoing message 3: it has gone out already")
        );
        assert_eq!(told(Request::JournalRetry { id: None }, missing()), None);
    }
}
