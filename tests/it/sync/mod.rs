//! The sync engine between a real store and a model of a server.

mod appends;
mod backlog;
mod basics;
mod bodies;
mod catch;
mod chance;
mod equals;
mod folders;
mod guard;
mod labels;
mod maildrop;
mod maildrop_bodies;
mod meanwhile;
mod mirror;
mod model_remote;
mod omissions;
mod one_message;
mod policy;
mod servers;
mod table;
mod taken_back;
mod ways_out;
mod world;

use mailtide::types::{Flag, Flags};

/// The bytes of a message that is known by its subject.
fn mail(subject: &str) -> Vec<u8> {
    format!(
        "Message-ID: <{subject}@example.org>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nFrom: a@example.org\r\n\
         Subject: {subject}\r\n\r\nThis is {subject}.\r\n"
    )
    .into_bytes()
}

fn flags(text: &str) -> Flags {
    text.split_whitespace().filter_map(Flag::parse).collect()
}
