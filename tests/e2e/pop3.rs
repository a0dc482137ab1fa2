//! POP3, from refserver and from the local face: what is marked goes only after QUIT.

use std::net::SocketAddr;

use serde_json::json;

use crate::support::agent::{Account, Agent};
use crate::support::corpus;
use crate::support::imap::Imap;
use crate::support::pop3::Pop3;
use crate::support::proxy::Proxy;
use crate::support::refserver::{self, Options, RefServer};
use crate::support::wait::{SOON, wait_until};

fn server() -> RefServer {
    let server = RefServer::with_users(&["ada"]);
    let mut imap = server.login("ada");
    for number in 0..5 {
        imap.append("INBOX", &[], 1_000_000_000, &corpus::small(number));
    }
    server
}

fn login(server: &RefServer) -> Pop3 {
    let mut pop3 = Pop3::connect(server.address("pop3")).expect("refserver listens");
    pop3.ok("USER ada");
    pop3.ok(&format!("PASS {}", refserver::PASSWORD));
    pop3
}

#[test]
fn refserver_deletes_only_what_a_session_that_ends_with_quit_has_marked() {
    let server = server();
    let mut first = login(&server);
    assert!(first.ok("STAT").starts_with("5 "));
    assert_eq!(first.lines("RETR 1"), corpus::small(0));
    first.ok("DELE 1");
    first.ok("DELE 2");
    drop(first);
    let mut second = login(&server);
    assert!(second.ok("STAT").starts_with("5 "), "a connection that breaks deletes nothing");
    second.ok("DELE 1");
    second.ok("RSET");
    second.ok("DELE 3");
    second.ok("QUIT");
    let mut third = login(&server);
    assert!(third.ok("STAT").starts_with("4 "));
    assert_eq!(third.lines("RETR 3"), corpus::small(3));
}

#[test]
fn a_message_deleted_by_pop3_at_the_local_face_goes_upstream() {
    let server = server();
    let agent = Agent::started(&Account::at(&server, "ada", server.address("imap")).text());
    agent.sync();
    let mut pop3 = agent.login_pop3("ada");
    assert!(pop3.ok("STAT").starts_with("5 "));
    assert_eq!(pop3.lines("RETR 2"), corpus::small(1));
    pop3.ok("DELE 2");
    pop3.ok("QUIT");
    wait_until("the message to go upstream", SOON, || server.login("ada").select("INBOX").exists() == 4);
}

#[test]
fn what_expires_is_told_before_the_login_and_after_it() {
    let config = "[[retention]]\nmailbox = \"INBOX\"\nuser = \"bob\"\ndays = 30\n".to_owned();
    let server = RefServer::start(&Options { users: &["ada", "bob"], config, ..Options::default() });
    for (user, told) in [("ada", "EXPIRE NEVER\r\n"), ("bob", "EXPIRE 30\r\n")] {
        let mut pop3 = Pop3::connect(server.address("pop3")).expect("refserver listens");
        let said = |pop3: &mut Pop3| String::from_utf8(pop3.lines("CAPA")).expect("text");
        assert!(said(&mut pop3).contains("EXPIRE 30 USER\r\n"));
        pop3.ok(&format!("USER {user}"));
        pop3.ok(&format!("PASS {}", refserver::PASSWORD));
        assert!(said(&mut pop3).contains(told), "{user}");
    }
}

fn taken_from(server: &RefServer, keep: &str) -> Agent {
    taken_by(server, server.address("pop3"), keep)
}

fn taken_by(server: &RefServer, pop3: SocketAddr, keep: &str) -> Agent {
    Agent::started(&account(server, pop3, keep))
}

fn account(server: &RefServer, pop3: SocketAddr, keep: &str) -> String {
    let submission = server.address("submission");
    format!(
        "[[account]]\nname = \"ada\"\naddress = \"ada@{}\"\n\
         pop3 = {{ host = \"{}\", port = {}, tls = \"none\", keep = {keep} }}\n\
         smtp = {{ host = \"{}\", port = {}, tls = \"none\" }}\n\
         user = \"ada\"\npassword = \"{}\"\n",
        server.domain,
        pop3.ip(),
        pop3.port(),
        submission.ip(),
        submission.port(),
        refserver::PASSWORD,
    )
}

/// What a command is answered, but for literals.
fn told(imap: &mut Imap, command: &str) -> String {
    imap.ok(command).untagged.into_iter().map(|line| line.text).collect()
}

#[test]
fn headers_come_by_pop3_and_the_rest_when_somebody_opens_a_message() {
    let server = server();
    let line = Proxy::to(server.address("pop3"));
    let account =
        |keep: &str, mirror: &str| format!("{}mirror = {{ {mirror} }}\n", account(&server, line.address, keep));
    let agent = Agent::started(&account("\"always\"", "bodies = \"headers\""));
    agent.sync();
    let sizes: Vec<usize> = (0..5).map(|number| corpus::small(number).len()).collect();
    let bodies = || agent.account()["bodies"].clone();
    assert_eq!(bodies()["absent"], json!({"messages": 5, "bytes": sizes.iter().sum::<usize>()}));
    assert_eq!((&bodies()["wanted"]["messages"], &bodies()["today"]["fetched_bytes"]), (&json!(0), &json!(0)));

    let mut imap = agent.login("ada");
    imap.select("INBOX");
    let said = told(&mut imap, "FETCH 1:5 (ENVELOPE RFC822.SIZE)");
    assert!(sizes.iter().all(|size| said.contains(&format!("RFC822.SIZE {size}"))), "{said}");
    assert_eq!(bodies()["absent"]["messages"], 5, "nothing of that had to be fetched");
    assert!(told(&mut imap, "FETCH 2 BODYSTRUCTURE").contains("BODYSTRUCTURE ("));
    assert_eq!(bodies()["absent"]["messages"], 4, "that had");
    assert_eq!(imap.fetch_all().len(), 5);
    assert_eq!(bodies()["absent"]["messages"], 0);
    assert_eq!(bodies()["today"]["on_demand_bytes"], sizes.iter().sum::<usize>());
    let mut here: Vec<Vec<u8>> = imap.fetch_all().into_iter().map(|message| message.body).collect();
    here.sort();
    let mut sent: Vec<Vec<u8>> = (0..5).map(corpus::small).collect();
    sent.sort();
    assert!(here == sent, "byte for byte");

    server.login("ada").append("INBOX", &[], 1_000_000_000, &corpus::small(6));
    server.login("ada").append("INBOX", &[], 1_000_000_000, &corpus::small(7));
    wait_until("the next header to come", SOON, || {
        agent.ctl(&["sync", "--wait"]);
        bodies()["absent"]["messages"] == 2
    });
    line.cut();
    imap.select("INBOX");
    for asked in ["FETCH 6 BODYSTRUCTURE", "FETCH 6 BODY[TEXT]", "FETCH 1:6 BODY.PEEK[]"] {
        let refused = imap.command(asked).text;
        assert!(refused.contains("[UNAVAILABLE]"), "{asked}: {refused}");
    }
    assert!(told(&mut imap, "FETCH 6 ENVELOPE").contains("ENVELOPE ("));
    let mut pop3 = agent.login_pop3("ada");
    assert!(pop3.command("RETR 6").starts_with("-ERR"));
    assert!(!pop3.lines("TOP 6 0").is_empty());
    assert_eq!(pop3.lines("RETR 1"), corpus::small(0));
    pop3.ok("QUIT");
    let said = agent.ctl(&["fetch", "INBOX", "--json"]);
    assert!(said.code == 75 && said.out.contains("\"waiting\":2"), "{said:?}");
    line.join();
    wait_until("what is wanted to come by itself", SOON, || {
        agent.ctl(&["sync", "--wait"]);
        bodies()["absent"]["messages"] == 0
    });
    assert!(told(&mut imap, "FETCH 7 BODYSTRUCTURE").contains("BODYSTRUCTURE ("));
    assert_eq!(agent.ctl(&["verify"]).code, 0);
    assert_eq!(server.login("ada").select("INBOX").exists(), 7, "nothing went from there");

    // What waits while the line is dear stays on the server, whatever is to become of it there.
    server.login("ada").append("INBOX", &[], 1_000_000_000, &corpus::small(8));
    agent.configure(&account("\"never\"", "metered = true"));
    wait_until("all but one to go from the server", SOON, || {
        agent.ctl(&["sync", "--wait"]);
        server.login("ada").select("INBOX").exists() == 1 && bodies()["stopped_by"] == "metered"
    });
    agent.ctl_ok(&["metered", "off"]);
    wait_until("the last one to go as well", SOON, || {
        agent.ctl(&["sync", "--wait"]);
        server.login("ada").select("INBOX").exists() == 0
    });
    imap.select("INBOX");
    assert_eq!(imap.fetch_all().len(), 8);
}

#[test]
fn mail_comes_by_pop3_and_what_is_done_with_it_stays_between_client_and_agent() {
    let server = server();
    let agent = taken_from(&server, "\"until-deleted\"");
    agent.sync();
    let mut imap = agent.login("ada");
    assert_eq!(imap.select("INBOX").exists(), 5);
    imap.ok("CREATE Kept");
    imap.ok("STORE 1 +FLAGS (\\Flagged)");
    imap.ok("MOVE 1 Kept");
    imap.ok("STORE 1 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    agent.sync();
    let status = agent.ctl_json(&["status", "--json"]);
    let account = &status["accounts"][0];
    assert_eq!((account["state"].as_str(), &account["journal"]["pending"]), (Some("online"), &0.into()), "{status}");
    wait_until("what was deleted here to go there", SOON, || server.login("ada").select("INBOX").exists() == 4);
    assert_eq!(imap.select("Kept").exists(), 1);
    assert_eq!(imap.select("INBOX").exists(), 3);
    let verified = agent.ctl(&["verify"]);
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
    assert!(verified.out.contains("all of the maildrop is here  4 listed there; 4 messages in "), "{}", verified.out);
    let tested = agent.ctl(&["account", "test"]);
    assert!(tested.code == 0 && tested.out.contains("4 messages"), "{}{}", tested.out, tested.err);
    let listed = agent.ctl(&["account", "list", "--json"]);
    assert!(listed.out.contains("\"imap\":null") || listed.out.contains("\"imap\": null"), "{}", listed.out);
}

#[test]
fn a_message_at_which_the_line_always_breaks_lets_the_others_pass_and_is_told() {
    let server = server();
    let large = [corpus::small(7), b"0123456789abcdef\r\n".repeat(20_000)].concat();
    let mut imap = server.login("ada");
    imap.append("INBOX", &[], 1_000_000_000, &large);
    imap.append("INBOX", &[], 1_000_000_000, &corpus::small(8));
    let line = Proxy::to(server.address("pop3"));
    line.cut_each_after(100_000);
    let agent = taken_by(&server, line.address, "\"always\"");
    wait_until("all the others to come", SOON, || agent.login("ada").select("INBOX").exists() == 6);
    wait_until("it to be told", SOON, || {
        agent.ctl(&["sync"]);
        let account = agent.account();
        account["state"] == "online" && account["not_given"][0]["why"].as_str().is_some_and(|why| why.contains("broke"))
    });
    let shown = agent.ctl_ok(&["status"]);
    assert!(shown.contains("the server does not give ") && shown.contains("it is asked again at"), "{shown}");
    let verified = agent.ctl(&["verify"]);
    assert!(verified.code == 1 && verified.out.contains("the line broke each time"), "{verified:?}");
    let doctor = agent.ctl(&["doctor"]);
    assert!(doctor.out.contains("1 message that its server does not give"), "{doctor:?}");
}

#[test]
fn an_agent_killed_over_and_over_while_it_empties_a_maildrop_has_each_message_once() {
    let server = server();
    let mut sent: Vec<Vec<u8>> = (0..5).map(corpus::small).collect();
    let mut agent = taken_from(&server, "\"never\"");
    for already in [0, 1, 7, 19] {
        let mut imap = server.login("ada");
        let here = agent.login("ada").select("INBOX").exists();
        for _ in 0..20 {
            let message = format!("Subject: {0}\r\n\r\nThis is {0}.\r\n", sent.len()).into_bytes();
            imap.append("INBOX", &[], 1_000_000_000, &message);
            sent.push(message);
        }
        agent.ctl(&["sync"]);
        wait_until("some of it to come", SOON, || agent.login("ada").select("INBOX").exists() >= here + already);
        agent.kill();
        agent.start();
    }
    wait_until("the maildrop to be empty", SOON, || {
        agent.ctl(&["sync", "--wait"]);
        server.login("ada").select("INBOX").exists() == 0
    });
    let mut imap = agent.login("ada");
    imap.select("INBOX");
    let mut here: Vec<Vec<u8>> = imap.fetch_all().into_iter().map(|message| message.body).collect();
    here.sort();
    sent.sort();
    assert_eq!(here.len(), sent.len());
    assert!(here == sent, "each message once, byte for byte");
    assert_eq!(agent.ctl(&["verify"]).code, 0);
}
