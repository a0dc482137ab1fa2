//! What people read: lines, tables, colour where it is wanted.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

/// Standard output.
pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    colour: bool,
    /// How wide it is.
    columns: usize,
}

/// Of a terminal that does not say, and of what is no terminal.
const USUAL_COLUMNS: usize = 80;

/// How a piece of text is shown where there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Bold,
    Good,
    Busy,
    Bad,
}

impl Tone {
    const fn sequence(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Good => "\x1b[32m",
            Self::Busy => "\x1b[33m",
            Self::Bad => "\x1b[31m",
        }
    }
}

impl Screen {
    /// With colour on a terminal, unless `NO_COLOR` is set (no-color.org) or the terminal is dumb.
    pub fn stdout() -> Self {
        let unset = |name| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = io::stdout().is_terminal() && unset("NO_COLOR") && !dumb;
        let told = rustix::termios::tcgetwinsize(io::stdout()).map(|size| usize::from(size.ws_col));
        let columns = told.ok().filter(|columns| *columns > 0).unwrap_or(USUAL_COLUMNS);
        Self { out: Box::new(io::stdout()), colour, columns }
    }

    /// The same, into memory.
    #[cfg(test)]
    pub fn to(out: impl Write + Send + 'static, colour: bool) -> Self {
        Self { out: Box::new(out), colour, columns: USUAL_COLUMNS }
    }

    /// One line.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", printable(text))?;
        self.out.flush()
    }

    /// One line of pieces, each in its tone.
    pub fn toned(&mut self, pieces: &[(Tone, &str)]) -> io::Result<()> {
        for (tone, text) in pieces {
            match self.colour && *tone != Tone::Plain {
                true => write!(self.out, "{}{}\x1b[0m", tone.sequence(), printable(text))?,
                false => write!(self.out, "{}", printable(text))?,
            }
        }
        writeln!(self.out)?;
        self.out.flush()
    }

    /// One JSON value on one line.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        writeln!(self.out, "{}", serde_json::to_string(value)?)?;
        self.out.flush()
    }

    /// Clears a terminal before the next frame of something that is followed.
    pub fn new_frame(&mut self) -> io::Result<()> {
        if self.colour {
            write!(self.out, "\x1b[H\x1b[2J")?;
        }
        Ok(())
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()
    }

    /// Text that is one of several things in a row: what does not fit half the screen is cut off.
    pub fn fitting(&self, text: &str) -> String {
        let (text, max) = (printable(text), self.columns / 2);
        if text.width() <= max {
            return text;
        }
        let ends = text.char_indices().map(|(end, _)| end).take_while(|end| text[..*end].width() < max);
        format!("{}…", &text[..ends.last().unwrap_or(0)])
    }

    /// Rows under a heading, each column as wide as its widest cell; columns in `right` are flush right. No column is made
    /// wider than half the screen for the sake of one cell: that cell sticks out.
    pub fn table(&mut self, indent: &str, heading: &[&str], rows: &[Vec<String>], right: &[usize]) -> io::Result<()> {
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
        let mut widths: Vec<usize> = heading.iter().map(|cell| cell.width()).collect();
        for row in &rows {
            for (column, cell) in row.iter().enumerate() {
                widths[column] = widths[column].max(cell.width().min(self.columns / 2));
            }
        }
        let format = |cells: &[&str]| {
            let mut text = indent.to_owned();
            for (column, cell) in cells.iter().enumerate() {
                let padding = " ".repeat(widths[column].saturating_sub(cell.width()));
                match right.contains(&column) {
                    true => text.extend([padding.as_str(), cell]),
                    false => text.extend([*cell, padding.as_str()]),
                }
                text.push_str("  ");
            }
            text.trim_end().to_owned()
        };
        self.toned(&[(Tone::Bold, &format(heading))])?;
        for row in rows {
            self.line(&format(&row.iter().map(String::as_str).collect::<Vec<_>>()))?;
        }
        Ok(())
    }
}

/// `3 entries`, `1 entry`.
pub(super) fn counted(count: impl TryInto<u64>, one: &str, more: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {}", if count == 1 { one } else { more })
}

/// `1.5 MB`: as the configuration counts them, by 1024.
pub(super) fn bytes(count: u64) -> String {
    let units = [(30, "GB"), (20, "MB"), (10, "KB")];
    match units.into_iter().find(|(shift, _)| count >> shift > 0) {
        None => counted(count, "byte", "bytes"),
        Some((shift, unit)) => match (count >> shift, ((count * 10) >> shift) % 10) {
            (whole, tenths) if whole < 10 && tenths > 0 => format!("{whole}.{tenths} {unit}"),
            (whole, _) => format!("{whole} {unit}"),
        },
    }
}

/// A subject, or that there is none.
pub(super) const fn titled(subject: &str) -> &str {
    if subject.is_empty() { "(no subject)" } else { subject }
}

/// Text from servers and messages could carry terminal sequences, and what turns the writing around: such characters are
/// shown, never sent.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| match character.is_control() || turns_or_hides(character) {
            true => character.escape_default().collect::<Vec<_>>(),
            false => vec![character],
        })
        .collect()
}

/// Is it a mark, an embedding, an override or an isolate of the bidirectional algorithm (Unicode Standard Annex 9), a
/// separator of lines, or a space that has no width?
const fn turns_or_hides(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn shown(draw: impl FnOnce(&mut Screen) -> io::Result<()>) -> String {
        let memory = Memory::default();
        draw(&mut Screen::to(memory.clone(), false)).expect("memory takes all");
        let bytes = memory.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn columns_line_up_whatever_the_script() {
        let row = |name: &str, count: &str| vec![name.to_owned(), count.to_owned()];
        let rows =
            [row("受信箱", "7"), row("Sent", "120"), row("हिन्दी", "1"), row("a\u{301}👩‍👩‍👧", "2"), row("x\ty", "3")];
        let text = shown(|screen| screen.table("", &["MAILBOX", "N"], &rows, &[1]));
        let columns: Vec<usize> = text.lines().map(|line| line.width()).collect();
        assert_eq!(columns, [12; 6], "{text}");
        assert!(text.contains("受信箱     7\nSent     120\n") && text.contains("x\\ty       3\n"), "{text}");
    }

    #[test]
    fn one_long_cell_does_not_push_all_the_others_off_the_screen() {
        let long = "x".repeat(300);
        let rows = [vec![long.clone(), "7".to_owned()], vec!["Sent".to_owned(), "120".to_owned()]];
        let text = shown(|screen| screen.table("", &["MAILBOX", "N"], &rows, &[1]));
        let gap = " ".repeat(40 - "Sent".len());
        assert!(text.ends_with(&format!("{long}    7\nSent{gap}  120\n")), "{text}");
    }

    #[test]
    fn what_does_not_fit_half_the_screen_is_cut_off_whatever_the_script() {
        let screen = Screen::to(Memory::default(), false);
        for (text, fitting) in [
            ("x".repeat(40), "x".repeat(40)),
            ("x".repeat(41), format!("{}…", "x".repeat(39))),
            ("受".repeat(21), format!("{}…", "受".repeat(19))),
            ("a\x1b[2J".to_owned(), "a\\u{1b}[2J".to_owned()),
            ("a\u{202e}b".to_owned(), "a\\u{202e}b".to_owned()),
        ] {
            assert_eq!(screen.fitting(&text), fitting);
        }
    }

    #[test]
    fn bytes_are_counted_as_in_the_configuration() {
        let told = [0, 1, 1023, 1024, 1536, 10 << 20, (3 << 30) + (1 << 29)].map(bytes);
        assert_eq!(told, ["0 bytes", "1 byte", "1023 bytes", "1 KB", "1.5 KB", "10 MB", "3.5 GB"]);
    }

    #[test]
    fn a_terminal_sequence_in_foreign_text_is_shown_not_sent() {
        assert_eq!(shown(|screen| screen.line("a\x1b[2Jb")), "a\\u{1b}[2Jb\n");
    }
}
