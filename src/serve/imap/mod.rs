//! The IMAP `Backend` over the store: [`MailBackend`] lets in, [`MailAccount`] is what one session of a user holds, and
//! `seam` answers the engine with it.

mod account;
mod backend;
mod seam;
mod upload;

pub use account::MailAccount;
pub use backend::MailBackend;
pub use upload::MailUpload;
