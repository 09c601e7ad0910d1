//! The report's tree of programs against the event log: the same programs, in the same order, with the same ends.

use serde_json::Value;

use super::derive::Wrong;
use super::outcome::Check;
use crate::event::{Event, EventKind, Source};
use crate::evidence::{ProcessRow, ProcessSection};
use crate::process::{ROW_TEXT_MAX, ROWS_MAX};
use crate::vocab::Basis;

/// A text that a secret was taken out of cannot be compared.
pub(super) const MARK: &str = "[redacted:";

/// What the log tells of an engine's programs.
#[derive(Default)]
pub(super) struct Programs {
    rows: Vec<Told>,
    executed: u64,
}

struct Told {
    process: u64,
    parent: u64,
    argv: String,
    status: Option<String>,
}

impl Programs {
    /// Takes the next event of the log.
    pub(super) fn observe(&mut self, event: &Event) {
        let text = |name: &str| event.data.get(name).and_then(Value::as_str);
        let kernels = event.kind == EventKind::ExecObserved
            && event.source == Source::Kernel
            && event.basis == Basis::Observed;
        let number = |name: &str| event.data.get(name).and_then(Value::as_u64);
        let (true, Some("engine"), Some(process)) = (kernels, text("during"), number("process")) else {
            return;
        };
        if text("what") == Some("ended") {
            return self.end(process, text("status").unwrap_or_default());
        }
        self.end(process, "replaced");
        self.executed += 1;
        if self.rows.len() < ROWS_MAX {
            let words = event.data.get("argv").and_then(Value::as_array).into_iter().flatten();
            let words: Vec<&str> = words.filter_map(Value::as_str).collect();
            let argv = words.join(" ").chars().take(ROW_TEXT_MAX).collect();
            let parent = number("parent").unwrap_or_default();
            self.rows.push(Told { process, parent, argv, status: None });
        }
    }

    fn end(&mut self, process: u64, status: &str) {
        let last = self.rows.iter_mut().rev().find(|told| told.process == process);
        if let Some(told) = last.filter(|told| told.status.is_none()) {
            told.status = Some(status.to_owned());
        }
    }

    /// Holds the report's section against the log.
    pub(super) fn check(&self, section: Option<&ProcessSection>) -> Check {
        let mut wrong = Wrong::default();
        let Some(section) = section else {
            wrong.unless(self.executed == 0, "the log tells programs, and the report has none");
            return wrong.check("programs", "nothing was executed");
        };
        let same = |(told, row): (&Told, &ProcessRow)| {
            let argv = told.argv == row.argv || told.argv.contains(MARK) || row.argv.contains(MARK);
            argv && told.process == row.process && told.parent == row.parent && told.status == row.status
        };
        wrong.unless(
            self.rows.len() == section.rows.len() && self.rows.iter().zip(&section.rows).all(same),
            "the report's programs are not those of the event log",
        );
        wrong.unless(
            !section.complete || section.executed == self.executed,
            "the report calls the tree complete, and the log tells other programs",
        );
        let left_out = section.executed.saturating_sub(section.rows.len() as u64);
        wrong.unless(section.left_out == left_out, "the report counts other programs as left out");
        wrong.check("programs", "the report's tree is the event log's")
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::CheckState;
    use super::*;
    use crate::process::{Executed, ProcessTree, Seen};
    use crate::vocab::{RunId, Timestamp};

    #[test]
    fn a_tree_and_its_log_agree_and_every_change_shows() {
        let (mut tree, mut programs) = (ProcessTree::default(), Programs::default());
        let mut seq = 0;
        let mut both = |seen: Seen| {
            let Some(draft) = tree.take(seen, "engine") else { return };
            seq += 1;
            let (time, run_id) = (Timestamp::now(), RunId::new());
            let (source, kind, basis, data) = (draft.source, draft.kind, draft.basis, draft.data);
            programs.observe(&Event { seq, time, run_id, source, kind, basis, data });
        };
        let at = Timestamp::now();
        for (process, name) in [(1, "sh"), (1, "make"), (2, "c\u{1b}c")] {
            let argv = vec![name.to_owned(), "x".repeat(1000)];
            let (program, cwd) = ("/usr/bin/x".to_owned(), "/".to_owned());
            both(Seen::Executed(Executed { process, parent: 0, pid: 1, program, argv, cut: false, cwd, at }));
        }
        both(Seen::Ended { process: 2, status: "exited:1".to_owned(), at });
        let (refused, sought) = Default::default();
        both(Seen::Sum { executed: 3, processes: 2, refused, sought });
        let section = tree.section();
        assert_eq!(programs.check(Some(&section)).state, CheckState::Ok);
        let changes: [fn(&mut ProcessSection); 5] = [
            |section| section.rows[2].status = Some("exited:0".to_owned()),
            |section| section.rows[0].argv.push('x'),
            |section| drop(section.rows.pop()),
            |section| section.rows.swap(0, 1),
            |section| section.executed = 4,
        ];
        for change in changes {
            let mut other = section.clone();
            change(&mut other);
            assert_eq!(programs.check(Some(&other)).state, CheckState::Failed);
        }
        assert_eq!(programs.check(None).state, CheckState::Failed);
    }
}
