//! Many random clients on both sides of a line that breaks at random, for a long time: in the end both sides are equal, nothing
//! was lost or doubled, the store is sound, and the agent's memory did not grow.
//!
//! Some seconds in the usual tests; the full run is `MAILTIDE_SOAK_SECONDS=1800 cargo test --test interop soak --
//! --nocapture`, with `MAILTIDE_SOAK_SEED` for another one.

use std::collections::BTreeSet;
use std::sync::RwLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::load::FOLDERS;
use crate::support::agent::Agent;
use crate::support::corpus;
use crate::support::dovecot::Options;
use crate::support::random::Random;
use crate::support::server::Kind;
use crate::support::snapshot;
use crate::support::wait::{SOON, wait_until};
use crate::world::World;

use client::{Client, Side, delete_folder};
use ledger::Ledger;

mod client;
mod doubled;
mod ledger;
mod logs;
mod taken;

const SECONDS: u64 = 12;
const SEED: u64 = 1;
const CLIENTS_OF_A_SIDE: u64 = 3;

/// How long one kind of weather lasts, at most.
const WEATHER_MAX_MS: u64 = 3_000;

/// Within so many bytes a connection dies in such weather, and so often at most it is tried again.
const CUT_WITHIN_BYTES: u64 = 50_000;
const TRIES_MAX: u64 = 6;

const SAMPLED_EACH: Duration = Duration::from_millis(250);

/// The memory of the last third of the time may be so much more than that of the middle third: what an allocator and SQLite's
/// caches keep varies.
const GROWTH_MAX_KIB: u64 = 8 * 1024;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn random_clients_on_both_sides_of_a_line_that_breaks_end_equal_with_flat_memory() {
    let (seconds, seed) = (number("MAILTIDE_SOAK_SECONDS", SECONDS), number("MAILTIDE_SOAK_SEED", SEED));
    println!("MAILTIDE_SOAK_SEED={seed}");
    let mail: Vec<_> = corpus::demo().into_iter().chain((0..160).map(corpus::small)).collect();
    let Some(mut world) =
        World::mirrored(&Kind::Dovecot(Options { logs_mail: true, ..Options::default() }), &FOLDERS, &mail, seed)
    else {
        return;
    };
    world.agent.stop();
    world.agent.start_with(|syncd| _ = syncd.env("RUST_LOG", "info,mailtide::sync=debug"));
    let ledger = Ledger::of(&snapshot::take(&mut world.server()));
    let side = |name, connect| Side { name, connect, folders: RwLock::new(()), ledger: &ledger };
    let sides = [side("local", Box::new(|| world.local())), side("server", Box::new(|| world.server()))];
    let ends = Instant::now() + Duration::from_secs(seconds);
    let memory = std::thread::scope(|scope| {
        let clients = sides.iter().flat_map(|side| (0..CLIENTS_OF_A_SIDE).map(move |number| (side, number)));
        let clients: Vec<_> = clients
            .map(|(side, number)| {
                let seed = seed.wrapping_mul(1000) + number + if side.name == "local" { 0 } else { 100 };
                (side.name, scope.spawn(move || Client::new(side, seed).run(ends)))
            })
            .collect();
        scope.spawn(|| weather(&world, &sides, Random::new(seed), ends));
        let memory = sample(&world.agent, ends);
        for (side, client) in clients {
            println!("{side}: {} acts", client.join().expect("a client that does not panic"));
        }
        memory
    });
    println!("{} cuts within a connection", world.imap_line.cuts());
    settle(&world);
    let (server, local) = (snapshot::take(&mut world.server()), snapshot::take(&mut world.local()));
    assert!(server == local, "both sides are quiet:\n{}", snapshot::tell(&server, &local));
    let log = world.upstream.log();
    let doubled = doubled::by_others(&log);
    let said = world.agent.log();
    let taken = |id: &str| {
        let taken = taken::of_others(&said, &log, id, &copies(&world.agent, id));
        println!("of {id} the agent took {taken} that others put there for what it had sent");
        taken
    };
    let wrong = ledger.wrong(&server, &doubled, taken);
    wrong.iter().for_each(|(id, what)| tell(&world, &log, id.as_deref(), what));
    assert!(wrong.is_empty(), "{} of the messages: {wrong:#?}", wrong.len());
    // What is parked is for the user to decide, and so not all is settled.
    let verified = world.agent.ctl(&["verify", "--json"]);
    let verified: Value = serde_json::from_str(&verified.out).unwrap_or_else(|error| panic!("{error}: {verified:?}"));
    let account = &verified["accounts"][0];
    assert_eq!((&verified["store"], &account["differences"]), (&json!([]), &json!([])), "the store is sound");
    is_flat(&memory);
}

/// The messages at the agent that have, or had, that Message-ID.
fn copies(agent: &Agent, id: &str) -> BTreeSet<u64> {
    let told: Value = serde_json::from_str(&agent.ctl_ok(&["why", id, "--json"])).expect("JSON");
    told["copies"].as_array().into_iter().flatten().filter_map(|copy| copy["id"].as_u64()).collect()
}

/// What can be found out about a message of which something is wrong.
fn tell(world: &World, log: &str, id: Option<&str>, what: &str) {
    println!("{what}");
    let Some(id) = id else { return };
    log.lines().filter(|line| line.contains(id)).for_each(|line| println!("{line}"));
    println!("{}", world.agent.ctl(&["why", id, "--json"]).out);
    let kept = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, log) in [("soak-dovecot.log", log), ("soak-syncd.log", &world.agent.log())] {
        std::fs::write(kept.join(name), log).expect("a writable folder");
    }
    println!("all that both sides said is in {}", kept.display());
}

/// What befalls the line.
fn weather(world: &World, sides: &[Side<'_>; 2], mut random: Random, ends: Instant) {
    let line = &world.imap_line;
    while Instant::now() < ends {
        let lasts = Duration::from_millis(random.below(WEATHER_MAX_MS));
        match random.below(6) {
            0 | 1 => cut_often(world, &mut random),
            2 => line.break_connections(),
            3 => {
                line.cut();
                delete_folder(&sides[random.index(sides.len())], &mut random);
            }
            4 => line.stall(),
            _ => line.set_delay(Duration::from_millis(random.below(20))),
        }
        std::thread::sleep(lasts);
        line.stop_cutting();
        line.set_delay(Duration::ZERO);
        line.join();
        // As people do who see that they are online again.
        world.agent.ctl_ok(&["sync"]);
        std::thread::sleep(Duration::from_millis(random.below(WEATHER_MAX_MS)));
    }
}

/// Each connection dies after some bytes, and the agent tries again.
fn cut_often(world: &World, random: &mut Random) {
    let line = &world.imap_line;
    line.cut_each_below(Random::new(random.next()), CUT_WITHIN_BYTES);
    line.break_connections();
    for _ in 0..random.below(TRIES_MAX) {
        // Whether this one succeeds is chance.
        world.agent.ctl(&["sync", "--wait", "--timeout", "2"]);
    }
}

/// The agent's memory all the time, in KiB.
fn sample(agent: &Agent, ends: Instant) -> Vec<u64> {
    let mut memory = Vec::new();
    while Instant::now() < ends {
        memory.push(agent.memory_kib("VmRSS"));
        std::thread::sleep(SAMPLED_EACH);
    }
    memory
}

/// Fair weather, until there is nothing left to do. What upstream deleted in masses was meant so.
fn settle(world: &World) {
    wait_until("nothing to be left to do", SOON, || {
        world.agent.sync();
        let account = world.agent.account();
        if account["state"] == "blocked" {
            world.agent.ctl_ok(&["confirm"]);
        }
        account["state"] != "blocked" && world.agent.unsettled() == 0
    });
    println!("parked:\n{}", world.agent.ctl_ok(&["journal", "list"]));
    world.await_equal();
}

fn is_flat(memory: &[u64]) {
    let third = memory.len() / 3;
    let median = |samples: &[u64]| {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    };
    let [first, middle, last] = [&memory[..third], &memory[third..2 * third], &memory[2 * third..]].map(median);
    println!("memory by thirds of the time, medians: {first}, {middle}, {last} KiB of {} samples", memory.len());
    assert!(last <= middle + GROWTH_MAX_KIB, "the agent's memory grows: {first}, {middle}, {last} KiB");
}
