//! The accept loop: takes connections, serves HTTP/1.1 and HTTP/2 on them, and lets go of them in time.
//!
//! What a stranger can hold is bounded here: how many connections, how long one may take to say what it wants, how long it may stay
//! without wanting anything, how large its headers may be. How large a body may be and how long an answer may take depends on the URL
//! and is left to the service. Each request comes with its [`Peer`]; whether to believe a proxy about somebody further away is left to the
//! service too.
//!
//! `tls` keeps the certificate, `connection` serves one connection, `activity` knows what it is doing.

mod activity;
mod connection;
mod room;
mod tls;

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt as _;

use connection::Socket;
pub use room::Room;
pub use tls::{TlsError, TlsSource};

/// Who is at the other end of the connection that a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The address of the other end. An IPv4 address is written as one, whatever the socket calls it.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// What answers the requests of a listener.
pub trait Service: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static;

    /// Answers one request.
    fn answer(
        &self,
        peer: Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send + use<Self>;
}

/// A router answers everybody alike.
impl Service for axum::Router {
    type Body = axum::body::Body;

    fn answer(&self, _: Peer, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + use<> {
        let answer = self.clone().oneshot(request);
        async move { answer.await.unwrap_or_else(|never| match never {}) }
    }
}

/// How much a connection may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// How many there may be at the same time. Beyond that, new ones wait in the queue of the operating system.
    connections: u32,
    /// How long the TLS handshake may take.
    handshake: Duration,
    /// How long the head of a request may take, counted from the start of the connection or from its first byte.
    head: Duration,
    /// How long a connection is kept without a request. Longer than reverse proxies keep theirs (60 s is usual), so that it is the
    /// proxy that closes: a request sent at the moment when the server closes is lost.
    idle: Duration,
    /// How long a connection that was told to end, for lack of requests, may take to do so.
    linger: Duration,
    /// How long requests in progress may go on once the server stops.
    grace: Duration,
    /// How often a connection is looked at.
    look: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            linger: Duration::from_secs(5),
            grace: Duration::from_secs(8),
            look: Duration::from_secs(2),
        }
    }
}

/// The most that the head of a request may take, in bytes: room for a cookie or two and a token with many roles.
const MAX_HEAD: u32 = 32 * 1024;

/// How many requests a client may have open on one HTTP/2 connection, and how many bytes of their bodies may arrive before somebody
/// reads them: of one request, and of all together.
const MAX_STREAMS: u32 = 100;
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;

/// How long to wait after an accept that failed for want of something, doubled up to the longest while it goes on.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often the same complaint is logged.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// What all connections of a listener share.
struct Shared {
    name: String,
    tls: Option<TlsSource>,
    limits: Limits,
    http: auto::Builder<TokioExecutor>,
}

impl Shared {
    fn new(name: &str, tls: Option<TlsSource>, limits: Limits) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        // The time that a head may take is watched by `activity`: hyper's own limit cannot tell a slow head from an idle connection,
        // and starts only after the protocol's version is known.
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .keep_alive(true)
            .max_buf_size(MAX_HEAD as usize);
        http.http2()
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HEAD)
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(64 * 1024)
            // A peer that vanished without a word is noticed.
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        Self { name: name.to_owned(), tls, limits, http }
    }
}

/// A listener that could not be opened. Its `Display` says what to do.
#[derive(Debug)]
pub struct BindError {
    message: String,
    source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// How many connections may wait to be taken. Of 128, which is usual, a burst loses the rest for a second.
const BACKLOG: u32 = 4_096;

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that was just stopped must not keep the next one from starting.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Opens a listener; `flag` is the one that moves it elsewhere, for the message.
///
/// # Errors
///
/// When the address is taken, not allowed or not here.
pub async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, BindError> {
    listener(address).map_err(|source| {
        let message = match source.kind() {
            io::ErrorKind::AddrInUse => {
                format!("{address} is taken by another program: choose another with {flag} ADDR:PORT")
            }
            io::ErrorKind::PermissionDenied => format!(
                "{address} is not allowed: ports below 1024 need the capability CAP_NET_BIND_SERVICE; choose another with {flag} ADDR:PORT"
            ),
            io::ErrorKind::AddrNotAvailable => {
                format!("{address} is not an address of this machine: choose one with {flag} ADDR:PORT")
            }
            _ => format!("{address} cannot be listened on: {source}"),
        };
        BindError { message, source }
    })
}

/// Serves the connections of a listener, at most `connections` at the same time, until `shutdown` becomes true (or its sender is gone), then lets what runs finish, for at most
/// 8 s, and returns.
pub async fn serve(
    name: &str,
    listener: TcpListener,
    tls: Option<TlsSource>,
    service: impl Service,
    connections: u32,
    shutdown: watch::Receiver<bool>,
) {
    let shared = Arc::new(Shared::new(name, tls, Limits { connections, ..Limits::default() }));
    accept(shared, listener, service, shutdown).await;
}

/// The loop itself.
async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    service: impl Service,
    mut shutdown: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(shared.limits.connections as usize));
    let mut full = Complaint::default();
    let mut failing = Failing::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            accepted = next(&shared, &slots, &listener, &mut full) => accepted,
        };
        match accepted {
            Ok(socket) => {
                failing.pause = Duration::ZERO;
                let (shared, service) = (Arc::clone(&shared), service.clone());
                let shutdown = shutdown.clone();
                tokio::spawn(async move {
                    connection::run(&shared, socket, service, shutdown).await;
                });
            }
            Err(error) => {
                let pause = failing.pause_after(&shared.name, &error);
                tokio::select! {
                    () = stopped(&mut shutdown) => break,
                    () = sleep(pause) => {}
                }
            }
        }
    }
    drop(listener);
    drain(&shared, &slots).await;
}

/// Waits for a free slot, then for a connection.
async fn next(
    shared: &Shared,
    slots: &Arc<Semaphore>,
    listener: &TcpListener,
    full: &mut Complaint,
) -> io::Result<Socket> {
    let slot = match Arc::clone(slots).try_acquire_owned() {
        Ok(slot) => slot,
        Err(_) => {
            if full.is_due(Instant::now()) {
                tracing::warn!(
                    listener = shared.name,
                    connections = shared.limits.connections,
                    "as many connections as allowed; new ones wait"
                );
            }
            Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?
        }
    };
    let (stream, address) = listener.accept().await?;
    Ok(Socket { stream, address, slot })
}

/// Waits until every connection has given its slot back. Each ends by itself when its grace is over, so the limit here is only for one
/// that was upgraded and now belongs to somebody else.
async fn drain(shared: &Shared, slots: &Semaphore) {
    let limit = shared.limits.grace + Duration::from_millis(250);
    if timeout(limit, slots.acquire_many(shared.limits.connections)).await.is_err() {
        tracing::warn!(listener = shared.name, "stopped with connections still open");
    }
}

/// Returns when the server is to stop, or when nobody is left who could say so.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    drop(shutdown.wait_for(|stop| *stop).await);
}

/// Accepts that failed, one after the other.
#[derive(Default)]
struct Failing {
    pause: Duration,
    complaint: Complaint,
}

impl Failing {
    /// How long to wait before the next accept.
    fn pause_after(&mut self, listener: &str, error: &io::Error) -> Duration {
        let of_one_connection = matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
        );
        if of_one_connection {
            tracing::debug!(listener, %error, "a connection ended before it was accepted");
            return Duration::ZERO;
        }
        // Most likely the process may open no more files. Trying again at once would only burn the processor.
        if self.complaint.is_due(Instant::now()) {
            tracing::error!(listener, %error, "connections cannot be accepted");
        }
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.pause
    }
}

/// Something that may go wrong many times a second and is logged now and then.
#[derive(Default)]
struct Complaint {
    last: Option<Instant>,
}

impl Complaint {
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.last.is_none_or(|last| now.duration_since(last) >= COMPLAIN_EVERY);
        if due {
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests;
