//! What a first start leaves in a new home, and what of it a run's home can have from the start (docs/adr/0028).
//!
//! Only databases: they hold the schema that some seventy migrations give, and nothing that anybody said, because
//! nothing is said in that home. The rest (skills, locks, an id of the installation) every home makes for itself.

use crate::engine::adapter::PreparedFile;
use crate::vocab::counted;

/// The new home, below the folder that the first command fills.
pub const NEW_HOME: &str = "home";
/// Files of databases that are taken at most.
pub const DATABASE_FILES: usize = 32;
/// Bytes that they may have together.
pub const DATABASE_BYTES: u64 = 16 * 1024 * 1024;

/// How the name of a database ends.
const DATABASE: &str = ".sqlite";
/// How the name of the log ends that holds what was not yet written into it.
const LOG: &str = ".sqlite-wal";

/// Whether a file with this name is a database or the log of one. The index over a log (`-shm`) is made anew by whoever
/// opens it, and a name that is not plain is none that Codex gives.
#[must_use]
pub fn is_database(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let stem = name.strip_suffix(DATABASE).or_else(|| name.strip_suffix(LOG));
    stem.is_some_and(|stem| !stem.is_empty() && stem.bytes().all(plain))
}

/// The step `home`: that the program's start left databases in a new home, and that all of them can be kept.
pub(super) fn home(left: Result<&[PreparedFile], &str>) -> Result<String, String> {
    let files = left.map_err(|why| format!("what a start left in a new home cannot be kept: {why}"))?;
    if !files.iter().any(|file| file.name.ends_with(DATABASE)) {
        return Err("a start left no database in a new home".to_owned());
    }
    let bytes: usize = files.iter().map(|file| file.bytes.len()).sum();
    Ok(format!("{} of databases with {bytes} bytes", counted(files.len(), "file")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_without_a_database_or_with_what_cannot_be_kept_fails_the_step() {
        let file = |name: &str| PreparedFile { name: name.to_owned(), bytes: b"12".to_vec() };
        let both = [file("a.sqlite"), file("a.sqlite-wal")];
        assert_eq!(home(Ok(&both)).unwrap(), "2 files of databases with 4 bytes");
        for (left, why) in [
            (Ok(&[][..]), "no database"),
            (Ok(&both[1..]), "no database"),
            (Err("b.sqlite is not a regular file"), "cannot be kept: b.sqlite is not"),
        ] {
            assert!(home(left).unwrap_err().contains(why), "{why}");
        }
    }

    #[test]
    fn only_plain_names_of_databases_and_their_logs_are_taken() {
        for name in ["state_5.sqlite", "state_5.sqlite-wal", "a-b.sqlite"] {
            assert!(is_database(name), "{name}");
        }
        for name in [
            "state_5.sqlite-shm",
            "state_5.sqlite-journal",
            "state_5.sqlite.bak",
            "config.toml",
            ".sqlite",
            ".sqlite-wal",
            "../x.sqlite",
            "a/x.sqlite",
            "a x.sqlite",
            "a.b.sqlite",
            "x.sqlite\n",
            "é.sqlite",
        ] {
            assert!(!is_database(name), "{name}");
        }
    }
}
