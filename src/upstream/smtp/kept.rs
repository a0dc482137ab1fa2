//! Connections kept open for the next message to the same server.
//!
//! Rules: a connection is kept only after a message was taken, and only once that is recorded: the next command on it
//! tells the server that we saw its answer. One that turns out to be dead took nothing, and another takes its place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::conversation::Conversation;
use crate::types::limits;
use crate::upstream::dial::Endpoint;

/// Connections nobody uses at this moment. A value shared by all senders of a program.
#[derive(Debug, Clone, Default)]
pub struct Kept(Arc<Mutex<Idle>>);

#[derive(Default)]
struct Idle {
    next: u64,
    /// By host and port, the one used last at the end.
    connections: BTreeMap<(String, u16), Vec<(u64, Conversation)>>,
}

impl Kept {
    /// The one used last: it is the least likely to be closed.
    pub(super) fn take(&self, endpoint: &Endpoint) -> Option<Conversation> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (endpoint.host.clone(), endpoint.port);
        let connections = idle.connections.get_mut(&key)?;
        let taken = connections.pop();
        if connections.is_empty() {
            idle.connections.remove(&key);
        }
        taken.map(|(_, conversation)| conversation)
    }

    /// Keeps it for a while, if there is room.
    pub(super) async fn give(self, conversation: Conversation) {
        if let Some(conversation) = self.keep(conversation) {
            conversation.quit().await;
        }
    }

    /// Gives it back where there is no room.
    fn keep(&self, conversation: Conversation) -> Option<Conversation> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = idle.connections.values().map(Vec::len).sum();
        let is_spent = conversation.messages >= limits::KEPT_CONNECTION_MESSAGES_MAX || !conversation.takes_more();
        if all >= limits::KEPT_CONNECTIONS_MAX || is_spent {
            return Some(conversation);
        }
        let key = (conversation.endpoint.host.clone(), conversation.endpoint.port);
        let number = idle.next;
        idle.next += 1;
        idle.connections.entry(key.clone()).or_default().push((number, conversation));
        let kept = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(limits::KEPT_CONNECTION_MS)).await;
            if let Some(conversation) = kept.remove(&key, number) {
                conversation.quit().await;
            }
        });
        None
    }

    /// That one, if nobody took it meanwhile.
    fn remove(&self, key: &(String, u16), number: u64) -> Option<Conversation> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.connections.get_mut(key)?;
        let place = connections.iter().position(|(its, _)| *its == number)?;
        let (_, conversation) = connections.remove(place);
        if connections.is_empty() {
            idle.connections.remove(key);
        }
        Some(conversation)
    }
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = self.connections.iter().map(|(server, connections)| (server, connections.len()));
        f.debug_map().entries(counts).finish()
    }
}
