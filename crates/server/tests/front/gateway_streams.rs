//! What the gateway hands on while it happens: upgrades, events, bodies of both sides, trailers, HTTP/2.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use grantor_model::api::{ApiDocument, RuleDocument};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::support::gate::{Gate, Upstream, read_answer};
use crate::support::{KAIZTEN, World};

const HOST: &str = "api.test";

async fn open(upstream: String) -> (World, Gate) {
    let world = World::with(KAIZTEN).await;
    let document = ApiDocument {
        name: "open".to_owned(),
        realm: Some("kaizten".to_owned()),
        hosts: vec![HOST.to_owned(), "127.0.0.1".to_owned()],
        upstreams: vec![upstream],
        rules: vec![RuleDocument { path: "/**".to_owned(), public: true, ..RuleDocument::default() }],
        ..ApiDocument::default()
    };
    let gate = Gate::open(&world, &[document]).await;
    (world, gate)
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), what).await.expect("not in time")
}

#[tokio::test]
async fn a_websocket_is_joined_through() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let head = crate::support::gate::read_request(&mut stream).await.unwrap();
                let wants =
                    head["headers"]["upgrade"][0] == "websocket" && head["headers"]["connection"][0] == "upgrade";
                assert!(wants && head["headers"]["sec-websocket-key"][0] == "abc", "{head}");
                let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
                let mut buffer = [0; 64];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    stream.write_all(&buffer[..count]).await.unwrap();
                }
            });
        }
    });
    let (_world, gate) = open(format!("http://{address}")).await;
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: {HOST}\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: abc\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let got = within(read_answer(&mut stream)).await.expect(101);
    assert_eq!((got.header("upgrade"), got.header("sec-websocket-accept")), (Some("websocket"), Some("x")));
    for word in ["one", "two"] {
        stream.write_all(word.as_bytes()).await.unwrap();
        let mut back = [0; 3];
        within(stream.read_exact(&mut back)).await.unwrap();
        assert_eq!(back, word.as_bytes());
    }
}

#[tokio::test]
async fn http2_by_upgrade_is_never_spoken() {
    let upstream = Upstream::start().await;
    let (_world, gate) = open(upstream.url()).await;
    let request = format!(
        "GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: Upgrade, HTTP2-Settings, close\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n"
    );
    let seen = gate.raw(&request).await.expect(200).json();
    assert_eq!(seen["headers"]["upgrade"], serde_json::Value::Null);
    assert_eq!(seen["headers"]["http2-settings"], serde_json::Value::Null);
}

#[tokio::test]
async fn events_arrive_when_they_are_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (next, mut events) = mpsc::channel::<&'static str>(1);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        crate::support::gate::read_request(&mut stream).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            .await
            .unwrap();
        while let Some(event) = events.recv().await {
            stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    });
    let (_world, gate) = open(format!("http://{address}")).await;
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream.write_all(format!("GET /events HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        next.send(event).await.unwrap();
        let mut seen = String::new();
        while !seen.ends_with(&format!("{event}\r\n")) {
            seen.push(char::from(within(stream.read_u8()).await.unwrap()));
        }
    }
}

/// An upstream of HTTP/2 without TLS that answers with what it got, and trailers.
async fn http2_upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
                let (version, te) = (request.version(), request.headers().get("te").cloned());
                let body = request.into_body().collect().await.unwrap();
                let trailer = body.trailers().and_then(|trailers| trailers.get("x-sum")).cloned();
                let text = format!("{version:?} {te:?} {trailer:?} {:?}", body.to_bytes());
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from(text))), Ok(Frame::trailers(trailers))];
                Ok::<_, Infallible>(Response::new(StreamBody::new(futures_util::stream::iter(frames))))
            });
            tokio::spawn(async move {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    format!("h2c://{address}")
}

#[tokio::test]
async fn http2_on_both_sides_with_trailers_of_both() {
    let (_world, gate) = open(http2_upstream().await).await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("42"));
    let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from("hello"))), Ok(Frame::trailers(trailers))];
    let request = Request::post(format!("http://{}/svc/Method", gate.address))
        .header("te", "trailers")
        .body(StreamBody::new(futures_util::stream::iter(frames)))
        .unwrap();
    let answer = within(client.request(request)).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    assert!(answer.headers().contains_key("grantor-decision"));
    let body = within(answer.into_body().collect()).await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
    let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    assert_eq!(text, "HTTP/2.0 Some(\"trailers\") Some(\"42\") b\"hello\"");
}

#[tokio::test]
async fn http1_in_front_of_http2() {
    let (_world, gate) = open(http2_upstream().await).await;
    let got = gate.send("POST", HOST, "/x", &[("content-type", "text/plain")], Some("hi")).await.expect(200);
    assert_eq!(got.body.lines().next(), Some("HTTP/2.0 None None b\"hi\""));
}

#[tokio::test]
async fn a_body_is_handed_on_while_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (first_piece, mut seen) = mpsc::channel::<()>(1);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        while !text.ends_with("first\r\n") {
            text.push(char::from(stream.read_u8().await.unwrap()));
        }
        first_piece.send(()).await.unwrap();
        while !text.ends_with("0\r\n\r\n") {
            text.push(char::from(stream.read_u8().await.unwrap()));
        }
        stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    });
    let (_world, gate) = open(format!("http://{address}")).await;
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    let head = format!(
        "POST /up HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    within(seen.recv()).await.unwrap();
    stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
    within(read_answer(&mut stream)).await.expect(201);
}

#[tokio::test]
async fn a_connection_is_used_again_and_keeps_nothing_of_the_call_before() {
    let upstream = Upstream::start().await;
    let (_world, gate) = open(upstream.url()).await;
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    for number in 0..3 {
        let text =
            format!("POST /{number} HTTP/1.1\r\nhost: {HOST}\r\nx-n{number}: x\r\ncontent-length: 1\r\n\r\n{number}");
        stream.write_all(text.as_bytes()).await.unwrap();
        let seen = within(read_answer(&mut stream)).await.expect(200).json();
        assert_eq!((&seen["path"], &seen["body"]), (&format!("/{number}").into(), &format!("{number}").into()));
        let names: Vec<&String> =
            seen["headers"].as_object().unwrap().keys().filter(|name| name.starts_with("x-n")).collect();
        assert_eq!(names, [&format!("x-n{number}")]);
    }
}
