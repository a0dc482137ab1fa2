//! Deliberate defects, for the proof that the simulator's checks can fail. They exist only in builds with the feature
//! `mutants`, which the package's own tests switch on; elsewhere `mutant!` is `false` and nothing of it is left.
//!
//! At the place of a defect stands `if mutant!(Name) { what would be wrong }`. A simulated world runs on one thread, and
//! so does its defect.

/// Whether that defect is switched on.
macro_rules! mutant {
    ($name:ident) => {{
        #[cfg(feature = "mutants")]
        let is_on = $crate::types::mutant::is_on($crate::types::mutant::Mutant::$name);
        #[cfg(not(feature = "mutants"))]
        let is_on = false;
        is_on
    }};
}

pub(crate) use mutant;

#[cfg(feature = "mutants")]
mod switch {
    use std::cell::Cell;

    macro_rules! mutants {
        ($(#[doc = $what:literal] $name:ident,)*) => {
            /// A deliberate defect.
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum Mutant {
                $(#[doc = $what] $name,)*
            }

            impl Mutant {
                /// All of them.
                pub const ALL: &'static [Self] = &[$(Self::$name),*];

                /// What is wrong.
                pub const fn what(self) -> &'static str {
                    match self {
                        $(Self::$name => $what,)*
                    }
                }
            }
        };
    }

    mutants! {
        /// APPEND, COPY and MOVE are sent without evidence
        NoEvidence,
        /// a lost answer to APPEND counts as done
        LostIsDone,
        /// after a lost answer everything counts as done
        AssumedDone,
        /// after a lost answer everything counts as not done
        AssumedNotDone,
        /// what was in flight is found out after the pull, not before it
        RecoveredLate,
        /// the outcome of an APPEND is not recorded
        AppendedTwice,
        /// an entry goes when its answer was lost
        EntryDropped,
        /// the mod-sequence cursor moves one too far
        CursorTooFar,
        /// the number of messages is not held against EXISTS
        CountNotChecked,
        /// a mailbox that cannot be opened counts as empty
        RefusedIsGone,
        /// Message-ID alone is identity
        MessageIdIsIdentity,
        /// a move without MOVE expunges the source before it copies
        ExpungedBeforeCopied,
        /// without UIDPLUS everything that has \Deleted is expunged
        OthersExpunged,
        /// upstream's flags replace the user's
        UpstreamFlagsWin,
        /// an expunge by the user is not journalled
        NotJournalled,
        /// the user is answered before the commit is on disk
        AnsweredBeforeSync,
        /// a mail client is shown what is not on disk yet
        ShownBeforeSync,
        /// the commit is on disk before the bytes it refers to
        BytesNotSynced,
        /// at opening, bytes that are found whole are not synced before that is noted
        HealedNotSynced,
        /// at opening, all bytes are noted as synced before those that are not there are forgotten
        NotedBeforeForgotten,
        /// a UID is given out again once its message is gone
        UidGivenAgain,
        /// EXPUNGE is told at the end of FETCH, STORE and SEARCH
        ExpungeToldAnytime,
        /// a message that went is not told
        ExpungeNotTold,
        /// a copy comes without its flags
        CopyWithoutFlags,
        /// a marker header is put into what arrives
        MarkerHeader,
        /// a message whose connection was lost counts as sent
        LostIsSent,
        /// what became of an attempt to send is not recorded
        AttemptForgotten,
        /// a copy in Sent is noted and not made
        CopyNotFiled,
        /// it is tried again without waiting
        NoBackOff,
        /// what became of what was sent is looked for while the server may still do it
        LooksAtOnce,
        /// a maildrop is left before what was taken from it is on disk
        MaildropNotSynced,
        /// a message that a maildrop has under another unique id is taken for another
        UniqueIdIsIdentity,
        /// a message of which only the header is here counts as taken when a maildrop is emptied
        HeaderIsAll,
    }

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Is it switched on, on this thread?
    pub fn is_on(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }

    /// Switches one on, or none, on this thread.
    pub fn switch(mutant: Option<Mutant>) {
        ON.set(mutant);
    }
}

#[cfg(feature = "mutants")]
pub use switch::{Mutant, is_on, switch};
