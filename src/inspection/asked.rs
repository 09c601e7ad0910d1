//! What the contract marks for a person, against what the kernel executed and what the patch shows: who did it without
//! being told yes?
//!
//! A yes to a command covers the first program that is executed with exactly that command's arguments in its folder
//! afterwards, and everything below it; once. A yes to a patch covers the paths that it names. What is executed or
//! changed and covered by none is an attempt, and blocks. Not seen: an act that a program does without executing another
//! one, and what else is written to a path for which a yes was given.

use std::collections::BTreeMap;

use super::actions::{ATTEMPTS_KEPT, EXECUTED, IN_PATCH, PARTLY, TEXT_MAX};
use crate::contract::command::{CommandLine, shows_in_commands};
use crate::contract::shell::words;
use crate::contract::{Action, PathGlobs, TaskContract};
use crate::engine::{Wish, Yes};
use crate::evidence::{ActionResult, ActionRow, PatchSection};
use crate::process::Program;
use crate::vocab::{ActionId, path_of, shown};

const ENFORCED: &str =
    "a person's yes before it happens, when the engine asks; an alarm on what happened without";

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub struct AskedObservations<'a> {
    /// What the kernel executed, in order.
    pub executed: &'a [Program],
    /// Whether that is everything.
    pub all_seen: bool,
    /// What changed.
    pub patch: &'a PatchSection,
    /// What people said yes to.
    pub yes: &'a [Yes],
}

/// One row for each mark of the contract, in its order; its attempts are those without a yes.
#[must_use]
pub fn asked_first(contract: &TaskContract, observed: &AskedObservations<'_>) -> Vec<ActionRow> {
    if contract.ask_first.is_empty() {
        return Vec::new();
    }
    let uncovered = uncovered(observed);
    contract.ask_first.iter().map(|id| row(id, &uncovered, observed)).collect()
}

/// Programs that are neither a command that somebody said yes to nor below one.
fn uncovered<'a>(observed: &AskedObservations<'a>) -> Vec<&'a Program> {
    let mut left: Vec<(Vec<String>, &Yes)> = observed
        .yes
        .iter()
        .filter_map(|yes| match &yes.wish {
            Wish::Command(line) => Some((words(line), yes)),
            Wish::Change(_) => None,
        })
        .collect();
    // By process: whether it is at or below a command with a yes. Processes are numbered as they are made, so those
    // above one are known before it.
    let mut covered: BTreeMap<u64, bool> = BTreeMap::new();
    let mut without = Vec::new();
    for program in observed.executed {
        let seen = &program.executed;
        let above = |process: &u64| covered.get(process).copied().unwrap_or(false);
        let mut is_covered = above(&seen.process) || above(&seen.parent);
        if !is_covered {
            let same = |(argv, yes): &(Vec<String>, &Yes)| {
                *argv == seen.argv && yes.cwd == seen.cwd && yes.at <= seen.at
            };
            if let Some(found) = left.iter().position(same) {
                left.swap_remove(found);
                is_covered = true;
            }
        }
        covered.insert(seen.process, is_covered);
        if !is_covered {
            without.push(program);
        }
    }
    without
}

fn row(id: &ActionId, uncovered: &[&Program], observed: &AskedObservations<'_>) -> ActionRow {
    let (glob, paths) = match Action::parse(id) {
        Ok(Action::Command(glob)) => (Some(Some(glob)), None),
        Ok(Action::Path(globs)) => (None, Some(*globs)),
        Ok(Action::Named(rule)) => {
            let paths = Some(rule.paths).filter(|paths| !paths.is_empty());
            (shows_in_commands(rule.id).then_some(None), paths.and_then(|paths| PathGlobs::new(paths).ok()))
        }
        Err(_) => (None, None),
    };
    let executed = glob.as_ref().map(|glob| executed(id, glob.as_deref(), uncovered));
    let changed = paths.as_ref().map(|globs| changed(globs, observed));
    let places = [
        executed.as_ref().filter(|_| observed.all_seen).map(|_| EXECUTED),
        executed.as_ref().filter(|found| !observed.all_seen && !found.is_empty()).map(|_| PARTLY),
        changed.as_ref().map(|_| IN_PATCH),
    ];
    let places: Vec<&str> = places.into_iter().flatten().collect();
    let observable = if places.is_empty() { ActionResult::NOWHERE.to_owned() } else { places.join(", ") };
    let mut attempts: Vec<String> = executed.into_iter().chain(changed).flatten().collect();
    let seen = attempts.len();
    attempts.dedup();
    attempts.truncate(ATTEMPTS_KEPT);
    let left_out = (seen - attempts.len()) as u64;
    let result = ActionResult::of(&observable, &attempts);
    let (action, enforced_by) = (shown(id.as_str()), ENFORCED.to_owned());
    ActionRow { action, enforced_by, observable, attempts, left_out, result }
}

fn executed(id: &ActionId, glob: Option<&str>, uncovered: &[&Program]) -> Vec<String> {
    let meets = |program: &&&Program| {
        let line = CommandLine { program: &program.executed.program, argv: &program.executed.argv };
        glob.map_or_else(|| line.does(id.as_str()), |glob| line.matches(glob))
    };
    let text = |program: &&Program| -> String {
        shown(&program.executed.argv.join(" ")).chars().take(TEXT_MAX).collect()
    };
    uncovered.iter().filter(meets).map(text).collect()
}

/// Changed paths that meet the mark, and that no patch with a yes names.
fn changed(globs: &PathGlobs, observed: &AskedObservations<'_>) -> Vec<String> {
    let named = |path: &[u8]| {
        observed.yes.iter().any(|yes| match &yes.wish {
            Wish::Change(Some(paths)) => paths.iter().any(|named| named.as_bytes() == path),
            Wish::Change(None) | Wish::Command(_) => false,
        })
    };
    let paths = observed.patch.files.iter().flat_map(|file| [Some(&file.path), file.from.as_ref()]).flatten();
    let without = paths.filter(|path| {
        let bytes = path_of(path);
        globs.matches_bytes(&bytes, false) && !named(&bytes)
    });
    without.cloned().collect()
}

#[cfg(test)]
#[path = "asked_tests.rs"]
mod tests;
