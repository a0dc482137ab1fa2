//! refserver and Dovecot given the same mail: what they show must be the same.

use std::collections::BTreeMap;

use crate::load::{self, FOLDERS};
use crate::support::corpus;
use crate::support::dovecot::{Dovecot, Options};
use crate::support::imap::Imap;
use crate::support::random::Random;
use crate::support::refserver::RefServer;
use crate::support::server::Kind;
use crate::support::snapshot;

#[test]
fn refserver_and_dovecot_show_the_same_mail_in_the_same_folders() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    let refserver = RefServer::with_users(&["ada"]);
    // A part of the mail: every APPEND waits for the disk. Dovecot drops a CR at the very end.
    let messages: Vec<_> = corpus::all().into_iter().step_by(6).filter(|message| !message.ends_with(b"\r")).collect();
    let mut sides = [dovecot.login("ada"), refserver.login("ada")];
    for side in &mut sides {
        let naming = Kind::Dovecot(Options::default()).naming();
        let refused = load::fill(side, naming, &FOLDERS, &messages, &mut Random::new(5));
        assert_eq!(refused, 0, "messages were refused");
    }
    let [theirs, ours] = sides.each_mut().map(snapshot::take);
    let filled = |snapshot: &snapshot::Snapshot| {
        snapshot.iter().filter(|(_, mail)| !mail.is_empty()).map(|(name, mail)| (name.clone(), mail.clone())).collect()
    };
    let (theirs, ours): (snapshot::Snapshot, snapshot::Snapshot) = (filled(&theirs), filled(&ours));
    assert_eq!(theirs, ours, "Dovecot (left) against refserver (right):\n{}", snapshot::tell(&theirs, &ours));
    let [theirs, ours] = sides.each_mut().map(sizes_and_headers);
    let differ = theirs.iter().filter(|(key, value)| ours.get(*key) != Some(value)).count();
    assert_eq!(differ, 0, "of {} messages", theirs.len());
}

/// RFC822.SIZE, BODY[HEADER] and BODY[TEXT] of everything in INBOX.
fn sizes_and_headers(imap: &mut Imap) -> BTreeMap<u32, (String, Vec<Vec<u8>>)> {
    imap.select("INBOX");
    let reply = imap.ok("UID FETCH 1:* (RFC822.SIZE BODY.PEEK[HEADER] BODY.PEEK[TEXT])");
    let rows = reply.untagged.iter().filter_map(|line| {
        let (number, rest) = line.text.strip_prefix("* ")?.split_once(" FETCH (")?;
        let size = rest.split_once("RFC822.SIZE ")?.1.split([' ', ')']).next()?;
        Some((number.parse().ok()?, (size.to_owned(), line.literals.clone())))
    });
    rows.collect()
}
