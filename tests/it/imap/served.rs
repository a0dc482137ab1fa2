//! The same transcripts over the backend of the store, as the agent's local face and refserver run it: what they answer
//! must be the same.

use std::sync::Arc;

use mailtide::imap::server::Session;
use mailtide::sasl::Credentials;
use mailtide::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use mailtide::serve::imap::MailBackend;
use mailtide::serve::{Refused, Users};
use mailtide::store::{Executor, Options, Origin, Store, Txn};
use mailtide::types::{AccountId, Timestamp};

use super::engine::{config, transcripts};
use super::memory_backend::{holds_token, scram_keys};
use super::transcript::run;

const NOW: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

/// alice, whose password is secret.
struct Alice(AccountId);

impl Users for Alice {
    fn check(&self, credentials: &Credentials) -> Result<AccountId, Refused> {
        if credentials.authorize_as.is_some() {
            return Err(Refused::NotAuthorized);
        }
        let known = credentials.user == "alice" && credentials.password.matches("secret");
        if known { Ok(self.0) } else { Err(Refused::Credentials) }
    }

    fn offers_tokens(&self) -> bool {
        true
    }

    fn check_token(&self, credentials: &Credentials) -> Result<AccountId, Refused> {
        if holds_token(credentials) { Ok(self.0) } else { Err(Refused::Credentials) }
    }

    fn offers_scram(&self) -> bool {
        true
    }

    fn scram_keys(&self, user: &str, hash: ScramHash) -> ScramKeys {
        scram_keys(user, hash)
    }

    fn proved(&self, proved: &ScramProved) -> Result<AccountId, Refused> {
        if proved.authorize_as.is_some() { Err(Refused::NotAuthorized) } else { Ok(self.0) }
    }
}

fn every_transcript_holds(origin: Origin) {
    let mut wrong = Vec::new();
    let held_here = |text: &str| origin == Origin::Authority || !text.contains("\n@authority");
    for (name, text) in transcripts().into_iter().filter(|(_, text)| held_here(text)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Options { executor: Executor::Inline, program: "tests".to_owned(), max_bytes: None };
        let store = Store::open(folder.path(), &options, NOW).expect("a store");
        let account = store.write(Origin::Authority, NOW, |txn| txn.ensure_account("alice")).expect("an account");
        if let Some(wish) = text.lines().find_map(|line| line.strip_prefix("@quota ")) {
            let limits: Vec<u64> = wish.split(' ').map(|limit| limit.parse().expect("a number")).collect();
            let set = move |txn: &mut Txn<'_>| txn.set_quota(account, Some(limits[0]), Some(limits[1]));
            store.write(Origin::Authority, NOW, set).expect("an account");
        }
        let users: Arc<dyn Users> = Arc::new(Alice(account));
        let outcome = run(&text, usize::MAX, &mut |wishes, now| {
            let (users, clock, wake) = (Arc::clone(&users), Arc::new(|| NOW), Arc::new(|| {}));
            let backend = MailBackend::new(store.clone(), origin, users, clock, wake);
            Box::new(Session::new(config(wishes), backend, now))
        });
        if let Err(why) = outcome {
            wrong.push(format!("{name}, {why}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_transcript_holds_on_refservers_store() {
    every_transcript_holds(Origin::Authority);
}

#[test]
fn every_transcript_holds_on_the_agents_store() {
    every_transcript_holds(Origin::LocalUser);
}
