//! Which messages have what flags, decided by SQLite alone: a search for unseen mail reads no message that is seen, and of
//! those it finds only the UIDs.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{params, params_from_iter};

use super::flag_blocks::{Bits, Which, bits_among, uids_of};
use super::messages::{GuestColumns, wide_ranges};
use super::{Reader, Result};
use crate::message::search::Query;
use crate::types::{AccountId, Flag, Flags, LocalUid, MailboxId, SystemFlag, UidSet};

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

    /// The blocks in which some message may be such.
    fn which(&self) -> Which {
        let asks = |flag: SystemFlag, is_set| self.keys.contains(&Key { flag: flag.into(), is_set });
        match (asks(SystemFlag::Deleted, true), asks(SystemFlag::Seen, false)) {
            (true, _) => Which::Deleted,
            (false, true) => Which::Unseen,
            (false, false) => Which::All,
        }
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

    /// It in SQL. A keyword is one of several in a text: those that hold it are in the parameter.
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
        let guest = self.guest_who_reads(mailbox)?;
        let asks_keywords = sieve.keys.iter().any(|key| matches!(key.flag, Flag::Keyword(_)));
        let texts = if asks_keywords { self.keyword_texts(mailbox)? } else { Vec::new() };
        match guest {
            None => self.sifted_by_blocks(mailbox, uids, sieve, &texts),
            Some(guest) => self.sifted_for(guest, mailbox, uids, sieve, &texts),
        }
    }

    fn sifted_by_blocks(
        &self,
        mailbox: MailboxId,
        uids: &UidSet<LocalUid>,
        sieve: &Sieve,
        texts: &[(String, Flags)],
    ) -> Result<Vec<LocalUid>> {
        let (Some((first, _)), Some((_, last))) = (uids.ranges().first(), uids.ranges().last()) else {
            return Ok(Vec::new());
        };
        let mut worded = Vec::new();
        for key in &sieve.keys {
            worded.push(key.parameter(texts).map(|texts| self.worded(mailbox, &texts)).transpose()?);
        }
        let mut found = Vec::new();
        for block in self.blocks(mailbox, (*first, *last), sieve.which())? {
            let mut left = block.present & bits_among(block.number, uids);
            for (key, worded) in sieve.keys.iter().zip(&worded) {
                let set = match (&key.flag, worded) {
                    (Flag::System(flag), _) => block.having(*flag),
                    (Flag::Keyword(_), worded) => {
                        worded.as_ref().and_then(|worded| worded.get(&block.number)).copied().unwrap_or(0)
                    }
                };
                left &= if key.is_set { set } else { !set };
            }
            found.extend(uids_of(block.number, left));
        }
        Ok(found)
    }

    /// The messages whose keywords are one of those texts, by their blocks.
    fn worded(&self, mailbox: MailboxId, texts: &Value) -> Result<BTreeMap<u32, Bits>> {
        let mut select = self.conn().prepare_cached(
            "SELECT block, bits FROM keyword_block
             WHERE mailbox_id = ?1 AND keywords IN (SELECT value FROM json_each(?2))",
        )?;
        let mut rows = select.query(params![mailbox.get(), texts])?;
        let mut worded = BTreeMap::new();
        while let Some(row) = rows.next()? {
            *worded.entry(row.get("block")?).or_insert(0) |= row.get::<_, i64>("bits")?.cast_unsigned();
        }
        Ok(worded)
    }

    fn sifted_for(
        &self,
        guest: AccountId,
        mailbox: MailboxId,
        uids: &UidSet<LocalUid>,
        sieve: &Sieve,
        texts: &[(String, Flags)],
    ) -> Result<Vec<LocalUid>> {
        let own = GuestColumns::of(guest);
        let (mut conditions, mut holding) = (Vec::new(), Vec::new());
        for key in &sieve.keys {
            holding.extend(key.parameter(texts));
            conditions.push(key.condition(PLACE_PARAMETERS + holding.len()));
        }
        let sql = format!(
            "SELECT uid FROM (SELECT f.uid, f.keywords, {} FROM message_flags AS f {}
               WHERE f.mailbox_id = ?1 AND f.uid BETWEEN ?2 AND ?3) WHERE {} ORDER BY uid",
            own.columns,
            own.join,
            conditions.join(" AND ")
        );
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
