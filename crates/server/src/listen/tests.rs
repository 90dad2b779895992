//! The accept loop as clients meet it.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::*;

type Outcome = Result<(), Box<dyn Error>>;

/// Longer than anything here takes; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A folder that is gone after the test.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> io::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("grantor-listen-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// A certificate of its own for `localhost`: the two files and what a client has to trust.
    pub(super) fn certificate(
        &self,
        name: &str,
    ) -> Result<(PathBuf, PathBuf, CertificateDer<'static>), Box<dyn Error>> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        let (certificate, key) = (self.0.join(format!("{name}.crt")), self.0.join(format!("{name}.key")));
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        Ok((certificate, key, made.cert.der().clone()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the server under test answers. Every body ends with a full stop, so that a client knows when it has it.
#[derive(Clone)]
struct Answering;

impl Service for Answering {
    type Body = Full<Bytes>;

    fn answer(&self, peer: Peer, request: Request<Incoming>) -> impl Future<Output = Response<Full<Bytes>>> + use<> {
        answer(peer, request)
    }
}

async fn answer(peer: Peer, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let text = match path.as_str() {
        "/slow" => {
            sleep(Duration::from_millis(300)).await;
            "slow.".to_owned()
        }
        "/never" => std::future::pending().await,
        _ => format!("{} {}.", peer.address.ip(), peer.tls),
    };
    Response::new(Full::new(Bytes::from(text)))
}

struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits, tls: Option<TlsSource>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (stop, shutdown) = watch::channel(false);
        let shared = Arc::new(Shared::new("test", tls, limits));
        let task = tokio::spawn(accept(shared, listener, Answering, shutdown));
        Ok(Self { address, stop, task })
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(self.address).await
    }

    /// Stops the server and waits until it has.
    async fn stopped(self) -> Outcome {
        self.stop.send(true)?;
        timeout(PATIENCE, self.task).await??;
        Ok(())
    }
}

async fn ask(stream: &mut (impl AsyncWrite + Unpin), path: &str) -> io::Result<()> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await?;
    stream.flush().await
}

/// The body of the next answer.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.ends_with('.') {
        let length = timeout(PATIENCE, stream.read(&mut buffer)).await??;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        text.push_str(&String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()));
    }
    Ok(text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Whether the server closes the connection without saying anything more.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.is_ok() && rest.is_empty()
}

fn quick() -> Limits {
    Limits { look: Duration::from_millis(20), ..Limits::default() }
}

#[tokio::test]
async fn requests_carry_their_peer_and_share_a_connection() -> Outcome {
    let server = Server::start(Limits::default(), None).await?;
    let mut stream = server.connect().await?;
    for _ in 0..2 {
        ask(&mut stream, "/").await?;
        assert_eq!(read(&mut stream).await?, "127.0.0.1 false.");
    }
    server.stopped().await
}

#[tokio::test]
async fn a_slow_head_and_silence_are_cut_off() -> Outcome {
    let limits = Limits { head: Duration::from_millis(100), ..quick() };
    let server = Server::start(limits, None).await?;
    for beginning in ["", "P", "GET / HTTP/1.1\r\nhost: "] {
        let mut stream = server.connect().await?;
        stream.write_all(beginning.as_bytes()).await?;
        assert!(is_closed(&mut stream).await, "{beginning:?}");
    }
    let mut stream = server.connect().await?;
    ask(&mut stream, "/").await?;
    read(&mut stream).await?;
    stream.write_all(b"GET / HT").await?;
    assert!(is_closed(&mut stream).await, "the second head of a connection");
    server.stopped().await
}

#[tokio::test]
async fn an_answer_may_take_longer_than_a_head() -> Outcome {
    let limits = Limits { head: Duration::from_millis(50), idle: Duration::from_millis(50), ..quick() };
    let server = Server::start(limits, None).await?;
    let mut stream = server.connect().await?;
    ask(&mut stream, "/slow").await?;
    assert_eq!(read(&mut stream).await?, "slow.");
    server.stopped().await
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() -> Outcome {
    let limits = Limits { idle: Duration::from_millis(100), ..quick() };
    let server = Server::start(limits, None).await?;
    let mut stream = server.connect().await?;
    ask(&mut stream, "/").await?;
    read(&mut stream).await?;
    assert!(is_closed(&mut stream).await);
    server.stopped().await
}

#[tokio::test]
async fn headers_have_a_limit() -> Outcome {
    let server = Server::start(Limits::default(), None).await?;
    let mut stream = server.connect().await?;
    let mut head = b"GET / HTTP/1.1\r\nhost: ".to_vec();
    // Exactly as much as the server reads: were anything left, closing would reset the connection.
    head.resize(MAX_HEAD as usize, b'a');
    stream.write_all(&head).await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    assert_eq!(&status, b"HTTP/1.1 431");
    server.stopped().await
}

#[tokio::test]
async fn a_stop_lets_a_request_finish_and_takes_no_more() -> Outcome {
    let server = Server::start(Limits::default(), None).await?;
    let mut idle = server.connect().await?;
    ask(&mut idle, "/").await?;
    read(&mut idle).await?;
    let mut stream = server.connect().await?;
    ask(&mut stream, "/slow").await?;
    sleep(Duration::from_millis(50)).await;
    server.stop.send(true)?;
    assert!(is_closed(&mut idle).await);
    timeout(PATIENCE, async {
        // Until the loop has noticed, the operating system still takes connections for it.
        while server.connect().await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await?;
    assert_eq!(read(&mut stream).await?, "slow.");
    assert!(is_closed(&mut stream).await);
    timeout(PATIENCE, server.task).await??;
    Ok(())
}

#[tokio::test]
async fn a_stop_does_not_wait_forever() -> Outcome {
    let limits = Limits { grace: Duration::from_millis(100), ..quick() };
    let server = Server::start(limits, None).await?;
    let mut stream = server.connect().await?;
    ask(&mut stream, "/never").await?;
    sleep(Duration::from_millis(50)).await;
    server.stopped().await?;
    assert!(is_closed(&mut stream).await);
    Ok(())
}

#[tokio::test]
async fn a_server_that_nobody_can_stop_stops() -> Outcome {
    let Server { stop, task, .. } = Server::start(Limits::default(), None).await?;
    drop(stop);
    timeout(PATIENCE, task).await??;
    Ok(())
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() -> Outcome {
    let server = Server::start(Limits { connections: 1, ..Limits::default() }, None).await?;
    let mut first = server.connect().await?;
    ask(&mut first, "/").await?;
    read(&mut first).await?;
    let mut second = server.connect().await?;
    ask(&mut second, "/").await?;
    let mut byte = [0];
    assert!(timeout(Duration::from_millis(100), second.peek(&mut byte)).await.is_err());
    drop(first);
    assert_eq!(read(&mut second).await?, "127.0.0.1 false.");
    server.stopped().await
}

#[tokio::test]
async fn https_is_spoken_with_the_certificate() -> Outcome {
    let folder = Folder::new()?;
    let (certificate, key, trusted) = folder.certificate("server")?;
    let server = Server::start(Limits::default(), Some(TlsSource::load(&certificate, &key)?)).await?;

    let mut roots = RootCertStore::empty();
    roots.add(trusted)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    for (offered, chosen) in [
        (vec![b"http/1.1".to_vec()], b"http/1.1".as_slice()),
        (vec![b"h2".to_vec(), b"http/1.1".to_vec()], b"h2".as_slice()),
    ] {
        let mut client = client.clone();
        client.alpn_protocols = offered;
        let connector = TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect(ServerName::try_from("localhost")?, server.connect().await?).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(chosen));
        if chosen == b"http/1.1" {
            ask(&mut stream, "/").await?;
            assert_eq!(read(&mut stream).await?, "127.0.0.1 true.");
        }
    }
    server.stopped().await
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut_off() -> Outcome {
    let folder = Folder::new()?;
    let (certificate, key, _) = folder.certificate("server")?;
    let limits = Limits { handshake: Duration::from_millis(100), ..Limits::default() };
    let server = Server::start(limits, Some(TlsSource::load(&certificate, &key)?)).await?;
    let mut stream = server.connect().await?;
    assert!(is_closed(&mut stream).await);
    server.stopped().await
}

#[test]
fn failing_accepts_wait_longer_and_longer() {
    let mut failing = Failing::default();
    let aborted = io::Error::from(io::ErrorKind::ConnectionAborted);
    assert_eq!(failing.pause_after("test", &aborted), Duration::ZERO);
    let exhausted = io::Error::other("too many open files");
    let pauses: Vec<u128> = (0..7).map(|_| failing.pause_after("test", &exhausted).as_millis()).collect();
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
}

#[tokio::test]
async fn an_address_that_is_taken_says_what_to_do() -> Outcome {
    let first = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), "--listen").await?;
    let address = first.local_addr()?;
    let refusal = bind(address, "--ops-listen").await.err().map(|error| error.to_string());
    assert_eq!(
        refusal,
        Some(format!("{address} is taken by another program: choose another with --ops-listen ADDR:PORT"))
    );
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 8080));
    assert_eq!(
        bind(elsewhere, "--listen").await.err().map(|error| error.to_string()),
        Some("192.0.2.1:8080 is not an address of this machine: choose one with --listen ADDR:PORT".to_owned())
    );
    Ok(())
}
