//! A client that does at random what people do, on either side. Others do so at the same time: a folder may be gone, a message
//! may be gone, and a server may hang up on who has a folder open that is renamed. All of that it takes as it comes.

use std::io;
use std::sync::RwLock;
use std::time::{Duration, Instant};

use super::ledger::Ledger;
use crate::load::FIRST_DATE;
use crate::support::corpus;
use crate::support::imap::{Imap, Reply, mailbox_argument};
use crate::support::random::Random;
use crate::support::snapshot::hash;

/// There are about so many messages: more come only while there are fewer, and with more they are deleted.
const MESSAGES: u64 = 400;

/// There are at most so many folders: with more, none is made. What is made and deleted is a few, as with people.
const FOLDERS_MAX: usize = 40;

/// Acts on one connection, at most.
const ACTS_MAX: u64 = 40;

/// How long it thinks between two acts, at most.
const THINKS_MAX_MS: u64 = 60;

/// What large messages are filled up to.
const LARGE_BYTES_MAX: u64 = 300_000;

const FLAGS: [&str; 7] = ["\\Seen", "\\Flagged", "\\Answered", "\\Draft", "$Forwarded", "work", "later"];

/// Folders with such a name are made, and may be deleted again.
pub const MADE: &str = "Made ";

/// One of the two sides, as its clients see it.
pub struct Side<'a> {
    pub name: &'static str,
    pub connect: Box<dyn Fn() -> Imap + Sync + 'a>,
    /// Held for writing by who deletes a folder: mail that is put into it at that moment would rightly go with it.
    pub folders: RwLock<()>,
    pub ledger: &'a Ledger,
}

pub struct Client<'a> {
    side: &'a Side<'a>,
    random: Random,
    acts: u64,
}

impl<'a> Client<'a> {
    pub fn new(side: &'a Side<'a>, seed: u64) -> Self {
        Self { side, random: Random::new(seed), acts: 0 }
    }

    /// Acts until then. How much it did.
    pub fn run(mut self, ends: Instant) -> u64 {
        while Instant::now() < ends {
            let mut imap = (self.side.connect)();
            let folders = folders(&mut imap);
            for _ in 0..self.random.below(ACTS_MAX) {
                let _shared = self.side.folders.read().expect("no panic under this lock");
                if Instant::now() >= ends || self.act(&mut imap, &folders).is_err() {
                    break;
                }
                self.acts += 1;
                std::thread::sleep(Duration::from_millis(self.random.below(THINKS_MAX_MS)));
            }
        }
        self.acts
    }

    fn act(&mut self, imap: &mut Imap, folders: &[String]) -> io::Result<()> {
        let folder = &folders[self.random.index(folders.len())];
        let other = &folders[self.random.index(folders.len())];
        let is_full = self.side.ledger.messages() >= MESSAGES;
        match self.random.below(20) {
            0..5 if !is_full => return self.append(imap, folder),
            5 if self.random.below(8) == 0 && folders.len() < FOLDERS_MAX => return self.make_folder(imap),
            6 if self.random.below(8) == 0 => return self.rename_folder(imap, folder),
            _ => {}
        }
        let Some(uid) = self.choose(imap, folder)? else { return Ok(()) };
        match self.random.below(20) {
            0..9 => self.store(imap, uid),
            9..14 => imap.try_command(&format!("UID MOVE {uid} {}", mailbox_argument(other))).map(drop),
            14..16 if !is_full => self.copy(imap, uid, other),
            14..17 => self.delete(imap, uid),
            17 if is_full => self.delete(imap, uid),
            _ => imap.try_command("NOOP").map(drop),
        }
    }

    /// Opens the folder and takes one of its messages.
    fn choose(&mut self, imap: &mut Imap, folder: &str) -> io::Result<Option<u32>> {
        let selected = imap.try_command(&format!("SELECT {}", mailbox_argument(folder)))?;
        if selected.status != "OK" {
            return Ok(None);
        }
        let uids = imap.try_command("UID SEARCH ALL")?.found();
        Ok((!uids.is_empty()).then(|| uids[self.random.index(uids.len())]))
    }

    fn append(&mut self, imap: &mut Imap, folder: &str) -> io::Result<()> {
        let number = self.side.ledger.number();
        let mut message = corpus::small(number);
        if self.random.below(20) == 0 {
            let length = self.random.below(LARGE_BYTES_MAX) as usize;
            while message.len() < length {
                message.extend(b"The tide goes out, the tide comes in, and what was written stays.\r\n");
            }
        }
        let flags: Vec<&str> = FLAGS.into_iter().filter(|_| self.random.below(4) == 0).collect();
        let date = FIRST_DATE + i64::try_from(number).expect("a small number");
        let hash = hash(&message);
        self.side.ledger.is_number(&hash, number);
        self.side.ledger.will_make(&hash);
        let reply = imap.try_append(folder, &flags, date, &message)?;
        self.tell(&hash, reply.status == "OK");
        Ok(())
    }

    fn copy(&mut self, imap: &mut Imap, uid: u32, to: &str) -> io::Result<()> {
        let Some(hash) = hash_of(imap, uid)? else { return Ok(()) };
        self.side.ledger.will_make(&hash);
        let reply = imap.try_command(&format!("UID COPY {uid} {}", mailbox_argument(to)))?;
        // Of a message that is gone nothing is copied, and the answer is OK.
        self.tell(&hash, reply.code("COPYUID").is_some());
        Ok(())
    }

    fn tell(&self, hash: &str, is_made: bool) {
        match is_made {
            true => self.side.ledger.made(hash),
            false => self.side.ledger.not_made(hash),
        }
    }

    fn delete(&self, imap: &mut Imap, uid: u32) -> io::Result<()> {
        let Some(hash) = hash_of(imap, uid)? else { return Ok(()) };
        self.side.ledger.will_delete(&hash);
        imap.try_command(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"))?;
        imap.try_command(&format!("UID EXPUNGE {uid}")).map(drop)
    }

    fn store(&mut self, imap: &mut Imap, uid: u32) -> io::Result<()> {
        let change = ["+FLAGS", "-FLAGS", "FLAGS", "+FLAGS.SILENT"][self.random.index(4)];
        let flags: Vec<&str> = FLAGS.into_iter().filter(|_| self.random.below(3) == 0).collect();
        imap.try_command(&format!("UID STORE {uid} {change} ({})", flags.join(" "))).map(drop)
    }

    fn make_folder(&self, imap: &mut Imap) -> io::Result<()> {
        let name = format!("{MADE}{}", self.side.ledger.number());
        imap.try_command(&format!("CREATE {}", mailbox_argument(&name))).map(drop)
    }

    fn rename_folder(&self, imap: &mut Imap, folder: &str) -> io::Result<()> {
        if is_special(folder) {
            return Ok(());
        }
        let kind = if folder.starts_with(MADE) { MADE } else { "Renamed/" };
        let new = format!("{kind}{}", self.side.ledger.number());
        imap.try_command(&format!("RENAME {} {}", mailbox_argument(folder), mailbox_argument(&new))).map(drop)
    }
}

/// Empties a folder that was made, if there is one, into INBOX, and deletes it. Nobody else may act meanwhile.
pub fn delete_folder(side: &Side<'_>, random: &mut Random) {
    let _alone = side.folders.write().expect("no panic under this lock");
    let mut imap = (side.connect)();
    let made: Vec<String> = folders(&mut imap).into_iter().filter(|name| name.starts_with(MADE)).collect();
    if made.is_empty() {
        return;
    }
    let folder = mailbox_argument(&made[random.index(made.len())]);
    imap.ok(&format!("SELECT {folder}"));
    let reply = imap.command("UID MOVE 1:* INBOX");
    if reply.status == "OK" {
        imap.ok("UNSELECT");
        imap.ok(&format!("DELETE {folder}"));
    }
}

/// The folders that can be opened.
fn folders(imap: &mut Imap) -> Vec<String> {
    crate::support::snapshot::selectable(imap).into_iter().map(|name| name.wire).collect()
}

fn is_special(folder: &str) -> bool {
    ["INBOX", "Sent", "Drafts"].contains(&folder)
}

/// `None`: the message is gone.
fn hash_of(imap: &mut Imap, uid: u32) -> io::Result<Option<String>> {
    let Reply { untagged, .. } = imap.try_command(&format!("UID FETCH {uid} (UID BODY.PEEK[])"))?;
    Ok(untagged.iter().find_map(|line| line.literals.first()).map(|body| hash(body)))
}
