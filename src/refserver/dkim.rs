//! DKIM signatures on mail that leaves (RFC 6376): the key, the DNS record that goes with it, and the signature in front of
//! the bytes as they are sent.
//!
//! The key is the one given, or an RSA one made at first need and kept in the data folder: not every receiver knows
//! Ed25519 (RFC 8463). Signed is what goes over the wire, at each attempt anew; what is kept is not touched. Only what is
//! from our own domain by its From is signed, since a signature of another domain says nothing of that one (RFC 9989
//! section 4.4.1), and would make us answer for what our users pass on in others' names.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::{DkimKey, Ed25519Key, RsaKey};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::common::to_a_label;
use mail_auth::dkim::generate::DkimKeyPair;
use mail_auth::dkim::{DkimSigner, Done};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::author;
use crate::config::server::Dkim;
use crate::net::tls::write_private;
use crate::types::{ByteSource, limits};

/// RFC 8301 section 3.2: at least 2048.
const RSA_BITS: usize = 2048;

/// What is signed (RFC 6376 section 5.4.1); of these none can be added either. Not what mailing lists put in.
const FIELDS: [&str; 12] = [
    "From",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// SubjectPublicKeyInfo's algorithm: rsaEncryption with NULL (RFC 3279 section 2.3.1).
const RSA_ENCRYPTION: [u8; 15] = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];

/// Signs for our domain.
pub struct Signer {
    /// As it stands in DNS (RFC 8616 section 4).
    domain: String,
    signer: DkimSigner<DkimKey, Done>,
    record: Record,
}

/// What others need to check our signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `selector._domainkey.domain`
    pub name: String,
    pub value: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum DkimError {
    #[error("cannot use {}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("{} holds no private key for DKIM: an RSA or Ed25519 key in PEM is wanted", path.display())]
    Key { path: PathBuf },
    #[error("cannot make a DKIM key: {0}")]
    Make(mail_auth::Error),
}

impl Signer {
    /// The signer of `domain`; its key is made in `data` where none is given and none was made.
    pub fn open(dkim: &Dkim, domain: &str, data: &Path) -> Result<Self, DkimError> {
        let made = || data.join(format!("dkim-{}.pem", dkim.selector));
        let path = dkim.key.clone().unwrap_or_else(made);
        let pem = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && dkim.key.is_none() => make_key(&path)?,
            read => read.map_err(|cause| DkimError::File { path: path.clone(), cause })?,
        };
        let (key, value) = read_key(&pem).ok_or(DkimError::Key { path })?;
        let domain = to_a_label(domain).to_ascii_lowercase();
        let name = format!("{}._domainkey.{domain}", dkim.selector);
        let signer = DkimSigner::from_key(key).domain(&domain).selector(&dkim.selector).headers(FIELDS);
        Ok(Self { domain, signer, record: Record { name, value } })
    }

    /// The DNS record to publish.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// The message with a signature in front, if our domain is in its From.
    pub fn sign<'a>(&self, bytes: &'a mut dyn ByteSource) -> io::Result<Signed<'a>> {
        let is_ours = author::domains(&header_of(bytes)?).is_ok_and(|domains| domains.contains(&self.domain));
        let head = if is_ours { self.signature(bytes)? } else { Vec::new() };
        Ok(Signed { head, bytes })
    }

    fn signature(&self, bytes: &mut dyn ByteSource) -> io::Result<Vec<u8>> {
        let mut stream = self.signer.sign_streaming();
        let mut offset = 0;
        loop {
            let piece = bytes.read_at(offset, limits::CONTENT_CHUNK_BYTES)?;
            if piece.is_empty() {
                break;
            }
            stream.write(&piece);
            offset += piece.len() as u64;
        }
        let signature = stream.finish().map_err(io::Error::other)?;
        Ok(signature.to_header().into_bytes())
    }
}

/// The message up to the end of its header, as far as a header may reach.
fn header_of(bytes: &mut dyn ByteSource) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    while header.len() < limits::HEADER_MAX_BYTES {
        let piece = bytes.read_at(header.len() as u64, limits::CONTENT_CHUNK_BYTES)?;
        // An end may lie across two pieces.
        let from = header.len().saturating_sub(3);
        header.extend_from_slice(&piece);
        if piece.is_empty() || header[from..].windows(4).any(|end| end == b"\r\n\r\n") {
            break;
        }
    }
    Ok(header)
}

impl fmt::Display for Record {
    /// As it stands in a zone file: strings of at most 255 octets (RFC 1035 section 3.3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. IN TXT (", self.name)?;
        for piece in self.value.as_bytes().chunks(200) {
            write!(f, " \"{}\"", String::from_utf8_lossy(piece))?;
        }
        f.write_str(" )")
    }
}

/// A message behind its signature, if it has one.
pub struct Signed<'a> {
    head: Vec<u8>,
    bytes: &'a mut dyn ByteSource,
}

impl ByteSource for Signed<'_> {
    fn size(&self) -> u64 {
        self.head.len() as u64 + self.bytes.size()
    }

    fn read_at(&mut self, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        let head_bytes = self.head.len() as u64;
        match offset < head_bytes {
            true => self.head.read_at(offset, max),
            false => self.bytes.read_at(offset - head_bytes, max),
        }
    }
}

fn make_key(path: &Path) -> Result<Vec<u8>, DkimError> {
    let pair = DkimKeyPair::generate_rsa(RSA_BITS).map_err(DkimError::Make)?;
    let text = STANDARD.encode(pair.private_key());
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let pem = format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n", lines.join("\n"));
    write_private(path, pem.as_bytes()).map_err(|cause| DkimError::File { path: path.to_owned(), cause })?;
    Ok(pem.into_bytes())
}

/// The key, and the value of its record (RFC 6376 section 3.6.1, RFC 8463 section 4).
fn read_key(pem: &[u8]) -> Option<(DkimKey, String)> {
    let key = PrivateKeyDer::from_pem_slice(pem).ok()?;
    if let Ok(key) = RsaKey::from_key_der(key.clone_key()) {
        let value = format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(subject_public_key_info(&key.public_key())));
        return Some((DkimKey::Rsa(key), value));
    }
    let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(key.secret_der()).ok()?;
    let value = format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(key.public_key()));
    Some((DkimKey::Ed25519(key), value))
}

/// An RSA public key in the form that every verifier reads (RFC 5280 section 4.1).
fn subject_public_key_info(rsa_public_key: &[u8]) -> Vec<u8> {
    let bits = [&[0], rsa_public_key].concat();
    der(0x30, &[&RSA_ENCRYPTION[..], &der(3, &bits)].concat())
}

/// Tag, length, value; a length as DER wants it (X.690 section 10.1).
fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![tag];
    match length {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).expect("a usize has a handful of octets"));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"From: a@here.example\r\nSubject: x\r\n\r\nbody\r\n";

    #[test]
    fn a_key_is_made_once_and_what_it_signs_stands_in_front() {
        let folder = tempfile::tempdir().expect("a folder");
        let dkim = Dkim { selector: "s1".to_owned(), key: None };
        let open = || Signer::open(&dkim, "here.example", folder.path()).expect("a key");
        let (signer, again) = (open(), open());
        assert_eq!(signer.record(), again.record());
        let shown = signer.record().to_string();
        assert!(shown.starts_with("s1._domainkey.here.example. IN TXT ( \"v=DKIM1; k=rsa; p=MIIBIjANBgkq"), "{shown}");
        let mut message = MESSAGE.to_vec();
        let text = read(signer.sign(&mut message).expect("signed"));
        assert!(text.starts_with("DKIM-Signature: ") && text.ends_with("\r\n\r\nbody\r\n"), "{text}");
        for part in ["d=here.example", "s=s1", "a=rsa-sha256", "\r\nFrom: a@here.example\r\nSubject: x\r\n"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    fn read(mut signed: Signed<'_>) -> String {
        let mut all = Vec::new();
        while let Some(piece) = signed.read_at(all.len() as u64, 7).ok().filter(|piece| !piece.is_empty()) {
            all.extend(piece);
        }
        assert_eq!(all.len() as u64, signed.size());
        String::from_utf8(all).expect("ASCII")
    }

    #[test]
    fn only_what_is_from_our_domain_is_signed() {
        let folder = tempfile::tempdir().expect("a folder");
        let dkim = Dkim { selector: "s".to_owned(), key: None };
        let signer = Signer::open(&dkim, "B\u{fc}cher.example", folder.path()).expect("a key");
        assert_eq!(signer.record().name, "s._domainkey.xn--bcher-kva.example");
        let long = format!("X: {}\r\n", "x".repeat(limits::CONTENT_CHUNK_BYTES));
        for (header, is_signed) in [
            ("From: a@B\u{fc}cher.example\r\n", true),
            ("From: A <a@XN--Bcher-kva.example>\r\n", true),
            ("From: x@else.example, a@xn--bcher-kva.example\r\nSender: a@xn--bcher-kva.example\r\n", true),
            (&format!("{long}From: a@xn--bcher-kva.example\r\n"), true),
            ("From: x@else.example\r\nSender: a@xn--bcher-kva.example\r\n", false),
            ("From: x@else.example\r\nResent-From: a@xn--bcher-kva.example\r\n", false),
            ("From: x@sub.xn--bcher-kva.example\r\n", false),
            ("From: a@xn--bcher-kva.example\r\nFrom: x@else.example\r\n", false),
            ("Subject: from nobody\r\n", false),
            ("", false),
        ] {
            let message = format!("{header}\r\nFrom: a@xn--bcher-kva.example\r\n");
            let mut bytes = message.clone().into_bytes();
            let text = read(signer.sign(&mut bytes).expect("readable"));
            let signature = text.strip_suffix(&message).expect("the message itself stays as it is");
            assert_eq!(signature.contains("d=xn--bcher-kva.example;"), is_signed, "{header}: {signature}");
            assert_eq!(signature.is_empty(), !is_signed, "{header}: {signature}");
        }
    }

    #[test]
    fn a_key_that_is_given_is_used_or_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        let dkim = Dkim { selector: "s".to_owned(), key: Some(path.clone()) };
        let open = || Signer::open(&dkim, "x", folder.path());
        assert!(matches!(open(), Err(DkimError::File { .. })));
        std::fs::write(&path, "what").expect("writable");
        assert!(matches!(open(), Err(DkimError::Key { .. })));
        let pkcs8 = STANDARD.encode(Ed25519Key::generate_pkcs8().expect("a key"));
        std::fs::write(&path, format!("-----BEGIN PRIVATE KEY-----\n{pkcs8}\n-----END PRIVATE KEY-----\n")).expect("w");
        let value = open().expect("an Ed25519 key").record().value.clone();
        assert!(value.starts_with("v=DKIM1; k=ed25519; p=") && value.len() < 70, "{value}");
    }
}
