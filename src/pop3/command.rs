//! The commands (RFC 1939 sections 4 to 7), one line each, without the line end.

/// A command. Message numbers are as the client wrote them, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    User(String),
    Pass(String),
    /// The mechanism, unless the list of them is wanted, and the initial response in base64 (RFC 5034 section 4).
    Auth(Option<String>, Option<String>),
    Stat,
    List(Option<usize>),
    Uidl(Option<usize>),
    Retr(usize),
    Top(usize, u64),
    Dele(usize),
    Rset,
    Noop,
    Capa,
    Stls,
    /// RFC 6856 section 2.
    Utf8,
    /// A language range, unless the list of languages is wanted (RFC 6856 section 3).
    Lang(Option<String>),
    Quit,
}

/// Why a line is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("unknown command")]
    Unknown,
    #[error("syntax: {0}")]
    Syntax(&'static str),
}

impl Command {
    /// Parses one line; keywords are read in any case.
    pub fn parse(line: &str) -> Result<Self, CommandError> {
        let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
        let syntax = CommandError::Syntax;
        match keyword.to_ascii_uppercase().as_str() {
            // A password may begin and end with spaces (RFC 1939 section 7, PASS); a user name does not.
            "PASS" if !rest.is_empty() => Ok(Self::Pass(rest.to_owned())),
            "PASS" => Err(syntax("PASS password")),
            "USER" if !rest.trim().is_empty() => Ok(Self::User(rest.trim().to_owned())),
            "USER" => Err(syntax("USER name")),
            "AUTH" => auth(&words(rest)),
            "STAT" => alone(Self::Stat, rest, "STAT"),
            "LIST" => message(rest).map(Self::List).ok_or(syntax("LIST [message]")),
            "UIDL" => message(rest).map(Self::Uidl).ok_or(syntax("UIDL [message]")),
            "RETR" => message(rest).flatten().map(Self::Retr).ok_or(syntax("RETR message")),
            "DELE" => message(rest).flatten().map(Self::Dele).ok_or(syntax("DELE message")),
            "TOP" => top(&words(rest)).ok_or(syntax("TOP message lines")),
            "RSET" => alone(Self::Rset, rest, "RSET"),
            "NOOP" => alone(Self::Noop, rest, "NOOP"),
            "CAPA" => alone(Self::Capa, rest, "CAPA"),
            "STLS" => alone(Self::Stls, rest, "STLS"),
            "UTF8" => alone(Self::Utf8, rest, "UTF8"),
            "LANG" => lang(&words(rest)).ok_or(syntax("LANG [range]")),
            "QUIT" => alone(Self::Quit, rest, "QUIT"),
            _ => Err(CommandError::Unknown),
        }
    }
}

fn alone(command: Command, rest: &str, syntax: &'static str) -> Result<Command, CommandError> {
    if rest.trim().is_empty() { Ok(command) } else { Err(CommandError::Syntax(syntax)) }
}

fn words(rest: &str) -> Vec<&str> {
    rest.split(' ').filter(|word| !word.is_empty()).collect()
}

fn auth(words: &[&str]) -> Result<Command, CommandError> {
    let owned = |word: Option<&&str>| word.map(|word| (*word).to_owned());
    match words.len() {
        0..=2 => Ok(Command::Auth(owned(words.first()), owned(words.get(1)))),
        _ => Err(CommandError::Syntax("AUTH [mechanism [initial-response]]")),
    }
}

/// No argument, or one message number; `None` is neither.
fn message(rest: &str) -> Option<Option<usize>> {
    match words(rest).as_slice() {
        [] => Some(None),
        [number] => digits(number).map(Some),
        _ => None,
    }
}

fn lang(words: &[&str]) -> Option<Command> {
    match words {
        [] => Some(Command::Lang(None)),
        [range] => Some(Command::Lang(Some((*range).to_owned()))),
        _ => None,
    }
}

fn top(words: &[&str]) -> Option<Command> {
    let [number, lines] = words else { return None };
    Some(Command::Top(digits(number)?, digits(lines)?))
}

fn digits<N: std::str::FromStr>(word: &str) -> Option<N> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_takes_just_its_arguments() {
        let syntax = CommandError::Syntax;
        for (line, command) in [
            ("user  fred", Ok(Command::User("fred".to_owned()))),
            ("PASS  two spaces ", Ok(Command::Pass(" two spaces ".to_owned()))),
            ("LIST", Ok(Command::List(None))),
            ("LIST 2", Ok(Command::List(Some(2)))),
            ("LIST 2 3", Err(syntax("LIST [message]"))),
            ("LIST -2", Err(syntax("LIST [message]"))),
            ("RETR", Err(syntax("RETR message"))),
            ("RETR 99999999999999999999999", Err(syntax("RETR message"))),
            ("TOP 1 0", Ok(Command::Top(1, 0))),
            ("TOP 1", Err(syntax("TOP message lines"))),
            ("AUTH", Ok(Command::Auth(None, None))),
            ("AUTH PLAIN =", Ok(Command::Auth(Some("PLAIN".to_owned()), Some("=".to_owned())))),
            ("utf8", Ok(Command::Utf8)),
            ("LANG", Ok(Command::Lang(None))),
            ("LANG en", Ok(Command::Lang(Some("en".to_owned())))),
            ("LANG en de", Err(syntax("LANG [range]"))),
            ("QUIT now", Err(syntax("QUIT"))),
            ("APOP a b", Err(CommandError::Unknown)),
            ("", Err(CommandError::Unknown)),
        ] {
            assert_eq!(Command::parse(line), command, "{line:?}");
        }
    }
}
