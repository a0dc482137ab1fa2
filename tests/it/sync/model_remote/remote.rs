//! A connection: what the agent says to it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use mailtide::message::search::Query;
use mailtide::message::section::resolve;
use mailtide::message::{Scanner, Section, SectionText};
use mailtide::sync::remote::{
    AppendsTold, CopyUid, Described, Excerpt, Facts, Fetched, Fingerprinted, Interrupt, Known, Listed, MessageSink,
    Outgoing, RefusalCode, Remote, RemoteError, RemoteName, Resync, Scanned, Selected, Status, Woken,
};
use mailtide::sync::tour::{Errand, Guide, Stop, run};
use mailtide::types::{Flags, ModSeq, RemoteUid, SpecialUse, SystemFlag, UidSet, UidValidity};

use super::state::{Letter, refused};
use super::{Appends, Cut, Here, Message, Server, State};

/// One connection to it.
pub struct ModelRemote {
    pub(super) server: Server,
    pub(super) facts: Facts,
    pub(super) selected: Option<String>,
    pub(super) is_dead: bool,
}

impl ModelRemote {
    /// Runs a call unless the line is cut before it; loses the answer if it is cut after it.
    fn call<T>(
        &mut self,
        changes: bool,
        work: impl FnOnce(&mut State, Option<&str>) -> Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        let lost = || RemoteError::Lost { host: "model".to_owned(), cause: "cut".to_owned() };
        if self.is_dead {
            return Err(lost());
        }
        let mut state = self.server.state();
        state.calls += 1;
        let (calls, cut) = (state.calls, state.cut);
        let is_due = |deed: &mut (usize, &'static str, u32, &'static str)| deed.0 == calls;
        let deeds = [state.meanwhile.take_if(is_due), state.then.take_if(is_due)];
        for (_, from, uid, to) in deeds.into_iter().flatten() {
            if !state.mailboxes.contains_key(to) {
                state.create(to);
            }
            if state.mailboxes.get(from).is_some_and(|mailbox| mailbox.messages.contains_key(&uid)) {
                state.move_message(from, uid, to);
            }
        }
        if let Some((_, from, to)) = state.renamed.take_if(|(nth, ..)| *nth == calls)
            && state.mailboxes.contains_key(from)
        {
            state.rename(from, to);
        }
        if let Some((_, name)) = state.emptied.take_if(|(nth, _)| *nth == calls)
            && let Some(mailbox) = state.mailboxes.get(name)
        {
            let uids: Vec<u32> = mailbox.messages.keys().copied().collect();
            for uid in uids {
                state.move_message(name, uid, "INBOX");
            }
            state.mailboxes.remove(name);
        }
        if let Some((_, name, uid)) = state.marked.take_if(|(nth, ..)| *nth == calls) {
            let mailbox = state.mailboxes.get_mut(name).expect("a mailbox");
            let mod_seq = mailbox.touch();
            let message = mailbox.messages.get_mut(&uid).expect("a message");
            (message.flags, message.mod_seq) = (crate::sync::flags("\\Deleted"), mod_seq);
        }
        if let Some((_, Here(act))) = state.here.take_if(|(nth, _)| *nth == calls) {
            act();
        }
        let moment = (state.commits.load(Ordering::SeqCst), state.telling.len(), state.entered);
        state.moments.push(moment);
        if cut == Cut::Before(calls) {
            self.is_dead = true;
            return Err(lost());
        }
        let answer = work(&mut state, self.selected.as_deref());
        if changes && answer.is_ok() {
            state.changes += 1;
            state.telling.push(calls);
        }
        if cut == Cut::After(calls) {
            self.is_dead = true;
            return Err(lost());
        }
        answer
    }
}

fn special_use(name: &str) -> Option<SpecialUse> {
    SpecialUse::ALL.into_iter().find(|special_use| &special_use.as_str()[1..] == name)
}

impl ModelRemote {
    fn excerpt(&mut self, excerpt: &Excerpt, sink: &mut dyn MessageSink) -> Result<(), RemoteError> {
        let Excerpt { uids, section, piece } = excerpt;
        let mut words = section.split('.').filter(|word| !word.is_empty()).peekable();
        let part = std::iter::from_fn(|| words.next_if(|word| word.parse::<u32>().is_ok()));
        let part: Vec<u32> = part.map(|number| number.parse().expect("a number")).collect();
        let text = match words.next() {
            None => SectionText::Whole,
            Some("MIME") => SectionText::Mime,
            Some("HEADER") => SectionText::Header,
            Some(_) => SectionText::Text,
        };
        let piece = *piece;
        self.send(uids, sink, move |message| {
            let summary = Scanner::scan(&message.bytes);
            let section = Section { part: part.clone(), text: text.clone() };
            let Some(range) = resolve(&summary, &section) else { return (None, None) };
            let (first, count) = piece.unwrap_or((0, u64::MAX));
            let start = (range.start + first).min(range.end);
            let range = start..start.saturating_add(count).min(range.end);
            let place = |at| usize::try_from(at).expect("a small message");
            (Some(message.bytes[place(range.start)..place(range.end)].to_vec()), None)
        })
    }

    /// Sends of each message what `of` makes of it; `None`: NIL.
    fn send(
        &mut self,
        uids: &UidSet<RemoteUid>,
        sink: &mut dyn MessageSink,
        of: impl Fn(&Message) -> (Option<Vec<u8>>, Option<Described>),
    ) -> Result<(), RemoteError> {
        let mut sent = Vec::new();
        let answer = self.call(false, |state, name| {
            state.telling.push(state.calls);
            let mailbox = state.selected(name)?.clone();
            let name = name.expect("selected").to_owned();
            let mut uids = mailbox.uids_in(uids);
            if uids.len() > 1 {
                uids.retain(|uid| !state.leaves_out.contains(uid));
            }
            let is_cut = state.cut == Cut::After(state.calls);
            let count = if is_cut { uids.len().div_ceil(2) } else { uids.len() };
            for uid in &uids[..count] {
                state.check("FETCH", &format!("{name} {uid}."))?;
                let message = mailbox.messages[uid].clone();
                let (bytes, outline) = of(&message);
                if outline.is_none() {
                    state.fetched.push((name.clone(), *uid));
                }
                state.given_bytes += bytes.as_ref().map_or(0, Vec::len);
                sent.push((*uid, message, bytes, outline));
            }
            Ok(())
        });
        let broken = |error: std::io::Error| RemoteError::Local(error.to_string());
        for (uid, message, bytes, outline) in sent {
            let Some(bytes) = bytes else {
                sink.absent(RemoteUid::new(uid)).map_err(broken)?;
                continue;
            };
            sink.begin(bytes.len() as u64).map_err(broken)?;
            for piece in bytes.chunks(7) {
                sink.write(piece).map_err(broken)?;
            }
            let fetched = Fetched {
                uid: RemoteUid::new(uid),
                flags: message.flags,
                mod_seq: Some(ModSeq::new(message.mod_seq)),
                internal_date: Some(message.date),
                email_id: message.email_id,
                outline,
            };
            sink.end(fetched).map_err(broken)?;
        }
        if answer.is_err() && self.is_dead {
            // A message cut in the middle.
            sink.begin(100).map_err(broken)?;
            sink.write(b"Subject: half").map_err(broken)?;
        }
        answer
    }
}

impl Remote for ModelRemote {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn list(&mut self) -> Result<Vec<Listed>, RemoteError> {
        self.call(false, |state, _| {
            let listed = state.mailboxes.iter().map(|(name, mailbox)| Listed {
                name: RemoteName(name.clone()),
                delimiter: Some('.'),
                components: name.split('.').map(str::to_owned).collect(),
                selectable: true,
                special_use: special_use(name),
                subscribed: mailbox.subscribed,
                status: if state.traits.status_with_list { state.status(name).ok() } else { None },
                rights: None,
            });
            let bare = state.bare_names.iter().map(|name| Listed {
                name: RemoteName(name.clone()),
                delimiter: Some('.'),
                components: name.split('.').map(str::to_owned).collect(),
                selectable: false,
                special_use: None,
                subscribed: false,
                status: None,
                rights: None,
            });
            Ok(listed.chain(bare).collect())
        })
    }

    async fn status(&mut self, names: &[RemoteName]) -> Result<Vec<Result<Status, RemoteError>>, RemoteError> {
        self.call(false, |state, _| Ok(names.iter().map(|name| state.status(&name.0)).collect()))
    }

    fn name_for(&self, components: &[&str], _delimiter: Option<char>) -> Result<RemoteName, RemoteError> {
        match components.iter().any(|component| component.contains('.')) {
            true => Err(RemoteError::Impossible("the name holds the delimiter".to_owned())),
            false => Ok(RemoteName(components.join("."))),
        }
    }

    async fn create(&mut self, name: &RemoteName, _use: Option<SpecialUse>) -> Result<(), RemoteError> {
        self.call(true, |state, _| {
            state.check("CREATE", &name.0)?;
            match state.mailboxes.contains_key(&name.0) {
                true => refused("CREATE", Some(RefusalCode::AlreadyExists)),
                false => {
                    state.create(&name.0);
                    Ok(())
                }
            }
        })
    }

    async fn rename(&mut self, from: &RemoteName, to: &RemoteName) -> Result<(), RemoteError> {
        self.call(true, |state, _| {
            state.check("RENAME", &from.0)?;
            if state.mailboxes.contains_key(&to.0) {
                return refused("RENAME", Some(RefusalCode::AlreadyExists));
            }
            if !state.mailboxes.contains_key(&from.0) {
                return refused("RENAME", Some(RefusalCode::NonExistent));
            }
            state.rename(&from.0, &to.0);
            Ok(())
        })
    }

    async fn delete(&mut self, name: &RemoteName) -> Result<(), RemoteError> {
        self.selected = None;
        self.call(true, |state, _| {
            state.check("DELETE", &name.0)?;
            match state.mailboxes.remove(&name.0) {
                Some(_) => Ok(()),
                None => refused("DELETE", Some(RefusalCode::NonExistent)),
            }
        })
    }

    async fn set_subscribed(&mut self, name: &RemoteName, subscribed: bool) -> Result<(), RemoteError> {
        self.call(true, |state, _| match state.mailboxes.get_mut(&name.0) {
            Some(mailbox) => {
                mailbox.subscribed = subscribed;
                Ok(())
            }
            None => refused("SUBSCRIBE", Some(RefusalCode::NonExistent)),
        })
    }

    async fn select(&mut self, name: &RemoteName, known: Option<Known>) -> Result<Selected, RemoteError> {
        self.selected = None;
        let selected = self.call(false, |state, _| {
            state.check("SELECT", &name.0)?;
            let denies_after = state.denies_after.take();
            state.denies_after = denies_after.and_then(|selects| selects.checked_sub(1));
            if denies_after == Some(0) {
                return refused("SELECT", Some(RefusalCode::NonExistent));
            }
            let status = state.status(&name.0)?;
            state.entered += 1;
            let mailbox = &state.mailboxes[&name.0];
            let known = known.filter(|known| state.traits.facts.qresync && known.uid_validity == status.uid_validity);
            let since = known.map(|known| {
                let after = known.highest_mod_seq.get();
                let vanished = mailbox.expunged.iter().filter(|(mod_seq, _)| *mod_seq > after);
                let changed = mailbox.messages.iter().filter(|(_, message)| message.mod_seq > after);
                Resync {
                    vanished: vanished.map(|(_, uid)| RemoteUid::new(*uid)).collect(),
                    changed: changed.map(|(uid, message)| state.scanned(*uid, message)).collect(),
                }
            });
            Ok(Selected {
                uid_validity: status.uid_validity,
                uid_next: status.uid_next,
                exists: status.messages,
                highest_mod_seq: status.highest_mod_seq,
                read_only: state.read_only.contains_key(&name.0),
                permanent_flags: state.read_only.get(&name.0).unwrap_or(&state.traits.permanent).clone(),
                any_keyword: state.traits.any_keyword && !state.read_only.contains_key(&name.0),
                since,
            })
        })?;
        self.selected = Some(name.0.clone());
        Ok(selected)
    }

    async fn uids(&mut self) -> Result<UidSet<RemoteUid>, RemoteError> {
        self.call(false, |state, name| {
            let hidden = state.hidden(name);
            let uids = state.selected(name)?.messages.keys().filter(|uid| !hidden.contains(uid));
            Ok(uids.map(|uid| RemoteUid::new(*uid)).collect())
        })
    }

    async fn find(&mut self, key: &Query) -> Result<UidSet<RemoteUid>, RemoteError> {
        let (Query::Text(text) | Query::Body(text)) = key else { panic!("no text: {key:?}") };
        self.call(false, |state, name| {
            let messages = &state.selected(name)?.messages;
            let holds = |message: &Message| String::from_utf8_lossy(&message.bytes).contains(text);
            Ok(messages.iter().filter(|(_, message)| holds(message)).map(|(uid, _)| RemoteUid::new(*uid)).collect())
        })
    }

    async fn present(&mut self, uids: &UidSet<RemoteUid>) -> Result<UidSet<RemoteUid>, RemoteError> {
        Ok(self.uids().await?.intersection(uids))
    }

    async fn deleted_uids(&mut self) -> Result<UidSet<RemoteUid>, RemoteError> {
        self.call(false, |state, name| {
            let messages = &state.selected(name)?.messages;
            let deleted = messages.iter().filter(|(_, message)| message.flags.has(SystemFlag::Deleted));
            Ok(deleted.map(|(uid, _)| RemoteUid::new(*uid)).collect())
        })
    }

    async fn scan(
        &mut self,
        uids: &UidSet<RemoteUid>,
        changed_since: Option<ModSeq>,
    ) -> Result<Vec<Scanned>, RemoteError> {
        self.call(false, |state, name| {
            assert!(changed_since.is_none() || state.traits.facts.cond_store, "CHANGEDSINCE needs CONDSTORE");
            let mut hidden = state.hidden(name);
            if uids.len() > 1 {
                hidden.extend(&state.leaves_out);
            }
            let mailbox = state.selected(name)?.clone();
            let after = changed_since.map_or(0, ModSeq::get);
            let shown = mailbox.uids_in(uids).into_iter().filter(|uid| !hidden.contains(uid));
            let shown = shown.map(|uid| (uid, &mailbox.messages[&uid])).filter(|(_, message)| message.mod_seq > after);
            Ok(shown.map(|(uid, message)| state.scanned(uid, message)).collect())
        })
    }

    async fn fingerprints(&mut self, uids: &UidSet<RemoteUid>) -> Result<Vec<Fingerprinted>, RemoteError> {
        self.call(false, |state, name| {
            let lie = u64::from(state.lies_about_sizes);
            for uid in state.selected(name)?.uids_in(uids) {
                state.check("FINGERPRINTS", &format!("{} {uid}.", name.unwrap_or_default()))?;
            }
            let mailbox = state.selected(name)?;
            let shown = mailbox.uids_in(uids).into_iter().map(|uid| {
                let message = &mailbox.messages[&uid];
                Fingerprinted {
                    uid: RemoteUid::new(uid),
                    size_bytes: message.bytes.len() as u64 + lie,
                    internal_date: Some(message.date),
                    fields: fields(&message.bytes),
                    email_id: message.email_id.clone(),
                    is_deleted: message.flags.has(SystemFlag::Deleted),
                }
            });
            Ok(shown.collect())
        })
    }

    async fn outline(&mut self, uids: &UidSet<RemoteUid>, sink: &mut dyn MessageSink) -> Result<(), RemoteError> {
        let lie = u64::from(self.server.state().lies_about_sizes);
        self.send(uids, sink, |message| {
            let whole = Scanner::scan(&message.bytes);
            let header = message.bytes[..usize::try_from(whole.root.body_start).expect("a small header")].to_vec();
            let described = Described { size_bytes: message.bytes.len() as u64 + lie, structure: Box::new(whole.root) };
            (Some(header), Some(described))
        })
    }

    async fn excerpts(&mut self, wanted: &[Excerpt], sink: &mut dyn MessageSink) -> Result<(), RemoteError> {
        wanted.iter().try_for_each(|excerpt| self.excerpt(excerpt, sink))
    }

    async fn identify(&mut self, uids: &UidSet<RemoteUid>) -> Result<Vec<Fetched>, RemoteError> {
        self.call(false, |state, name| {
            let mailbox = state.selected(name)?;
            let told = mailbox.uids_in(uids).into_iter().map(|uid| {
                let Message { flags, date, email_id, mod_seq, .. } = mailbox.messages[&uid].clone();
                let (uid, mod_seq) = (RemoteUid::new(uid), Some(ModSeq::new(mod_seq)));
                Fetched { uid, flags, mod_seq, internal_date: Some(date), email_id, outline: None }
            });
            Ok(told.collect())
        })
    }

    async fn fetch(&mut self, uids: &UidSet<RemoteUid>, sink: &mut dyn MessageSink) -> Result<(), RemoteError> {
        self.send(uids, sink, |message| (Some(message.bytes.clone()), None))
    }

    fn take_vanished(&mut self) -> UidSet<RemoteUid> {
        UidSet::new()
    }

    async fn add_flags(&mut self, uids: &UidSet<RemoteUid>, flags: &Flags) -> Result<UidSet<RemoteUid>, RemoteError> {
        self.change_flags(uids, |before| before.union(flags), flags)
    }

    async fn remove_flags(
        &mut self,
        uids: &UidSet<RemoteUid>,
        flags: &Flags,
    ) -> Result<UidSet<RemoteUid>, RemoteError> {
        self.change_flags(uids, |before| before.difference(flags), flags)
    }

    async fn expunge(&mut self, uids: &UidSet<RemoteUid>) -> Result<(), RemoteError> {
        self.call(true, |state, name| {
            assert!(state.traits.facts.uid_plus, "UID EXPUNGE needs UIDPLUS");
            state.check("EXPUNGE", &uids.to_string())?;
            if state.forgets_to_expunge {
                return Ok(());
            }
            let mailbox = state.selected(name)?;
            for uid in mailbox.uids_in(uids) {
                if mailbox.messages[&uid].flags.has(SystemFlag::Deleted) {
                    mailbox.remove(uid);
                }
            }
            Ok(())
        })
    }

    async fn expunge_all_deleted(&mut self) -> Result<(), RemoteError> {
        self.call(true, |state, name| {
            let mailbox = state.selected(name)?;
            let deleted = mailbox.messages.iter().filter(|(_, message)| message.flags.has(SystemFlag::Deleted));
            let deleted: Vec<u32> = deleted.map(|(uid, _)| *uid).collect();
            deleted.into_iter().for_each(|uid| drop(mailbox.remove(uid)));
            Ok(())
        })
    }

    async fn copy(&mut self, uids: &UidSet<RemoteUid>, to: &RemoteName) -> Result<Option<CopyUid>, RemoteError> {
        self.transfer(uids, to, false)
    }

    async fn move_messages(
        &mut self,
        uids: &UidSet<RemoteUid>,
        to: &RemoteName,
    ) -> Result<Option<CopyUid>, RemoteError> {
        assert!(self.facts.r#move, "MOVE needs MOVE");
        self.transfer(uids, to, true)
    }

    async fn append(
        &mut self,
        to: &RemoteName,
        messages: Vec<Outgoing<'_>>,
        told: &mut AppendsTold<'_>,
    ) -> Result<(), RemoteError> {
        let letters = messages.into_iter().map(|message| {
            let bytes = message.bytes.read_at(0, usize::MAX).expect("readable bytes");
            assert_eq!(bytes.len() as u64, message.bytes.size());
            (bytes, message.flags, message.internal_date)
        });
        let letters: Vec<Letter> = letters.collect();
        let appends = self.server.state().traits.appends;
        if appends == Appends::AsOne {
            match self.call(true, |state, _| state.append(&to.0, &letters)) {
                Err(error) if error.connection_lost() => return Err(error),
                Err(_) => {}
                Ok(uids) => {
                    uids.into_iter().enumerate().for_each(|(at, uid)| told(at, Ok(uid)));
                    return Ok(());
                }
            }
        }
        let mut outcomes = Vec::new();
        for (at, letter) in letters.iter().enumerate() {
            let outcome = self.call(true, |state, _| state.append(&to.0, std::slice::from_ref(letter)));
            match outcome {
                Err(error) if error.connection_lost() => return Err(error),
                outcome if appends == Appends::Unheard => outcomes.push(outcome),
                outcome => told(at, outcome.map(|uids| uids[0])),
            }
        }
        outcomes.into_iter().enumerate().for_each(|(at, outcome)| told(at, outcome.map(|uids| uids[0])));
        Ok(())
    }

    /// Blind, as one that sends all at once: what it does in a mailbox it does whichever mailbox that is.
    async fn tour(&mut self, stops: &[Stop], guide: &mut dyn Guide, _then_lists: bool) -> Result<(), RemoteError> {
        for (at, stop) in stops.iter().enumerate() {
            if stop.errands.iter().any(Errand::changes) {
                self.server.state().replace(&stop.name.0);
            }
            match self.select(&stop.name, stop.known).await {
                Err(error) if error.connection_lost() => return Err(error),
                Err(error) => guide.enter(at, Err(error))?,
                Ok(selected) => {
                    guide.enter(at, Ok(selected))?;
                    for (nth, errand) in stop.errands.iter().enumerate() {
                        let brought = match run(self, errand, guide).await {
                            Err(error) if error.connection_lost() => return Err(error),
                            brought => brought,
                        };
                        guide.done(at, nth, brought)?;
                    }
                }
            }
        }
        self.selected = None;
        Ok(())
    }

    async fn wait(&mut self, _max_ms: u64, _interrupt: Interrupt<'_>) -> Result<Woken, RemoteError> {
        Ok(Woken::TimedOut)
    }

    async fn logout(&mut self) {}
}

impl ModelRemote {
    fn change_flags(
        &mut self,
        uids: &UidSet<RemoteUid>,
        change: impl Fn(&Flags) -> Flags,
        argument: &Flags,
    ) -> Result<UidSet<RemoteUid>, RemoteError> {
        self.call(true, |state, name| {
            state.check("STORE", &argument.to_string())?;
            assert_eq!(&state.kept(argument), argument, "a flag that is not kept is not stored");
            let mailbox = state.selected(name)?;
            let there = mailbox.uids_in(uids);
            for uid in &there {
                let mod_seq = mailbox.touch();
                let message = mailbox.messages.get_mut(uid).expect("just listed");
                (message.flags, message.mod_seq) = (change(&message.flags), mod_seq);
            }
            Ok(there.into_iter().map(RemoteUid::new).collect())
        })
    }

    fn transfer(
        &mut self,
        uids: &UidSet<RemoteUid>,
        to: &RemoteName,
        moves: bool,
    ) -> Result<Option<CopyUid>, RemoteError> {
        self.call(true, |state, name| {
            state.check(if moves { "MOVE" } else { "COPY" }, &to.0)?;
            let name = name.expect("selected").to_owned();
            let tells = state.traits.facts.uid_plus;
            if !state.mailboxes.contains_key(&to.0) {
                return refused("COPY", Some(RefusalCode::TryCreate));
            }
            let mut copied = BTreeMap::new();
            for uid in state.selected(Some(&name))?.uids_in(uids) {
                let source = state.selected(Some(&name))?;
                let message = if moves { source.remove(uid) } else { source.messages.get(&uid).cloned() };
                if let Some(new) = state.place(&to.0, message.expect("just listed")) {
                    copied.insert(RemoteUid::new(uid), RemoteUid::new(state.told(new)));
                }
            }
            let uid_validity = Some(UidValidity::new(state.mailboxes[&to.0].uid_validity));
            Ok((tells && !copied.is_empty()).then_some(CopyUid { uid_validity, uids: copied }))
        })
    }
}

fn fields(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let header = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
    let named = header.lines().filter_map(|line| line.split_once(':'));
    let named = named.map(|(name, value)| (name.to_ascii_uppercase(), value.trim().as_bytes().to_vec()));
    named.filter(|(name, _)| ["MESSAGE-ID", "DATE", "FROM", "SUBJECT"].contains(&name.as_str())).collect()
}
