//! Arguments of the commands on access control lists (RFC 4314 section 7).

use super::parser::{MailboxArgument, Parsed, Parser};
use crate::types::{Identifier, Rights, RightsChange};

/// An identifier, and its text as the client spelled it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    pub identifier: Identifier,
    pub text: String,
}

impl Parser<'_> {
    /// `setacl = "SETACL" SP mailbox SP identifier SP mod-rights`
    pub fn set_acl(&mut self) -> Parsed<(MailboxArgument, Identifier, RightsChange)> {
        let (mailbox, Identified { identifier, .. }) = self.mailbox_and_identifier()?;
        self.sp()?;
        let change = self.mod_rights()?;
        self.end()?;
        Ok((mailbox, identifier, change))
    }

    /// `SP mailbox SP identifier`: the arguments of DELETEACL and LISTRIGHTS.
    pub fn only_mailbox_and_identifier(&mut self) -> Parsed<(MailboxArgument, Identified)> {
        let arguments = self.mailbox_and_identifier()?;
        self.end()?;
        Ok(arguments)
    }

    fn mailbox_and_identifier(&mut self) -> Parsed<(MailboxArgument, Identified)> {
        self.sp()?;
        let mailbox = self.mailbox()?;
        self.sp()?;
        let text = self.text()?;
        match Identifier::parse(&text) {
            Some(identifier) => Ok((mailbox, Identified { identifier, text })),
            None => self.fail("an identifier before this place"),
        }
    }

    /// `mod-rights = astring`: "+rights to add, -rights to remove, rights to replace". "An unrecognized right MUST cause the
    /// command to return the BAD response" (section 3.1).
    fn mod_rights(&mut self) -> Parsed<RightsChange> {
        let text = self.text()?;
        let (change, letters): (fn(Rights) -> RightsChange, &str) = match text.as_bytes().first() {
            Some(b'+') => (RightsChange::Add, &text[1..]),
            Some(b'-') => (RightsChange::Remove, &text[1..]),
            _ => (RightsChange::Replace, &text),
        };
        match Rights::parse(letters) {
            Some(rights) => Ok(change(rights)),
            None => self.fail("rights (of l r s w i p k x t e a, c, d) before this place"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_added_removed_and_replaced() {
        let set = |text: &str| Parser::new(text.as_bytes()).set_acl().ok();
        let rights = |letters| Rights::parse(letters).expect("rights");
        for (text, change) in [
            (" INBOX fred +wt", RightsChange::Add(rights("wt"))),
            (" INBOX \"-Fred\" -e", RightsChange::Remove(rights("e"))),
            (" INBOX fred lrs", RightsChange::Replace(rights("lrs"))),
            (" INBOX fred \"\"", RightsChange::Replace(Rights::NONE)),
            (" {5+}\r\nINBOX {4+}\r\nfred c", RightsChange::Replace(rights("kx"))),
        ] {
            assert_eq!(set(text).map(|(_, _, change)| change), Some(change), "{text}");
        }
        for text in
            [" INBOX fred lrQ", " INBOX fred lrq", " INBOX \"\" l", " INBOX - l", " INBOX fred", " INBOX fred l x"]
        {
            assert_eq!(set(text), None, "{text}");
        }
    }
}
