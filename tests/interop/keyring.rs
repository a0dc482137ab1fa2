//! A password in the key ring of the desktop: GNOME's, unlocked, on a session bus of its own.

use crate::support::agent::Agent;
use crate::support::peers;
use crate::support::refserver::{PASSWORD, RefServer};

#[test]
fn a_password_in_gnomes_key_ring_logs_in() {
    if ["dbus-run-session", "gnome-keyring-daemon", "secret-tool"].iter().any(|program| peers::find(program).is_none())
    {
        return;
    }
    let server = RefServer::with_users(&["ada"]);
    let agent = Agent::new("");
    for folder in [".cache", ".local/share/keyrings"] {
        std::fs::create_dir_all(agent.folder().join(folder)).expect("a writable folder");
    }
    let (files, user) = (format!("--config {:?} --data {:?}", agent.config(), agent.data), "ada");
    let script = format!(
        "set -e\nprintf unlocked | gnome-keyring-daemon --unlock --components=secrets > /dev/null\n\
         if {syncd} {files} --once; then exit 1; fi\n\
         echo {PASSWORD} | {syncctl} {files} account add --name ada --address ada@home.example --user {user} \
           --imap {imap} --smtp {smtp} --tls none --keyring --password-stdin\n{syncd} {files} --once\n",
        syncd = env!("CARGO_BIN_EXE_syncd"),
        syncctl = env!("CARGO_BIN_EXE_syncctl"),
        imap = server.address("imap"),
        smtp = server.address("submission"),
    );
    let mut command = agent.bare_command("dbus-run-session");
    let output = command.args(["--", "sh", "-c", &script]).output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    let config = std::fs::read_to_string(agent.config()).expect("a configuration");
    assert!(config.contains("keyring = true") && !config.contains(PASSWORD), "{config}");
    // Without the bus there is no key ring, and what helps is said.
    let once = agent.once();
    assert_eq!(once.code, 77, "{once:?}");
    assert!(once.err.contains("secret-tool store"), "{once:?}");
}
