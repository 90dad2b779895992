//! Hands a call on, and its answer back: streaming both ways, headers of one hop taken off, an upgrade joined through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use grantor_model::api::PassToken;
use grantor_model::{Code, Error, Instant, Kind};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::{Either, Empty, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::timeout;

use crate::Gateway;
use crate::body::{Guarded, TOO_MUCH};
use crate::enforce::Allowed;
use crate::identity::is_forged;
use crate::known::Known;
use crate::lease::{Lease, Watched};
use crate::statement::{Signer, X_AUTH_JWT};
use crate::upstream::Upstream;

/// How long a connection to an upstream may take to be made.
const CONNECT: Duration = Duration::from_secs(3);

/// How long a connection to an upstream is kept for the next call. Shorter than most servers keep theirs: a call on a
/// connection that the other side closes at that moment is lost.
const IDLE: Duration = Duration::from_secs(15);

/// Addresses that are tried for one call.
const TRIES: usize = 3;

/// The body of an answer: an upstream's, or our own.
pub type Body = Either<Watched, Full<Bytes>>;

type Sent = Either<Guarded, Empty<Bytes>>;
type Https = HttpsConnector<HttpConnector>;

/// The way to upstreams.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    usual: Client<Https, Sent>,
    prior_knowledge: Client<HttpConnector, Sent>,
}

impl Clients {
    pub(crate) fn new() -> Result<Self, String> {
        let connector = || {
            let mut http = HttpConnector::new();
            http.enforce_http(false);
            http.set_nodelay(true);
            http.set_connect_timeout(Some(CONNECT));
            http
        };
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(|error| format!("no TLS version can be used: {error}"))?
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector());
        let builder = || {
            let mut builder = Client::builder(TokioExecutor::new());
            builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(1_024);
            builder
        };
        Ok(Self { usual: builder().build(https), prior_knowledge: builder().http2_only(true).build(connector()) })
    }

    async fn send(&self, to: &Upstream, request: Request<Sent>) -> Result<Response<Incoming>, ClientError> {
        if to.prior_knowledge { self.prior_knowledge.request(request).await } else { self.usual.request(request).await }
    }

    /// Whether an upstream answers 2xx at a path.
    pub(crate) async fn is_well(&self, upstream: &Upstream, path: &str, within: Duration) -> bool {
        let Some(uri) = path.parse().ok().and_then(|path| upstream.uri(&path)) else { return false };
        let mut request = Request::new(Either::Right(Empty::new()));
        *request.uri_mut() = uri;
        matches!(timeout(within, self.send(upstream, request)).await, Ok(Ok(answer)) if answer.status().is_success())
    }
}

/// What the gateway adds to a call.
#[derive(Debug)]
pub(crate) struct Added<'a> {
    /// The id of the decision.
    pub(crate) decision: &'a HeaderValue,
    /// The caller's address, after trusted proxies.
    pub(crate) address: std::net::IpAddr,
    /// Whether the caller came over TLS.
    pub(crate) secure: bool,
    /// The name that the caller used.
    pub(crate) host: &'a str,
}

/// What went wrong on the way to the upstream.
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) check: &'static str,
    pub(crate) expected: &'static str,
    pub(crate) actual: String,
}

impl Failed {
    fn upstream(actual: impl Into<String>) -> Box<Self> {
        let actual = actual.into();
        let error = Error::new(Kind::Upstream, Code::UpstreamFailed, "The API cannot be reached");
        Box::new(Self { error: error.because(actual.clone()), check: "upstream", expected: "an answer", actual })
    }

    fn too_slow(waited: Duration) -> Box<Self> {
        let error = Error::new(Kind::UpstreamTimeout, Code::UpstreamFailed, "The API did not answer in time");
        let actual = format!("none within {} s", waited.as_secs());
        Box::new(Self { error: error.because(actual.clone()), check: "upstream", expected: "an answer", actual })
    }

    fn too_large(limit: u64) -> Box<Self> {
        let error = Error::new(Kind::TooLarge, Code::InvalidRequest, "The body is larger than this API takes");
        let actual = format!("more than {limit} bytes");
        Box::new(Self { error, check: "body", expected: "no more bytes than body_bytes says", actual })
    }

    fn bad(text: &'static str) -> Box<Self> {
        let actual = text.to_owned();
        Box::new(Self { error: Error::request(text), check: "request", expected: "one that can be handed on", actual })
    }
}

/// Hands a call on.
pub(crate) async fn forward(
    gateway: &Arc<Gateway>,
    allowed: &Allowed,
    (mut parts, body): (Parts, Incoming),
    added: &Added<'_>,
    now: Instant,
) -> Result<Response<Body>, Box<Failed>> {
    let api = &*allowed.api;
    if body.size_hint().lower() > api.body_bytes {
        return Err(Failed::too_large(api.body_bytes));
    }
    let upgrade = wanted_upgrade(&parts);
    let on_this_side =
        upgrade.is_some().then(|| hyper::upgrade::on(Request::from_parts(taken_for_upgrade(&mut parts), ())));
    rewritten(&mut parts, allowed, added, upgrade.as_ref())?;
    if let Some(known) = allowed.known.as_ref().filter(|_| api.document.identity_jwt) {
        stated(&mut parts.headers, gateway.settings.signer.as_deref(), known, api.document.audience(), now)?;
    }
    let path = target(&parts, allowed)?;
    let has_body = !body.is_end_stream();
    let (mut body, progress) = match has_body {
        true => {
            let guarded = Guarded::new(body, api.body_bytes);
            let progress = guarded.progress.clone();
            (Some(guarded), Some(progress))
        }
        false => (None, None),
    };
    let tries = if has_body { 1 } else { api.upstreams.len().min(TRIES) };
    let mut last = Failed::upstream("there is none");
    let mut parts = Some(parts);
    for attempt in 1..=tries {
        let Some(upstream) = api.upstreams.next(now) else { break };
        // Only what may be tried again is copied.
        let this = if attempt < tries { parts.as_ref().map(copied) } else { parts.take() };
        let (Some(mut this), Some(uri)) = (this, upstream.uri(&path)) else { break };
        this.uri = uri;
        this.version = if upstream.prior_knowledge { Version::HTTP_2 } else { Version::HTTP_11 };
        let sent = body.take().map_or(Either::Right(Empty::new()), Either::Left);
        let exchange = gateway.clients.send(upstream, Request::from_parts(this, sent));
        match answered(exchange, api.timeout, progress.as_deref()).await {
            None => {
                upstream.failed(now);
                return Err(Failed::too_slow(api.timeout));
            }
            Some(Ok(answer)) => {
                upstream.answered();
                return Ok(handed_back(answer, on_this_side, Lease::of(gateway, allowed)));
            }
            Some(Err(error)) => {
                if progress.as_ref().is_some_and(|progress| progress.load(Ordering::Relaxed) == TOO_MUCH) {
                    return Err(Failed::too_large(api.body_bytes));
                }
                let reason = innermost(&error);
                if error.is_connect() {
                    upstream.failed(now);
                }
                last = Failed::upstream(format!("{}: {reason}", upstream.authority));
                if !error.is_connect() {
                    return Err(last);
                }
            }
        }
    }
    Err(last)
}

/// Waits for the head of an answer, as long as the body of the request moves or the time is not over.
async fn answered<T>(exchange: impl Future<Output = T>, limit: Duration, progress: Option<&AtomicU64>) -> Option<T> {
    let Some(progress) = progress else { return timeout(limit, exchange).await.ok() };
    let mut exchange = std::pin::pin!(exchange);
    let mut seen = progress.load(Ordering::Relaxed);
    loop {
        if let Ok(answer) = timeout(limit, exchange.as_mut()).await {
            return Some(answer);
        }
        let now = progress.load(Ordering::Relaxed);
        if now == seen {
            return None;
        }
        seen = now;
    }
}

/// The protocol that a client of HTTP/1.1 wants to change to.
fn wanted_upgrade(parts: &Parts) -> Option<HeaderValue> {
    let asks = |value: &HeaderValue| {
        value.to_str().is_ok_and(|text| text.split(',').any(|one| one.trim().eq_ignore_ascii_case("upgrade")))
    };
    let asked = parts.version == Version::HTTP_11 && parts.headers.get_all(CONNECTION).iter().any(asks);
    // Nothing else is joined: HTTP/2 by upgrade (RFC 9113 section 3.1) would escape all checks.
    let mut lines = parts.headers.get_all(UPGRADE).iter();
    let only = lines.next().filter(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    only.filter(|_| asked && lines.next().is_none()).cloned()
}

/// Takes what joins the two sides of an upgrade out of a request.
fn taken_for_upgrade(parts: &mut Parts) -> Parts {
    let (mut taken, ()) = Request::new(()).into_parts();
    taken.extensions = std::mem::take(&mut parts.extensions);
    taken
}

fn copied(parts: &Parts) -> Parts {
    let (mut copy, ()) = Request::new(()).into_parts();
    copy.method = parts.method.clone();
    copy.headers = parts.headers.clone();
    copy
}

/// Where the call goes below the upstream's own path.
fn target(parts: &Parts, allowed: &Allowed) -> Result<http::uri::PathAndQuery, Box<Failed>> {
    let whole = parts.uri.path_and_query().ok_or_else(|| Failed::bad("a request without a path"))?;
    if !allowed.api.strip {
        return Ok(whole.clone());
    }
    let rest = allowed.api.base.rest(whole.path()).unwrap_or("/");
    let query = whole.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{rest}{query}").parse().map_err(|_| Failed::bad("a path that cannot be handed on"))
}

/// Headers of this hop only (RFC 9110 section 7.6.1).
const OF_ONE_HOP: [HeaderName; 7] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("http2-settings"),
];

const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-access-token");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header with a decision's id.
pub(crate) const DECISION: HeaderName = HeaderName::from_static("grantor-decision");

fn without_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(&name);
    }
    for name in &OF_ONE_HOP {
        headers.remove(name);
    }
    headers.remove(&PROXY_CONNECTION);
}

/// The headers as the upstream gets them.
fn rewritten(
    parts: &mut Parts,
    allowed: &Allowed,
    added: &Added<'_>,
    upgrade: Option<&HeaderValue>,
) -> Result<(), Box<Failed>> {
    let headers = &mut parts.headers;
    let trailers =
        headers.get(TE).is_some_and(|te| te.to_str().is_ok_and(|te| te.split(',').any(|one| one.trim() == "trailers")));
    // What `Connection` names must not take off what the gateway goes by.
    if let Some(name) = misused_connection(headers) {
        return Err(Failed::bad(name));
    }
    without_hop(headers);
    headers.remove(TE);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    let forged: Vec<HeaderName> = headers.keys().filter(|name| is_forged(name.as_str())).cloned().collect();
    for name in forged {
        headers.remove(&name);
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    let host = HeaderValue::from_str(added.host).map_err(|_| Failed::bad("a host that cannot be handed on"))?;
    headers.insert(X_FORWARDED_HOST, host.clone());
    headers.insert(HOST, host);
    let address = HeaderValue::from_str(&added.address.to_string()).map_err(|_| Failed::bad("an address"))?;
    headers.insert(X_FORWARDED_FOR, address);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(if added.secure { "https" } else { "http" }));
    headers.insert(DECISION, added.decision.clone());
    traced(headers, added.decision);
    let Some(known) = &allowed.known else { return Ok(()) };
    known.identity.write(headers);
    match allowed.api.pass_token {
        PassToken::Authorization => {}
        PassToken::None => drop(headers.remove(AUTHORIZATION)),
        PassToken::XAccessToken => {
            headers.remove(AUTHORIZATION);
            if let Some(token) = &known.identity.token {
                headers.insert(X_ACCESS_TOKEN, token.clone());
            }
        }
    }
    Ok(())
}

/// Adds the gateway's signed word on who calls.
fn stated(
    headers: &mut HeaderMap,
    signer: Option<&Signer>,
    known: &Known,
    audience: &str,
    now: Instant,
) -> Result<(), Box<Failed>> {
    let failed = |actual: String| {
        let expected = "a key to sign identities with ([gateway] identity_key)";
        Box::new(Failed { error: Error::unavailable(actual.clone()), check: "identity_jwt", expected, actual })
    };
    let signer = signer.ok_or_else(|| failed("none".to_owned()))?;
    headers.insert(X_AUTH_JWT, signer.of(known, audience, now).map_err(|error| failed(error.to_string()))?);
    Ok(())
}

/// `Connection` may name headers of one hop, and not those that decide what a request is.
fn misused_connection(headers: &HeaderMap) -> Option<&'static str> {
    let ends = ["authorization", "host", "content-length", "cookie", "content-type"];
    let mut lines = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let misused = lines.any(|line| line.split(',').any(|name| ends.contains(&&*name.trim().to_ascii_lowercase())));
    misused.then_some("Connection names a header that is not of one hop")
}

/// W3C trace context: a trace goes on, or begins here under the id of the decision.
fn traced(headers: &mut HeaderMap, decision: &HeaderValue) {
    let is_whole = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        bytes.len() >= 55
            && bytes.iter().enumerate().take(55).all(|(at, byte)| match at {
                2 | 35 | 52 => *byte == b'-',
                _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(byte),
            })
    };
    if headers.get(TRACEPARENT).is_some_and(is_whole) {
        return;
    }
    headers.remove("tracestate");
    let id = decision.to_str().unwrap_or_default();
    if let Ok(value) = HeaderValue::from_str(&format!("00-{id:0>32}-{id:0>16.16}-00")) {
        headers.insert(TRACEPARENT, value);
    }
}

/// The answer as the caller gets it.
/// Whether an answer lasts as long as somebody listens.
fn lasts(answer: &Response<Incoming>) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.starts_with(b"text/event-stream") || kind.starts_with(b"application/grpc")
}

fn handed_back(
    mut answer: Response<Incoming>,
    on_this_side: Option<hyper::upgrade::OnUpgrade>,
    lease: Option<Lease>,
) -> Response<Body> {
    let mut lease = lease.filter(|_| on_this_side.is_some() || lasts(&answer));
    let protocol = answer.headers().get(UPGRADE).cloned();
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && let (Some(ours), Some(protocol)) = (on_this_side, protocol)
    {
        let theirs = hyper::upgrade::on(&mut answer);
        tokio::spawn(joined(ours, theirs, lease.take()));
        without_hop(answer.headers_mut());
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        answer.headers_mut().insert(UPGRADE, protocol);
    } else {
        without_hop(answer.headers_mut());
    }
    // Whose it is: an upstream cannot speak for the gateway.
    answer.headers_mut().remove(DECISION);
    *answer.version_mut() = Version::HTTP_11;
    answer.map(|body| Either::Left(Watched::new(body, lease)))
}

/// Lets both sides of an upgraded connection speak until one is done, or the token that opened it is revoked.
async fn joined(ours: hyper::upgrade::OnUpgrade, theirs: hyper::upgrade::OnUpgrade, lease: Option<Lease>) {
    let (Ok(ours), Ok(theirs)) = tokio::join!(ours, theirs) else { return };
    let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
    let ended = async {
        match &lease {
            Some(lease) => lease.ended().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        result = tokio::io::copy_bidirectional(&mut ours, &mut theirs) => if let Err(error) = result {
            tracing::debug!(%error, "an upgraded connection ended");
        },
        () = ended => tracing::info!("an upgraded connection ends: its token was revoked"),
    }
}

/// What really happened: the outer layers of an error only say that they failed.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// Whether a request's head can be read in one way: no absolute form in HTTP/1, one `Host`, one length.
pub(crate) fn oddity(parts: &Parts) -> Option<&'static str> {
    let headers = &parts.headers;
    if parts.version < Version::HTTP_2 && parts.uri.authority().is_some() {
        return Some("an absolute URI");
    }
    if parts.method == Method::CONNECT {
        return Some("CONNECT");
    }
    if headers.get_all(HOST).iter().count() > 1 {
        return Some("several Host headers");
    }
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        return Some("a length and a transfer encoding");
    }
    let named = headers.get(HOST).and_then(|host| host.to_str().ok());
    if let (Some(host), Some(authority)) = (named, parts.uri.authority())
        && !host.eq_ignore_ascii_case(authority.as_str())
    {
        return Some("a Host header that is not the host of the URI");
    }
    None
}
