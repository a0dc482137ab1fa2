//! What one client can take of everyone's: a number of sessions, of mailboxes' levels, of work a command.

use mailtide::serve::sessions::Sessions;
use mailtide::store::Origin;
use mailtide::types::{MailboxName, limits};

use super::face::{Face, NOW};

#[test]
fn a_user_has_so_many_sessions_and_no_more() {
    let mut face = Face::new(Origin::Authority);
    face.sessions = Sessions::at_most(2);
    let (mut first, mut second) = (face.login(), face.login());
    let mut third = face.session();
    let login = "a LOGIN alice secret\r\n";
    assert_eq!(third.say(login), "a NO [LIMIT] The user has too many sessions open\r\n");
    assert!(second.say("a NOOP\r\n").contains("a OK"), "those that are there stay");
    // A session that is left gives its place back, and so does one that logs out of its user.
    drop(second);
    assert!(third.say(login).contains("a OK"));
    assert!(first.say("a UNAUTHENTICATE\r\n").contains("a OK"));
    assert!(face.session().say(login).contains("a OK"));
}

#[test]
fn mailboxes_go_so_deep_and_no_deeper() {
    for origin in [Origin::Authority, Origin::LocalUser] {
        let face = Face::new(origin);
        let mut client = face.login();
        let deep = vec!["x"; limits::MAILBOX_LEVELS_MAX].join("/");
        let refused = "a NO [LIMIT] A mailbox cannot be that deep below others\r\n";
        assert_eq!(client.say(&format!("a CREATE {deep}/y\r\n")), refused);
        assert!(client.say(&format!("a CREATE {deep}\r\n")).contains("a OK"));
        assert!(client.say("a CREATE top\r\na CREATE one/two\r\n").contains("a OK"));
        assert_eq!(client.say(&format!("a RENAME top {deep}/top\r\n")), refused);
        // What is below goes along.
        let nearly = vec!["x"; limits::MAILBOX_LEVELS_MAX - 1].join("/");
        assert_eq!(client.say(&format!("a RENAME one {nearly}/one\r\n")), refused);
        assert!(client.say(&format!("a RENAME top {nearly}/top\r\n")).contains("a OK"));
    }
}

#[test]
fn what_one_command_can_ask_for_is_bounded() {
    let face = Face::new(Origin::Authority);
    face.give(b"Subject: x\r\n\r\nbody\r\n", "");
    let mut client = face.inbox();
    let many = limits::IMAP_SEARCH_KEYS_MAX;
    for (command, most) in [("SEARCH", many), ("SORT (DATE) UTF-8", many), ("THREAD REFERENCES UTF-8", many)] {
        assert!(client.say(&format!("a {command}{}\r\n", " TEXT e".repeat(most))).contains("a OK"), "{command}");
        let refused = client.say(&format!("a {command}{}\r\n", " TEXT e".repeat(most + 1)));
        assert!(refused.starts_with("a BAD Expected fewer search keys"), "{refused}");
    }
    let filters = " personal".repeat(limits::IMAP_MAILBOX_FILTERS_MAX);
    assert!(client.say(&format!("a ESEARCH IN ({}) ALL\r\n", filters.trim())).contains("a OK"));
    let refused = client.say(&format!("a ESEARCH IN (personal{filters}) ALL\r\n"));
    assert!(refused.starts_with("a BAD Expected fewer filters"), "{refused}");
    let groups = " (personal NONE)".repeat(limits::IMAP_MAILBOX_FILTERS_MAX);
    assert!(client.say(&format!("a NOTIFY SET{groups}\r\n")).contains("a OK"));
    let refused = client.say(&format!("a NOTIFY SET{groups} (personal NONE)\r\n"));
    assert!(refused.starts_with("a BAD Expected fewer filters"), "{refused}");
    let fields = " x".repeat(limits::IMAP_HEADER_FIELDS_MAX);
    assert!(client.say(&format!("a FETCH 1 BODY.PEEK[HEADER.FIELDS ({})]\r\n", fields.trim())).contains("a OK"));
    let refused = client.say(&format!("a FETCH 1 BODY.PEEK[HEADER.FIELDS (x{fields})]\r\n"));
    assert!(refused.starts_with("a BAD Expected fewer header fields"), "{refused}");
    let patterns = " %".repeat(limits::IMAP_LIST_PATTERNS_MAX_BYTES);
    assert!(client.say(&format!("a LIST \"\" ({})\r\n", patterns.trim())).contains("a OK"));
    let refused = client.say(&format!("a LIST \"\" (%{patterns})\r\n"));
    assert!(refused.starts_with("a BAD Expected fewer patterns"), "{refused}");
    // The same criterion again changes nothing, and costs nothing.
    let sorted = client.say(&format!("a SORT (SUBJECT{}) UTF-8 ALL\r\n", " REVERSE SUBJECT".repeat(3000)));
    assert_eq!(sorted, "* SORT 1\r\na OK Sorted\r\n");
}

#[test]
fn so_many_keywords_are_told_and_no_more() {
    let face = Face::new(Origin::Authority);
    for message in 0..limits::IMAP_KEYWORDS_TOLD_MAX / limits::KEYWORDS_MAX + 1 {
        let keywords: Vec<String> = (0..limits::KEYWORDS_MAX).map(|number| format!("k{message}-{number}")).collect();
        face.give(b"Subject: x\r\n\r\nbody\r\n", &keywords.join(" "));
    }
    let mut client = face.login();
    let told = client.say("a SELECT INBOX\r\n");
    let flags = told.lines().find(|line| line.starts_with("* FLAGS")).expect("a FLAGS response");
    assert_eq!(flags.matches('k').count(), limits::IMAP_KEYWORDS_TOLD_MAX);
    let said = client.say("a STORE 1 FLAGS (another)\r\n");
    assert_eq!(said, "* 1 FETCH (FLAGS (another \\Recent))\r\na OK Stored\r\n");
}

#[test]
fn one_is_subscribed_to_so_many_names_and_no_more() {
    let face = Face::new(Origin::Authority);
    let account = face.account;
    let subscribed = face.store.write(Origin::Upstream, NOW, move |txn| {
        (0..limits::SUBSCRIPTIONS_MAX).try_for_each(|number| {
            let name = MailboxName::parse(&format!("n{number}")).expect("a valid name");
            txn.set_subscribed(account, &name, true)
        })
    });
    subscribed.expect("upstream's subscriptions");
    let mut client = face.login();
    let refused = client.say("a SUBSCRIBE more\r\n");
    assert_eq!(refused, "a NO [LIMIT] The account is subscribed to too many names\r\n");
    assert!(client.say("a UNSUBSCRIBE n1\r\na SUBSCRIBE more\r\n").ends_with("a OK Subscribed\r\n"));
}
