//! `syncctl search`.

use std::ffi::OsString;
use std::fmt::Write as _;

use super::Context;
use super::failure::Failure;
use super::screen::{Screen, Tone, counted, titled};
use crate::agent::Exit;
use crate::control::Request;
use crate::control::report::{Found, FoundMessage, State, Unsearched};
use crate::message::asked::KEYS;

#[derive(Debug, clap::Args)]
#[command(after_help = keys())]
pub(super) struct Arguments {
    /// What to look for; all of it must be there
    #[arg(required = true, value_name = "QUERY")]
    query: Vec<String>,
    /// Only in this account
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only in this mailbox
    #[arg(long, value_name = "MAILBOX")]
    mailbox: Option<String>,
    /// Show so many at most, the newest
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

fn keys() -> String {
    let mut text = "A query is words, \"phrases\" and keys; - before one says that it must not be there, OR between two\n\
                    that either will do. Words are found within words, in any script, without regard to case.\n\nKeys:\n"
        .to_owned();
    for (key, takes) in KEYS {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {:<10} {takes}", format!("{key}:"));
    }
    text
}

/// A word of the query that begins with a - is no option: of one letter there are only these two. With a blank before it, it
/// is not taken for one.
pub(super) fn spare_dashes(words: &mut [OsString]) {
    let is_meant = |word: &str| word.starts_with('-') && !word.starts_with("--") && !["-", "-h", "-V"].contains(&word);
    for word in words.iter_mut().take_while(|word| *word != "--") {
        if let Some(meant) = word.to_str().filter(|word| is_meant(word)) {
            *word = format!(" {meant}").into();
        }
    }
}

pub(super) async fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { query, account, mailbox, limit } = arguments;
    let request = Request::Search { query: joined(&query), account, mailbox, limit };
    let found: Found = context.ask(&request).await?;
    match context.json {
        true => context.screen.json(&found)?,
        false => show(&mut context.screen, &found)?,
    }
    Ok(Exit::Done)
}

/// One argument is the query as it stands. Of several, one with blanks was quoted for the shell and is meant as a phrase.
fn joined(arguments: &[String]) -> String {
    match arguments {
        [one] => one.clone(),
        several => several.iter().map(|one| phrase(one.trim())).collect::<Vec<_>>().join(" "),
    }
}

fn phrase(argument: &str) -> String {
    if !argument.contains(char::is_whitespace) || argument.contains('"') {
        return argument.to_owned();
    }
    let (not, what) = argument.strip_prefix('-').map_or(("", argument), |what| ("-", what));
    match what.split_once(':').filter(|(key, _)| key.chars().all(|letter| letter.is_ascii_alphabetic())) {
        Some((key, text)) => format!("{not}{key}:\"{text}\""),
        None => format!("{not}\"{what}\""),
    }
}

fn show(screen: &mut Screen, found: &Found) -> std::io::Result<()> {
    found.messages.iter().try_for_each(|message| print(screen, message))?;
    found.unsearched_in.iter().try_for_each(|unsearched| screen.line(&not_searched(unsearched)))?;
    let shown = found.messages.len();
    match (found.total, shown as u64 == found.total) {
        (0, _) => screen.line("Nothing found."),
        (_, true) => screen.line(&format!("{} found.", counted(shown, "message", "messages"))),
        (total, false) => screen.line(&format!("{total} messages found, the newest {shown} shown (--limit).")),
    }
}

/// What could not be looked at, and what helps.
fn not_searched(unsearched: &Unsearched) -> String {
    let Unsearched { account, messages, state, error } = unsearched;
    let because = error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
    let why = match state {
        State::Paused => format!("{account} is paused; `syncctl online {account}` first"),
        State::AuthFailed => format!("the login was refused{because}"),
        State::Offline => format!("{account} is offline{because}"),
        State::Online | State::Syncing | State::Blocked => "it did not answer".to_owned(),
    };
    let messages = counted(usize::try_from(*messages).unwrap_or(usize::MAX), "message", "messages");
    format!("Of {messages} of {account} the text is only at the server, which could not be asked: {why}.")
}

fn print(screen: &mut Screen, message: &FoundMessage) -> std::io::Result<()> {
    let subject = titled(&message.subject);
    let tone = if message.unread { Tone::Bold } else { Tone::Plain };
    screen.toned(&[(Tone::Busy, &message.date), (Tone::Plain, &format!("  {}  ", message.from)), (tone, subject)])?;
    let place = if message.at_server { ", its text only at the server" } else { "" };
    screen.line(&format!("  {}, {}, UID {}{place}", message.account, message.mailbox, message.uid))?;
    if !message.snippet.is_empty() {
        screen.line(&format!("  {}", message.snippet))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_not_wanted_is_no_option() {
        let mut words =
            ["search", "-subject:a", "-hello", "-x", "-h", "-", "--json", "b", "--", "-c"].map(OsString::from);
        spare_dashes(&mut words);
        assert_eq!(words, ["search", " -subject:a", " -hello", " -x", "-h", "-", "--json", "b", "--", "-c"]);
    }

    #[test]
    fn what_the_shell_took_as_one_is_one() {
        for (arguments, expected) in [
            (&["one two"][..], "one two"),
            (&["one", "two"][..], "one two"),
            (&["one", "two three"][..], "one \"two three\""),
            (&["subject:a b", "-c"][..], "subject:\"a b\" -c"),
            (&["\"a b\"", "c"][..], "\"a b\" c"),
            (&[" -subject:a b", " -c d"][..], "-subject:\"a b\" -\"c d\""),
        ] {
            let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
            assert_eq!(joined(&arguments), expected);
        }
    }
}
