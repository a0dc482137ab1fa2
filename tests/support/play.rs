//! Plays a transcript (`tests/it/imap/transcript.rs`) over TCP: the clients' lines are sent, the server's are compared as they come.
//!
//! Who is first told of a message is chance there, so nothing is compared of `\Recent`. Of the events only those are played that
//! come by themselves; a transcript with another, or that says how its sessions are made, is for the session value alone.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;

use super::imap::connect;
use super::script::{Words, expanded, matches, sized};

/// Where, and as whom, in place of alice whose password is secret. Both are as long as those: literals have their sizes.
pub struct Stage<'a> {
    pub address: SocketAddr,
    pub user: &'a str,
    pub password: &'a str,
}

/// Every transcript by its name, sorted.
pub fn transcripts() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/imap");
    let files = std::fs::read_dir(folder).expect("the transcripts' folder").map(|file| file.expect("a file").path());
    let named = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let mut transcripts: Vec<_> =
        files.map(|path| (named(&path), std::fs::read_to_string(&path).expect("a readable transcript"))).collect();
    transcripts.sort();
    transcripts
}

/// Needs it more than clients and a server with the wishes that are the usual ones?
pub fn is_playable(text: &str) -> bool {
    let usual = |line: &&str| match line.split([' ', ':']).next().unwrap_or_default() {
        "@messages" | "@logged-in" | "@authority" => true,
        head if head.starts_with('@') => false,
        head if head.starts_with('E') => line.ends_with(": changed"),
        head => head != "T",
    };
    text.lines().all(|line| usual(&line)) && !text.contains(" AUTHENTICATE") && !text.contains("{{starttls}}")
}

/// Plays it. The error names the line.
pub fn play(text: &str, stage: &Stage<'_>) -> Result<(), String> {
    let own = text.replace("alice", stage.user).replace("secret", stage.password);
    let mut play = Play::of(&own, stage);
    let lines: Vec<&str> = own.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some((head, rest)) = line.split_once(':').filter(|_| !line.starts_with(['#', '@'])) else { continue };
        let rest = play.words.in_place(rest.strip_prefix(' ').unwrap_or(rest));
        let client = head[1..].parse::<u32>().unwrap_or(1);
        match &head[..1] {
            "C" => play.client(client).send(&sized(&rest, &lines[index + 1..])),
            "L" => play.client(client).send(&rest),
            "S" if !rest.ends_with(" RECENT") => {
                play.expect(client, &rest).map_err(|why| format!("line {}: {line}\n  {why}", index + 1))?;
            }
            _ => {}
        }
    }
    play.clients.values_mut().try_for_each(Client::end)
}

struct Play<'a> {
    stage: &'a Stage<'a>,
    logged_in: bool,
    clients: BTreeMap<u32, Client>,
    words: Words,
}

impl<'a> Play<'a> {
    /// With the mail that the transcript begins with.
    fn of(text: &str, stage: &'a Stage<'a>) -> Self {
        let logged_in = text.lines().any(|line| line == "@logged-in");
        let play = Self { stage, logged_in, clients: BTreeMap::new(), words: Words::default() };
        if let Some(count) = text.lines().find_map(|line| line.strip_prefix("@messages ")) {
            play.fill_inbox(count.parse().expect("@messages COUNT"));
        }
        play
    }

    fn client(&mut self, number: u32) -> &mut Client {
        let (stage, logged_in) = (self.stage, self.logged_in);
        self.clients.entry(number).or_insert_with(|| Client::new(stage, logged_in))
    }

    fn fill_inbox(&self, count: u32) {
        let mut client = Client::new(self.stage, true);
        for number in 1..=count {
            let message = format!("From: a@example.org\r\nSubject: message {number}\r\n\r\nbody {number}\r\n");
            client.done(&format!("x APPEND INBOX {{{}+}}\r\n{message}", message.len()));
        }
    }

    fn expect(&mut self, number: u32, pattern: &str) -> Result<(), String> {
        let line = self.client(number).line();
        if pattern == "{{close}}" {
            return if line.is_none() { Ok(()) } else { Err(format!("the server said: {line:?}")) };
        }
        let line = without_recent(&line.ok_or("the server hung up")?);
        let pattern = self.words.taken(&without_recent(pattern), &line);
        if matches(&pattern, &line) { Ok(()) } else { Err(format!("the server said: {line}")) }
    }
}

fn without_recent(line: &str) -> String {
    line.replace(" \\Recent", "").replace("\\Recent", "")
}

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// A client behind the greeting, with nothing but an empty INBOX where it logs in.
    fn new(stage: &Stage<'_>, logged_in: bool) -> Self {
        let mut client = Self { stream: BufReader::new(connect(stage.address).expect("the server listens")) };
        client.line();
        if logged_in {
            client.done(&format!("x LOGIN {} {}", stage.user, stage.password));
        }
        client
    }

    fn send(&mut self, text: &str) {
        let bytes = [&expanded(text)[..], b"\r\n"].concat();
        self.stream.get_mut().write_all(&bytes).expect("the server reads");
    }

    /// A command whose tag is `x`, to its end.
    fn done(&mut self, command: &str) {
        self.send(command);
        while let Some(line) = self.line() {
            if let Some(answer) = line.strip_prefix("x ") {
                assert!(answer.starts_with("OK"), "{command}: {answer}");
                return;
            }
        }
        panic!("{command}: the server hung up");
    }

    /// The next line but those of RECENT; `None` at the end.
    fn line(&mut self) -> Option<String> {
        loop {
            let mut bytes = Vec::new();
            self.stream.read_until(b'\n', &mut bytes).ok().filter(|count| *count > 0)?;
            let line = String::from_utf8_lossy(&bytes).trim_end_matches("\r\n").to_owned();
            if !(line.starts_with("* ") && line.ends_with(" RECENT")) {
                return Some(line);
            }
        }
    }

    /// Hangs up: the server must have no more to say.
    fn end(&mut self) -> Result<(), String> {
        self.stream.get_mut().shutdown(Shutdown::Write).ok();
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).ok();
        let rest = String::from_utf8_lossy(&rest);
        let more = rest.lines().find(|line| !line.ends_with(" RECENT") && !line.starts_with("* BYE"));
        more.map_or(Ok(()), |line| Err(format!("at the end\n  the server said besides: {line}")))
    }
}

/// A command, what the transcript has for an answer, and what the server answered.
pub struct Exchange {
    pub line: usize,
    pub command: String,
    pub expected: Vec<String>,
    pub said: Vec<String>,
}

/// Asks a server that has texts and an order of its own: each command is answered to its end. It ends early where the server
/// answers what cannot be gone on from.
pub fn ask(text: &str, stage: &Stage<'_>) -> Vec<Exchange> {
    let own = text.replace("alice", stage.user).replace("secret", stage.password);
    let mut play = Play::of(&own, stage);
    let lines: Vec<&str> = own.lines().collect();
    let mut open: BTreeMap<u32, Exchange> = BTreeMap::new();
    let mut exchanges = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((head, rest)) = line.split_once(':').filter(|_| !line.starts_with(['#', '@'])) else { continue };
        let rest = play.words.in_place(rest.strip_prefix(' ').unwrap_or(rest));
        let client = head[1..].parse::<u32>().unwrap_or(1);
        match &head[..1] {
            "C" => {
                let command =
                    || Exchange { line: index + 1, command: rest.clone(), expected: Vec::new(), said: Vec::new() };
                open.entry(client).or_insert_with(command);
                play.client(client).send(&sized(&rest, &lines[index + 1..]));
            }
            "L" => play.client(client).send(&rest),
            "S" => {
                let Some(exchange) = open.get_mut(&client) else { continue };
                exchange.expected.push(rest.clone());
                let tag = format!("{} ", exchange.command.split(' ').next().unwrap_or_default());
                let (goes_on, ends) = (rest.starts_with("+ "), rest.starts_with(&tag));
                if !goes_on && !ends {
                    continue;
                }
                let answer = loop {
                    let Some(line) = play.client(client).line() else { return exchanges };
                    exchange.said.push(line.clone());
                    if line.starts_with(&tag) || line.starts_with("+ ") {
                        break line;
                    }
                };
                let in_step = learn(&mut play.words, exchange) && answer.starts_with("+ ") == goes_on;
                if ends || !in_step {
                    exchanges.extend(open.remove(&client));
                }
                if !in_step {
                    return exchanges;
                }
            }
            _ => {}
        }
    }
    exchanges
}

/// Takes the words that the patterns set from the lines that they match; false where no line has one.
fn learn(words: &mut Words, exchange: &Exchange) -> bool {
    let sets = |pattern: &&String| pattern.contains("{{set ");
    exchange.expected.iter().filter(sets).all(|pattern| {
        exchange
            .said
            .iter()
            .any(|line| matches(&words.taken(&without_recent(pattern), &without_recent(line)), &without_recent(line)))
    })
}
