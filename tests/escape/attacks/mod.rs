//! Attacks by class, each shown to work outside and to fail inside, as root and as an ordinary user, and their table.

mod registry;
mod suite;
mod table;
mod world;
