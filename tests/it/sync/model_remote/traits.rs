//! What a server can do, and how it misbehaves.

use mailtide::sync::remote::Facts;
use mailtide::types::{Flag, Flags, SystemFlag};

/// What the server can do and how it misbehaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traits {
    pub facts: Facts,
    pub tells_uid_next: bool,
    pub status_with_list: bool,
    pub permanent: Flags,
    pub any_keyword: bool,
    /// Where a message is one thing: what the server says of one that is put where it is.
    pub onto: Onto,
    /// How several messages are appended.
    pub appends: Appends,
}

/// How several messages are appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appends {
    /// One after the other; each is told of at once.
    Each,
    /// One after the other, and nothing is told of any before the last is there.
    Unheard,
    /// All of them or none (RFC 3502).
    AsOne,
}

/// What COPYUID tells of a message that was there before (nobody knows of all servers which it is).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onto {
    /// The UID that it has.
    Same,
    /// Another UID, which it has from then on.
    Anew,
    /// Nothing.
    Untold,
}

/// When the line is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Never,
    /// The n-th call does not reach the server.
    Before(usize),
    /// The n-th call is done, its answer lost; a FETCH brings half of its messages.
    After(usize),
}

impl Traits {
    /// Everything that the engine can make use of.
    pub fn modern() -> Self {
        let facts = Facts {
            uid_plus: true,
            r#move: true,
            cond_store: true,
            qresync: true,
            notify: false,
            idle: true,
            special_use: true,
            object_id: false,
            labels: false,
            unselect: true,
            outlines: true,
            append_limit_bytes: None,
        };
        let permanent = SystemFlag::ALL.into_iter().map(Flag::from).collect();
        Self {
            facts,
            tells_uid_next: true,
            status_with_list: true,
            permanent,
            any_keyword: true,
            onto: Onto::Same,
            appends: Appends::Each,
        }
    }

    /// Gmail: mailboxes are labels, and `All` has every message that is not in `Trash`.
    pub fn labels(onto: Onto) -> Self {
        let mut traits = Self { onto, ..Self::modern() };
        (traits.facts.labels, traits.facts.object_id, traits.facts.qresync) = (true, true, false);
        traits
    }

    /// CONDSTORE and UIDPLUS, no more.
    pub fn middling() -> Self {
        let mut traits = Self::modern();
        traits.facts.qresync = false;
        traits.facts.r#move = false;
        traits.status_with_list = false;
        traits
    }

    /// RFC 3501 and nothing else.
    pub fn plain() -> Self {
        let mut traits = Self::middling();
        traits.facts.uid_plus = false;
        traits.facts.cond_store = false;
        traits
    }

    pub fn all() -> [Self; 3] {
        [Self::modern(), Self::middling(), Self::plain()]
    }
}
