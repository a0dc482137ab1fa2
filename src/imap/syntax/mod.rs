//! The IMAP grammar, server side, both directions: commands parsed, responses written (RFC 3501 section 9).
//!
//! - [`parser`]: the cursor and the rules every command shares; [`sequence`], [`acl`], [`append`], [`fetch`], [`search`],
//!   [`sort`], [`filter`], [`notify`], [`mailbox`], [`session`]: the arguments of single commands, as more functions of that cursor.
//! - [`quote`], [`utf7`], [`url`]: strings, mailbox names and URLs as they stand on the wire.
//! - [`code`], [`body`]: response codes; ENVELOPE and BODYSTRUCTURE. [`deflate`]: COMPRESS, both directions.

pub mod acl;
pub mod append;
pub mod body;
pub mod code;
pub mod deflate;
pub mod fetch;
pub mod filter;
pub mod mailbox;
pub mod metadata;
pub mod notify;
pub mod parser;
pub mod quote;
pub mod search;
pub mod sequence;
pub mod session;
pub mod sort;
pub mod url;
pub mod utf7;

pub use parser::{MailboxArgument, ParseError, Parser};
pub use quote::NameForm;
