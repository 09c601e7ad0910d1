//! Which destinations, with which exceptions, within which bounds; and whether a CONNECT asks for one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header;
use hyper::{Request, StatusCode, Version};

use super::resolve::{Resolve, SystemResolver};
use crate::broker::refuse::Refusal;
use crate::vocab::{Destination, DestinationError};

/// Headers that a CONNECT cannot have: it has no body, and becomes nothing but a tunnel.
const NOT_IN_CONNECT: [header::HeaderName; 4] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE, header::EXPECT];

/// Where a run may connect to besides its model.
#[derive(Debug, Clone)]
pub struct Egress {
    /// By the text that a request names.
    allowed: BTreeMap<String, Destination>,
    /// Addresses that may be dialled although their class is refused.
    exceptions: BTreeSet<IpAddr>,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) bounds: Bounds,
}

/// How long and how much.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// For a name's addresses.
    pub(super) resolving: Duration,
    /// For a connection.
    pub(super) dialling: Duration,
    /// For the whole hello.
    pub(super) hello: Duration,
    /// Without a byte in either direction.
    pub(super) silence: Duration,
    /// Bytes out, of all tunnels of a run.
    pub(super) sent: u64,
    /// Bytes in, of all tunnels of a run.
    pub(super) received: u64,
}

impl Bounds {
    /// Generous for a download of dependencies; what goes out is less.
    const STANDARD: Self = Self {
        resolving: Duration::from_secs(10),
        dialling: Duration::from_secs(10),
        hello: Duration::from_secs(10),
        silence: Duration::from_mins(5),
        sent: 256 * 1024 * 1024,
        received: 8 * 1024 * 1024 * 1024,
    };
}

/// An entry that is no destination. Contracts and configurations are checked before, so this one was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {source}")]
pub struct NotADestination {
    text: String,
    source: DestinationError,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            allowed: BTreeMap::new(),
            exceptions: BTreeSet::new(),
            resolver: Arc::new(SystemResolver::default()),
            bounds: Bounds::STANDARD,
        }
    }
}

impl Egress {
    /// A way to each of what `asked` names that is also in `policy`, and to nothing else. Addresses of refused classes
    /// are dialled only where `exceptions` has them.
    pub fn new(
        asked: &[String],
        policy: &BTreeSet<Destination>,
        exceptions: &BTreeSet<IpAddr>,
    ) -> Result<Self, NotADestination> {
        let mut allowed = BTreeMap::new();
        for text in asked {
            let destination = Destination::parse(text)
                .map_err(|source| NotADestination { text: crate::vocab::shown(text), source })?;
            if policy.contains(&destination) {
                allowed.insert(destination.to_string(), destination);
            }
        }
        Ok(Self { allowed, exceptions: exceptions.clone(), ..Self::default() })
    }

    /// The same ways, with another resolver than the system's.
    #[must_use]
    pub fn resolving_by(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Whether there is no way at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allowed.is_empty()
    }

    /// Every destination, as a request names it.
    pub fn destinations(&self) -> impl Iterator<Item = &str> {
        self.allowed.keys().map(String::as_str)
    }

    pub(super) fn is_excepted(&self, address: IpAddr) -> bool {
        self.exceptions.contains(&address)
    }

    /// The destination that a CONNECT asks for: HTTP/1.1, authority form, nothing that announces more than a tunnel,
    /// and a `Host` of the very same bytes (RFC 9110 §9.3.6, RFC 9112 §3.2.3). Only letters' case is let go.
    pub(super) fn asked(&self, request: &Request<Incoming>) -> Result<&Destination, Refusal> {
        let form = |sentence: &str| Refusal::new(StatusCode::BAD_REQUEST, "egress.connect", sentence);
        let (uri, headers) = (request.uri(), request.headers());
        let authority = uri
            .authority()
            .filter(|_| uri.scheme().is_none() && uri.path_and_query().is_none())
            .ok_or_else(|| form("CONNECT names host:port and nothing else"))?;
        if request.version() != Version::HTTP_11 {
            return Err(form("CONNECT is understood in HTTP/1.1 only"));
        }
        if let Some(odd) = NOT_IN_CONNECT.iter().find(|name| headers.contains_key(*name)) {
            return Err(form(&format!(
                "CONNECT has no body and becomes a tunnel only, so it has no `{odd}`"
            )));
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        let same = hosts.next().is_some_and(|host| host.as_bytes() == authority.as_str().as_bytes());
        if !same || hosts.next().is_some() {
            return Err(form("CONNECT has one `Host`, which is what it connects to"));
        }
        self.allowed.get(&authority.as_str().to_ascii_lowercase()).ok_or_else(|| {
            let sentence = "the destination is not in both the contract's `network.allow` and the configuration's, or \
                            it is spelled otherwise there";
            Refusal::new(StatusCode::FORBIDDEN, "egress.host", sentence)
        })
    }
}
