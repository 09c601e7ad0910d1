//! `cto verify`: is this bundle intact, by whom, and what was derived again?
//!
//! The exit code is about the evidence, not about the run: a sealed and trusted bundle of a blocked run verifies
//! (exit 0), and the verdict is shown beside it.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::VerifyArgs;
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::{Exit, bundle_view, summary};
use crate::home::{Home, Trust};
use crate::run::recheck;
use crate::verify::{Check, CheckState, Expect, Outcome, VerifyReport, script, verify as check};
use crate::vocab::Timestamp;

/// Column of what a check found.
const DETAIL: usize = 17;

/// Checks every bundle; the worst answer is the exit code.
pub(super) fn verify(args: &VerifyArgs, output: &mut Output) -> Result<Exit, Problem> {
    if args.print_script {
        output.document(script().as_bytes());
        return Ok(Exit::Pass);
    }
    output.for_programs(args.json);
    let expect = Expect::parse(args.expect.iter().map(String::as_str))
        .map_err(|error| Problem::usage(error.to_string(), "see `cto verify --help`"))?;
    let trust = match &args.trust {
        Some(path) => Trust::load(path)?,
        None => Home::open()?.trust()?,
    };
    let mut worst = Exit::Pass;
    for name in &args.bundles {
        let dir = folder(name)?;
        let mut report = check(&dir, &trust, &expect, Timestamp::now())?;
        if let Some(repo) = &args.repo {
            let home = Home::open()?;
            let derived = recheck::trees(&home, repo, &mut report);
            if args.replay {
                recheck::replay(&home, derived.as_ref(), &mut report)?;
            }
        } else if args.replay {
            return Err(Problem::usage(
                "--replay needs the base commit",
                "add --repo DIR: a clone, or the fixture's folder",
            ));
        }
        let exit = exit_of(report.outcome);
        worst = worse(worst, exit);
        if args.json {
            output.json(&json!({"result": {"verification": report, "exit_code": exit.code()}}));
        } else {
            for line in lines(&report) {
                output.say(&line);
            }
        }
    }
    Ok(worst)
}

fn folder(name: &Path) -> Result<PathBuf, Problem> {
    Ok(bundle_view::BundleView::find(name)?.dir)
}

const fn exit_of(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Verified => Exit::Pass,
        Outcome::Failed | Outcome::Incomplete | Outcome::NotAllDone => Exit::Fail,
        Outcome::IntactSignerUnknown => Exit::Blocked,
    }
}

/// A bundle that does not hold is worse than one by a stranger.
const fn worse(a: Exit, b: Exit) -> Exit {
    match (a, b) {
        (Exit::Fail, _) | (_, Exit::Fail) => Exit::Fail,
        (Exit::Pass, other) => other,
        (first, _) => first,
    }
}

fn lines(report: &VerifyReport) -> Vec<Line> {
    let (tone, badge) = match report.outcome {
        Outcome::Verified => (Tone::GoodBadge, " VERIFIED "),
        Outcome::Failed => (Tone::BadBadge, " DOES NOT HOLD "),
        Outcome::Incomplete => (Tone::BadBadge, " INCOMPLETE "),
        Outcome::NotAllDone => (Tone::WarnBadge, " NOT ALL DONE "),
        Outcome::IntactSignerUnknown => (Tone::WarnBadge, " INTACT, SIGNER UNKNOWN "),
    };
    let mut head = Line::of(" ").add(tone, badge).plain("  ").plain(report.bundle.display().to_string());
    if let (Some(verdict), Outcome::Verified) = (report.verdict, report.outcome) {
        let (tone, badge) = summary::badge(verdict);
        head = head.plain("  verdict ").add(tone, badge);
    }
    let mut out = vec![Line::new(), head, Line::new()];
    out.extend(report.checks.iter().map(row));
    for reason in &report.reasons {
        let sentence = reason.sentence.trim_end_matches('.');
        out.push(Line::of(" ").add(Tone::Accent, "→ ").plain(sentence).plain(". ").plain(&reason.remedy));
    }
    out.push(Line::new());
    out
}

fn row(check: &Check) -> Line {
    let (tone, mark) = match check.state {
        CheckState::Ok => (Tone::Good, "✓"),
        CheckState::Failed => (Tone::Bad, "✗"),
        CheckState::Untrusted => (Tone::Warn, "?"),
        CheckState::NotDone => (Tone::Quiet, "-"),
    };
    let detail = if check.state == CheckState::NotDone { Tone::Quiet } else { Tone::Plain };
    Line::of(" ").add(tone, mark).plain(" ").plain(check.name).pad_to(DETAIL).add(detail, &check.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_answer_is_the_exit_code() {
        assert_eq!(worse(Exit::Pass, Exit::Blocked), Exit::Blocked);
        assert_eq!(worse(Exit::Blocked, Exit::Pass), Exit::Blocked);
        assert_eq!(worse(Exit::Blocked, Exit::Fail), Exit::Fail);
        assert_eq!(exit_of(Outcome::IntactSignerUnknown), Exit::Blocked);
        assert_eq!(exit_of(Outcome::Incomplete), Exit::Fail);
    }
}
