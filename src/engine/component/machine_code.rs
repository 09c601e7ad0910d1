//! The one place that takes machine code for what it says it is. (The other unsafe code is `sandbox/sys.rs`.)
//!
//! There is no safe call for it: bytes become code. They come from the cache alone, which gives them out only where this
//! machine's own sealing key signed their digest (`cache`). Nobody else's compiled module is ever loaded.

use wasmtime::Engine;
use wasmtime::component::Component;

use super::cache::OwnCode;

/// The component that `code` is.
#[expect(unsafe_code, reason = "compiled code cannot be checked, only known by its signature")]
pub(super) fn load(engine: &Engine, code: &OwnCode) -> wasmtime::Result<Component> {
    // SAFETY: an `OwnCode` is made by the cache alone, of bytes that `Engine::precompile_component` of this program gave:
    // either just now, or earlier, and then their digest stands in a record that this machine's sealing key signed, and
    // was taken from exactly these bytes in memory. wasmtime itself refuses code of another version or configuration.
    unsafe { Component::deserialize(engine, code.bytes()) }
}
