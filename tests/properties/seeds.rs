//! What every property is tried on first and fuzzers start from: what stands in the tests' own files anyway (transcripts,
//! messages, scripts), and a few words that no file holds. Uses nothing but std: `fuzz/build.rs` is this file too.

use std::fs;
use std::path::{Path, PathBuf};

/// Messages longer than this are left out: long inputs are slow, and show nothing that short ones do not.
const MESSAGE_MAX_BYTES: u64 = 20_000;

/// The seeds of the property of that name, in a fixed order. `root` is the package's folder.
pub fn of(name: &str, root: &Path) -> Vec<Vec<u8>> {
    let it = root.join("tests/it");
    let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    match name {
        "config" => [raw_strings(&it.join("config.rs")), words(CONFIGS)].concat(),
        "control" => lines_each(raw_strings(&it.join("control.rs"))),
        "dsn" => words(ENVELOPES),
        "imap_command" => transcripts(root, "imap").iter().flat_map(|text| imap_commands(text)).collect(),
        "imap_session" => {
            let transcripts = transcripts(root, "imap");
            transcripts.iter().map(|text| imap_session(text)).chain(words(SELECTED)).collect()
        }
        "imap_upstream" => [
            vec![said_by_server(&read(&it.join("upstream/imap_session.rs")))],
            words(SERVERS),
            ["imap_forms.rs", "imap_errors.rs"].map(|file| scraps(&read(&it.join("upstream").join(file)))).to_vec(),
        ]
        .concat(),
        "message" => messages(root),
        "pop3_session" => transcripts(root, "pop3").iter().map(|text| session(text, &[("tls: offered", 2)])).collect(),
        "scram" => words(EXCHANGES),
        "search" => searches(root),
        "smtp_session" => {
            let modes = [("role: submission", 1), ("role: anonymous", 2), ("tls: offered", 4), ("max-bytes", 8)];
            transcripts(root, "smtp").iter().map(|text| session(text, &modes)).collect()
        }
        "smtp_upstream" => words(SMTP_SERVERS),
        "words" => words(WORDS),
        other => panic!("no property is called {other}"),
    }
}

const CONFIGS: &[&str] = &[
    "[listeners]\nimap = \"127.0.0.1:0\"\n[[user]]\nname = \"a\"\npassword = \"b\"\n",
    "domain = \"here\"\nrecovery-days = 7\n[tls]\ncertificate = \"a.pem\"\nkey = \"b.pem\"\n",
];

/// In a session that has selected a mailbox; in one with next to no capabilities.
const SELECTED: &[&str] = &[
    "\x03a FETCH 1:* FULL\r\nb STORE 1 +FLAGS (\\Deleted)\r\nc IDLE\r\nDONE\r\n",
    "\x07a CHECK\r\n",
    "\x10a NOOP\r\n",
];

const ENVELOPES: &[&str] = &[
    "MAIL FROM:<a@b> RET=HDRS ENVID=QQ+2B1\nRCPT TO:<c@d> NOTIFY=FAILURE ORCPT=rfc822;c+40d\n\nno such user <1@x>",
    "MAIL FROM:<a@b> SMTPUTF8\nRCPT TO:<用户@例子>\nRCPT TO:<\"q \\\" r\"@[1.2.3.4]> NOTIFY=SUCCESS,DELAY\n\nø",
    "MAIL FROM:<a@b> BODY=8BITMIME SIZE=1\nRCPT TO:<c@d> ORCPT=utf-8;+C3+A9@x\nRCPT TO:<e@f> NOTIFY=NEVER\n\n",
];

/// Strangers of both kinds: with the right proofs, with wrong ones, with what RFC 5802 forbids.
const EXCHANGES: &[&str] = &[
    "x\nn,,n=user,r=fyko+d2lbbFgONRv9qkxdawL\nc=biws,r=$,p=#\nr=$3rfc,s=QSXCR+Q6sek8bf92,i=4096\nv=#\n\
     4096$c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "\nn,,n=user,r=fyko+d2lbbFgONRv9qkxdawL\nc=biws,r=$,p=#\nr=$3rfc,s=QSXCR+Q6sek8bf92,i=4096,x=y\nv=#,x=y\n1$$$",
    "x\ny,a=b,n=a=2Cb=3Dc,r=x,x=y\nc=eSxhPWIs,r=$,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=\nr=x,s=YQ==,i=4096\nv=",
    "\np=tls-unique,,n=user,r=x\nc=biws,r=$,x=y,p=#\nr=$y,s=YQ==,i=1\ne=invalid-proof\n0$a$b$c",
    "\nn,,m=x,n=user,r=x\nc=biws,p=#,r=$\nm=x,r=$y,s=YQ==,i=4096\nv=#",
];

/// The conversation behind which a client is in step and asks for everything.
const SERVERS: &[&str] = &[
    "* PREAUTH hi\r\n$ OK\r\n",
    "* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hi\r\n$ OK\r\n",
    "* OK hi\r\n* CAPABILITY IMAP4rev1\r\n$ OK in\r\n$ OK\r\n* CAPABILITY IMAP4rev1 IDLE\r\n$ OK\r\n\
     * LIST () \".\" INBOX\r\n* LIST (\\Noselect) NIL {3}\r\na b\r\n$ OK\r\n\
     * STATUS x (MESSAGES 3 UIDNEXT 10 UIDVALIDITY 5 HIGHESTMODSEQ 77)\r\n$ OK\r\n$ NO [NONEXISTENT] none\r\n\
     * 3 EXISTS\r\n* OK [UIDVALIDITY 5] ok\r\n* OK [UIDNEXT 10] ok\r\n$ OK [READ-WRITE] in\r\n* SEARCH 3 7 9\r\n$ OK\r\n\
     * 1 FETCH (UID 3 FLAGS (\\Seen))\r\n$ OK\r\n\
     * 1 FETCH (UID 3 RFC822.SIZE 9 BODY[HEADER.FIELDS (DATE)] {9}\r\nDate: x\r\n INTERNALDATE \"17-Jul-1996 02:44:25 -0700\")\r\n$ OK\r\n\
     * 1 FETCH (UID 3 FLAGS () BODY[] {4}\r\na\r\nb INTERNALDATE NIL)\r\n* 2 FETCH (BODY[] NIL UID 7)\r\n$ OK\r\n\
     $ OK\r\n$ OK [COPYUID 5 3,7 1:2] ok\r\n$ NO\r\n* VANISHED 3\r\n$ OK\r\n$ OK\r\n$ OK\r\n* 4 EXISTS\r\n$ OK\r\n$ OK\r\n\
     * 3 EXISTS\r\n* OK [UIDVALIDITY 5] ok\r\n$ OK in\r\n$ OK\r\n* 1 FETCH (BODY[] {1}\r\nx UID 9 FLAGS ())\r\n$ OK\r\n$ OK\r\n$ OK\r\n\
     $ OK\r\n* OK [UIDVALIDITY 6] other\r\n$ OK in\r\n$ OK\r\n$ OK\r\n$ OK\r\n$ OK\r\n* BYE\r\n",
];

const SMTP_SERVERS: &[&str] = &[
    "\x00220 mx ESMTP\r\n250-mx\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n250 2.1.0 ok\r\n\
     250 2.1.5 ok\r\n550-5.1.1 no\r\n550 5.1.1 such user\r\n354 go\r\n250 2.0.0 taken\r\n221 bye\r\n",
    "\x01220 mx\r\n250-mx\r\n250-AUTH LOGIN PLAIN\r\n250 AUTH=LOGIN\r\n235 in\r\n250\r\n452 4.5.3 later\r\n451 later\r\n250\r\n",
    "\x03220 mx\r\n502 what\r\n250 hi\r\n250 ok\r\n250 ok\r\n250 ok\r\n354\r\n421 closing\r\n",
    "\x02220-mx\r\n220 mx\n250-mx\n250-STARTTLS\r\n250 8BITMIME\r\n571 no\r\n",
];

const WORDS: &[&str] = &[
    "1:3,7,4294967295",
    "9,5:3,4,10:12,1",
    "*:4,2",
    "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
    "Entw&APw-rfe",
    "&2D3eAA-",
    "A&-B",
    "inbox/Entwürfe/a \"b\"",
    "a\u{2215}b/c.d",
    "\\Seen $Work a] \\Recent",
    " 1-Feb-2003 04:05:06 -0730",
    "31-Dec-9999 23:59:60 +2359",
    "9223372036854775807",
    "-1",
    "\0ann\0hunter2",
    "bob\0ann\0hunter2",
    "\"a b\\\"@\"@example.org",
    "x@[IPv6:2001:db8::1]",
    "Postmaster",
    "a*b?c*\taxxbycz",
    "inbox/*\tINBOX/x",
    "\\Sent",
    "/Drafts;UIDVALIDITY=385759045/;UID=20/;SECTION=1.MIME",
];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn transcripts(root: &Path, protocol: &str) -> Vec<String> {
    files(&root.join("tests/transcripts").join(protocol)).iter().map(|file| read(file)).collect()
}

fn messages(root: &Path) -> Vec<Vec<u8>> {
    let folders = [root.join("tests/corpus"), root.join("src/cli/demo/mail")];
    let all = folders.iter().flat_map(|folder| files(folder));
    let fits = |file: &PathBuf| {
        let is_message = file.extension().is_some_and(|extension| extension == "eml");
        is_message && fs::metadata(file).is_ok_and(|facts| facts.len() <= MESSAGE_MAX_BYTES)
    };
    all.filter(fits).map(|file| fs::read(file).expect("a readable message")).collect()
}

/// Every search program of the transcripts, each with another short message.
fn searches(root: &Path) -> Vec<Vec<u8>> {
    let messages: Vec<Vec<u8>> = messages(root).into_iter().filter(|message| message.len() < 3000).collect();
    let mut seeds = Vec::new();
    for text in transcripts(root, "imap") {
        for command in imap_commands(&text) {
            let command = String::from_utf8_lossy(&command).into_owned();
            if let Some((_, program)) = command.split_once(" SEARCH ") {
                let message = &messages[seeds.len() % messages.len()];
                seeds.push([program.as_bytes(), b"\n", message].concat());
            }
        }
    }
    seeds
}

/// Whole commands, their literals within.
fn imap_commands(text: &str) -> Vec<Vec<u8>> {
    let mut commands: Vec<Vec<u8>> = Vec::new();
    for (line, is_literal) in imap_lines(text) {
        match commands.last_mut() {
            Some(command) if is_literal => command.extend_from_slice(&[b"\r\n", &line[..]].concat()),
            _ => commands.push(line),
        }
    }
    commands
}

/// Everything the client says, behind the byte that says how the session is made.
fn imap_session(text: &str) -> Vec<u8> {
    let logged_in = text.lines().any(|line| line == "@logged-in");
    let starttls = text.lines().any(|line| line == "@tls-wanted");
    let mut seed = vec![u8::from(logged_in) + 8 * u8::from(starttls)];
    for (line, _) in imap_lines(text) {
        seed.extend_from_slice(&line);
        seed.extend_from_slice(b"\r\n");
    }
    seed
}

/// The first client's lines of an IMAP transcript; of each, whether it is of a literal or goes on behind one.
fn imap_lines(text: &str) -> Vec<(Vec<u8>, bool)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut said = Vec::new();
    let mut in_literal = false;
    for (place, line) in lines.iter().enumerate() {
        let (line, is_literal) = match (line.strip_prefix("C:"), line.strip_prefix("L:")) {
            (Some(line), _) => (line, in_literal),
            (_, Some(line)) => (line, true),
            _ => continue,
        };
        let literal = lines[place + 1..].iter().take_while(|line| line.starts_with("L:"));
        let size: usize = literal.map(|line| without_space(&line["L:".len()..]).len() + 2).sum();
        let line = without_space(line);
        let line = line.replace("{#}", &format!("{{{size}}}")).replace("{#+}", &format!("{{{size}+}}"));
        in_literal = line.ends_with('}');
        said.push((filled_in(&line), is_literal));
    }
    said
}

fn without_space(line: &str) -> &str {
    line.strip_prefix(' ').unwrap_or(line)
}

/// What the transcripts write in double braces.
fn filled_in(line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = line;
    while let Some((before, (inside, after))) =
        rest.split_once("{{").and_then(|(before, rest)| Some((before, rest.split_once("}}")?)))
    {
        out.extend_from_slice(before.as_bytes());
        match inside.split(' ').collect::<Vec<_>>()[..] {
            ["nul"] => out.push(0),
            // As `pieces::expanded` reads it.
            ["repeat", _, text] => out.extend_from_slice(&[&text.as_bytes()[..1], &[0xff, 0xfe, 130]].concat()),
            _ => out.push(b'1'),
        }
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// What the client says in an SMTP or POP3 transcript, behind the byte that says how the session is made: the sum of what
/// `modes` says of its settings.
fn session(text: &str, modes: &[(&str, u8)]) -> Vec<u8> {
    let mode = modes.iter().filter(|(setting, _)| text.lines().any(|line| line.starts_with(setting)));
    let mut seed = vec![mode.map(|(_, bit)| bit).sum()];
    for line in text.lines() {
        if let Some(line) = line.strip_prefix("C: ") {
            seed.extend_from_slice(format!("{line}\r\n").as_bytes());
        } else if let Some(line) = line.strip_prefix("C> ") {
            let line = line.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0");
            seed.extend_from_slice(line.as_bytes());
        }
    }
    seed
}

/// The texts between `r#"` and `"#` of a Rust file.
fn raw_strings(path: &Path) -> Vec<Vec<u8>> {
    let text = read(path);
    text.split("r#\"").skip(1).filter_map(|rest| Some(rest.split_once("\"#")?.0.as_bytes().to_vec())).collect()
}

/// The texts, with a line end each, and all of them together.
fn lines_each(texts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = texts.into_iter().map(|text| [&text[..], b"\n"].concat()).collect();
    lines.push(lines.concat());
    lines
}

/// The server's lines of a script.
fn said_by_server(script: &str) -> Vec<u8> {
    let lines = script.lines().filter_map(|line| line.trim_start().strip_prefix("S:"));
    lines.map(without_space).flat_map(|line| format!("{line}\r\n").into_bytes()).collect()
}

/// What servers say in the scripts that stand in strings: no conversation, but its words.
fn scraps(source: &str) -> Vec<u8> {
    let lines = source.split("S: ").skip(1).map(|rest| rest.split(['"', '\n']).next().unwrap_or_default());
    let lines = lines.map(|line| line.split("\\n").next().unwrap_or_default().replace("\\\\", "\\"));
    lines.flat_map(|line| format!("{line}\r\n").into_bytes()).collect()
}
