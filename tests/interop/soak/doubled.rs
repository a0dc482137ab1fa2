//! What Dovecot doubled by itself, as its own log tells: of two connections that move one message at the same time, each to
//! another mailbox, both may be told that they did, and the message is in both.

use std::collections::{BTreeMap, BTreeSet};

use super::logs::{agents_sessions, field, session};

/// The Message-IDs of those that were moved out of one place by two connections, of which not both were the agent's.
pub fn by_others(log: &str) -> BTreeSet<String> {
    let agent = agents_sessions(log);
    // By message and mailbox: who has copied it out of there since it came there.
    let mut copied: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let mut doubled = BTreeSet::new();
    for line in log.lines() {
        let Some(((session, id), to)) =
            session(line).zip(field(line, "msgid=<", ">")).zip(field(line, "box=", ", uid="))
        else {
            continue;
        };
        if let Some(from) = field(line, ": copy from ", ": box=") {
            let sessions = copied.entry((id, from)).or_default();
            sessions.insert(session);
            if sessions.len() > 1 && sessions.iter().any(|session| !agent.contains(session)) {
                doubled.insert(id.to_owned());
            }
        } else if !line.contains(": save: ") {
            continue;
        }
        copied.remove(&(id, to));
    }
    doubled
}

#[test]
fn who_moved_what_another_moved_is_read_from_the_log() {
    let log = |second: &str| {
        format!(
            "Nov 27 imap(ada)<1><agent>: Info: ID sent: name=Mailtide\n\
             Nov 27 imap(ada)<1><new>: Info: ID sent: name=Mailtide\n\
             Nov 27 imap(ada)<2><other>: Info: save: box=A, uid=3, msgid=<1@far.example>\n\
             Nov 27 imap(ada)<1><agent>: Info: copy from A: box=B, uid=1, msgid=<1@far.example>\n\
             Nov 27 imap(ada)<3><{second}>: Info: copy from A: box=C, uid=1, msgid=<1@far.example>\n\
             Nov 27 imap(ada)<1><agent>: Info: expunge: box=A, uid=3, msgid=<1@far.example>\n"
        )
    };
    assert_eq!(by_others(&log("other")), BTreeSet::from(["1@far.example".to_owned()]));
    assert_eq!(by_others(&log("new")), BTreeSet::new(), "the agent's own two connections");
    let back = "Nov 27 imap(ada)<2><other>: Info: copy from B: box=A, uid=4, msgid=<1@far.example>\n";
    let moved_twice = log("new").replace("Nov 27 imap(ada)<3>", &format!("{back}Nov 27 imap(ada)<3>"));
    assert_eq!(
        by_others(&moved_twice.replace("<new>: Info: copy", "<other>: Info: copy")),
        BTreeSet::new(),
        "it was back"
    );
}
