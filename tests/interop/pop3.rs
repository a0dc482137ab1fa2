//! Mail out of Dovecot's POP3, in plain text and after STLS.

use crate::support::agent::Agent;
use crate::support::corpus;
use crate::support::dovecot::{Dovecot, Options, PASSWORD};
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

/// Each message as the test's own client reads it: Dovecot ends every line with CRLF, whatever was appended.
fn maildrop(dovecot: &Dovecot, count: u32) -> Vec<Vec<u8>> {
    let mut pop3 = Pop3::connect(dovecot.pop3).expect("Dovecot listens");
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
    let sent = maildrop(&dovecot, count);
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
