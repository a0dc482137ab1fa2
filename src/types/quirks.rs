//! Ways of an IMAP server that differ from the standard, as a person or a table of known servers names them.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// What is said of a server's ways; `None`: nothing, and so as the standard has it. Written as in the configuration,
/// `{ compress = false, line-bytes = 1000 }`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table such as { compress = false, line-bytes = 1000 }"
)]
pub struct Quirks {
    /// COMPRESS=DEFLATE is used where offered.
    pub compress: Option<bool>,
    /// QRESYNC is used where offered.
    pub qresync: Option<bool>,
    /// CONDSTORE is used where offered.
    pub condstore: Option<bool>,
    /// LIST with RETURN is used where offered.
    pub list_return: Option<bool>,
    /// NAMESPACE is asked where offered.
    pub namespace: Option<bool>,
    /// MOVE is used where offered.
    pub r#move: Option<bool>,
    /// IDLE is used where offered.
    pub idle: Option<bool>,
    /// NOTIFY is used where offered.
    pub notify: Option<bool>,
    /// It must be told to leave a mailbox, for it does not say where the data of the next one begin.
    pub unselect_first: Option<bool>,
    /// It shows an appended message only after a NOOP.
    pub noop_after_append: Option<bool>,
    /// A message is one thing to it, which several mailboxes may hold: what is copied is no other message.
    pub labels: Option<bool>,
    /// The longest command line it takes.
    #[serde(default, deserialize_with = "line_bytes")]
    pub line_bytes: Option<u16>,
    /// How many commands may be on their way at once.
    #[serde(default, deserialize_with = "pipeline")]
    pub pipeline: Option<u16>,
}

impl Quirks {
    /// What is said here, and where nothing is, what is said there.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            compress: self.compress.or(other.compress),
            qresync: self.qresync.or(other.qresync),
            condstore: self.condstore.or(other.condstore),
            list_return: self.list_return.or(other.list_return),
            namespace: self.namespace.or(other.namespace),
            r#move: self.r#move.or(other.r#move),
            idle: self.idle.or(other.idle),
            notify: self.notify.or(other.notify),
            unselect_first: self.unselect_first.or(other.unselect_first),
            noop_after_append: self.noop_after_append.or(other.noop_after_append),
            labels: self.labels.or(other.labels),
            line_bytes: self.line_bytes.or(other.line_bytes),
            pipeline: self.pipeline.or(other.pipeline),
        }
    }

    /// The switches that are said, by their names in the configuration.
    fn said(&self) -> Vec<String> {
        let switches = [
            ("compress", self.compress),
            ("qresync", self.qresync),
            ("condstore", self.condstore),
            ("list-return", self.list_return),
            ("namespace", self.namespace),
            ("move", self.r#move),
            ("idle", self.idle),
            ("notify", self.notify),
            ("unselect-first", self.unselect_first),
            ("noop-after-append", self.noop_after_append),
            ("labels", self.labels),
        ];
        let numbers = [("line-bytes", self.line_bytes), ("pipeline", self.pipeline)];
        let switches = switches.into_iter().filter_map(|(name, value)| Some(format!("{name} = {}", value?)));
        switches.chain(numbers.into_iter().filter_map(|(name, value)| Some(format!("{name} = {}", value?)))).collect()
    }
}

fn line_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    within(deserializer, 500, 8000, "a number of bytes from 500 to 8000")
}

fn pipeline<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    within(deserializer, 1, 400, "a number of commands from 1 to 400")
}

fn within<'de, D: Deserializer<'de>>(
    deserializer: D,
    least: u16,
    most: u16,
    expecting: &'static str,
) -> Result<Option<u16>, D::Error> {
    deserializer.deserialize_i64(Within { least, most, expecting }).map(Some)
}

/// Reads a number, and tells what it should be whatever else stands there.
struct Within {
    least: u16,
    most: u16,
    expecting: &'static str,
}

impl de::Visitor<'_> for Within {
    type Value = u16;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u16, E> {
        let fits = u16::try_from(number).ok().filter(|number| (self.least..=self.most).contains(number));
        fits.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }
}

impl fmt::Display for Quirks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.said();
        if said.is_empty() { f.write_str("none") } else { write!(f, "{}", said.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_first_counts() {
        let person = Quirks { compress: Some(true), ..Quirks::default() };
        let known = Quirks { compress: Some(false), pipeline: Some(25), ..Quirks::default() };
        assert_eq!(person.or(known).to_string(), "compress = true, pipeline = 25");
        assert_eq!(Quirks::default().to_string(), "none");
    }
}
