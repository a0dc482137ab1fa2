//! Commands that change something: what is asked before, and the one line that is said after.

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Write};

use serde::Serialize;

use super::Context;
use super::failure::Failure;
use super::screen::printable;
use crate::agent::Exit;
use crate::control::CallError;

impl Context {
    /// Says what was done: a line for people, the daemon's answer for scripts.
    pub(super) fn done(&mut self, answer: &impl Serialize, text: &str) -> io::Result<()> {
        match self.json {
            true => self.screen.json(answer),
            false => self.screen.line(text),
        }
    }

    /// Does it once for each number, in the order they are named. What the daemon does not do for one is told and keeps no other from it. The program ends
    /// as the first such says, but for those that the same command may do later: they decide where there is no other.
    pub(super) async fn each(
        &mut self,
        numbers: Vec<i64>,
        mut act: impl AsyncFnMut(&mut Self, i64) -> Result<(), Failure>,
    ) -> Result<Exit, Failure> {
        let (mut ends, mut named) = (None, BTreeSet::new());
        for number in numbers.into_iter().filter(|number| named.insert(*number)) {
            match act(self, number).await {
                Ok(()) => {}
                Err(failure @ Failure::Daemon(CallError::Failed(_))) => {
                    let exit = failure.tell();
                    ends = ends.filter(|ends| *ends != Exit::TempFail).or(Some(exit));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(ends.unwrap_or(Exit::Done))
    }

    /// Tells what would happen and asks. Without anyone to ask, nothing is done.
    pub(super) fn confirm(&self, what: &str) -> Result<(), Failure> {
        let what = printable(what);
        let refused = |message: String| Err(Failure::Said { message, exit: Exit::Usage });
        if self.json || !io::stdin().is_terminal() {
            return refused(format!("{what}\nNothing is done: say --yes if that is what you want."));
        }
        match answer(&format!("{what}\nDo it? [y/N] "))?.as_str() {
            "y" | "Y" | "yes" => Ok(()),
            _ => refused("nothing is done".to_owned()),
        }
    }
}

/// Asks on the terminal; what was typed, without the spaces around it.
pub(super) fn answer(question: &str) -> io::Result<String> {
    // Standard output may be read by a program.
    let mut terminal = io::stderr();
    write!(terminal, "{question}")?;
    terminal.flush()?;
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim().to_owned()),
    }
}
