//! Event logs that a caller hands to the check of an engine: read, bounded and named before anything is decided.
//!
//! Each is read once, so what is digested is what the adapter gets. One that cannot be taken is named, with the remedy.

use std::path::Path;

use super::RunError;
use crate::beneath::{BeneathError, Dir};
use crate::engine::OfferedLog;
use crate::vocab::{EngineId, shown};

/// What an operator does with a file that is no log.
const REMEDY: &str = "name the event log that the installation left, a regular file of UTF-8";

/// Reads `paths`, relative to `cwd`, for the check of `engine`; `reads` says whether its adapter reads logs at all.
pub(super) fn read(
    cwd: &Path,
    engine: &EngineId,
    reads: bool,
    paths: &[impl AsRef<Path>],
) -> Result<Vec<OfferedLog>, RunError> {
    if !paths.is_empty() && !reads {
        let sentence = format!("the adapter of `{engine}` reads no event logs");
        return Err(RunError::Usage { sentence, remedy: "leave `--log` out".to_owned() });
    }
    let most = OfferedLog::MOST;
    if paths.len() > most {
        let sentence = format!("{} logs are more than the {most} that one check takes", paths.len());
        return Err(RunError::Usage { sentence, remedy: format!("name {most} of them") });
    }
    let mut logs: Vec<OfferedLog> = Vec::new();
    for path in paths {
        let path = cwd.join(path);
        let log = one(&path)?;
        if logs.iter().any(|known| known.name() == log.name()) {
            let remedy = "give each file a name of its own; letters, digits and `._-` count, 64 of them";
            return Err(refused(&path, &format!("would be the second one named `{}`", log.name()), remedy));
        }
        logs.push(log);
    }
    Ok(logs)
}

fn one(path: &Path) -> Result<OfferedLog, RunError> {
    let most = OfferedLog::BYTES;
    let unreadable = |why: String| refused(path, &format!("cannot be read: {why}"), REMEDY);
    // The caller's own file: a link of his is followed, and then what is there is read by descriptor.
    let whole = path.canonicalize().map_err(|error| unreadable(error.to_string()))?;
    let (Some(folder), Some(name), Some(given)) = (whole.parent(), whole.file_name(), path.file_name())
    else {
        return Err(unreadable("it is no file".to_owned()));
    };
    let read = Dir::open_root(folder).and_then(|folder| folder.read_file(name, most));
    let bytes = read.map_err(|error| match error {
        BeneathError::TooLarge { .. } => {
            let remedy = "name a log of a shorter run";
            refused(path, &format!("has more than the {most} bytes that are read of one"), remedy)
        }
        other => unreadable(other.to_string()),
    })?;
    let text = String::from_utf8(bytes).map_err(|_| refused(path, "is not UTF-8", REMEDY))?;
    Ok(OfferedLog::of(&given.to_string_lossy(), text))
}

fn refused(path: &Path, what: &str, remedy: &str) -> RunError {
    let sentence = format!("the log {} {what}", shown(&path.display().to_string()));
    RunError::Usage { sentence, remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(folder: &Path, reads: bool, names: &[&str]) -> String {
        let engine = EngineId::parse("case").unwrap();
        match read(folder, &engine, reads, names) {
            Err(RunError::Usage { sentence, remedy }) if !remedy.is_empty() => sentence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_log_of_a_readable_size_with_a_name_of_its_own_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, bytes: &[u8]| std::fs::write(at(name), bytes).unwrap();
        let most = usize::try_from(OfferedLog::BYTES).unwrap();
        write("most", &vec![b'x'; most]);
        write("more", &vec![b'x'; most + 1]);
        write("a b", b"one\n");
        write("a_b", b"two\n");
        write("latin", b"\xe4\n");
        std::fs::create_dir(at("folder")).unwrap();
        std::os::unix::fs::symlink(at("a b"), at("linked")).unwrap();

        let engine = EngineId::parse("case").unwrap();
        let logs = read(folder.path(), &engine, true, &["most", "a b", "linked"]).unwrap();
        let names: Vec<&str> = logs.iter().map(OfferedLog::name).collect();
        assert_eq!(names, ["most", "a_b", "linked"]);
        assert_eq!(logs[1].digest(), crate::vocab::Digest::of(b"one\n"));

        let why = |reads, names: &[&str]| why(folder.path(), reads, names);
        for (names, word) in [
            (&["more"][..], "bytes that are read of one"),
            (&["a b", "a_b"], "the second one named `a_b`"),
            (&["latin"], "is not UTF-8"),
            (&["folder"], "cannot be read"),
            (&["missing"], "cannot be read"),
            (&["most", "/dev/null"], "cannot be read"),
            (&["."], "cannot be read"),
            (&["a b"; 17], "more than the 16"),
        ] {
            let sentence = why(true, names);
            assert!(sentence.contains(word), "{names:?}: {sentence}");
            assert!(names.len() > 16 || sentence.contains(names[names.len() - 1]), "{sentence}");
        }
        assert!(why(false, &["a b"]).contains("reads no event logs"));
        assert!(read(folder.path(), &engine, false, &[] as &[&str]).unwrap().is_empty());
    }
}
