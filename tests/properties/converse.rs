//! Drives a session as the pump does, up to its end or to a TLS handshake.

use mailtide::types::{Conversation, Step, Timestamp, limits};

use super::pieces::Cut;

/// The moment at which everything happens.
pub const NOW: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

/// One call may give a chunk and the response that filled it: of that, as much as the input can have made it large.
const OVER_CHUNK_BYTES: usize = 64 * 1024;

/// More steps than any input of a test's size takes: a session that goes on is without end.
const STEPS_MAX: usize = 1_000_000;

/// What a session made of its input.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub output: Vec<u8>,
    /// What it last wanted.
    pub step: Step,
}

/// Hands `input` in, cut as `cut` says. Panics where the session gives more at once than it may, or never waits.
pub fn converse(mut session: impl Conversation, input: &[u8], cut: Cut) -> Said {
    let mut said = Said { output: Vec::new(), step: Step::Continue };
    let over = OVER_CHUNK_BYTES + 8 * input.len();
    let mut steps = 0;
    for piece in std::iter::once(&b""[..]).chain(cut.pieces(input)) {
        if !piece.is_empty() {
            session.handle_input(piece, NOW);
        }
        loop {
            let mut given = Vec::new();
            said.step = session.poll_output(NOW, &mut given);
            assert!(given.len() <= limits::OUTPUT_CHUNK_BYTES + over, "{} bytes of output at once", given.len());
            said.output.append(&mut given);
            steps += 1;
            assert!(steps < STEPS_MAX, "the session never waits");
            match said.step {
                Step::Continue => {}
                Step::Wait => break,
                Step::StartTls | Step::Close => return said,
            }
        }
    }
    said
}
