//! A git tree changed at some paths: only the folders on the way to a change are written anew.

use std::collections::BTreeMap;

use git2::{ObjectType, Oid, Repository, Tree};

/// Git's mode of a folder in a tree.
pub(super) const FOLDER: i32 = 0o040_000;
/// Git's mode of a link.
pub(super) const LINK: i32 = 0o120_000;
/// Git's mode of an executable file.
pub(super) const EXECUTABLE: i32 = 0o100_755;
/// Git's mode of any other file.
pub(super) const PLAIN: i32 = 0o100_644;

/// What stands at a path after the change; `None` = nothing.
pub(super) type Edit = Option<(i32, Oid)>;

/// The tree that `base` becomes by `edits` (path from the top → what stands there then). A path below an
/// edited one wins over it; a folder left empty goes.
pub(super) fn edited(
    repo: &Repository,
    base: Option<&Tree<'_>>,
    edits: &BTreeMap<Vec<u8>, Edit>,
) -> Result<Oid, git2::Error> {
    let edits: Vec<(&[u8], Edit)> = edits.iter().map(|(path, edit)| (path.as_slice(), *edit)).collect();
    match level(repo, base, &edits)? {
        Some(oid) => Ok(oid),
        None => repo.treebuilder(None)?.write(),
    }
}

/// What is to happen at a name itself, and below it.
type Level<'a> = (Option<Edit>, Vec<(&'a [u8], Edit)>);

fn level(
    repo: &Repository,
    base: Option<&Tree<'_>>,
    edits: &[(&[u8], Edit)],
) -> Result<Option<Oid>, git2::Error> {
    let mut here: BTreeMap<&[u8], Level<'_>> = BTreeMap::new();
    for (path, edit) in edits {
        match path.iter().position(|byte| *byte == b'/').and_then(|at| path.split_at_checked(at)) {
            Some((name, below)) => {
                here.entry(name).or_default().1.push((below.get(1..).unwrap_or(&[]), *edit));
            }
            None => here.entry(path).or_default().0 = Some(*edit),
        }
    }
    let mut builder = repo.treebuilder(base)?;
    for (name, (own, below)) in here {
        let known = base.and_then(|base| base.get_name_bytes(name));
        let was_folder = known.as_ref().is_some_and(|entry| entry.kind() == Some(ObjectType::Tree));
        let only_deletes = below.iter().all(|(_, edit)| edit.is_none());
        let put = if let Some(Some(own)) = own.filter(|_| only_deletes) {
            Some(own)
        } else if below.is_empty() || (only_deletes && own.is_none() && !was_folder) {
            // Deleting below something that is no folder changes nothing.
            match own {
                Some(_) => None,
                None => continue,
            }
        } else {
            let folder = match (&known, own) {
                (Some(entry), None) if was_folder => Some(repo.find_tree(entry.id())?),
                _ => None,
            };
            level(repo, folder.as_ref(), &below)?.map(|oid| (FOLDER, oid))
        };
        match put {
            Some((mode, oid)) => {
                builder.insert(name, oid, mode)?;
            }
            None if known.is_some() => builder.remove(name)?,
            None => {}
        }
    }
    if builder.is_empty() { Ok(None) } else { builder.write().map(Some) }
}

/// The files that differ between two trees: path → what stands there in each. Equal folders are not entered, so
/// this costs what changed, not what there is.
pub(super) fn differences(
    repo: &Repository,
    old: Option<&Tree<'_>>,
    new: Option<&Tree<'_>>,
) -> Result<BTreeMap<Vec<u8>, (Edit, Edit)>, git2::Error> {
    let mut found = BTreeMap::new();
    compare(repo, old, new, &mut Vec::new(), &mut found)?;
    Ok(found)
}

fn compare(
    repo: &Repository,
    old: Option<&Tree<'_>>,
    new: Option<&Tree<'_>>,
    path: &mut Vec<u8>,
    found: &mut BTreeMap<Vec<u8>, (Edit, Edit)>,
) -> Result<(), git2::Error> {
    let mut names: BTreeMap<Vec<u8>, (Edit, Edit)> = BTreeMap::new();
    for entry in old.iter().flat_map(|tree| tree.iter()) {
        names.entry(entry.name_bytes().to_vec()).or_default().0 = Some((entry.filemode_raw(), entry.id()));
    }
    for entry in new.iter().flat_map(|tree| tree.iter()) {
        names.entry(entry.name_bytes().to_vec()).or_default().1 = Some((entry.filemode_raw(), entry.id()));
    }
    for (name, (was, is)) in names.into_iter().filter(|(_, (was, is))| was != is) {
        let length = path.len();
        path.extend_from_slice(&name);
        let folder = |side: Edit| match side {
            Some((FOLDER, id)) => repo.find_tree(id).map(Some),
            _ => Ok(None),
        };
        let file = |side: Edit| side.filter(|(mode, _)| *mode != FOLDER);
        if file(was) != file(is) {
            found.insert(path.clone(), (file(was), file(is)));
        }
        let (below_old, below_new) = (folder(was)?, folder(is)?);
        if below_old.is_some() || below_new.is_some() {
            path.push(b'/');
            compare(repo, below_old.as_ref(), below_new.as_ref(), path, found)?;
        }
        path.truncate(length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::git::Scratch;

    fn listed(repo: &Repository, tree: Oid) -> Vec<String> {
        let mut found = Vec::new();
        repo.find_tree(tree)
            .unwrap()
            .walk(git2::TreeWalkMode::PreOrder, |folder, entry| {
                if entry.kind() == Some(ObjectType::Blob) {
                    found.push(format!("{folder}{}", entry.name().unwrap()));
                }
                git2::TreeWalkResult::Ok
            })
            .unwrap();
        found
    }

    #[test]
    fn files_folders_and_their_exchange() {
        let git = Scratch::over(None).unwrap();
        let blob = git.blob(b"x").unwrap();
        let put =
            |paths: &[&str]| paths.iter().map(|p| (p.as_bytes().to_vec(), Some((PLAIN, blob)))).collect();
        let base = edited(git.repo(), None, &put(&["a/b/c", "a/d", "e", "f/g"])).unwrap();
        let tree = git.repo().find_tree(base).unwrap();
        assert_eq!(listed(git.repo(), base), ["a/b/c", "a/d", "e", "f/g"]);
        let mut edits: BTreeMap<Vec<u8>, Edit> = put(&["e/now/a/folder", "f", "new"]);
        edits.insert(b"e".to_vec(), None);
        edits.insert(b"f/g".to_vec(), None);
        edits.insert(b"a/b/c".to_vec(), None);
        edits.insert(b"none/at/all".to_vec(), None);
        let after = edited(git.repo(), Some(&tree), &edits).unwrap();
        assert_eq!(listed(git.repo(), after), ["a/d", "e/now/a/folder", "f", "new"]);
        let after_tree = git.repo().find_tree(after).unwrap();
        let told = differences(git.repo(), Some(&tree), Some(&after_tree)).unwrap();
        let told: Vec<_> = told
            .iter()
            .map(|(p, (a, b))| (std::str::from_utf8(p).unwrap(), a.is_some(), b.is_some()))
            .collect();
        let expected = [
            ("a/b/c", true, false),
            ("e", true, false),
            ("e/now/a/folder", false, true),
            ("f", false, true),
            ("f/g", true, false),
            ("new", false, true),
        ];
        assert_eq!(told, expected);
        let all: BTreeMap<Vec<u8>, Edit> =
            ["a/b/c", "a/d", "e", "f/g"].iter().map(|p| (p.as_bytes().to_vec(), None)).collect();
        assert!(listed(git.repo(), edited(git.repo(), Some(&tree), &all).unwrap()).is_empty());
    }
}
