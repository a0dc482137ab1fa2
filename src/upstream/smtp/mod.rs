//! SMTP as a client: submission for the agent, relay for refserver.

mod sender;

pub use sender::{Login, SmtpSender};
