//! Which mailboxes a command speaks of (RFC 5465 section 6; SUBTREE-ONE: RFC 7377 section 2.2), and ESEARCH (RFC 7377).

use super::parser::{MailboxArgument, Parsed, Parser};
use super::search::Search;
use crate::types::limits;

/// `filter-mailboxes = filter-mailboxes-selected / filter-mailboxes-other` (RFC 5465 section 8)
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailboxFilter {
    Selected,
    SelectedDelayed,
    Inboxes,
    Personal,
    Subscribed,
    Subtree(Vec<MailboxArgument>),
    SubtreeOne(Vec<MailboxArgument>),
    Mailboxes(Vec<MailboxArgument>),
}

impl Parser<'_> {
    /// `esearch = "ESEARCH" [SP esearch-source-opts] [SP search-return-opts] SP search-program` where
    /// `esearch-source-opts = "IN" SP "(" source-mbox [SP "(" scope-options ")"] ")"` and
    /// `source-mbox = filter-mailboxes *(SP filter-mailboxes)` (RFC 7377 section 3). No scope option is defined.
    pub fn esearch(&mut self) -> Parsed<(Option<Vec<MailboxFilter>>, Search)> {
        self.sp()?;
        let mut filters = None;
        if self.skip_word("IN") {
            self.sp()?;
            filters = Some(self.list(|parser| parser.filter_mailboxes())?);
            if filters.as_ref().is_some_and(|filters| filters.len() > limits::IMAP_MAILBOX_FILTERS_MAX) {
                return self.fail("fewer filters");
            }
            self.sp()?;
        }
        Ok((filters, self.search_program()?))
    }

    /// `filter-mailboxes`
    pub fn filter_mailboxes(&mut self) -> Parsed<MailboxFilter> {
        Ok(match self.word()?.as_str() {
            "SELECTED" => MailboxFilter::Selected,
            "SELECTED-DELAYED" => MailboxFilter::SelectedDelayed,
            "INBOXES" => MailboxFilter::Inboxes,
            "PERSONAL" => MailboxFilter::Personal,
            "SUBSCRIBED" => MailboxFilter::Subscribed,
            "SUBTREE" => MailboxFilter::Subtree(self.one_or_more_mailbox()?),
            "SUBTREE-ONE" => MailboxFilter::SubtreeOne(self.one_or_more_mailbox()?),
            "MAILBOXES" => MailboxFilter::Mailboxes(self.one_or_more_mailbox()?),
            _ => return self.fail("which mailboxes before this place"),
        })
    }

    /// `SP one-or-more-mailbox` where `one-or-more-mailbox = mailbox / many-mailboxes` and
    /// `many-mailboxes = "(" mailbox *(SP mailbox) ")"`
    fn one_or_more_mailbox(&mut self) -> Parsed<Vec<MailboxArgument>> {
        self.sp()?;
        match self.peek() {
            Some(b'(') => self.list(|parser| parser.mailbox()),
            _ => Ok(vec![self.mailbox()?]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_one_behind_the_other() {
        let names = |names: &[&str]| names.iter().map(|name| MailboxArgument(name.as_bytes().to_vec())).collect();
        let text = b" IN (mailboxes \"folder1\" subtree (a b) PERSONAL) RETURN (COUNT) unseen";
        let (filters, search) = Parser::new(text).esearch().expect("a valid ESEARCH");
        let expected = [
            MailboxFilter::Mailboxes(names(&["folder1"])),
            MailboxFilter::Subtree(names(&["a", "b"])),
            MailboxFilter::Personal,
        ];
        assert_eq!(filters.as_deref(), Some(&expected[..]));
        assert!(search.returns.is_some_and(|returns| returns.count));
        assert_eq!(Parser::new(b" RETURN () ALL").esearch().expect("a valid ESEARCH").0, None);
        for text in [
            "",
            " IN",
            " IN () ALL",
            " IN (nowhere) ALL",
            " IN (mailboxes) ALL",
            " IN (mailboxes ()) ALL",
            " IN (personal)",
        ] {
            assert!(Parser::new(text.as_bytes()).esearch().is_err(), "{text}");
        }
    }
}
