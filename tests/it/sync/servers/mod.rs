//! Servers that refuse, that cannot, and that have ways of their own.

mod others;
mod refusals;
mod refused_flags;
mod refused_sets;
mod restored;
mod shut;
mod unshown;

use super::model_remote::Traits;
use super::world::World;

/// What someone does.
type Act = fn(&World);

/// A server with mail in INBOX and a mailbox B, mirrored.
pub fn with_mail(traits: Traits) -> World {
    let world = World::new(traits);
    world.server.create("B");
    for text in ["x", "m", "y"] {
        world.server.deliver("INBOX", text, "");
    }
    world.settle();
    world
}
