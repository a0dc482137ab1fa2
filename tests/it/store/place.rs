//! A store in a temporary folder, and short words for tests.

use std::path::PathBuf;

use mailtide::store::{ContentSource, Executor, NewMessage, Options, Origin, Store, StoredContent};
use mailtide::types::{
    AccountId, ByteSource, ContentId, Flag, Flags, InternalDate, LocalUid, MailboxId, MailboxName, Timestamp,
};

pub fn now() -> Timestamp {
    Timestamp::from_unix_ms(1_790_000_000_000)
}

pub fn flags(text: &str) -> Flags {
    text.split_whitespace().filter_map(Flag::parse).collect()
}

pub fn name(text: &str) -> MailboxName {
    MailboxName::parse(text).expect("a valid name")
}

/// A message of about `size` bytes, no two numbers alike.
pub fn message(number: usize, size: usize) -> Vec<u8> {
    let mut bytes = format!("Subject: message {number}\r\nMessage-ID: <{number}@test>\r\n\r\n").into_bytes();
    while bytes.len() < size {
        bytes.extend_from_slice(format!("line {} of {number}\r\n", bytes.len()).as_bytes());
    }
    bytes
}

/// A data folder.
pub struct Place {
    pub folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A place with an open store, in which one user has an INBOX.
    pub fn with_inbox(executor: Executor) -> (Self, Store, AccountId, MailboxId) {
        let place = Self::new();
        let store = place.open(executor);
        let account = place.account(&store, "me");
        let inbox = place.inbox(&store, account);
        (place, store, account, inbox)
    }

    pub fn options(executor: Executor) -> Options {
        Options { executor, program: "tests".to_owned(), max_bytes: None }
    }

    pub fn open(&self, executor: Executor) -> Store {
        Store::open(self.folder.path(), &Self::options(executor), now()).expect("a store")
    }

    pub fn account(&self, store: &Store, name: &'static str) -> AccountId {
        store.write(Origin::Authority, now(), move |txn| txn.ensure_account(name)).expect("an account")
    }

    pub fn inbox(&self, store: &Store, account: AccountId) -> MailboxId {
        store.read(|reader| reader.mailbox_named(account, &name("INBOX"))).expect("a read").expect("an INBOX").id
    }

    pub fn upload(&self, store: &Store, bytes: &[u8]) -> StoredContent {
        let mut upload = store.upload();
        bytes.chunks(10_000).for_each(|piece| upload.write(piece).expect("room"));
        upload.finish().expect("room")
    }

    pub fn append(
        &self,
        store: &Store,
        origin: Origin,
        mailbox: MailboxId,
        bytes: &[u8],
        flags_text: &str,
    ) -> LocalUid {
        let content = self.upload(store, bytes);
        let message = NewMessage {
            content,
            flags: flags(flags_text),
            internal_date: InternalDate::new(1_000_000_000, 120),
            email_id: None,
        };
        store.write(origin, now(), move |txn| txn.append(mailbox, &[message])).expect("an append").messages[0].1
    }

    pub fn bytes(&self, store: &Store, content: ContentId) -> Vec<u8> {
        all(&store.source(content).expect("a content"))
    }

    /// The bytes of an upload, to which nothing need refer.
    pub fn bytes_of(&self, stored: &StoredContent) -> Vec<u8> {
        all(&stored.source().expect("a content"))
    }

    /// The first file with bytes of messages.
    pub fn pack(&self) -> PathBuf {
        self.folder.path().join("content-1.pack")
    }

    /// A database of the store, made by `sql`.
    pub fn make_database(&self, file: &str, sql: &str) {
        let conn = rusqlite::Connection::open(self.folder.path().join(file)).expect("a new database");
        conn.execute_batch(sql).expect("valid SQL");
    }
}

fn all(source: &ContentSource) -> Vec<u8> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < source.size() {
        bytes.extend(source.read(bytes.len() as u64, 100_000).expect("bytes"));
    }
    bytes
}
