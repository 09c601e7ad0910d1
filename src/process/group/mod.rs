//! Control groups: what the kernel counts and holds for a whole tree, where this process may make one.
//!
//! One group a sandbox. Where the controllers of version 2 are to be had (delegated), it is one folder there; where
//! they belong to version 1, one folder a hierarchy; else there is none, and its absence is told, not passed over.
//! INVARIANT: nothing but the processes of a sandbox, and this process and its own children where version 2 asks for
//! it, is ever moved, and nothing but folders whose name this program gave is ever limited or removed.

mod counted;
mod find;
mod left;
mod made;

pub use find::Version;
pub use left::{Leftover, remove_left_groups};
pub use made::{Bounds, Group, GroupError};
