//! Several users on one server: each does with a mailbox of another exactly what its owner permits (RFC 4314), and what is
//! not permitted to be known looks as if it were not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mailtide::sasl::Credentials;
use mailtide::serve::imap::MailBackend;
use mailtide::serve::neighbours::{Neighbours, SHARED_ACCOUNT};
use mailtide::serve::{Refused, Users};
use mailtide::store::{Executor, NewMessage, Options, Origin, Store, check};
use mailtide::types::{
    AccountId, Flag, Flags, Identifier, InternalDate, MailboxName, Rights, RightsChange, SystemFlag,
};

use super::face::{Face, NOW, Talk};

/// alice, ben and cy, whose password is secret.
struct Three(Store);

impl Users for Three {
    fn check(&self, credentials: &Credentials) -> Result<AccountId, Refused> {
        let account = self.0.read(|reader| reader.account_named(&credentials.user)).expect("a read");
        let account = account.filter(|_| credentials.password.matches("secret"));
        account.map(|account| account.id).ok_or(Refused::Credentials)
    }
}

struct Town {
    store: Store,
    neighbours: Neighbours,
    _folder: tempfile::TempDir,
}

impl Town {
    /// alice has a mailbox Box: 1 is new, 2 has `\Deleted`, 3 `\Seen` and `\Flagged`; and a mailbox Other, empty. ben has a
    /// message in INBOX.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Options { executor: Executor::Inline, program: "tests".to_owned(), max_bytes: None };
        let store = Store::open(folder.path(), &options, NOW).expect("a store");
        let shared = store.write(Origin::Authority, NOW, |txn| {
            for name in ["alice", "ben", "cy"] {
                txn.ensure_account(name)?;
            }
            txn.ensure_account(SHARED_ACCOUNT)
        });
        let neighbours = Neighbours { shared: shared.expect("accounts") };
        let messages = [("1", ""), ("2", "\\Deleted"), ("3", "\\Seen \\Flagged"), ("ben's", "\\Seen \\Deleted work")];
        let [one, two, three, bens] = messages.map(|(text, flags)| message(&store, text, flags));
        store
            .write(Origin::Authority, NOW, move |txn| {
                let (alice, ben) = (txn.ensure_account("alice")?, txn.ensure_account("ben")?);
                let [boxed, other] = ["Box", "Other"].map(|name| MailboxName::parse(name).expect("a name"));
                let (boxed, _) = (txn.create_mailbox(alice, &boxed, None)?, txn.create_mailbox(alice, &other, None)?);
                txn.append(boxed, &[one, two, three])?;
                let inbox = txn.reader().mailbox_named(ben, &MailboxName::inbox())?.expect("an INBOX");
                txn.append(inbox.id, &[bens])
            })
            .expect("mail");
        Self { store, neighbours, _folder: folder }
    }

    fn login(&self, user: &str) -> Talk {
        let rung = Arc::new(AtomicBool::new(false));
        let bell = Arc::clone(&rung);
        let wake = Arc::new(move || bell.store(true, Ordering::Relaxed));
        let users = Arc::new(Three(self.store.clone()));
        let backend = MailBackend::new(self.store.clone(), Origin::Authority, users, Arc::new(|| NOW), wake);
        let mut talk = Face::talk(backend.with_neighbours(self.neighbours), rung);
        ok(&mut talk, &format!("LOGIN {user} secret"));
        talk
    }

    /// alice permits ben that much, on both of her mailboxes.
    fn permit(&self, rights: &str) {
        let mut alice = self.login("alice");
        for mailbox in ["Box", "Other"] {
            ok(&mut alice, &format!("SETACL {mailbox} ben \"{rights}\""));
        }
    }

    fn is_sound(&self) {
        assert_eq!(check(&self.store).expect("a check"), Vec::<String>::new());
    }
}

fn message(store: &Store, text: &str, flags: &str) -> NewMessage {
    let mut upload = store.upload();
    upload.write(format!("Subject: {text}\r\n\r\n{text}\r\n").as_bytes()).expect("room");
    NewMessage {
        content: upload.finish().expect("room"),
        flags: flags.split_whitespace().filter_map(Flag::parse).collect(),
        internal_date: InternalDate::new(1_000_000_000, 0),
        email_id: None,
    }
}

fn ok(talk: &mut Talk, command: &str) -> String {
    let said = talk.say(&format!("x {command}\r\n"));
    assert!(outcome(&said).starts_with("OK"), "{command}: {said}");
    said
}

/// The tagged response to the last command, without the tag.
fn outcome(said: &str) -> String {
    let line = said.lines().rev().find_map(|line| line.strip_prefix("x "));
    line.unwrap_or_else(|| panic!("an end of {said}")).to_owned()
}

/// Each command with what ben has to have selected for it, and the rights that he needs on alice's mailboxes: the table of RFC
/// 4314 section 4, row by row, and what came later.
const ROWS: &[(&str, &str, &str)] = &[
    ("", "CREATE user/alice/Box/New", "k"),
    ("", "CREATE user/alice/Box/a/b/c", "k"),
    ("", "DELETE user/alice/Box", "x"),
    ("", "RENAME user/alice/Box user/alice/Other/Box", "kx"),
    ("", "SELECT user/alice/Box", "r"),
    ("", "EXAMINE user/alice/Box", "r"),
    ("", "STATUS user/alice/Box (MESSAGES)", "r"),
    ("", "SETACL user/alice/Box cy r", "a"),
    ("", "DELETEACL user/alice/Box cy", "a"),
    ("", "GETACL user/alice/Box", "a"),
    ("", "LISTRIGHTS user/alice/Box cy", "a"),
    ("", "APPEND user/alice/Box {2+}\r\nhi", "i"),
    ("", "APPEND user/alice/Box (\\Seen) {2+}\r\nhi {2+}\r\nho", "i"),
    ("", "APPEND INBOX CATENATE (URL \"/user/alice/Box/;UID=1\")", "r"),
    ("", "GETMETADATA user/alice/Box /private/comment", "r"),
    ("", "SETMETADATA user/alice/Box (/private/comment \"mine\")", "r"),
    ("", "SETMETADATA user/alice/Box (/shared/comment \"ours\")", "w"),
    ("INBOX", "COPY 1 user/alice/Box", "i"),
    ("INBOX", "MOVE 1 user/alice/Box", "i"),
    ("INBOX", "UID MOVE 1 user/alice/Box", "i"),
    ("INBOX", "REPLACE 1 user/alice/Box {2+}\r\nhi", "i"),
    ("user/alice/Box", "FETCH 1:3 (FLAGS BODY[])", "r"),
    ("user/alice/Box", "SEARCH ALL", "r"),
    ("user/alice/Box", "SORT (DATE) UTF-8 ALL", "r"),
    ("user/alice/Box", "COPY 1:3 INBOX", "r"),
    ("user/alice/Box", "COPY 1 user/alice/Other", "ri"),
    ("user/alice/Box", "STORE 1 +FLAGS (\\Seen)", "rs"),
    ("user/alice/Box", "STORE 1 FLAGS (\\Deleted)", "rt"),
    ("user/alice/Box", "UID STORE 3 -FLAGS (\\Flagged)", "rw"),
    ("user/alice/Box", "STORE 1 +FLAGS (work)", "rw"),
    ("user/alice/Box", "EXPUNGE", "re"),
    ("user/alice/Box", "UID EXPUNGE 2", "re"),
    ("user/alice/Box", "MOVE 1 INBOX", "rte"),
    ("user/alice/Box", "MOVE 1 user/alice/Other", "rtei"),
    ("user/alice/Box", "REPLACE 1 user/alice/Box {2+}\r\nhi", "rtei"),
];

const ALL: &str = "lrswipkxtea";

/// What ben is answered, who has those rights on both of alice's mailboxes.
fn asked(town: &Town, rights: &str, selected: &str, command: &str) -> String {
    town.permit(rights);
    let mut ben = town.login("ben");
    if !selected.is_empty() {
        let said = ben.say(&format!("x SELECT {selected}\r\n"));
        if !outcome(&said).starts_with("OK") {
            return outcome(&said);
        }
    }
    outcome(&ben.say(&format!("x {command}\r\n")))
}

#[test]
fn each_command_needs_the_rights_of_the_table_and_no_others() {
    // What is refused changes nothing: one town sees all of it.
    let refusing = Town::new();
    for (selected, command, needs) in ROWS {
        let town = Town::new();
        let said = asked(&town, &format!("l{needs}"), selected, command);
        assert!(said.starts_with("OK"), "{command} with l{needs}: {said}");
        town.is_sound();
        // `r s w i p` are as good as each other for annotations that are not everyone's.
        if command.contains("/private/") || command.starts_with("GETMETADATA") {
            continue;
        }
        for needed in needs.chars() {
            let rights = ALL.replace(needed, "");
            let said = asked(&refusing, &rights, selected, command);
            let code = if command.contains("CATENATE") { "NO [BADURL" } else { "NO [NOPERM]" };
            assert!(said.starts_with(code), "{command} with {rights}: {said}");
        }
    }
    refusing.is_sound();
}

#[test]
fn what_may_not_be_looked_up_is_told_as_what_is_not_there() {
    let town = Town::new();
    for (selected, command, _) in ROWS {
        let absent = |text: &str| text.replace("alice/Box", "alice/Bux").replace("alice/Other", "alice/Ather");
        let nobody = |text: &str| text.replace("alice/", "elice/");
        for rights in ["", "swp"] {
            let said = asked(&town, rights, selected, command);
            assert!(!said.starts_with("OK"), "{command} with {rights:?}: {said}");
            assert_eq!(
                said,
                asked(&town, rights, &absent(selected), &absent(command)).replace("Bux", "Box"),
                "{command}"
            );
            assert_eq!(
                said,
                asked(&town, rights, &nobody(selected), &nobody(command)).replace("elice", "alice"),
                "{command}"
            );
        }
    }
}

#[test]
fn only_what_may_be_looked_up_is_listed() {
    let town = Town::new();
    let mut ben = town.login("ben");
    let listed = |ben: &mut Talk, command: &str| ok(ben, command).matches("alice").count();
    ok(&mut ben, "SUBSCRIBE user/alice/Box");
    for (rights, expected) in [("rswipkxtea", 0), ("l", 1)] {
        ok(&mut town.login("alice"), &format!("SETACL Box ben {rights}"));
        assert_eq!(listed(&mut ben, "LIST \"\" user/alice/%"), expected, "{rights}");
        assert_eq!(listed(&mut ben, "LIST (SPECIAL-USE) \"\" *"), 0, "{rights}");
    }
    let said = ok(&mut ben, "LIST (SUBSCRIBED) \"\" * RETURN (MYRIGHTS CHILDREN)");
    assert!(
        said.contains("* LIST (\\HasNoChildren \\Subscribed) \"/\" user/alice/Box\r\n* MYRIGHTS user/alice/Box l\r\n"),
        "{said}"
    );
    assert_eq!(
        ok(&mut ben, "NAMESPACE").lines().next(),
        Some("* NAMESPACE ((\"\" \"/\")) ((\"user/\" \"/\")) ((\"Shared/\" \"/\"))")
    );
    // The level above is none of ben's business, nor is what is beside it.
    assert_eq!(listed(&mut ben, "LIST \"\" user/alice/Other"), 0);
    // What is below a name of another namespace is none of the user's own.
    assert!(outcome(&ben.say("x CREATE user/dan/Box\r\n")).starts_with("NO [NOPERM]"));
}

#[test]
fn my_rights_are_told_to_who_has_any_that_make_the_mailbox_known() {
    let town = Town::new();
    for right in ALL.chars() {
        let said = asked(&town, &right.to_string(), "", "MYRIGHTS user/alice/Box");
        let is_told = "lrikxa".contains(right);
        assert!(said.starts_with(if is_told { "OK" } else { "NO [NONEXISTENT]" }), "{right}: {said}");
    }
}

#[test]
fn an_access_control_list_is_shown_and_changed() {
    let town = Town::new();
    let mut alice = town.login("alice");
    for (command, told) in [
        ("GETACL Box", "* ACL Box alice lrswipkxteacd"),
        ("SETACL Box Ben lrswida", ""),
        ("GETACL Box", "* ACL Box alice lrswipkxteacd ben lrswitead"),
        ("SETACL Box ben -da", ""),
        ("SETACL Box anyone +k", ""),
        ("SETACL Box -cy k", ""),
        ("GETACL Box", "* ACL Box alice lrswipkxteacd -cy kc anyone kc ben lrswi"),
        ("DELETEACL Box ben", ""),
        ("GETACL Box", "* ACL Box alice lrswipkxteacd -cy kc anyone kc"),
        ("LISTRIGHTS Box Fred", "* LISTRIGHTS Box Fred \"\" l r s w i p k x t e a c d"),
        ("LISTRIGHTS Box alice", "* LISTRIGHTS Box alice la r s w i p k x t e c d"),
        ("MYRIGHTS Box", "* MYRIGHTS Box lrswipkxteacd"),
        ("SETACL Box alice \"\"", ""),
        ("MYRIGHTS Box", "* MYRIGHTS Box lkac"),
        ("SETACL Box alice lrswipkxtea", ""),
        ("MYRIGHTS Box", "* MYRIGHTS Box lrswipkxteacd"),
    ] {
        let said = ok(&mut alice, command);
        assert_eq!(said.lines().next().filter(|line| line.starts_with('*')).unwrap_or_default(), told, "{command}");
    }
    assert!(ok(&mut town.login("cy"), "LIST \"\" *").contains("INBOX"));
    assert!(outcome(&town.login("cy").say("x MYRIGHTS user/alice/Box\r\n")).starts_with("NO [NONEXISTENT]"));
    assert!(ok(&mut town.login("ben"), "MYRIGHTS user/alice/Box").starts_with("* MYRIGHTS user/alice/Box kc\r\n"));
    for wrong in ["SETACL Box ben lrQ", "SETACL Box ben q", "SETACL Box \"\" l", "SETACL Box ben", "MYRIGHTS"] {
        assert!(outcome(&alice.say(&format!("x {wrong}\r\n"))).starts_with("BAD"), "{wrong}");
    }
    town.is_sound();
}

#[test]
fn a_new_mailbox_has_the_rights_of_the_one_above_and_a_deleted_one_leaves_none() {
    let town = Town::new();
    let mut alice = town.login("alice");
    ok(&mut alice, "SETACL Box ben lrk");
    ok(&mut alice, "CREATE Box/Sub/Leaf");
    assert!(ok(&mut alice, "GETACL Box/Sub/Leaf").contains("ben lrkc\r\n"));
    ok(&mut alice, "RENAME Box/Sub/Leaf Leaf");
    assert!(ok(&mut alice, "GETACL Leaf").contains("ben lrkc\r\n"), "a rename takes them along");
    // The name stays, as there is one below.
    ok(&mut alice, "DELETE Box");
    ok(&mut alice, "CREATE Box");
    assert!(!ok(&mut alice, "GETACL Box").contains("ben"));
}

#[test]
fn flags_are_kept_as_far_as_there_are_rights_to() {
    // The examples of RFC 4314 section 4, Copying or appending messages.
    for (rights, expected) in [("lriws", "(\\Seen work)"), ("lrsti", "(\\Deleted \\Seen)"), ("lri", "()")] {
        let town = Town::new();
        town.permit(rights);
        let mut ben = town.login("ben");
        ok(&mut ben, "SELECT INBOX");
        ok(&mut ben, "COPY 1 user/alice/Other");
        ok(&mut ben, "APPEND user/alice/Other (\\Deleted \\Seen work) {2+}\r\nhi");
        ok(&mut ben, "MOVE 1 user/alice/Other");
        ok(&mut ben, "SELECT user/alice/Other");
        let said = ok(&mut ben, "FETCH 1:3 (FLAGS)");
        assert_eq!(said.matches(&format!("FETCH (FLAGS {expected})")).count(), 3, "{rights}: {said}");
        town.is_sound();
    }
    // A STORE of which some is permitted does that, and no more.
    let town = Town::new();
    town.permit("lrw");
    let mut ben = town.login("ben");
    ok(&mut ben, "SELECT user/alice/Box");
    assert!(ok(&mut ben, "STORE 2 FLAGS (\\Seen \\Answered)").contains("* 2 FETCH (FLAGS (\\Answered \\Deleted))"));
    assert!(ok(&mut ben, "FETCH 1 (FLAGS BODY[])").starts_with("* 1 FETCH (FLAGS () BODY[]"), "BODY[] sets no \\Seen");
}

/// A mirrored mailbox that its server opens READ-ONLY, and of which it keeps `\Seen` (RFC 3501 section 7.1).
#[test]
fn what_is_read_only_upstream_takes_the_flags_that_are_kept_there() {
    let town = Town::new();
    let seen: Flags = std::iter::once(Flag::from(SystemFlag::Seen)).collect();
    town.store
        .write(Origin::Upstream, NOW, move |txn| {
            let alice = txn.ensure_account("alice")?;
            let boxed = MailboxName::parse("Box").expect("a name");
            let boxed = txn.reader().mailbox_named(alice, &boxed)?.expect("a mailbox").id;
            txn.link_mailbox(alice, boxed, "Box")?;
            txn.set_kept_flags(boxed, &seen, false)?;
            txn.set_read_only(boxed, true)
        })
        .expect("an answer");
    let mut alice = town.login("alice");
    let said = ok(&mut alice, "SELECT Box");
    assert!(said.contains("[PERMANENTFLAGS (\\Seen)]") && said.contains("x OK [READ-ONLY]"), "{said}");
    assert!(ok(&mut alice, "STORE 1 +FLAGS (\\Seen)").contains("* 1 FETCH (FLAGS (\\Seen"));
    for command in
        ["STORE 1 +FLAGS (\\Flagged)", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE", "MOVE 1 Other", "APPEND Box {2+}\r\nhi"]
    {
        let said = alice.say(&format!("x {command}\r\n"));
        assert!(outcome(&said).starts_with("NO [NOPERM]"), "{command}: {said}");
    }
    ok(&mut alice, "COPY 1 Other");
}

#[test]
fn select_tells_what_can_be_done() {
    for (rights, code, permanent) in [
        ("r", "READ-ONLY", ""),
        ("rs", "READ-ONLY", "\\Seen"),
        ("rit", "READ-WRITE", "\\Deleted"),
        ("rw", "READ-WRITE", "\\Answered \\Flagged \\Draft \\*"),
        ("rsetw", "READ-WRITE", "\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*"),
        ("re", "READ-WRITE", ""),
    ] {
        let town = Town::new();
        town.permit(rights);
        let mut ben = town.login("ben");
        let said = ok(&mut ben, "SELECT user/alice/Box");
        assert!(said.contains(&format!("[PERMANENTFLAGS ({permanent})]")), "{rights}: {said}");
        assert!(said.contains(&format!("x OK [{code}]")), "{rights}: {said}");
        assert!(said.contains("* 0 RECENT"), "what is recent is between the owner's sessions: {said}");
        let said = ok(&mut ben, "EXAMINE user/alice/Box");
        assert!(said.contains("x OK [READ-ONLY]") && said.contains("[PERMANENTFLAGS ()]"), "{rights}: {said}");
        // CLOSE is never refused, and expunges only by right.
        ok(&mut ben, "SELECT user/alice/Box");
        ok(&mut ben, "CLOSE");
        let left = if rights.contains('e') { 2 } else { 3 };
        let said = ok(&mut town.login("alice"), "STATUS Box (MESSAGES)");
        assert!(said.contains(&format!("(MESSAGES {left})")), "{rights}: {said}");
    }
}

#[test]
fn rights_that_change_are_told_to_who_has_the_mailbox_open() {
    let town = Town::new();
    town.permit("lrs");
    let (mut alice, mut ben) = (town.login("alice"), town.login("ben"));
    ok(&mut ben, "SELECT user/alice/Box");
    assert!(ben.say("x IDLE\r\n").starts_with("+ "));
    ok(&mut alice, "SETACL Box ben +w");
    let said = ben.hear();
    assert!(said.contains("* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Seen \\Draft \\*)]"), "{said}");
    ok(&mut alice, "SETACL Box ben -r");
    assert!(ben.hear().contains("* BYE You may not read the selected mailbox any more"));
}

#[test]
fn each_reader_has_seen_what_they_have_seen() {
    let town = Town::new();
    town.permit("lrswit");
    let (mut alice, mut ben, mut cy) = (town.login("alice"), town.login("ben"), town.login("cy"));
    ok(&mut alice, "SETACL Box cy lrs");
    let unseen = |talk: &mut Talk, name: &str| {
        let said = ok(talk, &format!("STATUS {name} (UNSEEN)"));
        said.split("UNSEEN ").nth(1).and_then(|rest| rest.split(')').next()).map(str::to_owned)
    };
    let mut all = |alice: &mut Talk, ben: &mut Talk| {
        [unseen(alice, "Box"), unseen(ben, "user/alice/Box"), unseen(&mut cy, "user/alice/Box")]
            .map(Option::unwrap_or_default)
    };
    assert_eq!(all(&mut alice, &mut ben), ["2", "3", "3"]);
    let said = ok(&mut ben, "SELECT user/alice/Box (CONDSTORE)");
    assert!(said.contains("[UNSEEN 1]"), "{said}");
    ok(&mut alice, "SELECT Box (CONDSTORE)");
    ok(&mut ben, "FETCH 1 BODY[]");
    assert!(
        ok(&mut ben, "STORE 3 +FLAGS (\\Seen \\Answered)")
            .contains("* 3 FETCH (UID 3 FLAGS (\\Answered \\Flagged \\Seen)")
    );
    // alice is told of \Answered alone, and has still seen 3 and not 1.
    let said = ok(&mut alice, "NOOP");
    assert!(
        said.contains("* 3 FETCH (UID 3 FLAGS (\\Answered \\Flagged \\Seen") && !said.contains("* 1 FETCH"),
        "{said}"
    );
    assert_eq!(all(&mut alice, &mut ben), ["2", "1", "3"]);
    ok(&mut alice, "STORE 3 -FLAGS (\\Seen)");
    assert!(ok(&mut ben, "FETCH 3 (FLAGS)").contains("\\Seen"), "what alice has not seen ben has");
    assert!(ok(&mut ben, "SEARCH UNSEEN").starts_with("* SEARCH 2\r\n"));
    assert!(ok(&mut alice, "SEARCH UNSEEN").starts_with("* SEARCH 1 2 3\r\n"));
    ok(&mut alice, "STORE 2:3 +FLAGS.SILENT (work)");
    assert!(ok(&mut ben, "SEARCH UNSEEN KEYWORD Work").starts_with("* SEARCH 2\r\n"));
    assert!(ok(&mut ben, "SEARCH SEEN UNKEYWORD work").starts_with("* SEARCH 1\r\n"));
    ok(&mut alice, "STORE 2:3 -FLAGS.SILENT (work)");
    // Mod-sequences tell each what changed for them.
    let mod_seq = |talk: &mut Talk, name: &str| -> u64 {
        let said = ok(talk, &format!("STATUS {name} (HIGHESTMODSEQ)"));
        said.split("HIGHESTMODSEQ ").nth(1).and_then(|rest| rest.split(')').next()?.parse().ok()).expect("a number")
    };
    let since = mod_seq(&mut ben, "user/alice/Box");
    ok(&mut ben, "STORE 1 -FLAGS.SILENT (\\Seen)");
    assert!(mod_seq(&mut ben, "user/alice/Box") > since);
    let changed = format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {since})");
    assert!(ok(&mut ben, &changed).starts_with("* 1 FETCH (UID 1 FLAGS () MODSEQ"));
    assert!(!ok(&mut alice, &changed).contains("FETCH ("), "for alice nothing changed");
    let said = ok(&mut ben, &format!("STORE 1 (UNCHANGEDSINCE {since}) +FLAGS (\\Seen)"));
    assert!(said.contains("x OK [MODIFIED 1]"), "{said}");
    // What ben moves or copies within the mailboxes he has seen as he has seen it.
    ok(&mut alice, "SETACL Box ben +e");
    ok(&mut ben, "COPY 3 INBOX");
    ok(&mut ben, "MOVE 3 user/alice/Other");
    ok(&mut ben, "SELECT INBOX");
    assert!(ok(&mut ben, "FETCH 2 (FLAGS)").contains("\\Seen"));
    ok(&mut ben, "SELECT user/alice/Other");
    assert!(ok(&mut ben, "FETCH 1 (FLAGS MODSEQ)").contains("\\Seen"));
    ok(&mut alice, "SELECT Other");
    assert!(!ok(&mut alice, "FETCH 1 (FLAGS)").contains("\\Seen"));
    town.is_sound();
}

#[test]
fn a_resync_brings_a_guest_what_changed_for_them() {
    let town = Town::new();
    town.permit("lrswite");
    let mut ben = town.login("ben");
    ok(&mut ben, "ENABLE QRESYNC");
    let said = ok(&mut ben, "SELECT user/alice/Box");
    let number =
        |said: &str, code: &str| said.split(code).nth(1).and_then(|rest| rest.split(']').next()).map(str::to_owned);
    let (validity, since) =
        (number(&said, "[UIDVALIDITY ").expect("one"), number(&said, "[HIGHESTMODSEQ ").expect("one"));
    ok(&mut ben, "UNSELECT");
    let mut another = town.login("ben");
    ok(&mut another, "SELECT user/alice/Box");
    ok(&mut another, "STORE 1 +FLAGS (\\Seen)");
    ok(&mut another, "EXPUNGE");
    let said = ok(&mut ben, &format!("SELECT user/alice/Box (QRESYNC ({validity} {since}))"));
    assert!(said.contains("* VANISHED (EARLIER) 2\r\n"), "{said}");
    assert!(said.contains("* 1 FETCH (UID 1 FLAGS (\\Seen)"), "{said}");
}

#[test]
fn a_guest_is_told_of_what_happens() {
    let town = Town::new();
    town.permit("lr");
    let (mut alice, mut ben) = (town.login("alice"), town.login("ben"));
    ok(&mut ben, "SELECT user/alice/Box");
    assert!(ben.say("x IDLE\r\n").starts_with("+ "));
    ok(&mut alice, "APPEND Box {2+}\r\nhi");
    assert!(ben.hear().contains("* 4 EXISTS"));
    ben.say("DONE\r\n");
    ok(&mut ben, "UNSELECT");
    ok(
        &mut ben,
        "NOTIFY SET (personal (MessageNew MessageExpunge MailboxName)) (subtree user (MessageNew MessageExpunge MailboxName))",
    );
    ok(&mut alice, "APPEND Box {2+}\r\nhi");
    assert!(ben.hear().contains("* STATUS user/alice/Box (UIDNEXT 6 MESSAGES 5"), "what changes elsewhere");
    ok(&mut alice, "CREATE New");
    ok(&mut alice, "APPEND New {2+}\r\nhi");
    assert_eq!(ben.hear(), "", "of what ben may not know he hears nothing");
    ok(&mut alice, "SETACL New ben lr");
    assert!(ben.hear().contains("user/alice/New"), "a mailbox is new to who may see it from now on");
    ok(&mut ben, "NOTIFY SET (personal (MessageNew MessageExpunge))");
    ok(&mut alice, "APPEND Box {2+}\r\nhi");
    assert_eq!(ben.hear(), "", "the mailboxes of others are not personal");
    let said = ok(&mut ben, "ESEARCH IN (personal) ALL");
    assert!(said.contains("INBOX") && !said.contains("alice"), "{said}");
    let said = ok(&mut ben, "ESEARCH IN (subtree (user INBOX)) ALL");
    assert!(said.contains("user/alice/Box") && said.contains("INBOX"), "{said}");
}

#[test]
fn the_owners_quota_counts() {
    let town = Town::new();
    town.permit("lrswipkxte");
    let accounts = town.store.read(|reader| reader.accounts()).expect("accounts");
    let alice = accounts.iter().find(|account| account.name == "alice").expect("alice").id;
    town.store.write(Origin::Authority, NOW, move |txn| txn.set_quota(alice, Some(1000), Some(4))).expect("a quota");
    let mut ben = town.login("ben");
    ok(&mut ben, "APPEND INBOX {2+}\r\nhi");
    ok(&mut ben, "APPEND user/alice/Box {2+}\r\nhi");
    ok(&mut ben, "SELECT INBOX");
    for command in [
        "APPEND user/alice/Box {2+}\r\nhi",
        "COPY 1 user/alice/Box",
        "MOVE 1 user/alice/Box",
        "REPLACE 1 user/alice/Box {2+}\r\nhi",
    ] {
        assert!(outcome(&ben.say(&format!("x {command}\r\n"))).starts_with("NO [OVERQUOTA]"), "{command}");
    }
    // What leaves alice's mailboxes makes room, and is ben's from then on.
    ok(&mut ben, "SELECT user/alice/Box");
    ok(&mut ben, "MOVE 1 INBOX");
    ok(&mut ben, "APPEND user/alice/Box {2+}\r\nhi");
    assert!(ok(&mut ben, "STATUS INBOX (MESSAGES)").contains("(MESSAGES 3)"));
    town.is_sound();
}

#[test]
fn what_is_nobodys_is_everybodys_who_may() {
    let town = Town::new();
    let shared = town.neighbours.shared;
    town.store
        .write(Origin::Authority, NOW, move |txn| {
            let team = txn.create_mailbox(shared, &MailboxName::parse("Team").expect("a name"), None)?;
            for (who, rights) in [("alice", "lrswipkxtea"), ("anyone", "lrs"), ("-cy", "l")] {
                let rights = RightsChange::Replace(Rights::parse(rights).expect("rights"));
                txn.set_rights(team, &Identifier::parse(who).expect("an identifier"), rights)?;
            }
            Ok(())
        })
        .expect("a write");
    let (mut alice, mut ben, mut cy) = (town.login("alice"), town.login("ben"), town.login("cy"));
    ok(&mut alice, "APPEND Shared/Team (\\Seen) {2+}\r\nhi");
    ok(&mut alice, "CREATE Shared/Team/Sub");
    let said = ok(&mut ben, "LIST \"\" Shared/*");
    assert_eq!(said.matches("* LIST").count(), 2, "{said}");
    assert!(!ok(&mut cy, "LIST \"\" *").contains("Shared/Team"));
    assert!(outcome(&ben.say("x APPEND Shared/Team {2+}\r\nhi\r\n")).starts_with("NO [NOPERM]"));
    assert!(ok(&mut alice, "STATUS Shared/Team (UNSEEN)").contains("UNSEEN 0"));
    assert!(ok(&mut ben, "STATUS Shared/Team (UNSEEN)").contains("UNSEEN 1"));
    ok(&mut cy, "STATUS Shared/Team (MESSAGES)");
    // By no name does anyone reach the rest of that account, or its root.
    for name in ["Shared/INBOX", "user/#shared/INBOX", "user/#shared/Team"] {
        assert!(outcome(&alice.say(&format!("x SELECT {name}\r\n"))).starts_with("NO [NONEXISTENT]"), "{name}");
    }
    for name in ["Shared/New", "Shared", "user", "user/ben", "user/ben/New", "user/#shared/New"] {
        let said = outcome(&alice.say(&format!("x CREATE {name}\r\n")));
        assert!(said.starts_with("NO [NOPERM]"), "{name}: {said}");
    }
    assert!(outcome(&alice.say("x RENAME Shared/Team/Sub Mine\r\n")).starts_with("NO [CANNOT]"));
    assert!(outcome(&alice.say("x RENAME Shared/Team/Sub Shared/Mine\r\n")).starts_with("NO [NOPERM]"));
    town.is_sound();
}

#[test]
fn annotations_that_are_private_are_each_users_own() {
    let town = Town::new();
    town.permit("lrw");
    let (mut alice, mut ben) = (town.login("alice"), town.login("ben"));
    ok(&mut alice, "SETMETADATA Box (/private/comment \"alice's\" /shared/comment \"both\")");
    let asked = "(/private/comment /shared/comment)";
    let told = |said: String| said.lines().next().map(str::to_owned).unwrap_or_default();
    let said = told(ok(&mut ben, &format!("GETMETADATA user/alice/Box {asked}")));
    assert!(said.contains("/private/comment NIL") && said.contains("/shared/comment \"both\""), "{said}");
    ok(&mut ben, "SETMETADATA user/alice/Box (/private/comment \"ben's\")");
    assert!(told(ok(&mut alice, &format!("GETMETADATA Box {asked}"))).contains("alice's"));
    assert!(told(ok(&mut ben, &format!("GETMETADATA user/alice/Box {asked}"))).contains("ben's"));
}

#[test]
fn a_hidden_mailbox_that_is_made_again_is_not_said_to_be_there() {
    let town = Town::new();
    let (mut alice, mut ben) = (town.login("alice"), town.login("ben"));
    ok(&mut alice, "CREATE Box/Secret");
    ok(&mut alice, "CREATE Box/Open");
    ok(&mut alice, "SETACL Box ben lk");
    ok(&mut alice, "SETACL Box/Open ben lx");
    for (rights, expected) in [("", "NO [NOPERM]"), ("l", "NO [ALREADYEXISTS]")] {
        ok(&mut alice, &format!("SETACL Box/Secret ben \"{rights}\""));
        for command in ["CREATE user/alice/Box/Secret", "RENAME user/alice/Box/Open user/alice/Box/Secret"] {
            let said = outcome(&ben.say(&format!("x {command}\r\n")));
            assert!(said.starts_with(expected), "{command}: {said}");
        }
    }
    town.is_sound();
}

#[test]
fn whether_there_is_such_a_user_is_not_told_by_a_rename() {
    let town = Town::new();
    let mut ben = town.login("ben");
    ok(&mut ben, "CREATE Mine");
    let [alice, nobody] =
        ["alice", "nobody"].map(|user| outcome(&ben.say(&format!("x RENAME Mine user/{user}/Mine\r\n"))));
    assert_eq!((alice.as_str(), nobody.as_str()), (nobody.as_str(), "NO [CANNOT] A mailbox stays with its owner"));
}

#[test]
fn the_quota_root_of_a_mailbox_is_its_owners() {
    let town = Town::new();
    let mut ben = town.login("ben");
    let hidden = ["GETQUOTAROOT user/alice/Box", "GETQUOTAROOT user/elice/Box"].map(|command| ok(&mut ben, command));
    assert_eq!(hidden.map(|said| said.lines().count()), [2, 2], "no root, no quota");
    assert!(outcome(&ben.say("x GETQUOTA user/alice\r\n")).starts_with("NO [NONEXISTENT]"));
    town.permit("l");
    let accounts = town.store.read(|reader| reader.accounts()).expect("accounts");
    let alice = accounts.iter().find(|account| account.name == "alice").expect("alice").id;
    town.store.write(Origin::Authority, NOW, move |txn| txn.set_quota(alice, Some(4096), Some(4))).expect("a quota");
    let said = ok(&mut ben, "GETQUOTAROOT user/alice/Box");
    let told = "* QUOTA user/alice (STORAGE 1 4 MESSAGE 3 4)\r\n";
    assert!(said.starts_with(&format!("* QUOTAROOT user/alice/Box user/alice\r\n{told}")), "{said}");
    assert!(ok(&mut ben, "GETQUOTA user/alice").starts_with(told));
    assert!(ok(&mut ben, "GETQUOTAROOT INBOX").starts_with("* QUOTAROOT INBOX user\r\n* QUOTA user ()\r\n"));
}

#[test]
fn what_one_puts_into_anothers_mailbox_is_not_taken_for_what_came_into_ones_own() {
    let town = Town::new();
    ok(&mut town.login("alice"), "SETACL INBOX ben lri");
    let (mut ben, mut bens_other) = (town.login("ben"), town.login("ben"));
    let validity = |talk: &mut Talk, name: &str| {
        let said = ok(talk, &format!("STATUS {name} (UIDVALIDITY)"));
        said.split_once("UIDVALIDITY ").map(|(_, rest)| rest.lines().next().unwrap_or_default().to_owned())
    };
    assert_eq!(validity(&mut ben, "INBOX"), validity(&mut ben, "user/alice/INBOX"), "two accounts, one UIDVALIDITY");
    ok(&mut ben, "SELECT INBOX");
    ok(&mut ben, "NOTIFY SET (SELECTED (MessageNew (UID) MessageExpunge))");
    for _ in 0..2 {
        ok(&mut ben, "APPEND user/alice/INBOX {2+}\r\nhi");
    }
    ok(&mut bens_other, "APPEND INBOX {2+}\r\nho");
    let told = ok(&mut ben, "NOOP");
    assert!(told.contains("* 2 FETCH (UID 2)"), "{told}");
}

#[test]
fn a_mailbox_of_ones_own_that_looks_like_one_of_another_namespace_stays_reachable() {
    let town = Town::new();
    let ben = town.store.read(|reader| reader.account_named("ben")).expect("a read").expect("ben").id;
    let old = MailboxName::parse("Shared/Old").expect("a name");
    town.store.write(Origin::Authority, NOW, move |txn| txn.create_mailbox(ben, &old, None)).expect("a mailbox");
    let mut ben = town.login("ben");
    ok(&mut ben, "APPEND Shared/Old {2+}\r\nhi");
    assert!(ok(&mut ben, "LIST \"\" Shared/*").contains("Shared/Old"));
    ok(&mut ben, "RENAME Shared/Old Old");
}

#[test]
fn a_name_without_a_mailbox_that_may_not_be_looked_up_is_as_unknown_as_none() {
    let town = Town::new();
    let mut alice = town.login("alice");
    ok(&mut alice, "CREATE Secret/below");
    ok(&mut alice, "DELETE Secret");
    let mut ben = town.login("ben");
    ok(&mut ben, "SELECT INBOX");
    for command in ["COPY 1", "MOVE 1"] {
        let mut said = |name: &str| outcome(&ben.say(&format!("x {command} user/alice/{name}\r\n")));
        assert_eq!(said("Secret"), "NO [TRYCREATE] No such mailbox", "{command}");
        assert_eq!(said("Nothing"), "NO [TRYCREATE] No such mailbox", "{command}");
    }
}

#[test]
fn a_mailbox_made_of_a_name_that_stayed_has_the_rights_of_the_one_above() {
    let town = Town::new();
    let mut alice = town.login("alice");
    ok(&mut alice, "CREATE Box/Sub/Leaf");
    ok(&mut alice, "DELETE Box/Sub");
    ok(&mut alice, "SETACL Box ben lrk");
    ok(&mut alice, "CREATE Box/Sub");
    assert!(ok(&mut alice, "GETACL Box/Sub").contains("ben lrkc\r\n"));
}

#[test]
fn what_a_guest_wants_to_be_told_of_and_may_not_read_is_told_to_be_so() {
    let town = Town::new();
    town.permit("l");
    let mut ben = town.login("ben");
    let said = ok(&mut ben, "NOTIFY SET (mailboxes user/alice/Box (MessageNew MessageExpunge))");
    assert_eq!(said, "* LIST (\\NoAccess) \"/\" user/alice/Box\r\nx OK Told from now on\r\n");
    town.permit("");
    let said = ok(&mut ben, "NOTIFY SET (mailboxes user/alice/Box (MessageNew MessageExpunge))");
    assert_eq!(said, "x OK Told from now on\r\n", "what may not be looked up is not there");
}

#[test]
fn what_may_be_read_and_not_listed_is_searched_where_it_is_selected() {
    let town = Town::new();
    town.permit("r");
    let mut ben = town.login("ben");
    ok(&mut ben, "SELECT user/alice/Box");
    let said = ok(&mut ben, "ESEARCH RETURN (SAVE ALL) UID 2:3");
    assert!(said.starts_with("* ESEARCH ") && said.contains(" UID ALL 2:3\r\n"), "{said}");
    assert!(ok(&mut ben, "UID SEARCH $").starts_with("* SEARCH 2 3\r\n"));
    let said = ok(&mut ben, "ESEARCH IN (subtree user) ALL");
    assert_eq!(said, "x OK Searched\r\n", "it is not listed");
}
