//! Threads of one subject become one (RFC 5256 section 3, REFERENCES, step 5).

use std::collections::BTreeMap;

use super::references::head;
use super::{Forest, Keyed, Node};

/// "Gather together messages under the root that have the same base subject text."
pub(super) fn gather(forest: &mut Forest, messages: &[Keyed]) {
    let mut table = subject_table(forest, messages);
    for current in std::mem::take(&mut forest.roots) {
        match subject(&forest.nodes, messages, current).and_then(|subject| table.get_mut(subject)) {
            None => forest.roots.push(current),
            Some(entry) if *entry == current => {}
            Some(entry) => merge(&mut forest.nodes, messages, entry, current),
        }
    }
    forest.roots.extend(table.into_values());
}

/// Steps 5.A and 5.B: one node for each subject. A dummy is taken before a message, and a message before an answer.
fn subject_table<'a>(forest: &Forest, messages: &'a [Keyed]) -> BTreeMap<&'a str, usize> {
    let mut table: BTreeMap<&str, usize> = BTreeMap::new();
    for root in &forest.roots {
        let Some(subject) = subject(&forest.nodes, messages, *root) else { continue };
        let entry = table.entry(subject).or_insert(*root);
        let (known, current) = (forest.nodes[*entry].message, forest.nodes[*root].message);
        if let Some(known) = known
            && current.is_none_or(|current| messages[known].keys.is_reply && !messages[current].keys.is_reply)
        {
            *entry = *root;
        }
    }
    table
}

/// The thread subject, unless it is empty.
fn subject<'a>(nodes: &[Node], messages: &'a [Keyed], place: usize) -> Option<&'a str> {
    let subject = messages[head(nodes, place)?].keys.subject.as_str();
    Some(subject).filter(|subject| !subject.is_empty())
}

/// Step 5.C for two different nodes of one subject.
fn merge(nodes: &mut Vec<Node>, messages: &[Keyed], entry: &mut usize, current: usize) {
    match (nodes[*entry].message, nodes[current].message) {
        (None, None) => {
            let mut children = std::mem::take(&mut nodes[current].children);
            nodes[*entry].children.append(&mut children);
        }
        (None, Some(_)) => nodes[*entry].children.push(current),
        (Some(known), Some(answer)) if messages[answer].keys.is_reply && !messages[known].keys.is_reply => {
            nodes[*entry].children.push(current);
        }
        _ => {
            nodes.push(Node { message: None, children: vec![*entry, current] });
            *entry = nodes.len() - 1;
        }
    }
}
