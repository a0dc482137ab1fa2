//! A mail store in a temporary folder with sessions on it, as the agent's local face (`LocalUser`) or refserver
//! (`Authority`) would make them; no socket, no thread.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mailtide::imap::server::{Capabilities, Session, SessionConfig};
use mailtide::sasl::Credentials;
use mailtide::serve::bring::Bringer;
use mailtide::serve::failures::Failures;
use mailtide::serve::imap::MailBackend;
use mailtide::serve::sessions::Sessions;
use mailtide::serve::{Refused, Users};
use mailtide::store::{Executor, NewMessage, Options, Origin, Store};
use mailtide::types::{
    AccountId, Conversation, Event, Flag, InternalDate, LocalUid, MailboxId, MailboxName, Step, Timestamp,
};

pub const NOW: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

/// One user, alice, whose password is secret.
pub struct Alice(pub AccountId);

impl Users for Alice {
    fn check(&self, credentials: &Credentials) -> Result<AccountId, Refused> {
        if credentials.authorize_as.as_deref().is_some_and(|other| other != credentials.user) {
            return Err(Refused::NotAuthorized);
        }
        match credentials.user == "alice" && credentials.password.matches("secret") {
            true => Ok(self.0),
            false => Err(Refused::Credentials),
        }
    }
}

/// The store, and whose changes its sessions make.
pub struct Face {
    pub store: Store,
    pub account: AccountId,
    pub origin: Origin,
    pub sessions: Sessions,
    /// Who fetches what is not here.
    pub bringer: Option<Arc<dyn Bringer>>,
    folder: tempfile::TempDir,
}

impl Face {
    pub fn new(origin: Origin) -> Self {
        Self::limited(origin, None)
    }

    /// With databases that can be filled.
    pub fn limited(origin: Origin, max_bytes: Option<u64>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = open(folder.path(), max_bytes);
        let account = store.write(Origin::Authority, NOW, |txn| txn.ensure_account("alice")).expect("an account");
        Self { store, account, origin, sessions: Sessions::default(), bringer: None, folder }
    }

    /// Closes the store, lets something happen to its folder, and opens it again.
    pub fn reopen_after(&mut self, happens: impl FnOnce(&Path)) {
        self.store = Self::new(self.origin).store;
        happens(self.folder.path());
        self.store = open(self.folder.path(), None);
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn mailbox(&self, name: &str) -> MailboxId {
        let name = MailboxName::parse(name).expect("a valid name");
        let found = self.store.read(|reader| reader.mailbox_named(self.account, &name)).expect("a read");
        found.unwrap_or_else(|| panic!("no mailbox {name}")).id
    }

    /// Puts a message into INBOX that nobody has to be told of.
    pub fn give(&self, bytes: &[u8], flags: &str) -> LocalUid {
        let inbox = self.mailbox("INBOX");
        let mut upload = self.store.upload();
        upload.write(bytes).expect("room");
        let message = NewMessage {
            content: upload.finish().expect("room"),
            flags: flags.split_whitespace().filter_map(Flag::parse).collect(),
            internal_date: InternalDate::new(1_000_000_000, 0),
            email_id: None,
        };
        self.store.write(Origin::Authority, NOW, move |txn| txn.append(inbox, &[message])).expect("room").messages[0].1
    }

    /// A backend and the bell it rings.
    pub fn backend(&self) -> (MailBackend, Arc<AtomicBool>) {
        let rung = Arc::new(AtomicBool::new(false));
        let bell = Arc::clone(&rung);
        let wake = Arc::new(move || bell.store(true, Ordering::Relaxed));
        let users = Arc::new(Alice(self.account));
        let backend = MailBackend::new(self.store.clone(), self.origin, users, Arc::new(|| NOW), wake);
        let backend = backend.among(self.sessions.clone());
        let backend = match &self.bringer {
            Some(bringer) => backend.fetching(Arc::clone(bringer)),
            None => backend,
        };
        (backend, rung)
    }

    /// A session before its login.
    pub fn session(&self) -> Talk {
        let (backend, rung) = self.backend();
        Self::talk(backend, rung)
    }

    /// As [`Self::session`], from another machine.
    pub fn session_from(&self, address: IpAddr, failures: &Failures) -> Talk {
        let (backend, rung) = self.backend();
        Self::talk(backend.from(address, failures.clone()), rung)
    }

    pub fn talk(backend: MailBackend, rung: Arc<AtomicBool>) -> Talk {
        let config = SessionConfig {
            scram_nonce: None,
            binding: None,
            name: "Mailtide".to_owned(),
            version: "0".to_owned(),
            plaintext_login: true,
            tokens: true,
            starttls: false,
            capabilities: Capabilities::all(),
        };
        let mut talk = Talk { session: Session::new(config, backend, NOW), rung, largest_output: 0, output_bytes: 0 };
        talk.listen();
        talk
    }

    /// A session of alice's.
    pub fn login(&self) -> Talk {
        let mut talk = self.session();
        talk.say("l LOGIN alice secret\r\n");
        talk
    }

    /// A session of alice's on INBOX.
    pub fn inbox(&self) -> Talk {
        let mut talk = self.login();
        talk.say("s SELECT INBOX\r\n");
        talk
    }
}

fn open(folder: &Path, max_bytes: Option<u64>) -> Store {
    let options = Options { executor: Executor::Inline, program: "tests".to_owned(), max_bytes };
    Store::open(folder, &options, NOW).expect("a store")
}

/// A session and its driver.
pub struct Talk {
    session: Session<MailBackend>,
    rung: Arc<AtomicBool>,
    /// The largest piece of output that was ever held.
    pub largest_output: usize,
    pub output_bytes: usize,
}

impl Talk {
    /// Hands in a client's bytes and gives what is said to them.
    pub fn say(&mut self, text: &str) -> String {
        self.session.handle_input(text.as_bytes(), NOW);
        self.listen()
    }

    /// Lets time pass and gives what is said then.
    pub fn wait(&mut self, ms: i64) -> String {
        let later = NOW.plus_ms(ms);
        self.session.handle_event(Event::Deadline, later);
        let mut said = Vec::new();
        while self.session.poll_output(later, &mut said) == Step::Continue {}
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Hands in what others changed, if a bell was rung, and gives what is said to it.
    pub fn hear(&mut self) -> String {
        if self.rung.swap(false, Ordering::Relaxed) {
            self.session.handle_event(Event::Changed, NOW);
        }
        self.listen()
    }

    /// Like [`Self::say`], for an answer too large to be kept.
    pub fn say_and_count(&mut self, text: &[u8]) -> usize {
        self.session.handle_input(text, NOW);
        let before = self.output_bytes;
        self.drain(&mut |_| {});
        self.output_bytes - before
    }

    fn listen(&mut self) -> String {
        let mut said = Vec::new();
        self.drain(&mut |piece| said.extend_from_slice(piece));
        String::from_utf8_lossy(&said).into_owned()
    }

    fn drain(&mut self, take: &mut dyn FnMut(&[u8])) {
        loop {
            let mut piece = Vec::new();
            let step = self.session.poll_output(NOW, &mut piece);
            self.largest_output = self.largest_output.max(piece.len());
            self.output_bytes += piece.len();
            take(&piece);
            if step != Step::Continue {
                return;
            }
        }
    }
}
