//! Where a run may connect to: one host and one port, in exactly one spelling.
//!
//! One spelling, so that a list of them is compared byte for byte: what a contract asks for, what an operator allows
//! and what a request names. Whatever a resolver or a browser would read as an address in disguise (`0x7f.1`,
//! `127.1`, `[::ffff:127.0.0.1]`) is no destination. Whether its address may be reached is not judged here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Serialize, Serializer};

/// Bytes of a host name (RFC 1035, without the root's dot).
const NAME_BYTES: usize = 253;
/// Bytes of one label.
const LABEL_BYTES: usize = 63;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    host: Host,
    port: u16,
}

/// The host of a destination.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// A lower-case name of letters, digits and hyphens, with at least one dot and none at its end.
    Name(String),
    /// An address in its canonical form; never an IPv4 address in IPv6 clothes.
    Address(IpAddr),
}

/// Why a text is not a destination: the rule that it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// No port, or not in canonical decimal.
    #[error("is not host:port with a port from 1 to 65535 in plain decimal")]
    Port,
    /// Neither a name nor an address.
    #[error(
        "does not name a host by a lower-case name with a dot in it (a-z 0-9 - and dots, none at the end; other \
         letters as xn--…) or by an IP address in its canonical form (IPv6 in brackets)"
    )]
    Host,
}

impl Destination {
    /// Reads the one spelling.
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        let (host, port) = text.rsplit_once(':').ok_or(DestinationError::Port)?;
        let digits = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
        let port = port.parse().ok().filter(|_| digits).ok_or(DestinationError::Port)?;
        let host = Host::parse(host).ok_or(DestinationError::Host)?;
        Ok(Self { host, port })
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port, never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            let canonical = address.to_ipv4_mapped().is_none() && format!("[{address}]") == text;
            return canonical.then_some(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return (address.to_string() == text).then_some(Self::Address(address.into()));
        }
        is_name(text).then(|| Self::Name(text.to_owned()))
    }
}

/// A name whose last label begins with a letter: others are read as an IPv4 address by some (WHATWG URL, `inet_aton`).
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=LABEL_BYTES).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or("");
    text.len() <= NAME_BYTES
        && text.contains('.')
        && text.split('.').all(label)
        && last.starts_with(|first: char| first.is_ascii_lowercase())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Serialize for Destination {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_is_a_destination_and_is_written_as_it_was_read() {
        for text in [
            "example.org:443",
            "a.b-c.example:1",
            "xn--bcher-kva.example:65535",
            "0x7f.1.example:8443",
            "203.0.113.7:443",
            "127.0.0.1:80",
            "[2001:db8::1]:443",
            "[::1]:1",
        ] {
            assert_eq!(Destination::parse(text).unwrap().to_string(), text);
        }
        let long = format!("{}:443", [&"a".repeat(63); 3].map(String::as_str).join(".") + ".example");
        assert_eq!(Destination::parse(&long).unwrap().to_string(), long);
    }

    #[test]
    fn every_other_spelling_is_refused() {
        for text in ["example.org", "example.org:", "example.org:0", "example.org:0443", "example.org:65536"]
        {
            assert_eq!(Destination::parse(text), Err(DestinationError::Port), "{text}");
        }
        for text in ["", ":", "example.org:+443", "example.org:4 3", "example.org:443 ", "example.org:٤٤٣"]
        {
            assert_eq!(Destination::parse(text), Err(DestinationError::Port), "{text}");
        }
        let label = format!("{}.example:443", "a".repeat(LABEL_BYTES + 1));
        let name = format!("{}example:443", "aaaaaaa.".repeat(NAME_BYTES / 8));
        for text in [
            "localhost:443",
            "Example.org:443",
            "example.org.:443",
            ".example.org:443",
            "a..b:443",
            "*.example.org:443",
            "-a.example:443",
            "a-.example:443",
            "a_b.example:443",
            "bücher.example:443",
            "user@example.org:443",
            "https://example.org:443",
            "example.org/x:443",
            "example.org:443:443",
            "0x7f.1:443",
            "127.1:443",
            "127.0.0.01:443",
            "0177.0.0.1:443",
            "2130706433:443",
            "1.2.3.4.5:443",
            "example.0x1:443",
            "::1:443",
            "[::1:443",
            "[::0001]:443",
            "[0:0:0:0:0:0:0:1]:443",
            "[::FFFF]:443",
            "[::ffff:127.0.0.1]:443",
            "[fe80::1%eth0]:443",
            "[127.0.0.1]:443",
            "exa mple.org:443",
            "example.org\0:443",
            &label,
            &name,
        ] {
            assert_eq!(Destination::parse(text), Err(DestinationError::Host), "{text}");
        }
    }
}
