//! Mail out of POP3 maildrops: Dovecot's, in plain text and after STLS, and Courier's.

use std::net::SocketAddr;

use crate::support::agent::Agent;
use crate::support::corpus;
use crate::support::courier::CourierPop3;
use crate::support::dovecot::{Dovecot, Options, PASSWORD};
use crate::support::imap;
use crate::support::pop3::Pop3;
use crate::support::wait::{SOON, wait_until};

fn account(dovecot: &Dovecot, tls: &str, keep: &str) -> String {
    format!(
        "[[account]]\nname = \"ada\"\naddress = \"ada@home.example\"\n\
         pop3 = {{ host = \"{}\", port = {}, tls = \"{tls}\", keep = \"{keep}\" }}\n\
         user = \"ada\"\npassword = \"{PASSWORD}\"\ntls-ca = \"{}\"\n",
        dovecot.pop3.ip(),
        dovecot.pop3.port(),
        dovecot.certificate.display(),
    )
}

fn inbox(agent: &Agent) -> Vec<Vec<u8>> {
    let mut imap = agent.login("ada");
    imap.select("INBOX");
    let mut bodies: Vec<Vec<u8>> = imap.fetch_all().into_iter().map(|message| message.body).collect();
    bodies.sort();
    bodies
}

/// Each message as the test's own client reads it: servers end every line with CRLF, whatever was appended.
fn maildrop(address: SocketAddr, count: u32) -> Vec<Vec<u8>> {
    let mut pop3 = Pop3::connect(address).expect("the server listens");
    // Courier withholds mail with UTF-8 in its header from others (RFC 6856); Dovecot does not know the word.
    pop3.command("UTF8");
    pop3.ok("USER ada");
    pop3.ok(&format!("PASS {PASSWORD}"));
    let mut bodies: Vec<Vec<u8>> = (1..=count).map(|number| pop3.lines(&format!("RETR {number}"))).collect();
    pop3.ok("QUIT");
    bodies.sort();
    bodies
}

#[test]
fn a_maildrop_of_dovecot_is_taken_byte_for_byte_and_emptied_only_when_it_is_not_to_stay() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    let messages = corpus::all();
    let mut imap = dovecot.login("ada");
    for message in &messages {
        imap.append("INBOX", &[], 1_000_000_000, message);
    }
    let count = u32::try_from(messages.len()).expect("some thousands");
    let sent = maildrop(dovecot.pop3, count);
    for tls in ["none", "starttls"] {
        let agent = Agent::started(&account(&dovecot, tls, "always"));
        for _ in 0..2 {
            agent.sync();
            let here = inbox(&agent);
            assert_eq!(here.len(), sent.len(), "by {tls}");
            assert!(here == sent, "by {tls}: byte for byte");
        }
        assert_eq!(agent.ctl(&["verify"]).code, 0);
        assert_eq!(dovecot.login("ada").select("INBOX").exists(), count);
        if tls == "starttls" {
            agent.configure(&account(&dovecot, tls, "never"));
            wait_until("the maildrop to be empty", SOON, || {
                agent.ctl(&["sync", "--wait"]);
                dovecot.login("ada").select("INBOX").exists() == 0
            });
            assert!(inbox(&agent) == sent, "by {tls}: nothing went but there");
        }
    }
}

#[test]
fn a_maildrop_of_courier_is_taken_byte_for_byte_once_and_emptied() {
    let Some(courier) = CourierPop3::start() else { return };
    let messages: Vec<Vec<u8>> = corpus::all().into_iter().step_by(5).collect();
    for (number, message) in messages.iter().enumerate() {
        courier.deliver(&format!("{}.{number}.host", 1_700_000_000 + number), message);
    }
    let sent = maildrop(courier.pop3, u32::try_from(messages.len()).expect("some hundreds"));
    let config = |keep: &str| of_courier(&courier, keep);
    let agent = Agent::started(&config("always"));
    for _ in 0..2 {
        agent.sync();
        let here = inbox(&agent);
        let missing = sent.iter().find(|message| !here.contains(message));
        let told = missing.map(|message| String::from_utf8_lossy(&message[..message.len().min(300)]).into_owned());
        assert!(here == sent, "byte for byte, and once: {} of {}, not {told:?}", here.len(), sent.len());
    }
    assert_eq!(agent.ctl(&["verify"]).code, 0);
    agent.configure(&config("never"));
    wait_until("the maildrop to be empty", SOON, || {
        agent.ctl(&["sync", "--wait"]);
        maildrop_is_empty(courier.pop3)
    });
    assert!(inbox(&agent) == sent, "nothing went but there");
}

fn of_courier(courier: &CourierPop3, keep: &str) -> String {
    format!(
        "[[account]]\nname = \"ada\"\naddress = \"ada@home.example\"\n\
         pop3 = {{ host = \"{}\", port = {}, tls = \"none\", keep = \"{keep}\" }}\n\
         user = \"ada\"\npassword = \"{PASSWORD}\"\n",
        courier.pop3.ip(),
        courier.pop3.port(),
    )
}

/// `false` also while somebody else is in it.
fn maildrop_is_empty(address: SocketAddr) -> bool {
    let mut pop3 = Pop3::connect(address).expect("the server listens");
    pop3.ok("USER ada");
    pop3.command(&format!("PASS {PASSWORD}")).starts_with("+OK") && pop3.ok("STAT").starts_with("0 ")
}

/// What a client is told of messages before their bytes are here, and may keep for good.
fn told(agent: &Agent) -> Vec<String> {
    let mut imap = agent.login("ada");
    imap.select("INBOX");
    let told = imap.ok("UID FETCH 1:* (ENVELOPE RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER])").untagged;
    let shown = |line: imap::Line| {
        let literals: Vec<_> = line.literals.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        format!("{} {}", line.text, literals.join("|"))
    };
    told.into_iter().map(shown).filter(|line| line.contains(" FETCH (")).collect()
}

/// Headers first; then one message, and then all.
fn opened_one_by_one_and_emptied(agent: &Agent, config: &dyn Fn(&str) -> String, sent: &[Vec<u8>], server: SocketAddr) {
    agent.sync();
    let before = told(agent);
    assert_eq!(
        (before.len(), agent.account()["bodies"]["absent"]["messages"].as_u64()),
        (sent.len(), Some(sent.len() as u64))
    );
    let mut imap = agent.login("ada");
    imap.select("INBOX");
    imap.ok("UID FETCH 1 BODYSTRUCTURE");
    assert_eq!(agent.account()["bodies"]["absent"]["messages"], sent.len() - 1);
    assert!(inbox(agent) == sent, "byte for byte");
    assert_eq!(agent.account()["bodies"]["absent"]["messages"], 0);
    for (before, after) in before.iter().zip(told(agent)) {
        assert_eq!(*before, after, "what was told stays true");
    }
    agent.configure(&config("never"));
    wait_until("the maildrop to be empty", SOON, || {
        agent.ctl(&["sync", "--wait"]);
        maildrop_is_empty(server)
    });
    assert!(inbox(agent) == sent, "nothing went but there");
    assert_eq!(agent.ctl(&["verify"]).code, 0);
}

#[test]
fn of_a_maildrop_of_dovecot_the_headers_come_and_the_rest_when_it_is_opened() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    let messages = corpus::all();
    let mut imap = dovecot.login("ada");
    for message in &messages {
        imap.append("INBOX", &[], 1_000_000_000, message);
    }
    let sent = maildrop(dovecot.pop3, u32::try_from(messages.len()).expect("some thousands"));
    let config = |keep: &str| match keep {
        "never" => account(&dovecot, "none", keep),
        _ => format!("{}mirror = {{ bodies = \"headers\" }}\n", account(&dovecot, "none", keep)),
    };
    let agent = Agent::started(&config("always"));
    opened_one_by_one_and_emptied(&agent, &config, &sent, dovecot.pop3);
}

#[test]
fn of_a_maildrop_of_courier_the_headers_come_and_the_rest_when_it_is_opened() {
    let Some(courier) = CourierPop3::start() else { return };
    let messages: Vec<Vec<u8>> = corpus::all().into_iter().step_by(5).collect();
    for (number, message) in messages.iter().enumerate() {
        courier.deliver(&format!("{}.{number}.host", 1_700_000_000 + number), message);
    }
    let sent = maildrop(courier.pop3, u32::try_from(messages.len()).expect("some hundreds"));
    let config = |keep: &str| match keep {
        "never" => of_courier(&courier, keep),
        _ => format!("{}mirror = {{ bodies = \"headers\" }}\n", of_courier(&courier, keep)),
    };
    let agent = Agent::started(&config("always"));
    opened_one_by_one_and_emptied(&agent, &config, &sent, courier.pop3);
}
