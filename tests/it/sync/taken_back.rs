//! What the user takes back while it is on its way, or of which only a part is taken back.

use mailtide::journal::{Entry, Op, State};
use mailtide::store::{Error, Origin};

use super::model_remote::{Cut, Traits};
use super::servers::with_mail;
use super::world::World;

fn entries(world: &World, is_meant: impl Fn(&Entry) -> bool) -> Vec<Entry> {
    let mut entries = world.read(|reader| reader.entries(world.account));
    entries.retain(is_meant);
    entries
}

/// One command does several acts; the answer to it is lost.
#[test]
fn an_act_that_is_on_its_way_with_another_is_not_taken_back() {
    let acts: [fn(&World, &str); 2] =
        [|world, text| world.move_message("INBOX", text, "B"), |world, text| world.copy("INBOX", text, "B")];
    for (traits, act) in Traits::all().into_iter().flat_map(|traits| acts.map(|act| (traits.clone(), act))) {
        let mut seen = 0;
        for call in 1.. {
            let mut world = with_mail(traits.clone());
            act(&world, "x");
            act(&world, "m");
            let calls = world.server.state().calls;
            world.server.state().cut = Cut::After(calls + call);
            if world.sync().is_ok() {
                break;
            }
            world.reopen();
            let is_in_flight = |entry: &Entry| matches!(entry.state, State::InFlight { .. });
            let under_way = entries(&world, is_in_flight);
            for entry in entries(&world, |entry| !is_in_flight(entry)) {
                let discarded = world.try_write(Origin::Upstream, move |txn| txn.discard(entry.id));
                assert_eq!(discarded.is_err(), !under_way.is_empty(), "cut after call {call}");
                if let Err(error) = discarded {
                    assert!(matches!(error, Error::Cannot(_)), "{error}");
                    seen += 1;
                }
            }
            world.settle();
            assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()), "cut after call {call}");
            world.assert_sound();
        }
        assert!(seen > 0, "some cut is in time");
    }
}

/// The flags that came before it, or after it, are another act.
#[test]
fn an_act_on_the_place_alone_is_taken_back_though_flags_of_the_message_wait() {
    let acts: [fn(&World); 3] = [
        |world| world.expunge("INBOX", "m"),
        |world| {
            world.flag("INBOX", "m", "\\Seen", "");
            world.move_message("INBOX", "m", "B");
        },
        |world| {
            world.move_message("INBOX", "m", "B");
            world.flag("B", "m", "\\Seen", "");
        },
    ];
    for (traits, act) in Traits::all().into_iter().flat_map(|traits| acts.map(|act| (traits.clone(), act))) {
        let world = with_mail(traits);
        act(&world);
        for entry in entries(&world, |entry| !matches!(entry.op, Op::Flags { .. })) {
            world.write(Origin::Upstream, move |txn| txn.discard(entry.id));
        }
        world.assert_sound();
        world.settle();
        assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()));
        assert!(world.here().contains("INBOX: m("), "{}", world.here());
        world.assert_sound();
    }
}
