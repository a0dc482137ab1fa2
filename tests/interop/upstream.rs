//! The upstream IMAP client on Dovecot: with all it offers, and with little.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mailtide::sync::remote::{
    AppendUid, Connect, Fetched, Known, MessageSink, Outgoing, Remote, RemoteError, RemoteName, Woken,
};
use mailtide::types::{Flag, Flags, InternalDate, Quirks, Secret, SecretKind, SystemFlag, UidSet};
use mailtide::upstream::dial::BoxedStream;
use mailtide::upstream::{ClientTls, Connector, Dial, Endpoint, ImapRemote, Timeouts, TlsMode};

use crate::support::dovecot::{Dovecot, Options, PASSWORD};

#[derive(Default)]
struct Kept {
    open: Vec<u8>,
    messages: Vec<(Vec<u8>, Fetched)>,
}

impl MessageSink for Kept {
    fn begin(&mut self, _size_bytes: u64) -> std::io::Result<()> {
        self.open.clear();
        Ok(())
    }
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.open.extend_from_slice(bytes);
        Ok(())
    }
    fn end(&mut self, message: Fetched) -> std::io::Result<()> {
        self.messages.push((std::mem::take(&mut self.open), message));
        Ok(())
    }
    fn absent(&mut self, uid: mailtide::types::RemoteUid) -> std::io::Result<()> {
        panic!("Dovecot has the bytes of {uid}");
    }
}

/// Dials one address whatever the name: the certificate is made for one of Dovecot's two.
pub struct To(SocketAddr);

impl Dial for To {
    async fn dial(&self, _host: &str, _port: u16) -> std::io::Result<BoxedStream> {
        Ok(Box::new(tokio::net::TcpStream::connect(self.0).await?))
    }
}

pub fn account(dovecot: &Dovecot, tls: TlsMode, password: &str) -> Connector<To> {
    let address = if tls == TlsMode::Implicit { dovecot.imaps } else { dovecot.imap };
    let ca = std::fs::read(&dovecot.certificate).expect("the certificate was written");
    let host = dovecot.imaps.ip().to_string();
    Connector {
        dial: To(address),
        endpoint: Endpoint { host, port: address.port(), tls, allow_plaintext: tls == TlsMode::None },
        tls: ClientTls::new(Some(&ca)).expect("a good certificate"),
        user: "ann".to_owned(),
        password: Secret::new(password),
        kind: SecretKind::Password,
        timeouts: Timeouts::default(),
        quirks: Quirks::default(),
        nonce: || None,
    }
}

pub fn on_runtime(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work);
}

/// Everything a sync does, once.
async fn tour(remote: &mut ImapRemote, other: &mut ImapRemote) {
    let facts = remote.facts().clone();
    let name = remote.name_for(&["Entwürfe & \"Mehr\"", "日本"], Some('/')).expect("a name for it");
    remote.create(&name, None).await.expect("CREATE");
    remote.set_subscribed(&name, true).await.expect("SUBSCRIBE");
    let listed = remote.list().await.expect("LIST");
    let made = listed.iter().find(|mailbox| mailbox.name == name).expect("it is listed");
    assert_eq!(made.components, ["Entwürfe & \"Mehr\"", "日本"]);
    assert!(made.subscribed && made.selectable);
    assert!(listed.iter().any(|mailbox| mailbox.name.0 == "INBOX"));

    let big: Vec<u8> = b"Subject: big\r\n\r\n".iter().copied().chain(b"0123456789\r\n".repeat(500_000)).collect();
    let small =
        b"Message-ID: <a@b>\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n\tfolded\r\n\r\n.\r\nbytes \xff\x00\r\n".to_vec();
    let small: Vec<u8> = small.into_iter().map(|byte| if byte == 0 { b'0' } else { byte }).collect();
    let date = InternalDate::parse_imap(" 1-Feb-2003 04:05:06 -0730").expect("a date");
    let flags: Flags = [SystemFlag::Flagged.into(), Flag::parse("$Work").expect("a keyword")].into_iter().collect();
    let (mut sources, mut told) = ([small.clone(), big.clone()], BTreeMap::new());
    let messages = sources.iter_mut();
    let messages = messages.map(|bytes| Outgoing { flags: flags.clone(), internal_date: date, bytes });
    let messages = messages.collect();
    remote.append(&name, messages, &mut |at, outcome| drop(told.insert(at, outcome))).await.expect("APPEND");
    let told = told.into_values().map(|told| told.expect("APPEND"));
    let appended: Vec<AppendUid> = told.flatten().collect();
    // A capability hidden is still there.
    assert!(appended.len() == 2 || !facts.uid_plus);

    let selected = remote.select(&name, None).await.expect("SELECT");
    assert_eq!((selected.exists, selected.read_only, selected.any_keyword), (2, false, true));
    assert_eq!(selected.highest_mod_seq.is_some(), facts.cond_store);
    let uids = remote.uids().await.expect("SEARCH");
    assert_eq!(uids.len(), 2);
    assert!(appended.iter().all(|told| uids.contains(told.uid) && told.uid_validity == selected.uid_validity));
    let status = remote.status(&[RemoteName("INBOX".to_owned()), RemoteName("none".to_owned())]).await.expect("STATUS");
    assert!(status[0].is_ok() && status[1].is_err(), "{status:?}");

    let mut kept = Kept::default();
    remote.fetch(&uids, &mut kept).await.expect("FETCH");
    assert!(kept.messages.iter().map(|(bytes, _)| bytes).eq([&small, &big]));
    // Dovecot keeps the moment, not the zone.
    let same_moment = |told: &Fetched| told.internal_date.map(InternalDate::unix_seconds) == Some(date.unix_seconds());
    assert!(kept.messages.iter().all(|(_, told)| same_moment(told) && !told.flags.has(SystemFlag::Seen)));
    let known_by = remote.fingerprints(&uids).await.expect("fingerprints");
    assert_eq!(known_by[0].fields["SUBJECT"], b"=?utf-8?q?caf=C3=A9?=\tfolded");
    assert_eq!(known_by[0].size_bytes, small.len() as u64);

    // The other session changes things; this one learns it by waiting.
    other.select(&name, None).await.expect("SELECT");
    let first: UidSet<_> = uids.iter().take(1).collect();
    let waiting = remote.wait(5_000, Box::pin(std::future::pending()));
    let changing = async {
        other.add_flags(&first, &[SystemFlag::Seen.into()].into_iter().collect()).await.expect("STORE");
    };
    let (woken, ()) = tokio::join!(waiting, changing);
    if facts.idle {
        assert_eq!(woken, Ok(Woken::Changed));
    }
    let known = Known {
        uid_validity: selected.uid_validity,
        highest_mod_seq: selected.highest_mod_seq.unwrap_or(mailtide::types::ModSeq::new(0)),
    };
    other.add_flags(&first, &[SystemFlag::Deleted.into()].into_iter().collect()).await.expect("STORE");
    assert_eq!(other.deleted_uids().await.expect("SEARCH"), first);
    other.remove_flags(&first, &[SystemFlag::Flagged.into()].into_iter().collect()).await.expect("STORE");
    let again = remote.select(&name, Some(known)).await.expect("SELECT");
    assert_eq!(again.since.is_some(), facts.qresync);
    if let Some(since) = again.since {
        assert!(since.vanished.is_empty());
        assert_eq!(since.changed.len(), 1);
        assert_eq!(since.changed[0].flags.to_string(), "\\Deleted \\Seen $Work");
    }
    let scanned = remote.scan(&uids, None).await.expect("scan");
    assert_eq!(scanned[0].flags.to_string(), "\\Deleted \\Seen $Work");
    if facts.cond_store {
        let changed = remote.scan(&uids, selected.highest_mod_seq).await.expect("scan");
        assert_eq!(changed.len(), 1);
    }

    let inbox = RemoteName("INBOX".to_owned());
    let copied = remote.copy(&uids, &inbox).await.expect("COPY");
    assert!(copied.is_some_and(|told| told.uids.len() == 2) || !facts.uid_plus);
    let refused = remote.copy(&uids, &RemoteName("none".to_owned())).await;
    assert!(matches!(refused, Err(RemoteError::Refused { .. })), "{refused:?}");
    if facts.uid_plus {
        remote.expunge(&first).await.expect("EXPUNGE");
        assert!(!facts.qresync || remote.take_vanished() == first);
    } else {
        remote.expunge_all_deleted().await.expect("EXPUNGE");
    }
    let left = remote.uids().await.expect("SEARCH");
    assert_eq!(left.len(), 1);
    if facts.r#move {
        remote.move_messages(&left, &inbox).await.expect("MOVE");
        assert!(remote.uids().await.expect("SEARCH").is_empty());
    }
    let renamed = RemoteName("new name".to_owned());
    remote.rename(&name, &renamed).await.expect("RENAME");
    remote.delete(&renamed).await.expect("DELETE");
    assert!(remote.list().await.expect("LIST").iter().all(|mailbox| mailbox.name != renamed));
}

#[test]
fn every_call_works_on_dovecot_with_all_it_offers_and_with_little() {
    let rows: [(TlsMode, &'static [&'static str]); 4] = [
        (TlsMode::Implicit, &[]),
        (TlsMode::StartTls, &["QRESYNC"]),
        (TlsMode::None, &["QRESYNC", "CONDSTORE", "ESEARCH", "LIST-STATUS", "SASL-IR"]),
        (
            TlsMode::Implicit,
            &[
                "QRESYNC",
                "CONDSTORE",
                "ESEARCH",
                "LIST-STATUS",
                "LIST-EXTENDED",
                "LITERAL+",
                "UIDPLUS",
                "MOVE",
                "ID",
                "ENABLE",
                "UNSELECT",
                "SPECIAL-USE",
                "IDLE",
            ],
        ),
    ];
    for (tls, without) in rows {
        let Some(dovecot) = Dovecot::start(&Options { without, ..Options::default() }) else { return };
        on_runtime(async {
            let mut remote = account(&dovecot, tls, PASSWORD).connect().await.expect("a login");
            let mut other = account(&dovecot, tls, PASSWORD).connect().await.expect("a login");
            tour(&mut remote, &mut other).await;
            remote.logout().await;
        });
    }
}

/// In one command, pipelined, and one by one as they are asked for.
#[test]
fn dovecot_takes_many_messages_at_once_and_tells_where_each_is() {
    const MESSAGES: usize = 150;
    let rows: [&'static [&'static str]; 4] =
        [&[], &["MULTIAPPEND"], &["LITERAL+"], &["MULTIAPPEND", "LITERAL+", "UIDPLUS"]];
    for without in rows {
        let Some(dovecot) = Dovecot::start(&Options { without, ..Options::default() }) else { return };
        on_runtime(async {
            let mut remote = account(&dovecot, TlsMode::Implicit, PASSWORD).connect().await.expect("a login");
            let name = RemoteName("Many".to_owned());
            remote.create(&name, None).await.expect("CREATE");
            let text =
                |number: usize| format!("Subject: {number}\r\n\r\n{}\r\n", "x".repeat(number * 100)).into_bytes();
            let mut sources: Vec<Vec<u8>> = (0..MESSAGES).map(text).collect();
            let messages = sources.iter_mut().map(|bytes| Outgoing {
                flags: Flags::none(),
                internal_date: InternalDate::new(1_000_000_000, 0),
                bytes,
            });
            let (messages, mut told) = (messages.collect(), BTreeMap::new());
            let ended = remote.append(&name, messages, &mut |at, outcome| drop(told.insert(at, outcome))).await;
            assert_eq!((ended, told.len()), (Ok(()), MESSAGES), "without {without:?}");
            remote.select(&name, None).await.expect("SELECT");
            let mut kept = Kept::default();
            let uids = remote.uids().await.expect("SEARCH");
            remote.fetch(&uids, &mut kept).await.expect("FETCH");
            assert_eq!(kept.messages.len(), MESSAGES, "without {without:?}");
            let there: BTreeMap<_, _> = kept.messages.into_iter().map(|(bytes, told)| (told.uid, bytes)).collect();
            for (number, told) in told {
                match told.expect("APPEND") {
                    Some(told) => assert_eq!(there[&told.uid], text(number)),
                    None => assert!(!remote.facts().uid_plus || without.contains(&"UIDPLUS")),
                }
            }
        });
    }
}

#[test]
fn a_wrong_password_and_a_foreign_certificate_are_told_apart() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    on_runtime(async {
        let refused = account(&dovecot, TlsMode::Implicit, "wrong").connect().await.err();
        assert!(matches!(&refused, Some(RemoteError::LoginRefused { .. })), "{refused:?}");
        let mut account = account(&dovecot, TlsMode::Implicit, PASSWORD);
        account.tls = ClientTls::new(None).expect("the system's roots");
        let insecure = account.connect().await.err();
        assert!(matches!(&insecure, Some(RemoteError::Insecure { .. })), "{insecure:?}");
    });
}

/// One NOTIFY SET a connection: a second silences this Dovecot (QUIRKS.md row 42).
#[test]
fn dovecot_tells_of_every_mailbox_to_a_connection_that_has_none_selected() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    on_runtime(async {
        let connector = account(&dovecot, TlsMode::Implicit, PASSWORD);
        let mut other = connector.connect().await.expect("a login");
        let lists = RemoteName("Lists".to_owned());
        other.create(&lists, None).await.expect("CREATE");
        let mut remote = connector.connect_to_wait().await.expect("a login");
        remote.notify().await.expect("NOTIFY");
        assert!(remote.take_news().iter().any(|news| news.name.as_ref() == Some(&lists)));
        for number in 1..4 {
            let mut bytes = b"Subject: x\r\n\r\nbody\r\n".to_vec();
            let internal_date = InternalDate::new(1_000_000_000, 0);
            let message = Outgoing { flags: Flags::none(), internal_date, bytes: &mut bytes };
            other
                .append(&lists, vec![message], &mut |_, told| assert!(told.is_ok(), "{told:?}"))
                .await
                .expect("APPEND");
            let woken = remote.wait(20_000, Box::pin(std::future::pending())).await;
            assert_eq!(woken, Ok(Woken::Changed), "message {number}");
            let news = remote.take_news();
            assert!(
                news.iter().any(|news| news.name.as_ref() == Some(&lists) && news.messages == Some(number)),
                "{news:?}"
            );
        }
    });
}
