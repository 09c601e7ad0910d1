//! What is handed in read-only besides the tree: toolchains and inputs, described before they are used.
//!
//! A provision is described once for the facts, and described again before use: only the same digest is used.
//! Nothing that is handed in may contain, or lie in, a folder of the harness's own.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::contract::TaskContract;
use crate::vocab::{Digest, shown};

use super::fingerprint;
use super::toolchains::{SearchPlaces, discover};
use crate::home::ToolchainConfig;
use crate::sandbox::{Bind, INSIDE_PATH};

/// Folders of the sandbox where nothing else may be laid.
const RESERVED: &[&str] = &["/proc", "/sys", "/dev", "/tmp", "/run", "/engine", "/workspace"];

/// A toolchain as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// Its name in contracts.
    pub name: String,
    /// What is laid in; empty for one that lies in the system folders.
    pub read_only: Vec<Bind>,
    /// Folders inside that come first in `PATH`.
    pub path: Vec<PathBuf>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// What a file of it says its version is, if one does. Nothing is run to find out.
    pub version: Option<String>,
    /// Digest over where it appears, its environment, and every file's path, kind, mode, size, time of last
    /// change (content and inode) and link target. The bytes are not read: a file changed in place has another
    /// inode time, which only the clock's owner can set back.
    pub digest: Digest,
}

/// An input as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputTree {
    /// Relative path in the work tree.
    pub to: String,
    /// On the host, without links in it.
    pub from: PathBuf,
    /// Digest over every file's path, kind, executable bit and bytes, and every link's target.
    pub digest: Digest,
}

/// Everything that one contract names, found and described.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provisions {
    /// In the contract's order.
    pub toolchains: Vec<Toolchain>,
    /// In the contract's order.
    pub inputs: Vec<InputTree>,
}

/// Why something cannot be handed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct ProvisionProblem {
    /// `provision.absent`, `provision.unreadable`, `provision.keeps-out`, `provision.changed`.
    pub code: &'static str,
    /// One sentence.
    pub sentence: String,
    /// What to do.
    pub remedy: String,
}

impl ProvisionProblem {
    pub(super) fn new(code: &'static str, sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code, sentence: shown(&sentence.into()), remedy: shown(&remedy.into()) }
    }

    /// Whether the thing is not there, as opposed to there and not usable.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.code == "provision.absent"
    }
}

/// What describing one name gave, under the name that the facts use (`toolchain:<name>`, `input:<to>`).
pub type Described = (String, Result<Digest, ProvisionProblem>);

impl Provisions {
    /// Finds and describes everything that `contract` names. `kept_out` are the harness's own folders and keys.
    ///
    /// The first value holds what was found, the second an answer for every name.
    #[must_use]
    pub fn describe(
        contract: &TaskContract,
        configured: &BTreeMap<String, ToolchainConfig>,
        places: &SearchPlaces,
        kept_out: &[PathBuf],
    ) -> (Self, Vec<Described>) {
        let mut found = Self::default();
        let mut answers = Vec::new();
        for name in &contract.toolchains {
            let toolchain = discover(name, configured, places).and_then(|toolchain| {
                for bind in &toolchain.read_only {
                    keep_out(&bind.from, kept_out)?;
                    not_reserved(&bind.to)?;
                }
                Ok(toolchain)
            });
            answers.push((
                format!("toolchain:{name}"),
                toolchain.as_ref().map(|t| t.digest).map_err(Clone::clone),
            ));
            found.toolchains.extend(toolchain);
        }
        for input in &contract.inputs {
            let tree = describe_input(&input.from, &input.to, kept_out);
            answers
                .push((format!("input:{}", input.to), tree.as_ref().map(|t| t.digest).map_err(Clone::clone)));
            found.inputs.extend(tree);
        }
        (found, answers)
    }

    /// Checks that everything named is there with the digest that the decision rests on.
    pub fn agree_with(&self, decided: &BTreeMap<String, Digest>) -> Result<(), ProvisionProblem> {
        let toolchains = self.toolchains.iter().map(|t| (format!("toolchain:{}", t.name), t.digest));
        let mut now: BTreeMap<String, Digest> = toolchains.collect();
        now.extend(self.inputs.iter().map(|input| (format!("input:{}", input.to), input.digest)));
        for (name, digest) in decided {
            if now.get(name) != Some(digest) {
                return Err(ProvisionProblem::new(
                    "provision.changed",
                    format!("{name} is no longer what the decision was made about"),
                    "run again, and leave toolchains and inputs alone meanwhile",
                ));
            }
        }
        Ok(())
    }

    /// Everything that is laid in, with inputs below `work_tree` (absolute path inside).
    #[must_use]
    pub fn read_only(&self, work_tree: &Path) -> Vec<Bind> {
        let inputs =
            self.inputs.iter().map(|input| Bind { from: input.from.clone(), to: work_tree.join(&input.to) });
        self.toolchains.iter().flat_map(|toolchain| toolchain.read_only.clone()).chain(inputs).collect()
    }

    /// What is added to the sandbox's own environment: that of the toolchains, and `PATH` with theirs first.
    #[must_use]
    pub fn env(&self) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        for toolchain in &self.toolchains {
            env.extend(toolchain.env.clone());
        }
        let first = self.toolchains.iter().flat_map(|toolchain| &toolchain.path);
        let path: Vec<String> = first.map(|dir| dir.display().to_string()).collect();
        let path = path.into_iter().chain([INSIDE_PATH.to_owned()]).collect::<Vec<_>>().join(":");
        env.insert("PATH".to_owned(), path);
        env
    }
}

fn describe_input(from: &str, to: &str, kept_out: &[PathBuf]) -> Result<InputTree, ProvisionProblem> {
    let from = real(Path::new(from))?;
    keep_out(&from, kept_out)?;
    let stays = |part: Component<'_>| matches!(part, Component::Normal(name) if name != ".git");
    if to.is_empty() || !Path::new(to).components().all(stays) {
        return Err(ProvisionProblem::new(
            "provision.keeps-out",
            format!("the input `{to}` is no plain path in the work tree"),
            "name a relative path without `..` and outside `.git`",
        ));
    }
    let digest = fingerprint::content(&from)?;
    Ok(InputTree { to: to.to_owned(), from, digest })
}

/// `path` without links; absent and unreadable are told apart.
pub(super) fn real(path: &Path) -> Result<PathBuf, ProvisionProblem> {
    path.canonicalize().map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound => "provision.absent",
            _ => "provision.unreadable",
        };
        let sentence = format!("{} cannot be had: {error}", path.display());
        ProvisionProblem::new(code, sentence, "make it readable, or name another")
    })
}

/// Refuses `path` when it contains, or lies in, one of the harness's own places. Both sides are compared without
/// links; a place that does not exist yet cannot be in anything.
pub fn keep_out(path: &Path, own: &[PathBuf]) -> Result<(), ProvisionProblem> {
    let path = real(path)?;
    for place in own {
        let place = match place.canonicalize() {
            Ok(place) => place,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => place.clone(),
            Err(error) => {
                let sentence = format!("{} cannot be looked at: {error}", place.display());
                return Err(ProvisionProblem::new("provision.unreadable", sentence, "make it readable"));
            }
        };
        if path.starts_with(&place) || place.starts_with(&path) {
            return Err(ProvisionProblem::new(
                "provision.keeps-out",
                format!("{} overlaps {}, which the harness keeps to itself", path.display(), place.display()),
                "hand in a folder that holds nothing of the harness, and lies in nothing of it",
            ));
        }
    }
    Ok(())
}

fn not_reserved(to: &Path) -> Result<(), ProvisionProblem> {
    let reserved = RESERVED.iter().find(|place| to.starts_with(place) || Path::new(place).starts_with(to));
    reserved.map_or(Ok(()), |place| {
        Err(ProvisionProblem::new(
            "provision.keeps-out",
            format!("{} cannot be laid over {place} of the sandbox", to.display()),
            "configure a toolchain that lies elsewhere",
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> (tempfile::TempDir, Vec<PathBuf>) {
        let place = tempfile::tempdir().unwrap();
        for dir in ["state/keys", "tools/bin", "deps"] {
            std::fs::create_dir_all(place.path().join(dir)).unwrap();
        }
        std::fs::write(place.path().join("deps/a.txt"), "a").unwrap();
        let kept = vec![place.path().join("state"), place.path().join("not-yet")];
        (place, kept)
    }

    #[test]
    fn nothing_of_the_harness_is_handed_in_from_above_below_or_by_a_link() {
        let (place, kept) = own();
        std::os::unix::fs::symlink(place.path().join("state"), place.path().join("innocent")).unwrap();
        let code = |name: &str| keep_out(&place.path().join(name), &kept).map_err(|problem| problem.code);
        assert_eq!(code("tools"), Ok(()));
        for bad in ["state", "state/keys", "innocent", ""] {
            assert_eq!(code(bad), Err("provision.keeps-out"), "{bad}");
        }
        assert_eq!(code("nowhere"), Err("provision.absent"));
    }

    #[test]
    fn inputs_stay_in_the_work_tree_and_their_digest_follows_the_bytes() {
        let (place, kept) = own();
        let deps = place.path().join("deps");
        let deps = deps.to_str().unwrap();
        let first = describe_input(deps, "third/deps", &kept).unwrap();
        for bad in ["", "../x", "/x", ".git/hooks", "a/.git"] {
            assert!(describe_input(deps, bad, &kept).is_err(), "{bad}");
        }
        assert_eq!(describe_input(deps, "third/deps", &kept).unwrap(), first);
        std::fs::write(place.path().join("deps/a.txt"), "b").unwrap();
        assert_ne!(describe_input(deps, "third/deps", &kept).unwrap().digest, first.digest);
    }

    #[test]
    fn what_changed_after_the_decision_is_not_used() {
        let (place, kept) = own();
        let deps = place.path().join("deps");
        let input = describe_input(deps.to_str().unwrap(), "deps", &kept).unwrap();
        let decided = BTreeMap::from([("input:deps".to_owned(), input.digest)]);
        let found = Provisions { inputs: vec![input], ..Provisions::default() };
        assert_eq!(found.agree_with(&decided), Ok(()));
        let other = BTreeMap::from([("input:deps".to_owned(), Digest::of(b"other"))]);
        assert_eq!(found.agree_with(&other).map_err(|problem| problem.code), Err("provision.changed"));
        assert!(Provisions::default().agree_with(&decided).is_err(), "absent is not the same");
        assert_eq!(
            found.read_only(Path::new("/workspace")),
            [Bind { from: deps.canonicalize().unwrap(), to: "/workspace/deps".into() }]
        );
    }

    #[test]
    fn the_sandbox_keeps_its_own_places() {
        for bad in ["/", "/proc/self", "/tmp/x", "/workspace"] {
            assert!(not_reserved(Path::new(bad)).is_err(), "{bad}");
        }
        assert!(not_reserved(Path::new("/opt/toolchains/rust/bin")).is_ok());
    }
}
