//! A configuration that cannot be used is told with its place and the remedy; one that is changed is taken up.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;

use crate::support::agent::{Account, Agent, LOCAL_PASSWORD};
use crate::support::imap::Imap;
use crate::support::process::read_lossy;
use crate::support::refserver::RefServer;
use crate::support::wait::{SOON, wait_until};

/// What is wrong, the text after `[local]`, the line of the whole file that is to be named, and words of the remedy.
const BROKEN: &[(&str, &str, usize, &[&str])] = &[
    ("not TOML", "[[account]\nname = \"a\"\n", 6, &[]),
    ("an unknown key", "[[account]]\nname = \"a\"\ncolour = \"red\"\n", 8, &["colour"]),
    ("a missing key", "[[account]]\nname = \"a\"\n", 6, &["address"]),
    (
        "a wrong type",
        "[[account]]\nname = \"a\"\naddress = \"a@b.example\"\npassword = \"x\"\nimap = { host = \"h\", port = \"many\" }\n",
        10,
        &[],
    ),
    (
        "an unreadable value",
        "[[account]]\nname = \"a\"\naddress = \"a@b.example\"\npassword = \"x\"\nimap = { host = \"h\", tls = \"maybe\" }\n",
        10,
        &["implicit", "starttls", "none"],
    ),
    (
        "plaintext to another machine",
        "[[account]]\nname = \"a\"\naddress = \"a@b.example\"\npassword = \"x\"\nimap = { host = \"imap.b.example\", tls = \"none\" }\n",
        10,
        &["allow-plaintext"],
    ),
    (
        "no password",
        "[[account]]\nname = \"a\"\naddress = \"a@b.example\"\nimap = { host = \"imap.b.example\" }\n",
        6,
        &["password-command"],
    ),
    (
        "two accounts of one name",
        "[[account]]\nname = \"a\"\naddress = \"a@b.example\"\npassword = \"x\"\nimap = { host = \"h\" }\n\
         [[account]]\nname = \"a\"\naddress = \"a@c.example\"\npassword = \"x\"\nimap = { host = \"h\" }\n",
        12,
        &["line"],
    ),
];

#[test]
fn a_broken_configuration_ends_with_78_and_names_the_line() {
    for (what, text, line, words) in BROKEN {
        let agent = Agent::new(text);
        let said = agent.once();
        assert_eq!(said.code, 78, "{what}: {said:?}");
        let place = format!("config.toml:{line}:");
        assert!(said.err.contains(&place), "{what}: no {place} in {said:?}");
        for word in *words {
            assert!(said.err.contains(word), "{what}: no {word} in {said:?}");
        }
        assert!(!agent.data.join("mailtide.db").exists(), "{what}: no store is made");
    }
}

#[test]
fn a_missing_configuration_ends_with_78_and_names_the_file() {
    let agent = Agent::new("");
    std::fs::remove_file(agent.config()).expect("it was written");
    let said = agent.once();
    assert_eq!(said.code, 78, "{said:?}");
    assert!(said.err.contains(&agent.config().display().to_string()), "{said:?}");
}

#[test]
fn a_configuration_without_an_account_is_told() {
    let mut agent = Agent::new("");
    let said = agent.once();
    assert_eq!(said.code, 78, "{said:?}");
    assert!(said.err.contains("config.toml") && said.err.contains("[[account]]"), "{said:?}");
    agent.start();
    assert!(agent.log().contains("[[account]]"), "{}", agent.log());
}

#[test]
fn a_port_that_another_program_has_is_told_with_the_key_to_change() {
    let mut agent = Agent::new("");
    let held = std::net::TcpListener::bind(agent.smtp).expect("a free port");
    agent.spawn();
    assert_eq!(agent.process().wait_end(SOON).code(), Some(75), "{}", agent.log());
    let log = agent.log();
    assert!(log.contains(&agent.smtp.to_string()) && log.contains("`smtp` in [local]"), "{log}");
    drop(held);
}

#[test]
fn a_password_never_appears_in_what_is_printed() {
    let agent = Agent::new("[[account]]\nname = \"a\"\npassword = \"hush hush\"\npasword = \"hush hush\"\n");
    let said = agent.once();
    assert_eq!(said.code, 78);
    assert!(!said.err.contains("hush") && !said.out.contains("hush"), "{said:?}");
}

#[test]
fn a_changed_configuration_is_taken_up_and_a_broken_one_is_not() {
    let server = RefServer::with_users(&["ada", "bob"]);
    let text = |user| Account::at(&server, user, server.address("imap")).text();
    let agent = Agent::started(&text("ada"));
    let names = || {
        let status = agent.status();
        let accounts = status["accounts"].as_array().expect("a list");
        accounts.iter().map(|account| account["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["ada"]);

    agent.configure(&format!("{}\n{}", text("ada"), text("bob")));
    wait_until("the second account to appear", SOON, || names() == ["ada", "bob"]);
    agent.sync();
    agent.login("bob").select("INBOX");

    agent.configure("[[account]]\nname = 7\n");
    wait_until("the complaint about the broken file", SOON, || agent.log().contains("config.toml:7:"));
    assert_eq!(names(), ["ada", "bob"], "the last good configuration stays");
    agent.login("ada").select("INBOX");

    // A file that names nobody, and one whose account cannot become what it says.
    agent.configure("");
    wait_until("the complaint about the empty file", SOON, || agent.log().contains("there is no [[account]]"));
    let by_pop3 = text("ada").replacen("imap =", "pop3 =", 1);
    agent.configure(&format!("{by_pop3}\n{}", text("bob").replacen("\"bob\"", "\"bea\"", 1)));
    wait_until("the complaint about the kind", SOON, || agent.log().contains("mirrors an IMAP server up to now"));
    assert_eq!(names(), ["ada", "bob"], "nothing is stopped, nothing is begun");
    agent.sync();

    agent.configure(&text("bob"));
    wait_until("the first account to go", SOON, || names() == ["bob"]);
    assert!(agent.try_login("ada").is_err());
}

/// What systemd is told (sd_notify(3)).
struct Told(UnixDatagram);

impl Told {
    fn waits_for(&self, state: &str) {
        let mut message = [0; 1024];
        loop {
            let length = self.0.recv(&mut message).unwrap_or_else(|error| panic!("no {state}: {error}"));
            if String::from_utf8_lossy(&message[..length]).lines().any(|line| line == state) {
                return;
            }
        }
    }

    fn forget(&self) {
        self.0.set_nonblocking(true).expect("a socket");
        while self.0.recv(&mut [0; 1024]).is_ok() {}
        self.0.set_nonblocking(false).expect("a socket");
    }
}

#[test]
fn who_waits_for_a_password_program_while_it_reloads_is_alive_and_can_be_stopped() {
    let mut agent = Agent::new("");
    let path = agent.folder().join("notify");
    let told = Told(UnixDatagram::bind(&path).expect("a socket"));
    // The program is given longer than that.
    told.0.set_read_timeout(Some(SOON / 2)).expect("a limit");
    agent.spawn_with(|command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    });
    told.waits_for("READY=1");
    let asked = agent.folder().join("asked");
    let text = std::fs::read_to_string(agent.config()).expect("it was written");
    let program = format!("password-command = [\"sh\", \"-c\", \"touch {}; exec sleep 1000\"]", asked.display());
    let changed = text.replace(&format!("password = \"{LOCAL_PASSWORD}\""), &program);
    std::fs::write(agent.config(), changed).expect("a writable folder");
    wait_until("the program to be asked", SOON, || asked.exists());
    told.forget();
    for _ in 0..3 {
        told.waits_for("WATCHDOG=1");
    }
    assert!(agent.stop().success());
}

#[test]
fn who_connects_in_the_first_moment_is_let_in() {
    let server = RefServer::with_users(&["ada"]);
    let mut agent = Agent::new(&Account::at(&server, "ada", server.address("imap")).text());
    for _ in 0..5 {
        agent.spawn();
        let mut connected = None;
        while connected.is_none() {
            connected = Imap::connect(agent.imap).ok();
        }
        let reply = connected.expect("a greeting").login("ada", LOCAL_PASSWORD).expect("an answer");
        assert_eq!(reply.status, "OK", "{reply:?}");
        agent.kill();
    }
}

#[test]
fn what_waits_of_an_account_that_left_the_configuration_is_told() {
    let server = RefServer::with_users(&["ada", "bob"]);
    let text = |user| Account::at(&server, user, server.address("imap")).text();
    let mut agent = Agent::started(&text("ada"));
    agent.sync();
    agent.ctl_ok(&["offline"]);
    agent.login("ada").append("INBOX", &[], 0, b"Subject: waits\r\n\r\n");
    let sent = agent.login_smtp("ada").send("ada@home.example", &["bob@home.example"], b"Subject: strayed\r\n\r\n");
    assert_eq!(sent.expect("an answer").code, 250);
    agent.configure(&text("bob"));
    wait_until("the account to be missed", SOON, || agent.status()["unconfigured"][0]["name"] == "ada");
    assert_eq!(agent.status()["unconfigured"][0]["changes"], 1);
    assert!(agent.log().contains("\"ada\" is not in the configuration"), "{}", agent.log());
    let outbox = agent.ctl_ok(&["outbox", "list"]);
    assert!(outbox.contains("strayed") && outbox.contains("not in the configuration"), "{outbox}");
    assert!(agent.ctl_ok(&["outbox", "list", "ada"]).contains("strayed"));
    assert!(!agent.ctl_ok(&["outbox", "list", "bob"]).contains("strayed"));
    assert!(agent.ctl_ok(&["journal", "list"]).contains("INBOX"));
    assert_eq!(agent.ctl(&["sync", "--wait"]).code, 75);
    assert_eq!(agent.ctl(&["doctor"]).code, 75);
    let id = agent.ctl_json(&["outbox", "list", "--json"])[0]["id"].to_string();
    for act in [&["outbox", "release", &id][..], &["outbox", "later", &id, "0s"]] {
        let said = agent.ctl_ok(act);
        assert!(said.contains("its account is not in the configuration"), "{said}");
    }
    agent.stop();
    let once = agent.once();
    assert!(once.code == 75 && once.err.contains("\"ada\" is not in the configuration"), "{once:?}");
    agent.start();
    agent.configure(&text("ada"));
    wait_until("the account to be back", SOON, || agent.status()["unconfigured"] == serde_json::json!([]));
}

#[test]
fn a_wrong_password_ends_with_77_and_is_told_apart_from_a_bad_line() {
    let server = RefServer::with_users(&["ada"]);
    let account = Account { password: "wrong", ..Account::at(&server, "ada", server.address("imap")) };
    let mut agent = Agent::new(&account.text());
    let said = agent.once();
    assert_eq!(said.code, 77, "{said:?}");

    agent.start();
    wait_until("the state to say so", SOON, || agent.account()["state"] == "auth-failed");
    assert!(agent.account()["last_error"].is_string());
    // Mended in the file: no restart.
    agent.configure(&Account::at(&server, "ada", server.address("imap")).text());
    wait_until("the account to come online", SOON, || agent.account()["state"] == "online");
}

#[test]
fn a_log_is_kept_beside_named_data_and_else_in_the_state_folder() {
    let agent = Agent::new("");
    let home = agent.folder();
    for (options, log) in [
        (vec!["--data".to_owned(), agent.data.display().to_string()], agent.data.join("syncd.log")),
        (Vec::new(), home.join(".local/state/mailtide/syncd.log")),
        (vec!["--log-file".to_owned(), home.join("mine.log").display().to_string()], home.join("mine.log")),
    ] {
        let mut command = agent.bare_command(env!("CARGO_BIN_EXE_syncd"));
        let said = command.arg("--once").arg("--config").arg(agent.config()).args(&options).output().expect("it runs");
        let (kept, told) = (read_lossy(&log), String::from_utf8_lossy(&said.stderr).into_owned());
        assert!(kept.contains("[[account]]") && told.contains("[[account]]"), "{options:?}: {kept}\n{told}");
        let mode = std::fs::metadata(&log).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it is its owner's alone");
    }
}

#[test]
fn nobody_there_ends_with_75() {
    let server = RefServer::with_users(&["ada"]);
    let nobody: SocketAddr = crate::support::net::free_address();
    let agent = Agent::new(&Account::at(&server, "ada", nobody).text());
    let said = agent.once();
    assert_eq!(said.code, 75, "{said:?}");
    assert!(said.err.contains(&format!("cannot reach {nobody}: ")), "it says where nobody is: {said:?}");
}
