//! A long queue: it is listed whole, sent whole, each message once, and is no slower for being long. What it takes is
//! printed; the full run is `MAILTIDE_QUEUE=100000 cargo test --release --test e2e queue -- --nocapture`.

use std::process::Command;
use std::time::{Duration, Instant};

use mailtide::outbox::sender::Envelope;
use mailtide::store::{Executor, NewSubmission, Options as StoreOptions, Origin, Store};
use mailtide::types::{SubmissionId, Timestamp};

use crate::support::agent::Said;
use crate::support::refserver::{Options, RefServer};
use crate::support::sink::Sink;
use crate::support::wait::{SOON, wait_until};

/// How many messages wait where `MAILTIDE_QUEUE` does not say.
const MESSAGES: usize = 1500;

/// Put into the queue in one transaction.
const BATCH: usize = 1000;

const NOW: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

/// Nobody waits for that.
const LATER: Timestamp = Timestamp::from_unix_ms(4_000_000_000_000);

fn open(server: &RefServer) -> Store {
    let options = StoreOptions { executor: Executor::Thread, program: "tests".to_owned(), max_bytes: None };
    Store::open(&server.folder().join("data"), &options, NOW).expect("the server is down")
}

/// Puts messages into ada's queue that are not to be sent yet.
fn fill(store: &Store, messages: usize) {
    let account = store.read(|reader| reader.account_named("ada")).expect("readable").expect("a user").id;
    let numbers: Vec<usize> = (0..messages).collect();
    for batch in numbers.chunks(BATCH) {
        let submissions: Vec<NewSubmission> = batch
            .iter()
            .map(|number| {
                let message_id = format!("<{number}@home.example>");
                let mut upload = store.upload();
                let text = format!("Message-ID: {message_id}\r\nSubject: number {number}\r\n\r\nHi.\r\n");
                upload.write(text.as_bytes()).expect("there is room");
                let envelope = Envelope::plain("ada@home.example", &["bob@far.example"]);
                let content = upload.finish().expect("there is room");
                NewSubmission { account, content, envelope, message_id, file: false, not_before: Some(LATER) }
            })
            .collect();
        let enqueue = move |txn: &mut mailtide::store::Txn<'_>| {
            submissions.iter().try_for_each(|submission| txn.enqueue(submission).map(drop))
        };
        store.write(Origin::Authority, NOW, enqueue).expect("a queue");
    }
}

/// Everything in it may go.
fn release(store: &Store) {
    let all =
        |reader: &mailtide::store::Reader<'_>| reader.submissions_behind(None, true, SubmissionId::new(0), usize::MAX);
    let waiting = store.read(all).expect("readable");
    let released = store.write(Origin::Authority, NOW, move |txn| {
        waiting.iter().try_for_each(|submission| txn.release_submission(submission.id))
    });
    released.expect("a queue");
}

fn stop(server: &mut RefServer) {
    server.process().ask_to_stop();
    assert!(server.process().wait_end(SOON).success());
}

fn refserver(arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_refserver")).args(arguments).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// How many are listed, and how long that takes.
fn list(server: &RefServer) -> (usize, Duration) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refserver"));
    command.arg("--data").arg(server.folder().join("data")).args(["queue", "list"]);
    let start = Instant::now();
    let output = command.output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    (text.lines().filter(|line| line.contains("bob@far.example")).count(), start.elapsed())
}

#[test]
fn a_long_queue_is_listed_and_sent() {
    let messages = std::env::var("MAILTIDE_QUEUE").map_or(MESSAGES, |text| text.parse().expect("a number"));
    let sink = Sink::start();
    let config = format!("[routes]\n\"far.example\" = \"{}\"\n", sink.address);
    let mut server = RefServer::start(&Options { users: &["ada"], config, ..Options::default() });
    stop(&mut server);
    fill(&open(&server), messages);
    server.restart();
    let (listed, listing) = list(&server);
    assert_eq!(listed, messages);
    stop(&mut server);
    release(&open(&server));
    let start = Instant::now();
    server.restart();
    let patience = SOON + Duration::from_millis(20 * messages as u64);
    wait_until("all of it to be sent", patience, || sink.count() >= messages);
    let (sending, used) = (start.elapsed(), server.process().processor_time());
    wait_until("nothing to wait any more", SOON, || list(&server).0 == 0);
    let mut bodies: Vec<_> = sink.delivered().into_iter().map(|delivered| delivered.bytes).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!((bodies.len(), sink.count()), (messages, messages), "each of them once");
    let rate = messages as f64 / sending.as_secs_f64();
    let each = used.div_f64(messages as f64);
    println!(
        "{messages} messages: listed in {listing:?}, sent in {sending:?}, {rate:.0} a second, {each:?} of the processor each"
    );
}

/// As people type it: where the data is stands in the file.
#[test]
fn the_queue_is_found_by_the_configuration_wherever_it_is_named() {
    let server = RefServer::with_users(&["ada"]);
    let file = server.folder().join("own.toml");
    std::fs::write(&file, "data = \"data\"\n").expect("a writable folder");
    let file = file.to_str().expect("a plain path");
    let run = |arguments: &[&str]| {
        let said = refserver(arguments);
        (said.code, said.out)
    };
    for arguments in
        [["--config", file, "queue", "list"], ["queue", "list", "--config", file], ["queue", "--config", file, "list"]]
    {
        assert_eq!(run(&arguments), (0, "Nothing waits.\n".to_owned()), "{arguments:?}");
    }
    std::fs::write(file, "dat = \"data\"\n").expect("a writable folder");
    assert_eq!(run(&["--config", file, "queue", "list"]).0, 78, "a file that is wrong");
    std::fs::write(file, "domain = \"home.example\"\n").expect("a writable folder");
    let lost = refserver(&["--config", file, "queue", "list"]);
    assert!(lost.code == 64 && lost.err.contains(&format!("{file} names no data folder: add data = ")), "{lost:?}");
    let data = server.folder().join("data");
    let found = run(&["--config", file, "--data", data.to_str().expect("a plain path"), "queue", "list"]);
    assert_eq!(found, (0, "Nothing waits.\n".to_owned()));
}

#[test]
fn several_are_removed_at_once_and_what_cannot_be_is_named() {
    let mut server = RefServer::with_users(&["ada"]);
    stop(&mut server);
    fill(&open(&server), 3);
    server.restart();
    let data = server.folder().join("data");
    let queue = |arguments: &[&str]| {
        let place = ["--data", data.to_str().expect("a plain path"), "queue"];
        refserver(&[&place, arguments].concat())
    };
    let listed: Vec<serde_json::Value> = serde_json::from_str(&queue(&["list", "--json"]).out).expect("JSON");
    let ids: Vec<String> = listed.iter().map(|waiting| waiting["id"].to_string()).collect();
    let [first, second, third] = &ids[..] else { panic!("three of them: {ids:?}") };
    let removed = queue(&["remove", first, "99999", third, first]);
    assert_eq!(removed.code, 64, "{removed:?}");
    assert_eq!(removed.out, [first, third].map(|id| format!("Message {id} is not sent any more.\n")).concat());
    let told = "refserver: nothing with the number 99999 waits; `refserver queue list` shows what does\n";
    assert_eq!(removed.err, told, "no line of a log");
    assert!(queue(&["list"]).out.starts_with(&format!("{second}\t")));
    assert_eq!(queue(&["remove", second]).code, 0);
    assert_eq!(queue(&["remove", second]).code, 64, "it is gone");
    for wrong in [&["remove"][..], &["remove", "one"]] {
        assert_eq!(queue(wrong).code, 64, "{wrong:?}");
    }
    assert_eq!(queue(&["list"]).out, "Nothing waits.\n");
}

#[test]
fn what_was_sent_is_no_more_in_the_queue_than_what_never_was() {
    let sink = Sink::start();
    let config = format!("[routes]\n\"far.example\" = \"{}\"\n", sink.address);
    let mut server = RefServer::start(&Options { users: &["ada"], config, ..Options::default() });
    stop(&mut server);
    let store = open(&server);
    fill(&store, 1);
    let waiting =
        store.read(|reader| reader.submissions_behind(None, true, SubmissionId::new(0), 1)).expect("readable");
    release(&store);
    drop(store);
    server.restart();
    wait_until("nothing to wait any more", SOON, || list(&server).0 == 0);
    let (data, id) = (server.folder().join("data"), waiting[0].id.to_string());
    let removed = refserver(&["--data", data.to_str().expect("a plain path"), "queue", "remove", &id]);
    let told = format!("refserver: nothing with the number {id} waits; `refserver queue list` shows what does\n");
    assert_eq!((removed.code, removed.out.as_str(), removed.err), (64, "", told));
    assert_eq!(sink.count(), 1);
}
