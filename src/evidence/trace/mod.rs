//! `trace.jsonl`: the run as spans, in OTLP/JSON lines (one `TracesData` a line), from events and report alone.
//!
//! A pure function: equal events and an equal report give equal bytes, so that `cto verify` derives the file
//! again. Names are those of `OpenTelemetry`'s conventions for generative AI, CI/CD and VCS where there is one, else `opencto.`.
//! Texts that an engine said are not copied into spans.

mod builder;
mod chat;
mod otlp;
mod process;

pub use builder::{TRACE_KEYS, TraceBuilder};
