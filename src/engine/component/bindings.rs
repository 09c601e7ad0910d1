//! The seam's types and calls, made from `engines/adapter.wit`: both sides read the same page.

wasmtime::component::bindgen!({ path: "engines/adapter.wit", world: "adapter" });

pub(super) use self::exports::cto::adapter::seam;
