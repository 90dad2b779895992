//! The client against small servers on the loopback address, and against what it must not even try.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{LARGEST_BODY, Outbound};
use crate::config::Destination;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that gives each request, head and body, to `answer`, and sends back what that returns. It stops with the
/// test's runtime.
pub(crate) async fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read_request(&mut stream).await.unwrap_or_default();
            // A client that stops reading in the middle is what some tests are about.
            let _ = stream.write_all(answer(&request).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    Ok(address)
}

async fn read_request(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                return Ok(text);
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(text);
        }
    }
}

/// An answer with that status line, extra headers and body.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn loopback() -> Result<Vec<Destination>, Box<dyn std::error::Error>> {
    Ok(vec!["127.0.0.0/8".parse()?])
}

async fn refusal(client: &Outbound, url: &str) -> String {
    client.get(url).await.err().unwrap_or_else(|| "accepted".to_owned())
}

#[tokio::test]
async fn a_body_is_fetched() -> Outcome {
    let server = serve(|request| {
        assert!(request.starts_with("GET /keys?a=b HTTP/1.1\r\n"), "{request}");
        assert!(request.to_ascii_lowercase().contains("\r\nuser-agent: grantor/"), "{request}");
        answer("200 OK", "", "{\"keys\":[]}")
    })
    .await?;
    let client = Outbound::new(loopback()?, PATIENCE)?;
    for _ in 0..2 {
        assert_eq!(client.get(&format!("http://{server}/keys?a=b")).await?, b"{\"keys\":[]}");
    }
    let fetch: &dyn grantor_flows::fetch::Fetch = &client;
    assert_eq!(fetch.get(&format!("HTTP://{server}/keys?a=b")).await?.body, b"{\"keys\":[]}");
    Ok(())
}

#[tokio::test]
async fn a_form_is_posted_and_every_status_is_an_answer() -> Outcome {
    let server = serve(|request| {
        assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("application/x-www-form-urlencoded"), "{request}");
        assert!(request.contains("x-own: 1"), "{request}");
        answer("401 Unauthorized", "grantor-decision: d1\r\n", request.rsplit("\r\n").next().unwrap_or_default())
    })
    .await?;
    let mut headers = HeaderMap::new();
    headers.insert("x-own", "1".parse()?);
    let client = Outbound::unrestricted(PATIENCE)?;
    let got = client.post_form(&format!("http://{server}/token"), headers, "a=b&c=d".to_owned()).await?;
    assert_eq!((got.status, got.body.as_slice()), (401, b"a=b&c=d".as_slice()));
    assert_eq!(got.headers.get("grantor-decision").and_then(|value| value.to_str().ok()), Some("d1"));
    Ok(())
}

#[tokio::test]
async fn only_the_status_200_has_a_body_to_fetch() -> Outcome {
    let server = serve(|_| answer("404 Not Found", "", "nothing here")).await?;
    let client = Outbound::new(loopback()?, PATIENCE)?;
    let url = format!("http://{server}/secret?token=hunter2");
    assert_eq!(refusal(&client, &url).await, format!("http://{server} answers 404 Not Found"));
    Ok(())
}

#[tokio::test]
async fn other_urls_are_refused_unread() -> Outcome {
    let client = Outbound::unrestricted(PATIENCE)?;
    for url in
        ["", "id.example", "/keys", "ftp://id.example/", "file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "data:,x"]
    {
        assert_eq!(refusal(&client, url).await, "the URL does not begin with https:// or http://", "{url}");
    }
    for url in ["http://u:hunter2@127.0.0.1/", "https://token@id.example/", "https://id.example@127.0.0.1/"] {
        assert_eq!(refusal(&client, url).await, "the URL must not hold a user name or password", "{url}");
    }
    for url in
        ["http://", "http:///keys", "http://a b/", "http://127.0.0.1:99999/", "http://127.0.0.1:/", "http://:80/"]
    {
        let refusal = refusal(&client, url).await;
        assert!(refusal.starts_with("the "), "{url}: {refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused() -> Outcome {
    let server = serve(|_| answer("200 OK", "", "inside")).await?;
    let client = Outbound::new(vec!["10.0.0.0/8".parse()?, "idp.internal".parse()?], PATIENCE)?;
    for (url, address) in [
        (format!("http://{server}/"), "127.0.0.1"),
        (format!("http://[::ffff:127.0.0.1]:{}/", server.port()), "::ffff:127.0.0.1"),
        ("http://169.254.169.254/latest/meta-data/".to_owned(), "169.254.169.254"),
        ("https://[::1]/".to_owned(), "::1"),
        ("http://0.0.0.0/".to_owned(), "0.0.0.0"),
    ] {
        assert_eq!(
            refusal(&client, &url).await,
            format!("{address} is not a public address, and allow_private in [outbound] does not hold it")
        );
    }
    // Names, and the spellings of addresses that only the system's resolver understands.
    for host in ["localhost", "127.1", "0x7f000001", "2130706433"] {
        let refusal = refusal(&client, &format!("http://{host}:{}/", server.port())).await;
        assert!(
            refusal.contains("is not a public address") || refusal.contains("does not resolve"),
            "{host}: {refusal}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_is_allowed_is_reached() -> Outcome {
    let server = serve(|_| answer("200 OK", "", "inside")).await?;
    let named = Outbound::new(vec!["localhost".parse()?], PATIENCE)?;
    assert_eq!(named.get(&format!("http://localhost:{}/", server.port())).await?, b"inside");
    assert!(named.get(&format!("http://{server}/")).await.is_err(), "allowed by its name, not by its address");
    let free = Outbound::unrestricted(PATIENCE)?;
    assert_eq!(free.get(&format!("http://{server}/")).await?, b"inside");
    Ok(())
}

#[tokio::test]
async fn redirects_are_not_followed() -> Outcome {
    let client = Outbound::new(loopback()?, PATIENCE)?;
    for (status, location, host) in [
        ("302 Found", "location: http://169.254.169.254/x?code=hunter2\r\n", "169.254.169.254"),
        ("307 Temporary Redirect", "location: https://other.example/\r\n", "other.example"),
        ("301 Moved Permanently", "location: /keys\r\n", "another path"),
        ("303 See Other", "", "another path"),
    ] {
        let server = serve(move |_| answer(status, location, "moved")).await?;
        let expected =
            format!("http://{server}: it answers {status} and redirects to {host}; redirects are not followed");
        assert_eq!(refusal(&client, &format!("http://{server}/")).await, expected);
        let posted = client.post_form(&format!("http://{server}/"), HeaderMap::new(), String::new()).await;
        assert_eq!(posted.err(), Some(expected));
    }
    Ok(())
}

#[tokio::test]
async fn a_body_has_a_largest_size() -> Outcome {
    let client = Outbound::new(loopback()?, PATIENCE)?;
    let server = serve(|request| {
        let size = if request.starts_with("GET /fits ") { LARGEST_BODY } else { LARGEST_BODY + 1 };
        let body = "x".repeat(size);
        // Without a length the end of the connection is the end of the body: the size shows only while it is read.
        if request.starts_with("GET /endless ") {
            format!("HTTP/1.1 200 OK\r\n\r\n{body}")
        } else {
            answer("200 OK", "", &body)
        }
    })
    .await?;
    assert_eq!(client.get(&format!("http://{server}/fits")).await?.len(), LARGEST_BODY);
    for path in ["large", "endless"] {
        assert_eq!(
            refusal(&client, &format!("http://{server}/{path}")).await,
            format!("http://{server}: the answer is larger than 524288 bytes")
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_request_has_a_longest_duration() -> Outcome {
    let client = Outbound::new(loopback()?, Duration::from_millis(200))?;
    // A listener that nobody accepts from: the system takes the connection, and no answer ever comes.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = silent.local_addr()?;
    assert_eq!(
        refusal(&client, &format!("http://{address}/")).await,
        format!("http://{address}: no whole answer within 200ms")
    );
    // One that begins to answer and does not end.
    tokio::spawn(async move {
        // The connection of before waits here too, so that more than one is taken.
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = silent.accept().await {
            let _ = read_request(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
            open.push(stream);
        }
    });
    assert_eq!(
        refusal(&client, &format!("http://{address}/")).await,
        format!("http://{address}: no whole answer within 200ms")
    );
    Ok(())
}

#[tokio::test]
async fn what_fails_below_is_said() -> Outcome {
    let client = Outbound::new(loopback()?, PATIENCE)?;
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?;
    let refused = refusal(&client, &format!("http://{closed}/")).await;
    assert!(refused.starts_with(&format!("http://{closed}: ")) && refused.contains("refused"), "{refused}");
    // A server that does not speak TLS, and says so at once.
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = plain.local_addr()?;
    tokio::spawn(async move {
        if let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(answer("400 Bad Request", "", "").as_bytes()).await;
            std::future::pending::<()>().await;
        }
    });
    let refused = refusal(&client, &format!("https://{address}/")).await;
    assert!(refused.starts_with(&format!("https://{address}: ")) && !refused.contains("within"), "{refused}");
    Ok(())
}
