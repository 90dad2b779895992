//! Which addresses are public.
//!
//! After the registries of special-purpose addresses that IANA keeps (RFC 6890). Where the registries call a block
//! reachable although nobody serves key sets there (anycast relays, protocol assignments), it counts as not public: a
//! block too many can be allowed in the configuration, one too few cannot be taken back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of IPv4 addresses: where it begins, and how many bits all of it have in common.
type Block4 = (Ipv4Addr, u32);

/// The same for IPv6.
type Block6 = (Ipv6Addr, u32);

const NOT_PUBLIC_4: [Block4; 15] = [
    // "This network" (RFC 791); Linux takes 0.0.0.0 for itself.
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    // Private use (RFC 1918).
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Shared by carriers (RFC 6598); some clouds keep their metadata there.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    // Loopback (RFC 1122).
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local (RFC 3927); most clouds keep their metadata there.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Private use.
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    // Protocol assignments (RFC 6890), among them DS-Lite and NAT64 discovery.
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // Documentation (RFC 5737), here and twice below.
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // Relays of 6to4 (RFC 7526): gone.
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    // Private use.
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Benchmarking (RFC 2544).
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast (RFC 5771).
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    // Reserved (RFC 1112), and broadcast at its end.
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// All of global unicast (RFC 4291 section 2.4). What is outside is not public: unspecified and loopback,
/// IPv4-compatible (RFC 4291 section 2.5.5.1), local NAT64 (RFC 8215), discard (RFC 6666), segment routing (RFC 9602),
/// unique local (RFC 4193), link-local, site-local (RFC 3879), multicast.
const GLOBAL_6: Block6 = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

const NOT_PUBLIC_6: [Block6; 3] = [
    // Protocol assignments (RFC 2928): Teredo, benchmarking, ORCHID.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // Documentation (RFC 3849, RFC 9637).
    (Ipv6Addr::new(0x2001, 0x0db8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// 6to4 (RFC 3056): the IPv4 address follows the prefix.
const SIX_TO_FOUR: Block6 = (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);

/// NAT64 (RFC 6052): the IPv4 address is the end. In a network without IPv4 every server that has none but IPv4 looks
/// like this.
const NAT64: Block6 = (Ipv6Addr::new(0x0064, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Whether the address belongs to somebody on the Internet rather than to this machine, its neighbours, or nobody.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_4(address),
        IpAddr::V6(address) => match carried(address) {
            Some(inner) => is_public_4(inner),
            None => is_within_6(address, GLOBAL_6) && !NOT_PUBLIC_6.iter().any(|block| is_within_6(address, *block)),
        },
    }
}

fn is_public_4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_4.iter().any(|block| is_within_4(address, *block))
}

/// The IPv4 address that a packet to this IPv6 address reaches in the end.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return Some(mapped);
    }
    let [_, _, a, b, c, d, _, _, _, _, _, _, w, x, y, z] = address.octets();
    if is_within_6(address, SIX_TO_FOUR) {
        Some(Ipv4Addr::new(a, b, c, d))
    } else if is_within_6(address, NAT64) {
        Some(Ipv4Addr::new(w, x, y, z))
    } else {
        None
    }
}

fn is_within_4(address: Ipv4Addr, (begin, bits): Block4) -> bool {
    let differing = u32::from(address) ^ u32::from(begin);
    differing.leading_zeros() >= bits
}

fn is_within_6(address: Ipv6Addr, (begin, bits): Block6) -> bool {
    let differing = u128::from(address) ^ u128::from(begin);
    differing.leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use super::is_public;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn public_addresses_are_public() -> Outcome {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
            "2a00:1450:4001:800::200e",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert!(is_public(address.parse()?), "{address}");
        }
        Ok(())
    }

    #[test]
    fn the_others_are_not() -> Outcome {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::1.1.1.1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse()?), "{address}");
        }
        Ok(())
    }

    #[test]
    fn an_ipv4_address_inside_an_ipv6_address_counts_as_itself() -> Outcome {
        for inside in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1"]
        {
            for form in [format!("::ffff:{inside}"), format!("64:ff9b::{inside}"), format!("64:ff9b:1::{inside}")] {
                assert!(!is_public(form.parse()?), "{form}");
            }
            let [a, b, c, d] = inside.parse::<std::net::Ipv4Addr>()?.octets();
            let six_to_four = format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1");
            assert!(!is_public(six_to_four.parse()?), "{six_to_four}");
        }
        assert!(!is_public("64:ff9b:1::1.1.1.1".parse()?), "local NAT64 leads into the own network");
        Ok(())
    }
}
