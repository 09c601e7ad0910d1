//! Sealing: what can be derived is derived, the list of digests is closed, and the root is published last.
//!
//! Everything is durable before the root gets its name. Until then the folder holds no file called
//! `root.dsse.json`, so nothing half-written is ever called sealed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;

use super::bundle::{
    BundleError, BundleWriter, CHECKPOINTS, CTRF, EVENTS, PATCH, REPORT, ROOT, SARIF, SUMMARY, SUMS, TRACE,
};
use super::dsse::{
    Envelope, EventsRoot, PREDICATE_TYPE, RootPredicate, RootStatement, STATEMENT_TYPE, Subject,
    SubjectDigest,
};
use super::report::Report;
use super::trace::TraceBuilder;
use super::{ctrf::ctrf, sarif::sarif, summary::summary};
use crate::beneath::Dir;
use crate::vocab::{Digest, GitId, Timestamp, Verdict};

/// The root's name until it is published.
const UNPUBLISHED: &str = "root.dsse.json.part";
/// Threads that sync: file systems join syncs that wait together into one commit.
const SYNC_THREADS: usize = 16;

/// What the root says beyond what the report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealStatement {
    /// Digest of the policy that decided.
    pub policy: Digest,
    /// Version of the required set of gates.
    pub gate_set: u32,
    /// Commit the run started from, when one was found.
    pub base_commit: Option<GitId>,
    /// Its tree.
    pub base_tree: Option<GitId>,
    /// Programs that ran or decided: name → digest.
    pub programs: BTreeMap<String, Digest>,
    /// Version of this program.
    pub harness: String,
    /// Now.
    pub sealed_at: Timestamp,
}

/// A sealed bundle: published, and not to be lost sight of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a sealed bundle is the result of the run: record where it is"]
pub struct SealedBundle {
    /// The folder.
    pub path: PathBuf,
    /// Digest of `root.dsse.json`.
    pub root: Digest,
    /// The report as it was written.
    pub report: Report,
}

impl BundleWriter {
    /// Completes `report` (its `artifacts` and `withheld` are filled in here), writes what is derived, and seals.
    /// Its reasons are taken as they are: they have to be concluded from sections that
    /// [`BundleWriter::withheld`] went over.
    ///
    /// Refused as inconsistent: a report of another run, and anything withheld without the verdict `blocked`.
    pub fn seal(mut self, mut report: Report, statement: SealStatement) -> Result<SealedBundle, BundleError> {
        report.withheld = self.withheld(&mut report.sections)?;
        self.check(&report)?;
        let (events, trace) = self.close_logs()?;
        self.derive(&report, trace, &statement.harness)?;
        report.artifacts =
            self.sums.iter().filter(|(name, _)| *name != CHECKPOINTS).map(|(n, d)| (n.clone(), *d)).collect();
        let mut text = serde_json::to_vec_pretty(&report)
            .map_err(|source| BundleError::Render { name: REPORT, source })?;
        text.push(b'\n');
        self.put(REPORT, &text)?;
        self.put(SUMMARY, summary(&report).as_bytes())?;

        let sums = render_sums(&self.sums);
        let listed = self.sums.clone();
        let sums_digest = self.put(SUMS, sums.as_bytes())?;
        let payload = root_statement(&report, statement, events, sums_digest, &listed);
        let payload =
            serde_json::to_vec(&payload).map_err(|source| BundleError::Render { name: ROOT, source })?;
        let envelope = Envelope::signed(payload, &self.key).render();
        let root = self.put(UNPUBLISHED, envelope.as_bytes())?;
        self.publish()?;
        Ok(SealedBundle { path: self.path, root, report })
    }

    fn check(&self, report: &Report) -> Result<(), BundleError> {
        if report.run_id != self.run {
            return Err(BundleError::Inconsistent("the report is of another run"));
        }
        if !report.withheld.is_empty() && report.verdict != Verdict::Blocked {
            return Err(BundleError::Inconsistent("a secret was withheld and the verdict is not `blocked`"));
        }
        let result = report.sections.patch.as_ref().and_then(|patch| patch.result_tree.as_ref());
        if result.is_some() && report.withheld.iter().any(|one| one.name == PATCH) {
            return Err(BundleError::Inconsistent("the patch is withheld and its result tree is not"));
        }
        Ok(())
    }

    fn close_logs(&mut self) -> Result<(EventsRoot, TraceBuilder), BundleError> {
        let failed = |source| BundleError::Write { name: "backend/".to_owned(), source };
        for (name, file, digest) in self.raw.finish().map_err(failed)? {
            self.sums.insert(name, digest);
            self.unsynced.push(file);
        }
        let chain = self.chain.finish()?;
        self.sums.insert(EVENTS.to_owned(), chain.digest);
        self.sums.insert(CHECKPOINTS.to_owned(), chain.notes);
        self.unsynced.extend(chain.files);
        Ok((EventsRoot { count: chain.count, root: chain.root }, chain.trace))
    }

    fn derive(&mut self, report: &Report, trace: TraceBuilder, harness: &str) -> Result<(), BundleError> {
        self.put(TRACE, &trace.finish(report, harness))?;
        self.put(SARIF, &sarif(report, harness))?;
        self.put(CTRF, &ctrf(report, harness))?;
        Ok(())
    }

    /// Makes everything durable, then gives the root its name.
    fn publish(&mut self) -> Result<(), BundleError> {
        let parents = |name: &String| {
            let slashes = name.match_indices('/');
            slashes.filter_map(|(at, _)| name.get(..at)).map(str::to_owned).collect::<Vec<_>>()
        };
        let names: BTreeSet<String> = self.sums.keys().flat_map(parents).collect();
        let mut folders = vec![self.dir.again()?];
        for name in names {
            folders.push(self.dir.open_dir(name)?);
        }
        sync_all(&std::mem::take(&mut self.unsynced), &folders)?;
        self.dir.publish(OsStr::new(UNPUBLISHED), OsStr::new(ROOT))?;
        Ok(self.dir.sync()?)
    }
}

/// Files and folders side by side: their order does not matter, because the root has no name yet.
fn sync_all(files: &[File], folders: &[Dir]) -> Result<(), BundleError> {
    let failed = |source| BundleError::Write { name: "everything".to_owned(), source };
    let share = files.len().div_ceil(SYNC_THREADS).max(1);
    std::thread::scope(|scope| {
        let part = |part: &'_ [File]| part.iter().try_for_each(File::sync_data);
        let threads: Vec<_> = files.chunks(share).map(|files| scope.spawn(move || part(files))).collect();
        folders.iter().try_for_each(Dir::sync)?;
        threads.into_iter().try_for_each(|thread| {
            let died = |_| Err(std::io::Error::other("a thread that syncs files died"));
            thread.join().unwrap_or_else(died).map_err(failed)
        })
    })
}

/// `SHA256SUMS`, as `sha256sum` writes it, sorted by name in byte order.
#[must_use]
pub fn render_sums(sums: &BTreeMap<String, Digest>) -> String {
    sums.iter().fold(String::new(), |mut out, (name, digest)| {
        out.push_str(&digest.hex());
        out.push_str("  ");
        out.push_str(name);
        out.push('\n');
        out
    })
}

/// The subjects for a list of digests: the list itself first, then its files in order.
#[must_use]
pub fn subjects(sums: Digest, listed: &BTreeMap<String, Digest>) -> Vec<Subject> {
    let subject = |name: &str, digest: &Digest| Subject {
        name: name.to_owned(),
        digest: SubjectDigest { sha256: digest.hex() },
    };
    std::iter::once(subject(SUMS, &sums))
        .chain(listed.iter().map(|(name, digest)| subject(name, digest)))
        .collect()
}

fn root_statement(
    report: &Report,
    statement: SealStatement,
    events: EventsRoot,
    sums: Digest,
    listed: &BTreeMap<String, Digest>,
) -> RootStatement {
    RootStatement {
        kind: STATEMENT_TYPE.to_owned(),
        subject: subjects(sums, listed),
        predicate_type: PREDICATE_TYPE.to_owned(),
        predicate: RootPredicate {
            run_id: report.run_id.clone(),
            task_id: report.task_id.clone(),
            events,
            contract: report.contract_digest,
            decision: report.decision_id,
            policy: statement.policy,
            gate_set: statement.gate_set,
            base_commit: statement.base_commit,
            base_tree: statement.base_tree,
            result_tree: report.sections.patch.as_ref().and_then(|patch| patch.result_tree.clone()),
            programs: statement.programs,
            verdict: report.verdict,
            harness: statement.harness,
            sealed_at: statement.sealed_at,
        },
    }
}
