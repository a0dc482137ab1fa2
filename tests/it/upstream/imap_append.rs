//! How several messages are appended, on servers that take more or less at once.

use mailtide::sync::remote::{AppendUid, Outgoing, RefusalCode, Remote, RemoteError, RemoteName};
use mailtide::types::{RemoteUid, UidValidity};

use super::imap_errors::{connect, logged_in, outgoing};

type Outcome = Result<Option<AppendUid>, RemoteError>;

const HEAD: &str = "C: APPEND \"x\" () \" 1-Jan-1970 00:00:00 +0000\"";

/// Appends messages of these sizes.
async fn append(capabilities: &str, script: &str, sizes: &[usize]) -> (Vec<Option<Outcome>>, Result<(), RemoteError>) {
    let (mut remote, dial) = connect(&logged_in(capabilities, script)).await;
    let mut bytes: Vec<Vec<u8>> = sizes.iter().map(|size| vec![b'x'; *size]).collect();
    let messages: Vec<Outgoing<'_>> = bytes.iter_mut().map(|bytes| outgoing(bytes)).collect();
    let mut told = vec![None; sizes.len()];
    let name = RemoteName("x".to_owned());
    let ended = remote.append(&name, messages, &mut |at, outcome| told[at] = Some(outcome)).await;
    dial.assert_followed();
    (told, ended)
}

fn uid(uid: u32) -> Option<Outcome> {
    Some(Ok(Some(AppendUid { uid_validity: UidValidity::new(5), uid: RemoteUid::new(uid) })))
}

fn refused(code: RefusalCode, text: &str) -> Option<Outcome> {
    Some(Err(RemoteError::Refused { request: "APPEND", code: Some(code), text: text.to_owned() }))
}

#[tokio::test(start_paused = true)]
async fn appends_go_out_without_waiting_as_far_as_the_server_takes_them() {
    let answers = "S: $ OK [APPENDUID 5 7]\nS: $ OK\nS: $ OK [APPENDUID 5 9]\n";
    let script = format!("{HEAD} {{3+}}\nC: xxx\n{HEAD} {{3+}}\nC: xxx\n{HEAD} {{3+}}\nC: xxx\n{answers}");
    let (told, ended) = append("LITERAL+", &script, &[3, 3, 3]).await;
    assert_eq!((told, ended), (vec![uid(7), Some(Ok(None)), uid(9)], Ok(())));

    // Larger ones wait to be asked for (RFC 7888 section 5), and hold up nothing that went before.
    let large = format!("{HEAD} {{5000}}\nS: + go on\nB: 5000\n");
    let script = format!("{HEAD} {{3+}}\nC: xxx\n{large}{HEAD} {{3+}}\nC: xxx\n{answers}");
    let (told, ended) = append("LITERAL-", &script, &[3, 5000, 3]).await;
    assert_eq!((told, ended), (vec![uid(7), Some(Ok(None)), uid(9)], Ok(())));

    // Nothing is taken unasked: one wait each, not two.
    let ask = format!("{HEAD} {{3}}\nS: + go on\nB: 3\n");
    let (told, ended) = append("", &format!("{ask}{ask}{ask}{answers}"), &[3, 3, 3]).await;
    assert_eq!((told, ended), (vec![uid(7), Some(Ok(None)), uid(9)], Ok(())));
}

#[tokio::test(start_paused = true)]
async fn small_messages_go_in_one_command_and_large_ones_alone() {
    let large = 2 * 1024 * 1024;
    let script = format!(
        "{HEAD} {{3+}}\nC: xxx () \" 1-Jan-1970 00:00:00 +0000\" {{2+}}\nC: xx\n{HEAD} {{{large}+}}\nB: {large}\n\
         S: $ OK [APPENDUID 5 7:8] both\nS: $ OK [APPENDUID 5 9]\n"
    );
    let (told, ended) = append("LITERAL+ MULTIAPPEND", &script, &[3, 2, large]).await;
    assert_eq!((told, ended), (vec![uid(7), uid(8), uid(9)], Ok(())));

    let script = format!("{HEAD} {{3}}\nS: + go on\nB: 3\nS: $ OK [APPENDUID 5 7:9] what?\n");
    let (told, ended) = append("MULTIAPPEND", &script, &[3]).await;
    assert_eq!((told, ended), (vec![Some(Ok(None))], Ok(())), "UIDs that are not as many as the messages tell nothing");
}

#[tokio::test(start_paused = true)]
async fn when_several_are_refused_together_each_is_asked_for_alone() {
    let both = format!("{HEAD} {{3+}}\nC: xxx () \" 1-Jan-1970 00:00:00 +0000\" {{2+}}\nC: xx\n");
    let script = format!(
        "{both}S: $ NO [TOOBIG] one of them\n{HEAD} {{3+}}\nC: xxx\n{HEAD} {{2+}}\nC: xx\n\
         S: $ NO [TOOBIG] this one\nS: $ OK [APPENDUID 5 7]\n"
    );
    let (told, ended) = append("LITERAL+ MULTIAPPEND", &script, &[3, 2]).await;
    assert_eq!((told, ended), (vec![refused(RefusalCode::TooBig, "this one [TOOBIG]"), uid(7)], Ok(())));

    let script = format!("{both}S: $ NO [TRYCREATE] where?\n");
    let (told, ended) = append("LITERAL+ MULTIAPPEND", &script, &[3, 2]).await;
    let nowhere = || refused(RefusalCode::TryCreate, "where? [TRYCREATE]");
    assert_eq!((told, ended), (vec![nowhere(), nowhere()], Ok(())));

    // It need not wait for the rest to refuse.
    let script = format!(
        "{HEAD} {{3}}\nS: $ NO [OVERQUOTA] full\n{HEAD} {{3}}\nS: $ NO [OVERQUOTA] full\n{HEAD} {{2}}\nS: $ NO [OVERQUOTA] full\n"
    );
    let (told, ended) = append("MULTIAPPEND", &script, &[3, 2]).await;
    let full = || refused(RefusalCode::OverQuota, "full [OVERQUOTA]");
    assert_eq!((told, ended), (vec![full(), full()], Ok(())));
}

#[tokio::test(start_paused = true)]
async fn what_was_told_before_a_cut_is_known() {
    let script = format!(
        "{HEAD} {{3+}}\nC: xxx\n{HEAD} {{3+}}\nC: xxx\n{HEAD} {{2+}}\nS: $ OK [APPENDUID 5 7]\nS: $ NO [TOOBIG] no\n"
    );
    let (told, ended) = append("LITERAL+", &script, &[3, 3, 2]).await;
    assert_eq!(told, vec![uid(7), refused(RefusalCode::TooBig, "no [TOOBIG]"), None]);
    assert!(matches!(ended, Err(RemoteError::Lost { .. })), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_is_refused_here_and_the_others_go() {
    let script =
        format!("{HEAD} {{3+}}\nC: xxx () \" 1-Jan-1970 00:00:00 +0000\" {{3+}}\nC: xxx\nS: $ OK [APPENDUID 5 7:8]\n");
    let (told, ended) = append("LITERAL+ MULTIAPPEND APPENDLIMIT=10", &script, &[3, 11, 3]).await;
    let text = "the message has 11 bytes, and the server takes 10";
    assert_eq!((told, ended), (vec![uid(7), refused(RefusalCode::TooBig, text), uid(8)], Ok(())));
}

/// RFC 3501 section 7.5: the literal that was asked for is sent to its end, and what would have to be asked for is not.
#[tokio::test(start_paused = true)]
async fn a_refusal_in_the_middle_of_a_literal_ends_the_command_behind_it() {
    let large = 1_000_000;
    let script = format!(
        "{HEAD} {{{large}}}\nS: + go on\nS: $ NO [OVERQUOTA] full\nB: {large}\n\
         {HEAD} {{{large}}}\nS: $ NO [OVERQUOTA] full\n{HEAD} {{2}}\nS: + go on\nB: 2\nS: $ OK [APPENDUID 5 7]\n"
    );
    let (told, ended) = append("MULTIAPPEND", &script, &[large, 2]).await;
    assert_eq!((told, ended), (vec![refused(RefusalCode::OverQuota, "full [OVERQUOTA]"), uid(7)], Ok(())));
}
