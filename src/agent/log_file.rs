//! The log in a file, beside what goes to standard error: what happened last week can still be read, whoever started the
//! program.
//!
//! Rules: it is its owner's alone; it and the one before it (`.1`) stay within [`limits::LOG_FILE_MAX_BYTES`] each; what
//! cannot be written to it is left out: a full disk stops no program.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::types::limits;

/// A log file, open.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
}

impl LogFile {
    /// Goes on with the file at `path`, or makes it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::with_limit(path, limits::LOG_FILE_MAX_BYTES)
    }

    fn with_limit(path: &Path, max_bytes: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = append_to(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes, max_bytes })
    }

    /// What is there becomes the one before.
    fn turn(&mut self) -> io::Result<()> {
        let mut before = OsString::from(&self.path);
        before.push(".1");
        std::fs::rename(&self.path, before)?;
        self.file = append_to(&self.path)?;
        self.bytes = 0;
        Ok(())
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.max_bytes {
            self.turn()?;
        }
        self.file.write_all(line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).mode(0o600).open(path)
}

/// A line a call.
impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Nobody is there to be told: standard error has the line.
        let _ = self.append(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(log: &mut LogFile, line: &str) {
        log.write_all(line.as_bytes()).expect("it never fails");
    }

    #[test]
    fn a_log_goes_on_after_a_restart_and_keeps_the_last_two_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, before) = (folder.path().join("state/syncd.log"), folder.path().join("state/syncd.log.1"));
        let read = |path| std::fs::read_to_string(path).expect("a log");
        for line in ["one\n", "two\n"] {
            write(&mut LogFile::with_limit(&path, 10).expect("a log"), line);
        }
        assert_eq!(read(&path), "one\ntwo\n");
        let mut log = LogFile::with_limit(&path, 10).expect("a log");
        write(&mut log, "three\n");
        assert_eq!((read(&before), read(&path)), ("one\ntwo\n".to_owned(), "three\n".to_owned()));
        write(&mut log, "longer than the limit\n");
        write(&mut log, "end\n");
        assert_eq!((read(&before), read(&path)), ("longer than the limit\n".to_owned(), "end\n".to_owned()));
        let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder.path().join("state"))), (0o600, 0o700));
    }

    #[test]
    fn what_cannot_be_written_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("syncd.log");
        let mut log = LogFile::with_limit(&path, 4).expect("a log");
        write(&mut log, "one\n");
        // No name for the one before: it cannot be turned.
        std::fs::create_dir(folder.path().join("syncd.log.1")).expect("a folder in the way");
        write(&mut log, "two\n");
        assert_eq!(std::fs::read_to_string(&path).expect("a log"), "one\n");
        std::fs::remove_dir(folder.path().join("syncd.log.1")).expect("out of the way");
        write(&mut log, "three\n");
        assert_eq!(std::fs::read_to_string(&path).expect("a log"), "three\n");
    }
}
