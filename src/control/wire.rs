//! JSON-RPC 2.0 (jsonrpc.org/specification) as lines.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};

use super::Request;

/// Why a request was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: i64,
    pub message: String,
}

impl Failure {
    /// No such account, entry, message: the one who asked is wrong.
    pub const NOT_FOUND: i64 = 1;
    /// It exists, but this cannot be done with it now.
    pub const NOT_POSSIBLE: i64 = 2;
    /// Not now, but the same may be possible later.
    pub const NOT_NOW: i64 = 3;
    /// It is not for this user to do.
    pub const NOT_PERMITTED: i64 = 4;
    /// What is asked cannot be meant.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The daemon's own fault.
    pub const INTERNAL: i64 = -32603;
    const PARSE: i64 = -32700;
    const INVALID_REQUEST: i64 = -32600;
    const METHOD_NOT_FOUND: i64 = -32601;

    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self { code: Self::NOT_FOUND, message: what.to_string() }
    }

    pub fn not_possible(why: impl std::fmt::Display) -> Self {
        Self { code: Self::NOT_POSSIBLE, message: why.to_string() }
    }

    pub fn not_now(why: impl std::fmt::Display) -> Self {
        Self { code: Self::NOT_NOW, message: why.to_string() }
    }

    pub fn not_permitted(why: impl std::fmt::Display) -> Self {
        Self { code: Self::NOT_PERMITTED, message: why.to_string() }
    }

    pub fn wrong(why: impl std::fmt::Display) -> Self {
        Self { code: Self::INVALID_PARAMS, message: why.to_string() }
    }

    pub fn internal(error: impl std::fmt::Display) -> Self {
        Self { code: Self::INTERNAL, message: error.to_string() }
    }
}

/// A request with what its answer is to be known by.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbered {
    pub id: Value,
    pub request: Request,
}

/// Reads the text of a request.
pub fn parse_request(line: &str) -> Result<Numbered, (Value, Failure)> {
    let failure = |code, message: &str| Failure { code, message: message.to_owned() };
    let value: Value =
        serde_json::from_str(line).map_err(|error| (Value::Null, failure(Failure::PARSE, &error.to_string())))?;
    let id = value.get("id").cloned().unwrap_or(Value::Null);
    if value.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err((id, failure(Failure::INVALID_REQUEST, "not a JSON-RPC 2.0 request")));
    }
    let Some(method) = value.get("method").and_then(Value::as_str).map(str::to_owned) else {
        return Err((id, failure(Failure::INVALID_REQUEST, "the request has no method")));
    };
    match serde_json::from_value(only_method_and_params(value)) {
        Ok(request) => Ok(Numbered { id, request }),
        Err(error) if error.to_string().starts_with("unknown variant") => {
            Err((id, failure(Failure::METHOD_NOT_FOUND, &format!("there is no method {method:?}"))))
        }
        Err(error) => Err((id, failure(Failure::INVALID_PARAMS, &error.to_string()))),
    }
}

/// Methods without parameters may carry empty ones: they are left out, as the enum has none.
fn only_method_and_params(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, value| match key.as_str() {
            "method" => true,
            "params" => value.as_object().is_none_or(|params| !params.is_empty()) && !value.is_null(),
            _ => false,
        });
    }
    value
}

/// The text of a request.
pub fn request_line(id: u64, request: &Request) -> String {
    let mut value = serde_json::to_value(request).unwrap_or_default();
    value["jsonrpc"] = "2.0".into();
    value["id"] = id.into();
    value.to_string()
}

/// The text of an answer.
pub fn answer_line(id: &Value, answer: &Result<Value, Failure>) -> String {
    match answer {
        Ok(result) => serde_json::json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(failure) => serde_json::json!({"jsonrpc": "2.0", "id": id, "error": failure}),
    }
    .to_string()
}

/// The text of a notification.
pub fn notification_line(method: &str, params: &Value) -> String {
    serde_json::json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
}

/// What the daemon sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    Answer(Result<Value, Failure>),
    Notification(Value),
}

/// Reads the text of an answer or notification.
pub fn parse_incoming(line: &str) -> Option<Incoming> {
    let mut value: Value = serde_json::from_str(line).ok()?;
    if value.get("method").is_some() {
        return Some(Incoming::Notification(value.get_mut("params").map(Value::take).unwrap_or_default()));
    }
    if let Some(error) = value.get_mut("error").map(Value::take) {
        return Some(Incoming::Answer(Err(serde_json::from_value(error).ok()?)));
    }
    value.get_mut("result").map(|result| Incoming::Answer(Ok(result.take())))
}

/// Reads a line of at most `max_bytes`; `None` at the end.
pub async fn read_line(reader: &mut (impl AsyncBufRead + Unpin), max_bytes: usize) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            // A line that was cut off is none.
            return Ok(None);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let take = end.unwrap_or(available.len());
        if line.len() + take > max_bytes {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "the line is too long"));
        }
        line.extend_from_slice(&available[..take]);
        reader.consume(end.map_or(take, |end| end + 1));
        if end.is_some() {
            let text = String::from_utf8(line)
                .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "the line is not UTF-8"))?;
            return Ok(Some(text));
        }
    }
}

/// Writes a line.
pub async fn write_line(writer: &mut (impl AsyncWrite + Unpin), line: &str) -> std::io::Result<()> {
    writer.write_all(format!("{line}\n").as_bytes()).await?;
    writer.flush().await
}
