//! Arguments of the commands on the session: LOGIN, AUTHENTICATE, ID, ENABLE, and the sets of UIDs and mailboxes of
//! COPY and its kin (RFC 3501 section 6.2; RFC 2971, 4959, 5161).

use super::parser::{MailboxArgument, Parsed, Parser};
use super::sequence::SequenceSet;
use crate::types::Secret;

/// `authenticate = "AUTHENTICATE" SP auth-type [SP (base64 / "=")]` (RFC 4959 section 7)
#[derive(Debug)]
pub struct Authenticate {
    /// Upper case.
    pub mechanism: String,
    /// Still in BASE64; `=` is the empty response.
    pub initial_response: Option<Secret>,
}

impl Parser<'_> {
    /// `login = "LOGIN" SP userid SP password`
    pub fn login(&mut self) -> Parsed<(String, Secret)> {
        self.sp()?;
        let user = self.text()?;
        self.sp()?;
        let password = Secret::new(self.text()?);
        self.end()?;
        Ok((user, password))
    }

    /// The arguments of AUTHENTICATE; an initial response only where the server has SASL-IR.
    pub fn authenticate(&mut self, sasl_ir: bool) -> Parsed<Authenticate> {
        self.sp()?;
        let mechanism = self.atom()?.to_ascii_uppercase();
        let mut initial_response = None;
        if sasl_ir && self.skip(b' ') {
            let response = self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
            if response.is_empty() {
                return self.fail("an initial response");
            }
            initial_response = Some(Secret::new(String::from_utf8_lossy(response)));
        }
        self.end()?;
        Ok(Authenticate { mechanism, initial_response })
    }

    /// `id = "ID" SP id-params-list` where
    /// `id-params-list = "(" [string SP nstring *(SP string SP nstring)] ")" / nil` (RFC 2971 section 4)
    pub fn id(&mut self) -> Parsed<Vec<(String, Option<String>)>> {
        self.sp()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let mut fields = Vec::new();
        if !self.skip_word("NIL") {
            fields = self.list_or_empty(|parser| {
                let field = text(parser.string()?);
                parser.sp()?;
                Ok((field, parser.nstring()?.map(text)))
            })?;
        }
        self.end()?;
        Ok(fields)
    }

    /// `enable = "ENABLE" 1*(SP capability)` (RFC 5161 section 5); upper case.
    pub fn enable(&mut self) -> Parsed<Vec<String>> {
        let mut names = Vec::new();
        while names.is_empty() || self.peek().is_some() {
            self.sp()?;
            names.push(self.atom()?.to_ascii_uppercase());
        }
        Ok(names)
    }

    /// `SP sequence-set SP mailbox`: COPY and MOVE.
    pub fn set_and_mailbox(&mut self) -> Parsed<(SequenceSet, MailboxArgument)> {
        self.sp()?;
        let set = self.sequence_set()?;
        Ok((set, self.only_mailbox()?))
    }

    /// `SP sequence-set`: UID EXPUNGE.
    pub fn only_set(&mut self) -> Parsed<SequenceSet> {
        self.sp()?;
        let set = self.sequence_set()?;
        self.end()?;
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_takes_any_string() {
        let (user, password) = Parser::new(b" \"a b\" {6+}\r\nsecret").login().expect("a valid LOGIN");
        assert_eq!(user, "a b");
        assert!(password.matches("secret"));
        for wire in [&b""[..], b" a", b" a b c", b" a  b", b" \"a b\" {9}\r\nsecret"] {
            assert!(Parser::new(wire).login().is_err(), "{}", String::from_utf8_lossy(wire));
        }
    }

    #[test]
    fn an_initial_response_needs_sasl_ir() {
        assert!(Parser::new(b" plain AHg=").authenticate(true).is_ok_and(|read| read.initial_response.is_some()));
        assert!(Parser::new(b" plain =").authenticate(true).is_ok());
        assert!(Parser::new(b" plain AHg=").authenticate(false).is_err());
        assert!(Parser::new(b" plain ").authenticate(true).is_err());
    }

    #[test]
    fn an_id_is_nil_or_pairs() {
        assert_eq!(Parser::new(b" NIL").id(), Ok(vec![]));
        assert_eq!(Parser::new(b" ()").id(), Ok(vec![]));
        let fields = Parser::new(b" (\"name\" \"sodr\" \"os\" NIL)").id();
        assert_eq!(fields, Ok(vec![("name".to_owned(), Some("sodr".to_owned())), ("os".to_owned(), None)]));
        assert!(Parser::new(b" (\"name\")").id().is_err());
    }
}
