//! What a run needed, as a part of a contract to review: the smallest policy and paths that would have been enough.
//!
//! Nothing is granted here, and nothing that is learned decides (docs/adr/0015). Guarantees: what stands in the result was
//! observed by the kernel, the harness or the patch, and its order does not depend on when things happened. Does not:
//! know what another run of the same task would need.

mod fragment;
mod globs;
mod limits;
mod vendored;
mod wanted;

pub use fragment::{HandedIn, HandedKind, Lesson, fragment};
pub use limits::{ChangeSize, Witness};
pub use vendored::in_vendored;
pub use wanted::{HostView, Wanted, Whereabouts, wanted};
