//! Adapters of somebody else's: WebAssembly components behind the same seam as the built-in ones (docs/adr/0025).
//!
//! A module imports nothing, so it can touch nothing: that is not a rule that is checked at run time but the shape of
//! the linker, which is empty. Instructions, time, memory and output of every call are bounded. What comes back is
//! hostile input and is checked before anything is made of it; what breaks a bound is named, and the module is not asked
//! again. A module is known by the digest of its bytes. What this does not do: believe anything that a module says.

mod adapter;
mod bindings;
mod instance;
mod limits;
mod machine;
mod module;
mod plan;
mod steps;
#[cfg(test)]
pub(crate) mod tests;

pub use instance::Instance;
pub use limits::MODULE_BYTES;
pub use module::{ComponentFile, Module};
