//! Which mailboxes there are and how full they are: LIST, LSUB, STATUS, and all in one (RFC 5258, RFC 5819, RFC 6154).

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::allowance;
use super::capability::Capabilities;
use super::code::{Condition, StatusLine};
use super::command::Command;
use super::driver::Heard;
use super::namespace::Namespaces;
use super::remote::ImapRemote;
use super::untagged::{ListLine, MailboxStatus, Untagged};
use crate::sync::remote::{Listed, RemoteError, RemoteName, Status};
use crate::types::{QuotaUse, Rights, SpecialUse, limits};

/// Every mailbox.
pub(super) async fn list(remote: &mut ImapRemote) -> Result<Vec<Listed>, RemoteError> {
    let mut listed = list_somehow(remote).await?;
    if remote.hidden.is_none() {
        listed.extend(list_hidden(remote, &listed).await?);
    }
    allowance::fill_rights(remote, &mut listed).await?;
    Ok(listed)
}

async fn list_somehow(remote: &mut ImapRemote) -> Result<Vec<Listed>, RemoteError> {
    if let Some(listed) = remote.take_listing().and_then(|listing| listing.into_listed(remote).ok()) {
        return Ok(listed);
    }
    if remote.profile.uses_list_return && remote.capabilities.has("LIST-EXTENDED") {
        if let Some(listed) = list_extended(remote).await? {
            return Ok(listed);
        }
        // Old Cyrus and Kolab refuse what they offer (QUIRKS.md row 24); so it is not tried again.
        remote.profile.uses_list_return = false;
    }
    list_plain(remote).await
}

/// Mailboxes below the prefixes of namespaces of which the list shows nothing: some servers list them only to who asks for them
/// by that. Once on a connection; where there are any they are asked for along with the list from then on.
async fn list_hidden(remote: &mut ImapRemote, listed: &[Listed]) -> Result<Vec<Listed>, RemoteError> {
    let mut prefixes = remote.namespaces.without_any(listed);
    let mut found = Vec::new();
    if !prefixes.is_empty() {
        let mut listing = match remote.profile.uses_list_return && remote.capabilities.has("LIST-EXTENDED") {
            true => Listing::new(&remote.capabilities, remote.facts.cond_store),
            false => Listing::plain(&remote.capabilities),
        };
        let mut commands = Vec::new();
        listing.ask_for(&mut commands, &prefixes);
        let hear = &mut |heard| listing.hear(heard).map(|left| left.is_none());
        for answer in remote.driver.ask(commands, hear).await? {
            match remote.driver.check("LIST", answer) {
                // It lists nothing there, or may another time.
                Ok(_) | Err(RemoteError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        found = listing.mailboxes(&remote.namespaces);
        let without = remote.namespaces.without_any(&found);
        prefixes.retain(|prefix| !without.contains(prefix));
    }
    remote.hidden = Some(prefixes);
    Ok(found)
}

/// One LIST that tells all. `None`: the server refuses it.
async fn list_extended(remote: &mut ImapRemote) -> Result<Option<Vec<Listed>>, RemoteError> {
    let mut listing = Some(Listing::new(&remote.capabilities, remote.facts.cond_store));
    let mut commands = leaving(remote).await?;
    let list_at = listing.as_ref().map_or(0..0, |listing| listing.ask(&mut commands, &remote.foreign, remote.hidden()));
    let hear = &mut |heard| Listing::offer(&mut listing, heard).map(|left| left.is_none());
    let answers = remote.driver.ask(commands, hear).await?;
    let is_told = is_told(&answers, list_at);
    match listing.filter(|_| is_told) {
        Some(listing) => listing.into_listed(remote).map(Some),
        None => Ok(None),
    }
}

/// One LIST that tells all, and what is told in answer to it and to what is asked along with it.
pub(super) struct Listing {
    options: Vec<String>,
    asks_quota: bool,
    lines: Vec<ListLine>,
    statuses: Vec<MailboxStatus>,
    rights: HashMap<Vec<u8>, Rights>,
    quota: Option<Vec<QuotaUse>>,
}

impl Listing {
    /// Nothing is told yet of what one command tells.
    pub(super) fn new(capabilities: &Capabilities, cond_store: bool) -> Self {
        let options = [
            ("SUBSCRIBED", true),
            ("SPECIAL-USE", capabilities.has("SPECIAL-USE")),
            // RFC 8440.
            ("MYRIGHTS", capabilities.has("LIST-MYRIGHTS")),
        ];
        let mut options: Vec<String> =
            options.into_iter().filter(|(_, is_told)| *is_told).map(|(option, _)| option.to_owned()).collect();
        if capabilities.has("LIST-STATUS") {
            options.push(format!("STATUS ({})", status_items(cond_store)));
        }
        Self { options, ..Self::plain(capabilities) }
    }

    /// Nothing is told yet of what a plain LIST tells.
    fn plain(capabilities: &Capabilities) -> Self {
        Self {
            options: Vec::new(),
            asks_quota: capabilities.has("QUOTA"),
            lines: Vec::new(),
            statuses: Vec::new(),
            rights: HashMap::new(),
            quota: None,
        }
    }

    /// Adds what is asked, the list last; returns its place. `foreign`: mailboxes of which rights are asked one by one; `hidden`:
    /// prefixes of mailboxes that are listed only so.
    pub(super) fn ask(
        &self,
        commands: &mut Vec<Command<'static>>,
        foreign: &[RemoteName],
        hidden: &[String],
    ) -> Range<usize> {
        commands.extend(self.asks_quota.then(allowance::quota_command));
        if !self.options.iter().any(|option| option == "MYRIGHTS") {
            commands.extend(foreign.iter().map(allowance::rights_command));
        }
        let start = commands.len();
        self.ask_for(commands, hidden);
        self.ask_for(commands, &[String::new()]);
        start..commands.len()
    }

    /// Adds a LIST of what begins with each of these.
    fn ask_for(&self, commands: &mut Vec<Command<'static>>, prefixes: &[String]) {
        let options = match self.options.is_empty() {
            true => String::new(),
            false => format!(" RETURN ({})", self.options.join(" ")),
        };
        let pattern = |prefix: &String| RemoteName(format!("{prefix}*"));
        let list = |prefix| Command::new("LIST", "LIST \"\" ").mailbox(&pattern(prefix)).text(options.clone());
        commands.extend(prefixes.iter().map(list));
    }

    /// Offers it what is heard; gives back what is not its own.
    pub(super) fn offer(listing: &mut Option<Self>, heard: Heard) -> Result<Option<Heard>, RemoteError> {
        match listing {
            Some(listing) => listing.hear(heard),
            None => Ok(Some(heard)),
        }
    }

    fn hear(&mut self, heard: Heard) -> Result<Option<Heard>, RemoteError> {
        match heard {
            Heard::Untagged(Untagged::List(line)) => self.lines.push(line),
            Heard::Untagged(Untagged::MailboxStatus(status)) => self.statuses.push(status),
            Heard::Untagged(Untagged::MyRights(name, rights)) => drop(self.rights.insert(folded(&name), rights)),
            Heard::Untagged(Untagged::Quota(told)) if self.asks_quota => {
                let quota = self.quota.get_or_insert_default();
                quota.extend(told);
                quota.truncate(limits::UPSTREAM_QUOTA_RESOURCES_MAX);
            }
            heard => return Ok(Some(heard)),
        }
        if [self.lines.len(), self.statuses.len(), self.rights.len()].iter().any(|count| *count > limits::MAILBOXES_MAX)
        {
            let text = format!("more than {} mailboxes", limits::MAILBOXES_MAX);
            return Err(RemoteError::Protocol { request: "LIST", text });
        }
        Ok(None)
    }

    /// The mailboxes, each with its status and its rights where they were told. Quota is left with the connection.
    fn into_listed(mut self, remote: &mut ImapRemote) -> Result<Vec<Listed>, RemoteError> {
        remote.quota = self.quota.take().or_else(|| (!self.asks_quota).then(Vec::new));
        let listed = self.mailboxes(&remote.namespaces);
        // There is always INBOX: an empty list is a failure, whatever the server calls it.
        match listed.is_empty() {
            true => {
                let text = "no mailbox is listed, not even INBOX".to_owned();
                Err(RemoteError::Protocol { request: "LIST", text })
            }
            false => Ok(listed),
        }
    }

    fn mailboxes(&self, namespaces: &Namespaces) -> Vec<Listed> {
        let mut listed = mailboxes(namespaces, &self.lines);
        let by_name: HashMap<Vec<u8>, &MailboxStatus> =
            self.statuses.iter().map(|status| (folded(&status.name), status)).collect();
        for mailbox in &mut listed {
            let name = folded(mailbox.name.0.as_bytes());
            mailbox.status = by_name.get(&name).and_then(|status| told(status));
            mailbox.rights = self.rights.get(&name).copied();
        }
        listed
    }
}

/// What goes before a question for status while a mailbox is selected: of that one, servers (Dovecot is one) tell what
/// this session has seen of it (RFC 3501 section 6.3.10), so it is left. Sent along, that costs no round trip. Without
/// UNSELECT a NOOP makes it all there is; its end is waited for, because Dovecot answers a LIST sent along with it first.
async fn leaving(remote: &mut ImapRemote) -> Result<Vec<Command<'static>>, RemoteError> {
    if !remote.is_in_one {
        return Ok(Vec::new());
    }
    if remote.facts.unselect {
        remote.has_left();
        return Ok(vec![Command::new("UNSELECT", "UNSELECT")]);
    }
    remote.plain(Command::new("NOOP", "NOOP")).await.map(|()| Vec::new())
}

/// LIST and LSUB.
async fn list_plain(remote: &mut ImapRemote) -> Result<Vec<Listed>, RemoteError> {
    let mut commands = leaving(remote).await?;
    let mut listing = Listing::plain(&remote.capabilities);
    let list_at = listing.ask(&mut commands, &remote.foreign, remote.hidden());
    commands.push(Command::new("LSUB", "LSUB \"\" \"*\""));
    let mut subscribed = BTreeSet::new();
    let hear = &mut |heard| match heard {
        Heard::Untagged(Untagged::Lsub(line)) => {
            // \Noselect here means: not subscribed itself, something below it is (RFC 3501 section 6.3.9).
            if !line.has("\\Noselect") && subscribed.len() < limits::MAILBOXES_MAX {
                subscribed.insert(folded(&line.name));
            }
            Ok(true)
        }
        // Nobody asked.
        Heard::Untagged(Untagged::MailboxStatus(_)) => Ok(true),
        heard => listing.hear(heard).map(|left| left.is_none()),
    };
    let answers = remote.driver.ask(commands, hear).await?;
    for (place, answer) in answers.into_iter().enumerate().skip(list_at.start) {
        remote.driver.check(if list_at.contains(&place) { "LIST" } else { "LSUB" }, answer)?;
    }
    let mut listed = listing.into_listed(remote)?;
    for mailbox in &mut listed {
        mailbox.subscribed = subscribed.contains(&folded(mailbox.name.0.as_bytes()));
    }
    Ok(listed)
}

/// The mailboxes of LIST lines, each once, without status.
fn mailboxes(namespaces: &Namespaces, lines: &[ListLine]) -> Vec<Listed> {
    let mut seen = BTreeSet::new();
    let mut listed = Vec::new();
    for line in lines {
        let Ok(name) = String::from_utf8(line.name.clone()) else {
            tracing::warn!(name = %String::from_utf8_lossy(&line.name), "a mailbox name is not text; it is left out");
            continue;
        };
        let components = namespaces.components(&name, line.delimiter);
        if components.is_empty() || !seen.insert(folded(&line.name)) {
            continue;
        }
        listed.push(Listed {
            name: RemoteName(name),
            delimiter: line.delimiter,
            components,
            selectable: !line.has("\\Noselect") && !line.has("\\NonExistent"),
            special_use: line.attributes.iter().find_map(|attribute| SpecialUse::parse(attribute)),
            subscribed: line.has("\\Subscribed"),
            status: None,
            rights: None,
        });
    }
    listed
}

/// Was everything that was asked there answered with OK?
pub(super) fn is_told(answers: &[StatusLine], at: Range<usize>) -> bool {
    answers.get(at).is_some_and(|answers| answers.iter().all(|answer| answer.condition == Condition::Ok))
}

/// STATUS of each, pipelined.
pub(super) async fn status(
    remote: &mut ImapRemote,
    names: &[RemoteName],
) -> Result<Vec<Result<Status, RemoteError>>, RemoteError> {
    let items = status_items(remote.facts.cond_store);
    let command = |name| Command::new("STATUS", "STATUS ").mailbox(name).text(format!(" ({items})"));
    let mut told_of: Vec<Option<MailboxStatus>> = names.iter().map(|_| None).collect();
    let mut unclaimed: Vec<MailboxStatus> = Vec::new();
    let hear = &mut |heard| match heard {
        Heard::Untagged(Untagged::MailboxStatus(status)) => {
            match names.iter().position(|name| is_named(&status.name, name)) {
                Some(place) => told_of[place] = Some(status),
                // Of several it is not known which is meant.
                None if unclaimed.len() < 2 => unclaimed.push(status),
                None => {}
            }
            Ok(true)
        }
        // Spelt otherwise than we asked: it is the answer to the command that was answered next.
        Heard::Answered(place, _) => {
            if told_of[place].is_none() && unclaimed.len() == 1 {
                told_of[place] = unclaimed.pop();
            }
            unclaimed.clear();
            Ok(true)
        }
        _ => Ok(false),
    };
    let answers = remote.driver.ask(names.iter().map(command).collect(), hear).await?;
    let status = |(answer, status): (_, Option<MailboxStatus>)| {
        remote.driver.check("STATUS", answer)?;
        status.as_ref().and_then(told).ok_or_else(|| RemoteError::Refused {
            request: "STATUS",
            code: None,
            text: "OK without UIDVALIDITY and the number of messages".to_owned(),
        })
    };
    Ok(answers.into_iter().zip(told_of).map(status).collect())
}

/// What is asked of a mailbox.
const fn status_items(cond_store: bool) -> &'static str {
    match cond_store {
        true => "MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ",
        false => "MESSAGES UIDNEXT UIDVALIDITY",
    }
}

/// `None`: too little was told to be of use.
fn told(status: &MailboxStatus) -> Option<Status> {
    Some(Status {
        messages: status.messages?,
        uid_next: status.uid_next,
        uid_validity: status.uid_validity?,
        highest_mod_seq: status.highest_mod_seq,
    })
}

fn is_named(spelling: &[u8], name: &RemoteName) -> bool {
    folded(spelling) == folded(name.0.as_bytes())
}

/// A name as names compare: INBOX in any case is one (RFC 3501 section 5.1).
fn folded(name: &[u8]) -> Vec<u8> {
    if name.eq_ignore_ascii_case(b"INBOX") { b"INBOX".to_vec() } else { name.to_vec() }
}
