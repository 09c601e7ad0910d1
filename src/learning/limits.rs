//! From what was used to what is proposed: twice as much, rounded up to a power of two, within a floor and the ceiling.
//!
//! One measurement is one run: the margin is for the next, and a floor is there because a machine under load needs more of
//! everything. What is not measured is not proposed; its default stands.

use crate::process::Used;
use crate::vocab::{LimitName, Limits};

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

/// What was measured; `None` where nobody could.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// Wall time, microseconds.
    pub micros: u64,
    /// Of the whole tree.
    pub used: Used,
    /// Bytes on standard output and standard error.
    pub output_bytes: Option<u64>,
    /// The most processes and threads at one moment.
    pub most_tasks: u64,
    /// Changed files.
    pub changed_files: Option<u64>,
    /// Size of the patch, bytes.
    pub patch_bytes: Option<u64>,
}

impl Measured {
    fn of(&self, name: LimitName) -> Option<u64> {
        use LimitName as N;
        let seconds = |micros: u64| micros.div_ceil(1_000_000);
        match name {
            N::WallSeconds => Some(seconds(self.micros)),
            // One process has not used more than all of them.
            N::CpuSeconds | N::TreeCpuSeconds => Some(seconds(self.used.cpu_micros)),
            N::OutputBytes => self.output_bytes,
            N::Processes => Some(self.most_tasks),
            N::FileBytes => self.patch_bytes.map(|_| self.used.file_bytes),
            N::ChangedFiles => self.changed_files,
            N::MemoryBytes => Some(self.used.memory_bytes),
            N::DiskBytes => self.patch_bytes.map(|_| self.used.disk_bytes),
            N::Inodes => self.patch_bytes.map(|_| self.used.inodes),
            N::PatchBytes => self.patch_bytes,
            N::IdleSeconds | N::OpenFiles | N::TmpBytes | N::ShmBytes | N::GraceSeconds => None,
        }
    }
}

/// Each limit that was measured: its name, what is proposed, and why that much.
pub(super) fn proposed(measured: &Measured, ceilings: &Limits) -> Vec<(LimitName, u64, String)> {
    let propose = |(name, floor): (LimitName, u64)| {
        let used = measured.of(name)?;
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
        Some((name, value, format!("measured: {used}; {why}")))
    };
    FLOORS.into_iter().filter_map(propose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Ceilings;

    #[test]
    fn a_margin_a_floor_and_a_ceiling() {
        let ceilings = Ceilings::standard().limits;
        let used = Used { memory_bytes: 300 << 20, cpu_micros: u64::MAX, ..Used::default() };
        let measured = Measured {
            micros: 40_100_000,
            used,
            most_tasks: 3,
            changed_files: Some(5),
            ..Measured::default()
        };
        let all = proposed(&measured, &ceilings);
        let of = |name| all.iter().find(|(known, ..)| *known == name).map(|(_, value, _)| *value);
        assert_eq!(of(LimitName::WallSeconds), Some(128), "41 s, twice, rounded up");
        assert_eq!(of(LimitName::MemoryBytes), Some(1 << 30));
        assert_eq!(of(LimitName::TreeCpuSeconds), Some(ceilings.tree_cpu_seconds));
        assert_eq!(of(LimitName::Processes), Some(64));
        assert_eq!(of(LimitName::ChangedFiles), Some(16));
        assert_eq!(of(LimitName::OutputBytes), None, "nobody counted");
        assert_eq!(of(LimitName::DiskBytes), None, "there was no tree");
    }

    #[test]
    fn no_floor_is_above_a_default() {
        let defaults = crate::contract::limits::defaults().named();
        for (name, floor) in FLOORS {
            assert!(defaults.iter().any(|(known, value)| *known == name && floor <= *value), "{name:?}");
        }
    }
}
