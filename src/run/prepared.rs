//! What the check of an engine takes from a home that its program made: bounded, and read as what a stranger wrote.

use crate::beneath::{BeneathError, Dir};
use crate::engine::PreparedFile;
use crate::engine::codex::check::{DATABASE_BYTES, DATABASE_FILES, is_database};
use crate::vocab::counted;

/// Entries of a new home that are looked at; one with more is refused.
const ENTRIES: usize = 1_000;

/// The databases in `home`, whose writers are dead. All of them, or the reason why none is taken.
pub(super) fn databases(home: &Dir) -> Result<Vec<PreparedFile>, String> {
    let entries = home.entries(ENTRIES).map_err(|error| error.to_string())?;
    let names: Vec<&str> =
        entries.iter().filter_map(|entry| entry.name.to_str()).filter(|name| is_database(name)).collect();
    if names.len() > DATABASE_FILES {
        return Err(format!("{} of databases, {DATABASE_FILES} at most", counted(names.len(), "file")));
    }
    let (mut left, mut files) = (DATABASE_BYTES, Vec::new());
    for name in names {
        let bytes = home.read_file(name, left).map_err(|error| match error {
            BeneathError::TooLarge { .. } => {
                format!("databases of more than {DATABASE_BYTES} bytes together")
            }
            other => other.to_string(),
        })?;
        left = left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        files.push(PreparedFile { name: name.to_owned(), bytes });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Makes something at a path.
    type Make = fn(&Path);

    /// What is taken of a home that `make` filled.
    fn taken(make: impl FnOnce(&Path)) -> Result<Vec<String>, String> {
        let place = tempfile::tempdir().unwrap();
        make(place.path());
        let files = databases(&Dir::open_root(place.path()).unwrap())?;
        Ok(files.into_iter().map(|file| format!("{} {}", file.name, file.bytes.len())).collect())
    }

    fn file_of(bytes: u64, path: &Path) {
        fs::File::create(path).unwrap().set_len(bytes).unwrap();
    }

    #[test]
    fn databases_are_taken_and_nothing_else_is() {
        let found = taken(|home| {
            for (name, text) in
                [("a.sqlite", "12"), ("a.sqlite-wal", "123"), ("a.sqlite-shm", "x"), ("config.toml", "x")]
            {
                fs::write(home.join(name), text).unwrap();
            }
            fs::create_dir(home.join("skills")).unwrap();
            fs::write(home.join("skills/b.sqlite"), "x").unwrap();
        });
        assert_eq!(found.unwrap(), ["a.sqlite 2", "a.sqlite-wal 3"]);
        assert_eq!(taken(|_| ()).unwrap(), [""; 0]);
    }

    #[test]
    fn what_only_has_the_name_of_a_database_is_refused_by_it() {
        let made: [(&str, Make); 3] = [
            ("a link", |path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap()),
            ("a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
            ("a folder", |path| fs::create_dir(path).unwrap()),
        ];
        for (what, make) in made {
            let why = taken(|home| {
                fs::write(home.join("a.sqlite"), "x").unwrap();
                make(&home.join("b.sqlite"));
            });
            let why = why.unwrap_err();
            assert!(why.contains("b.sqlite") && why.contains("not a regular file"), "{what}: {why}");
        }
    }

    #[test]
    fn bytes_and_files_and_entries_have_bounds() {
        let whole = |home: &Path| {
            file_of(DATABASE_BYTES - 1, &home.join("a.sqlite"));
            file_of(1, &home.join("b.sqlite"));
        };
        assert_eq!(taken(whole).unwrap().len(), 2);
        let why = taken(|home| {
            whole(home);
            file_of(1, &home.join("c.sqlite"));
        });
        assert!(why.unwrap_err().contains("16777216 bytes together"));
        assert!(taken(|home| file_of(1 << 40, &home.join("a.sqlite"))).is_err(), "and it is not read whole");

        let many = |home: &Path, count: usize| {
            (0..count).for_each(|number| file_of(1, &home.join(format!("d{number}.sqlite"))));
        };
        assert_eq!(taken(|home| many(home, DATABASE_FILES)).unwrap().len(), DATABASE_FILES);
        let why = taken(|home| many(home, DATABASE_FILES + 1)).unwrap_err();
        assert!(why.contains("33 files") && why.contains("32 at most"), "{why}");
        let why = taken(|home| many(home, ENTRIES + 1)).unwrap_err();
        assert!(why.contains("more than 1000 entries"), "{why}");
    }
}
