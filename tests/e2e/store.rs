//! The data folder: one process at a time, and never one that is older than the data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::agent::{Account, Agent};
use crate::support::corpus;
use crate::support::refserver::RefServer;
use crate::support::snapshot;

fn mirrored(server: &RefServer) -> Agent {
    server.login("ada").append("INBOX", &["\\Seen"], 1_000_000_000, &corpus::small(1));
    let agent = Agent::started(&Account::at(server, "ada", server.address("imap")).text());
    agent.sync();
    agent
}

#[test]
fn a_second_syncd_on_the_same_data_is_refused_and_told_who_holds_it() {
    let server = RefServer::with_users(&["ada"]);
    let mut agent = mirrored(&server);
    let holder = agent.process().id().to_string();
    let said = agent.once();
    assert_eq!(said.code, 75, "{said:?}");
    assert!(said.err.contains(&holder), "no process {holder} in {said:?}");
    // The first is not disturbed.
    assert_eq!(agent.login("ada").select("INBOX").exists(), 1);
    assert_eq!(agent.stop().code(), Some(0));
    assert_eq!(agent.once().code, 0, "free again after the first has ended");
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_as_it_is() {
    let server = RefServer::with_users(&["ada"]);
    let mut agent = mirrored(&server);
    assert_eq!(agent.stop().code(), Some(0));
    let name = "mailtide.db";
    let version = |new: Option<i64>| {
        let database = rusqlite::Connection::open(agent.data.join(name)).expect("a database");
        let old: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a version");
        if let Some(new) = new {
            database.pragma_update(None, "user_version", new).expect("a writable database");
        }
        old
    };
    let current = version(Some(4711));
    let before = files(&agent.data);
    let said = agent.once();
    assert_eq!(said.code, 78, "{said:?}");
    assert!(said.err.contains("4711") && said.err.contains(name), "{said:?}");
    assert_eq!(files(&agent.data), before, "not a byte was changed");
    version(Some(current));
    agent.start();
    assert_eq!(agent.login("ada").select("INBOX").exists(), 1);
}

/// The files of a store, with hashes of their bytes.
fn files(data: &Path) -> BTreeMap<PathBuf, String> {
    let files =
        std::fs::read_dir(data).expect("a readable folder").map(|entry| entry.expect("a readable entry").path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "db" || extension == "pack"));
    files.map(|path| (path.clone(), snapshot::hash(&std::fs::read(path).expect("a readable file")))).collect()
}

#[test]
fn a_killed_syncd_shows_the_same_mail_and_the_same_uids_again() {
    let server = RefServer::with_users(&["ada"]);
    let mut agent = mirrored(&server);
    let look = |agent: &Agent| {
        let mut local = agent.login("ada");
        let validity = local.select("INBOX").code("UIDVALIDITY");
        (validity, local.fetch_all())
    };
    let before = look(&agent);
    agent.kill();
    agent.start();
    assert_eq!(look(&agent), before);
}

#[test]
fn what_a_client_was_told_is_done_survives_a_kill() {
    let server = RefServer::with_users(&["ada"]);
    let mut agent = mirrored(&server);
    agent.ctl_ok(&["offline"]);
    let mut local = agent.login("ada");
    local.ok("CREATE Kept");
    local.append("Kept", &["\\Draft"], 1_000_000_001, &corpus::small(2));
    local.select("INBOX");
    local.ok("STORE 1 +FLAGS (\\Flagged)");
    let answer = agent.login_smtp("ada").send("ada@example.org", &["bob@example.org"], b"Subject: kept\r\n\r\nx\r\n");
    assert_eq!(answer.expect("the local server stays").code, 250);
    agent.kill();
    agent.start();
    let mut local = agent.login("ada");
    assert_eq!(local.select("Kept").exists(), 1);
    local.select("INBOX");
    assert!(local.fetch_all()[0].flags.contains("\\Flagged"));
    assert_eq!(agent.account()["outbox"]["queued"], 1);
    assert_eq!(agent.account()["state"], "paused", "offline is kept over restarts");
}
