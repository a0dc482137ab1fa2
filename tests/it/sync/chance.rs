//! Random acts on both sides, cut at random: in the end both sides are equal, and nothing is lost or doubled.

use std::collections::BTreeMap;

use proptest::prelude::*;

use mailtide::store::Verdict;
use mailtide::types::{Flags, SystemFlag, Timestamp};

use super::model_remote::{Cut, Traits};
use super::world::{NOW_MS, World};

const FOLDERS: [&str; 3] = ["INBOX", "B", "C"];
const FLAGS: [&str; 3] = ["\\Seen", "\\Flagged", "work"];

#[derive(Debug, Clone)]
enum Act {
    Append { to: usize },
    Flag { pick: usize, flag: usize, set: bool },
    Move { pick: usize, to: usize },
    Copy { pick: usize, to: usize },
    Expunge { pick: usize },
}

#[derive(Debug, Clone)]
enum Turn {
    Here(Act),
    There(Act),
    Sync {
        cut: Option<(usize, bool)>,
    },
    /// The messages of a mailbox get other UIDs.
    Renumber {
        folder: usize,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let pick = 0..1000_usize;
    prop_oneof![
        2 => (0..3_usize).prop_map(|to| Act::Append { to }),
        3 => (pick.clone(), 0..3_usize, any::<bool>()).prop_map(|(pick, flag, set)| Act::Flag { pick, flag, set }),
        3 => (pick.clone(), 0..3_usize).prop_map(|(pick, to)| Act::Move { pick, to }),
        1 => (pick.clone(), 0..3_usize).prop_map(|(pick, to)| Act::Copy { pick, to }),
        1 => pick.prop_map(|pick| Act::Expunge { pick }),
    ]
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        6 => act().prop_map(Turn::Here),
        4 => act().prop_map(Turn::There),
        3 => proptest::option::weighted(0.8, (1..40_usize, any::<bool>())).prop_map(|cut| Turn::Sync { cut }),
        1 => (0..3_usize).prop_map(|folder| Turn::Renumber { folder }),
    ]
}

/// Kept beside the acts: how often each message was made, and how often one was expunged.
#[derive(Default)]
struct Ledger {
    next: usize,
    made: BTreeMap<String, usize>,
    expunged: BTreeMap<String, usize>,
    /// Moved by someone between our COPY and our EXPUNGE, where the server has no MOVE: both may stay.
    moved_meanwhile: BTreeMap<String, usize>,
    /// Copied by someone while an answer to us was lost: nobody can tell their copy from ours.
    copied_meanwhile: BTreeMap<String, usize>,
}

impl Ledger {
    fn make(&mut self) -> String {
        self.next += 1;
        let text = format!("m{}", self.next);
        self.made.insert(text.clone(), 1);
        text
    }
}

fn here(world: &World, ledger: &mut Ledger, act: &Act) {
    let all: Vec<(String, String)> = messages(&world.here());
    let picked = |pick: usize| (!all.is_empty()).then(|| all[pick % all.len()].clone());
    match *act {
        Act::Append { to } => world.append(FOLDERS[to], &ledger.make(), ""),
        Act::Flag { pick, flag, set } => {
            if let Some((folder, text)) = picked(pick) {
                let (add, remove) = if set { (FLAGS[flag], "") } else { ("", FLAGS[flag]) };
                world.flag(&folder, &text, add, remove);
            }
        }
        Act::Move { pick, to } => {
            if let Some((folder, text)) = picked(pick).filter(|(folder, _)| folder != FOLDERS[to]) {
                world.move_message(&folder, &text, FOLDERS[to]);
            }
        }
        Act::Copy { pick, to } => {
            if let Some((folder, text)) = picked(pick) {
                world.copy(&folder, &text, FOLDERS[to]);
                *ledger.made.entry(text).or_default() += 1;
            }
        }
        Act::Expunge { pick } => {
            if let Some((folder, text)) = picked(pick) {
                world.expunge(&folder, &text);
                *ledger.expunged.entry(text).or_default() += 1;
            }
        }
    }
}

/// What we have marked for EXPUNGE is not copied or moved: without UIDPLUS it would bar the mailbox it comes into.
fn there(world: &World, ledger: &mut Ledger, act: &Act) {
    let mut all = Vec::new();
    for (name, mailbox) in &world.server.state().mailboxes {
        for (uid, message) in &mailbox.messages {
            let text = String::from_utf8(message.bytes.clone()).expect("an ASCII message");
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).expect("a subject").to_owned();
            all.push((name.clone(), *uid, subject, message.flags.clone()));
        }
    }
    let picked = |pick: usize| (!all.is_empty()).then(|| all[pick % all.len()].clone());
    match *act {
        Act::Append { to } => {
            world.server.deliver(FOLDERS[to], &ledger.make(), "\\Seen");
        }
        Act::Flag { pick, flag, set } => {
            if let Some((folder, uid, _, flags)) = picked(pick) {
                let flag = super::flags(FLAGS[flag]);
                let flags = if set { flags.union(&flag) } else { flags.difference(&flag) };
                world.server.set_flags(&folder, uid, &flags.to_string());
            }
        }
        Act::Move { pick, to } => {
            let movable = |(folder, _, _, flags): &(String, u32, String, Flags)| {
                folder != FOLDERS[to] && !flags.has(SystemFlag::Deleted)
            };
            if let Some((folder, uid, text, _)) = picked(pick).filter(movable) {
                let is_atomic = world.server.state().traits.facts.r#move;
                if !is_atomic && is_in_doubt(world) {
                    *ledger.moved_meanwhile.entry(text).or_default() += 1;
                }
                world.server.move_message(&folder, uid, FOLDERS[to]);
            }
        }
        Act::Copy { pick, to } => {
            let is_unmarked = |(.., flags): &(String, u32, String, Flags)| !flags.has(SystemFlag::Deleted);
            if let Some((folder, uid, text, _)) = picked(pick).filter(is_unmarked) {
                world.server.copy(&folder, uid, FOLDERS[to]);
                if is_in_doubt(world) {
                    *ledger.copied_meanwhile.entry(text.clone()).or_default() += 1;
                }
                *ledger.made.entry(text).or_default() += 1;
            }
        }
        Act::Expunge { pick } => {
            if let Some((folder, uid, text, _)) = picked(pick) {
                world.server.expunge(&folder, uid);
                *ledger.expunged.entry(text).or_default() += 1;
            }
        }
    }
}

/// Was an answer lost, so that we do not know what we did?
fn is_in_doubt(world: &World) -> bool {
    world.journal().iter().any(|entry| entry.contains("InFlight"))
}

/// (mailbox, subject) of everything told by [`World::here`].
fn messages(told: &str) -> Vec<(String, String)> {
    let words = |line: &str| {
        let (folder, words) = line.split_once(':').expect("a line of a mailbox");
        let subjects = words.split([' ', '(', ')']).filter(|word| word.strip_prefix('m').is_some_and(is_number));
        subjects.map(|subject| (folder.to_owned(), subject.to_owned())).collect::<Vec<_>>()
    };
    told.lines().flat_map(words).collect()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where every mailbox was renumbered and nothing is found again, the user is asked whether that is the server it was.
fn confirm(world: &World) {
    world.server.state().cut = Cut::Never;
    world.sync().expect("a sync");
    let quarantined = world.read(|reader| reader.quarantined(world.account));
    for mailbox in quarantined.into_iter().map(|quarantine| quarantine.mailbox) {
        let now = Timestamp::from_unix_ms(NOW_MS);
        world.engine().decide(mailbox, Verdict::Confirmed, now).expect("a decision");
    }
}

fn run(traits: Traits, turns: &[Turn]) {
    let mut world = World::new(traits);
    let mut ledger = Ledger::default();
    world.server.create("B");
    world.server.create("C");
    for nth in 0..4 {
        let text = ledger.make();
        world.server.deliver(FOLDERS[nth % 2], &text, "");
    }
    world.settle();
    for turn in turns {
        match turn {
            Turn::Here(act) => here(&world, &mut ledger, act),
            Turn::There(act) => there(&world, &mut ledger, act),
            Turn::Renumber { folder } => world.server.renumber(FOLDERS[*folder]),
            Turn::Sync { cut } => {
                let calls = world.server.state().calls;
                world.server.state().cut = match cut {
                    Some((n, true)) => Cut::Before(calls + n),
                    Some((n, false)) => Cut::After(calls + n),
                    None => Cut::Never,
                };
                let _ = world.sync();
                world.reopen();
                world.assert_sound();
            }
        }
    }
    confirm(&world);
    world.settle();
    world.assert_sound();
    assert_eq!(world.here(), world.there());
    assert_eq!(world.journal(), Vec::<String>::new());
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (_, text) in messages(&world.there()) {
        *counts.entry(text).or_default() += 1;
    }
    for (text, made) in &ledger.made {
        let of = |counts: &BTreeMap<String, usize>| counts.get(text).copied().unwrap_or(0);
        let (count, expunged) = (of(&counts), of(&ledger.expunged));
        let (many, few) = (made + of(&ledger.moved_meanwhile), made - of(&ledger.copied_meanwhile));
        assert!(count <= many, "{text} was made {made} times and is there {count} times");
        assert!(count + expunged >= few, "{text} was made {made} times, expunged {expunged}: {count} are there");
    }
}

/// A dozen each time; `MAILTIDE_CHANCE_CASES` asks for a longer run.
fn cases() -> u32 {
    std::env::var("MAILTIDE_CHANCE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_sides_become_equal_with_qresync_and_move(turns in proptest::collection::vec(turn(), 1..30)) {
        run(Traits::modern(), &turns);
    }

    #[test]
    fn both_sides_become_equal_with_condstore_and_uidplus(turns in proptest::collection::vec(turn(), 1..30)) {
        run(Traits::middling(), &turns);
    }

    #[test]
    fn both_sides_become_equal_on_a_plain_server(turns in proptest::collection::vec(turn(), 1..30)) {
        run(Traits::plain(), &turns);
    }
}

#[test]
fn what_chance_found_once_stays_right() {
    let found: &[&[Turn]] = &[
        &[
            Turn::Here(Act::Copy { pick: 0, to: 0 }),
            Turn::Here(Act::Move { pick: 406, to: 2 }),
            Turn::Here(Act::Flag { pick: 926, flag: 0, set: true }),
        ],
        &[
            Turn::Here(Act::Move { pick: 634, to: 1 }),
            Turn::Sync { cut: Some((13, false)) },
            Turn::Renumber { folder: 0 },
        ],
        &[
            Turn::Here(Act::Append { to: 1 }),
            Turn::Sync { cut: Some((3, false)) },
            Turn::There(Act::Move { pick: 307, to: 2 }),
        ],
        &[
            Turn::There(Act::Move { pick: 520, to: 2 }),
            Turn::Here(Act::Move { pick: 217, to: 2 }),
            Turn::Sync { cut: Some((15, false)) },
            Turn::There(Act::Flag { pick: 232, flag: 0, set: true }),
        ],
        &[
            Turn::There(Act::Append { to: 0 }),
            Turn::There(Act::Append { to: 0 }),
            Turn::There(Act::Move { pick: 962, to: 1 }),
            Turn::Sync { cut: Some((11, false)) },
            Turn::There(Act::Move { pick: 476, to: 0 }),
        ],
        &[
            Turn::Here(Act::Move { pick: 398, to: 1 }),
            Turn::Here(Act::Append { to: 0 }),
            Turn::Here(Act::Append { to: 0 }),
            Turn::There(Act::Move { pick: 442, to: 2 }),
            Turn::Sync { cut: Some((13, false)) },
            Turn::Here(Act::Move { pick: 156, to: 0 }),
        ],
        &[
            Turn::There(Act::Append { to: 0 }),
            Turn::There(Act::Expunge { pick: 836 }),
            Turn::Here(Act::Copy { pick: 823, to: 1 }),
            Turn::Here(Act::Move { pick: 392, to: 2 }),
            Turn::Renumber { folder: 0 },
            Turn::Here(Act::Flag { pick: 428, flag: 0, set: true }),
            Turn::Here(Act::Expunge { pick: 235 }),
            Turn::Sync { cut: Some((33, false)) },
            Turn::Here(Act::Move { pick: 130, to: 2 }),
        ],
        &[
            Turn::Here(Act::Move { pick: 380, to: 2 }),
            Turn::Sync { cut: Some((4, true)) },
            Turn::There(Act::Append { to: 0 }),
            Turn::There(Act::Copy { pick: 720, to: 0 }),
            Turn::Here(Act::Append { to: 0 }),
        ],
        &[
            Turn::There(Act::Expunge { pick: 0 }),
            Turn::There(Act::Expunge { pick: 0 }),
            Turn::Renumber { folder: 0 },
            Turn::Renumber { folder: 1 },
            Turn::There(Act::Expunge { pick: 0 }),
            Turn::There(Act::Expunge { pick: 0 }),
            Turn::Renumber { folder: 2 },
        ],
        &[
            Turn::Here(Act::Expunge { pick: 705 }),
            Turn::There(Act::Expunge { pick: 380 }),
            Turn::Here(Act::Move { pick: 13, to: 1 }),
            Turn::Here(Act::Flag { pick: 410, flag: 0, set: true }),
            Turn::Sync { cut: Some((24, false)) },
            Turn::There(Act::Expunge { pick: 953 }),
        ],
        &[
            Turn::Here(Act::Append { to: 0 }),
            Turn::There(Act::Expunge { pick: 24 }),
            Turn::Here(Act::Append { to: 0 }),
            Turn::Here(Act::Expunge { pick: 0 }),
            Turn::There(Act::Move { pick: 13, to: 1 }),
            Turn::Sync { cut: Some((8, false)) },
            Turn::There(Act::Append { to: 0 }),
            Turn::Here(Act::Append { to: 0 }),
            Turn::There(Act::Move { pick: 661, to: 2 }),
            Turn::Here(Act::Move { pick: 105, to: 2 }),
        ],
        &[
            Turn::Here(Act::Expunge { pick: 0 }),
            Turn::There(Act::Copy { pick: 187, to: 0 }),
            Turn::Here(Act::Move { pick: 182, to: 1 }),
            Turn::Sync { cut: Some((22, false)) },
            Turn::Here(Act::Move { pick: 527, to: 1 }),
            Turn::There(Act::Move { pick: 391, to: 2 }),
            Turn::Renumber { folder: 0 },
        ],
    ];
    for turns in found {
        Traits::all().into_iter().for_each(|traits| run(traits, turns));
    }
}
