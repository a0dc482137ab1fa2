//! Making the index: which contents are missing, and what they say.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, params};

use super::super::{Error, Options, Result, Store, files, migrate, room};
use super::{Index, grams};
use crate::message::searched::Texts;
use crate::types::{ContentId, limits};

/// A batch ends after so much text, or so much time.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
const BATCH_TIME: Duration = Duration::from_millis(100);

/// How many times as much room as a text has bytes its rows may take for a moment: in the log, with what is merged, and in
/// the database.
const ROOM_FACTOR: u64 = 4;

/// Contents that are looked for at once, and how far back from the newest one known: one may be referred to later than
/// another that was begun after it.
const LOOK: usize = 1000;
const LOOK_BACK: i64 = 1000;

/// Bytes of a content's hash that are kept.
const HASH_BYTES: usize = 8;

type Hash = [u8; HASH_BYTES];

/// The write side of the index.
pub(super) struct Builder {
    conn: Connection,
    /// Contents that are to be taken in.
    missing: VecDeque<(i64, Hash)>,
    /// Contents up to this one were looked at.
    looked_to: i64,
    /// There were none behind it.
    saw_all: bool,
}

impl Store {
    /// Takes some more messages into the search index; true if there may be others left. The caller waits for about a
    /// tenth of a second, nobody else does.
    pub fn index_more(&self) -> Result<bool> {
        let index = &self.shared().index;
        let mut builder = index.lock();
        let more = self.batch(index, &mut builder);
        match &more {
            Ok(_) | Err(Error::DiskFull { .. }) => index.give_back_from(&mut builder),
            Err(error) => index.throw_away(&mut builder, error),
        }
        more.map_err(|error| self.shared().tell(error))
    }

    fn batch(&self, index: &Index, builder: &mut Option<Builder>) -> Result<bool> {
        // Less than that is for the mail.
        let is_short = || room::to_spare(&index.path) == 0;
        let builder = match builder {
            Some(builder) => builder,
            // One that is there may have a log to give back.
            None if is_short() && !index.path.exists() => return Err(Error::DISK_FULL),
            None => builder.insert(Builder::open(index, self)?),
        };
        if is_short() {
            return Err(Error::DISK_FULL);
        }
        index.is_ready.store(true, std::sync::atomic::Ordering::Release);
        if builder.missing.is_empty() {
            builder.look(self)?;
        }
        builder.take_in(self, room::to_spare(&index.path))?;
        Ok(!builder.missing.is_empty() || !builder.saw_all)
    }
}

impl Builder {
    fn open(index: &Index, store: &Store) -> Result<Self> {
        let agreeing = || {
            let conn = open(&index.path, &index.options)?;
            let mut builder = Self { conn, missing: VecDeque::new(), looked_to: 0, saw_all: false };
            builder.agree(store).map(|()| builder)
        };
        agreeing().or_else(|error| match error {
            Error::DiskFull { .. } => Err(error),
            // One of a later version, too: it is no more than an index.
            error => {
                tracing::warn!("the search index is made anew: {error}");
                files::remove_database(&index.path);
                agreeing()
            }
        })
    }

    /// Forgets the rows that belong to no content, and finds up to where each content has one. Row by row: of a large store
    /// not even the numbers are held in memory.
    fn agree(&mut self, store: &Store) -> Result<()> {
        let mut stray = Vec::new();
        self.looked_to = store.read(|reader| {
            let mut there = reader.conn().prepare_cached("SELECT id, hash FROM content ORDER BY id")?;
            let mut there = there.query_map([], id_and_hash)?;
            let mut known = self.conn.prepare("SELECT id, hash FROM entry ORDER BY id")?;
            let mut known = known.query_map([], id_and_hash)?;
            let (mut content, mut entry) = (there.next().transpose()?, known.next().transpose()?);
            let (mut last, mut first_missing) = (0, None);
            while content.is_some() || entry.is_some() {
                let order = match (content, entry) {
                    (Some((id, _)), Some((entry, _))) => id.cmp(&entry),
                    (None, _) => Ordering::Greater,
                    (_, None) => Ordering::Less,
                };
                if entry != content && order.is_ge() {
                    stray.extend(entry.map(|(id, _)| ContentId::new(id)));
                }
                if let Some((id, _)) = content.filter(|_| order.is_le()) {
                    last = id;
                    first_missing = first_missing.or(Some(id).filter(|_| entry != content));
                    content = there.next().transpose()?;
                }
                if order.is_ge() {
                    entry = known.next().transpose()?;
                }
            }
            Ok(first_missing.map_or(last, |id| id - 1))
        })?;
        self.forget(&stray)
    }

    /// Finds what came since.
    fn look(&mut self, store: &Store) -> Result<()> {
        let mut is_known = self.conn.prepare_cached("SELECT 1 AS one FROM entry WHERE id = ?1")?;
        self.saw_all = false;
        while self.missing.is_empty() && !self.saw_all {
            let after = self.looked_to - LOOK_BACK;
            let there: Vec<(i64, Hash)> = store.read(|reader| {
                let mut select =
                    reader.conn().prepare_cached("SELECT id, hash FROM content WHERE id > ?1 ORDER BY id LIMIT ?2")?;
                let rows = select.query_map(params![after, LOOK_BACK + LOOK as i64], id_and_hash)?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })?;
            self.saw_all = there.last().is_none_or(|(id, _)| *id <= self.looked_to);
            for (id, hash) in there {
                self.looked_to = self.looked_to.max(id);
                if !is_known.exists([id])? {
                    self.missing.push_back((id, hash));
                }
            }
        }
        Ok(())
    }

    /// Copies the log back and cuts it.
    pub(super) fn cut_log(&self) -> Result<()> {
        room::cut(&self.conn)
    }

    /// Takes in a batch of what is missing, no more than there is room for.
    fn take_in(&mut self, store: &Store, room_bytes: u64) -> Result<()> {
        let began = Instant::now();
        let transaction = self.conn.transaction()?;
        let (mut bytes, mut taken) = (0, 0);
        for (id, hash) in &self.missing {
            if bytes >= BATCH_BYTES || (taken > 0 && began.elapsed() >= BATCH_TIME) {
                break;
            }
            match texts(store, ContentId::new(*id)) {
                Ok(texts) => {
                    bytes += texts.as_ref().map_or(0, |texts| texts.headers.len() + texts.body.len());
                    match (bytes as u64).saturating_mul(ROOM_FACTOR) <= room_bytes {
                        true => add(&transaction, *id, hash, texts.as_ref())?,
                        false if taken > 0 => break,
                        false => return Err(Error::DISK_FULL),
                    }
                }
                // It went meanwhile, or cannot be read: whoever searches it is told.
                Err(error) => tracing::debug!(%error, content = id, "not taken into the search index"),
            }
            taken += 1;
        }
        transaction.commit()?;
        self.missing.drain(..taken);
        Ok(())
    }

    pub(super) fn forget(&mut self, contents: &[ContentId]) -> Result<()> {
        let transaction = self.conn.transaction()?;
        for id in contents {
            for table in
                ["entry WHERE id", "header_text WHERE id", "body_text WHERE id", "gram WHERE rowid", "pair WHERE rowid"]
            {
                transaction.prepare_cached(&format!("DELETE FROM {table} = ?1"))?.execute([id.get()])?;
            }
        }
        Ok(transaction.commit()?)
    }
}

/// What a content says; `None` if that is too much.
fn texts(store: &Store, content: ContentId) -> Result<Option<Texts>> {
    let summary = store.read(|reader| reader.summary(content))?;
    let mut source = store.source(content)?;
    let texts = Texts::of(&summary, &mut source, limits::SEARCH_INDEXED_MAX_BYTES);
    texts.map_err(Error::unreadable)
}

fn add(transaction: &Transaction<'_>, id: i64, hash: &Hash, texts: Option<&Texts>) -> Result<()> {
    let mut insert = transaction.prepare_cached("INSERT INTO entry (id, hash, whole) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![id, hash, texts.is_some()])?;
    let Some(Texts { headers, body }) = texts else { return Ok(()) };
    let mut insert = transaction.prepare_cached("INSERT INTO header_text (id, text) VALUES (?1, ?2)")?;
    insert.execute(params![id, headers.as_bytes()])?;
    let mut insert = transaction.prepare_cached("INSERT INTO body_text (id, text) VALUES (?1, ?2)")?;
    insert.execute(params![id, body.as_bytes()])?;
    let mut insert = transaction.prepare_cached("INSERT INTO gram (rowid, headers, body) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![id, headers, body])?;
    let names = grams::names([headers, body]);
    if !names.is_empty() {
        let mut insert = transaction.prepare_cached("INSERT INTO pair (rowid, names) VALUES (?1, ?2)")?;
        insert.execute(params![id, names])?;
    }
    Ok(())
}

fn id_and_hash(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, Hash)> {
    let mut hash = Hash::default();
    let stored = row.get_ref("hash")?.as_blob()?;
    let length = stored.len().min(HASH_BYTES);
    hash[..length].copy_from_slice(&stored[..length]);
    Ok((row.get("id")?, hash))
}

fn open(path: &Path, options: &Options) -> Result<Connection> {
    migrate::refuse_newer(path, migrate::SEARCH)?;
    let mut conn = files::open(path, options, files::PAGE_BYTES, files::SEARCH_CACHE_KIB)?;
    migrate::migrate(&mut conn, migrate::SEARCH)?;
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::super::super::{Executor, NewMessage, Origin};
    use super::*;
    use crate::types::{Flags, InternalDate, MailboxName, Timestamp};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

    #[test]
    fn at_rest_everything_is_taken_in_however_much_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { executor: Executor::Inline, program: "test".to_owned(), max_bytes: None };
        let store = Store::open(folder.path(), &options, NOW).expect("a store");
        let account = store.write(Origin::Authority, NOW, |txn| txn.ensure_account("me")).expect("an account");
        let inbox = store.read(|reader| reader.mailbox_named(account, &MailboxName::inbox()));
        let inbox = inbox.expect("a read").expect("an INBOX").id;
        let count = 2 * LOOK + 1;
        let message = |number: usize| {
            let mut upload = store.upload();
            upload.write(format!("Subject: {number}\r\n\r\n").as_bytes()).expect("room");
            let (flags, internal_date) = (Flags::none(), InternalDate::new(5, 0));
            NewMessage { content: upload.finish().expect("room"), flags, internal_date, email_id: None }
        };
        let messages: Vec<_> = (0..count).map(message).collect();
        store.write(Origin::Authority, NOW, move |txn| txn.append(inbox, &messages)).expect("an append");
        while store.index_more().expect("an index") {}
        let index = Connection::open(folder.path().join("search.db")).expect("an index");
        let entries = "SELECT count(*) AS entries FROM entry";
        let entries: u32 = index.query_row(entries, [], |row| row.get("entries")).expect("a count");
        assert_eq!(entries as usize, count);
    }
}
