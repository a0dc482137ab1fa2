//! Chance under a seed: the run is a function of the seed, which a failing test prints.

/// SplitMix64.
pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end`, without `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        assert!(end > 0, "an empty range");
        self.next() % end
    }

    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("an index fits")
    }

    /// Takes `count` different values out of `pool`.
    pub fn draw<T>(&mut self, pool: &mut Vec<T>, count: usize) -> Vec<T> {
        assert!(pool.len() >= count, "{} left, {count} wanted", pool.len());
        (0..count)
            .map(|_| {
                let index = self.index(pool.len());
                pool.swap_remove(index)
            })
            .collect()
    }
}
