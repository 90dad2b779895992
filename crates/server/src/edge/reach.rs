//! Under which names and through which proxies the server is reached.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use grantor_model::Instant;
use http::header::{HOST, HeaderName};
use http::{HeaderMap, Request};

use super::{Context, RequestId};
use crate::config::{Config, Destination, Network};
use crate::listen::Peer;

/// Names of this machine: a `Host` header with one of them cannot lead anybody elsewhere.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Stands for an address that cannot be read: it is neither private nor anybody's.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// How the server is reached.
#[derive(Debug, Default)]
pub struct Reach {
    public: Option<Arc<str>>,
    hosts: Vec<Destination>,
    proxies: Vec<Network>,
    default_realm: String,
}

impl Reach {
    /// As configured.
    pub fn new(config: &Config) -> Self {
        let public = config.server.public_url.as_ref().map(|url| Arc::from(url.as_str()));
        let mut hosts = config.server.hosts.clone();
        hosts.extend(public.iter().filter_map(own_host));
        let default_realm = config.server.default_realm.clone();
        Self { hosts, public, proxies: config.server.trusted_proxies.clone(), default_realm }
    }

    /// The realm that URLs without one mean.
    pub fn default_realm(&self) -> &str {
        &self.default_realm
    }

    /// The names that requests may carry, for the message to who used another.
    pub(super) fn hosts(&self) -> String {
        let names = self.hosts.iter().map(|host| String::from(host.clone())).chain(LOOPBACK.map(str::to_owned));
        names.collect::<Vec<_>>().join(", ")
    }

    /// The configured address of this server.
    pub(crate) fn public(&self) -> Option<&str> {
        self.public.as_deref()
    }

    /// Whether a URL without a path is one that this server is reached at.
    pub(crate) fn is_base(&self, url: &str) -> bool {
        if let Some(public) = &self.public {
            return **public == *url;
        }
        let authority = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let named = authority.filter(|authority| !authority.contains('/')).and_then(host_and_port);
        named.is_some_and(|(host, _)| LOOPBACK.contains(&&*host) || (!host.is_empty() && self.is_own(&host)))
    }

    /// Who is calling, after trusted proxies, and whether over TLS.
    pub(crate) fn caller(&self, peer: Peer, headers: &HeaderMap) -> (IpAddr, bool) {
        let direct = peer.address.ip().to_canonical();
        let trusted = |address: IpAddr| self.proxies.iter().any(|proxy| proxy.contains(address));
        if !trusted(direct) {
            return (direct, peer.tls);
        }
        // Every line of a header: proxies add one as often as they make the first one longer.
        let lines = |name: HeaderName| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
        let list = lines(X_FORWARDED_FOR).collect::<Vec<_>>().join(",");
        let address = if list.is_empty() { direct } else { caller(&list, trusted) };
        let secure = match headers.contains_key(X_FORWARDED_PROTO) {
            true => lines(X_FORWARDED_PROTO).all(|proto| proto.trim().eq_ignore_ascii_case("https")),
            false => peer.tls,
        };
        (address, secure)
    }

    /// Finds out who is calling and under which name. `Err` for a name that is not ours.
    pub(super) fn context<B>(
        &self,
        now: Instant,
        request_id: RequestId,
        peer: Peer,
        request: &Request<B>,
    ) -> Result<Context, Box<Context>> {
        let direct = peer.address.ip().to_canonical();
        let trusted = |address: IpAddr| self.proxies.iter().any(|proxy| proxy.contains(address));
        let headers = request.headers();
        let lines = |name: HeaderName| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
        let (address, secure) = self.caller(peer, headers);
        let mut context = Context { now, address, secure, base: Arc::default(), request_id };
        let mut forwarded_host = Named::Not;
        if trusted(direct) {
            forwarded_host = Named::by(lines(X_FORWARDED_HOST));
        }
        let named = match (forwarded_host, Named::by(lines(HOST))) {
            (Named::Once(one), _) | (Named::Not, Named::Once(one)) => Some(one),
            (Named::Not, Named::Not) => request.uri().authority().map(|authority| authority.as_str()),
            _ => None,
        };
        let (host, port) = named.and_then(host_and_port).unwrap_or_default();
        let known = LOOPBACK.contains(&&*host) || (!host.is_empty() && self.is_own(&host));
        context.base = match &self.public {
            Some(public) => public.clone(),
            None => {
                let scheme = if context.secure { "https" } else { "http" };
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                Arc::from([scheme, "://", &host, &port].concat())
            }
        };
        if known { Ok(context) } else { Err(Box::new(context)) }
    }

    fn is_own(&self, host: &str) -> bool {
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse().unwrap_or(NOBODY);
        self.hosts.iter().any(|own| own.covers(host, literal))
    }
}

/// How often a request names something that it may name once.
#[derive(Clone, Copy)]
enum Named<'a> {
    Not,
    Once(&'a str),
    Often,
}

impl<'a> Named<'a> {
    fn by(mut lines: impl Iterator<Item = &'a str>) -> Self {
        match (lines.next(), lines.next()) {
            (None, _) => Self::Not,
            (Some(one), None) => Self::Once(one),
            (Some(_), Some(_)) => Self::Often,
        }
    }
}

/// The host that a public URL names.
fn own_host(url: &Arc<str>) -> Option<Destination> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    host_and_port(authority)?.0.parse().ok()
}

/// The last address of the list that no trusted proxy wrote about itself; [`NOBODY`] where one cannot be read.
fn caller(list: &str, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut caller = NOBODY;
    for entry in list.rsplit(',').map(str::trim) {
        // Some proxies write the port as well.
        let with_port = || entry.parse::<SocketAddr>().map(|address| address.ip());
        let bare = entry.trim_start_matches('[').trim_end_matches(']');
        caller = bare.parse::<IpAddr>().or_else(|_| with_port()).map_or(NOBODY, |address| address.to_canonical());
        if !trusted(caller) {
            break;
        }
    }
    caller
}

/// The host of an authority in lower case, and its port. `None` for what is not an authority.
fn host_and_port(authority: &str) -> Option<(Cow<'_, str>, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(_) => {
            let end = authority.find(']')? + 1;
            (authority.get(..end)?, authority.get(end..)?)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port.strip_prefix(':') {
        None => None,
        Some(port) => Some(port.parse::<u16>().ok().filter(|_| !port.starts_with('+'))?),
    };
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let host = match host.chars().any(|c| c.is_ascii_uppercase()) {
        true => Cow::Owned(host.to_ascii_lowercase()),
        false => Cow::Borrowed(host),
    };
    (!host.is_empty() && host.chars().all(fine)).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn reach(public: Option<&str>, proxies: &[&str]) -> Reach {
        Reach {
            public: public.map(std::sync::Arc::from),
            hosts: public.and_then(|url| super::own_host(&std::sync::Arc::from(url))).into_iter().collect(),
            proxies: proxies.iter().map(|proxy| proxy.parse::<Network>().expect("a network")).collect(),
            default_realm: String::new(),
        }
    }

    fn base(reach: &Reach, headers: &[(&str, &str)]) -> Option<String> {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let peer = Peer { address: SocketAddr::from(([127, 0, 0, 1], 0)), tls: false };
        let id = RequestId::after(&AtomicU64::new(0));
        reach.context(Instant::from_seconds(0), id, peer, &request).ok().map(|context| context.base.to_string())
    }

    #[test]
    fn a_strange_host_is_refused() {
        let local = reach(None, &[]);
        assert_eq!(base(&local, &[("host", "127.0.0.1:8080")]).as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(base(&local, &[("host", "[::1]:8080")]).as_deref(), Some("http://[::1]:8080"));
        assert_eq!(base(&local, &[("host", "LOCALHOST:08080")]).as_deref(), Some("http://localhost:8080"));
        assert_eq!(base(&local, &[("host", "localhost"), ("host", "localhost")]), None);
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "",
            "localhost@evil",
            "localhost:x",
            "127.0.0.1 ",
            "localhost/@evil.com",
            "localhost/",
            "localhost?x",
            "localhost:+80",
            "localhost:80:80",
            "localhost:99999",
        ] {
            assert_eq!(base(&local, &[("host", host)]), None, "{host}");
        }
    }

    #[test]
    fn a_fixed_address_stays_whatever_is_asked() {
        let fixed = reach(Some("https://id.example"), &[]);
        for host in ["id.example", "ID.example:443", "localhost"] {
            assert_eq!(base(&fixed, &[("host", host)]).as_deref(), Some("https://id.example"), "{host}");
        }
        assert_eq!(base(&fixed, &[("host", "other.example")]), None);
    }

    #[test]
    fn forwarded_headers_count_from_trusted_proxies_only() {
        let headers = [("host", "localhost"), ("x-forwarded-host", "127.0.0.1:9"), ("x-forwarded-proto", "https")];
        assert_eq!(base(&reach(None, &[]), &headers).as_deref(), Some("http://localhost"));
        let behind = reach(None, &["127.0.0.0/8"]);
        assert_eq!(base(&behind, &headers).as_deref(), Some("https://127.0.0.1:9"));
        let contradicting = [("host", "localhost"), ("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")];
        assert_eq!(base(&behind, &contradicting).as_deref(), Some("http://localhost"));
        let two = [("host", "localhost"), ("x-forwarded-host", "localhost"), ("x-forwarded-host", "127.0.0.1")];
        assert_eq!(base(&behind, &two), None);
    }

    #[test]
    fn the_caller_is_the_last_stranger() {
        let trusted = |address: std::net::IpAddr| address.to_string().starts_with("10.");
        let found = |list: &str| caller(list, trusted).to_string();
        assert_eq!(found("203.0.113.9, 10.0.0.2"), "203.0.113.9");
        assert_eq!(found("1.2.3.4, 203.0.113.9"), "203.0.113.9");
        assert_eq!(found("203.0.113.9:4711"), "203.0.113.9");
        assert_eq!(found("[2001:db8::1]:4711, 10.0.0.2"), "2001:db8::1");
        assert_eq!(found("10.0.0.3"), "10.0.0.3");
        for bad in ["nonsense", "nonsense, 10.0.0.2", "203.0.113.9, nonsense", "203.0.113.9,", "unknown"] {
            assert_eq!(found(bad), "0.0.0.0", "{bad}");
        }
    }
}
