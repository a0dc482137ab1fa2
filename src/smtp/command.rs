//! The commands (RFC 5321 section 4.1), one line each, without the line end.
//!
//! Own code and no crate's parser, because the envelope must travel on exactly as it was said: quoted local parts,
//! ORCPT and ENVID in their xtext form, `<Postmaster>` told from `<>`.

use super::address::Address;
use crate::types::Timestamp;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Ehlo(String),
    Helo(String),
    /// RFC 2033 section 4.1.
    Lhlo(String),
    StartTls,
    /// The mechanism's name and the initial response in base64; `=` is an empty one (RFC 4954 section 4).
    Auth(String, Option<String>),
    Mail(MailFrom),
    Rcpt(RcptTo),
    Data,
    /// Octets that follow, and whether they are the last (RFC 3030 section 2).
    Bdat {
        size: u64,
        last: bool,
    },
    Rset,
    Noop,
    /// A name or an address.
    Vrfy(String),
    Expn(String),
    Help,
    Quit,
}

/// MAIL with its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailFrom {
    /// `None` is the null reverse-path (RFC 5321 section 4.5.5).
    pub address: Option<Address>,
    /// SIZE (RFC 1870).
    pub size: Option<u64>,
    /// BODY=8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtp_utf8: bool,
    /// RET (RFC 3461 section 4.3).
    pub ret: Option<Ret>,
    /// ENVID in its xtext form (RFC 3461 section 4.4).
    pub envid: Option<String>,
    /// HOLDFOR or HOLDUNTIL (RFC 4865 section 5).
    pub hold: Option<Hold>,
}

/// When a message is to go out, not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// After so many seconds.
    For(u32),
    Until(Timestamp),
}

impl Hold {
    /// The moment, for what is submitted now.
    pub const fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Self::For(seconds) => now.plus_ms(seconds as i64 * 1000),
            Self::Until(moment) => moment,
        }
    }
}

/// How much of the message a failure report should hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    Full,
    Headers,
}

impl Ret {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        }
    }
}

/// RCPT with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RcptTo {
    pub address: Address,
    /// NOTIFY, upper case: `NEVER`, or a list of SUCCESS, FAILURE, DELAY (RFC 3461 section 4.1).
    pub notify: Option<String>,
    /// ORCPT in its xtext form (RFC 3461 section 4.2).
    pub orcpt: Option<String>,
}

/// Why a line is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("command not recognized")]
    Unknown,
    #[error("syntax: {0}")]
    Syntax(&'static str),
    #[error("bad reverse-path")]
    BadSender,
    #[error("bad forward-path")]
    BadRecipient,
    #[error("bad value for {0}")]
    BadParameter(&'static str),
    /// Where the octets after the command end cannot be known.
    #[error("syntax: BDAT size [LAST]")]
    BadChunk,
    #[error("parameter {0} not recognized or not implemented")]
    UnknownParameter(String),
    #[error("parameter {0} more than once")]
    RepeatedParameter(String),
    /// What comes next is not for us: a browser was made to send it.
    #[error("this is no web server")]
    Web,
}

/// Longest ENVID (RFC 3461 section 4.4).
pub const ENVID_MAX_BYTES: usize = 100;

/// Longest ORCPT (RFC 3461 section 4.2).
const ORCPT_MAX_BYTES: usize = 500;

impl Command {
    /// Parses one line. Verbs are read in any case; trailing white space is ignored (RFC 5321 section 4.1.1).
    pub fn parse(line: &str) -> Result<Self, CommandError> {
        let line = line.trim_end_matches([' ', '\t']);
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_start_matches(' ');
        let alone =
            |command: Self, syntax| if rest.is_empty() { Ok(command) } else { Err(CommandError::Syntax(syntax)) };
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => host(rest).map(Self::Ehlo).ok_or(CommandError::Syntax("EHLO domain")),
            "HELO" => host(rest).map(Self::Helo).ok_or(CommandError::Syntax("HELO domain")),
            "LHLO" => host(rest).map(Self::Lhlo).ok_or(CommandError::Syntax("LHLO domain")),
            "STARTTLS" => alone(Self::StartTls, "STARTTLS"),
            "AUTH" => auth(rest),
            "MAIL" => mail(rest),
            "RCPT" => rcpt(rest),
            "BDAT" => bdat(rest).ok_or(CommandError::BadChunk),
            "DATA" => alone(Self::Data, "DATA"),
            "RSET" => alone(Self::Rset, "RSET"),
            "QUIT" => alone(Self::Quit, "QUIT"),
            "NOOP" => Ok(Self::Noop),
            "HELP" => Ok(Self::Help),
            "VRFY" => string(rest).map(Self::Vrfy).ok_or(CommandError::Syntax("VRFY string")),
            "EXPN" => string(rest).map(Self::Expn).ok_or(CommandError::Syntax("EXPN string")),
            "GET" | "HEAD" | "POST" | "PUT" | "OPTIONS" | "CONNECT" => Err(CommandError::Web),
            _ => Err(CommandError::Unknown),
        }
    }
}

/// What VRFY and EXPN ask about. "SMTPUTF8" behind it (RFC 6531 section 3.7.4.2) changes nothing: the addresses here are ASCII.
fn string(rest: &str) -> Option<String> {
    let asked = match rest.rsplit_once(' ') {
        Some((asked, parameter)) if parameter.eq_ignore_ascii_case("SMTPUTF8") => asked.trim_end(),
        _ => rest,
    };
    (!asked.is_empty()).then(|| asked.to_owned())
}

/// The client's name. Real clients send names that are no domains (underscores, bare words, odd literals): anything
/// printable is taken, it is only written into the trace (RFC 5321 section 4.1.4 forbids refusing mail for it).
fn host(text: &str) -> Option<String> {
    let printable = |character: char| !character.is_whitespace() && !character.is_control();
    (!text.is_empty() && text.len() <= 255 && text.chars().all(printable)).then(|| text.to_owned())
}

/// `AUTH mechanism [initial-response]` (RFC 4954 section 4).
fn auth(rest: &str) -> Result<Command, CommandError> {
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    match (words.next(), words.next(), words.next()) {
        (Some(mechanism), initial, None) => Ok(Command::Auth(mechanism.to_owned(), initial.map(str::to_owned))),
        _ => Err(CommandError::Syntax("AUTH mechanism [initial-response]")),
    }
}

/// `bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ]` (RFC 3030 section 2).
fn bdat(rest: &str) -> Option<Command> {
    let (digits, mark) = rest.split_once(' ').map_or((rest, None), |(digits, mark)| (digits, Some(mark)));
    let last = match mark {
        None => false,
        Some(mark) if mark.trim().eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    Some(Command::Bdat { size: size(digits)?, last })
}

/// `"MAIL FROM:" Reverse-path [SP Mail-parameters]`
fn mail(rest: &str) -> Result<Command, CommandError> {
    const SYNTAX: CommandError = CommandError::Syntax("MAIL FROM:<reverse-path> [parameters]");
    let (path, parameters) = path(after_keyword(rest, "FROM:").ok_or(SYNTAX)?).ok_or(SYNTAX)?;
    let address = match path {
        "" => None,
        path => Some(Address::parse(path).ok_or(CommandError::BadSender)?),
    };
    let mut mail = MailFrom { address, ..MailFrom::default() };
    for (keyword, value) in each_once(parameters)? {
        match (keyword.as_str(), value) {
            ("SIZE", Some(value)) => mail.size = Some(size(value).ok_or(CommandError::BadParameter("SIZE"))?),
            ("BODY", Some(value)) => mail.eight_bit = body(value).ok_or(CommandError::BadParameter("BODY"))?,
            ("SMTPUTF8", None) => mail.smtp_utf8 = true,
            ("RET", Some(value)) => mail.ret = Some(ret(value).ok_or(CommandError::BadParameter("RET"))?),
            ("ENVID", Some(value)) if is_xtext(value) && value.len() <= ENVID_MAX_BYTES => {
                mail.envid = Some(value.to_owned());
            }
            ("ENVID", _) => return Err(CommandError::BadParameter("ENVID")),
            ("HOLDFOR", Some(value)) if mail.hold.is_none() => {
                mail.hold = Some(hold_for(value).ok_or(CommandError::BadParameter("HOLDFOR"))?);
            }
            ("HOLDUNTIL", Some(value)) if mail.hold.is_none() => {
                mail.hold = Some(hold_until(value).ok_or(CommandError::BadParameter("HOLDUNTIL"))?);
            }
            // Both (RFC 4865 section 5).
            ("HOLDFOR", _) => return Err(CommandError::BadParameter("HOLDFOR")),
            ("HOLDUNTIL", _) => return Err(CommandError::BadParameter("HOLDUNTIL")),
            // RFC 4954 section 5: who is said to have submitted it. Nobody here is trusted with it, so it is dropped.
            ("AUTH", Some(value)) if is_xtext(value) => {}
            _ => return Err(CommandError::UnknownParameter(keyword)),
        }
    }
    Ok(Command::Mail(mail))
}

/// `"RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP Rcpt-parameters]`
fn rcpt(rest: &str) -> Result<Command, CommandError> {
    const SYNTAX: CommandError = CommandError::Syntax("RCPT TO:<forward-path> [parameters]");
    let (path, parameters) = path(after_keyword(rest, "TO:").ok_or(SYNTAX)?).ok_or(SYNTAX)?;
    let address = Address::parse_recipient(path).ok_or(CommandError::BadRecipient)?;
    let mut rcpt = RcptTo { address, notify: None, orcpt: None };
    for (keyword, value) in each_once(parameters)? {
        match (keyword.as_str(), value) {
            ("NOTIFY", Some(value)) => {
                rcpt.notify = Some(notify(value).ok_or(CommandError::BadParameter("NOTIFY"))?);
            }
            ("ORCPT", Some(value)) if is_orcpt(value) => rcpt.orcpt = Some(value.to_owned()),
            ("ORCPT", _) => return Err(CommandError::BadParameter("ORCPT")),
            _ => return Err(CommandError::UnknownParameter(keyword)),
        }
    }
    Ok(Command::Rcpt(rcpt))
}

/// What follows the keyword, which is read in any case; spaces after the colon are let pass.
fn after_keyword<'a>(rest: &'a str, keyword: &str) -> Option<&'a str> {
    let head = rest.get(..keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then(|| rest[keyword.len()..].trim_start_matches(' '))
}

/// `Path = "<" [ A-d-l ":" ] Mailbox ">"`: the mailbox's text, a source route ignored (RFC 5321 appendix C), and what
/// follows the path.
fn path(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    for (place, character) in inner.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => {
                let rest = &inner[place + 1..];
                let separate = rest.is_empty() || rest.starts_with(' ');
                return separate.then(|| (without_route(&inner[..place]), rest));
            }
            _ => {}
        }
    }
    None
}

fn without_route(path: &str) -> &str {
    match path.starts_with('@') {
        true => path.split_once(':').map_or(path, |(_, mailbox)| mailbox),
        false => path,
    }
}

/// The parameters behind a path, none of which may stand there twice (RFC 3461 section 4, RFC 4865 section 5).
fn each_once(parameters: &str) -> Result<Vec<(String, Option<&str>)>, CommandError> {
    let mut seen: Vec<(String, Option<&str>)> = Vec::new();
    for (keyword, value) in parameters.split(' ').filter(|word| !word.is_empty()).map(parameter) {
        if seen.iter().any(|(known, _)| *known == keyword) {
            return Err(CommandError::RepeatedParameter(keyword));
        }
        seen.push((keyword, value));
    }
    Ok(seen)
}

/// `esmtp-param = esmtp-keyword ["=" esmtp-value]`, the keyword in upper case.
fn parameter(word: &str) -> (String, Option<&str>) {
    match word.split_once('=') {
        Some((keyword, value)) => (keyword.to_ascii_uppercase(), Some(value)),
        None => (word.to_ascii_uppercase(), None),
    }
}

/// `size-value = 1*20DIGIT` (RFC 1870 section 4). More than 64 bits is more than anyone takes.
fn size(value: &str) -> Option<u64> {
    let digits = (1..=20).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

/// `body-value = "7BIT" / "8BITMIME"` (RFC 6152 section 2); true for 8BITMIME.
fn body(value: &str) -> Option<bool> {
    let eight_bit = value.eq_ignore_ascii_case("8BITMIME");
    (eight_bit || value.eq_ignore_ascii_case("7BIT")).then_some(eight_bit)
}

/// `future-release-integer = %x31-39 *8DIGIT`, seconds (RFC 4865 section 5).
fn hold_for(value: &str) -> Option<Hold> {
    let digits = (1..=9).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|seconds| digits && *seconds > 0).map(Hold::For)
}

/// `future-release-date-time`, a moment of RFC 3339 (RFC 4865 section 5).
fn hold_until(value: &str) -> Option<Hold> {
    Timestamp::parse_rfc3339(value).map(Hold::Until)
}

fn ret(value: &str) -> Option<Ret> {
    [Ret::Full, Ret::Headers].into_iter().find(|ret| ret.as_str().eq_ignore_ascii_case(value))
}

/// `notify-esmtp-value = "NEVER" / 1#notify-list-element` (RFC 3461 section 4.1).
fn notify(value: &str) -> Option<String> {
    let value = value.to_ascii_uppercase();
    let listed = value.split(',').all(|element| ["SUCCESS", "FAILURE", "DELAY"].contains(&element));
    (value == "NEVER" || listed).then_some(value)
}

/// `original-recipient-address = addr-type ";" xtext` (RFC 3461 section 4.2; for UTF-8, RFC 6533 section 3).
fn is_orcpt(value: &str) -> bool {
    let is_type = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte))
    };
    let parts = value.split_once(';');
    value.len() <= ORCPT_MAX_BYTES && parts.is_some_and(|(kind, rest)| is_type(kind) && is_xtext(rest))
}

/// `xtext = *( xchar / hexchar )` (RFC 3461 section 4). UTF-8 is let pass as in RFC 6533 section 3; what decodes to a
/// control character is not: it would forge lines in a report.
fn is_xtext(text: &str) -> bool {
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        if character == '+' {
            let byte = rest.get(..2).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
            match byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                Some(byte) if byte >= b' ' && byte != 0x7f => rest = &rest[2..],
                _ => return false,
            }
        } else if character.is_control() || character == ' ' || character == '=' {
            return false;
        }
    }
    !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail_of(line: &str) -> MailFrom {
        match Command::parse(line) {
            Ok(Command::Mail(mail)) => mail,
            other => panic!("{line:?} gave {other:?}"),
        }
    }

    #[test]
    fn mail_takes_its_parameters_in_any_order_and_case() {
        let mail = mail_of("mail from:<a@b.example> smtputf8 ret=hdrs body=8bitmime SIZE=12 ENVID=QQ+2B1 auth=<>");
        let address = Address::parse("a@b.example");
        let envid = Some("QQ+2B1".to_owned());
        let ret = Some(Ret::Headers);
        let expected = MailFrom { address, size: Some(12), eight_bit: true, smtp_utf8: true, ret, envid, hold: None };
        assert_eq!(mail, expected);
        assert_eq!(mail_of("MAIL FROM: <>").address, None);
        assert_eq!(mail_of("MAIL FROM:<@x,@y:a@b>").address, Address::parse("a@b"));
        assert_eq!(mail_of("MAIL FROM:<\"a>b\"@c>").address, Address::parse("\"a>b\"@c"));
    }

    #[test]
    fn mail_may_be_wanted_later() {
        let until = |line| mail_of(line).hold.map(|hold| hold.moment(Timestamp::from_unix_ms(5)).unix_ms());
        assert_eq!(until("MAIL FROM:<a@b> HOLDFOR=60"), Some(60_005));
        assert_eq!(until("MAIL FROM:<a@b> HOLDUNTIL=1970-01-01T01:00:01+01:00"), Some(1000));
        assert_eq!(Command::parse("bdat 12 last"), Ok(Command::Bdat { size: 12, last: true }));
        assert_eq!(Command::parse("BDAT 0"), Ok(Command::Bdat { size: 0, last: false }));
    }

    #[test]
    fn rcpt_keeps_what_it_must_pass_on() {
        let line = "RCPT TO:<\"a b\"@c> NOTIFY=success,Failure ORCPT=rfc822;Bob+40example";
        let Ok(Command::Rcpt(rcpt)) = Command::parse(line) else { panic!("valid") };
        assert_eq!(rcpt.address.as_str(), "\"a b\"@c");
        assert_eq!(rcpt.notify.as_deref(), Some("SUCCESS,FAILURE"));
        assert_eq!(rcpt.orcpt.as_deref(), Some("rfc822;Bob+40example"));
        assert!(Command::parse("RCPT TO:<postmaster>").is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let bad_parameter = CommandError::BadParameter;
        for (line, error) in [
            ("", CommandError::Unknown),
            ("BDAT", CommandError::BadChunk),
            ("BDAT x", CommandError::BadChunk),
            ("BDAT 12 FIRST", CommandError::BadChunk),
            ("MAIL FROM:<a@b> HOLDFOR=0", bad_parameter("HOLDFOR")),
            ("MAIL FROM:<a@b> HOLDUNTIL=tomorrow", bad_parameter("HOLDUNTIL")),
            ("MAIL FROM:<a@b> HOLDFOR=1 HOLDUNTIL=2026-11-25T16:00:00Z", bad_parameter("HOLDUNTIL")),
            ("EHLO", CommandError::Syntax("EHLO domain")),
            ("EHLO a b", CommandError::Syntax("EHLO domain")),
            ("DATA x", CommandError::Syntax("DATA")),
            ("AUTH", CommandError::Syntax("AUTH mechanism [initial-response]")),
            ("MAIL FROM:a@b", CommandError::Syntax("MAIL FROM:<reverse-path> [parameters]")),
            ("MAIL FROM:<a@b>SIZE=1", CommandError::Syntax("MAIL FROM:<reverse-path> [parameters]")),
            ("MAIL FROM:<a>", CommandError::BadSender),
            ("MAIL FROM:<a@b> SIZE=x", bad_parameter("SIZE")),
            ("MAIL FROM:<a@b> BODY=BINARYMIME", bad_parameter("BODY")),
            ("MAIL FROM:<a@b> ENVID=a+0Ab", bad_parameter("ENVID")),
            ("MAIL FROM:<a@b> MTRK=x", CommandError::UnknownParameter("MTRK".to_owned())),
            ("RCPT TO:<>", CommandError::BadRecipient),
            ("RCPT TO:<a@b> NOTIFY=NEVER,SUCCESS", bad_parameter("NOTIFY")),
            ("RCPT TO:<a@b> ORCPT=rfc822", bad_parameter("ORCPT")),
            ("RCPT TO:<a@b> NOTIFY=SUCCESS notify=NEVER", CommandError::RepeatedParameter("NOTIFY".to_owned())),
            ("MAIL FROM:<a@b> SIZE=1 SIZE=2", CommandError::RepeatedParameter("SIZE".to_owned())),
            ("GET / HTTP/1.1", CommandError::Web),
        ] {
            assert_eq!(Command::parse(line), Err(error), "{line:?}");
        }
    }
}
