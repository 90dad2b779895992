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
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let trusted = |address: IpAddr| self.proxies.iter().any(|proxy| proxy.contains(address));
        let forwarded = |name: &str| header(name).filter(|_| trusted(direct));
        let address = forwarded("x-forwarded-for").map_or(direct, |list| caller(list, direct, trusted));
        let secure = match forwarded("x-forwarded-proto") {
            Some(proto) => proto.trim().eq_ignore_ascii_case("https"),
            None => peer.tls,
        };
        let named =
            forwarded("x-forwarded-host").or_else(|| header("host")).or(parts.uri.authority().map(|a| a.as_str()));
        let host = named.and_then(host_of).unwrap_or_default();
        let literal =
            host.trim_start_matches('[').trim_end_matches(']').parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let known = LOOPBACK.contains(&host.to_ascii_lowercase().as_str())
            || self.hosts.iter().any(|own| !host.is_empty() && own.covers(host, literal));
        let base = match &self.public {
            Some(public) => public.clone(),
            None => Arc::from(format!("{}://{}", if secure { "https" } else { "http" }, named.unwrap_or_default())),
        };
        let context =
            Context { now, address, secure, base, request_id: Arc::from(entropy.hex::<8>().unwrap_or_default()) };
        if known { Ok(context) } else { Err(Box::new(context)) }
    }
}

/// The host that a public URL names.
fn own_host(url: &Arc<str>) -> Option<Destination> {
    host_of(url.split_once("://")?.1)?.parse().ok()
}

/// The last address of the list that no trusted proxy wrote about itself.
fn caller(list: &str, direct: IpAddr, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut caller = direct;
    for entry in list.rsplit(',') {
        let entry = entry.trim().trim_start_matches('[').trim_end_matches(']');
        let Ok(address) = entry.parse::<IpAddr>() else { break };
        caller = address.to_canonical();
        if !trusted(caller) {
            break;
        }
    }
    caller
}

/// The host of an authority, without the port. `None` for what is not one.
fn host_of(authority: &str) -> Option<&str> {
    let authority = authority.split('/').next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(_) => {
            let end = authority.find(']')? + 1;
            (authority.get(..end)?, authority.get(end..)?)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_is_fine = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    (port_is_fine && !host.is_empty() && host.chars().all(fine)).then_some(host)
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
        for host in ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil", "localhost:x", "127.0.0.1 "] {
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
        assert_eq!(base(&reach(None, &["127.0.0.0/8"]), &headers).as_deref(), Some("https://127.0.0.1:9"));
    }

    #[test]
    fn the_caller_is_the_last_stranger() {
        let trusted = |address: std::net::IpAddr| address.to_string().starts_with("10.");
        let direct = "10.0.0.1".parse().expect("an address");
        let found = |list: &str| caller(list, direct, trusted).to_string();
        assert_eq!(found("203.0.113.9, 10.0.0.2"), "203.0.113.9");
        assert_eq!(found("1.2.3.4, 203.0.113.9"), "203.0.113.9");
        assert_eq!(found("nonsense"), "10.0.0.1");
        assert_eq!(found("10.0.0.3"), "10.0.0.3");
    }
}
