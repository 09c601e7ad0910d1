//! From what was used to what is proposed: twice as much, rounded up to a power of two, within a floor and the ceiling.
//!
//! One measurement is one run: the margin is for the next, and a floor is there because a machine under load needs more of
//! everything. What is not measured is not proposed; its default stands.

use crate::process::Witnessed;
use crate::vocab::{LimitName, Limits};
use crate::workspace::Patch;

/// The least that is proposed, in the unit of the name.
const FLOORS: [(LimitName, u64); 11] = [
    (LimitName::WallSeconds, 64),
    (LimitName::CpuSeconds, 64),
    (LimitName::OutputBytes, 1 << 20),
    (LimitName::Processes, 64),
    (LimitName::FileBytes, 16 << 20),
    (LimitName::ChangedFiles, 8),
    (LimitName::TreeCpuSeconds, 64),
    (LimitName::MemoryBytes, 256 << 20),
    (LimitName::DiskBytes, 64 << 20),
    (LimitName::Inodes, 1024),
    (LimitName::PatchBytes, 1 << 20),
];

/// How large the change is; there is none where there was no work tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangeSize {
    /// Changed files.
    pub files: u64,
    /// Size of the patch, bytes.
    pub bytes: u64,
}

impl ChangeSize {
    /// Of a patch.
    #[must_use]
    pub fn of(patch: &Patch) -> Self {
        Self { files: patch.changes.len() as u64, bytes: patch.text.len() as u64 }
    }
}

/// Who used something.
#[derive(Debug, Clone)]
pub struct Witness {
    /// In a sentence: `the engine`.
    pub who: &'static str,
    /// What was seen of it.
    pub seen: Witnessed,
    /// Whether its output was counted.
    pub output_counted: bool,
    /// Whether its wall time is what the limit is about.
    pub timed: bool,
    /// The change that it made in its work tree, if there is one.
    pub change: Option<ChangeSize>,
}

impl Witness {
    fn of(&self, name: LimitName) -> Option<u64> {
        use LimitName as N;
        let (seen, used) = (&self.seen, &self.seen.used);
        let seconds = |micros: u64| micros.div_ceil(1_000_000);
        match name {
            N::WallSeconds => self.timed.then(|| seconds(seen.micros)),
            // One process has not used more than all of them.
            N::CpuSeconds | N::TreeCpuSeconds => Some(seconds(used.cpu_micros)),
            N::OutputBytes => self.output_counted.then_some(seen.output_bytes),
            N::Processes => Some(seen.learned.most_tasks()),
            N::FileBytes => self.change.map(|_| used.file_bytes),
            N::ChangedFiles => self.change.map(|change| change.files),
            N::MemoryBytes => Some(used.memory_bytes),
            N::DiskBytes => self.change.map(|_| used.disk_bytes),
            N::Inodes => self.change.map(|_| used.inodes),
            N::PatchBytes => self.change.map(|change| change.bytes),
            N::IdleSeconds
            | N::OpenFiles
            | N::TmpBytes
            | N::ShmBytes
            | N::GraceSeconds
            | N::AnswerSeconds => None,
        }
    }
}

/// Each limit that was measured: its name, what is proposed, and why that much.
pub(super) fn proposed(witnesses: &[Witness], ceilings: &Limits) -> Vec<(LimitName, u64, String)> {
    let propose = |(name, floor): (LimitName, u64)| {
        let each: Vec<(&str, u64)> =
            witnesses.iter().filter_map(|witness| Some((witness.who, witness.of(name)?))).collect();
        let used = each.iter().map(|(_, used)| *used).max()?;
        let ceiling = ceilings.named().into_iter().find(|(known, _)| *known == name).map(|(_, most)| most)?;
        let twice = used.saturating_mul(2).checked_next_power_of_two().unwrap_or(u64::MAX);
        let value = twice.max(floor).min(ceiling);
        let why = if value == ceiling {
            "the ceiling"
        } else if value == floor && twice < floor {
            "the least that is proposed"
        } else {
            "twice that, rounded up"
        };
        let told: Vec<String> = each.iter().map(|(who, used)| format!("{who} {used}")).collect();
        Some((name, value, format!("measured: {}; {why}", told.join(", "))))
    };
    FLOORS.into_iter().filter_map(propose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Ceilings;
    use crate::process::Used;

    #[test]
    fn a_margin_a_floor_and_a_ceiling() {
        let ceilings = Ceilings::standard().limits;
        let used = Used { memory_bytes: 300 << 20, cpu_micros: u64::MAX, ..Used::default() };
        let seen = Witnessed { used, micros: 40_100_000, output_bytes: 7, ..Witnessed::default() };
        let witness =
            |who, timed| Witness { who, seen: seen.clone(), output_counted: false, timed, change: None };
        let mut both = [witness("the engine", true), witness("verification", false)];
        both[1].seen.micros = 10 * seen.micros;
        both[1].seen.used.memory_bytes = 200 << 20;
        both[0].change = Some(ChangeSize { files: 5, bytes: 1 });
        let all = proposed(&both, &ceilings);
        let of = |name| all.iter().find(|(known, ..)| *known == name).map(|(_, value, _)| *value);
        assert_eq!(of(LimitName::WallSeconds), Some(128), "41 s, twice, rounded up");
        assert_eq!(of(LimitName::MemoryBytes), Some(1 << 30));
        assert_eq!(of(LimitName::TreeCpuSeconds), Some(ceilings.tree_cpu_seconds));
        assert_eq!(of(LimitName::Processes), Some(64));
        assert_eq!(of(LimitName::ChangedFiles), Some(16));
        assert_eq!(of(LimitName::OutputBytes), None, "nobody counted");
        assert_eq!(of(LimitName::DiskBytes), Some(64 << 20));
        let why = all.iter().find(|(name, ..)| *name == LimitName::MemoryBytes).map(|(.., why)| why.as_str());
        assert_eq!(
            why,
            Some("measured: the engine 314572800, verification 209715200; twice that, rounded up")
        );
        both[0].change = None;
        assert!(proposed(&both, &ceilings).iter().all(|(name, ..)| *name != LimitName::DiskBytes), "no tree");
    }

    #[test]
    fn no_floor_is_above_a_default() {
        let defaults = crate::contract::limits::defaults().named();
        for (name, floor) in FLOORS {
            assert!(defaults.iter().any(|(known, value)| *known == name && floor <= *value), "{name:?}");
        }
    }
}
