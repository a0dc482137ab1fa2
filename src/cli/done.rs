//! Commands that change something: what is asked before, and the one line that is said after.

use std::io::{self, BufRead, IsTerminal, Write};

use serde::Serialize;

use super::Context;
use super::failure::Failure;
use crate::agent::Exit;

impl Context {
    /// Says what was done: a line for people, the daemon's answer for scripts.
    pub(super) fn done(&mut self, answer: &impl Serialize, text: &str) -> io::Result<()> {
        match self.json {
            true => self.screen.json(answer),
            false => self.screen.line(text),
        }
    }

    /// Tells what would happen and asks. Without anyone to ask, nothing is done.
    pub(super) fn confirm(&self, what: &str) -> Result<(), Failure> {
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
