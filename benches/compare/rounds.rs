//! Round-robin timing: every contender once a round, so that a slow minute of the machine hits all of them.

use std::process::Command;
use std::time::{Duration, Instant};

/// One of those that are compared: a name and one whole call of it.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    pub(crate) call: Box<dyn FnMut() + 'a>,
}

impl<'a> Contender<'a> {
    pub(crate) fn new(name: &'static str, call: impl FnMut() + 'a) -> Self {
        Self { name, call: Box::new(call) }
    }
}

/// What one contender took, shortest first.
#[derive(Clone)]
pub(crate) struct Times {
    pub(crate) name: &'static str,
    sorted: Vec<Duration>,
}

impl Times {
    pub(crate) fn of(name: &'static str, mut taken: Vec<Duration>) -> Self {
        taken.sort_unstable();
        Self { name, sorted: taken }
    }

    pub(crate) fn median(&self) -> Duration {
        self.sorted[self.sorted.len() / 2]
    }

    pub(crate) fn shortest(&self) -> Duration {
        self.sorted[0]
    }

    pub(crate) fn longest(&self) -> Duration {
        self.sorted[self.sorted.len() - 1]
    }
}

/// One call of each that is not counted (caches fill), then `rounds` rounds. Before each call what others wrote is
/// brought to disk, so that nobody pays for his predecessor.
pub(crate) fn take_turns(rounds: usize, mut contenders: Vec<Contender<'_>>) -> Vec<Times> {
    let mut taken: Vec<Vec<Duration>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (contender, taken) in contenders.iter_mut().zip(&mut taken) {
            assert!(Command::new("sync").status().unwrap().success());
            let begin = Instant::now();
            (contender.call)();
            if round > 0 {
                taken.push(begin.elapsed());
            }
        }
    }
    contenders.iter().zip(taken).map(|(contender, taken)| Times::of(contender.name, taken)).collect()
}
