//! One whole IMAP command to its parser: what was read is within the limits, and written again it is read the same.

use mailtide::imap::syntax::append::AppendPlace;
use mailtide::imap::syntax::fetch::{Content, ContentName, Fetch, FetchItem};
use mailtide::imap::syntax::mailbox::ListForms;
use mailtide::imap::syntax::quote::{write_astring, write_literal, write_string};
use mailtide::imap::syntax::search::SearchKey;
use mailtide::imap::syntax::sequence::SequenceSet;
use mailtide::imap::syntax::{MailboxArgument, NameForm, Parser};
use mailtide::types::limits;

use super::words::assert_canonical;

pub fn check(command: &[u8]) {
    let mut parser = Parser::new(command);
    let Ok(tag) = parser.tag() else { return };
    assert!(command.starts_with(tag.as_bytes()));
    if parser.sp().is_err() {
        return;
    }
    let Ok(mut name) = parser.word() else { return };
    if name == "UID" && parser.sp().is_ok() {
        name = parser.word().unwrap_or_default();
    }
    arguments(&name, &mut parser);
}

fn arguments(name: &str, parser: &mut Parser<'_>) {
    match name {
        "FETCH" => parser.fetch().map(|fetch| check_fetch(&fetch)).unwrap_or_default(),
        "STORE" => parser.store().map(|store| check_set(&store.set)).unwrap_or_default(),
        "SEARCH" => parser.search().map(|search| check_key(&search.key, 0)).unwrap_or_default(),
        "SELECT" | "EXAMINE" => parser.select(true, true).map(|it| check_mailbox(&it.mailbox)).unwrap_or_default(),
        "LIST" => {
            let forms = ListForms { extended: true, status: true, special_use: true, metadata: true, my_rights: true };
            let _ = parser.list_command(forms);
        }
        "LSUB" => drop(parser.lsub()),
        "STATUS" => parser.status().map(|(mailbox, _)| check_mailbox(&mailbox)).unwrap_or_default(),
        "CREATE" => parser.create(true).map(|(mailbox, _)| check_mailbox(&mailbox)).unwrap_or_default(),
        "DELETE" => parser.only_mailbox().map(|mailbox| check_mailbox(&mailbox)).unwrap_or_default(),
        "RENAME" => parser.rename().map(|(from, to)| [from, to].iter().for_each(check_mailbox)).unwrap_or_default(),
        "APPEND" => {
            let read = parser.sp().and_then(|()| parser.mailbox()).map(|mailbox| check_mailbox(&mailbox));
            let _ = read.and_then(|()| parser.append_piece(AppendPlace::First));
        }
        "COPY" | "MOVE" => parser.set_and_mailbox().map(|(set, _)| check_set(&set)).unwrap_or_default(),
        "EXPUNGE" => parser.only_set().map(|set| check_set(&set)).unwrap_or_default(),
        "LOGIN" => parser.login().map(|(user, _)| check_string(user.as_bytes())).unwrap_or_default(),
        "AUTHENTICATE" => drop(parser.authenticate(true)),
        "ENABLE" => drop(parser.enable()),
        "ID" => parser.id().into_iter().flatten().for_each(|(field, value)| {
            check_string(field.as_bytes());
            check_string(value.unwrap_or_default().as_bytes());
        }),
        _ => {}
    }
}

fn check_fetch(fetch: &Fetch) {
    check_set(&fetch.set);
    assert!(!fetch.items.is_empty() && fetch.items.len() <= limits::IMAP_FETCH_ITEMS_MAX);
    for item in &fetch.items {
        let FetchItem::Content(content) = item else { continue };
        assert!(content.partial.is_none_or(|(_, length)| length > 0), "a partial of nothing");
        // The name in the answer has no length (RFC 3501 section 7.4.2), the one asked by has.
        let mut wire = b" 1 ".to_vec();
        Content { partial: None, ..content.clone() }.write_name(&mut wire);
        if let (Some((origin, length)), ContentName::Body | ContentName::Binary) = (content.partial, content.name) {
            wire.extend_from_slice(format!("<{origin}.{length}>").as_bytes());
        }
        let again = Parser::new(&wire).fetch().map(|fetch| fetch.items);
        let expected = Content { sets_seen: content.name != ContentName::Rfc822Header, ..content.clone() };
        assert_eq!(again, Ok(vec![FetchItem::Content(expected)]), "{}", wire.escape_ascii());
    }
}

fn check_set(set: &SequenceSet) {
    for largest in [1, 5, u32::MAX] {
        let Some(resolved) = set.resolve(largest) else { continue };
        assert_canonical(&resolved);
        assert!(!resolved.is_empty());
    }
}

/// The limit counts parentheses and NOT, OR; a program between them is a list.
fn check_key(key: &SearchKey, depth: usize) {
    assert!(depth <= 2 * limits::IMAP_NESTING_MAX + 1, "nested too deep");
    match key {
        SearchKey::And(keys) => keys.iter().for_each(|key| check_key(key, depth + 1)),
        SearchKey::Or(one, other) => [one, other].iter().for_each(|key| check_key(key, depth + 1)),
        SearchKey::Not(key) => check_key(key, depth + 1),
        SearchKey::Sequence(set) | SearchKey::Uid(set) => check_set(set),
        SearchKey::Header { name, value } => [name, value].iter().for_each(|text| check_string(text.as_bytes())),
        SearchKey::Body(text) | SearchKey::Text(text) => check_string(text.as_bytes()),
        _ => {}
    }
}

fn check_mailbox(mailbox: &MailboxArgument) {
    check_string(&mailbox.0);
    for form in [NameForm::ModifiedUtf7, NameForm::Utf8] {
        let Some(name) = mailbox.name(form) else { continue };
        let mut wire = Vec::new();
        mailtide::imap::syntax::quote::write_mailbox(&mut wire, &name, form);
        let again = Parser::new(&wire).mailbox().map(|mailbox| mailbox.name(form));
        assert_eq!(again, Ok(Some(name)));
    }
}

/// Every way to write these bytes reads as these bytes.
fn check_string(bytes: &[u8]) {
    for write in [write_astring, write_string, write_literal] {
        let mut wire = Vec::new();
        write(&mut wire, bytes);
        let mut parser = Parser::new(&wire);
        assert_eq!(parser.astring().as_deref(), Ok(bytes), "{}", wire.escape_ascii());
        assert_eq!(parser.end(), Ok(()), "{}", wire.escape_ascii());
    }
}
