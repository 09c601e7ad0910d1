//! The ledger from every side: its rules, its file cut and changed at every byte, many callers at once.

mod callers;
mod file;
mod rules;
mod samples;
