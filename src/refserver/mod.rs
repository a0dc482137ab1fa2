//! The root of refserver: users, listeners, delivery, relay.
