//! Are the files of the store still where they were opened? Whoever removes them, or moves them away, leaves a running
//! program with files that nobody finds again: what would be written to them must not be called durable.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Error, Result};

/// What was found where, when the store was opened.
pub(super) struct Anchor(Vec<(PathBuf, Identity)>);

/// Names a file for as long as somebody has it open (POSIX `st_dev`, `st_ino`).
type Identity = (u64, u64);

impl Anchor {
    pub(super) fn at<const N: usize>(files: [&Path; N]) -> Result<Self> {
        let found = |file: &Path| Ok((file.to_owned(), identity(file).map_err(|error| Error::io(file, error))?));
        Ok(Self(files.into_iter().map(found).collect::<Result<_>>()?))
    }

    /// An error if one of the files is gone, or another is in its place.
    pub(super) fn holds(&self) -> Result<()> {
        // What cannot be looked at may be there.
        let is_there = |(file, was): &&(PathBuf, Identity)| match identity(file) {
            Ok(found) => found == *was,
            Err(error) => !matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory),
        };
        match self.0.iter().find(|file| !is_there(file)) {
            Some((file, _)) => Err(Error::Gone { path: file.clone() }),
            None => Ok(()),
        }
    }
}

fn identity(file: &Path) -> std::io::Result<Identity> {
    file.metadata().map(|found| (found.dev(), found.ino()))
}
