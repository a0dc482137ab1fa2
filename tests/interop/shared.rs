//! Mailboxes that are others' or everybody's, with Dovecot at the other end: what may not be done there may not be done here.

use crate::support::agent::{Account, Agent};
use crate::support::corpus;
use crate::support::dovecot::{Dovecot, Options, PASSWORD};
use crate::support::imap::Imap;
use crate::support::permitted;
use crate::support::sink::Sink;
use crate::support::snapshot;

#[test]
fn what_may_only_be_read_there_may_only_be_read_here() {
    let Some(dovecot) = Dovecot::start(&Options { shares: true, ..Options::default() }) else { return };
    let mut boss = dovecot.login("boss");
    boss.ok("CREATE Public/Notes");
    for number in 0..3 {
        boss.append("Public/Notes", &[], 1_000_000_000, &corpus::small(number));
    }
    let sink = Sink::start();
    let agent = Agent::started(&(account(&dovecot, &sink, "ann").text() + &account(&dovecot, &sink, "boss").text()));
    agent.sync();
    let quota = &agent.account()["quota"][0];
    assert_eq!((quota["root"].as_str(), quota["resource"].as_str()), (Some("Mail"), Some("storage")), "{quota}");
    assert_eq!(quota["limit"], 4 << 20, "{quota}");
    let mut local = agent.login("ann");
    let opened = local.select("Public/Notes");
    assert_eq!((opened.text.starts_with("[READ-ONLY]"), opened.exists()), (true, 3), "{opened:?}");
    for command in ["STORE 1 +FLAGS (\\Flagged)", "STORE 1 +FLAGS (\\Deleted)", "MOVE 1 INBOX", "EXPUNGE"] {
        let refused = local.command(command);
        assert_eq!(
            (refused.status.as_str(), refused.text.starts_with("[NOPERM]")),
            ("NO", true),
            "{command}: {refused:?}"
        );
    }
    local.ok("COPY 1:2 INBOX");
    local.select("INBOX");
    for command in ["COPY 1 Public/Notes", "MOVE 1 Public/Notes"] {
        let refused = local.command(command);
        assert_eq!(
            (refused.status.as_str(), refused.text.starts_with("[NOPERM]")),
            ("NO", true),
            "{command}: {refused:?}"
        );
    }
    // Who may change it does.
    let mut theirs = agent.login("boss");
    let opened = theirs.select("Public/Notes");
    assert!(opened.text.starts_with("[READ-WRITE]"), "{opened:?}");
    theirs.ok("STORE 3 +FLAGS (\\Deleted)");
    theirs.ok("EXPUNGE");
    for _ in 0..2 {
        agent.sync();
    }
    let status = agent.status();
    for account in status["accounts"].as_array().expect("accounts") {
        assert_eq!(account["journal"]["parked"], 0, "{status}");
    }
    for user in ["ann", "boss"] {
        let (here, there) = (snapshot::take(&mut agent.login(user)), snapshot::take(&mut dovecot.login(user)));
        assert_eq!(here, there, "{user}: {}", snapshot::tell(&here, &there));
        assert_eq!(here["Public/Notes"].len(), 2);
    }
}

#[test]
fn a_mailbox_that_is_listed_only_by_the_prefix_of_its_namespace_is_mirrored() {
    let options = Options { shares: true, hides_shares: true, ..Options::default() };
    let Some(dovecot) = Dovecot::start(&options) else { return };
    let mut boss = dovecot.login("boss");
    boss.ok("CREATE Public/Notes");
    boss.append("Public/Notes", &[], 1_000_000_000, &corpus::small(1));
    let is_shown = |imap: &mut Imap| imap.list().iter().any(|listed| listed.name == "Public/Notes");
    assert!(!is_shown(&mut boss), "it would be listed anyway");
    let sink = Sink::start();
    let agent = Agent::started(&account(&dovecot, &sink, "boss").text());
    agent.sync();
    assert!(is_shown(&mut agent.login("boss")));
    boss.append("Public/Notes", &[], 1_000_000_000, &corpus::small(2));
    for _ in 0..2 {
        agent.sync();
    }
    assert_eq!(agent.login("boss").select("Public/Notes").exists(), 2);
}

fn account<'a>(dovecot: &Dovecot, sink: &Sink, user: &'a str) -> Account<'a> {
    Account {
        name: user,
        address: format!("{user}@home.example"),
        imap: dovecot.imap,
        smtp: sink.address,
        tls: "none",
        user,
        password: PASSWORD,
        more: "",
    }
}

#[test]
fn what_another_user_permits_in_part_is_permitted_here_in_that_part() {
    let Some(dovecot) = Dovecot::start(&Options { acl: true, ..Options::default() }) else { return };
    let mut owner = dovecot.login("ann");
    for (name, rights) in [("Seen", "lrs"), ("Read", "lr"), ("Write", "lrswite")] {
        owner.ok(&format!("CREATE {name}"));
        owner.append(name, &[], 1_000_000_000, &corpus::small(1));
        owner.ok(&format!("SETACL {name} bob {rights}"));
    }
    let sink = Sink::start();
    let agent = Agent::started(&account(&dovecot, &sink, "bob").text());
    permitted::only_what_is_permitted_is_done(&agent, "bob", "user/ann");
    let (here, there) = (snapshot::take(&mut agent.login("bob")), snapshot::take(&mut dovecot.login("bob")));
    assert_eq!(here, there, "{}", snapshot::tell(&here, &there));
}
