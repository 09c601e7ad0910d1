//! Limits of a whole tree: what one process may not take, many may not take together, and it is named.
//!
//! Everything is shown with a control group, where one can be made, and without: then by the watchdog.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cto_harness::evidence::Holding;
use cto_harness::process::Version;
use cto_harness::sandbox::{Grouping, Sandbox, SandboxPolicy, Stdio, holds};
use cto_harness::vocab::LimitName;
use cto_harness::workspace::{RunUid, TreeForm, TreeMount, Upper};

use super::rig::{finish, is_root, lease, open_folder, outside, own, policy, run, stub};

const MIB: u64 = 1 << 20;

fn script(uid: RunUid, group: Grouping, text: &str) -> SandboxPolicy {
    let mut policy = policy(uid, &["bash", "-c", text]);
    policy.group = group;
    policy
}

/// With and without a group; what is asked for in the first place is had where this host has it.
fn both() -> Vec<Grouping> {
    let lease = lease();
    let grouped = Sandbox::establish_with(script(lease.uid(), Grouping::Demanded, "true"), &stub());
    match grouped {
        Ok(_) => vec![Grouping::Demanded, Grouping::None],
        Err(error) => {
            assert!(error.to_string().contains("cgroup") && !a_folder_can_be_made(), "{error}");
            assert!(std::env::var_os("CTO_TEST_GROUPS").is_none(), "they were delegated, and: {error}");
            vec![Grouping::None]
        }
    }
}

/// Asked without the program: whether a group of version 1 can be made here.
fn a_folder_can_be_made() -> bool {
    let made = |controller: &str| {
        let dir = own_group(controller)?.join(format!("asked-{:?}", std::thread::current().id()));
        std::fs::create_dir(&dir).ok()?;
        std::fs::remove_dir(&dir).ok()
    };
    ["memory", "pids"].iter().all(|controller| made(controller).is_some())
}

/// This process's own group in a hierarchy of version 1.
fn own_group(controller: &str) -> Option<PathBuf> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = own.lines().find_map(|line| line.split_once(&format!(":{controller}:")))?.1.to_owned();
    Some(Path::new("/sys/fs/cgroup").join(controller).join(path.trim_start_matches('/')))
}

/// Takes `mib` of memory, and holds it.
fn hog(mib: u64) -> String {
    format!("python3 -c 'import time; b = bytearray({mib} << 20); b[::4096] = b[::4096]; time.sleep(8)'")
}

#[tokio::test]
async fn memory_of_one_of_many_and_of_a_child_is_held_and_named() {
    assert!(outside(&hog(160).replace("sleep(8)", "sleep(0)")), "outside, nobody minds");
    let lease = lease();
    let many = format!("for i in 1 2 3 4 5 6 7 8; do {} & done; wait", hog(30));
    let child = format!("{}; echo it went on; sleep 8", hog(160));
    for group in both() {
        let fits = script(lease.uid(), group, &hog(20).replace("sleep(8)", "sleep(1)"));
        assert_eq!(run(fits).await.reached, []);
        // Not private, and in no folder.
        let shared = "exec python3 -c 'import mmap, time; m = mmap.mmap(-1, 160 << 20)\nfor p in range(0, 160 << 20, 4096): m[p] = 1\ntime.sleep(8)'";
        let nameless = "exec python3 -c 'import os, time; f = os.memfd_create(\"x\")\nfor i in range(160): os.write(f, bytes(1 << 20))\ntime.sleep(8)'";
        for text in [&format!("exec {}", hog(160)), &many, &child, shared, nameless] {
            let mut policy = script(lease.uid(), group, text);
            policy.limits.memory_bytes = 100 * MIB;
            let seen = run(policy).await;
            assert_eq!(seen.reached, [LimitName::MemoryBytes], "{group:?} {text}: {seen:?}");
            assert!(seen.exit.micros < 7_500_000, "{group:?} {text}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn files_in_memory_count_where_the_kernel_counts() {
    let lease = lease();
    for group in both() {
        for place in ["/tmp", "/dev/shm"] {
            let text = format!("head -c 80000000 /dev/zero > {place}/x; sleep 1; echo went on");
            let mut policy = script(lease.uid(), group, &text);
            policy.limits.tmp_bytes = 200 * MIB;
            policy.limits.shm_bytes = 200 * MIB;
            policy.limits.memory_bytes = 50 * MIB;
            let seen = run(policy).await;
            if group == Grouping::None {
                // The size of the mounts is what holds then.
                assert_eq!((seen.reached.len(), seen.out.as_str()), (0, "went on\n"), "{seen:?}");
            } else {
                assert_eq!(seen.reached, [LimitName::MemoryBytes], "{seen:?}");
            }
        }
    }
}

#[tokio::test]
async fn private_space_that_is_full_is_named() {
    let lease = lease();
    let cases = [
        ("head -c 9000000 /dev/zero > /tmp/x; sleep 8", Some(LimitName::TmpBytes)),
        ("head -c 9000000 /dev/zero > /dev/shm/x; sleep 8", Some(LimitName::ShmBytes)),
        ("cd /tmp; for i in $(seq 3000); do : > $i; done 2> /dev/null; sleep 8", Some(LimitName::TmpBytes)),
        ("head -c 3000000 /dev/zero > /tmp/x; head -c 3000000 /dev/zero > /dev/shm/x; sleep 1", None),
    ];
    for group in both() {
        for (text, name) in cases {
            let mut policy = script(lease.uid(), group, text);
            (policy.limits.tmp_bytes, policy.limits.shm_bytes) = (4 * MIB, 4 * MIB);
            let seen = run(policy).await;
            assert_eq!(seen.reached, name.into_iter().collect::<Vec<_>>(), "{group:?} {text}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_fork_bomb_is_held_and_named() {
    let lease = lease();
    let few = "for i in $(seq 30); do sleep 1 & done; wait; echo all";
    for group in both() {
        let mut fits = script(lease.uid(), group, few);
        fits.limits.processes = 60;
        assert_eq!(run(fits).await.ok(), "all\n");
        let mut bomb = script(lease.uid(), group, "bomb() { bomb | bomb & }; bomb; sleep 8; echo out");
        bomb.limits.processes = 60;
        let seen = run(bomb).await;
        assert_eq!(seen.reached, [LimitName::Processes], "{group:?} {seen:?}");
        // Held, and not only seen: the kernel refused.
        let mut many = script(lease.uid(), group, "for i in $(seq 200); do sleep 9 & done; jobs -p | wc -l");
        many.limits.processes = 60;
        let seen = run(many).await;
        assert!(seen.err.contains("Resource temporarily unavailable"), "{group:?} {seen:?}");
    }
}

#[tokio::test]
async fn cpu_time_of_all_and_of_a_child_is_held_and_named() {
    let lease = lease();
    let burn = "(while :; do :; done)";
    for group in both() {
        let mut all = script(lease.uid(), group, &format!("{burn} & {burn} & {burn} & sleep 20"));
        all.limits.tree_cpu_seconds = 2;
        let seen = run(all).await;
        assert_eq!(seen.reached, [LimitName::TreeCpuSeconds], "{group:?} {seen:?}");
        // Many that are short: none of them ever comes near a limit of its own.
        let short = "while :; do bash -c 'for i in {1..20000}; do :; done'; done";
        let mut all = script(lease.uid(), group, short);
        (all.limits.tree_cpu_seconds, all.limits.wall_seconds) = (2, 30);
        let seen = run(all).await;
        assert_eq!(seen.reached, [LimitName::TreeCpuSeconds], "{group:?} {seen:?}");
        let mut child = script(lease.uid(), group, &format!("{burn}; echo it went on; sleep 20"));
        child.limits.cpu_seconds = 1;
        let seen = run(child).await;
        assert_eq!(seen.reached, [LimitName::CpuSeconds], "{group:?} {seen:?}");
    }
}

/// A work tree over an empty base.
struct Tree {
    folder: tempfile::TempDir,
    mount: TreeMount,
}

impl Tree {
    fn new(uid: RunUid) -> Self {
        let folder = open_folder();
        let (base, run) = (folder.path().join("base"), folder.path().join("run"));
        for dir in [&base, &run, &run.join("upper"), &run.join("work")] {
            std::fs::create_dir(dir).unwrap();
            own(dir, uid);
        }
        let form = TreeForm::Overlay { lowers: vec![base], upper: Upper::Disk { dir: run } };
        Self { folder, mount: TreeMount { at: "/workspace".into(), form } }
    }

    fn upper(&self) -> PathBuf {
        self.folder.path().join("run/upper")
    }
}

#[tokio::test]
async fn the_work_tree_is_watched_in_bytes_and_in_entries() {
    let lease = lease();
    let cases = [
        ("head -c 60000000 /dev/zero > big; sleep 8", LimitName::DiskBytes),
        ("for i in $(seq 60); do head -c 1000000 /dev/zero > f$i; done; sleep 8", LimitName::DiskBytes),
        ("mkdir d; for i in $(seq 900); do : > d/$i; done; sleep 8", LimitName::Inodes),
        ("for i in $(seq 900); do ln -s x l$i; done; sleep 8", LimitName::Inodes),
        // Files without a name are in no folder, and on disk as long as somebody holds them.
        (
            "python3 -c 'import os, time; f = open(\"f\", \"wb\"); os.unlink(\"f\"); f.write(bytes(60_000_000)); f.flush(); os.fsync(f); time.sleep(8)'",
            LimitName::DiskBytes,
        ),
        // In a folder that cannot be listed: found after the end, when nothing is hidden.
        ("mkdir d; for i in $(seq 900); do : > d/$i; done; chmod 0 d", LimitName::Inodes),
        ("head -c 60000000 /dev/zero > big", LimitName::DiskBytes),
    ];
    for (text, name) in cases {
        let tree = Tree::new(lease.uid());
        let mut policy = script(lease.uid(), Grouping::None, text).in_tree(tree.mount.clone());
        (policy.limits.disk_bytes, policy.limits.inodes) = (20 * MIB, 500);
        let seen = run(policy).await;
        assert_eq!(seen.reached, [name], "{text}: {seen:?}");
        assert!(seen.exit.micros < 7_500_000, "{text}: {seen:?}");
        // The same within its bounds is no matter.
        let tree = Tree::new(lease.uid());
        let text = text.replace("sleep 8", "sleep 1").replace("sleep(8)", "sleep(1)");
        let roomy = script(lease.uid(), Grouping::None, &text).in_tree(tree.mount.clone());
        assert_eq!(run(roomy).await.reached, [], "{text}");
    }
}

#[tokio::test]
async fn of_a_private_copy_only_what_is_new_counts() {
    let lease = lease();
    let folder = open_folder();
    let dir = folder.path().join("tree");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("base"), vec![1; 60_000_000]).unwrap();
    own(&dir, lease.uid());
    std::thread::sleep(std::time::Duration::from_millis(50));
    let cases = [
        ("cat base > /dev/null; echo x > new; sleep 1", None),
        ("head -c 40000000 /dev/zero > new; sleep 8", Some(LimitName::DiskBytes)),
    ];
    for (text, name) in cases {
        let tree = TreeMount { at: "/workspace".into(), form: TreeForm::Private { dir: dir.clone() } };
        let mut policy = script(lease.uid(), Grouping::None, text).in_tree(tree);
        policy.limits.disk_bytes = 20 * MIB;
        let seen = run(policy).await;
        assert_eq!(seen.reached, name.into_iter().collect::<Vec<_>>(), "{text}: {seen:?}");
    }
}

#[tokio::test]
async fn sparse_files_take_no_disk_and_grow_no_further_than_one_file_may() {
    let lease = lease();
    let tree = Tree::new(lease.uid());
    let text = "for i in 1 2 3; do truncate -s 900000000 s$i; done; truncate -s 3000000000 s4; stat -c %s s4";
    let mut sparse = script(lease.uid(), Grouping::None, text).in_tree(tree.mount.clone());
    sparse.limits.disk_bytes = 20 * MIB;
    let seen = run(sparse).await;
    assert_eq!((seen.reached.len(), seen.out.as_str()), (0, "0\n"), "{seen:?}");
    let blocks = |name: &str| std::fs::metadata(tree.upper().join(name)).unwrap().blocks();
    assert_eq!(blocks("s1"), 0);
    // A child that fills a file up to the bound is named, though nobody tells how it ended.
    let tree = Tree::new(lease.uid());
    let mut full =
        script(lease.uid(), Grouping::None, "head -c 9000000 /dev/zero > f; echo went on; sleep 8");
    full.limits.file_bytes = MIB;
    let seen = run(full.in_tree(tree.mount.clone())).await;
    assert_eq!(seen.reached, [LimitName::FileBytes], "{seen:?}");
}

#[tokio::test]
async fn a_group_is_read_back_shows_nothing_inside_and_goes_with_its_sandbox() {
    if both().len() < 2 {
        return;
    }
    let lease = lease();
    let mut policy = script(lease.uid(), Grouping::Demanded, "cat /proc/self/cgroup");
    policy.limits.memory_bytes = NOBODY_ELSES;
    let unused = policy.clone();
    let sandbox = Sandbox::establish_with(policy, &stub()).unwrap();
    let version = sandbox.group().unwrap();
    let rows: Vec<_> =
        sandbox.section().layers.into_iter().filter(|row| row.layer.starts_with("cgroup.")).collect();
    assert!(rows.len() >= 2 && rows.iter().all(|row| row.ok), "{rows:?}");
    assert!(rows[0].enforced.contains(&NOBODY_ELSES.to_string()), "{rows:?}");
    assert_eq!(groups_with_that_limit(version), 1);
    let seen = finish(sandbox.start(Stdio::PipedNoInput).unwrap()).await;
    assert!(!seen.out.contains("cto-"), "{}", seen.out);
    assert_eq!(holds(LimitName::MemoryBytes, Some(version)).holding, Holding::Hard);
    assert_eq!(holds(LimitName::MemoryBytes, None).holding, Holding::Watched);
    assert_eq!(groups_with_that_limit(version), 0);
    // One that is never started leaves none either.
    let unused = Sandbox::establish_with(unused, &stub()).unwrap();
    assert_eq!(groups_with_that_limit(version), 1);
    drop(unused);
    assert_eq!(groups_with_that_limit(version), 0);
}

/// A limit of memory that no other test asks for.
const NOBODY_ELSES: u64 = 777 * MIB;

/// How many groups of this process's have it.
fn groups_with_that_limit(version: Version) -> usize {
    let (controller, file) = match version {
        Version::V1 => (":memory:", "memory/%/memory.limit_in_bytes"),
        Version::V2 => ("0::", "%/memory.max"),
    };
    let mine = format!("-{}-", std::process::id());
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = own.lines().find_map(|line| line.split_once(controller)).unwrap().1;
    let (top, file) = file.split_once("%/").unwrap();
    let dir = Path::new("/sys/fs/cgroup").join(top).join(path.trim_start_matches('/'));
    let names =
        std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.starts_with("cto-") && name.contains(&mine))
        .filter_map(|name| std::fs::read_to_string(dir.join(name).join(file)).ok())
        .filter(|limit| limit.trim() == NOBODY_ELSES.to_string())
        .count()
}

/// Nobody else's, so that nothing of his is counted with anything.
const USER: u32 = 64_998;

/// An ordinary user to whom a part of the hierarchies was handed has hard limits as root does.
#[test]
fn where_groups_are_delegated_an_ordinary_user_has_them() {
    if !is_root() {
        return;
    }
    let mut made = Vec::new();
    for controller in ["memory", "pids", "cpuacct"] {
        let Some(top) = own_group(controller) else { return };
        let dir = top.join(format!("delegated-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        for place in [dir.clone(), dir.join("tasks"), dir.join("cgroup.procs")] {
            std::os::unix::fs::chown(place, Some(USER), Some(USER)).unwrap();
        }
        made.push(dir);
    }
    let folder = open_folder();
    std::fs::copy(std::env::current_exe().unwrap(), folder.path().join("escape")).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_cto-stub"), folder.path().join("cto-stub")).unwrap();
    let script = "for g in \"$1\" \"$2\" \"$3\"; do echo 0 > \"$g/tasks\" || exit 9; done; cd /
        exec setpriv --reuid \"$5\" --regid \"$5\" --clear-groups \"$4/escape\" --test-threads 2 limits_tree::";
    let output = Command::new("sh")
        .args(["-c", script, "sh"])
        .args(&made)
        .arg(folder.path())
        .arg(USER.to_string())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("CTO_TEST_GROUPS", "delegated")
        .output()
        .unwrap();
    // What stood beside the sandboxes is in them until it has gone.
    let gone = |dir: &PathBuf| {
        (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            std::fs::remove_dir(dir).is_ok()
        })
    };
    let left: Vec<_> = made.iter().filter(|dir| !gone(dir)).collect();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("a_fork_bomb_is_held_and_named") && left.is_empty(), "{text} {left:?}");
}
