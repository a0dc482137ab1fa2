//! What people send with, at the agent's local server and at refserver's: swaks, msmtp, mutt, git send-email.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::agent::{Account, Agent, LOCAL_PASSWORD};
use crate::support::peers;
use crate::support::process::{Process, read_lossy};
use crate::support::refserver::{self, RefServer};
use crate::support::sink::{Delivered, Sink};
use crate::support::wait::{SOON, wait_for, wait_until};

struct Office {
    agent: Agent,
    server: RefServer,
    sink: Sink,
    folder: PathBuf,
}

impl Office {
    /// refserver for ada, with the agent in front of it, and a server that keeps what leaves the agent.
    fn open() -> Self {
        let server = RefServer::with_users(&["ada", "bea"]);
        let sink = Sink::start();
        let account = Account { smtp: sink.address, ..Account::at(&server, "ada", server.address("imap")) };
        let agent = Agent::started(&account.text());
        let folder = agent.folder().join("work");
        std::fs::create_dir(&folder).expect("a writable folder");
        Self { agent, server, sink, folder }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).expect("a writable folder");
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("our file");
        path
    }

    fn run(&self, command: &mut Command) {
        let name = format!("{:?}", command.get_program());
        let log = self.folder.join("program.log");
        command.env("HOME", &self.folder).env("XDG_RUNTIME_DIR", self.agent.folder().join("run"));
        let status = Process::start(command.current_dir(&self.folder), "program", &log).wait_end(SOON);
        assert!(status.success(), "{name}: {status}\n{}", read_lossy(&log));
    }

    /// The same with `input` to be read.
    fn run_on(&self, input: &Path, command: &Command) {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "in=$1; shift; exec \"$@\" < \"$in\"", "sh"]).arg(input).arg(command.get_program());
        self.run(shell.args(command.get_args()).env("LC_ALL", "C.UTF-8"));
    }

    /// The next `count` messages that left the agent.
    fn delivered(&self, count: usize) -> Vec<Delivered> {
        wait_for("the deliveries", SOON, || Some(self.sink.delivered()).filter(|all| all.len() >= count))
    }

    /// How many messages in bea's INBOX on refserver have that subject.
    fn with_subject(&self, subject: &str) -> usize {
        let mut imap = self.server.login("bea");
        imap.select("INBOX");
        imap.ok(&format!("SEARCH SUBJECT \"{subject}\"")).found().len()
    }
}

fn text(delivered: &Delivered) -> String {
    String::from_utf8_lossy(&delivered.bytes).into_owned()
}

#[test]
fn swaks_submits_by_every_login_over_tls_in_one_piece_or_in_chunks() {
    let Some(program) = peers::find("swaks") else { return };
    let office = Office::open();
    let (submission, submissions) = (office.server.address("submission"), office.server.address("submissions"));
    let (plain, mx) = (office.agent.smtp, office.server.address("smtp"));
    let (local, remote) = (LOCAL_PASSWORD, refserver::PASSWORD);
    let rows: [(&str, std::net::SocketAddr, &str, &[&str]); 6] = [
        ("agent plain", plain, local, &["--auth", "PLAIN"]),
        ("agent login", plain, local, &["--auth", "LOGIN", "--pipeline"]),
        ("refserver starttls", submission, remote, &["--auth", "PLAIN", "-tls"]),
        ("refserver tls", submissions, remote, &["--auth", "LOGIN", "--tls-on-connect"]),
        ("refserver pipelined", submission, remote, &["--auth", "PLAIN", "--pipeline"]),
        ("refserver mx", mx, "", &[]),
    ];
    for (subject, address, password, more) in rows {
        let mut command = Command::new(&program);
        command.args(["--server", &address.ip().to_string(), "--port", &address.port().to_string()]);
        command.args(["--from", "ada@home.example", "--to", "bea@home.example", "--helo", "client.example"]);
        command.args(["--header", &format!("Subject: {subject}"), "--body", "first\n.\n..last"]);
        if !password.is_empty() {
            command.args(["--auth-user", "ada", "--auth-password", password]);
        }
        office.run(command.args(more));
    }
    let delivered = office.delivered(2);
    assert!(delivered.iter().all(|it| text(it).contains("first\r\n.\r\n..last\r\n")), "dots are dots");
    for (subject, ..) in &rows[2..] {
        wait_until(subject, SOON, || office.with_subject(subject) == 1);
    }
}

#[test]
fn msmtp_and_mutt_submit_to_the_agent() {
    let (Some(msmtp), Some(mutt)) = (peers::find("msmtp"), peers::find("mutt")) else { return };
    let office = Office::open();
    let address = office.agent.smtp;
    let (host, port) = (address.ip(), address.port());
    let rc = office.file(
        "msmtprc",
        &format!(
            "account default\nhost {host}\nport {port}\nfrom ada@home.example\nauth plain\nuser ada\n\
             password {LOCAL_PASSWORD}\ntls off\ndsn_notify failure\ndsn_return headers\n"
        ),
    );
    std::fs::set_permissions(&rc, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("our file");
    let letter = office.file(
        "letter",
        "From: Ada <ada@home.example>\nTo: x@far.example\nBcc: y@far.example\nSubject: by msmtp\n\nGrüße\n.\n",
    );
    office.run_on(&letter, Command::new(&msmtp).arg("-C").arg(&rc).args(["-t", "--read-envelope-from"]));
    let url = format!("smtp://ada@{host}:{port}/");
    let muttrc = office.file(
        "muttrc",
        &format!(
            "set smtp_url=\"{url}\" smtp_pass=\"{LOCAL_PASSWORD}\" ssl_starttls=no ssl_force_tls=no\n\
             set smtp_authenticators=plain from=ada@home.example realname=Ada use_from=yes copy=no charset=utf-8\n"
        ),
    );
    let body = office.file("body", "Grüße aus mutt\n.\n");
    let mut command = Command::new(&mutt);
    command.arg("-F").arg(&muttrc).args(["-s", "by mutt", "-b", "y@far.example", "x@far.example"]);
    office.run_on(&body, &command);
    let delivered = office.delivered(2);
    for (subject, words) in [("by msmtp", "Grüße\r\n.\r\n"), ("by mutt", "\r\n.\r\n")] {
        let one = delivered.iter().find(|it| text(it).contains(subject)).expect(subject);
        assert_eq!(one.from, "ada@home.example", "{subject}");
        let mut to = one.to.clone();
        to.sort();
        assert_eq!(to, ["x@far.example", "y@far.example"], "{subject}");
        assert!(text(one).ends_with(words) && !text(one).contains("Bcc"), "{subject}: {}", text(one));
    }
}

#[test]
fn msmtp_proves_by_scram_that_it_knows_the_password_and_so_do_we() {
    let Some(msmtp) = peers::find("msmtp") else { return };
    let office = Office::open();
    let (local, remote) = (office.agent.smtp, office.server.address("submission"));
    for (name, address, password) in [("agent", local, LOCAL_PASSWORD), ("refserver", remote, refserver::PASSWORD)] {
        for mechanism in ["scram-sha-256", "scram-sha-1"] {
            let subject = format!("{name} {mechanism}");
            let (host, port) = (address.ip(), address.port());
            let account = format!(
                "account default\nhost {host}\nport {port}\nfrom ada@home.example\nauth {mechanism}\nuser ada\n\
                 password {password}\ntls off\n"
            );
            let rc = office.file("msmtprc", &account);
            std::fs::set_permissions(&rc, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("our file");
            let letter = office.file("letter", &format!("To: bea@home.example\nSubject: {subject}\n\nhello\n"));
            office.run_on(&letter, Command::new(&msmtp).arg("-C").arg(&rc).arg("-t"));
            if name == "refserver" {
                wait_until(&subject, SOON, || office.with_subject(&subject) == 1);
            }
        }
    }
    assert_eq!(office.delivered(2).len(), 2);
}

#[test]
fn a_token_opens_every_door_of_refserver_to_msmtp_and_to_the_agent() {
    let Some(msmtp) = peers::find("msmtp") else { return };
    let config = format!(
        "[[user]]\nname = \"ada\"\npassword = \"{}\"\ntoken-command = [\"printf\", \"a-token\"]\n",
        refserver::PASSWORD
    );
    let server = RefServer::start(&refserver::Options { users: &["bea"], config, ..refserver::Options::default() });
    let token = |token: &str| {
        let account =
            Account { smtp: server.address("submission"), ..Account::at(&server, "ada", server.address("imap")) };
        let password = format!("password = \"{}\"", refserver::PASSWORD);
        let text = account.text();
        assert!(text.contains(&password), "{text}");
        text.replace(&password, &format!("oauth2 = {{ token-command = [\"printf\", \"{token}\"] }}"))
    };
    let agent = Agent::started(&token("a-token"));
    agent.sync();
    let letter = b"To: bea@home.example\r\nSubject: by token\r\n\r\nhello\r\n";
    let answer = agent.login_smtp("ada").send("ada@home.example", &["bea@home.example"], letter).expect("it answers");
    assert_eq!(answer.code, 250, "{answer:?}");
    let arrived = |subject: &str| {
        let mut imap = server.login("bea");
        imap.select("INBOX");
        imap.ok(&format!("SEARCH SUBJECT \"{subject}\"")).found().len()
    };
    wait_until("the agent's message", SOON, || arrived("by token") == 1);
    let folder = agent.folder().join("msmtp");
    std::fs::create_dir(&folder).expect("a writable folder");
    let (host, port) = (server.address("submissions").ip(), server.address("submissions").port());
    for (mechanism, token, code) in
        [("oauthbearer", "a-token", 0), ("xoauth2", "a-token", 0), ("oauthbearer", "old", 77)]
    {
        let rc = folder.join(format!("{mechanism}-{token}"));
        let account = format!(
            "account default\nhost {host}\nport {port}\nfrom ada@home.example\nauth {mechanism}\nuser ada\n\
             password {token}\ntls on\ntls_starttls off\ntls_certcheck off\n"
        );
        std::fs::write(&rc, account).expect("a writable folder");
        std::fs::set_permissions(&rc, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("our file");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "printf 'To: bea@home.example\nSubject: by %s\n\nhello\n' \"$2\" | \"$0\" -C \"$1\" -t"]);
        command.arg(&msmtp).arg(&rc).arg(mechanism);
        let status = Process::start(&mut command, "msmtp", &folder.join("log")).wait_end(SOON);
        assert_eq!(status.code(), Some(code), "{mechanism} {token}: {}", read_lossy(&folder.join("log")));
    }
    for mechanism in ["oauthbearer", "xoauth2"] {
        wait_until(mechanism, SOON, || arrived(&format!("by {mechanism}")) == 1);
    }
}

#[test]
fn git_sends_patches_by_smtp_and_by_our_sendmail() {
    let Some(git) = peers::find("git") else { return };
    if !Path::new("/usr/lib/git-core/git-send-email").exists() {
        return peers::skip("git send-email is not installed");
    }
    let office = Office::open();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&git);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").args(arguments);
        office.run(&mut command);
    };
    run(&["init", "-q", "repository"]);
    let repository = ["-C", "repository", "-c", "user.name=Ada", "-c", "user.email=ada@home.example"];
    for (file, message) in [("one", "first: add one"), ("two", "second: add two")] {
        std::fs::write(office.folder.join("repository").join(file), format!("{file}\n.\n")).expect("a writable folder");
        run(&[&repository[..], &["add", file]].concat());
        run(&[&repository[..], &["commit", "-q", "-m", message]].concat());
    }
    let (host, port) = (office.agent.smtp.ip().to_string(), office.agent.smtp.port().to_string());
    let send = |more: &[&str]| {
        let mail = ["send-email", "--quiet", "--confirm=never", "--suppress-cc=all", "--to=list@far.example"];
        run(&[&repository[..], &mail, more, &["--root", "HEAD"]].concat());
    };
    let port = format!("--smtp-server-port={port}");
    let password = format!("--smtp-pass={LOCAL_PASSWORD}");
    let server = format!("--smtp-server={host}");
    send(&[&server, &port, "--smtp-user=ada", &password, "--smtp-auth=PLAIN", "--smtp-encryption=none"]);
    let (config, data) = (office.agent.config(), &office.agent.data);
    let sendmail = office.file(
        "sendmail",
        &format!(
            "#!/bin/sh\nexec {} --config {} --data {} sendmail \"$@\"\n",
            env!("CARGO_BIN_EXE_syncctl"),
            config.display(),
            data.display()
        ),
    );
    send(&[&format!("--smtp-server={}", sendmail.display())]);
    let delivered = office.delivered(4);
    for subject in ["[PATCH 1/2] first: add one", "[PATCH 2/2] second: add two"] {
        let found: Vec<_> = delivered.iter().filter(|it| text(it).contains(subject)).collect();
        assert_eq!(found.len(), 2, "{subject}");
        for one in found {
            assert_eq!(
                (one.from.as_str(), one.to.as_slice()),
                ("ada@home.example", &["list@far.example".to_owned()][..])
            );
            assert!(text(one).contains("+.\r\n"), "{}", text(one));
        }
    }
}

/// Where getmail puts what it fetches, each message in a file.
struct GetmailPost {
    mail: PathBuf,
    mda: PathBuf,
    rc: PathBuf,
}

impl GetmailPost {
    fn of(office: &Office, retriever: &str, server: SocketAddr, option: &str) -> Self {
        let mail = office.folder.join("mail");
        std::fs::create_dir(&mail).expect("a writable folder");
        let mda = office.file("mda", &format!("#!/bin/sh\ncat > {}/$$\n", mail.display()));
        let rc = format!(
            "[retriever]\ntype = {retriever}\nserver = {}\nport = {}\nusername = ada\npassword = {LOCAL_PASSWORD}\n\n\
             [destination]\ntype = MDA_external\npath = {}\nallow_root_commands = true\n\n\
             [options]\n{option}\ndelivered_to = false\nreceived = false\nverbose = 0\n",
            server.ip(),
            server.port(),
            mda.display()
        );
        Self { rc: office.file("getmailrc", &rc), mail, mda }
    }

    fn getmail(&self, office: &Office, getmail: &Path) -> Command {
        let mut command = Command::new(getmail);
        command.arg("--getmaildir").arg(&office.folder).arg("--rcfile").arg(&self.rc);
        command
    }
}

#[test]
fn fetchmail_and_getmail_fetch_once_and_delete() {
    let (Some(fetchmail), Some(getmail)) = (peers::find("fetchmail"), peers::find("getmail")) else { return };
    let office = Office::open();
    let give = |subject: &str| {
        let mut smtp = crate::support::smtp::Smtp::connect(office.server.address("smtp")).expect("refserver listens");
        let letter = format!("Message-ID: <{subject}@x>\r\nSubject: {subject}\r\n\r\n.\r\n..\r\nFrom me\r\n");
        let answer = smtp.send("x@far.example", &["ada@home.example"], letter.as_bytes()).expect("it answers");
        assert_eq!(answer.code, 250, "{answer:?}");
    };
    for subject in ["one", "two"] {
        give(subject);
    }
    office.agent.sync();
    let (host, port) = (office.agent.pop3.ip(), office.agent.pop3.port());
    let post = GetmailPost::of(&office, "SimplePOP3Retriever", office.agent.pop3, "read_all = false");
    let (mail, mda) = (&post.mail, &post.mda);
    let fetched = || std::fs::read_dir(mail).expect("a folder").count();
    for _ in 0..2 {
        office.run(&mut post.getmail(&office, &getmail));
        assert_eq!(fetched(), 2, "each once, though none was deleted: their unique ids are known");
    }
    let rc = office.file(
        "fetchmailrc",
        &format!(
            "set no bouncemail\npoll {host} service {port} protocol POP3 uidl timeout 30:\n  user \"ada\" password \"{LOCAL_PASSWORD}\" is \"root\" \
             here, sslproto \"\", no rewrite, fetchall, nokeep, mda \"{}\"\n",
            mda.display()
        ),
    );
    std::fs::set_permissions(&rc, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("our file");
    let ids = office.folder.join("fetchids");
    office.run(Command::new(&fetchmail).arg("-f").arg(&rc).arg("-i").arg(&ids).env("FETCHMAILHOME", &office.folder));
    assert_eq!(fetched(), 4);
    // What it deleted is deleted on the server, too.
    wait_until("the deletions upstream", SOON, || {
        let mut imap = office.server.login("ada");
        imap.select("INBOX");
        imap.ok("SEARCH ALL").found().is_empty()
    });
}

#[test]
fn getmail_fetches_by_imap_and_deletes() {
    let Some(getmail) = peers::find("getmail") else { return };
    let office = Office::open();
    let mut server = office.server.login("ada");
    let letter = b"Message-ID: <one@x>\r\nSubject: one\r\n\r\n.\r\n..\r\nFrom me\r\n";
    for number in 0..3 {
        server.append("INBOX", &[], 1_000_000_000 + number, letter);
    }
    office.agent.sync();
    let retriever = "SimpleIMAPRetriever\nmailboxes = (\"INBOX\",)";
    let post = GetmailPost::of(&office, retriever, office.agent.imap, "read_all = false\ndelete = true");
    office.run(&mut post.getmail(&office, &getmail));
    let files: Vec<PathBuf> =
        std::fs::read_dir(&post.mail).expect("a folder").map(|file| file.expect("a file").path()).collect();
    assert_eq!(files.len(), 3);
    for file in files {
        let text = read_lossy(&file);
        assert!(text.contains("\nSubject: one\n") && text.ends_with("\n\n.\n..\nFrom me\n"), "{text}");
    }
    wait_until("the deletions upstream", SOON, || {
        let mut imap = office.server.login("ada");
        imap.select("INBOX");
        imap.ok("SEARCH ALL").found().is_empty()
    });
}
