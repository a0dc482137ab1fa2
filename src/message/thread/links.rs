//! Who answers whom: messages and the ones they name linked as parents and children (RFC 5256 section 3, REFERENCES,
//! steps 1 and 2).

use std::collections::BTreeMap;

use super::{Keyed, Node};
use crate::types::limits;

/// Messages by what they are called, and their parents. The messages come first, each at its own place; behind them those
/// that are only spoken of.
struct Links {
    parents: Vec<Option<usize>>,
    children: Vec<u32>,
    by_id: BTreeMap<u64, usize>,
    steps: usize,
}

/// The nodes, the first of which are the messages, and which of them have no parent.
pub(super) fn linked(messages: &[Keyed]) -> (Vec<Node>, Vec<usize>) {
    let mut links = Links {
        parents: vec![None; messages.len()],
        children: vec![0; messages.len()],
        by_id: BTreeMap::new(),
        steps: 0,
    };
    for (place, message) in messages.iter().enumerate() {
        if let Some(id) = message.keys.message_id {
            // "If two or more messages have the same Message ID, then only use that Message ID in the first ... message"
            links.by_id.entry(id).or_insert(place);
        }
    }
    for (place, message) in messages.iter().enumerate() {
        links.add(place, &message.keys.references);
    }
    let node = |place: usize| Node { message: (place < messages.len()).then_some(place), children: Vec::new() };
    let mut nodes: Vec<Node> = (0..links.parents.len()).map(node).collect();
    let mut roots = Vec::new();
    for (place, parent) in links.parents.iter().enumerate() {
        match parent {
            Some(parent) => nodes[*parent].children.push(place),
            None => roots.push(place),
        }
    }
    (nodes, roots)
}

impl Links {
    /// Steps 1.A and 1.B for one message.
    fn add(&mut self, place: usize, references: &[u64]) {
        let mut before = None;
        for id in references {
            let named = self.named(*id);
            if let Some(parent) = before
                && self.parents[named].is_none()
            {
                self.link(parent, named);
            }
            before = Some(named);
        }
        // "If the current message already has a parent, it is probably the result of a truncated References header line,
        // so break the current parent/child link before creating the new correct one."
        if let Some(parent) = self.parents[place].take() {
            self.children[parent] -= 1;
        }
        if let Some(parent) = before {
            self.link(parent, place);
        }
    }

    /// "If no message can be found with a given Message ID, create a dummy message with this ID."
    fn named(&mut self, id: u64) -> usize {
        let next = self.parents.len();
        let place = *self.by_id.entry(id).or_insert(next);
        if place == next {
            self.parents.push(None);
            self.children.push(0);
        }
        place
    }

    /// "Do not create a parent/child link if creating that link would introduce a loop."
    fn link(&mut self, parent: usize, child: usize) {
        if !self.is_within(parent, child) {
            self.parents[child] = Some(parent);
            self.children[parent] += 1;
        }
    }

    /// Is it `above`, or below that? Taken for granted once the work of finding out is more than enough.
    fn is_within(&mut self, place: usize, above: usize) -> bool {
        if place == above {
            return true;
        }
        // Most messages are linked before anything is below them.
        if self.children[above] == 0 {
            return false;
        }
        let mut next = self.parents[place];
        while let Some(place) = next {
            self.steps += 1;
            if place == above || self.steps > limits::THREAD_STEPS_MAX {
                return true;
            }
            next = self.parents[place];
        }
        false
    }
}
