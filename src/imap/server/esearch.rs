//! The ESEARCH response (RFC 4731, RFC 9051 section 7.3.4), and which of the results a search's options speak of.

use super::reply::Context;
use super::view::{By, View};
use crate::imap::syntax::search::SearchReturns;
use crate::types::{LocalUid, ModSeq, UidSet, limits};

/// Those of what was found (ascending) that the options name: what `$` stands for afterwards (RFC 5182 section 2.1,
/// RFC 9394 section 3.2) and whose highest mod-sequence is told (RFC 7162 section 3.1.10).
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

/// An ESEARCH response on its way, written piece by piece.
pub struct Answer {
    head: String,
    pieces: std::vec::IntoIter<UidSet<LocalUid>>,
    tail: String,
}

impl Answer {
    /// `esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)` (RFC 4466 section 2.6.2)
    pub fn new(
        context: &Context,
        view: &View,
        by: By,
        returns: &SearchReturns,
        found: &[LocalUid],
        highest: Option<ModSeq>,
    ) -> Self {
        let numbered = |uids: &[LocalUid]| -> UidSet<LocalUid> {
            uids.iter().filter_map(|uid| view.number_by(by, *uid)).map(LocalUid::new).collect()
        };
        let numbers = numbered(found);
        let mut head = format!("* ESEARCH (TAG \"{}\")", context.tag);
        if by == By::Uid {
            head.push_str(" UID");
        }
        if let (Some((first, _)), Some((_, last))) = (numbers.ranges().first(), numbers.ranges().last()) {
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
        let (mut listed, mut tail) = (UidSet::new(), String::new());
        if returns.all && !numbers.is_empty() {
            head.push_str(" ALL ");
            listed = numbers;
        }
        if let Some(partial) = returns.partial {
            listed = numbered(&found[partial.among(found.len())]);
            head.push_str(&format!(" PARTIAL ({partial} {}", if listed.is_empty() { "NIL" } else { "" }));
            tail.push(')');
        }
        tail.extend(highest.map(|highest| format!(" MODSEQ {highest}")));
        // "In absence of any other SEARCH result option, the SAVE result option also suppresses any ESEARCH response"
        // (RFC 5182 section 2.1).
        let any = returns.min || returns.max || returns.all || returns.count || returns.partial.is_some();
        match any {
            true => tail.push_str("\r\n"),
            false => (head, tail) = (String::new(), String::new()),
        }
        Self { head, pieces: listed.split(limits::OUTPUT_CHUNK_BYTES).into_iter(), tail }
    }

    /// Writes the next piece; false at the end.
    pub fn step(&mut self, context: &mut Context) -> bool {
        context.out.extend_from_slice(std::mem::take(&mut self.head).as_bytes());
        if let Some(piece) = self.pieces.next() {
            let comma = if self.pieces.as_slice().is_empty() { "" } else { "," };
            context.out.extend_from_slice(format!("{piece}{comma}").as_bytes());
            return true;
        }
        context.out.extend_from_slice(self.tail.as_bytes());
        false
    }
}
