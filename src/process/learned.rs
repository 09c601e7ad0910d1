//! What a payload wanted and used, gathered for a policy that is to be proposed (docs/adr/0015).
//!
//! Nothing is judged by it: paths are what calls named when they were made, and use is what was seen of it, some of it by
//! samples.

use std::collections::{BTreeMap, BTreeSet};

use super::observed::{PATHS_MAX, Want};
use super::output::Exit;
use super::programs::ProcessTree;

/// What a sandbox that learns has told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    wanted: BTreeMap<String, BTreeSet<Want>>,
    left_out: u64,
    unread: u64,
    most_tasks: u64,
    ended: bool,
}

impl Learned {
    /// A path was wanted. Bounded here, too, whoever tells it.
    pub fn want(&mut self, path: &str, want: Want) {
        if self.wanted.len() < PATHS_MAX || self.wanted.contains_key(path) {
            self.wanted.entry(path.to_owned()).or_default().insert(want);
        } else {
            self.left_out += 1;
        }
    }

    /// The last word.
    pub(super) const fn end(&mut self, left_out: u64, unread: u64, most_tasks: u64) {
        self.left_out += left_out;
        self.unread += unread;
        if most_tasks > self.most_tasks {
            self.most_tasks = most_tasks;
        }
        self.ended = true;
    }

    /// The same with what another sandbox has told.
    pub fn join(&mut self, other: &Self) {
        for (path, wants) in &other.wanted {
            for want in wants {
                self.want(path, *want);
            }
        }
        let whole = self.ended && other.ended;
        self.end(other.left_out, other.unread, other.most_tasks);
        self.ended = whole;
    }

    /// Paths, absolute and as [`crate::vocab::shown_path`] writes them, with what each was wanted for.
    #[must_use]
    pub const fn wanted(&self) -> &BTreeMap<String, BTreeSet<Want>> {
        &self.wanted
    }

    /// How often a path was wanted that there was no room for.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Paths that could not be read.
    #[must_use]
    pub const fn unread(&self) -> u64 {
        self.unread
    }

    /// The most processes and threads that there were at one moment.
    #[must_use]
    pub const fn most_tasks(&self) -> u64 {
        self.most_tasks
    }

    /// Whether the tree was followed to its end, and every path of it was read and kept.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.ended && self.left_out == 0 && self.unread == 0
    }
}

/// The most that a tree was seen to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Memory of the whole tree, bytes: a control group's own peak, else the largest sample or process.
    pub memory_bytes: u64,
    /// CPU time of the whole tree, microseconds.
    pub cpu_micros: u64,
    /// Space in the work tree, bytes.
    pub disk_bytes: u64,
    /// Entries in the work tree.
    pub inodes: u64,
    /// The largest file in the work tree, bytes.
    pub file_bytes: u64,
}

impl Used {
    /// The larger of both, each by itself.
    pub fn raise(&mut self, other: &Self) {
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.cpu_micros = self.cpu_micros.max(other.cpu_micros);
        self.disk_bytes = self.disk_bytes.max(other.disk_bytes);
        self.inodes = self.inodes.max(other.inodes);
        self.file_bytes = self.file_bytes.max(other.file_bytes);
    }
}

/// What was witnessed of one payload, or of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witnessed {
    /// Paths.
    pub learned: Learned,
    /// Addresses outside that were asked for, with how often.
    pub sought: BTreeMap<String, u64>,
    /// Whether every program was seen.
    pub programs_whole: bool,
    /// The most that one of them used.
    pub used: Used,
    /// The longest wall time, microseconds.
    pub micros: u64,
    /// The most output, bytes.
    pub output_bytes: u64,
}

impl Witnessed {
    /// Of one payload that has ended.
    #[must_use]
    pub fn of(exit: &Exit, tree: &ProcessTree) -> Self {
        Self {
            learned: tree.learned().clone(),
            sought: tree.sought().clone(),
            programs_whole: tree.is_whole(),
            used: exit.used,
            micros: exit.micros,
            output_bytes: exit.output_bytes,
        }
    }

    /// Adds another payload.
    pub fn join(all: &mut Option<Self>, other: Self) {
        let Some(all) = all else {
            *all = Some(other);
            return;
        };
        all.learned.join(&other.learned);
        for (address, count) in other.sought {
            *all.sought.entry(address).or_default() += count;
        }
        all.programs_whole &= other.programs_whole;
        all.used.raise(&other.used);
        all.micros = all.micros.max(other.micros);
        all.output_bytes = all.output_bytes.max(other.output_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sandboxes_are_whole_only_together() {
        let told = |path: &str, ended: bool| {
            let mut learned = Learned::default();
            learned.want(path, Want::Read);
            if ended {
                learned.end(0, 0, 3);
            }
            learned
        };
        let mut both = told("/srv/a", true);
        both.join(&told("/srv/b", true));
        assert!(both.is_whole() && both.wanted().len() == 2 && both.most_tasks() == 3);
        both.join(&told("/srv/c", false));
        assert!(!both.is_whole());
    }
}
