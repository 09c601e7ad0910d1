//! The only way out: a listener from inside the sandbox, what is let through there, and a key that stays here.
//!
//! The listener was opened in the sandbox's empty network and handed out, so whoever is inside can reach this and
//! nothing else. `POST /v1/responses` is taken apart, checked against a closed form (`schema`), and made anew for the
//! configured endpoint, with the key added on this side. `CONNECT` to a destination that contract and configuration
//! both allow becomes a tunnel (`egress`); where there is none, that is refused like everything else: counted and
//! recorded, also a request whose head never ends. What comes back is streamed as it comes.
//! [`spend`] counts money and holds caps; the broker does not ask it yet. Not here yet: TLS to the model's endpoint.

mod answer;
mod egress;
mod endpoint;
mod forward;
mod head;
mod key;
mod refuse;
mod schema;
mod serve;
pub mod spend;
mod stand_in;
#[cfg(test)]
mod tests;

pub use egress::{Egress, NotADestination, Resolve, Resolving};
pub use endpoint::{EndpointError, Upstream, is_loopback};
pub use key::ModelKey;
pub use serve::{Broker, BrokerCounts, BrokerError, Notice, Notices, Route, Ways};
pub use stand_in::StandIn;
