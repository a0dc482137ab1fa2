//! Which message upstream is which of ours, when UIDs do not tell. Only [`Sought::of`] reads the store; the rest is pure.
//!
//! By EMAILID where both have one; else by a fingerprint (Message-ID, Date, Subject, internal date, size) where it can
//! mean only one content; else by the hash of the bytes. Message-ID alone is never identity: it may be missing or
//! repeated. Equal messages are interchangeable, but each is matched once, those marked `\Deleted` upstream last.

use std::collections::{BTreeMap, VecDeque};

use super::remote::{Fetched, Fingerprinted};
use crate::message::Envelope;
use crate::store::{self, MessageFacts, Reader};
use crate::types::mutant::mutant;
use crate::types::{ContentHash, Flags, InternalDate, MessageId, RemoteUid, UidSet};

/// A message of ours that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    pub message: MessageId,
    /// `None`: its bytes are not here.
    pub hash: Option<ContentHash>,
    pub size_bytes: u64,
    pub internal_date: InternalDate,
    pub email_id: Option<String>,
    /// Message-ID, Date and Subject, where the message was read.
    pub fields: [Vec<u8>; 3],
}

impl Sought {
    /// What the store knows of a message.
    pub fn of(reader: &Reader<'_>, facts: &MessageFacts) -> store::Result<Self> {
        let summary = reader.summary_of(facts.message)?;
        Ok(Self {
            message: facts.message,
            hash: facts.hash,
            size_bytes: facts.size_bytes,
            internal_date: facts.internal_date,
            email_id: facts.email_id.clone(),
            fields: summary.map(|summary| fields_of(&summary.envelope)).unwrap_or_default(),
        })
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub pairs: Vec<(MessageId, RemoteUid)>,
    /// Messages upstream that may be one of several of ours: only their bytes tell.
    pub doubtful: UidSet<RemoteUid>,
}

/// The header fields of a fingerprint, as the message has them.
pub fn fields_of(envelope: &Envelope) -> [Vec<u8>; 3] {
    [&envelope.message_id, &envelope.date, &envelope.subject].map(|field| trimmed(field.as_deref().unwrap_or_default()))
}

/// Are the two one message, as far as can be told without the bytes of both? (Message-ID, Date, Subject), internal date, size.
pub fn is_alike(one: &Sought, other: &Sought) -> bool {
    Key::of_sought(one) == Key::of_sought(other) && one.fields.iter().any(|field| !field.is_empty())
}

/// Is it only the size that tells the two apart? Then the bytes decide: servers lie about sizes (QUIRKS.md row 14).
pub fn differ_in_size_alone(one: &Sought, other: &Sought) -> bool {
    let is_at_one_time = one.internal_date.unix_seconds() == other.internal_date.unix_seconds();
    let is_alike = one.fields == other.fields && one.fields.iter().any(|field| !field.is_empty());
    one.size_bytes != other.size_bytes && is_at_one_time && is_alike
}

/// Is what the server shows certainly another message, as far as can be told without its bytes? By EMAILID, or by Message-ID,
/// or by Date and Subject where one has none.
pub fn is_other(sought: &Sought, shown: &Fingerprinted) -> bool {
    if let (Some(ours), Some(theirs)) = (&sought.email_id, &shown.email_id) {
        return ours != theirs;
    }
    let theirs = shown_fields(shown);
    let ours = &sought.fields;
    match (ours[0].is_empty(), theirs[0].is_empty()) {
        (false, false) => ours[0] != theirs[0],
        _ => ours.iter().any(|field| !field.is_empty()) && ours[1..] != theirs[1..],
    }
}

/// May what the server shows be another message, for all that was read of both? Servers may write a header field in their own
/// way: only the bytes tell for sure.
pub fn may_be_other(sought: &Sought, shown: &Fingerprinted) -> bool {
    match (&sought.email_id, &shown.email_id) {
        (Some(ours), Some(theirs)) => ours != theirs,
        _ => sought.fields.iter().any(|field| !field.is_empty()) && sought.fields != shown_fields(shown),
    }
}

/// Does it seem to be another message, where the server does not even give its header? By EMAILID, or by when it came.
pub fn seems_other(sought: &Sought, told: &Fetched) -> bool {
    match (&sought.email_id, &told.email_id) {
        (Some(ours), Some(theirs)) => ours != theirs,
        _ => told.internal_date.is_some_and(|date| date.unix_seconds() != sought.internal_date.unix_seconds()),
    }
}

/// Matches by what is known without the bytes.
pub fn by_fingerprint(sought: &[Sought], shown: &[Fingerprinted]) -> Found {
    let mut pairs = Vec::new();
    let (known, unknown): (Vec<&Fingerprinted>, Vec<&Fingerprinted>) =
        shown.iter().partition(|shown| shown.email_id.is_some());
    let mut by_email_id: BTreeMap<&str, VecDeque<RemoteUid>> = BTreeMap::new();
    for shown in &known {
        by_email_id.entry(shown.email_id.as_deref().unwrap_or_default()).or_default().push_back(shown.uid);
    }
    let mut left = Vec::new();
    for sought in sought {
        let uid = sought.email_id.as_deref().and_then(|id| by_email_id.get_mut(id)?.pop_front());
        match uid {
            Some(uid) => pairs.push((sought.message, uid)),
            None => left.push(sought),
        }
    }
    let taken: std::collections::BTreeSet<RemoteUid> = pairs.iter().map(|(_, uid)| *uid).collect();
    let free = known.into_iter().chain(unknown).filter(|shown| !taken.contains(&shown.uid));
    let mut free: Vec<&Fingerprinted> = free.collect();
    free.sort_unstable_by_key(|shown| (shown.is_deleted, shown.uid));
    let mut groups: BTreeMap<Key, (Vec<&Sought>, Vec<RemoteUid>)> = BTreeMap::new();
    for sought in left {
        groups.entry(Key::of_sought(sought)).or_default().0.push(sought);
    }
    for shown in free {
        groups.entry(Key::of_shown(shown)).or_default().1.push(shown.uid);
    }
    let mut doubtful = Vec::new();
    for (key, (ours, theirs)) in groups {
        let is_one_content = mutant!(MessageIdIsIdentity) || ours.iter().all(|sought| sought.hash == ours[0].hash);
        // Of those without bytes here nothing more can be known.
        let is_all =
            ours.iter().all(|sought| sought.hash.is_none()) && key.fields.iter().any(|field| !field.is_empty());
        match is_one_content && (!key.fields[0].is_empty() || is_all) {
            true => pairs.extend(ours.iter().map(|sought| sought.message).zip(theirs)),
            false if !ours.is_empty() => doubtful.extend(theirs),
            false => {}
        }
    }
    pairs.sort_unstable();
    Found { pairs, doubtful: doubtful.into_iter().collect() }
}

/// A message of ours that is looked for by its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub message: MessageId,
    pub hash: ContentHash,
    pub internal_date: InternalDate,
    /// What flags it may have, the likeliest first; none where they tell nothing.
    pub flags: Vec<Flags>,
}

impl Wanted {
    /// `None`: its bytes are not here.
    pub fn of(sought: &Sought) -> Option<Self> {
        let Sought { message, internal_date, .. } = *sought;
        Some(Self { message, hash: sought.hash?, internal_date, flags: Vec::new() })
    }
}

/// Matches by the bytes: each candidate is one message at most. Of equal ones those of one internal date belong together, of
/// those the ones with the flags that the message may have, and then they are interchangeable.
pub fn by_hash(
    wanted: impl IntoIterator<Item = Wanted>,
    hashes: &BTreeMap<RemoteUid, ContentHash>,
    shown: &[Fingerprinted],
    flags: &BTreeMap<RemoteUid, Flags>,
) -> Vec<(MessageId, RemoteUid)> {
    let dates: BTreeMap<RemoteUid, i64> =
        shown.iter().filter_map(|shown| Some((shown.uid, shown.internal_date?.unix_seconds()))).collect();
    let mut left: Vec<Wanted> = wanted.into_iter().collect();
    let mut free = hashes.clone();
    let mut pairs = Vec::new();
    let guesses = left.iter().map(|wanted| wanted.flags.len()).max().unwrap_or(0);
    for is_dated in [true, false] {
        for guess in (0..guesses).map(Some).chain([None]) {
            let mut alike: BTreeMap<_, VecDeque<RemoteUid>> = BTreeMap::new();
            for (uid, hash) in &free {
                let date = is_dated.then(|| dates.get(uid).copied());
                let flags = guess.map(|_| flags.get(uid).cloned());
                alike.entry((*hash, date, flags)).or_default().push_back(*uid);
            }
            left.retain(|wanted| {
                let date = is_dated.then(|| Some(wanted.internal_date.unix_seconds()));
                let flags = guess.map(|guess| wanted.flags.get(guess).cloned());
                let Some(uid) = alike.get_mut(&(wanted.hash, date, flags)).and_then(VecDeque::pop_front) else {
                    return true;
                };
                free.remove(&uid);
                pairs.push((wanted.message, uid));
                false
            });
        }
    }
    pairs
}

/// A fingerprint. Seconds since 1970 suffice of the internal date: servers write the zone as they like.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    size_bytes: u64,
    internal_s: Option<i64>,
    fields: [Vec<u8>; 3],
}

impl Key {
    fn of_message_id(id: &[u8]) -> Self {
        Self { size_bytes: 0, internal_s: None, fields: [id.to_vec(), Vec::new(), Vec::new()] }
    }

    fn of_sought(sought: &Sought) -> Self {
        if mutant!(MessageIdIsIdentity) {
            return Self::of_message_id(&sought.fields[0]);
        }
        let internal_s = Some(sought.internal_date.unix_seconds());
        Self { size_bytes: sought.size_bytes, internal_s, fields: sought.fields.clone() }
    }

    fn of_shown(shown: &Fingerprinted) -> Self {
        let fields = shown_fields(shown);
        if mutant!(MessageIdIsIdentity) {
            return Self::of_message_id(&fields[0]);
        }
        Self { size_bytes: shown.size_bytes, internal_s: shown.internal_date.map(InternalDate::unix_seconds), fields }
    }
}

fn shown_fields(shown: &Fingerprinted) -> [Vec<u8>; 3] {
    ["MESSAGE-ID", "DATE", "SUBJECT"].map(|name| shown.fields.get(name).map(|value| trimmed(value)).unwrap_or_default())
}

fn trimmed(value: &[u8]) -> Vec<u8> {
    value.trim_ascii().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Flag;

    fn sought(message: i64, bytes: &str, message_id: &str, email_id: Option<&str>) -> Sought {
        Sought {
            message: MessageId::new(message),
            hash: Some(ContentHash::of(bytes.as_bytes())),
            size_bytes: 10,
            internal_date: InternalDate::new(100, 60),
            email_id: email_id.map(str::to_owned),
            fields: [message_id.as_bytes().to_vec(), Vec::new(), Vec::new()],
        }
    }

    fn shown(uid: u32, message_id: &str, email_id: Option<&str>) -> Fingerprinted {
        Fingerprinted {
            uid: RemoteUid::new(uid),
            size_bytes: 10,
            internal_date: Some(InternalDate::new(100, 0)),
            fields: [("MESSAGE-ID".to_owned(), format!(" {message_id}").into_bytes())].into(),
            email_id: email_id.map(str::to_owned),
            is_deleted: false,
        }
    }

    fn wanted(message: i64, hash: ContentHash, date: i64, flags: &[&str]) -> Wanted {
        let flags = flags.iter().map(|text| text.split_whitespace().filter_map(Flag::parse).collect()).collect();
        Wanted { message: MessageId::new(message), hash, internal_date: InternalDate::new(date, 0), flags }
    }

    fn pairs(found: &Found) -> Vec<(i64, u32)> {
        found.pairs.iter().map(|(message, uid)| (message.get(), uid.get())).collect()
    }

    #[test]
    fn an_email_id_is_identity_before_anything_else() {
        let found = by_fingerprint(
            &[sought(1, "a", "<x>", Some("E1")), sought(2, "b", "<x>", Some("E2"))],
            &[shown(7, "<x>", Some("E2")), shown(8, "<x>", Some("E1"))],
        );
        assert_eq!(pairs(&found), [(1, 8), (2, 7)]);
    }

    #[test]
    fn equal_messages_are_matched_once_each() {
        let found = by_fingerprint(
            &[sought(1, "a", "<x>", None), sought(2, "a", "<x>", None)],
            &[shown(7, "<x>", None), shown(8, "<x>", None), shown(9, "<x>", None)],
        );
        assert_eq!(pairs(&found), [(1, 7), (2, 8)]);
    }

    #[test]
    fn one_fingerprint_of_two_contents_is_left_to_the_bytes() {
        let ours = [sought(1, "a", "<x>", None), sought(2, "b", "<x>", None)];
        let found = by_fingerprint(&ours, &[shown(7, "<x>", None)]);
        assert_eq!((found.pairs.len(), found.doubtful.to_string()), (0, "7".to_owned()));
        let hashes = [(RemoteUid::new(7), ContentHash::of(b"b"))].into();
        let wanted = ours.iter().filter_map(Wanted::of);
        assert_eq!(by_hash(wanted, &hashes, &[], &BTreeMap::new()), [(MessageId::new(2), RemoteUid::new(7))]);
    }

    #[test]
    fn of_equal_bytes_those_of_one_day_belong_together() {
        let hash = ContentHash::of(b"a");
        let ours = [(1, 300), (2, 200), (3, 100)].map(|(id, date)| wanted(id, hash, date, &[]));
        let shown = [(7, 100), (8, 400), (9, 300)].map(|(uid, date)| Fingerprinted {
            internal_date: Some(InternalDate::new(date, 0)),
            ..shown(uid, "<x>", None)
        });
        let hashes = shown.iter().map(|shown| (shown.uid, hash)).collect();
        let found: Vec<_> = by_hash(ours, &hashes, &shown, &BTreeMap::new())
            .into_iter()
            .map(|(message, uid)| (message.get(), uid.get()))
            .collect();
        assert_eq!(found, [(1, 9), (3, 7), (2, 8)]);
    }

    #[test]
    fn of_equal_bytes_those_with_the_flags_that_one_may_have_are_it() {
        let hash = ContentHash::of(b"a");
        let of = |texts: &[(u32, &str)]| -> BTreeMap<RemoteUid, Flags> {
            let flags = |text: &str| text.split_whitespace().filter_map(Flag::parse).collect();
            texts.iter().map(|(uid, text)| (RemoteUid::new(*uid), flags(text))).collect()
        };
        let ours =
            [wanted(1, hash, 100, &["c", "a"]), wanted(2, hash, 100, &["d", "a"]), wanted(3, hash, 100, &["", "a"])];
        for (there, expected) in [
            (vec![(7, "d"), (8, "c"), (9, "")], [(1, 8), (2, 7), (3, 9)]),
            (vec![(7, "d"), (8, "x"), (9, "a")], [(2, 7), (1, 9), (3, 8)]),
            (vec![(7, "a"), (8, "a"), (9, "a")], [(1, 7), (2, 8), (3, 9)]),
        ] {
            let flags = of(&there);
            let hashes = flags.keys().map(|uid| (*uid, hash)).collect();
            let found = by_hash(ours.clone(), &hashes, &[], &flags);
            let found: Vec<_> = found.into_iter().map(|(message, uid)| (message.get(), uid.get())).collect();
            assert_eq!(found, expected, "{there:?}");
        }
    }

    #[test]
    fn without_a_message_id_the_bytes_decide() {
        let found = by_fingerprint(&[sought(1, "a", "", None)], &[shown(7, "", None)]);
        assert_eq!((found.pairs.len(), found.doubtful.to_string()), (0, "7".to_owned()));
    }
}
