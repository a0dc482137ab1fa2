//! Debian's Cyrus IMAP in a root of its own, on a loopback address of its own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use super::dovecot::PASSWORD;
use super::imap::Imap;
use super::jail::{Jail, question};
use super::net::free_address;
use super::process::Process;
use super::wait::{SOON, wait_until};

pub struct Cyrus {
    pub imap: SocketAddr,
    _master: Process,
    // After the master: it ends what the master leaves behind.
    jail: Jail,
}

/// How names are shown: everything below `INBOX.` as Debian has it, or INBOX beside the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Names {
    BelowInbox,
    BesideInbox,
}

impl Cyrus {
    /// `None` after a printed SKIP where it cannot be had.
    pub fn start(names: Names) -> Option<Self> {
        let jail = Jail::with("cyrus-imapd")?;
        let imap = free_address();
        for folder in ["db", "log", "lock", "msg", "proc", "quota", "socket", "user"] {
            jail.mail_folder(&format!("var/lib/{folder}"));
        }
        for folder in ["var/lib", "var/spool"] {
            jail.mail_folder(folder);
        }
        let (alternative, slashes) = match names {
            Names::BelowInbox => ("no", "no"),
            Names::BesideInbox => ("yes", "yes"),
        };
        jail.write(
            "etc/imapd.conf",
            &format!(
                "configdirectory: /var/lib\npartition-default: /var/spool\ndefaultpartition: default\ncyrus_user: mail\n\
                 altnamespace: {alternative}\nunixhierarchysep: {slashes}\nallowplaintext: yes\n\
                 autocreate_post: yes\nautocreate_quota: 0\nautocreate_inbox_folders: Sent | Drafts\n\
                 autocreate_subscribe_folders: Sent | Drafts\nxlist-sent: Sent\nxlist-drafts: Drafts\n\
                 sasl_pwcheck_method: saslauthd\nsasl_saslauthd_path: /run/saslauthd\nsasl_mech_list: PLAIN LOGIN\n\
                 skiplist_unsafe: yes\nidlesocket: /run/idle\n"
            ),
        );
        jail.write(
            "etc/cyrus.conf",
            &format!(
                "START {{\n recover cmd=\"ctl_cyrusdb -r\"\n}}\nSERVICES {{\n imap cmd=\"imapd\" listen=\"{imap}\" maxchild=100\n}}\n\
                 DAEMON {{\n idled cmd=\"idled\"\n}}\n"
            ),
        );
        jail.serve("run/saslauthd", check_password);
        let arguments = ["-C", "/etc/imapd.conf", "-M", "/etc/cyrus.conf", "-p", "/run/master.pid"];
        let mut master = jail.start("/usr/lib/cyrus/bin/master", &arguments, &[]);
        wait_until("Cyrus to listen", SOON, || {
            assert!(master.ended().is_none(), "Cyrus ended:\n{}", jail.log());
            Imap::connect(imap).is_ok()
        });
        Some(Self { imap, _master: master, jail })
    }

    /// Any user exists, with [`PASSWORD`].
    pub fn login(&self, user: &str) -> Imap {
        let mut imap = Imap::connect(self.imap).expect("Cyrus listens");
        let reply = imap.login(user, PASSWORD).expect("Cyrus answers");
        assert_eq!(reply.status, "OK", "{}; {}", reply.text, self.jail.log());
        imap
    }
}

/// The part of saslauthd(8): user, password, service and realm come counted; the answer is counted, too.
fn check_password(mut stream: UnixStream) -> std::io::Result<()> {
    let is_right = question(&mut stream)?.contains(PASSWORD);
    let answer: &[u8] = if is_right { b"\0\x02OK" } else { b"\0\x02NO" };
    stream.write_all(answer)
}
