//! POP3, from refserver and from the local face: what is marked goes only after QUIT.

use crate::support::agent::{Account, Agent};
use crate::support::corpus;
use crate::support::pop3::Pop3;
use crate::support::refserver::{self, RefServer};
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
