//! One HTTP request and its answer (RFC 9110, RFC 9112): enough to fetch a policy or a token, and no more.
//!
//! Rules: a connection is for one request; nothing is believed that came incomplete; a redirect is an answer like any
//! other, for its caller to refuse; whatever a server sends, little of it is kept.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::dial::{self, Dial, DialError, Endpoint, Timeouts};
use super::tls::ClientTls;
use crate::types::limits;

/// What is asked for. Nothing in it may hold a line end.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub path: &'a str,
    pub accept: &'a str,
    /// Posts this form (`application/x-www-form-urlencoded`); without one it is a GET.
    pub form: Option<&'a str>,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// In lower case, without parameters; empty where the server does not say.
    pub media_type: String,
    pub body: Vec<u8>,
}

/// Why nothing came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    #[error("no connection: {0}")]
    Dial(DialError),
    #[error("the connection broke: {0}")]
    Lost(String),
    #[error("no complete answer within {} s", limits::HTTP_TIMEOUT_MS / 1000)]
    Late,
    #[error("the answer is no HTTP that we understand: {0}")]
    Malformed(&'static str),
}

/// Asks one server once.
pub async fn ask(
    dial: &impl Dial,
    endpoint: &Endpoint,
    tls: &ClientTls,
    request: Request<'_>,
) -> Result<Response, HttpError> {
    within(async {
        let mut stream = dial::open(dial, endpoint, tls, Timeouts::default()).await.map_err(HttpError::Dial)?;
        let lost = |error: std::io::Error| HttpError::Lost(error.to_string());
        stream.write_all(written(&endpoint.host, endpoint.port, request).as_bytes()).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        let (mut bytes, mut piece) = (Vec::new(), vec![0; 8 * 1024]);
        loop {
            let count = stream.read(&mut piece).await.map_err(lost)?;
            bytes.extend_from_slice(&piece[..count]);
            if let Some(response) = parse(&bytes, count == 0).map_err(HttpError::Malformed)? {
                return Ok(response);
            }
        }
    })
    .await
}

async fn within<T>(work: impl Future<Output = Result<T, HttpError>>) -> Result<T, HttpError> {
    timeout(Duration::from_millis(limits::HTTP_TIMEOUT_MS), work).await.unwrap_or(Err(HttpError::Late))
}

fn written(host: &str, port: u16, request: Request<'_>) -> String {
    let Request { path, accept, form } = request;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let head = |method: &str, more: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: {host}{port}\r\nAccept: {accept}\r\nConnection: close\r\n{more}\r\n")
    };
    match form {
        None => head("GET", ""),
        Some(form) => {
            let length = form.len();
            let more = format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n");
            head("POST", &more) + form
        }
    }
}

/// The answer in `bytes`, once it is complete; `ended`: nothing comes any more.
fn parse(bytes: &[u8], ended: bool) -> Result<Option<Response>, &'static str> {
    let mut rest = bytes;
    while bytes.len() - rest.len() <= limits::HTTP_HEAD_MAX_BYTES {
        match parse_one(rest, ended)? {
            Answer::Interim { after } => rest = after,
            Answer::Incomplete => return Ok(None),
            Answer::Final(response) => return Ok(Some(response)),
        }
    }
    Err("its interim answers never end")
}

enum Answer<'a> {
    /// One that the final answer follows (RFC 9110 section 15.2).
    Interim {
        after: &'a [u8],
    },
    Incomplete,
    Final(Response),
}

fn parse_one(bytes: &[u8], ended: bool) -> Result<Answer<'_>, &'static str> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return match bytes.len() > limits::HTTP_HEAD_MAX_BYTES {
            true => Err("its header never ends"),
            false if ended => Err("it ends within its header"),
            false => Ok(Answer::Incomplete),
        };
    };
    let (head, rest) = (std::str::from_utf8(&bytes[..end]).map_err(|_| "its header is no text")?, &bytes[end + 4..]);
    let status = status(head).ok_or("its first line")?;
    if (100..200).contains(&status) {
        return Ok(Answer::Interim { after: rest });
    }
    if rest.len() > limits::HTTP_BODY_MAX_BYTES {
        return Err("it is too long");
    }
    let media_type = header(head, "content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let body = match (header(head, "transfer-encoding"), header(head, "content-length")) {
        // RFC 9112 section 6.1: together they are how answers are smuggled.
        (Some(_), Some(_)) => return Err("it says twice how long it is"),
        (Some(encoding), None) if encoding.eq_ignore_ascii_case("chunked") => dechunked(rest)?,
        (Some(_), None) => return Err("its transfer encoding"),
        (None, Some(length)) => {
            let length: usize = length.parse().map_err(|_| "its length")?;
            rest.get(..length).map(<[u8]>::to_vec)
        }
        (None, None) => ended.then(|| rest.to_vec()),
    };
    match body {
        Some(body) => Ok(Answer::Final(Response { status, media_type, body })),
        None if ended => Err("it is not complete"),
        None => Ok(Answer::Incomplete),
    }
}

/// `status-line = HTTP-version SP status-code SP [ reason-phrase ]` (RFC 9112 section 4).
fn status(head: &str) -> Option<u16> {
    let line = head.split("\r\n").next()?;
    let rest = line.strip_prefix("HTTP/1.")?.get(1..)?.strip_prefix(' ')?;
    let digits = rest.get(..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

/// The value of a field that stands there once or more often; the first.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    fields
        .map(|(its, value)| (its, value.trim()))
        .find(|(its, _)| its.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// `chunked-body = *chunk last-chunk trailer-section CRLF` (RFC 9112 section 7.1); `None`: there is more to come.
fn dechunked(mut rest: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| "the size of a chunk")?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let digits = Some(digits).filter(|digits| (1..=8).contains(&digits.len())).ok_or("the size of a chunk")?;
        let size = usize::from_str_radix(digits, 16).map_err(|_| "the size of a chunk")?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Ok(Some(body));
        }
        let (Some(chunk), Some(after)) = (rest.get(..size), rest.get(size..size + 2)) else { return Ok(None) };
        if after != b"\r\n" {
            return Err("the end of a chunk");
        }
        body.extend_from_slice(chunk);
        rest = &rest[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, ended: bool) -> Result<Option<String>, &'static str> {
        let response = parse(text.as_bytes(), ended)?;
        Ok(response.map(|it| format!("{} {} {}", it.status, it.media_type, String::from_utf8_lossy(&it.body))))
    }

    #[test]
    fn an_answer_is_taken_only_when_it_is_complete() {
        let typed = "HTTP/1.1 200 OK\r\ncontent-type: Text/Plain; charset=utf-8\r\n";
        for (text, ended, expected) in [
            (format!("{typed}Content-Length: 2\r\n\r\nhi"), false, Ok(Some("200 text/plain hi"))),
            (format!("{typed}Content-Length: 2\r\n\r\nhi there"), false, Ok(Some("200 text/plain hi"))),
            (format!("{typed}Content-Length: 3\r\n\r\nhi"), false, Ok(None)),
            (format!("{typed}Content-Length: 3\r\n\r\nhi"), true, Err("it is not complete")),
            (format!("{typed}\r\nhi"), false, Ok(None)),
            (format!("{typed}\r\nhi"), true, Ok(Some("200 text/plain hi"))),
            (
                format!("{typed}Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\nB\r\n there you \r\n0\r\n\r\n"),
                false,
                Ok(Some("200 text/plain hi there you ")),
            ),
            (format!("{typed}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"), false, Ok(None)),
            (format!("{typed}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"), true, Err("it is not complete")),
            (format!("{typed}Transfer-Encoding: chunked\r\n\r\n2\r\nhi!!"), false, Err("the end of a chunk")),
            (format!("{typed}Transfer-Encoding: chunked\r\n\r\n-2\r\n"), false, Err("the size of a chunk")),
            (format!("{typed}Transfer-Encoding: gzip\r\n\r\n"), true, Err("its transfer encoding")),
            ("HTTP/1.1 100\r\n\r\n".repeat(100_000), false, Err("its interim answers never end")),
            (
                format!("{typed}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"),
                true,
                Err("it says twice how long it is"),
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404\r\nContent-Length: 0\r\n\r\n".to_owned(),
                false,
                Ok(Some("404  ")),
            ),
            ("HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n".to_owned(), false, Ok(Some("301  "))),
            ("HTTP/1.1".to_owned(), false, Ok(None)),
            ("HTTP/1.1 200".to_owned(), true, Err("it ends within its header")),
            ("220 mx ESMTP\r\n\r\n".to_owned(), false, Err("its first line")),
            ("HTTP/1.1 2000\r\nContent-Length: x\r\n\r\n".to_owned(), false, Err("its length")),
        ] {
            assert_eq!(shown(&text, ended), expected.map(|it| it.map(str::to_owned)), "{text:?} {ended}");
        }
    }

    #[test]
    fn a_server_that_never_ends_is_not_listened_to() {
        assert!(shown(&"x".repeat(limits::HTTP_HEAD_MAX_BYTES + 1), false).is_err());
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(limits::HTTP_BODY_MAX_BYTES + 1));
        assert_eq!(shown(&endless, false), Err("it is too long"));
    }

    #[test]
    fn a_request_says_to_whom_it_is() {
        let request = Request { path: "/a", accept: "*/*", form: None };
        assert_eq!(
            written("mx.example", 443, request),
            "GET /a HTTP/1.1\r\nHost: mx.example\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        let posted = written("::1", 8443, Request { form: Some("a=b"), ..request });
        assert!(posted.starts_with("POST /a HTTP/1.1\r\nHost: [::1]:8443\r\n"), "{posted}");
        assert!(posted.ends_with("Content-Length: 3\r\n\r\na=b"), "{posted}");
    }
}
