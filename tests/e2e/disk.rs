//! A full disk: a small tmpfs as the data folder.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use mailtide::store::{Error, Executor, FlagChange, NewMessage, Options, Origin, Store, check};
use mailtide::types::{Flag, Flags, InternalDate, LocalUid, MailboxId, MailboxName, Timestamp};

use crate::support::agent::{Account, Agent};
use crate::support::corpus;
use crate::support::peers;
use crate::support::refserver::RefServer;
use crate::support::snapshot;
use crate::support::wait::SOON;

struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// `None` after a printed SKIP where mounting is not allowed.
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("a writable folder");
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { folder: folder.to_owned() });
        }
        peers::skip("a tmpfs cannot be mounted here");
        None
    }

    /// One of small blocks, so that room may end within a page of memory. As `mount`.
    fn mount_small_blocks(folder: &Path, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("a writable folder");
        let image = folder.with_extension("image");
        let file = std::fs::File::create(&image).and_then(|file| file.set_len(bytes));
        file.expect("a writable folder");
        let done = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        let made =
            done(Command::new("mkfs.ext4").args(["-q", "-b", "1024", "-m", "0", "-O", "^has_journal"]).arg(&image))
                && done(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(folder));
        if made {
            return Some(Self { folder: folder.to_owned() });
        }
        peers::skip("a file system in a file cannot be mounted here");
        None
    }

    fn room_bytes(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.folder).expect("what is mounted can be asked");
        disk.f_bavail * disk.f_frsize
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        let status = Command::new("mount").args(["-o", &options]).arg(&self.folder).status();
        assert!(status.is_ok_and(|status| status.success()), "what was mounted can be remounted");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has it open gets rid of it in a moment.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

/// To the last block: what the file system set aside for its own use it gives back once it has written.
fn fill(file: &Path) {
    for size in [PIECE, 1024, 1024] {
        let mut file = std::fs::File::options().create(true).append(true).open(file).expect("a writable folder");
        let piece = vec![1; size];
        while file.write_all(&piece).is_ok() {}
        file.sync_all().expect("what was taken is kept");
    }
}

/// Mail of this size each.
const PIECE: usize = 1024 * 1024;

fn large(number: u64) -> Vec<u8> {
    let mut message = corpus::small(number);
    // Unlike one another, so that nothing is stored only once.
    let line = format!("{number:070}\r\n");
    message.extend(line.bytes().cycle().take(PIECE / 72 * 72));
    message
}

#[test]
fn a_full_disk_stops_the_mirror_with_a_clear_word_and_loses_nothing() {
    let server = RefServer::with_users(&["ada"]);
    let mut upstream = server.login("ada");
    for number in 0..24 {
        upstream.append("INBOX", &[], 1_000_000_000, &large(number));
    }
    let mut agent = Agent::new(&Account::at(&server, "ada", server.address("imap")).text());
    let Some(disk) = SmallDisk::mount(&agent.data, "12M") else { return };
    let said = agent.once();
    assert_eq!(said.code, 75, "{said:?}");
    let word = format!("the disk of {} is full: free some space there", agent.data.display());
    assert!(said.err.contains(&word), "{said:?}");
    agent.start();
    let said = agent.ctl(&["sync", "--wait", "--timeout", "60"]);
    assert!(said.code == 75 && said.out.contains(&word), "{said:?}");

    disk.grow("200M");
    agent.sync();
    assert_eq!(snapshot::take(&mut agent.login("ada")), snapshot::take(&mut upstream));
}

#[test]
fn a_start_on_a_disk_without_a_free_byte_is_refused_for_now_and_names_the_folder() {
    let server = RefServer::with_users(&["ada"]);
    let mut agent = Agent::new(&Account::at(&server, "ada", server.address("imap")).text());
    let Some(disk) = SmallDisk::mount(&agent.data, "1M") else { return };
    let filling = agent.data.join("filling");
    assert!(std::fs::write(&filling, vec![0; 2 * PIECE]).is_err(), "it is full");
    let word = format!("the disk of {} is full", agent.data.display());
    let said = agent.once();
    assert!(said.code == 75 && said.err.contains(&word), "{said:?}");
    agent.spawn();
    assert_eq!(agent.process().wait_end(SOON).code(), Some(75), "{}", agent.log());
    assert!(agent.log().contains(&word), "{}", agent.log());

    disk.grow("200M");
    let said = agent.once();
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn a_start_where_there_is_no_room_for_mail_says_so() {
    let server = RefServer::with_users(&["ada"]);
    let mut agent = Agent::new(&Account::at(&server, "ada", server.address("imap")).text());
    let Some(_disk) = SmallDisk::mount(&agent.data, "12M") else { return };
    assert_eq!(agent.once().code, 0);
    // What makes room must be there before what takes it. The last megabyte is for what is done with mail.
    let spared = agent.data.join("spared");
    std::fs::write(&spared, vec![1; PIECE / 2]).expect("room enough");
    fill(&agent.data.join("filling"));
    std::fs::remove_file(&spared).expect("it is there");
    agent.start();
    let word = format!("the disk of {} has no room for mail", agent.data.display());
    assert!(agent.log().contains(&word), "{}", agent.log());
    let reply = agent.login("ada").try_append("INBOX", &[], 1_000_000_000, &corpus::small(1)).expect("syncd serves");
    assert_eq!(reply.status, "NO", "{}", reply.text);
}

#[test]
fn a_start_with_whatever_little_room_there_is_ends_well_or_says_that_there_is_none() {
    let server = RefServer::with_users(&["ada"]);
    let mut agent = Agent::new(&Account::at(&server, "ada", server.address("imap")).text());
    let Some(_disk) = SmallDisk::mount_small_blocks(&agent.data, 8 << 20) else { return };
    let filling = agent.data.join("filling");
    let word = format!("the disk of {} is full", agent.data.display());
    let mut refused = 0;
    for was_killed in [false, true] {
        for room in [0, 4, 8, 16, 32, 48, 64] {
            let said = agent.once();
            assert_eq!(said.code, 0, "with room enough: {said:?}");
            if was_killed {
                agent.start();
                agent.kill();
            }
            // What makes room must be there before what takes it.
            let spared = agent.data.join("spared");
            std::fs::write(&spared, vec![1; room * 1024]).expect("room enough");
            fill(&filling);
            std::fs::remove_file(&spared).expect("it is there");
            let said = agent.once();
            let is_told = said.code == 75 && said.err.contains(&word);
            assert!(
                is_told || said.code == 0 || said.code == 75 && said.err.contains("not complete"),
                "{room} K: {said:?}"
            );
            refused += usize::from(is_told);
            std::fs::remove_file(&filling).expect("it is there");
        }
    }
    assert!(refused > 0, "without a free byte at least");
}

#[test]
fn a_client_on_a_full_disk_is_refused_and_keeps_what_it_has() {
    let server = RefServer::with_users(&["ada"]);
    server.login("ada").append("INBOX", &[], 1_000_000_000, &corpus::small(1));
    let mut agent = Agent::new(&Account::at(&server, "ada", server.address("imap")).text());
    let Some(disk) = SmallDisk::mount(&agent.data, "12M") else { return };
    agent.start();
    agent.sync();
    agent.ctl_ok(&["offline"]);
    let mut local = agent.login("ada");
    let mut taken = Vec::new();
    for number in 0..24 {
        let reply = local.try_append("INBOX", &[], 1_000_000_000, &large(number)).expect("syncd goes on serving");
        if reply.status != "OK" {
            assert_eq!(reply.status, "NO", "{}", reply.text);
            break;
        }
        taken.push(number);
    }
    assert!(taken.len() < 24, "12 MB do not hold 24");
    let mut smtp = agent.login_smtp("ada");
    let answer = smtp.send("ada@example.org", &["bob@example.org"], &large(99)).expect("syncd goes on serving");
    assert_eq!(answer.code / 100, 4, "come back later: {answer:?}");

    disk.grow("200M");
    agent.ctl_ok(&["online"]);
    agent.sync();
    let (here, there) = (snapshot::take(&mut agent.login("ada")), snapshot::take(&mut server.login("ada")));
    assert_eq!(here, there);
    assert_eq!(here["INBOX"].len(), 1 + taken.len(), "what was answered OK is there, what was refused is not");
}

#[test]
fn a_disk_that_is_full_of_mail_is_not_full_of_logs_and_takes_small_acts() {
    let server = RefServer::with_users(&["ada"]);
    let mut agent = Agent::new(&Account::at(&server, "ada", server.address("imap")).text());
    let Some(disk) = SmallDisk::mount(&agent.data, "14M") else { return };
    agent.start();
    agent.sync();
    agent.ctl_ok(&["offline"]);
    let mut local = agent.login("ada");
    let taken = (0..24).take_while(|number| {
        let reply = local.try_append("INBOX", &[], 1_000_000_000, &large(*number)).expect("syncd goes on serving");
        reply.status == "OK"
    });
    let taken = taken.count() as u32;
    assert!((8..24).contains(&taken), "most of 14 MB is for mail, and they do not hold 24: {taken}");
    assert_eq!(local.select("INBOX").exists(), taken);
    for turn in 0..100 {
        let sign = if turn % 2 == 0 { '+' } else { '-' };
        local.ok(&format!("STORE 1:* {sign}FLAGS.SILENT (\\Flagged)"));
    }
    local.ok("CREATE Saved");
    local.ok("COPY 1:2 Saved");
    let log = |name: &str| agent.data.join(name).metadata().map_or(0, |log| log.len());
    let logs = ["mailtide.db-wal", "search.db-wal"].map(log);
    assert!(logs.iter().sum::<u64>() < 2 * PIECE as u64, "{logs:?}");

    disk.grow("200M");
    agent.ctl_ok(&["online"]);
    agent.sync();
    assert_eq!(snapshot::take(&mut agent.login("ada")), snapshot::take(&mut server.login("ada")));
}

const NOW: Timestamp = Timestamp::from_unix_ms(1_790_000_000_000);

/// A message of 120 KB, all of whose words are others than those of the next.
fn wordy(number: u64) -> Vec<u8> {
    let mut text = format!("Subject: {number}\r\n\r\n");
    let mut word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while text.len() < 120_000 {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{:x}\r\n", word >> 20));
    }
    text.into_bytes()
}

fn append(store: &Store, inbox: MailboxId, number: u64) -> Result<LocalUid, Error> {
    let mut upload = store.upload();
    upload.write(&wordy(number))?;
    let (flags, internal_date) = (Flags::none(), InternalDate::new(1_000_000_000, 0));
    let new = NewMessage { content: upload.finish()?, flags, internal_date, email_id: None };
    Ok(store.write(Origin::LocalUser, NOW, move |txn| txn.append(inbox, &[new]))?.messages[0].1)
}

#[test]
fn the_last_megabyte_takes_neither_mail_nor_an_index_and_is_there_for_small_acts() {
    for size in ["5M", "8M", "12M"] {
        let folder = tempfile::tempdir().expect("a folder");
        let Some(disk) = SmallDisk::mount(&folder.path().join("data"), size) else { return };
        let options = Options { executor: Executor::Thread, program: "tests".to_owned(), max_bytes: None };
        let store = Store::open(&disk.folder, &options, NOW).expect("a store");
        let account = store.write(Origin::Authority, NOW, |txn| txn.ensure_account("ada")).expect("an account");
        let inbox = MailboxName::parse("INBOX").expect("a name");
        let inbox = store.read(|reader| reader.mailbox_named(account, &inbox)).expect("a read").expect("an INBOX").id;
        let is_kept = |when: &str| {
            let room = disk.room_bytes();
            assert!(room >= 1024 * 1024, "{size}, {when}: {room}");
        };
        let mut uids = Vec::new();
        let full = loop {
            match append(&store, inbox, uids.len() as u64) {
                Ok(uid) => uids.push(uid),
                Err(error) => break error,
            }
            is_kept("a message was taken");
            // As at rest: once while there is room, once while there is little.
            if uids.len() % 17 == 0 {
                let _ = store.index_more();
                is_kept("an index was made");
            }
        };
        assert!(matches!(full, Error::DiskFull { .. }) && uids.len() > 15, "{size}: {full}, {}", uids.len());
        let refused = store.index_more().expect_err("there is no room for it");
        assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
        is_kept("no index was made");

        for turn in 0..400 {
            if turn == 300 {
                // Others have files there as well.
                let filling = vec![1; (disk.room_bytes() - 256 * 1024) as usize];
                std::fs::write(disk.folder.join("filling"), filling).expect("room enough");
            }
            let flag: Flags = [Flag::parse("\\Flagged").expect("a flag")].into_iter().collect();
            let change = if turn % 2 == 0 { FlagChange::Add(flag) } else { FlagChange::Remove(flag) };
            let one = [uids[turn % uids.len()]];
            let acted = store.write(Origin::LocalUser, NOW, move |txn| txn.store_flags(inbox, &one, &change, None));
            assert!(acted.is_ok(), "{size}, turn {turn}: {acted:?}, {} left", disk.room_bytes());
        }
        std::fs::remove_file(disk.folder.join("filling")).expect("it is there");
        let deleted: Flags = [Flag::parse("\\Deleted").expect("a flag")].into_iter().collect();
        let (some, change) = (uids[..uids.len() / 2].to_vec(), FlagChange::Add(deleted));
        store.write(Origin::LocalUser, NOW, move |txn| txn.store_flags(inbox, &some, &change, None)).expect("flags");
        store.write(Origin::LocalUser, NOW, move |txn| txn.expunge(inbox, None)).expect("an expunge");
        assert_eq!(check(&store).expect("a check"), Vec::<String>::new());
        drop(store);
        let logs =
            ["mailtide.db-wal", "search.db-wal"].map(|log| disk.folder.join(log).metadata().map_or(0, |log| log.len()));
        assert_eq!(logs, [0, 0], "{size}: a stop gives them back");
    }
}

#[test]
fn a_sync_that_cannot_write_down_what_it_sends_says_so_and_ends() {
    let server = RefServer::with_users(&["ada"]);
    let mut agent = Agent::new(&Account::at(&server, "ada", server.address("imap")).text());
    let Some(_disk) = SmallDisk::mount(&agent.data, "12M") else { return };
    agent.start();
    agent.sync();
    let answer = agent.login_smtp("ada").send("ada@example.org", &["ada@home.example"], &corpus::small(1));
    assert_eq!(answer.expect("syncd serves").code, 250);
    fill(&agent.data.join("filling"));
    let said = agent.ctl(&["sync", "--wait", "--timeout", "60"]);
    let word = format!("the disk of {} is full: free some space there", agent.data.display());
    assert!(said.code == 75 && format!("{said:?}").contains(&word), "{said:?}");
}

#[test]
fn a_mail_server_on_a_full_disk_names_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let Some(_disk) = SmallDisk::mount(&data, "1M") else { return };
    fill(&data.join("filling"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_refserver"));
    command.arg("--data").arg(&data).args(["--smtp", "127.0.0.1:0", "--user", "ada:sesame"]);
    let said = command.env("HOME", folder.path()).output().expect("refserver is built");
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(75), "{text}");
    assert!(text.contains(&format!("the disk of {} is full: free some space there", data.display())), "{text}");
}
