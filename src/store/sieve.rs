//! Which messages have what flags, decided by SQLite alone: a search for unseen mail reads no message that is seen, and of
//! those it finds only the UIDs.

use rusqlite::params;

use super::messages::{OwnColumns, wide_ranges};
use super::{Reader, Result};
use crate::message::search::Query;
use crate::types::{Flag, LocalUid, MailboxId, UidSet};

/// Keys of a search that are asked in SQL at most: SQLite takes an expression of some depth and no more.
const KEYS_MAX: usize = 50;

/// A question about system flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sieve {
    condition: String,
}

impl Sieve {
    /// What of a search only asks for system flags, and what else it asks: both have to hold. `None`: nothing of it.
    pub fn split(query: &Query) -> Option<(Self, Option<Query>)> {
        let keys = match query {
            Query::And(all) => all.as_slice(),
            one => std::slice::from_ref(one),
        };
        let (mut conditions, mut rest) = (Vec::new(), Vec::new());
        for key in keys {
            match condition(key).filter(|_| conditions.len() < KEYS_MAX) {
                Some(condition) => conditions.push(condition),
                None => rest.push(key.clone()),
            }
        }
        let sieve = Self { condition: conditions.join(" AND ") };
        (!conditions.is_empty()).then(|| (sieve, (!rest.is_empty()).then_some(Query::And(rest))))
    }
}

/// A key in SQL, if it is one about system flags. Not what is nested: such searches are rare.
fn condition(key: &Query) -> Option<String> {
    let (flag, is_set) = match key {
        Query::Has(flag) => (flag, true),
        Query::Not(key) => match &**key {
            Query::Has(flag) => (flag, false),
            _ => return None,
        },
        _ => return None,
    };
    match flag {
        // As the indexes have it.
        Flag::System(flag) => Some(format!("system_flags & {} {} 0", *flag as u8, if is_set { "<>" } else { "=" })),
        Flag::Keyword(_) => None,
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
                format!("(SELECT f.uid, {} FROM message_flags AS f {} WHERE {place}) WHERE", own.columns, own.join)
            }
        };
        let sql = format!("SELECT uid FROM {flags} {} ORDER BY uid", sieve.condition);
        let mut select = self.conn().prepare_cached(&sql)?;
        let mut found = Vec::new();
        for (first, last) in wide_ranges(uids) {
            let rows =
                select.query_map(params![mailbox.get(), first, last], |row| row.get("uid").map(LocalUid::new))?;
            for uid in rows {
                found.extend(Some(uid?).filter(|uid| uids.contains(*uid)));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SystemFlag;

    #[test]
    fn what_is_about_system_flags_is_split_off() {
        let seen = || Query::Has(SystemFlag::Seen.into());
        let not = |query| Query::Not(Box::new(query));
        let keyword = || Query::Has(Flag::parse("work").expect("a keyword"));
        let split = |query: &Query| Sieve::split(query).map(|(sieve, rest)| (sieve.condition, rest));
        assert_eq!(split(&not(seen())), Some(("system_flags & 1 = 0".to_owned(), None)));
        let mixed = Query::And(vec![seen(), keyword(), not(Query::Has(SystemFlag::Deleted.into()))]);
        let condition = "system_flags & 1 <> 0 AND system_flags & 8 = 0".to_owned();
        assert_eq!(split(&mixed), Some((condition, Some(Query::And(vec![keyword()])))));
        for query in [Query::All, keyword(), Query::Or(Box::new(seen()), Box::new(keyword())), not(not(seen()))] {
            assert_eq!(split(&query), None, "{query:?}");
        }
    }
}
