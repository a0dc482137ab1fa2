//! What lists say of an outgoing message, and of a queue that is tried at once.

use serde::{Deserialize, Serialize};

use super::report::{Recipient, Submission};

/// How wide a list of addresses gets: more are counted.
const ADDRESSES_MAX_CHARACTERS: usize = 40;

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

impl Submission {
    /// Where it stands, for people.
    pub fn standing(&self) -> String {
        self.state.replace('-', " ")
    }

    /// Whom it is for: the first few of many.
    pub fn addressees(&self) -> String {
        some_of(self.recipients.iter())
    }

    /// Who does not have it yet, and may: the first few of many.
    pub fn open_addressees(&self) -> String {
        some_of(self.recipients.iter().filter(|recipient| recipient.is_open()))
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

/// One address at least, whatever its length.
fn some_of<'a>(recipients: impl Iterator<Item = &'a Recipient>) -> String {
    let (mut text, mut more) = (String::new(), 0_usize);
    for Recipient { address, .. } in recipients {
        let is_first = text.is_empty();
        let fits = text.chars().count() + address.chars().count() + 2 <= ADDRESSES_MAX_CHARACTERS;
        match more == 0 && (is_first || fits) {
            true if is_first => text.push_str(address),
            true => text.extend([", ", address]),
            false => more += 1,
        }
    }
    match more {
        0 => text,
        more => format!("{text} and {more} more"),
    }
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
        let long = "somebody.with.a.long.name@department.of.a.company.example";
        for (addresses, expected) in [
            (vec!["a@x"], "a@x"),
            (vec!["a@x", "b@x", "c@x", "d@x"], "a@x, b@x, c@x, d@x"),
            (vec![long, "b@x"], &format!("{long} and 1 more")),
            (vec!["a@x"; 1000], "a@x, a@x, a@x, a@x, a@x, a@x, a@x, a@x and 992 more"),
        ] {
            let all: Vec<_> = addresses.iter().map(|address| (*address, "waiting", None)).collect();
            assert_eq!(submission(&all, None).addressees(), expected);
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
}
