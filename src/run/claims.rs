//! What the engine said, held against what was seen.
//!
//! Nothing rests on a claim; a claim that the observations contradict is told, because a reader who trusts the
//! engine's summary has to know, and one about a verification command fails the run. Commands are held against what the
//! kernel executed. What an engine started and never spoke of is told as well.

use crate::contract::shell::{handed_line, words};
use crate::engine::{Claims, CommandClaim};
use crate::evidence::{ChangeKind, ClaimRow, Finding, VerificationSection};
use crate::process::{ProcessTree, Program};
use crate::vocab::{Verdict, shown, shown_bytes};
use crate::workspace::Patch;

/// Rows of the report; more are counted in the last one.
const ROWS: usize = 200;
/// Programs that the engine never spoke of, in the report.
const UNCLAIMED: usize = 50;
/// Characters of one of them.
const TEXT_MAX: usize = 400;

/// The claims, and what follows from them.
pub(super) struct Reconciled {
    /// One row for each claim.
    pub(super) rows: Vec<ClaimRow>,
    /// Contradictions about verification commands.
    pub(super) findings: Vec<Finding>,
    /// Programs that the engine's own process started, of which no claim speaks.
    pub(super) unclaimed: Vec<String>,
}

/// Holds `claims` against the patch, the verification and what the kernel executed.
pub(super) fn against(
    claims: &Claims,
    patch: &Patch,
    verification: &VerificationSection,
    tree: &ProcessTree,
) -> Reconciled {
    let files = claims
        .files
        .iter()
        .map(|path| ClaimRow { claim: shown(&format!("changed {path}")), observation: on_file(path, patch) });
    let commands = claims.commands.iter().map(|command| ClaimRow {
        claim: shown(&match command.exit_code {
            Some(code) => format!("ran `{}`, exit {code}", command.command),
            None => format!("ran `{}`", command.command),
        }),
        observation: on_command(command, tree),
    });
    let statements = claims
        .statements
        .iter()
        .map(|text| ClaimRow { claim: shown(text), observation: "not observable here".to_owned() });
    let mut rows: Vec<ClaimRow> = files.chain(commands).chain(statements).collect();
    let over = (rows.len() as u64).saturating_sub(ROWS as u64).saturating_add(claims.left_out);
    rows.truncate(ROWS);
    if over > 0 {
        rows.push(ClaimRow { claim: format!("{over} more claims"), observation: "left out here".to_owned() });
    }
    let checks: Vec<&str> = verification.commands.iter().map(|row| row.command.trim()).collect();
    let lies = claims.commands.iter().filter(|claim| checks.contains(&claim.command.trim()));
    let findings = lies.filter_map(|claim| contradiction(claim, tree)).collect();
    Reconciled { rows, findings, unclaimed: unclaimed(claims, tree) }
}

fn on_file(claimed: &str, patch: &Patch) -> String {
    let found = patch.changes.iter().find(|change| shown_bytes(&change.path) == claimed);
    match found.map(|change| change.kind) {
        Some(ChangeKind::Deleted) => "agrees: deleted in the patch".to_owned(),
        Some(_) => "agrees: changed in the patch".to_owned(),
        None => "contradicts: unchanged in the patch, or ignored by the base tree".to_owned(),
    }
}

fn on_command(claim: &CommandClaim, tree: &ProcessTree) -> String {
    let statuses = statuses(&claim.command, tree);
    let seen = || statuses.join(", ");
    match claim.exit_code {
        _ if statuses.is_empty() && tree.is_complete() => {
            "not seen: the kernel executed nothing that is written so".to_owned()
        }
        _ if statuses.is_empty() => "not observable here".to_owned(),
        None => format!("agrees: the kernel saw {}", seen()),
        Some(code) if statuses.contains(&format!("exited:{code}")) => "agrees".to_owned(),
        Some(_) => format!("contradicts: the kernel saw {}", seen()),
    }
}

/// A verification command that the engine says went well in its own hands, and that did not.
fn contradiction(claim: &CommandClaim, tree: &ProcessTree) -> Option<Finding> {
    let statuses = statuses(&claim.command, tree);
    if claim.exit_code != Some(0) || statuses.contains(&"exited:0".to_owned()) || !tree.is_complete() {
        return None;
    }
    let seen = match statuses.as_slice() {
        [] => "it was never executed".to_owned(),
        statuses => format!("the kernel saw {}", statuses.join(", ")),
    };
    Some(Finding {
        code: "claim.contradicted".to_owned(),
        path: String::new(),
        line: None,
        sentence: shown(&format!("The engine says that `{}` passed, and {seen}.", claim.command.trim())),
        weight: Verdict::Fail,
    })
}

/// How the programs ended that are written as `command`, each way once.
fn statuses(command: &str, tree: &ProcessTree) -> Vec<String> {
    let programs = tree.programs().iter().filter(|program| is_written(command, program));
    let status = |program: &Program| program.status.clone().unwrap_or_else(|| "no end".to_owned());
    let mut statuses: Vec<String> = programs.map(status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// Whether the kernel's arguments are what somebody would write as `command`: its words, the same handed to a shell, or
/// (of a script) the words behind the interpreter that the kernel put before them.
fn is_written(command: &str, program: &Program) -> bool {
    let argv: Vec<&str> = program.executed.argv.iter().map(String::as_str).collect();
    let words = words(command);
    let same = |argv: &[&str]| {
        let (Some((name, rest)), Some((claimed, claimed_rest))) = (argv.split_first(), words.split_first())
        else {
            return false;
        };
        (*name == claimed.as_str() || base(name) == claimed.as_str())
            && rest.iter().eq(claimed_rest.iter().map(String::as_str).collect::<Vec<_>>().iter())
    };
    match (handed_line(&argv), argv.as_slice()) {
        (Some(line), _) => same(&argv) || line.trim() == command.trim(),
        (None, [_, rest @ ..]) => same(&argv) || same(rest),
        (None, []) => false,
    }
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What the engine's own process started and no claim speaks of, each once.
fn unclaimed(claims: &Claims, tree: &ProcessTree) -> Vec<String> {
    let own = tree.programs().iter().filter(|program| tree.is_engine(program.executed.parent));
    let unsaid =
        own.filter(|program| !claims.commands.iter().any(|claim| is_written(&claim.command, program)));
    let mut lines: Vec<String> = Vec::new();
    for program in unsaid {
        let line: String = program.executed.argv.join(" ").chars().take(TEXT_MAX).collect();
        let line = shown(&line);
        if lines.len() < UNCLAIMED && !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
