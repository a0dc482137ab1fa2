//! What a server can do, and what this one is known to do wrong (QUIRKS.md): values made at run time from what it says.

use std::collections::BTreeSet;

use super::command::NonSync;
use crate::sync::remote::Facts;
use crate::types::limits;

/// The capabilities a server named last, in upper case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Capabilities(BTreeSet<String>);

impl Capabilities {
    pub(super) fn new(words: &[String]) -> Self {
        Self(words.iter().map(|word| word.to_ascii_uppercase()).collect())
    }

    /// Is this one named?
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// What stands behind `NAME=`.
    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    /// Which literals are taken without being asked.
    pub(super) fn non_sync(&self) -> NonSync {
        match (self.has("LITERAL+"), self.has("LITERAL-")) {
            (true, _) => NonSync::All,
            (false, true) => NonSync::Small,
            (false, false) => NonSync::None,
        }
    }
}

/// How to go about a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Profile {
    pub command_line_max_bytes: usize,
    /// Commands on their way at once.
    pub pipeline_max: usize,
    /// QRESYNC is used where offered.
    pub trusts_qresync: bool,
    /// LIST with RETURN is used where offered.
    pub trusts_list_return: bool,
    /// NAMESPACE is asked where offered.
    pub trusts_namespace: bool,
    /// It must be told to leave a mailbox, for it does not say where the data of the next one begin.
    pub unselects_first: bool,
    /// It shows an appended message only after a NOOP.
    pub hides_appended: bool,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            command_line_max_bytes: limits::UPSTREAM_COMMAND_LINE_MAX_BYTES,
            pipeline_max: limits::UPSTREAM_PIPELINE_MAX,
            trusts_qresync: true,
            trusts_list_return: true,
            trusts_namespace: true,
            unselects_first: false,
            hides_appended: false,
        }
    }
}

/// By what a server is known, in lower case, and what is different about it.
type Mark = (&'static [&'static str], fn(&mut Profile));

const KNOWN: &[Mark] = &[
    // Row 3: advertises QRESYNC, sends malformed VANISHED.
    (&[".mail.me.com", "icloud"], |profile| profile.trusts_qresync = false),
    // Rows 21 and 40: long command lines are cut.
    (&["yahoo", "aol.com", "uw imap"], |profile| profile.command_line_max_bytes = 1000),
    // Row 23: no [CLOSED]; LIST with RETURN crashed old versions.
    (&["zimbra"], |profile| {
        profile.unselects_first = true;
        profile.trusts_list_return = false;
    }),
    // Row 16: answers BAD to fifty.
    (&["exchange", "outlook", "office365"], |profile| profile.pipeline_max = 25),
    // Row 33: NAMESPACE ends the connection.
    (&["hmailserver", "exchange server 2003"], |profile| profile.trusts_namespace = false),
    // Row 22: what was appended is not seen until the next NOOP.
    (&["courier"], |profile| profile.hides_appended = true),
];

impl Profile {
    /// The profile of a server by its host name, its greeting and what it says of itself in ID.
    pub(super) fn of(host: &str, greeting: &str, id: &[(String, String)]) -> Self {
        let names =
            id.iter().filter(|(key, _)| matches!(key.as_str(), "name" | "vendor")).map(|(_, value)| value.as_str());
        let said: Vec<String> = [host, greeting].into_iter().chain(names).map(str::to_ascii_lowercase).collect();
        let mut profile = Self::default();
        for (marks, differs) in KNOWN {
            if marks.iter().any(|mark| said.iter().any(|text| text.contains(mark))) {
                differs(&mut profile);
            }
        }
        profile
    }
}

/// What the rest of the program may know. `enabled`: what ENABLE switched on (RFC 5161); a server that names QRESYNC and
/// does not confirm it has none (QUIRKS.md rows 3 and 24).
pub(super) fn facts(capabilities: &Capabilities, enabled: &Capabilities, profile: &Profile) -> Facts {
    let qresync = enabled.has("QRESYNC") && profile.trusts_qresync;
    Facts {
        uid_plus: capabilities.has("UIDPLUS"),
        r#move: capabilities.has("MOVE"),
        cond_store: qresync || capabilities.has("CONDSTORE"),
        qresync,
        idle: capabilities.has("IDLE"),
        unselect: capabilities.has("UNSELECT"),
        special_use: capabilities.has("SPECIAL-USE"),
        object_id: capabilities.has("OBJECTID") || capabilities.has("X-GM-EXT-1"),
        append_limit_bytes: capabilities.value("APPENDLIMIT").and_then(|limit| limit.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_any_of_its_names() {
        assert!(!Profile::of("imap.mail.me.com", "", &[]).trusts_qresync);
        assert_eq!(Profile::of("imap.mail.yahoo.com", "", &[]).command_line_max_bytes, 1000);
        let id = [("name".to_owned(), "Zimbra".to_owned())];
        assert!(Profile::of("mail.example.org", "ready", &id).unselects_first);
        assert_eq!(Profile::of("mail.example.org", "Dovecot ready.", &[]), Profile::default());
    }

    #[test]
    fn qresync_counts_only_when_it_was_enabled() {
        let words = |text: &str| Capabilities::new(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let offered = words("IMAP4rev1 QRESYNC CONDSTORE appendlimit=35651584 Literal+");
        let profile = Profile::default();
        assert!(!facts(&offered, &words(""), &profile).qresync);
        assert!(facts(&offered, &words("qresync"), &profile).qresync);
        let distrusting = Profile { trusts_qresync: false, ..Profile::default() };
        assert!(!facts(&offered, &words("qresync"), &distrusting).qresync);
        assert_eq!(facts(&offered, &words(""), &profile).append_limit_bytes, Some(35_651_584));
        assert_eq!(offered.non_sync(), NonSync::All);
    }
}
