//! refserver's quirks: what each makes of a sound session's words, and that it lets the rest pass.

use mailtide::imap::server::{Capabilities, Capability};
use mailtide::refserver::faults::{Faults, Profile, Quirk, Quirky};
use mailtide::types::{Conversation, Event, Step, Timestamp};

const NOW: Timestamp = Timestamp::from_unix_ms(1_790_000_000_000);

/// A sound session: answers each command with prepared words, `TAG` standing for its tag.
struct Sound {
    answers: Vec<(&'static str, &'static str)>,
    heard: Vec<u8>,
    output: Vec<u8>,
}

impl Conversation for Sound {
    fn handle_input(&mut self, input: &[u8], _: Timestamp) {
        self.heard.extend_from_slice(input);
        while let Some(end) = self.heard.windows(2).position(|pair| pair == b"\r\n") {
            let line = String::from_utf8(self.heard.drain(..end + 2).collect()).expect("an ASCII command");
            let (tag, rest) = line.trim_end().split_once(' ').unwrap_or(("*", ""));
            let answer = self.answers.iter().find(|(command, _)| rest.starts_with(command));
            let words = answer.map_or("TAG OK done\r\n", |(_, words)| words);
            self.output.extend_from_slice(words.replace("TAG", tag).replace("HEARD", rest).as_bytes());
        }
    }

    fn handle_event(&mut self, _: Event, _: Timestamp) {}

    fn poll_output(&mut self, _: Timestamp, out: &mut Vec<u8>) -> Step {
        out.append(&mut self.output);
        Step::Wait
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }
}

const SELECT: &str = "* OK [CLOSED] bye\r\n* 3 EXISTS\r\n* OK [UIDVALIDITY 7] v\r\n* OK [UIDNEXT 9] n\r\n\
    * OK [HIGHESTMODSEQ 5] h\r\nTAG OK [READ-WRITE] selected\r\n";
const FETCH: &str =
    "* 1 FETCH (UID 4 RFC822.SIZE 10 BODY[] {2}\r\nxx)\r\n* 2 FETCH (UID 5)\r\n* 3 FETCH (UID 6)\r\nTAG OK fetched\r\n";

/// What a client reads after it said `said`, and whether it was hung up on.
fn talk(quirk: Quirk, said: &str) -> (String, bool) {
    let answers = vec![
        ("SELECT", SELECT),
        ("UID FETCH", FETCH),
        ("ENABLE", "* ENABLED QRESYNC\r\nTAG OK enabled\r\n"),
        ("LOGOUT", "* BYE bye\r\nTAG OK bye\r\n"),
        ("UID MOVE", "* OK [COPYUID 7 4 9] moved\r\nTAG OK moved\r\n"),
        ("UID COPY", "TAG OK [COPYUID 7 4 9] copied\r\n"),
        ("NOOP", "* 2 EXPUNGE\r\nTAG OK done\r\n"),
        ("STATUS", "* STATUS x (MESSAGES 3 UIDVALIDITY 7)\r\nTAG OK HEARD\r\n"),
        ("UID STORE", "TAG OK HEARD\r\n"),
        ("CAPABILITY", "* CAPABILITY IMAP4rev1\r\nTAG OK done\r\n"),
    ];
    let sound = Sound { answers, heard: Vec::new(), output: Vec::new() };
    let mut session = Quirky::new(sound, &Faults::new([quirk]));
    session.handle_input(said.as_bytes(), NOW);
    let mut output = Vec::new();
    let step = session.poll_output(NOW, &mut output);
    (String::from_utf8(output).expect("an ASCII answer"), step == Step::Close)
}

#[test]
fn each_quirk_shows_where_it_should() {
    use Quirk::*;
    let qresync = "a SELECT x (QRESYNC (7 5))\r\n";
    let rows: &[(Quirk, &str, &str, &str)] = &[
        (VanishedEverything, qresync, "* VANISHED (EARLIER) 1:8\r\na OK", ""),
        (UnconfirmedEnable, "a ENABLE QRESYNC\r\n", "a OK enabled", "* ENABLED"),
        (StrayCapability, "a CAPABILITY\r\n", "CAPABILITY XAPPLEPUSHSERVICE IMAP4rev1", ""),
        (StrayEnabled, "a SELECT x\r\n", "* ENABLED\r\n", ""),
        (ThrottledOk, "a SELECT x\r\n", "selected [THROTTLED]", ""),
        (BareCode, "a SELECT x\r\n", "[HIGHESTMODSEQ 5]\r\n", "] h"),
        (FetchDespiteSilent, "a UID STORE 4 +FLAGS.SILENT (x)\r\n", "STORE 4 +FLAGS (x)", "SILENT"),
        (TooBigBad, "a APPEND x {20000+}\r\n", "a BAD [TOOBIG]", ""),
        (NotConnected, "a LOGIN u p\r\nb SELECT x\r\n", "b BAD User is authenticated but not connected", "EXISTS"),
        (SizeLies, "a UID FETCH 4:6 (RFC822.SIZE)\r\n", "RFC822.SIZE 23 BODY[] {2}\r\nxx)", ""),
        (UntaggedCopyUid, "a UID MOVE 4 x\r\n", "* [COPYUID 7 4 9]", "* OK [COPYUID"),
        (UntaggedCopyUid, "a UID COPY 4 x\r\n", "* [COPYUID 7 4 9]\r\na OK copied", "a OK ["),
        (UnavailableOnce, "a UID FETCH 5 (BODY.PEEK[])\r\n", "a NO [UNAVAILABLE]", "FETCH ("),
        (DropsFromRanges, "a UID FETCH 4:6 (FLAGS)\r\n", "UID 5", "UID 6"),
        (SilentExpunge, "a NOOP\r\n", "a OK", "EXPUNGE"),
        (FewKeywords, "a UID STORE 4 +FLAGS (\\Seen work $Junk)\r\n", "+FLAGS (\\SEEN $JUNK)", "WORK"),
        (NoUidNext, "a SELECT x\r\n", "UIDVALIDITY 7", "UIDNEXT"),
        (FetchZero, "a NOOP\r\n", "* 0 FETCH (FLAGS ())", ""),
        (NoClosed, "a SELECT x\r\n", "3 EXISTS", "CLOSED"),
        (UidValidityBump, "a SELECT x\r\nb STATUS x (UIDVALIDITY)\r\n", "[UIDVALIDITY 8]", "VALIDITY 7"),
        (UidValidityOne, "a SELECT x\r\nb STATUS x (UIDVALIDITY)\r\n", "[UIDVALIDITY 1]", "VALIDITY 7"),
        (SaslIrBad, "a AUTHENTICATE PLAIN AGEAYg==\r\n", "a BAD", ""),
        (SpaceBeforeParen, "a UID FETCH 4 (UID)\r\n", "UID 5 )\r\n", ""),
        (EmptyStatus, "a STATUS x (MESSAGES)\r\n", "* STATUS x ()", "MESSAGES 3"),
        (FetchBackwards, "a UID FETCH 4:6 (UID)\r\n", "* 3 FETCH (UID 6)\r\n* 2 FETCH (UID 5)\r\n* 1 FETCH", ""),
        (NoExists, "a SELECT x\r\nb SELECT x\r\nc SELECT x\r\n", "b OK", "c OK [READ-WRITE] selected\r\n* 3 EXISTS"),
        (ForgottenExpunge, "a UID STORE 4 +FLAGS (x)\r\nb UID EXPUNGE 4\r\n", "b OK Expunge completed", "HEARD"),
        (Reorders, "a STATUS x (A)\r\nb STATUS y (B)\r\n", "b OK STATUS Y (B)\r\n* STATUS x", ""),
    ];
    for (quirk, said, shown, hidden) in rows {
        let (heard, _) = talk(*quirk, said);
        let is_like = |text: &str| heard.to_ascii_uppercase().contains(&text.to_ascii_uppercase());
        assert!(is_like(shown), "{quirk}: {said:?} gives {heard:?} without {shown:?}");
        assert!(hidden.is_empty() || !is_like(hidden), "{quirk}: {said:?} gives {heard:?} with {hidden:?}");
    }
}

#[test]
fn some_quirks_come_only_now_and_then() {
    let many = |command: &str, count: usize| (1..=count).map(|n| format!("a{n} {command}\r\n")).collect::<String>();
    let (heard, _) = talk(Quirk::NonExistent, &many("SELECT x", 7));
    assert!(heard.contains("a6 OK") && heard.contains("a7 NO [NONEXISTENT]"), "{heard}");
    let (heard, hangs_up) = talk(Quirk::RateLimit, &many("UID FETCH 4 (UID)", 21));
    assert!(hangs_up && heard.contains("a20 NO [LIMIT]") && !heard.contains("a21"), "{heard}");
    let (heard, _) = talk(Quirk::StatusBurst, &many("STATUS x (A)", 26));
    assert!(heard.contains("a25 OK") && heard.contains("a26 BAD"), "{heard}");
    let (heard, _) = talk(Quirk::SuggestedBackoff, &format!("l LOGIN u p\r\n{}", many("NOOP", 30)));
    assert!(heard.contains("a30 NO Request is throttled. Suggested Backoff Time: 29961 milliseconds"), "{heard}");
    let (heard, _) = talk(Quirk::ShortLines, &format!("a STATUS {} (A)\r\n", "x".repeat(1000)));
    assert!(heard.contains("a BAD Command line too long"), "{heard}");
    let (heard, hangs_up) = talk(Quirk::ByeOnly, "a LOGOUT\r\n");
    assert!(hangs_up && heard == "* BYE bye\r\n", "{heard}");
}

#[test]
fn every_quirk_has_a_name_of_its_own_and_lets_a_refused_message_go_by() {
    for quirk in Quirk::ALL {
        assert_eq!(quirk.name().parse::<Quirk>(), Ok(*quirk));
        assert!(Quirk::list().contains(quirk.name()));
    }
    assert!("no-such".parse::<Quirk>().is_err());
    let (heard, _) =
        talk(Quirk::TooBigBad, &format!("a APPEND x {{20000+}}\r\n{}\r\nb SELECT x\r\n", "y".repeat(20_000)));
    assert!(heard.starts_with("a BAD [TOOBIG]") && heard.contains("b OK"), "{heard}");
}

#[test]
fn a_profile_offers_what_it_names_and_a_long_line_spoils_a_message() {
    for profile in Profile::ALL {
        assert_eq!(profile.name.parse::<&'static Profile>(), Ok(profile));
        assert!(Profile::list().contains(profile.what));
        let faults = Faults::of(profile);
        let offered = faults.capabilities(Capabilities::all());
        assert_eq!(offered.and(profile.capabilities()), offered, "{profile}: nothing more than it names");
        let makes_up = faults.has(Quirk::UidValidityBump);
        for capability in profile.offers {
            let is_kept =
                *capability != Capability::CompressDeflate && !(makes_up && *capability == Capability::QResync);
            assert_eq!(offered.has(*capability), is_kept, "{profile}: {}", capability.name());
        }
    }
    assert!("hotmail".parse::<&'static Profile>().is_err());
    for (length, is_spoilt) in [(9_890, false), (9_899, true)] {
        let message = format!("{}\r\nx", "y".repeat(length));
        let said = format!("a APPEND x {{{}+}}\r\n{message}\r\nb NOOP\r\n", message.len());
        let (heard, _) = talk(Quirk::LongLinesRefused, &said);
        // What stands behind the message's last line is more than the engine takes there.
        assert_eq!(heard.contains("x OK done"), is_spoilt, "{heard}");
    }
}
