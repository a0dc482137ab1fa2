//! A TCP line that can be cut, stalled, slowed down, and cut after a chosen byte.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::net::free_address;
use super::random::Random;

pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    target: SocketAddr,
    mode: Mode,
    /// Both ends of every connection ever made; shutting down a closed one does no harm.
    ends: Vec<TcpStream>,
    /// Forwarded so far, both ways together.
    bytes: u64,
    /// Waits before each piece forwarded: the latency of a real line.
    delay: Duration,
    /// Says after how many bytes a new connection is cut.
    fate: Option<Box<dyn FnMut() -> u64 + Send>>,
    /// Connections that met their fate.
    cuts: u64,
    closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// New connections are closed at once.
    Cut,
    /// Connections stand, nothing passes.
    Stalled,
}

impl Proxy {
    pub fn to(target: SocketAddr) -> Self {
        let address = free_address();
        let listener = TcpListener::bind(address).expect("an address of our own");
        let state = State {
            target,
            mode: Mode::Open,
            ends: Vec::new(),
            bytes: 0,
            delay: Duration::ZERO,
            fate: None,
            cuts: 0,
            closed: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let accepting = shared.clone();
        std::thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// The line breaks, now, and stays broken.
    pub fn cut(&self) {
        self.set(Mode::Cut);
        self.break_connections();
    }

    /// The line is whole again.
    pub fn join(&self) {
        self.set(Mode::Open);
    }

    /// Nothing passes any more, and nobody is told.
    pub fn stall(&self) {
        self.set(Mode::Stalled);
    }

    /// Breaks what is connected now; new connections are welcome.
    pub fn break_connections(&self) {
        for end in self.state().ends.drain(..) {
            // Closed already: as wanted.
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// From now on new connections go elsewhere.
    pub fn lead_to(&self, target: SocketAddr) {
        self.state().target = target;
        self.break_connections();
    }

    pub fn set_delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// From now on each new connection is cut after a random number of bytes below `limit`.
    pub fn cut_each_below(&self, mut random: Random, limit: u64) {
        self.state().fate = Some(Box::new(move || random.below(limit)));
    }

    /// From now on each new connection is cut after this many bytes.
    pub fn cut_each_after(&self, bytes: u64) {
        self.state().fate = Some(Box::new(move || bytes));
    }

    pub fn stop_cutting(&self) {
        self.state().fate = None;
    }

    /// Connections cut by [`Self::cut_each_below`] and [`Self::cut_each_after`].
    pub fn cuts(&self) -> u64 {
        self.state().cuts
    }

    pub fn bytes(&self) -> u64 {
        self.state().bytes
    }

    /// Waits until `bytes` in all were forwarded; false when that does not happen within `limit`.
    pub fn wait_bytes(&self, bytes: u64, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.state();
        while state.bytes < bytes {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.changed.wait_timeout(state, left).expect("no panic under this lock").0;
        }
        true
    }

    fn set(&self, mode: Mode) {
        self.state().mode = mode;
        self.shared.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state().closed = true;
        self.cut();
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let mut state = shared.state();
        if state.closed {
            return;
        }
        let (Ok(client), true) = (client, state.mode != Mode::Cut) else { continue };
        let Ok(server) = TcpStream::connect(state.target) else { continue };
        for end in [&client, &server] {
            end.set_nodelay(true).expect("a TCP socket");
            state.ends.push(end.try_clone().expect("a second handle"));
        }
        let fate = state.fate.as_mut().map(|fate| fate());
        let left = Arc::new(Mutex::new(fate));
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (from, to) = (from.try_clone().expect("a second handle"), to.try_clone().expect("a second handle"));
            let (shared, left) = (shared.clone(), left.clone());
            std::thread::spawn(move || forward(from, to, &shared, &left));
        }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, shared: &Shared, left: &Mutex<Option<u64>>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let delay = {
            let mut state = shared.state();
            while state.mode == Mode::Stalled {
                state = shared.changed.wait(state).expect("no panic under this lock");
            }
            state.delay
        };
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        let (pass, dies) = {
            let mut left = left.lock().expect("no panic under this lock");
            let pass = left.map_or(length, |left| usize::try_from(left).map_or(length, |left| left.min(length)));
            *left = left.map(|left| left - pass as u64);
            (pass, pass < length)
        };
        if to.write_all(&buffer[..pass]).is_err() {
            break;
        }
        let mut state = shared.state();
        state.bytes += pass as u64;
        state.cuts += u64::from(dies);
        shared.changed.notify_all();
        if dies {
            break;
        }
    }
    // The other direction ends with this one.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
