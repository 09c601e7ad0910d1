//! The CTO Harness: runs coding agents it does not trust, and proves what they did.
//!
//! The modules stand in the order of the flow; a module names only modules above it (`tests/tidy.rs`).
//! `run` is the one exception: it names every stage, and reads as the flow itself.

pub mod vocab;

pub mod contract;

pub mod event;

pub mod beneath;

pub mod evidence;

pub mod home;

pub mod eligibility;

pub mod approval;

pub mod workspace;

pub mod process;

pub mod sandbox;

pub mod broker;

pub mod engine;

pub mod verification;

pub mod inspection;

pub mod learning;

pub mod verify;

pub mod proof;

pub mod store;

pub mod audit;

pub mod run;

pub mod cli;
