//! The ways to log in: at Dovecot, and with GNU SASL as the judge at both faces of ours.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use mailtide::sync::remote::{Connect, RemoteError};
use mailtide::upstream::TlsMode;

use super::upstream::{account, on_runtime};
use crate::support::agent::{Account, Agent, LOCAL_PASSWORD};
use crate::support::dovecot::{Dovecot, Options, PASSWORD};
use crate::support::peers;
use crate::support::refserver::{self, RefServer};

async fn log_in(dovecot: &Dovecot, tls: TlsMode, password: &str) -> Result<(), RemoteError> {
    let mut connector = account(dovecot, tls, password);
    connector.nonce = || Some("rOprNGfwEbeRWgbNEkqO".to_owned());
    connector.connect().await.map(drop)
}

#[test]
fn who_takes_only_a_proof_of_the_password_gets_it() {
    for mechanisms in ["scram-sha-256", "scram-sha-1", "plain scram-sha-1 scram-sha-256"] {
        let Some(dovecot) = Dovecot::start(&Options { mechanisms, ..Options::default() }) else { return };
        on_runtime(async {
            log_in(&dovecot, TlsMode::None, PASSWORD).await.unwrap_or_else(|error| panic!("{mechanisms}: {error}"));
            log_in(&dovecot, TlsMode::Implicit, PASSWORD).await.unwrap_or_else(|error| panic!("{mechanisms}: {error}"));
            let refused = log_in(&dovecot, TlsMode::None, "wrong").await;
            assert!(matches!(refused, Err(RemoteError::LoginRefused { .. })), "{mechanisms}: {refused:?}");
        });
    }
}

/// SHA-256 of [`PASSWORD`]: from it no SCRAM can be made, and Dovecot offers it all the same.
const HASHED: &str = "{SHA256}0MBPSxlR5K6q7IIj7SA55ULzqugFpvp/bXlOWv/10nI=";

#[test]
fn who_refuses_the_proof_gets_the_password_under_tls_alone() {
    let options = Options { mechanisms: "plain scram-sha-256", password: HASHED, ..Options::default() };
    let Some(dovecot) = Dovecot::start(&options) else { return };
    on_runtime(async {
        for tls in [TlsMode::Implicit, TlsMode::StartTls] {
            log_in(&dovecot, tls, PASSWORD).await.unwrap_or_else(|error| panic!("{tls:?}: {error}"));
        }
        let refused = log_in(&dovecot, TlsMode::None, PASSWORD).await;
        assert!(matches!(refused, Err(RemoteError::LoginRefused { .. })), "{refused:?}");
    });
}

/// Does GNU SASL get in? It trusts whoever it talks to, and what it says and hears is checked by TLS' channel where the
/// mechanism does so.
fn gsasl(program: &Path, address: SocketAddr, mechanism: &str, password: &str) -> bool {
    let mut command = Command::new(program);
    command.args([
        "--imap",
        "--starttls",
        "--x509-ca-file=",
        "--quiet",
        "--authentication-id=ada",
        "--authorization-id=ada",
    ]);
    command.args([
        format!("--connect={address}"),
        format!("--mechanism={mechanism}"),
        format!("--password={password}"),
    ]);
    if !mechanism.ends_with("-PLUS") {
        // It would have to say that it could bind the channel, and so that somebody took the offer of it away.
        command.arg("--no-cb");
    }
    let output = command.stdin(Stdio::null()).output().expect("it is installed");
    output.status.success()
}

#[test]
fn gsasl_logs_in_by_every_mechanism_at_both_faces() {
    let Some(program) = peers::find("gsasl") else { return };
    let server = RefServer::with_users(&["ada"]);
    let account = Account::at(&server, "ada", server.address("imap"));
    let agent = Agent::started(&format!("tls = true\n{}", account.text()));
    for (address, password) in [(server.address("imap"), refserver::PASSWORD), (agent.imap, LOCAL_PASSWORD)] {
        for mechanism in ["PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"] {
            assert!(gsasl(&program, address, mechanism, password), "{mechanism} at {address}");
        }
        // One failure is enough: who guesses waits.
        assert!(!gsasl(&program, address, "SCRAM-SHA-256-PLUS", "wrong"), "{address}");
    }
}
