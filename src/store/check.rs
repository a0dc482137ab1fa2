//! Every invariant of the data as a query. An empty answer is a sound store.

use rusqlite::{Connection, Row};

use super::messages::flags_from_row;
use super::packs::Packs;
use super::{Result, Store, contents};
use crate::journal::{Evidence, Op};
use crate::merge::FlagReplicas;
use crate::types::{Flag, Flags, MailboxName};

/// What is wrong with the store, one sentence each; nothing is wrong if it is empty.
pub fn check(store: &Store) -> Result<Vec<String>> {
    store.read(|reader| {
        let (hot, packs) = (reader.conn(), store.contents().packs());
        let mut wrong = Vec::new();
        for (rule, sql) in RULES {
            let mut select = hot.prepare_cached(sql)?;
            let found = select.query_map([], |row| row.get::<_, String>("what"))?;
            for what in found {
                wrong.push(format!("{rule}: {}", what?));
            }
        }
        check_names(hot, &mut wrong)?;
        check_contents(hot, packs, &mut wrong)?;
        check_journal(hot, &mut wrong)?;
        check_replicas(hot, &mut wrong)?;
        check_flags_against_base(hot, &mut wrong)?;
        Ok(wrong)
    })
}

/// Each rule with a query for what breaks it.
const RULES: &[(&str, &str)] = &[
    (
        "references hold",
        "SELECT 'row ' || coalesce(rowid, '?') || ' of ' || \"table\" || ' refers to a missing row of ' || parent AS what
         FROM pragma_foreign_key_check",
    ),
    (
        "a UID is below its mailbox's UIDNEXT",
        "SELECT 'message ' || m.id || ' has UID ' || m.uid || ' in mailbox ' || b.id AS what
         FROM message AS m JOIN mailbox AS b ON b.id = m.mailbox_id WHERE m.uid >= b.uid_next OR m.uid < 1",
    ),
    (
        "a mod-sequence is not above its mailbox's highest",
        "SELECT 'message ' || m.id || ' in mailbox ' || b.id AS what
         FROM message AS m JOIN message_flags AS f ON f.message_id = m.id JOIN mailbox AS b ON b.id = m.mailbox_id
         WHERE f.mod_seq > b.highest_mod_seq OR f.mod_seq < 1
         UNION ALL
         SELECT 'expunged UID ' || e.uid || ' of mailbox ' || b.id AS what
         FROM expunged AS e JOIN mailbox AS b ON b.id = e.mailbox_id WHERE e.mod_seq > b.highest_mod_seq
         UNION ALL
         SELECT 'block ' || u.block || ' of mailbox ' || b.id AS what
         FROM flag_block AS u JOIN mailbox AS b ON b.id = u.mailbox_id
         WHERE max(u.mod_seq, u.base_mod_seq) > b.highest_mod_seq",
    ),
    (
        "a message has flags, in its place",
        "SELECT 'message ' || m.id AS what FROM message AS m
         LEFT JOIN flag_block AS b ON b.mailbox_id = m.mailbox_id AND b.block = m.uid >> 6
         WHERE m.mailbox_id IS NOT NULL
         AND (coalesce(b.present >> (m.uid & 63) & 1, 0) = 0 OR m.apart_flags <> 0 OR m.apart_keywords <> '')",
    ),
    (
        "flags are of a message",
        "WITH RECURSIVE bit (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM bit WHERE n < 63)
         SELECT 'UID ' || (b.block * 64 + bit.n) || ' of mailbox ' || b.mailbox_id AS what
         FROM flag_block AS b CROSS JOIN bit LEFT JOIN message AS m ON m.mailbox_id = b.mailbox_id AND m.uid = b.block * 64 + bit.n
         WHERE (b.present | b.seen | b.answered | b.flagged | b.deleted | b.draft) >> bit.n & 1 AND m.id IS NULL
         UNION ALL
         SELECT 'UID ' || q.uid || ' of mailbox ' || q.mailbox_id AS what
         FROM message_mod_seq AS q
         LEFT JOIN message AS m ON m.mailbox_id = q.mailbox_id AND m.uid = q.uid WHERE m.id IS NULL
         UNION ALL
         SELECT 'UIDs from ' || (k.block * 64) || ' of mailbox ' || k.mailbox_id AS what
         FROM keyword_block AS k LEFT JOIN flag_block AS b ON b.mailbox_id = k.mailbox_id AND b.block = k.block
         WHERE k.bits & ~coalesce(b.present, 0) <> 0",
    ),
    (
        "a message has one set of keywords",
        "SELECT 'UIDs from ' || (k.block * 64) || ' of mailbox ' || k.mailbox_id AS what FROM keyword_block AS k
         WHERE k.bits = 0 OR k.keywords = ''
         OR EXISTS (SELECT 1 FROM keyword_block AS o
                    WHERE o.mailbox_id = k.mailbox_id AND o.block = k.block AND o.keywords > k.keywords AND o.bits & k.bits <> 0)",
    ),
    (
        "a change is found where its message is",
        "SELECT 'message ' || f.message_id AS what FROM message_flags AS f
         LEFT JOIN guest_seen AS g ON g.message_id = f.message_id
         LEFT JOIN flag_block AS u ON u.mailbox_id = f.mailbox_id AND u.block = f.uid >> 6
         WHERE f.mailbox_id IS NOT NULL AND max(f.mod_seq, coalesce(g.mod_seq, 0)) > coalesce(u.mod_seq, 0)",
    ),
    (
        "an expunged UID names no message",
        "SELECT 'UID ' || e.uid || ' of mailbox ' || e.mailbox_id AS what
         FROM expunged AS e JOIN message AS m ON m.mailbox_id = e.mailbox_id AND m.uid = e.uid",
    ),
    (
        "a message is in a mailbox of its account",
        "SELECT 'message ' || m.id AS what FROM message AS m JOIN mailbox AS b ON b.id = m.mailbox_id
         WHERE m.account_id <> b.account_id",
    ),
    (
        "a deleted mailbox holds no message",
        "SELECT 'message ' || m.id || ' in mailbox ' || b.id AS what
         FROM message AS m JOIN mailbox AS b ON b.id = m.mailbox_id WHERE b.name IS NULL AND b.hidden_name IS NULL",
    ),
    (
        "an account has an INBOX",
        "SELECT 'account ' || a.name AS what FROM account AS a
         WHERE NOT EXISTS (SELECT 1 FROM mailbox AS b WHERE b.account_id = a.id AND b.name = 'INBOX')",
    ),
    (
        "a UIDVALIDITY is used once in an account",
        "SELECT 'UIDVALIDITY ' || b.uid_validity || ' of account ' || a.name AS what
         FROM mailbox AS b JOIN account AS a ON a.id = b.account_id
         GROUP BY a.id, b.uid_validity HAVING count(*) > 1 OR max(b.uid_validity) > a.last_uid_validity",
    ),
    (
        "a message's size is its bytes' size",
        "SELECT 'message ' || m.id AS what FROM message AS m JOIN content AS c ON c.id = m.content_id
         WHERE m.size_bytes <> c.size_bytes",
    ),
    (
        "an account's use is what its mailboxes hold",
        "SELECT 'account ' || a.name AS what FROM account AS a
         WHERE a.used_messages <> (SELECT count(*) FROM message AS m WHERE m.account_id = a.id AND m.mailbox_id IS NOT NULL)
         OR a.used_bytes <> (SELECT coalesce(sum(m.size_bytes), 0) FROM message AS m
                             WHERE m.account_id = a.id AND m.mailbox_id IS NOT NULL)",
    ),
    (
        "upstream's copy is in a mailbox of the message's account",
        "SELECT 'message ' || m.id AS what FROM remote_message AS r JOIN message AS m ON m.id = r.message_id
         JOIN remote_mailbox AS b ON b.mailbox_id = r.mailbox_id WHERE b.account_id <> m.account_id",
    ),
    (
        "a mailbox bound upstream is of the account",
        "SELECT 'mailbox ' || b.id AS what FROM remote_mailbox AS r JOIN mailbox AS b ON b.id = r.mailbox_id
         WHERE r.account_id <> b.account_id",
    ),
    (
        "a deleted mailbox waits for its confirmation",
        "SELECT 'mailbox ' || b.id AS what FROM mailbox AS b WHERE b.name IS NULL AND b.hidden_name IS NULL
         AND NOT EXISTS (SELECT 1 FROM journal AS j WHERE j.account_id = b.account_id AND j.kind = 'delete-mailbox'
                         AND json_extract(j.op, '$.mailbox') = b.id)",
    ),
    (
        "an entry about messages has some left",
        "SELECT 'entry ' || j.id || ' (' || j.kind || ')' AS what FROM journal AS j
         WHERE j.kind IN ('flags', 'move', 'copy', 'append', 'expunge')
         AND NOT EXISTS (SELECT 1 FROM journal_message AS jm WHERE jm.entry_id = j.id)",
    ),
    (
        "flags are kept in two replicas only while unsettled",
        "SELECT 'message ' || f.message_id AS what FROM flag_merge AS f
         WHERE NOT EXISTS (SELECT 1 FROM journal_message AS jm WHERE jm.message_id = f.message_id)",
    ),
    (
        "a message is elsewhere than upstream only while that is in the journal, or it waits to be known",
        "SELECT 'message ' || m.id AS what FROM remote_message AS r JOIN message AS m ON m.id = r.message_id
         WHERE m.mailbox_id IS NOT r.mailbox_id
         AND NOT EXISTS (SELECT 1 FROM remote_arrival AS a WHERE a.message_id = m.id AND a.waits = 1)
         AND NOT EXISTS (SELECT 1 FROM journal_message AS jm WHERE jm.message_id = m.id)
         AND NOT EXISTS (SELECT 1 FROM journal AS j WHERE j.account_id = m.account_id AND j.kind = 'delete-mailbox'
                         AND json_extract(j.op, '$.mailbox') = r.mailbox_id)",
    ),
    (
        "what waits to be known is in no mailbox, and nobody acted on it",
        "SELECT 'message ' || m.id AS what FROM remote_arrival AS a JOIN message AS m ON m.id = a.message_id
         WHERE a.waits = 1 AND (m.mailbox_id IS NOT NULL
           OR EXISTS (SELECT 1 FROM journal_message AS jm WHERE jm.message_id = m.id))",
    ),
    (
        "a message that upstream does not have is in the journal",
        "SELECT 'message ' || m.id AS what FROM message AS m JOIN remote_mailbox AS b ON b.mailbox_id = m.mailbox_id
         WHERE NOT EXISTS (SELECT 1 FROM remote_message AS r WHERE r.message_id = m.id)
         AND NOT EXISTS (SELECT 1 FROM journal_message AS jm WHERE jm.message_id = m.id)",
    ),
    (
        "a message without bytes can be fetched",
        "SELECT 'message ' || m.id AS what FROM message AS m WHERE m.content_id IS NULL AND m.mailbox_id IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM remote_message AS r WHERE r.message_id = m.id)
         AND NOT EXISTS (SELECT 1 FROM popped AS p JOIN message AS taken ON taken.id = p.message_id
                         WHERE taken.id = m.id OR taken.outline_id = m.outline_id)
         AND NOT EXISTS (SELECT 1 FROM journal_message AS jm WHERE jm.message_id = m.id)",
    ),
    (
        "what is done in an account with a maildrop is not journalled",
        "SELECT 'entry ' || j.id AS what FROM journal AS j JOIN account AS a ON a.id = j.account_id WHERE a.maildrop = 1",
    ),
    (
        "a message taken from a maildrop is of its account",
        "SELECT 'message ' || m.id AS what FROM popped AS p JOIN message AS m ON m.id = p.message_id
         JOIN account AS a ON a.id = p.account_id WHERE p.account_id <> m.account_id OR a.maildrop = 0",
    ),
    (
        "a message has bytes or an outline, not both",
        "SELECT 'message ' || m.id AS what FROM message AS m WHERE m.content_id IS NOT NULL AND m.outline_id IS NOT NULL",
    ),
    (
        "an outline is of some message",
        "SELECT 'outline ' || o.id AS what FROM outline AS o
         WHERE NOT EXISTS (SELECT 1 FROM message AS m WHERE m.outline_id = o.id)",
    ),
    (
        "a submission knows each of its recipients",
        "SELECT 'submission ' || s.id AS what FROM submission AS s
         WHERE json_array_length(s.envelope, '$.recipients')
               <> (SELECT count(*) FROM submission_recipient AS r WHERE r.submission_id = s.id)",
    ),
    (
        "a submission is settled when nobody waits, and not before",
        "SELECT 'submission ' || s.id || ' (' || s.state || ')' AS what FROM submission AS s
         WHERE (s.state = 'settled') = EXISTS (SELECT 1 FROM submission_recipient AS r
                                              WHERE r.submission_id = s.id AND r.state = 'waiting')",
    ),
    (
        "a submission in whose place another goes is settled",
        "SELECT 'submission ' || s.id || ' (' || s.state || ')' AS what FROM submission AS s
         WHERE s.replaced_by IS NOT NULL AND (s.state <> 'settled' OR s.replaced_by <= s.id)",
    ),
    (
        "a submission is handed over when someone accepted it, and not before",
        "SELECT 'submission ' || s.id AS what FROM submission AS s
         WHERE (s.handed_over_ms IS NOT NULL) <> EXISTS (SELECT 1 FROM submission_recipient AS r
                                                        WHERE r.submission_id = s.id AND r.state = 'accepted')",
    ),
];

fn check_names(hot: &Connection, wrong: &mut Vec<String>) -> Result<()> {
    let mut select = hot.prepare_cached("SELECT id, name FROM mailbox WHERE name IS NOT NULL")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get("name")?;
        if MailboxName::parse(&name).map(String::from).as_ref() != Ok(&name) {
            wrong.push(format!("a mailbox name is well formed: mailbox {} is {name:?}", row.get::<_, i64>("id")?));
        }
    }
    Ok(())
}

fn check_contents(hot: &Connection, packs: &Packs, wrong: &mut Vec<String>) -> Result<()> {
    let lengths = packs.lengths()?;
    let mut select = hot.prepare_cached(
        "SELECT c.id, c.size_bytes AS told_bytes, p.pack, p.start, p.size_bytes
         FROM content AS c LEFT JOIN content_place AS p ON p.content_id = c.id",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (id, told): (i64, i64) = (row.get("id")?, row.get("told_bytes")?);
        if row.get::<_, Option<i64>>("pack")?.is_none() {
            wrong.push(format!("stored bytes are complete: content {id} is missing"));
            continue;
        }
        let place = contents::place_from_row(row)?;
        let is_there = lengths.get(&place.pack).is_some_and(|length| *length >= place.end());
        if !is_there || place.size_bytes != told.unsigned_abs() {
            wrong.push(format!("stored bytes are complete: content {id} has not {told} bytes"));
        }
    }
    Ok(())
}

fn check_journal(hot: &Connection, wrong: &mut Vec<String>) -> Result<()> {
    let mut select = hot.prepare_cached(
        "SELECT id, kind, op, state, j.evidence, d.evidence AS doubt
         FROM journal AS j LEFT JOIN journal_doubt AS d ON d.entry_id = j.id",
    )?;
    let mut open = hot.prepare_cached("SELECT message_id FROM journal_message WHERE entry_id = ?1")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get("id")?;
        let Ok(op) = serde_json::from_str::<Op>(&row.get::<_, String>("op")?) else {
            wrong.push(format!("a journal entry can be read: entry {id} cannot"));
            continue;
        };
        if super::journal::kind(&op) != row.get::<_, String>("kind")? {
            wrong.push(format!("a journal entry's kind is its act's: entry {id}"));
        }
        let (evidence, doubt): (Option<String>, Option<String>) = (row.get("evidence")?, row.get("doubt")?);
        if doubt.is_some() && row.get::<_, String>("state")? != "parked" {
            wrong.push(format!("only what is set aside is in doubt: entry {id}"));
        }
        if evidence.or(doubt).is_some_and(|evidence| serde_json::from_str::<Evidence>(&evidence).is_err()) {
            wrong.push(format!("evidence can be read: that of entry {id} cannot"));
        }
        let named: std::collections::BTreeSet<i64> = op.messages().iter().map(|message| message.get()).collect();
        for message in open.query_map([id], |row| row.get::<_, i64>("message_id"))? {
            let message = message?;
            if !named.contains(&message) {
                wrong.push(format!("an entry's open messages are its act's: entry {id}, message {message}"));
            }
        }
    }
    Ok(())
}

fn check_replicas(hot: &Connection, wrong: &mut Vec<String>) -> Result<()> {
    let mut select = hot.prepare_cached(
        "SELECT f.message_id AS id, f.system_flags, f.keywords, r.replicas
         FROM flag_merge AS r JOIN message_flags AS f ON f.message_id = r.message_id",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get("id")?;
        match FlagReplicas::from_bytes(&row.get::<_, Vec<u8>>("replicas")?) {
            Ok(replicas) if replicas.value() == flags_from_row(row)? => {}
            Ok(replicas) => wrong.push(format!(
                "a message's flags are its replicas' value: message {id} has {}, not {}",
                flags_from_row(row)?,
                replicas.value()
            )),
            Err(_) => wrong.push(format!("flag replicas can be read: those of message {id} cannot")),
        }
    }
    Ok(())
}

/// A local change of flags is in the journal, but for flags that the server does not keep.
fn check_flags_against_base(hot: &Connection, wrong: &mut Vec<String>) -> Result<()> {
    let mut select = hot.prepare_cached(
        "SELECT f.message_id AS id, f.system_flags, f.keywords, r.system_flags AS base_system,
           r.keywords AS base_keywords, b.permanent_flags, b.any_keyword
         FROM remote_message AS r JOIN message_flags AS f ON f.message_id = r.message_id
         JOIN remote_mailbox AS b ON b.mailbox_id = r.mailbox_id
         WHERE f.mailbox_id IS NOT NULL AND (f.system_flags <> r.system_flags OR f.keywords <> r.keywords)
         AND NOT EXISTS (SELECT 1 FROM journal_message AS jm WHERE jm.message_id = f.message_id)",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let here = flags_from_row(row)?;
        let base = Flags::from_columns(row.get("base_system")?, &row.get::<_, String>("base_keywords")?);
        let changed = here.difference(&base).union(&base.difference(&here));
        let kept: Vec<Flag> = changed.iter().filter(|flag| is_kept(row, flag).unwrap_or(true)).collect();
        if !kept.is_empty() {
            let id: i64 = row.get("id")?;
            wrong.push(format!("a change of flags is in the journal: message {id} has {here}, upstream {base}"));
        }
    }
    Ok(())
}

/// Does the server keep the flag? An empty list of permanent flags says nothing: it was never told.
fn is_kept(row: &Row<'_>, flag: &Flag) -> rusqlite::Result<bool> {
    let permanent: String = row.get("permanent_flags")?;
    let any_keyword: bool = row.get("any_keyword")?;
    let named = permanent.split(' ').filter_map(Flag::parse).any(|kept| kept == *flag);
    Ok(permanent.is_empty() || named || (any_keyword && matches!(flag, Flag::Keyword(_))))
}
