//! The outbox engine against a server that answers by a script, killed wherever it can be.

mod edit;
pub mod office;

use mailtide::outbox::engine::{Engine, SentCopy, Settings, World};
use mailtide::outbox::sender::{Envelope, HandedOver, Outcome, SendError, Sender};
use mailtide::store::{
    Arrival, Cursor, Error, ListedMailbox, NewMessage, Origin, Outline, RecipientState, Stays, SubmissionState, check,
};
use mailtide::types::{
    ByteSource, Flags, InternalDate, MailboxName, MessageId, RemoteUid, SpecialUse, SystemFlag, UidValidity, limits,
};

use office::{Act, HOUR_MS, Office};

const MESSAGE: &str = "Message-ID: <1@here>\r\nSubject: hello\r\nBcc: secret@x\r\n\r\nHello\r\n";

/// As it goes out.
const ON_THE_WIRE: &str = "Message-ID: <1@here>\r\nSubject: hello\r\n\r\nHello\r\n";

#[test]
fn killed_anywhere_everyone_gets_it_and_it_is_filed_and_reported_once() {
    for acts in [
        vec![Act::ByName, Act::TakeAll],
        vec![Act::Unreachable, Act::ByName, Act::Defer, Act::TakeAll],
        vec![Act::TakeAndVanish, Act::ByName, Act::TakeAll],
    ] {
        let mut kill = 0;
        loop {
            let mut office = Office::new(&acts);
            let id = office.submit(&["yes@x", "no@x", "later@x"], MESSAGE);
            let was_killed = office.run_killed(kill).is_none();
            for _ in 0..4 {
                office.restart();
                office.pass(HOUR_MS);
                office.run();
            }
            expect_settled(&office, id, &format!("{acts:?}, killed at {kill}"));
            if !was_killed {
                break;
            }
            kill += 1;
        }
        assert!(kill > 5, "there are places to be killed at");
    }
}

fn expect_settled(office: &Office, id: mailtide::types::SubmissionId, case: &str) {
    let submission = office.submission(id);
    assert_eq!(submission.state, SubmissionState::Settled, "{case}");
    assert!(submission.filed && submission.handed_over.is_some(), "{case}");
    let taken = office.script.taken.lock().expect("held by none").clone();
    for (recipient, bytes) in &taken {
        assert_eq!(String::from_utf8_lossy(bytes), ON_THE_WIRE, "{case}: {recipient}");
    }
    for place in submission.places(RecipientState::Accepted) {
        let recipient = &submission.envelope.recipients[place].address;
        let times = taken.iter().filter(|(taken, _)| *taken == *recipient).count();
        assert!((1..=2).contains(&times), "{case}: {recipient} got it {times} times");
    }
    let sent = office.mailbox("Sent");
    assert_eq!(sent.len(), 1, "{case}");
    assert_eq!(sent[0].1, MESSAGE, "{case}: the copy keeps Bcc");
    assert!(sent[0].0.has(SystemFlag::Seen), "{case}");
    let reports = office.mailbox("INBOX");
    let failed = submission.places(RecipientState::Failed).len();
    assert_eq!(reports.len(), failed, "{case}");
    if failed > 0 {
        assert!(reports[0].1.contains("Final-Recipient: rfc822; no@x\r\n"), "{case}");
        assert!(!reports[0].1.contains("Final-Recipient: rfc822; yes@x"), "{case}");
    }
    assert_eq!(check(office.store()).expect("readable"), Vec::<String>::new(), "{case}");
}

#[test]
fn without_a_mishap_everyone_gets_it_once() {
    let office = Office::new(&[Act::ByName, Act::TakeAll]);
    let id = office.submit(&["yes@x", "no@x", "later@x"], MESSAGE);
    let (engine, clock) = (office.engine(office.at()), || office.at());
    let first = office.step(&engine, &clock);
    assert_eq!((first.sent, first.waiting, first.reported, first.filed), (1, 1, 1, 1));
    assert_eq!(office.submission(id).state, SubmissionState::Queued);
    assert_eq!(engine.next_due().expect("readable"), Some(office.at().plus_ms(15_000)));
    office.pass(14_999);
    assert_eq!(office.step(&engine, &clock).sent, 0, "the next attempt is not due yet");
    office.pass(1);
    assert_eq!(office.step(&engine, &clock).sent, 1);
    assert_eq!(engine.next_due().expect("readable"), None);
    assert_eq!(office.script.recipients(), ["yes@x", "later@x"]);
    expect_settled(&office, id, "no mishap");
}

#[test]
fn killed_between_the_message_and_its_answer_it_goes_out_again_as_the_same_message() {
    let mut office = Office::new(&[Act::TakeAndKill, Act::TakeAll]);
    let id = office.submit(&["yes@x"], MESSAGE);
    assert!(office.run_killed(usize::MAX).is_none());
    office.restart();
    assert_eq!(office.submission(id).state, SubmissionState::Sending);
    office.run();
    assert_eq!(office.script.recipients(), ["yes@x", "yes@x"]);
    expect_settled(&office, id, "killed before the answer");
}

/// A server to which a message to `slow@x` takes until the one to `fast@x` was sent.
#[derive(Default)]
struct Ferry {
    fast_is_over: std::sync::atomic::AtomicBool,
    slow: std::sync::Mutex<Option<std::task::Waker>>,
}

impl Sender for &Ferry {
    async fn send(&self, envelope: &Envelope, _: &mut dyn ByteSource) -> Result<Vec<Outcome>, SendError> {
        use std::sync::atomic::Ordering::Relaxed;
        if envelope.recipients[0].address == "fast@x" {
            self.fast_is_over.store(true, Relaxed);
            let slow = self.slow.lock().expect("held by none").take();
            slow.into_iter().for_each(std::task::Waker::wake);
        }
        std::future::poll_fn(|context| match self.fast_is_over.load(Relaxed) {
            true => std::task::Poll::Ready(()),
            false => {
                *self.slow.lock().expect("held by none") = Some(context.waker().clone());
                std::task::Poll::Pending
            }
        })
        .await;
        Ok(vec![Outcome::Accepted(office::reply(250, "over")); envelope.recipients.len()])
    }
}

#[test]
fn one_that_takes_its_time_holds_up_no_other() {
    let office = Office::new(&[Act::TakeAll]);
    let ids = ["slow@x", "fast@x"].map(|address| office.submit(&[address], MESSAGE));
    let settings = Settings {
        origin: Origin::LocalUser,
        hostname: "here".to_owned(),
        sent_copy: SentCopy::AtOnce,
        attempts_at_once: 2,
    };
    let ferry = Ferry::default();
    let engine = Engine::new(office.store().clone(), office.account, &ferry, settings, office.at()).expect("usable");
    let world = World { now: &|| office.at(), chance: &|| 0, goes_on: &|| true };
    assert_eq!(office::finish(engine.run_due(world)).expect("usable").sent, 2);
    assert!(ids.iter().all(|id| office.submission(*id).state == SubmissionState::Settled));
}

#[test]
fn what_became_of_a_message_is_recorded_once_the_disk_has_room() {
    let office = Office::new(&[Act::TakeAndFill]);
    let id = office.submit(&["yes@x"], MESSAGE);
    let engine = office.engine(office.at());
    let run = || office::finish(engine.run_due(World { now: &|| office.at(), chance: &|| 0, goes_on: &|| true }));
    for _ in 0..2 {
        assert!(matches!(run(), Err(mailtide::store::Error::DiskFull { .. })));
        assert!(engine.has_unrecorded(), "nothing else is due: whoever runs it must know");
        assert_eq!(engine.next_due().expect("readable"), None);
    }
    office.script.is_full.store(false, std::sync::atomic::Ordering::SeqCst);
    run().expect("room");
    assert!(!engine.has_unrecorded());
    assert_eq!(office.submission(id).state, SubmissionState::Settled);
    assert_eq!(office.script.recipients(), ["yes@x"], "it went out once");
}

/// A server to which goodbye is said; keeps what was recorded of the message at that moment.
struct Polite(mailtide::store::Store, std::sync::Arc<std::sync::Mutex<Vec<SubmissionState>>>);

impl Sender for Polite {
    async fn send(&self, envelope: &Envelope, bytes: &mut dyn ByteSource) -> Result<Vec<Outcome>, SendError> {
        Ok(self.hand_over(envelope, bytes).await?.and_leave().await)
    }

    async fn hand_over(&self, envelope: &Envelope, _: &mut dyn ByteSource) -> Result<HandedOver, SendError> {
        let (store, heard) = (self.0.clone(), std::sync::Arc::clone(&self.1));
        let goodbye = async move {
            let account = store.read(|reader| reader.accounts()).expect("readable")[0].id;
            let known = store.read(|reader| reader.submissions(account)).expect("readable");
            heard.lock().expect("held by none").extend(known.iter().map(|submission| submission.state));
        };
        let outcomes = vec![Outcome::Accepted(office::reply(250, "taken")); envelope.recipients.len()];
        Ok(HandedOver { outcomes, farewell: vec![Box::pin(goodbye)] })
    }
}

#[test]
fn goodbye_is_said_once_the_outcome_is_recorded() {
    let office = Office::new(&[Act::TakeAll]);
    office.submit(&["yes@x"], MESSAGE);
    let heard = std::sync::Arc::default();
    let settings = Settings {
        origin: Origin::LocalUser,
        hostname: "here".to_owned(),
        sent_copy: SentCopy::AtOnce,
        attempts_at_once: 1,
    };
    let polite = Polite(office.store().clone(), std::sync::Arc::clone(&heard));
    let engine = Engine::new(office.store().clone(), office.account, polite, settings, office.at()).expect("usable");
    let world = World { now: &|| office.at(), chance: &|| 0, goes_on: &|| true };
    assert_eq!(office::finish(engine.run_due(world)).expect("usable").sent, 1);
    assert_eq!(*heard.lock().expect("held by none"), [SubmissionState::Settled]);
}

#[test]
fn what_is_refused_for_five_days_comes_back() {
    let office = Office::new(&[Act::Defer]);
    let id = office.submit(&["yes@x"], MESSAGE);
    for _ in 0..5 * 24 {
        office.run();
        office.pass(HOUR_MS + 1000);
    }
    assert_eq!(office.submission(id).state, SubmissionState::Queued);
    assert_eq!(office.mailbox("INBOX").len(), 1, "the warning that it takes its time");
    office.run();
    assert_eq!(office.submission(id).state, SubmissionState::Settled);
    let reports = office.mailbox("INBOX");
    assert_eq!(reports.len(), 2);
    assert!(reports[1].1.contains("Status: 4.4.7\r\n") && reports[1].1.contains("Subject: hello\r\n"));
    assert!(office.mailbox("Sent").is_empty(), "what nobody got was not sent");
}

#[test]
fn a_year_without_a_connection_fails_nothing() {
    let office = Office::new(&[Act::Unreachable]);
    let id = office.submit(&["yes@x"], MESSAGE);
    for _ in 0..365 {
        office.run();
        office.pass(24 * HOUR_MS);
    }
    assert_eq!(office.submission(id).state, SubmissionState::Queued);
    assert!(office.mailbox("INBOX").is_empty());
}

#[test]
fn what_the_provider_filed_itself_is_not_filed_again() {
    for (message_id, filed_by_us) in [("<1@here>", 0), ("<other@here>", 1)] {
        let office = Office::new(&[Act::TakeAll]);
        office.submit(&["yes@x"], MESSAGE);
        // The mirror brings the provider's own copy, in the mailbox it calls Sent.
        let mut upload = office.store().upload();
        upload.write(format!("X-Provider: 1\r\nMessage-ID: {message_id}\r\n\r\nHello\r\n").as_bytes()).expect("room");
        let copy = NewMessage {
            content: upload.finish().expect("room"),
            flags: Flags::none(),
            internal_date: InternalDate::from(office.at()),
            email_id: None,
        };
        let account = office.account;
        let name = MailboxName::parse("Gesendet").expect("a valid name");
        let append = move |txn: &mut mailtide::store::Txn<'_>| {
            let mailbox = txn.create_mailbox(account, &name, Some(SpecialUse::Sent))?;
            txn.append(mailbox, &[copy]).map(drop)
        };
        office.store().write(Origin::Authority, office.at(), append).expect("room");
        assert_eq!(office.run().filed, filed_by_us, "{message_id}");
        assert_eq!(office.run().filed, 0, "{message_id}");
        assert_eq!(office.mailbox("Gesendet").len(), 1 + filed_by_us, "{message_id}");
        assert!(office.mailbox("Sent").is_empty());
    }
}

#[test]
fn a_copy_of_which_the_header_alone_is_here_is_not_made_again() {
    let office = Office::new(&[Act::TakeAll]);
    office.submit(&["yes@x"], MESSAGE);
    let account = office.account;
    let summary = mailtide::message::Scanner::scan(ON_THE_WIRE.as_bytes());
    let header = &ON_THE_WIRE[..usize::try_from(summary.root.body_start).expect("small")];
    let outline = Some(Outline { size_bytes: ON_THE_WIRE.len() as u64, summary: summary.into(), is_bare: false });
    let (content, internal_date) = (office.upload(header).expect("room"), InternalDate::from(office.at()));
    let message = NewMessage { content, flags: Flags::none(), internal_date, email_id: None };
    let name = MailboxName::parse("Sent").expect("a valid name");
    let listed = ListedMailbox {
        remote_name: "Sent".to_owned(),
        is_wanted: true,
        name: name.clone(),
        special_use: Some(SpecialUse::Sent),
        selectable: true,
        subscribed: false,
        uid_validity: Some(UidValidity::new(9)),
        uid_next: None,
        rights: None,
    };
    let arrive = move |txn: &mut mailtide::store::Txn<'_>| {
        txn.take_listing(account, &[listed], "+*")?;
        let sent = txn.reader().mailbox_named(account, &name)?.ok_or(Error::NoSuchMailbox)?.id;
        txn.set_cursor(sent, &Cursor::start(Some(UidValidity::new(9))))?;
        txn.arrive(sent, &[Arrival { uid: RemoteUid::new(7), message, outline }], MessageId::new(0))
    };
    assert_eq!(office.store().write(Origin::Upstream, office.at(), arrive).expect("room"), 1);
    assert_eq!(office.run().filed, 0);
    assert_eq!(office.run().filed, 0);
}

#[test]
fn a_clock_set_back_makes_no_second_copy() {
    let office = Office::new(&[Act::TakeAll]);
    office.mailbox_with("Sent", SpecialUse::Sent, &[]);
    office.pass(HOUR_MS);
    office.submit(&["yes@x"], MESSAGE);
    office.pass(-HOUR_MS);
    office.copy_into("Sent", ON_THE_WIRE);
    office.pass(2 * HOUR_MS);
    assert_eq!(office.run().filed, 0);
    assert_eq!(office.run().filed, 0);
    assert_eq!(office.mailbox("Sent").len(), 1);
}

#[test]
fn one_whose_bytes_are_lost_holds_up_no_report_and_no_copy_of_another() {
    let office = Office::new(&[Act::ByName]);
    let other = MESSAGE.replace("<1@here>", "<2@here>");
    let ids = [office.submit(&["yes@x", "no@x"], MESSAGE), office.submit(&["yes@x", "no@x"], &other)];
    let engine = office.engine(office.at());
    let lost = office.submission(ids[0]).content.get();
    let conn = rusqlite::Connection::open(office.folder().join("mailtide.db")).expect("a database");
    // The bytes go with the last word of its server.
    conn.execute_batch(&format!(
        "CREATE TRIGGER lose AFTER UPDATE OF state ON submission WHEN new.id = {} AND new.state = 'settled'
         BEGIN DELETE FROM content_place WHERE content_id = {lost}; END;",
        ids[0].get()
    ))
    .expect("valid SQL");
    let now = || office.at();
    let sent = office::finish(engine.run_due(World { now: &now, chance: &|| 0, goes_on: &|| true }))
        .expect("each is reported");
    assert_eq!((sent.sent, sent.reported), (2, 2));
    let reports: Vec<String> = office.mailbox("INBOX").into_iter().map(|(_, report)| report).collect();
    assert!(reports.iter().all(|report| report.contains("Final-Recipient: rfc822; no@x\r\n")));
    assert!(!reports[0].contains("Hello") && reports[1].contains("Hello"), "{reports:?}");
    office.pass(1);
    assert!(matches!(engine.file_copies(office.at(), office.at()), Err(Error::NoContent)), "it is told");
    assert_eq!(office.mailbox("Sent").into_iter().map(|(_, copy)| copy).collect::<Vec<_>>(), [other]);
}

#[test]
fn of_different_messages_with_one_message_id_each_is_filed() {
    let other = MESSAGE.replace("hello", "another");
    for copies_by_provider in [vec![], vec![&other], vec![&other, &MESSAGE.to_owned()]] {
        let office = Office::new(&[Act::TakeAll]);
        for message in [MESSAGE, &other, MESSAGE] {
            office.submit(&["yes@x"], message);
        }
        office.mailbox_with("Sent", SpecialUse::Sent, &copies_by_provider);
        office.run();
        office.run();
        let mut subjects: Vec<_> =
            office.mailbox("Sent").into_iter().map(|(_, message)| message.contains("hello")).collect();
        subjects.sort_unstable();
        assert_eq!(subjects, [false, true, true], "{copies_by_provider:?}");
        assert_eq!(check(office.store()).expect("readable"), Vec::<String>::new());
    }
}

#[test]
fn who_was_late_once_with_a_copy_is_waited_for() {
    let office = Office::new(&[Act::TakeAll]);
    office.mailbox_with("Sent", SpecialUse::Sent, &[]);
    let first = MESSAGE.to_owned();
    office.submit(&["yes@x"], &first);
    assert_eq!(office.run().filed, 1);
    // The provider makes its own copy all the same, a little different, after ours.
    office.copy_into("Sent", &first.replace("Bcc", "X-Bcc"));
    let second = MESSAGE.replace("<1@here>", "<2@here>").replace("hello", "second");
    office.submit(&["yes@x"], &second);
    assert_eq!(office.run().filed, 0, "it may come yet");
    office.copy_into("Sent", &second.replace("Bcc", "X-Bcc"));
    assert_eq!(office.run().filed, 0, "it came");
    assert_eq!(office.mailbox("Sent").len(), 3);
    // The third time nobody makes one: ours comes after a while.
    office.submit(&["yes@x"], &MESSAGE.replace("<1@here>", "<3@here>"));
    assert_eq!(office.run().filed, 0);
    office.pass(limits::SENT_COPY_PATIENCE_MS);
    assert_eq!(office.run().filed, 1);
}

#[test]
fn who_waits_for_hours_is_told_once_and_success_is_reported_where_nobody_else_does() {
    let office = Office::new(&[Act::Defer, Act::Defer, Act::Defer, Act::TakeSilently]);
    let id = office.submit_with(&[("yes@x", Some("SUCCESS,DELAY")), ("quiet@x", Some("FAILURE"))], MESSAGE);
    office.run();
    assert!(office.mailbox("INBOX").is_empty());
    for _ in 0..2 {
        office.pass(4 * HOUR_MS);
        office.run();
    }
    let told = office.mailbox("INBOX");
    assert_eq!(told.len(), 1);
    let warning = &told[0].1;
    assert!(warning.contains("Action: delayed\r\nStatus: 4.") && warning.contains("Final-Recipient: rfc822; yes@x"));
    assert!(!warning.contains("quiet@x") && !warning.contains("Hello"), "{warning}");
    office.pass(4 * HOUR_MS);
    office.run();
    assert_eq!(office.submission(id).state, SubmissionState::Settled);
    let told = office.mailbox("INBOX");
    assert_eq!(told.len(), 2);
    assert!(told[1].1.contains("Action: relayed\r\n") && !told[1].1.contains("quiet@x"), "{}", told[1].1);
    assert_eq!(check(office.store()).expect("readable"), Vec::<String>::new());
}

#[test]
fn a_success_is_told_as_what_it_was() {
    for (act, subject, sentence, action) in [
        (
            Act::TakeSilently,
            "handed on",
            "to a server that does not report deliveries",
            "relayed\r\nStatus: 2.0.0\r\nRemote-MTA: dns; mx",
        ),
        (Act::Deliver, "delivered", "was delivered to:", "delivered\r\nStatus: 2.0.0\r\nLast-Attempt-Date:"),
    ] {
        let office = Office::new(&[act]);
        office.submit_with(&[("yes@x", Some("SUCCESS"))], MESSAGE);
        office.run();
        let told = office.mailbox("INBOX").remove(0).1;
        for part in [&format!("Subject: Your message was {subject}\r\n"), sentence, &format!("Action: {action}")] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}

#[test]
fn what_is_wanted_later_waits_whatever_happens_but_the_user_releases_it() {
    let office = Office::new(&[Act::TakeAll]);
    let later = office.at().plus_ms(HOUR_MS);
    let [first, second] = [(); 2].map(|()| office.submit_not_before(&["yes@x"], MESSAGE, later));
    let engine = office.engine(office.at());
    engine.hasten(office.at()).expect("usable");
    assert_eq!(office.step(&engine, &|| office.at()).sent, 0);
    assert_eq!(engine.next_due().expect("readable"), Some(later));
    office.store().write(Origin::LocalUser, office.at(), move |txn| txn.release_submission(first)).expect("queued");
    assert_eq!(office.run().sent, 1);
    assert_eq!(office.submission(second).state, SubmissionState::Queued);
    office.pass(HOUR_MS);
    assert_eq!(office.run().sent, 1);
}

#[test]
fn who_failed_is_tried_anew_when_the_user_says_so() {
    let office = Office::new(&[Act::ByName, Act::TakeAll]);
    let id = office.submit(&["yes@x", "no@x"], MESSAGE);
    office.run();
    assert_eq!(office.submission(id).state, SubmissionState::Settled);
    office.store().write(Origin::LocalUser, office.at(), move |txn| txn.requeue_submission(id)).expect("one failed");
    assert_eq!(office.run().sent, 1);
    assert_eq!(office.script.recipients(), ["yes@x", "no@x"]);
    let again = office.store().write(Origin::LocalUser, office.at(), move |txn| txn.requeue_submission(id));
    assert!(matches!(again, Err(Error::Stays(Stays::Sent))), "everyone has it: {again:?}");
    assert_eq!(check(office.store()).expect("readable"), Vec::<String>::new());
}

#[test]
fn what_did_not_fail_is_not_tried_anew_nor_what_the_user_keeps_back() {
    let office = Office::new(&[Act::Defer]);
    let requeue = |id| {
        let before = office.submission(id);
        let requeued = office.store().write(Origin::LocalUser, office.at(), move |txn| txn.requeue_submission(id));
        let why = match requeued {
            Err(Error::Stays(stays)) => Some(stays),
            Err(error) => panic!("{error}"),
            Ok(()) => None,
        };
        assert!(why.is_none() || office.submission(id) == before, "it stays as it is");
        why
    };
    let later = office.at().plus_ms(HOUR_MS);
    let put_off = office.submit_not_before(&["yes@x"], MESSAGE, later);
    assert_eq!(requeue(put_off), Some(Stays::Later(put_off, later)));
    let held = office.submit(&["yes@x"], MESSAGE);
    office.store().write(Origin::LocalUser, office.at(), move |txn| txn.hold_submission(held)).expect("it is queued");
    assert_eq!(requeue(held), Some(Stays::Held(held)));
    let fresh = office.submit(&["yes@x"], MESSAGE);
    assert_eq!(requeue(fresh), Some(Stays::NotFailed));
    office.run();
    assert_eq!(requeue(fresh), None, "its server put it off");
    assert!(office.submission(fresh).next_attempt <= office.at());
}

#[test]
fn a_copy_may_be_filed_at_once() {
    let mut office = Office::new(&[Act::TakeAll]);
    office.sent_copy = SentCopy::AtOnce;
    office.submit(&["yes@x"], MESSAGE);
    assert_eq!(office.run().filed, 1);
    assert_eq!(office.mailbox("Sent").len(), 1);
}

#[test]
fn the_user_holds_releases_and_cancels() {
    let office = Office::new(&[Act::ByName]);
    let write =
        |work: fn(&mut mailtide::store::Txn<'_>, mailtide::types::SubmissionId) -> mailtide::store::Result<()>, id| {
            office.store().write(Origin::LocalUser, office.at(), move |txn| work(txn, id))
        };
    let held = office.submit(&["yes@x"], MESSAGE);
    write(|txn, id| txn.hold_submission(id), held).expect("it is queued");
    assert_eq!(office.run().sent, 0);
    write(|txn, id| txn.release_submission(id), held).expect("it is held");
    assert_eq!(office.run().sent, 1);
    assert!(write(|txn, id| txn.cancel_submission(id), held).is_err(), "what is sent cannot be taken back");

    let partly = office.submit(&["yes@x", "later@x"], MESSAGE);
    office.run();
    write(|txn, id| txn.cancel_submission(id), partly).expect("a recipient waits");
    let submission = office.submission(partly);
    assert_eq!(submission.state, SubmissionState::Settled);
    assert_eq!(submission.places(RecipientState::Waiting), Vec::<usize>::new());

    let cancelled = office.submit(&["yes@x"], MESSAGE);
    write(|txn, id| txn.cancel_submission(id), cancelled).expect("it is queued");
    assert_eq!(office.store().read(|reader| reader.submission(cancelled)).expect("readable"), None);
    assert_eq!(check(office.store()).expect("readable"), Vec::<String>::new());
}

#[test]
fn a_message_whose_bytes_cannot_be_read_parks_and_holds_up_no_other() {
    let office = Office::new(&[Act::TakeAll]);
    let ids = [office.submit(&["a@x"], MESSAGE), office.submit(&["b@x"], "Subject: other\r\n\r\n")];
    // What cannot happen by this program's own doing, and happens to disks.
    let lost = office.submission(ids[0]).content;
    drop(office.store().clone());
    let conn = rusqlite::Connection::open(office.folder().join("mailtide.db")).expect("a database");
    conn.execute("DELETE FROM content_place WHERE content_id = ?1", [lost.get()]).expect("valid SQL");
    let progress = office.run();
    assert_eq!((progress.sent, progress.waiting), (1, 1));
    assert_eq!(office.submission(ids[0]).state, SubmissionState::Parked);
    assert_eq!(office.submission(ids[1]).state, SubmissionState::Settled);
}

#[test]
fn check_sees_what_cannot_be_in_an_outbox() {
    for (sql, rule) in [
        ("DELETE FROM submission_recipient WHERE place = 0", "a submission knows each of its recipients"),
        ("UPDATE submission_recipient SET state = 'waiting'", "a submission is settled when nobody waits"),
        ("UPDATE submission SET state = 'parked'", "a submission is settled when nobody waits"),
        ("UPDATE submission SET handed_over_ms = NULL", "a submission is handed over when someone accepted it"),
    ] {
        let office = Office::new(&[Act::TakeAll]);
        office.submit(&["yes@x", "also@x"], MESSAGE);
        office.run();
        assert_eq!(check(office.store()).expect("readable"), Vec::<String>::new());
        let conn = rusqlite::Connection::open(office.folder().join("mailtide.db")).expect("a database");
        conn.execute_batch(sql).expect("valid SQL");
        let wrong = check(office.store()).expect("readable");
        assert!(wrong.iter().any(|found| found.starts_with(rule)), "{sql}: {wrong:?}");
    }
}

#[test]
fn what_is_done_in_every_way_is_forgotten_in_time() {
    let office = Office::new(&[Act::ByName]);
    let ids = [office.submit(&["yes@x"], MESSAGE), office.submit(&["later@x"], MESSAGE)];
    let engine = office.engine(office.at());
    office.step(&engine, &|| office.at());
    assert_eq!(engine.forget(office.at(), office.at()).expect("usable"), 0, "not made before then");
    office.pass(1);
    assert_eq!(engine.forget(office.at(), office.at()).expect("usable"), 1);
    let left = office.store().read(|reader| reader.submissions(office.account)).expect("readable");
    assert_eq!(left.iter().map(|submission| submission.id).collect::<Vec<_>>(), [ids[1]]);
}
