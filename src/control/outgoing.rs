//! What is answered of outgoing messages, and what lists say of one.

use serde::{Deserialize, Serialize};
use unicode_width::UnicodeWidthStr as _;

use crate::types::SubmissionId;

/// How wide a list of addresses gets, the count of those that are not named among it.
const ADDRESSES_MAX_COLUMNS: usize = 40;

/// An outgoing message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    pub id: SubmissionId,
    pub account: String,
    pub created: String,
    /// `queued`, `sending`, `being-edited`, `handed-over`, `failed` (no recipient got it), `held`, `parked`, `replaced` or
    /// `cancelled`.
    pub state: String,
    pub filed: bool,
    pub message_id: String,
    #[serde(default)]
    pub subject: String,
    pub from: String,
    pub recipients: Vec<Recipient>,
    pub size_bytes: u64,
    pub attempts: u32,
    pub next_attempt: Option<String>,
    pub last_error: Option<String>,
    /// The answer to an attempt was lost: those who wait for it, or waited when it was cancelled or replaced, may have it.
    #[serde(default)]
    pub in_doubt: bool,
    /// The message that goes in its place.
    #[serde(default)]
    pub replaced_by: Option<SubmissionId>,
}

/// An outgoing message's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub base64: String,
}

/// One recipient of a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    pub address: String,
    /// `waiting`, `accepted`, `failed` or `cancelled` (not sent there).
    pub state: String,
    pub reply: Option<String>,
}

/// What became of everything that waited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flushed {
    /// Messages that are tried now.
    pub tried: u64,
    /// Accounts that are kept off their servers: nothing of theirs is tried.
    pub paused: Vec<String>,
}

/// A message that goes in place of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The new one.
    pub by: Submission,
    /// Addresses that it would go to, had they not the old one already.
    pub have_it: Vec<String>,
    /// Addresses that may have the old one: the answer to it was lost.
    #[serde(default)]
    pub may_have_it: Vec<String>,
}

/// Why a message is not sent whose account is not in the configuration (any more).
pub const STRANDED: &str = "its account is not in the configuration";

impl Submission {
    /// Where it stands, for people.
    pub fn standing(&self) -> String {
        self.state.replace('-', " ")
    }

    /// Whom it is for, in a column of a list: the first few of many, a long one shortened.
    pub fn addressees(&self) -> String {
        let (names, rest) = some_of(self.recipients.iter());
        shortened(names, ADDRESSES_MAX_COLUMNS.saturating_sub(rest.width())) + &rest
    }

    /// Who does not have it yet, and may; where nobody waits, from whom it was taken back: the first few of many.
    pub fn open_addressees(&self) -> String {
        let is_open = self.recipients.iter().any(Recipient::is_open);
        let is_meant =
            |recipient: &&Recipient| if is_open { recipient.is_open() } else { recipient.state == "cancelled" };
        let (names, rest) = some_of(self.recipients.iter().filter(is_meant));
        names + &rest
    }

    /// Its account is not in the configuration (any more): nothing is sent of it.
    pub fn strand(&mut self) {
        if self.next_attempt.take().is_some() {
            self.last_error = Some(STRANDED.to_owned());
        }
    }

    /// What one was that nobody has, and that was forgotten when the user took it back.
    pub fn cancelled(mut self) -> Self {
        "cancelled".clone_into(&mut self.state);
        for recipient in self.recipients.iter_mut().filter(|recipient| recipient.is_open()) {
            (recipient.state, recipient.reply) = ("cancelled".to_owned(), None);
        }
        Self { next_attempt: None, last_error: None, ..self }
    }

    /// Has it gone out to some?
    pub fn went_to_some(&self) -> bool {
        self.recipients.iter().any(|recipient| recipient.state == "accepted")
    }

    /// Why it is not where it should be: what went wrong last for those who wait, else what the server said to those it
    /// refused.
    pub fn why(&self) -> String {
        if let Some(by) = self.replaced_by {
            return format!(
                "message {by} goes in its place{}",
                if self.in_doubt { "; its answer was lost" } else { "" }
            );
        }
        if self.in_doubt && self.state == "cancelled" {
            return "its answer was lost: it may have gone out".to_owned();
        }
        if self.state == "being-edited" && self.next_attempt.is_some() {
            return "its editor was lost, and has so long to come back".to_owned();
        }
        if self.recipients.iter().any(Recipient::is_open) {
            return self.last_error.clone().unwrap_or_default();
        }
        let refused = self.recipients.iter().filter(|recipient| recipient.state == "failed");
        let mut replies: Vec<&str> = Vec::new();
        for reply in refused.filter_map(|recipient| recipient.reply.as_deref()) {
            if !replies.contains(&reply) {
                replies.push(reply);
            }
        }
        replies.join("; ")
    }
}

impl Recipient {
    fn is_open(&self) -> bool {
        self.state == "waiting"
    }
}

/// As many addresses as there is room for, one at least, and what is said of the others.
fn some_of<'a>(recipients: impl Iterator<Item = &'a Recipient>) -> (String, String) {
    let addresses: Vec<&str> = recipients.map(|recipient| recipient.address.as_str()).collect();
    let told = |named: usize| match addresses.len() - named {
        0 => (addresses.join(", "), String::new()),
        more => (addresses[..named].join(", "), format!(" and {more} more")),
    };
    let fits = |(names, rest): &(String, String)| names.width() + rest.width() <= ADDRESSES_MAX_COLUMNS;
    let most = addresses.len().min(ADDRESSES_MAX_COLUMNS);
    (1..=most).rev().map(told).find(fits).unwrap_or_else(|| told(most.min(1)))
}

/// In so many columns, and seen to be shortened.
fn shortened(text: String, columns: usize) -> String {
    if text.width() <= columns {
        return text;
    }
    let mut short = String::new();
    for character in text.chars() {
        short.push(character);
        if short.width() >= columns {
            short.pop();
            break;
        }
    }
    short + "…"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SubmissionId;

    fn submission(recipients: &[(&str, &str, Option<&str>)], last_error: Option<&str>) -> Submission {
        let recipient = |(address, state, reply): &(&str, &str, Option<&str>)| Recipient {
            address: (*address).to_owned(),
            state: (*state).to_owned(),
            reply: reply.map(str::to_owned),
        };
        Submission {
            id: SubmissionId::new(1),
            account: String::new(),
            created: String::new(),
            state: String::new(),
            filed: false,
            message_id: String::new(),
            subject: String::new(),
            from: String::new(),
            recipients: recipients.iter().map(recipient).collect(),
            size_bytes: 0,
            attempts: 0,
            next_attempt: None,
            last_error: last_error.map(str::to_owned),
            in_doubt: false,
            replaced_by: None,
        }
    }

    #[test]
    fn of_many_addressees_some_are_named_and_the_rest_counted() {
        let (long, wide) =
            ("somebody.with.a.long.name@department.of.a.company.example", "受信箱受信箱受信箱受信箱受信箱@例え.jp");
        for (addresses, listed, told) in [
            (vec![], "", ""),
            (vec!["a@x"], "a@x", "a@x"),
            (vec!["a@x", "b@x", "c@x", "d@x"], "a@x, b@x, c@x, d@x", "a@x, b@x, c@x, d@x"),
            (vec![long], "somebody.with.a.long.name@department.of…", long),
            (vec![long, "b@x"], "somebody.with.a.long.name@de… and 1 more", &format!("{long} and 1 more")),
            (vec![wide], "受信箱受信箱受信箱受信箱受信箱@例え.jp", wide),
            (vec!["a@x"; 1000], "a@x, a@x, a@x, a@x, a@x and 995 more", "a@x, a@x, a@x, a@x, a@x and 995 more"),
        ] {
            let all: Vec<_> = addresses.iter().map(|address| (*address, "waiting", None)).collect();
            let submission = submission(&all, None);
            assert_eq!((submission.addressees().as_str(), submission.open_addressees().as_str()), (listed, told));
            assert!(listed.width() <= ADDRESSES_MAX_COLUMNS, "{listed}");
        }
        let some = [("a@x", "accepted", None), ("b@x", "waiting", None), ("c@x", "failed", None)];
        assert_eq!(submission(&some, None).open_addressees(), "b@x");
    }

    #[test]
    fn the_reason_is_that_of_who_still_waits() {
        let done = [("a@x", "failed", Some("550 no such user")), ("b@x", "accepted", Some("250 ok"))];
        let open = [done[0], done[1], ("c@x", "waiting", Some("451 later"))];
        assert_eq!(submission(&open, Some("deferred: 451 later")).why(), "deferred: 451 later");
        assert_eq!(submission(&open, None).why(), "", "it was not tried since it was let go");
        assert_eq!(submission(&done, None).why(), "550 no such user");
        let twice = [done[0], ("d@x", "failed", Some("550 no such user")), ("e@x", "failed", Some("554 never"))];
        assert_eq!(submission(&twice, None).why(), "550 no such user; 554 never");
    }

    #[test]
    fn what_is_taken_back_goes_to_nobody_else() {
        let submission = submission(&[("a@x", "waiting", Some("451 later"))], Some("deferred: 451 later"));
        let cancelled = submission.cancelled();
        assert_eq!((cancelled.state.as_str(), cancelled.recipients[0].state.as_str()), ("cancelled", "cancelled"));
        assert_eq!(cancelled.open_addressees(), "a@x");
        assert_eq!((cancelled.last_error, &cancelled.recipients[0].reply), (None, &None));
    }
}
