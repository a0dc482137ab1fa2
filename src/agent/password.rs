//! Where passwords really come from: the configuration, a program, or made here.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::config::Credential;
use crate::net::tls::write_private;
use crate::types::Secret;

/// A password program may ask the user (a pinentry); longer than this nobody is there.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Whoever wonders why nothing happens is told after this long.
const COMMAND_NOTICE: Duration = Duration::from_secs(2);

/// Letters and digits that are not mistaken for each other; 32 of them, so that a random byte picks evenly.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// 120 bits.
const MADE_LENGTH: usize = 24;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error(
        "password-command {program:?} cannot be started: {cause}; name a program that is there, with its whole path where it is \
         not in syncd's PATH"
    )]
    Start { program: String, cause: io::Error },
    #[error(
        "password-command {program:?} did not finish within {} s and was stopped; run it by hand to see what it waits for",
        COMMAND_TIMEOUT.as_secs()
    )]
    Late { program: String },
    #[error(
        "password-command {program:?} failed: {status}; run it by hand to see why: it must print the password and end with 0"
    )]
    Failed { program: String, status: std::process::ExitStatus },
    #[error("password-command {program:?} printed no password on its first line; run it by hand to see what it prints")]
    Empty { program: String },
}

/// The password that `credential` stands for. A program's complaints go to our own standard error.
pub async fn resolve(credential: &Credential) -> Result<Secret, PasswordError> {
    let argv = match credential {
        Credential::Password(secret) => return Ok(secret.clone()),
        Credential::Command(argv) => argv,
    };
    let (program, arguments) = argv.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let named = || program.to_owned();
    let child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|cause| PasswordError::Start { program: named(), cause })?;
    let output = child.wait_with_output();
    let told = async {
        tokio::pin!(output);
        if let Ok(output) = tokio::time::timeout(COMMAND_NOTICE, &mut output).await {
            return output;
        }
        tracing::warn!(
            "waiting for password-command {program:?}, for {} s at most: it may be asking for something",
            COMMAND_TIMEOUT.as_secs()
        );
        output.await
    };
    let output = tokio::time::timeout(COMMAND_TIMEOUT, told)
        .await
        .map_err(|_| PasswordError::Late { program: named() })?
        .map_err(|cause| PasswordError::Start { program: named(), cause })?;
    if !output.status.success() {
        return Err(PasswordError::Failed { program: named(), status: output.status });
    }
    let stdout = zeroize::Zeroizing::new(output.stdout);
    let first = stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match std::str::from_utf8(first.strip_suffix(b"\r").unwrap_or(first)) {
        Ok(password) if !password.is_empty() => Ok(Secret::new(password)),
        _ => Err(PasswordError::Empty { program: named() }),
    }
}

/// The password kept in `path`, made at first need.
pub fn kept(path: &Path) -> io::Result<Secret> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(Secret::new(text.trim())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let secret = make()?;
    write_private(path, format!("{}\n", secret.expose()).as_bytes())?;
    Ok(secret)
}

/// A new password of random letters and digits.
pub fn make() -> io::Result<Secret> {
    let mut bytes = [0; MADE_LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let text: String = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_gives_the_first_line_it_prints() {
        let command = |script: &str| Credential::Command(["sh", "-c", script].map(str::to_owned).to_vec());
        let secret = resolve(&command("printf 'hunter2\\r\\nsecond line'")).await.expect("a password");
        assert!(secret.matches("hunter2"));
        assert!(matches!(resolve(&command("exit 3")).await, Err(PasswordError::Failed { .. })));
        assert!(matches!(resolve(&command("echo")).await, Err(PasswordError::Empty { .. })));
        let absent = Credential::Command(vec!["/nowhere/pass".to_owned()]);
        assert!(matches!(resolve(&absent).await, Err(PasswordError::Start { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_does_not_end_is_stopped() {
        let hangs = Credential::Command(["sh", "-c", "sleep 1000"].map(str::to_owned).to_vec());
        let error = resolve(&hangs).await.expect_err("no password");
        assert!(matches!(error, PasswordError::Late { .. }));
        assert!(error.to_string().contains("run it by hand"), "{error}");
    }

    #[test]
    fn a_made_password_is_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("local-password");
        let first = kept(&path).expect("made");
        assert_eq!(first.expose().len(), MADE_LENGTH);
        assert!(kept(&path).expect("kept").matches(first.expose()));
    }
}
