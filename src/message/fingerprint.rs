//! By what a message is known again where its bytes cannot be compared: some of its header fields.

use std::collections::BTreeMap;

use super::header::fields;

/// The fields that count, in upper case.
pub const FIELDS: [&str; 4] = ["MESSAGE-ID", "DATE", "FROM", "SUBJECT"];

/// Their values in `header`, unfolded, by upper-case name. Of a field that occurs twice the first counts; one that does
/// not occur is absent.
pub fn fingerprint(header: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut values = BTreeMap::new();
    for field in fields(header) {
        if let Some(name) = FIELDS.into_iter().find(|name| field.is(name)) {
            values.entry(name.to_owned()).or_insert_with(|| field.unfolded());
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_does_not_depend_on_folding_or_on_other_fields() {
        let one = b"Message-ID:\r\n <1@x>\r\nX-Other: a\r\nsubject: a\r\n b\r\nSubject: c\r\n\r\nFrom: body";
        let other = b"SUBJECT: a b\nMESSAGE-id: <1@x>  \n";
        let expected = [("MESSAGE-ID", &b"<1@x>"[..]), ("SUBJECT", b"a b")];
        let expected: BTreeMap<_, _> = expected.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect();
        assert_eq!(fingerprint(one), expected);
        assert_eq!(fingerprint(other), expected);
    }
}
