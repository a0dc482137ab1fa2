//! A mail program, as a model: it speaks IMAP to a session value, keeps what RFC 3501 and RFC 7162 let a client keep, and
//! holds every response against it. Written from the RFCs, apart from the code under test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailtide::types::{Conversation, Step, Timestamp};

use super::template::PASSWORD;

/// What all mail programs of one server and user together may take for granted.
#[derive(Default)]
pub struct Laws {
    /// The message that a (UIDVALIDITY, UID) was shown to be: its bytes' hash.
    names: BTreeMap<(u32, u32), [u8; 32]>,
    /// By UIDVALIDITY: UIDNEXT as it was shown last, and the UIDs that were there below it.
    known: BTreeMap<u32, (u32, BTreeSet<u32>)>,
    pub broken: Vec<String>,
}

impl Laws {
    /// The server is what it was once: what it gave out since it gives out again.
    pub fn forget(&mut self) {
        (self.names, self.known) = (BTreeMap::new(), BTreeMap::new());
    }
}

/// Laws that several clients share.
#[derive(Clone, Default)]
pub struct Law(Arc<Mutex<Laws>>);

impl Law {
    pub fn lock(&self) -> MutexGuard<'_, Laws> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The messages of the selected mailbox, by sequence number.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub folder: String,
    pub uid_validity: u32,
    pub uid_next: u32,
    /// `None`: not told yet.
    pub uids: Vec<Option<u32>>,
    pub flags: BTreeMap<u32, BTreeSet<String>>,
    /// What the subject says of a message whose bytes cannot be had, by UID.
    subjects: BTreeMap<u32, String>,
    pub highest_mod_seq: u64,
}

impl View {
    /// The sequence number of the message with that UID; of one whose UID was not told, one that it may have.
    fn number_of(&self, uid: u32) -> Option<usize> {
        let known = self.uids.iter().position(|known| *known == Some(uid));
        let below = self.uids.iter().rposition(|known| known.is_some_and(|known| known < uid)).map_or(0, |at| at + 1);
        let above =
            self.uids.iter().position(|known| known.is_some_and(|known| known > uid)).unwrap_or(self.uids.len());
        let unknown = || (below..above).find(|at| self.uids[*at].is_none());
        known.or_else(unknown).map(|at| at + 1)
    }
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Ok(String),
    No(String),
    /// The session ended before the answer.
    Nothing,
}

impl Answer {
    pub const fn is_ok(&self) -> bool {
        matches!(self, Self::Ok(_))
    }
}

/// One connection of a mail program.
pub struct Client {
    pub name: String,
    law: Law,
    session: Box<dyn Conversation>,
    tags: u32,
    pub view: Option<View>,
    uses_qresync: bool,
    is_over: bool,
    listed: Vec<String>,
    bodies: BTreeMap<u32, Vec<u8>>,
    /// Between IDLE and DONE.
    idles: Option<String>,
}

/// A response: its line, a literal in it shown as NUL, and the literals.
struct Response {
    line: String,
    literals: Vec<Vec<u8>>,
}

impl Client {
    /// Connects and logs in.
    pub fn connect(
        name: &str,
        user: &str,
        session: Box<dyn Conversation>,
        law: Law,
        qresync: bool,
        now: Timestamp,
    ) -> Option<Self> {
        let mut client = Self {
            name: name.to_owned(),
            law,
            session,
            tags: 0,
            view: None,
            uses_qresync: false,
            is_over: false,
            listed: Vec::new(),
            bodies: BTreeMap::new(),
            idles: None,
        };
        let greeting = client.take_output(now);
        client.expect(greeting.first().is_some_and(|line| line.line.starts_with("* OK ")), "a greeting");
        // A refusal is held back, for as long as nobody waits here.
        client.session.handle_input(format!("{name}0 LOGIN {user} {PASSWORD}\r\n").as_bytes(), now);
        let is_welcome = |response: &Response| response.line.starts_with(&format!("{name}0 OK "));
        if !client.take_output(now).iter().any(is_welcome) {
            return None;
        }
        if qresync {
            client.uses_qresync = client.command(now, "ENABLE QRESYNC").is_ok();
        }
        Some(client)
    }

    fn expect(&self, holds: bool, what: &str) {
        if !holds {
            let folder = self.view.as_ref().map_or("", |view| view.folder.as_str());
            self.law.lock().broken.push(format!("{}, in {folder:?}: expected {what}", self.name));
        }
    }

    /// Every mailbox that can be selected.
    pub fn folders(&mut self, now: Timestamp) -> Vec<String> {
        self.listed.clear();
        self.command(now, "LIST \"\" *");
        self.listed.clone()
    }

    /// Selects a mailbox and gets to know every message in it.
    pub fn select(&mut self, now: Timestamp, folder: &str) -> Answer {
        // What the end of IDLE tells is about the mailbox before.
        self.set_idle(now, false);
        self.view = Some(View { folder: folder.to_owned(), ..View::default() });
        let answer = self.command(now, &format!("SELECT \"{folder}\""));
        if !answer.is_ok() {
            self.view = None;
            return answer;
        }
        let view = self.view.clone().unwrap_or_default();
        self.expect(view.uid_validity > 0, "UIDVALIDITY in answer to SELECT (RFC 3501 section 6.3.1)");
        self.expect(view.uid_next > 0, "UIDNEXT in answer to SELECT (RFC 3501 section 6.3.1)");
        if !view.uids.is_empty() {
            let fetched = self.command(now, "FETCH 1:* (UID FLAGS)");
            if !fetched.is_ok() {
                return fetched;
            }
        }
        self.take_stock();
        self.read_bodies(now);
        answer
    }

    /// Looks for news.
    pub fn look(&mut self, now: Timestamp) -> Answer {
        let answer = self.command(now, "NOOP");
        let unknown = self.view.as_ref().is_some_and(|view| view.uids.contains(&None));
        if answer.is_ok() && unknown {
            self.command(now, "FETCH 1:* (UID FLAGS)");
        }
        self.read_bodies(now);
        answer
    }

    /// UIDs that were given out once are never given out again (RFC 3501 section 2.3.1.1).
    fn take_stock(&mut self) {
        let Some(view) = &self.view else { return };
        let uids: BTreeSet<u32> = view.uids.iter().copied().flatten().collect();
        let law = self.law.lock();
        let before = law.known.get(&view.uid_validity).cloned();
        drop(law);
        if let Some((uid_next, known)) = before {
            self.expect(view.uid_next >= uid_next, "a UIDNEXT that is not below the one shown before");
            let risen: Vec<_> = uids.range(..uid_next).filter(|uid| !known.contains(uid)).collect();
            self.expect(risen.is_empty(), &format!("no UID that was not there before: {risen:?} below {uid_next}"));
        }
        self.expect(uids.range(view.uid_next..).next().is_none(), "every UID below UIDNEXT");
        let mut law = self.law.lock();
        law.known.insert(view.uid_validity, (view.uid_next, uids));
    }

    /// Reads the messages that no program of this user has read yet.
    fn read_bodies(&mut self, now: Timestamp) {
        let Some(view) = &self.view else { return };
        let validity = view.uid_validity;
        let law = self.law.lock();
        let unread = view.uids.iter().flatten().filter(|uid| !law.names.contains_key(&(validity, **uid)));
        let unread: Vec<String> = unread.map(ToString::to_string).collect();
        drop(law);
        if unread.is_empty() {
            return;
        }
        let set = unread.join(",");
        if let Answer::No(why) = self.command(now, &format!("UID FETCH {set} (BODY.PEEK[])")) {
            // The store may have died under it.
            let is_told = why.contains("[UNAVAILABLE]") || why.contains("[SERVERBUG] The mail store failed");
            self.expect(is_told, &format!("a reason why bytes cannot be had, not {why:?}"));
            self.command(now, &format!("UID FETCH {set} (ENVELOPE)"));
        }
    }

    /// The messages of the selected mailbox of which only the subject is known.
    pub fn subjects(&self) -> Vec<(u32, String)> {
        let Some(view) = &self.view else { return Vec::new() };
        let law = self.law.lock();
        let is_read = |uid: u32| law.names.contains_key(&(view.uid_validity, uid));
        let unread = view.uids.iter().copied().flatten().filter(|uid| !is_read(*uid));
        unread.filter_map(|uid| Some((uid, view.subjects.get(&uid)?.clone()))).collect()
    }

    /// The messages of the selected mailbox that are known by their bytes: UID and hash.
    pub fn messages(&self) -> Vec<(u32, [u8; 32])> {
        let Some(view) = &self.view else { return Vec::new() };
        let law = self.law.lock();
        let known = |uid: u32| Some((uid, *law.names.get(&(view.uid_validity, uid))?));
        view.uids.iter().copied().flatten().filter_map(known).collect()
    }

    /// Bytes read for the first time since last asked, by hash.
    pub fn take_bodies(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.bodies).into_values().collect()
    }

    pub fn number_of(&self, uid: u32) -> Option<usize> {
        self.view.as_ref()?.uids.iter().position(|known| *known == Some(uid)).map(|place| place + 1)
    }

    /// Waits for news in IDLE (RFC 2177), or ends the wait.
    pub fn set_idle(&mut self, now: Timestamp, idle: bool) {
        match (&self.idles, idle) {
            (None, true) => {
                self.tags += 1;
                let tag = format!("{}{}", self.name, self.tags);
                self.session.handle_input(format!("{tag} IDLE\r\n").as_bytes(), now);
                self.idles = Some(tag);
                self.hear(now);
            }
            (Some(tag), false) => {
                let tag = tag.clone();
                self.session.handle_input(b"DONE\r\n", now);
                self.idles = None;
                for response in self.take_output(now) {
                    if !response.line.starts_with(&format!("{tag} OK")) {
                        self.take_untagged(&response, true);
                    }
                }
            }
            _ => {}
        }
    }

    fn hear(&mut self, now: Timestamp) {
        for response in self.take_output(now) {
            if !response.line.starts_with("+ ") {
                self.take_untagged(&response, true);
            }
        }
    }

    /// One command.
    pub fn command(&mut self, now: Timestamp, text: &str) -> Answer {
        self.command_with(now, text, None)
    }

    /// APPEND: the message goes as a non-synchronising literal.
    pub fn append(&mut self, now: Timestamp, folder: &str, flags: &str, message: &[u8]) -> Answer {
        let text = format!("APPEND \"{folder}\" ({flags}) {{{}+}}", message.len());
        self.command_with(now, &text, Some(message))
    }

    fn command_with(&mut self, now: Timestamp, text: &str, literal: Option<&[u8]>) -> Answer {
        self.set_idle(now, false);
        if self.is_over {
            return Answer::Nothing;
        }
        self.tags += 1;
        let tag = format!("{}{}", self.name, self.tags);
        self.session.handle_input(format!("{tag} {text}\r\n").as_bytes(), now);
        if let Some(literal) = literal {
            self.session.handle_input(literal, now);
            self.session.handle_input(b"\r\n", now);
        }
        // RFC 3501 section 7.4.1: not while FETCH, STORE or SEARCH is answered.
        let may_expunge = !["FETCH", "STORE", "SEARCH"].iter().any(|command| text.starts_with(command));
        let mut answer = Answer::Nothing;
        for response in self.take_output(now) {
            match response.line.strip_prefix(&format!("{tag} ")) {
                Some(rest) => {
                    self.expect(answer == Answer::Nothing, "one tagged answer");
                    answer = match rest.split_once(' ') {
                        Some(("OK", rest)) => Answer::Ok(rest.to_owned()),
                        Some(("NO", rest)) => Answer::No(rest.to_owned()),
                        _ => {
                            self.expect(false, &format!("OK or NO to {text:?}, not {rest:?}"));
                            Answer::No(rest.to_owned())
                        }
                    };
                }
                None => {
                    // A server may say at any moment that it ends the connection (RFC 3501 sections 5.3 and 7.1.5), as it
                    // does when the selected mailbox was deleted (RFC 2180 section 3.3). All else comes before the answer.
                    let is_in_time = answer == Answer::Nothing || response.line.starts_with("* BYE ");
                    self.expect(is_in_time, &format!("nothing behind the answer: {:?}", response.line));
                    self.take_untagged(&response, may_expunge);
                }
            }
        }
        self.expect(answer != Answer::Nothing || self.is_over, &format!("an answer to {text:?}"));
        answer
    }

    fn take_output(&mut self, now: Timestamp) -> Vec<Response> {
        let mut output = Vec::new();
        loop {
            match self.session.poll_output(now, &mut output) {
                Step::Continue => {}
                Step::Wait | Step::Hold => break,
                Step::Close | Step::StartTls => {
                    self.is_over = true;
                    break;
                }
            }
        }
        responses(&output).unwrap_or_else(|| {
            self.expect(false, &format!("whole responses, not {:?}", output.escape_ascii().to_string()));
            Vec::new()
        })
    }

    fn take_untagged(&mut self, response: &Response, may_expunge: bool) {
        let Some(rest) = response.line.strip_prefix("* ") else {
            return self.expect(false, &format!("an untagged response, not {:?}", response.line));
        };
        let mut words = rest.split(' ');
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match (first.parse::<usize>(), second) {
            (Ok(count), "EXISTS") => self.take_exists(count),
            (Ok(count), "RECENT") => {
                let exists = self.view.as_ref().map_or(0, |view| view.uids.len());
                self.expect(count <= exists, "not more recent messages than there are");
            }
            (Ok(number), "EXPUNGE") => {
                self.expect(may_expunge, "no EXPUNGE in answer to FETCH, STORE or SEARCH (RFC 3501 section 7.4.1)");
                self.expect(!self.uses_qresync, "VANISHED in place of EXPUNGE (RFC 7162 section 3.2.10)");
                self.take_expunge(number);
            }
            (Ok(number), "FETCH") => self.take_fetch(number, response),
            (Ok(_), _) => self.expect(false, &format!("a known response, not {rest:?}")),
            (Err(_), _) => self.take_other(rest, first, may_expunge),
        }
    }

    fn take_other(&mut self, rest: &str, first: &str, may_expunge: bool) {
        match first {
            "OK" => {
                let code = rest.strip_prefix("OK [").and_then(|rest| rest.split_once(']')).map_or("", |(code, _)| code);
                let number = code.split_once(' ').and_then(|(_, number)| number.parse::<u64>().ok());
                let (Some(number), Some(view)) = (number, &mut self.view) else { return };
                let small = u32::try_from(number).unwrap_or(0);
                if code.starts_with("UIDVALIDITY ") {
                    view.uid_validity = small;
                } else if code.starts_with("UIDNEXT ") {
                    view.uid_next = small;
                } else if code.starts_with("HIGHESTMODSEQ ") {
                    let before = std::mem::replace(&mut view.highest_mod_seq, number);
                    self.expect(number >= before, "a HIGHESTMODSEQ that never falls");
                }
            }
            "VANISHED" => {
                self.expect(may_expunge, "no VANISHED in answer to FETCH, STORE or SEARCH (RFC 7162 section 3.2.10)");
                self.expect(self.uses_qresync, "no VANISHED without ENABLE QRESYNC");
                let set = rest.rsplit(' ').next().unwrap_or_default();
                for uid in uids(set) {
                    // Each is one message less (RFC 7162 section 3.2.10.2), also one whose UID was not asked for yet.
                    if let Some(number) = self.view.as_ref().and_then(|view| view.number_of(uid)) {
                        self.take_expunge(number);
                    }
                }
            }
            "LIST" => {
                let attributes = rest.split_once(')').map_or("", |(attributes, _)| attributes);
                let name = rest.rsplit_once(" \"/\" ").map_or("", |(_, name)| name.trim_matches('"'));
                if !attributes.contains("\\Noselect") && !attributes.contains("\\NonExistent") {
                    self.listed.push(name.to_owned());
                }
            }
            "BYE" => self.is_over = true,
            "FLAGS" | "CAPABILITY" | "ENABLED" | "STATUS" | "SEARCH" | "ESEARCH" | "ID" | "NO" => {}
            _ => self.expect(false, &format!("a known response, not {rest:?}")),
        }
    }

    fn take_exists(&mut self, count: usize) {
        let Some(view) = &mut self.view else {
            return self.expect(false, "no EXISTS without a selected mailbox");
        };
        let before = view.uids.len();
        view.uids.resize(count.max(before), None);
        self.expect(count >= before, &format!("no EXISTS {count} while {before} are there (RFC 3501 section 7.3.1)"));
    }

    fn take_expunge(&mut self, number: usize) {
        let view = self.view.as_mut().filter(|view| (1..=view.uids.len()).contains(&number));
        match view {
            Some(view) => {
                if let Some(uid) = view.uids.remove(number - 1) {
                    view.flags.remove(&uid);
                }
            }
            None => self.expect(false, &format!("an EXPUNGE of a message that is there, not of {number}")),
        }
    }

    fn take_fetch(&mut self, number: usize, response: &Response) {
        let exists = self.view.as_ref().map_or(0, |view| view.uids.len());
        if !(1..=exists).contains(&number) {
            return self.expect(false, &format!("a FETCH of a message that is there, not of {number} of {exists}"));
        }
        let uid = after(&response.line, "UID ").and_then(|text| text.parse::<u32>().ok());
        let view = self.view.as_mut().expect("a view with messages");
        let known = view.uids[number - 1];
        if let Some(uid) = uid {
            let below = view.uids[..number - 1].iter().rev().flatten().next().copied();
            let above = view.uids[number..].iter().flatten().next().copied();
            view.uids[number - 1] = Some(uid);
            let in_order = below.is_none_or(|below| below < uid) && above.is_none_or(|above| uid < above);
            self.expect(known.is_none_or(|known| known == uid), &format!("UID {known:?} for {number}, not {uid}"));
            self.expect(in_order, "UIDs that ascend with the sequence numbers (RFC 3501 section 2.3.1.1)");
        }
        let view = self.view.as_mut().expect("a view with messages");
        let Some(uid) = uid.or(known) else { return };
        view.uid_next = view.uid_next.max(uid + 1);
        if let Some((_, flags)) = response.line.split_once("FLAGS (") {
            let flags = flags.split_once(')').map_or("", |(flags, _)| flags);
            let flags = flags.split(' ').filter(|flag| !flag.is_empty() && *flag != "\\Recent");
            view.flags.insert(uid, flags.map(str::to_owned).collect());
        }
        if let Some((_, envelope)) = response.line.split_once("ENVELOPE (") {
            // The date, and then the subject (RFC 3501 section 7.4.2).
            view.subjects.insert(uid, envelope.split('"').nth(3).unwrap_or_default().to_owned());
        }
        if response.line.contains("BODY[] \0") && response.literals.len() == 1 {
            let validity = view.uid_validity;
            let body = response.literals[0].clone();
            let hash = *blake3::hash(&body).as_bytes();
            let before = self.law.lock().names.insert((validity, uid), hash);
            let same = before.is_none_or(|before| before == hash);
            self.expect(same, &format!("the same message as ever under UIDVALIDITY {validity} and UID {uid}"));
            self.bodies.insert(uid, body);
        }
    }
}

/// The word behind `key`.
fn after<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(key)?;
    rest.split([' ', ')']).next()
}

/// The UIDs of a set without `*`.
pub fn uids(set: &str) -> BTreeSet<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once(':').unwrap_or((part, part));
        let (first, last) = (first.parse().unwrap_or(1_u32), last.parse().unwrap_or(0_u32));
        first.min(last)..=first.max(last)
    };
    set.split(',').flat_map(range).collect()
}

/// Cuts output into responses; `None` if the last is not complete.
fn responses(mut output: &[u8]) -> Option<Vec<Response>> {
    let mut all = Vec::new();
    while !output.is_empty() {
        let (mut line, mut literals) = (Vec::new(), Vec::new());
        loop {
            let end = output.windows(2).position(|pair| pair == b"\r\n")?;
            let (piece, rest) = (&output[..end], &output[end + 2..]);
            output = rest;
            let size = piece.strip_suffix(b"}").and_then(|piece| {
                let digits = piece.rsplit(|byte| *byte == b'{').next()?;
                std::str::from_utf8(digits).ok()?.parse::<usize>().ok()
            });
            match size {
                Some(size) => {
                    let head = piece.iter().rposition(|byte| *byte == b'{')?;
                    line.extend_from_slice(&piece[..head]);
                    line.push(0);
                    literals.push(output.get(..size)?.to_vec());
                    output = &output[size..];
                }
                None => {
                    line.extend_from_slice(piece);
                    break;
                }
            }
        }
        all.push(Response { line: String::from_utf8_lossy(&line).into_owned(), literals });
    }
    Some(all)
}
