//! The agent's local submission: from the SMTP session into the outbox.

use std::sync::Arc;

use mailtide::sasl::Credentials;
use mailtide::serve::submission::{Senders, Sequence, SubmissionBackend};
use mailtide::serve::{Refused, Users};
use mailtide::smtp::address::Address;
use mailtide::smtp::server::{Config, Role, Session, Tls};
use mailtide::store::{Executor, Options, Origin, Store, Submission, check};
use mailtide::types::{AccountId, Conversation, Event, Step, Timestamp, TlsFacts};

const NOW: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

/// Two accounts, `work` and `home`, each with the password `secret`, sending as work@here and home@here.
struct Accounts {
    work: AccountId,
    home: AccountId,
    undo_ms: i64,
}

impl Users for Accounts {
    fn check(&self, credentials: &Credentials) -> Result<AccountId, Refused> {
        let account = self.named(&credentials.user).filter(|_| credentials.password.matches("secret"));
        account.ok_or(Refused::Credentials)
    }
}

impl Senders for Accounts {
    fn account_of(&self, address: Option<&Address>) -> Option<AccountId> {
        self.named(&address?.local_part()).filter(|_| address.is_some_and(|address| address.domain() == Some("here")))
    }

    fn address_of(&self, account: AccountId) -> Option<String> {
        Some(if account == self.work { "work@here" } else { "home@here" }.to_owned())
    }

    fn undo_ms(&self) -> i64 {
        self.undo_ms
    }
}

impl Accounts {
    fn named(&self, name: &str) -> Option<AccountId> {
        match name {
            "work" => Some(self.work),
            "home" => Some(self.home),
            _ => None,
        }
    }
}

struct Place {
    store: Option<Store>,
    accounts: Arc<Accounts>,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self::limited(None)
    }

    fn limited(max_bytes: Option<u64>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = open(folder.path(), max_bytes);
        let account = |name: &'static str| {
            store.write(Origin::LocalUser, NOW, move |txn| txn.ensure_account(name)).expect("room")
        };
        let accounts = Arc::new(Accounts { work: account("work"), home: account("home"), undo_ms: 5_000 });
        Self { store: Some(store), accounts, folder }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("open")
    }

    fn session(&self) -> Session<SubmissionBackend> {
        self.session_with(Tls::Absent)
    }

    fn session_with(&self, tls: Tls) -> Session<SubmissionBackend> {
        let (users, senders) = (Arc::clone(&self.accounts), Arc::clone(&self.accounts));
        let backend = SubmissionBackend::new(self.store().clone(), users, senders, Sequence::default());
        let config = Config {
            hostname: "here".to_owned(),
            peer: "127.0.0.1".to_owned(),
            role: Role::Submission { anonymous: true },
            tls,
            plaintext_auth: true,
            scram_nonce: None,
            message_max_bytes: 10_000_000,
            hold_max_seconds: 3600,
            greet_delay_ms: 0,
            tarpit_ms: 0,
        };
        Session::new(backend, config)
    }

    fn outbox(&self, account: AccountId) -> Vec<(Submission, String)> {
        let submissions = self.store().read(|reader| reader.submissions(account)).expect("readable");
        let with_bytes = |submission: Submission| {
            let bytes = self.store().read_content(submission.content, 0, 1_000_000).expect("there");
            (submission, String::from_utf8(bytes).expect("text"))
        };
        submissions.into_iter().map(with_bytes).collect()
    }
}

fn open(folder: &std::path::Path, max_bytes: Option<u64>) -> Store {
    let options = Options { executor: Executor::Inline, program: "tests".to_owned(), max_bytes };
    Store::open(folder, &options, NOW).expect("a store")
}

/// Says `input` and gives the last reply.
fn talk(session: &mut dyn Conversation, input: &str) -> String {
    session.handle_input(input.as_bytes(), NOW);
    let mut output = Vec::new();
    while session.poll_output(NOW, &mut output) == Step::Continue {}
    String::from_utf8_lossy(&output).lines().last().unwrap_or_default().to_owned()
}

const COMPLETE: &str =
    "From: Me <work@here>\r\nMessage-ID: <1@here>\r\nDate: Mon, 23 Nov 2026 13:49:00 +0000\r\nBcc: c@x\r\n\r\nhi\r\n";

#[test]
fn what_got_a_250_is_in_the_outbox_after_a_restart_byte_for_byte() {
    let mut place = Place::new();
    let mut session = place.session();
    talk(&mut session, "EHLO c\r\nMAIL FROM:<work@here> BODY=8BITMIME RET=HDRS ENVID=e1\r\n");
    talk(&mut session, "RCPT TO:<a@x> NOTIFY=NEVER\r\nRCPT TO:<b@x>\r\nRCPT TO:<a@x>\r\nDATA\r\n");
    assert!(talk(&mut session, &format!("{COMPLETE}.\r\n")).starts_with("250 2.0.0 "));
    drop(session);
    place.store = None;
    place.store = Some(open(place.folder.path(), None));
    let outbox = place.outbox(place.accounts.work);
    assert_eq!(outbox.len(), 1);
    let (submission, bytes) = &outbox[0];
    assert_eq!(bytes, COMPLETE);
    assert_eq!(submission.message_id, "<1@here>");
    let recipients: Vec<_> = submission.envelope.recipients.iter().map(|it| it.address.as_str()).collect();
    assert_eq!(recipients, ["a@x", "b@x"]);
    assert_eq!(submission.envelope.recipients[0].notify.as_deref(), Some("NEVER"));
    assert_eq!((submission.envelope.ret.as_deref(), submission.envelope.envid.as_deref()), (Some("HDRS"), Some("e1")));
    assert!(submission.envelope.eight_bit && !submission.filed);
    assert_eq!(check(place.store()).expect("readable"), Vec::<String>::new());
}

#[test]
fn message_id_date_and_from_are_added_where_they_lack_in_whatever_pieces_they_come() {
    let kept = "Subject: x\r\n\r\nbody\r\n\r\nDate: no\r\n";
    // A field that is empty lacks.
    let empty = format!("From:\r\nDate: \r\n \r\nMessage-ID:\t\r\n{kept}");
    let pieces = [1, 4, 1000].into_iter().flat_map(|piece| [(kept, piece), (empty.as_str(), piece)]);
    for (message, piece) in pieces {
        let place = Place::new();
        let mut session = place.session();
        talk(&mut session, "HELO c\r\nMAIL FROM:<work@here>\r\nRCPT TO:<a@x>\r\nDATA\r\n");
        let message = format!("{message}.\r\n");
        let bytes = message.as_bytes();
        let replies: Vec<String> =
            bytes.chunks(piece).map(|piece| talk(&mut session, std::str::from_utf8(piece).expect("ASCII"))).collect();
        assert!(replies.last().is_some_and(|reply| reply.starts_with("250 ")));
        let (submission, bytes) = place.outbox(place.accounts.work).remove(0);
        assert!(submission.message_id.starts_with("<1795441740000.") && submission.message_id.ends_with("@here>"));
        let added = format!(
            "Message-ID: {}\r\nDate: Mon, 23 Nov 2026 13:49:00 +0000\r\nFrom: work@here\r\n",
            submission.message_id
        );
        assert_eq!(bytes, added + kept, "{message:?} in pieces of {piece}");
    }
}

/// Who is nobody in the envelope is the account's address in From.
#[test]
fn what_is_sent_by_the_null_sender_is_from_the_account_that_logged_in() {
    let place = Place::new();
    let mut session = place.session();
    let proof = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "\0home\0secret");
    let said =
        talk(&mut session, &format!("EHLO c\r\nAUTH PLAIN {proof}\r\nMAIL FROM:<>\r\nRCPT TO:<a@x>\r\nDATA\r\n"));
    assert!(said.starts_with("354 "), "{said}");
    assert!(talk(&mut session, "Subject: x\r\n\r\nx\r\n.\r\n").starts_with("250 "));
    let (submission, bytes) = place.outbox(place.accounts.home).remove(0);
    assert_eq!(submission.envelope.mail_from, "");
    assert!(bytes.contains("\r\nFrom: home@here\r\nSubject: x\r\n"), "{bytes}");
}

#[test]
fn the_account_is_who_logged_in_or_whose_address_it_is() {
    let place = Place::new();
    let base64 = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    for (login, from, account) in [
        (None, "work@here", Some(place.accounts.work)),
        (None, "home@here", Some(place.accounts.home)),
        (None, "someone@elsewhere", None),
        (None, "", None),
        (Some("home"), "someone@elsewhere", Some(place.accounts.home)),
        (Some("home"), "work@here", Some(place.accounts.work)),
        (Some("work"), "", Some(place.accounts.work)),
    ] {
        let before = account.map(|account| place.outbox(account).len());
        let mut session = place.session();
        talk(&mut session, "EHLO c\r\n");
        if let Some(user) = login {
            let reply = talk(&mut session, &format!("AUTH PLAIN {}\r\n", base64(&format!("\0{user}\0secret"))));
            assert!(reply.starts_with("235 "), "{reply}");
        }
        let reply = talk(&mut session, &format!("MAIL FROM:<{from}>\r\n"));
        let Some(account) = account else {
            assert!(reply.starts_with("550 5.7.1 "), "{login:?} {from}: {reply}");
            continue;
        };
        talk(&mut session, "RCPT TO:<a@x>\r\nDATA\r\n");
        assert!(talk(&mut session, &format!("{COMPLETE}.\r\n")).starts_with("250 "), "{login:?} {from}");
        assert_eq!(Some(place.outbox(account).len()), before.map(|before| before + 1), "{login:?} {from}");
    }
}

#[test]
fn the_postmaster_of_no_domain_is_that_of_the_senders() {
    let place = Place::new();
    let mut session = place.session();
    talk(&mut session, "EHLO c\r\nMAIL FROM:<work@here>\r\n");
    assert!(talk(&mut session, "RCPT TO:<Postmaster>\r\n").starts_with("250 "));
    assert!(talk(&mut session, &format!("DATA\r\n{COMPLETE}.\r\n")).starts_with("250 "));
    let (submission, _) = place.outbox(place.accounts.work).remove(0);
    assert_eq!(submission.envelope.recipients[0].address, "Postmaster@here");
}

#[test]
fn a_message_waits_as_long_as_it_can_be_taken_back_or_longer_if_that_is_wanted() {
    let place = Place::new();
    let mut session = place.session();
    talk(&mut session, "EHLO c\r\n");
    for (parameter, wait_ms) in [("", 5_000), (" HOLDFOR=1", 5_000), (" HOLDFOR=60", 60_000)] {
        talk(&mut session, &format!("MAIL FROM:<work@here>{parameter}\r\nRCPT TO:<a@x>\r\nDATA\r\n{COMPLETE}.\r\n"));
        let (submission, _) = place.outbox(place.accounts.work).pop().expect("it was taken");
        assert_eq!(submission.next_attempt, NOW.plus_ms(wait_ms), "{parameter}");
    }
}

#[test]
fn a_connection_that_breaks_before_the_end_leaves_nothing() {
    let place = Place::new();
    let mut session = place.session();
    talk(&mut session, "EHLO c\r\nMAIL FROM:<work@here>\r\nRCPT TO:<a@x>\r\nDATA\r\nSubject: x\r\n\r\nhalf\r\n.\r");
    drop(session);
    assert!(place.outbox(place.accounts.work).is_empty());
    assert_eq!(check(place.store()).expect("readable"), Vec::<String>::new());
}

#[test]
fn a_full_disk_is_a_temporary_refusal_and_the_session_goes_on() {
    let place = Place::limited(Some(800_000));
    let mut session = place.session();
    talk(&mut session, "EHLO c\r\nMAIL FROM:<work@here>\r\nRCPT TO:<a@x>\r\nDATA\r\nSubject: x\r\n\r\n");
    let line = "0123456789".repeat(90) + "\r\n";
    for _ in 0..1000 {
        assert_eq!(talk(&mut session, &line), "");
    }
    let reply = talk(&mut session, ".\r\n");
    assert!(reply.starts_with("452 4.3.1 "), "{reply}");
    assert!(talk(&mut session, "NOOP\r\n").starts_with("250 "));
    assert!(place.outbox(place.accounts.work).is_empty());
}

/// RFC 3207 section 4.2.
#[test]
fn who_logged_in_before_tls_is_forgotten_with_the_rest() {
    let place = Place::new();
    let mut session = place.session_with(Tls::Offered);
    talk(&mut session, "EHLO c\r\nAUTH PLAIN AGhvbWUAc2VjcmV0\r\n");
    assert!(talk(&mut session, "MAIL FROM:<other@x>\r\n").starts_with("250 "));
    assert!(talk(&mut session, "STARTTLS\r\n").starts_with("220 "));
    session.handle_event(Event::TlsStarted(TlsFacts::default()), NOW);
    talk(&mut session, "EHLO c\r\n");
    assert!(talk(&mut session, "MAIL FROM:<other@x>\r\n").starts_with("550 5.7.1 "));
}
