//! Mailboxes of others and of nobody, with refserver at the other end, and how full the account is there.

use crate::support::agent::{Account, Agent};
use crate::support::corpus;
use crate::support::permitted;
use crate::support::refserver::{Options, RefServer};
use crate::support::snapshot;

#[test]
fn what_others_permit_in_part_is_permitted_here_in_that_part() {
    let config = "[[shared]]\nname = \"Team\"\nrights = { ann = \"lrswipkxtea\", anyone = \"lr\" }\n".to_owned();
    let server = RefServer::start(&Options { users: &["ann", "bob"], config, ..Options::default() });
    let mut owner = server.login("ann");
    owner.append("Shared/Team", &[], 1_000_000_000, &corpus::small(2));
    for (name, rights) in [("Seen", "lrs"), ("Read", "lr"), ("Write", "lrswite")] {
        owner.ok(&format!("CREATE {name}"));
        owner.append(name, &[], 1_000_000_000, &corpus::small(1));
        owner.ok(&format!("SETACL {name} bob {rights}"));
    }
    let agent = Agent::started(&Account::at(&server, "bob", server.address("imap")).text());
    permitted::only_what_is_permitted_is_done(&agent, "bob", "user/ann");
    let mut local = agent.login("bob");
    let opened = local.select("Shared/Team");
    assert!(opened.text.starts_with("[READ-ONLY]") && opened.exists() == 1, "{opened:?}");
    // What is granted later can be done.
    owner.ok("SETACL Seen bob lrsw");
    agent.sync();
    local.select("user/ann/Seen");
    local.ok("STORE 1 +FLAGS (\\Flagged)");
    agent.sync();
    let (here, there) = (snapshot::take(&mut agent.login("bob")), snapshot::take(&mut server.login("bob")));
    assert_eq!(here, there, "{}", snapshot::tell(&here, &there));
}

#[test]
fn what_others_share_is_mirrored_where_the_configuration_asks_for_it() {
    let server = RefServer::with_users(&["ann", "bob"]);
    let mut owner = server.login("ann");
    for name in ["Open", "Other"] {
        owner.ok(&format!("CREATE {name}"));
        owner.ok(&format!("SETACL {name} bob lr"));
    }
    let more = "mirror = { folders = [\"*\"], exclude = [\"user/*\"] }";
    let agent = Agent::started(&Account { more, ..Account::at(&server, "bob", server.address("imap")) }.text());
    agent.sync();
    let names = |agent: &Agent| agent.login("bob").list().into_iter().map(|listed| listed.name).collect::<Vec<_>>();
    assert!(!names(&agent).iter().any(|name| name.starts_with("user/")), "{:?}", names(&agent));
    let more = "mirror = { folders = [\"INBOX\", \"user/ann/Open\"] }";
    let agent = Agent::started(&Account { more, ..Account::at(&server, "bob", server.address("imap")) }.text());
    agent.sync();
    let wanted = |name: &&String| *name == "user/ann/Open" || name.starts_with("user/ann/Other");
    assert_eq!(names(&agent).iter().filter(wanted).collect::<Vec<_>>(), ["user/ann/Open"]);
}

#[test]
fn how_full_the_account_is_on_the_server_is_shown() {
    let mut server = RefServer::with_users(&["ann"]);
    server.limit("ann=1M,50");
    server.login("ann").append("INBOX", &[], 1_000_000_000, &corpus::small(1));
    let agent = Agent::started(&Account::at(&server, "ann", server.address("imap")).text());
    agent.sync();
    let quota = agent.account()["quota"].clone();
    let used = |resource: &str| {
        let told = quota.as_array().expect("a list").iter().find(|told| told["resource"] == resource);
        let told = told.unwrap_or_else(|| panic!("no {resource} in {quota}"));
        (told["used"].as_u64(), told["limit"].as_u64())
    };
    assert_eq!(used("message"), (Some(1), Some(50)));
    assert_eq!(used("storage").1, Some(1 << 20));
    let shown = agent.ctl_ok(&["status"]);
    assert!(shown.contains("1 of 50 (message) used on the server"), "{shown}");
}
