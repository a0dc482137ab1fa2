//! The control protocol, both ends over an in-memory stream.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use mailtide::control::client::{CallError, Client};
use mailtide::control::report::Status;
use mailtide::control::server::{Handler, converse};
use mailtide::control::wire::request_line;
use mailtide::control::{Failure, Request};
use mailtide::types::{EntryId, SubmissionId, limits};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex};
use tokio::sync::watch;

/// Answers the status with a counter in place of the version, and knows one journal entry.
struct Daemon {
    asked: AtomicU64,
    changed: watch::Sender<u64>,
}

impl Daemon {
    fn new() -> Self {
        Self { asked: AtomicU64::new(0), changed: watch::Sender::new(0) }
    }
}

impl Handler for Daemon {
    async fn call(&self, request: Request) -> Result<Value, Failure> {
        match request {
            Request::Status => Ok(json!({"version": self.asked.fetch_add(1, Ordering::SeqCst), "accounts": []})),
            Request::JournalDiscard { id } if id == EntryId::new(7) => Ok(Value::Null),
            Request::JournalDiscard { id } => Err(Failure::not_found(format!("no entry {id}"))),
            other => Err(Failure::not_possible(format!("{other:?}"))),
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// Sends lines, gives the answers.
async fn answers(lines: &str) -> Vec<Value> {
    let (mut peer, ours) = duplex(1024 * 1024);
    peer.write_all(lines.as_bytes()).await.expect("written");
    peer.shutdown().await.expect("closed");
    converse(ours, &Daemon::new()).await.expect("a clean end");
    let mut answers = Vec::new();
    let mut read = BufReader::new(peer).lines();
    while let Some(line) = read.next_line().await.expect("a line") {
        answers.push(serde_json::from_str(&line).expect("JSON"));
    }
    answers
}

#[tokio::test]
async fn every_line_is_answered_as_json_rpc_asks() {
    for (line, expected) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"status"}"#,
            json!({"jsonrpc":"2.0","id":1,"result":{"version":0,"accounts":[]}}),
        ),
        (
            r#"{"jsonrpc":"2.0","id":"x","method":"status","params":{}}"#,
            json!({"jsonrpc":"2.0","id":"x","result":{"version":0,"accounts":[]}}),
        ),
        (
            r#"{"jsonrpc":"2.0","id":2,"method":"journal-discard","params":{"id":7}}"#,
            json!({"jsonrpc":"2.0","id":2,"result":null}),
        ),
        (
            r#"{"jsonrpc":"2.0","id":3,"method":"journal-discard","params":{"id":8}}"#,
            json!({"jsonrpc":"2.0","id":3,"error":{"code":1,"message":"no entry 8"}}),
        ),
    ] {
        assert_eq!(answers(&format!("{line}\n")).await, [expected], "{line}");
    }
    for (line, code) in [
        ("{", -32700),
        ("[]", -32600),
        (r#"{"id":1,"method":"status"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"fly"}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"journal-discard"}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"journal-discard","params":{"id":"x"}}"#, -32602),
    ] {
        let answers = answers(&format!("{line}\n")).await;
        assert_eq!(answers.first().map(|answer| &answer["error"]["code"]), Some(&json!(code)), "{line}");
    }
}

#[tokio::test]
async fn a_line_without_end_is_not_kept() {
    let (mut peer, ours) = duplex(1024 * 1024);
    let line = vec![b'x'; limits::CONTROL_REQUEST_MAX_BYTES + 1];
    let daemon = Daemon::new();
    let (written, ended) = tokio::join!(peer.write_all(&line), converse(ours, &daemon));
    written.expect("written");
    assert_eq!(ended.expect_err("refused").kind(), std::io::ErrorKind::InvalidData);
}

/// Takes every edit, and notes in which order they began and ended.
#[derive(Default)]
struct Desk(Mutex<Vec<Request>>);

impl Handler for Desk {
    async fn call(&self, request: Request) -> Result<Value, Failure> {
        let is_sent = matches!(request, Request::OutboxEdit { id } if id == SubmissionId::new(9));
        self.0.lock().expect("held by none").push(request);
        if is_sent { Err(Failure::not_possible("it has gone out already")) } else { Ok(Value::Null) }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

#[tokio::test]
async fn an_editor_is_closed_with_its_connection_however_that_ends() {
    let [one, two, three, nine] = [1, 2, 3, 9].map(SubmissionId::new);
    let edits = [one, two, three, nine].map(|id| Request::OutboxEdit { id });
    let replace = Request::OutboxReplace { id: two, base64: String::new(), to: Vec::new(), author: None };
    let asked: Vec<Request> = edits.into_iter().chain([Request::OutboxEditEnd { id: one }, replace]).collect();
    for (end, is_clean) in [(&b""[..], true), (b"{ cut", true), (b"\xff\n", false)] {
        let (mut peer, ours) = duplex(1024 * 1024);
        let lines: String = asked.iter().map(|request| format!("{}\n", request_line(1, request))).collect();
        peer.write_all(&[lines.as_bytes(), end].concat()).await.expect("written");
        peer.shutdown().await.expect("closed");
        let desk = Desk::default();
        assert_eq!(converse(ours, &desk).await.is_ok(), is_clean);
        let seen = desk.0.into_inner().expect("held by none");
        assert_eq!(seen[..asked.len()], asked);
        assert_eq!(seen[asked.len()..], [Request::OutboxEditEnd { id: three }], "of those it had open still");
    }
}

/// Has no room to close an editor the first two times.
#[derive(Default)]
struct FullDesk(Mutex<usize>);

impl Handler for FullDesk {
    async fn call(&self, request: Request) -> Result<Value, Failure> {
        let mut closings = self.0.lock().expect("held by none");
        *closings += usize::from(matches!(request, Request::OutboxEditEnd { .. }));
        match request {
            Request::OutboxEditEnd { .. } if *closings < 3 => Err(Failure::not_now("the disk is full")),
            _ => Ok(Value::Null),
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

#[tokio::test(start_paused = true)]
async fn an_editor_that_could_not_be_closed_is_closed_once_it_can_be() {
    let (mut peer, ours) = duplex(1024);
    let edit = request_line(1, &Request::OutboxEdit { id: SubmissionId::new(1) });
    peer.write_all(format!("{edit}\n").as_bytes()).await.expect("written");
    peer.shutdown().await.expect("closed");
    let desk = FullDesk::default();
    converse(ours, &desk).await.expect("a clean end");
    assert_eq!(desk.0.into_inner().expect("held by none"), 3);
}

#[tokio::test]
async fn a_follower_is_told_every_change() {
    let (peer, ours) = duplex(64 * 1024);
    let daemon = Daemon::new();
    let changed = daemon.changed.clone();
    let server = tokio::spawn(async move { converse(ours, &daemon).await });
    let mut client = Client::over(peer, Path::new("control.sock"));
    let first: Status = client.call(&Request::Follow).await.expect("the status");
    changed.send_modify(|count| *count += 1);
    let second: Status = client.notification().await.expect("the change");
    assert_eq!((first.version, second.version), (0, 1));
    drop(client);
    server.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn a_client_knows_a_refusal_from_an_absent_daemon() {
    let (peer, ours) = duplex(64 * 1024);
    let mut client = Client::over(peer, Path::new("control.sock"));
    let server = tokio::spawn(async move { converse(ours, &Daemon::new()).await });
    let refused = client.call::<()>(&Request::JournalDiscard { id: EntryId::new(1) }).await;
    assert!(matches!(refused, Err(CallError::Failed(failure)) if failure.code == Failure::NOT_FOUND));
    server.abort();
    assert!(server.await.is_err_and(|error| error.is_cancelled()));
    let gone = client.call::<Status>(&Request::Status).await;
    assert!(matches!(gone, Err(CallError::Unavailable { .. })));
}
