//! Every file of a bundle, opened once beneath the folder's descriptor and hashed while it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use crate::beneath::{Dir, FileKind};
use crate::evidence::{self, APPROVALS_DIR, INPUTS_DIR, Listed, MAX_FILE, MAX_NAMES, ROOT};
use crate::vocab::{Digest, Hasher};

/// Largest bundle, bytes.
const MAX_BUNDLE: u64 = 4 << 30;
/// Largest file that is kept to be parsed, bytes.
pub(super) const MAX_KEPT: u64 = 64 << 20;
/// Most bytes kept altogether.
const MAX_KEPT_TOTAL: u64 = 256 << 20;

/// The names in a folder that is well formed: files only, well named, within ceilings; where it is sealed, no empty
/// folders.
pub(super) struct Names {
    /// Files with their sizes as listed.
    pub(super) files: BTreeMap<String, u64>,
}

/// Lists the folder. The error is every reason why it is not a bundle's.
pub(super) fn names(dir: &Dir) -> Result<Names, String> {
    let listed =
        evidence::list(dir, MAX_NAMES).map_err(|error| format!("the folder cannot be listed: {error}"))?;
    let wrong: Vec<String> = listed.iter().filter_map(odd).take(20).collect();
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    let folders: BTreeSet<String> =
        listed.iter().filter(|one| one.kind == FileKind::Directory).map(|one| one.name.clone()).collect();
    let files: BTreeMap<String, u64> =
        listed.into_iter().filter(|one| one.kind == FileKind::File).map(|one| (one.name, one.size)).collect();
    let needed: BTreeSet<String> = files
        .keys()
        .flat_map(|name| name.match_indices('/').filter_map(|(at, _)| name.get(..at)).collect::<Vec<_>>())
        .map(str::to_owned)
        .collect();
    // A run that was killed may have made a folder and nothing in it yet.
    if let Some(empty) = folders.difference(&needed).next().filter(|_| files.contains_key(ROOT)) {
        return Err(format!("the folder `{empty}` holds no file"));
    }
    if files.values().try_fold(0_u64, |sum, size| sum.checked_add(*size)).is_none_or(|sum| sum > MAX_BUNDLE) {
        return Err(format!("it is larger than {MAX_BUNDLE} bytes"));
    }
    Ok(Names { files })
}

fn odd(one: &Listed) -> Option<String> {
    match one.kind {
        _ if !one.well_named => Some(format!("`{}` is not a name that the harness gives", one.name)),
        FileKind::File if one.size > MAX_FILE => {
            Some(format!("`{}` is larger than {MAX_FILE} bytes", one.name))
        }
        FileKind::File | FileKind::Directory => None,
        FileKind::Link => Some(format!("`{}` is a link", one.name)),
        _ => Some(format!("`{}` is not a regular file", one.name)),
    }
}

/// The whole of one small file.
pub(super) fn whole(dir: &Dir, name: &str) -> Result<Vec<u8>, String> {
    dir.read_file(name, MAX_KEPT).map_err(|error| error.to_string())
}

/// Digests of files, and the bytes of those that are parsed.
#[derive(Default)]
pub(super) struct Hashed {
    pub(super) digests: BTreeMap<String, Digest>,
    pub(super) kept: BTreeMap<String, Vec<u8>>,
}

/// Reads every file in `names` once.
pub(super) fn hash_files<'a>(dir: &Dir, names: impl Iterator<Item = &'a String>) -> Result<Hashed, String> {
    let mut hashed = Hashed::default();
    let mut total = 0_u64;
    for name in names {
        let room = MAX_KEPT_TOTAL.saturating_sub(total).min(MAX_KEPT);
        let (digest, bytes) = hash_one(dir, name, if is_kept(name) { room } else { 0 })?;
        hashed.digests.insert(name.clone(), digest);
        if let Some(bytes) = bytes {
            total = total.saturating_add(bytes.len() as u64);
            hashed.kept.insert(name.clone(), bytes);
        }
    }
    Ok(hashed)
}

fn is_kept(name: &str) -> bool {
    [evidence::CONTRACT, evidence::DECISION, evidence::REPORT, evidence::PATCH].contains(&name)
        || name.starts_with(INPUTS_DIR)
        || name.starts_with(APPROVALS_DIR)
}

/// One file's digest, and its bytes when they are at most `keep`.
fn hash_one(dir: &Dir, name: &str, keep: u64) -> Result<(Digest, Option<Vec<u8>>), String> {
    let mut file = dir.open_file(name).map_err(|error| error.to_string())?;
    let failed = |error: std::io::Error| format!("`{name}` cannot be read: {error}");
    let (mut hasher, mut size) = (Hasher::new(), 0_u64);
    let mut kept = (keep > 0).then(Vec::new);
    let mut buffer = vec![0_u8; 256 << 10];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        let chunk = buffer.get(..count).unwrap_or(&buffer);
        hasher.update(chunk);
        size = size.saturating_add(count as u64);
        if size > MAX_FILE {
            return Err(format!("`{name}` is larger than {MAX_FILE} bytes"));
        }
        if size > keep {
            kept = None;
        } else if let Some(bytes) = &mut kept {
            bytes.extend_from_slice(chunk);
        }
    }
    Ok((hasher.finish(), kept))
}
