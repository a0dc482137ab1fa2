//! MIME as it is in the wild: of every message there is refserver and Dovecot tell structure, envelope, sections, decoded
//! parts and header fields; where they say something else, the table says why ours stays. `MAILTIDE_CORPUS` names a folder
//! with more mail.

use std::collections::BTreeMap;

use mailtide::message::{Body, Part, Scanner};

use crate::support::agent::{Account, Agent};
use crate::support::corpus;
use crate::support::dovecot::{Dovecot, Options, PASSWORD};
use crate::support::imap::{Imap, Line};
use crate::support::refserver::RefServer;
use crate::support::wait::{SOON, wait_until};

/// Messages in one mailbox.
const BATCH: usize = 200;

/// Sections of one message that are compared: some have thousands of parts.
const SECTIONS_MAX: usize = 40;

#[test]
fn refserver_and_dovecot_read_mail_alike() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    let refserver = RefServer::with_users(&["ada"]);
    let (to_dovecot, to_refserver) = (|| dovecot.login("ada"), || refserver.login("ada"));
    let mut sides = [Side::new(&to_dovecot), Side::new(&to_refserver)];
    // Dovecot drops a CR at the very end.
    let messages: Vec<Vec<u8>> = corpus::all().into_iter().filter(|message| !message.ends_with(b"\r")).collect();
    let mut verdict = Verdict::default();
    for (number, messages) in messages.chunks(BATCH).enumerate() {
        for side in &mut sides {
            fill(&mut side.imap, number, messages);
        }
        verdict.compare(&mut sides, number, messages, items);
    }
    verdict.tell(500);
}

#[test]
fn of_mail_whose_text_is_not_here_the_agent_tells_what_dovecot_does_and_fetches_one_part_alone() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    let messages: Vec<Vec<u8>> = corpus::all().into_iter().filter(|message| !message.ends_with(b"\r")).collect();
    for (number, messages) in messages.chunks(BATCH).enumerate() {
        fill(&mut dovecot.login("ada"), number, messages);
    }
    for (bodies, is_absent) in [(r#""headers""#, true), (r#"{ max-size = "2K" }"#, false)] {
        let more = format!("mirror = {{ bodies = {bodies} }}");
        let account = Account {
            name: "ada",
            address: "ada@home.example".to_owned(),
            imap: dovecot.imap,
            smtp: dovecot.imap,
            tls: "none",
            user: "ada",
            password: PASSWORD,
            more: &more,
        };
        let agent = Agent::started(&account.text());
        agent.sync();
        let absent = || agent.account()["bodies"]["absent"]["messages"].as_u64().expect("a count");
        let expected = |message: &&Vec<u8>| is_absent || message.len() > 2048;
        let expected = messages.iter().filter(expected).count() as u64;
        wait_until("what is wanted to come", SOON, || absent() == expected);
        let (to_dovecot, to_agent) = (|| dovecot.login("ada"), || agent.login("ada"));
        let mut sides = [Side::new(&to_dovecot), Side::new(&to_agent)];
        let mut verdict = Verdict::default();
        for (number, messages) in messages.chunks(BATCH).enumerate() {
            verdict.compare(&mut sides, number, messages, |_| OUTLINE.map(str::to_owned).to_vec());
        }
        verdict.tell(500);
        assert_eq!(absent(), expected, "nothing of it has to be fetched");
        if !is_absent {
            continue;
        }
        for number in 0..messages.chunks(BATCH).len() {
            for side in &mut sides {
                side.imap.select(&mailbox(number));
            }
            for text in
                ["BODY meeting", "BODY \"the \"", "NOT BODY e", "BODY {6+}\r\nüber ", "BODY nowhere-to-be-found"]
            {
                let charset = if text.is_ascii() { "" } else { "CHARSET UTF-8 " };
                let query = format!("SEARCH {charset}{text}");
                let [theirs, ours] = sides.each_mut().map(|side| side.imap.ok(&query).found());
                assert_eq!(theirs, ours, "{query} in {}: Dovecot (left) is asked", mailbox(number));
            }
        }
        assert_eq!(absent(), expected, "nor for a search");
        let mut verdict = Verdict::default();
        for (number, messages) in messages.chunks(BATCH).enumerate() {
            verdict.compare(&mut sides, number, messages, |message| {
                items(message)
                    .into_iter()
                    .filter(|item| item.starts_with("BODY.PEEK[1") && message.len() > 32_768)
                    .collect()
            });
        }
        verdict.tell(1);
    }
}

/// What a client is told of a message without its text.
const OUTLINE: [&str; 6] = [
    "RFC822.SIZE",
    "ENVELOPE",
    "BODYSTRUCTURE",
    "BODY",
    "BODY.PEEK[HEADER]",
    "BODY.PEEK[HEADER.FIELDS (Subject From TO Received)]",
];

fn mailbox(number: usize) -> String {
    format!("mime{number}")
}

fn fill(imap: &mut Imap, number: usize, messages: &[Vec<u8>]) {
    imap.ok(&format!("CREATE {}", mailbox(number)));
    for message in messages {
        imap.append(&mailbox(number), &[], 1_000_000_000, message);
    }
}

/// How the answers of two servers compare.
#[derive(Default)]
struct Verdict {
    compared: usize,
    explained: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Verdict {
    /// Asks both the same of all messages of a mailbox.
    fn compare(
        &mut self,
        sides: &mut [Side<'_>; 2],
        number: usize,
        messages: &[Vec<u8>],
        items: impl Fn(&[u8]) -> Vec<String>,
    ) {
        for side in sides.iter_mut() {
            side.mailbox = mailbox(number);
            side.imap.select(&side.mailbox);
        }
        for (place, message) in messages.iter().enumerate() {
            for item in items(message) {
                let [theirs, ours] = sides.each_mut().map(|side| told(side, place + 1, &item));
                self.compared += 1;
                if theirs == ours {
                    continue;
                }
                match EXPLAINED.iter().find(|(_, applies)| applies(&item, message, &theirs, &ours)) {
                    Some((why, _)) => *self.explained.entry(*why).or_insert(0) += 1,
                    None => self.wrong.push(format!(
                        "{item} of {:?}\n  Dovecot {theirs}\n  ours    {ours}",
                        String::from_utf8_lossy(&message[..message.len().min(120)])
                    )),
                }
            }
        }
    }

    /// Says what was compared; fails where there was too little, or something differs without an explanation.
    fn tell(mut self, least: usize) {
        for (why, count) in &self.explained {
            println!("{count:5} {why}");
        }
        println!("{} answers compared, {} differ without an explanation", self.compared, self.wrong.len());
        assert!(self.compared >= least, "there is too little mail: {}", self.compared);
        self.wrong.truncate(20);
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}

/// One server.
struct Side<'a> {
    login: &'a dyn Fn() -> Imap,
    imap: Imap,
    mailbox: String,
}

impl<'a> Side<'a> {
    fn new(login: &'a dyn Fn() -> Imap) -> Self {
        Self { login, imap: login(), mailbox: String::new() }
    }
}

/// What is asked of a message.
fn items(message: &[u8]) -> Vec<String> {
    let mut items: Vec<String> = [
        "RFC822.SIZE",
        "ENVELOPE",
        "BODYSTRUCTURE",
        "BODY",
        "BODY[]",
        "BODY[HEADER]",
        "BODY[TEXT]",
        "BODY[HEADER.FIELDS (Subject From TO Received)]",
        "BODY[HEADER.FIELDS.NOT (Subject From TO Received)]",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut sections = Vec::new();
    let summary = Scanner::scan(message);
    match &summary.root.body {
        Body::Multipart(_) => below(&summary.root, "", &mut sections),
        Body::Leaf | Body::Message(..) => sections.push(("1".to_owned(), Kind::of(&summary.root))),
    }
    for (section, kind) in sections.into_iter().take(SECTIONS_MAX) {
        items.extend([format!("BODY[{section}]"), format!("BODY[{section}.MIME]")]);
        if kind == Kind::Message {
            items.extend(["HEADER", "TEXT"].map(|part| format!("BODY[{section}.{part}]")));
        }
        if kind == Kind::Leaf {
            items.extend([format!("BINARY[{section}]"), format!("BINARY.SIZE[{section}]")]);
        }
    }
    items
        .into_iter()
        .map(|item| item.replacen('[', ".PEEK[", usize::from(item.starts_with("BODY[") || item.starts_with("BINARY["))))
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Leaf,
    Multipart,
    Message,
}

impl Kind {
    fn of(part: &Part) -> Self {
        match part.body {
            Body::Leaf => Self::Leaf,
            Body::Multipart(_) => Self::Multipart,
            Body::Message(..) => Self::Message,
        }
    }
}

/// The numbers of the parts of a multipart, and of those within them (RFC 9051 section 6.4.5.1).
fn below(part: &Part, prefix: &str, sections: &mut Vec<(String, Kind)>) {
    let Body::Multipart(parts) = &part.body else { return };
    for (place, part) in parts.iter().enumerate() {
        let section = format!("{prefix}{}", place + 1);
        sections.push((section.clone(), Kind::of(part)));
        match &part.body {
            Body::Message(_, root) if Kind::of(root) == Kind::Leaf => {
                sections.push((format!("{section}.1"), Kind::Leaf));
            }
            Body::Message(_, root) => below(root, &format!("{section}."), sections),
            Body::Leaf | Body::Multipart(_) => below(part, &format!("{section}."), sections),
        }
    }
}

/// The answer to one item, or how it was refused; letter case of what has none, and how a string is spelt, do not matter.
fn told(side: &mut Side<'_>, number: usize, item: &str) -> String {
    let Ok(reply) = side.imap.try_command(&format!("FETCH {number} {item}")) else {
        side.imap = (side.login)();
        side.imap.select(&side.mailbox);
        return "closed".to_owned();
    };
    if reply.status != "OK" {
        return reply.status;
    }
    let start = format!("* {number} FETCH (");
    let told: Vec<&Line> = reply.untagged.iter().filter(|line| line.text.starts_with(&start)).collect();
    let text = told.iter().map(|line| spelt(line)).collect::<Vec<_>>().join("\n");
    match item.contains('[') {
        // Behind the name of the item, which servers spell as they like.
        true => text.split_once("] ").map_or(text.clone(), |(_, value)| value.to_owned()),
        false => text.to_lowercase(),
    }
}

/// The response with its literals, and quoted strings, in place.
fn spelt(line: &Line) -> String {
    let mut literals = line.literals.iter();
    let mut text = String::new();
    let mut rest = line.text.as_str();
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((length, after)) = behind.split_once('}') else { break };
        match (length.parse::<usize>(), literals.as_slice().first()) {
            (Ok(length), Some(literal)) if literal.len() == length => {
                literals.next();
                text.push_str(before.strip_suffix('~').unwrap_or(before));
                text.push_str(&format!("{:?}", String::from_utf8_lossy(literal)));
                rest = after;
            }
            _ => {
                text.push_str(before);
                text.push('{');
                rest = behind;
            }
        }
    }
    text.push_str(rest);
    text
}

type Applies = fn(item: &str, message: &[u8], theirs: &str, ours: &str) -> bool;

/// Where Dovecot says something else, and why it is not followed.
const EXPLAINED: &[(&str, Applies)] = &[
    (
        "unfolding takes away line breaks alone (RFC 5322 section 2.2.3); Dovecot makes one blank of many",
        |item, _, theirs, ours| tells_structure(item) && without_blanks(theirs) == without_blanks(ours),
    ),
    (
        "what is no address is shown as far as it is one; Dovecot puts MISSING_DOMAIN or SYNTAX_ERROR there",
        |item, _, theirs, _| {
            tells_structure(item)
                && ["missing_domain", "missing_mailbox", "syntax_error"].iter().any(|word| theirs.contains(word))
        },
    ),
    (
        "a type that cannot be read is text/plain (RFC 2045 section 5.2); Dovecot shows empty strings",
        |item, _, theirs, _| {
            tells_structure(item) && theirs.contains("\"\" nil")
                || theirs.contains("(\"\" \"\"")
                || theirs.contains("(\"text\" \"\"")
        },
    ),
    (
        "the line break before a boundary is the boundary's (RFC 2046 section 5.1.1), behind an inner multipart, too",
        |item, _, theirs, ours| match tells_structure(item) {
            true => differ_by_a_line_break(theirs, ours),
            false => is_longer_by_a_line_break(theirs, ours),
        },
    ),
    (
        "a header that is cut short ends with an empty line all the same, as one that is not (RFC 9051 section 6.4.5.1)",
        |item, _, theirs, ours| {
            let is_header = [".MIME]", "HEADER]", "HEADER.FIELDS"].iter().any(|kind| item.contains(kind));
            is_header && is_longer_by_a_line_break(ours, theirs)
        },
    ),
    (
        "what is encoded and broken is decoded as far as it goes; Dovecot refuses, or ends the session",
        |item, _, theirs, ours| {
            let number = |text: &str| text.trim_end_matches(')').parse::<u64>().ok();
            let is_wrong =
                number(theirs).zip(number(ours)).is_some_and(|(theirs, ours)| theirs < ours || theirs > NEGATIVE);
            item.starts_with("BINARY")
                && (["NO", "closed"].contains(&theirs) || (item.starts_with("BINARY.SIZE") && is_wrong))
        },
    ),
    (
        "a boundary has 70 characters at most (RFC 2046 section 5.1.1): of longer ones anything can come",
        |_, message, _, _| {
            let text = String::from_utf8_lossy(message).to_lowercase();
            text.split("boundary=").skip(1).any(|rest| {
                rest.trim_start_matches('"').split(['"', '\r', ';']).next().is_some_and(|boundary| boundary.len() > 70)
            })
        },
    ),
    (
        "one language is a string (`body-fld-lang`, RFC 9051 section 9); Dovecot makes a list of it",
        |item, _, theirs, ours| {
            item == "BODYSTRUCTURE"
                && theirs.replace("(\"", "\"").replace("\")", "\"") == ours.replace("(\"", "\"").replace("\")", "\"")
        },
    ),
    ("an encoding is what it says without MIME-Version, too; Dovecot passes it over", |item, message, theirs, ours| {
        let text = String::from_utf8_lossy(message).to_lowercase();
        tells_structure(item) && !text.contains("\r\nmime-version:") && theirs == ours.replace("\"8bit\"", "\"7bit\"")
    }),
    ("an empty name is a name; Dovecot shows none", |item, _, theirs, ours| {
        item == "ENVELOPE" && theirs == ours.replace("(\"\" nil", "(nil nil")
    }),
    ("a semicolon too many is passed over; Dovecot reads no parameter behind it", |_, message, _, _| {
        message.windows(2).any(|pair| pair == b";;")
    }),
    (
        "an = may stand in a boundary without quotes, as many senders have it; Dovecot ends it there",
        |item, message, _, _| {
            let text = String::from_utf8_lossy(message);
            tells_structure(item)
                && text
                    .split("boundary=")
                    .skip(1)
                    .any(|rest| rest.split(['\r', ';', '"']).next().is_some_and(|boundary| boundary.contains('=')))
        },
    ),
    (
        "parameters stay in their order, and of their pieces (RFC 2231 section 3) those without escapes are escaped",
        |item, _, theirs, ours| {
            let sorted = |text: &str| {
                let mut words: Vec<String> =
                    text.replace("%27", "'").replace("%20", " ").split([' ', '(', ')']).map(str::to_owned).collect();
                words.sort();
                words
            };
            tells_structure(item) && theirs.contains("*\" \"") && sorted(theirs) == sorted(ours)
        },
    ),
];

/// A size below zero, as Dovecot 2.3.19 tells it.
const NEGATIVE: u64 = i64::MAX as u64;

fn tells_structure(item: &str) -> bool {
    ["ENVELOPE", "BODY", "BODYSTRUCTURE"].contains(&item)
}

/// One section is the other and a line break.
fn is_longer_by_a_line_break(longer: &str, shorter: &str) -> bool {
    shorter.strip_suffix("\")").is_some_and(|shorter| longer.strip_suffix("\\r\\n\")") == Some(shorter))
}

fn without_blanks(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Nothing but sizes differ, each by the two octets of a line break, or by the one line that it ends.
fn differ_by_a_line_break(theirs: &str, ours: &str) -> bool {
    let words = |text: &str| text.split([' ', '(', ')']).map(str::to_owned).collect::<Vec<_>>();
    let (theirs, ours) = (words(theirs), words(ours));
    let near = |(theirs, ours): (&String, &String)| {
        let numbers = theirs.parse::<u64>().ok().zip(ours.parse::<u64>().ok());
        theirs == ours || numbers.is_some_and(|(theirs, ours)| matches!(theirs.wrapping_sub(ours), 1 | 2))
    };
    theirs.len() == ours.len() && theirs.iter().zip(&ours).all(near)
}
