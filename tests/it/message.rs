//! Messages written by others, and properties that hold for any bytes.

use std::fs;
use std::path::{Path, PathBuf};

use mailtide::imap::syntax::body::{BodyForm, write_body, write_envelope};
use mailtide::message::{Body, Part, Scanner, Summary};
use proptest::prelude::*;

use crate::properties;

/// BODYSTRUCTURE and ENVELOPE of the awkward messages, with CRLF line ends as mail arrives. Where Dovecot 2.3.19 says
/// something else the line before tells what, and why this is better.
const EXPECTED: &str = include_str!("../corpus/expected.txt");

#[test]
fn awkward_messages_are_read_as_their_readers_expect() {
    let mut wrong = Vec::new();
    for (name, expected) in expectations() {
        let found = shown(&Scanner::scan(&read(&name)));
        if found != expected {
            wrong.push(format!("{name}:\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_awkward_message_has_an_expectation() {
    let mut files: Vec<String> = fs::read_dir(corpus())
        .expect("the corpus")
        .map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".eml"))
        .collect();
    files.sort();
    let names: Vec<String> = expectations().into_iter().map(|(name, _)| name).collect();
    assert_eq!(files, names);
}

#[test]
fn line_ends_do_not_change_the_structure() {
    for (name, _) in expectations() {
        let crlf = read(&name);
        let lf: Vec<u8> = String::from_utf8_lossy(&crlf).replace("\r\n", "\n").into_bytes();
        let types =
            |message: &[u8]| all_parts(&Scanner::scan(message).root).into_iter().map(media_type).collect::<Vec<_>>();
        assert_eq!(types(&crlf), types(&lf), "{name}");
    }
}

/// Bytes that are likely to mean something.
fn message_bytes() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("\r\n"),
        Just("\n"),
        Just("\r"),
        Just("\0"),
        Just(" "),
        Just("--"),
        Just("--a\r\n"),
        Just("--ab\n"),
        Just("--a--\r\n"),
        Just("--ab--"),
        Just("Content-Type: multipart/mixed; boundary=a\r\n"),
        Just("Content-Type: multipart/digest;\n boundary=\"ab\"\n"),
        Just("content-type: message/rfc822\r\n"),
        Just("Content-Type: text/plain; charset=iso-2022-jp\n"),
        Just("Content-Transfer-Encoding: base64\n"),
        Just("Content-Transfer-Encoding: quoted-printable\n"),
        Just("From: \"a\\\" (b) <@c:d@e>, f: g@h;\r\n"),
        Just("Date: Mon, 32 Foo 99999 25:61:61 +9999\n"),
        Just("Subject: =?utf-8?q?=C3?= =?x?b?=?\n"),
        Just("Content-Disposition: a; b*0*=c'd'%; b*1=\"e\n"),
        Just("=C3=BC =\r\n"),
        Just("aGVsbG8"),
        Just("\u{fc}\u{1b}$B"),
    ];
    prop::collection::vec(
        prop_oneof![
            4 => token.prop_map(|text| text.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..40),
        ],
        0..60,
    )
    .prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read_as_every_message_must_be(message in message_bytes(), needle in "[a-zü ]{0,3}") {
        properties::check("message", &message);
        properties::check("search", &[needle.as_bytes(), b"\n", &message].concat());
    }
}

fn all_parts(root: &Part) -> Vec<&Part> {
    let mut parts = vec![root];
    match &root.body {
        Body::Leaf => {}
        Body::Multipart(children) => children.iter().for_each(|child| parts.extend(all_parts(child))),
        Body::Message(_, root) => parts.extend(all_parts(root)),
    }
    parts
}

fn media_type(part: &Part) -> String {
    format!("{}/{}", part.media_type, part.media_subtype)
}

/// As FETCH would show it, in ASCII.
fn shown(summary: &Summary) -> String {
    let mut line = Vec::new();
    write_body(&mut line, &summary.root, BodyForm::STRUCTURE);
    line.push(b' ');
    write_envelope(&mut line, &summary.envelope);
    line.escape_ascii().to_string().replace("\\\"", "\"")
}

/// (file name, expected) in the order of the file.
fn expectations() -> Vec<(String, String)> {
    let lines: Vec<&str> = EXPECTED.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    lines.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

/// The message with CRLF line ends.
fn read(name: &str) -> Vec<u8> {
    let bytes = fs::read(corpus().join(name)).expect("a message of the corpus");
    let mut message = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if byte == b'\n' && message.last() != Some(&b'\r') {
            message.push(b'\r');
        }
        message.push(byte);
    }
    message
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}
