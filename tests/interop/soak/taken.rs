//! What the agent took for its own: it had sent a copy and got no answer, and meanwhile another put a message of the same bytes
//! where it looked. Whose it is nobody can tell who has the bytes alone; both logs together can.

use std::collections::BTreeSet;

use super::logs::{agents_sessions, field, session};

/// How many messages with that Message-ID, `copies` at the agent, are ones that others put there.
pub fn of_others(agent: &str, server: &str, id: &str, copies: &BTreeSet<u64>) -> u64 {
    let sessions = agents_sessions(server);
    let with_it =
        server.lines().filter(|line| field(line, "msgid=<", ">") == Some(id) && !line.contains(": expunge: "));
    let of_others = with_it.filter(|line| session(line).is_some_and(|session| !sessions.contains(session)));
    let uids: BTreeSet<u64> = of_others.filter_map(|line| field(line, ", uid=", ",")?.parse().ok()).collect();
    let found = agent.lines().filter(|line| line.contains("what was sent is there, though no answer told"));
    let number = |line: &str, name: &str| -> Option<u64> { field(&format!("{line} "), name, " ")?.parse().ok() };
    let is_anothers = |line: &&str| {
        number(line, " message=").is_some_and(|message| copies.contains(&message))
            && number(line, " uid=").is_some_and(|uid| uids.contains(&uid))
    };
    found.filter(is_anothers).count() as u64
}

#[test]
fn what_was_taken_is_read_from_both_logs() {
    let server = "Nov 27 imap(ada)<1><agent>: Info: ID sent: name=Mailtide\n\
                  Nov 27 imap(ada)<2><other>: Info: save: box=A, uid=3, msgid=<1@far.example>\n\
                  Nov 27 imap(ada)<2><other>: Info: copy from A: box=B, uid=7, msgid=<1@far.example>\n\
                  Nov 27 imap(ada)<1><agent>: Info: copy from A: box=B, uid=8, msgid=<1@far.example>\n\
                  Nov 27 imap(ada)<2><other>: Info: expunge: box=B, uid=9, msgid=<1@far.example>\n";
    let of_others = |message: u64, uid: u64| {
        let agent = format!(
            "DEBUG sync{{account=\"ada\"}}: what was sent is there, though no answer told account=1 message={message} uid={uid}"
        );
        of_others(&agent, server, "1@far.example", &BTreeSet::from([18, 19]))
    };
    assert_eq!([of_others(18, 7), of_others(19, 8), of_others(19, 9), of_others(20, 7)], [1, 0, 0, 0]);
}
