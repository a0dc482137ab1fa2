//! The rules of the house, held by test: which room may use which.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms it may use.
const ROOMS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("message", &["types"]),
    ("imap::syntax", &["types", "message"]),
    ("sasl", &["types"]),
    ("imap::server", &["types", "message", "imap::syntax", "sasl"]),
    ("smtp", &["types", "sasl"]),
    ("pop3", &["types", "message", "sasl"]),
    ("journal", &["types"]),
    ("merge", &["types", "journal"]),
    ("store", &["types", "message", "journal", "merge", "outbox::sender"]),
    ("sync", &["types", "message", "journal", "merge", "store"]),
    ("outbox", &["types", "message", "journal", "store"]),
    ("upstream", &["types", "message", "imap::syntax", "sasl", "sync", "outbox"]),
    ("serve", &["types", "message", "imap", "sasl", "smtp", "pop3", "journal", "store", "outbox"]),
    ("net", &["types"]),
    ("control", &["types"]),
    ("config", &["types", "smtp::address"]),
    ("agent", &["*"]),
    ("refserver", &["*"]),
    ("cli", &["*"]),
];

/// Words that only some rooms may say, each with those rooms.
const BANNED: &[(&str, &[&str])] = &[
    ("tokio", &["net", "upstream", "control", "agent", "refserver", "cli"]),
    ("SystemTime::now", &["net", "agent", "refserver", "cli"]),
    ("std::env::", &["agent", "refserver", "cli"]),
    ("getrandom", &["net", "agent", "refserver", "cli"]),
    ("rusqlite", &["store"]),
    ("async_imap", &["upstream"]),
    ("async_smtp", &["upstream"]),
    ("println!", &["cli"]),
];

#[test]
fn every_room_uses_only_the_rooms_it_may() {
    let mut wrong = Vec::new();
    for (path, room) in sources() {
        let (name, allowed) = ROOMS[room];
        for used in used_rooms(&fs::read_to_string(&path).expect("a readable source")) {
            let may =
                allowed.contains(&"*") || is_within(&used, name) || allowed.iter().any(|room| is_within(&used, room));
            if !may {
                wrong.push(format!("{}: `{name}` may not use `{used}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_of_the_outer_world_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (path, room) in sources() {
        let name = ROOMS[room].0;
        let text = fs::read_to_string(&path).expect("a readable source");
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (word, rooms) in BANNED {
                if line.contains(word) && !rooms.contains(&name) {
                    wrong.push(format!("{}: `{name}` may not say `{word}`: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_source_file_is_reached_by_a_mod() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut lost = Vec::new();
    for path in rust_files(&root) {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a readable name");
        let folder = path.parent().expect("a file has a folder");
        if folder == root || folder == root.join("bin") {
            continue;
        }
        let (module, parent) = if stem == "mod" {
            let module = folder.file_name().and_then(|name| name.to_str()).expect("a readable name");
            let above = folder.parent().expect("a folder has a parent");
            (module, if above == root { above.join("lib.rs") } else { above.join("mod.rs") })
        } else {
            (stem, folder.join("mod.rs"))
        };
        let text = fs::read_to_string(&parent).unwrap_or_default();
        if !text
            .lines()
            .any(|line| line.trim_end_matches(';').split_whitespace().last() == Some(module) && line.contains("mod "))
        {
            lost.push(path.display().to_string());
        }
    }
    assert!(lost.is_empty(), "not reached by any mod: {lost:?}");
}

/// Every source file of a room with the room's place in the table.
fn sources() -> Vec<(PathBuf, usize)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let room_of = |path: &Path| {
        let inside = path.strip_prefix(&root).expect("a file below src").with_extension("");
        let module = inside.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("::");
        ROOMS.iter().position(|(room, _)| is_within(&module, room))
    };
    rust_files(&root).into_iter().filter_map(|path| room_of(&path).map(|room| (path, room))).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// `imap::syntax::utf7` is within `imap::syntax` and within `imap`.
fn is_within(module: &str, room: &str) -> bool {
    module == room || module.strip_prefix(room).is_some_and(|rest| rest.starts_with("::"))
}

/// Every path that follows `crate::`, with `use crate::{a, b}` taken apart.
fn used_rooms(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut used = BTreeSet::new();
    for (place, _) in code.match_indices("crate::") {
        let rest = &code[place + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let end = group.find("};").unwrap_or(group.len());
            used.extend(split_top(&group[..end]).into_iter().map(|path| leading_path(path.trim())));
        } else {
            used.insert(leading_path(rest));
        }
    }
    used.remove("");
    used
}

/// Splits at commas that are not within braces.
fn split_top(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (place, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// `imap::syntax::{a, b}` gives `imap::syntax`.
fn leading_path(text: &str) -> String {
    let end = text.find(|character: char| !(character.is_alphanumeric() || character == '_' || character == ':'));
    text[..end.unwrap_or(text.len())].trim_end_matches(':').to_owned()
}
