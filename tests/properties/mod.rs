//! What holds for any bytes that come from outside: one property a target, each a function that panics where it does not
//! hold.
//!
//! `cargo test` runs them on seeds, on inputs that once broke them (`tests/regressions/TARGET`) and on random mixtures
//! of seeds (`tests/it/any_bytes.rs`); the targets in `fuzz/` run them on whatever libFuzzer finds. Rules: a property is
//! a function of its input alone (no clock, no chance, no file), ends soon, and says in words what does not hold.

mod config;
mod control;
mod converse;
mod dsn;
mod imap_command;
mod imap_session;
mod imap_upstream;
mod imap_wire;
mod message;
mod pieces;
mod pop3_session;
mod scram;
mod search;
pub mod seeds;
mod smtp_session;
mod smtp_upstream;
mod stream;
mod words;

/// A property with a name, that of its fuzz target and of the folders of its seeds and regressions.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    pub name: &'static str,
    /// Panics if the property does not hold for these bytes.
    pub check: fn(&[u8]),
}

/// Every property.
pub const ALL: [Property; 13] = [
    Property { name: "config", check: config::check },
    Property { name: "control", check: control::check },
    Property { name: "dsn", check: dsn::check },
    Property { name: "imap_command", check: imap_command::check },
    Property { name: "imap_session", check: imap_session::check },
    Property { name: "imap_upstream", check: imap_upstream::check },
    Property { name: "message", check: message::check },
    Property { name: "pop3_session", check: pop3_session::check },
    Property { name: "scram", check: scram::check },
    Property { name: "search", check: search::check },
    Property { name: "smtp_session", check: smtp_session::check },
    Property { name: "smtp_upstream", check: smtp_upstream::check },
    Property { name: "words", check: words::check },
];

/// Checks the property of that name.
pub fn check(name: &str, input: &[u8]) {
    let property = ALL.iter().find(|property| property.name == name);
    (property.expect("the name of a property").check)(input);
}
