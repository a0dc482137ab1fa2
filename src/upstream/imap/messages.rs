//! Asking of messages: which there are, their flags, what to know them by, their bytes (RFC 3501 sections 6.4.4, 6.4.5).

use std::collections::{BTreeMap, BTreeSet};

use super::code::{Condition, StatusLine};
use super::command::Command;
use super::driver::{Heard, Ranges};
use super::fetch::{Body, FetchedItems};
use super::remote::ImapRemote;
use super::untagged::Untagged;
use crate::message::Part;
use crate::message::search::Query;
use crate::sync::remote::{Described, Excerpt, Fetched, Fingerprinted, MessageSink, RemoteError, Scanned};
use crate::types::{ModSeq, RemoteUid, SystemFlag, UidSet, limits};

/// UID SEARCH.
pub(super) async fn search(remote: &mut ImapRemote, key: &str) -> Result<UidSet<RemoteUid>, RemoteError> {
    let commands = searches(remote, key).into_iter().map(|text| Command::new("SEARCH", text)).collect();
    look(remote, commands).await
}

/// UID SEARCH for messages by their UIDs.
pub(super) async fn present(
    remote: &mut ImapRemote,
    uids: &UidSet<RemoteUid>,
) -> Result<UidSet<RemoteUid>, RemoteError> {
    let commands = present_commands(remote, uids);
    Ok(look(remote, commands).await?.intersection(uids))
}

/// UID SEARCH for messages by their UIDs, in as many commands as the set needs.
pub(super) fn present_commands(remote: &ImapRemote, uids: &UidSet<RemoteUid>) -> Vec<Command<'static>> {
    let search = verb(remote);
    let command = |piece| Command::new("SEARCH", format!("{search} UID {piece}"));
    remote.pieces(uids, search.len() + 5).iter().map(command).collect()
}

async fn look(remote: &mut ImapRemote, commands: Vec<Command<'static>>) -> Result<UidSet<RemoteUid>, RemoteError> {
    let (mut sight, asked) = (Sight::default(), commands.len());
    for answer in remote.driver.ask(commands, &mut |heard| sight.hear(heard).map(|left| left.is_none())).await? {
        remote.driver.check("SEARCH", answer)?;
    }
    sight.found(asked)
}

/// What searches find.
#[derive(Default)]
pub(super) struct Sight {
    found: Ranges,
    responses: usize,
}

impl Sight {
    /// Gives back what is no finding.
    pub(super) fn hear(&mut self, heard: Heard) -> Result<Option<Heard>, RemoteError> {
        match heard {
            Heard::Untagged(Untagged::Search(uids)) => {
                self.found.add("SEARCH", uids.ranges())?;
                self.responses += 1;
                Ok(None)
            }
            heard => Ok(Some(heard)),
        }
    }

    /// What was found by so many searches. An answer without its SEARCH response is no answer: "nothing found" would read
    /// as "all is gone".
    pub(super) fn found(&self, searches: usize) -> Result<UidSet<RemoteUid>, RemoteError> {
        match self.responses < searches {
            true => Err(RemoteError::Protocol { request: "SEARCH", text: "OK without a SEARCH response".to_owned() }),
            false => Ok(self.found.to_set()),
        }
    }
}

/// UID SEARCH, as briefly answered as the server can.
fn verb(remote: &ImapRemote) -> &'static str {
    if remote.capabilities.has("ESEARCH") { "UID SEARCH RETURN (ALL)" } else { "UID SEARCH" }
}

/// The commands that ask for `key`.
fn searches(remote: &ImapRemote, key: &str) -> Vec<String> {
    let search = verb(remote);
    windows(remote).into_iter().map(|window| format!("{search} {window}{key}")).collect()
}

/// The answer may list every UID: a large mailbox is asked in windows, each with a space behind it.
fn windows(remote: &ImapRemote) -> Vec<String> {
    const WINDOW: u32 = limits::UPSTREAM_SEARCH_WINDOW_UIDS;
    let end = match &remote.selected {
        Some(selected) if selected.exists > WINDOW => selected.uid_next.map_or(1, RemoteUid::get),
        _ => 1,
    };
    if end <= WINDOW {
        return vec![String::new()];
    }
    let window = |start: u32| match start.checked_add(WINDOW).filter(|next| *next < end) {
        Some(next) => format!("UID {start}:{} ", next - 1),
        None => format!("UID {start}:* "),
    };
    (1..end).step_by(WINDOW as usize).map(window).collect()
}

/// UID SEARCH for a text. "US-ASCII is the default" charset (RFC 3501 section 6.4.4).
pub(super) async fn find(remote: &mut ImapRemote, key: &Query) -> Result<UidSet<RemoteUid>, RemoteError> {
    let (word, text) = match key {
        Query::Text(text) => ("TEXT", text),
        Query::Body(text) => ("BODY", text),
        _ => return Err(RemoteError::Impossible("it is no text that is looked for".to_owned())),
    };
    let (search, charset) = (verb(remote), if text.is_ascii() { "" } else { "CHARSET UTF-8 " });
    let command = |window| Command::new("SEARCH", format!("{search} {charset}{window}{word} ")).string(text.as_bytes());
    let commands = windows(remote).into_iter().map(command).collect();
    look(remote, commands).await
}

/// Flags of messages.
pub(super) async fn scan(
    remote: &mut ImapRemote,
    uids: &UidSet<RemoteUid>,
    changed_since: Option<ModSeq>,
) -> Result<Vec<Scanned>, RemoteError> {
    let mut scan = Scan::new(uids);
    ask(remote, uids, &scan_items(remote, changed_since), &mut |heard| Ok(scan.hear(heard).is_none())).await?;
    Ok(scan.into_scanned())
}

/// What is fetched of messages to learn their flags.
pub(super) fn scan_items(remote: &ImapRemote, changed_since: Option<ModSeq>) -> String {
    let items = if remote.facts.cond_store { "(UID FLAGS MODSEQ)" } else { "(UID FLAGS)" };
    match changed_since {
        Some(mod_seq) if remote.facts.cond_store => format!("{items} (CHANGEDSINCE {mod_seq})"),
        _ => items.to_owned(),
    }
}

/// The flags of those of `uids` that are told.
pub(super) struct Scan<'a> {
    uids: &'a UidSet<RemoteUid>,
    scanned: BTreeMap<RemoteUid, Scanned>,
}

impl<'a> Scan<'a> {
    pub(super) const fn new(uids: &'a UidSet<RemoteUid>) -> Self {
        Self { uids, scanned: BTreeMap::new() }
    }

    /// Gives back what is not asked for.
    pub(super) fn hear(&mut self, heard: Heard) -> Option<Heard> {
        match heard {
            Heard::Fetch(FetchedItems { uid: Some(uid), flags: Some(flags), mod_seq, .. })
                if self.uids.contains(uid) =>
            {
                self.scanned.insert(uid, Scanned { uid, flags, mod_seq });
                None
            }
            heard => Some(heard),
        }
    }

    pub(super) fn into_scanned(self) -> Vec<Scanned> {
        self.scanned.into_values().collect()
    }
}

/// What messages are known by without their bytes.
pub(super) async fn fingerprints(
    remote: &mut ImapRemote,
    uids: &UidSet<RemoteUid>,
) -> Result<Vec<Fingerprinted>, RemoteError> {
    let mut prints = Fingerprints::new(uids);
    ask(remote, uids, &fingerprint_items(remote), &mut |heard| Ok(prints.hear(heard).is_none())).await?;
    Ok(prints.into_found())
}

/// The header fields by which messages are known again.
const FIELDS: [&str; 4] = ["MESSAGE-ID", "DATE", "FROM", "SUBJECT"];

/// What is fetched of messages to know them again.
pub(super) fn fingerprint_items(remote: &ImapRemote) -> String {
    let email_id = email_id_item(remote);
    format!("(UID FLAGS RFC822.SIZE INTERNALDATE{email_id} BODY.PEEK[HEADER.FIELDS ({})])", FIELDS.join(" "))
}

/// The fingerprints of those of `uids` that are told.
pub(super) struct Fingerprints<'a> {
    uids: &'a UidSet<RemoteUid>,
    found: BTreeMap<RemoteUid, Fingerprinted>,
}

impl<'a> Fingerprints<'a> {
    pub(super) const fn new(uids: &'a UidSet<RemoteUid>) -> Self {
        Self { uids, found: BTreeMap::new() }
    }

    /// Gives back what is not asked for.
    pub(super) fn hear(&mut self, heard: Heard) -> Option<Heard> {
        match heard {
            Heard::Fetch(FetchedItems {
                uid: Some(uid),
                size_bytes: Some(size_bytes),
                header: Some(header),
                internal_date,
                email_id,
                flags,
                ..
            }) if self.uids.contains(uid) => {
                let fields = header_fields(&header);
                let is_deleted = flags.is_some_and(|flags| flags.has(SystemFlag::Deleted));
                let print = Fingerprinted { uid, size_bytes, internal_date, fields, email_id, is_deleted };
                self.found.insert(uid, print);
                None
            }
            heard => Some(heard),
        }
    }

    pub(super) fn into_found(self) -> Vec<Fingerprinted> {
        self.found.into_values().collect()
    }
}

/// The bytes of messages.
pub(super) async fn fetch(
    remote: &mut ImapRemote,
    uids: &UidSet<RemoteUid>,
    sink: &mut dyn MessageSink,
) -> Result<(), RemoteError> {
    let mut bodies = Bodies::new(uids);
    let hear = &mut |heard| bodies.hear(heard, &mut *sink).map(|left| left.is_none());
    ask(remote, uids, &body_items(remote), hear).await
}

/// What is told of messages beside their bytes.
pub(super) async fn identify(remote: &mut ImapRemote, uids: &UidSet<RemoteUid>) -> Result<Vec<Fetched>, RemoteError> {
    let items = format!("({})", common_items(remote));
    let mut found = BTreeMap::new();
    ask(remote, uids, &items, &mut |heard| match heard {
        Heard::Fetch(FetchedItems {
            uid: Some(uid),
            flags: Some(flags),
            internal_date: Some(internal_date),
            mod_seq,
            email_id,
            ..
        }) if uids.contains(uid) => {
            let internal_date = Some(internal_date);
            found.insert(uid, Fetched { uid, flags, mod_seq, internal_date, email_id, outline: None });
            Ok(true)
        }
        _ => Ok(false),
    })
    .await?;
    Ok(found.into_values().collect())
}

/// Their headers, and what the server says of the rest.
pub(super) async fn outline(
    remote: &mut ImapRemote,
    uids: &UidSet<RemoteUid>,
    sink: &mut dyn MessageSink,
) -> Result<(), RemoteError> {
    let mut bodies = Bodies::outlined(uids);
    let hear = &mut |heard| bodies.hear(heard, &mut *sink).map(|left| left.is_none());
    ask(remote, uids, &outline_items(remote), hear).await
}

/// Sections of messages, with as many commands as there are excerpts, none waiting for another.
pub(super) async fn excerpts(
    remote: &mut ImapRemote,
    wanted: &[Excerpt],
    sink: &mut dyn MessageSink,
) -> Result<(), RemoteError> {
    let uids = UidSet::from_ranges(wanted.iter().flat_map(|excerpt| excerpt.uids.ranges().iter().copied()));
    let mut bodies = Bodies::new(&uids);
    let hear = &mut |heard| bodies.hear(heard, &mut *sink).map(|left| left.is_none());
    let commands = wanted.iter().flat_map(|Excerpt { uids, section, piece }| {
        let piece = piece.map(|(first, count)| format!("<{first}.{count}>")).unwrap_or_default();
        fetch_commands(remote, uids, &format!("(UID FLAGS BODY.PEEK[{section}]{piece})"))
    });
    let commands = commands.collect();
    run(remote, commands, hear).await
}

/// What is fetched of messages to have them whole.
pub(super) fn body_items(remote: &ImapRemote) -> String {
    format!("({} BODY.PEEK[])", common_items(remote))
}

/// What is fetched of messages to have their outlines.
pub(super) fn outline_items(remote: &ImapRemote) -> String {
    format!("({} RFC822.SIZE BODYSTRUCTURE BODY.PEEK[HEADER])", common_items(remote))
}

fn common_items(remote: &ImapRemote) -> String {
    let mod_seq = if remote.facts.cond_store { " MODSEQ" } else { "" };
    format!("UID FLAGS INTERNALDATE{mod_seq}{}", email_id_item(remote))
}

/// The bytes (or the headers) of those of `uids` that are sent, each at most once: also where a command that was refused half
/// way is sent again (QUIRKS.md row 12).
pub(super) struct Bodies<'a> {
    uids: &'a UidSet<RemoteUid>,
    had: BTreeSet<RemoteUid>,
    /// In answer to commands that were refused behind it.
    had_before: BTreeSet<RemoteUid>,
    outlined: bool,
    /// Of the message that is told of next.
    structure: Option<Box<Part>>,
}

impl<'a> Bodies<'a> {
    pub(super) const fn new(uids: &'a UidSet<RemoteUid>) -> Self {
        Self { uids, had: BTreeSet::new(), had_before: BTreeSet::new(), outlined: false, structure: None }
    }

    pub(super) fn outlined(uids: &'a UidSet<RemoteUid>) -> Self {
        Self { outlined: true, ..Self::new(uids) }
    }

    /// Gives back what is not asked for.
    pub(super) fn hear(&mut self, heard: Heard, sink: &mut dyn MessageSink) -> Result<Option<Heard>, RemoteError> {
        let local = |error: std::io::Error| RemoteError::Local(error.to_string());
        match heard {
            Heard::BodyBegins(size_bytes) => sink.begin(size_bytes).map_err(local)?,
            Heard::Body(bytes) => sink.write(&bytes).map_err(local)?,
            Heard::BodyEnds => {}
            Heard::Structure(structure) => self.structure = Some(structure),
            // A message of which nothing can be understood is one that was left out of the answer, and stands in the way of no
            // other (QUIRKS.md rows 5 and 32). Bytes of it that came are forgotten when the next one begins.
            Heard::Untagged(Untagged::Unusable("FETCH")) => {}
            Heard::Fetch(FetchedItems { uid: None, body: Body::Streamed | Body::Nil, .. }) => self.structure = None,
            Heard::Answered(_, StatusLine { condition: Condition::No | Condition::Bad, .. }) => {
                self.had_before.append(&mut self.had);
            }
            Heard::Fetch(items) if items.body != Body::Unmentioned => {
                if items.uid.is_some_and(|uid| self.had_before.remove(&uid) && self.had.insert(uid)) {
                    self.structure = None;
                    return Ok(None);
                }
                let uid = items.uid.filter(|uid| self.uids.contains(*uid) && self.had.insert(*uid));
                let uid = uid.ok_or_else(|| wrong("a message that was not asked for, or sent twice"))?;
                let structure = self.structure.take().filter(|_| self.outlined);
                let outline =
                    structure.zip(items.size_bytes).map(|(structure, size_bytes)| Described { size_bytes, structure });
                match (items.body, items.flags) {
                    (Body::Nil, _) | (_, None) => sink.absent(uid).map_err(local)?,
                    (_, Some(_)) if self.outlined && outline.is_none() => sink.absent(uid).map_err(local)?,
                    (_, Some(flags)) => {
                        let FetchedItems { mod_seq, internal_date, email_id, .. } = items;
                        sink.end(Fetched { uid, flags, mod_seq, internal_date, email_id, outline }).map_err(local)?;
                    }
                }
            }
            heard => return Ok(Some(heard)),
        }
        Ok(None)
    }
}

/// UID FETCH in as many commands as the set needs; anything but OK to all of them is an error.
async fn ask(
    remote: &mut ImapRemote,
    uids: &UidSet<RemoteUid>,
    items: &str,
    hear: &mut (dyn FnMut(Heard) -> Result<bool, RemoteError> + Send),
) -> Result<(), RemoteError> {
    run(remote, fetch_commands(remote, uids, items), hear).await
}

async fn run(
    remote: &mut ImapRemote,
    commands: Vec<Command<'static>>,
    hear: &mut (dyn FnMut(Heard) -> Result<bool, RemoteError> + Send),
) -> Result<(), RemoteError> {
    for answer in remote.driver.ask(commands, hear).await? {
        remote.driver.check("FETCH", answer)?;
    }
    Ok(())
}

/// UID FETCH in as many commands as the set needs.
pub(super) fn fetch_commands(remote: &ImapRemote, uids: &UidSet<RemoteUid>, items: &str) -> Vec<Command<'static>> {
    let command = |piece| Command::new("FETCH", format!("UID FETCH {piece} {items}"));
    remote.pieces(uids, items.len()).iter().map(command).collect()
}

/// The item that gives a message's identity on this server, with a space before it.
fn email_id_item(remote: &ImapRemote) -> &'static str {
    match (remote.capabilities.has("OBJECTID"), remote.capabilities.has("X-GM-EXT-1")) {
        (true, _) => " EMAILID",
        (false, true) => " X-GM-MSGID",
        (false, false) => "",
    }
}

fn wrong(what: &str) -> RemoteError {
    RemoteError::Protocol { request: "FETCH", text: what.to_owned() }
}

/// The header fields asked for, by upper-case name, the first of each, unfolded (RFC 5322 section 2.2.3).
fn header_fields(header: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    for line in header.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match (line.first(), line.iter().position(|byte| *byte == b':')) {
            (Some(b' ' | b'\t'), _) => {
                if let Some((_, value)) = fields.last_mut() {
                    value.extend_from_slice(line);
                }
            }
            (_, Some(colon)) => {
                let name = String::from_utf8_lossy(line[..colon].trim_ascii_end()).to_ascii_uppercase();
                fields.push((name, line[colon + 1..].to_vec()));
            }
            (_, None) => {}
        }
    }
    let trimmed = |(name, value): (String, Vec<u8>)| (name, value.trim_ascii().to_vec());
    fields.into_iter().rev().filter(|(name, _)| FIELDS.contains(&name.as_str())).map(trimmed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_are_unfolded_and_the_first_of_those_asked_for_counts() {
        let fields = header_fields(b"Subject: a\r\n b\r\nX: y\r\n z\r\nDATE : x\nsubject: c\r\nno field\r\n\r\n");
        let expected = [("SUBJECT", &b"a b"[..]), ("DATE", b"x")];
        assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_vec())).into());
    }
}
