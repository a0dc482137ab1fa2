//! What an agent's client may do with mailboxes of another user that permits only part of it.

use super::agent::Agent;

/// `below` holds `Read` (`lr`), `Seen` (`lrs`) and `Write` (`lrswite`), a message in each. What is not permitted is refused
/// before anything is journalled; what is, is done there.
pub fn only_what_is_permitted_is_done(agent: &Agent, user: &str, below: &str) {
    agent.sync();
    let mut local = agent.login(user);
    for (name, may_change, refused) in [
        ("Read", "[READ-ONLY]", &["STORE 1 +FLAGS (\\Seen)", "STORE 1 +FLAGS (\\Flagged)", "MOVE 1 INBOX"][..]),
        ("Seen", "[READ-ONLY]", &["STORE 1 +FLAGS (\\Flagged)", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE"]),
        ("Write", "[READ-WRITE]", &[]),
    ] {
        let name = format!("{below}/{name}");
        let opened = local.select(&name);
        assert!(opened.text.starts_with(may_change) && opened.exists() == 1, "{name}: {opened:?}");
        let below = [format!("CREATE {name}/Below"), format!("DELETE {name}"), format!("RENAME {name} {name}2")];
        for command in refused.iter().map(|command| (*command).to_owned()).chain(below) {
            let answer = local.command(&command);
            let is_refused = answer.status == "NO" && answer.text.starts_with("[NOPERM]");
            assert!(is_refused, "{name}: {command}: {answer:?}");
        }
    }
    let journalled = || agent.ctl_json(&["journal", "list", "--json"]).as_array().map(Vec::len);
    assert_eq!(journalled(), Some(0), "all of it is refused");
    local.append("INBOX", &[], 1_000_000_000, b"Subject: mine\r\n\r\nbody\r\n");
    local.select("INBOX");
    for name in ["Read", "Seen"] {
        let answer = local.command(&format!("COPY 1 {below}/{name}"));
        assert!(answer.status == "NO" && answer.text.starts_with("[NOPERM]"), "{name}: {answer:?}");
    }
    local.ok(&format!("COPY 1 {below}/Write"));
    local.select(&format!("{below}/Seen"));
    local.ok("STORE 1 +FLAGS (\\Seen)");
    local.select(&format!("{below}/Write"));
    local.ok("STORE 1 +FLAGS (\\Flagged)");
    agent.sync();
    agent.sync();
    let journal = &agent.account()["journal"];
    assert_eq!((journal["pending"].as_u64(), journal["parked"].as_u64()), (Some(0), Some(0)), "{journal}");
}
