//! What an engine wrote down of its threads becomes evidence: copied, redacted, once everything that could write is dead.
//!
//! The files are an engine's, so they are reached below the run's folder and never through a link, names are the
//! harness's own, and number and size are bounded. What is not copied is said; no verdict rests on it.

use super::cutoff::CutOff;
use super::recording::Recording;
use super::report::Told;
use crate::beneath::{BeneathError, Dir, FileKind};
use crate::engine::{HOME_FOLDER, KeptFiles};
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
pub(super) fn copy(recording: &mut Recording<'_>, told: &mut Told) -> Result<(), CutOff> {
    let Some(kept) = recording.threads() else { return Ok(()) };
    let mut copied = 0;
    match found(recording, &kept) {
        Ok((files, left_out)) => {
            let mut unread = left_out;
            for (dir, name) in files {
                match dir.read_file_by_force(&name, FILE_BYTES) {
                    Ok(bytes) => {
                        copied += 1;
                        let name = format!("{}-{copied}{}", kept.copies, kept.named.1);
                        recording.bundle().write(&name, &bytes)?;
                    }
                    Err(_) => unread += 1,
                }
            }
            if unread > 0 {
                let files = counted(unread, "file");
                told.sections.findings.push(left_out_finding(&format!("{files} of its threads")));
            }
        }
        Err(error) if error.is_absent() => {}
        Err(error) => {
            told.sections.findings.push(left_out_finding(&format!("what it wrote of its threads ({error})")));
        }
    }
    Ok(())
}

type Files = Vec<(Dir, String)>;

/// The files, each with its folder, and how many are too many or have no plain name.
fn found(recording: &Recording<'_>, kept: &KeptFiles) -> Result<(Files, usize), BeneathError> {
    let home = Dir::open_root(&recording.work())?.open_dir_by_force(HOME_FOLDER)?;
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
