//! Mirrors that hold not all bodies: what is here, what comes when somebody asks, what it costs and what `syncctl` says of it.

use serde_json::{Value, json};

use crate::support::agent::{Account, Agent};
use crate::support::imap::Imap;
use crate::support::proxy::Proxy;
use crate::support::random::Random;
use crate::support::refserver::RefServer;
use crate::support::wait::{SOON, wait_until};

const USER: &str = "ada";

/// A message of that many lines of 72 bytes in its text.
fn letter(number: u64, lines: usize) -> Vec<u8> {
    let text = format!("{number:>5} {}\r\n", "tide".repeat(16));
    format!(
        "From: Ada <ada@far.example>\r\nTo: me@home.example\r\nSubject: letter {number}\r\n\
         Date: Mon, 02 Mar 2026 10:00:00 +0000\r\nMessage-ID: <letter{number}@far.example>\r\n\r\n{}",
        text.repeat(lines)
    )
    .into_bytes()
}

/// A server whose user has these messages in INBOX.
fn server(letters: &[Vec<u8>]) -> RefServer {
    let server = RefServer::with_users(&[USER]);
    let mut imap = server.login(USER);
    for letter in letters {
        imap.append("INBOX", &[], 1_000_000_000, letter);
    }
    server
}

fn account(server: &RefServer, line: &Proxy, mirror: &str) -> String {
    let more = format!("mirror = {{ {mirror} }}");
    Account { more: &more, ..Account::at(server, USER, line.address) }.text()
}

fn bodies(agent: &Agent) -> Value {
    agent.account()["bodies"].clone()
}

fn amount(messages: usize, letters: &[Vec<u8>]) -> Value {
    json!({"messages": messages, "bytes": letters.iter().map(Vec::len).sum::<usize>()})
}

/// The bytes of a message in INBOX.
fn text(imap: &mut Imap, number: u32) -> Vec<u8> {
    imap.select("INBOX");
    text_of(imap, number)
}

/// The bytes of a message in the mailbox that is selected.
fn text_of(imap: &mut Imap, number: u32) -> Vec<u8> {
    imap.fetch_all().into_iter().nth(number as usize - 1).expect("a message").body
}

#[test]
fn a_message_and_a_folder_are_fetched_by_name_and_kept() {
    let letters = [letter(1, 10), letter(2, 20), letter(3, 30)];
    let server = server(&letters);
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&account(&server, &line, r#"bodies = "headers""#));
    agent.sync();
    assert_eq!(bodies(&agent)["absent"], amount(3, &letters));
    assert_eq!((&bodies(&agent)["wanted"]["messages"], &bodies(&agent)["stopped_by"]), (&json!(0), &Value::Null));

    let said = agent.ctl_json(&["fetch", "<letter2@far.example>", "--json"]);
    let target = &said["targets"][0];
    assert_eq!(target["fetched"], amount(1, &letters[1..2]));
    assert_eq!((&target["here"], &target["waiting"], &target["refused"]), (&json!(0), &json!(0), &json!(0)));
    assert_eq!(bodies(&agent)["absent"]["messages"], 2);
    assert_eq!(bodies(&agent)["today"]["on_demand_bytes"], letters[1].len());
    assert!(agent.ctl_ok(&["fetch", "letter2@far.example"]).contains("it is here already"));

    let said = agent.ctl_ok(&["fetch", "inbox", "--account", USER]);
    assert!(said.contains("fetched 2 messages") && said.contains("1 were here already"), "{said}");
    assert_eq!(bodies(&agent)["absent"]["messages"], 0);
    assert!(!agent.ctl_ok(&["status"]).contains("not here"), "nothing to be told");
    line.cut();
    for (place, letter) in (1..).zip(&letters) {
        assert!(text(&mut agent.login(USER), place) == *letter, "kept: {place}");
    }
    assert_eq!(agent.ctl(&["fetch", "Nowhere"]).code, 64);
    assert_eq!(agent.ctl(&["fetch", "INBOX", "--account", "nobody"]).code, 64);
}

#[test]
fn what_is_wanted_offline_is_told_and_comes_with_the_line() {
    let letters = [letter(1, 10), letter(2, 20)];
    let server = server(&letters);
    let line = Proxy::to(server.address("imap"));
    let mut agent = Agent::started(&account(&server, &line, r#"bodies = "headers""#));
    agent.sync();
    line.cut();
    wait_until("the agent to notice", SOON, || agent.account()["state"] == "offline");
    let said = agent.ctl(&["fetch", "INBOX"]);
    assert_eq!(said.code, 75, "{said:?}");
    assert!(said.out.contains("2 messages are wanted and not here: ada is offline"), "{said:?}");
    assert!(said.out.contains("they are fetched once it is online"), "{said:?}");
    agent.kill();
    agent.start();
    agent.ctl_ok(&["offline"]);
    let said = agent.ctl(&["fetch", "letter1@far.example"]);
    assert!(said.code == 75 && said.out.contains("after `syncctl online ada`"), "{said:?}");
    assert_eq!(bodies(&agent)["wanted"]["messages"], 2, "over a crash");
    agent.ctl_ok(&["online"]);
    line.join();
    wait_until("both of them to come", SOON, || bodies(&agent)["absent"]["messages"] == 0);
}

#[test]
fn a_metered_line_costs_only_what_is_asked_for_and_stays_metered_over_a_restart() {
    let letters = [letter(1, 10), letter(2, 20)];
    let server = server(&[]);
    let line = Proxy::to(server.address("imap"));
    let mut agent = Agent::started(&account(&server, &line, ""));
    agent.sync();
    let said = agent.ctl_ok(&["metered", "on"]);
    assert!(said.contains("no bodies are fetched but those that are asked for"), "{said}");
    for letter in &letters {
        server.login(USER).append("INBOX", &[], 1_000_000_000, letter);
    }
    agent.sync();
    agent.stop();
    agent.start();
    agent.sync();
    let told = bodies(&agent);
    assert_eq!((&told["metered"], &told["stopped_by"]), (&json!(true), &json!("metered")), "{told}");
    assert_eq!((&told["absent"], &told["wanted"]), (&amount(2, &letters), &amount(2, &letters)));
    assert_eq!(told["today"]["fetched_bytes"], 0);
    assert!(agent.ctl_ok(&["status"]).contains("metered: only what is asked for is fetched (`syncctl metered off`)"));
    assert_eq!(agent.ctl(&["fetch", "letter1@far.example"]).code, 0);
    assert_eq!(bodies(&agent)["absent"]["messages"], 1);
    agent.ctl_ok(&["metered", "off", USER]);
    wait_until("the other one to come", SOON, || bodies(&agent)["absent"]["messages"] == 0);
    agent.ctl_ok(&["metered", "configured"]);
    assert_eq!(bodies(&agent)["metered"], false);
    assert_eq!(agent.ctl(&["metered", "sideways"]).code, 64);
}

#[test]
fn a_pop3_client_has_every_message_while_there_is_a_line() {
    let letters = [letter(1, 10), letter(2, 20)];
    let server = server(&letters);
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&account(&server, &line, r#"bodies = "headers""#));
    agent.sync();
    line.cut();
    let mut pop3 = agent.login_pop3(USER);
    assert_eq!(pop3.ok("STAT"), format!("2 {}", letters.iter().map(Vec::len).sum::<usize>()));
    let header = pop3.lines("TOP 1 0");
    assert!(letters[0].starts_with(&header) && header.ends_with(b"\r\n\r\n"), "the header is here");
    let refused = pop3.command("RETR 1");
    assert!(
        refused
            .starts_with("-ERR [SYS/TEMP] the message is not here, and cannot be fetched while there is no connection"),
        "{refused}"
    );
    line.join();
    wait_until("the line to be used again", SOON, || pop3.command("TOP 2 1").starts_with("+OK"));
    assert!(pop3.rest().starts_with(&letters[1][..200]));
    assert!(pop3.lines("RETR 2") == letters[1] && pop3.lines("RETR 1") == letters[0], "byte for byte");
    pop3.ok("QUIT");
    assert_eq!(bodies(&agent)["absent"]["messages"], 0);
}

#[test]
fn a_message_that_was_never_fetched_is_told_by_its_subject_and_not_as_recoverable() {
    let letters = [letter(1, 10), letter(2, 20)];
    let server = server(&letters);
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&account(&server, &line, r#"bodies = "headers""#));
    agent.sync();
    let why = agent.ctl_ok(&["why", "letter1@far.example"]);
    assert!(why.contains("letter 1 (") && why.contains("its text not here: `syncctl fetch` gets it"), "{why}");
    agent.ctl_ok(&["offline"]);
    let mut here = agent.login(USER);
    here.ok("CREATE Kept");
    here.select("INBOX");
    here.ok("COPY 2 Kept");
    here.ok("MOVE 1 Kept");
    here.select("Kept");
    assert!(here.ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]").untagged.len() == 2);
    let refused = here.command("FETCH 1 BODY.PEEK[]");
    assert_eq!(refused.status, "NO");
    assert!(refused.text.contains("[UNAVAILABLE]") && refused.text.contains("while there is no connection"));
    let mut there = server.login(USER);
    there.select("INBOX");
    there.ok("STORE 1 +FLAGS (\\Deleted)");
    there.ok("EXPUNGE");
    agent.ctl_ok(&["online"]);
    wait_until("both sides to have settled", SOON, || agent.unsettled() == 0 && agent.account()["conflicts"] == 1);
    let conflicts = agent.ctl_json(&["conflicts", "--json"]);
    assert_eq!(
        (&conflicts[0]["kind"], &conflicts[0]["message"]["subject"]),
        (&json!("moved-lost"), &json!("letter 1"))
    );
    let gone = agent.ctl_json(&["recover", "list", "--json"]);
    assert_eq!((&gone[0]["subject"], &gone[0]["recoverable"]), (&json!("letter 1"), &json!(false)), "{gone}");
    let number = gone[0]["id"].to_string();
    let said = agent.ctl(&["recover", "restore", &number]);
    assert_eq!(said.code, 1, "{said:?}");
    let said = agent.ctl(&["fetch", &number]);
    assert!(said.code == 1 && said.out.contains("its server does not have it any more"), "{said:?}");
    here.select("Kept");
    assert!(text_of(&mut here, 1) == letters[1], "the copy can be had");
    assert!(server.login(USER).select("Kept").exists() == 1);
}

#[test]
fn each_choice_mirrors_the_bodies_that_it_names_and_no_others() {
    let (small, large) = (letter(1, 10), letter(2, 200));
    let server = server(&[]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    let now = i64::try_from(now).expect("a moment");
    let mut imap = server.login(USER);
    imap.ok("CREATE Archive/2025");
    for (mailbox, date, letter) in [
        ("INBOX", now, &small),
        ("INBOX", now, &large),
        ("INBOX", now - 40 * 86_400, &small),
        ("Archive/2025", now, &small),
        ("Archive/2025", now - 40 * 86_400, &large),
    ] {
        imap.append(mailbox, &[], date, letter);
    }
    let line = Proxy::to(server.address("imap"));
    // What of [INBOX, Archive/2025] is not here.
    for (mirror, absent) in [
        (r#"bodies = "all""#, [0, 0]),
        (r#"bodies = "headers""#, [3, 2]),
        ("bodies = { recent-days = 30 }", [1, 1]),
        (r#"bodies = { max-size = "4K" }"#, [1, 1]),
        (r#"bodies = "all", per-folder = { "Archive/*" = "headers" }"#, [0, 2]),
        (r#"bodies = "headers", per-folder = { "*" = { max-size = "4K" }, "INBOX" = { recent-days = 30 } }"#, [1, 1]),
    ] {
        let agent = Agent::started(&account(&server, &line, mirror));
        agent.sync();
        let total: i32 = absent.iter().sum();
        wait_until("what is wanted to come", SOON, || {
            let told = bodies(&agent);
            told["absent"]["messages"] == total && told["wanted"]["messages"] == 0
        });
        line.cut();
        let mut here = agent.login(USER);
        for (mailbox, count) in ["INBOX", "Archive/2025"].into_iter().zip(absent) {
            let exists = here.select(mailbox).exists();
            let given =
                (1..=exists).filter(|number| here.command(&format!("FETCH {number} BODY.PEEK[]")).status == "OK");
            assert_eq!(given.count() as i32, exists as i32 - count, "{mirror}, {mailbox}");
            let sizes = here.ok("FETCH 1:* RFC822.SIZE").untagged;
            let told =
                |bytes: &Vec<u8>| sizes.iter().any(|line| line.text.contains(&format!("RFC822.SIZE {}", bytes.len())));
            assert!(told(&small) && told(&large), "{mirror}: {sizes:?}");
        }
        line.join();
    }
}

#[test]
fn a_spent_budget_is_told_and_stops_what_nobody_waits_for_and_what_somebody_does() {
    let letters: Vec<Vec<u8>> = (1..=6).map(|number| letter(number, 10)).collect();
    let server = server(&letters);
    let line = Proxy::to(server.address("imap"));
    let budget = letters[0].len() * 3;
    let agent = Agent::started(&account(&server, &line, &format!("budget-per-day = \"{budget}\"")));
    agent.sync();
    wait_until("the budget to be spent", SOON, || bodies(&agent)["stopped_by"] == "budget");
    let told = bodies(&agent);
    assert_eq!((&told["absent"]["messages"], &told["wanted"]["messages"]), (&json!(3), &json!(3)), "{told}");
    assert_eq!((&told["budget_bytes"], &told["budget_left_bytes"]), (&json!(budget), &json!(0)));
    assert_eq!(told["today"], json!({"fetched_bytes": budget, "on_demand_bytes": 0}));
    let shown = agent.ctl_ok(&["status"]);
    assert!(shown.contains("of today's budget 0 bytes are left: what is wanted is fetched after midnight"), "{shown}");
    let said = agent.ctl(&["fetch", "INBOX"]);
    assert!(
        said.code == 75 && said.out.contains("3 messages are wanted and not here: today's budget is spent"),
        "{said:?}"
    );
    let mut here = agent.login(USER);
    here.select("INBOX");
    let refused = here.command("FETCH 1:* BODY.PEEK[TEXT]");
    assert_eq!((refused.status.as_str(), refused.untagged.len()), ("NO", 6), "{refused:?}");
    assert!(refused.text.contains("today's budget is spent"), "{refused:?}");
}

/// A message of so many bytes that no line makes smaller.
fn large(number: u64, bytes: usize) -> Vec<u8> {
    let mut random = Random::new(number);
    let head = format!("From: a@far.example\r\nSubject: large\r\nMessage-ID: <large{number}@far.example>\r\n\r\n");
    let mut text = head.into_bytes();
    while text.len() < bytes {
        let line: Vec<u8> = (0..76).map(|_| b'0' + u8::try_from(random.below(70)).expect("small")).collect();
        text.extend(line.into_iter().chain(*b"\r\n"));
    }
    text
}

#[test]
fn a_large_body_goes_on_where_a_cut_or_a_crash_left_it() {
    const BYTES: usize = 24 << 20;
    let letters = [large(1, BYTES)];
    let server = server(&letters);
    let line = Proxy::to(server.address("imap"));
    let mut agent = Agent::started(&account(&server, &line, r#"bodies = "headers""#));
    agent.sync();
    let before = line.bytes();
    for at in [1, 2] {
        let mut waiting = agent.login(USER);
        waiting.select("INBOX");
        waiting.send("FETCH 1 BODY.PEEK[]").expect("the agent listens");
        assert!(line.wait_bytes(before + (at * BYTES / 3) as u64, SOON), "bytes come");
        match at {
            1 => line.break_connections(),
            _ => {
                agent.kill();
                agent.start();
            }
        }
    }
    wait_until("the rest to come", SOON, || agent.ctl(&["fetch", "large1@far.example"]).code == 0);
    assert!(text(&mut agent.login(USER), 1) == letters[0], "byte for byte");
    let came = line.bytes() - before;
    assert!(came <= (BYTES + BYTES / 10) as u64, "{came} bytes for {BYTES}, cut twice");
}

#[test]
fn messages_killed_while_they_are_fetched_are_whole_or_not_here() {
    let letters: Vec<Vec<u8>> = (1..=40).map(|number| large(number, 20_000)).collect();
    let server = server(&letters);
    let line = Proxy::to(server.address("imap"));
    let mut agent = Agent::started(&account(&server, &line, r#"bodies = "headers""#));
    agent.sync();
    let mut random = Random::new(11);
    for _ in 0..4 {
        let before = line.bytes();
        let mut waiting = agent.login(USER);
        waiting.select("INBOX");
        waiting.send("FETCH 1:* BODY.PEEK[]").expect("the agent listens");
        assert!(line.wait_bytes(before + 10_000 + random.below(100_000), SOON), "bytes come");
        agent.kill();
        agent.start();
    }
    let mut here = agent.login(USER);
    here.select("INBOX");
    let all = here.fetch_all();
    assert!(all.iter().map(|message| &message.body).eq(letters.iter()), "each whole, none twice");
    assert_eq!(agent.ctl(&["verify"]).code, 0);
}

#[test]
fn a_search_in_texts_that_are_not_here_asks_the_server_and_says_so_where_it_cannot() {
    let mut letters = vec![letter(1, 3), letter(2, 3), letter(3, 3)];
    letters[1].extend("Grüße vom Kai\r\n".as_bytes());
    letters[2].extend(b"a lantern\r\n");
    for letter in &mut letters {
        letter.splice(0..0, *b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n");
    }
    let server = server(&letters);
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&account(&server, &line, r#"bodies = "headers""#));
    agent.sync();
    let mut here = agent.login(USER);
    here.select("INBOX");
    for (query, found) in [
        ("BODY lantern", &[3][..]),
        ("NOT BODY lantern", &[1, 2]),
        ("CHARSET UTF-8 TEXT {7+}\r\nGr\u{fc}\u{df}e", &[2]),
        ("OR SUBJECT \"letter 1\" BODY lantern", &[1, 3]),
    ] {
        let reply = here.command(&format!("SEARCH {query}"));
        assert_eq!((reply.status.as_str(), reply.found()), ("OK", found.to_vec()), "{query}: {reply:?}");
        assert!(!reply.untagged.iter().any(|line| line.text.starts_with("* OK Of")), "{query}: {reply:?}");
    }
    assert_eq!(bodies(&agent)["today"]["fetched_bytes"], 0, "nothing was fetched for that");
    line.cut();
    let reply = here.ok("SEARCH OR SUBJECT \"letter 1\" BODY lantern");
    assert_eq!(reply.found(), [1]);
    let told =
        reply.untagged.iter().any(|line| line.text == "* OK Of 2 messages only the header is here, and was searched");
    assert!(told, "{reply:?}");
}

#[test]
fn mail_whose_text_is_only_at_the_server_is_found_there_and_offline_it_is_told_what_was_not_searched() {
    let letters = [letter(1, 10), letter(2, 20)];
    let server = server(&letters);
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&account(&server, &line, r#"bodies = "headers""#));
    agent.sync();
    let search = |query: &str| {
        let found = agent.ctl_json(&["search", "--json", query]);
        let subjects = found["messages"].as_array().expect("messages").iter().map(|message| {
            format!(
                "{}{}",
                message["subject"].as_str().unwrap_or(""),
                if message["at_server"] == true { " there" } else { "" }
            )
        });
        (subjects.collect::<Vec<_>>(), found["unsearched"].as_u64().expect("a number"))
    };
    let both = vec!["letter 2 there".to_owned(), "letter 1 there".to_owned()];
    let (mut found, unsearched) = search("tidetide");
    found.sort_by(|one, other| other.cmp(one));
    assert_eq!((found, unsearched), (both, 0));
    assert_eq!(search("tidetide subject:2"), (vec!["letter 2 there".to_owned()], 0));
    assert_eq!(search("ebb"), (Vec::new(), 0));
    assert!(agent.ctl_ok(&["search", "tidetide"]).contains("UID 2, its text only at the server"));

    agent.ctl_ok(&["fetch", "letter2@far.example"]);
    line.cut();
    wait_until("the agent to notice", SOON, || agent.account()["state"] == "offline");
    assert_eq!(search("tidetide"), (vec!["letter 2".to_owned()], 1));
    let said = agent.ctl_ok(&["search", "tidetide"]);
    let expected =
        format!("Of 1 message of {USER} the text is only at the server, which could not be asked: {USER} is offline");
    assert!(said.contains(&expected), "{said}");
    agent.ctl_ok(&["offline"]);
    let said = agent.ctl_ok(&["search", "tidetide"]);
    assert!(said.contains(&format!("`syncctl online {USER}` first")), "{said}");
}
