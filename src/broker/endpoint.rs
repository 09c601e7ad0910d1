//! Where model requests go: a base URL named by the operator.
//!
//! Plain HTTP is spoken to loopback only: to anything further away the key and the task would lie open on the wire.
//! TLS is spoken to any host. What is wrong with an endpoint is said when the configuration is read and not when the
//! first request is made.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hyper::Uri;

use super::dialect::Dialect;

/// A model endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Where to connect.
    pub peer: Peer,
    /// What the `Host` header says.
    pub authority: String,
    /// The endpoint's path, without a slash at its end.
    base: String,
}

/// Where to connect, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Plain HTTP, on this machine.
    Loopback(SocketAddr),
    /// TLS, to the host of this name or address.
    Tls {
        /// As its certificate names it.
        host: String,
        /// TCP.
        port: u16,
    },
}

/// Why an endpoint cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL of the form wanted. Not repeated: what stands in its place, or as user info or query, could be a key.
    #[error(
        "the endpoint is not a URL like `https://api.example.com/v1` or `http://127.0.0.1:8080/v1`, without user info, \
         query or fragment; a key is named with `key = …`"
    )]
    NotAUrl,
    /// Not this machine.
    #[error(
        "the endpoint `{0}` is not on loopback, and plain http must not leave the machine; write `https://…`"
    )]
    NotLoopback(String),
}

impl Upstream {
    /// Reads the operator's endpoint: a base URL to which the operation's name is added.
    pub fn parse(endpoint: &str) -> Result<Self, EndpointError> {
        let shown = crate::vocab::shown(endpoint);
        if endpoint.contains(['@', '?', '#']) {
            return Err(EndpointError::NotAUrl);
        }
        let uri: Uri = endpoint.parse().map_err(|_| EndpointError::NotAUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(EndpointError::NotAUrl);
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let peer = match scheme {
            "https" if !host.is_empty() => {
                Peer::Tls { host: host.to_ascii_lowercase(), port: authority.port_u16().unwrap_or(443) }
            }
            "http" => {
                let ip = match host {
                    "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
                    literal => literal.parse().map_err(|_| EndpointError::NotLoopback(shown.clone()))?,
                };
                if !ip.is_loopback() {
                    return Err(EndpointError::NotLoopback(shown));
                }
                Peer::Loopback(SocketAddr::new(ip, authority.port_u16().unwrap_or(80)))
            }
            _ => return Err(EndpointError::NotAUrl),
        };
        Ok(Self {
            peer,
            authority: authority.as_str().to_owned(),
            base: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The request target of `dialect`'s one operation.
    #[must_use]
    pub fn target(&self, dialect: Dialect) -> String {
        format!("{}/{}", self.base, dialect.operation())
    }
}

/// Whether an endpoint is on this machine. Only there it may be declared to cost nothing.
#[must_use]
pub fn is_loopback(endpoint: &str) -> bool {
    Upstream::parse(endpoint).is_ok_and(|upstream| matches!(upstream.peer, Peer::Loopback(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine_and_tls_goes_anywhere() {
        let upstream = Upstream::parse("http://127.0.0.1:8080/v1/").unwrap();
        assert_eq!(upstream.peer, Peer::Loopback("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(upstream.target(Dialect::Responses), "/v1/responses");
        assert_eq!(Upstream::parse("http://localhost:9").unwrap().target(Dialect::Messages), "/messages");
        assert_eq!(
            Upstream::parse("http://[::1]:9/x").unwrap().peer,
            Peer::Loopback("[::1]:9".parse().unwrap())
        );
        let tls = |host: &str, port| Peer::Tls { host: host.to_owned(), port };
        assert_eq!(Upstream::parse("https://API.example.com/v1").unwrap().peer, tls("api.example.com", 443));
        assert_eq!(Upstream::parse("https://127.0.0.1:8443/v1").unwrap().peer, tls("127.0.0.1", 8443));
        assert!(is_loopback("http://127.0.0.1/") && !is_loopback("https://127.0.0.1/"));
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
            "https://api.example.com/?key=x",
            "http://10.0.0.1/?a=b",
        ] {
            assert!(matches!(Upstream::parse(bad), Err(EndpointError::NotAUrl)), "{bad}");
        }
    }
}
