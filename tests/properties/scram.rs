//! SCRAM (RFC 5802) with a stranger at the other end: a server lets in nobody who does not hold the proof, a client
//! believes no server that does not hold its own, and neither says more than a line of printable characters.
//!
//! Input: lines, of which the first says by its length which hash, and the others what the stranger says: first and last
//! message of a client, the challenge and the last message of a server, a user's keys as a file holds them. In these `$` is
//! what the other side gave as its nonce, and `#` the proof that would be right.

use std::cell::LazyCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailtide::sasl::client::{ScramClient, may_scram};
use mailtide::sasl::scram::{ScramHash, ScramKeys};
use mailtide::sasl::server::{Exchange, Mechanism, Progress};
use mailtide::types::Secret;

const PASSWORD: &str = "pencil";
const SALT: &[u8] = b"salt of the sea";
const SERVER_NONCE: &str = "3rfcNHYJY1ZVvWVs7j";
const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";

/// Rounds that a challenge may ask for here: more are only slower.
const ROUNDS_MAX: u64 = 5000;

pub fn check(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let hash = ScramHash::ALL[line().len() % 2];
    let (first, last, challenge, verifier, word) = (line(), line(), line(), line(), line());
    server_meets(hash, first, last);
    client_meets(hash, challenge, verifier);
    keys_of_a_file(word);
}

/// The keys of the one user there is.
fn keys(hash: ScramHash) -> ScramKeys {
    thread_local! {
        static KEYS: LazyCell<[ScramKeys; 2]> =
            const { LazyCell::new(|| ScramHash::ALL.map(|hash| ScramKeys::derive(hash, PASSWORD, SALT))) };
    }
    let place = ScramHash::ALL.iter().position(|one| *one == hash).expect("one of all");
    KEYS.with(|keys| keys[place].clone())
}

fn server_meets(hash: ScramHash, first: &[u8], last: &[u8]) {
    let begin = || match Exchange::start(Mechanism::Scram(hash), Some(first), None) {
        Progress::Keys(first) => Some(first),
        Progress::Malformed => None,
        other => panic!("a first message is none, or wants keys, not {other:?}"),
    };
    let Some(read) = begin() else { return };
    let user = read.user.clone();
    let Progress::Challenge(exchange, challenge) = Progress::challenged(read, keys(hash), SERVER_NONCE) else {
        panic!("keys make a challenge")
    };
    assert_one_line(&challenge);
    let nonce = nonce_of(&challenge);
    let client_nonce = nonce.strip_suffix(SERVER_NONCE).expect("the server's part is the end of the nonce");
    // What our own client would say, if this was its first message.
    let (client, ours) = ScramClient::begin(hash, &user, client_nonce.to_owned(), None);
    let right = match ours == first {
        true => client.answer(&challenge, &Secret::new(PASSWORD)).ok(),
        false => None,
    };
    let proof =
        right.as_ref().and_then(|(_, last)| std::str::from_utf8(last).ok()?.rsplit_once("p=").map(|(_, it)| it));
    let last = filled_in(last, &nonce, proof.unwrap_or_default());
    let is_right = right.as_ref().is_some_and(|(_, right)| *right == last);
    match exchange.respond(&last) {
        Progress::Challenge(exchange, verifier) => {
            let (proving, _) = right.expect("let in without a proof");
            assert!(is_right, "let in by {}", last.escape_ascii());
            assert!(proving.is_proof(&verifier), "our client does not believe our server");
            match exchange.respond(&last[..last.len().min(1)]) {
                Progress::Malformed => {}
                other => panic!("behind the proof there is nothing to say, and it was: {other:?}"),
            }
        }
        Progress::Refused | Progress::Malformed => assert!(!is_right, "kept out with the right proof"),
        other => panic!("a last message ends it, not {other:?}"),
    }
    // A name that nobody has is challenged alike, and opened by nothing.
    let read = begin().expect("it was read before");
    let nobody = Progress::challenged(read, ScramKeys::of_nobody(hash, SALT), SERVER_NONCE);
    let Progress::Challenge(exchange, told) = nobody else { panic!("keys make a challenge") };
    assert_eq!(told, challenge, "a name that nobody has is told from others");
    assert!(matches!(exchange.respond(&last), Progress::Refused | Progress::Malformed), "nobody is let in");
}

fn client_meets(hash: ScramHash, challenge: &[u8], verifier: &[u8]) {
    let challenge = filled_in(challenge, CLIENT_NONCE, "");
    let text = String::from_utf8_lossy(&challenge).into_owned();
    let rounds = text.split(',').find_map(|attribute| attribute.strip_prefix("i=")?.parse::<u64>().ok());
    if rounds.is_some_and(|rounds| rounds > ROUNDS_MAX) {
        return;
    }
    let password = Secret::new(PASSWORD);
    let (client, first) = ScramClient::begin(hash, "a,b=c", CLIENT_NONCE.to_owned(), None);
    assert_one_line(&first);
    assert!(may_scram("a,b=c", &password));
    match Exchange::start(Mechanism::Scram(hash), Some(&first), None) {
        Progress::Keys(read) => assert_eq!(read.user, "a,b=c", "our server reads another name than our client wrote"),
        other => panic!("our server does not read our client: {other:?}"),
    }
    let Ok((proving, last)) = client.answer(&challenge, &password) else { return };
    assert_one_line(&last);
    let nonce = nonce_of(&challenge);
    assert!(nonce.starts_with(CLIENT_NONCE) && nonce.len() > CLIENT_NONCE.len(), "{nonce} is not of this exchange");
    assert!(rounds.is_some_and(|rounds| rounds >= 4096), "a proof that is cheap to guess from: {text}");
    assert!(last.starts_with(format!("c=biws,r={nonce},p=").as_bytes()), "{}", last.escape_ascii());
    // What our own server would say, if this was its challenge.
    let salt = text.split(',').nth(1).and_then(|salt| STANDARD.decode(salt.strip_prefix("s=")?).ok());
    let keys = ScramKeys::derive(hash, PASSWORD, &salt.expect("a challenge has a salt"));
    let Progress::Keys(read) = Exchange::start(Mechanism::Scram(hash), Some(&first), None) else {
        panic!("read before")
    };
    let Progress::Challenge(exchange, ours) = Progress::challenged(read, keys, &nonce[CLIENT_NONCE.len()..]) else {
        panic!("keys make a challenge")
    };
    let right = match exchange.respond(&last) {
        Progress::Challenge(_, right) if ours == challenge => right,
        _ => Vec::new(),
    };
    assert_eq!(ours == challenge, !right.is_empty(), "our server does not let our client in");
    let proof = String::from_utf8_lossy(right.strip_prefix(b"v=").unwrap_or_default()).into_owned();
    let verifier = filled_in(verifier, &nonce, &proof);
    let said = verifier.split(|byte| *byte == b',').next().unwrap_or_default();
    let is_right = !right.is_empty() && said == right;
    assert_eq!(proving.is_proof(&verifier), is_right, "{}", verifier.escape_ascii());
}

/// What is read is written the same, or at least read the same again; a proof is never among it.
fn keys_of_a_file(word: &[u8]) {
    let Some(keys) = std::str::from_utf8(word).ok().and_then(ScramKeys::from_word) else { return };
    assert_eq!(ScramKeys::from_word(&keys.to_word()), Some(keys.clone()));
    assert_eq!(format!("{keys:?}"), "ScramKeys(..)", "keys are no text for a log");
    for hash in ScramHash::ALL {
        let first = format!("n,,n=a,r={CLIENT_NONCE}");
        let Progress::Keys(read) = Exchange::start(Mechanism::Scram(hash), Some(first.as_bytes()), None) else {
            panic!("a first message is one")
        };
        let Progress::Challenge(exchange, challenge) = Progress::challenged(read, keys.clone(), SERVER_NONCE) else {
            panic!("keys make a challenge")
        };
        let last = format!("c=biws,r={},p={}", nonce_of(&challenge), STANDARD.encode([0; 32]));
        let outcome = exchange.respond(last.as_bytes());
        assert!(matches!(outcome, Progress::Refused | Progress::Malformed), "let in by a proof of nothing");
    }
}

fn filled_in(line: &[u8], nonce: &str, proof: &str) -> Vec<u8> {
    let mut filled = Vec::new();
    for byte in line {
        match byte {
            b'$' => filled.extend_from_slice(nonce.as_bytes()),
            b'#' => filled.extend_from_slice(proof.as_bytes()),
            other => filled.push(*other),
        }
    }
    filled
}

fn nonce_of(challenge: &[u8]) -> String {
    let text = std::str::from_utf8(challenge).expect("a challenge is text");
    text.split(',')
        .next()
        .and_then(|nonce| nonce.strip_prefix("r="))
        .expect("a challenge begins with a nonce")
        .to_owned()
}

/// `printable` and what BASE64 is written in: all of it stands in one line of any protocol.
fn assert_one_line(message: &[u8]) {
    assert!(message.iter().all(|byte| (b' '..0x7f).contains(byte)), "{}", message.escape_ascii());
}
