//! Mailtide: an offline-first mail sync agent.
//!
//! `syncd` mirrors a person's mailboxes into a local store, serves that store to any mail client on localhost, journals
//! what the client does while offline and replays it upstream; `refserver` is a complete small mail server built from
//! the same parts; `syncctl` shows and steers the daemon.
//!
//! # The house
//!
//! Four kinds of code. **Languages** turn bytes into values and back. **Conversations** are protocol sessions as values:
//! bytes and events in, bytes out. **Decisions** say what the truth is when two copies differ and which steps follow.
//! **Effects** are the store, the net, and the roots that wire the rest. The first three are pure: no socket, no clock,
//! no disk. A module uses only modules above it in this list (`tests/it/house.rs` holds the exact table):
//!
//! - [`types`]: ids, flags, names, sets, dates, secrets, every limit by name.
//! - [`message`]: reading mail: structure, envelope, sections, search.
//! - [`imap`]: the grammar (`syntax`) and the one engine (`server`) over its `Backend` seam.
//! - [`sasl`], [`smtp`], [`pop3`]: mechanisms, grammars, server sessions.
//! - [`journal`]: offline actions as values.
//! - [`merge`]: what becomes of one message when both sides changed it.
//! - [`store`]: the one SQLite store, every write with its origin, and with the eyes of who may do what (`rights`); beside
//!   it the bytes of messages (`packs`) and the index of what they say.
//! - [`sync`]: recover, pull, push, guard, over its `Remote` seam; `maildrop` for POP3; `stock` for bodies fetched later.
//! - [`outbox`]: what to send next and when, over its `Sender` seam.
//! - [`upstream`]: the servers we are a client of; implements those seams, and asks by HTTP.
//! - [`serve`]: where protocols meet the store: the one `Backend`; others' mailboxes by name (`neighbours`, `acl`) and
//!   mailboxes that are labels of one message (`labels`).
//! - [`net`]: listeners, TLS, the pump that drives any session, clock, shutdown.
//! - [`control`], [`config`]: what syncctl and syncd say to each other; the one typed configuration.
//! - [`agent`], [`refserver`], [`cli`]: the roots of the three programs. Retention, relay and faults are refserver's.
//!
//! # Invariants
//!
//! 1. A local change and its journal entry commit together or not at all; the client is answered after the commit is
//!    durable.
//! 2. No message is ever lost: one leaves the store only when upstream confirmed its deletion or the user's own deletion
//!    was confirmed upstream, and its bytes stay recoverable for `recovery-days`.
//! 3. No message is ever doubled, on either side, by any crash or cut at any byte.
//! 4. The bytes of a message are never altered; no marker header is ever added.
//! 5. A (UIDVALIDITY, UID) once shown to a client never names another message; local UIDVALIDITY does not change when
//!    upstream's does.
//! 6. An intent is durable before its effect is tried; its outcome is durable before the next dependent one.
//! 7. A failed or partial listing is never read as a deletion.
//! 8. Input never panics; every buffer, literal, line, queue and attempt count has a named limit.
//! 9. Outside `net`, `upstream` and the roots nothing knows the async runtime, and outside the roots nothing reads a wall
//!    clock, an environment variable or randomness: these are arguments.
//! 10. A secret cannot be printed by any build.
//! 11. One bad message or operation never blocks the rest of its account: it parks, visibly.
//! 12. Sequence numbers a client holds change only when the protocol allows it.
//!
//! # Deliberately absent
//!
//! No `unsafe`, no global state, no marker headers, no database server, no plug-ins.

#![forbid(unsafe_code)]

pub mod agent;
pub mod cli;
pub mod config;
pub mod control;
pub mod imap;
pub mod journal;
pub mod merge;
pub mod message;
pub mod net;
pub mod outbox;
pub mod pop3;
pub mod refserver;
pub mod sasl;
pub mod serve;
pub mod smtp;
pub mod store;
pub mod sync;
pub mod types;
pub mod upstream;
