//! The replay of offline work while the agent is killed, or the connection cut, again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::load::{FOLDERS, PLAIN_FOLDERS};
use crate::support::corpus;
use crate::support::cyrus::Names;
use crate::support::dovecot::Options;
use crate::support::random::Random;
use crate::support::server::Kind;
use crate::world::{Scale, World};

/// Small, so that a hundred interruptions fall into replays that are running.
const SHORT_OFFLINE: Scale = Scale {
    flags: 40,
    moves: 25,
    deletes: 10,
    appends: 10,
    folders: 2,
    renames: 1,
    submissions: 3,
    server_new: 10,
    server_flags: 10,
};

fn world(kind: &Kind, seed: u64) -> Option<World> {
    let folders = if matches!(kind, Kind::Dovecot(_)) { &FOLDERS[..] } else { &PLAIN_FOLDERS[..] };
    let mail: Vec<_> = corpus::demo().into_iter().chain((0..160).map(corpus::small)).collect();
    World::mirrored(kind, folders, &mail, seed)
}

#[test]
fn a_replay_to_dovecot_killed_at_a_hundred_random_moments_ends_the_same() {
    kill_replays(&Kind::Dovecot(Options::default()), 7, 100);
}

#[test]
fn a_replay_to_cyrus_killed_at_random_moments_ends_the_same() {
    kill_replays(&Kind::Cyrus(Names::BesideInbox), 17, 25);
}

#[test]
fn a_replay_to_courier_killed_at_random_moments_ends_the_same() {
    kill_replays(&Kind::Courier, 27, 25);
}

#[test]
fn a_replay_to_dovecot_cut_after_random_bytes_a_hundred_times_ends_the_same() {
    cut_replays(&Kind::Dovecot(Options::default()), 8, 100);
}

#[test]
fn a_replay_to_cyrus_cut_after_random_bytes_ends_the_same() {
    cut_replays(&Kind::Cyrus(Names::BelowInbox), 18, 25);
}

#[test]
fn a_replay_to_courier_cut_after_random_bytes_ends_the_same() {
    cut_replays(&Kind::Courier, 28, 25);
}

fn kill_replays(kind: &Kind, seed: u64, wanted: u64) {
    let Some(mut world) = world(kind, seed) else { return };
    let mut random = Random::new(seed);
    let (mut kills, mut rounds) = (0, 0);
    while kills < wanted {
        rounds += 1;
        world.act(SHORT_OFFLINE);
        world.imap_line.set_delay(Duration::from_millis(2));
        world.join();
        // Half of them some bytes into the talk with the server, half at some time after the start.
        while kills < wanted && world.agent.unsettled() > 0 {
            if random.below(2) == 0 {
                let bytes = world.imap_line.bytes() + random.below(20_000);
                world.imap_line.wait_bytes(bytes, Duration::from_millis(500));
            } else {
                std::thread::sleep(Duration::from_millis(random.below(300)));
            }
            world.agent.kill();
            kills += 1;
            world.agent.start();
        }
        world.imap_line.set_delay(Duration::ZERO);
        world.agent.sync();
        let delivered = world.await_settled();
        assert_delivered(&delivered, &world.submitted(), kills);
    }
    println!("{kills} kills in {rounds} rounds");
}

fn cut_replays(kind: &Kind, seed: u64, wanted: u64) {
    let Some(mut world) = world(kind, seed) else { return };
    let mut rounds = 0;
    while world.imap_line.cuts() < wanted {
        rounds += 1;
        world.act(SHORT_OFFLINE);
        world.imap_line.cut_each_below(Random::new(seed + rounds), 8_000);
        world.join();
        while world.imap_line.cuts() < wanted && world.agent.unsettled() > 0 {
            // Whether this one succeeds is chance; it must come back either way.
            world.agent.ctl(&["sync", "--wait", "--timeout", "10"]);
        }
        world.imap_line.stop_cutting();
        world.imap_line.break_connections();
        world.agent.sync();
        let delivered = world.await_settled();
        assert_delivered(&delivered, &world.submitted(), 0);
    }
    println!("{} cuts in {rounds} rounds", world.imap_line.cuts());
}

/// Every message, and none twice; but a client killed between the final dot and the answer must send again
/// (RFC 5321 section 4.5.4.1), so as many may come twice as there were kills, under the same Message-ID.
fn assert_delivered(delivered: &[String], submitted: &[String], kills: u64) {
    let mut counts: BTreeMap<&String, u64> = BTreeMap::new();
    for id in delivered {
        *counts.entry(id).or_default() += 1;
    }
    assert_eq!(counts.keys().map(|id| (*id).clone()).collect::<Vec<_>>(), submitted);
    let again = counts.values().map(|count| count - 1).sum::<u64>();
    assert!(again <= kills, "{again} messages were delivered again with {kills} kills: {delivered:?}");
}
