//! The gates over what was asked: paths, actions, mode, authority, permissions.
//!
//! The contract is well formed when it gets here; these gates say whether what it asks for is allowed for its
//! mode and risk class. Whether this version can carry it out is `supported.rs`.

use super::Observed;
use super::gate::{Escalation, GateResult, Question};
use crate::contract::actions::RULES;
use crate::contract::{Action, AuthorityKind, PathGlobs, Permission, TaskContract};
use crate::vocab::{ActionId, MutationMode};

/// `contract.allowed-paths`
pub(super) fn allowed_paths(q: &Question<'_>) -> GateResult {
    let Some(paths) = &q.contract.allowed_paths else {
        return GateResult::missing(
            "`allowed_paths` is not given",
            "name the paths that may change, as gitignore-style globs",
        );
    };
    if let Err(error) = PathGlobs::new(paths) {
        return GateResult::failed(format!("`allowed_paths`: {error}"), error.remedy);
    }
    if paths.is_empty() && q.contract.mutation_mode != Some(MutationMode::None) {
        return GateResult::failed(
            "`allowed_paths` is empty, which only mode `none` allows",
            "name the paths that may change, or ask for mode `none`",
        );
    }
    GateResult::passed(if paths.is_empty() { "no path may change".to_owned() } else { paths.join(", ") })
}

/// `contract.forbidden-actions`
pub(super) fn forbidden_actions(q: &Question<'_>) -> GateResult {
    let Some(actions) = &q.contract.forbidden_actions else {
        return GateResult::missing(
            "`forbidden_actions` is not given",
            "list the forbidden actions, or write `[]` for none beyond those that are never possible",
        );
    };
    if let Some(error) = actions.iter().find_map(|id| Action::parse(id).err()) {
        let known: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        return GateResult::failed(
            format!("`forbidden_actions`: {error}"),
            format!("use one of {}, `command:<glob>` or `path:<glob>`", known.join(", ")),
        );
    }
    let listed: Vec<&str> = actions.iter().map(ActionId::as_str).collect();
    GateResult::passed(if listed.is_empty() { "none listed".to_owned() } else { listed.join(", ") })
}

/// `contract.mutation-mode`
pub(super) fn mutation_mode(q: &Question<'_>) -> GateResult {
    let risk = q.contract.risk_class;
    match q.contract.mutation_mode {
        None => GateResult::missing(
            "`mutation_mode` is not given, and it has no default",
            "name how far the run may reach: none, copied-fixture, sandbox-repo, owned-noncritical-repo, \
             candidate-default",
        ),
        Some(mode) if mode > risk.widest_mode() => GateResult::failed(
            format!(
                "risk class {risk} allows modes up to `{}`, and `{mode}` is asked for",
                risk.widest_mode()
            ),
            "ask for a narrower mode, or state the risk class that the work really has",
        ),
        Some(mode) => GateResult::passed(format!("`{mode}` is within risk class {risk}")),
    }
}

/// `contract.authority`
pub(super) fn authority(q: &Question<'_>) -> GateResult {
    let result = judge_authority(q);
    if q.contract.authority_basis.kind == AuthorityKind::CoreRoute {
        result.escalate(Escalation::CoreRoute)
    } else {
        result
    }
}

fn judge_authority(q: &Question<'_>) -> GateResult {
    let basis = &q.contract.authority_basis;
    if basis.reference.trim().is_empty() {
        return GateResult::missing(
            "`authority_basis.reference` is empty",
            "name the planning file or the id",
        );
    }
    let digest = match &q.facts.authority {
        Observed::Seen(facts) => facts.digest,
        Observed::Absent(what) => {
            return GateResult::missing(
                format!("the authority `{}` is not there: {what}", basis.reference),
                "put the planning file beneath the contract's folder or into the base tree, as a regular file",
            );
        }
        Observed::Error(how) => {
            return GateResult::errored(
                format!("the authority `{}` could not be looked at: {how}", basis.reference),
                "make the planning file readable",
            );
        }
    };
    if basis.kind != AuthorityKind::LocalPlanning {
        return GateResult::passed(format!("{} recorded as {digest}", basis.reference));
    }
    match q.contract.mutation_mode {
        Some(mode) if mode <= MutationMode::SandboxRepo => {
            GateResult::passed(format!("planning file {} is {digest}", basis.reference))
        }
        Some(mode) => GateResult::failed(
            format!(
                "`local-planning` reaches up to `{}`, and `{mode}` is asked for",
                MutationMode::SandboxRepo
            ),
            "ask on the basis of a task contract or a core route, or for a narrower mode",
        ),
        None => GateResult::missing(
            "`local-planning` reaches up to `sandbox-repo`, and no mode is given to hold against it",
            "name `mutation_mode`",
        ),
    }
}

/// `contract.permissions`
pub(super) fn permissions(q: &Question<'_>) -> GateResult {
    let asked = &q.contract.permissions;
    let without: Vec<String> =
        asked.iter().filter(|p| **p != Permission::Commit).map(|p| name(*p).into()).collect();
    if !without.is_empty() {
        return GateResult::missing(
            format!("not supported: nothing in this version carries out {}", without.join(", ")),
            "take these permissions out of the contract, and do that step by hand from the sealed patch",
        );
    }
    if !asked.contains(&Permission::Commit) {
        return GateResult::passed("nothing but the bundle leaves the harness");
    }
    if forbids_commit(q.contract) {
        return GateResult::failed(
            "permission `commit` is asked for, and the action `git.commit` is forbidden",
            "take one of the two out of the contract",
        );
    }
    match q.contract.mutation_mode {
        Some(mode) if mode >= MutationMode::SandboxRepo => {
            GateResult::passed(format!("a branch of the run's own in mode `{mode}`"))
        }
        Some(mode) => GateResult::failed(
            format!("in mode `{mode}` only the bundle leaves the harness, so nothing can be committed"),
            "take permission `commit` out, or ask for mode `sandbox-repo` or wider",
        ),
        None => GateResult::missing(
            "permission `commit` depends on the mode, and none is given",
            "name `mutation_mode`",
        ),
    }
}

fn forbids_commit(contract: &TaskContract) -> bool {
    contract.forbidden_actions.iter().flatten().any(|a| a.as_str() == "git.commit")
}

fn name(permission: Permission) -> &'static str {
    match permission {
        Permission::Commit => "commit",
        Permission::Push => "push",
        Permission::Merge => "merge",
        Permission::Deploy => "deploy",
        Permission::Close => "close",
    }
}
