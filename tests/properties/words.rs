//! Single words that many parsers share: each is read, written and read again, and the two readings are the same.

use mailtide::imap::syntax::url::MessageUrl;
use mailtide::imap::syntax::{NameForm, Parser, utf7};
use mailtide::sasl::server::{Exchange, Mechanism, Progress};
use mailtide::smtp::address::Address;
use mailtide::sync::names;
use mailtide::types::folder_filter::Glob;
use mailtide::types::{Flag, Flags, InternalDate, LocalUid, MailboxName, SpecialUse, Timestamp, UidSet, limits};

pub fn check(input: &[u8]) {
    sasl(input);
    mailbox_wire_form(input);
    let Ok(text) = std::str::from_utf8(input) else { return };
    uid_set(text);
    mailbox_name(text);
    flags(text);
    dates(text);
    address(text);
    glob(text);
    message_url(text);
    assert!(SpecialUse::parse(text).is_none_or(|special_use| special_use.as_str().eq_ignore_ascii_case(text)));
}

/// PLAIN, LOGIN and SCRAM give what stands in the message, and nothing that does not.
fn sasl(message: &[u8]) {
    for mechanism in Mechanism::ALL {
        match Exchange::start(mechanism, Some(message), None) {
            Progress::Credentials(given) => {
                assert!(!given.user.is_empty(), "a user without a name");
                let authzid = given.authorize_as.as_deref();
                assert!(authzid != Some("") && authzid != Some(given.user.as_str()), "acting as oneself is no acting");
                let again = mailtide::sasl::client::plain(&given);
                let said_self = [given.user.as_bytes(), &again].concat();
                assert!(again == message || said_self == message, "the client's side says it another way");
            }
            Progress::Challenge(Exchange::LoginPassword { user }, _) => assert_eq!(user.as_bytes(), message),
            Progress::Token(given) => assert!(!given.user.is_empty() && !given.password.expose().is_empty()),
            Progress::Keys(first) => assert!(!first.user.is_empty(), "a user without a name"),
            Progress::Challenge(..) | Progress::Proved(_) | Progress::Refused => panic!("an answer is no question"),
            Progress::Malformed => {}
        }
    }
}

/// What decodes has that one wire form; every text has one.
fn mailbox_wire_form(wire: &[u8]) {
    if let Ok(text) = utf7::decode(wire) {
        assert_eq!(utf7::encode(&text).as_bytes(), wire);
    }
    let text = String::from_utf8_lossy(wire);
    let encoded = utf7::encode(&text);
    assert!(encoded.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    assert_eq!(utf7::decode(encoded.as_bytes()).as_deref(), Ok(&*text));
}

fn uid_set(text: &str) {
    let Some(set) = UidSet::<LocalUid>::parse(text) else { return };
    assert_canonical(&set);
    assert_eq!(UidSet::parse(&set.to_string()).as_ref(), Some(&set), "{text}");
    for element in text.split(',') {
        let (first, last) = element.split_once(':').unwrap_or((element, element));
        let number = |text: &str| LocalUid::new(text.parse().expect("a number"));
        assert!(set.contains(number(first)) && set.contains(number(last)), "{element} is not in {set}");
    }
    let pieces = set.split(30);
    assert!(pieces.iter().all(|piece| piece.to_string().len() <= 30 && !piece.is_empty()), "{pieces:?}");
    assert_eq!(UidSet::from_ranges(pieces.iter().flat_map(|piece| piece.ranges().to_vec())), set);
}

/// Ascending, disjoint, not adjacent; its text no longer than it must be.
pub fn assert_canonical(set: &UidSet<LocalUid>) {
    assert!(set.ranges().iter().all(|(low, high)| low <= high), "{set}");
    let gaps = set.ranges().windows(2).all(|pair| u64::from(pair[0].1) + 1 < u64::from(pair[1].0));
    assert!(gaps, "{set}");
    let count: u64 = set.ranges().iter().map(|(low, high)| u64::from(*high) - u64::from(*low) + 1).sum();
    assert_eq!(set.len(), count);
}

fn mailbox_name(text: &str) {
    let Ok(name) = MailboxName::parse(text) else { return };
    assert!(name.as_str().eq_ignore_ascii_case(text) && text.len() <= limits::MAILBOX_NAME_MAX_BYTES);
    assert_eq!(MailboxName::parse(name.as_str()).as_ref(), Ok(&name), "one spelling");
    if let Some(parent) = name.parent() {
        assert!(name.is_below(&parent) && !parent.is_below(&name));
        assert_eq!(format!("{parent}/{}", name.leaf()), name.as_str());
        assert_eq!(name.rebased(&parent, &parent).as_ref(), Some(&name));
    }
    let mut wire = Vec::new();
    mailtide::imap::syntax::quote::write_mailbox(&mut wire, &name, NameForm::ModifiedUtf7);
    let said = Parser::new(&wire).mailbox().expect("a mailbox as we write it");
    assert_eq!(said.name(NameForm::ModifiedUtf7).as_ref(), Some(&name));
    for delimiter in [Some('/'), Some('.'), None] {
        let upstream = names::components(&name, delimiter);
        let again = names::shown(&upstream).expect("what has a name here keeps it");
        // U+2215 stands for a slash where the server has another delimiter, so it comes back as what it stands for.
        assert_eq!(again, name);
    }
}

fn flags(text: &str) {
    let flags: Flags = text.split(' ').filter_map(Flag::parse).collect();
    let again: Flags = flags.iter().filter_map(|flag| Flag::parse(flag.as_str())).collect();
    assert_eq!(again, flags);
    assert_eq!(Flags::from_columns(flags.system_bits(), &flags.keywords_text()), flags);
    assert!(flags.difference(&flags).is_empty());
    assert_eq!(flags.union(&again), flags);
    let wire = format!("({flags})");
    assert_eq!(Parser::new(wire.as_bytes()).flag_list().as_ref(), Ok(&flags), "{wire}");
}

fn dates(text: &str) {
    if let Some(date) = InternalDate::parse_imap(text) {
        let written = date.to_imap();
        assert_eq!(InternalDate::parse_imap(&written), Some(date), "{text:?} became {written:?}");
        assert_eq!(written.len(), 26, "{written:?} is no date-time");
        let wire = format!("\"{written}\"");
        assert_eq!(Parser::new(wire.as_bytes()).date_time(), Ok(date));
    }
    if let Ok(ms) = text.parse::<i64>() {
        let moment = Timestamp::from_unix_ms(ms);
        assert!(moment.to_rfc3339().ends_with('Z') && moment.to_rfc5322().ends_with(" +0000"));
        let _ = InternalDate::new(ms, 0).to_imap();
        let _ = InternalDate::new(ms, (ms % 2000) as i16).day();
    }
}

fn address(text: &str) {
    let Some(address) = Address::parse_recipient(text) else { return };
    assert_eq!(address.as_str(), text);
    assert!(!text.contains(char::is_control), "{text:?}");
    match address.domain() {
        Some(domain) => {
            let end = if domain.starts_with('[') { &['>', ' '][..] } else { &['>', ' ', '@'] };
            assert!(text.ends_with(&format!("@{domain}")) && !domain.contains(end), "{text:?}");
            assert_eq!(Address::parse(text).as_ref(), Some(&address));
        }
        None => assert!(text.eq_ignore_ascii_case("postmaster")),
    }
}

/// Part by part: a URL that is one names what stands in it.
fn message_url(text: &str) {
    let Some(url) = MessageUrl::parse(text) else { return };
    assert!(
        text.starts_with('/') == url.mailbox.is_some() && text.contains(&format!("={}", url.uid)),
        "{text:?} is read as {url:?}"
    );
    assert!(url.uid.get() > 0 && url.section.part.len() <= limits::MIME_NESTING_MAX);
}

/// The pattern before the first tab, the text behind it: as the plainest matcher says.
fn glob(text: &str) {
    let Some((pattern, text)) = text.split_once('\t').filter(|(pattern, text)| pattern.len() + text.len() < 60) else {
        return;
    };
    let first = pattern.split('/').next().unwrap_or_default();
    let inbox = first.eq_ignore_ascii_case("INBOX");
    let plain = if inbox { format!("INBOX{}", &pattern[first.len()..]) } else { pattern.to_owned() };
    let (wanted, given): (Vec<char>, Vec<char>) = (plain.chars().collect(), text.chars().collect());
    // matches[t] after p characters of the pattern: do they match the first t of the text?
    let mut matches = vec![false; given.len() + 1];
    matches[0] = true;
    for character in wanted {
        let mut next = vec![false; given.len() + 1];
        for place in 0..=given.len() {
            next[place] = match character {
                '*' => matches[place] || (place > 0 && next[place - 1]),
                other => place > 0 && matches[place - 1] && (other == '?' || other == given[place - 1]),
            };
        }
        matches = next;
    }
    assert_eq!(Glob::new(pattern).matches(text), matches[given.len()], "{pattern:?} on {text:?}");
}

/// Every line of `output` ends in CRLF, holds no other control character that could be taken for one, and is UTF-8. Gives
/// the sum of what `count` says of each.
pub fn assert_lines(output: &[u8], count: impl Fn(&str) -> usize) -> usize {
    let text = std::str::from_utf8(output).expect("a server speaks UTF-8");
    let Some(lines) = text.strip_suffix("\r\n") else {
        assert!(text.is_empty(), "a line without end");
        return 0;
    };
    let lines = lines.split("\r\n").inspect(|line| assert!(!line.contains(['\r', '\n', '\0']), "a bare CR: {line:?}"));
    lines.map(count).sum()
}
