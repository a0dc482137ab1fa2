//! How the lines of Dovecot's log, and of the agent's, are read.

use std::collections::BTreeSet;

/// The connections of the agent: other clients do not say who they are.
pub fn agents_sessions(log: &str) -> BTreeSet<&str> {
    log.lines().filter(|line| line.contains(": ID sent: ")).filter_map(session).collect()
}

/// The connection that a line of Dovecot's log is about.
pub fn session(line: &str) -> Option<&str> {
    field(line, "imap(", ": ")?.rsplit_once('<')?.1.strip_suffix('>')
}

/// What stands between the two.
pub fn field<'a>(line: &'a str, before: &str, after: &str) -> Option<&'a str> {
    line.split_once(before)?.1.split_once(after).map(|(text, _)| text)
}
