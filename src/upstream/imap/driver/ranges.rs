//! UIDs as a server names them: in any order, some of them again and again.

use crate::sync::remote::RemoteError;
use crate::types::{RemoteUid, UidSet, limits};

/// Ranges of UIDs, no more of them than any mailbox gives reason for.
#[derive(Debug, Default)]
pub(in crate::upstream::imap) struct Ranges {
    told: Vec<(u32, u32)>,
    /// As many as there were when they were last made a set: so the work grows with what is told.
    in_set: usize,
}

impl Ranges {
    /// Adds what was told in answer to `request`.
    pub(in crate::upstream::imap) fn add(
        &mut self,
        request: &'static str,
        ranges: &[(u32, u32)],
    ) -> Result<(), RemoteError> {
        self.told.extend_from_slice(ranges);
        if self.told.len() > limits::UPSTREAM_UID_RANGES_MAX.max(2 * self.in_set) {
            self.told = UidSet::<RemoteUid>::from_ranges(std::mem::take(&mut self.told)).ranges().to_vec();
            self.in_set = self.told.len();
        }
        match self.in_set > limits::UPSTREAM_UID_RANGES_MAX {
            true => Err(RemoteError::Protocol { request, text: "more UIDs than any mailbox holds".to_owned() }),
            false => Ok(()),
        }
    }

    /// All of them.
    pub(in crate::upstream::imap) fn to_set(&self) -> UidSet<RemoteUid> {
        UidSet::from_ranges(self.told.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_again_counts_once_and_what_never_ends_is_refused() {
        let mut again = Ranges::default();
        for _ in 0..30 {
            assert_eq!(again.add("SEARCH", &vec![(7, 9); 100_000]), Ok(()));
            assert!(again.told.len() <= limits::UPSTREAM_UID_RANGES_MAX);
        }
        assert_eq!(again.to_set().to_string(), "7:9");
        let mut endless = Ranges::default();
        let refused = (0..30).find_map(|round: u32| {
            let odd = (0..100_000).map(|nth| (round * 200_000 + 2 * nth, round * 200_000 + 2 * nth));
            endless.add("SEARCH", &odd.collect::<Vec<_>>()).err()
        });
        assert!(refused.is_some() && endless.told.len() <= limits::UPSTREAM_UID_RANGES_MAX + 100_000);
    }
}
