//! The answer: one row a check, and what they come to.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::BundleContents;
use crate::beneath::BeneathError;
use crate::vocab::{Reason, Verdict, shown};

/// The check of approvals.
pub(super) const APPROVALS: &str = "approvals";
/// The check of what people said yes to while an engine was at work.
pub(super) const GRANTED: &str = "granted";

/// What the checks come to. Only `Verified` is good (its exit code is that of the verdict's use: 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Intact, sealed by a trusted key, and everything that was derived again agrees.
    Verified,
    /// Something is wrong.
    Failed,
    /// Intact as far as can be told, but sealed by nobody that the trust file names.
    IntactSignerUnknown,
    /// Intact and sealed by a trusted key, but it rests on an approval by nobody that the trust file names.
    IntactApproverUnknown,
    /// Never sealed: a killed run's folder, good up to its last signed head.
    Incomplete,
    /// Everything that was done holds, and something that the caller asked for could not be done.
    NotAllDone,
}

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// Done, and it holds.
    Ok,
    /// Done, and it does not hold; or it could not be done because of what the bundle holds.
    Failed,
    /// Done, and it rests on a key that is not trusted.
    Untrusted,
    /// Not done; the detail says why.
    NotDone,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// Stable: `folder`, `signature`, `sums`, `events`, …
    pub name: &'static str,
    /// How it ended.
    pub state: CheckState,
    /// One sentence, controls made visible.
    pub detail: String,
}

impl Check {
    /// It holds.
    #[must_use]
    pub fn ok(name: &'static str, detail: impl AsRef<str>) -> Self {
        Self { name, state: CheckState::Ok, detail: shown(detail.as_ref()) }
    }
    /// It does not hold.
    #[must_use]
    pub fn failed(name: &'static str, detail: impl AsRef<str>) -> Self {
        Self { name, state: CheckState::Failed, detail: shown(detail.as_ref()) }
    }
    /// It rests on a key that is not trusted.
    #[must_use]
    pub fn untrusted(name: &'static str, detail: impl AsRef<str>) -> Self {
        Self { name, state: CheckState::Untrusted, detail: shown(detail.as_ref()) }
    }
    /// It was not done.
    #[must_use]
    pub fn not_done(name: &'static str, detail: impl AsRef<str>) -> Self {
        Self { name, state: CheckState::NotDone, detail: shown(detail.as_ref()) }
    }
    /// From an answer whose error is a sentence.
    #[must_use]
    pub fn of(name: &'static str, answer: Result<String, String>) -> Self {
        answer.map_or_else(|wrong| Self::failed(name, wrong), |fine| Self::ok(name, fine))
    }
}

/// Why a bundle could not even be looked at.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The folder could not be opened.
    #[error("{} is not a folder that can be read: {source}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: BeneathError,
    },
}

/// Everything that `cto verify` says about one bundle.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// The folder.
    pub bundle: PathBuf,
    /// What the checks come to.
    pub outcome: Outcome,
    /// What the bundle says of the run. Worth nothing unless the outcome is `verified`.
    pub verdict: Option<Verdict>,
    /// In the order in which they were done.
    pub checks: Vec<Check>,
    /// Why the outcome is not `verified`: one for each check that does not hold. Codes are `verify.<check>`.
    pub reasons: Vec<Reason>,
    /// What was read; only where signature and sums hold.
    #[serde(skip)]
    pub contents: Option<BundleContents>,
}

impl VerifyReport {
    pub(super) fn new(
        bundle: &Path,
        complete: bool,
        checks: Vec<Check>,
        contents: Option<BundleContents>,
    ) -> Self {
        let verdict = contents.as_ref().map(|contents| contents.report.verdict);
        let outcome = if complete { Outcome::Verified } else { Outcome::Incomplete };
        let mut report = Self {
            bundle: bundle.to_owned(),
            outcome,
            verdict,
            checks: Vec::new(),
            reasons: Vec::new(),
            contents,
        };
        if !complete {
            let remedy = "Start the task again; nothing in this folder is a result.";
            report.reasons.push(Reason::observed(
                "verify.incomplete",
                "The bundle was never sealed.",
                remedy,
            ));
        }
        for check in checks {
            report.add(check);
        }
        report
    }

    /// Adds a check that was done elsewhere (`trees`, `replay`); a row of the same name that was not done goes.
    /// The outcome can only get worse.
    pub fn add(&mut self, check: Check) {
        self.checks.retain(|old| old.name != check.name || old.state != CheckState::NotDone);
        let (worse, remedy) = match check.state {
            CheckState::Ok | CheckState::NotDone => (self.outcome, None),
            CheckState::Failed => (Outcome::Failed, Some("Do not rely on this bundle.")),
            CheckState::Untrusted => (
                match self.outcome {
                    Outcome::Verified if [APPROVALS, GRANTED].contains(&check.name) => {
                        Outcome::IntactApproverUnknown
                    }
                    Outcome::Verified | Outcome::IntactApproverUnknown => Outcome::IntactSignerUnknown,
                    worse => worse,
                },
                Some("Add the public key to your trust file, if you know whose it is."),
            ),
        };
        if let Some(remedy) = remedy {
            self.reasons.push(Reason::observed(
                format!("verify.{}", check.name),
                check.detail.clone(),
                remedy,
            ));
        }
        self.outcome = worse;
        self.checks.push(check);
    }

    /// Adds a check that the caller asked for: one that was not done is then no silence, and the bundle is not
    /// called verified.
    pub fn add_asked(&mut self, check: Check) {
        if check.state == CheckState::NotDone && self.outcome == Outcome::Verified {
            self.outcome = Outcome::NotAllDone;
            let remedy = "Leave the option out to have the rest checked alone.";
            self.reasons.push(Reason::observed(
                format!("verify.{}-not-done", check.name),
                check.detail.clone(),
                remedy,
            ));
        }
        self.add(check);
    }

    /// Whether the bundle is intact, trusted and complete, with verdict `pass`.
    #[must_use]
    pub fn is_verified_pass(&self) -> bool {
        self.outcome == Outcome::Verified && self.verdict == Some(Verdict::Pass)
    }
}
