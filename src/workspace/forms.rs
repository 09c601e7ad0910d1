//! Forms of repositories and trees that this version does not read, found before anything of them is laid out.
//!
//! A tree may be made so that it is small to store and endless to walk: the same folder many times over, or folders
//! in folders without end. Each tree is looked at once, whatever holds it, and what a checkout would make of the
//! whole is counted.

use std::collections::{BTreeSet, HashMap};
use std::io::Read as _;
use std::path::Path;

use git2::{ObjectType, Oid, Repository, Tree, TreeEntry};

use super::collect::LEVELS;
use super::names::is_safe_component;
use super::tree::FOLDER;

/// More files and folders than this are not checked out; the largest public repositories have a third of it.
const HUGE: u64 = 1_000_000;
/// Raised when more forms are looked for, so that older memories do not count.
const FORMS_VERSION: u32 = 2;
/// Attribute files larger than this are not looked through, and so refused.
const ATTRIBUTES_BYTES: usize = 1 << 20;

/// Said of trees that no checkout and no comparison is made of.
pub(super) const HUGE_FORM: &str = "huge";
const LFS: &str = "lfs";
const UNREAD_ATTRIBUTES: &str = "unread-attributes";

pub(super) fn forms_of_repository(repo: &Repository) -> Result<Vec<String>, git2::Error> {
    let mut forms = Vec::new();
    if repo.is_bare() {
        forms.push("bare".to_owned());
    }
    if repo.is_shallow() || repo.commondir().join("shallow").exists() {
        forms.push("shallow".to_owned());
    }
    // A clone with a filter names the remote that would have to be asked for the rest.
    let config = repo.config()?;
    let mut promisors = config.entries(Some(r"remote\..*\.(promisor|partialclonefilter)"))?;
    if promisors.next().is_some() {
        forms.push("partial-clone".to_owned());
    }
    forms.extend(form_of_local_attributes(repo).map(str::to_owned));
    Ok(forms)
}

/// What `info/attributes` of the repository asks for, which git obeys above every file of the tree.
fn form_of_local_attributes(repo: &Repository) -> Option<&'static str> {
    let file = match std::fs::File::open(repo.commondir().join("info/attributes")) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(_) => return Some(UNREAD_ATTRIBUTES),
    };
    let mut text = Vec::new();
    match file.take(ATTRIBUTES_BYTES as u64 + 1).read_to_end(&mut text) {
        Ok(length) if length <= ATTRIBUTES_BYTES => asks_for_lfs(&text).then_some(LFS),
        Ok(_) | Err(_) => Some(UNREAD_ATTRIBUTES),
    }
}

/// Only good trees are remembered, each as an empty file: an unreadable memory is no memory.
pub(super) fn remembered_forms(
    repo: &Repository,
    tree: &Tree<'_>,
    cache_dir: &Path,
) -> Result<Vec<String>, git2::Error> {
    let folder = cache_dir.join("trees");
    let memory = folder.join(format!("{FORMS_VERSION}-{}", tree.id()));
    if memory.exists() {
        return Ok(Vec::new());
    }
    let forms = forms_of_tree(repo, tree)?;
    if forms.is_empty() {
        // A memory that cannot be written costs time, nothing else.
        std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&memory, b"")).ok();
    }
    Ok(forms)
}

/// The forms that were found; each is named once.
type Forms = BTreeSet<&'static str>;

pub(super) fn forms_of_tree(repo: &Repository, tree: &Tree<'_>) -> Result<Vec<String>, git2::Error> {
    let mut found = Forms::new();
    look_through(repo, tree.id(), &mut found)?;
    Ok(found.into_iter().map(str::to_owned).collect())
}

/// What a checkout of a tree makes: files and folders, and how deep.
#[derive(Clone, Copy, Default)]
struct Extent {
    entries: u64,
    levels: usize,
}

impl Extent {
    fn add(&mut self, folder: Self) {
        self.entries = self.entries.saturating_add(folder.entries);
        self.levels = self.levels.max(folder.levels + 1);
    }
}

/// A folder that is being looked through.
struct Open<'r> {
    tree: Tree<'r>,
    next: usize,
    extent: Extent,
}

fn look_through(repo: &Repository, root: Oid, found: &mut Forms) -> Result<(), git2::Error> {
    let open = |id| repo.find_tree(id).map(|tree| Open { tree, next: 0, extent: Extent::default() });
    let mut known: HashMap<Oid, Extent> = HashMap::new();
    let mut looked_at = 0;
    let mut above = Vec::new();
    let mut here = open(root)?;
    loop {
        let entry = here.tree.get(here.next).map(|entry| entry.to_owned());
        here.next += 1;
        let Some(entry) = entry else {
            known.insert(here.tree.id(), here.extent);
            if here.extent.entries > HUGE || here.extent.levels > LEVELS {
                found.insert(HUGE_FORM);
            }
            let Some(mut outer): Option<Open<'_>> = above.pop() else { return Ok(()) };
            outer.extent.add(here.extent);
            here = outer;
            continue;
        };
        looked_at += 1;
        if looked_at > HUGE || above.len() > LEVELS {
            found.insert(HUGE_FORM);
            return Ok(());
        }
        here.extent.entries = here.extent.entries.saturating_add(1);
        if !is_safe_component(entry.name_bytes()) {
            found.insert("unsafe-names");
        }
        match (entry.filemode_raw(), known.get(&entry.id())) {
            (FOLDER, Some(extent)) => here.extent.add(*extent),
            (FOLDER, None) => above.push(std::mem::replace(&mut here, open(entry.id())?)),
            (0o160_000, _) => {
                found.insert("submodules");
            }
            _ if entry.name_bytes() == b".gitattributes" => look_at_attributes(repo, &entry, found)?,
            _ => {}
        }
    }
}

fn look_at_attributes(
    repo: &Repository,
    entry: &TreeEntry<'_>,
    found: &mut Forms,
) -> Result<(), git2::Error> {
    let (size, kind) = repo.odb()?.read_header(entry.id())?;
    if kind != ObjectType::Blob || size > ATTRIBUTES_BYTES {
        found.insert(UNREAD_ATTRIBUTES);
    } else if asks_for_lfs(repo.find_blob(entry.id())?.content()) {
        found.insert(LFS);
    }
    Ok(())
}

fn asks_for_lfs(attributes: &[u8]) -> bool {
    let live = |line: &&[u8]| !line.trim_ascii_start().starts_with(b"#");
    let words = |line: &'_ [u8]| line.split(u8::is_ascii_whitespace).any(|word| word == b"filter=lfs");
    attributes.split(|byte| *byte == b'\n').filter(live).any(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::git::Scratch;

    fn forms(git: &Scratch, tree: Oid) -> Vec<String> {
        forms_of_tree(git.repo(), &git.repo().find_tree(tree).unwrap()).unwrap()
    }

    fn folder(git: &Scratch, entries: &[(&str, Oid, i32)]) -> Oid {
        let mut builder = git.repo().treebuilder(None).unwrap();
        for (name, id, mode) in entries {
            builder.insert(name, *id, *mode).unwrap();
        }
        builder.write().unwrap()
    }

    #[test]
    fn a_tree_that_is_small_to_store_and_endless_to_walk_is_huge() {
        let git = Scratch::over(None).unwrap();
        let blob = git.blob(b"x").unwrap();
        let leaf = folder(&git, &[("f", blob, 0o100_644)]);
        let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        let mut tree = leaf;
        for level in 1..=40 {
            let entries: Vec<_> = names.iter().map(|name| (name.as_str(), tree, FOLDER)).collect();
            tree = folder(&git, &entries);
            // 10 + 100 + … folders, and a file in each of the last.
            let expected: &[&str] = if level < 6 { &[] } else { &["huge"] };
            assert_eq!(forms(&git, tree), expected, "{level}");
        }
        let mut tree = leaf;
        for level in 1..=60_000 {
            tree = folder(&git, &[("d", tree, FOLDER)]);
            if [1, LEVELS, LEVELS + 1, 60_000].contains(&level) {
                let expected: &[&str] = if level <= LEVELS { &[] } else { &["huge"] };
                assert_eq!(forms(&git, tree), expected, "{level}");
            }
        }
    }

    #[test]
    fn attributes_that_are_not_looked_through_are_refused() {
        let git = Scratch::over(None).unwrap();
        let mut text = vec![b'#'; ATTRIBUTES_BYTES];
        let with = |text: &[u8]| folder(&git, &[(".gitattributes", git.blob(text).unwrap(), 0o100_644)]);
        assert_eq!(forms(&git, with(&text)), [""; 0]);
        text.extend_from_slice(b"\n* filter=lfs\n");
        assert_eq!(forms(&git, with(&text)), [UNREAD_ATTRIBUTES]);
    }
}
