//! Questions to a server that says now and then that it is asked too much, too fast (QUIRKS.md row 12).
//!
//! A question may be asked again: what is done with the answers goes on from where it was, and need not begin anew, which asks
//! for more than the whole rest. An act is not: whoever wants it decides.

use std::time::Duration;

use super::{Command, Driver, Hear, StatusLine};
use crate::sync::remote::RemoteError;
use crate::upstream::imap::refusal;

/// The longest wait that the server may name, beyond which nothing is held up for it.
const WAIT_MAX_MS: u64 = 60_000;

impl Driver {
    /// As [`Self::run`], of commands that change nothing. Those to which the server answers that it is to be asked later, and
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
            if let Some(asked_ms) = refusal::asked_wait_ms(answer).filter(|asked_ms| *asked_ms <= WAIT_MAX_MS)
                && let Some(command) = again[place].take()
            {
                wait_ms = asked_ms.max(wait_ms);
                late.push((place, command));
            }
        }
        if late.is_empty() {
            return Ok(answers);
        }
        tracing::info!(host = self.host(), wait_ms, "the server asks to wait");
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        let (places, commands): (Vec<usize>, Vec<_>) = late.into_iter().unzip();
        let told = self.run(commands, &mut |heard| hear(heard.at(|place| places[place]))).await?;
        for (place, answer) in places.into_iter().zip(told) {
            answers[place] = answer;
        }
        Ok(answers)
    }
}
