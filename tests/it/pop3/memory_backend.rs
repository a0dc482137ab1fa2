//! A maildrop in memory behind the POP3 session's seam.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mailtide::message::octets::Meter;
use mailtide::pop3::server::backend::{Backend, Error, Expiry, LoginError, Maildrop, Message};
use mailtide::pop3::server::{Config, Session, Tls};
use mailtide::sasl::Credentials;
use mailtide::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use mailtide::types::Timestamp;

use crate::imap::memory_backend::scram_keys;

/// What happened, a line each.
pub type Log = Arc<Mutex<Vec<String>>>;

/// Knows user `alice` with password `secret`.
pub struct Memory {
    log: Log,
    messages: Vec<String>,
    scram: bool,
    tokens: bool,
    expiry: Expiry,
    expires_days: Option<u32>,
    fail: Option<String>,
}

pub struct MemoryMaildrop {
    log: Log,
    messages: Vec<String>,
    listing: Vec<Message>,
    expires_days: Option<u32>,
    fail: Option<String>,
}

impl Backend for Memory {
    type Maildrop = MemoryMaildrop;

    fn login(&mut self, credentials: &Credentials, _: Timestamp) -> Result<MemoryMaildrop, LoginError> {
        match credentials.user.as_str() {
            "busy" => return Err(LoginError::InUse),
            "hasty" => return Err(LoginError::TooSoon),
            "down" => return Err(LoginError::Unavailable),
            "alice" if credentials.password.matches("secret") => {}
            _ => return Err(LoginError::Refused),
        }
        Ok(self.open())
    }

    fn expiry(&self) -> Expiry {
        self.expiry
    }

    fn offers_tokens(&self) -> bool {
        self.tokens
    }

    fn login_token(&mut self, credentials: &Credentials, _: Timestamp) -> Result<MemoryMaildrop, LoginError> {
        match credentials.password.matches("a-token") {
            true => Ok(self.open()),
            false => Err(LoginError::Refused),
        }
    }

    fn offers_scram(&self) -> bool {
        self.scram
    }

    fn scram_keys(&mut self, user: &str, hash: ScramHash) -> ScramKeys {
        scram_keys(user, hash)
    }

    fn login_proved(&mut self, proved: &ScramProved, _: Timestamp) -> Result<MemoryMaildrop, LoginError> {
        match proved.authorize_as {
            None => Ok(self.open()),
            Some(_) => Err(LoginError::Refused),
        }
    }
}

impl Memory {
    fn open(&self) -> MemoryMaildrop {
        let listing = |(place, text): (usize, &String)| Message {
            unique_id: format!("7.{}", place + 1),
            octets: Meter::measure(text.as_bytes()).of(text.len() as u64),
        };
        MemoryMaildrop {
            log: Arc::clone(&self.log),
            listing: self.messages.iter().enumerate().map(listing).collect(),
            messages: self.messages.clone(),
            expires_days: self.expires_days,
            fail: self.fail.clone(),
        }
    }
}

impl Maildrop for MemoryMaildrop {
    fn messages(&self) -> &[Message] {
        &self.listing
    }

    fn expires_days(&self) -> Option<u32> {
        self.expires_days
    }

    fn read(&mut self, place: usize, offset: u64, max: usize) -> Result<Vec<u8>, Error> {
        let text = self.messages[place].as_bytes();
        let broken = || Error::Failed(Box::new(std::io::Error::other("broken")));
        match (text, self.fail.as_deref()) {
            (b"", _) => Err(broken()),
            (_, Some("read")) if offset > 0 => Err(broken()),
            _ => Ok(text.iter().copied().skip(offset as usize).take(max.min(6)).collect()),
        }
    }

    fn delete(self, places: &[usize], _: Timestamp) -> Result<(), Error> {
        if self.fail.as_deref() == Some("delete") {
            return Err(Error::Failed(Box::new(std::io::Error::other("broken"))));
        }
        self.log.lock().expect("no panic holds it").push(format!("deleted {places:?}"));
        Ok(())
    }
}

/// Settings: tls (active, offered), plaintext-auth (yes), scram (yes), tokens (yes), expire-days, expire-least-days, fail, utf8-header (yes: one message with such a
/// header). Else the last of the four messages cannot be read.
pub fn session(settings: &BTreeMap<String, String>) -> (Session<Memory>, Log) {
    let setting = |name: &str| settings.get(name).map(String::as_str);
    let number = |name: &str| setting(name).map(|text| text.parse::<u32>().expect("a number"));
    let log = Log::default();
    let tls = match setting("tls") {
        Some("active") => Tls::Active,
        Some("offered") => Tls::Offered,
        _ => Tls::Absent,
    };
    let messages = ["A: 1\r\n\r\none\r\n", "A: 2\r\n\r\n.dot\r\n..\r\n.\r\nno end", "A: 3\n\nbare\n.\nfeeds\n", ""];
    let messages = match setting("utf8-header") {
        Some("yes") => vec!["Subject: Grüße\r\n\r\nKörper\r\n".to_owned()],
        _ => messages.map(str::to_owned).to_vec(),
    };
    let backend = Memory {
        log: Arc::clone(&log),
        messages,
        scram: setting("scram") == Some("yes"),
        tokens: setting("tokens") == Some("yes"),
        expiry: Expiry { least_days: number("expire-least-days"), differs: true },
        expires_days: number("expire-days"),
        fail: setting("fail").map(str::to_owned),
    };
    let login_delay_seconds = number("login-delay").unwrap_or_default();
    let plaintext_auth = setting("plaintext-auth") == Some("yes");
    let scram_nonce = Some("3rfcNHYJY1ZVvWVs7j".to_owned());
    let hostname = "pop.here".to_owned();
    let tarpit_ms = setting("tarpit-ms").map_or(0, |text| text.parse().expect("a number"));
    let config = Config { hostname, tls, plaintext_auth, scram_nonce, binding: None, login_delay_seconds, tarpit_ms };
    (Session::new(backend, config), log)
}
