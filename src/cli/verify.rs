//! `cto verify`: is this bundle intact, by whom, and what was derived again?
//!
//! The exit code is about the evidence, not about the run: a sealed and trusted bundle of a blocked run verifies
//! (exit 0), and the verdict is shown beside it.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::VerifyArgs;
use super::output::{Line, Output, Tone, lines_of};
use super::problem::Problem;
use super::{Exit, bundle_view, summary};
use crate::home::{Home, HomeError, Trust};
use crate::run::recheck;
use crate::verify::{
    BundleContents, Check, CheckState, Expect, Outcome, VerifyReport, script, verify as check,
};
use crate::vocab::{Timestamp, shown};

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
    let (trust_path, trust) = if let Some(path) = &args.trust {
        (path.clone(), named_trust(path)?)
    } else {
        let home = Home::open()?;
        (home.trust_path(), home.trust()?)
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
        tell_what_to_trust(&mut report, &trust, &trust_path);
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

/// The trust file that the caller named: one that cannot be read is his mistake.
fn named_trust(path: &Path) -> Result<Trust, Problem> {
    Trust::load(path).map_err(|error| match error {
        HomeError::Read { path, source } => Problem::Read {
            path,
            source,
            remedy: "name a file with [[sealing]] and [[approver]] entries, or leave --trust out for your own",
        },
        other => other.into(),
    })
}

/// Where a key is unknown, the remedy names the file and the lines that would make it known.
fn tell_what_to_trust(report: &mut VerifyReport, trust: &Trust, path: &Path) {
    let entry = |kind: &str, name: &str, whose: &str| {
        format!("\n[[{kind}]]\nname = \"{name}\"\nkey = \"\"\"\n(the public key of {whose}, as PEM)\n\"\"\"")
    };
    let approvals = report.contents.iter().flat_map(BundleContents::counted_approvals);
    let approvers: Vec<String> = approvals
        .filter(|fact| !fact.key.is_some_and(|key| trust.approver.iter().any(|one| one.key.key_id() == key)))
        .map(|fact| {
            let key = fact.key.map_or_else(String::new, |key| format!(", key {key}"));
            entry("approver", fact.by.as_str(), &format!("{}{key}", fact.by))
        })
        .collect();
    for reason in &mut report.reasons {
        let lines: String = match reason.code.as_str() {
            "verify.signature" => entry("sealing", "NAME", "that machine: `cto key show` there"),
            "verify.approvals" if report.outcome != Outcome::Failed => approvers.concat(),
            _ => continue,
        };
        let text = format!("If you know whose key it is, add to {}:{lines}", path.display());
        reason.remedy = shown(&text);
    }
}

fn folder(name: &Path) -> Result<PathBuf, Problem> {
    Ok(bundle_view::BundleView::find(name)?.dir)
}

const fn exit_of(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Verified => Exit::Pass,
        Outcome::Failed | Outcome::Incomplete | Outcome::NotAllDone => Exit::Fail,
        Outcome::IntactSignerUnknown | Outcome::IntactApproverUnknown => Exit::Blocked,
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
        Outcome::IntactApproverUnknown => (Tone::WarnBadge, " INTACT, APPROVER NOT TRUSTED "),
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
        let mut remedy = lines_of(&reason.remedy);
        let first = Line::of(" ").add(Tone::Accent, "→ ").plain(sentence).plain(". ");
        out.push(first.append(remedy.next().unwrap_or_default()));
        out.extend(remedy.map(|line| Line::of("   ").append(line)));
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
