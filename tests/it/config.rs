//! Configurations: what the good ones mean, and exactly what is said of the broken ones.

use std::path::{Path, PathBuf};

use mailtide::config::{Config, ConfigError, Credential, Incoming, Server, ServerConfig, TlsIdentity, TlsMode};
use mailtide::types::{Bodies, BodyPolicy, Keep, MailboxName};

const GOOD: &str = r#"
[local]
imap = "127.0.0.1:1143"
smtp = "127.0.0.1:1025"
pop3 = "127.0.0.1:1110"
password = "local secret"

[[account]]
name = "work"
address = "me@example.org"
imap = { host = "imap.example.org", port = 993, tls = "implicit" }
smtp = { host = "smtp.example.org", port = 465, tls = "implicit" }
user = "me@example.org"
password = "upstream secret"
tls-ca = "ca.pem"
mirror = { folders = ["*"], exclude = ["[Gmail]/All Mail"], bodies = "all" }

[[account]]
name = "home"
address = "me@home.test"
imap = { host = "localhost", tls = "none" }
password-command = ["pass", "show", "home"]
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/mailtide/config.toml"))
}

#[test]
fn a_whole_configuration_is_read() {
    let config = parse(GOOD).expect("a good configuration");
    assert_eq!(config.local.pop3, "127.0.0.1:1110".parse().ok());
    let [work, home] = &config.accounts[..] else { panic!("two accounts") };
    assert_eq!(
        (work.incoming.server().host.as_str(), work.incoming.server().port, work.incoming.server().tls),
        ("imap.example.org", 993, TlsMode::Implicit)
    );
    assert!(matches!(&work.password, Credential::Password(secret) if secret.matches("upstream secret")));
    assert_eq!(work.tls_ca, Some(PathBuf::from("/etc/mailtide/ca.pem")));
    let name = |text| MailboxName::parse(text).expect("a valid name");
    assert!(work.folders.includes(&name("INBOX")) && !work.folders.includes(&name("[Gmail]/All Mail")));
    assert_eq!((home.incoming.server().port, home.user.as_str()), (143, "me@home.test"));
    assert!(home.smtp.is_empty());
    assert!(matches!(&home.password, Credential::Command(argv) if argv[..] == ["pass", "show", "home"]));
    let text = "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\nkeyring = true\n";
    let config = Config::parse(text, Path::new("config.toml")).expect("valid");
    assert_eq!(config.accounts[0].password, Credential::Keyring("a".to_owned()));
}

#[test]
fn an_account_without_imap_takes_its_mail_by_pop3_and_says_how_long_it_stays_there() {
    for (keep, meant) in [
        ("", Keep::Always),
        (", keep = \"always\"", Keep::Always),
        (", keep = \"until-deleted\"", Keep::UntilDeleted),
        (", keep = { days = 14 }", Keep::Days(14)),
        (", keep = \"never\"", Keep::Never),
    ] {
        let text = format!(
            "[[account]]\nname = \"a\"\naddress = \"a@b\"\npop3 = {{ host = \"h\"{keep} }}\npassword = \"p\"\n"
        );
        let account = &parse(&text).expect(keep).accounts[0];
        let server = Server { host: "h".to_owned(), port: 995, tls: TlsMode::Implicit };
        assert_eq!(account.incoming, Incoming::Pop3 { server, keep: meant });
        assert_eq!(account.poll_seconds, 300);
        assert_eq!(account.bodies, BodyPolicy::ALL);
    }
}

#[test]
fn an_account_with_a_maildrop_says_of_which_messages_more_than_the_header_is_taken() {
    let of = |keep: &str, mirror: &str| {
        let text = format!(
            "[[account]]\nname = \"a\"\naddress = \"a@b\"\npop3 = {{ host = \"h\", keep = {keep} }}\npassword = \"p\"\n\
             mirror = {{ {mirror} }}\n"
        );
        parse(&text).expect(mirror).accounts[0].bodies.clone()
    };
    let policy = of("{ days = 7 }", "bodies = { max-size = \"1M\" }, per-folder = { \"Filed/*\" = \"all\" }");
    assert_eq!(policy.default, Bodies::MaxSize(1 << 20));
    assert_eq!(policy.of(&MailboxName::parse("Filed/x").expect("a name")), Bodies::All);
    let limited = of("\"never\"", "budget-per-day = \"5M\", metered = true");
    assert_eq!(limited, BodyPolicy { budget_bytes: Some(5 << 20), metered: true, ..BodyPolicy::ALL });
}

#[test]
fn an_account_may_have_several_servers_to_send_by() {
    let account = |smtp: &str| {
        let text = format!(
            "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = {{ host = \"h\" }}\npassword = \"p\"\nsmtp = {smtp}\n"
        );
        parse(&text).map(|config| config.accounts[0].smtp.clone())
    };
    let server = |host: &str, port, tls| Server { host: host.to_owned(), port, tls };
    let (one, two) = (server("one", 465, TlsMode::Implicit), server("two", 587, TlsMode::StartTls));
    assert_eq!(account("{ host = \"one\" }"), Ok(vec![one.clone()]));
    assert_eq!(account("[{ host = \"one\" }, { host = \"two\", tls = \"starttls\" }]"), Ok(vec![one, two]));
    assert_eq!(account("[]"), Ok(Vec::new()));
    for (smtp, expected) in [
        ("[{ host = \"one\" }, { host = \"two\", tls = \"none\" }]", "6:49: two is not this machine"),
        ("[{ host = \"one\" }, { hots = \"two\" }]", "6:29: unknown key `hots`"),
        ("{ host = \"one\", port = 0 }", "6:31: "),
        (
            "7",
            "6:8: invalid type: integer `7`, expected a table such as { host = \"mail.example.org\", port = 465, tls = \"implicit\" }, or several in [ ]",
        ),
    ] {
        let error = account(smtp).expect_err(smtp).to_string();
        assert!(error.starts_with(&format!("/etc/mailtide/config.toml:{expected}")), "{error}");
    }
}

#[test]
fn an_empty_configuration_serves_on_loopback() {
    let config = parse("").expect("nothing is required");
    assert_eq!(config.local.imap, "127.0.0.1:1143".parse().expect("an address"));
    assert_eq!(config.local.smtp, "127.0.0.1:1025".parse().expect("an address"));
    assert!(config.local.pop3.is_none() && config.local.password.is_none() && config.accounts.is_empty());
}

#[test]
fn tls_lets_the_local_listeners_leave_loopback() {
    let config = parse("[local]\nimap = \"0.0.0.0:143\"\ntls = true").expect("tls is set");
    assert_eq!(config.local.tls, Some(TlsIdentity::Own));
    let files = parse("[local]\ntls = { certificate = \"c.pem\", key = \"/k.pem\" }").expect("files are given");
    let (certificate, key) = (PathBuf::from("/etc/mailtide/c.pem"), PathBuf::from("/k.pem"));
    assert_eq!(files.local.tls, Some(TlsIdentity::Files { certificate, key }));
}

#[test]
fn plaintext_off_loopback_needs_to_be_allowed() {
    for rest in [
        "imap = { host = \"h\", tls = \"none\", allow-plaintext = true }\npassword = \"p\"",
        "imap = { host = \"h\", tls = \"none\" }\nallow-plaintext = true\npassword = \"p\"",
        "imap = { host = \"127.0.0.9\", tls = \"none\" }\npassword = \"p\"",
        "imap = { host = \"::1\", tls = \"none\" }\npassword = \"p\"",
    ] {
        let text = format!("[[account]]\nname = \"a\"\naddress = \"a@b\"\n{rest}");
        assert!(parse(&text).is_ok(), "{text}");
    }
}

#[test]
fn a_broken_configuration_says_where_and_what_is_accepted() {
    for (text, expected) in BROKEN {
        let error = parse(text).map(|_| ()).expect_err(text);
        assert_eq!(error.to_string(), format!("/etc/mailtide/config.toml:{expected}"), "{text}");
    }
}

#[test]
fn no_error_repeats_what_may_be_a_password() {
    for password in ["4711", "4711.5", "true", "4711_secret", "\"4711", "[\"4711\"]", "{ a = \"4711\" }", "\"x\" 4711"]
    {
        let error = parse(&format!("[local]\npassword = {password}")).map(|_| ()).expect_err(password);
        assert!(!error.to_string().contains("4711"), "{error}");
    }
}

#[test]
fn a_configuration_of_refserver_is_read() {
    let text = r#"
        domain = "here.test"
        imap = "127.0.0.1:0"
        tls = true
        without = ["MOVE"]
        [[user]]
        name = "alice"
        password = "p"
        [routes]
        "There.test" = "127.0.0.1:2525"
    "#;
    let config = ServerConfig::parse(text, Path::new("refserver.toml")).expect("a good configuration");
    assert_eq!(config.users.len(), 1);
    assert_eq!(config.routes.get("there.test").map(String::as_str), Some("127.0.0.1:2525"));
    let rules = r#"
        [[shared]]
        name = "Team"
        rights = { ann = "lrswi", anyone = "lr", -ben = "r" }
        [[retention]]
        mailbox = "Trash"
        days = 30
        [[retention]]
        mailbox = "INBOX"
        user = "Ann"
        days = 365
        archive = "Archive/Old"
    "#;
    let config = ServerConfig::parse(rules, Path::new("f")).expect("a good configuration");
    assert_eq!(config.shared[0].rights.len(), 3);
    let told: Vec<_> =
        config.retention.iter().map(|rule| (rule.mailbox.as_str(), rule.user.as_deref(), rule.days)).collect();
    assert_eq!(told, [("Trash", None, 30), ("INBOX", Some("ann"), 365)]);
    assert_eq!(config.retention[1].archive.as_ref().map(MailboxName::as_str), Some("Archive/Old"));
    for (text, why) in [
        (
            "[[retention]]\nmailbox = \"x\"\ndays = 0",
            "f:3:8: invalid value: integer `0`, expected a number of days from 1 to 36500",
        ),
        (
            "[[retention]]\nmailbox = \"x\"\ndays = 1\narchive = \"x\"",
            "f:1:1: the mail of x cannot be archived in x; name another mailbox, or leave archive out to delete",
        ),
        (
            "[[shared]]\nname = \"INBOX\"\nrights = {}",
            "f:2:8: invalid value: string \"INBOX\", expected a mailbox name such as \"Team\" or \"Team/Invoices\"",
        ),
        (
            "[[shared]]\nname = \"x\"\nrights = { ann = \"q\" }",
            "f:3:18: invalid value: string \"q\", expected letters of l r s w i p k x t e a (RFC 4314)",
        ),
        (
            "[[user]]\nname = \"ann\"\npassword = \"p\"\nmay-send-as = [\"b*@x.example\"]",
            "f:4:16: invalid value: string \"b*@x.example\", expected an address such as \"team@example.org\", or \"*@example.org\"",
        ),
        (
            "[[user]]\nname = \"ann\"\npassword = \"p\"\nmay-send-as = [\"a@b@x.example\"]",
            "f:4:16: invalid value: string \"a@b@x.example\", expected an address such as \"team@example.org\", or \"*@example.org\"",
        ),
    ] {
        let error = ServerConfig::parse(text, Path::new("f")).map(|_| ()).expect_err("a mistake").to_string();
        assert_eq!(error, why, "{text}");
    }
    let broken = ServerConfig::parse("[[user]]\nname = \"bob\"", Path::new("f")).map(|_| ()).expect_err("no password");
    assert!(broken.to_string().starts_with("f:1:1: there is no password"), "{broken}");
}

/// Text, and what is said of it after the name of the file.
const BROKEN: &[(&str, &str)] = &[
    ("colour = 1", "1:1: unknown key `colour`, expected `local` or `account`"),
    (
        "[local]\nimpa = 1",
        "2:1: unknown key `impa`, expected one of `imap`, `smtp`, `pop3`, `imaps`, `smtps`, `pop3s`, `password`, `password-command`, `tls`, `undo-seconds`",
    ),
    (
        "[local]\nsmtps = \"127.0.0.1:1465\"",
        r#"2:9: smtps needs a certificate: say tls = true, or tls = { certificate = "chain.pem", key = "key.pem" }"#,
    ),
    ("[local\nimap = 1", "1:7: unclosed table, expected `]`"),
    (
        "[local]\nimap = \"example.org\"",
        r#"2:8: invalid value: string "example.org", expected an address and a port such as "127.0.0.1:1143" or "[::1]:1143""#,
    ),
    (
        "[local]\nimap = 1143",
        r#"2:8: invalid type: integer `1143`, expected an address and a port such as "127.0.0.1:1143" or "[::1]:1143""#,
    ),
    (
        "[local]\nimap = \"192.0.2.1:143\"",
        "2:8: 192.0.2.1:143 can be reached from other machines; give a loopback address such as 127.0.0.1, or set tls",
    ),
    (
        "[local]\ntls = \"yes\"",
        r#"2:7: invalid type: string "yes", expected true (a certificate of its own) or { certificate = "chain.pem", key = "key.pem" }"#,
    ),
    ("[local]\ntls = { certificate = \"c\" }", "2:7: missing key `key`"),
    ("[local]\npassword = 123456", "2:12: invalid type: integer, expected a password in quotes"),
    ("[local]\npassword = \"\"", "2:12: invalid value: empty string, expected a password in quotes"),
    ("[local]\npassword = secret", "2:12: string values must be quoted, expected literal string"),
    ("[local]\npassword = \"secret", r#"2:19: invalid basic string, expected `"`"#),
    (
        "[local]\npassword = \"p\"\npassword-command = [\"x\"]",
        "3:20: there are both password and password-command; keep one of them",
    ),
    (
        "[local]\npassword-command = []",
        r#"2:20: password-command needs a program: password-command = ["pass", "show", "mail"]"#,
    ),
    (
        "[local]\npassword-command = \"pass show\"",
        r#"2:20: invalid type: string "pass show", expected an array of strings such as ["one", "two"]"#,
    ),
    ("local = 3", "1:9: invalid type: integer `3`, expected a table [local]"),
    ("[local]\nimap = \"127.0.0.1:1\"\nimap = \"127.0.0.1:1\"", "3:1: duplicate key"),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\npassword = \"p\"\n",
        "1:1: missing key `imap` (or `pop3`): imap = { host = \"imap.example.org\" }",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npop3 = { host = \"h\" }\npassword = \"p\"\n",
        "5:8: there are both imap and pop3; keep one of them, or make two accounts",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\npop3 = { host = \"h\", keep = \"leave\" }\npassword = \"p\"\n",
        "4:29: invalid value: string \"leave\", expected one of \"always\", \"until-deleted\", { days = 14 }, \"never\"",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\npop3 = { host = \"h\", keep = { days = 0 } }\npassword = \"p\"\n",
        "4:38: invalid value: integer `0`, expected a number of days from 1 to 3650",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\npop3 = { host = \"h\" }\npassword = \"p\"\nmirror = { folders = [\"*\"] }\n",
        "6:22: folders is for accounts with imap; an account with pop3 has no use for it",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\npop3 = { host = \"h\" }\npassword = \"p\"\nmirror = { exclude = [] }\n",
        "6:22: exclude is for accounts with imap; an account with pop3 has no use for it",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\npop3 = { host = \"h\", keep = \"never\" }\npassword = \"p\"\nmirror = { bodies = \"headers\" }\n",
        "6:10: with keep = \"never\" every message is fetched whole, since nothing is deleted on the server that is not all here: \
         choose another keep, or leave out bodies and per-folder",
    ),
    (
        "[account]\nname = \"a\"",
        "1:1: invalid type: table, expected [[account]] in double brackets, once for each account",
    ),
    ("[[account]]\nname = \"a\"", "1:1: missing key `address`"),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = \"h\"\npassword = \"p\"\n",
        r#"4:8: invalid type: string "h", expected a table such as { host = "mail.example.org", port = 993, tls = "implicit" }"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { port = 1 }\npassword = \"p\"\n",
        "4:8: missing key `host`",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"\" }\npassword = \"p\"\n",
        r#"4:17: "" is not a host name"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\", port = 0 }\npassword = \"p\"\n",
        "4:29: invalid value: integer `0`, expected a port from 1 to 65535",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\", port = \"993\" }\npassword = \"p\"\n",
        r#"4:29: invalid type: string "993", expected a port from 1 to 65535"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\", tls = \"ssl\" }\npassword = \"p\"\n",
        r#"4:28: invalid value: string "ssl", expected one of "implicit", "starttls", "none""#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\", tls = \"none\" }\npassword = \"p\"\n",
        r#"4:28: h is not this machine, so tls = "none" would send password and mail readable by others; use tls = "implicit" or "starttls", or say allow-plaintext = true"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\", tlss = \"none\" }\npassword = \"p\"\n",
        "4:22: unknown key `tlss`, expected one of `host`, `port`, `tls`, `allow-plaintext`",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\n",
        r#"1:1: there is no way to log in; give one of password = "...", password-command = ["program", "argument"], keyring = true and oauth2 = { token-command = ["program", "argument"] }"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\n[[account]]\nname = \"a\"\naddress = \"a@c\"\nimap = {host = \"h\"}\npassword = \"p\"",
        r#"7:8: there is an account "a" already, at line 2; give each account its own name"#,
    ),
    (
        "[[account]]\nname = \"a b\"\naddress = \"a@b\"\nimap = {host = \"h\"}\npassword = \"p\"",
        r#"2:8: the account name "a b" cannot be used to log in: it must be without spaces and control characters"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"b\"\nimap = {host = \"h\"}\npassword = \"p\"",
        r#"3:11: "b" is not a mail address such as me@example.org"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b@c\"\nimap = {host = \"h\"}\npassword = \"p\"",
        r#"3:11: "a@b@c" is not a mail address such as me@example.org"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = {host = \"h\"}\nuser = \"\"\npassword = \"p\"",
        r#"5:8: the user name "" cannot be used to log in; leave user out where it is the address"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = {host = \"h\"}\nuser = \"a\\nb\"\npassword = \"p\"",
        r#"5:8: the user name "a\nb" cannot be used to log in; leave user out where it is the address"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nkeyring = true\n",
        "6:11: there are both keyring and a password; keep one of them",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nkeyring = 1\n",
        "6:11: invalid type: integer `1`, expected true or false",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\noauth2 = { client = \"x\" }\n",
        "6:12: unknown key `client`, expected `token` or `token-command`",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\noauth2 = { token = \"t\" }\n",
        "6:10: there are both a password and oauth2; keep one of them",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\noauth2 = {}\n",
        r#"1:1: there is no way to log in; give one of password = "...", password-command = ["program", "argument"], keyring = true and oauth2 = { token-command = ["program", "argument"] }"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nmirror = { bodies = { recent-days = 0 } }\n",
        r#"6:37: invalid value: integer `0`, expected a number of days from 1 to 36500"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nmirror = { bodies = { max-size = \"1T\" } }\n",
        r#"6:34: invalid value: string "1T", expected a size such as "500K", "1M" or "2G""#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nmirror = { bodies = { max-size = 5 } }\n",
        r#"6:34: invalid type: integer `5`, expected a size such as "500K", "1M" or "2G""#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nmirror = { bodies = { newest = 5 } }\n",
        r#"6:21: invalid value: map, expected one of "all", "headers", { recent-days = 90 }, { max-size = "1M" }"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nmirror = { per-folder = { A = \"most\" } }\n",
        r#"6:31: invalid value: string "most", expected one of "all", "headers", { recent-days = 90 }, { max-size = "1M" }"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nmirror = { budget-per-day = \"lots\" }\n",
        r#"6:29: invalid value: string "lots", expected a size such as "500K", "1M" or "2G""#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nmirror = { metered = \"yes\" }\n",
        r#"6:22: invalid type: string "yes", expected true or false"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nmirror = { bodies = \"some\" }\n",
        r#"6:21: invalid value: string "some", expected one of "all", "headers", { recent-days = 90 }, { max-size = "1M" }"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nmirror = { folders = \"*\" }\n",
        r#"6:22: invalid type: string "*", expected an array of strings such as ["one", "two"]"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nmirror = [\"*\"]\n",
        r#"6:11: invalid type: string "*", expected an array of strings such as ["one", "two"]"#,
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\npoll-seconds = 0\n",
        "6:16: invalid value: integer `0`, expected a number of seconds from 1 to 86400",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nconnections = 11\n",
        "6:15: invalid value: integer `11`, expected a number of connections from 1 to 10",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nquirks = { pipeline = 0 }\n",
        "6:23: invalid value: integer `0`, expected a number of commands from 1 to 400",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nquirks = { line-bytes = true }\n",
        "6:25: invalid type: boolean `true`, expected a number of bytes from 500 to 8000",
    ),
    (
        "[[account]]\nname = \"a\"\naddress = \"a@b\"\nimap = { host = \"h\" }\npassword = \"p\"\nquirks = false\n",
        "6:10: invalid type: boolean `false`, expected a table such as { compress = false, line-bytes = 1000 }",
    ),
];

#[test]
fn bodies_are_chosen_by_account_and_by_folder() {
    let text = r#"
[[account]]
name = "a"
address = "a@b"
imap = { host = "h" }
password = "p"
[account.mirror]
bodies = { max-size = "1M" }
per-folder = { "Archive/*" = "headers", Lists = { recent-days = 30 } }
budget-per-day = "200M"
metered = true
"#;
    let config = Config::parse(text, Path::new("config.toml")).expect("a configuration");
    let bodies = &config.accounts[0].bodies;
    let of = |name| bodies.of(&MailboxName::parse(name).expect("a name"));
    assert_eq!(
        (of("INBOX"), of("Archive/2020"), of("Lists")),
        (Bodies::MaxSize(1 << 20), Bodies::Headers, Bodies::RecentDays(30))
    );
    assert_eq!((bodies.budget_bytes, bodies.metered), (Some(200 << 20), true));
}
