//! Requests to others: the one HTTP client for everything that this program fetches.
//!
//! Some of the URLs come from people whom the operator does not know: a client names its key set, a partner its
//! metadata. The client is therefore guarded against being sent to the machines next door (server-side request forgery,
//! OWASP A10:2021; RFC 8725 section 3.10 warns of it):
//!
//! - only `http` and `https`, never a user name or password in the URL;
//! - only public addresses, unless the configuration allows more. A name is judged by the addresses it resolves to, and
//!   the connection goes to the very addresses that were judged, so a name that changes its mind in between gains
//!   nothing;
//! - no redirect is followed, and no proxy of the environment is used: both lead where nobody looked;
//! - the body and the whole exchange are limited.
//!
//! Keeping what was fetched is the caller's matter. The texts of errors are for operators and logs: they name hosts and
//! addresses, but no path, query or header, since those may hold secrets. They should not be given to whoever caused
//! the request.

mod address;
mod discovery;
#[cfg(test)]
pub(crate) mod tests;

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use grantor_flows::fetch::{Boxed, Fetch, Fetched};
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::Service;

use crate::config::Destination;

pub use discovery::Metadata;

/// The largest body that is read: key sets and metadata have a few thousand bytes.
const LARGEST_BODY: usize = 512 * 1024;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(1);

/// How long a connection is kept for the next request to the same host.
const IDLE: Duration = Duration::from_secs(30);

/// How this program introduces itself.
const NAME: &str = concat!("grantor/", env!("CARGO_PKG_VERSION"));

/// The guarded client. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    reach: Arc<Reach>,
    timeout: Duration,
    largest: usize,
}

/// What came back. Its `Debug` is for tests: the body may hold tokens.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Outbound {
    /// A client for the server: it reaches public addresses and what `allow` names besides. `timeout` is for a request
    /// as a whole.
    ///
    /// # Errors
    /// When no TLS version can be used.
    pub fn new(allow: Vec<Destination>, timeout: Duration) -> Result<Self, String> {
        Self::reaching(Reach::Public { besides: allow }, timeout)
    }

    /// A client for the command line, where the person who names the URL could reach it without us too. Every other
    /// limit stays.
    ///
    /// # Errors
    /// When no TLS version can be used.
    pub fn unrestricted(timeout: Duration) -> Result<Self, String> {
        Self::reaching(Reach::Everything, timeout)
    }

    /// The same, reading answers of up to so many bytes.
    #[must_use]
    pub(crate) fn reading(self, largest: usize) -> Self {
        Self { largest, ..self }
    }

    fn reaching(reach: Reach, timeout: Duration) -> Result<Self, String> {
        let reach = Arc::new(reach);
        let mut http = HttpConnector::new_with_resolver(Resolver(Arc::clone(&reach)));
        // `https` goes through this connector as well.
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT.min(timeout)));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(|error| format!("no TLS version can be used: {error}"))?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(2)
            .build(connector);
        Ok(Self { client, reach, timeout, largest: LARGEST_BODY })
    }

    /// The body of a 200 answer to a GET.
    ///
    /// # Errors
    /// Why there is none, in one line.
    pub async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        self.answer(url).await.map(|answer| answer.body)
    }

    async fn answer(&self, url: &str) -> Result<Answer, String> {
        let target = self.target(url)?;
        let answer = self.send(&target, Method::GET, HeaderMap::new(), Bytes::new()).await?;
        if answer.status == 200 { Ok(answer) } else { Err(format!("{target} answers {}", named(answer.status))) }
    }

    /// Judges a URL as far as that can be done now.
    async fn admitted(&self, url: &str) -> Result<(), String> {
        let target = self.target(url)?;
        match self.judged(&target).await {
            Err(Unreachable { refused: true, reason }) => Err(format!("{target}: {reason}")),
            Err(_) if target.is_in_clear() => Err(format!("{target}: the name does not resolve, and {IN_CLEAR}")),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Judges where a URL leads. In the clear anybody on the way could answer: only where the operator knows the way.
    async fn judged(&self, target: &Target) -> Result<(), Unreachable> {
        let host = target.uri.host().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let addresses = match bare.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => resolve(host, &self.reach).await?.iter().map(SocketAddr::ip).collect(),
        };
        if target.is_in_clear() && !addresses.iter().all(|address| self.reach.allows(host, *address)) {
            return Err(Unreachable { refused: true, reason: IN_CLEAR.to_owned() });
        }
        Ok(())
    }

    /// The answer to a POST of a form, whatever its status, unless it is a redirect. `form` is url-encoded already.
    ///
    /// # Errors
    /// Why there is no answer, in one line.
    pub async fn post_form(&self, url: &str, mut headers: HeaderMap, form: String) -> Result<Answer, String> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        self.post(url, headers, Bytes::from(form)).await
    }

    /// The answer to a POST, whatever its status, unless it is a redirect.
    ///
    /// # Errors
    /// Why there is no answer, in one line.
    pub async fn post(&self, url: &str, headers: HeaderMap, body: Bytes) -> Result<Answer, String> {
        let target = self.target(url)?;
        self.send(&target, Method::POST, headers, body).await
    }

    /// Reads a URL and judges what can be judged before anything is sent.
    fn target(&self, url: &str) -> Result<Target, String> {
        // The text is not repeated in a refusal: it may hold a password.
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        if !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")) {
            return Err("the URL does not begin with https:// or http://".to_owned());
        }
        let uri: Uri = url.parse().map_err(|_| "the URL cannot be read".to_owned())?;
        let authority = uri.authority().ok_or("the URL names no host")?;
        if authority.as_str().contains('@') {
            return Err("the URL must not hold a user name or password".to_owned());
        }
        let host = authority.host();
        if host.is_empty() || (authority.as_str() != host && authority.port_u16().is_none()) {
            return Err("the host or the port of the URL cannot be read".to_owned());
        }
        // The connector does not ask the resolver about addresses, so they are judged here.
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>()
            && !self.reach.includes(bare, address)
        {
            return Err(format!("{address} is not a public address, and {ALLOWED_BY} does not hold it"));
        }
        Ok(Target { uri })
    }

    async fn send(&self, target: &Target, method: Method, headers: HeaderMap, body: Bytes) -> Result<Answer, String> {
        let mut request = Request::new(Full::new(body));
        if target.is_in_clear() {
            self.judged(target).await.map_err(|unreachable| format!("{target}: {unreachable}"))?;
        }
        *request.method_mut() = method;
        *request.uri_mut() = target.uri.clone();
        *request.headers_mut() = headers;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(NAME));
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(reason)) => Err(format!("{target}: {reason}")),
            Err(_) => Err(format!("{target}: no whole answer within {:?}", self.timeout)),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let response = self.client.request(request).await.map_err(|error| innermost(&error))?;
        let (head, body) = response.into_parts();
        if head.status.is_redirection() {
            return Err(redirect(head.status, &head.headers));
        }
        let body = Limited::new(body, self.largest).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                format!("the answer is larger than {} bytes", self.largest)
            } else {
                innermost(&*error)
            }
        })?;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes().into() })
    }
}

impl Fetch for Outbound {
    fn get<'a>(&'a self, url: &'a str) -> Boxed<'a, Result<Fetched, String>> {
        Box::pin(async move {
            let answer = self.answer(url).await?;
            Ok(Fetched { max_age: max_age(&answer.headers), body: answer.body })
        })
    }

    fn post_as<'a>(
        &'a self,
        url: &'a str,
        (id, secret): (&'a str, &'a str),
        form: String,
    ) -> Boxed<'a, Result<Vec<u8>, String>> {
        Box::pin(async move {
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
            let mut basic = HeaderValue::from_str(&format!("Basic {pair}")).map_err(|error| error.to_string())?;
            basic.set_sensitive(true);
            let headers = HeaderMap::from_iter([(AUTHORIZATION, basic)]);
            let answer = self.post_form(url, headers, form).await?;
            if answer.status == 200 { Ok(answer.body) } else { Err(format!("it answers {}", named(answer.status))) }
        })
    }

    fn admits<'a>(&'a self, url: &'a str) -> Boxed<'a, Result<(), String>> {
        Box::pin(self.admitted(url))
    }
}

/// How long an answer may be kept (RFC 9111 section 5.2.2), in seconds.
fn max_age(headers: &HeaderMap) -> Option<i64> {
    let directives = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut longest = None;
    for directive in directives.flat_map(|value| value.split(',')).map(|one| one.trim().to_ascii_lowercase()) {
        match directive.split_once('=') {
            Some(("max-age", seconds)) => longest = seconds.trim_matches('"').parse().ok().or(longest),
            None if matches!(directive.as_str(), "no-store" | "no-cache") => return Some(0),
            _ => {}
        }
    }
    longest
}

/// A URL that may be asked, as far as that can be said before its name is resolved. Its `Display` is scheme, host and
/// port.
#[derive(Debug)]
struct Target {
    uri: Uri,
}

impl Target {
    fn is_in_clear(&self) -> bool {
        self.uri.scheme_str() == Some("http")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        write!(out, "{}://{authority}", self.uri.scheme_str().unwrap_or_default())
    }
}

/// What the key of the configuration is called that allows more.
const ALLOWED_BY: &str = "allow_private in [outbound]";

/// Why an address is not asked without TLS.
const IN_CLEAR: &str = "http:// is for what allow_private in [outbound] holds; others are asked by https://";

/// Which addresses may be reached.
#[derive(Debug)]
enum Reach {
    /// All.
    Everything,
    /// Public ones, and these.
    Public {
        /// What the operator allowed.
        besides: Vec<Destination>,
    },
}

impl Reach {
    fn includes(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Everything => true,
            Self::Public { besides } => {
                address::is_public(address) || besides.iter().any(|allowed| allowed.covers(host, address))
            }
        }
    }

    /// Whether the operator named this host or its address.
    fn allows(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Everything => true,
            Self::Public { besides } => besides.iter().any(|allowed| allowed.covers(host, address)),
        }
    }
}

/// Resolves names as the system does, and leaves out the addresses that must not be reached.
#[derive(Clone, Debug)]
struct Resolver(Arc<Reach>);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unreachable;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unreachable>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = Arc::clone(&self.0);
        Box::pin(async move { resolve(name.as_str(), &reach).await.map(Vec::into_iter) })
    }
}

async fn resolve(host: &str, reach: &Reach) -> Result<Vec<SocketAddr>, Unreachable> {
    // The port is the connector's matter; it replaces this one.
    let found = tokio::net::lookup_host((host, 0)).await;
    let found: Vec<SocketAddr> = found.map_err(|_| Unreachable::unknown("the name does not resolve"))?.collect();
    let (allowed, refused): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| reach.includes(host, address.ip()));
    if !allowed.is_empty() {
        return Ok(allowed);
    }
    Err(match refused.first() {
        Some(address) => Unreachable {
            refused: true,
            reason: format!(
                "the name resolves to {}, which is not a public address, and {ALLOWED_BY} does not hold it",
                address.ip()
            ),
        },
        None => Unreachable::unknown("the name has no address"),
    })
}

/// Why a name cannot be reached.
#[derive(Debug)]
struct Unreachable {
    /// Whether it has addresses that must not be reached.
    refused: bool,
    reason: String,
}

impl Unreachable {
    fn unknown(reason: &str) -> Self {
        Self { refused: false, reason: reason.to_owned() }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.reason)
    }
}

impl Error for Unreachable {}

/// What really happened: the outer layers of an error only say that they failed.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// The refusal of a redirect. It names the host, which an operator needs, and not the rest, which may hold a code or a
/// token.
fn redirect(status: StatusCode, headers: &HeaderMap) -> String {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let host = location.and_then(|text| text.parse::<Uri>().ok()).and_then(|uri| uri.host().map(str::to_owned));
    let host = host.as_deref().unwrap_or("another path");
    format!("it answers {status} and redirects to {host}; redirects are not followed")
}

/// A status with its name, such as `404 Not Found`.
fn named(status: u16) -> String {
    StatusCode::from_u16(status).map_or_else(|_| status.to_string(), |status| status.to_string())
}
