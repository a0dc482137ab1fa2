//! When so much vanished at once that it is rather a mistake than an act. Pure.

/// Fewer than this may always go: people clean up.
const VANISHED_MAX: usize = 50;

/// Of a mailbox, one in so many may always go.
const SHARE: usize = 5;

/// Is it a mass that `vanished` of the `held` messages of a mailbox are gone?
pub const fn is_mass(vanished: usize, held: usize) -> bool {
    vanished > VANISHED_MAX && vanished * SHARE > held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_fifty_and_more_than_a_fifth_are_a_mass() {
        for (vanished, held, expected) in
            [(50, 50, false), (51, 51, true), (51, 254, true), (51, 255, false), (51, 256, false), (1000, 1000, true)]
        {
            assert_eq!(is_mass(vanished, held), expected, "{vanished} of {held}");
        }
    }
}
