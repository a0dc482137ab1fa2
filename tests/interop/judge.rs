//! refserver and Dovecot given the same mail: what they show must be the same.

use std::collections::BTreeMap;

use crate::load::{self, FOLDERS};
use crate::support::corpus;
use crate::support::dovecot::{Dovecot, Options};
use crate::support::imap::Imap;
use crate::support::random::Random;
use crate::support::refserver::RefServer;
use crate::support::server::Kind;
use crate::support::snapshot;

#[test]
fn refserver_and_dovecot_show_the_same_mail_in_the_same_folders() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    let refserver = RefServer::with_users(&["ada"]);
    // A part of the mail: every APPEND waits for the disk. Dovecot drops a CR at the very end.
    let messages: Vec<_> = corpus::all().into_iter().step_by(6).filter(|message| !message.ends_with(b"\r")).collect();
    let mut sides = [dovecot.login("ada"), refserver.login("ada")];
    for side in &mut sides {
        let naming = Kind::Dovecot(Options::default()).naming();
        let refused = load::fill(side, naming, &FOLDERS, &messages, &mut Random::new(5));
        assert_eq!(refused, 0, "messages were refused");
    }
    let [theirs, ours] = sides.each_mut().map(snapshot::take);
    let filled = |snapshot: &snapshot::Snapshot| {
        snapshot.iter().filter(|(_, mail)| !mail.is_empty()).map(|(name, mail)| (name.clone(), mail.clone())).collect()
    };
    let (theirs, ours): (snapshot::Snapshot, snapshot::Snapshot) = (filled(&theirs), filled(&ours));
    assert_eq!(theirs, ours, "Dovecot (left) against refserver (right):\n{}", snapshot::tell(&theirs, &ours));
    let [theirs, ours] = sides.each_mut().map(sizes_and_headers);
    let differ = theirs.iter().filter(|(key, value)| ours.get(*key) != Some(value)).count();
    assert_eq!(differ, 0, "of {} messages", theirs.len());
}

#[test]
fn refserver_and_dovecot_sort_and_thread_alike() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    let refserver = RefServer::with_users(&["ada"]);
    let mut sides = [dovecot.login("ada"), refserver.login("ada")];
    let mut mailboxes = corpus::ordering();
    for (name, messages) in &mut mailboxes {
        // Those made for it are all judged.
        messages.retain(|message| name != corpus::MIXED || !NOT_JUDGED.iter().any(|(_, applies)| applies(message)));
    }
    let mut wrong = Vec::new();
    for (number, (name, messages)) in mailboxes.iter().enumerate() {
        let mailbox = format!("judge{number}");
        for side in &mut sides {
            side.ok(&format!("CREATE {mailbox}"));
            for (place, message) in messages.iter().enumerate() {
                let reply = side.append(&mailbox, &[], 1_000_000_000 + 60 * (place as i64 % 7), message);
                assert_eq!(reply.status, "OK", "{name} {place}: {reply:?}");
            }
            side.select(&mailbox);
        }
        for command in ORDERS {
            let [theirs, ours] = sides.each_mut().map(|side| {
                let answer = side.ok(command).untagged;
                let is_order = |text: &&str| text.starts_with("* SORT") || text.starts_with("* THREAD");
                answer.iter().map(|line| line.text.as_str()).find(is_order).unwrap_or_default().trim_end().to_owned()
            });
            if theirs != ours {
                wrong.push(format!("{name}: {command}\n  Dovecot   {theirs}\n  refserver {ours}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Everything by which Dovecot sorts and threads.
const ORDERS: [&str; 11] = [
    "UID SORT (ARRIVAL) UTF-8 ALL",
    "UID SORT (CC) UTF-8 ALL",
    "UID SORT (DATE) UTF-8 ALL",
    "UID SORT (FROM) UTF-8 ALL",
    "UID SORT (REVERSE SIZE) UTF-8 ALL",
    "UID SORT (SUBJECT) UTF-8 ALL",
    "UID SORT (TO REVERSE DATE) UTF-8 ALL",
    "UID SORT (DISPLAYFROM) UTF-8 ALL",
    "UID SORT (DISPLAYTO) UTF-8 ALL",
    "UID THREAD ORDEREDSUBJECT UTF-8 ALL",
    "UID THREAD REFERENCES UTF-8 ALL",
];

type Applies = fn(&[u8]) -> bool;

/// Messages of which Dovecot says something else, and why it is not followed.
const NOT_JUDGED: [(&str, Applies); 4] = [
    ("of two Dates ENVELOPE shows the last, and so it is sorted; Dovecot sorts by the first", |message| {
        values(message, &["date"]).len() > 1
    }),
    ("a charset may name its language (RFC 2231 section 5); Dovecot does not decode such a word", |message| {
        let charset = |value: &String| {
            value.split("=?").skip(1).any(|word| word.split('?').next().is_some_and(|name| name.contains('*')))
        };
        values(message, &NAMES).iter().any(charset)
    }),
    ("an address without a host is shown without one; Dovecot adds MISSING_DOMAIN", |message| {
        values(message, &["from", "to"]).iter().any(|value| !value.is_empty() && !value.contains('@'))
    }),
    ("what an encoded-word with 8-bit bytes means is anyone's guess", |message| {
        values(message, &NAMES).iter().any(|value| value.contains("=?") && value.contains('\u{FFFD}'))
    }),
];

const NAMES: [&str; 4] = ["subject", "from", "to", "cc"];

/// The unfolded values of the fields of these names.
fn values(message: &[u8], names: &[&str]) -> Vec<String> {
    let text = String::from_utf8_lossy(message);
    let header = text.split("\r\n\r\n").next().unwrap_or_default();
    let unfolded = header.replace("\r\n ", " ").replace("\r\n\t", " ");
    let fields = unfolded.lines().filter_map(|line| line.split_once(':'));
    let wanted = fields.filter(|(name, _)| names.iter().any(|wanted| name.trim().eq_ignore_ascii_case(wanted)));
    wanted.map(|(_, value)| value.trim().to_owned()).collect()
}

/// RFC822.SIZE, BODY[HEADER] and BODY[TEXT] of everything in INBOX.
fn sizes_and_headers(imap: &mut Imap) -> BTreeMap<u32, (String, Vec<Vec<u8>>)> {
    imap.select("INBOX");
    let reply = imap.ok("UID FETCH 1:* (RFC822.SIZE BODY.PEEK[HEADER] BODY.PEEK[TEXT])");
    let rows = reply.untagged.iter().filter_map(|line| {
        let (number, rest) = line.text.strip_prefix("* ")?.split_once(" FETCH (")?;
        let size = rest.split_once("RFC822.SIZE ")?.1.split([' ', ')']).next()?;
        Some((number.parse().ok()?, (size.to_owned(), line.literals.clone())))
    });
    rows.collect()
}
