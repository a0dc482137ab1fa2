//! TLS as a client: rustls with ring, the system's trust roots, and one more where the configuration names it.
//!
//! The cryptography provider is named at construction, never taken from the process: two providers in one build would
//! make the implicit one panic.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use super::dial::{BoxedStream, DialError};

/// What is needed to begin TLS with any server. Cheap to clone; make one and keep it, since loading the system's roots
/// reads files.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

/// Why an extra trust root cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error("the extra trust root holds no PEM certificate")]
    NoCertificate,
    #[error("the extra trust root is not readable: {0}")]
    Unreadable(String),
}

impl ClientTls {
    /// Trusts the system's roots and those in `extra_ca`, the bytes of a PEM file.
    pub fn new(extra_ca: Option<&[u8]>) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::debug!(%error, "a system trust root is not readable");
        }
        roots.add_parsable_certificates(native.certs);
        if let Some(pem) = extra_ca {
            let before = roots.len();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| TrustError::Unreadable(error.to_string()))?;
                roots.add(certificate).map_err(|error| TrustError::Unreadable(error.to_string()))?;
            }
            if roots.len() == before {
                return Err(TrustError::NoCertificate);
            }
        }
        Ok(Self { config: Arc::new(builder().with_root_certificates(roots).with_no_client_auth()) })
    }

    /// Encrypts without knowing to whom: only for opportunistic TLS between mail exchangers, where the alternative is
    /// plain text (RFC 7435).
    pub fn unauthenticated() -> Self {
        let verifier = Arc::new(AnyCertificate(Arc::new(ring::default_provider())));
        let config = builder().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Self { config: Arc::new(config) }
    }

    /// The client's side of the handshake on `stream`.
    pub async fn handshake(&self, host: &str, stream: BoxedStream) -> Result<BoxedStream, DialError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| DialError::Insecure(format!("{host:?} cannot stand in a certificate")))?;
        match TlsConnector::from(self.config.clone()).connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(handshake_error(&error)),
        }
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring offers the cipher suites of TLS 1.2 and 1.3")
}

/// What TLS itself found wrong is never to be retried in plain text; a broken line is the weather's.
fn handshake_error(error: &io::Error) -> DialError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(_)) => {
            DialError::Insecure("what the server sends is not TLS: is it the right port?".to_owned())
        }
        Some(error) => DialError::Insecure(error.to_string()),
        None => DialError::Unreachable(format!("TLS handshake: {error}")),
    }
}

/// Takes any certificate, but still has the server prove that it holds the key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extra_root_that_is_no_certificate_is_refused() {
        assert_eq!(ClientTls::new(Some(b"")).err(), Some(TrustError::NoCertificate));
        assert_eq!(ClientTls::new(Some(b"no PEM at all")).err(), Some(TrustError::NoCertificate));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(ClientTls::new(Some(broken)), Err(TrustError::Unreadable(_))));
    }
}
