//! The transcripts of IMAP over TCP, on both faces: real binaries answer as the session value does.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::support::agent::{Account, Agent, LOCAL_PASSWORD};
use crate::support::imap::Imap;
use crate::support::play::{Stage, is_playable, play, transcripts};
use crate::support::refserver::{PASSWORD, RefServer};

/// As long as alice, one for each transcript.
fn user(place: usize) -> String {
    format!("a{place:04}")
}

/// A transcript begins with an empty INBOX and nothing else.
fn emptied(mut imap: Imap) {
    for name in ["Archive", "Drafts", "Junk", "Sent", "Trash", "INBOX"] {
        imap.command(&format!("UNSUBSCRIBE {name}"));
        if name != "INBOX" {
            imap.command(&format!("DELETE {name}"));
        }
    }
}

fn played(authority: bool) -> Vec<(String, String)> {
    let held = |text: &str| is_playable(text) && (authority || !text.contains("\n@authority"));
    transcripts().into_iter().filter(|(_, text)| held(text)).collect()
}

fn every_transcript_holds(played: &[(String, String)], address: SocketAddr) {
    let mut wrong = Vec::new();
    for (place, (name, text)) in played.iter().enumerate() {
        let stage = Stage { address, user: &user(place), password: PASSWORD };
        let mut imap = Imap::connect(address).expect("the server listens");
        assert_eq!(imap.login(stage.user, stage.password).expect("the server answers").status, "OK");
        emptied(imap);
        wrong.extend(play(text, &stage).err().map(|why| format!("{name}, {why}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn server_for(played: &[(String, String)]) -> RefServer {
    let users: Vec<String> = (0..played.len()).map(user).collect();
    RefServer::with_users(&users.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn every_transcript_holds_on_refserver_over_tcp() {
    let played = played(true);
    let server = server_for(&played);
    every_transcript_holds(&played, server.address("imap"));
}

#[test]
fn every_transcript_holds_on_the_agents_face_over_tcp() {
    let played = played(false);
    let server = server_for(&played);
    let users: Vec<String> = (0..played.len()).map(user).collect();
    let accounts = users.iter().map(|user| Account::at(&server, user, server.address("imap")).text());
    let mut agent = Agent::new(&accounts.collect::<String>());
    let config = std::fs::read_to_string(agent.config()).expect("a config");
    std::fs::write(agent.config(), config.replace(LOCAL_PASSWORD, PASSWORD)).expect("a writable folder");
    agent.start();
    agent.sync();
    // Nothing but the clients changes anything.
    agent.ctl_ok(&["offline"]);
    every_transcript_holds(&played, agent.imap);
}

#[test]
fn each_face_offers_what_the_readme_says_of_it() {
    let server = RefServer::with_users(&["ada"]);
    let agent = Agent::started(&Account::at(&server, "ada", server.address("imap")).text());
    let text = include_str!("../../README.md").split("## What its IMAP can do").nth(1).expect("the chapter");
    let table = text.split("\n## ").next().unwrap_or_default().lines().filter(|line| line.starts_with("| ")).skip(2);
    let cells = table.map(|row| row.split(" | ").next().unwrap_or_default().trim_start_matches("| "));
    // What depends on more than the face: how one logs in, and a profile.
    let cells = cells.filter(|cell| !["AUTH=", "STARTTLS", "--profile"].iter().any(|word| cell.contains(word)));
    let names = |cells: &[&str]| -> BTreeSet<String> {
        let names =
            cells.iter().flat_map(|cell| cell.split(", ")).map(|name| name.split(' ').next().unwrap_or_default());
        names.filter(|name| !["CAPABILITY", "LITERAL-"].contains(name)).chain(["SASL-IR"]).map(str::to_owned).collect()
    };
    let (only_refserver, both): (Vec<&str>, Vec<&str>) = cells.partition(|cell| cell.contains("(`refserver` only)"));
    let offered = |mut imap: Imap| -> BTreeSet<String> {
        let reply = imap.ok("CAPABILITY");
        let line = reply.untagged[0].text.strip_prefix("* CAPABILITY ").expect("the capabilities").to_owned();
        line.split(' ')
            .map(|name| if name.starts_with("APPENDLIMIT=") { "APPENDLIMIT" } else { name }.to_owned())
            .collect()
    };
    assert_eq!(offered(agent.login("ada")), names(&both));
    assert_eq!(offered(server.login("ada")), names(&[both, only_refserver].concat()));
}
