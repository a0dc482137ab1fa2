//! The REFERENCES algorithm (RFC 5256 section 3).

use super::links::linked;
use super::subjects::gather;
use super::{Forest, Keyed, Node};

/// Threads messages by what each says it answers, and threads by their subjects.
pub fn references(messages: &[Keyed]) -> Forest {
    let (nodes, roots) = linked(messages);
    let mut forest = Forest { nodes, roots };
    prune(&mut forest);
    // Step 4 sorts the children of a dummy to find its first, and the top level; step 5 looks at both.
    for root in forest.roots.clone() {
        if forest.nodes[root].message.is_none() {
            forest.sort_children(root, messages);
        }
    }
    forest.sort_roots(messages);
    gather(&mut forest, messages);
    // Step 6.
    for place in 0..forest.nodes.len() {
        forest.sort_children(place, messages);
    }
    forest.sort_roots(messages);
    forest
}

/// Step 3: "If it is a dummy message with NO children, delete it. If it is a dummy message with children, delete it, but
/// promote its children to the current level. ... Do not promote the children if doing so would make them children of the
/// root, unless there is only one child."
fn prune(forest: &mut Forest) {
    for place in children_first(forest) {
        let mut kept: Vec<usize> = Vec::new();
        for child in std::mem::take(&mut forest.nodes[place].children) {
            if forest.nodes[child].message.is_some() {
                kept.push(child);
                continue;
            }
            // The smaller list goes to the larger one: what order they stand in is decided later.
            let mut promoted = std::mem::take(&mut forest.nodes[child].children);
            if promoted.len() > kept.len() {
                std::mem::swap(&mut promoted, &mut kept);
            }
            kept.append(&mut promoted);
        }
        forest.nodes[place].children = kept;
    }
    let nodes = &mut forest.nodes;
    forest.roots.retain_mut(|root| {
        let Node { message: None, children } = &mut nodes[*root] else { return true };
        if let [only] = children[..] {
            children.clear();
            *root = only;
            return true;
        }
        !children.is_empty()
    });
}

/// Every node, each after those below it.
fn children_first(forest: &Forest) -> Vec<usize> {
    let (mut order, mut open) = (Vec::with_capacity(forest.nodes.len()), forest.roots.clone());
    while let Some(place) = open.pop() {
        order.push(place);
        open.extend(&forest.nodes[place].children);
    }
    order.reverse();
    order
}

impl Forest {
    fn sort_roots(&mut self, messages: &[Keyed]) {
        let nodes = &self.nodes;
        self.roots.sort_by_cached_key(|place| sort_key(nodes, messages, *place));
    }

    fn sort_children(&mut self, place: usize, messages: &[Keyed]) {
        let mut children = std::mem::take(&mut self.nodes[place].children);
        children.sort_by_key(|child| sort_key(&self.nodes, messages, *child));
        self.nodes[place].children = children;
    }
}

/// The sent date, and the place in the mailbox where it is the same. "In the case of a dummy message (which can only occur
/// with top-level siblings), use its first child for sorting."
fn sort_key(nodes: &[Node], messages: &[Keyed], place: usize) -> (i64, usize) {
    let message = head(nodes, place);
    (message.map_or(i64::MIN, |message| messages[message].sent_s()), message.unwrap_or(usize::MAX))
}

/// The message of a node; of a dummy that of its first child.
pub(super) fn head(nodes: &[Node], place: usize) -> Option<usize> {
    let node = &nodes[place];
    node.message.or_else(|| nodes[*node.children.first()?].message)
}

#[cfg(test)]
mod tests {
    use super::super::tests::threads;
    use super::*;

    fn by_references(messages: &[(i64, &str, u64, &[u64])]) -> String {
        threads(messages, references)
    }

    #[test]
    fn answers_stand_below_what_they_answer() {
        assert_eq!(by_references(&[(1, "a", 1, &[]), (2, "Re: a", 2, &[1]), (3, "Re: a", 3, &[1, 2])]), "(1 2 3)");
        assert_eq!(by_references(&[(1, "a", 1, &[]), (3, "b", 2, &[1]), (2, "c", 3, &[1])]), "(1 (3)(2))");
        // The example of section 4.
        let two_threads: &[(i64, &str, u64, &[u64])] = &[
            (1, "x", 2, &[]),
            (2, "y", 3, &[]),
            (3, "y", 6, &[3]),
            (4, "y", 4, &[3, 6]),
            (5, "y", 23, &[3, 6, 4]),
            (6, "y", 44, &[3, 6]),
            (7, "y", 7, &[44]),
            (8, "y", 96, &[7]),
        ];
        assert_eq!(by_references(two_threads), "(1)(2 3 (4 5)(6 7 8))");
    }

    #[test]
    fn the_children_of_one_that_is_missing_are_siblings() {
        assert_eq!(by_references(&[(1, "a", 1, &[9]), (2, "b", 2, &[9])]), "((1)(2))");
        assert_eq!(by_references(&[(1, "a", 1, &[8, 9])]), "(1)");
        assert_eq!(by_references(&[(1, "a", 1, &[]), (2, "b", 2, &[1, 9]), (3, "c", 3, &[1, 9])]), "(1 (2)(3))");
        // A dummy is sorted by its first child.
        assert_eq!(by_references(&[(5, "a", 1, &[9]), (1, "b", 2, &[9]), (3, "c", 3, &[])]), "((2)(1))(3)");
    }

    #[test]
    fn messages_without_a_thread_are_gathered_by_subject() {
        assert_eq!(by_references(&[(1, "a", 0, &[]), (2, "Re: a", 0, &[])]), "(1 2)");
        assert_eq!(by_references(&[(1, "Re: a", 0, &[]), (2, "a", 0, &[])]), "(2 1)");
        assert_eq!(by_references(&[(1, "a", 0, &[]), (2, "a", 0, &[]), (3, "a", 0, &[])]), "((1)(2)(3))");
        assert_eq!(by_references(&[(1, "", 0, &[]), (2, "", 0, &[])]), "(1)(2)");
        // Two threads without their first messages become one.
        let two: &[(i64, &str, u64, &[u64])] =
            &[(1, "a", 1, &[8]), (2, "b", 2, &[8]), (3, "a", 3, &[9]), (4, "c", 4, &[9])];
        assert_eq!(by_references(two), "((1)(2)(3)(4))");
        // And one joins a message alone.
        let one: &[(i64, &str, u64, &[u64])] = &[(1, "a", 1, &[8]), (2, "b", 2, &[8]), (3, "Re: a", 3, &[])];
        assert_eq!(by_references(one), "((1)(2)(3))");
    }

    #[test]
    fn lies_make_no_circles() {
        assert_eq!(by_references(&[(1, "a", 1, &[1])]), "(1)");
        assert_eq!(by_references(&[(1, "a", 1, &[2]), (2, "b", 2, &[1])]), "(2 1)");
        assert_eq!(
            by_references(&[(1, "a", 1, &[3, 2, 3, 1]), (2, "b", 2, &[1]), (3, "c", 3, &[2])]).len(),
            "(1 2 3)".len()
        );
        // The same Message-ID twice: the first has it.
        assert_eq!(by_references(&[(1, "a", 1, &[]), (2, "b", 1, &[]), (3, "c", 3, &[1])]), "(1 3)(2)");
    }

    #[test]
    fn a_truncated_list_of_references_does_not_move_what_has_a_parent() {
        // 3 names 1 and 2 as neighbours, which 2 knows better; and 2 itself is told last.
        let messages: &[(i64, &str, u64, &[u64])] = &[(3, "c", 3, &[1, 2]), (1, "a", 1, &[]), (2, "b", 2, &[])];
        assert_eq!(by_references(messages), "(2)(3 1)");
    }

    #[test]
    fn long_threads_and_wide_ones_are_neither_slow_nor_deep() {
        let count: u32 = 30_000;
        let chain: Vec<Vec<u64>> = (0..u64::from(count)).map(|place| vec![place]).collect();
        let row = |place: u32, references: &'static [u64]| (i64::from(place), "", u64::from(place) + 1, references);
        let messages: Vec<_> = (0..count).map(|place| row(place, &[])).collect();
        let chained = messages.iter().zip(&chain).skip(1).map(|(row, before)| (row.0, row.1, row.2, before.as_slice()));
        let up: Vec<_> = chained.collect();
        let text = by_references(&up);
        assert!(text.starts_with("(1 2 3 4 "), "one behind the other");
        let down: Vec<_> = up.iter().rev().map(|row| (-row.0, row.1, row.2, row.3)).collect();
        assert_eq!(by_references(&down).matches('(').count(), 1);
        let wide: Vec<_> = (0..count).map(|place| row(place, &[9_999_999])).collect();
        assert_eq!(by_references(&wide).matches('(').count(), 30_001);
    }
}
