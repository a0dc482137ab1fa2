//! Drives a session as the pump does, up to its end or to a TLS handshake.

use std::fmt::Debug;

use mailtide::types::{Conversation, Event, Step, Timestamp, limits};

use super::pieces::Cut;

/// The moment at which everything begins.
pub const NOW: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

/// One call may give a chunk and the response that filled it: of that, as much as the input can have made it large.
const OVER_CHUNK_BYTES: usize = 64 * 1024;

/// Shorter than the patience of any session with a silent client.
const PATIENCE_MS: i64 = 30_000;

/// More steps than any input of a test's size takes: a session that goes on is without end.
const STEPS_MAX: usize = 1_000_000;

/// What a session made of its input.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub output: Vec<u8>,
    /// What it last wanted.
    pub step: Step,
}

/// What `run` gives: what was said, and what happened beside it. Panics where that depends on how the input was cut.
pub fn same_however_cut<T: PartialEq + Debug>(run: impl Fn(Cut) -> (Said, T)) -> (Said, T) {
    let (said, happened) = run(Cut::Whole);
    for cut in [Cut::Bytes, Cut::Mixed] {
        let (again, happened_again) = run(cut);
        let texts = (again.output.escape_ascii(), said.output.escape_ascii());
        assert!(again == said, "cut another way:\n{}\n{:?}\nnot\n{}\n{:?}", texts.0, again.step, texts.1, said.step);
        assert_eq!(happened_again, happened, "cut another way");
    }
    (said, happened)
}

/// Hands `input` in, cut as `cut` says. Panics where the session gives more at once than it may, or never waits.
pub fn converse(mut session: impl Conversation, input: &[u8], cut: Cut) -> Said {
    let mut said = Said { output: Vec::new(), step: Step::Continue };
    let over = OVER_CHUNK_BYTES + 8 * input.len();
    let (mut steps, mut now) = (0, NOW);
    for piece in std::iter::once(&b""[..]).chain(cut.pieces(input)) {
        if !piece.is_empty() {
            session.handle_input(piece, now);
        }
        loop {
            let mut given = Vec::new();
            said.step = session.poll_output(now, &mut given);
            assert!(given.len() <= limits::OUTPUT_CHUNK_BYTES + over, "{} bytes of output at once", given.len());
            said.output.append(&mut given);
            steps += 1;
            assert!(steps < STEPS_MAX, "the session never waits");
            match said.step {
                Step::Continue => {}
                // Who is made to wait a little waits; who is silent for long is not met here.
                Step::Wait | Step::Hold => {
                    match session.deadline().filter(|deadline| *deadline <= now.plus_ms(PATIENCE_MS)) {
                        Some(deadline) => {
                            now = deadline;
                            session.handle_event(Event::Deadline, now);
                        }
                        None => break,
                    }
                }
                Step::StartTls | Step::Close => return said,
            }
        }
    }
    said
}
