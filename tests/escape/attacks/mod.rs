//! Attacks by class, each shown to work outside and to fail inside, as root and as an ordinary user, and their table.

mod peers;
mod picture;
mod planted;
mod planted_tree;
mod planting;
pub(crate) mod registry;
mod spoofs;
mod streams;
mod suite;
mod survivors;
pub(crate) mod table;
mod world;
