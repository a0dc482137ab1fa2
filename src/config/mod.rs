//! The configuration as typed values: text in, [`Config`] or [`ServerConfig`] out. Pure: whoever reads files, makes
//! paths and runs password commands is a root.
//!
//! Rules: nothing is ignored (an unknown key, a wrong type, an option this version does not have is an error); every
//! error has its file, line and column and says what is accepted instead; no error shows the text of a value that may
//! be a password.
//!
//! - [`value`]: the types of single values, each with its own "expected ..".
//! - [`agent`]: `config.toml` of syncd. [`server`]: `--config` of refserver.
//! - [`mailboxes`]: what it says of mailboxes. [`error`]: what is wrong, and where.

pub mod agent;
pub mod error;
pub mod mailboxes;
pub mod server;
pub mod value;

pub use agent::{Account, Config, Incoming, Local, Server};
pub use error::{ConfigError, Problem};
pub use server::ServerConfig;
pub use value::{Credential, TlsIdentity, TlsMode};
