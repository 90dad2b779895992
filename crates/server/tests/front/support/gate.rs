//! The gateway of a world on a real socket, an upstream behind it that shows what it got, and a client that sends bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use grantor::gateway::{self, Front};
use grantor::listen;
use grantor_model::api::ApiDocument;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::World;

/// An upstream that answers with what it got, as JSON, and keeps it.
#[derive(Clone)]
pub struct Upstream {
    pub address: SocketAddr,
    got: Arc<Mutex<Vec<Value>>>,
}

impl Upstream {
    pub async fn start() -> Self {
        Self::saying(|got| {
            let body = got.to_string();
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        })
        .await
    }

    /// One whose answers are made of what it got.
    pub async fn saying(answer: impl Fn(&Value) -> String + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let upstream = Self { address: listener.local_addr().unwrap(), got: Arc::default() };
        let shared = upstream.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (shared, answer) = (shared.clone(), answer.clone());
                tokio::spawn(async move {
                    while let Some(got) = read_request(&mut stream).await {
                        let text = answer(&got);
                        if got["path"] != "/healthz" {
                            shared.got.lock().unwrap().push(got);
                        }
                        if stream.write_all(text.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        upstream
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came through.
    pub fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }
}

/// Reads a request: method, path, headers (as lists), body. `None` at the end of the connection.
pub async fn read_request(stream: &mut TcpStream) -> Option<Value> {
    let head = read_head(stream).await?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let mut headers = serde_json::Map::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        let list = headers.entry(name.to_ascii_lowercase()).or_insert_with(|| json!([]));
        list.as_array_mut()?.push(json!(value.trim()));
    }
    let one = |name: &str| headers.get(name).and_then(|list| list[0].as_str()).unwrap_or_default().to_owned();
    let mut body = Vec::new();
    if let Ok(length) = one("content-length").parse::<usize>() {
        body.resize(length, 0);
        stream.read_exact(&mut body).await.ok()?;
    } else if one("transfer-encoding") == "chunked" {
        body = read_chunks(stream).await?;
    }
    Some(json!({"method": method, "path": path, "headers": headers, "body": String::from_utf8_lossy(&body)}))
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

async fn read_chunks(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.ok()?);
        }
        let size = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        if size == 0 {
            // Trailers until an empty line.
            let mut end = Vec::new();
            while end != b"\r\n" && !end.ends_with(b"\r\n\r\n") {
                end.push(stream.read_u8().await.ok()?);
            }
            body.extend(end.iter().copied().filter(|_| end.len() > 2));
            return Some(body);
        }
        stream.read_exact(&mut chunk).await.ok()?;
        chunk.truncate(size);
        body.extend(chunk);
    }
}

/// What the gateway answered.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Got {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// The gateway of a world.
pub struct Gate {
    pub address: SocketAddr,
    _running: watch::Sender<bool>,
}

impl Gate {
    /// Opens the gateway with these APIs.
    pub async fn open(world: &World, apis: &[ApiDocument]) -> Self {
        for api in apis {
            let realm = world.realm(api.realm.as_deref().expect("a realm")).await;
            world.app.engine.add_api(&realm, api, &std::collections::BTreeMap::new(), world.now()).await.unwrap();
        }
        world.refresh().await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (running, stop) = watch::channel(false);
        tokio::spawn(listen::serve("gateway", listener, None, Front::of(&world.app), 1_000, stop));
        Self { address, _running: running }
    }

    /// Sends a request as it is written and reads the answer until the gateway closes.
    pub async fn raw(&self, text: &str) -> Got {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    }

    /// A call without a body.
    pub async fn call(&self, method: &str, host: &str, path: &str, headers: &[(&str, &str)]) -> Got {
        self.send(method, host, path, headers, None).await
    }

    /// A call with a body.
    pub async fn send(
        &self,
        method: &str,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Got {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            text.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        self.raw(&format!("{text}\r\n{}", body.unwrap_or_default())).await
    }

    /// A GET with a token.
    pub async fn get(&self, host: &str, path: &str, token: &str) -> Got {
        self.call("GET", host, path, &[("authorization", &format!("Bearer {token}"))]).await
    }
}

pub async fn read_answer(stream: &mut TcpStream) -> Got {
    let head = read_head(stream).await.expect("an answer");
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let one = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let mut body = Vec::new();
    if let Some(length) = one("content-length").and_then(|length| length.parse::<usize>().ok()) {
        body.resize(length, 0);
        let _ = stream.read_exact(&mut body).await;
    } else if one("transfer-encoding").is_some() {
        body = read_chunks(stream).await.unwrap_or_default();
    }
    Got { status, headers, body: String::from_utf8(body).unwrap() }
}

impl World {
    /// What a running server does ten times a second.
    pub async fn refresh(&self) {
        self.app.engine.refresh_realms(self.now()).await.unwrap();
        gateway::refresh(&self.app, self.now()).await.unwrap();
    }
}
