//! What a server can do: what it names, and what of that is used.

use std::collections::BTreeSet;

use super::command::NonSync;
use super::profile::Profile;
use crate::sync::remote::Facts;

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

/// What the rest of the program may know. `enabled`: what ENABLE switched on (RFC 5161); a server that names QRESYNC and
/// does not confirm it has none (QUIRKS.md rows 3 and 24).
pub(super) fn facts(capabilities: &Capabilities, enabled: &Capabilities, profile: &Profile) -> Facts {
    let qresync = enabled.has("QRESYNC") && profile.uses_qresync;
    Facts {
        uid_plus: capabilities.has("UIDPLUS"),
        r#move: capabilities.has("MOVE") && profile.uses_move,
        cond_store: qresync || (capabilities.has("CONDSTORE") && profile.uses_condstore),
        qresync,
        idle: capabilities.has("IDLE") && profile.uses_idle,
        notify: capabilities.has("NOTIFY") && profile.uses_notify,
        unselect: capabilities.has("UNSELECT"),
        special_use: capabilities.has("SPECIAL-USE"),
        object_id: capabilities.has("OBJECTID") || capabilities.has("X-GM-EXT-1"),
        labels: capabilities.has("X-GM-EXT-1") || profile.has_labels,
        outlines: true,
        append_limit_bytes: capabilities.value("APPENDLIMIT").and_then(|limit| limit.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Quirks;

    fn words(text: &str) -> Capabilities {
        Capabilities::new(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn qresync_counts_only_when_it_was_enabled() {
        let offered = words("IMAP4rev1 QRESYNC CONDSTORE appendlimit=35651584 Literal+");
        let profile = Profile::standard();
        assert!(!facts(&offered, &words(""), &profile).qresync);
        assert!(facts(&offered, &words("qresync"), &profile).qresync);
        assert_eq!(facts(&offered, &words(""), &profile).append_limit_bytes, Some(35_651_584));
        assert_eq!(offered.non_sync(), NonSync::All);
    }

    #[test]
    fn what_is_not_to_be_used_is_not_there() {
        let offered = words("QRESYNC CONDSTORE MOVE IDLE");
        let no = Some(false);
        let quirks = Quirks { qresync: no, condstore: no, r#move: no, idle: no, ..Quirks::default() };
        let nothing = Facts { outlines: true, ..Facts::default() };
        assert_eq!(facts(&offered, &words("qresync"), &Profile::with(quirks)), nothing);
    }
}
