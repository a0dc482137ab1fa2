//! A story of folders changed on both sides while the line is cut: what each side does, and how it must end.

use std::collections::BTreeMap;

use super::agent::Agent;
use super::corpus;
use super::imap::Imap;
use super::proxy::Proxy;
use super::snapshot;
use super::wait::{SOON, wait_until};

/// Folders in the end, each with the numbers of its messages.
const END: &[(&str, &[u64])] = &[
    ("Again", &[2, 20, 21]),
    ("Kept", &[1]),
    ("Mother", &[4]),
    ("Mother/child", &[23]),
    ("Mother/twin", &[24, 25]),
    ("Wanted", &[22]),
    ("Wanted (2)", &[3]),
];

const CONFLICTS: &[&str] = &["folder-deleted-new-mail", "folder-renamed-gone", "folder-renamed-name-taken"];

/// Before the line is cut.
pub fn fill(there: &mut Imap) {
    for (name, number) in [("Gone", 1), ("Again", 2), ("Other", 3), ("Parent", 4)] {
        there.ok(&format!("CREATE {name}"));
        put(there, name, number);
    }
}

/// Cuts the line, lets both sides act, joins it, and checks the end. `delimiter` is the server's.
pub fn tell(agent: &Agent, line: &Proxy, here: &mut Imap, there: &mut Imap, delimiter: char) {
    line.cut();
    act_here(here);
    act_there(there, delimiter);
    line.join();
    agent.sync();
    wait_until("nothing to be left to do", SOON, || agent.unsettled() == 0);
    agent.sync();
    let (here, there) = (snapshot::take(here), snapshot::take(there));
    assert_eq!(here, there, "{}", snapshot::tell(&here, &there));
    for (name, numbers) in END {
        let hashes = |numbers: &[u64]| -> Vec<String> {
            numbers.iter().map(|number| snapshot::hash(&corpus::small(*number))).collect()
        };
        let (mut wanted, found) = (hashes(numbers), here.get(*name));
        let mut found: Vec<String> =
            found.unwrap_or_else(|| panic!("no {name}")).iter().map(|entry| entry.hash.clone()).collect();
        wanted.sort();
        found.sort();
        assert_eq!(found, wanted, "{name}");
    }
    let kinds = agent.ctl_json(&["conflicts", "--json"]);
    let kinds = kinds.as_array().expect("a list").iter().map(|conflict| conflict["kind"].as_str().expect("a kind"));
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    kinds.for_each(|kind| *counted.entry(kind).or_default() += 1);
    assert_eq!(counted, CONFLICTS.iter().map(|kind| (*kind, 1)).collect());
}

fn act_here(here: &mut Imap) {
    here.ok("RENAME Gone Kept");
    here.ok("DELETE Again");
    here.ok("CREATE Again");
    put(here, "Again", 20);
    here.ok("RENAME Other Wanted");
    here.ok("RENAME Parent Mother");
    here.ok("CREATE Mother/twin");
    put(here, "Mother/twin", 24);
}

fn act_there(there: &mut Imap, delimiter: char) {
    there.ok("DELETE Gone");
    put(there, "Again", 21);
    there.ok("CREATE Wanted");
    put(there, "Wanted", 22);
    for (name, number) in [("child", 23), ("twin", 25)] {
        there.ok(&format!("CREATE Parent{delimiter}{name}"));
        put(there, &format!("Parent{delimiter}{name}"), number);
    }
}

fn put(imap: &mut Imap, name: &str, number: u64) {
    imap.append(name, &[], 1_000_000_000, &corpus::small(number));
}
