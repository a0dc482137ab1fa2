//! By what messages are sorted and threaded: kept of each content apart from the rest (see [`Keys`]).

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::messages::wide_ranges;
use super::packs::Packs;
use super::source::ContentSource;
use super::{Error, Reader, Result, contents};
use crate::message::{Keyed, Keys, KeysRead};
use crate::types::{ContentId, InternalDate, LocalUid, MailboxId, UidSet, limits};

/// Contents whose keys are made in one transaction, at an opening that has to make some.
const NOTED_AT_ONCE: usize = 1000;

impl Reader<'_> {
    /// Those of `uids` (ascending) that exist, ascending. Call it in batches: the answer is held in memory.
    pub fn keyed(&self, mailbox: MailboxId, uids: &[LocalUid], read: KeysRead) -> Result<Vec<Keyed>> {
        self.guest_who_reads(mailbox)?;
        let mut select = self.conn().prepare_cached(
            "SELECT m.uid, m.internal_s, m.internal_offset, coalesce(m.told_bytes, m.size_bytes) AS size_bytes, k.keys
             FROM message AS m LEFT JOIN outline AS o ON o.id = m.outline_id
             LEFT JOIN content_keys AS k ON k.content_id = coalesce(m.content_id, o.header_id)
             WHERE m.mailbox_id = ?1 AND m.uid BETWEEN ?2 AND ?3 ORDER BY m.uid",
        )?;
        // By their places: to look names up for every row takes as long as all the rest.
        let mut keyed = Vec::new();
        let wanted: UidSet<LocalUid> = uids.iter().copied().collect();
        for (first, last) in wide_ranges(&wanted) {
            let mut rows = select.query(params![mailbox.get(), first, last])?;
            while let Some(row) = rows.next()? {
                let uid = LocalUid::new(row.get(0)?);
                if !wanted.contains(uid) {
                    continue;
                }
                let keys = row.get_ref(4)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
                keyed.push(Keyed {
                    uid,
                    internal_date: InternalDate::new(row.get(1)?, row.get(2)?),
                    size_bytes: row.get::<_, i64>(3)?.unsigned_abs(),
                    keys: keys.map(|keys| from_bytes(keys, read)).transpose()?.unwrap_or_default(),
                });
            }
        }
        Ok(keyed)
    }
}

fn from_bytes(bytes: &[u8], read: KeysRead) -> Result<Keys> {
    let keys = match read {
        KeysRead::All => postcard::from_bytes(bytes),
        // It stands first.
        KeysRead::SentDate => postcard::take_from_bytes(bytes).map(|(sent_s, _)| Keys { sent_s, ..Keys::default() }),
    };
    keys.map_err(|error| Error::Damaged(format!("unreadable sort keys: {error}")))
}

/// Keeps the keys of a content.
pub(super) fn note(hot: &Connection, content: ContentId, keys: &Keys) -> Result<()> {
    let keys = postcard::to_stdvec(keys)
        .map_err(|error| Error::Damaged(format!("sort keys that cannot be written: {error}")))?;
    let mut insert = hot.prepare_cached("INSERT INTO content_keys (content_id, keys) VALUES (?1, ?2)")?;
    insert.execute(params![content.get(), keys])?;
    Ok(())
}

/// Makes the keys of contents that were stored before there were any.
pub(super) fn note_missing(hot: &mut Connection, packs: &Arc<Packs>) -> Result<()> {
    loop {
        let transaction = hot.transaction()?;
        let ids = {
            let mut select =
                transaction.prepare_cached("SELECT content_id FROM content_unkeyed ORDER BY content_id LIMIT ?1")?;
            let ids = select.query_map([NOTED_AT_ONCE as i64], |row| row.get::<_, i64>("content_id"))?;
            ids.collect::<rusqlite::Result<Vec<_>>>()?
        };
        for id in &ids {
            // One that cannot be read is for the audit to tell; the store opens all the same.
            if let Ok(keys) = keys_of_stored(&transaction, packs, ContentId::new(*id)) {
                note(&transaction, ContentId::new(*id), &keys)?;
            }
            transaction.prepare_cached("DELETE FROM content_unkeyed WHERE content_id = ?1")?.execute([id])?;
        }
        transaction.commit()?;
        if ids.is_empty() {
            return Ok(());
        }
    }
}

fn keys_of_stored(hot: &Connection, packs: &Arc<Packs>, id: ContentId) -> Result<Keys> {
    let summary = Reader::new(hot).summary(id)?;
    let header_bytes = usize::try_from(summary.root.body_start).unwrap_or(usize::MAX).min(limits::HEADER_MAX_BYTES);
    let place = contents::place(hot, id)?.ok_or(Error::NoContent)?;
    let header = ContentSource::at(packs, place)?.read(0, header_bytes)?;
    Ok(Keys::of(&summary.envelope, &header))
}

#[cfg(test)]
mod tests {

    use super::super::{Executor, NewMessage, Options, Origin, Store};
    use super::*;
    use crate::types::{Flags, MailboxName, Timestamp};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_790_000_000_000);

    #[test]
    fn a_store_from_before_has_its_keys_after_an_opening() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { executor: Executor::Inline, program: "test".to_owned(), max_bytes: None };
        let open = || Store::open(folder.path(), &options, NOW).expect("a store");
        let store = open();
        let account = store.write(Origin::Authority, NOW, |txn| txn.ensure_account("me")).expect("an account");
        let inbox = MailboxName::inbox();
        let inbox = store.read(|reader| reader.mailbox_named(account, &inbox)).expect("a read").expect("an INBOX").id;
        let mut upload = store.upload();
        upload.write(b"Subject: Re: x\r\nMessage-ID: <2@x>\r\nReferences: <1@x>\r\n\r\nbody").expect("room");
        let (flags, internal_date) = (Flags::none(), InternalDate::new(5, 0));
        let new = NewMessage { content: upload.finish().expect("room"), flags, internal_date, email_id: None };
        store.write(Origin::Authority, NOW, move |txn| txn.append(inbox, &[new])).expect("an append");
        let keyed = |store: &Store| {
            store.read(|reader| reader.keyed(inbox, &[LocalUid::new(1)], KeysRead::All)).expect("a read")
        };
        let at_arrival = keyed(&store);
        assert_eq!((at_arrival[0].keys.subject.as_str(), at_arrival[0].keys.references.len()), ("X", 1));
        drop(store);
        let hot = Connection::open(super::super::files::Files::of(folder.path()).hot).expect("a database");
        let before = "DELETE FROM content_keys; INSERT INTO content_unkeyed SELECT id FROM content;";
        hot.execute_batch(before).expect("a database from before");
        drop(hot);
        assert_eq!(keyed(&open()), at_arrival);
    }
}
