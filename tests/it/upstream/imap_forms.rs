//! The same answer in the many forms in which servers give it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailtide::sync::remote::{Connect as _, Known, Remote, RemoteName};
use mailtide::types::{
    Flag, Flags, ModSeq, RemoteUid, Secret, SecretKind, SpecialUse, SystemFlag, UidSet, UidValidity,
};
use mailtide::upstream::Connector;

use super::imap_errors::{Counting, append_one, connect, logged_in, outgoing, uids};
use super::script::{Line, Scripted, account};

fn name(text: &str) -> RemoteName {
    RemoteName(text.to_owned())
}

/// News that a server may tell at any time, in every form (RFC 3501 section 5.2), some of them broken.
const NEWS: &str = "S: * 7 EXISTS\nS: * 2 RECENT\nS: * OK [ALERT] news\nS: * OK [ALERT]é\nS: * 1 FETCH (FLAGS (\\Seen))\n\
    S: * 9 FETCH (UID 9 FLAGS () INTERNALDATE NIL)\nS: * NAMESPACE ((\"\" \"/\")) NIL NIL\nS: * VANISHED 4\nS: * 3 EXPUNGE\n\
    S: * 0 FETCH (FLAGS ())\nS: * VANISHED 1:*\nS: * XSOMETHING {3}\ns: a)b\nS: \nS: * [ALERT] no status\nS:\n\
    S: * FLAGS (\\Seen é)\nS: A9999 OK to nobody\nS: * ENABLED\nS: * THREAD (1 (2)(3))\n";

/// Every scripted answer with news before and behind each of its lines.
fn among_news(script: &str) -> String {
    let line = |line: &str| match line.starts_with("S: ") {
        true => format!("{NEWS}{line}\n"),
        false => format!("{line}\n"),
    };
    script.lines().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn news_at_any_time_change_no_answer() {
    let script = "C: LIST \"\" \"*\"\nC: LSUB \"\" \"*\"\nS: * LIST () \".\" INBOX\nS: $ OK\nS: * LSUB () \".\" inbox\nS: $ OK\n\
        C: UID SEARCH ALL\nS: * SEARCH 1 2\nS: $ OK\n\
        C: UID FETCH 1:2 (UID FLAGS)\nS: * 1 FETCH (UID 1 FLAGS (\\Flagged))\nS: * 2 FETCH (UID 2 FLAGS ())\nS: $ OK\n\
        C: UID FETCH 1:2 (UID FLAGS INTERNALDATE BODY.PEEK[])\nS: * 1 FETCH (UID 1 FLAGS () BODY[] \"abc\")\n\
        S: * 2 FETCH (UID 2 FLAGS () BODY[] NIL)\nS: $ OK\n\
        C: UID STORE 1 -FLAGS.SILENT (\\Seen)\nS: $ OK\nC: UID SEARCH UID 1\nS: * SEARCH 1\nS: $ OK\n\
        C: UID COPY 1 \"x\"\nS: $ OK [COPYUID 5 1 6]\n\
        C: APPEND \"x\" () \" 1-Jan-1970 00:00:00 +0000\" {3}\nS: + \nB: 3\nS: $ OK [APPENDUID 5 7] \n";
    for script in [script.to_owned(), among_news(script)] {
        let (mut remote, dial) = connect(&logged_in("", &script)).await;
        let listed = remote.list().await.expect("LIST");
        assert!(listed.len() == 1 && listed[0].subscribed && listed[0].delimiter == Some('.'));
        assert_eq!(remote.uids().await, Ok(uids("1:2")));
        let scanned = remote.scan(&uids("1:2"), None).await.expect("a scan");
        let flags: Vec<_> = scanned.iter().map(|one| (one.uid.get(), one.flags.to_string())).collect();
        assert_eq!(flags, [(1, "\\Flagged".to_owned()), (2, String::new())]);
        let mut sink = Counting::default();
        remote.fetch(&uids("1:2"), &mut sink).await.expect("a fetch");
        assert_eq!((sink.ended.len(), sink.bytes, sink.absent.as_slice()), (1, 3, &[RemoteUid::new(2)][..]));
        let seen: Flags = [Flag::from(SystemFlag::Seen)].into_iter().collect();
        assert_eq!(remote.remove_flags(&uids("1"), &seen).await, Ok(uids("1")));
        let copied = remote.copy(&uids("1"), &name("x")).await.expect("COPY").expect("COPYUID");
        assert_eq!(copied.uids[&RemoteUid::new(1)], RemoteUid::new(6));
        let appended = append_one(&mut remote, &name("x"), outgoing(&mut b"abc".to_vec())).await.expect("APPEND");
        assert_eq!(appended.expect("APPENDUID").uid, RemoteUid::new(7));
        dial.assert_followed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_is_selected_whatever_the_server_leaves_out() {
    let select = "C: SELECT \"x\"\n";
    let status =
        "C: STATUS \"x\" (MESSAGES UIDNEXT UIDVALIDITY)\nS: * STATUS x (MESSAGES 3 UIDNEXT 9 UIDVALIDITY 5)\nS: $ OK\n";
    let rows = [
        format!("{select}S: * 3 EXISTS\nS: * OK [UIDVALIDITY 5]\nS: * OK [UIDNEXT 9]\nS: $ OK [READ-ONLY] done"),
        format!("{select}S: * 3 EXISTS\nS: * OK [UIDVALIDITY 5]\nS: $ OK [READ-ONLY] done\n{status}"),
        format!("{select}S: * OK [UIDVALIDITY 5]\nS: * OK [UIDNEXT 9]\nS: $ OK [READ-ONLY] done\n{status}"),
        format!("{select}S: $ OK [READ-ONLY]\n{status}"),
        // STATUS tells nothing either: the messages are counted.
        format!(
            "{select}S: * OK [UIDVALIDITY 5]\nS: * OK [UIDNEXT 9]\nS: $ OK [READ-ONLY] done\n\
             C: STATUS \"x\" (MESSAGES UIDNEXT UIDVALIDITY)\nS: $ OK\nC: UID SEARCH ALL\nS: * SEARCH 1 2 8\nS: $ OK\n"
        ),
    ];
    for script in rows {
        let (mut remote, dial) = connect(&logged_in("", &script)).await;
        let selected = remote.select(&name("x"), None).await.expect("SELECT");
        let told = (selected.uid_validity, selected.uid_next, selected.exists, selected.read_only);
        assert_eq!(told, (UidValidity::new(5), Some(RemoteUid::new(9)), 3, true), "{script}");
        // A mailbox that may only be read says which flags it keeps all the same, if any.
        assert!(selected.permanent_flags.is_empty() && !selected.any_keyword);
        assert!(selected.highest_mod_seq.is_none() && selected.since.is_none());
        dial.assert_followed();
    }
}

#[tokio::test(start_paused = true)]
async fn what_changed_since_is_told_only_when_all_of_it_is_known() {
    let known = Known { uid_validity: UidValidity::new(5), highest_mod_seq: ModSeq::new(70) };
    let told = "S: * VANISHED (EARLIER) 1,3\nS: * 1 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (72))\n";
    let head = "S: * 1 EXISTS\nS: * OK [UIDNEXT 9]\n";
    let rows = [
        ("ENABLED QRESYNC", format!("S: * OK [UIDVALIDITY 5]\nS: * OK [HIGHESTMODSEQ 72]\n{told}"), Some("1,3")),
        ("ENABLED QRESYNC", "S: * OK [UIDVALIDITY 5]\nS: * OK [HIGHESTMODSEQ 70]\n".to_owned(), Some("")),
        // The UIDs mean others now.
        ("ENABLED QRESYNC", "S: * OK [UIDVALIDITY 6]\nS: * OK [HIGHESTMODSEQ 72]\n".to_owned(), None),
        ("ENABLED QRESYNC", "S: * OK [UIDVALIDITY 5]\nS: * OK [NOMODSEQ]\n".to_owned(), None),
        (
            "ENABLED QRESYNC",
            format!("S: * OK [UIDVALIDITY 5]\nS: * OK [HIGHESTMODSEQ 72]\n{told}S: * VANISHED 1:*\n"),
            None,
        ),
        // Offered and not confirmed: iCloud.
        ("OK nothing", "S: * OK [UIDVALIDITY 5]\nS: * OK [HIGHESTMODSEQ 72]\n".to_owned(), None),
    ];
    for (enabled, data, vanished) in rows {
        let parameter = if enabled == "ENABLED QRESYNC" { "(QRESYNC (5 70))" } else { "(CONDSTORE)" };
        let script =
            format!("C: ENABLE QRESYNC\nS: * {enabled}\nS: $ OK\nC: SELECT \"x\" {parameter}\n{head}{data}S: $ OK\n");
        let (mut remote, dial) = connect(&logged_in("ENABLE CONDSTORE QRESYNC", &script)).await;
        let since = remote.select(&name("x"), Some(known)).await.expect("SELECT").since;
        let set = |text: &str| if text.is_empty() { UidSet::new() } else { uids(text) };
        assert_eq!(since.map(|since| since.vanished), vanished.map(set), "{script}");
        dial.assert_followed();
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_mailbox_is_selected_a_listing_is_asked_for_after_all_news() {
    let select = "C: SELECT \"x\"\nS: * 1 EXISTS\nS: * OK [UIDVALIDITY 5]\nS: * OK [UIDNEXT 9]\nS: $ OK\n";
    let list = "C: LIST \"\" \"*\" RETURN (SUBSCRIBED)\n";
    let listed = "S: * LIST () \"/\" x\nS: $ OK\n";
    for (offered, script) in [
        // Left, in the same burst.
        ("LIST-EXTENDED UNSELECT", format!("{select}C: UNSELECT\n{list}S: $ OK\n{listed}")),
        // The news first, to their end: Dovecot would answer a LIST that is sent along before them.
        ("LIST-EXTENDED", format!("{select}C: NOOP\nS: * 2 EXISTS\nS: $ OK\n{list}{listed}")),
    ] {
        let (mut remote, dial) = connect(&logged_in(offered, &script)).await;
        remote.select(&name("x"), None).await.expect("SELECT");
        assert_eq!(remote.list().await.expect("LIST").len(), 1);
        dial.assert_followed();
    }
}

#[tokio::test(start_paused = true)]
async fn copyuid_is_found_wherever_it_is_said() {
    let rows = [
        ("S: $ OK [COPYUID 5 1 6] done", Some(6)),
        ("S: * OK [COPYUID 5 1 6] moved\nS: * 1 EXPUNGE\nS: $ OK done", Some(6)),
        ("S: * [COPYUID 5 1 6]\nS: $ OK done", Some(6)),
        ("S: * 1 EXPUNGE\nS: $ OK done", None),
        ("S: $ OK [COPYUID 5 1:2 6] done", None),
        ("S: $ OK [COPYUID 5 1:4294967295 1:4294967295] done", None),
    ];
    for (answer, expected) in rows {
        let (mut remote, _) = connect(&logged_in("MOVE", &format!("C: UID MOVE 1 \"x\"\n{answer}"))).await;
        let told = remote.move_messages(&uids("1"), &name("x")).await.expect("MOVE");
        let went = told.map(|told| told.uids[&RemoteUid::new(1)].get());
        assert_eq!(went, expected, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_that_spells_the_name_otherwise_is_taken_for_the_one_asked() {
    let script = "C: STATUS \"a\"..\nC: STATUS \"b\"..\nC: STATUS \"c\"..\n\
        S: * STATUS A (MESSAGES 1 UIDVALIDITY 5)\nS: $ OK\nS: $ NO gone\nS: * STATUS \"c\" (UIDVALIDITY 5 MESSAGES 3)\nS: $ OK\n";
    let (mut remote, _) = connect(&logged_in("", script)).await;
    let told = remote.status(&[name("a"), name("b"), name("c")]).await.expect("STATUS");
    let messages: Vec<_> = told.into_iter().map(|status| status.ok().map(|status| status.messages)).collect();
    assert_eq!(messages, [Some(1), None, Some(3)]);
}

#[tokio::test(start_paused = true)]
async fn an_extended_list_that_is_refused_is_asked_for_plainly() {
    let script = "C: LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE)\nS: $ BAD what\nC: LIST \"\" \"*\"\nC: LSUB \"\" \"*\"\n\
        S: * LIST () NIL INBOX\nS: * LIST (\\Trash) \"/\" &bad\nS: $ OK\nS: * LSUB (\\Noselect) \"/\" &bad\nS: $ OK\n";
    let (mut remote, dial) = connect(&logged_in("LIST-EXTENDED SPECIAL-USE", script)).await;
    let listed = remote.list().await.expect("LIST");
    assert_eq!((listed[0].delimiter, listed[0].components.as_slice()), (None, &["INBOX".to_owned()][..]));
    assert_eq!((listed[1].components[0].as_str(), listed[1].special_use), ("&bad", Some(SpecialUse::Trash)));
    assert!(!listed[1].subscribed);
    dial.assert_followed();
}

#[tokio::test(start_paused = true)]
async fn a_name_that_cannot_be_quoted_waits_for_leave_to_be_a_literal() {
    let script = "C: RENAME {2}\nS: * 1 EXISTS\nS: + go on\nB: 2\nS: $ OK\nC: RENAME {2}\nS: $ NO [CANNOT] not that\n";
    let (mut remote, dial) = connect(&logged_in("", script)).await;
    assert_eq!(remote.rename(&name("é"), &name("e")).await, Ok(()));
    assert!(remote.rename(&name("é"), &name("e")).await.is_err());
    dial.assert_followed();
}

#[tokio::test(start_paused = true)]
async fn long_sets_and_large_mailboxes_are_asked_in_pieces() {
    let every_second: UidSet<RemoteUid> = (1..4000).step_by(2).map(RemoteUid::new).collect();
    let script = "C: UID STORE 1,3,5..\nC: UID STORE ..\nC: UID SEARCH UID 1,3,5..\nC: UID SEARCH UID ..\nS: $ OK\nS: $ OK\n\
        S: * SEARCH 1 2 3\nS: $ OK\nS: * SEARCH 3999\nS: $ OK\n";
    let (mut remote, dial) = connect(&logged_in("", script)).await;
    let seen: Flags = [Flag::from(SystemFlag::Seen)].into_iter().collect();
    assert_eq!(remote.add_flags(&every_second, &seen).await, Ok(uids("1,3,3999")), "the others are gone");
    dial.assert_followed();

    let script = "C: SELECT \"x\"\nS: * 90000 EXISTS\nS: * OK [UIDVALIDITY 5]\nS: * OK [UIDNEXT 200000]\nS: $ OK\n\
        C: UID SEARCH UID 1:80000 ALL\nC: UID SEARCH UID 80001:160000 ALL\nC: UID SEARCH UID 160001:* ALL\n\
        S: * SEARCH 7\nS: $ OK\nS: * SEARCH\nS: $ OK\nS: * SEARCH 199999 160001\nS: $ OK\n";
    let (mut remote, dial) = connect(&logged_in("", script)).await;
    remote.select(&name("x"), None).await.expect("SELECT");
    assert_eq!(remote.uids().await, Ok(uids("7,160001,199999")));
    dial.assert_followed();
}

#[tokio::test(start_paused = true)]
async fn a_login_finds_the_way_that_the_server_takes() {
    let greet = |capabilities: &str| format!("S: * OK [CAPABILITY IMAP4rev1 {capabilities}] hello\n");
    let after = "S: $ OK\nC: CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: $ OK\n";
    let plain = "AGFubgBodW50ZXIy";
    let rows = [
        format!("{}C: AUTHENTICATE PLAIN\nS: + \nC: {plain}\n{after}", greet("AUTH=PLAIN LOGINDISABLED")),
        format!("{}C: AUTHENTICATE PLAIN\nS: + go ahead\nC: {plain}\n{after}", greet("AUTH=PLAIN")),
        format!(
            "{}C: AUTHENTICATE PLAIN {plain}\nS: * 1 EXISTS\nS: + \nC: {plain}\n{after}",
            greet("AUTH=PLAIN SASL-IR")
        ),
        format!(
            "{}C: AUTHENTICATE PLAIN {plain}\nS: $ BAD what\nC: AUTHENTICATE PLAIN\nS: $ BAD what\n\
             C: LOGIN \"ann\" \"hunter2\"\n{after}",
            greet("AUTH=PLAIN SASL-IR")
        ),
    ];
    for script in rows {
        let (_, dial) = connect(&script).await;
        dial.assert_followed();
    }
}

/// RFC 7677 section 3. No password follows in plain text a proof that was refused.
#[tokio::test(start_paused = true)]
async fn by_scram_both_sides_prove_that_they_know_the_password() {
    let encode = |text: &str| STANDARD.encode(text);
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let first = encode("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let challenge = encode(&format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
    let proof = encode(&format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
    let verifier = encode("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    let wrong = encode("v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    let cheap = encode(&format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1"));
    let hello = "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=SCRAM-SHA-256 SASL-IR] hello\n";
    let begun = format!("{hello}C: AUTHENTICATE SCRAM-SHA-256 {first}\n");
    let proved = format!("{begun}S: + {challenge}\nC: {proof}\n");
    let in_steps = hello.replace(" SASL-IR", "");
    let in_steps =
        format!("{in_steps}C: AUTHENTICATE SCRAM-SHA-256\nS: + \nC: {first}\nS: + {challenge}\nC: {proof}\n");
    let done = "S: $ OK\nC: CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: $ OK\n";
    let rows = [
        (format!("{proved}S: + {verifier}\nC: \n{done}"), "in"),
        (format!("{in_steps}S: + {verifier}\nC: \n{done}"), "in"),
        (
            format!(
                "{begun}S: $ BAD what?\nC: AUTHENTICATE SCRAM-SHA-256\nS: $ BAD what?\n\
                 C: AUTHENTICATE PLAIN AHVzZXIAcGVuY2ls\n{done}"
            ),
            "in",
        ),
        (format!("{proved}S: $ NO [AUTHENTICATIONFAILED] wrong\n"), "LoginRefused:wrong"),
        (format!("{proved}S: $ OK in\n"), "LoginRefused:does not prove"),
        (format!("{proved}S: + {wrong}\nC: *\nS: $ BAD\n"), "LoginRefused:does not prove"),
        (format!("{begun}S: + {cheap}\nC: *\nS: $ BAD\n"), "LoginRefused:it asks for 1 rounds"),
        (
            format!("{begun}S: + what?\nC: {first}\nS: + what?\nC: *\nS: $ BAD\n"),
            "LoginRefused:its challenge is none of SCRAM",
        ),
    ];
    for (script, expected) in rows {
        let dial = Scripted::new(&[&script], Line::default());
        let connector = Connector {
            user: "user".to_owned(),
            password: Secret::new("pencil"),
            nonce: || Some("rOprNGfwEbeRWgbNEkqO".to_owned()),
            ..account(dial.clone())
        };
        let said = match connector.connect().await {
            Ok(_) => "in".to_owned(),
            Err(error) => format!("{error:?}"),
        };
        let (variant, part) = expected.split_once(':').unwrap_or((expected, ""));
        assert!(said.starts_with(variant) && said.contains(part), "{said}\nis not {expected}\nafter {script}");
        dial.assert_followed();
    }
}

/// RFC 7628 section 4. A token goes by no mechanism for passwords.
#[tokio::test(start_paused = true)]
async fn a_token_goes_by_the_mechanisms_for_tokens() {
    let greet = |capabilities: &str| format!("S: * OK [CAPABILITY IMAP4rev1 {capabilities}] hello\n");
    let after = "S: $ OK\nC: CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: $ OK\n";
    let bearer = STANDARD.encode("n,a=ann,\u{1}host=mail.example\u{1}port=143\u{1}auth=Bearer hunter2\u{1}\u{1}");
    let xoauth2 = STANDARD.encode("user=ann\u{1}auth=Bearer hunter2\u{1}\u{1}");
    let why = STANDARD.encode(r#"{"status":"invalid_token"}"#);
    let rows = [
        (
            format!("{}C: AUTHENTICATE OAUTHBEARER {bearer}\n{after}", greet("AUTH=XOAUTH2 AUTH=OAUTHBEARER SASL-IR")),
            true,
        ),
        (format!("{}C: AUTHENTICATE XOAUTH2\nS: + \nC: {xoauth2}\n{after}", greet("AUTH=PLAIN AUTH=XOAUTH2")), true),
        (
            format!(
                "{}C: AUTHENTICATE XOAUTH2 {xoauth2}\nS: + {why}\nC: ..\nS: $ NO [AUTHENTICATIONFAILED] hunter2 {xoauth2}\n",
                greet("AUTH=XOAUTH2 SASL-IR")
            ),
            false,
        ),
        (greet("AUTH=PLAIN SASL-IR"), false),
    ];
    for (script, logs_in) in rows {
        let dial = Scripted::new(&[&script], Line::default());
        let connector = Connector { kind: SecretKind::Token, ..account(dial.clone()) };
        match connector.connect().await {
            Ok(_) => assert!(logs_in, "{script}"),
            Err(error) => {
                let said = format!("{error:?}");
                assert!(!logs_in && said.starts_with("LoginRefused "), "{said} after {script}");
                assert!(!said.contains("hunter2") && !said.contains(&xoauth2), "{said}");
            }
        }
        dial.assert_followed();
    }
}
