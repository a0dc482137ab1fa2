//! The server's side of TLS: rustls on ring, a certificate from PEM files or made at first start.
//!
//! The provider is always named: with two providers compiled in, the process default would panic at run time.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {cause}", path.display())]
    Read { path: PathBuf, cause: rustls::pki_types::pem::Error },
    #[error("{} holds no certificate", path.display())]
    Empty { path: PathBuf },
    #[error("the certificate {} and the key {} do not serve: {cause}", certificate.display(), key.display())]
    Unusable { certificate: PathBuf, key: PathBuf, cause: rustls::Error },
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("cannot keep the new certificate in {}: {cause}", folder.display())]
    Keep { folder: PathBuf, cause: io::Error },
}

/// A server's certificate chain and key, on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// What clients trust to trust the certificate; known only where it was made here.
    pub authority: Option<PathBuf>,
}

impl Identity {
    /// The identity kept in `folder`; made for `names` (host names and addresses) if there is none yet.
    ///
    /// The chain is a small authority and one server certificate. The authority's key is never written: trusting
    /// the authority trusts this one certificate and nothing that could be made later.
    pub fn in_folder(folder: &Path, names: &[String]) -> Result<Self, TlsError> {
        let identity = Self {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            authority: Some(folder.join("ca.pem")),
        };
        if !(identity.certificate.exists() && identity.key.exists()) {
            make(&identity, folder, names)?;
        }
        Ok(identity)
    }

    /// What listeners need.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let read = |path: &Path, cause| TlsError::Read { path: path.to_owned(), cause };
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|cause| read(&self.certificate, cause))?;
        if chain.is_empty() {
            return Err(TlsError::Empty { path: self.certificate.clone() });
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|cause| read(&self.key, cause))?;
        let unusable =
            |cause| TlsError::Unusable { certificate: self.certificate.clone(), key: self.key.clone(), cause };
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn make(identity: &Identity, folder: &Path, names: &[String]) -> Result<(), TlsError> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "Mailtide local authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut server = CertificateParams::new(names.to_vec())?;
    server.distinguished_name.push(DnType::CommonName, names.first().map_or("localhost", String::as_str));
    server.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &authority)?;

    let keep = |cause| TlsError::Keep { folder: folder.to_owned(), cause };
    let chain = format!("{}{}", certificate.pem(), authority.pem());
    if let Some(path) = &identity.authority {
        write_private(path, authority.pem().as_bytes()).map_err(keep)?;
    }
    write_private(&identity.certificate, chain.as_bytes()).map_err(keep)?;
    // The key last: an identity is complete once its key is there.
    write_private(&identity.key, key.serialize_pem().as_bytes()).map_err(keep)
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_identity_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let identity = Identity::in_folder(folder.path(), &names).expect("an identity");
        identity.acceptor().expect("a usable identity");
        let first = fs::read(&identity.certificate).expect("the certificate");
        let again = Identity::in_folder(folder.path(), &names).expect("the same identity");
        assert_eq!(fs::read(&again.certificate).expect("the certificate"), first);
        let mode = fs::metadata(&identity.key).expect("the key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let names = ["localhost".to_owned()];
        let one = Identity::in_folder(folder.path(), &names).expect("an identity");
        let other_folder = tempfile::tempdir().expect("a temporary folder");
        let other = Identity::in_folder(other_folder.path(), &names).expect("an identity");
        let mixed = Identity { key: other.key, ..one };
        assert!(matches!(mixed.acceptor(), Err(TlsError::Unusable { .. })));
    }
}
