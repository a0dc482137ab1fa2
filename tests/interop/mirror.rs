//! Everything mirrored from a real server, then both sides changed while the line is cut, then joined.

use crate::load::{FOLDERS, PLAIN_FOLDERS};
use crate::support::corpus;
use crate::support::cyrus::Names;
use crate::support::dovecot::Options;
use crate::support::server::Kind;
use crate::world::{Scale, World};

/// What a long time offline leaves behind.
const LONG_OFFLINE: Scale = Scale {
    flags: 500,
    moves: 200,
    deletes: 100,
    appends: 50,
    folders: 3,
    renames: 2,
    submissions: 20,
    server_new: 100,
    server_flags: 100,
};

const SHORT_OFFLINE: Scale = Scale {
    flags: 60,
    moves: 30,
    deletes: 15,
    appends: 10,
    folders: 2,
    renames: 1,
    submissions: 3,
    server_new: 15,
    server_flags: 15,
};

/// The demonstration's mail alone is too little for all that: each message again under other numbers.
fn mail() -> Vec<Vec<u8>> {
    let mut messages = corpus::all();
    messages.extend((1_000_000..).take(1200_usize.saturating_sub(messages.len())).map(corpus::small));
    messages
}

#[test]
fn a_whole_corpus_is_mirrored_from_dovecot_and_both_sides_are_equal_after_a_long_time_offline() {
    let kind = Kind::Dovecot(Options { delimiter: '.', ..Options::default() });
    are_equal_after_a_time_offline(&kind, &FOLDERS, &mail(), 1, LONG_OFFLINE);
}

#[test]
fn a_whole_corpus_is_mirrored_from_cyrus_and_both_sides_are_equal_after_a_long_time_offline() {
    are_equal_after_a_time_offline(&Kind::Cyrus(Names::BelowInbox), &PLAIN_FOLDERS, &mail(), 11, LONG_OFFLINE);
}

#[test]
fn a_whole_corpus_is_mirrored_from_courier_and_both_sides_are_equal_after_a_long_time_offline() {
    are_equal_after_a_time_offline(&Kind::Courier, &PLAIN_FOLDERS, &mail(), 12, LONG_OFFLINE);
}

/// A server of 2003: everything is found by looking.
#[test]
fn a_server_without_extensions_is_mirrored_and_equal_after_a_time_offline() {
    let kind = Kind::Dovecot(Options {
        delimiter: '/',
        without: &[
            "UIDPLUS",
            "MOVE",
            "CONDSTORE",
            "QRESYNC",
            "ENABLE",
            "ESEARCH",
            "LIST-STATUS",
            "LIST-EXTENDED",
            "IDLE",
        ],
        ..Options::default()
    });
    let mail: Vec<_> = corpus::demo().into_iter().chain((0..120).map(corpus::small)).collect();
    are_equal_after_a_time_offline(&kind, &FOLDERS, &mail, 2, SHORT_OFFLINE);
}

fn are_equal_after_a_time_offline(kind: &Kind, folders: &[&str], mail: &[Vec<u8>], seed: u64, scale: Scale) {
    let Some(mut world) = World::mirrored(kind, folders, mail, seed) else { return };
    world.act(scale);
    world.join();
    let mut delivered = world.await_settled();
    delivered.sort();
    assert_eq!(delivered, world.submitted(), "each submitted message is delivered once");
    let conflicts = world.agent.account()["conflicts"].as_u64();
    assert_eq!(conflicts, Some(0), "{}", world.agent.ctl_ok(&["conflicts"]));
}
