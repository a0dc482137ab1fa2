//! Chance as a value, so that whoever needs a random number is handed it.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A text that nobody can guess, of printing US-ASCII; `None` where the machine has no randomness.
pub fn nonce() -> Option<String> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// Tells random numbers.
#[derive(Clone)]
pub struct Chance(Arc<dyn Fn() -> u32 + Send + Sync>);

impl Chance {
    /// The machine's. Without randomness the tries of many clients fall together; they are still tries.
    pub fn system() -> Self {
        Self(Arc::new(|| getrandom::u32().unwrap_or(u32::MAX)))
    }

    /// Chance that is what `tell` tells.
    pub fn from_fn(tell: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Any number, evenly spread.
    pub fn number(&self) -> u32 {
        (self.0)()
    }
}

impl std::fmt::Debug for Chance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chance")
    }
}
