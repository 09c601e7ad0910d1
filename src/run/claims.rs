//! What the engine said, held against what was seen.
//!
//! Nothing rests on a claim; a claim that the observations contradict is told, because a reader who trusts the
//! engine's summary has to know. Until the kernel itself is asked what ran, most claims about commands cannot be
//! observed, and the row says so.

use crate::engine::Claims;
use crate::evidence::{ChangeKind, ClaimRow, VerificationSection};
use crate::vocab::{shown, shown_bytes};
use crate::workspace::Patch;

/// Rows of the report; more are counted in the last one.
const ROWS: usize = 200;

/// One row for each claim.
pub(super) fn against(claims: &Claims, patch: &Patch, verification: &VerificationSection) -> Vec<ClaimRow> {
    let files = claims
        .files
        .iter()
        .map(|path| ClaimRow { claim: shown(&format!("changed {path}")), observation: on_file(path, patch) });
    let commands = claims.commands.iter().map(|command| ClaimRow {
        claim: shown(&match command.exit_code {
            Some(code) => format!("ran `{}`, exit {code}", command.command),
            None => format!("ran `{}`", command.command),
        }),
        observation: on_command(&command.command, command.exit_code, verification),
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
    rows
}

fn on_file(claimed: &str, patch: &Patch) -> String {
    let found = patch.changes.iter().find(|change| shown_bytes(&change.path) == claimed);
    match found.map(|change| change.kind) {
        Some(ChangeKind::Deleted) => "agrees: deleted in the patch".to_owned(),
        Some(_) => "agrees: changed in the patch".to_owned(),
        None => "contradicts: unchanged in the patch, or ignored by the base tree".to_owned(),
    }
}

fn on_command(command: &str, exit: Option<i64>, verification: &VerificationSection) -> String {
    let same = verification.commands.iter().find(|row| row.command.trim() == command.trim());
    let seen = same.and_then(|row| row.on_result.as_ref());
    match (exit, seen) {
        (Some(0), Some(result)) if result.status != "exited:0" => {
            format!("contradicts: verification saw {}", result.status)
        }
        (Some(code), Some(result)) if result.status == format!("exited:{code}") => "agrees".to_owned(),
        _ => "not observable here".to_owned(),
    }
}
