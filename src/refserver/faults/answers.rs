//! What a quirky server makes of the engine's responses.

use std::collections::VecDeque;

use super::quirk::{Faults, Quirk};

/// A response: lines and literals as they follow each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Response(Vec<u8>);

impl Response {
    pub(super) fn push_line(&mut self, text: Vec<u8>) {
        self.0.extend(text);
    }

    pub(super) fn push_literal(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn line(text: impl AsRef<str>) -> Self {
        Self(format!("{}\r\n", text.as_ref()).into_bytes())
    }

    /// Its first line without the CRLF, as text.
    fn head(&self) -> String {
        let end = self.0.windows(2).position(|pair| pair == b"\r\n").unwrap_or(self.0.len());
        String::from_utf8_lossy(&self.0[..end]).into_owned()
    }

    /// The same with another first line.
    fn with_head(&self, head: &str) -> Self {
        let end = self.0.windows(2).position(|pair| pair == b"\r\n").unwrap_or(self.0.len());
        Self([head.as_bytes(), &self.0[end..]].concat())
    }
}

/// A command that is being answered.
struct Running {
    tag: String,
    /// Its name in upper case and the rest of it.
    text: String,
}

/// Rewrites responses.
pub(super) struct Answers {
    faults: Faults,
    number: u32,
    running: VecDeque<Running>,
    /// FETCH responses held back until the command is complete.
    held: Vec<Response>,
    /// A completed command's responses, held back until the next is complete as well.
    overtaken: Vec<Response>,
    current: Vec<Response>,
    selects: u32,
    fetched: u32,
    uid_next: String,
    has_left: bool,
}

impl Answers {
    pub(super) const fn new(faults: Faults, number: u32) -> Self {
        Self {
            faults,
            number,
            running: VecDeque::new(),
            held: Vec::new(),
            overtaken: Vec::new(),
            current: Vec::new(),
            selects: 0,
            fetched: 0,
            uid_next: String::new(),
            has_left: false,
        }
    }

    /// The engine was given this command (or the answer to a challenge).
    pub(super) fn expect(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        if let Some((tag, rest)) = text.trim_end().split_once(' ') {
            let rest = rest.to_ascii_uppercase();
            self.selects += u32::from(rest.starts_with("SELECT"));
            self.running.push_back(Running { tag: tag.to_owned(), text: rest });
        }
    }

    /// The session is over by a quirk.
    pub(super) const fn hangs_up(&self) -> bool {
        self.has_left
    }

    /// Nothing more comes for now: what was held back for the sake of order goes out.
    pub(super) fn release(&mut self) -> Vec<Response> {
        let mut late = std::mem::take(&mut self.current);
        late.append(&mut self.overtaken);
        late
    }

    /// What is sent in place of a response.
    pub(super) fn rewrite(&mut self, response: Response) -> Vec<Response> {
        if self.has_left {
            return Vec::new();
        }
        let head = response.head();
        let tagged = self.running.iter().position(|running| head.starts_with(&format!("{} ", running.tag)));
        let told = match tagged {
            Some(place) => {
                let running = self.running.remove(place);
                let text = running.map(|running| running.text).unwrap_or_default();
                let mut told = std::mem::take(&mut self.held);
                told.reverse();
                told.extend(self.completion(&response, &text));
                told
            }
            None => self.untagged(response),
        };
        self.in_order(told, tagged.is_some())
    }

    /// Swaps two completed STATUS commands that were running together.
    fn in_order(&mut self, told: Vec<Response>, is_complete: bool) -> Vec<Response> {
        if !self.faults.has(Quirk::Reorders) {
            return told;
        }
        self.current.extend(told);
        let next_is_status = self.running.front().is_some_and(|next| next.text.starts_with("STATUS "));
        match (is_complete, self.overtaken.is_empty() && next_is_status) {
            (false, _) if self.running.iter().any(|running| running.text.starts_with("STATUS ")) => Vec::new(),
            (true, true) => {
                self.overtaken = std::mem::take(&mut self.current);
                Vec::new()
            }
            _ => self.release(),
        }
    }

    /// A tagged response, and what comes with it.
    fn completion(&mut self, response: &Response, command: &str) -> Vec<Response> {
        let has = |quirk| self.faults.has(quirk);
        let mut head = response.head();
        let mut before = Vec::new();
        if command.starts_with("SELECT") {
            if has(Quirk::StrayEnabled) {
                before.push(Response::line("* ENABLED"));
            }
            if has(Quirk::VanishedEverything) && command.contains("QRESYNC") && !self.uid_next.is_empty() {
                let last = self.uid_next.parse::<u32>().unwrap_or(1).saturating_sub(1).max(1);
                before.push(Response::line(format!("* VANISHED (EARLIER) 1:{last}")));
            }
        }
        if has(Quirk::FetchZero) && ["NOOP", "UID FETCH", "UID STORE"].iter().any(|name| command.starts_with(name)) {
            before.push(Response::line("* 0 FETCH (FLAGS ())"));
        }
        if has(Quirk::ThrottledOk) && head.contains(" OK ") {
            head.push_str(" [THROTTLED]");
        }
        if has(Quirk::StrayCapability) {
            head = head.replacen("CAPABILITY ", "CAPABILITY XAPPLEPUSHSERVICE ", 1);
        }
        if has(Quirk::UntaggedCopyUid)
            && let Some((tag, rest)) = head.clone().split_once(" OK [COPYUID ")
            && let Some((code, text)) = rest.split_once(']')
        {
            before.push(Response::line(format!("* [COPYUID {}]", self.validity(code))));
            head = format!("{tag} OK{text}");
        }
        if command.starts_with("APPEND") && has(Quirk::LongLinesRefused) && head.contains(" BAD ") {
            head = head.replacen(" BAD ", " NO The message has a line that is too long: ", 1);
        }
        if command.starts_with("LOGOUT") && has(Quirk::ByeOnly) {
            self.has_left = true;
            return before;
        }
        head = self.code(&head);
        before.push(response.with_head(&head));
        before
    }

    fn untagged(&mut self, response: Response) -> Vec<Response> {
        let has = |quirk| self.faults.has(quirk);
        let head = response.head();
        let command = self.running.front().map(|running| running.text.clone()).unwrap_or_default();
        let is_select = command.starts_with("SELECT") || command.starts_with("EXAMINE");
        if let Some((_, rest)) = head.split_once("[UIDNEXT ") {
            self.uid_next = rest.split(']').next().unwrap_or_default().to_owned();
        }
        let removes = ["EXPUNGE", "UID EXPUNGE", "UID MOVE", "MOVE"].iter().any(|name| command.starts_with(name));
        let is_expunge = head.ends_with(" EXPUNGE") || head.starts_with("* VANISHED ") && !head.contains("(EARLIER)");
        let is_dropped = head.starts_with("* ENABLED") && has(Quirk::UnconfirmedEnable)
            || is_select && head.starts_with("* OK [UIDNEXT ") && has(Quirk::NoUidNext)
            || head.starts_with("* OK [CLOSED]") && has(Quirk::NoClosed)
            || is_select && head.ends_with(" EXISTS") && has(Quirk::NoExists) && self.selects.is_multiple_of(3)
            || is_expunge && has(Quirk::SilentExpunge) && !removes;
        if is_dropped {
            return Vec::new();
        }
        let is_fetch = head.split(' ').nth(2) == Some("FETCH");
        if is_fetch {
            return self.fetch(response, &command);
        }
        let mut head = self.code(&head);
        if has(Quirk::BareCode)
            && let Some(end) = head.find(']').filter(|_| head.starts_with("* OK [HIGHESTMODSEQ"))
        {
            head.truncate(end + 1);
        }
        if has(Quirk::StrayCapability) && !self.is_logged_in() {
            head = head.replacen("CAPABILITY ", "CAPABILITY XAPPLEPUSHSERVICE ", 1);
        }
        if has(Quirk::UntaggedCopyUid) {
            head = head.replacen("* OK [COPYUID ", "* [COPYUID ", 1);
        }
        if has(Quirk::FewKeywords) && head.starts_with("* OK [PERMANENTFLAGS (") && head.contains("\\Seen") {
            let text = "\\Answered \\Flagged \\Deleted \\Seen \\Draft $Junk $NotJunk";
            head = format!("* OK [PERMANENTFLAGS ({text})] Some flags are kept");
        }
        if head.starts_with("* STATUS ") {
            head = self.status(&head);
        }
        vec![response.with_head(&head)]
    }

    /// Before the login the engine's greeting and CAPABILITY are answered; nothing else names capabilities untagged.
    fn is_logged_in(&self) -> bool {
        self.selects > 0
    }

    fn status(&self, head: &str) -> String {
        let Some((before, list)) = head.rsplit_once(" (") else { return head.to_owned() };
        if self.faults.has(Quirk::EmptyStatus) {
            return format!("{before} ()");
        }
        let mut words: Vec<String> = list.trim_end_matches(')').split(' ').map(str::to_owned).collect();
        for place in 1..words.len() {
            if words[place - 1] == "UIDVALIDITY" {
                words[place] = self.validity(&words[place]);
            }
        }
        format!("{before} ({})", words.join(" "))
    }

    fn fetch(&mut self, response: Response, command: &str) -> Vec<Response> {
        let has = |quirk| self.faults.has(quirk);
        let is_asked = command.starts_with("UID FETCH ");
        let is_of_several = command.split(' ').nth(2).is_some_and(|set| set.contains([',', ':', '*']));
        // Such a server has no mod-sequences: what it left out of what changed nobody could miss.
        let is_of_all = !command.contains("CHANGEDSINCE");
        let mut response = response;
        if is_asked && is_of_several && is_of_all && has(Quirk::DropsFromRanges) {
            self.fetched += 1;
            if self.fetched.is_multiple_of(3) {
                return Vec::new();
            }
        }
        if has(Quirk::SizeLies)
            && let Some((before, rest)) = response.head().split_once("RFC822.SIZE ")
        {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let size = digits.parse::<u64>().unwrap_or(0) + 13;
            response = response.with_head(&format!("{before}RFC822.SIZE {size}{}", &rest[digits.len()..]));
        }
        if has(Quirk::SpaceBeforeParen) && response.0.ends_with(b")\r\n") {
            let end = response.0.len() - 3;
            response.0.splice(end..end, *b" ");
        }
        if is_asked && has(Quirk::FetchBackwards) {
            self.held.push(response);
            return Vec::new();
        }
        vec![response]
    }

    /// The line with the UIDVALIDITY in its response code as this server has it.
    fn code(&self, head: &str) -> String {
        for key in ["[UIDVALIDITY ", "[APPENDUID ", "[COPYUID "] {
            if let Some((before, rest)) = head.split_once(key) {
                return format!("{before}{key}{}", self.validity(rest));
            }
        }
        head.to_owned()
    }

    /// The text with the number at its beginning changed, where UIDVALIDITY is a lie.
    fn validity(&self, text: &str) -> String {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        let rest = &text[digits.len()..];
        match digits.parse::<u32>() {
            Ok(_) if self.faults.has(Quirk::UidValidityOne) => format!("1{rest}"),
            Ok(true_one) if self.faults.has(Quirk::UidValidityBump) => {
                format!("{}{rest}", true_one.wrapping_add(self.number).max(1))
            }
            _ => text.to_owned(),
        }
    }
}
