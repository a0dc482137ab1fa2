//! GETMETADATA and SETMETADATA (RFC 5464). Annotations of the server are each user's own: the shared ones are not for
//! users to set (section 3.3), and there are none.

use std::collections::BTreeMap;

use super::backend::{Account, Backend};
use super::config::Capability;
use super::reply::{Context, Done, Refusal, Reply, User};
use super::table::Outcome;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::metadata::{Depth, EntryName, GetMetadata, SetMetadata};
use crate::imap::syntax::quote::{write_astring, write_mailbox, write_nstring};
use crate::imap::syntax::{MailboxArgument, Parser};
use crate::types::{MailboxName, SpecialUse, limits};

/// What a mailbox is for, as LIST tells it.
const SPECIAL_USE: &str = "/private/specialuse";

pub fn get<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let GetMetadata { mailbox, max_size, depth, entries } = args.get_metadata()?;
    let of = annotated(context, &mailbox)?;
    let mut annotations = user.account.metadata(of.as_ref())?;
    if let Some(name) = &of
        && entries.iter().any(|entry| depth.reaches(entry, SPECIAL_USE))
    {
        let mailbox = user.account.list()?.into_iter().find(|mailbox| mailbox.name == *name);
        tie_special_use(context, mailbox.and_then(|mailbox| mailbox.special_use), &mut annotations);
    }
    let wanted = |name: &str| entries.iter().any(|entry| depth.reaches(entry, name));
    let mut told: BTreeMap<&str, Option<&[u8]>> = BTreeMap::new();
    // An entry that is asked for by its name alone and is not there has no value.
    let named = entries.iter().filter(|entry| depth == Depth::Zero && EntryName::parse(entry).is_some());
    told.extend(named.map(|entry| (entry.as_str(), None)));
    let mut longest_left_out = 0;
    for (name, value) in annotations.iter().filter(|(name, _)| wanted(name)) {
        match max_size.is_some_and(|max_size| value.len() as u64 > max_size) {
            false => drop(told.insert(name, Some(value))),
            true => {
                told.remove(name.as_str());
                longest_left_out = longest_left_out.max(value.len());
            }
        }
    }
    write_metadata(context, of.as_ref(), told);
    let code = (longest_left_out > 0).then_some(Code::MetadataLongEntries(longest_left_out));
    Ok(Done::Reply(Reply { code, text: "Annotations told".into() }))
}

pub fn set<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let SetMetadata { mailbox, entries } = args.set_metadata()?;
    let of = annotated(context, &mailbox)?;
    if of.is_none() && entries.iter().any(|(name, _)| !name.is_private()) {
        return Err(Refusal::no(Code::NoPerm, "Shared annotations of the server are not for users to set"));
    }
    if of.is_some() && entries.iter().any(|(name, _)| name.as_str() == SPECIAL_USE) {
        return Err(Refusal::no(Code::Cannot, "A mailbox gets its special use when it is created"));
    }
    if entries
        .iter()
        .filter_map(|(_, value)| value.as_ref())
        .any(|value| value.len() > limits::METADATA_VALUE_MAX_BYTES)
    {
        let code = Code::MetadataMaxSize(limits::METADATA_VALUE_MAX_BYTES);
        return Err(Refusal::no(code, "An annotation is too long"));
    }
    let mut annotations = user.account.metadata(of.as_ref())?;
    for (name, value) in &entries {
        match value {
            Some(_) => drop(annotations.insert(name.as_str().to_owned(), Vec::new())),
            None => drop(annotations.remove(name.as_str())),
        }
    }
    if annotations.len() > limits::METADATA_ENTRIES_MAX {
        return Err(Refusal::no(Code::MetadataTooMany, "There are too many annotations"));
    }
    let entries = entries.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect();
    user.account.set_metadata(of.as_ref(), entries)?;
    user.did_itself(of.as_ref());
    Done::ok("Annotated")
}

/// The mailbox; `None` for the server.
fn annotated(context: &Context, mailbox: &MailboxArgument) -> Result<Option<MailboxName>, Refusal> {
    match mailbox.0.is_empty() {
        true => Ok(None),
        false => context.mailbox_name(mailbox).map(Some),
    }
}

/// "It SHOULD tie the special-use attributes for a mailbox to its metadata entry "/private/specialuse"" (RFC 6154 section 4).
fn tie_special_use(context: &Context, special_use: Option<SpecialUse>, annotations: &mut BTreeMap<String, Vec<u8>>) {
    annotations.remove(SPECIAL_USE);
    if let Some(special_use) = special_use.filter(|_| context.has(Capability::SpecialUse)) {
        annotations.insert(SPECIAL_USE.to_owned(), special_use.as_str().into());
    }
}

/// The annotations of a mailbox that are asked for by name (RFC 9590).
pub fn write_named(
    context: &mut Context,
    of: &MailboxName,
    special_use: Option<SpecialUse>,
    names: &[EntryName],
    mut annotations: BTreeMap<String, Vec<u8>>,
) {
    tie_special_use(context, special_use, &mut annotations);
    let value = |name: &EntryName| annotations.get(name.as_str()).map(Vec::as_slice);
    write_metadata(context, Some(of), names.iter().map(|name| (name.as_str(), value(name))).collect());
}

/// Names of annotations that changed (RFC 5464 section 4.4.2): `entry-list = entry *(SP entry)` in the place of the values.
pub fn write_changed(context: &mut Context, of: Option<&MailboxName>, names: &[&str]) {
    if names.is_empty() {
        return;
    }
    let mut line = metadata_of(context, of);
    for name in names {
        line.push(b' ');
        write_astring(&mut line, name.as_bytes());
    }
    line.extend_from_slice(b"\r\n");
    context.out.extend_from_slice(&line);
}

/// `"METADATA" SP mailbox`
fn metadata_of(context: &Context, of: Option<&MailboxName>) -> Vec<u8> {
    let mut line = b"* METADATA ".to_vec();
    match of {
        Some(name) => write_mailbox(&mut line, name, context.enabled.name_form()),
        None => line.extend_from_slice(b"\"\""),
    }
    line
}

/// `metadata-resp = "METADATA" SP mailbox SP entry-values` where
/// `entry-values = "(" entry-value *(SP entry-value) ")"`
fn write_metadata(context: &mut Context, of: Option<&MailboxName>, entries: BTreeMap<&str, Option<&[u8]>>) {
    if entries.is_empty() {
        return;
    }
    let mut line = metadata_of(context, of);
    for (index, (name, value)) in entries.into_iter().enumerate() {
        line.extend_from_slice(if index == 0 { b" (" } else { b" " });
        write_astring(&mut line, name.as_bytes());
        line.push(b' ');
        match value {
            Some(bytes) if bytes.contains(&0) => {
                line.extend_from_slice(format!("~{{{}}}\r\n", bytes.len()).as_bytes());
                line.extend_from_slice(bytes);
            }
            value => write_nstring(&mut line, value),
        }
    }
    line.extend_from_slice(b")\r\n");
    context.out.extend_from_slice(&line);
}
