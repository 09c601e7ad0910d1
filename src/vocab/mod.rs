//! Words that every stage shares: digests, ids, time, signatures, limits, reasons, destinations.
//!
//! Nothing here performs I/O except [`sign::SealingKey::generate`] and [`ids::RunId::new`], which ask the
//! kernel for randomness, and [`time::Timestamp::now`], which reads the clock. Pure stages (contract,
//! eligibility, inspection's verdict) call none of these three.

#[cfg(test)]
#[path = "../../tests/support/authenticator.rs"]
pub(crate) mod authenticator;
pub(crate) mod base64;
mod destination;
mod digest;
mod encodings;
mod ids;
mod json;
mod limits;
mod modes;
mod money;
mod public_key;
mod reason;
mod sign;
mod signing_key;
mod ssh_public;
mod ssh_signature;
#[cfg(test)]
mod ssh_tests;
mod text;
mod time;

pub use destination::{Destination, DestinationError, Host};
pub use digest::{Digest, DigestError, GitId, Hasher};
pub use encodings::encodings;
pub use ids::{ActionId, ApprovalId, EngineId, IdError, PrincipalName, RunId, TaskId, ThreadId};
pub use json::strict_json;
pub use limits::{LimitName, Limits};
pub use modes::{MutationMode, RiskClass, Stage};
pub use money::{AmountError, MicroUsd, SpendCaps};
pub use public_key::{HardwareWord, KeyKind, PublicKey, SignatureFault, SignedWith};
pub use reason::{Basis, Reason, Verdict};
pub use sign::{KeyError, SealingKey, Signature};
pub use signing_key::{SigningKey, SshPrivate};
pub use ssh_signature::SSH_NAMESPACE;
pub use text::{counted, path_of, shown, shown_bytes, shown_path};
pub use time::{Day, Timestamp};
