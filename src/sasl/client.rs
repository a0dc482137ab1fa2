//! The client's side: what is sent upstream.

use super::Credentials;

/// The one message of PLAIN (RFC 4616 section 2), before base64.
pub fn plain(credentials: &Credentials) -> Vec<u8> {
    let authzid = credentials.authorize_as.as_deref().unwrap_or_default();
    [authzid, &credentials.user, credentials.password.expose()].join("\0").into_bytes()
}
