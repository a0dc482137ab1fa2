//! What every part of a sync works with.

use std::collections::{BTreeMap, BTreeSet};

use super::covered::Covered;
use super::engine::Clock;
use super::half_seen::HalfSeen;
use super::names;
use super::remote::{Known, RefusalCode, Remote, RemoteError, RemoteName, Selected, Status};
use super::{Error, Report, Result};
use crate::store::{self, Mailbox, Origin, Reader, RemoteMailbox, Store, Txn};
use crate::types::mutant::mutant;
use crate::types::{
    AccountId, BodyPolicy, FolderFilter, MailboxId, MailboxName, MessageId, RemoteUid, Timestamp, UidSet, UidValidity,
};

/// One sync of one account, under way.
pub(super) struct Pass<'a, R> {
    pub(super) store: &'a Store,
    pub(super) account: AccountId,
    pub(super) filter: &'a FolderFilter,
    pub(super) bodies: &'a BodyPolicy,
    pub(super) remote: &'a mut R,
    pub(super) clock: Clock<'a>,
    pub(super) report: &'a mut Report,
    /// The newest message here when the round began.
    pub(super) since: MessageId,
    /// The mailbox selected for changing it, so that it is not selected twice.
    pub(super) selected: Option<MailboxId>,
    /// Mailboxes that could not be looked into, though what was in flight may be there: nothing is taken in from them, lest
    /// our own be taken for new.
    pub(super) unseen: BTreeMap<MailboxId, Refusal>,
    /// One of them was selected, and then something was refused: what vanished elsewhere may be there.
    pub(super) is_half_seen: bool,
    /// Those of which that is so.
    pub(super) half_seen: BTreeSet<MailboxId>,
    /// For how long it was so of each.
    pub(super) half_seen_before: &'a HalfSeen,
    /// The sizes that the server tells of arrivals of which that may decide.
    pub(super) told_sizes: BTreeMap<MessageId, u64>,
    /// Mailboxes that could not be selected when they were last to be covered.
    pub(super) shut: BTreeSet<MailboxId>,
    /// The status of each mailbox when it was last listed.
    pub(super) listed: BTreeMap<MailboxId, Status>,
    /// INBOX has another UIDVALIDITY, and nothing that was in it: this may be another server than it was...
    pub(super) is_strange: bool,
    /// ... unless some mailbox is as it was.
    pub(super) is_familiar: bool,
    /// Mailboxes to be recognised by a message that is known of them, before what is there is believed to be what is known: none
    /// in a round that only follows another, which could look into all of them.
    pub(super) recognises: bool,
    /// Those that were, in this round.
    pub(super) recognised: BTreeSet<MailboxId>,
    /// Those that the sync before this one covered, if it was cut, and those that this one did.
    pub(super) covered: Covered,
    /// A mailbox was renumbered, or is what it was before: forgotten by a power cut, that could not be seen any more once as
    /// much has changed again.
    pub(super) went_back: bool,
    /// Mailboxes whose messages were found again since the piece of the journal that is being done was planned: the UIDs in the
    /// plan may be others' by now.
    pub(super) renumbered: BTreeSet<MailboxId>,
    /// Whether a push may go in bursts: until something in one was refused.
    pub(super) bursts: bool,
}

impl<R: Remote> Pass<'_, R> {
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(super) fn read<T>(&self, work: impl FnOnce(&Reader<'_>) -> store::Result<T>) -> Result<T> {
        Ok(self.store.read(work)?)
    }

    /// Writes what upstream said. If the power goes it may be lost; then it is asked, or found out, again.
    pub(super) fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> store::Result<T> + Send + 'static,
    {
        Ok(self.store.write(Origin::Upstream, self.now(), work)?)
    }

    /// Writes what must outlive the next cut of the power: on the user's behalf, whose intent it carries out.
    pub(super) fn write_durably<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> store::Result<T> + Send + 'static,
    {
        Ok(self.store.write(Origin::LocalUser, self.now(), work)?)
    }

    pub(super) fn remote_mailbox(&self, mailbox: MailboxId) -> Result<Option<RemoteMailbox>> {
        self.read(|reader| reader.remote_mailbox(mailbox))
    }

    /// The mailbox here; `None`: the user has taken it back.
    pub(super) fn local_mailbox(&self, mailbox: MailboxId) -> Result<Option<Mailbox>> {
        self.read(|reader| match reader.mailbox(mailbox) {
            Ok(mailbox) => Ok(Some(mailbox)),
            Err(store::Error::NoSuchMailbox) => Ok(None),
            Err(error) => Err(error),
        })
    }

    /// The UIDVALIDITY of a mailbox when it was last listed.
    pub(super) fn uid_validity_of(&self, mailbox: MailboxId) -> Option<UidValidity> {
        self.listed.get(&mailbox).map(|status| status.uid_validity)
    }

    /// Without UIDPLUS single messages of the mailbox can be expunged only where no others are marked.
    pub(super) fn others_are_marked(&self, mailbox: MailboxId) -> Result<Refusal> {
        let name = self.local_mailbox(mailbox)?.and_then(|local| local.name).map(String::from);
        let text = format!(
            "the server can only expunge everything marked deleted in {}, and others are; it is done once those are gone, \
             or marked no more",
            name.as_deref().unwrap_or("a deleted mailbox")
        );
        Ok(Refusal { code: Some(RefusalCode::InUse), text })
    }

    /// Are messages that arrive in the mailbox described first, and not fetched whole at once?
    pub(super) fn outlines(&self, mailbox: MailboxId) -> Result<bool> {
        let name = self.local_mailbox(mailbox)?.and_then(|local| local.name);
        let at_once = name.is_none_or(|name| self.bodies.fetches_at_once(&name));
        Ok(!at_once && self.remote.facts().outlines)
    }

    /// The name upstream for a mailbox that is called `name` here.
    pub(super) fn name_upstream(&self, name: &MailboxName) -> Result<RemoteName> {
        let delimiter = self.read(|reader| reader.account(self.account))?.delimiter;
        let components = names::components(name, delimiter);
        let components: Vec<&str> = components.iter().map(String::as_str).collect();
        Ok(self.remote.name_for(&components, delimiter)?)
    }
}

impl<R: Remote> Pass<'_, R> {
    /// What a look into a mailbox brought. What a server refuses now it may grant the next time: until then nothing is known of
    /// the mailbox, and it is told.
    pub(super) fn unless_refused<T>(
        &mut self,
        mailbox: MailboxId,
        looked: Result<T>,
    ) -> Result<std::result::Result<T, Refusal>> {
        let refused = match looked {
            Err(Error::Remote(error)) => refusal::<T>(Err(error))?,
            looked => return looked.map(Ok),
        };
        if let Err(refused) = &refused {
            let name = self.remote_mailbox(mailbox)?.map(|known| known.remote_name).unwrap_or_default();
            self.report.refused.push((name, refused.text.clone()));
            self.unseen.insert(mailbox, refused.clone());
            self.half_seen.insert(mailbox);
            self.is_half_seen |= self.half_seen_before.is_waited_for(mailbox);
        }
        Ok(refused)
    }
}

/// Every UID from `first` on.
pub(super) fn from(first: RemoteUid) -> UidSet<RemoteUid> {
    UidSet::range(first, RemoteUid::new(u32::MAX))
}

/// What the server said when it refused this one request; any other failure ends the sync.
pub(super) fn refusal<T>(answer: std::result::Result<T, RemoteError>) -> Result<std::result::Result<T, Refusal>> {
    Ok(Refusal::of(answer)?)
}

/// Selects a mailbox. Some servers say now and then that there is no such mailbox (QUIRKS.md row 35): they are asked again.
pub(super) async fn select<R: Remote>(
    remote: &mut R,
    name: &RemoteName,
    known: Option<Known>,
) -> Result<std::result::Result<Selected, Refusal>> {
    match refusal(remote.select(name, known).await)? {
        Err(_) if !mutant!(RefusedIsGone) => refusal(remote.select(name, known).await),
        selected => Ok(selected),
    }
}

/// A request that the server refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Option<RefusalCode>,
    pub(super) text: String,
}

impl Refusal {
    /// As [`Self::of`], where a server that asks to wait has answered as well: this one was not done.
    pub(super) fn or_wait<T>(
        answer: std::result::Result<T, RemoteError>,
    ) -> std::result::Result<std::result::Result<T, Self>, RemoteError> {
        match answer {
            Err(RemoteError::Wait { text, .. }) => Ok(Err(Self { code: None, text })),
            answer => Self::of(answer),
        }
    }

    /// Is it about the mailbox, or the user, rather than the message that was to be put there (RFC 5530 section 3)? With no room
    /// for a message there is none for a larger one.
    pub(super) const fn is_for_all(&self) -> bool {
        matches!(
            self.code,
            Some(
                RefusalCode::OverQuota
                    | RefusalCode::NoPerm
                    | RefusalCode::ReadOnly
                    | RefusalCode::InUse
                    | RefusalCode::Unavailable
            )
        )
    }

    /// A refusal is an answer; any other failure is none.
    pub(super) fn of<T>(
        answer: std::result::Result<T, RemoteError>,
    ) -> std::result::Result<std::result::Result<T, Self>, RemoteError> {
        match answer {
            Ok(value) => Ok(Ok(value)),
            Err(RemoteError::Refused { code, text, .. }) => Ok(Err(Self { code, text })),
            Err(RemoteError::Impossible(text)) => Ok(Err(Self { code: None, text })),
            Err(error) => Err(error),
        }
    }
}

/// Why something is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) text: String,
    /// It may be otherwise after a while, without anybody's doing here (RFC 5530 section 3).
    pub(super) may_pass: bool,
}

impl From<Refusal> for Why {
    /// The server's words, and what helps where it is known.
    fn from(Refusal { code, text }: Refusal) -> Self {
        let may_pass = matches!(
            code,
            Some(RefusalCode::InUse | RefusalCode::Limit | RefusalCode::Unavailable | RefusalCode::OverQuota)
        );
        let advice = match code {
            Some(RefusalCode::OverQuota) => "; there is room once mail is deleted there",
            Some(RefusalCode::NoPerm) => "; only who owns the mailbox can grant it",
            Some(RefusalCode::TooBig) => {
                "; it never takes a message this large: save what you need of it, and discard the act"
            }
            _ => "",
        };
        Self { text: format!("{text}{advice}"), may_pass }
    }
}

impl From<String> for Why {
    fn from(text: String) -> Self {
        Self { text, may_pass: false }
    }
}

impl From<&str> for Why {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}
