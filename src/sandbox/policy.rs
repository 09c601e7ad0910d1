//! What a payload may touch, as plain data: decided before anything starts, and part of the evidence.
//!
//! Whatever is not named here does not exist inside: no home, no network, no inherited descriptor, no
//! environment variable. System directories (`/usr` and the links into it) are always there, read-only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::vocab::{Limits, RiskClass};
use crate::workspace::{RunUid, TreeForm, TreeMount};

/// The home directory inside, on the private `/tmp`.
pub const INSIDE_HOME: &str = "/tmp/home";
/// The port of the handed-out listener, on 127.0.0.1 of the otherwise empty network namespace.
pub const LISTENER_PORT: u16 = 8099;
/// The search path inside, when the policy's environment has none.
pub const INSIDE_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// What a sandbox is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// An engine doing the work.
    Engine,
    /// A verification command.
    Verification,
    /// A person, by hand.
    ByHand,
    /// The harness, finding out what the host enforces.
    Probe,
}

/// Whether the kernel is to hold memory and processes of the whole tree by a control group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// No: what can be watched is watched.
    #[default]
    None,
    /// Where this host lets this process make one.
    WherePossible,
    /// Without one there is no sandbox.
    Demanded,
}

impl Grouping {
    /// What a risk class demands.
    #[must_use]
    pub fn for_risk(risk: RiskClass) -> Self {
        if risk >= RiskClass::Elevated { Self::Demanded } else { Self::WherePossible }
    }
}

/// A file or directory of the host, and where it appears inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Absolute host path; a symbolic link at its end is not followed.
    pub from: PathBuf,
    /// Absolute path inside.
    pub to: PathBuf,
}

impl Bind {
    /// `from` on the host as `to` inside.
    pub fn new(from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Self {
        Self { from: from.into(), to: to.into() }
    }
}

/// Everything a payload may touch and be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxPolicy {
    /// What it is for.
    pub purpose: Purpose,
    /// The work tree, if there is one.
    pub tree: Option<TreeMount>,
    /// Read-only files and directories.
    pub read_only: Vec<Bind>,
    /// Writable files and directories.
    pub writable: Vec<Bind>,
    /// Single read-only files, laid over everything else; they may lie inside the tree.
    pub files: Vec<Bind>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// The program and its arguments; a name without a slash is looked for on `PATH` inside.
    pub argv: Vec<String>,
    /// Where it starts; absolute, inside.
    pub cwd: PathBuf,
    /// The limits; size of `/tmp` and `/dev/shm` among them.
    pub limits: Limits,
    /// Who it is.
    pub uid: RunUid,
    /// By what memory and processes are held.
    pub group: Grouping,
    /// Whether a listener on 127.0.0.1:[`LISTENER_PORT`] inside is opened and handed out.
    pub listener: bool,
    /// Whether the kernel is asked what is executed inside, and how it ends.
    pub observed: bool,
    /// Whether the kernel is asked, too, for which paths are wanted (docs/adr/0015). Needs `observed`, and allows nothing.
    pub learning: bool,
    /// The least Landlock ABI that will do; what more the kernel has is used as well.
    pub landlock_floor: u32,
    /// The newest Landlock ABI to use, where the configuration lowers it.
    pub landlock_at_most: Option<u32>,
}

impl SandboxPolicy {
    /// A policy with nothing but the system directories, a private `/tmp` and a minimal environment.
    #[must_use]
    pub fn new(purpose: Purpose, argv: Vec<String>, uid: RunUid, limits: Limits) -> Self {
        let env = [("HOME", INSIDE_HOME), ("PATH", INSIDE_PATH), ("TMPDIR", "/tmp"), ("LANG", "C.UTF-8")];
        Self {
            purpose,
            tree: None,
            read_only: Vec::new(),
            writable: Vec::new(),
            files: Vec::new(),
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            argv,
            cwd: PathBuf::from("/tmp"),
            limits,
            uid,
            group: Grouping::None,
            listener: false,
            observed: false,
            learning: false,
            landlock_floor: 1,
            landlock_at_most: None,
        }
    }

    /// An engine at work in its tree, with the listener as its only way out.
    #[must_use]
    pub fn for_engine(tree: TreeMount, argv: Vec<String>, uid: RunUid, limits: Limits) -> Self {
        let mut policy = Self::new(Purpose::Engine, argv, uid, limits).in_tree(tree);
        policy.listener = true;
        policy.observed = true;
        policy
    }

    /// A verification command in a tree of its own, with no way out.
    #[must_use]
    pub fn for_verification(tree: TreeMount, argv: Vec<String>, uid: RunUid, limits: Limits) -> Self {
        let mut policy = Self::new(Purpose::Verification, argv, uid, limits).in_tree(tree);
        policy.observed = true;
        policy
    }

    /// The same with a work tree, starting in it.
    #[must_use]
    pub fn in_tree(mut self, tree: TreeMount) -> Self {
        self.cwd.clone_from(&tree.at);
        self.tree = Some(tree);
        self
    }

    /// `overlay`, `private`, `read-only` or `none`.
    #[must_use]
    pub fn tree_form(&self) -> &'static str {
        match self.tree.as_ref().map(|tree| &tree.form) {
            Some(TreeForm::Overlay { .. }) => "overlay",
            Some(TreeForm::Private { .. }) => "private",
            Some(TreeForm::ReadOnly { .. }) => "read-only",
            None => "none",
        }
    }

    /// The first thing about this policy that cannot be carried out, as a sentence.
    #[must_use]
    pub fn flaw(&self) -> Option<String> {
        let binds = || self.read_only.iter().chain(&self.writable).chain(&self.files);
        let inside = || {
            let tree = self.tree.iter().map(|tree| tree.at.as_path());
            binds().map(|bind| bind.to.as_path()).chain(tree).chain([self.cwd.as_path()])
        };
        if self.argv.first().is_none_or(String::is_empty) {
            return Some("there is no program to execute".to_owned());
        }
        if let Some(path) = inside().chain(binds().map(|bind| bind.from.as_path())).find(|path| !plain(path))
        {
            return Some(format!("{} is not an absolute path without `.` and `..`", path.display()));
        }
        let whole = |path: &&Path| {
            ["/etc", "/usr"].iter().any(|top| *path == Path::new(top)) || path.parent().is_none()
        };
        let kernels = |path: &&Path| ["/proc", "/sys", "/dev"].iter().any(|top| path.starts_with(top));
        if let Some(path) = binds().map(|bind| bind.to.as_path()).find(|path| whole(path) || kernels(path)) {
            return Some(format!("{} inside belongs to the sandbox", path.display()));
        }
        if let Some(path) = binds().map(|bind| bind.from.as_path()).find(kernels) {
            return Some(format!("{} is the kernel's, not a folder to hand in", path.display()));
        }
        if self.learning && !self.observed {
            return Some("what is not observed cannot be learned from".to_owned());
        }
        let nul = |text: &String| text.contains('\0');
        if self.argv.iter().any(nul) || self.env.iter().any(|(name, value)| nul(name) || nul(value)) {
            return Some("an argument or environment variable holds a NUL byte".to_owned());
        }
        if self.env.keys().any(|name| name.is_empty() || name.contains('=')) {
            return Some("an environment variable's name is empty or holds `=`".to_owned());
        }
        (self.uid.inside == 0).then(|| "the payload would be uid 0 inside".to_owned())
    }
}

fn plain(path: &Path) -> bool {
    use std::path::Component;
    path.is_absolute()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}
