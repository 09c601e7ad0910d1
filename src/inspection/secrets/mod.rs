//! The first secret scan: a small set of rules, most of them for keys that say what they are.
//!
//! It guarantees that what a rule finds is named by rule and digest, never by its bytes, and that text passed
//! through [`Scanner`] as [`crate::event::Redact`] no longer holds it. It does not guarantee to find every
//! secret: a key without a mark, split over files or encoded once more passes, but for the key in use, which is looked for in
//! common encodings, too. A stronger scanner is to come.

mod checksum;
mod encodings;
mod redact;
mod rules;
mod scan;

pub use rules::rules_digest;
pub use scan::{Scanner, Secret};

#[cfg(test)]
mod tests;
