//! Ways out besides the model: CONNECT to exactly the destinations that contract and configuration both allow.
//!
//! One CONNECT is one destination (`allowed`), resolved once and judged by every address that came back (`resolve`,
//! `address`); the address that was judged is the one dialled. What is then said first must be one TLS hello that
//! names the same host (`hello`), before a byte of it goes out; the rest is carried within bounds (`tunnel`). An empty
//! list is no way at all. Not here: what is said within TLS, which nobody on the way can see.

mod address;
mod allowed;
#[cfg(test)]
mod bench;
mod hello;
#[cfg(test)]
mod refused_tests;
mod resolve;
mod tunnel;
#[cfg(test)]
mod tunnel_tests;

pub use allowed::{Egress, NotADestination};
pub use resolve::{Resolve, Resolving};
pub(super) use tunnel::open;
