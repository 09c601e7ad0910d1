//! The files that a record of conformance names: their bytes, each under its digest, in a folder beside the records.
//!
//! Nothing here says which file is whose: a record does, and it is signed. So what lies here counts for nothing by
//! itself, and what no record names is removed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use serde::{Deserialize, Serialize};

use crate::beneath::{BeneathError, Dir, Durability, FileKind};
use crate::engine::PreparedFile;
use crate::vocab::Digest;

/// Name of the folder.
const FOLDER: &str = "prepared";
/// How the name of a file begins while it is being written.
pub(super) const DRAFT: &str = ".new-";
/// Files in it that are looked at; it has at most some tens for each record.
const ENTRIES: usize = 100_000;

/// A prepared file, as a record names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreparedRow {
    /// Its name in the home, one component.
    pub name: String,
    /// Digest of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub bytes: u64,
}

impl PreparedRow {
    /// What a record says of `file`.
    #[must_use]
    pub fn of(file: &PreparedFile) -> Self {
        let bytes = u64::try_from(file.bytes.len()).unwrap_or(u64::MAX);
        Self { name: file.name.clone(), digest: Digest::of(&file.bytes), bytes }
    }
}

/// Keeps the bytes of `files` below the folder `records`; on disk when this returns. Whatever else stands in the place
/// of one goes.
pub(super) fn keep(records: &Dir, files: &[PreparedFile]) -> Result<(), BeneathError> {
    make_way(records, FOLDER, FileKind::Directory)?;
    let folder = records.create_dir_all(FOLDER, 0o700)?;
    for file in files {
        let name = Digest::of(&file.bytes).hex();
        let draft = format!("{DRAFT}{name}");
        folder.remove_tree(draft.as_ref())?;
        folder.write_new(&draft, &file.bytes, 0o600, Durability::Synced)?;
        make_way(&folder, &name, FileKind::File)?;
        folder.replace(draft.as_ref(), name.as_ref())?;
    }
    folder.sync()?;
    records.sync()
}

/// Removes what is called `name` and is of another kind than `kind`.
fn make_way(folder: &Dir, name: &str, kind: FileKind) -> Result<(), BeneathError> {
    match folder.status(name)? {
        Some(found) if found.kind != kind => folder.remove_tree(name.as_ref()),
        Some(_) | None => Ok(()),
    }
}

/// The files that `rows` name, below the folder `records`; every one of them, exactly as it was kept.
pub(super) fn read(records: &Dir, rows: &[PreparedRow]) -> Result<Vec<PreparedFile>, Lost> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let lost = |row: &PreparedRow, why: String| Lost { name: row.name.clone(), why };
    let folder = records.open_dir(FOLDER);
    let mut files = Vec::new();
    for row in rows {
        let bytes = match &folder {
            Ok(folder) => folder.read_file(row.digest.hex(), row.bytes).map_err(|error| why(&error)),
            Err(error) => Err(why(error)),
        };
        let bytes = bytes.map_err(|why| lost(row, why))?;
        if Digest::of(&bytes) != row.digest {
            return Err(lost(row, format!("its bytes are not those of {}", row.digest)));
        }
        files.push(PreparedFile { name: row.name.clone(), bytes });
    }
    Ok(files)
}

/// A file that is not there as it was kept.
#[derive(Debug)]
pub(super) struct Lost {
    /// Its name in the home.
    pub(super) name: String,
    /// Why it is not what the record says.
    pub(super) why: String,
}

fn why(error: &BeneathError) -> String {
    if error.is_absent() { "it is gone".to_owned() } else { error.to_string() }
}

/// Removes what is in the folder and not in `named`: of records that were replaced, or of a keeping that was cut.
pub(super) fn sweep(records: &Dir, named: &BTreeSet<Digest>) -> Result<(), BeneathError> {
    let folder = match records.open_dir(FOLDER) {
        Ok(folder) => folder,
        Err(error) if error.is_absent() => return Ok(()),
        Err(error) => return Err(error),
    };
    let named: BTreeSet<OsString> = named.iter().map(|digest| digest.hex().into()).collect();
    for entry in folder.entries(ENTRIES)? {
        if !named.contains::<OsStr>(&entry.name) {
            folder.remove_tree(&entry.name)?;
        }
    }
    Ok(())
}
