//! Modules written by hand: a core module in text with all calls of the seam, of which a test replaces some, made into
//! a component by the same page that the host reads.

use std::fmt::Write as _;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The calls with their parameters, and what they do unless a test replaces it: answer with zeroes, which is "nothing",
/// "yes" and "completed", depending on what was asked.
const CALLS: [(&str, &str); 8] = [
    ("plan", JOB),
    ("opening", JOB),
    ("on-line", "(param i32 i32 i32)"),
    ("on-exit", "(param i32 i32)"),
    ("declined", "(param i32 i32)"),
    ("interrupt", ""),
    ("conclude", ""),
    ("recommendation", ""),
];
const JOB: &str = "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)";
/// Where zeroes are.
pub(crate) const ZEROES: &str = "i32.const 4096";
/// Where texts may be put, in the first page as well.
pub(crate) const TEXTS: usize = 8192;

/// The text of a core module: `replaced` are bodies by call, `more` is what stands beside them.
pub(crate) fn text(replaced: &[(&str, &str)], more: &str) -> String {
    let call = |(name, params): &(&str, &str)| {
        let body = replaced.iter().find(|(wanted, _)| wanted == name).map_or(ZEROES, |(_, body)| body);
        format!("(func (export \"cto:adapter/seam@1.0.0#{name}\") {params} (result i32) {body})\n")
    };
    let calls: String = CALLS.iter().map(call).collect();
    format!(
        "(module (memory (export \"memory\") 4)
           (global $at (mut i32) (i32.const 65536))
           (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
             (local $was i32)
             (if (i32.gt_u (i32.add (global.get $at) (local.get 3)) (i32.const 262144)) (then (global.set $at (i32.const 65536))))
             (local.set $was (global.get $at))
             (global.set $at (i32.add (global.get $at) (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8))))
             (local.get $was))
           {more}
           {calls})"
    )
}

/// The component of a core module in text, for `world` of the page `wit`.
pub(crate) fn component_of(core: &str, wit: &str, world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("adapter.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut core = wat::parse_str(core).unwrap();
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&core).unwrap().validate(true).encode().unwrap()
}

/// A module of the seam.
pub(crate) fn module(replaced: &[(&str, &str)], more: &str) -> Vec<u8> {
    component_of(&text(replaced, more), include_str!("../../../../engines/adapter.wit"), "adapter")
}

/// One that does nothing, and that in order.
pub(crate) fn harmless() -> Vec<u8> {
    module(&[], "")
}

/// Little-endian words as a data segment's text.
pub(crate) fn words(words: &[u32]) -> String {
    let mut text = String::new();
    for byte in words.iter().flat_map(|word| word.to_le_bytes()) {
        write!(text, "\\{byte:02x}").unwrap();
    }
    text
}
