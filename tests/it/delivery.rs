//! refserver's mail: into INBOX, into the queue, to the servers of other domains.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use mailtide::config::ServerConfig;
use mailtide::net::{Chance, Clock};
use mailtide::outbox::engine::{self, Engine, SentCopy, Settings};
use mailtide::outbox::sender::{Envelope, Outcome, SendError, Sender};
use mailtide::refserver::delivery::{Delivery, DeliveryBackend};
use mailtide::refserver::home::Home;
use mailtide::refserver::lanes::Lanes;
use mailtide::refserver::policy::{Policy, Sent};
use mailtide::refserver::post::Seen;
use mailtide::refserver::relay::{Hosts, Proof, RelaySender};
use mailtide::refserver::route::{MailRecords, Resolve, Routes};
use mailtide::refserver::senders::Senders;
use mailtide::refserver::users::Users;
use mailtide::serve::submission::Sequence;
use mailtide::smtp::server::{Config, Role, Session, Tls};
use mailtide::store::{Executor, Options, Origin, Store, With, check};
use mailtide::types::{AccountId, ByteSource, Conversation, MailboxName, Secret, Step, Timestamp, limits};

use super::outbox::office::{finish, reply};

pub const NOW: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

/// alice and bob at here.example, each with the password `secret`.
pub struct Post {
    pub delivery: Arc<Delivery>,
    _folder: tempfile::TempDir,
}

impl Post {
    fn new() -> Self {
        Self::with(Policy::default(), None)
    }

    pub fn with(policy: Policy, senders: Option<Senders>) -> Self {
        Self::of("here.example", policy, senders)
    }

    fn of(domain: &str, policy: Policy, senders: Option<Senders>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Options { executor: Executor::Inline, program: "tests".to_owned(), max_bytes: None };
        let store = Store::open(folder.path(), &options, NOW).expect("a store");
        let file = folder.path().join("users");
        let mut users = Users::open(&file, domain, &store, [1; 16], NOW).expect("no users yet");
        for name in ["alice", "bob"] {
            users.set_password(name, &Secret::new("secret"), &store, [2; 16], NOW).expect("a fine name");
        }
        let aliases = BTreeMap::from([("both".to_owned(), vec!["alice".to_owned(), "bob".to_owned()])]);
        users.set_aliases(&aliases, None).expect("both are there");
        let config = "[[user]]\nname = \"alice\"\npassword = \"secret\"\n\
            may-send-as = [\"A.friend@else.example\", \"*@All.example\"]";
        let config = ServerConfig::parse(config, "refserver.toml".as_ref()).expect("a good configuration");
        let others = config.users.into_iter().map(|user| (user.name, user.may_send_as)).collect::<Vec<_>>();
        users.set_may_send_as(&others).expect("alice is there");
        let hostname = "mx.here.example".to_owned();
        let delivery = Delivery {
            store,
            users: Arc::new(users),
            hostname,
            seen: Seen::default(),
            sequence: Sequence::default(),
            policy,
            sent: Sent::default(),
            senders,
        };
        Self { delivery: Arc::new(delivery), _folder: folder }
    }

    pub fn session(&self, role: Role) -> Session<DeliveryBackend> {
        self.session_at(role, IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    fn session_at(&self, role: Role, reached_at: IpAddr) -> Session<DeliveryBackend> {
        let config = Config {
            hostname: "mx.here.example".to_owned(),
            peer: "192.0.2.7".to_owned(),
            role,
            tls: Tls::Absent,
            plaintext_auth: true,
            scram_nonce: Some("a-nonce".to_owned()),
            message_max_bytes: 1_000_000,
            hold_max_seconds: if role == Role::Mx { 0 } else { 3600 },
            greet_delay_ms: 0,
            tarpit_ms: 0,
        };
        Session::new(DeliveryBackend::new(Arc::clone(&self.delivery), role).reached_at(reached_at), config)
    }

    /// A submission session of alice's, who is held to some addresses.
    fn alice(&self) -> Session<DeliveryBackend> {
        self.submitting("AGFsaWNlAHNlY3JldA==")
    }

    /// One of bob's, of whom nothing is said.
    fn bob(&self) -> Session<DeliveryBackend> {
        self.submitting("AGJvYgBzZWNyZXQ=")
    }

    fn submitting(&self, proof: &str) -> Session<DeliveryBackend> {
        let mut session = self.session(Role::Submission { anonymous: false });
        let said = talk(&mut session, &format!("EHLO client.example\r\nAUTH PLAIN {proof}\r\n"));
        assert!(said.contains("235 "), "{said}");
        session
    }

    pub fn account(&self, name: &str) -> AccountId {
        self.delivery.users.mailbox(name).expect("a user")
    }

    fn inbox(&self, name: &str) -> Vec<String> {
        self.mailbox(name, &MailboxName::inbox())
    }

    pub fn mailbox(&self, name: &str, mailbox: &MailboxName) -> Vec<String> {
        let (store, account) = (&self.delivery.store, self.account(name));
        let inbox = store.read(|reader| reader.mailbox_named(account, mailbox)).expect("readable");
        let inbox = inbox.expect("every user has one").id;
        let opened = store.read(|reader| reader.open(inbox)).expect("readable");
        let messages = store.read(|reader| reader.messages(inbox, &opened.uids, With::Columns)).expect("readable");
        let text = |content| store.read_content(content, 0, 1_000_000).expect("there");
        messages
            .into_iter()
            .map(|message| String::from_utf8(text(message.content.expect("here"))).expect("text"))
            .collect()
    }
}

pub fn talk(session: &mut dyn Conversation, input: &str) -> String {
    session.handle_input(input.as_bytes(), NOW);
    let mut output = Vec::new();
    while session.poll_output(NOW, &mut output) == Step::Continue {}
    String::from_utf8_lossy(&output).into_owned()
}

pub fn codes(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.as_bytes().get(3) == Some(&b' ')).map(|line| &line[..3]).collect()
}

const MESSAGE: &str = "Subject: hello\r\n\r\nHello\r\n";

#[test]
fn mail_for_users_of_ours_gets_a_trace_in_front_and_nothing_else() {
    let post = Post::new();
    let mut session = post.session(Role::Mx);
    talk(&mut session, "EHLO client.example\r\n");
    let said = talk(
        &mut session,
        "MAIL FROM:<me@there.example>\r\nRCPT TO:<Alice+list@HERE.example>\r\nRCPT TO:<bob@here.example>\r\n\
         RCPT TO:<alice@here.example>\r\nRCPT TO:<carol@here.example>\r\nRCPT TO:<x@elsewhere>\r\nDATA\r\n",
    );
    assert_eq!(codes(&said), ["250", "250", "250", "250", "550", "550", "354"]);
    assert!(said.contains("550 5.1.1 ") && said.contains("550 5.7.1 "), "{said}");
    // RFC 5321 section 4.4: final delivery takes out an older Return-Path.
    assert_eq!(codes(&talk(&mut session, &format!("Return-Path: <older@x>\r\n{MESSAGE}.\r\n"))), ["250"]);
    let expected = format!(
        "Return-Path: <me@there.example>\r\nReceived: from client.example ([192.0.2.7])\r\n\
         \tby mx.here.example with ESMTP;\r\n\tMon, 23 Nov 2026 13:49:00 +0000\r\n{MESSAGE}"
    );
    assert_eq!(post.inbox("alice"), std::slice::from_ref(&expected), "once, though she was named twice");
    assert_eq!(post.inbox("bob"), [expected]);
    assert_eq!(check(&post.delivery.store).expect("readable"), Vec::<String>::new());
}

#[test]
fn a_full_mailbox_takes_no_more_until_there_is_room() {
    let post = Post::new();
    let (bob, store) = (post.account("bob"), &post.delivery.store);
    let set = |limit| store.write(Origin::Authority, NOW, move |txn| txn.set_quota(bob, Some(limit), None));
    set(40).expect("a limit");
    let mut session = post.session(Role::Mx);
    let greeting = "EHLO there.example\r\nMAIL FROM:<x@there.example>\r\n";
    let to_bob = "RCPT TO:<bob@here.example>\r\nDATA\r\n";
    let long = "Subject: x\r\n\r\nwhat is longer than there is room for it\r\n.\r\n";
    let said = talk(&mut session, &format!("{greeting}{to_bob}{long}"));
    assert!(said.ends_with("\r\n552 5.2.3 The message is larger than all that the mailbox may hold\r\n"), "{said}");
    assert_eq!(post.inbox("bob").len(), 0);
    let said = talk(&mut session, "MAIL FROM:<x@there.example> SIZE=41\r\nRCPT TO:<bob@here.example>\r\nRSET\r\n");
    assert!(said.contains("\r\n552 5.2.3 "), "{said}");
    let sent = "Subject: x\r\n\r\nbody\r\n.\r\n";
    let said = talk(&mut session, &format!("MAIL FROM:<x@there.example>\r\n{to_bob}{sent}"));
    assert!(said.contains("\r\n250 2.0.0"), "this one fits: {said}");
    talk(&mut session, "MAIL FROM:<x@there.example>\r\n");
    let said = talk(&mut session, "RCPT TO:<bob@here.example>\r\nRCPT TO:<alice@here.example>\r\nRSET\r\n");
    assert!(said.starts_with("452 4.2.2 The mailbox is full\r\n250 "), "{said}");
    set(1000).expect("a limit");
    let said = talk(&mut session, &format!("MAIL FROM:<x@there.example>\r\n{to_bob}{sent}"));
    assert!(!said.contains("452"), "{said}");
    assert_eq!(post.inbox("bob").len(), 2);
    let long = format!("Subject: x\r\n\r\n{}.\r\n", "a line\r\n".repeat(110));
    let said = talk(&mut session, &format!("MAIL FROM:<x@there.example>\r\n{to_bob}{long}"));
    assert!(said.ends_with("\r\n452 4.2.2 The mailbox is full\r\n"), "nobody has it: {said}");
    assert_eq!(post.inbox("bob").len(), 2);
    // Of two one answer is all that can be said, even to a sender who takes no report: who was not full gets it once more.
    let both = "RCPT TO:<alice@here.example>\r\nRCPT TO:<bob@here.example>\r\nDATA\r\n";
    let said = talk(&mut session, &format!("MAIL FROM:<>\r\n{both}{long}"));
    assert!(said.contains("\r\n250 2.0.0"), "{said}");
    assert_eq!((post.inbox("alice").len(), post.inbox("bob").len()), (1, 3));
    let said = talk(&mut session, &format!("MAIL FROM:<>\r\n{both}{sent}"));
    assert!(said.contains("\r\n452 4.2.2 The mailbox is full\r\n"), "now it is: {said}");
    assert_eq!((post.inbox("alice").len(), post.inbox("bob").len()), (2, 3));
    assert!(check(store).expect("readable").is_empty());
}

#[test]
fn a_message_too_big_for_one_of_its_recipients_comes_to_the_others() {
    for (role, hello) in [(Role::Mx, "EHLO"), (Role::Lmtp, "LHLO")] {
        let post = Post::new();
        let (bob, store) = (post.account("bob"), &post.delivery.store);
        store.write(Origin::Authority, NOW, move |txn| txn.set_quota(bob, Some(20), None)).expect("a limit");
        let mut session = post.session(role);
        let said = talk(
            &mut session,
            &format!(
                "{hello} there.example\r\nMAIL FROM:<x@there.example>\r\nRCPT TO:<alice@here.example>\r\n\
                 RCPT TO:<alice@here.example>\r\nRCPT TO:<bob@here.example>\r\nRCPT TO:<bob@here.example>\r\nDATA\r\n"
            ),
        );
        assert_eq!(codes(&said), ["220", "250", "250", "250", "250", "250", "250", "354"]);
        let said = talk(&mut session, &format!("{MESSAGE}.\r\n"));
        let alice = post.account("alice");
        let queue = store.read(|reader| reader.submissions(alice)).expect("readable");
        let reports: Vec<_> = queue
            .iter()
            .map(|report| {
                let bytes = store.read_content(report.content, 0, 100_000).expect("there");
                (report.envelope.recipients[0].address.clone(), String::from_utf8(bytes).expect("text"))
            })
            .collect();
        match role {
            Role::Lmtp => {
                assert_eq!(codes(&said), ["250", "250", "552", "552"], "each recipient has an answer");
                assert_eq!(reports, []);
            }
            _ => {
                assert_eq!(codes(&said), ["250"]);
                assert_eq!(reports.len(), 1);
                let (to, text) = &reports[0];
                assert_eq!(to, "x@there.example");
                let failed = "Final-Recipient: rfc822; bob@here.example\r\nAction: failed\r\nStatus: 5.2.3\r\n";
                assert!(text.contains(failed), "{text}");
            }
        }
        assert_eq!((post.inbox("alice").len(), post.inbox("bob").len()), (1, 0));
    }
}

#[test]
fn a_user_sends_anywhere_but_as_nobody_else() {
    let post = Post::new();
    let mut session = post.alice();
    let said = talk(
        &mut session,
        "MAIL FROM:<bob@here.example>\r\nMAIL FROM:<alice@there.example>\r\nMAIL FROM:<alice@here.example>\r\n\
         RCPT TO:<x@there.example>\r\nRCPT TO:<bob@here.example>\r\nDATA\r\n",
    );
    assert_eq!(codes(&said), ["553", "553", "250", "250", "250", "354"]);
    assert_eq!(codes(&talk(&mut session, &format!("{MESSAGE}.\r\n"))), ["250"]);
    assert!(post.inbox("bob")[0].starts_with("Return-Path: <alice@here.example>\r\nReceived: from client.example"));
    let store = &post.delivery.store;
    let queue = store.read(|reader| reader.submissions(post.account("alice"))).expect("readable");
    assert_eq!(queue.len(), 1);
    let recipients: Vec<_> = queue[0].envelope.recipients.iter().map(|it| it.address.as_str()).collect();
    assert_eq!(recipients, ["x@there.example"]);
    assert!(queue[0].filed, "no copy is made of what other people's programs file");
    let bytes = store.read_content(queue[0].content, 0, 100_000).expect("there");
    let text = String::from_utf8(bytes).expect("text");
    assert!(text.starts_with("Received: from client.example") && text.ends_with(MESSAGE), "{text}");
    assert!(text.contains("with ESMTPA"), "{text}");
}

#[test]
fn a_user_of_whom_nothing_is_said_sends_as_no_other_user() {
    let post = Post::new();
    for (from, header, code) in [
        ("bob@here.example", "From: bob@here.example", "250"),
        ("b@else.example", "From: B <b@else.example>", "250"),
        ("bob@here.example", "From: no address", "250"),
        ("bob@here.example", "From: bob@here.example\r\nFrom: alice@here.example", "550"),
        ("bob@here.example", "From: \"Alice\" <alice@here.example> (and never ends", "550"),
        ("bob@here.example", "From: alice@here.example", "550"),
        ("bob@here.example", "From: b@else.example, Alice <alice@HERE.example>", "550"),
    ] {
        let mut session = post.bob();
        talk(&mut session, &format!("MAIL FROM:<{from}>\r\nRCPT TO:<x@there.example>\r\nDATA\r\n"));
        assert_eq!(codes(&talk(&mut session, &format!("{header}\r\n\r\nhi\r\n.\r\n"))), [code], "{from} {header}");
    }
    let said = talk(&mut post.bob(), "MAIL FROM:<alice@here.example>\r\n");
    assert_eq!(codes(&said), ["553"]);
}

#[test]
fn a_user_writes_in_nobody_elses_name() {
    let say = |post: &Post, header: &str| {
        let mut session = post.alice();
        talk(&mut session, "MAIL FROM:<>\r\nRCPT TO:<bob@here.example>\r\nRCPT TO:<x@there.example>\r\nDATA\r\n");
        talk(&mut session, &format!("{header}\r\n\r\nFrom: bob@here.example\r\n.\r\n"))
    };
    let post = Post::new();
    for header in [
        "From: alice@here.example",
        "From: \"bob@here.example\" <Alice+work@HERE.example>, both@here.example (bob@here.example)",
        "From: a.friend@else.example",
        "From: anyone@all.example\r\nSender: alice@here.example",
        "Subject: from nobody",
    ] {
        assert_eq!(codes(&say(&post, header)), ["250"], "{header}");
    }
    let taken = post.inbox("bob").len();
    for (header, named) in [
        ("From: bob@here.example", "From names bob@here.example,"),
        ("From: Alice <alice@here.example>, Bob <bob@HERE.example>", "From names bob@here.example,"),
        ("From: bob@here.example <alice@here.example>", "From names bob@here.example,"),
        ("From: alice@there.example", "From names alice@there.example,"),
        ("From: friend@else.example", "From names friend@else.example,"),
        ("From: alice@here.example\r\nSender: bob@here.example", "Sender names bob@here.example,"),
        ("From: alice@here.example\r\nFrom: bob@here.example", "From must be there once"),
        ("From: alice@here.example\r\nFrom : bob@here.example", "From must be there once"),
        ("From: bob", "From must be there once"),
    ] {
        let said = say(&post, header);
        assert!(said.starts_with(&format!("550 5.7.1 {named}")), "{header}: {said}");
    }
    let queue = post.delivery.store.read(|reader| reader.submissions(post.account("alice"))).expect("readable");
    assert_eq!((post.inbox("bob").len(), queue.len()), (taken, taken));
}

/// RFC 5322 section 3.6.6: who resends a message is who sends it, and not who wrote it.
#[test]
fn who_resends_a_message_does_so_in_their_own_name() {
    let post = Post::new();
    for (header, alice, bob) in [
        ("Resent-From: alice@here.example\r\nFrom: x@far.example", "250", "550"),
        ("Resent-From: bob@here.example\r\nFrom: x@far.example", "550", "250"),
        ("Resent-From: alice@here.example\r\nResent-From: bob@here.example\r\nFrom: x@far.example", "250", "550"),
        ("Resent-Sender: alice@here.example\r\nResent-From: bob@here.example\r\nFrom: x@far.example", "550", "550"),
        // Whoever says so: one user of ours does not write as another.
        ("Resent-From: alice@here.example\r\nFrom: bob@here.example", "550", "550"),
        // Without an author of the resending there is none.
        ("Resent-To: bob@here.example\r\nFrom: x@far.example", "550", "250"),
        ("From: x@far.example\r\n\r\nResent-From: alice@here.example", "550", "250"),
    ] {
        for (mut session, code) in [(post.alice(), alice), (post.bob(), bob)] {
            talk(&mut session, "MAIL FROM:<>\r\nRCPT TO:<x@there.example>\r\nDATA\r\n");
            let said = talk(&mut session, &format!("{header}\r\nMessage-ID: <1@x>\r\n\r\nhi\r\n.\r\n"));
            assert_eq!(codes(&said), [code], "{header}: {said}");
        }
    }
}

#[test]
fn our_domain_is_ours_however_it_is_written() {
    let post = Post::of("b\u{fc}cher.example", Policy::default(), None);
    let at = |address: &str| post.session_at(Role::Mx, address.parse().expect("an address"));
    for (reached_at, domain, code) in [
        ("192.0.2.1", "b\u{fc}cher.example", "250"),
        ("192.0.2.1", "B\u{dc}CHER.example", "250"),
        ("192.0.2.1", "XN--Bcher-kva.Example", "250"),
        ("192.0.2.1", "bucher.example", "550"),
        ("192.0.2.1", "[192.0.2.1]", "250"),
        ("::ffff:192.0.2.1", "[192.0.2.1]", "250"),
        ("2001:db8::1", "[IPv6:2001:DB8:0::1]", "250"),
        ("192.0.2.1", "[192.0.2.2]", "550"),
        ("2001:db8::1", "[2001:db8::1]", "501"),
    ] {
        let mut session = at(reached_at);
        talk(&mut session, "EHLO c\r\nMAIL FROM:<> SMTPUTF8\r\n");
        for name in ["alice", "postmaster"] {
            let said = talk(&mut session, &format!("RCPT TO:<{name}@{domain}>\r\n"));
            assert_eq!(codes(&said), [code], "{name}@{domain} at {reached_at}: {said}");
        }
        if code == "250" {
            assert!(talk(&mut session, &format!("DATA\r\n{MESSAGE}.\r\n")).contains("\r\n250 2.0.0 "));
        }
    }
    assert_eq!(post.inbox("alice").len(), 6);
}

/// RFC 6409 section 8.
#[test]
fn who_submits_is_given_the_fields_that_were_left_out() {
    const DATE: &str = "Date: Mon, 23 Nov 2026 13:49:00 +0000\r\n";
    let (tagged, bare) = ("From: alice+x@here.example\r\n", "From: alice@here.example\r\n");
    let whole = "Date: then\r\nMessage-ID: <1@x>\r\nFrom: Alice <alice@here.example>\r\n\r\n";
    for (sender, message, has_id, rest) in [
        ("alice+x@here.example", "Subject: x\r\n\r\nHi\r\n", false, format!("{DATE}{tagged}Subject: x\r\n\r\nHi\r\n")),
        ("alice@here.example", "From: <>\r\nDate:\r\n\r\nHi\r\n", false, format!("{DATE}{bare}\r\nHi\r\n")),
        ("", "Message-ID: <1@x>\r\n\r\nHi\r\n", true, format!("{DATE}{bare}Message-ID: <1@x>\r\n\r\nHi\r\n")),
        ("alice@here.example", whole, true, whole.to_owned()),
        ("alice@here.example", "Hi, all\r\n", false, format!("{DATE}{bare}\r\nHi, all\r\n")),
        ("alice@here.example", "Bcc: x@y\r\n", false, format!("{DATE}{bare}")),
        (
            "alice@here.example",
            "Resent-From: alice@here.example\r\n",
            false,
            format!("{DATE}Resent-From: alice@here.example\r\n"),
        ),
    ] {
        let post = Post::new();
        let from = &format!("MAIL FROM:<{sender}>\r\nRCPT TO:<bob@here.example>\r\nDATA\r\n");
        // The same bytes twice are two messages unless they name themselves.
        for _ in 0..2 {
            let mut session = post.alice();
            talk(&mut session, from);
            assert_eq!(codes(&talk(&mut session, &format!("{message}.\r\n"))), ["250"], "{message:?}");
        }
        let inbox = post.inbox("bob");
        assert_eq!(inbox.len(), if has_id { 1 } else { 2 }, "{message:?}");
        for text in inbox {
            let (trace, fields) = text.split_once("\tMon, 23 Nov 2026 13:49:00 +0000\r\n").expect("Received");
            assert!(trace.starts_with("Return-Path: "), "{text}");
            let is_named_here =
                fields.starts_with("Message-ID: <1795441740000.") && fields.contains("@here.example>\r\n");
            assert_eq!(is_named_here, !has_id, "{text}");
            assert!(fields.ends_with(&rest), "{text}");
        }
    }
}

#[test]
fn blind_copies_are_told_to_nobody_near_or_far() {
    let post = Post::new();
    let mut session = post.alice();
    let envelope =
        "MAIL FROM:<alice@here.example>\r\nRCPT TO:<x@there.example>\r\nRCPT TO:<bob@here.example>\r\nDATA\r\n";
    talk(&mut session, envelope);
    let message = format!("From: alice@here.example\r\n{MESSAGE}");
    let text = format!("Bcc: bob@here.example,\r\n x@there.example\r\n{message}.\r\n");
    assert_eq!(codes(&talk(&mut session, &text)), ["250"]);
    let (near, store) = (post.inbox("bob").remove(0), &post.delivery.store);
    let queue = store.read(|reader| reader.submissions(post.account("alice"))).expect("readable");
    let far = String::from_utf8(store.read_content(queue[0].content, 0, 100_000).expect("there")).expect("text");
    for copy in [near, far] {
        assert!(copy.ends_with(&format!("+0000\r\n{message}")), "{copy}");
    }
}

#[test]
fn without_a_login_nothing_is_submitted() {
    let post = Post::new();
    let mut session = post.session(Role::Submission { anonymous: false });
    let said = talk(&mut session, "EHLO c\r\nMAIL FROM:<alice@here.example>\r\nRCPT TO:<bob@here.example>\r\n");
    assert_eq!(codes(&said)[2..], ["530", "503"]);
}

#[test]
fn a_delivery_is_reported_to_who_asked_for_it() {
    for (sender, inbox) in [("alice@here.example", true), ("me@there.example", false)] {
        let post = Post::new();
        let mut session = post.session(Role::Mx);
        talk(&mut session, "EHLO c\r\n");
        talk(
            &mut session,
            &format!("MAIL FROM:<{sender}> ENVID=e7\r\nRCPT TO:<bob@here.example> NOTIFY=SUCCESS\r\nDATA\r\n"),
        );
        assert_eq!(codes(&talk(&mut session, &format!("{MESSAGE}.\r\n"))), ["250"]);
        let store = &post.delivery.store;
        let queue = store.read(|reader| reader.submissions(post.account("bob"))).expect("readable");
        let report = match inbox {
            true => {
                let report = post.inbox("alice").remove(0);
                assert!(report.starts_with("Return-Path: <>\r\nDate: "), "{report}");
                report
            }
            false => {
                assert_eq!(queue[0].envelope.mail_from, "", "nothing is reported of a report");
                let bytes = store.read_content(queue[0].content, 0, 12).expect("there");
                assert_ne!(bytes, b"Return-Path:", "that is written where it ends (RFC 5321 section 4.4)");
                assert_eq!(queue[0].envelope.recipients[0].address, sender);
                String::from_utf8(store.read_content(queue[0].content, 0, 100_000).expect("there")).expect("text")
            }
        };
        for line in
            ["Original-Envelope-Id: e7\r\n", "Action: delivered\r\n", "Final-Recipient: rfc822; bob@here.example\r\n"]
        {
            assert!(report.contains(line), "{sender}: {line}");
        }
        assert!(!report.contains("Hello"), "a success comes back with the header alone");
    }
}

#[test]
fn what_is_sent_again_because_its_answer_was_lost_makes_no_double() {
    let with_id = format!("Message-ID: <1@here>\r\n{MESSAGE}");
    let later = format!("Message-ID: <2@here>\r\n{MESSAGE}");
    for (first, again, new_recipient, copies) in
        [(&with_id, &with_id, "", 1), (&with_id, &later, "", 2), (&with_id, &with_id, "RCPT TO:<y@there>\r\n", 1)]
    {
        let post = Post::new();
        let envelope = "MAIL FROM:<alice@here.example>\r\nRCPT TO:<bob@here.example>\r\nRCPT TO:<x@there>\r\n";
        for (message, more) in [(first, ""), (again, new_recipient)] {
            let mut session = post.alice();
            talk(&mut session, &format!("{envelope}{more}DATA\r\n"));
            assert_eq!(codes(&talk(&mut session, &format!("{message}.\r\n"))), ["250"]);
        }
        assert_eq!(post.inbox("bob").len(), copies);
        let queue = post.delivery.store.read(|reader| reader.submissions(post.account("alice"))).expect("readable");
        let queued = |address| {
            let named = |queued: &&mailtide::outbox::sender::Recipient| queued.address == address;
            queue.iter().flat_map(|submission| &submission.envelope.recipients).filter(named).count()
        };
        assert_eq!((queued("x@there"), queued("y@there")), (copies, usize::from(!new_recipient.is_empty())));
    }
}

/// RFC 8601 section 5: nobody says in our name that a message is genuine, our own users neither.
#[test]
fn a_user_cannot_say_in_our_name_that_a_message_is_genuine() {
    let post = Post::new();
    let mut session = post.alice();
    talk(&mut session, "MAIL FROM:<alice@here.example>\r\nRCPT TO:<bob@here.example>\r\nRCPT TO:<x@there>\r\nDATA\r\n");
    let forged = "Authentication-Results: mx.here.example;\r\n\tdkim=pass header.d=bank.example\r\n";
    let text = "From: alice@here.example\r\nSubject: x\r\nAuthentication-Results: elsewhere; none\r\n\r\nAuthentication-Results: mx.here.example; body\r\n";
    assert_eq!(codes(&talk(&mut session, &format!("{forged}{text}.\r\n"))), ["250"]);
    assert!(post.inbox("bob")[0].ends_with(&format!("+0000\r\n{text}")), "{}", post.inbox("bob")[0]);
    let store = &post.delivery.store;
    let queued = store.read(|reader| reader.submissions(post.account("alice"))).expect("readable").remove(0);
    let sent = String::from_utf8(store.read_content(queued.content, 0, 100_000).expect("there")).expect("text");
    assert!(sent.ends_with(&format!("+0000\r\n{text}")), "{sent}");
}

#[test]
fn what_is_sent_anew_after_its_answer_was_seen_is_another_message() {
    let message =
        format!("MAIL FROM:<>\r\nRCPT TO:<bob@here.example>\r\nDATA\r\nMessage-ID: <1@here>\r\n{MESSAGE}.\r\n");
    for (after, again_on_the_same, copies) in [
        // The connection just breaks: what comes on the next one is the same message.
        ("", false, 1),
        ("QUIT\r\n", false, 2),
        ("NOOP\r\n", false, 2),
        ("", true, 2),
    ] {
        let post = Post::new();
        let mut session = post.alice();
        assert!(talk(&mut session, &message).contains("\r\n250 2.0.0 "));
        if !after.is_empty() {
            talk(&mut session, after);
        }
        if !again_on_the_same {
            session = post.alice();
        }
        talk(&mut session, &message);
        assert_eq!(post.inbox("bob").len(), copies, "{after:?}, on the same connection: {again_on_the_same}");
        // The answer to the second one was not seen: a third is its repetition.
        talk(&mut post.alice(), &message);
        assert_eq!(post.inbox("bob").len(), copies, "{after:?}, on the same connection: {again_on_the_same}");
        assert_eq!(check(&post.delivery.store).expect("readable"), Vec::<String>::new());
    }
}

#[test]
fn what_came_in_one_piece_with_the_message_shows_nothing() {
    let post = Post::new();
    let message = format!("RCPT TO:<bob@here.example>\r\nDATA\r\nMessage-ID: <1@here>\r\n{MESSAGE}.\r\n");
    for _ in 0..2 {
        talk(&mut post.alice(), &format!("MAIL FROM:<>\r\n{message}QUIT\r\n"));
    }
    assert_eq!(post.inbox("bob").len(), 1);
}

#[test]
fn an_alias_brings_it_to_each_of_its_users_once_and_they_may_send_as_it() {
    let post = Post::new();
    let mut session = post.alice();
    let said = talk(
        &mut session,
        "MAIL FROM:<both@here.example>\r\nRCPT TO:<both@here.example>\r\nRCPT TO:<bob@here.example>\r\nDATA\r\n",
    );
    assert_eq!(codes(&said), ["250", "250", "250", "354"]);
    assert_eq!(codes(&talk(&mut session, &format!("{MESSAGE}.\r\n"))), ["250"]);
    assert_eq!((post.inbox("alice").len(), post.inbox("bob").len()), (1, 1));
}

#[test]
fn a_busy_sender_and_a_message_in_circles_are_refused() {
    let post = Post::with(Policy { messages_per_hour: Some(2), ..Policy::default() }, None);
    let mut session = post.session(Role::Mx);
    talk(&mut session, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<bob@here.example>\r\nDATA\r\n");
    let circles = "Received: x\r\n".repeat(limits::RECEIVED_FIELDS_MAX + 1);
    assert!(talk(&mut session, &format!("{circles}\r\nx\r\n.\r\n")).starts_with("554 5.4.6 "));
    assert!(post.inbox("bob").is_empty());
    let mut alice = post.alice();
    for expected in ["250", "250", "450"] {
        let said = talk(&mut alice, "MAIL FROM:<>\r\nRCPT TO:<x@there.example>\r\nDATA\r\n");
        let said = if said.contains("354 ") { talk(&mut alice, &format!("{MESSAGE}.\r\n")) } else { said };
        assert_eq!(codes(&said).last(), Some(&expected), "{said}");
    }
}

#[test]
fn what_is_to_wait_waits_whomever_it_is_for_and_is_delivered_once() {
    let post = Post::new();
    let mut alice = post.alice();
    let said = talk(
        &mut alice,
        "MAIL FROM:<alice@here.example> HOLDFOR=600\r\nRCPT TO:<bob@[127.0.0.1]>\r\nRCPT TO:<postmaster>\r\n\
         RCPT TO:<x@there.example>\r\nRCPT TO:<bob@here.example>\r\nDATA\r\nMessage-ID: <1@here>\r\n\r\nlater\r\n.\r\n",
    );
    assert_eq!(codes(&said), ["250", "250", "250", "250", "250", "354", "250"]);
    assert!(post.inbox("bob").is_empty());
    let (store, account) = (&post.delivery.store, post.account("alice"));
    let waiting = store.read(|reader| reader.submissions(account)).expect("readable").remove(0);
    assert_eq!(waiting.not_before, NOW.plus_ms(600_000));
    let home = Home { delivery: Arc::clone(&post.delivery), clock: Clock::from_fn(|| NOW) };
    let world = World::default();
    let relay = relay(Zone(BTreeMap::from([("there.example", MailRecords::NoMx)])), &world, Some(home));
    // As after a crash that came before the outcome was recorded.
    for _ in 0..2 {
        let mut bytes = store.source(waiting.content).expect("its bytes");
        let outcomes = finish(relay.hand_over(&waiting.envelope, &mut bytes)).expect("our own disk is fine").outcomes;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted(_))), "{outcomes:?}");
    }
    for name in ["alice", "bob"] {
        let inbox = post.inbox(name);
        assert_eq!(inbox.len(), 1, "{name}");
        assert!(inbox[0].starts_with("Return-Path: <alice@here.example>\r\nReceived: "), "{}", inbox[0]);
        assert!(inbox[0].ends_with("Message-ID: <1@here>\r\n\r\nlater\r\n"), "{}", inbox[0]);
        assert!(inbox[0].contains("From: alice@here.example\r\n"), "{}", inbox[0]);
    }
    let twice = ["there.example:25 x@there.example"; 2];
    assert_eq!(*world.0.lock().expect("held by none"), twice, "what another server does with it is its affair");
}

/// RFC 5321 section 4.5.4.1, also where no server was ever reached.
#[test]
fn who_waits_for_a_server_that_cannot_be_reached_is_told_after_hours_and_gets_it_back_after_days() {
    let post = Post::new();
    talk(&mut post.alice(), &format!("MAIL FROM:<alice@here.example>\r\nRCPT TO:<x@far>\r\nDATA\r\n{MESSAGE}.\r\n"));
    let far = MailRecords::Mx(vec![(10, "down.far".to_owned())]);
    let relay = relay(Zone(BTreeMap::from([("far", far)])), &World::default(), None);
    let settings = Settings {
        origin: Origin::Authority,
        hostname: "here.example".to_owned(),
        sent_copy: SentCopy::AfterLooking,
        attempts_at_once: 1,
    };
    let engine =
        Engine::new(post.delivery.store.clone(), post.account("alice"), relay, settings, NOW).expect("a queue");
    let hour_ms = 60 * 60_000;
    for (hours, reports) in [(0, 0), (1, 0), (5, 1), (20, 1), (119, 1), (121, 2), (200, 2)] {
        let now = NOW.plus_ms(hours * hour_ms);
        engine.hasten(now).expect("a usable store");
        finish(engine.run_due(engine::World { now: &|| now, chance: &|| 0, goes_on: &|| true }))
            .expect("a usable store");
        assert_eq!(post.inbox("alice").len(), reports, "after {hours} hours");
    }
    let reports = post.inbox("alice");
    assert!(reports[0].contains("Action: delayed") && reports[0].contains("down.far"), "{}", reports[0]);
    assert!(reports[1].contains("Action: failed") && reports[1].contains("Status: 4.4.7"), "{}", reports[1]);
    assert!(!reports.concat().contains("Remote-MTA"), "no server said anything: {}", reports[1]);
}

#[test]
fn who_is_here_is_told_to_users_where_they_may_know() {
    let ask = |post: &Post, session: &mut dyn Conversation| {
        let asked = ["VRFY bob", "VRFY <both@here.example>", "EXPN both", "EXPN carol", "VRFY x@there.example"];
        let said = asked.map(|line| talk(session, &format!("{line}\r\n")));
        assert_eq!(check(&post.delivery.store).expect("readable"), Vec::<String>::new());
        said.map(|said| said[..3].to_owned()).join(" ")
    };
    let told = Post::with(Policy { tells_users: true, ..Policy::default() }, None);
    assert_eq!(ask(&told, &mut told.alice()), "250 252 250 550 252");
    assert!(talk(&mut told.alice(), "EXPN both\r\n").contains("250-2.1.5 <alice@here.example>"));
    let stranger = |post: &Post| {
        let mut session = post.session(Role::Mx);
        talk(&mut session, "EHLO there.example\r\n");
        ask(post, &mut session)
    };
    assert_eq!(stranger(&told), "252 252 502 502 252");
    let untold = Post::new();
    assert_eq!(ask(&untold, &mut untold.alice()), "252 252 502 502 252");
}

#[test]
fn equal_messages_without_a_message_id_are_as_many_as_were_sent() {
    let post = Post::new();
    for _ in 0..2 {
        talk(&mut post.alice(), &format!("MAIL FROM:<>\r\nRCPT TO:<bob@here.example>\r\nDATA\r\n{MESSAGE}.\r\n"));
    }
    assert_eq!(post.inbox("bob").len(), 2);
}

/// Hosts by name: `down…` is not there, `busy…` refuses, `gone…` takes the message and vanishes, others take it unless
/// the recipient is `no@…`. Keeps who was asked for whom.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Vec<String>>>);

struct Host {
    name: String,
    world: World,
}

impl Hosts for World {
    type Host = Host;

    fn host(&self, host: &str, port: u16, _: &str, _: Proof) -> Host {
        Host { name: format!("{host}:{port}"), world: self.clone() }
    }
}

impl Sender for Host {
    async fn send(&self, envelope: &Envelope, _: &mut dyn ByteSource) -> Result<Vec<Outcome>, SendError> {
        let (host, cause) = (self.name.clone(), "gone".to_owned());
        let recipients: Vec<_> = envelope.recipients.iter().map(|it| it.address.as_str()).collect();
        self.world.0.lock().expect("held by none").push(format!("{host} {}", recipients.join(",")));
        match &self.name {
            name if name.starts_with("down") => Err(SendError::Lost { host, cause }),
            name if name.starts_with("busy") => Err(SendError::Refused { host, reply: reply(421, "busy") }),
            name if name.starts_with("gone") => Err(SendError::AnswerLost { host, cause }),
            _ => Ok(recipients
                .iter()
                .map(|recipient| match recipient.starts_with("no@") {
                    true => Outcome::Failed(reply(550, "nobody")),
                    false => Outcome::Accepted(reply(250, "taken")),
                })
                .collect()),
        }
    }
}

struct Zone(BTreeMap<&'static str, MailRecords>);

impl Resolve for Zone {
    async fn mail_records(&self, domain: &str) -> MailRecords {
        self.0.get(domain).cloned().unwrap_or(MailRecords::NoDomain)
    }
}

fn relay(dns: Zone, world: &World, home: Option<Home>) -> RelaySender<Zone, World> {
    RelaySender {
        routes: Routes::from([("static".to_owned(), "mx.static:2525".to_owned())]),
        dns,
        hostname: "me".to_owned(),
        hosts: world.clone(),
        mx_port: 25,
        chance: Chance::from_fn(|| 0),
        signer: None,
        lanes: Lanes::default(),
        policies: None,
        home,
    }
}

#[test]
fn each_domains_mail_goes_to_the_first_of_its_hosts_that_answers() {
    let mx = |hosts: &[(u16, &str)]| {
        MailRecords::Mx(hosts.iter().map(|(preference, host)| (*preference, (*host).to_owned())).collect())
    };
    let zone = || {
        Zone(BTreeMap::from([
            ("two", mx(&[(20, "b.two"), (10, "down.two")])),
            ("gone", mx(&[(10, "gone.gone"), (20, "b.gone")])),
            ("busy", mx(&[(10, "busy.busy"), (20, "down.busy")])),
            ("bare", MailRecords::NoMx),
            ("null", mx(&[(0, "")])),
            ("dark", MailRecords::Unknown("timeout".to_owned())),
        ]))
    };
    for (recipients, asked, expected) in [
        ("a@two no@two", "down.two:25 a@two,no@two; b.two:25 a@two,no@two", "250 550"),
        ("a@two b@bare c@TWO", "bare:25 b@bare; down.two:25 a@two,c@TWO; b.two:25 a@two,c@TWO", "250 250 250"),
        ("a@gone", "gone.gone:25 a@gone", "(451)"),
        ("a@busy", "busy.busy:25 a@busy; down.busy:25 a@busy", "(451)"),
        ("a@static b@null c@dark d@nowhere", "mx.static:2525 a@static", "250 556 (451) 550"),
        ("a@[192.0.2.1] b@[x:y]", "192.0.2.1:25 a@[192.0.2.1]", "250 550"),
    ] {
        let world = World::default();
        let relay = relay(zone(), &world, None);
        let envelope = Envelope::plain("me@here", &recipients.split(' ').collect::<Vec<_>>());
        let outcomes = finish(relay.send(&envelope, &mut Vec::new())).expect("our own disk is fine");
        let shown: Vec<String> = outcomes
            .iter()
            .map(|outcome| match outcome {
                Outcome::Accepted(reply) | Outcome::AcceptedSilently(reply) | Outcome::Failed(reply) => {
                    reply.code.to_string()
                }
                Outcome::Deferred(reply) => format!("({})", reply.code),
            })
            .collect();
        assert_eq!(shown.join(" "), expected, "{recipients}");
        assert_eq!(world.0.lock().expect("held by none").join("; "), asked, "{recipients}");
    }
}

#[test]
fn nothing_is_journalled_where_there_is_no_upstream() {
    let post = Post::new();
    talk(&mut post.alice(), "MAIL FROM:<alice@here.example>\r\nRCPT TO:<bob@here.example>\r\nDATA\r\nx\r\n.\r\n");
    let entries = post.delivery.store.read(|reader| reader.entries(post.account("bob"))).expect("readable");
    assert!(entries.is_empty());
}
