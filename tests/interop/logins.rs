//! The ways to log in at Dovecot.

use mailtide::sync::remote::{Connect, RemoteError};
use mailtide::upstream::TlsMode;

use super::upstream::{account, on_runtime};
use crate::support::dovecot::{Dovecot, Options, PASSWORD};

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
