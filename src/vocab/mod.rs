//! Words that every stage shares: digests, ids, time, signatures, limits, reasons, destinations.
//!
//! Nothing here performs I/O except [`sign::SealingKey::generate`] and [`ids::RunId::new`], which ask the
//! kernel for randomness, and [`time::Timestamp::now`], which reads the clock. Pure stages (contract,
//! eligibility, inspection's verdict) call none of these three.

mod destination;
mod digest;
mod encodings;
mod ids;
mod json;
mod limits;
mod modes;
mod money;
mod reason;
mod sign;
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
pub use reason::{Basis, Reason, Verdict};
pub use sign::{KeyError, PublicKey, SealingKey, Signature};
pub use text::{counted, path_of, shown, shown_bytes, shown_path};
pub use time::{Day, Timestamp};
