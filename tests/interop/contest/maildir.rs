//! A tree of Maildirs, read and changed as a mail client does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::mail::{Change, Held, message_id, toggle};

/// The letters that file names have for flags.
const FLAGS: [(char, &str); 4] = [('F', "\\Flagged"), ('R', "\\Answered"), ('S', "\\Seen"), ('D', "\\Draft")];

type Files = BTreeMap<String, (PathBuf, BTreeSet<String>)>;

/// What is in it; folders without mail are left out.
pub fn held(root: &Path) -> Held {
    let all = folders(root).into_iter().map(|name| {
        let messages = files(root, &name).into_iter().map(|(id, (_, flags))| (id, flags));
        (name, messages.collect::<BTreeMap<_, _>>())
    });
    all.filter(|(_, messages)| !messages.is_empty()).collect()
}

/// A flag is a new name, a move one in another folder, where it is a new file.
pub fn act(root: &Path, changes: &[Change]) {
    let mut known: BTreeMap<&String, Files> = BTreeMap::new();
    for (number, change) in changes.iter().enumerate() {
        let (Change::Flag { folder, id, .. } | Change::Move { folder, id, .. } | Change::Delete { folder, id }) =
            change;
        let (file, flags) = &known.entry(folder).or_insert_with(|| files(root, folder))[id];
        let name = file.file_name().and_then(|name| name.to_str()).expect("a readable name");
        let base = name.split(':').next().expect("split gives one at least");
        let done = match change {
            Change::Flag { flag, .. } => {
                let mut flags = flags.clone();
                toggle(&mut flags, flag);
                fs::rename(file, root.join(folder).join("cur").join(format!("{base}:2,{}", letters(&flags))))
            }
            Change::Move { to, .. } => {
                let base = format!("1000000000.{number}.client");
                fs::rename(file, root.join(to).join("cur").join(format!("{base}:2,{}", letters(flags))))
            }
            Change::Delete { .. } => fs::remove_file(file),
        };
        done.expect("a writable Maildir");
    }
}

/// mbsync waits for the next second where a folder was changed in this one: two seconds later it does not.
pub fn let_time_pass(root: &Path) {
    for folder in folders(root) {
        for part in ["cur", "new"] {
            let folder = fs::File::open(root.join(&folder).join(part)).expect("a Maildir");
            folder.set_modified(SystemTime::now() - Duration::from_secs(2)).expect("our own folder");
        }
    }
}

fn folders(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).expect("a readable folder").map(|entry| entry.expect("a readable entry"));
    let folders = entries.filter(|entry| entry.path().join("cur").is_dir());
    folders.map(|entry| entry.file_name().into_string().expect("a readable name")).collect()
}

fn files(root: &Path, folder: &str) -> Files {
    let mut found = Files::new();
    for part in ["cur", "new"] {
        for entry in fs::read_dir(root.join(folder).join(part)).expect("a Maildir") {
            let path = entry.expect("a readable entry").path();
            let letters = path.to_str().and_then(|path| path.split_once(":2,")).map_or("", |(_, letters)| letters);
            let flags =
                FLAGS.iter().filter(|(letter, _)| letters.contains(*letter)).map(|(_, flag)| (*flag).to_owned());
            let id = message_id(&String::from_utf8_lossy(&fs::read(&path).expect("a readable file")));
            let before = found.insert(id.clone(), (path.clone(), flags.collect()));
            assert!(before.is_none(), "{id} is twice in {folder}");
        }
    }
    found
}

/// In the order of the alphabet.
fn letters(flags: &BTreeSet<String>) -> String {
    let letters: BTreeSet<char> =
        FLAGS.iter().filter(|(_, flag)| flags.contains(*flag)).map(|(letter, _)| *letter).collect();
    letters.into_iter().collect()
}
