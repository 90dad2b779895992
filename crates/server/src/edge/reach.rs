//! Under which names and through which proxies the server is reached.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use grantor_flows::entropy::Entropy;
use grantor_model::Instant;
use http::request::Parts;

use super::Context;
use crate::config::{Config, Destination, Network};
use crate::listen::Peer;

/// Names of this machine: a `Host` header with one of them cannot lead anybody elsewhere.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Stands for an address that cannot be read: it is neither private nor anybody's.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// How the server is reached.
#[derive(Debug, Default)]
pub struct Reach {
    public: Option<Arc<str>>,
    hosts: Vec<Destination>,
    proxies: Vec<Network>,
}

impl Reach {
    /// As configured.
    pub fn new(config: &Config) -> Self {
        let public = config.server.public_url.as_ref().map(|url| Arc::from(url.as_str()));
        let mut hosts = config.server.hosts.clone();
        hosts.extend(public.iter().filter_map(own_host));
        Self { hosts, public, proxies: config.server.trusted_proxies.clone() }
    }

    /// The names that requests may carry, for the message to who used another.
    pub(super) fn hosts(&self) -> String {
        let names = self.hosts.iter().map(|host| String::from(host.clone())).chain(LOOPBACK.map(str::to_owned));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Finds out who is calling and under which name. `Err` for a name that is not ours.
    pub(super) fn context(
        &self,
        now: Instant,
        entropy: &Entropy,
        peer: Option<Peer>,
        parts: &Parts,
    ) -> Result<Context, Box<Context>> {
        let peer = peer.unwrap_or(Peer { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), tls: false });
        let direct = peer.address.ip().to_canonical();
        let trusted = |address: IpAddr| self.proxies.iter().any(|proxy| proxy.contains(address));
        // Every line of a header: proxies add one as often as they make the first one longer.
        let lines = |name: &str| -> Vec<&str> {
            parts.headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect()
        };
        let forwarded = |name: &str| if trusted(direct) { lines(name) } else { Vec::new() };
        let address = match forwarded("x-forwarded-for").join(",").as_str() {
            "" => direct,
            list => caller(list, trusted),
        };
        let secure = match forwarded("x-forwarded-proto").as_slice() {
            [] => peer.tls,
            protos => protos.iter().all(|proto| proto.trim().eq_ignore_ascii_case("https")),
        };
        let own = lines("host");
        let named = match (forwarded("x-forwarded-host").as_slice(), own.as_slice()) {
            ([one], _) | ([], [one]) => Some(*one),
            ([], []) => parts.uri.authority().map(|authority| authority.as_str()),
            _ => None,
        };
        let (host, port) = named.and_then(host_and_port).unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse().unwrap_or(NOBODY);
        let known = LOOPBACK.contains(&host.as_str())
            || self.hosts.iter().any(|own| !host.is_empty() && own.covers(&host, literal));
        let base = match &self.public {
            Some(public) => public.clone(),
            None => Arc::from(format!("{}://{host}{port}", if secure { "https" } else { "http" })),
        };
        let context =
            Context { now, address, secure, base, request_id: Arc::from(entropy.hex::<8>().unwrap_or_default()) };
        if known { Ok(context) } else { Err(Box::new(context)) }
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

/// The host of an authority in lower case, and its port with the colon. `None` for what is not an authority.
fn host_and_port(authority: &str) -> Option<(String, String)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(_) => {
            let end = authority.find(']')? + 1;
            (authority.get(..end)?, authority.get(end..)?)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port.strip_prefix(':') {
        None => String::new(),
        Some(port) => format!(":{}", port.parse::<u16>().ok().filter(|_| !port.starts_with('+'))?),
    };
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    (!host.is_empty() && host.chars().all(fine)).then(|| (host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::{Reach, caller};
    use crate::config::Network;
    use grantor_flows::entropy::Entropy;
    use http::Request;

    fn reach(public: Option<&str>, proxies: &[&str]) -> Reach {
        Reach {
            public: public.map(std::sync::Arc::from),
            hosts: public.and_then(|url| super::own_host(&std::sync::Arc::from(url))).into_iter().collect(),
            proxies: proxies.iter().map(|proxy| proxy.parse::<Network>().expect("a network")).collect(),
        }
    }

    fn base(reach: &Reach, headers: &[(&str, &str)]) -> Option<String> {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).expect("a request").into_parts().0;
        reach
            .context(grantor_model::Instant::from_seconds(0), &Entropy::new(), None, &parts)
            .ok()
            .map(|context| context.base.to_string())
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
