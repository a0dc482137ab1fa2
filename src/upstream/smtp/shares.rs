//! How the recipients of one message are shared out among transactions, where a server says how many it takes
//! (LIMITS, RFC 9422). Pure.

use std::collections::BTreeSet;

use crate::outbox::sender::Recipient;

/// What a server says it takes. What it does not say has no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// MAIL commands in a session (RFC 9422 section 4.1).
    pub mail_max: usize,
    /// RCPT commands in a transaction (section 4.2).
    pub rcpt_max: usize,
    /// Domains among the recipients of a transaction (section 4.3).
    pub rcpt_domain_max: usize,
}

impl Limits {
    /// `limits-param = *( limit-name-value *( WSP limit-name-value ) )`, in upper case. Names not known and values that are
    /// none say nothing (RFC 9422 section 3).
    pub(super) fn parse(parameters: &str) -> Self {
        let mut limits = Self { mail_max: usize::MAX, rcpt_max: usize::MAX, rcpt_domain_max: usize::MAX };
        for (name, value) in parameters.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
            let digits = (1..=6).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
            let Some(value) = value.parse().ok().filter(|value| digits && *value > 0) else { continue };
            match name {
                "MAILMAX" => limits.mail_max = value,
                "RCPTMAX" => limits.rcpt_max = value,
                "RCPTDOMAINMAX" => limits.rcpt_domain_max = value,
                _ => {}
            }
        }
        limits
    }

    /// The places of the recipients `open`, shared out: each transaction is within the limits, and there are few.
    pub(super) fn shares(&self, recipients: &[Recipient], open: &[usize]) -> Vec<Vec<usize>> {
        let (mut full, mut filling): (Vec<Vec<usize>>, Vec<Share>) = (Vec::new(), Vec::new());
        for place in open {
            let domain = domain(&recipients[*place]);
            let has_room =
                |share: &Share| share.domains.contains(&domain) || share.domains.len() < self.rcpt_domain_max;
            let at = filling.iter().position(has_room).unwrap_or_else(|| {
                filling.push(Share::default());
                filling.len() - 1
            });
            filling[at].places.push(*place);
            filling[at].domains.insert(domain);
            if filling[at].places.len() >= self.rcpt_max {
                full.push(filling.remove(at).places);
            }
        }
        full.extend(filling.into_iter().map(|share| share.places));
        full
    }
}

/// A transaction's recipients.
#[derive(Default)]
struct Share {
    places: Vec<usize>,
    domains: BTreeSet<String>,
}

fn domain(recipient: &Recipient) -> String {
    recipient.address.rsplit_once('@').map_or("", |(_, domain)| domain).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_read_and_what_is_no_limit_says_nothing() {
        let none = usize::MAX;
        for (text, mail_max, rcpt_max, rcpt_domain_max) in [
            ("", none, none, none),
            (" MAILMAX=100 RCPTMAX=1000\tRCPTDOMAINMAX=1", 100, 1000, 1),
            (" RCPTMAX=0 MAILMAX=0 OTHER=5 RCPTDOMAINMAX", none, none, none),
            (" RCPTMAX=1000000 MAILMAX=+5 RCPTDOMAINMAX=-1", none, none, none),
        ] {
            assert_eq!(Limits::parse(text), Limits { mail_max, rcpt_max, rcpt_domain_max }, "{text}");
        }
    }

    #[test]
    fn recipients_are_shared_out_in_few_transactions() {
        let recipients: Vec<_> = ["a@x", "b@y", "c@X", "d@z", "e@x", "f@y"].map(Recipient::plain).into();
        let none = usize::MAX;
        for (rcpt_max, rcpt_domain_max, expected) in [
            (none, none, vec![vec![0, 1, 2, 3, 4, 5]]),
            (2, none, vec![vec![0, 1], vec![2, 3], vec![4, 5]]),
            (none, 1, vec![vec![0, 2, 4], vec![1, 5], vec![3]]),
            (none, 2, vec![vec![0, 1, 2, 4, 5], vec![3]]),
            (2, 1, vec![vec![0, 2], vec![1, 5], vec![3], vec![4]]),
        ] {
            let mut shares =
                Limits { mail_max: none, rcpt_max, rcpt_domain_max }.shares(&recipients, &[0, 1, 2, 3, 4, 5]);
            shares.sort();
            assert_eq!(shares, expected, "{rcpt_max} recipients, {rcpt_domain_max} domains");
        }
    }
}
