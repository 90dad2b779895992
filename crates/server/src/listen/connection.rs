//! One connection, from the handshake to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, Counted, Overdue, Watched};
use super::{Limits, Peer, Service, Shared, stopped};

/// A connection as it was accepted.
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    /// Its place among the connections that are allowed.
    pub(super) slot: OwnedSemaphorePermit,
}

/// Serves a connection until either side ends it.
pub(super) async fn run(shared: &Shared, socket: Socket, service: impl Service, mut shutdown: watch::Receiver<bool>) {
    let Socket { stream, address, slot } = socket;
    // Answers are small and written whole: waiting for more to send would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(listener = shared.name, %address, %error, "TCP_NODELAY cannot be set");
    }
    let peer =
        Peer { address: SocketAddr::new(address.ip().to_canonical(), address.port()), tls: shared.tls.is_some() };
    let Some(tls) = &shared.tls else {
        return speak(shared, Wire::new(stream, slot, peer), service, shutdown).await;
    };
    let handshake = async {
        let config = tls.current().await;
        TlsAcceptor::from(config).accept(stream).await
    };
    let outcome = tokio::select! {
        () = stopped(&mut shutdown) => return,
        outcome = timeout(shared.limits.handshake, handshake) => outcome,
    };
    match outcome {
        Ok(Ok(stream)) => speak(shared, Wire::new(stream, slot, peer), service, shutdown).await,
        Ok(Err(error)) => {
            tracing::debug!(listener = shared.name, %address, %error, "TLS handshake failed");
        }
        Err(_) => tracing::debug!(listener = shared.name, %address, "TLS handshake took too long"),
    }
}

/// A connection on which HTTP can be spoken.
struct Wire<T> {
    stream: Watched<T>,
    activity: Arc<Activity>,
    peer: Peer,
}

impl<T> Wire<T> {
    fn new(stream: T, slot: OwnedSemaphorePermit, peer: Peer) -> Self {
        let activity = Activity::new(Instant::now());
        Self { stream: Watched::new(stream, Arc::clone(&activity), slot), activity, peer }
    }
}

/// Speaks HTTP on a connection.
async fn speak<T>(shared: &Shared, wire: Wire<T>, service: impl Service, shutdown: watch::Receiver<bool>)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Wire { stream, activity, peer } = wire;
    let watched = Arc::clone(&activity);
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = watched.begin(request.version() == Version::HTTP_2);
        let answer = service.answer(peer, request);
        async move { Ok::<_, Infallible>(answer.await.map(|body| Counted::new(body, answering))) }
    });
    let connection = shared.http.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = attend(connection, &activity, &shared.limits, shutdown).await {
        tracing::debug!(listener = shared.name, address = %peer.address, %error, "connection ended");
    }
}

/// What a connection has been told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing.
    Open,
    /// To end, for lack of requests.
    Idle,
    /// To end, because the server does.
    Stopping,
}

/// Drives a connection, and ends it when it takes too long or the server stops. Returning drops the connection, which closes it whatever
/// it is doing.
async fn attend<C: GracefulConnection>(
    connection: C,
    activity: &Activity,
    limits: &Limits,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    let mut look = pin!(sleep_until(Instant::now() + limits.look));
    let mut phase = Phase::Open;
    loop {
        tokio::select! {
            outcome = connection.as_mut() => return outcome,
            () = stopped(&mut shutdown), if phase != Phase::Stopping => {
                phase = Phase::Stopping;
                connection.as_mut().graceful_shutdown();
                look.as_mut().reset(Instant::now() + limits.grace);
            }
            () = look.as_mut() => {
                let now = Instant::now();
                match (phase, activity.overdue(limits, now)) {
                    (Phase::Stopping, _) | (_, Some(Overdue::Head)) | (Phase::Idle, Some(Overdue::Idle)) => {
                        return Ok(());
                    }
                    (Phase::Open, Some(Overdue::Idle)) => {
                        phase = Phase::Idle;
                        connection.as_mut().graceful_shutdown();
                        look.as_mut().reset(now + limits.linger);
                    }
                    // Also when a request arrived just as the connection was told to end.
                    (_, None) => look.as_mut().reset(now + limits.look),
                }
            }
        }
    }
}
