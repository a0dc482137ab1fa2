//! refserver's access control lists with Dovecot's acl plugin as the judge: the same rights given, the same commands are done and
//! refused, and leave the same flags.

use std::collections::BTreeSet;

use crate::support::dovecot::{Dovecot, Options};
use crate::support::imap::Imap;
use crate::support::refserver::RefServer;

/// Rights that ada gives bob, each on a mailbox of its own.
const RIGHTS: [&str; 11] = ["lr", "lrs", "lrw", "lrt", "lri", "lrwsti", "lre", "lrte", "lrk", "lrx", "lra"];

/// What bob does with it, `BOX` in the place of its name.
const COMMANDS: [&str; 17] = [
    "MYRIGHTS BOX",
    "STATUS BOX (MESSAGES)",
    "SELECT BOX",
    "STORE 1 +FLAGS (\\Seen)",
    "STORE 1 +FLAGS (\\Answered)",
    "STORE 1 +FLAGS (\\Answered \\Seen)",
    "STORE 2 +FLAGS (\\Deleted)",
    "FETCH 1:2 (FLAGS)",
    "COPY 1 INBOX",
    "COPY 1 BOX",
    "EXPUNGE",
    "GETACL BOX",
    "SETACL BOX cat l",
    "DELETEACL BOX cat",
    // Whose selected mailbox is deleted is sent away.
    "EXAMINE INBOX",
    "CREATE BOX/Sub",
    "DELETE BOX",
];

/// Where Dovecot 2.3 does otherwise, and why refserver does not. What either kept is seen by the FETCH behind.
fn is_not_judged(rights: &str, command: &str) -> Option<&'static str> {
    let needs = [("\\Seen", 's'), ("\\Answered", 'w'), ("\\Deleted", 't')];
    let may_some = needs.into_iter().any(|(flag, right)| command.contains(flag) && rights.contains(right));
    match command {
        _ if command.starts_with("STORE") && !may_some => {
            Some("what is not permitted at all is refused; Dovecot says OK, and keeps nothing")
        }
        "EXPUNGE" if !rights.contains('e') => {
            Some("\"e\" is required (RFC 4314 section 4); Dovecot says OK, and expunges nothing")
        }
        "DELETE BOX" if rights.contains('x') => Some("\"x\" is enough (RFC 4314 section 4); Dovecot wants more"),
        _ => None,
    }
}

#[test]
fn rights_mean_to_refserver_what_they_mean_to_dovecot() {
    let Some(dovecot) = Dovecot::start(&Options { acl: true, ..Options::default() }) else { return };
    let refserver = RefServer::with_users(&["ada", "bob", "cat"]);
    let mut owners = [dovecot.login("ada"), refserver.login("ada")];
    let mut guests = [dovecot.login("bob"), refserver.login("bob")];
    let mut wrong = Vec::new();
    for (number, rights) in RIGHTS.iter().enumerate() {
        let name = format!("Box{number}");
        for owner in &mut owners {
            owner.ok(&format!("CREATE {name}"));
            owner.ok(&format!("SETACL {name} bob {rights}"));
            for text in ["one", "two"] {
                owner.append(&name, &[], 1_000_000_000, format!("Subject: {text}\r\n\r\nbody\r\n").as_bytes());
            }
        }
        for command in COMMANDS {
            let said = command.replace("BOX", &format!("user/ada/{name}"));
            let [theirs, ours] = guests.each_mut().map(|guest| answer(guest, &said));
            if theirs != ours && is_not_judged(rights, command).is_none() {
                wrong.push(format!("{rights}: {said}\n  Dovecot   {theirs:?}\n  refserver {ours:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether it was done, and what of the answer both must say alike: rights as sets, flags of messages but for `\Recent`.
fn answer(imap: &mut Imap, command: &str) -> (String, BTreeSet<String>) {
    let reply = imap.command(command);
    let told = reply.untagged.iter().filter_map(|line| {
        let text = line.text.strip_prefix("* ")?;
        if let Some(rights) = text.strip_prefix("MYRIGHTS ") {
            let letters: BTreeSet<char> = rights.split(' ').nth(1)?.chars().collect();
            return Some(letters.into_iter().collect());
        }
        let flags = text.split_once("FLAGS (").filter(|_| text.contains(" FETCH ") && command.starts_with("FETCH"))?;
        let mut flags: Vec<&str> = flags.1.split(')').next()?.split(' ').filter(|flag| *flag != "\\Recent").collect();
        flags.sort_unstable();
        Some(format!("{} {}", text.split(' ').next()?, flags.join(" ")))
    });
    let told = told.collect();
    (reply.status, told)
}
