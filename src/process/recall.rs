//! The programs of earlier attempts of a run, read back from its event log, so that all attempts are judged together.
//!
//! An attempt that died with the harness was seen up to its last event; nobody knows what came after, and nothing here
//! pretends to. Processes are numbered on: each attempt's first one, its engine, has the next number.

use std::collections::BTreeMap;

use serde_json::Value;

use super::observed::{Executed, Seen};
use super::programs::ProcessTree;
use crate::event::{Event, EventKind, Source};
use crate::vocab::{Basis, Timestamp};

/// What was there before the attempt that is observed now.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    /// The highest number of a process, now and when the attempt began whose events are recalled.
    last: u64,
    begun: u64,
    /// Numbers of the engines' own processes in earlier attempts.
    engines: Vec<u64>,
    /// Programs that were executed.
    pub(super) executed: u64,
    /// Attempts that were cut.
    pub(super) cut: u64,
    refused: BTreeMap<String, u64>,
    sought: BTreeMap<String, u64>,
}

impl Before {
    /// The number of the engine's own process in the attempt that is observed now.
    pub(super) const fn engine(&self) -> u64 {
        self.last + 1
    }

    /// What was seen, with its processes numbered on.
    pub(super) fn numbered(&self, seen: Seen) -> Seen {
        let on = |number: u64| if number == 0 { 0 } else { number.saturating_add(self.last) };
        match seen {
            Seen::Executed(executed) => Seen::Executed(Executed {
                process: on(executed.process),
                parent: on(executed.parent),
                ..executed
            }),
            Seen::Ended { process, status, at } => Seen::Ended { process: on(process), status, at },
            Seen::Refused { process, call, at } => Seen::Refused { process: on(process), call, at },
            Seen::Sought { process, call, address, at } => {
                Seen::Sought { process: on(process), call, address, at }
            }
            other => other,
        }
    }

    /// The counts of all attempts.
    pub(super) fn with(
        &self,
        refused: BTreeMap<String, u64>,
        sought: BTreeMap<String, u64>,
    ) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
        let add = |mut all: BTreeMap<String, u64>, before: &BTreeMap<String, u64>| {
            for (name, count) in before {
                *all.entry(name.clone()).or_default() += count;
            }
            all
        };
        (add(refused, &self.refused), add(sought, &self.sought))
    }
}

impl ProcessTree {
    /// Takes an event of an earlier attempt; what is not the kernel's word about an engine is left alone.
    pub fn recall(&mut self, event: &Event) {
        let text = |name: &str| event.data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |name: &str| event.data.get(name).and_then(Value::as_u64).unwrap_or_default();
        let kernels = event.source == Source::Kernel && event.basis == Basis::Observed;
        if !kernels || text("during") != "engine" {
            return;
        }
        match event.kind {
            EventKind::ExecObserved if text("what") == "ended" => {
                self.end(number("process"), &text("status"), time(event));
            }
            EventKind::ExecObserved => {
                let words = event.data.get("argv").and_then(Value::as_array).into_iter().flatten();
                self.keep(Executed {
                    process: number("process"),
                    parent: number("parent"),
                    pid: i32::try_from(number("pid")).unwrap_or_default(),
                    program: text("program"),
                    argv: words.filter_map(Value::as_str).map(str::to_owned).collect(),
                    cut: event.data.get("cut").and_then(Value::as_bool).unwrap_or_default(),
                    cwd: text("cwd"),
                    at: time(event),
                });
                self.before.executed += 1;
                self.before.last = self.before.last.max(number("process"));
            }
            EventKind::ActionAttempted => count(&mut self.refused, text("call_name")),
            EventKind::EgressDenied => count(&mut self.sought, text("target")),
            _ => {}
        }
    }

    /// The attempt whose events were recalled is over, and was cut where its `engine` ran.
    pub fn attempt_over(&mut self, engine: bool) {
        if engine {
            self.before.cut += 1;
            self.before.engines.push(self.before.begun + 1);
        }
        self.before.begun = self.before.last;
        (self.before.refused, self.before.sought) = (self.refused.clone(), self.sought.clone());
    }

    /// Whether `process` is the engine's own, of whichever attempt.
    #[must_use]
    pub fn is_engine(&self, process: u64) -> bool {
        process == self.before.engine() || self.before.engines.contains(&process)
    }
}

fn count(of: &mut BTreeMap<String, u64>, name: String) {
    *of.entry(name).or_default() += 1;
}

fn time(event: &Event) -> Timestamp {
    let told = event.data.get("at").cloned().map(serde_json::from_value);
    told.and_then(Result::ok).unwrap_or(event.time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::RunId;

    fn executed(process: u64, parent: u64, name: &str) -> Seen {
        let (argv, at) = (vec![name.to_owned()], Timestamp::now());
        let (program, cwd) = ("/usr/bin/x".to_owned(), "/".to_owned());
        Seen::Executed(Executed { process, parent, pid: 7, program, argv, cut: false, cwd, at })
    }

    #[test]
    fn the_programs_of_two_attempts_are_one_tree_that_is_not_whole() {
        let (mut first, mut log) = (ProcessTree::default(), Vec::new());
        let ended = Seen::Ended { process: 2, status: "exited:0".to_owned(), at: Timestamp::now() };
        for seen in [executed(1, 0, "engine"), executed(2, 1, "sh"), ended] {
            let draft = first.take(seen, "engine").unwrap();
            log.push(Event {
                seq: 1,
                time: Timestamp::now(),
                run_id: RunId::new(),
                source: draft.source,
                kind: draft.kind,
                basis: draft.basis,
                data: draft.data,
            });
        }
        let mut tree = ProcessTree::default();
        for event in &log {
            tree.recall(event);
        }
        assert_eq!(tree.programs()[1], first.programs()[1]);
        tree.attempt_over(true);
        let again = tree.take(executed(1, 0, "engine"), "engine").unwrap();
        assert_eq!((&again.data["process"], &again.data["parent"]), (&3.into(), &0.into()));
        tree.take(executed(2, 1, "make"), "engine");
        let (refused, sought) = Default::default();
        tree.take(Seen::Sum { executed: 2, processes: 2, refused, sought }, "engine");
        let section = tree.section();
        assert!(section.complete && section.cut == 1 && section.executed == 4 && section.left_out == 0);
        assert!(tree.is_seen_to_its_end() && !tree.is_complete() && !tree.is_whole());
        let engines: Vec<u64> = (0..6).filter(|process| tree.is_engine(*process)).collect();
        assert_eq!(engines, [1, 3]);
    }
}
