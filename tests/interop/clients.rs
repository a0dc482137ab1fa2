//! Ordinary mail clients at the local face, with Dovecot upstream.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::agent::{Account, Agent, LOCAL_PASSWORD};
use crate::support::corpus;
use crate::support::dovecot::Options;
use crate::support::peers;
use crate::support::process::{Process, read_lossy};
use crate::support::refserver::{PASSWORD, RefServer};
use crate::support::server::Kind;
use crate::support::snapshot;
use crate::support::wait::{SOON, wait_for, wait_until};
use crate::world::{USER, World};

const FOLDERS: [&str; 5] = ["INBOX", "Archive|2026", "With spaces two", "Größe", "日本語のフォルダ"];

/// Messages of our own beside the demonstration's.
const SMALL: u64 = 40;

/// Mail of many kinds in a few folders, mirrored from Dovecot.
pub fn world(seed: u64) -> Option<World> {
    let mail: Vec<_> = corpus::demo().into_iter().chain((0..SMALL).map(corpus::small)).collect();
    World::mirrored(&Kind::Dovecot(Options::default()), &FOLDERS, &mail, seed)
}

#[test]
fn pythons_imaplib_finds_an_ordinary_server() {
    let Some(world) = python_session("imaplib_session.py", |world| world.agent.imap) else { return };
    // What it did there happens on the server, too.
    world.agent.sync();
    world.await_equal();
    let inbox = snapshot::take(&mut world.server()).remove("INBOX").expect("an INBOX");
    let moved = inbox.iter().filter(|entry| entry.flags.contains("\\flagged") && entry.flags.contains("py"));
    assert_eq!(moved.count(), 1, "the copied message arrived upstream with its flags");
}

#[test]
fn pythons_poplib_finds_an_ordinary_server() {
    let Some(world) = python_session("poplib_session.py", |world| world.agent.pop3) else { return };
    world.agent.sync();
    world.await_equal();
}

#[test]
fn pythons_smtplib_finds_an_ordinary_server() {
    let Some(world) = python_session("smtplib_session.py", |world| world.agent.smtp) else { return };
    let delivered = wait_for("two deliveries", SOON, || Some(world.sink.delivered()).filter(|all| all.len() == 2));
    let first = delivered.iter().find(|delivered| delivered.to.len() == 2).expect("the one to two people");
    assert!(first.to.contains(&"eve@far.example".to_owned()), "{:?}", first.to);
    assert!(first.bytes.windows(7).any(|window| window == b"b.bin\"\r"), "the attachment is there");
    assert!(delivered.iter().all(|delivered| delivered.bytes.ends_with(b"\r\n")));
    wait_until("both to be filed in Sent", SOON, || {
        snapshot::take(&mut world.server()).get("Sent").is_some_and(|sent| sent.len() == 2)
    });
}

/// Runs one of the scripts beside this file; it must end with `ok`.
fn python_session(script: &str, face: fn(&World) -> std::net::SocketAddr) -> Option<World> {
    let python = peers::find("python3")?;
    let world = world(3)?;
    run_python(&python, script, face(&world), &[USER, LOCAL_PASSWORD], world.agent.folder());
    Some(world)
}

fn run_python(python: &Path, script: &str, address: std::net::SocketAddr, arguments: &[&str], folder: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(script);
    let log = folder.join("python.log");
    let mut command = Command::new(python);
    command.arg(script).args([&address.ip().to_string(), &address.port().to_string()]).args(arguments);
    let status = Process::start(&mut command, "python", &log).wait_end(SOON);
    let said = read_lossy(&log);
    assert!(status.success() && said.trim_end() == "ok", "{said}");
}

/// RFC 6856 section 2.1, at both faces: refserver's, and the agent's with the same mail.
#[test]
fn pythons_poplib_is_told_the_sizes_of_what_it_is_sent_with_utf8_and_without() {
    let Some(python) = peers::find("python3") else { return };
    let server = RefServer::with_users(&["ada"]);
    let mut imap = server.login("ada");
    imap.ok("ENABLE UTF8=ACCEPT");
    let mail = [
        &b"Subject: plain\r\n\r\n.dot\r\n"[..],
        "Subject: Grüße\r\nTo: Jörg <jörg@bücher.example>\r\n\r\nKörper\r\n".as_bytes(),
        b"Subject: no end\r\n\r\nno end",
        b"Subject: bare\n\n.\nfeeds\n",
    ];
    mail.iter().for_each(|message| drop(imap.append("INBOX", &[], 1_000_000_000, message)));
    let count = mail.len().to_string();
    run_python(&python, "poplib_sizes.py", server.address("pop3"), &["ada", PASSWORD, &count], server.folder());
    let agent = Agent::started(&Account::at(&server, "ada", server.address("imap")).text());
    agent.sync();
    run_python(&python, "poplib_sizes.py", agent.pop3, &["ada", LOCAL_PASSWORD, &count], agent.folder());
}

#[test]
fn mbsync_mirrors_the_local_face_both_ways_and_then_has_nothing_to_do() {
    let Some(program) = peers::find("mbsync") else { return };
    let Some(world) = world(4) else { return };
    let folder = world.agent.folder().join("mbsync");
    let mail = folder.join("mail");
    std::fs::create_dir_all(&mail).expect("a writable folder");
    let config = folder.join("mbsyncrc");
    let text = format!(
        "IMAPAccount local\nHost {}\nPort {}\nUser {USER}\nPass \"{LOCAL_PASSWORD}\"\nSSLType None\nAuthMechs LOGIN\n\n\
         IMAPStore local\nAccount local\n\n\
         MaildirStore files\nPath {mail}/\nInbox {mail}/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :local:\nNear :files:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\nSync All\n",
        world.agent.imap.ip(),
        world.agent.imap.port(),
        mail = mail.display(),
    );
    std::fs::write(&config, text).expect("a writable folder");
    let run = || {
        let mut command = Command::new(&program);
        run_to_end(command.arg("-c").arg(&config).arg("-a").env("HOME", &folder), "mbsync", &folder.join("log"));
    };
    maildir_client_goes_both_ways(&world, &mail, Rewrites::Nothing, run);
}

#[test]
fn offlineimap_mirrors_the_local_face_both_ways_and_then_has_nothing_to_do() {
    let Some(program) = peers::find("offlineimap") else { return };
    let Some(world) = world(5) else { return };
    let folder = world.agent.folder().join("offlineimap");
    let mail = folder.join("mail");
    std::fs::create_dir_all(&mail).expect("a writable folder");
    let config = folder.join("offlineimaprc");
    let text = format!(
        "[general]\naccounts = test\nmetadata = {folder}/meta\nui = basic\n\n\
         [Account test]\nlocalrepository = files\nremoterepository = local\n\n\
         [Repository files]\ntype = Maildir\nlocalfolders = {mail}\nsep = /\n\n\
         [Repository local]\ntype = IMAP\nremotehost = {}\nremoteport = {}\nremoteuser = {USER}\n\
         remotepass = {LOCAL_PASSWORD}\nssl = no\nstarttls = no\nauth_mechanisms = PLAIN, LOGIN\n",
        world.agent.imap.ip(),
        world.agent.imap.port(),
        folder = folder.display(),
        mail = mail.display(),
    );
    std::fs::write(&config, text).expect("a writable folder");
    let run = || {
        let mut command = Command::new(&program);
        command.arg("-c").arg(&config).arg("-o").env("HOME", &folder);
        run_to_end(&mut command, "offlineimap", &folder.join("log"));
    };
    maildir_client_goes_both_ways(&world, &mail, Rewrites::OddMail, run);
}

/// What a client does to the bytes of the mail it stores.
#[derive(PartialEq, Eq)]
enum Rewrites {
    Nothing,
    /// OfflineIMAP passes mail through Python's email package, which folds some headers anew.
    OddMail,
}

/// What any client with a Maildir must see: all the mail; a second run that changes nothing on either side; changes that
/// go up and down.
fn maildir_client_goes_both_ways(world: &World, mail: &Path, rewrites: Rewrites, run: impl Fn()) {
    let before = snapshot::take(&mut world.local());
    run();
    let files = mail_files(mail);
    assert_eq!(files.len(), before.values().map(Vec::len).sum::<usize>(), "each message once in the Maildir");
    let here: BTreeSet<&String> = files.values().collect();
    let plain: BTreeSet<String> = (0..SMALL).map(|number| snapshot::hash(&corpus::small(number))).collect();
    let unlike = before.values().flatten().filter(|entry| !here.contains(&entry.hash));
    let unlike: Vec<_> = unlike.filter(|entry| rewrites == Rewrites::Nothing || plain.contains(&entry.hash)).collect();
    assert!(unlike.is_empty(), "not byte for byte in the Maildir: {unlike:?}");
    let local = snapshot::take(&mut world.local());
    run();
    assert_eq!(mail_files(mail), files, "the second run leaves the Maildir alone");
    assert_eq!(snapshot::take(&mut world.local()), local, "and the agent's mail");
    world.agent.sync();
    world.await_equal();

    // Flagged and deleted in the Maildir, and something new.
    let mut inbox = files.iter().filter(|(file, hash)| folder_of(mail, file) == "INBOX" && plain.contains(*hash));
    let (flagged, deleted) = (inbox.next().expect("mail in INBOX"), inbox.next().expect("more mail in INBOX"));
    std::fs::rename(flagged.0, with_flag(flagged.0, 'F')).expect("our own file");
    std::fs::remove_file(deleted.0).expect("our own file");
    std::fs::write(mail.join("INBOX/new/1.new.here"), corpus::small(777)).expect("our own folder");
    run();
    world.agent.sync();
    world.await_equal();
    let inbox = snapshot::take(&mut world.server()).remove("INBOX").expect("an INBOX");
    let is_flagged = |hash: &str| inbox.iter().any(|entry| entry.hash == hash && entry.flags.contains("\\flagged"));
    assert!(is_flagged(flagged.1), "a flag set in the Maildir arrives upstream");
    assert!(!inbox.iter().any(|entry| entry.hash == *deleted.1), "a message deleted in the Maildir goes upstream");
    let mut server = world.server();
    server.select("INBOX");
    let found = server.ok("UID SEARCH HEADER Message-ID <777@far.example>").found();
    assert_eq!(found.len(), 1, "a message put into the Maildir arrives upstream once");

    server.append("INBOX", &[], 1_100_000_000, &corpus::small(778));
    world.agent.sync();
    run();
    let arrived = snapshot::hash(&corpus::small(778));
    assert!(mail_files(mail).values().any(|hash| *hash == arrived), "new mail upstream arrives in the Maildir");
}

/// Every message file below a Maildir tree with the hash of its bytes, line ends made CRLF.
fn mail_files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if !path.is_dir() {
            continue;
        }
        if ["cur", "new"].iter().any(|name| path.ends_with(name)) {
            let files = std::fs::read_dir(&path).expect("a readable folder");
            found.extend(files.map(|file| file.expect("a readable entry").path()).map(|file| {
                let hash = hash_of_file(&file);
                (file, hash)
            }));
        } else {
            found.extend(mail_files(&path));
        }
    }
    found
}

/// Of the message as it was sent: CRLF line ends, without the mark that mbsync puts into what it stores.
fn hash_of_file(file: &Path) -> String {
    let bytes = corpus::with_crlf(&std::fs::read(file).expect("a readable file"));
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    lines.retain(|line| !line.starts_with(b"X-TUID: "));
    snapshot::hash(&lines.concat())
}

fn folder_of(mail: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(mail).expect("a file of the Maildir").parent().and_then(Path::parent);
    inside.expect("folder/cur/file").display().to_string()
}

/// The file name of a Maildir message with one more flag; flags stand in ASCII order after `:2,`.
fn with_flag(file: &Path, flag: char) -> PathBuf {
    let name = file.file_name().and_then(|name| name.to_str()).expect("a readable name");
    let (base, flags) = name.split_once(":2,").unwrap_or((name, ""));
    let flags: BTreeSet<char> = flags.chars().chain([flag]).collect();
    let cur = file.parent().and_then(Path::parent).expect("folder/cur/file").join("cur");
    cur.join(format!("{base}:2,{}", flags.into_iter().collect::<String>()))
}

fn run_to_end(command: &mut Command, name: &str, log: &Path) {
    let mut process = Process::start(command, name, log);
    let status = process.wait_end(SOON);
    assert!(status.success(), "{name} ended with {status}:\n{}", process.log());
}

#[test]
fn imapfilter_finds_flags_copies_moves_deletes_and_waits_for_mail() {
    let Some(program) = peers::find("imapfilter") else { return };
    let Some(world) = world(8) else { return };
    let arrives = |number: u64| drop(world.server().append("INBOX", &[], 2_000_000_000, &corpus::small(number)));
    (4711..4715).for_each(arrives);
    world.agent.sync();
    let folder = world.agent.folder().join("imapfilter");
    std::fs::create_dir_all(&folder).expect("a writable folder");
    let config = folder.join("config.lua");
    let text = format!(
        r#"options.timeout, options.charset, options.create, options.subscribe = 60, "UTF-8", true, true
        local home = IMAP {{ server = "{}", port = {}, username = "{USER}", password = "{LOCAL_PASSWORD}" }}
        local folders = home:list_all()
        table.sort(folders)
        print(table.concat(folders, ","))
        local inbox = home.INBOX
        print(#inbox:contain_subject("4711"), #(inbox:contain_body("About the tide") * inbox:contain_field("Message-ID", "4711@far")))
        print(#home["Größe"]:select_all() == #home["Größe"]:is_larger(1))
        inbox:contain_subject("4711"):mark_flagged()
        inbox:contain_subject("4711"):copy_messages(home["Größe"])
        inbox:contain_subject("4712"):move_messages(home["Made here"])
        inbox:contain_subject("4713"):delete_messages()
        inbox:contain_subject("4714"):add_flags({{ "\\Seen", "$Filtered" }})
        for _, message in ipairs(inbox:contain_subject("4714")) do
            print(inbox[message[2]]:fetch_field("Subject"))
        end
        print("waiting")
        io.stdout:flush()
        inbox:enter_idle()
        print("woken")
        "#,
        world.agent.imap.ip(),
        world.agent.imap.port(),
    );
    std::fs::write(&config, text).expect("a writable folder");
    let mut command = Command::new(&program);
    command.arg("-c").arg(&config).env("HOME", &folder).env("LC_ALL", "C.UTF-8");
    let mut process = Process::start(&mut command, "imapfilter", &folder.join("log"));
    wait_until("imapfilter to wait for mail", SOON, || process.log().contains("waiting") || process.ended().is_some());
    arrives(4716);
    let status = process.wait_end(SOON);
    let said = process.log();
    assert!(status.success(), "{status}:\n{said}");
    assert!(said.starts_with("Drafts,Größe,INBOX,Sent,With spaces two,") && said.contains("\n1\t1\ntrue\n"), "{said}");
    assert!(said.contains("\nSubject: gull 4714\n"), "{said}");
    assert!(said.ends_with("waiting\nwoken\n"), "{said}");
    world.agent.sync();
    world.await_equal();
    let upstream = snapshot::take(&mut world.server());
    let flags = |name: &str, number: u64| {
        let hash = snapshot::hash(&corpus::small(number));
        let entry = upstream[name].iter().find(|entry| entry.hash == hash);
        entry.map(|entry| entry.flags.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
    };
    let flagged = Some("\\flagged".to_owned());
    assert_eq!([flags("INBOX", 4711), flags("Größe", 4711)], [flagged.clone(), flagged]);
    assert_eq!([flags("INBOX", 4712), flags("Made here", 4712)], [None, Some(String::new())]);
    assert_eq!(flags("INBOX", 4713), None);
    assert_eq!(flags("INBOX", 4714).as_deref(), Some("$filtered \\seen"));
}
