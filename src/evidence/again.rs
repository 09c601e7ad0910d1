//! Going over what was written once more, when a secret was learned after it.
//!
//! A value can be known for a secret only late: first it stands alone, then the patch says what it is. What was
//! written before is then replaced as well: whole files and raw logs by redacted copies, the event log by one with
//! the lines in question redacted, its tree and signed heads made anew. Each replacement is a rename, and what is
//! read back is held against what was written.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Write as _};

use super::bundle::{BundleError, BundleWriter, CHECKPOINTS, EVENTS, REPORT};
use super::report::{Sections, Withheld};
use super::texts::redact_sections;
use crate::vocab::{Basis, Digest};

/// Going over a text can teach another secret; so often at most everything is gone over again.
const ROUNDS: usize = 8;
const CHANGED: &str = "somebody else changed a file of it while it was written";

impl BundleWriter {
    /// Goes over everything written so far with what is known now, redacts `sections`, and gives everything that
    /// was withheld in files, raw logs, events and report, sorted by name. Raw logs are written out first, so the
    /// answer is complete for what was handed in.
    pub fn withheld(&mut self, sections: &mut Sections) -> Result<Vec<Withheld>, BundleError> {
        self.raw.flush().map_err(failed("backend/"))?;
        for _ in 0..ROUNDS {
            let known = self.redact.learned();
            self.sections_again(sections)?;
            self.files_again(known)?;
            self.raw_logs_again(known)?;
            self.events_again(known)?;
            if self.redact.learned() == known {
                break;
            }
        }
        let mut all = self.withheld.clone();
        let mut add = |name: &str, found: Option<(Digest, Vec<String>)>| {
            if let Some((digest, rules)) = found {
                all.push(Withheld { name: name.to_owned(), digest, rules, basis: Basis::Observed });
            }
        };
        for (name, log) in &self.raw.logs {
            add(name, log.withheld());
        }
        add(EVENTS, self.chain.withheld());
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Lists `name` as withheld; a file that was listed before keeps the digest of its first bytes.
    pub(super) fn note_withheld(
        &mut self,
        name: &str,
        original: Digest,
        rules: impl IntoIterator<Item = String>,
    ) {
        let at = self.withheld.iter().position(|one| one.name == name).unwrap_or_else(|| {
            let rules = Vec::new();
            self.withheld.push(Withheld {
                name: name.to_owned(),
                digest: original,
                rules,
                basis: Basis::Observed,
            });
            self.withheld.len() - 1
        });
        if let Some(listed) = self.withheld.get_mut(at) {
            listed.rules.extend(rules);
            listed.rules.sort();
            listed.rules.dedup();
        }
    }

    fn sections_again(&mut self, sections: &mut Sections) -> Result<(), BundleError> {
        let original =
            Digest::of_json(&*sections).map_err(|source| BundleError::Render { name: REPORT, source })?;
        let rules = redact_sections(sections, &*self.redact);
        if !rules.is_empty() {
            self.note_withheld(REPORT, original, rules);
        }
        Ok(())
    }

    fn files_again(&mut self, known: usize) -> Result<(), BundleError> {
        let stale = self.gone_over.iter().filter(|(_, at)| **at < known);
        let stale: Vec<String> = stale.map(|(name, _)| name.clone()).collect();
        for name in stale {
            self.gone_over.insert(name.clone(), known);
            let bytes = self.dir.read_file(&name, u64::MAX)?;
            let digest = Digest::of(&bytes);
            if self.sums.get(&name) != Some(&digest) {
                return Err(BundleError::Inconsistent(CHANGED));
            }
            let Some((clean, rules)) = self.redact.redact(&bytes) else { continue };
            let mut copy = self.new_file(&part(&name))?;
            copy.write_all(&clean).map_err(failed(&name))?;
            self.replace(&name)?;
            self.keep(&name, copy)?;
            self.sums.insert(name.clone(), Digest::of(&clean));
            self.note_withheld(&name, digest, rules);
        }
        Ok(())
    }

    fn raw_logs_again(&mut self, known: usize) -> Result<(), BundleError> {
        let stale = self.raw.logs.iter().filter(|(_, log)| log.known < known);
        let stale: Vec<String> = stale.map(|(name, _)| name.clone()).collect();
        for name in stale {
            let (old, copy) = (self.dir.open_file(&name)?, self.new_file(&part(&name))?);
            let Some(log) = self.raw.logs.get_mut(&name) else { continue };
            if log.again(old, copy, &*self.redact).map_err(failed(&name))? {
                self.replace(&name)?;
            } else {
                let (folder, own) = self.folder_of(&part(&name))?;
                folder.remove_file(OsStr::new(&own))?;
            }
        }
        Ok(())
    }

    fn events_again(&mut self, known: usize) -> Result<(), BundleError> {
        let old = |writer: &Self| writer.dir.open_file(EVENTS).map(BufReader::new);
        let lines = old(self)?;
        if !self.chain.holds_secret(lines, known)? {
            return Ok(());
        }
        let (lines, events, notes) =
            (old(self)?, self.new_file(&part(EVENTS))?, self.new_file(&part(CHECKPOINTS))?);
        self.chain.redo(lines, events, notes)?;
        self.replace(EVENTS)?;
        self.replace(CHECKPOINTS)
    }

    /// Puts the redacted copy of `name` in its place.
    fn replace(&self, name: &str) -> Result<(), BundleError> {
        let (folder, own) = self.folder_of(name)?;
        Ok(folder.replace(OsStr::new(&part(&own)), OsStr::new(&own))?)
    }

    pub(super) fn folder_of(&self, name: &str) -> Result<(crate::beneath::Dir, String), BundleError> {
        Ok(match name.rsplit_once('/') {
            Some((folder, own)) => (self.dir.open_dir(folder)?, own.to_owned()),
            None => (self.dir.again()?, name.to_owned()),
        })
    }

    /// Keeps a finished file open until everything is brought to disk, or brings it there now.
    pub(super) fn keep(&mut self, name: &str, file: File) -> Result<(), BundleError> {
        if self.unsynced.len() < super::bundle::KEPT_OPEN {
            self.unsynced.push(file);
            Ok(())
        } else {
            file.sync_data().map_err(failed(name))
        }
    }
}

/// What a redacted copy is called until it takes its place.
fn part(name: &str) -> String {
    format!("{name}.part")
}

fn failed(name: &str) -> impl FnOnce(io::Error) -> BundleError {
    let name = name.to_owned();
    move |source| BundleError::Write { name, source }
}
