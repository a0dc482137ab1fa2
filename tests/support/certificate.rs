//! Self-signed certificates for loopback addresses.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, SanType, date_time_ymd};

/// Files in PEM.
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// When it is valid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Now,
    Expired,
}

/// A certificate for `name` (an address or a host name) in `folder`.
pub fn make(folder: &Path, name: &str, validity: Validity) -> Certificate {
    make_for(folder, &[name], validity)
}

/// The same for several names.
pub fn make_for(folder: &Path, names: &[&str], validity: Validity) -> Certificate {
    let mut params = CertificateParams::new(Vec::new()).expect("no names yet");
    let name = |name: &&str| match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName((*name).try_into().expect("an ASCII host name")),
    };
    params.subject_alt_names = names.iter().map(name).collect();
    (params.not_before, params.not_after) = match validity {
        Validity::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1)),
        Validity::Expired => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
    };
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let files = Certificate { chain: folder.join("cert.pem"), key: folder.join("key.pem") };
    std::fs::write(&files.chain, certificate.pem()).expect("a writable folder");
    std::fs::write(&files.key, key.serialize_pem()).expect("a writable folder");
    files
}
