//! Bytes on their way from the server into the store: one message after the other.

use std::io;

use crate::store::{self, Store, StoredContent, Upload};

/// Each commit writes some pages of every index anew, whatever it holds: so much makes that small. The end of the program
/// costs what came since the last but one.
const COMMIT_MAX_MESSAGES: usize = 500;
const COMMIT_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Is a batch of so much to be committed?
pub(super) const fn is_commit_due(messages: usize, bytes: u64) -> bool {
    messages >= COMMIT_MAX_MESSAGES || bytes >= COMMIT_MAX_BYTES
}

/// Takes in one message after the other. One that is larger than what is taken is passed over.
pub(super) struct Landing {
    store: Store,
    upload: Option<Upload>,
}

impl Landing {
    pub(super) fn new(store: &Store) -> Self {
        Self { store: store.clone(), upload: None }
    }

    /// A message follows. What was begun before and not ended leaves nothing.
    pub(super) fn begin(&mut self) {
        self.upload = Some(self.store.upload());
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        match upload.write(bytes) {
            Ok(()) => Ok(()),
            Err(store::Error::TooBig { .. }) => {
                self.upload = None;
                Ok(())
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// All of it; `None` where it was passed over.
    pub(super) fn end(&mut self) -> io::Result<Option<StoredContent>> {
        self.upload.take().map(|upload| upload.finish_unread().map_err(io::Error::other)).transpose()
    }

    /// There is no message.
    pub(super) fn drop_it(&mut self) {
        self.upload = None;
    }
}
