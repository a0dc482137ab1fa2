//! Where passwords really come from: the configuration, a program, the key ring, or made here.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::config::Credential;
use crate::net::tls::write_private;
use crate::types::{Secret, SecretKind};

/// A password program may ask the user (a pinentry); longer than this nobody is there.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Whoever wonders why nothing happens is told after this long.
const COMMAND_NOTICE: Duration = Duration::from_secs(2);

/// Letters and digits that are not mistaken for each other; 32 of them, so that a random byte picks evenly.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// 120 bits.
const MADE_LENGTH: usize = 24;

/// Why there is no password. `option` is what the configuration calls it, `what` what it should give.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error(
        "{option} {program:?} cannot be started: {cause}; name a program that is there, with its whole path where it is \
         not in syncd's PATH"
    )]
    Start { option: &'static str, program: String, cause: io::Error },
    #[error(
        "{option} {program:?} did not finish within {} s and was stopped; run it by hand to see what it waits for",
        COMMAND_TIMEOUT.as_secs()
    )]
    Late { option: &'static str, program: String },
    #[error(
        "{option} {program:?} failed: {status}; run it by hand to see why: it must print the {what} and end with 0"
    )]
    Failed { option: &'static str, what: &'static str, program: String, status: std::process::ExitStatus },
    #[error("{option} {program:?} printed no {what} on its first line; run it by hand to see what it prints")]
    Empty { option: &'static str, what: &'static str, program: String },
    #[error("keyring = true needs the program secret-tool (on Debian in the package libsecret-tools): {0}")]
    NoKeyring(io::Error),
    #[error(
        "the key ring gives no password for the account {name:?}: it has none, or is locked, or is not there; `{}` puts it \
         there, and `{}` shows what it says",
        in_shell(&keyring_store(name)), in_shell(&keyring_lookup(name))
    )]
    NotInKeyring { name: String },
}

/// The program by which the key ring of the desktop (Secret Service) is asked.
const KEYRING: &str = "secret-tool";

/// What a password of ours is known by there.
fn keyring_attributes(name: &str) -> [String; 4] {
    ["service", "mailtide", "account", name].map(str::to_owned)
}

fn keyring_lookup(name: &str) -> Vec<String> {
    [vec![KEYRING.to_owned(), "lookup".to_owned()], keyring_attributes(name).to_vec()].concat()
}

fn keyring_store(name: &str) -> Vec<String> {
    let label = format!("--label=Mailtide {name}");
    [vec![KEYRING.to_owned(), "store".to_owned(), label], keyring_attributes(name).to_vec()].concat()
}

fn in_shell(argv: &[String]) -> String {
    let quoted = |word: &String| match word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@=".contains(&byte))
    {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    argv.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// What `credential` stands for. A program's complaints go to our own standard error.
pub async fn resolve(credential: &Credential, kind: SecretKind) -> Result<Secret, PasswordError> {
    let (option, what) = match kind {
        SecretKind::Password => ("password-command", "password"),
        SecretKind::Token => ("token-command", "token"),
    };
    match credential {
        Credential::Password(secret) => Ok(secret.clone()),
        Credential::Command(argv) => printed(argv, option, what).await,
        Credential::Keyring(name) => {
            printed(&keyring_lookup(name), "keyring", "password").await.map_err(|error| match error {
                PasswordError::Start { cause, .. } => PasswordError::NoKeyring(cause),
                PasswordError::Failed { .. } | PasswordError::Empty { .. } => {
                    PasswordError::NotInKeyring { name: name.clone() }
                }
                error => error,
            })
        }
    }
}

/// Puts the password of that account into the key ring.
pub async fn put_into_keyring(name: &str, password: &Secret) -> Result<(), PasswordError> {
    let argv = keyring_store(name);
    let spawned =
        tokio::process::Command::new(KEYRING).args(&argv[1..]).stdin(Stdio::piped()).kill_on_drop(true).spawn();
    let mut child = spawned.map_err(PasswordError::NoKeyring)?;
    if let Some(mut input) = child.stdin.take() {
        // A program that does not listen says so by its end.
        let _ = input.write_all(password.expose().as_bytes()).await;
    }
    let waited = tokio::time::timeout(COMMAND_TIMEOUT, child.wait()).await;
    match waited.map_err(|_| PasswordError::Late { option: "keyring", program: KEYRING.to_owned() })? {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(PasswordError::NotInKeyring { name: name.to_owned() }),
        Err(cause) => Err(PasswordError::NoKeyring(cause)),
    }
}

/// The first line that a program prints.
async fn printed(argv: &[String], option: &'static str, what: &'static str) -> Result<Secret, PasswordError> {
    let (program, arguments) = argv.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let named = || program.to_owned();
    let child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|cause| PasswordError::Start { option, program: named(), cause })?;
    let output = child.wait_with_output();
    let told = async {
        tokio::pin!(output);
        if let Ok(output) = tokio::time::timeout(COMMAND_NOTICE, &mut output).await {
            return output;
        }
        tracing::warn!(
            "waiting for {option} {program:?}, for {} s at most: it may be asking for something",
            COMMAND_TIMEOUT.as_secs()
        );
        output.await
    };
    let output = tokio::time::timeout(COMMAND_TIMEOUT, told)
        .await
        .map_err(|_| PasswordError::Late { option, program: named() })?
        .map_err(|cause| PasswordError::Start { option, program: named(), cause })?;
    if !output.status.success() {
        return Err(PasswordError::Failed { option, what, program: named(), status: output.status });
    }
    let stdout = zeroize::Zeroizing::new(output.stdout);
    let first = stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match std::str::from_utf8(first.strip_suffix(b"\r").unwrap_or(first)) {
        Ok(password) if !password.is_empty() => Ok(Secret::new(password)),
        _ => Err(PasswordError::Empty { option, what, program: named() }),
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
        let secret =
            resolve(&command("printf 'hunter2\\r\\nsecond line'"), SecretKind::Password).await.expect("a password");
        assert!(secret.matches("hunter2"));
        assert!(matches!(resolve(&command("exit 3"), SecretKind::Password).await, Err(PasswordError::Failed { .. })));
        assert!(matches!(resolve(&command("echo"), SecretKind::Password).await, Err(PasswordError::Empty { .. })));
        let absent = Credential::Command(vec!["/nowhere/pass".to_owned()]);
        assert!(matches!(resolve(&absent, SecretKind::Password).await, Err(PasswordError::Start { .. })));
        for (script, said) in [("exit 3", "it must print the token"), ("echo", "printed no token")] {
            let error = resolve(&command(script), SecretKind::Token).await.expect_err("no token").to_string();
            assert!(error.starts_with("token-command \"sh\" ") && error.contains(said), "{error}");
        }
    }

    #[test]
    fn what_helps_with_the_key_ring_can_be_typed() {
        let error = PasswordError::NotInKeyring { name: "it's".to_owned() }.to_string();
        let typed = r"`secret-tool store '--label=Mailtide it'\''s' service mailtide account 'it'\''s'`";
        assert!(error.contains(typed), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_does_not_end_is_stopped() {
        let hangs = Credential::Command(["sleep", "1000"].map(str::to_owned).to_vec());
        let error = resolve(&hangs, SecretKind::Password).await.expect_err("no password");
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
