//! What nobody tells of its own accord: how much memory, CPU time, processes and disk a payload uses.
//!
//! Where there is a control group, the kernel holds memory and processes and this only finds out that it had to; where
//! there is none, this samples `/proc`. CPU time of the whole tree and space in the work tree are watched either way.
//! Guarantees: a count that cannot be read is [`Unread`] and never nothing; whoever asks has to end the payload then.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use super::census::{Census, Stat, is_full, nameless};
use super::group::Group;
use super::learned::Used;
use super::tree::{TreeWatch, WatchedTree};
use super::unread::{Unread, of_process};
use super::watch::has_ended;
use crate::vocab::{LimitName, Limits};

/// Time between two looks where the kernel counts.
const COUNTED: Duration = Duration::from_millis(200);
/// Time between two looks over `/proc`.
const SAMPLED: Duration = Duration::from_millis(500);
/// A look takes at most this part of the time.
const SHARE: u32 = 20;

/// A limit and its value.
type Reached = (LimitName, u64);

/// Looks at what a payload uses, when it is time to.
#[derive(Debug)]
pub(super) struct Watchdog {
    init: OwnedFd,
    /// Its pid, as `/proc` counts.
    pid: u32,
    group: Option<Group>,
    tree: Option<TreeWatch>,
    next: Instant,
    used: Used,
}

impl Watchdog {
    /// Begins to watch the tree below the process behind `init`, whose pid is `pid`.
    pub(super) fn begin(
        init: OwnedFd,
        pid: u32,
        group: Option<Group>,
        tree: Option<WatchedTree>,
        limits: &Limits,
    ) -> io::Result<Self> {
        let tree = tree.map(|tree| TreeWatch::begin(tree, limits)).transpose()?;
        Ok(Self { init, pid, group, tree, next: Instant::now() + COUNTED, used: Used::default() })
    }

    /// When it wants to look.
    pub(super) const fn next(&self) -> Instant {
        self.next
    }

    /// The limit that is reached, if one is and it is time to look.
    pub(super) fn look(&mut self, now: Instant, limits: &Limits) -> Result<Option<Reached>, Unread> {
        if now < self.next {
            return Ok(None);
        }
        let found = match self.counted(limits)? {
            None => self.sampled(limits)?,
            found => found,
        };
        let rest = if self.group.is_some() { COUNTED } else { SAMPLED };
        self.next = Instant::now() + rest.max(now.elapsed() * SHARE);
        Ok(found)
    }

    /// After the end: what was reached and not seen before.
    pub(super) fn last_look(&mut self, limits: &Limits) -> Result<Option<Reached>, Unread> {
        if let Some(counted) = self.counted(limits)? {
            return Ok(Some(counted));
        }
        let taken = self.tree.as_ref().map(TreeWatch::last).transpose()?;
        self.used.raise(&taken.unwrap_or_default().used());
        Ok(taken.and_then(|taken| taken.above(limits)))
    }

    /// The most that was seen to be used.
    pub(super) fn used(&self) -> Used {
        let mut used = self.used;
        if let Some(group) = &self.group {
            let cpu_micros = group.counts().map_or(0, |counts| counts.cpu_micros);
            used.raise(&Used { memory_bytes: group.most_memory(), cpu_micros, ..Used::default() });
        }
        used
    }

    /// What the kernel counted in the group: the surest of all reasons.
    pub(super) fn counted(&self, limits: &Limits) -> Result<Option<Reached>, Unread> {
        let Some(group) = &self.group else { return Ok(None) };
        let counts = group.counts()?;
        Ok(if counts.oom_kills > 0 {
            Some((LimitName::MemoryBytes, limits.memory_bytes))
        } else if counts.refused_forks > 0 {
            Some((LimitName::Processes, limits.processes))
        } else if used_up(counts.cpu_micros, limits.tree_cpu_seconds) {
            Some((LimitName::TreeCpuSeconds, limits.tree_cpu_seconds))
        } else {
            None
        })
    }

    fn sampled(&mut self, limits: &Limits) -> Result<Option<Reached>, Unread> {
        let census = match &self.group {
            Some(group) => Census::of_members(self.pid, &group.members()?)?,
            None => Census::of_tree(self.pid)?,
        };
        let Some(census) = census else {
            // The kernel's word about its end, not that of a `/proc` which does not show it.
            let hidden = || Unread::new(format!("/proc/{}/stat", self.pid), "PID 1 lives, and is not shown");
            return if has_ended(&self.init) { Ok(None) } else { Err(hidden()) };
        };
        let nameless = nameless(&census.pids)?;
        let taken = self.tree.as_ref().map(TreeWatch::latest).transpose()?;
        let taken = taken.map(|taken| taken.and(nameless.on_disk));
        // A file without a name may be mapped as well.
        let memory = census.memory_bytes.saturating_add(census.shared_bytes.max(nameless.in_memory));
        let of_tree = taken.unwrap_or_default().used();
        self.used.raise(&Used { memory_bytes: memory, cpu_micros: census.tree_cpu_micros, ..of_tree });
        Ok(self.above(&census, memory, limits).or_else(|| {
            let full =
                |(place, name, bytes)| is_full(*census.pids.first()?, place, bytes).then_some((name, bytes));
            let shm = ("dev/shm", LimitName::ShmBytes, limits.shm_bytes);
            taken
                .and_then(|taken| taken.above(limits))
                .or_else(|| full(("tmp", LimitName::TmpBytes, limits.tmp_bytes)))
                .or_else(|| full(shm))
        }))
    }

    /// The first limit that the processes are above.
    fn above(&self, census: &Census, memory: u64, limits: &Limits) -> Option<Reached> {
        let counts_cpu = self.group.as_ref().is_some_and(Group::counts_cpu);
        if used_up(census.busiest_micros, limits.cpu_seconds) {
            Some((LimitName::CpuSeconds, limits.cpu_seconds))
        } else if !counts_cpu && used_up(census.tree_cpu_micros, limits.tree_cpu_seconds) {
            Some((LimitName::TreeCpuSeconds, limits.tree_cpu_seconds))
        } else if self.group.is_none() && census.processes > limits.processes {
            Some((LimitName::Processes, limits.processes))
        } else if self.group.is_none() && memory > limits.memory_bytes {
            Some((LimitName::MemoryBytes, limits.memory_bytes))
        } else {
            None
        }
    }
}

fn used_up(micros: u64, seconds: u64) -> bool {
    Duration::from_micros(micros) >= Duration::from_secs(seconds)
}

/// Whether `/proc` shows of PID 1 what the watchdog will have to see of it. It does so surely only once PID 1 has the
/// payload's identity.
pub(crate) fn in_sight(pid: u32) -> Result<(), Unread> {
    match Stat::look(pid)? {
        Some(_) => Ok(()),
        None => Err(Unread::new(format!("/proc/{pid}/stat"), "PID 1 is not shown there")),
    }
}

/// The pid behind a pid descriptor, as `/proc` here counts (`Pid:` in its fdinfo, proc(5)).
pub(crate) fn pid_of(pidfd: &OwnedFd) -> Result<u32, Unread> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = of_process(&path)?.ok_or_else(|| Unread::new(&path, "it is not there"))?;
    pid_in(&text).map_err(Unread::of(path))
}

fn pid_in(fdinfo: &str) -> Result<u32, &'static str> {
    let line = fdinfo.lines().find_map(|line| line.strip_prefix("Pid:"));
    match line.map(|pid| pid.trim().parse::<i64>()) {
        Some(Ok(-1)) => Err("the process has ended"),
        Some(Ok(0)) => Err("this /proc belongs to a pid namespace that the process is not in"),
        Some(Ok(pid)) => u32::try_from(pid).map_err(|_| "it names no pid"),
        Some(Err(_)) | None => Err("it names no pid"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pid_is_a_pid() {
        assert_eq!(pid_in("pos:\t0\nPid:\t17\nNSpid:\t17\n"), Ok(17));
        for nonsense in ["", "Pid:\t0\n", "Pid:\t-1\n", "Pid:\t-2\n", "Pid:\tx\n", "NSpid:\t17\n"] {
            assert!(pid_in(nonsense).is_err(), "{nonsense:?}");
        }
    }
}
