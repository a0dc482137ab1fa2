//! The IMAP grammar, server side, both directions: commands parsed, responses written (RFC 3501 section 9).

pub mod quote;
pub mod utf7;
