//! A module once it is loaded: a fresh instance out of the pool, and one line of 200 bytes in an instance that is there.
//! The peer is the same work without a module: an adapter that is compiled in.

use std::process::Command;
use std::time::{Duration, Instant};

use cto_harness::engine::component::Module;
use cto_harness::engine::fixture::FixtureAdapter;
use cto_harness::engine::{Adapter, Stream};

use super::place::Place;
use super::rounds::Times;
use super::rows::{Goal, Measured, Row, millis};

const ROUNDS: usize = 301;
/// Calls of one round: one is too short for the clock.
const CALLS: u32 = 100;
const MOST: Goal = Goal::Micros(20);
const NO_COMPILER: &str = "not measured: scripts/guests.sh finds no Rust compiler for wasm32-unknown-unknown";

pub(crate) fn component(_place: &Place) -> Vec<Row> {
    let what = ["a fresh instance of a module, once loaded", "a line of 200 bytes through a module"];
    let Some(module) = sample() else {
        let row =
            |what: &str| Row { what: what.into(), goal: MOST, rounds: ROUNDS, measured: Err(NO_COMPILER) };
        return what.map(row).into();
    };
    let line = said();
    let fresh = times("module", || drop(module.fresh().unwrap()));
    let mut adapter = module.adapter();
    let lines = times("module", || assert_eq!(adapter.on_line(Stream::Stdout, &line).len(), 1));
    assert!(adapter.trouble().is_none());
    let made = times("compiled in", || drop(FixtureAdapter::new()));
    let mut ours = FixtureAdapter::new();
    let read = times("compiled in", || assert_eq!(ours.on_line(Stream::Stdout, &line).len(), 1));
    let row = |(what, (ours, peer)): (&str, (Times, Times))| Row {
        what: what.into(),
        goal: MOST,
        rounds: ROUNDS,
        measured: Ok(Measured { ours, peer: "an adapter that is compiled in", peer_millis: millis(&peer) }),
    };
    what.into_iter().zip([(fresh, made), (lines, read)]).map(row).collect()
}

fn sample() -> Option<Module> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/guests.sh");
    let output = Command::new(script).output().unwrap();
    if output.status.code() == Some(3) {
        return None;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/target/guests/wordy/adapter.wasm");
    Some(Module::load(&std::fs::read(file).unwrap()).unwrap())
}

fn said() -> Vec<u8> {
    let mut line = b"say ".to_vec();
    line.resize(200, b'x');
    line
}

fn times(name: &'static str, mut call: impl FnMut()) -> Times {
    let one = |_| {
        let begin = Instant::now();
        (0..CALLS).for_each(|_| call());
        begin.elapsed() / CALLS
    };
    let taken: Vec<Duration> = (0..=ROUNDS).map(one).collect();
    // The first round fills the caches.
    Times::of(name, taken.into_iter().skip(1).collect())
}
