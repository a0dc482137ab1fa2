//! The table of what becomes of a change on both sides, with real programs: offline here, meanwhile there, joined.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::agent::{Account, Agent};
use crate::support::corpus;
use crate::support::folders;
use crate::support::imap::Imap;
use crate::support::proxy::Proxy;
use crate::support::refserver::RefServer;
use crate::support::snapshot;
use crate::support::wait::{SOON, wait_until};

/// What is done to the message (or folder) of a row, on one side.
type Act = fn(&mut Imap, u64);

struct Row {
    what: &'static str,
    here: Act,
    there: Act,
    /// Where the message stands in the end; nowhere when it is gone.
    ends_in: Option<&'static str>,
    /// With these flags.
    flags: &'static [&'static str],
    /// Listed among the conflicts.
    told: bool,
}

const ROWS: &[Row] = &[
    Row {
        what: "flags and flags",
        here: |imap, number| store(imap, number, "+FLAGS (\\Flagged here)"),
        there: |imap, number| store(imap, number, "+FLAGS (\\Answered there)"),
        ends_in: Some("INBOX"),
        flags: &["\\answered", "\\flagged", "here", "there"],
        told: false,
    },
    Row {
        what: "flags and an expunge",
        here: |imap, number| store(imap, number, "+FLAGS (\\Flagged)"),
        there: expunge,
        ends_in: None,
        flags: &[],
        told: true,
    },
    Row {
        what: "a move and flags",
        here: |imap, number| move_to(imap, number, "B"),
        there: |imap, number| store(imap, number, "+FLAGS (\\Answered)"),
        ends_in: Some("B"),
        flags: &["\\answered"],
        told: false,
    },
    Row {
        what: "a move and another move",
        here: |imap, number| move_to(imap, number, "B"),
        there: |imap, number| move_to(imap, number, "C"),
        ends_in: Some("B"),
        flags: &[],
        told: true,
    },
    Row {
        what: "a move and an expunge",
        here: |imap, number| move_to(imap, number, "B"),
        there: expunge,
        ends_in: Some("B"),
        flags: &[],
        told: true,
    },
    Row {
        what: "a deletion and flags",
        here: expunge,
        there: |imap, number| store(imap, number, "+FLAGS (\\Answered)"),
        ends_in: None,
        flags: &[],
        told: false,
    },
    Row {
        what: "a deletion and a move",
        here: expunge,
        there: |imap, number| move_to(imap, number, "C"),
        ends_in: Some("C"),
        flags: &[],
        told: true,
    },
    Row {
        what: "the same move on both sides",
        here: |imap, number| move_to(imap, number, "B"),
        there: |imap, number| move_to(imap, number, "B"),
        ends_in: Some("B"),
        flags: &[],
        told: false,
    },
    Row {
        what: "the same deletion on both sides",
        here: expunge,
        there: expunge,
        ends_in: None,
        flags: &[],
        told: false,
    },
];

fn uid(imap: &mut Imap, number: u64) -> u32 {
    imap.select("INBOX");
    let found = imap.ok(&format!("UID SEARCH HEADER Message-ID <{number}@far.example>")).found();
    assert_eq!(found.len(), 1, "message {number}");
    found[0]
}

fn store(imap: &mut Imap, number: u64, change: &str) {
    let uid = uid(imap, number);
    imap.ok(&format!("UID STORE {uid} {change}"));
}

fn move_to(imap: &mut Imap, number: u64, mailbox: &str) {
    let uid = uid(imap, number);
    imap.ok(&format!("UID MOVE {uid} {mailbox}"));
}

fn expunge(imap: &mut Imap, number: u64) {
    let uid = uid(imap, number);
    imap.ok(&format!("UID STORE {uid} +FLAGS (\\Deleted)"));
    imap.ok(&format!("UID EXPUNGE {uid}"));
}

/// Where each message of the rows stands, with its flags.
fn places(imap: &mut Imap) -> BTreeMap<u64, Vec<(String, Vec<String>)>> {
    let hashes: BTreeMap<String, u64> =
        (0..ROWS.len() as u64).map(|number| (snapshot::hash(&corpus::small(number)), number)).collect();
    let mut places: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for (mailbox, entries) in snapshot::take(imap) {
        for entry in entries {
            if let Some(number) = hashes.get(&entry.hash) {
                places.entry(*number).or_default().push((mailbox.clone(), entry.flags.into_iter().collect()));
            }
        }
    }
    places
}

#[test]
fn every_row_of_the_table_ends_as_it_says_on_both_sides() {
    let server = RefServer::with_users(&["ada"]);
    let mut there = server.login("ada");
    there.ok("CREATE B");
    there.ok("CREATE C");
    for number in 0..ROWS.len() as u64 {
        there.append("INBOX", &[], 1_000_000_000, &corpus::small(number));
    }
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&Account::at(&server, "ada", line.address).text());
    agent.sync();
    line.cut();
    let mut here = agent.login("ada");
    for (number, row) in (0..).zip(ROWS) {
        (row.here)(&mut here, number);
        (row.there)(&mut there, number);
    }
    line.join();
    agent.sync();
    agent.sync();
    for (side, imap) in [("here", &mut here), ("there", &mut there)] {
        let places = places(imap);
        for (number, row) in (0..).zip(ROWS) {
            let flags: Vec<String> = row.flags.iter().map(|flag| (*flag).to_owned()).collect();
            let wanted: Vec<_> = row.ends_in.map(|mailbox| (mailbox.to_owned(), flags)).into_iter().collect();
            let found = places.get(&number).cloned().unwrap_or_default();
            assert_eq!(found, wanted, "{}, {side}", row.what);
        }
    }
    assert_eq!(agent.unsettled(), 0);
    let conflicts = agent.ctl_json(&["conflicts", "--json"]);
    let told = ROWS.iter().filter(|row| row.told).count();
    assert_eq!(conflicts.as_array().map(Vec::len), Some(told), "{conflicts:#}");
    for conflict in conflicts.as_array().expect("a list") {
        let message = &conflict["message"];
        let subject = message["subject"].as_str().expect("it says which message");
        assert!(message["from"].as_str().is_some_and(|from| !from.is_empty()), "{conflict:#}");
        let shown = agent.ctl_ok(&["conflicts", "show", &conflict["id"].to_string()]);
        assert!(shown.contains(&format!("message:   {subject}")), "{shown}");
        assert!(shown.contains(message["mailbox"].as_str().unwrap_or("no mailbox")), "{shown}");
        agent.ctl_ok(&["conflicts", "dismiss", &conflict["id"].to_string()]);
    }
    assert_eq!(agent.account()["conflicts"], 0);
}

#[test]
fn folders_changed_on_both_sides_end_as_the_table_says() {
    let server = RefServer::with_users(&["ada"]);
    let mut there = server.login("ada");
    for name in ["Renamed", "Doomed"] {
        there.ok(&format!("CREATE {name}"));
        there.append(name, &[], 1_000_000_000, &corpus::small(name.len() as u64));
    }
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&Account::at(&server, "ada", line.address).text());
    agent.sync();
    line.cut();
    let mut here = agent.login("ada");
    here.ok("RENAME Renamed \"Renamed here\"");
    there.ok("RENAME Renamed \"Renamed there\"");
    here.ok("DELETE Doomed");
    there.append("Doomed", &[], 1_000_000_000, &corpus::small(99));
    line.join();
    agent.sync();
    agent.sync();
    let (here, there) = (snapshot::take(&mut here), snapshot::take(&mut there));
    assert_eq!(here, there, "{}", snapshot::tell(&here, &there));
    assert_eq!(here["Renamed there"].len(), 1, "the server's name wins");
    assert!(!here.contains_key("Renamed") && !here.contains_key("Renamed here"));
    let new = snapshot::hash(&corpus::small(99));
    assert!(here["Doomed"].iter().any(|entry| entry.hash == new), "new mail keeps its folder");
    let conflicts = agent.ctl_json(&["conflicts", "--json"]);
    assert_eq!(conflicts.as_array().map(Vec::len), Some(2), "{conflicts:#}");
}

#[test]
fn a_folder_that_the_server_deleted_is_made_again_for_what_was_filed_into_it_here() {
    let server = RefServer::with_users(&["ada"]);
    let mut there = server.login("ada");
    there.ok("CREATE Doomed");
    there.append("INBOX", &[], 1_000_000_000, &corpus::small(1));
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&Account::at(&server, "ada", line.address).text());
    agent.sync();
    line.cut();
    let mut here = agent.login("ada");
    here.select("INBOX");
    here.ok("MOVE 1 Doomed");
    here.append("Doomed", &[], 1_000_000_000, &corpus::small(2));
    there.ok("DELETE Doomed");
    line.join();
    agent.sync();
    agent.sync();
    let (here, there) = (snapshot::take(&mut here), snapshot::take(&mut there));
    assert_eq!(here, there, "{}", snapshot::tell(&here, &there));
    assert_eq!((here["Doomed"].len(), here["INBOX"].len()), (2, 0), "the folder is made again with it");
}

#[test]
fn folders_renamed_deleted_and_made_on_both_sides_end_as_the_table_says() {
    let server = RefServer::with_users(&["ada"]);
    let mut there = server.login("ada");
    folders::fill(&mut there);
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&Account::at(&server, "ada", line.address).text());
    agent.sync();
    folders::tell(&agent, &line, &mut agent.login("ada"), &mut there, '/');
}

#[test]
fn a_folder_that_the_configuration_leaves_out_later_goes_out_of_sight_and_comes_back() {
    let server = RefServer::with_users(&["ada"]);
    let mut there = server.login("ada");
    there.ok("CREATE Lists");
    there.append("Lists", &[], 1_000_000_000, &corpus::small(1));
    let account = Account::at(&server, "ada", server.address("imap"));
    let agent = Agent::started(&account.text());
    agent.sync();
    let whole = snapshot::take(&mut agent.login("ada"));
    assert_eq!(whole["Lists"].len(), 1);
    agent.configure(&Account { more: "mirror = { exclude = [\"Lists\"] }", ..account }.text());
    wait_until("the folder to go", SOON, || !snapshot::take_in_motion(|| agent.login("ada")).contains_key("Lists"));
    wait_until("that to be logged", SOON, || agent.log().contains("Lists is no longer mirrored"));
    assert_eq!(snapshot::take(&mut there), whole, "nothing is deleted on the server");
    agent.configure(&Account::at(&server, "ada", server.address("imap")).text());
    wait_until("the folder to come back", SOON, || snapshot::take(&mut agent.login("ada")) == whole);
    wait_until("that to be logged", SOON, || agent.log().contains("Lists is mirrored again"));
}

#[test]
fn a_draft_replaced_on_both_sides_is_kept_in_both_versions() {
    let server = RefServer::with_users(&["ada"]);
    let mut there = server.login("ada");
    there.append("Drafts", &["\\Draft"], 1_000_000_000, &corpus::small(1));
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&Account::at(&server, "ada", line.address).text());
    agent.sync();
    line.cut();
    let mut here = agent.login("ada");
    // As mail programs save a draft anew: the new one is appended, the old one removed.
    for (imap, number) in [(&mut here, 2), (&mut there, 3)] {
        imap.append("Drafts", &["\\Draft"], 1_000_000_000, &corpus::small(number));
        imap.select("Drafts");
        imap.ok("STORE 1 +FLAGS (\\Deleted)");
        imap.ok("EXPUNGE");
    }
    line.join();
    agent.sync();
    agent.sync();
    let wanted: BTreeSet<String> = [2, 3].map(|number| snapshot::hash(&corpus::small(number))).into();
    for (side, imap) in [("here", &mut here), ("there", &mut there)] {
        let drafts = snapshot::take(imap).remove("Drafts").expect("a Drafts folder");
        let found: BTreeSet<String> = drafts.iter().map(|entry| entry.hash.clone()).collect();
        assert_eq!((drafts.len(), found), (2, wanted.clone()), "{side}");
    }
}

#[test]
fn a_mailbox_that_seems_emptied_is_quarantined_until_the_user_says() {
    let server = RefServer::with_users(&["ada"]);
    let mut there = server.login("ada");
    for number in 0..70 {
        there.append("INBOX", &["\\Seen"], 1_000_000_000, &corpus::small(number));
    }
    let agent = Agent::started(&Account::at(&server, "ada", server.address("imap")).text());
    agent.sync();
    there.select("INBOX");
    there.ok("STORE 1:60 +FLAGS.SILENT (\\Deleted)");
    there.ok("EXPUNGE");
    wait_until("the guard to hold back", SOON, || agent.account()["state"] == "blocked");
    let mut here = agent.login("ada");
    assert_eq!(here.select("INBOX").exists(), 70, "the copy here stays");
    agent.ctl_ok(&["confirm", "ada"]);
    agent.sync();
    assert_eq!(here.select("INBOX").exists(), 10, "gone here, too, once confirmed");
    assert_eq!(agent.account()["state"], "online");
}
