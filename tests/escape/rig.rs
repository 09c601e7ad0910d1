//! Runs scripts outside and inside, and says how they ended.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use cto_harness::process::{Exit, Payload, PayloadEvent, ProcessTree, Stream};
use cto_harness::sandbox::{Purpose, Sandbox, SandboxPolicy, Stdio, StubProgram};
use cto_harness::vocab::{LimitName, Limits};
use cto_harness::workspace::{RunUid, RunUidLease};

/// What came out of a run inside.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) reached: Vec<LimitName>,
    /// Empty unless the policy asks for it.
    pub(crate) tree: ProcessTree,
}

impl Outcome {
    /// Asserts that it ended by itself with code 0 and gives standard output.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(self.exit.success(), "{self:?}");
        self.out
    }
}

pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The stub beside the copied test program, else the one that cargo built.
pub(crate) fn stub() -> StubProgram {
    StubProgram::At(beside("cto-stub").unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_cto-stub"))))
}

/// The program beside the copied test program, else the one that cargo built.
pub(crate) fn cto() -> PathBuf {
    beside("cto").unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_cto")))
}

/// Only a copied test program has others beside it; what lies among cargo's own files may be of another build.
fn beside(name: &str) -> Option<PathBuf> {
    let me = std::env::current_exe().unwrap();
    let copied = !me.parent().is_some_and(|folder| folder.ends_with("deps"));
    Some(me.with_file_name(name)).filter(|path| copied && path.exists())
}

pub(crate) fn limits() -> Limits {
    Limits {
        wall_seconds: 120,
        idle_seconds: 120,
        cpu_seconds: 120,
        output_bytes: 4 << 20,
        processes: 256,
        open_files: 1024,
        file_bytes: 1 << 30,
        changed_files: 1000,
        tmp_bytes: 64 << 20,
        shm_bytes: 1 << 20,
        tree_cpu_seconds: 600,
        memory_bytes: 2 << 30,
        disk_bytes: 1 << 30,
        inodes: 100_000,
        patch_bytes: 16 << 20,
        grace_seconds: 1,
        answer_seconds: 1,
    }
}

/// A host uid that no other test has.
pub(crate) fn lease() -> RunUidLease {
    static STATE: OnceLock<tempfile::TempDir> = OnceLock::new();
    RunUid::claim_by_hand(STATE.get_or_init(|| tempfile::tempdir().unwrap()).path()).unwrap()
}

/// A folder that everybody may enter.
pub(crate) fn open_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A folder that belongs to the payload.
pub(crate) fn owned_folder(uid: RunUid) -> tempfile::TempDir {
    let folder = open_folder();
    own(folder.path(), uid);
    folder
}

pub(crate) fn own(path: &std::path::Path, uid: RunUid) {
    std::os::unix::fs::chown(path, Some(uid.host_uid), Some(uid.host_gid)).unwrap();
}

pub(crate) fn policy(uid: RunUid, argv: &[&str]) -> SandboxPolicy {
    let argv = argv.iter().map(|arg| (*arg).to_owned()).collect();
    SandboxPolicy::new(Purpose::ByHand, argv, uid, limits())
}

pub(crate) fn start(policy: SandboxPolicy, stdio: Stdio) -> Payload {
    Sandbox::establish_with(policy, &stub()).unwrap().start(stdio).unwrap()
}

/// Runs a payload to its end.
pub(crate) async fn finish(mut payload: Payload) -> Outcome {
    let (mut out, mut err, mut reached) = (String::new(), String::new(), Vec::new());
    let mut tree = ProcessTree::default();
    loop {
        match payload.next().await {
            PayloadEvent::Seen(seen) => drop(tree.take(seen, "test")),
            PayloadEvent::Line { stream, bytes, .. } => {
                let text = if stream == Stream::Stdout { &mut out } else { &mut err };
                text.push_str(&String::from_utf8_lossy(&bytes));
                text.push('\n');
            }
            PayloadEvent::LimitReached { name, .. } => reached.push(name),
            PayloadEvent::Exited(exit) => return Outcome { exit, out, err, reached, tree },
        }
    }
}

/// Runs a policy to its end.
pub(crate) async fn run(policy: SandboxPolicy) -> Outcome {
    finish(start(policy, Stdio::PipedNoInput)).await
}

/// Runs a shell script inside, with nothing but the system.
pub(crate) async fn inside(script: &str) -> Outcome {
    let lease = lease();
    run(policy(lease.uid(), &["bash", "-c", script])).await
}

/// Runs the same script outside; true if it ended with code 0. The positive control.
pub(crate) fn outside(script: &str) -> bool {
    Command::new("bash").args(["-c", script]).output().unwrap().status.success()
}

/// Python with system calls by number: prints the error number of each.
pub(crate) fn call_script(calls: &[(&str, &str)]) -> String {
    let mut text = String::from("import ctypes\nlibc=ctypes.CDLL(None,use_errno=True)\nC=ctypes.c_long\n");
    for (name, arguments) in calls {
        let call = format!("libc.syscall(*[C(a) for a in ({arguments},)])");
        text.push_str("ctypes.set_errno(0)\n");
        text.push_str(&["r=", &call, "\n"].concat());
        text.push_str(&["print('", name, "', ctypes.get_errno() if r<0 else 0, flush=True)\n"].concat());
    }
    text
}
