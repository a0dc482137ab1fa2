//! SMTP as a client: submission for the agent, relay for refserver.
//!
//! [`SmtpSender`] connects (`conversation`, `login`) or takes a connection that was `kept`, and hands a message over
//! (`transaction`), to as many recipients at once as the server takes (`shares`). async-smtp writes commands and
//! frames replies, over a `wire` that keeps the replies whole and secrets out of its log. Its `send` is not used: it gives
//! one result for all recipients, and leaves replies unread when one is refused.

mod conversation;
mod kept;
mod login;
mod reply;
mod sender;
mod shares;
mod stuffing;
mod transaction;
mod wire;

pub use kept::Kept;
pub use login::Login;
pub use sender::SmtpSender;
