//! What the processes of a tree use, by `/proc`: for what no control group counts.
//!
//! A look is a sample: what begins and ends between two of them is not seen, and a process that disclaims its children
//! takes their CPU time with it. Whatever rests on it is watched, not held. What cannot be read of a process that lives is
//! an error and never nothing, with one exception: whose files a process holds open is hidden from an ordinary user where
//! the process wants that (`PR_SET_DUMPABLE`), and files without a name that it holds are then not counted.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use super::unread::{Unread, is_gone, of_process};

/// Clock ticks a second in `/proc` (`USER_HZ`, the same on every architecture that this runs on).
const TICKS: u64 = 100;
/// Most open files that one look goes over.
const DESCRIPTORS_MAX: usize = 100_000;
/// Most processes of the host that one look goes over.
const PROCESSES_MAX: usize = 100_000;

/// What `/proc/<pid>/stat` says (proc(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) parent: u32,
    /// When it started, clock ticks since boot.
    pub(super) started: u64,
    own_ticks: u64,
    children_ticks: u64,
    threads: u64,
}

impl Stat {
    /// Of a process that there is.
    pub(super) fn read(pid: u32) -> Option<Self> {
        Self::look(pid).ok().flatten()
    }

    /// `None` when there is no such process.
    pub(super) fn look(pid: u32) -> Result<Option<Self>, Unread> {
        let path = format!("/proc/{pid}/stat");
        let Some(text) = of_process(&path)? else { return Ok(None) };
        Self::parse(&text).map(Some).ok_or_else(|| Unread::new(path, "it makes no sense"))
    }

    fn parse(text: &str) -> Option<Self> {
        // The name, in brackets, may hold anything; what follows are the fields from the third on.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
        Some(Self {
            parent: u32::try_from(number(4)?).ok()?,
            own_ticks: number(14)? + number(15)?,
            children_ticks: number(16)? + number(17)?,
            threads: number(20)?,
            started: number(22)?,
        })
    }
}

/// What a tree uses at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// Processes and threads, PID 1 not among them.
    pub(super) processes: u64,
    /// CPU time of all that live and of those that were waited for, microseconds.
    pub(super) tree_cpu_micros: u64,
    /// The most CPU time that one living process has used, microseconds.
    pub(super) busiest_micros: u64,
    /// Memory that no file stands behind, bytes.
    pub(super) memory_bytes: u64,
    /// The most shared memory that one process has mapped, bytes: several may have the same.
    pub(super) shared_bytes: u64,
    /// The processes besides PID 1.
    pub(super) pids: Vec<u32>,
}

impl Census {
    /// Of everything below `init`, which is counted for its CPU time only. `None` when there is no such process.
    pub(super) fn of_tree(init: u32) -> Result<Option<Self>, Unread> {
        let stats = everybody()?;
        if !stats.contains_key(&init) {
            return Ok(None);
        }
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for (pid, stat) in &stats {
            children.entry(stat.parent).or_default().push(*pid);
        }
        let (mut tree, mut seen) = (vec![init], HashSet::from([init]));
        let mut at = 0;
        while let Some(pid) = tree.get(at) {
            let below: Vec<u32> = children.get(pid).into_iter().flatten().copied().collect();
            tree.extend(below.into_iter().filter(|child| seen.insert(*child)));
            at += 1;
        }
        Self::sum(init, tree.into_iter().filter_map(|pid| Some((pid, *stats.get(&pid)?))), true).map(Some)
    }

    /// Of the members of a group, `init` among them. `None` when there is no such process.
    pub(super) fn of_members(init: u32, members: &[u32]) -> Result<Option<Self>, Unread> {
        if Stat::look(init)?.is_none() {
            return Ok(None);
        }
        let mut stats = Vec::new();
        for pid in members {
            stats.extend(Stat::look(*pid)?.map(|stat| (*pid, stat)));
        }
        Self::sum(init, stats.into_iter(), false).map(Some)
    }

    fn sum(
        init: u32,
        processes: impl Iterator<Item = (u32, Stat)>,
        with_memory: bool,
    ) -> Result<Self, Unread> {
        let micros = |ticks: u64| ticks.saturating_mul(1_000_000 / TICKS);
        let mut all = Self::default();
        for (pid, stat) in processes {
            all.tree_cpu_micros += micros(stat.own_ticks + stat.children_ticks);
            if pid != init {
                all.pids.push(pid);
                all.processes += stat.threads;
                all.busiest_micros = all.busiest_micros.max(micros(stat.own_ticks));
                let (private, shared) = if with_memory { memory(pid)? } else { (0, 0) };
                all.memory_bytes += private;
                all.shared_bytes = all.shared_bytes.max(shared);
            }
        }
        Ok(all)
    }
}

/// Every process of the host that `/proc` shows.
fn everybody() -> Result<HashMap<u32, Stat>, Unread> {
    let mut stats = HashMap::new();
    for entry in fs::read_dir("/proc").map_err(Unread::of("/proc"))? {
        let name = entry.map_err(Unread::of("/proc"))?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        stats.extend(Stat::look(pid)?.map(|stat| (pid, stat)));
        if stats.len() > PROCESSES_MAX {
            return Err(Unread::new("/proc", &format!("it has more than {PROCESSES_MAX} processes")));
        }
    }
    Ok(stats)
}

/// What files that have no name take as long as somebody holds them open: whoever deletes what he writes, or gave it
/// no name (`memfd_create`), is not seen in any folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Nameless {
    /// On disk, bytes.
    pub(super) on_disk: u64,
    /// In memory, bytes.
    pub(super) in_memory: u64,
}

/// Of all that these processes hold open, each file once.
pub(super) fn nameless(pids: &[u32]) -> Result<Nameless, Unread> {
    let mut seen = HashSet::new();
    let mut all = Nameless::default();
    let mut looked_at = 0;
    for pid in pids {
        let folder = format!("/proc/{pid}/fd");
        let open = match fs::read_dir(&folder) {
            Ok(open) => open,
            Err(error) if is_gone(&error) || error.kind() == io::ErrorKind::PermissionDenied => continue,
            Err(error) => return Err(Unread::new(folder, &error)),
        };
        for path in open.filter_map(|entry| Some(entry.ok()?.path())) {
            looked_at += 1;
            if looked_at > DESCRIPTORS_MAX {
                return Err(Unread::new(folder, &format!("more than {DESCRIPTORS_MAX} files are open")));
            }
            // Closed meanwhile.
            let Ok(file) = fs::metadata(&path) else { continue };
            let in_memory = || statfs(&path).is_ok_and(|place| place.filesystem_type() == TMPFS_MAGIC);
            if file.is_file() && file.nlink() == 0 && seen.insert((file.dev(), file.ino())) {
                let sum = if in_memory() { &mut all.in_memory } else { &mut all.on_disk };
                *sum = sum.saturating_add(file.blocks().saturating_mul(512));
            }
        }
    }
    Ok(all)
}

/// Whether the private space at `place` of the root that `pid` sees is full. Its size tells that it is the one that is
/// meant: what a pid stands for may change under whoever asks. Refused writes are not counted by any kernel. This names
/// what the mount's size holds; where it cannot be told, the limit is held and has no name.
pub(super) fn is_full(pid: u32, place: &str, bytes: u64) -> bool {
    let Ok(space) = nix::sys::statvfs::statvfs(format!("/proc/{pid}/root/{place}").as_str()) else {
        return false;
    };
    let size = space.blocks().saturating_mul(space.fragment_size());
    size.abs_diff(bytes) < space.fragment_size()
        && (space.blocks_available() == 0 || space.files_available() == 0)
}

/// Resident memory that no file stands behind, private and shared (proc(5), `RssAnon` and `RssShmem`), in bytes.
fn memory(pid: u32) -> Result<(u64, u64), Unread> {
    let path = format!("/proc/{pid}/status");
    let text = of_process(&path)?.unwrap_or_default();
    let field = |name: &str| -> Result<u64, Unread> {
        // One that has ended and was not waited for yet has no memory, and no such line.
        let Some(value) = text.lines().find_map(|line| line.strip_prefix(name)) else { return Ok(0) };
        let kib = value.trim().strip_suffix("kB").and_then(|value| value.trim().parse::<u64>().ok());
        kib.map(|kib| kib.saturating_mul(1024)).ok_or_else(|| Unread::new(&path, "it makes no sense"))
    };
    Ok((field("RssAnon:")?, field("RssShmem:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_brackets_does_not_shift_the_fields() {
        let text = "7 (a) b) (c) S 3 7 7 0 -1 4194304 1 2 3 4 100 20 30 4 20 0 5 0 999 1 2 3\n";
        let stat = Stat { parent: 3, started: 999, own_ticks: 120, children_ticks: 34, threads: 5 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("7 (x) S 3"), None);
    }

    #[test]
    fn this_process_and_its_threads_are_counted_below_its_parent() {
        let me = Stat::read(std::process::id()).unwrap();
        let census = Census::of_tree(me.parent).unwrap().unwrap();
        assert!(census.processes >= me.threads.min(1) && census.memory_bytes > 0, "{census:?}");
        assert_eq!(Census::of_members(me.parent, &[]), Ok(Some(Census::default())));
        // No process ever has this pid (pid_max is at most 4,194,304).
        assert_eq!((Census::of_tree(5_000_000), Census::of_members(5_000_000, &[])), (Ok(None), Ok(None)));
    }
}
