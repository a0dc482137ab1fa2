//! [`ImapRemote`]: one connection to an account, as the rest of the program sees it.

use std::time::Duration;

use tokio::time::Instant;

use super::capability::Capabilities;
use super::command::Command;
use super::driver::Driver;
use super::list::{self, Listing};
use super::namespace::Namespaces;
use super::profile::Profile;
use super::{append, folders, messages, select, tour, transfer, wait};
use crate::message::search::Query;
use crate::sync::remote::{
    AppendsTold, CopyUid, Excerpt, Facts, Fetched, Fingerprinted, Interrupt, Known, Listed, MessageSink, News,
    Outgoing, Remote, RemoteError, RemoteName, Scanned, Selected, Status, Woken,
};
use crate::sync::tour::{Guide, Stop};
use crate::types::{Flags, ModSeq, Quirks, QuotaUse, RemoteUid, SpecialUse, UidSet, limits};

/// A connection to an IMAP account, logged in. Made by [`super::Connector`].
pub struct ImapRemote {
    pub(super) driver: Driver,
    pub(super) facts: Facts,
    pub(super) capabilities: Capabilities,
    pub(super) profile: Profile,
    pub(super) namespaces: Namespaces,
    /// The mailbox that is known to be selected.
    pub(super) selected: Option<SelectedMailbox>,
    /// The server may have one selected, which need not be known: a tour was made, or a SELECT was refused, which leaves the last
    /// one selected on some.
    pub(super) is_in_one: bool,
    /// Mailboxes of others, as listed last.
    pub(super) foreign: Vec<RemoteName>,
    /// The prefixes of mailboxes that are listed only to who asks for them by that; `None`: that is not known yet.
    pub(super) hidden: Option<Vec<String>>,
    /// How much may be kept and is, as told along with the last list.
    pub(super) quota: Option<Vec<QuotaUse>>,
    /// Without IDLE: how soon it is asked for changes.
    pub(super) poll_ms: u64,
    ahead: Option<Ahead>,
}

/// The list of mailboxes, asked for ahead of time in a burst with something else: good while nothing else is asked, for a
/// moment.
struct Ahead {
    listing: Listing,
    sent: u64,
    at: Instant,
}

/// How long what was asked ahead is as good as an answer that is asked for now.
const AHEAD_MAX: Duration = Duration::from_secs(2);

/// The mailbox selected.
pub(super) struct SelectedMailbox {
    pub uid_next: Option<RemoteUid>,
    /// How many messages there were.
    pub exists: u32,
}

impl ImapRemote {
    pub(super) const fn new(
        driver: Driver,
        facts: Facts,
        capabilities: Capabilities,
        profile: Profile,
        namespaces: Namespaces,
    ) -> Self {
        Self {
            driver,
            facts,
            capabilities,
            profile,
            namespaces,
            selected: None,
            is_in_one: false,
            foreign: Vec::new(),
            hidden: None,
            quota: None,
            poll_ms: limits::UPSTREAM_POLL_MIN_MS,
            ahead: None,
        }
    }

    /// Did the server say goodbye? What it answers before it hangs up may be no more than that it asks to wait (QUIRKS.md row 19).
    pub const fn is_ending(&self) -> bool {
        self.driver.is_ending()
    }

    /// Has the server tell of every mailbox by itself, to whoever waits. Once on a connection.
    pub async fn notify(&mut self) -> Result<(), RemoteError> {
        wait::notify(self).await
    }

    /// What it told since last asked.
    pub fn take_news(&mut self) -> Vec<News> {
        self.driver.take_news()
    }

    /// Does one command tell all of every mailbox?
    pub(super) fn lists_at_once(&self) -> bool {
        self.profile.uses_list_return && ["LIST-EXTENDED", "LIST-STATUS"].iter().all(|name| self.capabilities.has(name))
    }

    /// No mailbox is selected any more.
    pub(super) fn has_left(&mut self) {
        self.selected = None;
        self.is_in_one = false;
    }

    /// Keeps a list just told for the next call of `list`.
    pub(super) fn keep_listing(&mut self, listing: Listing) {
        self.ahead = Some(Ahead { listing, sent: self.driver.sent(), at: Instant::now() });
    }

    pub(super) fn hidden(&self) -> &[String] {
        self.hidden.as_deref().unwrap_or_default()
    }

    /// The list that was told ahead, if it is as good as one asked for now.
    pub(super) fn take_listing(&mut self) -> Option<Listing> {
        let ahead = self.ahead.take()?;
        (ahead.sent == self.driver.sent() && ahead.at.elapsed() < AHEAD_MAX).then_some(ahead.listing)
    }

    /// As what the server is known, and its ways that are not the standard's, for people; `None`: it has none.
    pub fn known_ways(&self) -> Option<String> {
        let Profile { known_as, quirks, .. } = &self.profile;
        let is_standard = known_as.is_empty() && *quirks == Quirks::default();
        (!is_standard).then(|| match known_as.is_empty() {
            true => format!("ways of its own: {quirks}"),
            false => format!("known as {}: {quirks}", known_as.join(" and ")),
        })
    }

    /// The set in pieces that fit a command line, beside so many other bytes.
    pub(super) fn pieces(&self, uids: &UidSet<RemoteUid>, other_bytes: usize) -> Vec<UidSet<RemoteUid>> {
        uids.split(self.profile.command_line_max_bytes.saturating_sub(other_bytes + 20).max(100))
    }

    /// As [`Self::plain`], of a command that may as well be done a minute later, if the server asks to wait.
    pub(super) async fn in_time(&mut self, command: Command<'static>) -> Result<(), RemoteError> {
        let request = command.request;
        for answer in self.driver.ask(vec![command], &mut |_| Ok(false)).await? {
            self.driver.check(request, answer)?;
        }
        Ok(())
    }

    /// Runs a command that is answered by its tagged line alone.
    pub(super) async fn plain(&mut self, command: Command<'_>) -> Result<(), RemoteError> {
        self.driver.run_plain(command).await.map(|_| ())
    }
}

impl Remote for ImapRemote {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn list(&mut self) -> Result<Vec<Listed>, RemoteError> {
        list::list(self).await
    }

    fn take_quota(&mut self) -> Option<Vec<QuotaUse>> {
        self.quota.take()
    }

    async fn status(&mut self, names: &[RemoteName]) -> Result<Vec<Result<Status, RemoteError>>, RemoteError> {
        list::status(self, names).await
    }

    fn name_for(&self, components: &[&str], delimiter: Option<char>) -> Result<RemoteName, RemoteError> {
        self.namespaces.name_for(components, delimiter)
    }

    async fn create(&mut self, name: &RemoteName, special_use: Option<SpecialUse>) -> Result<(), RemoteError> {
        folders::create(self, name, special_use).await
    }

    async fn rename(&mut self, from: &RemoteName, to: &RemoteName) -> Result<(), RemoteError> {
        folders::rename(self, from, to).await
    }

    async fn delete(&mut self, name: &RemoteName) -> Result<(), RemoteError> {
        folders::delete(self, name).await
    }

    async fn set_subscribed(&mut self, name: &RemoteName, subscribed: bool) -> Result<(), RemoteError> {
        folders::set_subscribed(self, name, subscribed).await
    }

    async fn select(&mut self, name: &RemoteName, known: Option<Known>) -> Result<Selected, RemoteError> {
        select::select(self, name, known).await
    }

    async fn uids(&mut self) -> Result<UidSet<RemoteUid>, RemoteError> {
        messages::search(self, "ALL").await
    }

    async fn find(&mut self, key: &Query) -> Result<UidSet<RemoteUid>, RemoteError> {
        messages::find(self, key).await
    }

    async fn present(&mut self, uids: &UidSet<RemoteUid>) -> Result<UidSet<RemoteUid>, RemoteError> {
        messages::present(self, uids).await
    }

    async fn deleted_uids(&mut self) -> Result<UidSet<RemoteUid>, RemoteError> {
        messages::search(self, "DELETED").await
    }

    async fn scan(
        &mut self,
        uids: &UidSet<RemoteUid>,
        changed_since: Option<ModSeq>,
    ) -> Result<Vec<Scanned>, RemoteError> {
        messages::scan(self, uids, changed_since).await
    }

    async fn fingerprints(&mut self, uids: &UidSet<RemoteUid>) -> Result<Vec<Fingerprinted>, RemoteError> {
        messages::fingerprints(self, uids).await
    }

    async fn identify(&mut self, uids: &UidSet<RemoteUid>) -> Result<Vec<Fetched>, RemoteError> {
        messages::identify(self, uids).await
    }

    async fn outline(&mut self, uids: &UidSet<RemoteUid>, sink: &mut dyn MessageSink) -> Result<(), RemoteError> {
        messages::outline(self, uids, sink).await
    }

    async fn excerpts(&mut self, wanted: &[Excerpt], sink: &mut dyn MessageSink) -> Result<(), RemoteError> {
        messages::excerpts(self, wanted, sink).await
    }

    async fn fetch(&mut self, uids: &UidSet<RemoteUid>, sink: &mut dyn MessageSink) -> Result<(), RemoteError> {
        messages::fetch(self, uids, sink).await
    }

    fn take_vanished(&mut self) -> UidSet<RemoteUid> {
        self.driver.take_vanished()
    }

    async fn add_flags(&mut self, uids: &UidSet<RemoteUid>, flags: &Flags) -> Result<UidSet<RemoteUid>, RemoteError> {
        transfer::store(self, uids, '+', flags).await
    }

    async fn remove_flags(
        &mut self,
        uids: &UidSet<RemoteUid>,
        flags: &Flags,
    ) -> Result<UidSet<RemoteUid>, RemoteError> {
        transfer::store(self, uids, '-', flags).await
    }

    async fn expunge(&mut self, uids: &UidSet<RemoteUid>) -> Result<(), RemoteError> {
        transfer::expunge(self, uids).await
    }

    async fn expunge_all_deleted(&mut self) -> Result<(), RemoteError> {
        self.plain(Command::new("EXPUNGE", "EXPUNGE")).await
    }

    async fn copy(&mut self, uids: &UidSet<RemoteUid>, to: &RemoteName) -> Result<Option<CopyUid>, RemoteError> {
        transfer::copy(self, "COPY", uids, to).await
    }

    async fn move_messages(
        &mut self,
        uids: &UidSet<RemoteUid>,
        to: &RemoteName,
    ) -> Result<Option<CopyUid>, RemoteError> {
        if !self.facts.r#move {
            return Err(RemoteError::Impossible("this server has no MOVE".to_owned()));
        }
        transfer::copy(self, "MOVE", uids, to).await
    }

    async fn append(
        &mut self,
        to: &RemoteName,
        messages: Vec<Outgoing<'_>>,
        told: &mut AppendsTold<'_>,
    ) -> Result<(), RemoteError> {
        append::append(self, to, messages, told).await
    }

    async fn tour(&mut self, stops: &[Stop], guide: &mut dyn Guide, then_lists: bool) -> Result<(), RemoteError> {
        tour::tour(self, stops, guide, then_lists).await
    }

    async fn wait(&mut self, max_ms: u64, interrupt: Interrupt<'_>) -> Result<Woken, RemoteError> {
        wait::wait(self, max_ms, interrupt).await
    }

    async fn logout(&mut self) {
        wait::logout(self).await;
    }
}
