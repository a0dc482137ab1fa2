//! What a mail client sees of messages that are not all here: everything but their text, and that once it has come.

use std::sync::{Arc, Mutex};

use mailtide::message::Scanner;
use mailtide::message::outline::{Wanted, lay_out};
use mailtide::message::search::Query;
use mailtide::serve::bring::{Answers, Bringer, Inquiry, Outcome, Wish};
use mailtide::store::{Arrival, Cursor, ListedMailbox, NewMessage, Origin, Outline, check};
use mailtide::types::{AccountId, Flags, InternalDate, MailboxName, MessageId, RemoteUid, UidValidity};

use super::face::{Face, NOW};

/// A text and an attachment.
fn letter() -> Vec<u8> {
    let attached = "0123456789abcdef".repeat(4000);
    format!(
        "From: a@example.org\r\nSubject: outlined\r\nMessage-ID: <1@x>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\n\r\nthe text\r\n--b\r\nContent-Type: image/png\r\n\r\n{attached}\r\n--b\r\nContent-Type: image/gif\r\n\r\n\
         {attached}\r\n--b--\r\n"
    )
    .into_bytes()
}

const VALIDITY: UidValidity = UidValidity::new(9);

/// INBOX with a whole message, one of which only the outline is here, and another whole one.
fn face() -> Face {
    face_with(false)
}

/// Likewise; of a bare outline only the header is known.
fn face_with(is_bare: bool) -> Face {
    let face = Face::new(Origin::LocalUser);
    face.give(b"Subject: first\r\n\r\nfirst text\r\n", "");
    let (account, inbox) = (face.account, face.mailbox("INBOX"));
    let whole = Scanner::scan(&letter());
    let header = letter()[..usize::try_from(whole.root.body_start).expect("small")].to_vec();
    let summary = lay_out(&Scanner::scan(&header), header.len() as u64, whole.root, letter().len() as u64);
    let mut upload = face.store.upload();
    upload.write(&header).expect("room");
    let (content, internal_date) = (upload.finish().expect("room"), InternalDate::new(1_000_000_000, 0));
    let message = NewMessage { content, flags: Flags::none(), internal_date, email_id: None };
    let outline = Some(Outline { size_bytes: letter().len() as u64, summary: summary.into(), is_bare });
    let listed = ListedMailbox {
        remote_name: "INBOX".to_owned(),
        is_wanted: true,
        name: MailboxName::inbox(),
        special_use: None,
        selectable: true,
        subscribed: false,
        uid_validity: Some(VALIDITY),
        uid_next: None,
        rights: None,
    };
    let arrived = face.store.write(Origin::Upstream, NOW, move |txn| {
        txn.take_listing(account, &[listed], "+*")?;
        txn.set_cursor(inbox, &Cursor::start(Some(VALIDITY)))?;
        txn.arrive(inbox, &[Arrival { uid: RemoteUid::new(7), message, outline }], MessageId::new(0))
    });
    assert_eq!(arrived.expect("room"), 1);
    face.give(b"Subject: third\r\n\r\nthird text\r\n", "");
    face
}

/// Keeps the wishes.
#[derive(Default)]
struct Kept(Mutex<Vec<Wish>>, Mutex<Vec<Inquiry>>);

impl Bringer for Kept {
    fn bring(&self, _account: AccountId, wish: Wish) {
        self.0.lock().expect("no panic").push(wish);
    }

    fn inquire(&self, _account: AccountId, inquiry: Inquiry) {
        self.1.lock().expect("no panic").push(inquiry);
    }
}

impl Kept {
    fn take(&self) -> Vec<Wish> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

fn waited_for(face: &mut Face) -> Arc<Kept> {
    let kept = Arc::new(Kept::default());
    face.bringer = Some(kept.clone());
    kept
}

#[test]
fn a_client_sees_all_but_the_text_and_nothing_is_asked_for() {
    let mut face = face();
    let kept = waited_for(&mut face);
    let mut talk = face.inbox();
    let size = letter().len();
    for (item, expected) in [
        ("RFC822.SIZE", format!("RFC822.SIZE {size}")),
        ("BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "Subject: outlined".to_owned()),
        ("ENVELOPE", "\"outlined\"".to_owned()),
        ("BODYSTRUCTURE", "(\"IMAGE\" \"PNG\" NIL NIL NIL \"7BIT\" 64000".to_owned()),
        ("BODY.PEEK[HEADER]", "Message-ID: <1@x>".to_owned()),
        ("BODY.PEEK[9]", "BODY[9] NIL".to_owned()),
    ] {
        let said = talk.say(&format!("a FETCH 2 {item}\r\n"));
        assert!(said.contains(&expected) && said.contains("a OK"), "{item}: {said}");
    }
    assert!(talk.say("b SEARCH SUBJECT outlined LARGER 1000\r\n").contains("* SEARCH 2\r\n"));
    assert!(talk.say("c SORT (SIZE) UTF-8 ALL\r\n").contains(" 2\r\n"));
    assert_eq!(kept.take().len(), 0);
}

/// A body structure is for good (RFC 9051 section 2.3.1.1).
#[test]
fn of_what_parts_a_message_consists_is_told_only_once_that_is_known() {
    let face = face_with(true);
    let mut talk = face.inbox();
    let said = talk.say("a FETCH 2 (ENVELOPE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])\r\n");
    assert!(said.contains("Subject: outlined") && said.contains("a OK"), "{said}");
    for item in ["BODYSTRUCTURE", "BODY", "BODY.PEEK[2]", "BODY.PEEK[9]", "BODY.PEEK[TEXT]", "BINARY.SIZE[1]"] {
        let said = talk.say(&format!("b FETCH 1:2 (UID {item})\r\n"));
        assert!(said.contains("* 2 FETCH (UID 2)\r\n") && said.contains("b NO [UNAVAILABLE]"), "{item}: {said}");
    }
    let mut face = face_with(true);
    let (kept, inbox) = (waited_for(&mut face), face.mailbox("INBOX"));
    let mut talk = face.inbox();
    assert_eq!(talk.say("c FETCH 2 (BODYSTRUCTURE BODY.PEEK[9])\r\n"), "", "it waits");
    let wishes = kept.take();
    assert!(wishes.iter().all(|wish| wish.wanted == Wanted::Whole), "there is nothing else to ask for");
    let mut upload = face.store.upload();
    upload.write(&letter()).expect("room");
    let content = upload.finish().expect("room");
    let fill =
        face.store.write(Origin::Upstream, NOW, move |txn| txn.fill(inbox, VALIDITY, RemoteUid::new(7), &content));
    assert!(fill.expect("room"));
    wishes.into_iter().for_each(|wish| wish.settle(Outcome::Here));
    let said = talk.hear();
    assert!(said.contains("(\"IMAGE\" \"PNG\" NIL NIL NIL \"7BIT\" 64000") && said.contains("BODY[9] NIL"), "{said}");
    assert!(said.contains("c OK") && !talk.say("d FETCH 2 FLAGS\r\n").contains("\\Seen"), "{said}");
}

#[test]
fn what_is_not_here_is_refused_offline_and_the_others_are_answered() {
    let face = face();
    let mut talk = face.inbox();
    let said = talk.say("a FETCH 1:3 BODY[TEXT]\r\n");
    assert!(said.contains("first text") && said.contains("third text"), "{said}");
    assert!(said.contains("a NO [UNAVAILABLE]"), "{said}");
    assert!(!talk.say("b FETCH 2 FLAGS\r\n").contains("\\Seen"), "nobody has seen it");
    let said = talk.say("c COPY 2 INBOX\r\n");
    assert!(said.contains("c OK [COPYUID"), "{said}");
    assert!(talk.say("d FETCH 4 BODY.PEEK[HEADER.FIELDS (SUBJECT)]\r\n").contains("Subject: outlined"));
    assert_eq!(check(&face.store).expect("readable"), Vec::<String>::new());
}

#[test]
fn a_search_for_text_tells_what_it_could_not_search() {
    let face = face();
    let mut talk = face.inbox();
    let said = talk.say("a SEARCH BODY text\r\n");
    assert!(said.contains("* OK Of 1 messages only the header is here, and was searched"), "{said}");
    assert!(said.contains("* SEARCH 1 3\r\n") && said.contains("a OK"), "{said}");
    let said = talk.say("b SEARCH NOT BODY nowhere\r\n");
    assert!(
        said.contains("* SEARCH 1 3\r\n") && said.contains("* OK Of 1 "),
        "what is not known is not claimed: {said}"
    );
    let said = talk.say("c SEARCH TEXT outlined\r\n");
    assert!(said.contains("* SEARCH 2\r\n") && !said.contains("* OK Of "), "the header tells: {said}");
}

#[test]
fn what_messages_hold_that_are_not_here_their_server_is_asked() {
    let mut face = face();
    let kept = waited_for(&mut face);
    let mut talk = face.inbox();
    let inquiry = |kept: &Kept| kept.1.lock().expect("no panic").pop().expect("a question");
    assert_eq!(talk.say("a SEARCH OR BODY tide TEXT text\r\n"), "", "it waits");
    let asked = inquiry(&kept);
    let (tide, text) = (Query::Body("tide".to_owned()), Query::Text("text".to_owned()));
    assert_eq!((asked.mailbox, &asked.keys), (face.mailbox("INBOX"), &vec![tide.clone(), text.clone()]));
    let outlined = face.store.read(|reader| reader.outlined_in(asked.mailbox)).expect("readable")[0];
    let all = std::collections::BTreeSet::from([outlined]);
    let holding = vec![(tide, all.clone()), (text, std::collections::BTreeSet::new())];
    asked.settle(Some(Answers { asked: all, holding }));
    let said = talk.hear();
    assert!(said.contains("* SEARCH 1 2 3\r\n") && !said.contains("* OK Of "), "{said}");
    assert_eq!(talk.say("b SEARCH BODY tide\r\n"), "", "another time it is asked again");
    drop(inquiry(&kept));
    let said = talk.hear();
    assert!(said.contains("* OK Of 1 messages only the header is here, and was searched"), "{said}");
    assert!(talk.say("c SEARCH SUBJECT tide\r\n").contains("c OK"), "headers are here");
}

#[test]
fn one_part_is_brought_while_the_client_waits_and_kept() {
    let mut face = face();
    let kept = waited_for(&mut face);
    let mut talk = face.inbox();
    assert_eq!(talk.say("a UID FETCH 2:3 BODY[2]<0.5>\r\n"), "", "it waits");
    assert!(talk.wait(10_000).contains("* OK [INPROGRESS (\"a\" NIL NIL)] Still fetching"));
    let wish = kept.take().pop().expect("a wish");
    assert_eq!(wish.wanted, Wanted::Section { name: "2".to_owned(), first_bytes: Some(5) });
    let mut upload = face.store.upload();
    upload.write(b"01234").expect("room");
    let (content, message) = (upload.finish().expect("room"), wish.message);
    let name = wish.wanted.to_string();
    let is_kept =
        face.store.write(Origin::Upstream, NOW, move |txn| txn.keep_section(message, VALIDITY, &name, &content));
    assert!(is_kept.expect("room"));
    wish.settle(Outcome::Here);
    let said = talk.hear();
    assert!(said.contains("BODY[2]<0> {5}\r\n01234") && said.contains("\\Seen") && said.contains("a OK"), "{said}");
    assert!(talk.say("b FETCH 2 BODY.PEEK[2]<0.5>\r\n").contains("01234"), "it is kept");
    assert_eq!(kept.take().len(), 0);
}

#[test]
fn a_wish_that_fails_is_told_and_one_for_all_of_it_gives_the_message() {
    let mut face = face();
    let kept = waited_for(&mut face);
    let mut talk = face.inbox();
    talk.say("a FETCH 2 BODY.PEEK[]\r\n");
    kept.take().into_iter().for_each(|wish| wish.settle(Outcome::OverBudget));
    assert!(talk.hear().contains("a NO [UNAVAILABLE] Some of the messages are not here, and today's budget is spent"));
    assert_eq!(talk.say("b FETCH 2 (BODY.PEEK[] RFC822.SIZE)\r\n"), "");
    let (wish, inbox) = (kept.take().pop().expect("a wish"), face.mailbox("INBOX"));
    assert_eq!(wish.wanted, Wanted::Whole);
    let mut upload = face.store.upload();
    upload.write(&letter()).expect("room");
    let content = upload.finish().expect("room");
    let filled =
        face.store.write(Origin::Upstream, NOW, move |txn| txn.fill(inbox, VALIDITY, RemoteUid::new(7), &content));
    assert!(filled.expect("room"));
    wish.settle(Outcome::Here);
    let said = talk.hear();
    assert!(said.contains(&format!("BODY[] {{{}}}\r\n", letter().len())) && said.contains("b OK"), "{said:.300}");
}
