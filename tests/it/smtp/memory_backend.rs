//! A mail server in memory behind the SMTP session's seam.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mailtide::sasl::Credentials;
use mailtide::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use mailtide::smtp::command::{MailFrom, RcptTo};
use mailtide::smtp::reply::Refusal;
use mailtide::smtp::server::backend::{Backend, Envelope, LoginError, Taken, Upload};
use mailtide::smtp::server::{Config, Role, Session, Tls};
use mailtide::smtp::trace::Trace;
use mailtide::types::{Timestamp, TlsFacts};

use crate::imap::memory_backend::scram_keys;

/// What happened, a line each.
pub type Log = Arc<Mutex<Vec<String>>>;

/// Knows user `alice` with password `secret`; takes mail for alice@here, as a submission for anyone.
pub struct Memory {
    log: Log,
    mx: bool,
    scram: bool,
    tokens: bool,
    vrfy: bool,
    fail: Option<String>,
}

pub struct MemoryUpload {
    log: Log,
    header: String,
    bytes: Vec<u8>,
    fail: Option<String>,
}

impl Backend for Memory {
    type Upload = MemoryUpload;

    fn login(&mut self, credentials: &Credentials) -> Result<String, LoginError> {
        match credentials.user.as_str() {
            "alice" if credentials.password.matches("secret") => Ok("alice".to_owned()),
            "down" => Err(LoginError::Unavailable),
            _ => Err(LoginError::Refused),
        }
    }

    fn offers_tokens(&self) -> bool {
        self.tokens
    }

    fn login_token(&mut self, credentials: &Credentials) -> Result<String, LoginError> {
        match credentials.password.matches("a-token") {
            true => Ok(credentials.user.clone()),
            false => Err(LoginError::Refused),
        }
    }

    fn offers_scram(&self) -> bool {
        self.scram
    }

    fn scram_keys(&mut self, user: &str, hash: ScramHash) -> ScramKeys {
        scram_keys(user, hash)
    }

    fn login_proved(&mut self, proved: &ScramProved) -> Result<String, LoginError> {
        match proved.authorize_as {
            None => Ok(proved.user.clone()),
            Some(_) => Err(LoginError::Refused),
        }
    }

    fn forget_login(&mut self) {}

    fn sender(&mut self, _: &Trace, from: &MailFrom) -> Result<(), Refusal> {
        match from.address.as_ref().map(|address| address.local_part()).as_deref() {
            Some("mallory") => Err(Refusal::permanent(553, "5.7.1", "That address is not yours")),
            _ => Ok(()),
        }
    }

    fn recipient(&mut self, _: &Trace, _: &MailFrom, to: &RcptTo) -> Result<(), Refusal> {
        match (to.address.domain(), to.address.local_part().as_str()) {
            (_, "busy") => Err(Refusal::local_trouble()),
            (None, _) | (Some("here"), "alice" | "bob") => Ok(()),
            (Some("here"), _) => Err(Refusal::no_such_user()),
            _ if self.mx => Err(Refusal::relaying()),
            _ => Ok(()),
        }
    }

    fn mailboxes(&mut self, name: &str) -> Option<Vec<String>> {
        let mailboxes: &[&str] = match name {
            "alice" => &["alice@here"],
            "both" => &["alice@here", "bob@here"],
            _ => &[],
        };
        self.vrfy.then(|| mailboxes.iter().map(|mailbox| (*mailbox).to_owned()).collect())
    }

    fn begin(&mut self, trace: &Trace, envelope: &Envelope, _: Timestamp) -> Result<MemoryUpload, Refusal> {
        if self.fail.as_deref() == Some("begin") {
            return Err(Refusal::no_room());
        }
        let MailFrom { address, size, eight_bit, smtp_utf8, ret, envid, hold } = &envelope.from;
        let from = address.as_ref().map(|address| address.as_str()).unwrap_or_default();
        let mut header = format!("{} from <{from}>", trace.protocol());
        for (name, value) in [
            ("size", size.map(|size| size.to_string())),
            ("8bit", eight_bit.then(String::new)),
            ("utf8", smtp_utf8.then(String::new)),
            ("ret", ret.map(|ret| ret.as_str().to_owned())),
            ("envid", envid.clone()),
            ("hold", hold.map(|hold| format!("{hold:?}"))),
        ] {
            header += &value
                .map(|value| format!(" {name}{}{value}", if value.is_empty() { "" } else { "=" }))
                .unwrap_or_default();
        }
        for to in &envelope.to {
            header += &format!(" to <{}>", to.address);
            header += &to.notify.as_ref().map(|notify| format!(" notify={notify}")).unwrap_or_default();
            header += &to.orcpt.as_ref().map(|orcpt| format!(" orcpt={orcpt}")).unwrap_or_default();
        }
        Ok(MemoryUpload { log: Arc::clone(&self.log), header, bytes: Vec::new(), fail: self.fail.clone() })
    }

    fn answer_seen(&mut self) {}
}

impl Upload for MemoryUpload {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.bytes.extend_from_slice(bytes);
        if self.fail.as_deref() == Some("write") { Err(Refusal::no_room()) } else { Ok(()) }
    }

    fn finish(self, _: Timestamp) -> Result<Taken, Refusal> {
        if self.fail.as_deref() == Some("finish") {
            return Err(Refusal::local_trouble());
        }
        let mut log = self.log.lock().expect("no panic holds it");
        log.push(self.header.clone());
        log.push(format!("bytes {:?}", String::from_utf8_lossy(&self.bytes)));
        Ok(Taken::by_all(format!("m{}", log.len() / 2)))
    }
}

/// Settings: role (mx, submission, anonymous), tls (active, offered), plaintext-auth (yes), scram (yes), tokens (yes), vrfy (yes), tarpit-ms, max-bytes, fail.
pub fn session(settings: &BTreeMap<String, String>) -> (Session<Memory>, Log) {
    let setting = |name: &str| settings.get(name).map(String::as_str);
    let log = Log::default();
    let role = match setting("role") {
        Some("submission") => Role::Submission { anonymous: false },
        Some("anonymous") => Role::Submission { anonymous: true },
        Some("lmtp") => Role::Lmtp,
        _ => Role::Mx,
    };
    let config = Config {
        hostname: "mx.here".to_owned(),
        peer: "192.0.2.1".to_owned(),
        role,
        tls: match setting("tls") {
            Some("active") => Tls::Active(TlsFacts::default()),
            Some("offered") => Tls::Offered,
            _ => Tls::Absent,
        },
        plaintext_auth: setting("plaintext-auth") == Some("yes"),
        scram_nonce: Some("3rfcNHYJY1ZVvWVs7j".to_owned()),
        message_max_bytes: setting("max-bytes").map_or(1_000_000, |text| text.parse().expect("a number")),
        hold_max_seconds: setting("hold").map_or(0, |text| text.parse().expect("a number")),
        tarpit_ms: setting("tarpit-ms").map_or(0, |text| text.parse().expect("a number")),
        greet_delay_ms: setting("greet-delay-ms").map_or(0, |text| text.parse().expect("a number")),
    };
    let backend = Memory {
        log: Arc::clone(&log),
        mx: matches!(role, Role::Mx | Role::Lmtp),
        scram: setting("scram") == Some("yes"),
        tokens: setting("tokens") == Some("yes"),
        vrfy: setting("vrfy") == Some("yes"),
        fail: setting("fail").map(str::to_owned),
    };
    (Session::new(backend, config), log)
}
