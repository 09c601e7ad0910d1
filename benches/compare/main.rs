//! `cargo bench --bench compare`: measures the program beside what people use instead, and writes
//! `docs/benchmarks.md`.
//!
//! Contenders of one row take turns, round after round, on the same machine, file system and page cache; what is
//! written are medians and their ratio. A missed goal is written like any other. It is not a test: nothing fails
//! because something was slow, but a call that does not do its work ends the measurement.
//!
//! `cargo bench --bench compare -- run-1k sandbox` measures some rows only and writes no file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that goes wrong ends, and says so"
)]

mod broker;
mod bundle;
mod component;
mod document;
mod hundred;
#[path = "../../tests/support/model_server.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests play more than is measured")]
mod model_server;
mod observation;
mod peers;
mod place;
mod rounds;
mod rows;
mod spend;
mod tree;
mod warm;

use std::path::Path;

use place::Place;
use rows::Row;

/// A name and what measures its rows.
type Measurement = (&'static str, fn(&Place) -> Vec<Row>);

const MEASUREMENTS: [Measurement; 14] = [
    ("sandbox", rows::sandbox),
    ("warm", warm::warm),
    ("peers", peers::command),
    ("observation", observation::observation),
    ("component", component::component),
    ("spend", spend::spend),
    ("broker", broker::broker),
    ("codex", broker::codex),
    ("verify", rows::verify),
    ("tree-1k", |place| tree::tree(place, 1_000, 9)),
    ("tree-50k", |place| tree::tree(place, 50_000, 3)),
    ("run-1k", |place| rows::run(place, 1_000, 9)),
    ("hundred", hundred::hundred),
    ("run-50k", |place| rows::run(place, 50_000, 3)),
];

fn main() {
    // Before anything else, as a program that makes sandboxes does.
    cto_harness::sandbox::prepare_zygote(cto_harness::sandbox::Expected::Several).unwrap();
    let words: Vec<String> = std::env::args().skip(1).collect();
    if !words.iter().any(|word| word == "--bench") {
        println!("measures only under `cargo bench --bench compare`");
        return;
    }
    let named: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let place = Place::new();
    let load = document::load();
    let mut rows = Vec::new();
    for (name, measure) in MEASUREMENTS {
        if named.is_empty() || named.iter().any(|wanted| *wanted == name) {
            eprintln!("measuring {name} …");
            rows.extend(measure(&place));
        }
    }
    println!("{}", document::table(&rows));
    if named.is_empty() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
        document::write(&path, &rows, &place, &load);
        println!("wrote docs/benchmarks.md");
    }
}
