//! The lines of a message in an editor.
//!
//! Rules: the editor gets lines as editors know them, which end with LF; a line that comes back as it was is what it was in
//! the message, however it ended there; what is new ends with CRLF. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

/// The message with lines that end with LF.
pub(super) fn to_editor(message: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(message.len());
    for line in lines(message) {
        text.extend_from_slice(line.text);
        text.extend_from_slice(if line.end.is_empty() { b"" } else { b"\n" });
    }
    text
}

/// What the user made of `message`.
pub(super) fn from_editor(message: &[u8], written: &[u8]) -> Vec<u8> {
    let (old, mut new) = (lines(message), lines_of_editor(message, written));
    for (old_place, new_place) in kept(&old, &new) {
        new[new_place].end = old[old_place].end;
    }
    let last = new.len().saturating_sub(1);
    let mut bytes = Vec::with_capacity(written.len() + new.len());
    for (place, line) in new.iter().enumerate() {
        bytes.extend_from_slice(line.text);
        // The last line may have had no end, where it was the last.
        let is_open = line.end.is_empty() && place < last;
        bytes.extend_from_slice(if is_open { CRLF } else { line.end });
    }
    bytes
}

const CRLF: &[u8] = b"\r\n";

/// A line, and how it ends in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line<'t> {
    text: &'t [u8],
    end: &'t [u8],
}

fn lines(message: &[u8]) -> Vec<Line<'_>> {
    let line = |whole: &'_ [u8]| {
        let ends: [&[u8]; 2] = [CRLF, b"\n"];
        let end = ends.into_iter().find(|end| whole.ends_with(end)).map_or(0, <[u8]>::len);
        whole.len() - end
    };
    let split = message.split_inclusive(|byte| *byte == b'\n').map(|whole| whole.split_at(line(whole)));
    split.map(|(text, end)| Line { text, end }).collect()
}

/// All of them as if they were new. An editor that writes CRLF does so with every line.
fn lines_of_editor<'t>(message: &[u8], written: &'t [u8]) -> Vec<Line<'t>> {
    let writes_crlf = |text: &[u8]| text.ends_with(CRLF) && lines(text).iter().all(|line| line.end != b"\n");
    let ends_crlf = writes_crlf(written) && !writes_crlf(&to_editor(message));
    let split = written.split_inclusive(|byte| *byte == b'\n').map(|whole| {
        let text = whole.strip_suffix(b"\n").unwrap_or(whole);
        text.strip_suffix(b"\r").filter(|_| ends_crlf).unwrap_or(text)
    });
    split.map(|text| Line { text, end: CRLF }).collect()
}

/// The places of lines that are in both: what both begin and end with, and, between that, the same of what lies around lines
/// that each has once (the patience diff).
fn kept(old: &[Line<'_>], new: &[Line<'_>]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let mut open = vec![(0..old.len(), 0..new.len())];
    while let Some((mut left, mut right)) = open.pop() {
        while !left.is_empty() && !right.is_empty() && old[left.start].text == new[right.start].text {
            pairs.push((left.start, right.start));
            (left.start, right.start) = (left.start + 1, right.start + 1);
        }
        while !left.is_empty() && !right.is_empty() && old[left.end - 1].text == new[right.end - 1].text {
            (left.end, right.end) = (left.end - 1, right.end - 1);
            pairs.push((left.end, right.end));
        }
        let anchors = anchors(old, left.clone(), new, right.clone());
        for (old_place, new_place) in anchors.iter().copied() {
            open.push((left.start..old_place, right.start..new_place));
            (left.start, right.start) = (old_place + 1, new_place + 1);
        }
        if !anchors.is_empty() {
            open.push((left, right));
            pairs.extend(anchors);
        }
    }
    pairs
}

/// Lines that each side has once: as many as come in the same order.
fn anchors(old: &[Line<'_>], left: Range<usize>, new: &[Line<'_>], right: Range<usize>) -> Vec<(usize, usize)> {
    let mut places: BTreeMap<&[u8], (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    left.for_each(|place| places.entry(old[place].text).or_default().0.push(place));
    right.for_each(|place| places.entry(new[place].text).or_default().1.push(place));
    let once = places.into_values().filter_map(|places| match (places.0.as_slice(), places.1.as_slice()) {
        ([old], [new]) => Some((*old, *new)),
        _ => None,
    });
    let mut once: Vec<(usize, usize)> = once.collect();
    once.sort_unstable();
    longest_rising(&once)
}

/// Of pairs that rise by their first, as many as rise by their second, too: `ends` has, for each length, the run that ends
/// lowest.
fn longest_rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let (mut ends, mut before): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
    for (index, (_, second)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| pairs[*end].1 < *second);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut rising: Vec<_> =
        std::iter::successors(ends.last().copied(), |index| before[*index]).map(|index| pairs[index]).collect();
    rising.reverse();
    rising
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_is_what_it_was_and_what_is_new_ends_with_crlf() {
        let mixed = "A: 1\r\nB: 2\n\r\nbare\nlone\rcr\r\nodd\r\r\n\nend";
        for (message, written, expected) in [
            (mixed, "A: 1\nB: 2\n\nbare\nlone\rcr\nodd\r\n\nend", mixed),
            (mixed, "A: 1\nB: 2\n\nbare\nlone\rcr\nodd\r\n\nend\n", mixed),
            (
                mixed,
                "A: 3\nC: 4\nB: 2\n\nbare\nnew\nlone\rcr\nodd\r\n\nend\nmore\n",
                "A: 3\r\nC: 4\r\nB: 2\n\r\nbare\nnew\r\nlone\rcr\r\nodd\r\r\n\nend\r\nmore\r\n",
            ),
            ("A: 1\r\n\r\nx\r\n", "A: 1\r\n\r\ny\r\n", "A: 1\r\n\r\ny\r\n"),
            ("A: 1\r\n\r\nx\n", "A: 1\r\n\r\nx\r\n", "A: 1\r\n\r\nx\n"),
            ("A: 1\r\n\r\nx\r\n", "A: 1\n\nx", "A: 1\r\n\r\nx\r\n"),
            ("A: 1\r\n\r\nx\r\n", "", ""),
            ("", "", ""),
        ] {
            let made = from_editor(message.as_bytes(), written.as_bytes());
            assert_eq!(String::from_utf8_lossy(&made), expected, "{message:?} {written:?}");
        }
    }

    #[test]
    fn a_message_that_comes_back_as_it_went_is_byte_for_byte_what_it_was() {
        let mut seed = 1_u64;
        for _ in 0..2000 {
            let mut message = Vec::new();
            for _ in 0..20 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                message.extend_from_slice([&b"a"[..], b"b", b"\n", b"\r\n", b"\r", b"\xff"][(seed >> 33) as usize % 6]);
            }
            assert_eq!(from_editor(&message, &to_editor(&message)), message, "{message:?}");
        }
    }

    #[test]
    fn as_many_as_rise_are_kept() {
        let pairs = [(0, 9), (1, 1), (2, 5), (3, 2), (4, 3), (5, 0), (6, 7)];
        assert_eq!(longest_rising(&pairs), [(1, 1), (3, 2), (4, 3), (6, 7)]);
        assert_eq!(longest_rising(&[]), []);
    }
}
