//! The transcripts of IMAP with Dovecot as the judge: it has texts, an order and items of its own, but what is found, what went, which
//! flags there are, which mailboxes, and what is refused must be the same.

use std::collections::BTreeSet;

use crate::support::dovecot::{Dovecot, Options, PASSWORD};
use crate::support::play::{Exchange, Stage, ask, transcripts};
use crate::support::script::matches;

/// Those of extensions that Dovecot has.
const JUDGED: [&str; 29] = [
    "append",
    "catenate",
    "condstore",
    "copy_and_move",
    "esort",
    "expunge",
    "expunge_timing",
    "fetch",
    "list_extended",
    "mailboxes",
    "pipelining",
    "qresync",
    "rfc3501",
    "rfc3691",
    "rfc4315",
    "rfc4469",
    "rfc4731",
    "rfc5032",
    "rfc5182",
    "rfc5256",
    "rfc5258",
    "rfc5258_children",
    "rfc5819",
    "rfc6851",
    "rfc7162_expunged",
    "search",
    "sort",
    "store",
    "thread",
];

/// Where Dovecot is not followed: in which transcript, at which commands, and why.
const OVERRULED: [(&str, &[&str], &str); 23] = [
    ("append", &["a3"], "\\Recent is nobody's to set, so it is left out; Dovecot refuses the message"),
    ("store", &["a7"], "the same"),
    ("catenate", &["a9"], "a part that is not there cannot be put into a message; Dovecot puts nothing in its place"),
    ("catenate", &["b8"], "an empty message is refused; Dovecot keeps it"),
    ("catenate", &["c2", "c4"], "REPLACE is an extension that Dovecot has not, so other messages are there"),
    ("copy_and_move", &["b5", "b6"], "nothing is moved out of a mailbox that is read only; Dovecot moves it"),
    ("esort", &["b6"], "Dovecot knows more charsets"),
    ("search", &["c1"], "the same"),
    ("sort", &["c2"], "the same"),
    ("thread", &["b6", "b7"], "the same, and one more algorithm"),
    ("search", &["c5"], "which result comes first is the server's choice (RFC 4731 section 3.1)"),
    ("sort", &["d1", "d2"], "what another session expunged is found no more; Dovecot finds it"),
    ("expunge_timing", &["a3", "a4", "a5"], "the same; and that it is gone is told by EXPUNGEISSUED (RFC 5530)"),
    ("list_extended", &["a4", "b1", "b2", "c10", "d1", "d2"], NEED_NOT_EXIST),
    ("list_extended", &["b5"], "Dovecot made Fruit as no more than a name above Fruit/Apple"),
    (
        "list_extended",
        &["e1"],
        "an empty pattern names nothing (RFC 5258 section 3); Dovecot takes the reference for it",
    ),
    (
        "list_extended",
        &["e4", "e6"],
        "a mailbox with others below it is deleted but for its name (RFC 3501 section 6.3.4); Dovecot refuses that",
    ),
    ("mailboxes", &["z1", "z2"], "a name is one line (RFC 6855 section 3); Dovecot takes what separates lines"),
    ("rfc3501", &["x2", "x3", "A002", "A003"], NEED_NOT_EXIST),
    ("rfc5258", &["y3", "A02", "A05"], NEED_NOT_EXIST),
    ("rfc5258_children", &["y9", "C08", "z2", "a2", "a3"], NEED_NOT_EXIST),
    ("rfc5819", &["x4", "x7", "A02"], "the same; and what was made above another can be deleted before it"),
    (
        "mailboxes",
        &["a2", "a3", "a5", "a5c", "b2", "b3"],
        "what is there cannot be created, and a mailbox has one use; Dovecot made Work as no more than a name above Work/2026",
    ),
];

const NEED_NOT_EXIST: &str = "a subscribed name need not exist (RFC 3501 section 6.3.6); Dovecot refuses it";

#[test]
fn dovecot_agrees_with_the_transcripts() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for (place, (name, text)) in
        transcripts().into_iter().enumerate().filter(|(_, (name, _))| JUDGED.contains(&name.as_str()))
    {
        let stage = Stage { address: dovecot.imap, user: &format!("a{place:04}"), password: PASSWORD };
        for exchange in ask(&text, &stage) {
            asked += 1;
            let tag = exchange.command.split(' ').next().unwrap_or_default();
            let overruled = OVERRULED.iter().any(|(other, tags, _)| *other == name && tags.contains(&tag));
            let difference = match (difference(&exchange), overruled) {
                (Some(difference), false) => difference,
                (None, true) => "is overruled, and no different at Dovecot".to_owned(),
                _ => continue,
            };
            wrong.push(format!("{name}, line {}: {}\n  {difference}", exchange.line, exchange.command));
        }
    }
    println!("{asked} commands judged");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn difference(exchange: &Exchange) -> Option<String> {
    let [expected, said] =
        [&exchange.expected, &exchange.said].map(|lines| lines.last().map(String::as_str).unwrap_or_default());
    if word(expected, 1) != word(said, 1) {
        return Some(format!("ends with {expected:?}, at Dovecot with {said:?}"));
    }
    let of = |lines: &[String], kind: &str| -> Vec<String> {
        lines.iter().filter(|line| word(line, 1) == kind || word(line, 2) == kind).cloned().collect()
    };
    for kind in ["SEARCH", "ESEARCH", "SORT", "THREAD", "VANISHED"] {
        let (expected, said) = (of(&exchange.expected, kind), of(&exchange.said, kind));
        let alike = |(pattern, line): (&String, &String)| matches(pattern, line.trim_end());
        if expected.len() != said.len() || !expected.iter().zip(&said).all(alike) {
            return Some(format!("{expected:?}, at Dovecot {said:?}"));
        }
    }
    let [expected, said] = [&exchange.expected, &exchange.said].map(|lines| expunged(&of(lines, "EXPUNGE")));
    if expected != said {
        return Some(format!("without {expected:?}, at Dovecot without {said:?}"));
    }
    for (kind, facts) in
        [("LIST", name as fn(&str) -> Option<String>), ("LSUB", name), ("FETCH", flags), ("STATUS", counts)]
    {
        let [expected, mut said] = [&exchange.expected, &exchange.said]
            .map(|lines| of(lines, kind).iter().filter_map(|line| facts(line)).collect::<BTreeSet<_>>());
        // It has two mailboxes from the beginning, and tells flags that nobody asked for.
        let its_own = |fact: &str| kind == "FETCH" || ["Drafts", "Sent"].contains(&word(fact, 0));
        said.retain(|fact| expected.contains(fact) || !its_own(fact));
        if expected != said {
            return Some(format!("{kind} {expected:?}, at Dovecot {said:?}"));
        }
    }
    None
}

fn word(line: &str, place: usize) -> &str {
    line.split(' ').nth(place).unwrap_or_default()
}

/// The numbers that those messages had before the first of them went: in which order they go is the server's choice.
fn expunged(lines: &[String]) -> BTreeSet<usize> {
    let mut gone = BTreeSet::new();
    for number in lines.iter().filter_map(|line| word(line, 1).parse::<usize>().ok()) {
        let before = gone.iter().fold(number, |number, other| if *other <= number { number + 1 } else { number });
        gone.insert(before);
    }
    gone
}

/// The mailbox of `* LIST (...) "/" name`.
fn name(line: &str) -> Option<String> {
    let rest = line.split_once("\"/\" ")?.1;
    Some(rest.split_once(" (").map_or(rest, |(name, _)| name).trim_matches('"').to_owned())
}

/// The message and its flags.
fn flags(line: &str) -> Option<String> {
    let flags = line.split_once("FLAGS (")?.1.split_once(')')?.0;
    let flags: BTreeSet<String> = flags.split(' ').filter(|flag| *flag != "\\Recent").map(str::to_lowercase).collect();
    Some(format!("{} {flags:?}", word(line, 1)))
}

/// The mailbox and how many messages are in it.
fn counts(line: &str) -> Option<String> {
    let (head, items) = line.strip_prefix("* STATUS ")?.split_once(" (")?;
    let items: Vec<&str> = items.trim_end_matches(')').split(' ').collect();
    let counted = ["MESSAGES", "UNSEEN", "UIDNEXT", "SIZE"];
    let items: BTreeSet<String> =
        items.chunks(2).filter(|item| counted.contains(&item[0])).map(|item| item.join(" ")).collect();
    Some(format!("{} {items:?}", head.trim_matches('"')))
}
