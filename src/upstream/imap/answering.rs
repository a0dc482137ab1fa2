//! What a login by SASL answers: async-imap hands each challenge on, and the shim sends the answer, so that no secret passes
//! through async-imap, which logs what it sends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::outward::Line;
use crate::sasl::exchange::{Exchange, ExchangeError};

/// The line that is to take the place of the one that async-imap writes next.
pub(super) type Slot = Arc<Mutex<Option<Line>>>;

/// An exchange under way. Clones share it.
#[derive(Clone)]
pub(super) struct Answering(Arc<Mutex<State>>);

struct State {
    exchange: Exchange,
    trouble: Option<ExchangeError>,
    slot: Slot,
}

impl Answering {
    /// Answers by `exchange`, into `slot`.
    pub(super) fn new(exchange: Exchange, slot: Slot) -> Self {
        Self(Arc::new(Mutex::new(State { exchange, trouble: None, slot })))
    }

    /// Why nothing more was answered; or, where the server lets us in, why it is not to be believed.
    pub(super) fn trouble(&self, is_in: bool) -> Option<ExchangeError> {
        let state = self.lock();
        state.trouble.or_else(|| if is_in { state.exchange.accept().err() } else { None })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl async_imap::Authenticator for Answering {
    type Response = &'static str;

    fn process(&mut self, challenge: &[u8]) -> Self::Response {
        let mut state = self.lock();
        let answer = match state.exchange.answer(challenge) {
            Ok(answer) => STANDARD.encode(answer),
            Err(error) => {
                state.trouble = Some(error);
                // It ends the exchange (RFC 3501 section 6.2.2).
                "*".to_owned()
            }
        };
        let line = Line::secret("", answer.as_bytes());
        *state.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        ""
    }
}
