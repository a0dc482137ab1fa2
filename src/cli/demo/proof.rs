//! The proof: every mailbox of both sides listed and hashed, and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::wire::{Imap, Response, quoted};
use crate::types::{ContentHash, Flag, Flags};

/// One message as a side shows it: everything that must be the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub hash: ContentHash,
    pub flags: Vec<String>,
    pub internal_date: String,
}

/// A whole account: mailbox name to its messages, sorted.
pub type Side = BTreeMap<String, Vec<Seen>>;

/// Reads everything that `imap` shows.
pub fn read_all(imap: &mut Imap) -> io::Result<Side> {
    let mut side = Side::new();
    for mailbox in selectable(&imap.run("LIST \"\" \"*\"")?) {
        imap.run(&format!("EXAMINE {}", quoted(&mailbox)))?;
        let fetched = imap.run("UID FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])")?;
        let mut messages: Vec<Seen> = fetched.iter().filter_map(seen).collect();
        messages.sort();
        side.insert(mailbox, messages);
    }
    Ok(side)
}

/// Every difference between the two sides, as sentences.
pub fn differences(server: &Side, local: &Side) -> Vec<String> {
    let names: BTreeSet<&String> = server.keys().chain(local.keys()).collect();
    names.into_iter().filter_map(|name| difference(name, server.get(name), local.get(name))).collect()
}

/// How often each message stands on a side, whatever the mailbox.
pub fn copies(side: &Side) -> BTreeMap<ContentHash, usize> {
    let mut copies = BTreeMap::new();
    for message in side.values().flatten() {
        *copies.entry(message.hash).or_insert(0) += 1;
    }
    copies
}

fn difference(name: &str, server: Option<&Vec<Seen>>, local: Option<&Vec<Seen>>) -> Option<String> {
    match (server, local) {
        (Some(server), Some(local)) if server == local => None,
        (Some(server), Some(local)) => {
            let only = |these: &[Seen], those: &[Seen]| {
                let missing = these.iter().filter(|message| !those.contains(message)).take(3);
                missing.map(|message| format!("{message:?}")).collect::<Vec<_>>().join(", ")
            };
            Some(format!(
                "{name}: {} messages on the server, {} here; only there: [{}]; only here: [{}]",
                server.len(),
                local.len(),
                only(server, local),
                only(local, server),
            ))
        }
        (Some(_), None) => Some(format!("{name} is only on the server")),
        (None, _) => Some(format!("{name} is only here")),
    }
}

/// Names from LIST answers, without those that cannot be selected.
fn selectable(answers: &[Response]) -> Vec<String> {
    let name = |answer: &Response| {
        let rest = answer.text.strip_prefix("* LIST (")?;
        let (attributes, rest) = rest.split_once(") ")?;
        let name = match rest.strip_prefix('"') {
            Some(rest) => rest.split_once("\" ")?.1,
            None => rest.split_once(' ')?.1,
        };
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
        let usable = !attributes.to_ascii_lowercase().contains("\\noselect");
        usable.then(|| name.replace("\\\"", "\"").replace("\\\\", "\\"))
    };
    answers.iter().filter_map(name).collect()
}

/// A message from a FETCH answer.
fn seen(answer: &Response) -> Option<Seen> {
    let flags = answer.text.split_once("FLAGS (")?.1.split_once(')')?.0;
    let flags: Flags = flags.split(' ').filter_map(Flag::parse).collect();
    let internal_date = answer.text.split_once("INTERNALDATE \"")?.1.split_once('"')?.0.to_owned();
    let hash = ContentHash::of(answer.literals.first()?);
    Some(Seen { hash, flags: flags.iter().map(String::from).collect(), internal_date })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(messages: &[(&str, &[u8])]) -> Side {
        let mut side = Side::new();
        for (mailbox, bytes) in messages {
            let text = "* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent) INTERNALDATE \" 1-Feb-2003 04:05:06 +0000\" BODY[] )";
            let answer = Response { text: text.to_owned(), literals: vec![bytes.to_vec()] };
            side.entry((*mailbox).to_owned()).or_default().extend(seen(&answer));
        }
        side
    }

    #[test]
    fn equal_sides_have_no_difference_and_others_are_told() {
        let server = side(&[("INBOX", b"one"), ("INBOX", b"two")]);
        assert!(differences(&server, &server.clone()).is_empty());
        assert_eq!(differences(&server, &side(&[("INBOX", b"one")])).len(), 1);
        assert_eq!(differences(&server, &side(&[("INBOX", b"one"), ("INBOX", b"two"), ("Work", b"x")])).len(), 1);
    }

    #[test]
    fn copies_are_counted_over_all_mailboxes() {
        let copies = copies(&side(&[("INBOX", b"one"), ("Work", b"one"), ("Work", b"two")]));
        assert_eq!(copies[&ContentHash::of(b"one")], 2);
        assert_eq!(copies[&ContentHash::of(b"two")], 1);
    }

    #[test]
    fn names_are_read_from_list() {
        let answer = |text: &str| Response { text: text.to_owned(), literals: Vec::new() };
        let answers = [
            answer("* LIST (\\HasNoChildren) \"/\" INBOX"),
            answer("* LIST (\\Noselect) \"/\" \"a\""),
            answer("* LIST () \"/\" \"a/b c\""),
        ];
        assert_eq!(selectable(&answers), ["INBOX", "a/b c"]);
    }
}
