//! LIST, LSUB, NAMESPACE (RFC 3501 sections 6.3.8, 6.3.9; RFC 2342, 3348, 5258, 5819, 6154).

use std::collections::{BTreeMap, BTreeSet};

use super::acl::write_my_rights;
use super::backend::{Account, Backend, Mailbox};
use super::config::Capability;
use super::metadata::write_named;
use super::pattern::{Matching, Pattern};
use super::reply::{Context, Done, Progress, Refusal, Reply, Task, User};
use super::status::{check_items, summed, write_status};
use super::table::Outcome;
use crate::imap::syntax::mailbox::{List, ListForms, ListReturn, StatusItem};
use crate::imap::syntax::metadata::EntryName;
use crate::imap::syntax::quote::{write_mailbox, write_string};
use crate::imap::syntax::{MailboxArgument, NameForm, Parser};
use crate::types::{MailboxName, SpecialUse};

/// `namespace-response = "*" SP "NAMESPACE" SP namespace SP namespace SP namespace`: the user's own, other users', shared (RFC
/// 2342 section 6).
pub fn namespace<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    args.end()?;
    let delimiter = MailboxName::DELIMITER;
    let others = match user.account.namespaces() {
        Some(names) => names.map(|name| format!("((\"{name}{delimiter}\" \"{delimiter}\"))")),
        None => ["NIL".to_owned(), "NIL".to_owned()],
    };
    context.untagged(format_args!("NAMESPACE ((\"\" \"{delimiter}\")) {}", others.join(" ")));
    Done::ok("Namespaces told")
}

pub fn list<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let forms = ListForms {
        extended: context.has(Capability::ListExtended),
        status: context.has(Capability::ListStatus),
        special_use: context.has(Capability::SpecialUse),
        metadata: context.has(Capability::ListMetadata),
        my_rights: context.has(Capability::ListMyRights),
    };
    let wanted = args.list_command(forms)?;
    check_items(context, user, &wanted.returns.status)?;
    if !wanted.extended && wanted.patterns.iter().all(Vec::is_empty) {
        // A request for the delimiter (RFC 3501 section 6.3.8).
        context.untagged(format_args!("LIST (\\Noselect) \"{}\" \"\"", MailboxName::DELIMITER));
        return Done::ok("Listed");
    }
    let names = Names::of(user.account.list()?, subscriptions_wanted(&wanted, &mut user.account)?);
    // "In the extended syntax, any mailbox name arguments that are empty strings are ignored" (RFC 5258 section 3).
    let patterns = wanted.patterns.iter().filter(|pattern| !wanted.extended || !pattern.is_empty());
    let patterns = patterns.map(|pattern| Pattern::new(&wanted.reference, pattern)).collect();
    let matching = Matching::new(patterns, names.names.keys().cloned().collect());
    let ListReturn { status, metadata, my_rights, .. } = wanted.returns.clone();
    let stage = Stage::Matching(matching, Wanted::List(names, Box::new(wanted)));
    Ok(Done::Run(Box::new(Listing { stage, status, metadata, my_rights })))
}

/// The LIST response of a mailbox that is selected: "the list of mailbox attributes MUST be accurate" (RFC 9051
/// section 6.3.2). Where it was called something else, that is told: `("OLDNAME" ("inbox"))` (section 8).
pub fn list_selected<A: Account>(
    context: &mut Context,
    account: &mut A,
    name: &MailboxName,
    MailboxArgument(called): &MailboxArgument,
) -> Result<(), Refusal> {
    let names = Names::of(account.list()?, Vec::new());
    if let Some(mailbox) = names.names.get(name) {
        let mut line = names.line(&List::default(), context, name, mailbox.as_ref(), false).text;
        if called != name.as_str().as_bytes() {
            add_old_name(&mut line, |line| write_string(line, called));
        }
        context.out.extend_from_slice(&line);
    }
    Ok(())
}

/// A mailbox of which something is to be told that the user has no right to know (RFC 5465 section 3.1).
pub fn write_no_access(context: &mut Context, name: &MailboxName) {
    let line = line("LIST", "\\NoAccess", name, context.enabled.name_form(), "");
    context.out.extend_from_slice(&line);
}

/// `oldname-extended-item = "OLDNAME" SP "(" mailbox ")"`
fn add_old_name(line: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    line.truncate(line.len() - "\r\n".len());
    line.extend_from_slice(b" (\"OLDNAME\" (");
    write(line);
    line.extend_from_slice(b"))\r\n");
}

/// Subscribed names, where the command asks for them: they need not exist.
fn subscriptions_wanted<A: Account>(wanted: &List, account: &mut A) -> Result<Vec<MailboxName>, Refusal> {
    match wanted.select.subscribed {
        true => Ok(account.subscriptions()?),
        false => Ok(Vec::new()),
    }
}

/// Subscribed names. With `%` a name that is not subscribed but has subscribed ones below shows as `\Noselect`
/// (RFC 3501 section 6.3.9).
pub fn lsub<B: Backend>(_: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let wanted = args.lsub()?;
    let pattern = Pattern::new(&wanted.reference, &wanted.patterns[0]);
    let subscribed: BTreeSet<MailboxName> = user.account.subscriptions()?.into_iter().collect();
    let mut names = subscribed.clone();
    if pattern.ends_in_percent {
        names.extend(subscribed.iter().flat_map(ancestors));
    }
    let stage = Stage::Matching(Matching::new(vec![pattern], names), Wanted::Lsub(subscribed));
    Ok(Done::Run(Box::new(Listing { stage, status: Vec::new(), metadata: Vec::new(), my_rights: false })))
}

/// The LSUB responses: a name that matches and is not subscribed is above one that does not match.
fn lsub_lines(subscribed: &BTreeSet<MailboxName>, matching: &BTreeSet<MailboxName>, form: NameForm) -> Vec<Line> {
    let hidden = subscribed.iter().filter(|name| !matching.contains(*name));
    let levels: BTreeSet<MailboxName> = hidden.flat_map(ancestors).collect();
    let shown = matching.iter().filter(|name| subscribed.contains(*name) || levels.contains(*name));
    let lines = shown.map(|name| {
        let attributes = if subscribed.contains(name) { "" } else { "\\Noselect" };
        Line { text: line("LSUB", attributes, name, form, ""), status_of: None, mailbox: None }
    });
    lines.collect()
}

/// LIST or LSUB on its way.
struct Listing {
    stage: Stage,
    status: Vec<StatusItem>,
    /// Annotations that follow a mailbox's line (RFC 9590).
    metadata: Vec<EntryName>,
    /// MYRIGHTS follows a mailbox's line (RFC 8440).
    my_rights: bool,
}

enum Stage {
    /// The names are held against the patterns, some a step.
    Matching(Matching, Wanted),
    /// Responses made and not yet written.
    Writing(std::vec::IntoIter<Line>),
}

/// What is made of the names that match.
enum Wanted {
    List(Names, Box<List>),
    /// The subscribed names.
    Lsub(BTreeSet<MailboxName>),
}

struct Line {
    text: Vec<u8>,
    /// STATUS follows (RFC 5819).
    status_of: Option<MailboxName>,
    /// It is one, selectable or not, and what it is for.
    mailbox: Option<(MailboxName, Option<SpecialUse>)>,
}

impl<A: Account> Task<A> for Listing {
    fn progress(&self) -> Option<(usize, usize)> {
        match &self.stage {
            Stage::Matching(matching, _) => Some(matching.progress()),
            Stage::Writing(_) => None,
        }
    }

    fn step(&mut self, context: &mut Context, user: &mut User<A>) -> Result<Progress, Refusal> {
        let lines = match &mut self.stage {
            Stage::Matching(matching, wanted) => {
                if !matching.step(context.enabled.name_form()) {
                    let lines = match wanted {
                        Wanted::List(names, wanted) => names.listed(wanted, &matching.matching, context),
                        Wanted::Lsub(subscribed) => {
                            lsub_lines(subscribed, &matching.matching, context.enabled.name_form())
                        }
                    };
                    self.stage = Stage::Writing(lines.into_iter());
                }
                return Ok(Progress::More);
            }
            Stage::Writing(lines) => lines,
        };
        let Some(line) = lines.next() else { return Ok(Progress::Done(Reply::new("Listed"))) };
        context.out.extend_from_slice(&line.text);
        // "If the server runs into unexpected problems while trying to look up the STATUS information, it MAY drop the
        // corresponding STATUS reply" (RFC 5819 section 2).
        if let Some(name) = line.status_of.filter(|_| !self.status.is_empty())
            && let Ok(status) = user.account.status(&name, summed(&self.status))
        {
            write_status(context, &name, &self.status, &status);
        }
        let Some((name, special_use)) = line.mailbox else { return Ok(Progress::More) };
        if !self.metadata.is_empty()
            && let Ok(annotations) = user.account.metadata(Some(&name))
        {
            write_named(context, &name, special_use, &self.metadata, annotations);
        }
        // "If the server is unable to look up the set of rights for a given mailbox, it does not send the MYRIGHTS reply" (RFC
        // 8440 section 3).
        if self.my_rights
            && let Ok(rights) = user.account.rights(&name)
        {
            write_my_rights(context, &name, rights);
        }
        Ok(Progress::More)
    }
}

/// Every name that can be listed: mailboxes, subscribed names without one, and the levels between.
pub struct Names {
    names: BTreeMap<MailboxName, Option<Mailbox>>,
    subscribed: BTreeSet<MailboxName>,
    /// Names with others below.
    parents: BTreeSet<MailboxName>,
}

impl Names {
    pub fn of(mailboxes: Vec<Mailbox>, subscribed: Vec<MailboxName>) -> Self {
        let mut names: BTreeMap<MailboxName, Option<Mailbox>> = BTreeMap::new();
        let mut parents = BTreeSet::new();
        for mailbox in mailboxes {
            for above in ancestors(&mailbox.name) {
                names.entry(above.clone()).or_insert(None);
                parents.insert(above);
            }
            names.insert(mailbox.name.clone(), Some(mailbox));
        }
        for name in &subscribed {
            names.entry(name.clone()).or_insert(None);
            for above in ancestors(name) {
                names.entry(above).or_insert(None);
            }
        }
        Self { names, subscribed: subscribed.into_iter().collect(), parents }
    }

    /// The LIST response of a name that came, went, or had another name before (RFC 5465 sections 5.4, 5.5).
    pub fn write_change(&self, context: &mut Context, name: &MailboxName, old_name: Option<&MailboxName>) {
        let returns = ListReturn { subscribed: true, ..ListReturn::default() };
        let told = List { extended: true, returns, ..List::default() };
        let mailbox = self.names.get(name).and_then(Option::as_ref);
        let mut line = self.line(&told, context, name, mailbox, false).text;
        if let Some(old_name) = old_name {
            add_old_name(&mut line, |line| write_mailbox(line, old_name, context.enabled.name_form()));
        }
        context.out.extend_from_slice(&line);
    }

    /// The LIST responses, in the order of the names.
    fn listed(&self, wanted: &List, matching: &BTreeSet<MailboxName>, context: &Context) -> Vec<Line> {
        let matches = |name: &MailboxName| matching.contains(name);
        let (mut have_selected_below, mut stand_for_one) = (BTreeSet::new(), BTreeSet::new());
        for (name, mailbox) in self.names.iter().filter(|_| wanted.select.recursive_match) {
            if self.selects(wanted, name, mailbox.as_ref()) {
                have_selected_below.extend(ancestors(name));
                if !matches(name) {
                    stand_for_one.extend(ancestors(name));
                }
            }
        }
        let matching = self.names.iter().filter(|(name, _)| matches(name));
        matching
            .filter_map(|(name, mailbox)| {
                // "Servers SHOULD only return a non-matching mailbox name along with CHILDINFO if at least one matching child is
                // not also being returned" (RFC 5258 section 3.5).
                let selected = self.selects(wanted, name, mailbox.as_ref());
                if !selected && !stand_for_one.contains(name) {
                    return None;
                }
                let line = self.line(wanted, context, name, mailbox.as_ref(), have_selected_below.contains(name));
                // More is told of "each selectable mailbox matching the list pattern and selection options" alone (RFC 5819
                // section 2, RFC 8440 section 3).
                Some(if selected { line } else { Line { status_of: None, mailbox: None, ..line } })
            })
            .collect()
    }

    /// Does the name meet the selection options?
    fn selects(&self, wanted: &List, name: &MailboxName, mailbox: Option<&Mailbox>) -> bool {
        let select = wanted.select;
        if !select.subscribed && !select.special_use {
            // A name that is no mailbox stands for a level of hierarchy, which only plain listing shows.
            return mailbox.is_some() || self.parents.contains(name);
        }
        (!select.subscribed || self.subscribed.contains(name))
            && (!select.special_use || mailbox.is_some_and(|mailbox| mailbox.special_use.is_some()))
    }

    fn line(
        &self,
        wanted: &List,
        context: &Context,
        name: &MailboxName,
        mailbox: Option<&Mailbox>,
        child_info: bool,
    ) -> Line {
        let mut attributes: Vec<&str> = Vec::new();
        match mailbox {
            // RFC 5258 section 3: \NonExistent implies \Noselect; a client of the old form knows only the latter.
            None if wanted.extended || context.enabled.rev2 => attributes.push("\\NonExistent"),
            None => attributes.push("\\Noselect"),
            Some(mailbox) if !mailbox.selectable => attributes.push("\\Noselect"),
            Some(_) => {}
        }
        if context.has(Capability::Children) || wanted.returns.children {
            attributes.push(if self.parents.contains(name) { "\\HasChildren" } else { "\\HasNoChildren" });
        }
        let subscribed = self.subscribed.contains(name) || mailbox.is_some_and(|mailbox| mailbox.subscribed);
        if subscribed && (wanted.select.subscribed || wanted.returns.subscribed) {
            attributes.push("\\Subscribed");
        }
        let special_use = mailbox.and_then(|mailbox| mailbox.special_use);
        if let Some(special_use) = special_use.filter(|_| context.has(Capability::SpecialUse)) {
            attributes.push(special_use.as_str());
        }
        let criteria = match (wanted.select.subscribed, wanted.select.special_use) {
            (true, true) => "\"SUBSCRIBED\" \"SPECIAL-USE\"",
            (true, false) => "\"SUBSCRIBED\"",
            (false, _) => "\"SPECIAL-USE\"",
        };
        let extra = if child_info { format!(" (\"CHILDINFO\" ({criteria}))") } else { String::new() };
        let status_of = mailbox.filter(|mailbox| mailbox.selectable).map(|mailbox| mailbox.name.clone());
        let form = context.enabled.name_form();
        Line {
            text: line("LIST", &attributes.join(" "), name, form, &extra),
            status_of,
            mailbox: mailbox.map(|mailbox| (mailbox.name.clone(), special_use)),
        }
    }
}

/// `mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox [SP mbox-list-extended]`
fn line(command: &str, attributes: &str, name: &MailboxName, form: NameForm, extra: &str) -> Vec<u8> {
    let mut line = format!("* {command} ({attributes}) \"{}\" ", MailboxName::DELIMITER).into_bytes();
    write_mailbox(&mut line, name, form);
    line.extend_from_slice(extra.as_bytes());
    line.extend_from_slice(b"\r\n");
    line
}

/// The names above, nearest first.
fn ancestors(name: &MailboxName) -> Vec<MailboxName> {
    std::iter::successors(name.parent(), MailboxName::parent).collect()
}
