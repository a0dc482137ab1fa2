//! Debian's Courier, its IMAP or its POP3 server, in a root of its own, on a loopback address of its own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;

use super::dovecot::PASSWORD;
use super::imap::Imap;
use super::jail::{Jail, MAIL_ID, question};
use super::net::free_address;
use super::pop3::Pop3;
use super::process::Process;
use super::wait::{SOON, wait_until};

pub struct Courier {
    pub imap: SocketAddr,
    _listener: Process,
    // After the listener: it ends what the listener leaves behind.
    jail: Jail,
}

/// The one user there is.
pub const USER: &str = "ada";

/// As the package's own `/etc/courier/imapd` has it, but for the waits.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("IMAP_CAPABILITY", "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE"),
    ("IMAP_KEYWORDS", "1"),
    ("IMAP_ACL", "1"),
    ("IMAP_USELOCKS", "1"),
    ("IMAP_ENHANCEDIDLE", "0"),
    ("IMAP_IDLE_TIMEOUT", "1"),
    ("IMAP_TLS_REQUIRED", "0"),
];

/// Courier's POP3 server, likewise.
pub struct CourierPop3 {
    pub pop3: SocketAddr,
    _listener: Process,
    jail: Jail,
}

impl Courier {
    /// `None` after a printed SKIP where it cannot be had.
    pub fn start() -> Option<Self> {
        let served = ["/usr/lib/courier/courier/imaplogin", "/usr/bin/imapd", "Maildir"];
        let (imap, listener, jail) = listening("courier-imap", &served, |address| Imap::connect(address).is_ok())?;
        Some(Self { imap, _listener: listener, jail })
    }

    /// [`USER`] with [`PASSWORD`].
    pub fn login(&self, user: &str) -> Imap {
        let mut imap = Imap::connect(self.imap).expect("Courier listens");
        let reply = imap.login(user, PASSWORD).expect("Courier answers");
        assert_eq!(reply.status, "OK", "{}; {}", reply.text, self.jail.log());
        imap
    }
}

impl CourierPop3 {
    /// `None` after a printed SKIP where it cannot be had.
    pub fn start() -> Option<Self> {
        let folder = "/usr/lib/courier/courier";
        let (login, server) = (format!("{folder}/courierpop3login"), format!("{folder}/courierpop3d"));
        let served = [login.as_str(), server.as_str(), "Maildir"];
        let (pop3, listener, jail) = listening("courier-pop", &served, |address| Pop3::connect(address).is_ok())?;
        Some(Self { pop3, _listener: listener, jail })
    }

    /// A message comes into the maildrop of [`USER`].
    pub fn deliver(&self, name: &str, message: &[u8]) {
        let path = self.jail.path(&format!("var/{USER}/Maildir/new/{name}"));
        std::fs::write(&path, message).expect("a writable folder");
        chown(&path, Some(MAIL_ID), Some(MAIL_ID)).expect("root may give a file away");
    }
}

/// Starts a server of the package that is `served` by couriertcpd.
fn listening(
    package: &str,
    served: &[&str],
    is_up: impl Fn(SocketAddr) -> bool,
) -> Option<(SocketAddr, Process, Jail)> {
    let jail = Jail::with(package)?;
    let address = free_address();
    jail.folder("etc/courier", 0o755);
    jail.folder("run/courier/authdaemon", 0o755);
    jail.write("etc/courier/authdaemonrc", "");
    for folder in ["", "/Maildir", "/Maildir/cur", "/Maildir/new", "/Maildir/tmp"] {
        jail.mail_folder(&format!("var/{USER}{folder}"));
    }
    jail.serve("run/courier/authdaemon/socket", check_password);
    let (ip, port) = (format!("-address={}", address.ip()), address.port().to_string());
    let arguments = [&ip, "-maxprocs=100", "-maxperip=100", "-nodnslookup", "-noidentlookup", &port];
    let arguments: Vec<&str> = arguments.into_iter().chain(served.iter().copied()).collect();
    let mut listener = jail.start("/usr/sbin/couriertcpd", &arguments, ENVIRONMENT);
    wait_until("Courier to listen", SOON, || {
        assert!(listener.ended().is_none(), "Courier ended:\n{}", jail.log());
        is_up(address)
    });
    Some((address, listener, jail))
}

/// The part of authdaemond: lines that say who and where, up to a dot.
fn check_password(mut stream: UnixStream) -> std::io::Result<()> {
    let asked = question(&mut stream)?;
    let is_right = asked.contains(&format!("\n{USER}\n")) && asked.contains(&format!("\n{PASSWORD}\n"));
    let answer = match is_right {
        true => format!("UID={MAIL_ID}\nGID={MAIL_ID}\nHOME=/var/{USER}\nADDRESS={USER}\nMAILDIR=Maildir\n.\n"),
        false => "FAIL\n".to_owned(),
    };
    stream.write_all(answer.as_bytes())
}
