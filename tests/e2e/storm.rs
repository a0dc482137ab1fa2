//! Many clients on one mailbox of one server, all at once and at random, some of its owner's, some of guests': no answer breaks
//! the protocol, all of them know the same in the end, and the server's memory stays small.

use std::sync::{Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::support::imap::{Imap, Reply};
use crate::support::random::Random;
use crate::support::refserver::RefServer;

use witness::{May, Truth, Witness};

mod witness;

/// Of a storm that belongs to every run.
const SESSIONS: usize = 50;
const SECONDS: u64 = 5;

/// Of one that was asked for by MAILTIDE_STORM_SECONDS.
const SESSIONS_OF_LONG: usize = 200;

/// So many messages are enough: more come only while there are fewer.
const MESSAGES: usize = 200;

/// What the server may take at its peak: some hundred sessions with their views of a mailbox of that size, and SQLite's caches.
const PEAK_KIB_MAX: u64 = 400 * 1024;

/// So many clients have a keyword of their own each, which nobody else sets or clears.
const OWNERS: usize = 12;

const USERS: [&str; 4] = ["ada", "bob", "cat", "dan"];

#[test]
fn many_clients_on_one_mailbox_see_nothing_that_cannot_be() {
    let asked = std::env::var("MAILTIDE_STORM_SECONDS").ok();
    let asked = asked.map(|text| text.parse().expect("MAILTIDE_STORM_SECONDS is a number"));
    let (sessions, seconds) = asked.map_or((SESSIONS, SECONDS), |seconds| (SESSIONS_OF_LONG, seconds));
    let mut server = RefServer::with_users(&USERS);
    let mut ada = server.login("ada");
    ada.ok("CREATE Storm");
    ada.ok("SETACL Storm anyone lrswipkxte");
    let (truth, calm) = (Mutex::new(Truth::default()), Barrier::new(sessions));
    let ends = Instant::now() + Duration::from_secs(seconds);
    let reports: Vec<Report> = std::thread::scope(|scope| {
        let client = |number: usize| {
            let (server, truth, calm) = (&server, &truth, &calm);
            scope.spawn(move || Client::new(server, number, truth).storm(ends, calm))
        };
        let clients: Vec<_> = (0..sessions).map(client).collect();
        clients.into_iter().map(|client| client.join().expect("a client that does not panic")).collect()
    });
    let (commands, peak) =
        (reports.iter().map(|report| report.commands).sum::<u64>(), server.process().memory_kib("VmHWM"));
    println!("{sessions} sessions, {seconds} s, {commands} commands, peak {peak} KiB");
    let violations: Vec<&String> = reports.iter().flat_map(|report| &report.violations).collect();
    assert!(violations.is_empty(), "{} violations: {:#?}", violations.len(), &violations[..violations.len().min(20)]);
    for report in &reports {
        assert_eq!(report.left, reports[0].left, "all know the same messages with the same shared flags");
    }
    assert!(peak < PEAK_KIB_MAX, "the server took {peak} KiB");
}

/// What a client has to tell in the end.
struct Report {
    commands: u64,
    violations: Vec<String>,
    /// The messages with their flags but for `\Seen`, which is each user's own.
    left: Vec<(u32, Vec<String>)>,
}

struct Client<'a> {
    imap: Imap,
    mailbox: &'static str,
    select: String,
    /// It selects the mailbox again with what it knows.
    resumes: bool,
    /// What it asks of all messages.
    all: &'static str,
    random: Random,
    number: usize,
    commands: u64,
    witness: Witness,
    truth: &'a Mutex<Truth>,
}

impl<'a> Client<'a> {
    fn new(server: &RefServer, number: usize, truth: &'a Mutex<Truth>) -> Self {
        let user = USERS[number % USERS.len()];
        let mailbox = if user == "ada" { "Storm" } else { "user/ada/Storm" };
        let mut imap = server.login(user);
        // A third of each knows mod-sequences, and a third VANISHED.
        let kind = number / USERS.len() % 3;
        let (select, all) = match kind {
            0 => (format!("SELECT {mailbox}"), "UID FETCH 1:* (UID FLAGS)"),
            1 => (format!("SELECT {mailbox} (CONDSTORE)"), "UID FETCH 1:* (UID FLAGS MODSEQ)"),
            _ => (format!("SELECT {mailbox}"), "UID FETCH 1:* (UID FLAGS MODSEQ)"),
        };
        let resumes = kind == 2;
        if resumes {
            imap.ok("ENABLE QRESYNC");
        }
        let witness = Witness::owner_of((number < OWNERS).then(|| format!("own{number}")));
        let random = Random::new(number as u64);
        Self { imap, mailbox, select, resumes, all, random, number, commands: 0, witness, truth }
    }

    fn storm(mut self, ends: Instant, calm: &Barrier) -> Report {
        self.select();
        while Instant::now() < ends {
            self.act();
        }
        calm.wait();
        self.say("NOOP", May::Expunge);
        // What the client was told of must be what is there.
        let told = self.witness.flags.clone();
        self.say(self.all, May::Expunge);
        for (uid, flags) in told {
            if self.witness.flags.get(&uid) != Some(&flags) {
                let now = self.witness.flags.get(&uid);
                self.witness.violations.push(format!("{uid} was last told to have {flags:?}, and has {now:?}"));
            }
        }
        let shared = |flag: &&String| *flag != "\\Seen";
        let left = self.witness.flags.iter().map(|(uid, flags)| (*uid, flags.iter().filter(shared).cloned().collect()));
        let left = left.collect();
        if self.witness.flags.len() != self.witness.count() {
            let (flags, count) = (self.witness.flags.len(), self.witness.count());
            self.witness.violations.push(format!("{flags} messages were told by FETCH, {count} by EXISTS"));
        }
        self.compare();
        Report { commands: self.commands, violations: self.witness.violations, left }
    }

    /// In the calm: what the server counts and finds is what the client knows.
    fn compare(&mut self) {
        let having = |flag: &str| -> Vec<u32> {
            let flags = self.witness.flags.iter().filter(|(_, flags)| flags.contains(flag));
            flags.map(|(uid, _)| *uid).collect()
        };
        let (seen, deleted, all) = (having("\\Seen").len(), having("\\Deleted"), self.witness.flags.len());
        let reply = self.imap.ok(&format!("STATUS {} (MESSAGES UNSEEN DELETED)", self.mailbox));
        let counted = format!("(MESSAGES {all} UNSEEN {} DELETED {})", all - seen, deleted.len());
        if !reply.untagged.iter().any(|line| line.text.ends_with(&counted)) {
            self.witness.violations.push(format!("{counted} is known, and told was {:?}", reply.untagged));
        }
        let found = self.imap.ok("UID SEARCH DELETED").found();
        if found != deleted {
            self.witness.violations.push(format!("{deleted:?} are deleted, and found were {found:?}"));
        }
    }

    fn select(&mut self) {
        let known = if self.resumes { self.learn() } else { None };
        self.witness.select(known.is_some(), &mut self.truth.lock().unwrap_or_else(PoisonError::into_inner));
        let select = known.map_or(self.select.clone(), |(uid_validity, mod_seq)| {
            format!("SELECT {} (QRESYNC ({uid_validity} {mod_seq}))", self.mailbox)
        });
        self.say(&select, May::Expunge);
        self.say(self.all, May::Expunge);
    }

    /// Up to where everything is known, once those messages are that were told of by their count alone: whoever selects the
    /// mailbox with what is known is told no more of them.
    fn learn(&mut self) -> Option<(u64, u64)> {
        for _ in 0..MESSAGES {
            let Some(place) = self.witness.unknown() else { break };
            self.say(&format!("FETCH {} (UID FLAGS)", place + 1), May::NotExpunge);
            if self.witness.unknown() == Some(place) {
                // It is gone.
                self.say("NOOP", May::Expunge);
            }
        }
        self.witness.known_up_to()
    }

    fn act(&mut self) {
        let count = self.witness.count();
        if count < 3 {
            return self.append();
        }
        let place = self.random.index(count);
        let number = place + 1;
        let uid = self.witness.uid(place);
        let flag = ["\\Seen", "\\Flagged", "\\Answered", "work", "\\Deleted"][self.random.index(5)];
        let sign = ["+", "-"][self.random.index(2)];
        match (self.random.below(18), uid) {
            (0 | 1, _) if count < MESSAGES => self.append(),
            (0 | 1, _) => self.say(&format!("STORE {number} +FLAGS (\\Deleted)"), May::NotExpunge),
            (2, _) => self.say(&format!("FETCH {number} (UID FLAGS)"), May::NotExpunge),
            (3 | 4, _) => {
                self.say(&format!("FETCH {number} (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])"), May::NotExpunge);
            }
            (5 | 6, _) => self.say(&format!("STORE {number} {sign}FLAGS ({flag})"), May::NotExpunge),
            (7, Some(uid)) => self.say(&format!("UID STORE {uid} {sign}FLAGS ({flag})"), May::Expunge),
            (8, _) => self.say("SEARCH UNSEEN FLAGGED", May::NotExpunge),
            (9, _) => self.say("UID SEARCH DELETED", May::Expunge),
            (10, _) => self.say("EXPUNGE", May::Expunge),
            (11, Some(uid)) => self.say(&format!("UID COPY {uid} {}", self.mailbox), May::Expunge),
            (12, Some(uid)) => self.say(&format!("UID MOVE {uid} {}", self.mailbox), May::Expunge),
            (13, _) => self.say(&format!("STATUS {} (MESSAGES UNSEEN UIDNEXT)", self.mailbox), May::Expunge),
            (14, _) => self.idle(),
            (15, _) if self.random.below(if self.resumes { 3 } else { 10 }) == 0 => self.select(),
            (15, _) => self.say(self.all, May::Expunge),
            (16, Some(uid)) => self.store_own(number, uid, sign),
            (17, _) => {
                let facts = "UID INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE";
                self.say(&format!("FETCH {number} ({facts})"), May::NotExpunge);
            }
            _ => self.say("NOOP", May::Expunge),
        }
    }

    fn append(&mut self) {
        let message = format!("Subject: {} of {}\r\n\r\nbody\r\n", self.commands, self.number);
        self.say(&format!("APPEND {} (work) {{{}+}}\r\n{message}", self.mailbox, message.len()), May::Expunge);
    }

    fn store_own(&mut self, number: usize, uid: u32, sign: &str) {
        let Some(keyword) = self.witness.own_keyword() else { return };
        let (command, may) = match self.random.below(2) {
            0 => (format!("STORE {number} {sign}FLAGS ({keyword})"), May::NotExpunge),
            _ => (format!("UID STORE {uid} {sign}FLAGS ({keyword})"), May::Expunge),
        };
        let reply = self.imap.command(&command);
        self.commands += 1;
        let mut truth = self.truth.lock().unwrap_or_else(PoisonError::into_inner);
        self.witness.hear_own(sign, uid, &command, &reply, may, &mut truth);
    }

    /// Short: what is told between `+` and DONE belongs to it.
    fn idle(&mut self) {
        let tag = self.imap.send("IDLE").expect("a connection that holds");
        let mut told = Vec::new();
        loop {
            let line = self.imap.line().expect("a connection that holds");
            match line.text.starts_with('+') {
                true => break,
                false => told.push(line),
            }
        }
        self.imap.write(b"DONE\r\n").expect("a connection that holds");
        let answer = self.imap.answer(&tag).expect("a connection that holds");
        told.extend(answer.untagged);
        self.hear("IDLE", &Reply { untagged: told, ..answer }, May::Expunge);
    }

    fn say(&mut self, command: &str, may: May) {
        let reply = self.imap.command(command);
        self.hear(command, &reply, may);
    }

    fn hear(&mut self, command: &str, reply: &Reply, may: May) {
        self.commands += 1;
        let mut truth = self.truth.lock().unwrap_or_else(PoisonError::into_inner);
        self.witness.hear(command, reply, may, &mut truth);
    }
}
