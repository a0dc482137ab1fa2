//! The line between the agent and its servers: byte pipes with latency that break where the script says.
//!
//! What was written before a break is delivered up to the very byte; a connection then ends for both sides (`Cut`), or
//! goes silent for good without either being told (`Silence`), or is merely slow for a while (`Stall`). What the agent
//! gives up is reset: bytes held up by a stall do not arrive then.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mailtide::upstream::Dial;
use mailtide::upstream::dial::BoxedStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::random::Random;
use super::trace::Trace;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToAgent,
}

/// How a connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Both sides are told at once.
    Cut,
    /// Nothing arrives any more, and nobody is told.
    Silence,
    /// What follows comes so much later.
    Stall { ms: u64 },
}

/// A break that waits for its byte, counted from when it was set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trap {
    pub way: Way,
    pub after_bytes: u64,
    pub how: Break,
}

/// The line. Clones share it.
#[derive(Clone)]
pub struct Network(Arc<Mutex<State>>);

/// Takes a new connection on a port.
pub type Accept = Arc<dyn Fn(u16, End) + Send + Sync>;

struct State {
    random: Random,
    trace: Trace,
    latency_ms: (u64, u64),
    is_up: bool,
    /// A dial to a line that is down is not refused but waits.
    is_black_hole: bool,
    traps: VecDeque<Trap>,
    accept: Option<Accept>,
    connections: Vec<Weak<Mutex<Pipe>>>,
    dialled: u64,
    /// The hour, and what went to the server in it: connections and pieces.
    busy: (u64, u64, u64),
    storm: Option<String>,
    began: Instant,
}

/// More than that in an hour is a storm: a loop without a rest, or a client that its server would shut out.
const DIALS_MAX: u64 = 600;
const WRITES_MAX: u64 = 6_000;

impl Network {
    pub fn new(seed: u64, trace: Trace) -> Self {
        let mut random = Random::stream(seed, "network");
        let first = *random.pick(&[0, 1, 5, 40, 300]);
        Self(Arc::new(Mutex::new(State {
            latency_ms: (first, first + random.below(first + 2)),
            random,
            trace,
            is_up: true,
            is_black_hole: false,
            traps: VecDeque::new(),
            accept: None,
            connections: Vec::new(),
            dialled: 0,
            busy: (0, 0, 0),
            storm: None,
            began: Instant::now(),
        })))
    }

    /// Connections go to `accept`; without one, nobody listens.
    pub fn set_accept(&self, accept: Option<Accept>) {
        self.lock().accept = accept;
    }

    fn is_black_hole(&self) -> bool {
        let state = self.lock();
        !state.is_up && state.is_black_hole
    }

    pub fn is_up(&self) -> bool {
        self.lock().is_up
    }

    /// The line goes down; what is open breaks in that way.
    pub fn go_down(&self, how: Break) {
        let mut state = self.lock();
        state.is_up = false;
        state.is_black_hole = how != Break::Cut;
        state.each(|pipe| pipe.break_off(how));
    }

    pub fn come_up(&self) {
        self.lock().is_up = true;
    }

    /// No break waits any more.
    pub fn disarm(&self) {
        let mut state = self.lock();
        state.traps.clear();
        state.each(|pipe| pipe.trap = None);
    }

    /// Breaks the connection that is open, or else the next one, at that byte.
    pub fn arm(&self, trap: Trap) {
        let mut state = self.lock();
        let mut armed = false;
        state.each(|pipe| {
            if !armed && !pipe.is_over() && pipe.trap.is_none() {
                pipe.trap = Some(trap.after(pipe));
                armed = true;
            }
        });
        if !armed {
            state.traps.push_back(trap);
        }
    }

    /// A process died: its connections are reset.
    pub fn drop_all(&self) {
        self.lock().each(|pipe| {
            pipe.forget_stalled();
            pipe.break_off(Break::Cut);
        });
    }

    /// Has the agent done more in an hour than is right?
    pub fn take_storm(&self) -> Option<String> {
        self.lock().storm.take()
    }

    pub fn dialer(&self, is_alive: Arc<AtomicBool>) -> Dialer {
        Dialer { network: self.clone(), is_alive }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts what the agent does; true if it is too much.
    fn count(&mut self, dials: u64, writes: u64) -> bool {
        let hour = self.began.elapsed().as_secs() / 3600;
        if self.busy.0 != hour {
            self.busy = (hour, 0, 0);
        }
        self.busy.1 += dials;
        self.busy.2 += writes;
        let is_storm = self.busy.1 > DIALS_MAX || self.busy.2 > WRITES_MAX;
        if is_storm {
            let (hour, dials, writes) = self.busy;
            self.storm = Some(format!("a storm: {dials} connections and {writes} pieces sent in hour {hour}"));
        }
        is_storm
    }

    fn each(&mut self, mut act: impl FnMut(&mut Pipe)) {
        self.connections.retain(|pipe| pipe.strong_count() > 0);
        for pipe in self.connections.iter().filter_map(Weak::upgrade) {
            act(&mut pipe.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn latency(&mut self) -> Duration {
        let (least, most) = self.latency_ms;
        Duration::from_millis(self.random.between(least, most))
    }
}

/// How one life of the agent reaches the servers.
#[derive(Clone)]
pub struct Dialer {
    network: Network,
    is_alive: Arc<AtomicBool>,
}

impl Dial for Dialer {
    async fn dial(&self, host: &str, port: u16) -> io::Result<BoxedStream> {
        let wait = self.network.lock().latency();
        tokio::time::sleep(wait).await;
        let is_storm = self.network.lock().count(1, 0);
        if is_storm || self.network.is_black_hole() {
            return std::future::pending().await;
        }
        let (accept, end, far) = {
            let mut state = self.network.lock();
            let Some(accept) = state.accept.clone().filter(|_| state.is_up && self.is_alive.load(Ordering::SeqCst))
            else {
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            state.dialled += 1;
            let number = state.dialled;
            let (least, most) = state.latency_ms;
            let mut pipe = Pipe {
                number,
                random: Random::new(state.random.next()),
                latency_ms: (least, most),
                trace: state.trace.clone(),
                to_server: Lane::default(),
                to_agent: Lane::default(),
                trap: None,
            };
            pipe.trap = state.traps.pop_front();
            state.trace.event("connect", format!("{number} {host}:{port}").as_bytes());
            let pipe = Arc::new(Mutex::new(pipe));
            state.connections.push(Arc::downgrade(&pipe));
            let end = |writes, is_alive| End {
                pipe: Arc::clone(&pipe),
                network: self.network.clone(),
                writes,
                timer: None,
                is_alive,
            };
            (accept, end(Way::ToServer, Some(Arc::clone(&self.is_alive))), end(Way::ToAgent, None))
        };
        accept(port, far);
        Ok(Box::new(end))
    }
}

/// A connection.
struct Pipe {
    number: u64,
    random: Random,
    latency_ms: (u64, u64),
    trace: Trace,
    to_server: Lane,
    to_agent: Lane,
    trap: Option<Trap>,
}

/// One direction.
#[derive(Default)]
struct Lane {
    /// What is on its way, with when it arrives.
    queue: VecDeque<(Instant, Vec<u8>)>,
    last_arrival: Option<Instant>,
    written: u64,
    end: LaneEnd,
    reader: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum LaneEnd {
    #[default]
    Open,
    /// The writer closed it.
    Closed,
    /// It broke.
    Reset,
    /// What is written vanishes.
    Silent,
}

impl Trap {
    /// Counted from here on.
    fn after(mut self, pipe: &Pipe) -> Self {
        self.after_bytes += match self.way {
            Way::ToServer => pipe.to_server.written,
            Way::ToAgent => pipe.to_agent.written,
        };
        self
    }
}

impl Pipe {
    fn lane(&mut self, way: Way) -> &mut Lane {
        match way {
            Way::ToServer => &mut self.to_server,
            Way::ToAgent => &mut self.to_agent,
        }
    }

    fn is_over(&self) -> bool {
        self.to_server.end != LaneEnd::Open || self.to_agent.end != LaneEnd::Open
    }

    fn write(&mut self, way: Way, bytes: &[u8]) -> io::Result<()> {
        if matches!(self.lane(way).end, LaneEnd::Reset | LaneEnd::Closed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let trap = self.trap.filter(|trap| trap.way == way);
        let written = self.lane(way).written;
        match trap.filter(|trap| trap.after_bytes <= written + bytes.len() as u64) {
            Some(trap) => {
                let whole = usize::try_from(trap.after_bytes.saturating_sub(written)).unwrap_or(usize::MAX);
                let (before, after) = bytes.split_at(whole.min(bytes.len()));
                self.send(way, before, 0);
                self.trap = None;
                let number = self.number;
                let told = format!("connection {number} {way:?} after {} bytes: {:?}", trap.after_bytes, trap.how);
                self.trace.tell(&told);
                if let Break::Stall { ms } = trap.how {
                    self.send(way, after, ms);
                } else {
                    self.break_off(trap.how);
                }
            }
            None => self.send(way, bytes, 0),
        }
        Ok(())
    }

    fn send(&mut self, way: Way, bytes: &[u8], late_ms: u64) {
        self.lane(way).written += bytes.len() as u64;
        if self.lane(way).end == LaneEnd::Silent || bytes.is_empty() {
            return;
        }
        let what = if way == Way::ToServer { "C:" } else { "S:" };
        self.trace.event(&format!("{} {what}", self.number), bytes);
        let (least, most) = self.latency_ms;
        let wait = Duration::from_millis(self.random.between(least, most) + late_ms);
        // Mostly as it was written, at times in two pieces: a reader must bear any.
        let cut = match self.random.percent(15) {
            true => self.random.index(bytes.len() + 1),
            false => bytes.len(),
        };
        let lane = self.lane(way);
        let arrival = (Instant::now() + wait).max(lane.last_arrival.unwrap_or_else(Instant::now));
        lane.last_arrival = Some(arrival);
        for piece in [&bytes[..cut], &bytes[cut..]] {
            if !piece.is_empty() {
                lane.queue.push_back((arrival, piece.to_vec()));
            }
        }
        lane.wake();
    }

    /// What the agent wrote and no packet has carried yet never goes out.
    fn forget_stalled(&mut self) {
        let soon = Instant::now() + Duration::from_millis(self.latency_ms.1);
        self.to_server.queue.retain(|(arrival, _)| *arrival <= soon);
    }

    fn break_off(&mut self, how: Break) {
        for way in [Way::ToServer, Way::ToAgent] {
            let lane = self.lane(way);
            match how {
                Break::Cut if lane.end != LaneEnd::Closed => lane.end = LaneEnd::Reset,
                Break::Silence if lane.end == LaneEnd::Open => lane.end = LaneEnd::Silent,
                Break::Cut | Break::Silence | Break::Stall { .. } => {}
            }
            lane.wake();
        }
    }
}

impl Lane {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// One end of a connection.
pub struct End {
    pipe: Arc<Mutex<Pipe>>,
    writes: Way,
    network: Network,
    timer: Option<Pin<Box<Sleep>>>,
    /// Of the agent's end: is the agent that opened it?
    is_alive: Option<Arc<AtomicBool>>,
}

impl End {
    fn lock(&self) -> MutexGuard<'_, Pipe> {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_dead(&self) -> bool {
        self.is_alive.as_ref().is_some_and(|alive| !alive.load(Ordering::SeqCst))
    }

    fn close(&self) {
        let mut pipe = self.lock();
        let lane = pipe.lane(self.writes);
        if lane.end == LaneEnd::Open {
            lane.end = LaneEnd::Closed;
            lane.wake();
        }
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_dead() {
            return Poll::Pending;
        }
        let reads = if this.writes == Way::ToServer { Way::ToAgent } else { Way::ToServer };
        let arrival = {
            let mut pipe = this.lock();
            let lane = pipe.lane(reads);
            match lane.queue.front_mut() {
                Some((arrival, bytes)) if *arrival <= Instant::now() => {
                    let some = bytes.len().min(buffer.remaining());
                    buffer.put_slice(&bytes[..some]);
                    bytes.drain(..some);
                    if bytes.is_empty() {
                        lane.queue.pop_front();
                    }
                    return Poll::Ready(Ok(()));
                }
                Some((arrival, _)) => Some(*arrival),
                None => match lane.end {
                    LaneEnd::Closed => return Poll::Ready(Ok(())),
                    LaneEnd::Reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                    LaneEnd::Open | LaneEnd::Silent => {
                        lane.reader = Some(cx.waker().clone());
                        None
                    }
                },
            }
        };
        if let Some(arrival) = arrival {
            let timer = this.timer.insert(Box::pin(sleep_until(arrival)));
            if timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_dead() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.is_alive.is_some() && self.network.lock().count(0, 1) {
            return Poll::Pending;
        }
        let written = self.lock().write(self.writes, bytes);
        Poll::Ready(written.map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.close();
        let mut pipe = self.lock();
        if self.writes == Way::ToServer {
            pipe.forget_stalled();
        }
        // Nobody reads any more: the other side's next bytes meet a closed door.
        let reads = if self.writes == Way::ToServer { Way::ToAgent } else { Way::ToServer };
        let lane = pipe.lane(reads);
        if lane.end == LaneEnd::Open {
            lane.end = LaneEnd::Reset;
        }
    }
}
