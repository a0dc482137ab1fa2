//! Which messages have what flags, decided by SQLite alone: a search for unseen mail reads no message that is seen, and of
//! those it finds only the UIDs.

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::messages::{OwnColumns, wide_ranges};
use super::{Reader, Result};
use crate::message::search::Query;
use crate::types::{Flag, Flags, LocalUid, MailboxId, UidSet};

/// Keys of a search that are asked in SQL at most: SQLite takes an expression of some depth and no more.
const KEYS_MAX: usize = 50;

/// The parameters that say of which messages.
const PLACE_PARAMETERS: usize = 3;

/// A question about flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sieve {
    keys: Vec<Key>,
}

/// That a flag is set, or that it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    flag: Flag,
    is_set: bool,
}

impl Sieve {
    /// What of a search only asks for flags, and what else it asks: both have to hold. `None`: nothing of it.
    pub fn split(query: &Query) -> Option<(Self, Option<Query>)> {
        let asked = match query {
            Query::And(all) => all.as_slice(),
            one => std::slice::from_ref(one),
        };
        let (mut keys, mut rest) = (Vec::new(), Vec::new());
        for query in asked {
            match Key::of(query).filter(|_| keys.len() < KEYS_MAX) {
                Some(key) => keys.push(key),
                None => rest.push(query.clone()),
            }
        }
        (!keys.is_empty()).then(|| (Self { keys }, (!rest.is_empty()).then_some(Query::And(rest))))
    }
}

impl Key {
    /// Not what is nested: such searches are rare.
    fn of(query: &Query) -> Option<Self> {
        match query {
            Query::Has(flag) => Some(Self { flag: flag.clone(), is_set: true }),
            Query::Not(query) => match &**query {
                Query::Has(flag) => Some(Self { flag: flag.clone(), is_set: false }),
                _ => None,
            },
            _ => None,
        }
    }

    /// It in SQL, as the indexes have it. A keyword is one of several in a text: those that hold it are in the parameter.
    fn condition(&self, parameter: usize) -> String {
        match (&self.flag, self.is_set) {
            (Flag::System(flag), true) => format!("system_flags & {} <> 0", *flag as u8),
            (Flag::System(flag), false) => format!("system_flags & {} = 0", *flag as u8),
            (Flag::Keyword(_), true) => {
                format!("keywords <> '' AND keywords IN (SELECT value FROM json_each(?{parameter}))")
            }
            (Flag::Keyword(_), false) => format!("keywords NOT IN (SELECT value FROM json_each(?{parameter}))"),
        }
    }

    /// Of the texts of a mailbox those that hold the keyword, as a JSON array; `None`: it is about no keyword.
    fn parameter(&self, texts: &[(String, Flags)]) -> Option<Value> {
        matches!(self.flag, Flag::Keyword(_)).then(|| {
            let holding = texts.iter().filter(|(_, flags)| flags.contains(&self.flag)).map(|(text, _)| text.as_str());
            Value::Text(serde_json::Value::from_iter(holding).to_string())
        })
    }
}

impl Reader<'_> {
    /// Those messages whose UIDs are in the set and whose flags are such, ascending.
    pub fn sifted(&self, mailbox: MailboxId, uids: &UidSet<LocalUid>, sieve: &Sieve) -> Result<Vec<LocalUid>> {
        let place = "f.mailbox_id = ?1 AND f.uid BETWEEN ?2 AND ?3";
        let guest = self.guest_who_reads(mailbox)?;
        let own = OwnColumns::of(guest);
        let flags = match guest {
            None => format!("message_flags AS f WHERE {place} AND"),
            Some(_) => {
                let columns = format!("f.uid, f.keywords, {}", own.columns);
                format!("(SELECT {columns} FROM message_flags AS f {} WHERE {place}) WHERE", own.join)
            }
        };
        let asks_keywords = sieve.keys.iter().any(|key| matches!(key.flag, Flag::Keyword(_)));
        let texts = if asks_keywords { self.keyword_texts(mailbox)? } else { Vec::new() };
        let (mut conditions, mut holding) = (Vec::new(), Vec::new());
        for key in &sieve.keys {
            holding.extend(key.parameter(&texts));
            conditions.push(key.condition(PLACE_PARAMETERS + holding.len()));
        }
        let sql = format!("SELECT uid FROM {flags} {} ORDER BY uid", conditions.join(" AND "));
        let mut select = self.conn().prepare_cached(&sql)?;
        let mut found = Vec::new();
        for (first, last) in wide_ranges(uids) {
            let place = [Value::from(mailbox.get()), Value::from(first), Value::from(last)];
            let parameters = params_from_iter(place.iter().chain(&holding));
            for uid in select.query_map(parameters, |row| row.get("uid").map(LocalUid::new))? {
                found.extend(Some(uid?).filter(|uid| uids.contains(*uid)));
            }
        }
        Ok(found)
    }

    /// The keywords that messages of a mailbox have, in each combination that there is.
    pub(in crate::store) fn keyword_texts(&self, mailbox: MailboxId) -> Result<Vec<(String, Flags)>> {
        let mut select = self
            .conn()
            .prepare_cached("SELECT DISTINCT keywords FROM message_flags WHERE mailbox_id = ?1 AND keywords <> ''")?;
        let texts = select.query_map([mailbox.get()], |row| {
            let text: String = row.get("keywords")?;
            Ok((text.clone(), Flags::from_columns(0, &text)))
        })?;
        Ok(texts.collect::<rusqlite::Result<_>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_flags_is_split_off() {
        let has = |flag: &str| Query::Has(Flag::parse(flag).expect("a flag"));
        let not = |query| Query::Not(Box::new(query));
        let key = |flag: &str, is_set| Key { flag: Flag::parse(flag).expect("a flag"), is_set };
        let mixed = Query::And(vec![has("\\Seen"), Query::All, not(has("work")), has("\\Deleted")]);
        let keys = vec![key("\\Seen", true), key("work", false), key("\\Deleted", true)];
        assert_eq!(Sieve::split(&mixed), Some((Sieve { keys }, Some(Query::And(vec![Query::All])))));
        assert_eq!(Sieve::split(&has("work")), Some((Sieve { keys: vec![key("work", true)] }, None)));
        let nested = Query::Or(Box::new(has("\\Seen")), Box::new(has("work")));
        for query in [Query::All, nested, not(not(has("\\Seen")))] {
            assert_eq!(Sieve::split(&query), None, "{query:?}");
        }
    }
}
