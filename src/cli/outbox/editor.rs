//! The user's editor, on a draft that is kept until what was written is safe elsewhere.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;

use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::Exit;
use crate::cli::failure::Failure;

/// Where neither $VISUAL nor $EDITOR names one.
const USUAL: &str = "vi";

/// The command in the first of `values` that names one.
pub(super) fn of(values: impl IntoIterator<Item = Option<String>>) -> String {
    values.into_iter().flatten().find(|it| !it.trim().is_empty()).unwrap_or_else(|| USUAL.to_owned())
}

/// A file that nobody else can read; gone with this value, unless it is kept.
pub(super) struct Draft {
    path: PathBuf,
    is_kept: bool,
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Draft {
    pub(super) fn of(bytes: &[u8]) -> io::Result<Self> {
        let name = format!("mailtide-{}-{}.eml", std::process::id(), getrandom::u32().unwrap_or_default());
        let path = std::env::temp_dir().join(name);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let draft = Self { path, is_kept: false };
        file.write_all(bytes)?;
        Ok(draft)
    }

    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        std::fs::read(&self.path)
    }

    /// Leaves the file, and says where it is.
    pub(super) fn keep(mut self) -> PathBuf {
        self.is_kept = true;
        self.path.clone()
    }

    /// Starts `editor` (a program with its arguments) on it.
    pub(super) fn open_in(&self, editor: &str) -> io::Result<Child> {
        let mut words = editor.split_whitespace();
        Command::new(words.next().unwrap_or(USUAL)).args(words).arg(&self.path).spawn()
    }
}

/// How the editor ended. Ctrl-C on its terminal is the editor's affair; who asks this program to end is obeyed.
pub(super) async fn ended(child: &mut Child) -> Result<ExitStatus, Failure> {
    let _interrupts = signal(SignalKind::interrupt())?;
    let (mut terminated, mut hung_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let asked = || Failure::Said { message: "it was asked to stop".to_owned(), exit: Exit::Failed };
    tokio::select! {
        status = child.wait() => Ok(status?),
        _ = terminated.recv() => Err(asked()),
        _ = hung_up.recv() => Err(asked()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_set_but_empty_names_no_editor() {
        let value = |text: &str| Some(text.to_owned());
        for (values, editor) in [
            ([value("emacs -nw"), value("ed")], "emacs -nw"),
            ([value(""), value("ed")], "ed"),
            ([value(" "), None], USUAL),
            ([None, None], USUAL),
        ] {
            assert_eq!(of(values), editor);
        }
    }
}
