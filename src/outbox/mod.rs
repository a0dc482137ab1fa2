//! Outgoing mail: what to send next and when (pure), and the engine that has it sent (DESIGN section 6).

pub mod sender;
