//! Taking mail from a POP3 maildrop into INBOX, and deleting there what is not to stay. What the user does with a message
//! from then on the server never hears of.
//!
//! Rules:
//!
//! - Nothing is deleted there but what this visit itself saw to be a message whose bytes are safe here: its header, or all
//!   of it, was read again. A unique id alone is a name that servers give to others too (RFC 1939 section 7).
//! - That a message is to be deleted is durable before the server is told. Whether it was, only a later listing tells:
//!   the answers to DELE and QUIT may be lost, and are never needed.
//! - A message known already under another unique id, or under none, is that message: its bytes are looked at
//!   ([`matching`]). Equal bytes listed twice are two messages.
//! - A message that the server does not give waits; the others go on.
//! - Of a message that the configuration leaves out the header is taken (TOP, RFC 1939 section 7), and the rest when somebody
//!   wants it ([`fill`]), or before the message is to go from the server ([`bodies`]). Where the server does not know TOP all
//!   messages are taken whole.

mod bodies;
pub mod engine;
mod fill;
mod imprint;
mod intake;
pub mod matching;
pub mod seam;

pub use engine::MaildropEngine;
pub use fill::Counter;
pub use imprint::{Imprint, Imprinter};
