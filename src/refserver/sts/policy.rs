//! What a domain says about TLS to its mail servers (MTA-STS, RFC 8461): the record that tells there is a policy, and the
//! policy. Pure.

use serde::{Deserialize, Serialize};

use crate::types::Timestamp;

/// How long a policy may be believed at most: a year (RFC 8461 section 3.2).
const AGE_MAX_SECONDS: i64 = 31_557_600;

/// How many servers a policy may name.
const HOSTS_MAX: usize = 1000;

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub mode: Mode,
    /// Names of servers, or `*.` and a domain.
    pub mx: Vec<String>,
    pub max_age_seconds: i64,
}

/// What is done with servers that do not fit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They get no mail.
    Enforce,
    /// They get mail all the same.
    Testing,
    /// The domain has no policy any more.
    None,
}

/// The id in the one TXT record of `_mta-sts.` that is ours to read (RFC 8461 section 3.1): another id, another policy.
pub(super) fn id(records: &[String]) -> Option<String> {
    let mut ours =
        records.iter().filter(|record| record.split(';').next().is_some_and(|word| word.trim() == "v=STSv1"));
    let (Some(record), None) = (ours.next(), ours.next()) else { return None };
    let id = record.split(';').skip(1).find_map(|field| field.trim().strip_prefix("id="))?;
    let fits = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| id.to_owned())
}

impl Policy {
    /// Reads a policy (RFC 8461 section 3.2). Of a field that may stand there once the first counts; fields not known are
    /// of later versions.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (key, value) = line.split_once(':').map(|(key, value)| (key.trim(), value.trim()))?;
            match key {
                "version" => _ = version.get_or_insert(value),
                "mode" => _ = mode.get_or_insert(value),
                "max_age" => _ = max_age.get_or_insert(value),
                "mx" if mx.len() < HOSTS_MAX => mx.push(value.trim_end_matches('.').to_ascii_lowercase()),
                _ => {}
            }
        }
        let mode = match mode? {
            "enforce" => Mode::Enforce,
            "testing" => Mode::Testing,
            "none" => Mode::None,
            _ => return None,
        };
        let max_age = max_age.filter(|digits| (1..=10).contains(&digits.len()))?;
        let max_age_seconds = max_age.parse::<u64>().ok().and_then(|seconds| i64::try_from(seconds).ok())?;
        let is_complete = version == Some("STSv1") && (mode == Mode::None || !mx.is_empty());
        is_complete.then(|| Self { mode, mx, max_age_seconds: max_age_seconds.min(AGE_MAX_SECONDS) })
    }

    /// Is that one of the domain's servers (RFC 8461 section 4.1)?
    pub fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(domain) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == domain),
            None => *pattern == host,
        })
    }
}

/// A policy as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fetched {
    pub id: String,
    pub policy: Policy,
    pub at_ms: i64,
}

/// A look at a policy's host that gave none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    pub id: String,
    pub at: Timestamp,
}

/// Who failed is not asked again before (RFC 8461 section 3.3 asks for such a limit).
const FAILURE_MEMORY_MS: i64 = 5 * 60_000;

impl Fetched {
    /// May it still be believed?
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.at_ms.saturating_add(self.policy.max_age_seconds * 1000) > now.unix_ms()
    }
}

/// Must the policy be fetched? `id` is what DNS says now. One that is known goes on while DNS or its host say nothing:
/// whoever could make them silent could else take it away (RFC 8461 section 3.1). Half way through its time it is fetched
/// anew, so that it does not end unnoticed.
pub(super) fn must_fetch(id: Option<&str>, known: Option<&Fetched>, failed: Option<&Failed>, now: Timestamp) -> bool {
    let Some(id) = id else { return false };
    let failed_lately = failed.is_some_and(|failed| failed.id == id && failed.at.plus_ms(FAILURE_MEMORY_MS) > now);
    let is_young = |known: &Fetched| known.at_ms.saturating_add(known.policy.max_age_seconds * 500) > now.unix_ms();
    !failed_lately && !known.is_some_and(|known| known.id == id && is_young(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Option<Policy> {
        Policy::parse(text)
    }

    #[test]
    fn the_record_tells_of_a_policy_only_where_it_is_the_only_one() {
        for (records, expected) in [
            (&["v=STSv1; id=20160831085700Z;"][..], Some("20160831085700Z")),
            (&["v=spf1 -all", "v=STSv1;id=a1"], Some("a1")),
            (&["v=STSv1; id=a1", "v=STSv1; id=a2"], None),
            (&["v=STSv1; id=a-1"], None),
            (&["v=STSv1; x=y"], None),
            (&["v=STSv11; id=a1"], None),
            (&["id=a1; v=STSv1"], None),
            (&[], None),
        ] {
            let records: Vec<String> = records.iter().map(|record| (*record).to_owned()).collect();
            assert_eq!(id(&records).as_deref(), expected, "{records:?}");
        }
    }

    #[test]
    fn a_policy_is_read_whatever_its_line_ends_and_only_whole() {
        let full =
            "version: STSv1\r\nmode: enforce\r\nmx: Mail.example.com\r\nmx: *.example.net.\r\nmax_age: 604800\r\n";
        let expected = Policy {
            mode: Mode::Enforce,
            mx: ["mail.example.com", "*.example.net"].map(str::to_owned).to_vec(),
            max_age_seconds: 604_800,
        };
        assert_eq!(policy(full), Some(expected.clone()));
        assert_eq!(policy(&full.replace("\r\n", "\n")), Some(expected.clone()));
        assert_eq!(policy(&format!("{full}mode: none\nmax_age: 1\nlater: x\n")), Some(expected));
        assert_eq!(policy("version: STSv1\nmode: none\nmax_age: 86400").map(|policy| policy.mode), Some(Mode::None));
        let long = policy("version: STSv1\nmode: testing\nmx: a\nmax_age: 9999999999").expect("a policy");
        assert_eq!((long.mode, long.max_age_seconds), (Mode::Testing, AGE_MAX_SECONDS));
        for part in ["version: STSv1\r\n", "mode: enforce\r\n", "max_age: 604800\r\n"] {
            assert_eq!(policy(&full.replace(part, "")), None, "without {part}");
        }
        for text in [
            "version: STSv1\nmode: enforce\nmax_age: 5",
            "<html>",
            "",
            "version: STSv1\nmode: enforce\nmx: a\nmax_age: -5",
        ] {
            assert_eq!(policy(text), None, "{text}");
        }
    }

    #[test]
    fn a_star_is_one_label() {
        let policy =
            policy("version: STSv1\nmode: enforce\nmx: mx.a.example\nmx: *.b.example\nmax_age: 5").expect("a policy");
        for (host, expected) in [
            ("mx.a.example", true),
            ("MX.A.example.", true),
            ("x.mx.a.example", false),
            ("a.example", false),
            ("one.b.example", true),
            ("b.example", false),
            ("one.two.b.example", false),
            (".b.example", false),
        ] {
            assert_eq!(policy.names(host), expected, "{host}");
        }
    }

    #[test]
    fn a_policy_is_fetched_when_it_is_new_or_another_or_getting_old() {
        let policy = policy("version: STSv1\nmode: enforce\nmx: a\nmax_age: 1000").expect("a policy");
        let known = Fetched { id: "1".to_owned(), policy, at_ms: 0 };
        let failed = |id: &str, seconds: i64| Failed { id: id.to_owned(), at: Timestamp::from_unix_ms(seconds * 1000) };
        let old = failed("2", 0);
        for (id, known, failed, seconds, expected) in [
            (None, None, None, 1, false),
            (Some("1"), None, None, 1, true),
            (Some("1"), Some(&known), None, 1, false),
            (Some("2"), Some(&known), None, 1, true),
            (Some("2"), Some(&known), Some(&old), 299, false),
            (Some("3"), Some(&known), Some(&old), 299, true),
            (Some("2"), Some(&known), Some(&old), 300, true),
            (Some("1"), Some(&known), None, 500, true),
            (None, Some(&known), None, 500, false),
        ] {
            let now = Timestamp::from_unix_ms(seconds * 1000);
            assert_eq!(must_fetch(id, known, failed, now), expected, "{id:?} {seconds}");
        }
        assert!(
            known.is_fresh(Timestamp::from_unix_ms(999_999)) && !known.is_fresh(Timestamp::from_unix_ms(1_000_000))
        );
    }
}
