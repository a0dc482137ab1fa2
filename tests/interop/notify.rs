//! refserver and Dovecot asked for the same notifications (RFC 5465): what they tell must mean the same.

use std::collections::BTreeSet;

use crate::support::dovecot::{Dovecot, Options};
use crate::support::imap::Imap;
use crate::support::refserver::RefServer;

const WISH: &str = "NOTIFY SET (selected (MessageNew (UID FLAGS) MessageExpunge FlagChange)) \
    (mailboxes (Lists/one Lists/two Lists/three) (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))";

/// What another client does, and the last thing that the listener is told of it.
const ACTS: [(Act, &str); 7] = [
    (Act::Append("INBOX"), " FETCH ("),
    (Act::Command("UID STORE 1 +FLAGS.SILENT (\\Flagged)"), " FETCH ("),
    (Act::Append("Lists/one"), "* STATUS "),
    (Act::Command("CREATE Lists/two"), "* LIST "),
    (Act::Command("SUBSCRIBE Lists/two"), "* LIST "),
    (Act::Command("RENAME Lists/two Lists/three"), "* LIST "),
    (Act::Command("UID STORE 1 +FLAGS.SILENT (\\Deleted)"), " FETCH ("),
];

#[derive(Debug, Clone, Copy)]
enum Act {
    Append(&'static str),
    Command(&'static str),
}

#[test]
fn refserver_and_dovecot_notify_alike() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    let refserver = RefServer::with_users(&["ada"]);
    let mut sides = [(dovecot.login("ada"), dovecot.login("ada")), (refserver.login("ada"), refserver.login("ada"))];
    for (listener, actor) in &mut sides {
        actor.ok("CREATE Lists/one");
        actor.select("INBOX");
        listener.select("INBOX");
        listener.ok(WISH);
        // "while processing any IDLE command, the server MUST send exactly the same events" (section 4): Dovecot looks for
        // changes at once only then.
        listener.send("IDLE").expect("a connection");
        assert!(listener.line().expect("a connection").text.starts_with('+'));
    }
    for (act, last) in ACTS {
        let [theirs, ours] = sides.each_mut().map(|(listener, actor)| {
            match act {
                Act::Append(mailbox) => drop(actor.append(mailbox, &[], 1_000_000_000, b"Subject: x\r\n\r\nbody\r\n")),
                Act::Command(command) => drop(actor.ok(command)),
            }
            told(listener, last)
        });
        assert_eq!(theirs, ours, "{act:?}: Dovecot (left) against refserver (right)");
    }
}

/// What is told up to the line that holds `last`, as far as both must tell it.
fn told(listener: &mut Imap, last: &str) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let line = listener.line().unwrap_or_else(|error| panic!("{last} is not told, but {told:?}: {error}")).text;
        let is_last = line.contains(last);
        if !line.ends_with(" RECENT") && !line.starts_with("* FLAGS") && !line.starts_with("* OK [PERMANENTFLAGS") {
            told.push(meaning(&line));
        }
        if is_last {
            return told;
        }
    }
}

/// The words of a line without the order and the quoting of items, which is nobody's; of STATUS those that must be told,
/// of LIST the attributes that say what became of the name.
fn meaning(line: &str) -> String {
    let plain = line.replace(['"', '\r', '\n'], "");
    let words: Vec<&str> = plain.split([' ', '(', ')']).filter(|word| !word.is_empty()).collect();
    let pairs: BTreeSet<String> = words.windows(2).map(|pair| pair.join(" ")).collect();
    match words[..] {
        ["*", "STATUS", name, ..] => {
            let must = pairs.iter().filter(|pair| pair.starts_with("MESSAGES ") || pair.starts_with("UIDNEXT "));
            format!("STATUS {name} {:?}", must.collect::<Vec<_>>())
        }
        ["*", "LIST", ..] => {
            let must = words.iter().filter(|word| !word.to_lowercase().starts_with("\\has") && **word != "/");
            must.map(|word| word.to_lowercase()).collect::<Vec<_>>().join(" ")
        }
        ["*", number, "FETCH", ..] => {
            // Dovecot leaves out the UID where flags changed, which section 5.1 has in it.
            let must = |word: &&str| *word != "\\Recent" && *word != "UID" && word.parse::<u32>().is_err();
            let items: BTreeSet<&str> = words[3..].iter().copied().filter(must).collect();
            format!("{number} FETCH {items:?}")
        }
        _ => plain,
    }
}
