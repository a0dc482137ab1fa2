//! Passwords against their hashes, one at a time and always in the same memory: argon2 takes 19 MB for each, and a crowd at the
//! door must not take them all at once, nor leave as many in the allocator behind it.

use std::sync::{Mutex, PoisonError};

use argon2::password_hash::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version, password_hash};

use crate::sasl::prep::prepared_password;
use crate::types::Secret;

/// Where passwords are hashed.
#[derive(Default)]
pub(super) struct Hashing(Mutex<Vec<Block>>);

impl Hashing {
    /// Is it the password that was hashed?
    pub(super) fn verify(&self, password: &Secret, hash: &str) -> bool {
        let Ok(hash) = PasswordHash::new(hash) else { return false };
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let again = hash_as(&hash, prepared_password(password).expose().as_bytes(), &mut memory);
        memory.fill(Block::new());
        // Compared in constant time.
        again.is_ok_and(|again| hash.hash == Some(again))
    }
}

/// The password hashed as `hash` was.
fn hash_as(hash: &PasswordHash<'_>, password: &[u8], memory: &mut Vec<Block>) -> password_hash::Result<Output> {
    let params = Params::try_from(hash)?;
    let algorithm = Algorithm::try_from(hash.algorithm)?;
    let version = hash.version.map(Version::try_from).transpose()?.unwrap_or_default();
    let salt = hash.salt.ok_or(password_hash::Error::PhcStringField)?;
    let mut bytes = [0; 64];
    let salt = salt.decode_b64(&mut bytes)?;
    let output_bytes = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    memory.resize(params.block_count(), Block::new());
    let argon2 = Argon2::new(algorithm, version, params);
    Output::init_with(output_bytes, |out| Ok(argon2.hash_password_into_with_memory(password, salt, out, memory)?))
}
