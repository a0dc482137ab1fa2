//! The search index: what is found with it is what is found without it, whatever the messages and whatever is asked; and
//! whatever becomes of its file.

use mailtide::imap::server::backend::{Account, Backend};
use mailtide::message::search::Query;
use mailtide::sasl::Credentials;
use mailtide::serve::imap::MailAccount;
use mailtide::store::{Origin, With};
use mailtide::types::{LocalUid, Secret, UidSet};
use proptest::prelude::*;

use super::face::{Face, NOW};

fn account(face: &Face) -> MailAccount {
    let credentials =
        Credentials { user: "alice".to_owned(), password: Secret::new("secret".to_owned()), authorize_as: None };
    face.backend().0.login(&credentials).unwrap_or_else(|error| panic!("{error}"))
}

fn found(face: &Face, account: &mut MailAccount, query: &Query) -> Vec<u32> {
    let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
    let found = account.search(face.mailbox("INBOX"), &all, query).expect("a search");
    found.into_iter().map(LocalUid::get).collect()
}

fn index(face: &Face) {
    while face.store.index_more().expect("an index") {}
}

/// Words that are near one another in every way that matters: case, accents, scripts, parts of one another.
const WORDS: &[&str] = &[
    "a",
    "ab",
    "abc",
    "ABCD",
    "bcd",
    "Straße",
    "STRASSE",
    "grün",
    "GRU\u{308}N",
    "é",
    "cafe",
    "café",
    "日",
    "日本",
    "日本語",
    "本語",
    "会議室",
    "ガ",
    "カ",
    "한국어",
    "한",
    "ﬁn",
    "fin",
    "x\"y",
    "a b",
    "*",
    "AND",
    "Привет",
    "\u{1F600}",
    "%",
    "=",
    "<b>",
    "&amp;",
    "\u{10FFFF}",
    "\u{FFFF}",
];

fn words(max: usize) -> impl Strategy<Value = String> {
    let word = prop_oneof![5 => prop::sample::select(WORDS).prop_map(str::to_owned), 1 => ".{0,4}"];
    let gap = prop::sample::select(&["", " ", "\r\n", "\r\n "][..]);
    prop::collection::vec((word, gap), 0..max)
        .prop_map(|words| words.into_iter().map(|(word, gap)| word + gap).collect())
}

/// A part: its header fields and its body, in one encoding or another.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let subtype = prop::sample::select(&["text/plain", "text/html", "application/x", "message/delivery-status"][..]);
    (subtype, 0..4, words(12)).prop_map(|(kind, encoding, text)| {
        use base64::Engine as _;
        let (encoding, body) = match encoding {
            0 => ("8bit", text.into_bytes()),
            1 => ("quoted-printable", quoted_printable(&text)),
            2 => ("base64", base64::engine::general_purpose::STANDARD.encode(text).into_bytes()),
            _ => ("8bit", text.chars().map(|character| u32::from(character) as u8).collect()),
        };
        let charset = if encoding == "8bit" { "iso-8859-1" } else { "utf-8" };
        let head = format!("Content-Type: {kind}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
        [head.into_bytes(), body, b"\r\n".to_vec()].concat()
    })
}

/// Every byte escaped, a soft line break every few of them.
fn quoted_printable(text: &str) -> Vec<u8> {
    let escape = |(place, byte): (usize, u8)| format!("={byte:02X}{}", if place % 5 == 4 { "=\r\n" } else { "" });
    text.bytes().enumerate().map(escape).collect::<String>().into_bytes()
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    (words(5), prop::collection::vec(part(), 0..4), any::<bool>()).prop_map(|(subject, parts, nested)| {
        let subject = subject.replace(['\r', '\n'], "");
        let mut message = format!("Subject: {subject}\r\nFrom: \"{subject}\" ({subject}) <a (b)@c.d>\r\n").into_bytes();
        match parts.as_slice() {
            [] => message.extend(b"\r\n"),
            [part] if nested => {
                message.extend([b"Content-Type: message/rfc822\r\n\r\nX-In: abcd\r\n", &part[..]].concat())
            }
            [part] => message.extend(part),
            parts => {
                message.extend(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n");
                for part in parts {
                    message.extend([b"--b\r\n", &part[..]].concat());
                }
                message.extend(b"--b--\r\n");
            }
        }
        message
    })
}

fn query() -> impl Strategy<Value = Query> {
    let text = prop_oneof![3 => prop::sample::select(WORDS).prop_map(str::to_owned), 2 => words(3), 1 => ".{0,3}"];
    let leaf = (0..6, text).prop_map(|(kind, text)| match kind {
        0 => Query::Body(text),
        1 => Query::Text(text),
        2 => Query::Header { name: "Subject".to_owned(), value: text },
        3 => Query::Text(format!("{text}:")),
        4 => Query::Header { name: "From".to_owned(), value: text },
        _ => Query::Larger(300),
    });
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|query| Query::Not(Box::new(query))),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| Query::Or(Box::new(one), Box::new(other))),
            prop::collection::vec(inner, 0..3).prop_map(Query::And),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn what_is_found_with_the_index_is_what_is_found_without_it(
        messages in prop::collection::vec(message(), 1..12),
        later in prop::collection::vec(message(), 0..4),
        queries in prop::collection::vec(query(), 60),
    ) {
        let face = Face::new(Origin::Authority);
        let mut account = account(&face);
        for message in messages.iter().chain(&later) {
            face.give(message, "");
        }
        let without: Vec<_> = queries.iter().map(|query| found(&face, &mut account, query)).collect();
        drop((account, face));

        let face = Face::new(Origin::Authority);
        let mut account = self::account(&face);
        for message in &messages {
            face.give(message, "");
        }
        index(&face);
        for message in &later {
            face.give(message, "");
        }
        for (query, without) in queries.iter().zip(&without) {
            prop_assert_eq!(&found(&face, &mut account, query), without, "{:?}, with a part that is not indexed", query);
        }
        index(&face);
        for (query, without) in queries.iter().zip(&without) {
            prop_assert_eq!(&found(&face, &mut account, query), without, "{:?}", query);
        }
    }
}

const LARGE: usize = 5 * 1024 * 1024;

#[test]
fn what_the_index_cannot_hold_is_read() {
    let face = Face::new(Origin::Authority);
    face.give(format!("Subject: large\r\n\r\n{}needle\r\n", "hay ".repeat(LARGE / 4)).as_bytes(), "");
    face.give(b"Subject: small\r\n\r\nneedle\r\n", "");
    index(&face);
    let mut account = account(&face);
    assert_eq!(found(&face, &mut account, &Query::Body("NEEDLE".to_owned())), [1, 2]);
    assert_eq!(found(&face, &mut account, &Query::Not(Box::new(Query::Text("large".to_owned())))), [2]);
}

#[test]
fn an_index_of_before_addresses_were_told_apart_is_made_anew() {
    let mut face = Face::new(Origin::Authority);
    face.give(b"From: \"one\"@far.example\r\n\r\nneedle\r\n", "");
    index(&face);
    face.reopen_after(|folder| {
        let index = rusqlite::Connection::open(folder.join("search.db")).expect("an index");
        let former: &[u8] = b"FROM: \"ONE\"@FAR.EXAMPLE\xf4\x8f\xbf\xbf";
        index.execute("UPDATE header_text SET text = ?1", [former]).expect("a row");
        index.pragma_update(None, "user_version", 1).expect("a version");
    });
    index(&face);
    let mut account = account(&face);
    let from = Query::Header { name: "From".to_owned(), value: "one@far.example".to_owned() };
    assert_eq!(found(&face, &mut account, &from), [1]);
    assert_eq!(found(&face, &mut account, &Query::Body("needle".to_owned())), [1]);
    assert_eq!(found(&face, &mut account, &Query::Body("hay".to_owned())), [] as [u32; 0]);
}

/// What becomes of a file.
type Ruin = fn(&std::path::Path);

#[test]
fn an_index_that_is_damaged_gone_or_of_other_mail_tells_nothing_wrong() {
    let ways: [(&str, Ruin); 4] = [
        ("gone", |file| std::fs::remove_file(file).expect("it is there")),
        ("no database", |file| std::fs::write(file, b"no database at all").expect("it is there")),
        ("damaged", |file| {
            let mut bytes = std::fs::read(file).expect("it is there");
            bytes[8192..].fill(0xA5);
            std::fs::write(file, bytes).expect("it is there");
        }),
        ("kept", |_| {}),
    ];
    for (what, ruin) in ways {
        let (mut face, mut other) = (Face::new(Origin::Authority), Face::new(Origin::Authority));
        face.give(b"Subject: one\r\n\r\nneedle\r\n", "");
        face.give(b"Subject: two\r\n\r\nhay\r\n", "");
        // Under the same numbers the other store has other messages.
        other.give(b"Subject: one\r\n\r\nhay\r\n", "");
        other.give(b"Subject: two\r\n\r\nneedle and pin\r\n", "");
        index(&other);
        let mut foreign = Vec::new();
        other.reopen_after(|folder| foreign = std::fs::read(folder.join("search.db")).expect("an index"));
        face.reopen_after(|folder| {
            let file = folder.join("search.db");
            std::fs::write(&file, foreign).expect("room");
            ruin(&file);
        });
        for _ in 0..2 {
            let mut account = account(&face);
            assert_eq!(found(&face, &mut account, &Query::Body("needle".to_owned())), [1], "{what}");
            assert_eq!(found(&face, &mut account, &Query::Body("pin".to_owned())), [] as [u32; 0], "{what}");
            // A failure makes it anew the next time.
            if face.store.index_more().is_err() {
                index(&face);
            }
        }
    }
}

/// So it is with too many open files.
#[test]
fn an_index_that_cannot_be_opened_for_a_moment_is_not_made_anew() {
    let face = Face::new(Origin::LocalUser);
    face.give(b"Subject: one\r\n\r\nneedle\r\n", "");
    index(&face);
    let (file, aside) = (face.folder().join("search.db"), face.folder().join("aside"));
    std::fs::rename(&file, &aside).expect("an index");
    std::fs::create_dir(&file).expect("a writable folder");
    let needle = Query::Body("needle".to_owned());
    assert_eq!(found(&face, &mut account(&face), &needle), [1]);
    std::fs::remove_dir(&file).expect("it is empty");
    std::fs::rename(&aside, &file).expect("its old place");
    let inbox = face.mailbox("INBOX");
    let messages = face.store.read(|reader| reader.messages(inbox, &reader.open(inbox)?.uids, With::Columns));
    let content = messages.expect("a read")[0].content;
    assert_eq!(face.store.findings(&needle, content.into_iter().collect()).say(content, &needle), Some(true));
}

#[test]
fn what_is_gone_for_good_is_gone_from_the_index() {
    let mut face = Face::new(Origin::Authority);
    face.give(b"Subject: one\r\n\r\nunmistakable\r\n", "\\Deleted");
    index(&face);
    let rows = |face: &mut Face| {
        let mut rows = [0; 4];
        face.reopen_after(|folder| {
            let index = rusqlite::Connection::open(folder.join("search.db")).expect("an index");
            rows = ["entry", "header_text", "body_text", "gram_docsize"].map(|table| {
                let count = format!("SELECT count(*) AS n FROM {table}");
                index.query_row(&count, [], |row| row.get::<_, u32>("n")).expect("a table")
            });
        });
        rows
    };
    assert_eq!(rows(&mut face), [1; 4]);
    index(&face);
    assert!(face.inbox().say("a EXPUNGE\r\n").contains("a OK"));
    face.store.sweep(NOW.plus_ms(1), NOW).expect("a sweep");
    assert_eq!(rows(&mut face), [0; 4]);
}
