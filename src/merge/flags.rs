//! The flags of one message between two replicas: ours, and the upstream server's as far as it was seen.
//!
//! Both are observed-remove sets: what one side added while the other removed it stays, and a removal takes away only
//! what the remover had seen. An IMAP server carries no clocks, so it is modelled as an actor whose acts are inferred
//! by comparing what it shows with what it last showed (the base).
//!
//! Rules. A value is made of the journal when both sides are first seen to have changed flags of the message, and lives only
//! while something about them is unsettled; it is stored whole, in the transaction of each act from then on, because the
//! causal context is the value. Both replicas are always in the same value
//! and are stored and restored together, so a dot cannot be spent on both; the store's generation in the actor ids
//! keeps values of different incarnations of a store apart all the same. Encodings are not canonical: compare
//! [`FlagReplicas::value`], never bytes.

use crdts::{CmRDT, CvRDT, Orswot};
use serde::{Deserialize, Serialize};

use crate::types::{Flag, Flags};

/// A flag's place in [`FlagReplicas::names`]: sets of numbers are a third of the size of sets of names.
type FlagId = u32;
type Actor = u64;

/// The two replicas.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FlagReplicas {
    names: Vec<Flag>,
    local_actor: Actor,
    upstream_actor: Actor,
    local: Orswot<FlagId, Actor>,
    upstream: Orswot<FlagId, Actor>,
}

/// Stored bytes that are no [`FlagReplicas`].
#[derive(Debug, thiserror::Error)]
#[error("stored flag replicas cannot be read")]
pub struct Unreadable(#[from] postcard::Error);

impl FlagReplicas {
    /// Both replicas when nothing is unsettled yet: upstream has `base`, we have `here`. The two differ only by flags
    /// that the server cannot keep; those are ours alone.
    pub fn new(base: &Flags, here: &Flags, generation: i64) -> Self {
        let actor = generation.unsigned_abs().wrapping_mul(2);
        let mut replicas = Self {
            names: Vec::new(),
            local_actor: actor,
            upstream_actor: actor.wrapping_add(1),
            local: Orswot::new(),
            upstream: Orswot::new(),
        };
        for flag in base.iter() {
            let id = replicas.intern(flag);
            add(&mut replicas.upstream, id, replicas.upstream_actor);
        }
        replicas.local = replicas.upstream.clone();
        replicas.set_local(&here.difference(base), &base.difference(here));
        replicas
    }

    /// The user set `add` and unset `remove`. A flag in `add` that is set already is asserted: a removal upstream that
    /// has not been seen yet does not take it away.
    pub fn set_local(&mut self, add_flags: &Flags, remove: &Flags) {
        for flag in add_flags.iter() {
            let id = self.intern(flag);
            add(&mut self.local, id, self.local_actor);
        }
        for flag in remove.iter() {
            let id = self.intern(flag);
            take(&mut self.local, id);
        }
    }

    /// Upstream, last seen with `base`, now shows `now`.
    pub fn observe_upstream(&mut self, base: &Flags, now: &Flags) {
        for flag in now.difference(base).iter() {
            let id = self.intern(flag);
            add(&mut self.upstream, id, self.upstream_actor);
        }
        for flag in base.difference(now).iter() {
            let id = self.intern(flag);
            take(&mut self.upstream, id);
        }
        debug_assert!(self.local.validate_merge(&self.upstream).is_ok(), "a dot was spent twice");
        self.local.merge(self.upstream.clone());
    }

    /// The flags of the message: both sides' changes together.
    pub fn value(&self) -> Flags {
        self.local.read().val.into_iter().filter_map(|id| self.names.get(id as usize).cloned()).collect()
    }

    /// For the store.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("sets of numbers and short names can always be encoded")
    }

    /// What [`Self::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        Ok(postcard::from_bytes(bytes)?)
    }

    fn intern(&mut self, flag: Flag) -> FlagId {
        let place = self.names.iter().position(|known| *known == flag).unwrap_or_else(|| {
            self.names.push(flag);
            self.names.len() - 1
        });
        FlagId::try_from(place).expect("a message has fewer flags than a u32 counts")
    }
}

/// One dot an add, applied at once: two operations derived before the first is applied would share a dot, and the
/// second would be lost without a sign.
fn add(set: &mut Orswot<FlagId, Actor>, id: FlagId, actor: Actor) {
    let context = set.read_ctx().derive_add_ctx(actor);
    let op = set.add(id, context);
    set.apply(op);
}

/// Takes away what this replica has seen of the flag, no more.
fn take(set: &mut Orswot<FlagId, Actor>, id: FlagId) {
    let context = set.contains(&id).derive_rm_ctx();
    let op = set.rm(id, context);
    set.apply(op);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> Flags {
        text.split_whitespace().filter_map(Flag::parse).collect()
    }

    /// Each step goes through the bytes, as in the store.
    fn reloaded(replicas: &FlagReplicas) -> FlagReplicas {
        FlagReplicas::from_bytes(&replicas.to_bytes()).expect("own bytes")
    }

    #[test]
    fn both_sides_changes_are_united_and_a_concurrent_add_beats_a_remove() {
        // base; added and removed here; then what upstream shows; the flags that must come of it.
        let table = [
            ("\\Flagged \\Seen", "\\Seen", "\\Flagged", "\\Answered \\Flagged", "\\Answered \\Seen"),
            ("", "\\Seen", "", "\\Flagged", "\\Seen \\Flagged"),
            ("\\Seen", "", "\\Seen", "\\Seen \\Flagged", "\\Flagged"),
            ("\\Seen", "", "\\Seen", "", ""),
            ("work", "", "WORK", "work home", "home"),
            ("\\Seen", "\\Seen", "", "", "\\Seen"),
            ("", "", "", "\\Deleted", "\\Deleted"),
        ];
        for (base, added, removed, shown, wanted) in table {
            let mut replicas = FlagReplicas::new(&flags(base), &flags(base), 7);
            replicas.set_local(&flags(added), &flags(removed));
            let mut replicas = reloaded(&replicas);
            replicas.observe_upstream(&flags(base), &flags(shown));
            let replicas = reloaded(&replicas);
            assert_eq!(replicas.value(), flags(wanted), "{base:?} +{added:?} -{removed:?} | {shown:?}");
        }
    }

    #[test]
    fn a_removal_after_both_sides_agreed_is_a_removal() {
        let (none, seen) = (flags(""), flags("\\Seen"));
        let mut replicas = FlagReplicas::new(&none, &none, 1);
        replicas.set_local(&seen, &none);
        replicas.observe_upstream(&none, &seen);
        replicas.set_local(&none, &seen);
        let mut replicas = reloaded(&replicas);
        assert_eq!(replicas.value(), none);
        replicas.observe_upstream(&seen, &flags("\\Seen \\Draft"));
        assert_eq!(replicas.value(), flags("\\Draft"));
    }

    #[test]
    fn flags_the_server_cannot_keep_survive_what_it_shows() {
        let mut replicas = FlagReplicas::new(&flags("\\Seen"), &flags("\\Seen mine"), 1);
        replicas.observe_upstream(&flags("\\Seen"), &flags("\\Answered"));
        assert_eq!(replicas.value(), flags("\\Answered mine"));
    }

    #[test]
    fn foreign_bytes_are_an_error() {
        assert!(FlagReplicas::from_bytes(&[0xff; 40]).is_err());
    }
}
