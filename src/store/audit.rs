//! The thorough check: every invariant, the databases' own structure, and every stored byte against its hash.

use super::source::hash_of;
use super::{Result, Store, check};
use crate::types::{ContentHash, ContentId};

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// One sentence each; nothing is wrong if it is empty.
    pub wrong: Vec<String>,
    /// Contents that were read.
    pub contents: u64,
    /// Those whose bytes are not what they were: [`Store::fetch_again`] has them fetched again where that can be.
    pub damaged: Vec<ContentId>,
}

/// Reads the whole store. Takes as long as reading its files does; nobody waits for it.
pub fn audit(store: &Store) -> Result<Audit> {
    let mut wrong = check(store)?;
    wrong.extend(structure(store)?);
    let contents = store.read(|reader| {
        let mut select = reader.conn().prepare_cached("SELECT id, hash FROM content ORDER BY id")?;
        let rows = select.query_map([], |row| Ok((ContentId::new(row.get("id")?), row.get::<_, [u8; 32]>("hash")?)))?;
        Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
    })?;
    let (mut read, mut damaged) = (0, Vec::new());
    for (id, hash) in contents {
        match store.source(id).map_err(std::io::Error::other).and_then(|mut source| hash_of(&mut source)) {
            Ok(found) if found == ContentHash::from_bytes(hash) => read += 1,
            // Swept since the list was made.
            Err(_) if !is_listed(store, id)? => {}
            found => {
                damaged.push(id);
                wrong.push(match found {
                    Ok(_) => format!("stored bytes are what they were: those of content {id} are others"),
                    Err(error) => format!("stored bytes can be read: those of content {id} cannot: {error}"),
                });
            }
        }
    }
    Ok(Audit { wrong, contents: read, damaged })
}

/// What SQLite finds wrong with its own file.
fn structure(store: &Store) -> Result<Vec<String>> {
    store.read(|reader| {
        let mut select = reader.conn().prepare("PRAGMA integrity_check")?;
        let found = select.query_map([], |row| row.get::<_, String>(0))?;
        let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(found.into_iter().filter(|text| text != "ok").map(|text| format!("mailtide.db is sound: {text}")).collect())
    })
}

fn is_listed(store: &Store, content: ContentId) -> Result<bool> {
    store.read(|reader| {
        let mut select = reader.conn().prepare_cached("SELECT 1 AS one FROM content WHERE id = ?1")?;
        Ok(select.exists([content.get()])?)
    })
}
