//! A line with a length: all that passes comes later by half a round trip, as much of it as there is, and is counted. It
//! does not break; before a [`Proxy`](crate::support::proxy::Proxy) it does.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::talk::Talk;
use crate::support::net::free_address;

pub struct Line {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    half_round_trip: Duration,
    traffic: Mutex<Traffic>,
    closed: AtomicBool,
}

#[derive(Clone, Copy, Default)]
pub struct Traffic {
    pub commands: u64,
    pub waits: u64,
    pub bytes_up: u64,
    pub bytes_down: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// What is read at once.
const PIECE_BYTES: usize = 16 * 1024;

/// What is on its way at most, in pieces: 64 MiB, more than any line holds, so that it is never what slows a program down.
const PIECES_MAX: usize = 4096;

impl Line {
    pub fn to(target: SocketAddr, round_trip: Duration) -> Self {
        let address = free_address();
        let listener = TcpListener::bind(address).expect("an address of our own");
        let (traffic, closed) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { target, half_round_trip: round_trip / 2, traffic, closed });
        let accepting = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.closed.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), shared) = (client, accepting.clone()) else { continue };
                thread::spawn(move || connect(client, &shared));
            }
        });
        Self { address, shared }
    }

    /// What passed since it was last asked.
    pub fn take_traffic(&self) -> Traffic {
        std::mem::take(&mut *self.shared.traffic())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().expect("no panic under this lock")
    }

    fn count(&self, talk: &Mutex<Talk>, way: Way, bytes: &[u8]) {
        let mut talk = talk.lock().expect("no panic under this lock");
        let before = (talk.commands, talk.waits);
        let mut traffic = self.traffic();
        match way {
            Way::Up => {
                talk.hear_client(bytes);
                traffic.bytes_up += bytes.len() as u64;
            }
            Way::Down => {
                talk.hear_server(bytes);
                traffic.bytes_down += bytes.len() as u64;
            }
        }
        traffic.commands += talk.commands - before.0;
        traffic.waits += talk.waits - before.1;
    }
}

fn connect(client: TcpStream, shared: &Arc<Shared>) {
    // The server hears of a connection with the third packet of TCP's handshake.
    thread::sleep(shared.half_round_trip * 3);
    let Ok(server) = TcpStream::connect(shared.target) else { return };
    let talk = Arc::new(Mutex::new(Talk::default()));
    for (way, from, to) in [(Way::Up, &client, &server), (Way::Down, &server, &client)] {
        from.set_nodelay(true).expect("a TCP socket");
        let (from, to) = (from.try_clone().expect("a second handle"), to.try_clone().expect("a second handle"));
        let (shared, talk) = (shared.clone(), talk.clone());
        thread::spawn(move || carry(from, to, way, &shared, &talk));
    }
}

/// Commands count when they are sent and answers when they come, both at the client's end of the line.
fn carry(mut from: TcpStream, to: TcpStream, way: Way, shared: &Arc<Shared>, talk: &Arc<Mutex<Talk>>) {
    let (sender, receiver) = sync_channel(PIECES_MAX);
    let (other, arriving, heard) = (from.try_clone().expect("a second handle"), shared.clone(), talk.clone());
    thread::spawn(move || arrive(&receiver, other, to, way, &arriving, &heard));
    let mut buffer = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let piece = buffer[..length].to_vec();
        if way == Way::Up {
            shared.count(talk, way, &piece);
        }
        if sender.send((Instant::now() + shared.half_round_trip, piece)).is_err() {
            return;
        }
    }
}

fn arrive(
    pieces: &Receiver<(Instant, Vec<u8>)>,
    from: TcpStream,
    mut to: TcpStream,
    way: Way,
    shared: &Shared,
    talk: &Mutex<Talk>,
) {
    for (due, piece) in pieces {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if way == Way::Down {
            shared.count(talk, way, &piece);
        }
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    // The other direction ends with this one; what is closed already is as wanted.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
