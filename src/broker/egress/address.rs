//! What kind of address it is: only what is public may be dialled, unless the operator names the address itself.
//!
//! Judged by the registries of special-purpose addresses (RFC 6890 and its IANA registries, July 2026), not by names
//! of methods: a table can be read. An IPv4 address in IPv6 clothes is judged as what it is. What is not in the part
//! of IPv6 that is given out for global unicast is not public, whatever it may become.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// A kind of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Public,
    Unspecified,
    ThisNetwork,
    Loopback,
    LinkLocal,
    Metadata,
    Private,
    Shared,
    Benchmarking,
    Documentation,
    Multicast,
    Broadcast,
    Reserved,
    /// An address of this very host.
    Own,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public address",
            Self::Unspecified => "the unspecified address",
            Self::ThisNetwork => "an address of \"this network\"",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "an address of a cloud's metadata service",
            Self::Private => "a private address",
            Self::Shared => "an address of a carrier's shared range",
            Self::Benchmarking => "an address for benchmarks",
            Self::Documentation => "an address for documentation",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Reserved => "a reserved address",
            Self::Own => "an address of this host itself",
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

const fn v6(a: u16, b: u16, c: u16, d: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)
}

/// Prefixes that are not public; the first that fits counts.
const V4: &[(Ipv4Addr, u32, Class)] = &[
    (v4(0, 0, 0, 0), 32, Class::Unspecified),
    (v4(255, 255, 255, 255), 32, Class::Broadcast),
    (v4(169, 254, 169, 254), 32, Class::Metadata),
    (v4(100, 100, 100, 200), 32, Class::Metadata), // Alibaba
    (v4(168, 63, 129, 16), 32, Class::Metadata),   // Azure, in a range that is public elsewhere
    (v4(192, 0, 0, 192), 32, Class::Metadata),     // Oracle
    (v4(0, 0, 0, 0), 8, Class::ThisNetwork),
    (v4(127, 0, 0, 0), 8, Class::Loopback),
    (v4(169, 254, 0, 0), 16, Class::LinkLocal),
    (v4(10, 0, 0, 0), 8, Class::Private),
    (v4(172, 16, 0, 0), 12, Class::Private),
    (v4(192, 168, 0, 0), 16, Class::Private),
    (v4(100, 64, 0, 0), 10, Class::Shared),
    (v4(198, 18, 0, 0), 15, Class::Benchmarking),
    (v4(192, 0, 2, 0), 24, Class::Documentation),
    (v4(198, 51, 100, 0), 24, Class::Documentation),
    (v4(203, 0, 113, 0), 24, Class::Documentation),
    (v4(192, 0, 0, 0), 24, Class::Reserved),
    (v4(192, 88, 99, 0), 24, Class::Reserved), // relays of 6to4, given back
    (v4(224, 0, 0, 0), 4, Class::Multicast),
    (v4(240, 0, 0, 0), 4, Class::Reserved),
];

/// The same for IPv6, where nothing is embedded; outside of `2000::/3` nothing is public anyway.
const V6: &[(Ipv6Addr, u32, Class)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, Class::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Class::Loopback),
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128, Class::Metadata), // Amazon
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128, Class::Metadata),  // Google
    (v6(0xfe80, 0, 0, 0), 10, Class::LinkLocal),
    (v6(0xfec0, 0, 0, 0), 10, Class::Private), // site-local, given back
    (v6(0xfc00, 0, 0, 0), 7, Class::Private),
    (v6(0xff00, 0, 0, 0), 8, Class::Multicast),
    (v6(0x64, 0xff9b, 1, 0), 48, Class::Private), // a site's own translation, wherever it leads
    (v6(0x2001, 0x2, 0, 0), 48, Class::Benchmarking),
    (v6(0x2001, 0xdb8, 0, 0), 32, Class::Documentation),
    (v6(0x3fff, 0, 0, 0), 20, Class::Documentation),
    (v6(0x2001, 0, 0, 0), 23, Class::Reserved), // protocols, ORCHID
];

/// Translation by a well-known prefix (RFC 6052).
const NAT64: Ipv6Addr = v6(0x64, 0xff9b, 0, 0);
/// What is given out for global unicast.
const GLOBAL: Ipv6Addr = v6(0x2000, 0, 0, 0);

/// What kind of address it is, by the tables alone.
pub(super) fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(address) => class_v4(address),
        IpAddr::V6(address) => class_v6(address),
    }
}

fn class_v4(address: Ipv4Addr) -> Class {
    let within = |net: Ipv4Addr, bits: u32| {
        let mask = u32::MAX.checked_shl(u32::BITS - bits).unwrap_or(0);
        address.to_bits() & mask == net.to_bits()
    };
    V4.iter().find(|(net, bits, _)| within(*net, *bits)).map_or(Class::Public, |(_, _, class)| *class)
}

fn within_v6(address: Ipv6Addr, net: Ipv6Addr, bits: u32) -> bool {
    let mask = u128::MAX.checked_shl(u128::BITS - bits).unwrap_or(0);
    address.to_bits() & mask == net.to_bits()
}

fn class_v6(address: Ipv6Addr) -> Class {
    let inner = embedded(address).into_iter().map(class_v4).find(|class| *class != Class::Public);
    let named =
        || V6.iter().find(|(net, bits, _)| within_v6(address, *net, *bits)).map(|(_, _, class)| *class);
    if let Some(class) = inner {
        return class;
    }
    // Nothing that they embed is refused: these three are then as good as what they embed.
    let carriers = [(v6(0x2001, 0, 0, 0), 32), (NAT64, 96), (Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 96)];
    if carriers.iter().any(|(net, bits)| within_v6(address, *net, *bits)) {
        return Class::Public;
    }
    named().unwrap_or(if within_v6(address, GLOBAL, 3) { Class::Public } else { Class::Reserved })
}

/// The IPv4 addresses in an IPv6 address: mapped, compatible, translated, 6to4, Teredo (server and client), NAT64,
/// ISATAP.
fn embedded(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let bits = address.to_bits();
    let at =
        |shift: u32| Ipv4Addr::from_bits(u32::try_from((bits >> shift) & u128::from(u32::MAX)).unwrap_or(0));
    let [.., g4, g5, _, _] = address.segments();
    if matches!(address, Ipv6Addr::UNSPECIFIED | Ipv6Addr::LOCALHOST) {
        // Of the compatible form these two are not: they have meanings of their own.
        return Vec::new();
    }
    if within_v6(address, v6(0x2002, 0, 0, 0), 16) {
        return vec![at(80)];
    }
    if within_v6(address, v6(0x2001, 0, 0, 0), 32) {
        return vec![at(64), Ipv4Addr::from_bits(!at(0).to_bits())];
    }
    let mapped = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
    let translated = Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0);
    let last =
        [mapped, translated, NAT64, Ipv6Addr::UNSPECIFIED].iter().any(|net| within_v6(address, *net, 96));
    let isatap = matches!(g4, 0 | 0x200) && g5 == 0x5efe;
    if last || isatap { vec![at(0)] } else { Vec::new() }
}

/// Whether it is an address of this host: a socket can be bound to it. (Which source address the kernel would choose
/// is not asked: for an interface's second address that is its first.) Where a host lets sockets be bound to any
/// address, every address is its own.
pub(super) fn is_own(address: IpAddr) -> std::io::Result<bool> {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => Ok(false),
        // A host without IPv6 has no address in it.
        Err(error) if address.is_ipv6() && error.raw_os_error() == Some(NO_FAMILY) => Ok(false),
        Err(error) => Err(error),
    }
}

/// `EAFNOSUPPORT`.
const NO_FAMILY: i32 = 97;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Class {
        class(text.parse().unwrap())
    }

    #[test]
    fn every_special_range_is_known_from_its_first_address_to_its_last() {
        for (first, last, class) in [
            ("0.0.0.0", "0.0.0.0", Class::Unspecified),
            ("0.0.0.1", "0.255.255.255", Class::ThisNetwork),
            ("10.0.0.0", "10.255.255.255", Class::Private),
            ("100.64.0.0", "100.127.255.255", Class::Shared),
            ("127.0.0.0", "127.255.255.255", Class::Loopback),
            ("169.254.0.0", "169.254.255.255", Class::LinkLocal),
            ("169.254.169.254", "169.254.169.254", Class::Metadata),
            ("100.100.100.200", "100.100.100.200", Class::Metadata),
            ("168.63.129.16", "168.63.129.16", Class::Metadata),
            ("172.16.0.0", "172.31.255.255", Class::Private),
            ("192.0.0.0", "192.0.0.255", Class::Reserved),
            ("192.0.2.0", "192.0.2.255", Class::Documentation),
            ("192.88.99.0", "192.88.99.255", Class::Reserved),
            ("192.168.0.0", "192.168.255.255", Class::Private),
            ("198.18.0.0", "198.19.255.255", Class::Benchmarking),
            ("198.51.100.0", "198.51.100.255", Class::Documentation),
            ("203.0.113.0", "203.0.113.255", Class::Documentation),
            ("224.0.0.0", "239.255.255.255", Class::Multicast),
            ("240.0.0.0", "255.255.255.254", Class::Reserved),
            ("255.255.255.255", "255.255.255.255", Class::Broadcast),
            ("::", "::", Class::Unspecified),
            ("::1", "::1", Class::Loopback),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", Class::Private),
            ("100::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Class::Reserved),
            ("2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", Class::Reserved),
            ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", Class::Benchmarking),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Class::Documentation),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Class::Documentation),
            ("4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Class::Reserved),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Class::Private),
            ("fd00:ec2::254", "fd00:ec2::254", Class::Metadata),
            ("fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Class::Reserved),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Class::LinkLocal),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Class::Private),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Class::Multicast),
        ] {
            assert_eq!((of(first), of(last)), (class, class), "{first} to {last}");
        }
    }

    #[test]
    fn what_lies_beside_a_special_range_is_public() {
        for text in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::",
            "2001:200::1",
            "2001:db9::",
            "2606:4700::1",
            "2620:4f:8000::",
            "3ffe::1",
            "3fff:1000::",
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert_eq!(of(text), Class::Public, "{text}");
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_judged_as_what_it_is() {
        let kinds = [
            ([127_u8, 0, 0, 1], Class::Loopback),
            ([10, 1, 2, 3], Class::Private),
            ([169, 254, 169, 254], Class::Metadata),
            ([169, 254, 1, 1], Class::LinkLocal),
            ([100, 64, 0, 1], Class::Shared),
            ([224, 0, 0, 1], Class::Multicast),
            ([255, 255, 255, 255], Class::Broadcast),
            ([0, 1, 2, 3], Class::ThisNetwork),
        ];
        for (octets, class) in kinds {
            let [a, b, c, d] = octets.map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            for clothed in [
                format!("::ffff:{high:x}:{low:x}"),
                format!("::{high:x}:{low:x}"),
                format!("::ffff:0:{high:x}:{low:x}"),
                format!("64:ff9b::{high:x}:{low:x}"),
                format!("2002:{high:x}:{low:x}::1"),
                format!("2002:{high:x}:{low:x}:ffff:ffff:ffff:ffff:ffff"),
                // Teredo: the server's, then the client's with its bits turned over.
                format!("2001:0:{high:x}:{low:x}:0:0:f7f7:f7f7"),
                format!("2001:0:808:808:0:0:{:x}:{:x}", !high, !low),
                format!("2606:4700::5efe:{high:x}:{low:x}"),
                format!("2606:4700::200:5efe:{high:x}:{low:x}"),
            ] {
                assert_eq!(of(&clothed), class, "{clothed}");
            }
        }
        for public in ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2001:0:808:808::f7f7:f7f7"] {
            assert_eq!(of(public), Class::Public, "{public}");
        }
        assert_eq!((of("::8.8.8.8"), of("::ffff:0:8.8.8.8")), (Class::Reserved, Class::Reserved));
    }

    #[test]
    fn ones_own_addresses_are_known_and_others_are_not_taken_for_them() {
        for own in ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1"] {
            assert!(is_own(own.parse().unwrap()).unwrap(), "{own}");
        }
        for other in ["192.0.2.1", "198.51.100.7", "2001:db8::1", "8.8.8.8"] {
            assert!(!is_own(other.parse().unwrap()).unwrap(), "{other}");
        }
    }
}
