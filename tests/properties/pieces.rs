//! Bytes as a session gets them: with long runs written short, and cut into pieces in several ways.

/// How bytes are cut.
#[derive(Debug, Clone, Copy)]
pub enum Cut {
    Whole,
    /// Single bytes; of a long input pieces as short as that they are not more than [`PIECES_MAX`].
    Bytes,
    /// At places that depend on the bytes themselves.
    Mixed,
}

const PIECES_MAX: usize = 5000;

impl Cut {
    pub const ALL: [Self; 3] = [Self::Whole, Self::Bytes, Self::Mixed];

    /// `input` in pieces, none of them empty.
    pub fn pieces(self, input: &[u8]) -> Vec<&[u8]> {
        let mut state = hash(input);
        let mut rest = input;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            state = step(state);
            let few = state >> 63 == 0;
            let size = match self {
                Self::Whole => rest.len(),
                Self::Bytes => 1 + input.len() / PIECES_MAX,
                Self::Mixed => 1 + (state >> 40) as usize % if few { 4 } else { 60 },
            };
            let (piece, after) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}

/// A number that depends on every byte.
pub fn hash(input: &[u8]) -> u64 {
    input.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| step(hash ^ u64::from(*byte)))
}

/// One step of a hash such as FNV-1a.
const fn step(hash: u64) -> u64 {
    hash.wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17)
}

/// `0xff 0xfe` and a number after a byte stand for so many times [`RUN_BYTES`] more of it, up to `max_bytes` in all:
/// limits are far away, and inputs should be short.
pub fn expanded(input: &[u8], max_bytes: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::with_capacity(input.len());
    let mut rest = input;
    loop {
        rest = match rest {
            [0xff, 0xfe, count, after @ ..] => {
                let run = usize::from(*count) * RUN_BYTES;
                if let Some(last) = bytes.last().copied().filter(|_| bytes.len() + run <= max_bytes) {
                    bytes.resize(bytes.len() + run, last);
                }
                after
            }
            [byte, after @ ..] => {
                bytes.push(*byte);
                after
            }
            [] => return bytes,
        };
    }
}

const RUN_BYTES: usize = 512;
