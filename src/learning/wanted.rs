//! Which of the paths that were wanted and not shown are there on this host, and what is said of each.
//!
//! Looked at with the caller's own identity and rights, never more, after everything inside is dead: whether something is
//! there and what kind it is, no link followed at its end, and nothing opened. What is not there was a search that would
//! have failed outside as well, and is left out.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::globs::FILES_MAX;
use crate::home::ToolchainConfig;
use crate::process::{Learned, Want};
use crate::verification::{KNOWN, SearchPlaces, Toolchain, discover};
use crate::vocab::path_of;

/// Longest list that is told.
const ROWS_MAX: usize = 200;
/// Names under which people keep what opens doors: a path with one of them as a step is never proposed.
const SECRETS: [&str; 24] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".netrc",
    ".git-credentials",
    ".gitconfig",
    ".password-store",
    ".npmrc",
    ".pypirc",
    ".pgpass",
    ".vault-token",
    ".bash_history",
    ".env",
    "credentials",
    "credentials.toml",
    "secrets",
    "keyrings",
    "gcloud",
    "shadow",
    "gshadow",
    "sudoers",
];

/// Programs that start a toolchain, and may lie in another folder than it.
const PROGRAMS: [(&str, &str); 10] = [
    ("rust", "rustc"),
    ("rust", "cargo"),
    ("rust", "rustdoc"),
    ("node", "node"),
    ("node", "npm"),
    ("node", "npx"),
    ("python", "python3"),
    ("python", "python"),
    ("go", "go"),
    ("go", "gofmt"),
];

/// What is known of this host besides its files.
#[derive(Debug)]
pub struct HostView {
    /// What the harness keeps to itself, keys of engines among it.
    own: Vec<PathBuf>,
    configured: BTreeMap<String, ToolchainConfig>,
    places: SearchPlaces,
    granted: Vec<String>,
    /// Describing a toolchain reads all its folders, so that is done when a path may lie in one.
    toolchains: OnceCell<Vec<(String, Vec<PathBuf>)>>,
}

impl HostView {
    /// The view from this process; toolchains that were `granted` are not lacking. `own` is what the harness keeps to
    /// itself.
    #[must_use]
    pub fn new(
        own: Vec<PathBuf>,
        configured: &BTreeMap<String, ToolchainConfig>,
        places: SearchPlaces,
        granted: &[String],
    ) -> Self {
        let (configured, granted) = (configured.clone(), granted.to_vec());
        Self { own, configured, places, granted, toolchains: OnceCell::new() }
    }

    /// Toolchains that are on this host and were not handed in: name, and what belongs to them.
    fn toolchains(&self) -> &[(String, Vec<PathBuf>)] {
        self.toolchains.get_or_init(|| {
            let configured = self.configured.keys().map(String::as_str);
            let names: BTreeSet<&str> = configured.chain(KNOWN.iter().copied()).collect();
            let others = names.into_iter().filter(|name| !self.granted.iter().any(|known| known == name));
            let found = others.filter_map(|name| discover(name, &self.configured, &self.places).ok());
            found.map(|chain| self.belongs_to(chain)).collect()
        })
    }

    fn belongs_to(&self, chain: Toolchain) -> (String, Vec<PathBuf>) {
        let programs = PROGRAMS.iter().filter(|(name, _)| *name == chain.name);
        let launchers =
            programs.flat_map(|(_, program)| self.places.path.iter().map(move |dir| dir.join(program)));
        let all = chain.read_only.iter().map(|bind| bind.from.clone()).chain(launchers).collect();
        (chain.name, all)
    }
}

/// What is said of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whereabouts {
    /// Below a toolchain of that name.
    Toolchain(String),
    /// It may hold secrets, or is the harness's own: told, and never proposed.
    Secret,
    /// Somewhere else on this host.
    Elsewhere,
}

/// A path that was wanted and is not shown, or several of one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// It, or the folder.
    pub path: PathBuf,
    /// How many, where it is the folder of several.
    pub files: Option<usize>,
    /// Whether it is a folder itself.
    pub is_folder: bool,
    /// What for.
    pub wants: BTreeSet<Want>,
    /// Where that is.
    pub place: Whereabouts,
}

/// What was wanted outside and is there, in order, and how many there are beyond those that are told.
#[must_use]
pub fn wanted(learned: &Learned, handed_in: &[PathBuf], host: &HostView) -> (Vec<Wanted>, usize) {
    let mut found: Vec<Wanted> = Vec::new();
    for (shown, wants) in learned.wanted() {
        let path = PathBuf::from(OsStr::from_bytes(&path_of(shown)));
        // What was handed in is told when it is used, which is no lack.
        if handed_in.contains(&path) {
            continue;
        }
        if let Some(is_folder) = there(&path, wants) {
            let place = whereabouts(&path, host);
            found.push(Wanted { path, files: None, is_folder, wants: wants.clone(), place });
        }
    }
    let mut rows = gathered(without_steps(found));
    let left_out = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    (rows, left_out)
}

/// Whether it is there, or could be made there, and if so, whether it is a folder.
fn there(path: &Path, wants: &BTreeSet<Want>) -> Option<bool> {
    match path.symlink_metadata() {
        Ok(status) => Some(status.is_dir()),
        Err(_) if wants.contains(&Want::Write) => path.parent()?.is_dir().then_some(false),
        Err(_) => None,
    }
}

fn whereabouts(path: &Path, host: &HostView) -> Whereabouts {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let either = |is: &dyn Fn(&Path) -> bool| is(path) || is(&real);
    let is_secret = |path: &Path| {
        path.components().any(|step| SECRETS.iter().any(|name| step.as_os_str() == *name))
            || host.own.iter().any(|own| path.starts_with(own) || own.starts_with(path))
    };
    if either(&is_secret) {
        return Whereabouts::Secret;
    }
    let below = |folders: &[PathBuf]| either(&|path| folders.iter().any(|folder| path.starts_with(folder)));
    let toolchain = host.toolchains().iter().find(|(_, folders)| below(folders));
    toolchain.map_or(Whereabouts::Elsewhere, |(name, _)| Whereabouts::Toolchain(name.clone()))
}

/// Without folders that were only steps on the way to something that is told.
fn without_steps(found: Vec<Wanted>) -> Vec<Wanted> {
    let all: Vec<PathBuf> = found.iter().map(|row| row.path.clone()).collect();
    let is_step = |row: &Wanted| {
        let only_read = row.wants.iter().all(|want| *want == Want::Read);
        row.is_folder && only_read && all.iter().any(|path| *path != row.path && path.starts_with(&row.path))
    };
    found.into_iter().filter(|row| !is_step(row)).collect()
}

/// More than [`FILES_MAX`] of one folder, and of one kind, become the folder.
fn gathered(found: Vec<Wanted>) -> Vec<Wanted> {
    let mut folders: BTreeMap<(PathBuf, Whereabouts), Vec<Wanted>> = BTreeMap::new();
    for row in found {
        let folder = row.path.parent().unwrap_or(Path::new("/")).to_owned();
        folders.entry((folder, row.place.clone())).or_default().push(row);
    }
    let mut rows: Vec<Wanted> = Vec::new();
    for ((folder, place), several) in folders {
        if several.len() > FILES_MAX && folder.parent().is_some() {
            let wants = several.iter().flat_map(|row| row.wants.iter().copied()).collect();
            let files = Some(several.len());
            rows.push(Wanted { path: folder, files, is_folder: true, wants, place });
        } else {
            rows.extend(several);
        }
    }
    rows.sort_by(|one, other| one.path.cmp(&other.path));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &Path, is_folder: bool) -> Wanted {
        let wants = BTreeSet::from([Want::Read]);
        Wanted { path: path.to_owned(), files: None, is_folder, wants, place: Whereabouts::Elsewhere }
    }

    #[test]
    fn keys_and_the_harness_s_own_places_are_secrets_also_behind_a_link() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in [".ssh", "state", "chain/bin", "data"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        std::os::unix::fs::symlink(at(".ssh"), at("innocent")).unwrap();
        let config = ToolchainConfig { read_only: vec![at("chain")], ..ToolchainConfig::default() };
        let configured = BTreeMap::from([("mine".to_owned(), config)]);
        let host = HostView::new(vec![at("state")], &configured, SearchPlaces::default(), &[]);
        for (path, place) in [
            (".ssh/id", Whereabouts::Secret),
            ("innocent", Whereabouts::Secret),
            ("state/key", Whereabouts::Secret),
            ("", Whereabouts::Secret),
            ("chain/bin/rustc", Whereabouts::Toolchain("mine".to_owned())),
            ("data/x", Whereabouts::Elsewhere),
        ] {
            assert_eq!(whereabouts(&at(path), &host), place, "{path}");
        }
    }

    #[test]
    fn what_is_not_there_is_left_out_and_what_could_be_made_is_not() {
        let root = tempfile::tempdir().unwrap();
        let (read, write) = (BTreeSet::from([Want::Read]), BTreeSet::from([Want::Write]));
        assert_eq!(there(&root.path().join("x"), &read), None);
        assert_eq!(there(&root.path().join("x"), &write), Some(false));
        assert_eq!(there(&root.path().join("x/y"), &write), None);
        assert_eq!(there(root.path(), &read), Some(true));
    }

    #[test]
    fn steps_go_and_many_become_their_folder() {
        let top = Path::new("/opt/tool");
        let mut found = vec![row(Path::new("/opt"), true), row(top, true)];
        found.extend((0..=FILES_MAX).map(|n| row(&top.join(n.to_string()), false)));
        let rows = gathered(without_steps(found));
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!((rows[0].path.as_path(), rows[0].files), (top, Some(FILES_MAX + 1)));
        let few = (0..FILES_MAX).map(|n| row(&top.join(n.to_string()), false)).collect();
        assert_eq!(gathered(few).len(), FILES_MAX);
    }
}
