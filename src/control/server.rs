//! The daemon's end.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Request;
use super::wire::{Failure, answer_line, notification_line, parse_request, read_line, write_line};
use crate::types::{SubmissionId, limits};

/// Who answers.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. [`Request::Follow`] is asked as [`Request::Status`].
    fn call(&self, request: Request) -> impl Future<Output = Result<Value, Failure>> + Send;

    /// Changes whenever the status may have changed.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// Makes the socket. A socket that nobody answers on is what a killed daemon left, and is replaced.
pub async fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another syncd answers there"));
    }
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers on `listener` until `stop` resolves.
pub async fn serve(listener: UnixListener, handler: Arc<impl Handler>, stop: impl Future<Output = ()>) {
    let owner = listener
        .local_addr()
        .ok()
        .and_then(|address| address.as_pathname().and_then(|path| std::fs::metadata(path).ok()))
        .map(|metadata| metadata.uid());
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if is_owner(&stream, owner) => {
                    let handler = Arc::clone(&handler);
                    connections.spawn(async move {
                        // A client that leaves early is no failure of ours.
                        let _ = converse(stream, &*handler).await;
                    });
                }
                Ok(_) => tracing::warn!("another user tried to use the control socket"),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a control connection");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// The file's mode keeps others out already; this holds where a file system does not know modes.
fn is_owner(stream: &UnixStream, owner: Option<u32>) -> bool {
    let peer = stream.peer_cred().map(|credentials| credentials.uid()).ok();
    peer.is_some_and(|peer| peer == 0 || Some(peer) == owner)
}

/// How soon it is tried again to let a message out of an editor that is closed.
const CLOSE_AGAIN: Duration = Duration::from_secs(10);

/// One client: requests are answered one after the other, in order. What it had in an editor is closed with it.
pub async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, handler: &impl Handler) -> io::Result<()> {
    let mut open = BTreeSet::new();
    let ended = answer_all(stream, handler, &mut open).await;
    for id in open {
        // A full disk has room again some time; one that was sent or cancelled waits for no editor.
        while let Err(failure) = handler.call(Request::OutboxEditEnd { id }).await
            && failure.code != Failure::NOT_FOUND
        {
            tracing::warn!("message {id} still waits for an editor that is closed: {failure}");
            tokio::time::sleep(CLOSE_AGAIN).await;
        }
    }
    ended
}

async fn answer_all(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    handler: &impl Handler,
    open: &mut BTreeSet<SubmissionId>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(line) = read_line(&mut stream, limits::CONTROL_REQUEST_MAX_BYTES).await? {
        match parse_request(&line) {
            Err((id, failure)) => write_line(&mut stream, &answer_line(&id, &Err(failure))).await?,
            Ok(numbered) if numbered.request == Request::Follow => {
                let mut changes = handler.changes();
                let answer = handler.call(Request::Status).await;
                write_line(&mut stream, &answer_line(&numbered.id, &answer)).await?;
                return follow(&mut stream, handler, &mut changes).await;
            }
            Ok(numbered) => {
                let (opens, closes) = match &numbered.request {
                    Request::OutboxEdit { id } => (Some(*id), None),
                    Request::OutboxEditEnd { id } | Request::OutboxReplace { id, .. } => (None, Some(*id)),
                    _ => (None, None),
                };
                let answer = handler.call(numbered.request).await;
                if answer.is_ok() {
                    open.extend(opens);
                    open.retain(|id| Some(*id) != closes);
                }
                write_line(&mut stream, &answer_line(&numbered.id, &answer)).await?;
            }
        }
    }
    Ok(())
}

/// The shortest time between two tellings: a mirror commits many times a second, and nobody reads that fast.
const FOLLOW_INTERVAL: std::time::Duration = std::time::Duration::from_millis(200);

/// Tells every change until the client leaves (whatever it still says is not read as a request).
async fn follow(
    stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>,
    handler: &impl Handler,
    changes: &mut watch::Receiver<u64>,
) -> io::Result<()> {
    let mut last = Value::Null;
    loop {
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                if let Ok(status) = handler.call(Request::Status).await
                    && status != last
                {
                    write_line(stream, &notification_line("status", &status)).await?;
                    last = status;
                }
                tokio::time::sleep(FOLLOW_INTERVAL).await;
            }
            line = read_line(stream, limits::CONTROL_REQUEST_MAX_BYTES) => {
                if line?.is_none() {
                    return Ok(());
                }
            }
        }
    }
}
