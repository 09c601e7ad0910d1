//! Where this process may make groups, by what the kernel says of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::made::{fresh_name, members};
use crate::process::census::Stat;

/// Which interface of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy for each controller (Documentation/admin-guide/cgroup-v1).
    V1,
    /// One hierarchy (Documentation/admin-guide/cgroup-v2.rst).
    V2,
}

impl Version {
    /// As written in evidence.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "cgroup v1",
            Self::V2 => "cgroup v2",
        }
    }
}

/// The group of this process in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) version: Version,
    /// Where the hierarchy is mounted.
    pub(super) top: PathBuf,
    /// This process's own group below it.
    pub(super) dir: PathBuf,
    /// Version 1: the hierarchy's controllers. Version 2: none until asked.
    pub(super) controllers: BTreeSet<String>,
}

/// The places of this process, looked up once: groups do not change under it.
pub(super) fn places() -> &'static [Place] {
    static PLACES: OnceLock<Vec<Place>> = OnceLock::new();
    PLACES.get_or_init(|| {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let mut places = parse(&read("cgroup"), &read("mountinfo"));
        for place in places.iter_mut().filter(|place| place.version == Version::V2) {
            if let Ok(inner) = delegate(place) {
                *place = inner;
            }
        }
        places
    })
}

/// From `/proc/self/cgroup` and `/proc/self/mountinfo` (proc(5), cgroups(7)). A hierarchy that is not mounted, or
/// whose mount does not show the own group, is no place.
pub(super) fn parse(own: &str, mounts: &str) -> Vec<Place> {
    let mut places = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(id), Some(names), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let version = if id == "0" && names.is_empty() { Version::V2 } else { Version::V1 };
        let controllers: BTreeSet<String> =
            names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let found = mounts.lines().find_map(|mount| mounted(mount, version, &controllers));
        let Some((root, top)) = found else { continue };
        let Ok(below) = Path::new(path).strip_prefix(&root) else { continue };
        places.push(Place { version, dir: top.join(below), top, controllers });
    }
    places
}

/// Root and mount point of a line of mountinfo, if it is the hierarchy.
fn mounted(line: &str, version: Version, controllers: &BTreeSet<String>) -> Option<(PathBuf, PathBuf)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, top) = (mount.next()?, mount.next()?);
    let mut file_system = file_system.split(' ');
    let (kind, options) = (file_system.next()?, file_system.nth(1)?);
    let it_is = match version {
        Version::V2 => kind == "cgroup2",
        Version::V1 => {
            let options: BTreeSet<&str> = options.split(',').collect();
            kind == "cgroup"
                && !controllers.is_empty()
                && controllers.iter().all(|name| options.contains(name.as_str()))
        }
    };
    it_is.then(|| (root.into(), top.into()))
}

/// How often processes are moved down, until none is left.
const MOVES: u32 = 5;
/// Controllers that a version 2 group must hand down.
const NEEDED: [&str; 2] = ["memory", "pids"];

/// Makes the own group of version 2 hand the controllers down. A group that has processes cannot, unless it is the
/// root: if they are this process and its own children, they move into a group below; others are left alone, and
/// then there is no version 2 here.
fn delegate(place: &Place) -> io::Result<Place> {
    let words = |name: &str| -> io::Result<BTreeSet<String>> {
        let text = fs::read_to_string(place.dir.join(name))?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    };
    let has_all = |words: &BTreeSet<String>| NEEDED.iter().all(|name| words.contains(*name));
    if !has_all(&words("cgroup.controllers")?) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let enable = || fs::write(place.dir.join("cgroup.subtree_control"), "+memory +pids");
    if !has_all(&words("cgroup.subtree_control")?) {
        match enable() {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                move_down(place)?;
                enable()?;
            }
            other => other?,
        }
    }
    Ok(Place { controllers: words("cgroup.subtree_control")?, ..place.clone() })
}

fn move_down(place: &Place) -> io::Result<()> {
    let below = place.dir.join(fresh_name()?);
    for attempt in 0..MOVES {
        let members = members(&place.dir);
        if members.is_empty() && attempt > 0 {
            return Ok(());
        }
        if !members.iter().all(|pid| is_ours(*pid)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if attempt == 0 {
            fs::create_dir(&below)?;
        }
        // One that has ended meanwhile is not there any more either.
        for pid in members {
            fs::write(below.join("cgroup.procs"), pid.to_string()).ok();
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// This process, or a child of its own: its zygote, and the stubs, which may be made while others are moved.
fn is_ours(pid: u32) -> bool {
    let me = std::process::id();
    pid == me || Stat::read(pid).is_some_and(|stat| stat.parent == me)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_in_either_version_and_nothing_is_guessed() {
        let own = "4:memory:/outer/own\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/user.slice/run-1.scope\n";
        let mounts = "35 31 0:32 /outer /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
            33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw\n";
        let found = parse(own, mounts);
        let dirs: Vec<_> = found.iter().map(|place| (place.version, place.dir.to_str().unwrap())).collect();
        assert_eq!(
            dirs,
            [
                (Version::V1, "/sys/fs/cgroup/memory/own"),
                (Version::V1, "/sys/fs/cgroup/cpu,cpuacct/"),
                (Version::V2, "/sys/fs/cgroup/unified/user.slice/run-1.scope"),
            ]
        );
        // A mount of another part of the hierarchy shows nothing of the own group.
        let elsewhere = "35 31 0:32 /other /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        assert_eq!(parse(own, elsewhere), []);
        assert_eq!(parse("nonsense\n", "nonsense\n"), []);
    }
}
