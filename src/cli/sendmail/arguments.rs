//! The command line of sendmail, as programs have written it for forty years: one dash, values attached or not, and a
//! hundred options of which most say nothing any more. Pure.

use crate::smtp::command::ENVID_MAX_BYTES;

/// What is told of the options.
pub(super) const HELP: &str = "\
Options of sendmail, behind those of every command:
  -t           To, Cc and Bcc in the header name recipients, beside those of the command line
  -i           A line with nothing but a dot is a line like any other (also -oi); else the message ends there
  -f SENDER    The envelope's sender (also -r), which says which account the message goes out by; without it From does.
               '<>' is the null sender
  -F NAME      The name for a From, where the message has none
  -N WHEN      Report when: never, or any of failure,delay,success with commas between
  -R HOW       What comes back with a failure: full or hdrs
  -V ENVID     What the reports call the message: printable ASCII, at most 100 characters (a space, + and = count as three)
  -bm          Take a message on standard input (this is what is done anyway)
  -bs          Speak SMTP on standard input and output
  -bp          Show what is still to be sent, as mailq does
  -q           Try everything that waits, now; a time behind it is passed over
Others of sendmail's options (-B -C -D -G -L -O -U -X -h -m -n -o -p -v) are taken and change nothing.

The message is in the outbox, on disk, when this ends with 0. It ends with 64 where the command line is wrong or names
nobody, 69 where syncd does not run, 75 where it cannot be taken now, 77 where no account sends as its sender, 1 where a
recipient was refused.

    printf 'Subject: hello\\n\\nText\\n' | syncctl sendmail -i bob@example.org
    syncctl sendmail -t -i < letter.eml";

/// What sendmail is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub mode: Mode,
    /// `-f`: the envelope's sender; empty is the null reverse-path.
    pub from: Option<String>,
    /// `-F`: the name for a From that has to be added.
    pub full_name: Option<String>,
    /// `-t`: To, Cc and Bcc name recipients.
    pub recipients_in_header: bool,
    /// `-i`: a line with a dot is a line like any other.
    pub dot_is_text: bool,
    /// `-N`, `-R`, `-V` (RFC 3461).
    pub notify: Option<String>,
    pub ret: Option<String>,
    /// In its xtext form.
    pub envid: Option<String>,
    pub recipients: Vec<String>,
}

/// What is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// `-bm`: a message on standard input.
    #[default]
    Message,
    /// `-bs`: SMTP on standard input and output.
    Smtp,
    /// `-bp`: show the queue.
    ShowQueue,
    /// `-q`: try the queue now.
    RunQueue,
}

/// What cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mistake {
    #[error("{0} needs a value")]
    NoValue(String),
    #[error("{0} is no option of sendmail that is known here")]
    Unknown(String),
    #[error("{0} is no option of sendmail; options of syncctl stand before sendmail's")]
    Long(String),
    #[error("-q, -bp and -bs take neither recipients nor -t, and no message")]
    NoMessage,
    #[error("{0:?} cannot be: a DSN is wanted never, or on any of delay,failure,success")]
    Notify(String),
    #[error("{0:?} cannot be: a failed message comes back as full or as hdrs")]
    Ret(String),
    #[error("{0:?} cannot be an ENVID: that is one printable character of ASCII or more")]
    Envid(String),
    #[error(
        "{0:?} cannot be an ENVID: that has at most {ENVID_MAX_BYTES} characters, of which each space, + and = counts as three"
    )]
    LongEnvid(String),
}

/// Options with a value.
const VALUED: &str = "BCDFLNORVXfhopr";

/// Options without one that change nothing here.
const SILENT: &str = "GUmnv";

impl Options {
    /// Reads the arguments after the program's name.
    pub fn parse(arguments: &[String]) -> Result<Self, Mistake> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let Some(letters) = argument.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                options.recipients.push(argument.clone());
                continue;
            };
            if letters == "-" {
                options.recipients.extend(arguments.by_ref().cloned());
                break;
            }
            if letters.starts_with('-') {
                return Err(Mistake::Long(argument.clone()));
            }
            let mut rest = letters.chars();
            while let Some(letter) = rest.next() {
                if letter == 'b' {
                    options.mode = mode(rest.as_str()).ok_or_else(|| Mistake::Unknown(argument.clone()))?;
                    break;
                } else if letter == 'q' {
                    options.mode = Mode::RunQueue;
                    break;
                } else if VALUED.contains(letter) {
                    let attached = Some(rest.as_str()).filter(|value| !value.is_empty()).map(str::to_owned);
                    let value = attached.or_else(|| arguments.next().cloned());
                    options.set(letter, value.ok_or_else(|| Mistake::NoValue(argument.clone()))?)?;
                    break;
                }
                match letter {
                    'i' => options.dot_is_text = true,
                    't' => options.recipients_in_header = true,
                    _ if SILENT.contains(letter) => {}
                    _ => return Err(Mistake::Unknown(argument.clone())),
                }
            }
        }
        Ok(options)
    }

    /// Where no message is taken, one that was meant to be sent must not be dropped.
    pub fn check(self) -> Result<Self, Mistake> {
        let is_message = self.mode == Mode::Message;
        let names_any = self.recipients_in_header || !self.recipients.is_empty();
        if names_any && !is_message { Err(Mistake::NoMessage) } else { Ok(self) }
    }

    fn set(&mut self, letter: char, value: String) -> Result<(), Mistake> {
        match letter {
            'f' | 'r' => self.from = Some(bare(&value)),
            'F' => self.full_name = Some(value),
            // -oi is -i; -odb, -oem and their kin say how to deliver, which is our business.
            'o' if value == "i" => self.dot_is_text = true,
            'N' => self.notify = Some(notify(&value).ok_or(Mistake::Notify(value))?),
            'R' if ["full", "hdrs"].contains(&value.to_ascii_lowercase().as_str()) => {
                self.ret = Some(value.to_ascii_uppercase());
            }
            'R' => return Err(Mistake::Ret(value)),
            'V' => self.envid = Some(envid(value)?),
            _ => {}
        }
        Ok(())
    }
}

fn mode(letters: &str) -> Option<Mode> {
    match letters {
        "m" => Some(Mode::Message),
        "s" => Some(Mode::Smtp),
        "p" => Some(Mode::ShowQueue),
        _ => None,
    }
}

/// `<a@b>` and `a@b` are the same.
fn bare(address: &str) -> String {
    let address = address.trim();
    address.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(address).to_owned()
}

/// `envid-parameter = "ENVID=" xtext`, of what is printable in ASCII (RFC 3461 section 4.4).
fn envid(value: String) -> Result<String, Mistake> {
    let encoded = xtext(&value);
    match value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        true if encoded.len() > ENVID_MAX_BYTES => Err(Mistake::LongEnvid(value)),
        true if !value.is_empty() => Ok(encoded),
        _ => Err(Mistake::Envid(value)),
    }
}

/// `xtext` (RFC 3461 section 4).
fn xtext(text: &str) -> String {
    let plain = |byte: u8| (b'!'..=b'~').contains(&byte) && byte != b'+' && byte != b'=';
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("+{byte:02X}") }).collect()
}

fn notify(value: &str) -> Option<String> {
    let value = value.to_ascii_uppercase();
    let listed = || value.split(',').all(|word| ["SUCCESS", "FAILURE", "DELAY"].contains(&word));
    (value == "NEVER" || listed()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Mistake> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words)
    }

    #[test]
    fn what_programs_write_is_understood() {
        let to = |recipients: &[&str]| recipients.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let text = |text: &str| Some(text.to_owned());
        let plain = Options::default();
        for (line, expected) in [
            // mutt, git send-email, cron, PHP.
            (
                "-oem -oi -f me@x -- a@y b@y",
                Options { dot_is_text: true, from: text("me@x"), recipients: to(&["a@y", "b@y"]), ..plain.clone() },
            ),
            ("-i a@y", Options { dot_is_text: true, recipients: to(&["a@y"]), ..plain.clone() }),
            (
                "-FCronDaemon -odi -oem root",
                Options { full_name: text("CronDaemon"), recipients: to(&["root"]), ..plain.clone() },
            ),
            ("-t -i", Options { recipients_in_header: true, dot_is_text: true, ..plain.clone() }),
            (
                "-ti -fme@x",
                Options { recipients_in_header: true, dot_is_text: true, from: text("me@x"), ..plain.clone() },
            ),
            (
                "-N failure,delay -R hdrs -V id1 -B 8BITMIME -f <> a@y",
                Options {
                    notify: text("FAILURE,DELAY"),
                    ret: text("HDRS"),
                    envid: text("id1"),
                    from: text(""),
                    recipients: to(&["a@y"]),
                    ..plain.clone()
                },
            ),
            ("-bs", Options { mode: Mode::Smtp, ..plain.clone() }),
            ("-bp", Options { mode: Mode::ShowQueue, ..plain.clone() }),
            ("-q30m", Options { mode: Mode::RunQueue, ..plain }),
        ] {
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (line, mistake) in [
            ("-f", Mistake::NoValue("-f".to_owned())),
            ("-bd", Mistake::Unknown("-bd".to_owned())),
            ("-tz", Mistake::Unknown("-tz".to_owned())),
            ("-N always", Mistake::Notify("always".to_owned())),
            ("-R some", Mistake::Ret("some".to_owned())),
            ("-t --json", Mistake::Long("--json".to_owned())),
            ("-t -q", Mistake::NoMessage),
            ("-q10m a@y", Mistake::NoMessage),
            ("-bp a@y", Mistake::NoMessage),
            ("-bs -t", Mistake::NoMessage),
            ("-V grün", Mistake::Envid("grün".to_owned())),
        ] {
            assert_eq!(parse(line).and_then(Options::check), Err(mistake), "{line}");
        }
    }

    #[test]
    fn what_reports_call_a_message_is_what_an_envid_can_hold() {
        let named = |value: &str| Options::parse(&["-V".to_owned(), value.to_owned()]).map(|options| options.envid);
        assert_eq!(named("a b+c=d"), Ok(Some("a+20b+2Bc+3Dd".to_owned())));
        let longest = "x".repeat(97) + "=";
        assert_eq!(named(&longest), Ok(Some("x".repeat(97) + "+3D")));
        let longer = format!("{longest}y");
        assert_eq!(named(&longer), Err(Mistake::LongEnvid(longer.clone())));
        for wrong in ["", "ü", "two\nlines", "tab\t", "\x7f"] {
            assert_eq!(named(wrong), Err(Mistake::Envid(wrong.to_owned())));
        }
    }

    #[test]
    fn each_option_that_is_taken_is_told() {
        for letter in VALUED.chars().chain(SILENT.chars()).chain("tibq".chars()) {
            assert!(HELP.contains(&format!("-{letter}")), "-{letter}");
        }
    }
}
