//! Files under a directory descriptor, never through a link. Knows no policy.
//!
//! Everything that an engine or a stranger could have written is reached through [`Dir`]: the kernel resolves
//! each name below the descriptor and refuses links, magic links and `..` (`openat2(2)`), so a name can never
//! lead elsewhere, also when somebody swaps directories meanwhile. Reads are bounded, opens never block on a
//! FIFO, and what is not a regular file is not read.

mod append;
mod dir;
mod entry;
mod error;
mod remove;
mod walk;
mod write;

pub use dir::Dir;
pub use entry::{Entry, FileKind, Status};
pub use error::BeneathError;
pub use walk::{Visit, WalkLimits};
pub use write::Durability;
