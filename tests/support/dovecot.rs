//! Debian's Dovecot with a configuration of its own, on a loopback address of its own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::certificate::{self, Validity};
use super::imap::Imap;
use super::net::free_address;
use super::peers;
use super::process::{Process, read_lossy};
use super::wait::{SOON, wait_until};

pub const PASSWORD: &str = "sesame";

pub struct Dovecot {
    process: Process,
    pub imap: SocketAddr,
    pub imaps: SocketAddr,
    /// With STLS.
    pub pop3: SocketAddr,
    /// The one certificate to trust.
    pub certificate: PathBuf,
    // Deleted after the process has ended: fields drop in order.
    _folder: tempfile::TempDir,
}

/// What differs between instances.
pub struct Options {
    /// Between the parts of a mailbox name.
    pub delimiter: char,
    /// Capabilities to hide from the client.
    pub without: &'static [&'static str],
    /// Ways to log in.
    pub mechanisms: &'static str,
    /// Users see mailboxes of others below `user/`, as far as access control lists say.
    pub acl: bool,
    /// Every user's, as it is kept.
    pub password: &'static str,
    /// There is `Public/Notes`: the user `boss` may do everything in it, and everybody else may read it. Each user may keep
    /// 4 MiB.
    pub shares: bool,
    /// It is listed only to who asks for it by its prefix.
    pub hides_shares: bool,
    /// Of what it writes: `never`, or `optimized` as Dovecot has it by itself.
    pub fsync: &'static str,
    /// Its log tells of each message that is saved, copied or expunged, and of clients that say who they are.
    pub logs_mail: bool,
}

impl Default for Options {
    fn default() -> Self {
        let (acl, shares, hides_shares, logs_mail) = (false, false, false, false);
        let (mechanisms, fsync) = ("plain", "never");
        Self {
            delimiter: '/',
            without: &[],
            mechanisms,
            acl,
            password: PASSWORD,
            shares,
            hides_shares,
            fsync,
            logs_mail,
        }
    }
}

impl Dovecot {
    /// `None` after a printed SKIP where it is not installed.
    pub fn start(options: &Options) -> Option<Self> {
        let program = peers::find("dovecot")?;
        // Its socket paths must stay below 108 bytes: the system's temporary folder, not the target folder's.
        let folder = tempfile::Builder::new().prefix("dovecot").tempdir().expect("a temporary folder");
        let (imap, imaps) = (free_address(), free_address());
        // The certificate is for one address.
        let pop3 = SocketAddr::new(imaps.ip(), free_address().port());
        let certificate = certificate::make(folder.path(), &imaps.ip().to_string(), Validity::Now);
        let config = folder.path().join("dovecot.conf");
        std::fs::create_dir(folder.path().join("home")).expect("a writable folder");
        let text = configuration(folder.path(), [imap, imaps, pop3], options, is_root());
        std::fs::File::create(&config).and_then(|mut file| file.write_all(text.as_bytes())).expect("a writable folder");
        if options.shares {
            let acl = "Public/Notes user=boss lrwstipekxa\nPublic/Notes authenticated lr\nPublic user=boss lrkx\n";
            std::fs::write(folder.path().join("acl"), acl).expect("a writable folder");
            std::fs::create_dir(folder.path().join("public")).expect("a writable folder");
            set_mode(&folder.path().join("public"), 0o777);
        }
        for open in [folder.path().to_owned(), folder.path().join("home")] {
            set_mode(&open, 0o777);
        }
        let log = folder.path().join("dovecot.log");
        let mut process = Process::start(Command::new(program).arg("-F").arg("-c").arg(&config), "dovecot", &log);
        wait_until("Dovecot to listen", SOON, || {
            assert!(process.ended().is_none(), "Dovecot ended:\n{}", read_lossy(&log));
            Imap::connect(imap).is_ok()
        });
        Some(Self { process, imap, imaps, pop3, certificate: certificate.chain, _folder: folder })
    }

    /// Any user exists, with [`PASSWORD`].
    pub fn login(&self, user: &str) -> Imap {
        let mut imap = Imap::connect(self.imap).expect("Dovecot listens");
        let reply = imap.login(user, PASSWORD).expect("Dovecot answers");
        assert_eq!(reply.status, "OK", "{}; {}", reply.text, self.process.log());
        imap
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Of all its processes.
    pub fn processor_time(&self) -> Duration {
        self.process.family_processor_time()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // Its children end with it only when it is asked; killed, it would leave them behind.
        if self.process.ended().is_none() {
            self.process.ask_to_stop();
            self.process.wait_end(SOON);
        }
    }
}

fn configuration(folder: &Path, [imap, imaps, pop3]: [SocketAddr; 3], options: &Options, root: bool) -> String {
    let folder = folder.display();
    // As root the mail belongs to nobody; otherwise everything to the one who runs the test.
    let users = if root {
        "mail_uid = nobody\nmail_gid = nogroup\nfirst_valid_uid = 1\n".to_owned()
    } else {
        let (user, group) = (identity("-un"), identity("-gn"));
        format!(
            "default_internal_user = {user}\ndefault_login_user = {user}\ndefault_internal_group = {group}\n\
             mail_uid = {user}\nmail_gid = {group}\nfirst_valid_uid = 1\n\
             service anvil {{\n chroot =\n}}\nservice imap-login {{\n chroot =\n}}\n\
             service pop3-login {{\n chroot =\n}}\n"
        )
    };
    let capability = if options.without.is_empty() { String::new() } else { capability_without(options.without) };
    let Options { delimiter, mechanisms, password, acl, shares, hides_shares, fsync, .. } = options;
    let mail_log = if options.logs_mail { MAIL_LOG } else { "" };
    let acl = if *acl { acl_settings(&folder.to_string()) } else { String::new() };
    let shares = if *shares { share_settings(&folder.to_string(), *delimiter, !hides_shares) } else { String::new() };
    let (imap_address, imap_port) = (imap.ip(), imap.port());
    let (imaps_address, imaps_port) = (imaps.ip(), imaps.port());
    let (pop3_address, pop3_port) = (pop3.ip(), pop3.port());
    format!(
        "base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap pop3
ssl = yes
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
disable_plaintext_auth = no
auth_mechanisms = {mechanisms}
default_vsz_limit = 0
{users}mail_location = mdbox:~/mdbox
mail_fsync = {fsync}
mail_max_userip_connections = 200
mail_plugins = listescape
{capability}
service imap-login {{
  inet_listener imap {{
    address = {imap_address}
    port = {imap_port}
  }}
  inet_listener imaps {{
    address = {imaps_address}
    port = {imaps_port}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    address = {pop3_address}
    port = {pop3_port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
namespace inbox {{
  inbox = yes
  separator = {delimiter}
  mailbox Sent {{
    special_use = \\Sent
    auto = subscribe
  }}
  mailbox Drafts {{
    special_use = \\Drafts
    auto = subscribe
  }}
}}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = home={folder}/home/%u
}}
{acl}{shares}{mail_log}"
    )
}

const MAIL_LOG: &str = "mail_plugins = $mail_plugins notify mail_log
imap_id_log = *
plugin {
  mail_log_events = expunge copy save mailbox_delete mailbox_rename
  mail_log_fields = uid box msgid
}
";

/// A namespace that is everybody's, with the rights that one file tells.
fn share_settings(folder: &str, delimiter: char, is_listed: bool) -> String {
    let list = if is_listed { "yes" } else { "no" };
    format!(
        "mail_plugins = $mail_plugins acl quota
protocol imap {{
  mail_plugins = $mail_plugins imap_acl imap_quota
}}
plugin {{
  acl = vfile:{folder}/acl
  quota = count:Mail
  quota_vsizes = yes
  quota_rule = *:storage=4M
}}
namespace public {{
  type = public
  separator = {delimiter}
  prefix = Public{delimiter}
  location = mdbox:{folder}/public
  subscriptions = no
  list = {list}
}}
"
    )
}

/// Each user's `\Seen` is their own.
fn acl_settings(folder: &str) -> String {
    format!(
        "mail_plugins = $mail_plugins acl
protocol imap {{
  mail_plugins = $mail_plugins imap_acl
}}
plugin {{
  acl = vfile
  acl_shared_dict = file:{folder}/home/shared-mailboxes
}}
namespace others {{
  type = shared
  separator = /
  prefix = user/%%u/
  location = mdbox:{folder}/home/%%u/mdbox:INDEXPVT={folder}/home/%u/private/%%u
  subscriptions = no
  list = children
}}
"
    )
}

/// Dovecot says what it can in one setting; these are the ones of 2.3 that a sync agent may use.
fn capability_without(hidden: &[&str]) -> String {
    const ALL: &[&str] = &[
        "IMAP4rev1",
        "SASL-IR",
        "LOGIN-REFERRALS",
        "ID",
        "ENABLE",
        "IDLE",
        "SPECIAL-USE",
        "NAMESPACE",
        "LITERAL+",
        "UNSELECT",
        "CHILDREN",
        "UIDPLUS",
        "LIST-EXTENDED",
        "CONDSTORE",
        "QRESYNC",
        "ESEARCH",
        "MOVE",
        "LIST-STATUS",
    ];
    let shown: Vec<&str> = ALL.iter().copied().filter(|name| !hidden.contains(name)).collect();
    format!("protocol imap {{\n  imap_capability = {}\n}}", shown.join(" "))
}

pub fn is_root() -> bool {
    identity("-u") == "0"
}

fn identity(option: &str) -> String {
    let output = Command::new("id").arg(option).output().expect("id(1) is there");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("our own folder");
}
