//! Which mailboxes are meant by a filter (RFC 5465 section 6, RFC 7377 section 2.2). There is one personal namespace, and any
//! of its mailboxes may be delivered to; what is below the others' is not personal.

use std::collections::BTreeSet;

use super::backend::Mailbox;
use super::reply::Context;
use crate::imap::syntax::MailboxArgument;
use crate::imap::syntax::filter::MailboxFilter;
use crate::types::MailboxName;

/// A filter of mailboxes that need not be selected, its names understood. "If the name does not refer to an existing
/// mailbox, the server MUST ignore it" (RFC 5465 section 3.1): so it does where a name can be none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All but what is below these names.
    Personal(Vec<MailboxName>),
    Subscribed,
    Subtree(Subtrees),
    SubtreeOne(Subtrees),
    Mailboxes(BTreeSet<MailboxName>),
}

/// Mailboxes with what is below them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtrees {
    names: BTreeSet<MailboxName>,
    /// The empty name is among them: what everything is below.
    root: bool,
}

impl Filter {
    /// `None`: the selected mailbox is meant.
    pub fn of(filter: &MailboxFilter, context: &Context) -> Option<Self> {
        let form = context.enabled.name_form();
        let names = |arguments: &[MailboxArgument]| arguments.iter().filter_map(|name| name.name(form)).collect();
        let subtrees = |arguments: &[MailboxArgument]| Subtrees {
            names: names(arguments),
            root: arguments.iter().any(|name| name.0.is_empty()),
        };
        Some(match filter {
            MailboxFilter::Selected | MailboxFilter::SelectedDelayed => return None,
            // "If the IMAP server cannot easily compute this set, it MUST treat "inboxes" as equivalent to "personal""
            // (RFC 5465 section 6.3).
            MailboxFilter::Inboxes | MailboxFilter::Personal => Self::Personal(context.others.clone()),
            MailboxFilter::Subscribed => Self::Subscribed,
            MailboxFilter::Subtree(arguments) => Self::Subtree(subtrees(arguments)),
            MailboxFilter::SubtreeOne(arguments) => Self::SubtreeOne(subtrees(arguments)),
            MailboxFilter::Mailboxes(arguments) => Self::Mailboxes(names(arguments)),
        })
    }

    /// Is this one meant?
    pub fn names(&self, name: &MailboxName, is_subscribed: bool) -> bool {
        match self {
            Self::Personal(others) => !others.iter().any(|namespace| name.is_below(namespace)),
            Self::Subscribed => is_subscribed,
            Self::Mailboxes(names) => names.contains(name),
            Self::Subtree(Subtrees { names, root }) => {
                let mut upwards = std::iter::successors(Some(name.clone()), MailboxName::parent);
                *root || upwards.any(|name| names.contains(&name))
            }
            Self::SubtreeOne(Subtrees { names, root }) => {
                let parent = name.parent();
                names.contains(name) || parent.map_or(*root, |parent| names.contains(&parent))
            }
        }
    }

    /// Is it meant, and can it be selected?
    pub fn selects(&self, mailbox: &Mailbox) -> bool {
        mailbox.selectable && self.names(&mailbox.name, mailbox.subscribed)
    }
}
