//! The only way out: a listener from inside the sandbox, what is let through there, and a key that stays here.
//!
//! The listener was opened in the sandbox's empty network and handed out, so whoever is inside can reach this and
//! nothing else. One request of the engine's [`Dialect`] is taken apart, checked against a closed form (`schema`), and
//! made anew for the configured endpoint, with the key added on this side. What it may cost is set aside first and
//! settled by the provider's usage ([`spend`], docs/adr/0016), whether or not anybody is left to hear the answer.
//! `CONNECT` to a destination that contract and configuration both allow becomes a tunnel (`egress`); where there is
//! none, that is refused like everything else: counted and recorded, also a request whose head never ends. What comes
//! back is streamed as it comes.

mod answer;
mod call;
mod desk;
mod dial;
mod dialect;
mod egress;
mod endpoint;
mod forward;
mod head;
mod key;
#[cfg(test)]
mod money_tests;
mod purse;
mod refuse;
mod schema;
mod serve;
pub mod spend;
mod stand_in;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
mod trouble;
mod usage;

pub use desk::{BrokerCounts, Notice, Notices, is_an_attempt};
pub use dial::{Dial, TlsError};
pub use dialect::Dialect;
pub use egress::{Egress, NotADestination, Resolve, Resolving};
pub use endpoint::{EndpointError, Peer, Upstream, is_loopback};
pub use key::ModelKey;
pub use purse::Purse;
pub use serve::{Broker, BrokerError, Route, Ways};
pub use stand_in::StandIn;
pub use trouble::Trouble;
