//! An open maildrop on a POP3 server.

use std::collections::BTreeMap;

use super::capability::Capabilities;
use super::reply::{Refusal, Reply};
use super::wire::Wire;
use crate::sync::maildrop::seam::{Extent, LetterSink, Listed, Maildrop};
use crate::sync::remote::RemoteError;
use crate::types::limits;

/// See the module.
pub struct Pop3Remote {
    wire: Wire,
    capabilities: Capabilities,
}

impl Pop3Remote {
    pub(super) const fn new(wire: Wire, capabilities: Capabilities) -> Self {
        Self { wire, capabilities }
    }

    /// Seconds that the server wants between two logins (RFC 2449 section 6.5).
    pub fn login_delay_seconds(&self) -> Option<u64> {
        self.capabilities.login_delay_seconds()
    }

    /// The extensions in use, for a person to read.
    pub fn extensions(&self) -> String {
        let known = ["UIDL", "TOP", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "UTF8"];
        let has: Vec<&str> = known.into_iter().filter(|name| self.capabilities.has(name)).collect();
        if has.is_empty() { "no extensions".to_owned() } else { has.join(" ") }
    }

    /// Sends those of `commands` that may be on the way when the answer at `place` is due. Returns how many are sent.
    async fn ask_ahead(&mut self, commands: &[String], place: usize, asked: usize) -> Result<usize, RemoteError> {
        let ahead = if self.capabilities.has("PIPELINING") { limits::UPSTREAM_POP3_PIPELINE_MAX } else { 1 };
        // In bursts: half of what may be on the way.
        if asked > place + ahead / 2 {
            return Ok(asked);
        }
        let until = commands.len().min(place + ahead);
        let next = commands[asked..until.max(asked)].concat();
        if !next.is_empty() {
            self.wire.send(&next).await?;
        }
        Ok(until.max(asked))
    }

    fn refused(&self, request: &'static str, refusal: &Refusal) -> RemoteError {
        refusal.error(request, &self.capabilities)
    }
}

impl Maildrop for Pop3Remote {
    fn gives_headers(&self) -> bool {
        self.capabilities.has("TOP")
    }

    /// LIST and UIDL. One is not the other's: what only one of them names is no message of this visit.
    async fn list(&mut self) -> Result<Vec<Listed>, RemoteError> {
        let malformed =
            |request, line: &str| RemoteError::Protocol { request, text: format!("{line:?} lists nothing") };
        match self.wire.command("LIST", "").await? {
            Reply::Ok(_) => {}
            Reply::Refused(refusal) => return Err(self.refused("LIST", &refusal)),
            Reply::GoOn(_) => return Err(malformed("LIST", "a challenge")),
        }
        let mut listed = BTreeMap::new();
        for line in self.wire.lines("LIST").await? {
            // "scan-listing = number SP size", and whatever a server puts behind it (RFC 1939 section 5).
            let mut words = line.split_ascii_whitespace();
            let (number, size) = (words.next().map(str::parse), words.next().map(str::parse));
            let (Some(Ok(number)), Some(Ok(size_bytes))) = (number, size) else { return Err(malformed("LIST", &line)) };
            if listed.insert(number, Listed { number, size_bytes, unique_id: None }).is_some() {
                return Err(RemoteError::Protocol { request: "LIST", text: format!("it lists {number} twice") });
            }
        }
        if let Reply::Ok(_) = self.wire.command("UIDL", "").await? {
            for line in self.wire.lines("UIDL").await? {
                let mut words = line.split_ascii_whitespace();
                let number: Option<u32> = words.next().and_then(|word| word.parse().ok());
                let one = number.and_then(|number| listed.get_mut(&number));
                if let (Some(one), Some(id)) = (one, words.next()) {
                    one.unique_id = Some(id.to_owned());
                }
            }
        }
        Ok(listed.into_values().collect())
    }

    /// TOP (RFC 1939 section 7) and RETR, as many ahead of their answers as the server takes.
    async fn fetch(&mut self, wanted: &[(u32, Extent)], sink: &mut dyn LetterSink) -> Result<(), RemoteError> {
        let command = |(number, extent): &(u32, Extent)| match extent {
            Extent::Header => format!("TOP {number} 0\r\n"),
            Extent::Whole => format!("RETR {number}\r\n"),
        };
        let commands: Vec<String> = wanted.iter().map(command).collect();
        let mut asked = 0;
        for (place, (number, extent)) in wanted.iter().enumerate() {
            asked = self.ask_ahead(&commands, place, asked).await?;
            let local = |error: std::io::Error| RemoteError::Local(error.to_string());
            let request = if *extent == Extent::Header { "TOP" } else { "RETR" };
            match self.wire.reply(request).await? {
                Reply::Ok(_) => {
                    sink.begin(*number).map_err(local)?;
                    self.wire.stream_to(&mut |bytes| sink.write(bytes)).await?;
                    sink.end().map_err(local)?;
                }
                Reply::Refused(refusal) => match refusal.error(request, &self.capabilities) {
                    error @ RemoteError::Wait { .. } => return Err(error),
                    _ => sink.refused(*number, refusal.told()).map_err(local)?,
                },
                Reply::GoOn(_) => return Err(self.wire.lost("a challenge where a message should be")),
            }
        }
        Ok(())
    }

    async fn delete(&mut self, numbers: &[u32]) -> Result<usize, RemoteError> {
        let commands: Vec<String> = numbers.iter().map(|number| format!("DELE {number}\r\n")).collect();
        let (mut asked, mut marked) = (0, 0);
        for (place, number) in numbers.iter().enumerate() {
            asked = self.ask_ahead(&commands, place, asked).await?;
            match self.wire.reply("DELE").await? {
                Reply::Ok(_) => marked += 1,
                Reply::Refused(refusal) => tracing::warn!(number, "the server does not delete: {}", refusal.told()),
                Reply::GoOn(_) => return Err(self.wire.lost("a challenge in answer to DELE")),
            }
        }
        Ok(marked)
    }

    async fn leave(&mut self) -> Result<(), RemoteError> {
        match self.wire.command("QUIT", "").await? {
            // Some of what was marked is still there (RFC 1939 section 6): the next visit sees which.
            Reply::Refused(refusal) => tracing::warn!("the server did not delete all: {}", refusal.told()),
            Reply::Ok(_) | Reply::GoOn(_) => {}
        }
        Ok(())
    }
}
