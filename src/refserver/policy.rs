//! What is taken from whom: how much one user sends, mail that goes round in circles.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::smtp::reply::Refusal;
use crate::types::{AccountId, Timestamp, limits};

/// What the configuration says.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// How many messages a user may send within an hour.
    pub messages_per_hour: Option<u32>,
    /// Who is logged in is told by VRFY and EXPN who is here.
    pub tells_users: bool,
}

/// When who sent something lately.
#[derive(Debug, Default)]
pub struct Sent(Mutex<BTreeMap<AccountId, VecDeque<Timestamp>>>);

const HOUR_MS: i64 = 3_600_000;

impl Policy {
    /// Counts a message of that user's, or refuses it for now.
    pub(super) fn count(&self, sent: &Sent, account: AccountId, now: Timestamp) -> Result<(), Refusal> {
        let Some(max) = self.messages_per_hour else { return Ok(()) };
        let mut sent = sent.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times = sent.entry(account).or_default();
        while times.front().is_some_and(|time| time.plus_ms(HOUR_MS) <= now) {
            times.pop_front();
        }
        if times.len() >= max as usize {
            return Err(Refusal::temporary(450, "4.7.1", "Too many messages within an hour, try again later"));
        }
        times.push_back(now);
        Ok(())
    }
}

/// Counts the servers that a message came by: its Received fields (RFC 5321 section 6.3).
#[derive(Debug, Default)]
pub(super) struct Hops {
    count: usize,
    /// How much of the name the line has matched so far; `None`: the line is another.
    matched: Option<usize>,
    in_body: bool,
    line_bytes: usize,
}

impl Hops {
    /// Takes the message's next bytes, in whatever pieces.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        const NAME: &[u8] = b"received:";
        if self.in_body {
            return;
        }
        for byte in bytes {
            match byte {
                b'\r' => {}
                b'\n' => {
                    if self.line_bytes == 0 {
                        self.in_body = true;
                        return;
                    }
                    (self.line_bytes, self.matched) = (0, None);
                }
                byte => {
                    let place = if self.line_bytes == 0 { Some(0) } else { self.matched };
                    self.matched =
                        place.filter(|place| NAME.get(*place) == Some(&byte.to_ascii_lowercase())).map(|at| at + 1);
                    self.count += usize::from(self.matched == Some(NAME.len()));
                    self.line_bytes += 1;
                }
            }
        }
    }

    /// It goes round in circles.
    pub(super) const fn too_many(&self) -> bool {
        self.count > limits::RECEIVED_FIELDS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_fields_of_the_header_are_counted_in_whatever_pieces_they_come() {
        for (message, count) in [
            ("Received: a\r\n\tb\r\nRECEIVED: c\r\n\r\nReceived: body\r\n", 2),
            ("X-Received: a\r\nReceived : a\r\nReceivedd: b\r\n\r\n", 0),
            ("\r\nReceived: body\r\n", 0),
            ("Subject: x\n Received: folded\nReceived:y\n\n", 1),
        ] {
            for piece in [1, 3, 100] {
                let mut hops = Hops::default();
                message.as_bytes().chunks(piece).for_each(|piece| hops.see(piece));
                assert_eq!(hops.count, count, "{message:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn an_hour_later_there_is_room_for_more() {
        let (policy, sent) = (Policy { messages_per_hour: Some(2), ..Policy::default() }, Sent::default());
        let (ann, ben) = (AccountId::new(1), AccountId::new(2));
        let at = |minutes: i64| Timestamp::from_unix_ms(minutes * 60_000);
        for (account, minute, taken) in
            [(ann, 0, true), (ann, 30, true), (ann, 59, false), (ben, 59, true), (ann, 60, true), (ann, 61, false)]
        {
            assert_eq!(policy.count(&sent, account, at(minute)).is_ok(), taken, "{account} in minute {minute}");
        }
    }
}
