//! For tests: a target made by stock git, a run's changes made by a shell, and stock git as the judge.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{Base, ObserveOptions, Patch, Placement, RunUid, TreeForm, Upper, Workspace, observe_target};
use crate::vocab::{Limits, MutationMode};

/// Temporary places, removed at the end.
pub(super) struct Bed {
    place: tempfile::TempDir,
}

impl Bed {
    /// A target whose first commit is what `script` makes in an empty folder.
    pub(super) fn new(script: &str) -> Self {
        let bed = Self { place: tempfile::tempdir().unwrap() };
        for dir in ["target", "run", "cache"] {
            fs::create_dir(bed.path(dir)).unwrap();
        }
        bed.git("target", &["init", "-q", "-b", "main"]);
        shell(&bed.path("target"), script);
        bed.git("target", &["add", "-A"]);
        bed.git("target", &["commit", "-q", "--allow-empty", "-m", "base"]);
        bed
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Stock git, obeying nobody's configuration.
    pub(super) fn git(&self, dir: &str, args: &[&str]) -> String {
        let out = self.git_command(dir, args).output().unwrap();
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    pub(super) fn git_command(&self, dir: &str, args: &[&str]) -> Command {
        let mut git = Command::new("git");
        git.current_dir(self.path(dir)).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        git.env("HOME", self.place.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        git.args(["-c", "user.name=t", "-c", "user.email=t@t.invalid", "-c", "core.autocrlf=false"])
            .args(args);
        git
    }

    pub(super) fn base(&self) -> Base {
        observe_target(&self.path("target"), "HEAD", &ObserveOptions::default()).unwrap().base
    }

    pub(super) fn placement(&self, overlay: bool) -> Placement {
        Placement {
            cache_dir: self.path("cache"),
            run_dir: self.path("run"),
            uid: me(),
            overlay,
            mounted: Vec::new(),
        }
    }

    pub(super) fn prepare(&self, overlay: bool) -> Workspace {
        let mode = MutationMode::SandboxRepo;
        Workspace::prepare_for(mode, &limits(), &self.base(), self.placement(overlay)).unwrap()
    }

    /// Runs `script` in the prepared tree and gives the patch.
    pub(super) fn run(&self, overlay: bool, script: &str) -> Patch {
        let workspace = self.prepare(overlay);
        in_tree(&workspace.mount().form, script, &self.path(""));
        let patch = workspace.patch().unwrap();
        workspace.remove().unwrap();
        assert!(!self.path("run").join("workspace").exists());
        patch
    }

    /// Applies the patch with stock git to a fresh clone of the base; the tree that comes out.
    pub(super) fn applied(&self, patch: &Patch) -> String {
        if !self.path("clone").exists() {
            self.git("", &["clone", "-q", "target", "clone"]);
        }
        fs::write(self.path("patch.diff"), &patch.text).unwrap();
        if !patch.text.is_empty() {
            self.git("clone", &["apply", "--binary", "--index", "--whitespace=nowarn", "../patch.diff"]);
        }
        let tree = self.git("clone", &["write-tree"]);
        // What lies in the work tree is what the index says, and nothing besides.
        self.git("clone", &["diff-files", "--quiet"]);
        assert_eq!(self.git("clone", &["ls-files", "--others", "--exclude-standard"]), "");
        self.git("clone", &["reset", "-q", "--hard", "origin/main"]);
        self.git("clone", &["clean", "-qfdx"]);
        tree
    }
}

pub(super) fn me() -> RunUid {
    let me = fs::metadata("/proc/self").unwrap();
    RunUid { inside: 1000, host_uid: me.uid(), host_gid: me.gid(), own: false }
}

pub(super) fn limits() -> Limits {
    Limits {
        wall_seconds: 60,
        idle_seconds: 60,
        cpu_seconds: 60,
        output_bytes: 1 << 20,
        processes: 100,
        open_files: 100,
        file_bytes: 1 << 20,
        changed_files: 1000,
        tmp_bytes: 1 << 20,
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

pub(super) fn shell(dir: &Path, script: &str) {
    let out = Command::new("bash").args(["-euc", script]).current_dir(dir).output().unwrap();
    assert_ok(&out);
}

/// Runs `script` with the tree as its folder: the private copy, or an overlay in namespaces of its own, as the
/// sandbox mounts it.
pub(super) fn in_tree(form: &TreeForm, script: &str, scratch: &Path) {
    match form {
        TreeForm::Private { dir } => shell(dir, script),
        TreeForm::Overlay { lowers, upper: Upper::Disk { dir } } => {
            let merged = scratch.join("merged");
            fs::create_dir_all(&merged).unwrap();
            let lowers: Vec<_> = lowers.iter().map(|lower| lower.to_str().unwrap()).collect();
            let options = format!(
                "userxattr,lowerdir={},upperdir={}/upper,workdir={}/work",
                lowers.join(":"),
                dir.display(),
                dir.display()
            );
            let mount = "mount -t overlay overlay -o \"$1\" \"$2\"; cd \"$2\"; exec bash -euc \"$3\"";
            let mut unshare = Command::new("unshare");
            unshare.args(["-Urm", "bash", "-euc", mount, "-", &options, merged.to_str().unwrap(), script]);
            assert_ok(&unshare.output().unwrap());
        }
        other => panic!("nothing can be run in {other:?}"),
    }
}

fn assert_ok(out: &Output) {
    let (told, said) = (String::from_utf8_lossy(&out.stderr), String::from_utf8_lossy(&out.stdout));
    assert!(out.status.success(), "{:?}\n{told}\n{said}", out.status);
}
