//! A session with something wrong about it: stands between the line and a sound one.

use super::answers::{Answers, Response};
use super::cutter::{Cutter, Piece};
use super::quirk::Faults;
use super::requests::{Requests, Ruling};
use crate::types::{Conversation, Event, Step, Timestamp};

/// A sound IMAP session, made quirky.
pub struct Quirky<C> {
    inner: C,
    from_client: Cutter,
    from_inner: Cutter,
    requests: Requests,
    answers: Answers,
    /// The rest of a command that was answered here is thrown away.
    is_skipping: bool,
    /// The response that is not complete yet.
    response: Response,
    output: Vec<u8>,
    is_over: bool,
}

impl<C: Conversation> Quirky<C> {
    pub fn new(inner: C, faults: &Faults) -> Self {
        let number = faults.next_connection();
        Self {
            inner,
            from_client: Cutter::default(),
            from_inner: Cutter::default(),
            requests: Requests::new(faults.clone(), number),
            answers: Answers::new(faults.clone(), number),
            is_skipping: false,
            response: Response::default(),
            output: Vec::new(),
            is_over: false,
        }
    }

    fn take_piece(&mut self, piece: Piece, now: Timestamp) {
        match piece {
            Piece::Line { text, begins: true, literal } => {
                self.is_skipping = false;
                match self.requests.look_at(&text, literal) {
                    Ruling::Pass(text) => {
                        self.answers.expect(&text);
                        self.inner.handle_input(&text, now);
                    }
                    Ruling::Answer { answer, hangs_up } => {
                        self.output.extend_from_slice(answer.as_bytes());
                        self.is_over |= hangs_up;
                        self.is_skipping = literal.is_some();
                        if literal.is_some_and(|literal| literal.waits) {
                            self.from_client.forget_literal();
                        }
                    }
                }
            }
            _ if self.is_skipping => {}
            Piece::Line { text, .. } => {
                let text = self.requests.line_behind(&text);
                self.inner.handle_input(&text, now);
            }
            Piece::Bytes(bytes) => {
                self.requests.look_at_bytes(&bytes);
                self.inner.handle_input(&bytes, now);
            }
        }
    }

    fn take_response(&mut self, piece: Piece) {
        match piece {
            Piece::Line { text, literal, .. } => {
                self.response.push_line(text);
                if literal.is_none() {
                    let response = std::mem::take(&mut self.response);
                    let told = self.answers.rewrite(response);
                    told.into_iter().for_each(|response| self.output.extend(response.into_bytes()));
                }
            }
            Piece::Bytes(bytes) => self.response.push_literal(&bytes),
        }
    }
}

impl<C: Conversation> Conversation for Quirky<C> {
    fn handle_input(&mut self, input: &[u8], now: Timestamp) {
        self.requests.begin_burst();
        for piece in self.from_client.push(input) {
            if !self.is_over {
                self.take_piece(piece, now);
            }
        }
    }

    fn handle_event(&mut self, event: Event, now: Timestamp) {
        self.inner.handle_event(event, now);
    }

    fn poll_output(&mut self, now: Timestamp, out: &mut Vec<u8>) -> Step {
        let mut said = Vec::new();
        let step = self.inner.poll_output(now, &mut said);
        self.from_inner.push(&said).into_iter().for_each(|piece| self.take_response(piece));
        if matches!(step, Step::Wait | Step::Hold) {
            let late = self.answers.release();
            late.into_iter().for_each(|response| self.output.extend(response.into_bytes()));
        }
        out.append(&mut self.output);
        if self.is_over || self.answers.hangs_up() { Step::Close } else { step }
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.inner.deadline()
    }
}
