//! Questions to a server that says now and then that it is asked too much, too fast (QUIRKS.md row 12).
//!
//! What was refused for that may be asked again: what is done with the answers goes on from where it was, and need not begin
//! anew, which asks for more than the whole rest. So may an act that does no more when it is done twice, or nothing when it is
//! refused: STORE, UID EXPUNGE, COPY, MOVE, APPEND, CREATE, RENAME. Not DELETE and EXPUNGE, of which more may be hit a minute
//! later than when it was looked at.

use std::time::Duration;

use super::{Command, Driver, Hear, StatusLine};
use crate::sync::remote::RemoteError;
use crate::upstream::imap::refusal;

/// The longest wait that the server may name, beyond which nothing is held up for it.
const WAIT_MAX_MS: u64 = 60_000;

impl Driver {
    /// As [`Self::run`], of commands that may be sent again. Those to which the server answers that it is to be asked later, and
    /// when, are sent once more then.
    pub(in crate::upstream::imap) async fn ask(
        &mut self,
        commands: Vec<Command<'_>>,
        hear: &mut Hear<'_>,
    ) -> Result<Vec<StatusLine>, RemoteError> {
        let mut again: Vec<Option<Command<'static>>> = commands.iter().map(Command::twin).collect();
        let mut answers = self.run(commands, hear).await?;
        let mut wait_ms = 0;
        let mut late = Vec::new();
        for (place, answer) in answers.iter().enumerate() {
            if let Some(asked_ms) = asked_wait_ms(answer)
                && let Some(command) = again[place].take()
            {
                wait_ms = asked_ms.max(wait_ms);
                late.push((place, command));
            }
        }
        if late.is_empty() {
            return Ok(answers);
        }
        wait(self.host(), wait_ms).await;
        let (places, commands): (Vec<usize>, Vec<_>) = late.into_iter().unzip();
        let told = self.run(commands, &mut |heard| hear(heard.at(|place| places[place]))).await?;
        for (place, answer) in places.into_iter().zip(told) {
            answers[place] = answer;
        }
        Ok(answers)
    }

    /// Waits as long as the server wishes that refused one of these for now. `false`: none was, or it wishes for too long.
    pub(in crate::upstream::imap) async fn waits_after(&mut self, answers: &[StatusLine]) -> bool {
        let Some(wait_ms) = answers.iter().filter_map(asked_wait_ms).max() else { return false };
        wait(self.host(), wait_ms).await;
        true
    }
}

async fn wait(host: &str, wait_ms: u64) {
    tracing::info!(host, wait_ms, "the server asks to wait");
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
}

/// How long the server wishes to be left alone that refused this for now, unless that is too long to wait for it.
pub(in crate::upstream::imap) fn asked_wait_ms(answer: &StatusLine) -> Option<u64> {
    refusal::asked_wait_ms(answer).filter(|asked_ms| *asked_ms <= WAIT_MAX_MS)
}
