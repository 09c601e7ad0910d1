//! From a destination to the one address that is dialled: resolved once, every answer judged.
//!
//! One answer of a refused class refuses all of them: whoever mixes addresses of others with one's own means the
//! second. Only the name of an allowed destination ever reaches a resolver, so a name carries nothing out.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;

use hyper::StatusCode;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::address::{self, Class};
use super::allowed::Egress;
use crate::broker::refuse::Refusal;
use crate::vocab::{Destination, Host};

/// Questions to the system's resolver at a time; one that is given up goes on in its thread until it is answered.
const LOOKUPS: usize = 8;

/// The addresses of a name, or why there are none.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Whoever knows the addresses of names.
pub trait Resolve: Send + Sync + std::fmt::Debug {
    /// Asked once for each CONNECT to an allowed name, and for nothing else.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}

/// The system's: what `/etc/nsswitch.conf` says, `/etc/hosts` and search domains included.
#[derive(Debug)]
pub(super) struct SystemResolver(Arc<Semaphore>);

impl Default for SystemResolver {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS)))
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        let (name, places) = (name.to_owned(), Arc::clone(&self.0));
        Box::pin(async move {
            let place = places.acquire_owned().await.map_err(std::io::Error::other)?;
            let (tell, told) = oneshot::channel();
            // A thread of its own: the end of a run does not wait for a resolver that does not answer.
            std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
                let found = (name.as_str(), 0_u16).to_socket_addrs();
                drop(place);
                tell.send(found.map(|all| all.map(|address| address.ip()).collect())).ok();
            })?;
            told.await.map_err(std::io::Error::other)?
        })
    }
}

impl Egress {
    /// The address of a destination, judged.
    pub(super) async fn address(&self, destination: &Destination) -> Result<SocketAddr, Refusal> {
        let answers = match destination.host() {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self.looked_up(name).await?,
        };
        let mut first = None;
        for answer in answers {
            // An address that is IPv4 within is dialled as that.
            let answer = answer.to_canonical();
            self.judge(answer)?;
            first.get_or_insert(answer);
        }
        let none = || Refusal::new(StatusCode::BAD_GATEWAY, "egress.dns", "the name has no address");
        Ok(SocketAddr::new(first.ok_or_else(none)?, destination.port()))
    }

    async fn looked_up(&self, name: &str) -> Result<Vec<IpAddr>, Refusal> {
        let failed = |why: String| Refusal::new(StatusCode::BAD_GATEWAY, "egress.dns", why);
        let answered = timeout(self.bounds.resolving, self.resolver.resolve(name)).await;
        let found = answered.map_err(|_| failed("the name could not be resolved in time".to_owned()))?;
        found.map_err(|error| failed(format!("the name could not be resolved: {error}")))
    }

    fn judge(&self, address: IpAddr) -> Result<(), Refusal> {
        if self.is_excepted(address) {
            return Ok(());
        }
        let refused = |sentence: String| Refusal::new(StatusCode::FORBIDDEN, "egress.address", sentence);
        let class = match address::class(address) {
            Class::Public
                if address::is_own(address).map_err(|error| {
                    refused(format!(
                        "whether {address} is an address of this host itself cannot be told: {error}"
                    ))
                })? =>
            {
                Class::Own
            }
            class => class,
        };
        if class == Class::Public {
            return Ok(());
        }
        Err(refused(format!(
            "{address} is {class}; it is reached only where `addresses` of `[network]` in the configuration names it"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_systems_resolver_is_asked_and_what_it_does_not_know_is_an_error() {
        let system = SystemResolver::default();
        let found = system.resolve("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert!(system.resolve("no name at all").await.is_err());
        assert_eq!(system.0.available_permits(), LOOKUPS, "every place is given back");
    }
}
