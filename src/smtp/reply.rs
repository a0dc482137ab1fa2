//! What the server says (RFC 5321 section 4.2), with the enhanced status codes of RFC 3463 in front of the text
//! (RFC 2034).

/// A reply of one or more lines. Never holds a control character: text that quotes the peer cannot forge a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<&'static str>,
    lines: Vec<String>,
}

impl Reply {
    /// A reply with an enhanced status code.
    pub fn new(code: u16, enhanced: &'static str, text: impl AsRef<str>) -> Self {
        Self { code, enhanced: Some(enhanced), lines: vec![clean(text.as_ref())] }
    }

    /// A reply that has none: the greeting, the answer to EHLO, 3yz (RFC 2034 section 3).
    pub fn bare(code: u16, text: impl AsRef<str>) -> Self {
        Self { code, enhanced: None, lines: vec![clean(text.as_ref())] }
    }

    /// One more line.
    pub fn and(mut self, line: impl AsRef<str>) -> Self {
        self.lines.push(clean(line.as_ref()));
        self
    }

    /// The three digits.
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// Does it say no (4yz or 5yz)?
    pub const fn is_negative(&self) -> bool {
        self.code >= 400
    }

    /// Appends the wire form.
    pub fn write(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (index, line) in self.lines.iter().enumerate() {
            let separator = if index == last { ' ' } else { '-' };
            let enhanced = self.enhanced.map(|code| format!("{code} ")).unwrap_or_default();
            out.extend_from_slice(format!("{}{separator}{enhanced}{line}\r\n", self.code).as_bytes());
        }
    }
}

fn clean(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// Why something was refused: a reply that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(Reply);

impl Refusal {
    /// For good (5yz).
    pub fn permanent(code: u16, enhanced: &'static str, text: impl AsRef<str>) -> Self {
        debug_assert!((500..600).contains(&code), "{code} is not a permanent refusal");
        Self(Reply::new(code, enhanced, text))
    }

    /// For now (4yz).
    pub fn temporary(code: u16, enhanced: &'static str, text: impl AsRef<str>) -> Self {
        debug_assert!((400..500).contains(&code), "{code} is not a temporary refusal");
        Self(Reply::new(code, enhanced, text))
    }

    /// The domain is ours and the user is not (RFC 3463: 5.1.1).
    pub fn no_such_user() -> Self {
        Self::permanent(550, "5.1.1", "No such user here")
    }

    /// The domain is not ours and nobody vouches for the client (RFC 3463: 5.7.1).
    pub fn relaying() -> Self {
        Self::permanent(550, "5.7.1", "Relaying refused")
    }

    /// Our disk or store fails: try again later (RFC 3463: 4.3.0).
    pub fn local_trouble() -> Self {
        Self::temporary(451, "4.3.0", "The mail system cannot take this now, try again later")
    }

    /// No room (RFC 3463: 4.3.1).
    pub fn no_room() -> Self {
        Self::temporary(452, "4.3.1", "Insufficient storage, try again later")
    }

    /// The reply.
    pub const fn reply(&self) -> &Reply {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_cannot_be_made_to_say_two_things() {
        let mut wire = Vec::new();
        Reply::new(550, "5.1.1", "No <a\r\n250 2.0.0 ok>").and("second").write(&mut wire);
        assert_eq!(wire, b"550-5.1.1 No <a  250 2.0.0 ok>\r\n550 5.1.1 second\r\n");
    }
}
