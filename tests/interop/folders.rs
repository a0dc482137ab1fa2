//! Folders changed on both sides, with Dovecot at the other end.

use crate::support::agent::{Account, Agent};
use crate::support::dovecot::{Dovecot, Options, PASSWORD};
use crate::support::folders;
use crate::support::proxy::Proxy;
use crate::support::sink::Sink;

#[test]
fn folders_changed_on_both_sides_end_as_the_table_says_whatever_the_delimiter() {
    for delimiter in ['/', '.'] {
        let Some(dovecot) = Dovecot::start(&Options { delimiter, ..Options::default() }) else { return };
        let mut there = dovecot.login("ada");
        folders::fill(&mut there);
        let (line, sink) = (Proxy::to(dovecot.imap), Sink::start());
        let account = Account {
            name: "ada",
            address: "ada@home.example".to_owned(),
            imap: line.address,
            smtp: sink.address,
            tls: "none",
            user: "ada",
            password: PASSWORD,
            more: "",
        };
        let agent = Agent::started(&account.text());
        agent.sync();
        folders::tell(&agent, &line, &mut agent.login("ada"), &mut there, delimiter);
    }
}
