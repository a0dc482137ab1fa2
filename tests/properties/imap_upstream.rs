//! An upstream IMAP server, whatever it says from its greeting on: the client ends, with answers or with errors that say
//! whose fault it is; how the bytes were cut makes no difference; what imap-proto is given it can read; and no message is
//! handed on that was not asked for, or not whole.
//!
//! In the input a line that begins with `$` waits for a command and answers it.

use std::fmt::Debug;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mailtide::sync::remote::{
    Connect, Fetched, Known, MessageSink, Outgoing, Remote, RemoteError, RemoteName, Selected,
};
use mailtide::sync::tour::{Brought, Errand, Guide, Stop};
use mailtide::types::{Flags, InternalDate, ModSeq, RemoteUid, Secret, SecretKind, SystemFlag, UidSet, UidValidity};
use mailtide::upstream::{Connector, Timeouts};

use super::pieces::Cut;
use super::stream::{Speaks, TLS, endpoint, run, secret_for};

pub fn check(input: &[u8]) {
    let input = Arc::new(input.to_vec());
    let secret = secret_for(&input);
    let shown = [secret.clone(), BASE64.encode(format!("\0ann\0{secret}"))];
    let mut whole = None;
    for cut in Cut::ALL {
        let connector = Connector {
            dial: Speaks::new(&input, cut, true),
            endpoint: endpoint(),
            tls: TLS.clone(),
            user: "ann".to_owned(),
            password: Secret::new(&*secret),
            kind: SecretKind::Password,
            quirks: mailtide::types::Quirks::default(),
            nonce: || None,
            timeouts: Timeouts::default(),
        };
        let mut answers = Answers::default();
        let end = run(everything(&connector, &mut answers));
        if let Err(error) = &end {
            answers.note(Err::<(), _>(error.clone()));
        }
        let shows = answers.0.iter().any(|answer| shown.iter().any(|secret| answer.contains(&**secret)));
        assert!(!shows, "an answer shows the password: {:?}", answers.0);
        match &whole {
            None => whole = Some(answers.0),
            Some(whole) => assert_eq!(&answers.0, whole, "cut another way: {cut:?}"),
        }
    }
}

/// Each answer or error as text.
#[derive(Default)]
struct Answers(Vec<String>);

impl Answers {
    fn note(&mut self, answer: Result<impl Debug, RemoteError>) {
        if let Err(error) = &answer {
            check_error(error);
        }
        self.0.push(format!("{answer:?}"));
    }
}

fn check_error(error: &RemoteError) {
    let text = error.to_string();
    assert!(text.len() < 4000, "an error of {} bytes", text.len());
    if let RemoteError::Lost { cause, .. } = error
        && !cause.starts_with("the server said goodbye")
    {
        let is_parse_error = cause.contains("parse") || cause.contains("Parse");
        assert!(!is_parse_error, "imap-proto was given what it cannot read: {cause}");
    }
}

async fn everything(connector: &Connector<Speaks>, answers: &mut Answers) -> Result<(), RemoteError> {
    let mut remote = connector.connect().await?;
    let set = UidSet::<RemoteUid>::parse("3,7:9").expect("a valid set");
    let name = RemoteName("x".to_owned());
    answers.note(Ok(remote.facts()));
    answers.note(remote.list().await);
    answers.note(remote.status(&[name.clone(), RemoteName("y".to_owned())]).await);
    let known = Known { uid_validity: UidValidity::new(5), highest_mod_seq: ModSeq::new(70) };
    let selected = remote.select(&name, Some(known)).await;
    let goes_on = selected.is_ok();
    answers.note(selected);
    if !goes_on {
        return Ok(());
    }
    answers.note(remote.uids().await);
    let scanned = remote.scan(&set, Some(ModSeq::new(70))).await;
    answers.note(scanned);
    answers.note(Ok(remote.take_vanished()));
    answers.note(remote.fingerprints(&set).await);
    let mut sink = Sink::new(&set);
    let fetched = remote.fetch(&set, &mut sink).await;
    answers.note(fetched.map(|()| sink.kept));
    answers.note(remote.add_flags(&set, &[SystemFlag::Flagged.into()].into_iter().collect()).await);
    answers.note(remote.copy(&set, &name).await);
    answers.note(remote.move_messages(&set, &name).await);
    answers.note(remote.expunge(&set).await);
    let internal_date = InternalDate::new(0, 0);
    let bytes = &mut b"a\r\nbc".to_vec();
    let (mut appended, message) = (None, Outgoing { flags: Flags::none(), internal_date, bytes });
    let ended = remote.append(&name, vec![message], &mut |_, told| appended = Some(told)).await;
    let appended = ended.and_then(|()| appended.expect("it is told of"));
    assert!(appended.is_err() || connector.dial.has_heard(b"}\r\na\r\nbc\r\n"), "appended and not sent");
    answers.note(appended);
    answers.note(remote.wait(60_000, Box::pin(std::future::pending())).await);
    answers.note(Ok(remote.take_vanished()));
    let errands = vec![
        Errand::Scan { uids: set.clone(), changed_since: Some(ModSeq::new(70)) },
        Errand::Fetch(set.clone()),
        Errand::RemoveFlags { uids: set.clone(), flags: [SystemFlag::Seen.into()].into_iter().collect() },
        Errand::Copy { uids: set.clone(), to: RemoteName("y".to_owned()) },
    ];
    let stop = Stop { name, uid_validity: known.uid_validity, known: Some(known), errands };
    let mut guide = Sink::new(&set);
    let toured = remote.tour(&[stop.clone(), stop], &mut guide, true).await;
    answers.note(toured.map(|()| (guide.told, guide.kept)));
    remote.logout().await;
    Ok(())
}

/// Takes messages, and sees that the calls are as the seam promises.
struct Sink {
    wanted: UidSet<RemoteUid>,
    open: Option<(u64, Vec<u8>)>,
    kept: Vec<(RemoteUid, Option<Vec<u8>>)>,
    /// Of a tour: the stop and how many of its errands are done, and what was told.
    at: Option<(usize, usize)>,
    told: Vec<String>,
}

impl Sink {
    fn new(wanted: &UidSet<RemoteUid>) -> Self {
        Self { wanted: wanted.clone(), open: None, kept: Vec::new(), at: None, told: Vec::new() }
    }

    fn keep(&mut self, uid: RemoteUid, bytes: Option<Vec<u8>>) {
        assert!(self.wanted.contains(uid), "{uid} was not asked for");
        self.kept.push((uid, bytes));
    }
}

impl MessageSink for Sink {
    fn begin(&mut self, size_bytes: u64) -> std::io::Result<()> {
        // One begun and not ended leaves nothing.
        self.open = Some((size_bytes, Vec::new()));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.open.as_mut().expect("bytes of a message that has begun").1.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, message: Fetched) -> std::io::Result<()> {
        let (size, bytes) = self.open.take().expect("the end of a message that has begun");
        assert_eq!(bytes.len() as u64, size, "a message that is not whole");
        self.keep(message.uid, Some(bytes));
        Ok(())
    }

    fn absent(&mut self, uid: RemoteUid) -> std::io::Result<()> {
        self.keep(uid, None);
        Ok(())
    }
}

impl Guide for Sink {
    fn enter(&mut self, stop: usize, selected: Result<Selected, RemoteError>) -> Result<(), RemoteError> {
        assert_eq!(stop, self.at.map_or(0, |(stop, _)| stop + 1), "one stop after the other");
        self.at = Some((stop, 0));
        self.told.push(format!("{stop}: {selected:?}"));
        Ok(())
    }

    fn done(&mut self, stop: usize, errand: usize, brought: Result<Brought, RemoteError>) -> Result<(), RemoteError> {
        assert_eq!(self.at, Some((stop, errand)), "one errand after the other");
        self.at = Some((stop, errand + 1));
        self.told.push(format!("{stop}.{errand}: {brought:?}"));
        Ok(())
    }

    fn news(&mut self, stop: usize) {
        self.told.push(format!("{stop}: news"));
    }
}
