//! What becomes of a submission after an attempt to send it. Pure: the time and the chance are arguments.
//!
//! Rules: an answer that says "not now" is asked again for five days from the first such answer, then it is a failure
//! (RFC 5321 section 4.5.4.1). Time in which no server answers does not count: a message waits for the harbour, however long
//! the voyage, even if it was put off once before it. What the user must mend (login, TLS) waits for the user.

use super::sender::{Outcome, Reply, SendError};
use crate::store::{RecipientOutcome, RecipientState};
use crate::types::mutant::mutant;
use crate::types::{Timestamp, limits};

/// A submission just tried.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// The places in the envelope of the recipients tried, in the order in which the sender got them.
    pub places: &'a [usize],
    /// How often it was tried, this attempt included.
    pub attempts: u32,
    /// When this attempt was due.
    pub due: Timestamp,
    /// When a server first said "not now", later by the time in which none answered.
    pub first_deferred: Option<Timestamp>,
}

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The recipients tried, by their places in the envelope.
    pub recipients: Vec<RecipientOutcome>,
    pub next: Next,
    pub first_deferred: Option<Timestamp>,
    /// For people; none once nothing is left to send.
    pub last_error: Option<String>,
    /// The answer to the message was lost: those who wait may have it.
    pub in_doubt: bool,
}

/// When it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Never: each recipient was accepted or failed.
    Settled,
    At(Timestamp),
    /// When the user says so: its bytes cannot be read here.
    Parked,
}

/// Reasons that are told of one message: each recipient's own stands beside it.
const REASONS_MAX: usize = 3;

/// Decides. `chance` is any number, evenly spread.
pub fn after_attempt(
    tried: Tried<'_>,
    result: &Result<Vec<Outcome>, SendError>,
    now: Timestamp,
    chance: u32,
) -> Verdict {
    match result {
        Err(SendError::Lost { host, .. }) if mutant!(LostIsSent) => {
            let reply = Reply::own(250, "2.0.0", host.as_str());
            after_answers(tried, &vec![Outcome::Accepted(reply); tried.places.len()], now, chance)
        }
        Ok(outcomes) => after_answers(tried, outcomes, now, chance),
        Err(SendError::Refused { reply, .. }) => {
            let outcomes = vec![Outcome::Deferred(reply.clone()); tried.places.len()];
            after_answers(tried, &outcomes, now, chance)
        }
        Err(error) => {
            let again = now.plus_ms(delay_ms(tried.attempts, chance));
            Verdict {
                recipients: Vec::new(),
                next: if matches!(error, SendError::Local(_)) { Next::Parked } else { Next::At(again) },
                first_deferred: tried.deferred_since(again),
                last_error: Some(error.to_string()),
                in_doubt: matches!(error, SendError::AnswerLost { .. }),
            }
        }
    }
}

impl Tried<'_> {
    /// When a server first said "not now", as if there were no time from when this attempt was due to the next one, `again`.
    fn deferred_since(&self, again: Timestamp) -> Option<Timestamp> {
        let unanswered_ms = (again.unix_ms() - self.due.unix_ms()).max(0);
        self.first_deferred.map(|first| first.plus_ms(unanswered_ms).min(again))
    }
}

fn after_answers(tried: Tried<'_>, outcomes: &[Outcome], now: Timestamp, chance: u32) -> Verdict {
    let deferred = |outcome: Option<&Outcome>| matches!(outcome, Some(Outcome::Deferred(_)) | None);
    let any_deferred = (0..tried.places.len()).any(|index| deferred(outcomes.get(index)));
    let first_deferred = if any_deferred { tried.first_deferred.or(Some(now)) } else { tried.first_deferred };
    let expired = first_deferred.is_some_and(|first| first.plus_ms(limits::SUBMISSION_RETRY_MS) <= now);
    let ruling = |(index, place): (usize, &usize)| {
        let (state, reply) = match outcomes.get(index) {
            Some(Outcome::Accepted(reply) | Outcome::AcceptedSilently(reply)) => {
                (RecipientState::Accepted, Some(reply.clone()))
            }
            Some(Outcome::Failed(reply)) => (RecipientState::Failed, Some(reply.clone())),
            Some(Outcome::Deferred(reply)) if expired => (RecipientState::Failed, Some(gave_up(reply))),
            Some(Outcome::Deferred(reply)) => (RecipientState::Waiting, Some(reply.clone())),
            // The sender owes an answer for each; what it forgot is asked again.
            None => (RecipientState::Waiting, None),
        };
        let unreported = matches!(outcomes.get(index), Some(Outcome::AcceptedSilently(_)));
        RecipientOutcome { place: *place, state, reply, unreported }
    };
    let recipients: Vec<RecipientOutcome> = tried.places.iter().enumerate().map(ruling).collect();
    let last_error = reasons(&recipients);
    let next = match last_error {
        None => Next::Settled,
        Some(_) => Next::At(now.plus_ms(delay_ms(tried.attempts, chance))),
    };
    Verdict { recipients, next, first_deferred, last_error, in_doubt: false }
}

/// Why those who wait do, each reason once; none where nobody waits.
fn reasons(recipients: &[RecipientOutcome]) -> Option<String> {
    let mut reasons: Vec<String> = Vec::new();
    let mut more = 0_usize;
    for ruling in recipients.iter().filter(|ruling| ruling.state == RecipientState::Waiting) {
        let reason = match &ruling.reply {
            Some(reply) => format!("{} {}", reply.code, reply.text),
            None => "no answer".to_owned(),
        };
        if reasons.contains(&reason) {
            continue;
        }
        match reasons.len() < REASONS_MAX {
            true => reasons.push(reason),
            false => more += 1,
        }
    }
    match (reasons.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(format!("deferred: {}", reasons.join("; "))),
        (false, more) => Some(format!("deferred: {}; and {more} more", reasons.join("; "))),
    }
}

/// The failure of one who said "not now" for too long (RFC 3463: X.4.7, delivery time expired).
fn gave_up(reply: &Reply) -> Reply {
    let text = format!("Not delivered in five days; the last answer was: {} {}", reply.code, reply.text);
    Reply { by: reply.by.clone(), ..Reply::own(reply.code, "4.4.7", text) }
}

/// A quarter of a minute, doubled with each attempt up to an hour; between half and the whole of it by chance, so that many
/// messages deferred at once do not come back at once.
fn delay_ms(attempts: u32, chance: u32) -> i64 {
    let doublings = attempts.saturating_sub(1).min(16);
    let whole = (limits::SUBMISSION_RETRY_FIRST_MS << doublings).min(limits::SUBMISSION_RETRY_LAST_MS);
    whole / 2 + (whole / 2) * i64::from(chance) / i64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);
    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * 60 * MINUTE;

    fn reply(code: u16, text: &str) -> Reply {
        Reply { code, enhanced: None, text: text.to_owned(), by: None }
    }

    fn decide(first_deferred: Option<Timestamp>, result: &Result<Vec<Outcome>, SendError>) -> Verdict {
        after_attempt(Tried { places: &[0, 2], attempts: 1, due: NOW, first_deferred }, result, NOW, u32::MAX)
    }

    fn states(verdict: &Verdict) -> Vec<(usize, RecipientState)> {
        verdict.recipients.iter().map(|ruling| (ruling.place, ruling.state)).collect()
    }

    #[test]
    fn each_recipient_has_an_outcome_of_its_own() {
        use Outcome::{Accepted, Deferred, Failed};
        use RecipientState as State;
        let (yes, not_now, never) = (reply(250, "ok"), reply(451, "busy"), reply(550, "no"));
        let soon = Next::At(NOW.plus_ms(MINUTE / 4));
        let long_ago = Some(NOW.plus_ms(-5 * DAY));
        for (first, outcomes, expected, next) in [
            (
                None,
                vec![Accepted(yes.clone()), Accepted(yes.clone())],
                [State::Accepted, State::Accepted],
                Next::Settled,
            ),
            (None, vec![Accepted(yes.clone()), Failed(never.clone())], [State::Accepted, State::Failed], Next::Settled),
            (None, vec![Deferred(not_now.clone()), Failed(never.clone())], [State::Waiting, State::Failed], soon),
            (None, vec![Accepted(yes.clone())], [State::Accepted, State::Waiting], soon),
            (Some(NOW.plus_ms(-4 * DAY)), vec![Deferred(not_now.clone()); 2], [State::Waiting; 2], soon),
            (long_ago, vec![Deferred(not_now.clone()); 2], [State::Failed; 2], Next::Settled),
            (long_ago, vec![Deferred(not_now), Accepted(yes)], [State::Failed, State::Accepted], Next::Settled),
        ] {
            let verdict = decide(first, &Ok(outcomes.clone()));
            assert_eq!(states(&verdict), vec![(0, expected[0]), (2, expected[1])], "{outcomes:?}");
            assert_eq!(verdict.next, next, "{outcomes:?}");
            assert_eq!(verdict.last_error.is_none(), next == Next::Settled);
        }
    }

    #[test]
    fn what_is_told_is_why_those_wait_who_wait() {
        let deferred = |text: &str| Outcome::Deferred(reply(451, text));
        let told = |outcomes: Vec<Outcome>| {
            let places: Vec<usize> = (0..6).collect();
            let tried = Tried { places: &places, attempts: 1, due: NOW, first_deferred: None };
            after_attempt(tried, &Ok(outcomes), NOW, 0).last_error.unwrap_or_default()
        };
        let never = || Outcome::Failed(reply(550, "no"));
        let mixed = vec![never(), deferred("busy"), deferred("busy"), deferred("full"), never(), never()];
        assert_eq!(told(mixed), "deferred: 451 busy; 451 full");
        assert_eq!(told(vec![never(), never(), never(), never(), never()]), "deferred: no answer");
        let many = ["a", "b", "c", "d", "e", "f"].map(deferred).to_vec();
        assert_eq!(told(many), "deferred: 451 a; 451 b; 451 c; and 3 more");
        assert_eq!(told(vec![never(); 6]), "");
    }

    #[test]
    fn what_went_wrong_decides_when_it_is_tried_again() {
        let (host, cause) = ("h".to_owned(), "c".to_owned());
        let later = Next::At(NOW.plus_ms(MINUTE / 4));
        let cause_of_it = std::sync::Arc::new(std::io::Error::other("too many open files"));
        let too_many_files = store::Error::Io { path: "1.pack".into(), cause: cause_of_it };
        for (error, next, deferred) in [
            (SendError::Lost { host: host.clone(), cause: cause.clone() }, later, false),
            (SendError::AnswerLost { host: host.clone(), cause: cause.clone() }, later, false),
            (SendError::Insecure { host: host.clone(), cause: cause.clone() }, later, false),
            (SendError::LoginRefused { host: host.clone(), text: cause }, later, false),
            (SendError::Refused { host, reply: reply(421, "busy") }, later, true),
            (SendError::Local("gone".to_owned()), Next::Parked, false),
            (SendError::of_store(&store::Error::NoContent), Next::Parked, false),
            (SendError::of_store(&too_many_files), later, false),
            (SendError::of_bytes(&std::io::Error::other(too_many_files.clone())), later, false),
        ] {
            let verdict = decide(None, &Err(error.clone()));
            assert_eq!((verdict.next, verdict.first_deferred.is_some()), (next, deferred), "{error}");
            assert_eq!(verdict.in_doubt, matches!(error, SendError::AnswerLost { .. }), "{error}");
            assert!(verdict.last_error.is_some());
        }
    }

    #[test]
    fn time_without_a_connection_never_fails_a_message() {
        let lost = || Err(SendError::Lost { host: "h".to_owned(), cause: "no route".to_owned() });
        let verdict = decide(Some(NOW.plus_ms(-30 * DAY)), &lost());
        assert_eq!(verdict.recipients, Vec::new());
        assert_eq!(verdict.next, Next::At(NOW.plus_ms(MINUTE / 4)));
        // Put off once; then thirty days without a line, in which it is tried each hour.
        let (mut now, mut first_deferred) = (NOW, Some(NOW));
        let not_now = Ok(vec![Outcome::Deferred(reply(451, "busy"))]);
        let mut after = |now: Timestamp, result: &_| {
            let verdict =
                after_attempt(Tried { places: &[0], attempts: 9, due: now, first_deferred }, result, now, u32::MAX);
            first_deferred = verdict.first_deferred;
            verdict
        };
        while now < NOW.plus_ms(30 * DAY) {
            let Next::At(due) = after(now, &lost()).next else { panic!("not to be tried again") };
            now = due;
        }
        assert_eq!(states(&after(now, &not_now)), [(0, RecipientState::Waiting)]);
        // Five days in which the server says no.
        let end = now.plus_ms(5 * DAY);
        while now < end {
            let verdict = after(now, &not_now);
            assert_eq!(states(&verdict), [(0, RecipientState::Waiting)]);
            let Next::At(due) = verdict.next else { panic!("not to be tried again") };
            now = due;
        }
        assert_eq!(states(&after(now, &not_now)), [(0, RecipientState::Failed)]);
    }

    #[test]
    fn attempts_come_further_and_further_apart_up_to_an_hour() {
        let seconds: Vec<i64> = (1..11).map(|attempts| delay_ms(attempts, u32::MAX) / 1000).collect();
        assert_eq!(seconds, [15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(delay_ms(1, 0), 7_500);
        assert_eq!(delay_ms(u32::MAX, 0), 30 * MINUTE);
    }
}
