//! What searching commands answer: SEARCH, SORT and THREAD, or the ESEARCH response (RFC 4731, RFC 9051 section 7.3.4;
//! in the order of a sort: RFC 5267 section 3); and which of the results a search's options speak of.

use std::iter::once;

use super::reply::Context;
use super::view::By;
use crate::imap::syntax::quote::write_mailbox;
use crate::imap::syntax::search::SearchReturns;
use crate::imap::syntax::sequence::runs;
use crate::message::thread::Written;
use crate::types::{LocalUid, MailboxName, ModSeq, UidValidity, limits};

/// Those of what was found (in the order in which it is told) that the options name: what `$` stands for afterwards
/// (RFC 5182 section 2.1, RFC 9394 section 3.2) and whose highest mod-sequence is told (RFC 7162 section 3.1.10).
pub fn significant(returns: &SearchReturns, found: &[LocalUid]) -> Vec<LocalUid> {
    let some = returns.min || returns.max || returns.partial.is_some();
    if returns.all || returns.count || !some {
        return found.to_vec();
    }
    let mut named: Vec<LocalUid> = match returns.partial {
        Some(partial) => found[partial.among(found.len())].to_vec(),
        None => Vec::new(),
    };
    named.extend(found.first().filter(|_| returns.min));
    named.extend(found.last().filter(|_| returns.max));
    named.sort_unstable();
    named.dedup();
    named
}

/// `search-correlator = SP "(" one-correlator *(SP one-correlator) ")"` (RFC 4466 section 2.6.2, RFC 7377 section 5)
pub struct Correlator(String);

impl Correlator {
    /// Of a search of the selected mailbox.
    pub fn of(context: &Context) -> Self {
        Self(format!("(TAG \"{}\")", context.tag))
    }

    /// Of a search of that mailbox.
    pub fn of_mailbox(context: &Context, name: &MailboxName, uid_validity: UidValidity) -> Self {
        let mut mailbox = Vec::new();
        write_mailbox(&mut mailbox, name, context.enabled.name_form());
        let mailbox = String::from_utf8_lossy(&mailbox);
        Self(format!("(TAG \"{}\" MAILBOX {mailbox} UIDVALIDITY {uid_validity})", context.tag))
    }
}

/// A response on its way, written piece by piece.
pub struct Answer(Box<dyn Iterator<Item = String> + Send>);

impl Answer {
    /// `"SEARCH" *(SP nz-number) [SP search-sort-mod-seq]`, and the same of SORT (RFC 7162 section 7).
    pub fn plain(name: &str, numbers: Vec<u32>, highest: Option<ModSeq>) -> Self {
        let highest = highest.filter(|_| !numbers.is_empty());
        let tail = highest.map_or_else(|| "\r\n".to_owned(), |highest| format!(" (MODSEQ {highest})\r\n"));
        Self::of(format!("* {name}"), pieces(numbers.into_iter().map(|number| format!(" {number}"))), tail)
    }

    /// `thread-data = "THREAD" [SP 1*thread-list]` (RFC 5256 section 5)
    pub fn threads(mut threads: Written) -> Self {
        let first = threads.next().map(|first| format!(" {first}"));
        Self::of("* THREAD".to_owned(), first.into_iter().chain(threads), "\r\n".to_owned())
    }

    /// `esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)` (RFC 4466 section 2.6.2), of
    /// what was found in the order in which it is told.
    pub fn extended(
        correlator: &Correlator,
        by: By,
        returns: &SearchReturns,
        numbers: Vec<u32>,
        highest: Option<ModSeq>,
    ) -> Self {
        // "In absence of any other SEARCH result option, the SAVE result option also suppresses any ESEARCH response"
        // (RFC 5182 section 2.1).
        if !(returns.min || returns.max || returns.all || returns.count || returns.partial.is_some()) {
            return Self(Box::new(std::iter::empty()));
        }
        let mut head = format!("* ESEARCH {}", correlator.0);
        if by == By::Uid {
            head.push_str(" UID");
        }
        if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
            if returns.min {
                head.push_str(&format!(" MIN {first}"));
            }
            if returns.max {
                head.push_str(&format!(" MAX {last}"));
            }
        }
        if returns.count {
            head.push_str(&format!(" COUNT {}", numbers.len()));
        }
        let highest = highest.map(|highest| format!(" MODSEQ {highest}")).unwrap_or_default();
        let (listed, tail) = match returns.partial {
            None if returns.all && !numbers.is_empty() => {
                head.push_str(" ALL ");
                (numbers, format!("{highest}\r\n"))
            }
            None => (Vec::new(), format!("{highest}\r\n")),
            Some(partial) => {
                let listed = numbers[partial.among(numbers.len())].to_vec();
                head.push_str(&format!(" PARTIAL ({partial} {}", if listed.is_empty() { "NIL" } else { "" }));
                (listed, format!("){highest}\r\n"))
            }
        };
        Self::of(head, pieces(set_elements(listed)), tail)
    }

    fn of(head: String, pieces: impl Iterator<Item = String> + Send + 'static, tail: String) -> Self {
        Self(Box::new(once(head).chain(pieces).chain(once(tail))))
    }

    /// Writes the next piece; false at the end.
    pub fn step(&mut self, context: &mut Context) -> bool {
        let piece = self.0.next();
        context.out.extend_from_slice(piece.as_deref().unwrap_or_default().as_bytes());
        piece.is_some()
    }
}

/// The elements of a `sequence-set` that names the numbers in their order, each but the first with its comma. "Any ranges
/// given by the server ... MUST be ordered in increasing numerical order after expansion" (RFC 5267 section 3.2).
fn set_elements(numbers: Vec<u32>) -> impl Iterator<Item = String> {
    let elements = runs(numbers.into_iter()).enumerate();
    elements.map(|(place, run)| if place == 0 { run.to_string() } else { format!(",{run}") })
}

/// Texts together, as many as one piece of output holds.
fn pieces(mut texts: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    std::iter::from_fn(move || {
        let mut piece = String::new();
        while piece.len() < limits::OUTPUT_CHUNK_BYTES
            && let Some(text) = texts.next()
        {
            piece.push_str(&text);
        }
        Some(piece).filter(|piece| !piece.is_empty())
    })
}
