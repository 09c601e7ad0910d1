//! A hundred runs at once: how long they take together, beside the processor time that they used, and what memory.

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::place::Place;
use super::rounds::Times;
use super::rows::{Goal, Measured, Row, contract, millis};

const RUNS: usize = 100;
const ROUNDS: usize = 3;

/// Wall time of all, beside the busy time of all processors, shared out among them.
pub(crate) fn hundred(place: &Place) -> Vec<Row> {
    let repository = place.repository(999).display().to_string();
    let path = place.path("hundred.toml");
    std::fs::write(&path, contract(&repository, "none")).unwrap();
    let (mut walls, mut busy, mut memory) = (Vec::new(), Vec::new(), 0);
    for round in 0..=ROUNDS {
        let (wall, used, kib) = at_once(place, &path.display().to_string());
        if round > 0 {
            walls.push(wall);
            busy.push(used);
            memory = memory.max(kib);
        }
    }
    let peer = Times::of("their processor time, shared out", busy);
    let measured = Measured { ours: Times::of("wall", walls), peer: peer.name, peer_millis: millis(&peer) };
    let what = format!("{RUNS} runs at once (at most {} KiB of memory each)", memory / RUNS as u64);
    vec![Row { what, goal: Goal::Ratio("1.3", 1.3), rounds: ROUNDS, measured: Ok(measured) }]
}

fn at_once(place: &Place, contract: &str) -> (Duration, Duration, u64) {
    let over = AtomicBool::new(false);
    let before = available();
    let (begin, used) = (Instant::now(), busy());
    let lowest = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut lowest = before;
            while !over.load(Ordering::SeqCst) {
                lowest = lowest.min(available());
                std::thread::sleep(Duration::from_millis(10));
            }
            lowest
        });
        let start = |_| {
            let out = place.fresh("hundred").display().to_string();
            let mut call = place.cto(&["run", contract, "--out", &out, "--json"]);
            call.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let runs: Vec<Child> = (0..RUNS).map(start).collect();
        for mut run in runs {
            assert!(run.wait().unwrap().success());
        }
        over.store(true, Ordering::SeqCst);
        watching.join().unwrap()
    });
    let cores = u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    (begin.elapsed(), busy().saturating_sub(used) / cores, before.saturating_sub(lowest))
}

/// Time that all processors were not idle, since the start of the machine (`/proc/stat`, in hundredths of a second).
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/stat").unwrap();
    let fields: Vec<u64> =
        text.lines().next().unwrap().split_whitespace().skip(1).map(|field| field.parse().unwrap()).collect();
    // user, nice, system, irq, softirq; not idle and iowait.
    Duration::from_millis([0, 1, 2, 5, 6].iter().map(|at| fields[*at]).sum::<u64>() * 10)
}

/// Memory that is to be had, KiB.
fn available() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
