//! Postfix and Exim as the other end. Debian installs one mail server at a time, so both are unpacked, not installed; the
//! users they want to run as exist for them alone (nss_wrapper).

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::net::free_address;
use super::peers;
use super::process::Process;
use super::smtp::Smtp;
use super::wait::{SOON, wait_until};

/// A mail server that takes mail for one domain into a folder. User `ada` may log in.
pub struct Mta {
    process: Process,
    pub address: SocketAddr,
    folder: tempfile::TempDir,
}

/// Ids of users that are nobody's.
const EXIM_ID: u32 = 59_311;
const POSTFIX_ID: u32 = 59_312;
const POSTDROP_ID: u32 = 59_313;

impl Mta {
    /// Exim for `domain`; mail for `next.0` goes to `next.1`.
    pub fn exim(domain: &str, next: (&str, SocketAddr)) -> Option<Self> {
        let root = unpacked("exim4-daemon-light")?;
        let (folder, address) = (folder(), free_address());
        let base = folder.path().display();
        for name in ["spool", "log", "mail"] {
            owned_folder(&folder.path().join(name), EXIM_ID);
        }
        let config = format!(
            "exim_path = {exim}\ndeliver_drop_privilege = true\nprimary_hostname = mx.{domain}\n\
             spool_directory = {base}/spool\nlog_file_path = {base}/log/%slog\nexim_user = Debian-exim\n\
             exim_group = Debian-exim\nlocal_interfaces = {ip}\ndaemon_smtp_ports = {port}\n\
             keep_environment = LD_PRELOAD : ^NSS_WRAPPER_\nacl_smtp_rcpt = accept\nacl_smtp_data = accept\n\
             tls_advertise_hosts =\nsmtputf8_advertise_hosts = *\nchunking_advertise_hosts = *\n\
             begin routers\nhere:\n  driver = accept\n  domains = {domain}\n  transport = file\n\
             there:\n  driver = manualroute\n  route_list = {next_domain} {next_ip}::{next_port} byname\n  self = send\n\
             \x20 transport = remote\n\
             begin transports\nfile:\n  driver = appendfile\n  directory = {base}/mail\n  user = Debian-exim\n\
             remote:\n  driver = smtp\n\
             begin retry\n* * F,1h,1s\n\
             begin authenticators\nplain:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n\
             \x20 server_condition = ${{if and{{{{eq{{$auth2}}{{ada}}}}{{eq{{$auth3}}{{sesame}}}}}}}}\n  server_set_id = $auth2\n",
            exim = root.join("usr/sbin/exim4").display(),
            ip = address.ip(),
            port = address.port(),
            next_domain = next.0,
            next_ip = next.1.ip(),
            next_port = next.1.port(),
        );
        let file = folder.path().join("exim.conf");
        fs::write(&file, config).expect("a writable folder");
        let mut command = Command::new(root.join("usr/sbin/exim4"));
        command.arg("-C").arg(&file).args(["-bdf", "-q1m"]).arg("-oP").arg(folder.path().join("pid"));
        Some(Self::start(command, "exim", address, folder))
    }

    /// The same with Postfix.
    pub fn postfix(domain: &str, next: (&str, SocketAddr)) -> Option<Self> {
        Self::postfix_by("smtp", domain, next)
    }

    /// Postfix that hands on by `smtp` or `lmtp`.
    pub fn postfix_by(transport: &str, domain: &str, next: (&str, SocketAddr)) -> Option<Self> {
        let root = unpacked("postfix")?;
        let (folder, address) = (folder(), free_address());
        let base = folder.path().to_owned();
        let (etc, spool) = (base.join("etc"), base.join("spool"));
        fs::create_dir(&etc).expect("a writable folder");
        for name in ["data", "mail"] {
            owned_folder(&base.join(name), POSTFIX_ID);
        }
        fs::create_dir(&spool).expect("a writable folder");
        for name in
            ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "trace"]
        {
            owned_folder(&spool.join(name), POSTFIX_ID);
        }
        for (name, group, mode) in
            [("public", POSTDROP_ID, 0o710), ("maildrop", POSTDROP_ID, 0o1730), ("pid", 0, 0o755)]
        {
            owned_folder(&spool.join(name), if name == "pid" { 0 } else { POSTFIX_ID });
            std::os::unix::fs::chown(spool.join(name), None, Some(group)).expect("we are root");
            fs::set_permissions(spool.join(name), fs::Permissions::from_mode(mode)).expect("ours");
        }
        let libraries = root.join("usr/lib/postfix");
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {base}/spool\ndata_directory = {base}/data\n\
             daemon_directory = {lib}/sbin\ncommand_directory = {root}/usr/sbin\nshlib_directory = {lib}\n\
             meta_directory = {base}/etc\nmail_owner = postfix\nsetgid_group = postdrop\nmyhostname = mx.{domain}\n\
             mydestination =\nlocal_recipient_maps =\ninet_interfaces = all\ninet_protocols = ipv4\n\
             virtual_mailbox_domains = {domain}\nvirtual_mailbox_base = {base}/mail\n\
             virtual_mailbox_maps = static:all/\nvirtual_minimum_uid = 1\nvirtual_uid_maps = static:{POSTFIX_ID}\n\
             virtual_gid_maps = static:{POSTFIX_ID}\nmynetworks = 127.0.0.0/8\n\
             transport_maps = inline:{{ {next_domain}={transport}:[{next_ip}]:{next_port} }}\nsmtp_host_lookup = native\n\
             smtpd_relay_restrictions = permit_mynetworks, reject\nsmtpd_sasl_auth_enable = yes\n\
             smtpd_sasl_type = dovecot\nsmtpd_sasl_path = {base}/auth\nsmtp_tls_security_level = may\nalias_maps =\n\
             alias_database =\nminimal_backoff_time = 5s\nqueue_run_delay = 5s\nmaillog_file = {base}/log\n\
             maillog_file_prefixes = {base}\n\
             import_environment = MAIL_CONFIG LD_LIBRARY_PATH LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP\n",
            base = base.display(),
            lib = libraries.display(),
            root = root.display(),
            next_domain = next.0,
            next_ip = next.1.ip(),
            next_port = next.1.port(),
        );
        fs::write(etc.join("main.cf"), main).expect("a writable folder");
        fs::write(etc.join("master.cf"), master(address)).expect("a writable folder");
        check_logins(&base.join("auth"));
        let mut command = Command::new(libraries.join("sbin/master"));
        command.arg("-c").arg(&etc).arg("-d").env("MAIL_CONFIG", &etc).env("LD_LIBRARY_PATH", &libraries);
        Some(Self::start(command, "postfix", address, folder))
    }

    fn start(mut command: Command, name: &str, address: SocketAddr, folder: tempfile::TempDir) -> Self {
        let users = [("Debian-exim", EXIM_ID), ("postfix", POSTFIX_ID)];
        let passwd: String = users.iter().map(|(name, id)| format!("{name}:x:{id}:{id}::/tmp:/bin/false\n")).collect();
        let groups = users.iter().chain(&[("postdrop", POSTDROP_ID)]);
        let group: String = groups.map(|(name, id)| format!("{name}:x:{id}:\n")).collect();
        for (file, variable, more) in [("passwd", "NSS_WRAPPER_PASSWD", passwd), ("group", "NSS_WRAPPER_GROUP", group)]
        {
            let known = fs::read_to_string(Path::new("/etc").join(file)).expect("every system has one");
            let path = folder.path().join(file);
            fs::write(&path, known + &more).expect("a writable folder");
            command.env(variable, path);
        }
        command.env("LD_PRELOAD", "libnss_wrapper.so");
        let process = Process::start(&mut command, name, &folder.path().join("output"));
        let mut mta = Self { process, address, folder };
        wait_until(name, SOON, || {
            assert!(mta.process.ended().is_none(), "{name} ended: {}", mta.log());
            Smtp::connect(address).is_ok_and(|smtp| smtp.greeting.code == 220)
        });
        mta
    }

    /// The messages delivered so far.
    pub fn delivered(&self) -> Vec<String> {
        let mut files = Vec::new();
        collect(&self.folder.path().join("mail"), &mut files);
        files.sort();
        // One that is still written has another name, or none yet.
        files.into_iter().filter_map(|file| String::from_utf8(fs::read(file).ok()?).ok()).collect()
    }

    /// How many bytes those have.
    pub fn delivered_bytes(&self) -> u64 {
        let mut files = Vec::new();
        collect(&self.folder.path().join("mail"), &mut files);
        files.iter().filter_map(|file| fs::metadata(file).ok()).map(|it| it.len()).sum()
    }

    /// What it said.
    pub fn log(&self) -> String {
        let files = ["output", "log", "log/mainlog", "log/paniclog"].map(|file| self.folder.path().join(file));
        files.iter().filter(|file| file.is_file()).map(|file| super::process::read_lossy(file)).collect()
    }
}

impl Drop for Mta {
    /// Its children go when it goes in order.
    fn drop(&mut self) {
        self.process.ask_to_stop();
        let _ = super::wait::try_wait_for(SOON, || self.process.ended());
    }
}

/// Postfix has logins checked by another: by Dovecot's protocol, which is that of a server at `socket` here. It knows ada.
fn check_logins(socket: &Path) {
    let listener = UnixListener::bind(socket).expect("a new socket");
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).expect("ours");
    // A clerk for each of Postfix's processes, as long as that lives.
    let clerk = |stream: UnixStream| {
        let mut out = stream.try_clone()?;
        out.write_all(b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t0\nDONE\n")?;
        for line in BufReader::new(stream).lines() {
            let line = line?;
            let mut words = line.split('\t');
            let (Some("AUTH"), Some(id)) = (words.next(), words.next()) else { continue };
            // "\0ada\0sesame"
            let answer = match words.any(|word| word == "resp=AGFkYQBzZXNhbWU=") {
                true => format!("OK\t{id}\tuser=ada\n"),
                false => format!("FAIL\t{id}\n"),
            };
            out.write_all(answer.as_bytes())?;
        }
        std::io::Result::Ok(())
    };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || clerk(stream));
        }
    });
}

fn master(address: SocketAddr) -> String {
    let mut text = format!("{address} inet n - n - - smtpd\n");
    for (name, kind, private, wakeup, limit, program) in [
        ("pickup", "unix", "n", "60", "1", "pickup"),
        ("cleanup", "unix", "n", "-", "0", "cleanup"),
        ("qmgr", "unix", "n", "5", "1", "qmgr"),
        ("tlsmgr", "unix", "-", "1000?", "1", "tlsmgr"),
        ("rewrite", "unix", "-", "-", "-", "trivial-rewrite"),
        ("bounce", "unix", "-", "-", "0", "bounce"),
        ("defer", "unix", "-", "-", "0", "bounce"),
        ("trace", "unix", "-", "-", "0", "bounce"),
        ("verify", "unix", "-", "-", "1", "verify"),
        ("flush", "unix", "n", "1000?", "0", "flush"),
        ("proxymap", "unix", "-", "-", "-", "proxymap"),
        ("smtp", "unix", "-", "-", "-", "smtp"),
        ("lmtp", "unix", "-", "-", "-", "lmtp"),
        ("error", "unix", "-", "-", "-", "error"),
        ("retry", "unix", "-", "-", "-", "error"),
        ("anvil", "unix", "-", "-", "1", "anvil"),
        ("scache", "unix", "-", "-", "1", "scache"),
        ("postlog", "unix-dgram", "n", "-", "1", "postlogd"),
    ] {
        text += &format!("{name} {kind} {private} - n {wakeup} {limit} {program}\n");
    }
    text + "virtual unix - n n - - virtual\n"
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("mta").tempdir().expect("a temporary folder");
    // Other users' processes work in it.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    folder
}

fn owned_folder(path: &Path, owner: u32) {
    fs::create_dir(path).expect("a writable folder");
    std::os::unix::fs::chown(path, Some(owner), Some(owner)).expect("we are root");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        match path.is_dir() {
            true if path.ends_with("tmp") => {}
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

/// The package's files, not installed, in a folder that every user can read.
pub fn unpacked(package: &str) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _held = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let skip = |why: &str| {
        peers::skip(&format!("{package}: {why}"));
        None
    };
    if fs::metadata("/proc/self").map_or(1, |it| it.uid()) != 0 {
        return skip("only root runs a mail server");
    }
    let base = std::env::temp_dir().join("mailtide-peers");
    let done = base.join(package);
    if done.is_dir() {
        return Some(done);
    }
    fs::create_dir_all(&base).expect("a writable folder");
    let part = tempfile::Builder::new().prefix(package).tempdir_in(&base).expect("a writable folder");
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let output = command.args(arguments).current_dir(part.path()).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !run("/bin/sh", &["-c", &format!("apt-get download {package} && dpkg -x {package}_*.deb files")]) {
        return skip("it cannot be downloaded");
    }
    // Run by root it needs no other right, and what the loader preloads is not for programs with more.
    run("/bin/chmod", &["-R", "u-s,g-s,go+rX", "files"]);
    match fs::rename(part.path().join("files"), &done) {
        Ok(()) => Some(done),
        Err(error) => skip(&error.to_string()),
    }
}
