//! What becomes of one message or mailbox when both sides changed it: flags as observed-remove sets, places, the policy
//! table. Pure.

pub mod flags;
pub mod policy;

pub use flags::FlagReplicas;
pub use policy::ConflictKind;
