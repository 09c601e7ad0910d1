//! What the kernel counts in a group. A counter that cannot be read is an error, and never zero.

use std::fs;
use std::path::Path;

use super::find::Version;
use super::made::Group;
use crate::process::unread::Unread;

/// What the kernel counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Processes that were killed because memory ran out.
    pub oom_kills: u64,
    /// Forks that were refused because there were too many processes.
    pub refused_forks: u64,
    /// CPU time of everything that ever ran inside, microseconds.
    pub cpu_micros: u64,
}

impl Group {
    /// What was counted so far.
    pub fn counts(&self) -> Result<Counts, Unread> {
        let of_memory = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let cpu_micros = match (&self.cpu, self.version) {
            (Some(cpu), Version::V1) => counter(cpu, "cpuacct.usage", None)? / 1000,
            (Some(cpu), Version::V2) => counter(cpu, "cpu.stat", Some("usage_usec"))?,
            (None, _) => 0,
        };
        Ok(Counts {
            oom_kills: counter(&self.memory, of_memory, Some("oom_kill"))?,
            refused_forks: counter(&self.pids, "pids.events", Some("max"))?,
            cpu_micros,
        })
    }

    /// Every process inside, by its pid here.
    pub fn members(&self) -> Result<Vec<u32>, Unread> {
        let path = self.pids.join("cgroup.procs");
        let text = fs::read_to_string(&path).map_err(Unread::of(&path))?;
        text.lines().map(|line| line.parse().map_err(Unread::of(&path))).collect()
    }
}

/// The number behind `field`, or the one that the file is.
fn counter(dir: &Path, name: &str, field: Option<&str>) -> Result<u64, Unread> {
    let path = dir.join(name);
    let text = fs::read_to_string(&path).map_err(Unread::of(&path))?;
    let value = match field {
        Some(field) => text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(' ')),
        None => Some(text.as_str()),
    };
    let Some(value) = value else {
        return Err(Unread::new(path, &format!("`{}` is not in it", field.unwrap_or_default())));
    };
    value.trim().parse().map_err(Unread::of(path))
}
