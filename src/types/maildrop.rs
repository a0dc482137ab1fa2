//! What becomes of mail in a maildrop once it is here.

/// How long messages stay on a POP3 server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Nothing is ever removed there.
    #[default]
    Always,
    /// Until the user deletes the message here.
    UntilDeleted,
    /// So many days from when it was taken.
    Days(u16),
    /// It is removed as soon as it is safe here.
    Never,
}
