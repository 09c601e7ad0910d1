//! Groups whose makers are dead: found by their names, emptied and removed; nobody else's are touched.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::find::{Place, places};
use super::made::{PREFIX, members, pid_namespace, remove};
use crate::process::census::Stat;

/// Most groups of the host that are looked at, in each hierarchy.
const GROUPS_MAX: usize = 20_000;
/// Groups below one another that are looked into.
const LEVELS: usize = 12;
/// How long killed processes may take to go.
const PATIENCE: Duration = Duration::from_secs(5);

/// A group that a dead process had left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its folder.
    pub dir: PathBuf,
    /// Processes in it that were killed.
    pub killed: Vec<u32>,
    /// Why it is still there; `None` when it is gone.
    pub stays: Option<String>,
}

/// Kills what is in the groups of dead processes of this program, and removes them.
#[must_use]
pub fn remove_left_groups() -> Vec<Leftover> {
    let tops: BTreeSet<&Path> = places().iter().map(|place: &Place| place.top.as_path()).collect();
    tops.into_iter().flat_map(remove_below).collect()
}

pub(super) fn remove_below(top: &Path) -> Vec<Leftover> {
    let Ok(namespace) = pid_namespace() else { return Vec::new() };
    let mut found = Vec::new();
    let mut left = GROUPS_MAX;
    search(top, LEVELS, &mut left, &mut |dir| {
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let dead = Maker::of(name).is_some_and(|maker| maker.namespace == namespace && !maker.lives());
        if dead {
            found.push(dir.to_owned());
        }
        dead
    });
    found.iter().map(|dir| clear(dir)).collect()
}

/// Calls `take` for every folder below; what was taken is not looked into.
fn search(dir: &Path, levels: usize, left: &mut usize, take: &mut dyn FnMut(&Path) -> bool) {
    let Ok(listed) = fs::read_dir(dir) else { return };
    for entry in listed.flatten() {
        if *left == 0 || levels == 0 {
            return;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            *left -= 1;
            let path = entry.path();
            if !take(&path) {
                search(&path, levels - 1, left, take);
            }
        }
    }
}

/// Who made a group, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Maker {
    namespace: u64,
    pid: u32,
    started: u64,
}

impl Maker {
    fn of(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('-').collect();
        let [PREFIX, namespace, pid, started, number] = parts.as_slice() else { return None };
        number.parse::<u64>().ok()?;
        let (namespace, pid) = (namespace.parse().ok()?, pid.parse().ok()?);
        Some(Self { namespace, pid, started: started.parse().ok()? })
    }

    /// Another process with the same pid is not the maker.
    fn lives(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.started == self.started)
    }
}

fn clear(dir: &Path) -> Leftover {
    let mut killed = Vec::new();
    let until = Instant::now() + PATIENCE;
    loop {
        let inside = members(dir);
        if inside.is_empty() || Instant::now() > until {
            break;
        }
        for pid in inside {
            if kill(dir, pid) && !killed.contains(&pid) {
                killed.push(pid);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let stays = remove(dir).err().map(|error| error.to_string());
    Leftover { dir: dir.to_owned(), killed, stays }
}

/// Kills `pid` if it is still in the group once it is held by a descriptor: then it is no other process.
fn kill(dir: &Path, pid: u32) -> bool {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    let Ok(held) = pidfd_open(raw, PidfdFlags::empty()) else { return false };
    members(dir).contains(&pid) && pidfd_send_signal(&held, Signal::KILL).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::made::fresh_name;
    use super::*;

    #[test]
    fn only_names_of_this_program_whose_maker_is_dead_are_taken() {
        let top = tempfile::tempdir().unwrap();
        let namespace = pid_namespace().unwrap();
        let me = std::process::id();
        let mine = fresh_name().unwrap();
        let names = [
            mine.as_str(),
            "cto",
            "cto-1-2-3",
            "other-1-2-3-4",
            // Pids of another namespace say nothing here.
            &format!("cto-{}-{me}-1-0", namespace + 1),
            // The same pid, and another start: somebody else has it now.
            &format!("cto-{namespace}-{me}-1-0"),
        ];
        for name in names {
            fs::create_dir_all(top.path().join("deep").join(name)).unwrap();
        }
        let removed = remove_below(top.path());
        let dirs: Vec<_> = removed.iter().map(|one| one.dir.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(dirs, [format!("cto-{namespace}-{me}-1-0")]);
        assert_eq!(fs::read_dir(top.path().join("deep")).unwrap().count(), names.len() - 1);
    }
}
