//! Addresses that are trusted or may be reached: networks, and hosts by name.
//!
//! Written and read as text like the other values; see `values`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::values::{Invalid, written_as_text};

written_as_text!(Network, Destination);

/// One address, or a block of them in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether the address is in the block. An IPv4 address written in IPv6 form counts as IPv4: that is how a dual-stack socket
    /// reports its peers.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.bits).is_some_and(|block| block == self.address)
    }
}

/// The address with everything beyond its first bits cleared; nothing when it does not have so many.
fn masked(address: IpAddr, bits: u8) -> Option<IpAddr> {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(u32::BITS.checked_sub(bits)?).unwrap_or(0);
            Some(IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask)))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(u128::BITS.checked_sub(bits)?).unwrap_or(0);
            Some(IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask)))
        }
    }
}

/// How many bits an address of this family has.
fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl FromStr for Network {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid(format!("\"{text}\" is not an address or a network such as 10.0.0.0/8"));
        let Some((address, bits)) = text.split_once('/') else {
            let address = text.parse::<IpAddr>().map_err(|_| invalid())?.to_canonical();
            return Ok(Self { address, bits: width(address) });
        };
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let bits: u8 = bits.parse().map_err(|_| invalid())?;
        let block = masked(address, bits).ok_or_else(invalid)?;
        // Whoever writes 10.1.2.3/8 may mean either the one host or the block: trust must not rest on a guess.
        if block != address {
            return Err(Invalid(format!(
                "\"{text}\" names a host inside a network: write {address} or {block}/{bits}"
            )));
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.address) { self.address.fmt(f) } else { write!(f, "{}/{}", self.address, self.bits) }
    }
}

/// A place that an outbound request may reach although it is not public: a network, or a host by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Destination {
    /// Every host whose address is in the network.
    Network(Network),
    /// This host, whatever its address; in lower case.
    Host(String),
}

impl Destination {
    /// Whether a request for the host, which resolved to the address, is meant by this entry.
    #[must_use]
    pub fn covers(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Network(network) => network.contains(address),
            Self::Host(name) => name.eq_ignore_ascii_case(host),
        }
    }
}

impl FromStr for Destination {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        let label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        // A last label of digits is an address with a slip in it, never a host.
        let address_like = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        if text.len() > 253 || address_like || !text.split('.').all(label) {
            return Err(Invalid(format!("\"{text}\" is not a host name, an address or a network such as 10.0.0.0/8")));
        }
        Ok(Self::Host(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Host(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn refusal<T: FromStr<Err = Invalid>>(text: &str) -> Option<String> {
        text.parse::<T>().err().map(|invalid| invalid.to_string())
    }

    #[test]
    fn a_network_contains_its_addresses_and_no_others() -> Outcome {
        let cases = [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("::ffff:192.0.2.7", "192.0.2.7", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
        ];
        for (network, address, expected) in cases {
            let contains = network.parse::<Network>()?.contains(address.parse()?);
            assert_eq!(contains, expected, "{network} {address}");
        }
        Ok(())
    }

    #[test]
    fn a_network_is_refused_rather_than_guessed() {
        for wrong in ["10.0.0.0/33", "10.0.0/8", "::/129", "host", "10.0.0.0/", "10.0.0.0/8/8"] {
            assert_eq!(
                refusal::<Network>(wrong),
                Some(format!("\"{wrong}\" is not an address or a network such as 10.0.0.0/8"))
            );
        }
        assert_eq!(
            refusal::<Network>("10.1.2.3/8"),
            Some("\"10.1.2.3/8\" names a host inside a network: write 10.1.2.3 or 10.0.0.0/8".to_owned())
        );
    }

    #[test]
    fn a_destination_is_a_network_or_a_host() -> Outcome {
        let host = "IdP.internal".parse::<Destination>()?;
        assert!(host.covers("idp.INTERNAL", "10.0.0.1".parse()?));
        assert!(!host.covers("other.internal", "10.0.0.1".parse()?));
        assert!("10.0.0.0/8".parse::<Destination>()?.covers("any", "10.0.0.1".parse()?));
        for wrong in ["", "10.0.0", "http://idp", "idp:8080", "-a", "a..b", "idp."] {
            assert_eq!(
                refusal::<Destination>(wrong),
                Some(format!("\"{wrong}\" is not a host name, an address or a network such as 10.0.0.0/8"))
            );
        }
        Ok(())
    }
}
