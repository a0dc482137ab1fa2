//! What the index says of messages: exactly what reading them would say.

use memchr::memmem::Finder;
use rusqlite::{Connection, params};

use super::super::{Result, Store};
use super::grams::{self, Way};
use crate::message::folded;
use crate::message::search::Query;
use crate::types::ContentId;

/// What the index says of some contents.
#[derive(Debug, Default)]
pub struct Findings {
    /// The contents of which it says something, ascending.
    indexed: Vec<i64>,
    /// The keys, and the contents that hold the text of each, ascending.
    keys: Vec<(Query, Vec<i64>)>,
}

impl Findings {
    /// Does the content match the key, one of those that read text? `None`: that is to be read.
    pub fn say(&self, content: Option<ContentId>, key: &Query) -> Option<bool> {
        let (_, holding) = self.keys.iter().find(|(known, _)| known == key)?;
        let content = content?.get();
        self.indexed.binary_search(&content).ok()?;
        let holds = holding.binary_search(&content).is_ok();
        match key {
            // In which field it is, the index does not know.
            Query::Header { .. } if holds => None,
            _ => Some(holds),
        }
    }
}

impl Store {
    /// What the index says of these contents; nothing where there is no index, or it fails.
    pub fn findings(&self, query: &Query, mut contents: Vec<ContentId>) -> Findings {
        let index = &self.shared().index;
        let keys: Vec<(&Query, String, Way)> = query
            .text_keys()
            .into_iter()
            .filter_map(|key| {
                let needle = folded(text_of(key)?);
                let way = grams::way(&needle)?;
                Some((key, needle, way))
            })
            .collect();
        if keys.is_empty() || contents.is_empty() || !index.is_ready() {
            return Findings::default();
        }
        contents.sort_unstable();
        let contents: Vec<i64> = contents.into_iter().map(ContentId::get).collect();
        let found = index.readers.read(|conn| {
            let span = Span { conn, contents: &contents };
            let keys = keys.iter().map(|(key, needle, way)| Ok(((*key).clone(), span.holding(key, needle, way)?)));
            Ok(Findings { indexed: span.indexed()?, keys: keys.collect::<Result<_>>()? })
        });
        found.unwrap_or_else(|error| {
            // Any other trouble passes, or is met by who builds it.
            match error.is_damage() || !index.path.exists() {
                true => index.throw_away(&mut index.lock(), &error),
                false => tracing::debug!(%error, "the search index cannot be asked now"),
            }
            Findings::default()
        })
    }
}

fn text_of(key: &Query) -> Option<&str> {
    match key {
        Query::Body(text) | Query::Text(text) | Query::Header { value: text, .. } => Some(text),
        _ => None,
    }
}

/// The contents of which something is asked, ascending and not empty.
struct Span<'a> {
    conn: &'a Connection,
    contents: &'a [i64],
}

impl Span<'_> {
    fn indexed(&self) -> Result<Vec<i64>> {
        let (first, last) = self.ends();
        let mut select =
            self.conn.prepare_cached("SELECT id FROM entry WHERE whole = 1 AND id BETWEEN ?1 AND ?2 ORDER BY id")?;
        self.among(select.query_map(params![first, last], |row| row.get("id"))?)
    }

    /// Those that hold the text, where the key looks for it.
    fn holding(&self, key: &Query, needle: &str, way: &Way) -> Result<Vec<i64>> {
        let candidates = match way {
            Way::Gram(expression) => self.candidates("gram", expression)?,
            Way::Pair(name) => self.candidates("pair", name)?,
            Way::Every => self.contents.to_vec(),
        };
        let tables: &[&str] = match key {
            Query::Body(_) => &["body_text"],
            Query::Header { .. } => &["header_text"],
            _ => &["header_text", "body_text"],
        };
        let finder = Finder::new(needle);
        let mut holding = Vec::new();
        for id in candidates {
            for table in tables {
                let mut select = self.conn.prepare_cached(&format!("SELECT text FROM {table} WHERE id = ?1"))?;
                let mut rows = select.query([id])?;
                let Some(row) = rows.next()? else { break };
                let text = row.get_ref("text")?.as_blob().map_err(rusqlite::Error::from)?;
                if finder.find(text).is_some() {
                    holding.push(id);
                    break;
                }
            }
        }
        Ok(holding)
    }

    fn candidates(&self, table: &str, expression: &str) -> Result<Vec<i64>> {
        let (first, last) = self.ends();
        let mut select = self.conn.prepare_cached(&format!(
            "SELECT rowid AS id FROM {table} WHERE {table} MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid"
        ))?;
        self.among(select.query_map(params![expression, first, last], |row| row.get("id"))?)
    }

    fn ends(&self) -> (i64, i64) {
        (self.contents.first().copied().unwrap_or(0), self.contents.last().copied().unwrap_or(0))
    }

    fn among(&self, ids: impl Iterator<Item = rusqlite::Result<i64>>) -> Result<Vec<i64>> {
        let mut among = Vec::new();
        for id in ids {
            let id = id?;
            if self.contents.binary_search(&id).is_ok() {
                among.push(id);
            }
        }
        Ok(among)
    }
}
