//! NOTIFY arguments (RFC 5465 section 8).

use super::fetch::FetchItem;
use super::filter::MailboxFilter;
use super::parser::{Parsed, Parser};
use crate::types::limits;

/// `notify = "NOTIFY" SP (notify-set / notify-none)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notify {
    None,
    Set { status: bool, groups: Vec<EventGroup> },
}

/// `event-group = "(" filter-mailboxes SP events ")"`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventGroup {
    pub filter: MailboxFilter,
    pub events: Events,
}

/// `events = ( "(" event *(SP event) ")" ) / "NONE"`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events {
    pub message_new: bool,
    /// What is to be told of a new message.
    pub fetch: Vec<FetchItem>,
    pub message_expunge: bool,
    pub flag_change: bool,
    pub mailbox_name: bool,
    pub subscription_change: bool,
    pub mailbox_metadata_change: bool,
    pub server_metadata_change: bool,
    /// AnnotationChange, or an event that nobody here knows.
    pub other: bool,
}

impl Parser<'_> {
    /// The arguments of NOTIFY after its name.
    pub fn notify(&mut self) -> Parsed<Notify> {
        self.sp()?;
        if self.skip_word("NONE") {
            self.end()?;
            return Ok(Notify::None);
        }
        if !self.skip_word("SET") {
            return self.fail("SET or NONE");
        }
        self.sp()?;
        let status = self.skip_word("STATUS");
        if status {
            self.sp()?;
        }
        let mut groups = vec![self.event_group()?];
        while self.skip(b' ') {
            groups.push(self.event_group()?);
        }
        if groups.len() > limits::IMAP_MAILBOX_FILTERS_MAX {
            return self.fail("fewer filters");
        }
        self.end()?;
        Ok(Notify::Set { status, groups })
    }

    fn event_group(&mut self) -> Parsed<EventGroup> {
        self.byte(b'(', "\"(\"")?;
        let filter = self.filter_mailboxes()?;
        self.sp()?;
        let mut events = Events::default();
        match self.peek() {
            Some(b'(') => drop(self.list(|parser| parser.event(&mut events))?),
            _ if self.skip_word("NONE") => {}
            // As the example of section 3.1 has it: without parentheses of their own.
            _ => {
                self.event(&mut events)?;
                while self.skip(b' ') {
                    self.event(&mut events)?;
                }
            }
        }
        self.byte(b')', "\")\"")?;
        Ok(EventGroup { filter, events })
    }

    /// `event = message-event / mailbox-event / user-event / event-ext`
    fn event(&mut self, events: &mut Events) -> Parsed<()> {
        match self.word()?.as_str() {
            "MESSAGENEW" => {
                events.message_new = true;
                if self.rest().starts_with(b" (") {
                    self.sp()?;
                    events.fetch = self.list(Self::fetch_att)?;
                    if events.fetch.len() > limits::IMAP_FETCH_ITEMS_MAX {
                        return self.fail("fewer items");
                    }
                }
            }
            "MESSAGEEXPUNGE" => events.message_expunge = true,
            "FLAGCHANGE" => events.flag_change = true,
            "MAILBOXNAME" => events.mailbox_name = true,
            "SUBSCRIPTIONCHANGE" => events.subscription_change = true,
            "MAILBOXMETADATACHANGE" => events.mailbox_metadata_change = true,
            "SERVERMETADATACHANGE" => events.server_metadata_change = true,
            _ => events.other = true,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_events_are_read() {
        let text = b" SET STATUS (selected (MessageNew (uid body.peek[header.fields (from to)]) MessageExpunge)) \
            (subtree Lists (messagenew messageexpunge flagchange)) (personal none) (mailboxes (a b) MailboxName)";
        let Ok(Notify::Set { status: true, groups }) = Parser::new(text).notify() else { panic!("a valid NOTIFY") };
        assert_eq!((groups.len(), groups[0].events.fetch.len()), (4, 2));
        assert!(groups[1].events.flag_change && groups[3].events.mailbox_name);
        assert_eq!(groups[2].events, Events::default());
        assert_eq!(Parser::new(b" none").notify().ok(), Some(Notify::None));
        for text in [
            "",
            " SET",
            " SET STATUS",
            " SET ()",
            " SET (selected)",
            " SET (selected ())",
            " NONE x",
            " SET (nowhere NONE)",
        ] {
            assert!(Parser::new(text.as_bytes()).notify().is_err(), "{text}");
        }
    }
}
