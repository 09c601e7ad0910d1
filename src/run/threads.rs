//! What an engine wrote down of its threads, and else, becomes evidence: copied, redacted, once everything that could
//! write is dead.
//!
//! The files are an engine's, so they are reached below the run's folder and never through a link, names are the
//! harness's own, and number and size are bounded. What is not copied is said; no verdict rests on it.

use std::path::Path;

use super::cutoff::CutOff;
use super::recording::Recording;
use super::report::Told;
use crate::beneath::{BeneathError, Dir, FileKind};
use crate::engine::{HOME_FOLDER, KeptFiles, LaunchPlan};
use crate::evidence::Finding;
use crate::vocab::{Verdict, counted};

/// Most files that are copied.
const FILES: usize = 16;
/// Bytes of the largest one that is copied.
const FILE_BYTES: u64 = 64 << 20;
/// Folders below one another that are looked through; codex has three, by date.
const LEVELS: usize = 4;
/// Entries of one folder that are looked at.
const ENTRIES: usize = 1_000;

/// Copies them, in the order of their names, as `<name>-<number><ending>`.
pub(super) fn copy(plan: &LaunchPlan, recording: &mut Recording<'_>, told: &mut Told) -> Result<(), CutOff> {
    if let Some(threads) = recording.threads() {
        copy_some(&threads, "of its threads", recording, told)?;
    }
    for left in &plan.left {
        copy_some(left, &format!("like `{}`", left.copies), recording, told)?;
    }
    Ok(())
}

fn copy_some(
    kept: &KeptFiles,
    which: &str,
    recording: &mut Recording<'_>,
    told: &mut Told,
) -> Result<(), CutOff> {
    match read(&recording.work(), kept) {
        Ok((files, unread)) => {
            for (name, bytes) in files {
                recording.bundle().write(&name, &bytes)?;
            }
            if unread > 0 {
                let files = counted(unread, "file");
                told.sections.findings.push(left_out_finding(&format!("{files} {which}")));
            }
        }
        Err(error) if error.is_absent() => {}
        Err(error) => {
            told.sections.findings.push(left_out_finding(&format!("what it wrote {which} ({error})")));
        }
    }
    Ok(())
}

type Copies = Vec<(String, Vec<u8>)>;

/// Names in the bundle with bytes, and how many files could not be had.
fn read(work: &Path, kept: &KeptFiles) -> Result<(Copies, usize), BeneathError> {
    let (files, mut unread) = found(work, kept)?;
    let mut copies = Copies::new();
    for (dir, name) in files {
        match dir.read_file_by_force(&name, FILE_BYTES) {
            Ok(bytes) => {
                copies.push((format!("{}-{}{}", kept.copies, copies.len() + 1, kept.named.1), bytes));
            }
            Err(_) => unread += 1,
        }
    }
    Ok((copies, unread))
}

type Files = Vec<(Dir, String)>;

/// The files, each with its folder, and how many are too many or have no plain name.
fn found(work: &Path, kept: &KeptFiles) -> Result<(Files, usize), BeneathError> {
    let home = Dir::open_root(work)?.open_dir_by_force(HOME_FOLDER)?;
    let mut pending = vec![(home.open_dir_by_force(&kept.folder)?, String::new(), 0)];
    let mut all = Vec::new();
    while let Some((dir, above, level)) = pending.pop() {
        for entry in dir.entries(ENTRIES)? {
            let Some(name) = entry.name.to_str() else { continue };
            match entry.status.kind {
                FileKind::Directory if level < LEVELS => {
                    pending.push((dir.open_dir_by_force(name)?, format!("{above}{name}/"), level + 1));
                }
                FileKind::File if name.starts_with(&kept.named.0) && name.ends_with(&kept.named.1) => {
                    all.push((format!("{above}{name}"), dir.again()?, name.to_owned()));
                }
                _ => {}
            }
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let left_out = all.len().saturating_sub(FILES);
    Ok((all.into_iter().take(FILES).map(|(_, dir, name)| (dir, name)).collect(), left_out))
}

fn left_out_finding(what: &str) -> Finding {
    Finding {
        code: "thread.not-copied".to_owned(),
        path: String::new(),
        line: None,
        sentence: crate::vocab::shown(&format!(
            "Of the engine, {what} could not be copied into the evidence."
        )),
        weight: Verdict::Pass,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_an_engine_left_is_copied_under_the_harnesss_names_and_never_through_a_link() {
        let work = tempfile::tempdir().unwrap();
        let home = work.path().join(HOME_FOLDER);
        std::fs::create_dir_all(home.join("case/t/events")).unwrap();
        let write = |name: &str| std::fs::write(home.join(name), name).unwrap();
        for name in ["case/t/events/run-b.jsonl", "case/t/events/run-a.jsonl", "case/t/plan.json"] {
            write(name);
        }
        symlink("/etc/passwd", home.join("case/t/events/run-link.jsonl")).unwrap();
        symlink("/etc", home.join("case/t/away")).unwrap();
        let kept = |folder: &str, begin: &str, end: &str| KeptFiles {
            folder: folder.to_owned(),
            named: (begin.to_owned(), end.to_owned()),
            copies: "backend/case/x".to_owned(),
        };
        let (files, unread) = read(work.path(), &kept("case/t", "run-", ".jsonl")).unwrap();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names, unread), (vec!["backend/case/x-1.jsonl", "backend/case/x-2.jsonl"], 0));
        assert_eq!(files[0].1, b"case/t/events/run-a.jsonl");
        // One that is not there is no finding; a link in place of the folder is one.
        assert!(read(work.path(), &kept("case/none", "", "")).unwrap_err().is_absent());
        symlink("case", home.join("link")).unwrap();
        assert!(!read(work.path(), &kept("link", "", "")).unwrap_err().is_absent());
        (0..20).for_each(|n| write(&format!("case/t/tested{n}")));
        let (files, unread) = read(work.path(), &kept("case/t", "tested", "")).unwrap();
        assert_eq!((files.len(), unread), (FILES, 20 - FILES));
    }
}
