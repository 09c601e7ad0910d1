//! Where model requests go: an address on this machine, named by the operator.
//!
//! This version speaks plain HTTP to loopback only. Anything further away would need TLS and prices, and is refused
//! when the configuration is read rather than when the first request is made.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hyper::Uri;

/// A model endpoint on loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Where to connect.
    pub address: SocketAddr,
    /// What the `Host` header says.
    pub authority: String,
    /// The request target: the endpoint's path and `/responses`.
    pub target: String,
}

/// Why an endpoint cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL of the form wanted. Not repeated: what stands in its place, or as user info or query, could be a key.
    #[error(
        "the endpoint is not a URL like `http://127.0.0.1:8080/v1`, without user info, query or fragment; a key is \
         named with `key = …`"
    )]
    NotAUrl,
    /// TLS.
    #[error(
        "the endpoint `{0}` uses https, which this version does not speak; run a local gateway that holds the TLS \
         side and name it here as `http://127.0.0.1:PORT/…`"
    )]
    Tls(String),
    /// Not this machine.
    #[error(
        "the endpoint `{0}` is not on loopback, and plain http must not leave the machine; run a local gateway and \
         name it here as `http://127.0.0.1:PORT/…`"
    )]
    NotLoopback(String),
}

impl Upstream {
    /// Reads the operator's endpoint: a base URL to which `/responses` is added.
    pub fn parse(endpoint: &str) -> Result<Self, EndpointError> {
        let shown = crate::vocab::shown(endpoint);
        if endpoint.contains(['@', '?', '#']) {
            return Err(EndpointError::NotAUrl);
        }
        let uri: Uri = endpoint.parse().map_err(|_| EndpointError::NotAUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(EndpointError::NotAUrl);
        };
        if scheme == "https" {
            return Err(EndpointError::Tls(shown));
        }
        if scheme != "http" {
            return Err(EndpointError::NotAUrl);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let ip = match host {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            literal => literal.parse().map_err(|_| EndpointError::NotLoopback(shown.clone()))?,
        };
        if !ip.is_loopback() {
            return Err(EndpointError::NotLoopback(shown));
        }
        Ok(Self {
            address: SocketAddr::new(ip, authority.port_u16().unwrap_or(80)),
            authority: authority.as_str().to_owned(),
            target: format!("{}/responses", uri.path().trim_end_matches('/')),
        })
    }
}

/// Whether an endpoint is one that this version can speak to: plain HTTP on loopback.
#[must_use]
pub fn is_loopback(endpoint: &str) -> bool {
    Upstream::parse(endpoint).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_over_plain_http_only() {
        let upstream = Upstream::parse("http://127.0.0.1:8080/v1/").unwrap();
        assert_eq!(upstream.address.to_string(), "127.0.0.1:8080");
        assert_eq!(upstream.target, "/v1/responses");
        assert_eq!(Upstream::parse("http://localhost:9").unwrap().target, "/responses");
        assert_eq!(Upstream::parse("http://[::1]:9/x").unwrap().address.to_string(), "[::1]:9");
        assert!(matches!(Upstream::parse("https://127.0.0.1/v1"), Err(EndpointError::Tls(_))));
        for far in [
            "http://10.0.0.1/v1",
            "http://example.com/v1",
            "http://127.0.0.1.example.com/",
            "http://0.0.0.0/",
        ] {
            assert!(matches!(Upstream::parse(far), Err(EndpointError::NotLoopback(_))), "{far}");
        }
        for bad in [
            "",
            "v1",
            "/v1",
            "ftp://127.0.0.1/",
            "http://u@127.0.0.1/",
            "http://127.0.0.1/?a=b",
            "unix:/x",
            "https://u:p@127.0.0.1/",
            "http://10.0.0.1/?a=b",
        ] {
            assert!(matches!(Upstream::parse(bad), Err(EndpointError::NotAUrl)), "{bad}");
        }
    }
}
