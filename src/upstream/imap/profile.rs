//! How to go about a server (QUIRKS.md): a value made at run time from what it says of itself, from what is known of such
//! servers, and from what the configuration says, which counts most.

use crate::types::{Quirks, limits};

/// A server's ways, all decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Profile {
    pub uses_compress: bool,
    pub uses_qresync: bool,
    pub uses_condstore: bool,
    /// LIST with RETURN.
    pub uses_list_return: bool,
    pub uses_namespace: bool,
    pub uses_move: bool,
    pub uses_idle: bool,
    pub uses_notify: bool,
    /// It must be told to leave a mailbox, for it does not say where the data of the next one begin.
    pub unselects_first: bool,
    /// It shows an appended message only after a NOOP.
    pub hides_appended: bool,
    /// A message is one thing, which several mailboxes may hold.
    pub has_labels: bool,
    pub command_line_max_bytes: usize,
    /// Commands on their way at once.
    pub pipeline_max: usize,
    /// As what it is known; empty: as a server that keeps to the standard.
    pub known_as: Vec<&'static str>,
    /// What of the above is said by somebody, and is not the standard's.
    pub quirks: Quirks,
}

/// A kind of server: what people call it, by what it is known (in lower case), and its ways.
struct Kind {
    name: &'static str,
    marks: &'static [&'static str],
    quirks: fn(&mut Quirks),
}

const KNOWN: &[Kind] = &[
    // Row 3: advertises QRESYNC, sends malformed VANISHED.
    Kind { name: "iCloud", marks: &[".mail.me.com", "icloud"], quirks: |quirks| quirks.qresync = Some(false) },
    // Rows 21 and 40: long command lines are cut.
    Kind { name: "Yahoo", marks: &["yahoo", "aol.com"], quirks: |quirks| quirks.line_bytes = Some(1000) },
    Kind { name: "UW IMAP", marks: &["uw imap"], quirks: |quirks| quirks.line_bytes = Some(1000) },
    // Row 23: no [CLOSED]; LIST with RETURN crashed old versions.
    Kind {
        name: "Zimbra",
        marks: &["zimbra"],
        quirks: |quirks| {
            quirks.unselect_first = Some(true);
            quirks.list_return = Some(false);
        },
    },
    // Row 16: answers BAD to fifty commands at once.
    Kind {
        name: "Exchange",
        marks: &["exchange", "outlook", "office365"],
        quirks: |quirks| quirks.pipeline = Some(25),
    },
    // Row 33: NAMESPACE ends the connection.
    Kind {
        name: "a server that hangs up on NAMESPACE",
        marks: &["hmailserver", "exchange server 2003"],
        quirks: |quirks| quirks.namespace = Some(false),
    },
    // Row 26: a copy is the same message.
    Kind { name: "Proton Mail Bridge", marks: &["proton", "gluon"], quirks: |quirks| quirks.labels = Some(true) },
    // Row 22: what was appended is not seen until the next NOOP.
    Kind { name: "Courier", marks: &["courier"], quirks: |quirks| quirks.noop_after_append = Some(true) },
];

impl Profile {
    /// The profile of a server by its host name, its greeting and what it says of itself in ID; what `person` says of
    /// it counts most.
    pub(super) fn of(host: &str, greeting: &str, id: &[(String, String)], person: &Quirks) -> Self {
        let names =
            id.iter().filter(|(key, _)| matches!(key.as_str(), "name" | "vendor")).map(|(_, value)| value.as_str());
        let said: Vec<String> = [host, greeting].into_iter().chain(names).map(str::to_ascii_lowercase).collect();
        let is_known = |kind: &&Kind| kind.marks.iter().any(|mark| said.iter().any(|text| text.contains(mark)));
        let kinds: Vec<&Kind> = KNOWN.iter().filter(is_known).collect();
        let mut known = Quirks::default();
        for kind in &kinds {
            (kind.quirks)(&mut known);
        }
        let known_as = kinds.iter().map(|kind| kind.name).collect();
        Self { known_as, ..Self::with(person.clone().or(known)) }
    }

    /// A server with these ways.
    pub(super) fn with(quirks: Quirks) -> Self {
        let at_most = |said: Option<u16>, usual: usize| said.map_or(usual, |said| usize::from(said).min(usual));
        Self {
            uses_compress: quirks.compress.unwrap_or(true),
            uses_qresync: quirks.qresync.unwrap_or(true),
            uses_condstore: quirks.condstore.unwrap_or(true),
            uses_list_return: quirks.list_return.unwrap_or(true),
            uses_namespace: quirks.namespace.unwrap_or(true),
            uses_move: quirks.r#move.unwrap_or(true),
            uses_idle: quirks.idle.unwrap_or(true),
            uses_notify: quirks.notify.unwrap_or(true),
            unselects_first: quirks.unselect_first.unwrap_or(false),
            hides_appended: quirks.noop_after_append.unwrap_or(false),
            has_labels: quirks.labels.unwrap_or(false),
            command_line_max_bytes: at_most(quirks.line_bytes, limits::UPSTREAM_COMMAND_LINE_MAX_BYTES),
            pipeline_max: at_most(quirks.pipeline, limits::UPSTREAM_PIPELINE_MAX).max(1),
            known_as: Vec::new(),
            quirks,
        }
    }

    /// A server that keeps to the standard.
    #[cfg(test)]
    pub(super) fn standard() -> Self {
        Self::with(Quirks::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: &str, greeting: &str) -> Profile {
        Profile::of(host, greeting, &[], &Quirks::default())
    }

    #[test]
    fn a_server_is_known_by_any_of_its_names() {
        assert!(!of("imap.mail.me.com", "").uses_qresync);
        assert_eq!(of("imap.mail.yahoo.com", "").command_line_max_bytes, 1000);
        assert_eq!(of("outlook.office365.com", "").pipeline_max, 25);
        let courier = of("mail.example.org", "Courier-IMAP ready.");
        assert_eq!((courier.hides_appended, courier.known_as), (true, vec!["Courier"]));
        let id = [("name".to_owned(), "Zimbra".to_owned())];
        assert!(Profile::of("mail.example.org", "ready", &id, &Quirks::default()).unselects_first);
        assert_eq!(of("mail.example.org", "Dovecot ready."), Profile::standard());
    }

    #[test]
    fn what_a_person_says_of_a_server_counts_most() {
        let person = Quirks { qresync: Some(true), pipeline: Some(0), ..Quirks::default() };
        let profile = Profile::of("imap.mail.me.com", "", &[], &person);
        assert_eq!((profile.uses_qresync, profile.pipeline_max, profile.known_as), (true, 1, vec!["iCloud"]));
    }
}
