//! One group of this process's: made, bound, read back, counted, removed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::find::{Place, Version, places};
use crate::evidence::LayerRow;
use crate::process::census::Stat;
use crate::process::unread::Unread;

/// How often a group whose last process is just going is tried to be removed, a millisecond apart.
const REMOVALS: u32 = 50;
/// The kernel keeps limits in whole pages; the largest page that Linux is built with.
const PAGE_MAX: u64 = 65_536;
/// Every name of a group begins so.
pub(super) const PREFIX: &str = "cto";

/// What the kernel is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Memory of everything inside, bytes. There is no swap beyond it.
    pub memory_bytes: u64,
    /// Processes and threads inside.
    pub processes: u64,
}

/// Why there is no group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// No controller is to be had.
    #[error("no control group for {what} can be made here: {why}")]
    Nowhere {
        /// Of what.
        what: &'static str,
        /// What stands against it.
        why: String,
    },
    /// It does not count.
    #[error(transparent)]
    Unread(#[from] Unread),
    /// A file of the group.
    #[error("cannot {act} {path}: {source}")]
    File {
        /// Which act.
        act: &'static str,
        /// Which file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// A group. Dropped, it is removed; whatever is in it must be dead by then.
#[derive(Debug)]
pub struct Group {
    pub(super) version: Version,
    bounds: Bounds,
    pub(super) memory: PathBuf,
    pub(super) pids: PathBuf,
    pub(super) cpu: Option<PathBuf>,
    /// Every folder, once.
    dirs: Vec<PathBuf>,
}

/// A name that tells later who made it: pid namespace, pid and start of this process, and a number.
pub(super) fn fresh_name() -> io::Result<String> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let me = Stat::read(std::process::id()).ok_or(io::ErrorKind::NotFound)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Ok(format!("{PREFIX}-{}-{}-{}-{number}", pid_namespace()?, std::process::id(), me.started))
}

/// The identity of this process's pid namespace: pids of another one say nothing here.
pub(super) fn pid_namespace() -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self/ns/pid").map(|namespace| namespace.ino())
}

impl Group {
    /// Makes one with memory and processes bound, or none at all.
    pub fn make(bounds: Bounds) -> Result<Self, GroupError> {
        let group = Self::make_in(places(), bounds)?;
        // What holds a limit and cannot say so is no use: a run has to tell which limit ended it.
        group.counts()?;
        Ok(group)
    }

    pub(super) fn make_in(places: &[Place], bounds: Bounds) -> Result<Self, GroupError> {
        let name = fresh_name().map_err(file("name a group of", Path::new("/proc/self")))?;
        let of = |controller: &str| places.iter().find(|place| place.controllers.contains(controller));
        let nowhere = |what| GroupError::Nowhere {
            what,
            why: "neither version of control groups has its controller for this process".to_owned(),
        };
        let memory = of("memory").ok_or_else(|| nowhere("memory"))?;
        let pids = of("pids").ok_or_else(|| nowhere("processes"))?;
        if memory.version != pids.version {
            return Err(nowhere("memory and processes together"));
        }
        // Version 2 counts CPU time in every group.
        let cpu = if memory.version == Version::V2 { Some(memory) } else { of("cpuacct") };
        let mut group = Self {
            version: memory.version,
            bounds,
            memory: memory.dir.join(&name),
            pids: pids.dir.join(&name),
            cpu: cpu.map(|place| place.dir.join(&name)),
            dirs: Vec::new(),
        };
        for dir in [Some(&group.memory), Some(&group.pids), group.cpu.as_ref()].into_iter().flatten() {
            if !group.dirs.contains(dir) {
                fs::create_dir(dir).map_err(|error| GroupError::Nowhere {
                    what: "memory and processes",
                    why: format!("cannot make {}: {error}", dir.display()),
                })?;
                group.dirs.push(dir.clone());
            }
        }
        group.bind()?;
        Ok(group)
    }

    fn bind(&self) -> Result<(), GroupError> {
        let memory = self.bounds.memory_bytes.to_string();
        match self.version {
            Version::V1 => {
                write(&self.memory, "memory.limit_in_bytes", &memory)?;
                if self.memory.join("memory.memsw.limit_in_bytes").exists() {
                    write(&self.memory, "memory.memsw.limit_in_bytes", &memory)?;
                } else {
                    write(&self.memory, "memory.swappiness", "0")?;
                }
            }
            Version::V2 => {
                write(&self.memory, "memory.max", &memory)?;
                if self.memory.join("memory.swap.max").exists() {
                    write(&self.memory, "memory.swap.max", "0")?;
                }
                write(&self.memory, "memory.oom.group", "1")?;
            }
        }
        write(&self.pids, "pids.max", &self.pids_max().to_string())
    }

    /// PID 1 is one of them.
    const fn pids_max(&self) -> u64 {
        self.bounds.processes.saturating_add(1)
    }

    /// Which interface.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// What PID 1 enters by. Version 1: the files that it writes itself into, `tasks` and not `cgroup.procs`: one
    /// thread that moves itself needs no lock that every fork on the machine takes (0.08 ms against 10). Version 2:
    /// the folder that it is cloned into.
    pub fn entrances(&self) -> Result<Vec<OwnedFd>, GroupError> {
        let open = |dir: &PathBuf| {
            let opened = match self.version {
                Version::V1 => OpenOptions::new().write(true).open(dir.join("tasks")),
                Version::V2 => File::open(dir),
            };
            opened.map(OwnedFd::from).map_err(file("open", dir))
        };
        self.dirs.iter().map(open).collect()
    }

    /// What the kernel says of each controller: the limit that stands, and whether `pid` is in it.
    #[must_use]
    pub fn rows(&self, pid: u32) -> Vec<LayerRow> {
        let limit = match self.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        let inside = |dir: &Path| members(dir).contains(&pid);
        let row = |dir: &Path, name: &str, requested: u64, slack: u64| {
            let stands = read(dir, name).trim().to_owned();
            let holds = stands.parse::<u64>().is_ok_and(|n| n <= requested && requested - n < slack);
            let place = if inside(dir) { "PID 1 is in it" } else { "PID 1 is not in it" };
            LayerRow {
                layer: format!("cgroup.{}", name.split('.').next().unwrap_or(name)),
                requested: format!("{name} {requested}"),
                enforced: format!("{}, {name} {stands}; {place}", self.version.as_str()),
                ok: holds && inside(dir),
            }
        };
        let mut rows = vec![
            row(&self.memory, limit, self.bounds.memory_bytes, PAGE_MAX),
            row(&self.pids, "pids.max", self.pids_max(), 1),
        ];
        if let (Version::V1, Some(cpu)) = (self.version, &self.cpu) {
            let ok = inside(cpu);
            let counts = if ok { "counts PID 1" } else { "does not count PID 1" };
            rows.push(LayerRow {
                layer: "cgroup.cpuacct".to_owned(),
                requested: "counts".to_owned(),
                enforced: format!("{}, {counts}", self.version.as_str()),
                ok,
            });
        }
        rows
    }

    /// Whether the limits stand as they were written: the part of [`Self::rows`] that needs no process.
    #[must_use]
    pub fn stands(&self) -> bool {
        // No process has pid 0, so that only the limits are looked at.
        let limits = self.rows(0);
        let [memory, pids, ..] = limits.as_slice() else { return false };
        let value = |row: &LayerRow| {
            let (_, number) = row.enforced.split_once(", ")?.1.split_once(' ')?;
            number.split(';').next()?.parse::<u64>().ok()
        };
        value(memory).is_some_and(|n| n.abs_diff(self.bounds.memory_bytes) < PAGE_MAX)
            && value(pids) == Some(self.pids_max())
    }

    /// The most memory that the members had at one moment, bytes; 0 where this kernel does not tell.
    #[must_use]
    pub fn most_memory(&self) -> u64 {
        let file = match self.version {
            Version::V1 => "memory.max_usage_in_bytes",
            Version::V2 => "memory.peak",
        };
        read(&self.memory, file).trim().parse().unwrap_or(0)
    }

    /// Whether CPU time is counted.
    #[must_use]
    pub const fn counts_cpu(&self) -> bool {
        self.cpu.is_some()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for dir in &self.dirs {
            // What cannot be removed now is found by its name: `cto doctor --clean`.
            let _later = remove(dir);
        }
    }
}

/// Removes an empty group. The last process may be dead and still on its way out of it.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    for _ in 0..REMOVALS {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
    }
    fs::remove_dir(dir)
}

pub(super) fn members(dir: &Path) -> Vec<u32> {
    read(dir, "cgroup.procs").lines().filter_map(|line| line.parse().ok()).collect()
}

fn read(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap_or_default()
}

fn write(dir: &Path, name: &str, value: &str) -> Result<(), GroupError> {
    let path = dir.join(name);
    fs::write(&path, value).map_err(file("write", &path))
}

fn file(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GroupError {
    let path = path.to_owned();
    move |source| GroupError::File { act, path, source }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::counted::Counts;
    use super::*;

    const BOUNDS: Bounds = Bounds { memory_bytes: 1 << 20, processes: 7 };

    fn place(version: Version, dir: &Path, controllers: &[&str]) -> Place {
        let controllers: BTreeSet<String> = controllers.iter().map(|name| (*name).to_owned()).collect();
        Place { version, top: dir.to_owned(), dir: dir.to_owned(), controllers }
    }

    /// No kernel: only which files are written and read, as its documentation names them.
    #[test]
    fn each_version_is_bound_and_counted_by_its_own_files() {
        let top = tempfile::tempdir().unwrap();
        let of = |name: &str| top.path().join(name);
        for name in ["m", "p", "c", "two"] {
            fs::create_dir(of(name)).unwrap();
        }
        let first = [
            place(Version::V1, &of("m"), &["memory"]),
            place(Version::V1, &of("p"), &["pids"]),
            place(Version::V1, &of("c"), &["cpu", "cpuacct"]),
        ];
        let group = Group::make_in(&first, BOUNDS).unwrap();
        assert_eq!(group.dirs.len(), 3);
        assert!(group.stands());
        fs::write(group.memory.join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
            .unwrap();
        fs::write(group.pids.join("pids.events"), "max 3\n").unwrap();
        fs::write(group.cpu.clone().unwrap().join("cpuacct.usage"), "4000000\n").unwrap();
        let counts = Counts { oom_kills: 2, refused_forks: 3, cpu_micros: 4000 };
        assert_eq!(group.counts(), Ok(counts));

        let second = [place(Version::V2, &of("two"), &["memory", "pids"])];
        let group = Group::make_in(&second, BOUNDS).unwrap();
        assert_eq!(group.dirs.len(), 1);
        let file = |name: &str| fs::read_to_string(group.memory.join(name)).unwrap();
        assert_eq!(
            (file("memory.max"), file("memory.oom.group"), file("pids.max")),
            ("1048576".into(), "1".into(), "8".into())
        );
        let events = "low 0\nhigh 0\nmax 9\noom 5\noom_kill 2\noom_group_kill 1\n";
        fs::write(group.memory.join("memory.events"), events).unwrap();
        fs::write(group.memory.join("pids.events"), "max 3\n").unwrap();
        fs::write(group.memory.join("cpu.stat"), "usage_usec 4000\nuser_usec 1\n").unwrap();
        assert_eq!(group.counts(), Ok(counts));
        unreadable_is_not_zero(&group);
        // What stands otherwise than written is no limit, and nobody is in it.
        fs::write(group.memory.join("memory.max"), "max\n").unwrap();
        assert!(!group.stands() && group.rows(1).iter().all(|row| !row.ok));
    }

    /// A counter that is gone, or holds nonsense, is named.
    fn unreadable_is_not_zero(group: &Group) {
        for name in ["memory.events", "pids.events", "cpu.stat"] {
            let path = group.memory.join(name);
            let before = fs::read(&path).unwrap();
            for nonsense in [Some("oom_kill x\nmax -1\nusage_usec \n"), Some(""), None] {
                match nonsense {
                    Some(text) => fs::write(&path, text).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
                let error = group.counts().unwrap_err().to_string();
                assert!(error.contains(name) && error.contains("not held"), "{error}");
            }
            fs::write(&path, before).unwrap();
        }
        assert!(group.counts().is_ok());
        assert!(group.members().is_err(), "there is no cgroup.procs");
        fs::write(group.pids.join("cgroup.procs"), "7\n8\n").unwrap();
        assert_eq!(group.members(), Ok(vec![7, 8]));
        fs::write(group.pids.join("cgroup.procs"), "7\nx\n").unwrap();
        assert!(group.members().is_err());
    }

    #[test]
    fn half_a_group_is_none() {
        let top = tempfile::tempdir().unwrap();
        let memory = place(Version::V1, top.path(), &["memory"]);
        let pids = place(Version::V1, &top.path().join("absent"), &["pids"]);
        assert!(matches!(
            Group::make_in(std::slice::from_ref(&memory), BOUNDS),
            Err(GroupError::Nowhere { .. })
        ));
        assert!(matches!(Group::make_in(&[memory, pids], BOUNDS), Err(GroupError::Nowhere { .. })));
        assert_eq!(fs::read_dir(top.path()).unwrap().count(), 0, "what was made of it is removed");
    }
}
