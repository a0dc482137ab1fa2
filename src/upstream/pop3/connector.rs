//! Opens the maildrop of one account.

use super::login::{self, Opened};
use super::remote::Pop3Remote;
use crate::sync::maildrop::seam::OpenMaildrop;
use crate::sync::remote::RemoteError;
use crate::types::{Secret, SecretKind};
use crate::upstream::dial::{self, Dial, Endpoint, Tcp, Timeouts};
use crate::upstream::tls::ClientTls;

/// One maildrop: where it is and how to log in. A value; each visit is made from it anew.
#[derive(Debug, Clone)]
pub struct Pop3Connector<D = Tcp> {
    pub dial: D,
    pub endpoint: Endpoint,
    pub tls: ClientTls,
    pub user: String,
    pub password: Secret,
    /// What the password is.
    pub kind: SecretKind,
    pub timeouts: Timeouts,
    /// Tells random text; without it there is no SASL.
    pub nonce: fn() -> Option<String>,
}

impl<D: Dial> OpenMaildrop for Pop3Connector<D> {
    type Maildrop = Pop3Remote;

    async fn open(&self) -> Result<Pop3Remote, RemoteError> {
        let Self { dial, endpoint, tls, timeouts, .. } = self;
        let stream = dial::open(dial, endpoint, tls, *timeouts).await;
        let stream = stream.map_err(|error| login::dial_error(endpoint, error))?;
        let Opened { wire, capabilities } = login::open(stream, self).await?;
        tracing::debug!(host = %endpoint.host, ?capabilities, "the maildrop is open");
        Ok(Pop3Remote::new(wire, capabilities))
    }
}
