//! The tree of programs that the kernel showed, gathered for the log, the report and whoever judges.
//!
//! Bounded: the report gets the first [`ROWS_MAX`] programs, judges the first [`TOLD_MAX`]; all are counted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::learned::Learned;
use super::observed::{Executed, Seen, TOLD_MAX};
use super::recall::Before;
use crate::event::{Draft, EventKind, Source};
use crate::evidence::{ProcessRow, ProcessSection};
use crate::vocab::{Basis, Timestamp, shown};

/// Programs that a report lists.
pub const ROWS_MAX: usize = 500;
/// Characters of one text in a row.
pub const ROW_TEXT_MAX: usize = 400;

/// Bytes of arguments that are kept of all programs, so that a payload cannot grow the harness by executing.
const KEPT_MAX: usize = 32 << 20;

/// What was seen of one payload.
#[derive(Debug, Clone, Default)]
pub struct ProcessTree {
    pub(super) programs: Vec<Program>,
    /// Programs and processes by the observer's own count; `None` until its last word.
    sum: Option<(u64, u64)>,
    told: u64,
    /// Bytes of arguments that are kept.
    kept: usize,
    /// Whether a program, or a part of its arguments, was not kept.
    partly: bool,
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) sought: BTreeMap<String, u64>,
    learned: Learned,
    pub(super) before: Before,
}

/// A program that was executed, and how its process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What was executed.
    pub executed: Executed,
    /// `exited:<code>`, `signal:<number>`, or `replaced` by the next program of its process; `None`: not seen to end.
    pub status: Option<String>,
    /// When.
    pub ended: Option<Timestamp>,
}

impl ProcessTree {
    /// Takes what was seen; what of it goes into the log. `during` is the stage.
    pub fn take(&mut self, seen: Seen, during: &str) -> Option<Draft> {
        let (kind, data) = match self.before.numbered(seen) {
            Seen::Executed(executed) => (EventKind::ExecObserved, self.executed(executed, during)),
            Seen::Ended { process, status, at } => {
                let data = json!({"what": "ended", "during": during, "process": process, "status": status, "at": at});
                self.end(process, &status, at);
                (EventKind::ExecObserved, data)
            }
            Seen::Refused { process, call, at } => {
                *self.refused.entry(call.clone()).or_default() += 1;
                let data = json!({"action": "call", "call_name": shown(&call), "during": during, "by": process, "at": at});
                (EventKind::ActionAttempted, data)
            }
            Seen::Sought { process, call, address, at } => {
                *self.sought.entry(address.clone()).or_default() += 1;
                let data = json!({"target": shown(&address), "call_name": shown(&call), "during": during,
                    "reason": "no route", "by": process, "at": at});
                (EventKind::EgressDenied, data)
            }
            // No act, and nothing that the log has a word for: it is for the fragment.
            Seen::Wanted { path, want } => {
                self.learned.want(&path, want);
                return None;
            }
            Seen::Learned { left_out, unread, most_tasks } => {
                self.learned.end(left_out, unread, most_tasks);
                return None;
            }
            Seen::Sum { executed, processes, refused, sought } => {
                self.sum = Some((executed + self.before.executed, processes));
                (self.refused, self.sought) = self.before.with(refused, sought);
                return None;
            }
        };
        Some(Draft { source: Source::Kernel, kind, basis: Basis::Observed, data })
    }

    fn executed(&mut self, executed: Executed, during: &str) -> Value {
        let data = json!({
            "what": "executed", "during": during, "process": executed.process, "parent": executed.parent,
            "pid": executed.pid, "program": shown(&executed.program), "cwd": shown(&executed.cwd),
            "argv": executed.argv.iter().map(|word| shown(word)).collect::<Vec<_>>(), "cut": executed.cut,
            "at": executed.at,
        });
        self.keep(executed);
        data
    }

    pub(super) fn keep(&mut self, executed: Executed) {
        self.told += 1;
        self.end(executed.process, "replaced", executed.at);
        self.partly |= executed.cut;
        self.kept += executed.argv.iter().map(|word| word.len() + 1).sum::<usize>();
        if self.kept > KEPT_MAX || (self.programs.len() as u64) >= TOLD_MAX {
            self.partly = true;
        } else {
            self.programs.push(Program { executed, status: None, ended: None });
        }
    }

    /// The last program of a process has ended or was replaced.
    pub(super) fn end(&mut self, process: u64, status: &str, at: Timestamp) {
        let last = self.programs.iter_mut().rev().find(|program| program.executed.process == process);
        if let Some(program) = last.filter(|program| program.status.is_none()) {
            program.status = Some(status.to_owned());
            program.ended = Some(at);
        }
    }

    /// Every program that was told, in the order of execution.
    #[must_use]
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// Addresses outside that were asked for, each with how often.
    #[must_use]
    pub const fn sought(&self) -> &BTreeMap<String, u64> {
        &self.sought
    }

    /// What a sandbox that learns has told.
    #[must_use]
    pub const fn learned(&self) -> &Learned {
        &self.learned
    }

    /// Programs that were still running when the first process had ended, as they were called.
    #[must_use]
    pub fn left_behind(&self) -> Vec<String> {
        let engine = self.before.engine();
        let first = self.programs.iter().filter(|program| program.executed.process == engine);
        let Some(over) = first.filter_map(|program| program.ended).max() else { return Vec::new() };
        let killed = |program: &&Program| program.status.as_deref() == Some("signal:9");
        let after = |program: &&Program| program.ended.is_some_and(|ended| ended > over);
        let late = self.programs.iter().filter(killed).filter(after);
        late.map(|program| program.executed.argv.join(" ")).collect()
    }

    /// Whether the observer saw the tree of every attempt to its end and nothing was left out.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_last_complete() && self.before.cut == 0
    }

    /// The same of the last attempt alone.
    fn is_last_complete(&self) -> bool {
        self.sum.is_some_and(|(executed, _)| executed == self.told)
    }

    /// Whether the observer saw the last attempt's tree to its end; it counts what it does not tell.
    #[must_use]
    pub fn is_seen_to_its_end(&self) -> bool {
        self.is_last_complete() || self.sum.is_some_and(|(executed, _)| executed > TOLD_MAX)
    }

    /// Whether every program was seen with all of its arguments: only then, nothing found means that nothing was there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_complete() && !self.partly
    }

    /// For the report.
    #[must_use]
    pub fn section(&self) -> ProcessSection {
        let (executed, processes) = self.sum.unwrap_or((self.told, 0));
        let rows: Vec<ProcessRow> = self.programs.iter().take(ROWS_MAX).map(row).collect();
        ProcessSection {
            complete: self.is_last_complete(),
            cut: self.before.cut,
            executed,
            processes,
            left_out: executed.saturating_sub(rows.len() as u64),
            rows,
            refused_calls: self.refused.clone(),
            sought: self.sought.iter().map(|(address, count)| (shown(address), *count)).collect(),
        }
    }
}

fn row(program: &Program) -> ProcessRow {
    let executed = &program.executed;
    // As the log has them, so that both can be compared.
    let text = |text: &str| shown(text).chars().take(ROW_TEXT_MAX).collect();
    let argv: Vec<String> = executed.argv.iter().map(|word| shown(word)).collect();
    ProcessRow {
        process: executed.process,
        parent: executed.parent,
        program: text(&executed.program),
        argv: argv.join(" ").chars().take(ROW_TEXT_MAX).collect(),
        cwd: text(&executed.cwd),
        started: executed.at,
        ended: program.ended,
        status: program.status.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executed(process: u64, argv: &[&str]) -> Seen {
        Seen::Executed(Executed {
            process,
            parent: 0,
            pid: 7,
            program: "/usr/bin/x".to_owned(),
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            cut: false,
            cwd: "/tmp".to_owned(),
            at: Timestamp::now(),
        })
    }

    fn sum(executed: u64) -> Seen {
        Seen::Sum { executed, processes: 1, refused: BTreeMap::new(), sought: BTreeMap::new() }
    }

    #[test]
    fn each_program_of_a_process_has_its_own_end() {
        let mut tree = ProcessTree::default();
        for seen in [executed(1, &["sh"]), executed(1, &["make"]), executed(2, &["cc"])] {
            assert!(tree.take(seen, "engine").is_some_and(|draft| draft.source == Source::Kernel));
        }
        let end =
            |process, status: &str| Seen::Ended { process, status: status.to_owned(), at: Timestamp::now() };
        tree.take(end(2, "signal:9"), "engine");
        tree.take(end(1, "exited:2"), "engine");
        let statuses: Vec<_> = tree.programs().iter().map(|program| program.status.as_deref()).collect();
        assert_eq!(statuses, [Some("replaced"), Some("exited:2"), Some("signal:9")]);
    }

    #[test]
    fn without_the_sum_or_with_another_one_it_is_incomplete() {
        let mut tree = ProcessTree::default();
        tree.take(executed(1, &["sh"]), "engine");
        assert!(!tree.is_complete() && !tree.is_seen_to_its_end());
        let mut less = tree.clone();
        less.take(sum(2), "engine");
        assert!(!less.is_complete() && !less.is_seen_to_its_end());
        assert_eq!(less.section().left_out, 1);
        tree.take(sum(1), "engine");
        assert!(tree.is_complete());
    }

    #[test]
    fn arguments_that_were_cut_are_not_all_that_was_seen() {
        let mut tree = ProcessTree::default();
        let Seen::Executed(mut one) = executed(1, &["git"]) else { return };
        one.cut = true;
        tree.take(Seen::Executed(one), "engine");
        tree.take(sum(1), "engine");
        assert!(tree.is_complete() && !tree.is_whole());
        // Nor is a flood of arguments, of which only so much is kept.
        let mut flood = ProcessTree::default();
        let long = "x".repeat(1 << 20);
        for process in 1..=40 {
            flood.take(executed(process, &[&long]), "engine");
        }
        flood.take(sum(40), "engine");
        assert!(flood.is_complete() && !flood.is_whole() && flood.programs().len() < 33);
    }

    #[test]
    fn hidden_characters_are_made_visible() {
        let mut tree = ProcessTree::default();
        let draft = tree.take(executed(1, &["a\u{1b}[2J", "\u{202e}b"]), "engine").unwrap();
        assert!(!draft.data.to_string().contains('\u{202e}'));
        assert!(!tree.section().rows[0].argv.contains('\u{1b}'));
    }
}
