//! What the server told of without being asked: kept until somebody asks.

use super::{Driver, Hear, Heard, IDLE};
use crate::sync::remote::{News, RemoteError, RemoteName, Woken};
use crate::types::{RemoteUid, UidSet, limits};
use crate::upstream::imap::code::{Code, StatusLine};
use crate::upstream::imap::untagged::Untagged;

impl Driver {
    /// Whether the server told of a change by itself since last asked, and whether messages may have come with it.
    pub(in crate::upstream::imap) fn take_touched(&mut self) -> Option<Woken> {
        let arrived = std::mem::take(&mut self.arrived);
        std::mem::take(&mut self.touched).then_some(if arrived { Woken::Arrived } else { Woken::Changed })
    }

    /// Whether it did.
    pub(in crate::upstream::imap) const fn is_touched(&self) -> bool {
        self.touched
    }

    /// UIDs that vanished since last asked.
    pub(in crate::upstream::imap) fn take_vanished(&mut self) -> UidSet<RemoteUid> {
        std::mem::take(&mut self.vanished).to_set()
    }

    /// Hands on what was heard; keeps what nobody asked for.
    pub(in crate::upstream::imap) fn pass(&mut self, heard: Heard, hear: &mut Hear<'_>) -> Result<(), RemoteError> {
        let may_be_news = matches!(
            heard,
            Heard::Fetch(_)
                | Heard::Vanished(_)
                | Heard::Untagged(Untagged::Exists(_) | Untagged::Expunge | Untagged::Unusable(_))
        );
        let is_malformed_fetch = matches!(heard, Heard::Untagged(Untagged::Unusable("FETCH")));
        if let Heard::Untagged(Untagged::Unusable(what)) = &heard
            && *what != "VANISHED"
            && !is_malformed_fetch
        {
            return Err(self.malformed(what));
        }
        if self.notifies {
            self.note(&heard)?;
        }
        let is_exists = matches!(heard, Heard::Untagged(Untagged::Exists(_)));
        // While an IDLE ends, it is told of the mailbox that was watched.
        let is_taken = self.leaving.is_none() && hear(heard)?;
        if is_malformed_fetch && !is_taken {
            return Err(self.malformed("FETCH"));
        }
        let is_news = match self.leaving.is_some() {
            // What comes next asks for what is new there, but another IDLE.
            true => self.request == IDLE,
            false => !is_taken,
        };
        self.touched |= is_news && may_be_news;
        self.arrived |= is_news && is_exists;
        Ok(())
    }

    fn malformed(&self, what: &str) -> RemoteError {
        self.protocol(&format!("a malformed {what} response"))
    }

    /// What NOTIFY brings beside what concerns the mailbox selected (RFC 5465 section 5).
    fn note(&mut self, heard: &Heard) -> Result<(), RemoteError> {
        let news = match heard {
            Heard::Untagged(Untagged::MailboxStatus(status)) => News {
                name: Some(RemoteName(String::from_utf8_lossy(&status.name).into_owned())),
                messages: status.messages,
                uid_next: status.uid_next,
                highest_mod_seq: status.highest_mod_seq,
            },
            Heard::Untagged(Untagged::List(_)) => News::default(),
            // From here on nothing is told any more (section 5.8).
            Heard::Untagged(Untagged::Status(StatusLine { code: Some(Code::Other(name)), .. }))
                if name == "NOTIFICATIONOVERFLOW" =>
            {
                return Err(self.lost("the server gave up telling of changes"));
            }
            _ => return Ok(()),
        };
        self.touched = true;
        self.news.retain(|other| other.name != news.name);
        if self.news.len() < limits::MAILBOXES_MAX {
            self.news.push(news);
        }
        Ok(())
    }

    /// What was told of mailboxes since last asked.
    pub(in crate::upstream::imap) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Forgets what was told of mailboxes without saying how they are.
    pub(in crate::upstream::imap) fn drop_empty_news(&mut self) {
        self.news.retain(|news| news.name.is_none() || news.messages.is_some() || news.uid_next.is_some());
    }

    /// Keeps UIDs until they are asked for.
    pub(in crate::upstream::imap) fn vanish(&mut self, ranges: &[(u32, u32)]) -> Result<(), RemoteError> {
        self.vanished.add(self.request, ranges)
    }
}
