//! NOTIFY (RFC 5465) over the store: whatever others do rings the bell, and no amount of it is more than a line a mailbox.

use mailtide::store::Origin;

use super::face::Face;

const ALL: &str = "n NOTIFY SET (selected (MessageNew (UID FLAGS) MessageExpunge FlagChange)) \
                   (personal (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))\r\n";

#[test]
fn everything_that_others_do_rings_the_bell() {
    for origin in [Origin::Authority, Origin::LocalUser] {
        let face = Face::new(origin);
        let (mut listener, mut actor) = (face.inbox(), face.login());
        assert!(listener.say(ALL).contains("n OK"));
        for (act, told) in [
            ("a CREATE Lists\r\n", "* LIST (\\HasNoChildren) \"/\" Lists\r\n"),
            ("a SUBSCRIBE Lists\r\n", "* LIST (\\HasNoChildren \\Subscribed) \"/\" Lists\r\n"),
            ("a APPEND Lists {1+}\r\nx\r\n", "* STATUS Lists (UIDNEXT 2 MESSAGES 1 UNSEEN 1)\r\n"),
            ("a RENAME Lists Post\r\n", "* LIST (\\HasNoChildren) \"/\" Post (\"OLDNAME\" (Lists))\r\n"),
            (
                "a APPEND INBOX (\\Seen) {1+}\r\nx\r\n",
                "* 1 EXISTS\r\n* 1 RECENT\r\n* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent))\r\n",
            ),
            ("a DELETE Post\r\n", "* LIST (\\NonExistent \\HasNoChildren) \"/\" Post\r\n"),
        ] {
            assert!(actor.say(act).contains("a OK"), "{act}");
            assert_eq!(listener.hear(), told, "{origin:?} {act}");
        }
        actor.say("a SELECT INBOX\r\na STORE 1 +FLAGS (\\Deleted)\r\n");
        assert_eq!(listener.hear(), "* 1 FETCH (UID 1 FLAGS (\\Deleted \\Seen \\Recent))\r\n");
        actor.say("a EXPUNGE\r\n");
        assert_eq!(listener.hear(), "* 1 EXPUNGE\r\n");
        assert_eq!(listener.hear(), "", "once is enough");
    }
}

#[test]
fn annotations_ring_it_too() {
    let face = Face::new(Origin::Authority);
    let (mut listener, mut actor) = (face.login(), face.login());
    listener.say("n NOTIFY SET (inboxes (MailboxMetadataChange ServerMetadataChange))\r\n");
    actor.say("a SETMETADATA INBOX (/private/comment \"x\")\r\n");
    assert_eq!(listener.hear(), "* METADATA INBOX /private/comment\r\n");
    actor.say("a SETMETADATA \"\" (/private/comment \"x\")\r\n");
    assert_eq!(listener.hear(), "* METADATA \"\" /private/comment\r\n");
}

#[test]
fn what_happens_while_a_client_does_not_listen_is_told_at_once_and_not_one_by_one() {
    let face = Face::new(Origin::Authority);
    let (mut listener, mut actor) = (face.login(), face.login());
    listener.say(ALL);
    for _ in 0..200 {
        actor.say("a APPEND INBOX {1+}\r\nx\r\n");
    }
    assert_eq!(listener.hear(), "* STATUS INBOX (UIDNEXT 201 MESSAGES 200 UNSEEN 200)\r\n");
}
