//! A header as fields (RFC 5322 section 2.2), as mail is in the wild.
//!
//! Rules: a field is a line and the lines after it that begin with a space or tab; a line break is CRLF or a bare LF; a
//! line without a colon is a field whose name is the whole line, so that nothing of a header is ever lost between
//! fields. The empty line after a header belongs to no field.

/// One field of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as written, without white space before the colon (RFC 5322 section 4.5 allows it).
    pub name: &'a [u8],
    /// What follows the colon, folds and all, without the last line break.
    pub value: &'a [u8],
    /// Everything, with the last line break.
    pub whole: &'a [u8],
}

impl Field<'_> {
    /// Is it the field of that name? Names have no case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value on one line (RFC 5322 section 2.2.3), without white space at its ends. NULs are dropped, too: an IMAP
    /// string cannot hold them (RFC 3501 section 9, CHAR8).
    pub fn unfolded(&self) -> Vec<u8> {
        let dropped = |byte: u8| matches!(byte, b'\r' | b'\n' | 0);
        let value = trim_all(self.value, |byte| dropped(byte) || is_blank(byte));
        let mut line = Vec::with_capacity(value.len());
        line.extend(value.iter().copied().filter(|byte| !dropped(*byte)));
        line
    }
}

/// The fields of `header`, up to its end or the first empty line.
pub fn fields(header: &[u8]) -> Fields<'_> {
    Fields { rest: header }
}

/// See [`fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.rest.is_empty() || is_empty_line(first_line(self.rest)) {
            return None;
        }
        let mut length = first_line(self.rest).len();
        while matches!(self.rest.get(length), Some(b' ' | b'\t')) {
            length += first_line(&self.rest[length..]).len();
        }
        let (whole, rest) = self.rest.split_at(length);
        self.rest = rest;
        let text = without_line_break(whole);
        Some(match text.iter().position(|byte| *byte == b':') {
            Some(colon) => Field { name: text[..colon].trim_ascii_end(), value: &text[colon + 1..], whole },
            None => Field { name: text.trim_ascii_end(), value: &[], whole },
        })
    }
}

/// Where the header ends that begins with `bytes`, or goes on there at the beginning of a line: behind its empty line.
pub(super) fn end(bytes: &[u8]) -> Option<usize> {
    let mut line_starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', bytes).map(|at| at + 1));
    line_starts.find_map(|start| empty_line(&bytes[start..]).map(|line| start + line.len()))
}

/// The line break that is all of the first line.
fn empty_line(bytes: &[u8]) -> Option<&[u8]> {
    [&b"\n"[..], b"\r\n"].into_iter().find(|line| bytes.starts_with(line))
}

/// The first line with its line break.
fn first_line(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |place| place + 1);
    &bytes[..end]
}

/// Is `line` nothing but a line break?
pub(super) fn is_empty_line(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}

/// `line` without the CRLF or LF at its end.
pub(super) fn without_line_break(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// `bytes` without spaces and tabs at its ends.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    trim_all(bytes, is_blank)
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim_all(bytes: &[u8], goes: impl Fn(u8) -> bool) -> &[u8] {
    let start = bytes.iter().position(|byte| !goes(*byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !goes(*byte)).map_or(start, |place| place + 1);
    &bytes[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_and_values(header: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields(header.as_bytes()).map(|field| (text(field.name), text(&field.unfolded()))).collect()
    }

    #[test]
    fn fields_are_told_apart_however_lines_end() {
        for (header, expected) in [
            ("A: 1\r\nB:2\r\n\r\nbody: no\r\n", vec![("A", "1"), ("B", "2")]),
            ("A: 1\nB: 2\n\nbody", vec![("A", "1"), ("B", "2")]),
            ("A: 1\r\n\tfolded\r\n  twice\r\nB: 2", vec![("A", "1\tfolded  twice"), ("B", "2")]),
            ("A : space before the colon\n", vec![("A", "space before the colon")]),
            ("From me Mon Jan 1 2001\nA: 1\n", vec![("From me Mon Jan 1 2001", ""), ("A", "1")]),
            (" continues nothing\nA: 1\n", vec![(" continues nothing", ""), ("A", "1")]),
            ("A: 1\n \nB: 2\n", vec![("A", "1"), ("B", "2")]),
            ("A: a\0b\rc\n", vec![("A", "abc")]),
            ("A:", vec![("A", "")]),
            ("", vec![]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            assert_eq!(names_and_values(header), expected, "{header:?}");
        }
    }

    #[test]
    fn fields_and_the_empty_line_are_the_whole_header() {
        let header = b"A: 1\r\n b\r\nno colon\r\nC:\r\n\r\n";
        let mut bytes: Vec<u8> = fields(header).flat_map(|field| field.whole.to_vec()).collect();
        bytes.extend(b"\r\n");
        assert_eq!(bytes, header);
    }
}
