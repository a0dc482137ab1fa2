//! syncctl: what it shows, what it steers, and how it ends.

use std::os::unix::fs::{FileExt, PermissionsExt};

use serde_json::Value;

use crate::support::agent::{Account, Agent, LOCAL_PASSWORD};
use crate::support::corpus;
use crate::support::proxy::Proxy;
use crate::support::refserver::RefServer;
use crate::support::wait::{SOON, wait_until};

const USER: &str = "ada";
const ADDRESS: &str = "ada@home.example";

fn server() -> RefServer {
    RefServer::with_users(&[USER, "bob"])
}

fn agent(server: &RefServer) -> Agent {
    let agent = Agent::started(&Account::at(server, USER, server.address("imap")).text());
    agent.sync();
    agent
}

#[test]
fn without_a_daemon_it_ends_with_69_and_a_wrong_word_with_64() {
    let agent = Agent::new("");
    for command in [&["status"][..], &["sync", "--wait"], &["journal", "list"], &["outbox"], &["offline"]] {
        let said = agent.ctl(command);
        assert_eq!(said.code, 69, "{command:?}: {said:?}");
        assert!(said.err.contains("syncd"), "{command:?}: {said:?}");
    }
    for command in [&["dance"][..], &["sync", "--loudly"], &["journal", "show", "seven"]] {
        let said = agent.ctl(command);
        assert_eq!(said.code, 64, "{command:?}: {said:?}");
    }
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_refserver")).arg("--bogus").output().expect("a program");
    assert_eq!(said.status.code(), Some(64), "{said:?}");
}

#[test]
fn a_number_that_nothing_has_ends_with_64_and_says_where_to_look() {
    let agent = Agent::started("");
    for (command, list) in [
        (&["journal", "show", "4711"][..], "syncctl journal list"),
        (&["journal", "retry", "4711"], "syncctl journal list"),
        (&["journal", "discard", "4711"], "syncctl journal list"),
        (&["outbox", "show", "4711"], "syncctl outbox list"),
        (&["outbox", "show", "4711", "--raw"], "syncctl outbox list"),
        (&["outbox", "hold", "4711"], "syncctl outbox list"),
        (&["outbox", "cancel", "4711"], "syncctl outbox list"),
        (&["outbox", "later", "4711", "2h"], "syncctl outbox list"),
        (&["outbox", "edit", "4711"], "syncctl outbox list"),
        (&["conflicts", "show", "4711"], "syncctl conflicts"),
        (&["conflicts", "dismiss", "4711"], "syncctl conflicts"),
        (&["recover", "restore", "4711"], "syncctl recover list"),
    ] {
        let said = agent.ctl(command);
        assert_eq!(said.code, 64, "{command:?}: {said:?}");
        assert!(said.err.contains("4711") && said.err.contains(list), "{command:?}: {said:?}");
    }
}

#[test]
fn status_holds_what_scripts_read() {
    let server = server();
    server.login(USER).append("INBOX", &[], 1_000_000_000, &corpus::small(1));
    let agent = agent(&server);
    let status = agent.status();
    assert_eq!(status["version"], 1);
    let account = &status["accounts"][0];
    assert_eq!(account["name"], USER);
    assert_eq!(account["state"], "online");
    assert_eq!(account["last_error"], Value::Null);
    let time = account["last_sync"].as_str().expect("a time");
    chrono::DateTime::parse_from_rfc3339(time).expect("a time as in RFC 3339");
    assert_eq!(account["journal"], serde_json::json!({"pending": 0, "in_flight": 0, "parked": 0}));
    for count in ["queued", "sending", "parked"] {
        assert_eq!(account["outbox"][count], 0, "{count}");
    }
    assert_eq!(account["conflicts"], 0);
    let mailboxes = account["mailboxes"].as_array().expect("a list");
    let inbox = mailboxes.iter().find(|mailbox| mailbox["name"] == "INBOX").expect("an INBOX");
    assert_eq!((&inbox["messages"], &inbox["unseen"], &inbox["pending"]), (&1.into(), &1.into(), &0.into()));
    assert!(inbox["uidvalidity"].as_u64().is_some_and(|validity| validity > 0));
    assert_eq!(agent.ctl_json(&["status", USER, "--json"])["accounts"][0]["name"], USER);
    assert_eq!(agent.ctl(&["status", "nobody"]).code, 64, "no account of that name");
    let text = agent.ctl_ok(&["status"]);
    assert!(text.contains(USER) && !text.contains('\u{1b}'), "for people, without colours off a terminal: {text:?}");
}

#[test]
fn offline_keeps_everything_here_until_online() {
    let server = server();
    let agent = agent(&server);
    agent.ctl_ok(&["offline"]);
    wait_until("the state to say so", SOON, || agent.account()["state"] == "paused");
    agent.login(USER).append("INBOX", &["\\Seen"], 1_000_000_000, &corpus::small(1));
    assert_eq!(agent.account()["journal"]["pending"], 1);
    let said = agent.ctl(&["sync"]);
    assert!(said.code == 75 && said.out.contains("syncctl online"), "no sync is begun, nor said to be: {said:?}");
    let listed = agent.ctl_json(&["journal", "list", "--json"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let id = listed[0]["id"].to_string();
    assert!(agent.ctl_ok(&["journal", "show", &id]).contains("INBOX"));
    assert_eq!(server.login(USER).select("INBOX").exists(), 0);
    agent.ctl_ok(&["online"]);
    wait_until("the message to go up", SOON, || server.login(USER).select("INBOX").exists() == 1);
    wait_until("the journal to be empty", SOON, || agent.unsettled() == 0);
}

#[test]
fn a_message_in_the_outbox_is_held_released_and_cancelled() {
    let server = server();
    let agent = agent(&server);
    agent.ctl_ok(&["offline"]);
    for subject in ["one", "two"] {
        let text = format!("From: {ADDRESS}\r\nTo: bob@home.example\r\nSubject: {subject}\r\n\r\nx\r\n");
        let answer = agent.login_smtp(USER).send(ADDRESS, &["bob@home.example"], text.as_bytes());
        assert_eq!(answer.expect("the local server stays").code, 250);
    }
    let list = || agent.ctl_json(&["outbox", "list", "--json"]);
    let ids: Vec<String> = list().as_array().expect("a list").iter().map(|row| row["id"].to_string()).collect();
    assert_eq!(ids.len(), 2);
    let held = agent.ctl_ok(&["outbox", "hold", &ids[0], &ids[0]]);
    assert_eq!(held.lines().count(), 1, "a number that is named twice is one: {held}");
    let cancelled = agent.ctl_json(&["outbox", "cancel", &ids[1], &ids[1], "--json"]);
    assert_eq!((&cancelled["id"].to_string(), &cancelled["state"]), (&ids[1], &"cancelled".into()));
    assert_eq!(cancelled["recipients"][0]["state"], "cancelled");
    agent.ctl_ok(&["online"]);
    let said = agent.ctl(&["sync", "--wait", "--timeout", "60"]);
    assert!(said.code == 0 && said.out.contains("complete: 1 message is held back"), "{said:?}");
    assert_eq!(server.login("bob").select("INBOX").exists(), 0, "neither goes out");
    agent.ctl_ok(&["outbox", "release", &ids[0]]);
    wait_until("the released one to arrive", SOON, || server.login("bob").select("INBOX").exists() == 1);
    let mut bob = server.login("bob");
    bob.select("INBOX");
    assert_eq!(bob.ok("SEARCH SUBJECT one").found(), [1]);
}

#[test]
fn a_sync_is_not_complete_while_something_is_parked() {
    let server = server();
    let agent = agent(&server);
    agent.login(USER).ok("CREATE Papers");
    let said = agent.ctl(&["sync", "--wait", "--timeout", "60"]);
    assert_eq!(said.code, 0, "{said:?}");
    agent.ctl_ok(&["offline"]);
    agent.login(USER).ok("DELETE Papers");
    server.login(USER).append("Papers", &[], 1_000_000_000, &corpus::small(1));
    agent.ctl_ok(&["online"]);
    let said = agent.ctl(&["sync", "--wait", "--timeout", "60"]);
    assert_eq!(said.code, 75, "{said:?}");
    assert!(said.out.contains("1 journal entry is parked (syncctl journal list)"), "{said:?}");
    let said = agent.ctl(&["verify"]);
    assert_eq!(said.code, 75, "{said:?}");
    assert!(said.out.contains("equal to the server but for 1 act in the journal"), "{said:?}");
    let verified: serde_json::Value = serde_json::from_str(&agent.ctl(&["verify", "--json"]).out).expect("JSON");
    assert_eq!(verified["accounts"][0]["unsettled"], 1, "{verified}");
    let mut once = agent;
    once.stop();
    let said = once.once();
    assert_eq!(said.code, 75, "{said:?}");
    assert!(said.err.contains("1 journal entry is parked"), "{said:?}");
}

#[test]
fn a_sync_that_is_asked_for_on_a_line_that_is_dead_is_done_on_another() {
    let server = server();
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&Account::at(&server, USER, line.address).text());
    agent.sync();
    wait_until("the account to rest", SOON, || agent.account()["state"] == "online");
    // As of a host that went down, and is up again: the agent hears of it when it asks for something.
    line.stall();
    server.login(USER).append("INBOX", &[], 1_000_000_000, &corpus::small(1));
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| agent.ctl(&["sync", "--wait", "--timeout", "60"]));
        wait_until("the sync to begin", SOON, || agent.account()["state"] == "syncing");
        line.break_connections();
        line.join();
        let said = asked.join().expect("no panic");
        assert!(said.code == 0 && said.out.contains("complete"), "{said:?}");
    });
    assert_eq!(agent.login(USER).select("INBOX").exists(), 1);
}

#[test]
fn a_refused_letter_is_not_called_handed_over() {
    let server = server();
    let agent = agent(&server);
    let text = format!("From: {ADDRESS}\r\nTo: nobody@home.example\r\nSubject: lost\r\n\r\nx\r\n");
    let answer = agent.login_smtp(USER).send(ADDRESS, &["nobody@home.example"], text.as_bytes());
    assert_eq!(answer.expect("the local server stays").code, 250);
    // It is waited for what is to be sent, too; a report that came back is an arrival like any other.
    agent.sync();
    let listed = agent.ctl_json(&["outbox", "list", "--json"]);
    assert_eq!(listed[0]["state"], "failed", "{listed}");
    assert!(agent.ctl_ok(&["outbox"]).contains("550"), "the server's words are there");
}

#[test]
fn discarding_an_append_asks_first_and_what_it_removes_can_be_put_back() {
    let server = server();
    let agent = agent(&server);
    assert!(agent.ctl_ok(&["offline"]).contains(USER));
    agent.login(USER).append("INBOX", &[], 1_000_000_000, &corpus::small(1));
    let listed = agent.ctl_json(&["journal", "list", "--json"]);
    let id = listed[0]["id"].to_string();
    let said = agent.ctl(&["journal", "discard", &id]);
    assert_eq!(said.code, 64, "nobody there to be asked: {said:?}");
    let told = "1 message, which the server does not have, leaves INBOX here";
    assert!(said.err.contains(told) && said.err.contains("--yes"), "{said:?}");
    assert_eq!(agent.login(USER).select("INBOX").exists(), 1, "nothing was done");
    assert!(agent.ctl_ok(&["journal", "discard", &id, "--yes"]).contains("recover"));
    assert_eq!(agent.login(USER).select("INBOX").exists(), 0);

    let gone = agent.ctl_json(&["recover", "list", "--json"]);
    assert_eq!((gone[0]["from_mailbox"].as_str(), gone[0]["subject"].as_str()), (Some("INBOX"), Some("tide 1")));
    let number = gone[0]["id"].to_string();
    for (arguments, code) in [(&["999"][..], 64), (&[number.as_str(), "--to", "Nowhere"], 64)] {
        let said = agent.ctl(&[&["recover", "restore"], arguments].concat());
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
    }
    let said = agent.ctl(&["recover", "restore", &number, "--to", "Nowhere"]);
    assert!(said.err.contains("no mailbox Nowhere") && said.err.contains("make it"), "{said:?}");
    assert!(agent.ctl_ok(&["recover", "restore", &number]).contains("1 message is in INBOX again."));
    let again = agent.ctl(&["recover", "restore", &number]);
    assert!(again.code == 1 && again.err.contains("already"), "not doubled: {again:?}");
    let why = agent.ctl_json(&["why", "1@far.example", "--json"]);
    let copies = why["copies"].as_array().expect("a list");
    assert_eq!(copies.len(), 2, "the one that went and the one put back: {why}");
    assert_eq!(copies[1]["pending"].as_array().map(Vec::len), Some(1), "{why}");
    assert!(agent.ctl_ok(&["why", "<1@far.example>"]).contains("journal entry"));
    for form in [&["why", "unknown@far.example"][..], &["why", "unknown@far.example", "--json"]] {
        let said = agent.ctl(form);
        assert!(said.code == 64 && said.err.contains("<unknown@far.example>") && said.out.is_empty(), "{said:?}");
    }
    agent.ctl_ok(&["online"]);
    agent.sync();
    assert_eq!(server.login(USER).select("INBOX").exists(), 1, "it went up");
}

#[test]
fn an_audit_finds_what_is_wrong_and_only_that() {
    let server = server();
    for number in 1..=3 {
        server.login(USER).append("INBOX", &["\\Seen"], 1_000_000_000, &corpus::small(number));
    }
    let mut agent = agent(&server);
    let said = agent.ctl(&["verify"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("equal to the server  3 messages"), "{said:?}");
    agent.stop();
    let pack = std::fs::File::options().write(true).open(agent.data.join("content-1.pack")).expect("a file");
    pack.write_all_at(&[0; 10], 0).expect("ours");
    drop(pack);
    agent.start();
    let said = agent.ctl(&["verify", "--store-only"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("1 fault") && said.out.contains("are others"), "{said:?}");
    assert!(said.out.contains("1 message: the spoilt bytes were dropped"), "{said:?}");
    agent.sync();
    let said = agent.ctl(&["verify"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.out.contains("3 contents (messages, headers, parts, what is gone)")
            && said.out.contains("equal to the server"),
        "{said:?}"
    );

    // Without the file that holds the bytes, all are fetched again.
    agent.stop();
    std::fs::remove_file(agent.data.join("content-1.pack")).expect("it is there");
    agent.start();
    agent.sync();
    assert_eq!(agent.ctl(&["verify"]).code, 0);
    let mut imap = agent.login(USER);
    imap.select("INBOX");
    assert_eq!(imap.ok("FETCH 1:3 BODY.PEEK[]").untagged.len(), 3);
}

#[test]
fn client_config_says_what_a_mail_client_needs() {
    let server = server();
    let agent = agent(&server);
    let text = agent.ctl_ok(&["client-config"]);
    for wanted in [&agent.imap.port().to_string(), &agent.smtp.port().to_string(), USER, LOCAL_PASSWORD] {
        assert!(text.contains(wanted), "no {wanted} in {text}");
    }
    let config = agent.ctl_json(&["client-config", "--json"]);
    assert_eq!(config["imap"], agent.imap.to_string());
}

#[test]
fn a_sync_that_cannot_be_done_ends_with_75() {
    let mut server = server();
    let agent = agent(&server);
    server.kill();
    let said = agent.ctl(&["sync", "--wait", "--timeout", "20"]);
    assert_eq!(said.code, 75, "{said:?}");
    // Mail is still there to be read.
    agent.login(USER).select("INBOX");
}

#[test]
fn the_daemon_with_the_users_own_data_is_asked_before_one_that_took_its_well_known_place() {
    let server = server();
    let other = agent(&server);
    let account = Account { name: "own", ..Account::at(&server, USER, server.address("imap")) };
    let mut own = Agent::new(&account.text());
    own.data = other.folder().join(".local/share/mailtide");
    let asked = || {
        let mut command = other.bare_command(env!("CARGO_BIN_EXE_syncctl"));
        let output = command.args(["status", "--json"]).output().expect("syncctl runs");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(asked().contains("\"ada\""), "the only one there is");
    own.start();
    assert!(asked().contains("\"own\""), "{}", asked());
}

#[test]
fn accounts_are_listed_and_tested() {
    let server = server();
    let agent = agent(&server);
    assert!(agent.ctl_ok(&["account", "list"]).contains(USER));
    agent.ctl_ok(&["account", "test", USER]);
}

#[test]
fn an_account_is_added_once_its_servers_took_the_login() {
    let server = server();
    let agent = Agent::new("# mine\n");
    let (imap, smtp) = (server.address("imap").to_string(), server.address("submission").to_string());
    let add = |password: &str| {
        let mut arguments =
            vec!["account", "add", "--name", USER, "--address", ADDRESS, "--imap", &imap, "--smtp", &smtp];
        arguments.extend(["--tls", "none", "--user", USER, "--password-command", "echo", password]);
        agent.ctl(&arguments)
    };
    let before = std::fs::read_to_string(agent.config()).expect("written");
    let said = add("wrong");
    assert_eq!(said.code, 77, "{said:?}");
    assert!(said.err.contains("the login was refused") && !said.err.contains("tls"), "{said:?}");
    assert_eq!(std::fs::read_to_string(agent.config()).expect("written"), before, "nothing was written");
    let said = add(crate::support::refserver::PASSWORD);
    assert_eq!(said.code, 0, "{said:?}");
    let text = std::fs::read_to_string(agent.config()).expect("written");
    assert!(text.starts_with(&before), "comments and all: {text}");
    assert_eq!(agent.once().code, 0);
    assert_eq!(add(crate::support::refserver::PASSWORD).code, 78, "there is one of that name");
    assert_eq!(agent.ctl(&["account", "add"]).code, 64, "nobody there to be asked");
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_helps() {
    let server = server();
    let mut agent = agent(&server);
    let said = agent.ctl(&["doctor"]);
    assert_eq!(said.code, 0, "{said:?}");
    for wanted in ["ok    daemon", "ok    store: sound", "ok    server: ada imap", "note  configuration"] {
        assert!(said.out.contains(wanted), "no {wanted} in {said:?}");
    }
    agent.stop();
    let taken = std::net::TcpListener::bind(agent.imap).expect("free now");
    let said = agent.ctl(&["doctor"]);
    assert_eq!(said.code, 75, "{said:?}");
    assert!(said.out.contains(&format!("wrong port: {}", agent.imap)), "{said:?}");
    drop(taken);
    agent.configure("[[account]]\nname = 7\n");
    let said = agent.ctl(&["doctor"]);
    assert_eq!(said.code, 78, "{said:?}");
    assert!(said.out.contains("config.toml:7:"), "{said:?}");
    assert!(!said.out.contains("account add"), "there is one, it has a mistake: {said:?}");
}

#[test]
fn a_data_folder_that_others_can_look_into_is_told_at_the_start_and_left_as_it_is() {
    let server = server();
    let mut agent = Agent::new(&Account::at(&server, USER, server.address("imap")).text());
    std::fs::create_dir_all(&agent.data).expect("a folder");
    for (mode, is_told) in [(0o700, false), (0o755, true)] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&agent.data, permissions).expect("it is ours");
        agent.start();
        agent.stop();
        let word = format!("others can look into {}: chmod 700", agent.data.display());
        assert_eq!(agent.log().contains(&word), is_told, "{}", agent.log());
        let found = std::fs::metadata(&agent.data).expect("a folder").permissions().mode();
        assert_eq!(found & 0o777, mode, "it may not be ours alone");
    }
}

#[test]
fn a_data_folder_that_goes_under_the_running_daemon_ends_it_and_nothing_is_taken_that_would_be_lost() {
    let server = server();
    server.login(USER).append("INBOX", &[], 1_000_000_000, &corpus::small(1));
    let mut agent = agent(&server);
    let aside = agent.data.with_extension("aside");
    for is_moved in [true, false] {
        let mut local = agent.login(USER);
        local.select("INBOX");
        match is_moved {
            true => std::fs::rename(&agent.data, &aside).expect("it can be moved"),
            false => std::fs::remove_dir_all(&agent.data).expect("it can be removed"),
        }
        // It may have ended meanwhile.
        let answers = [
            local.try_command("STORE 1 +FLAGS (\\Flagged)"),
            local.try_append("INBOX", &[], 1_000_000_000, &corpus::small(2)),
        ];
        assert!(!answers.iter().flatten().any(|reply| reply.status == "OK"), "{answers:?}");
        assert_eq!(agent.process().wait_end(SOON).code(), Some(75), "{}", agent.log());
        let said = format!("{} is there no more", agent.data.join("mailtide.db").display());
        assert!(agent.log().contains(&said), "{}", agent.log());
        if is_moved {
            std::fs::rename(&aside, &agent.data).expect("it can be moved back");
        }
        agent.start();
        agent.sync();
        assert_eq!(agent.login(USER).select("INBOX").exists(), 1);
    }
}

#[test]
fn a_store_that_is_damaged_is_told_with_what_helps_and_what_must_be_kept() {
    let server = server();
    server.login(USER).append("INBOX", &["\\Seen"], 1_000_000_000, &corpus::small(1));
    let mut agent = agent(&server);
    agent.stop();
    let said = agent.ctl(&["doctor"]);
    assert!(said.code == 0 && said.out.contains("ok    store: its database holds together"), "{said:?}");
    for name in ["content-1.pack", "mailtide.db"] {
        let mode = std::fs::metadata(agent.data.join(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let file = std::fs::File::options().write(true).open(agent.data.join("mailtide.db")).expect("ours");
    file.write_all_at(&[0xa5; 8192], 0).expect("written");
    let said = agent.ctl(&["doctor"]);
    assert_eq!(said.code, 1, "{said:?}");
    for words in ["wrong store: ", "mailtide.db", "keep a copy of", "mirrored anew"] {
        assert!(said.out.contains(words), "no {words} in {said:?}");
    }
    let said = agent.once();
    assert_eq!(said.code, 70, "{said:?}");
    for words in ["mailtide.db", "keep a copy of", "the servers do not have yet", "mirrored anew"] {
        assert!(said.err.contains(words), "no {words} in {said:?}");
    }
}

#[test]
fn a_trust_root_that_is_not_there_is_told_even_where_nothing_is_protected() {
    let server = server();
    let account = Account { more: "tls-ca = \"absent.pem\"", ..Account::at(&server, USER, server.address("imap")) };
    let agent = Agent::new(&account.text());
    let said = agent.once();
    assert!(said.code == 78 && said.err.contains("absent.pem"), "{said:?}");
}
