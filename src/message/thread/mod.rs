//! Messages as threads (RFC 5256 section 3): by subject alone ([`ordered_subject`]), or by what each says it answers
//! ([`references()`]), both of messages in the order of their mailbox. Pure.
//!
//! Rules: any keys give an answer, in work that does not grow with the square of the messages; nothing recurses, since
//! there is no limit to the nesting; every message given is in the answer once.

mod links;
mod references;
mod subjects;
mod written;

use super::Keyed;

pub use references::references;
pub use written::Written;

/// Threads as trees in one list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Forest {
    nodes: Vec<Node>,
    /// The first of each thread, by their places in `nodes`.
    roots: Vec<usize>,
}

/// A message of a thread, or what holds messages together whose parent is not there.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Node {
    /// Its place among the messages that were given.
    message: Option<usize>,
    children: Vec<usize>,
}

/// "The searched messages are sorted by base subject and then by the sent date. The messages are then split into separate
/// threads ... Finally, the threads are sorted by the sent date of the first message in the thread."
pub fn ordered_subject(messages: &[Keyed]) -> Forest {
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_by_key(|place| (&messages[*place].keys.subject, messages[*place].sent_s(), *place));
    let mut nodes: Vec<Node> =
        (0..messages.len()).map(|place| Node { message: Some(place), children: Vec::new() }).collect();
    let mut roots: Vec<usize> = Vec::new();
    for place in order {
        match roots.last() {
            // "The second message of a thread is the child of the first message, and subsequent messages of the thread
            // are siblings of the second message".
            Some(first) if messages[*first].keys.subject == messages[place].keys.subject => {
                nodes[*first].children.push(place);
            }
            _ => roots.push(place),
        }
    }
    roots.sort_by_key(|place| (messages[*place].sent_s(), *place));
    Forest { nodes, roots }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Keys;
    use crate::types::{InternalDate, LocalUid};

    /// The threads of messages given as `sent date, subject, Message-ID, the ones it answers`; `Re: ` makes a reply.
    pub(super) fn threads(messages: &[(i64, &str, u64, &[u64])], thread: fn(&[Keyed]) -> Forest) -> String {
        let keyed = |(place, (sent_s, subject, id, references)): (usize, &(i64, &str, u64, &[u64]))| {
            let base = subject.trim_start_matches("Re: ");
            let keys = Keys {
                sent_s: Some(*sent_s),
                subject: base.to_owned(),
                is_reply: base.len() < subject.len(),
                message_id: Some(*id).filter(|id| *id > 0),
                references: references.to_vec(),
                ..Keys::default()
            };
            let uid = LocalUid::new(u32::try_from(place).expect("few messages") + 1);
            Keyed { uid, internal_date: InternalDate::new(0, 0), size_bytes: 0, keys }
        };
        let messages: Vec<Keyed> = messages.iter().enumerate().map(keyed).collect();
        Written::new(thread(&messages), messages.iter().map(|message| message.uid.get()).collect()).collect()
    }

    #[test]
    fn messages_of_one_subject_are_one_thread() {
        let by_subject = |messages: &[(i64, &str)]| {
            let messages: Vec<_> = messages.iter().map(|(sent, subject)| (*sent, *subject, 0, &[][..])).collect();
            threads(&messages, ordered_subject)
        };
        assert_eq!(by_subject(&[]), "");
        assert_eq!(by_subject(&[(1, "a")]), "(1)");
        assert_eq!(by_subject(&[(3, "a"), (2, "b"), (1, "Re: a")]), "(3 1)(2)");
        assert_eq!(by_subject(&[(1, "a"), (2, "a"), (3, "a"), (2, "b")]), "(1 (2)(3))(4)");
    }
}
