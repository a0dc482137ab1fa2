//! What every world begins with, made once for the process: a store of the agent and one of the server, with users and
//! their mailboxes. A world copies the files, which is much faster than making them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use mailtide::refserver::users::Users;
use mailtide::store::{Executor, Options, Origin, Store};
use mailtide::types::{MailboxName, SpecialUse, Timestamp};

/// When every world begins.
pub const EPOCH_MS: i64 = 1_790_000_000_000;

/// Users of the server. The first two have the agent mirror their mail; the last has not.
pub const USERS: [&str; 3] = ["ann", "ben", "friend"];
pub const DOMAIN: &str = "sea.example";
pub const PASSWORD: &str = "secret";

pub struct Template {
    pub agent: PathBuf,
    pub server: PathBuf,
    /// Account numbers are the same in every copy, so are the users.
    pub users: Arc<Users>,
    _folder: tempfile::TempDir,
}

pub fn options(program: &str) -> Options {
    Options { executor: Executor::Inline, program: program.to_owned(), max_bytes: None }
}

/// A new folder, in memory where there is such a place.
pub fn folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("mailtide-sim")
        .tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}

/// Copies the store in `from` into the empty folder `to`.
pub fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains(".db") || name.ends_with(".pack") {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
    }
}

pub fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(make)
}

fn make() -> Template {
    let folder = folder();
    let (agent, server) = (folder.path().join("agent"), folder.path().join("server"));
    let now = Timestamp::from_unix_ms(EPOCH_MS - 86_400_000);
    let store = Store::open(&agent, &options("syncd"), now).expect("a store");
    store.write(Origin::Upstream, now, |txn| txn.ensure_account(USERS[0])).expect("an account");
    drop(store);
    let store = Store::open(&server, &options("refserver"), now).expect("a store");
    let file = folder.path().join("users");
    let lines: String = USERS.iter().map(|user| format!("{user}:{}\n", hash())).collect();
    fs::write(&file, lines).expect("a file");
    let mut users = Users::open(&file, DOMAIN, &store, [1; 16], now).expect("users");
    // Whoever sends a message, it is in a name of theirs.
    let all = BTreeMap::from([("all".to_owned(), USERS.map(str::to_owned).to_vec())]);
    users.set_aliases(&all, None).expect("all are there");
    for (_, account) in users.accounts() {
        store
            .write(Origin::Authority, now, move |txn| {
                for special_use in [SpecialUse::Archive, SpecialUse::Drafts, SpecialUse::Sent, SpecialUse::Trash] {
                    let name = special_use.as_str().trim_start_matches('\\');
                    txn.create_mailbox(account, &MailboxName::parse(name).expect("a name"), Some(special_use))?;
                }
                Ok(())
            })
            .expect("mailboxes");
    }
    drop(store);
    Template { agent, server, users: Arc::new(users), _folder: folder }
}

/// The cheapest argon2 there is: worlds log in thousands of times a second.
fn hash() -> String {
    let params = Params::new(Params::MIN_M_COST, 1, 1, None).expect("valid parameters");
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let salt = SaltString::encode_b64(&[7; 16]).expect("a salt");
    argon.hash_password(PASSWORD.as_bytes(), &salt).expect("a hash").to_string()
}
