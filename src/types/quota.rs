//! How much of something may be kept on a server, and how much is (RFC 9208).

/// One resource of one quota root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaUse {
    /// As the server calls it; often empty.
    pub root: String,
    /// `STORAGE`, `MESSAGE`, or another, in upper case.
    pub resource: String,
    /// Of storage in bytes, which the wire counts in units of 1,024 (section 5.1); else how many.
    pub used: u64,
    pub limit: u64,
}

impl QuotaUse {
    /// Storage, counted in bytes.
    pub const STORAGE: &'static str = "STORAGE";
}
