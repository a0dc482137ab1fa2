//! The control protocol, both ends: what is read and written again is read the same, and every line to the daemon has one
//! answer, a line of JSON, however the bytes were cut.

use std::pin::Pin;
use std::task::{Context, Poll};

use mailtide::control::server::{Handler, converse};
use mailtide::control::wire::{Incoming, answer_line, parse_incoming, parse_request, request_line};
use mailtide::control::{Failure, Request};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::pieces::Cut;
use super::stream::run;

pub fn check(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        text.lines().for_each(check_line);
    }
    let answers = conversation(input, Cut::Whole);
    for cut in [Cut::Bytes, Cut::Mixed] {
        assert_eq!(conversation(input, cut), answers, "cut another way: {cut:?}");
    }
    let asked = input.iter().filter(|byte| **byte == b'\n').count();
    let answers = String::from_utf8(answers).expect("answers are UTF-8");
    assert!(answers.lines().count() <= asked && (answers.is_empty() || answers.ends_with('\n')));
    for answer in answers.lines() {
        let answer: Value = serde_json::from_str(answer).expect("an answer is JSON");
        assert_eq!(answer["jsonrpc"], "2.0");
        assert!(answer.get("result").is_some() != answer.get("error").is_some(), "{answer}");
    }
}

fn check_line(line: &str) {
    match parse_request(line) {
        Ok(numbered) => {
            let again = parse_request(&request_line(7, &numbered.request)).expect("what we write we read");
            assert_eq!((again.id, again.request), (Value::from(7), numbered.request));
        }
        Err((id, failure)) => {
            let answer = answer_line(&id, &Err(failure.clone()));
            assert!(!answer.contains('\n'));
            assert_eq!(parse_incoming(&answer), Some(Incoming::Answer(Err(failure))));
        }
    }
    if let Some(Incoming::Answer(answer)) = parse_incoming(line) {
        let written = answer_line(&Value::Null, &answer);
        assert_eq!(parse_incoming(&written), Some(Incoming::Answer(answer)), "{written}");
    }
}

/// Says yes to everything.
struct Daemon;

impl Handler for Daemon {
    async fn call(&self, request: Request) -> Result<Value, Failure> {
        match request {
            Request::JournalShow { .. } => Err(Failure::not_found("no such entry")),
            other => Ok(Value::from(format!("{other:?}"))),
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}

fn conversation(input: &[u8], cut: Cut) -> Vec<u8> {
    let mut answers = Vec::new();
    let mut pieces: Vec<&[u8]> = cut.pieces(input);
    pieces.reverse();
    // A line that is too long, or no UTF-8, ends the conversation.
    let _ = run(converse(Peer { pieces, answers: &mut answers }, &Daemon));
    answers
}

struct Peer<'a> {
    /// What is still to be said, last first.
    pieces: Vec<&'a [u8]>,
    answers: &'a mut Vec<u8>,
}

impl AsyncRead for Peer<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if let Some(piece) = self.pieces.pop() {
            let (now, later) = piece.split_at(piece.len().min(buf.remaining()));
            buf.put_slice(now);
            if !later.is_empty() {
                self.pieces.push(later);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.answers.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
