//! A message in the outbox that is written anew.

use mailtide::outbox::sender::{Envelope, Recipient};
use mailtide::store::{
    Error, NewSubmission, Origin, RecipientState, Replaced, Replacement, Result, Stays, SubmissionState, Txn, check,
};
use mailtide::types::{SubmissionId, Timestamp, limits};

use super::office::{Act, HOUR_MS, Office, START};

const OLD: &str = "Message-ID: <1@here>\r\nSubject: old\r\n\r\nHello\r\n";
const NEW: &str = "Message-ID: <1@here>\r\nSubject: new\r\n\r\nHello\r\n";

fn act<T: Send + 'static>(office: &Office, work: impl FnOnce(&mut Txn<'_>) -> Result<T> + Send + 'static) -> Result<T> {
    office.store().write(Origin::LocalUser, office.at(), work)
}

/// Sends the new one to these in place of the old one.
fn replace(office: &Office, id: SubmissionId, to: &[&str]) -> Result<Replaced> {
    let content = office.upload(NEW)?;
    let new = Replacement {
        account: office.account,
        mail_from: "me@here".to_owned(),
        to: to.iter().map(|address| (*address).to_owned()).collect(),
        content,
        message_id: "<1@here>".to_owned(),
        eight_bit: false,
        utf8_header: false,
        not_before: None,
    };
    act(office, move |txn| txn.replace_submission(id, &new))
}

/// Who has which.
fn taken(office: &Office) -> Vec<(String, bool)> {
    let taken = office.script.taken.lock().expect("held by none").clone();
    let mut taken: Vec<_> = taken.into_iter().map(|(address, bytes)| (address, bytes == NEW.as_bytes())).collect();
    taken.sort();
    taken
}

fn states(office: &Office, id: SubmissionId) -> Vec<RecipientState> {
    office.submission(id).recipients.iter().map(|recipient| recipient.state).collect()
}

fn expect_sound(office: &Office) {
    assert_eq!(check(office.store()).expect("readable"), Vec::<String>::new());
}

#[test]
fn killed_anywhere_each_gets_the_old_one_or_the_new_one_and_nobody_both_or_neither() {
    let (mut kill, mut went) = (0, [0, 0]);
    loop {
        let mut office = Office::new(&[Act::ByName, Act::TakeAll]);
        let id = office.submit(&["yes@x", "later@x"], OLD);
        office.run();
        office.script.moments_left.store(kill, std::sync::atomic::Ordering::SeqCst);
        let opened = act(&office, move |txn| txn.open_in_editor(id));
        let replaced = opened.and_then(|()| replace(&office, id, &["yes@x", "later@x", "more@x"]));
        let was_killed = replaced.is_err();
        office.restart();
        act(&office, |txn| txn.leave_editors()).expect("usable");
        office.pass(HOUR_MS);
        office.run();
        let went_new = taken(&office).iter().any(|(_, is_new)| *is_new);
        assert!(was_killed || went_new, "what was answered is done");
        went[usize::from(went_new)] += 1;
        let expected = match went_new {
            false => vec![("later@x", false), ("yes@x", false)],
            true => vec![("later@x", true), ("more@x", true), ("yes@x", false)],
        };
        let expected: Vec<_> = expected.into_iter().map(|(address, is_new)| (address.to_owned(), is_new)).collect();
        assert_eq!(taken(&office), expected, "killed at {kill}");
        expect_sound(&office);
        if !was_killed {
            break;
        }
        kill += 1;
    }
    assert!(went[0] > 1 && went[1] > 1, "it was killed before and after: {went:?}");
}

#[test]
fn what_was_not_edited_stays_as_it_was_asked_for() {
    let office = Office::new(&[Act::TakeAll]);
    let later = office.at().plus_ms(HOUR_MS);
    let asked = Some("SUCCESS");
    let with_reports = office.submit_with(&[("a@x", asked), ("b@x", asked)], OLD);
    act(&office, move |txn| txn.schedule_submission(with_reports, later)).expect("queued");
    let replaced = replace(&office, with_reports, &["b@x", "c@x", "b@x"]).expect("queued");
    let new = office.submission(replaced.by);
    let Envelope { recipients, .. } = new.envelope;
    let asked: Vec<_> = recipients.iter().map(|it| (it.address.as_str(), it.notify.as_deref())).collect();
    assert_eq!(asked, [("b@x", asked[0].1), ("c@x", Some("SUCCESS"))]);
    assert_eq!((new.state, new.not_before, new.next_attempt), (SubmissionState::Queued, later, later));

    let held = office.submit(&["a@x"], OLD);
    act(&office, move |txn| txn.schedule_submission(held, later)).expect("queued");
    act(&office, move |txn| txn.hold_submission(held)).expect("queued");
    let replaced = replace(&office, held, &["a@x"]).expect("held");
    let new = office.submission(replaced.by);
    assert_eq!((new.state, new.not_before), (SubmissionState::Held, later));
    expect_sound(&office);
}

#[test]
fn what_was_asked_of_reports_is_asked_of_the_new_one() {
    let office = Office::new(&[Act::TakeAll]);
    let recipient = |address: &str, notify: &str| Recipient {
        address: address.to_owned(),
        notify: Some(notify.to_owned()),
        orcpt: Some(format!("rfc822;was-{address}")),
    };
    let envelope = Envelope {
        mail_from: "me@here".to_owned(),
        recipients: vec![recipient("a@x", "NEVER"), recipient("b@x", "SUCCESS")],
        eight_bit: false,
        smtp_utf8: false,
        ret: Some("HDRS".to_owned()),
        envid: Some("of+2Bme".to_owned()),
    };
    let (account, content) = (office.account, office.upload(OLD).expect("room"));
    let message_id = "<1@here>".to_owned();
    let old = NewSubmission { account, content, envelope: envelope.clone(), message_id, file: true, not_before: None };
    let id = act(&office, move |txn| txn.enqueue(&old)).expect("room");
    let by = replace(&office, id, &["a@x", "b@x"]).expect("queued").by;
    assert_eq!(office.submission(by).envelope, envelope);
    let again = replace(&office, by, &["b@x", "c@x"]).expect("queued").by;
    let recipients = vec![envelope.recipients[1].clone(), Recipient::plain("c@x")];
    assert_eq!(office.submission(again).envelope, Envelope { recipients, ..envelope }, "each asked for something else");
}

#[test]
fn what_was_replaced_is_nothing_that_anything_can_be_done_with() {
    let office = Office::new(&[Act::ByName, Act::TakeAll]);
    let id = office.submit(&["yes@x", "no@x", "later@x"], OLD);
    office.run();
    let by = replace(&office, id, &["yes@x", "no@x", "later@x"]).expect("one waits");
    assert_eq!(by.have_it, ["yes@x"]);
    let by = by.by;
    assert_eq!(office.submission(id).replaced_by, Some(by));
    assert_eq!(states(&office, id), [RecipientState::Accepted, RecipientState::Failed, RecipientState::Cancelled]);
    type Word = fn(&mut Txn<'_>, SubmissionId) -> Result<()>;
    let words: [Word; 6] = [
        |txn, id| txn.hold_submission(id),
        |txn, id| txn.release_submission(id),
        |txn, id| txn.cancel_submission(id),
        |txn, id| txn.requeue_submission(id),
        |txn, id| txn.schedule_submission(id, START),
        |txn, id| txn.open_in_editor(id),
    ];
    for word in words {
        let said = act(&office, move |txn| word(txn, id));
        assert!(matches!(said, Err(Error::Stays(Stays::Replaced(new))) if new == by), "{said:?}");
    }
    assert!(matches!(replace(&office, id, &["yes@x"]), Err(Error::Stays(Stays::Replaced(_)))), "twice");
    expect_sound(&office);
}

#[test]
fn a_new_message_that_is_cancelled_leaves_what_is_true_of_the_old_one() {
    let office = Office::new(&[Act::ByName]);
    let partly = office.submit(&["yes@x", "later@x"], OLD);
    office.run();
    let first = replace(&office, partly, &["later@x"]).expect("one waits").by;
    let second = replace(&office, first, &["later@x"]).expect("it waits").by;
    act(&office, move |txn| txn.cancel_submission(second)).expect("it waits");
    let submission = office.submission(partly);
    assert_eq!((submission.state, submission.replaced_by), (SubmissionState::Settled, None));
    assert_eq!(states(&office, partly), [RecipientState::Accepted, RecipientState::Cancelled]);
    let left = office.store().read(|reader| reader.submissions(office.account)).expect("readable");
    assert_eq!(left.iter().map(|it| it.id).collect::<Vec<_>>(), [partly], "nobody has anything of the others");
    let again = act(&office, move |txn| txn.requeue_submission(partly));
    assert!(matches!(again, Err(Error::Stays(Stays::SentToSome))), "nobody failed: {again:?}");
    office.pass(HOUR_MS);
    assert_eq!(office.run().reported, 0, "what the user took back is no failure");
    expect_sound(&office);
}

#[test]
fn who_has_it_is_not_left_to_send_it_to() {
    let office = Office::new(&[Act::ByName]);
    let id = office.submit(&["yes@x", "later@x"], OLD);
    office.run();
    let said = replace(&office, id, &["yes@x"]);
    assert!(matches!(said, Err(Error::Stays(Stays::NobodyLeft))), "{said:?}");
    assert_eq!(states(&office, id), [RecipientState::Accepted, RecipientState::Waiting], "nothing is changed");
}

#[test]
fn while_it_is_edited_it_does_not_go_out_and_an_editor_that_died_keeps_it_for_a_moment_only() {
    let office = Office::new(&[Act::TakeAll]);
    let id = office.submit(&["a@x"], OLD);
    let due = || office.store().read(|reader| reader.next_submission_due(office.account)).expect("readable");
    act(&office, move |txn| txn.open_in_editor(id)).expect("it is queued");
    let twice = act(&office, move |txn| txn.open_in_editor(id));
    assert!(
        matches!(twice, Err(Error::Stays(stays)) if stays == Stays::BeingEdited && stays.is_temporary()),
        "{twice:?}"
    );
    let account = office.account;
    act(&office, move |txn| txn.hasten_submissions(account)).expect("usable");
    office.pass(24 * HOUR_MS);
    assert_eq!(office.run().sent, 0, "a machine that slept finds it in the editor");
    assert!(due() > Some(office.at()));
    // The machine goes down, and comes up again.
    act(&office, |txn| txn.leave_editors()).expect("usable");
    let moment = due().expect("it goes out");
    assert_eq!(moment, office.at().plus_ms(limits::EDITOR_GRACE_MS));
    assert_eq!(office.run().sent, 0, "an editor may still be there");
    act(&office, |txn| txn.leave_editors()).expect("usable");
    assert_eq!(due(), Some(moment), "however often it is started");
    act(&office, move |txn| txn.open_in_editor(id)).expect("it was there");
    act(&office, move |txn| txn.close_editor(id)).expect("it is there");
    assert!(due() <= Some(office.at()), "{:?}", due());
    act(&office, move |txn| txn.open_in_editor(id)).expect("it is queued");
    act(&office, |txn| txn.leave_editors()).expect("usable");
    office.pass(limits::EDITOR_GRACE_MS + 1);
    assert_eq!(office.run().sent, 1);
    assert_eq!(taken(&office), [("a@x".to_owned(), false)]);
}

#[test]
fn what_failed_can_be_written_anew_and_what_went_out_cannot() {
    let office = Office::new(&[Act::ByName, Act::ByName, Act::TakeAll]);
    let ids = [office.submit(&["yes@x"], OLD), office.submit(&["no@x"], OLD)];
    office.run();
    let open = |id| act(&office, move |txn| txn.open_in_editor(id));
    assert!(matches!(open(ids[0]), Err(Error::Stays(Stays::Sent))));
    open(ids[1]).expect("it failed");
    replace(&office, ids[1], &["right@x"]).expect("it failed");
    office.run();
    assert_eq!(taken(&office), [("right@x".to_owned(), true), ("yes@x".to_owned(), false)]);
    assert_eq!(office.submission(ids[1]).edited_until, Timestamp::from_unix_ms(0));
    expect_sound(&office);
}

#[test]
fn what_may_have_gone_out_is_told_when_it_is_replaced_or_taken_back() {
    let doubted = || {
        let office = Office::new(&[Act::TakeAndVanish]);
        let id = office.submit(&["a@x"], OLD);
        office.run();
        assert!(office.submission(id).in_doubt);
        (office, id)
    };
    let (office, id) = doubted();
    let replaced = replace(&office, id, &["a@x"]).expect("replaced");
    assert_eq!((replaced.have_it, replaced.may_have_it), (vec![], vec!["a@x".to_owned()]));
    assert!(!office.submission(replaced.by).in_doubt);
    expect_sound(&office);
    let (office, id) = doubted();
    act(&office, move |txn| txn.cancel_submission(id)).expect("cancelled");
    assert_eq!(states(&office, id), [RecipientState::Cancelled], "it stays to tell of it");
    expect_sound(&office);
    // What was never sent is forgotten, and what was cut off by the end of the program may have gone.
    let office = Office::new(&[]);
    let id = office.submit(&["a@x"], OLD);
    act(&office, move |txn| txn.begin_attempt(id)).expect("begun");
    let account = office.account;
    act(&office, move |txn| txn.requeue_interrupted(account)).expect("queued");
    assert!(office.submission(id).in_doubt);
}
