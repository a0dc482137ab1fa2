//! `syncctl demo`: a server, the agent and a cuttable line in a temporary folder; a small story of working offline; the
//! proof that both sides are equal in the end; and letters to and from somebody far away, with a server of her own.
//!
//! [`world`] is the stage, of two ends ([`shore`]) and a name server ([`zone`]); [`story`] is the script, [`letters`] a
//! part of it, [`proof`] the comparison, [`report`] the account of it all; [`wire`] plays the mail clients, [`mail`] is
//! what they read.

mod letters;
mod line;
mod mail;
mod proof;
mod report;
mod shore;
mod story;
mod wire;
mod world;
mod zone;

use std::io;
use std::path::{Path, PathBuf};

use super::Context;
use super::failure::Failure;
use crate::agent::Exit;
use crate::net::shutdown;
use report::Report;
use world::World;

/// See the agent work: mirror, cut the line, work offline, join it again, compare
#[derive(Debug, clap::Args)]
#[command(name = "demo")]
pub(super) struct Arguments {
    /// Leave all of it running afterwards, and print what to enter in a mail client
    #[arg(long)]
    keep: bool,
}

pub(super) async fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    let folder = Folder::make()?;
    let world = World::start(&folder.0).await?;
    let mut report = Report::new(context.json);
    let (world, mut report, played) = tokio::task::spawn_blocking(move || {
        let played = story::play(&world, &mut report);
        (world, report, played)
    })
    .await
    .map_err(io::Error::other)?;
    if let Err(error) = played {
        report.compare("the script was played to its end", vec![error.to_string()]);
    }
    report.finish();
    if context.json {
        context.screen.json(&report)?;
    }
    if arguments.keep {
        for line in world.sea.told()? {
            context.screen.line(&line)?;
        }
        context.screen.line("Stop it with Ctrl-C.")?;
        shutdown::signal()?.await;
    }
    world.stop().await;
    Ok(if report.equal { Exit::Done } else { Exit::Failed })
}

/// A temporary folder, only for us; gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let number = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let path = std::env::temp_dir().join(format!("mailtide-demo-{number:016x}"));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// What cannot be removed is said, not hidden.
fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        tracing::warn!(folder = %folder.display(), %error, "the demonstration's folder cannot be removed");
    }
}
