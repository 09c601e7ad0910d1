//! The command line: a grammar, one file a command, one place that prints, one type for how it ends.
//!
//! Guarantees: a usage error starts nothing (exit 2); every refusal shows its remedy; with `--json` standard
//! output holds nothing but the documented lines. It decides nothing: commands call the library and show what
//! it answers.

mod act_view;
mod answer;
mod args;
mod args_again;
mod args_engine;
mod args_proof;
mod audited;
mod bundle_view;
mod cancel;
mod decide;
mod diff;
mod doctor;
mod document_view;
mod engine;
mod engine_check;
mod engine_install;
mod engine_records;
mod examples;
mod exit;
mod front;
mod key;
mod keyfile;
mod learn;
mod live;
mod out_file;
mod output;
mod patch_view;
mod principal;
mod problem;
mod proof;
mod proof_view;
mod publish;
mod repo;
mod request;
mod resume;
mod run;
mod runs;
mod sandbox;
mod show;
mod signer;
mod spend;
mod ssh_keygen;
mod summary;
mod table;
mod verify;

pub use exit::Exit;
pub use front::main;
