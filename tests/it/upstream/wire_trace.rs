//! The wire trace shows what happened, and neither secrets nor mail.

use std::io;
use std::sync::{Arc, Mutex};

use mailtide::outbox::sender::{Envelope, Sender};
use mailtide::sync::maildrop::seam::OpenMaildrop;
use mailtide::sync::remote::{Connect, Remote, RemoteName};
use mailtide::types::{Secret, SecretKind};
use mailtide::upstream::{Login, Pop3Connector, SmtpSender, WIRE_TRACE_TARGET};

use super::imap_errors::{Counting, append_one, outgoing, uids};
use super::script::{Line, Scripted, account};

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while locked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Set in the process that has the subscriber to itself.
const ALONE: &str = "MAILTIDE_TEST_ALONE";

/// Whether a place in the code logs is decided once for the whole process, by whoever comes there first: beside other
/// tests the trace may lack lines. So it is taken in a process of its own.
#[test]
fn neither_a_secret_nor_mail_is_in_any_log() {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        return runtime.expect("a runtime").block_on(everything_is_logged_but_secrets_and_mail());
    }
    let output = std::process::Command::new(std::env::current_exe().expect("this test's own program"))
        .args(["--exact", "upstream::wire_trace::neither_a_secret_nor_mail_is_in_any_log"])
        .env(ALONE, "1")
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

async fn everything_is_logged_but_secrets_and_mail() {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let imap = "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hello\nC: AUTHENTICATE PLAIN..\nS: $ BAD hunter2 AGFubgBodW50ZXIy\n\
        C: AUTHENTICATE PLAIN\nS: +\nC: ..\nS: $ BAD hunter2\nC: LOGIN..\nS: $ OK hunter2\nC: CAPABILITY\n\
        S: * CAPABILITY IMAP4rev1 LITERAL+\nS: $ OK\nC: UID FETCH..\n\
        S: * 1 FETCH (UID 1 FLAGS () BODY[] {8}\ns: dear ann\nS: )\nS: * 2 FETCH (UID 2 FLAGS () BODY[] \"dear \\\"ann\")\nS: $ OK\n\
        C: APPEND..\nB: 8\nS: $ OK\n";
    let mut remote = account(Scripted::new(&[imap], Line::default())).connect().await.expect("a login");
    let mut sink = Counting::default();
    remote.fetch(&uids("1:2"), &mut sink).await.expect("a fetch");
    append_one(&mut remote, &RemoteName("x".to_owned()), outgoing(&mut b"dear ann".to_vec())).await.expect("an append");

    let smtp = "S: 220 hi\nC: EHLO c\nS: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN..\nS: 334\nC: ..\nS: 235 in, AGFubgBodW50ZXIy hunter2\n\
        C: MAIL..\nS: 250\nC: RCPT..\nS: 250\nC: DATA\nS: 354\nC: dear ann\nC: .\nS: 250 taken\nC: QUIT\nS: 221\n";
    let dial = Scripted::new(&[smtp], Line::default());
    let imap = account(dial.clone());
    let sender = SmtpSender {
        dial,
        more: Vec::new(),
        endpoint: imap.endpoint.clone(),
        tls: imap.tls.clone(),
        login: Some(Login {
            user: "ann".to_owned(),
            password: Secret::new("hunter2"),
            kind: SecretKind::Password,
            nonce: || None,
        }),
        hello_name: "c".to_owned(),
        timeouts: imap.timeouts,
        kept: None,
    };
    let envelope = Envelope::plain("ann@a.example", &["bob@b.example"]);
    sender.send(&envelope, &mut b"dear ann".to_vec()).await.expect("the message is taken");

    let pop3 = "S: +OK POP3\nC: CAPA\nS: -ERR no\nC: USER ann\nS: +OK ann, hunter2?\nC: PASS hunter2\nS: -ERR no hunter2 here\n";
    let maildrop = Pop3Connector {
        dial: Scripted::new(&[pop3], Line::default()),
        endpoint: imap.endpoint.clone(),
        tls: imap.tls.clone(),
        user: "ann".to_owned(),
        password: Secret::new("hunter2"),
        kind: SecretKind::Password,
        timeouts: imap.timeouts,
        nonce: || None,
    };
    assert!(maildrop.open().await.is_err());

    let log = String::from_utf8(written.0.lock().expect("no panic while locked").clone()).expect("text");
    for shown in [
        "C: A0001 AUTHENTICATE PLAIN ...",
        "C: A0003 LOGIN ...",
        "BODY[] {message}",
        "{8+}",
        "C: AUTH ...",
        "S: 250 taken",
        "S: +OK POP3",
        "C: (login)",
    ] {
        assert!(log.contains(shown), "{shown:?} is not in the trace:\n{log}");
    }
    assert!(log.contains(WIRE_TRACE_TARGET));
    for hidden in ["hunter2", "AGFub", "dear", "ann\""] {
        assert!(!log.contains(hidden), "{hidden:?} is in the log:\n{log}");
    }
}
