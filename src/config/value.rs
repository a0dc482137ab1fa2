//! Single values: each type reads itself and says what it expects.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};
use toml::Spanned;

use super::error::{ConfigError, Problem, Source};
use crate::types::{Bodies, Keep, Secret};

/// Where a password comes from.
#[derive(Debug, Clone)]
pub enum Credential {
    Password(Secret),
    /// A program with its arguments; the first line it prints is the password.
    Command(Vec<String>),
    /// The key ring of the desktop has it, under the name of that account.
    Keyring(String),
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Password(one), Self::Password(other)) => one.matches(other.expose()),
            (Self::Command(one), Self::Command(other)) => one == other,
            (Self::Keyring(one), Self::Keyring(other)) => one == other,
            (Self::Password(_) | Self::Command(_) | Self::Keyring(_), _) => false,
        }
    }
}

/// How a connection to a server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    #[default]
    Implicit,
    StartTls,
    None,
}

/// The certificate that our own listeners show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsIdentity {
    /// Made at first start and kept in the data folder.
    Own,
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
}

impl TlsIdentity {
    /// Paths are meant from the folder of the configuration file.
    pub(super) fn within(self, folder: &Path) -> Self {
        match self {
            Self::Own => Self::Own,
            Self::Files { certificate, key } => {
                Self::Files { certificate: folder.join(certificate), key: folder.join(key) }
            }
        }
    }
}

/// At most one of the two ways to give a password.
pub(super) fn credential(
    source: &Source<'_>,
    password: Option<Spanned<Password>>,
    command: Option<Spanned<Vec<String>>>,
) -> Result<Option<Credential>, ConfigError> {
    match (password, command) {
        (Some(_), Some(command)) => Err(source.error(&command.span(), Problem::TwoPasswords)),
        (Some(password), None) => Ok(Some(Credential::Password(password.into_inner().0))),
        (None, Some(command)) if command.get_ref().is_empty() => {
            Err(source.error(&command.span(), Problem::EmptyCommand))
        }
        (None, Some(command)) => Ok(Some(Credential::Command(command.into_inner()))),
        (None, None) => Ok(None),
    }
}

/// A password in the file. Whatever stands there in its place is not repeated in the error.
pub(super) struct Password(pub Secret);

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Password;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a password in quotes")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Password, E> {
                match text.is_empty() {
                    true => Err(E::invalid_value(Unexpected::Other("empty string"), &self)),
                    false => Ok(Password(Secret::new(text))),
                }
            }
            fn visit_bool<E: Error>(self, _: bool) -> Result<Password, E> {
                Err(E::invalid_type(Unexpected::Other("boolean"), &self))
            }
            fn visit_i64<E: Error>(self, _: i64) -> Result<Password, E> {
                Err(E::invalid_type(Unexpected::Other("integer"), &self))
            }
            fn visit_u64<E: Error>(self, _: u64) -> Result<Password, E> {
                Err(E::invalid_type(Unexpected::Other("integer"), &self))
            }
            fn visit_i128<E: Error>(self, _: i128) -> Result<Password, E> {
                Err(E::invalid_type(Unexpected::Other("integer"), &self))
            }
            fn visit_u128<E: Error>(self, _: u128) -> Result<Password, E> {
                Err(E::invalid_type(Unexpected::Other("integer"), &self))
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<Password, E> {
                Err(E::invalid_type(Unexpected::Other("number"), &self))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

impl<'de> Deserialize<'de> for TlsMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "one of \"implicit\", \"starttls\", \"none\"", |text| match text {
            "implicit" => Some(Self::Implicit),
            "starttls" => Some(Self::StartTls),
            "none" => Some(Self::None),
            _ => None,
        })
    }
}

/// An address to listen on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listen(pub SocketAddr);

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "an address and a port such as \"127.0.0.1:1143\" or \"[::1]:1143\"";
        word(deserializer, expecting, |text| text.parse().ok().map(Self))
    }
}

/// A port of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Port(pub u16);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, "a port from 1 to 65535", 1..=65_535)
            .map(|port| Self(u16::try_from(port).expect("the range is within u16")))
    }
}

/// Seconds between two looks at a server that cannot tell us by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct PollSeconds(pub u32);

impl<'de> Deserialize<'de> for PollSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, "a number of seconds from 1 to 86400", 1..=86_400)
            .map(|seconds| Self(u32::try_from(seconds).expect("the range is within u32")))
    }
}

/// Connections to one account's server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connections(pub usize);

impl<'de> Deserialize<'de> for Connections {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, "a number of connections from 1 to 10", 1..=10)
            .map(|count| Self(usize::try_from(count).expect("the range is within usize")))
    }
}

/// `undo-seconds`, `tarpit`.
pub(super) struct DelaySeconds(pub u32);

impl<'de> Deserialize<'de> for DelaySeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, "a number of seconds from 0 to 3600", 0..=3600)
            .map(|seconds| Self(u32::try_from(seconds).expect("the range is within u32")))
    }
}

/// `tls` of our own listeners: `true`, `false`, or the files.
pub(super) struct OwnTls(pub Option<TlsIdentity>);

impl<'de> Deserialize<'de> for OwnTls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = OwnTls;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true (a certificate of its own) or { certificate = \"chain.pem\", key = \"key.pem\" }")
            }
            fn visit_bool<E: Error>(self, wanted: bool) -> Result<OwnTls, E> {
                Ok(OwnTls(wanted.then_some(TlsIdentity::Own)))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OwnTls, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Files {
                    certificate: PathBuf,
                    key: PathBuf,
                }
                let files = Files::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(OwnTls(Some(TlsIdentity::Files { certificate: files.certificate, key: files.key })))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// `keep` of a POP3 server.
pub(super) struct KeepOnServer(pub Keep);

impl<'de> Deserialize<'de> for KeepOnServer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = KeepOnServer;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one of \"always\", \"until-deleted\", { days = 14 }, \"never\"")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<KeepOnServer, E> {
                match text {
                    "always" => Ok(KeepOnServer(Keep::Always)),
                    "until-deleted" => Ok(KeepOnServer(Keep::UntilDeleted)),
                    "never" => Ok(KeepOnServer(Keep::Never)),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KeepOnServer, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Raw {
                    days: KeepDays,
                }
                let Raw { days } = Raw::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(KeepOnServer(Keep::Days(days.0)))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

struct KeepDays(u16);

impl<'de> Deserialize<'de> for KeepDays {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, "a number of days from 1 to 3650", 1..=3650)
            .map(|days| Self(u16::try_from(days).expect("the range is within u16")))
    }
}

/// `bodies`: which bodies are mirrored.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodiesValue(pub Bodies);

impl<'de> Deserialize<'de> for BodiesValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = BodiesValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one of \"all\", \"headers\", { recent-days = 90 }, { max-size = \"1M\" }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<BodiesValue, E> {
                match text {
                    "all" => Ok(BodiesValue(Bodies::All)),
                    "headers" => Ok(BodiesValue(Bodies::Headers)),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BodiesValue, A::Error> {
                let bodies = match map.next_key::<String>()?.as_deref() {
                    Some("recent-days") => Bodies::RecentDays(map.next_value::<Days>()?.0),
                    Some("max-size") => Bodies::MaxSize(map.next_value::<Size>()?.0),
                    _ => return Err(A::Error::invalid_value(Unexpected::Map, &self)),
                };
                match map.next_key::<String>()? {
                    Some(_) => Err(A::Error::invalid_value(Unexpected::Map, &self)),
                    None => Ok(BodiesValue(bodies)),
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// `recent-days`.
struct Days(u32);

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, "a number of days from 1 to 36500", 1..=36_500)
            .map(|days| Self(u32::try_from(days).expect("the range is within u32")))
    }
}

/// A number of bytes: `"500K"`, `"1M"`, `"2G"` (powers of 1024), or without a letter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "a size such as \"500K\", \"1M\" or \"2G\"", |text| {
            let number = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
            let factor: u64 = match &text[number.len()..] {
                "" => 1,
                "K" => 1 << 10,
                "M" => 1 << 20,
                "G" => 1 << 30,
                _ => return None,
            };
            let is_digits = number.bytes().all(|byte| byte.is_ascii_digit());
            number.parse::<u64>().ok().filter(|_| is_digits)?.checked_mul(factor).map(Self)
        })
    }
}

/// Reads a string that `read` understands.
pub(super) fn word<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expecting: &'static str,
    read: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    struct Reader<T>(&'static str, fn(&str) -> Option<T>);
    impl<T> Visitor<'_> for Reader<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            (self.1)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
        }
    }
    deserializer.deserialize_str(Reader(expecting, read))
}

/// Reads a whole number in a range.
pub(super) fn number<'de, D: Deserializer<'de>>(
    deserializer: D,
    expecting: &'static str,
    range: std::ops::RangeInclusive<i64>,
) -> Result<i64, D::Error> {
    struct Reader(&'static str, std::ops::RangeInclusive<i64>);
    impl Visitor<'_> for Reader {
        type Value = i64;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_i64<E: Error>(self, value: i64) -> Result<i64, E> {
            match self.1.contains(&value) {
                true => Ok(value),
                false => Err(E::invalid_value(Unexpected::Signed(value), &self)),
            }
        }
    }
    deserializer.deserialize_i64(Reader(expecting, range))
}
