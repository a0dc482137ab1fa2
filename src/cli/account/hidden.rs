//! A password typed on the terminal, unseen.
//!
//! Rules: the terminal is as it was before however this ends: its own line editing and its own Ctrl-C are off meanwhile,
//! since a program that Ctrl-C ends here would leave a terminal that shows nothing. Keys are read on a thread of their own,
//! so that dropping the answer, at a signal, gives the terminal back at once.

use std::io::{self, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const CTRL_U: u8 = 0x15;
const DELETE: u8 = 0x7f;

/// Asks on the terminal; `None`: Ctrl-C, or Ctrl-D before anything was typed.
pub(super) async fn answer(question: &str) -> io::Result<Option<String>> {
    // Who waits beside this for a signal does so before the terminal is changed.
    tokio::task::yield_now().await;
    let _hidden = Hidden::begin()?;
    let mut terminal = io::stderr();
    write!(terminal, "{question}")?;
    terminal.flush()?;
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || drop(tell.send(typed(io::stdin().lock().bytes()))));
    told.await.unwrap_or_else(|_| Err(io::ErrorKind::UnexpectedEof.into()))
}

/// The line that these keys make.
fn typed(keys: impl Iterator<Item = io::Result<u8>>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    for key in keys {
        match key? {
            b'\r' | b'\n' => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
            CTRL_C => return Ok(None),
            CTRL_D if line.is_empty() => return Ok(None),
            CTRL_U => line.clear(),
            // A character may be several bytes.
            BACKSPACE | DELETE => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            key if key.is_ascii_control() => {}
            key => line.push(key),
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// A terminal that shows nothing, until this is dropped.
struct Hidden {
    before: Termios,
}

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden)?;
        Ok(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
        // The key that ended the line was not shown.
        let _ = writeln!(io::stderr());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_make_a_line_or_end_the_asking() {
        for (keys, expected) in [
            ("sesame\n", Some("sesame")),
            ("with space \r", Some("with space ")),
            ("\n", Some("")),
            ("sez\x7fame\n", Some("seame")),
            ("\x7f\x08a\n", Some("a")),
            ("sé\x7f\n", Some("s")),
            ("wrong\x15right\n", Some("right")),
            ("a\x1ab\x04\n", Some("ab")),
            ("ses\x03", None),
            ("\x04", None),
        ] {
            let line = typed(keys.bytes().map(Ok)).expect("an answer");
            assert_eq!(line.as_deref(), expected, "{keys:?}");
        }
        assert!(typed("ses".bytes().map(Ok)).is_err(), "the terminal is gone");
    }
}
