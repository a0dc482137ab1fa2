//! What commands of several acts have in common: without one they list, and lists look alike.

use std::io;

use clap::Subcommand;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Context;
use super::failure::Failure;
use super::screen::Screen;
use crate::agent::Exit;
use crate::control::Request;

/// `syncctl COMMAND [ACT]`.
#[derive(Debug, clap::Args)]
pub(super) struct Acts<A: Subcommand> {
    #[command(subcommand)]
    pub act: Option<A>,
}

impl Context {
    /// Lists what the daemon answers: for scripts as it is, for people as `show` shows it; `nothing` where there is nothing.
    pub(super) async fn list<T: Serialize + DeserializeOwned>(
        &mut self,
        request: Request,
        nothing: &str,
        show: impl FnOnce(&mut Screen, Vec<T>) -> io::Result<()>,
    ) -> Result<Exit, Failure> {
        let listed: Vec<T> = self.ask(&request).await?;
        match (self.json, listed.is_empty()) {
            (true, _) => self.screen.json(&listed)?,
            (false, true) => self.screen.line(nothing)?,
            (false, false) => show(&mut self.screen, listed)?,
        }
        Ok(Exit::Done)
    }
}
