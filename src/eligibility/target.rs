//! The gates over the repository: is there a base to read, may this mode touch it, is it clean.

use super::gate::{Escalation, GateResult, Question};
use super::{Criticality, Observed, Ownership, RegistryFacts, TargetFacts};
use crate::vocab::MutationMode;

/// How many dirty paths a reason names.
const DIRT_SHOWN: usize = 5;

fn target<'a>(q: &Question<'a>) -> Result<&'a TargetFacts, GateResult> {
    match &q.facts.target {
        Observed::Seen(target) => Ok(target),
        Observed::Absent(what) => {
            Err(GateResult::missing(format!("the target is not there: {what}"), &q.facts.target_remedy))
        }
        Observed::Error(how) => {
            Err(GateResult::errored(format!("the target could not be read: {how}"), &q.facts.target_remedy))
        }
    }
}

/// `target.base`
pub(super) fn base(q: &Question<'_>) -> GateResult {
    let target = match target(q) {
        Ok(target) => target,
        Err(result) => return result,
    };
    if !target.unreadable_forms.is_empty() {
        return GateResult::failed(
            format!("this version does not read this repository: {}", target.unreadable_forms.join(", ")),
            remedies(&target.unreadable_forms),
        );
    }
    if q.contract.mutation_mode == Some(MutationMode::CopiedFixture) && !target.is_fixture {
        return GateResult::failed(
            "mode `copied-fixture` works on a fixture, and the target is an ordinary repository",
            "point to a fixture's `repo` folder, or ask for mode `none` or `sandbox-repo`",
        );
    }
    GateResult::passed(format!("commit {} with tree {}", target.commit, target.tree))
}

fn remedies(forms: &[String]) -> String {
    let remedy = |form: &String| match form.as_str() {
        "bare" => "name a clone with a work tree",
        "shallow" => "fetch the whole history: `git fetch --unshallow`",
        "partial-clone" => "make a full clone, without `--filter`, and name that",
        "submodules" => "name a base without submodules",
        "lfs" => "name a base whose attributes, and those of the clone, ask for no `filter=lfs`",
        "unread-attributes" => {
            "make the `.gitattributes` files and `info/attributes` readable and smaller than 1 MiB"
        }
        "unsafe-names" => "rename what git or another file system could take for `.git`",
        "huge" => {
            "name a base and HEAD with at most 1,000,000 files and folders, 200 of them below one another"
        }
        _ => "use a full clone with plain SHA-1 objects",
    };
    forms.iter().map(remedy).collect::<Vec<_>>().join("; ")
}

/// `target.ownership`
pub(super) fn ownership(q: &Question<'_>) -> GateResult {
    if q.facts.proving && super::engine::reaches_nothing(q) {
        return GateResult::passed("the harness's own tree: nothing of anybody's is in question");
    }
    let register = "register it: `cto repo add DIR --ownership … --owner … --criticality …`";
    let result = match &q.facts.registry {
        Observed::Seen(entry) => owned_for(entry, q.contract.mutation_mode),
        Observed::Absent(what) => {
            GateResult::missing(format!("the registry does not name the target: {what}"), register)
        }
        Observed::Error(how) => {
            GateResult::errored(format!("the registry could not be read: {how}"), "mend `repos.toml`")
        }
    };
    result.escalate(Escalation::Jp)
}

fn owned_for(entry: &RegistryFacts, mode: Option<MutationMode>) -> GateResult {
    let Some(mode) = mode else {
        return GateResult::missing(
            "what the owner allows depends on the mode, and none is given",
            "name `mutation_mode`",
        );
    };
    let owner = entry.owner.as_deref().filter(|o| !o.trim().is_empty());
    if entry.ownership == Ownership::Sandbox && mode > MutationMode::SandboxRepo {
        return GateResult::failed(
            format!("the target is registered as a sandbox, and mode `{mode}` is for owned repositories"),
            "ask for mode `sandbox-repo`, or register it as owned",
        );
    }
    let Some(owner) = owner else {
        // Below `sandbox-repo` nothing reaches a sandbox, so nobody has to answer for it.
        return if entry.ownership == Ownership::Sandbox && mode < MutationMode::SandboxRepo {
            GateResult::passed("registered as a sandbox; nothing reaches it")
        } else {
            GateResult::missing(
                "the registry does not name the owner",
                "register it again with `--owner NAME`",
            )
        };
    };
    if entry.ownership == Ownership::Sandbox {
        return GateResult::passed(format!("registered as a sandbox of {owner}"));
    }
    match (mode, entry.criticality) {
        (MutationMode::None | MutationMode::CopiedFixture, _) => {
            GateResult::passed(format!("owned by {owner}; nothing reaches it"))
        }
        (MutationMode::SandboxRepo, _) => GateResult::failed(
            format!("the target is owned by {owner}, and mode `sandbox-repo` is for sandboxes"),
            "ask for `owned-noncritical-repo`, or use a clone that is registered as a sandbox",
        ),
        (_, None) => GateResult::missing(
            "the registry does not say how critical the target is",
            "register it again with `--criticality noncritical|critical`",
        ),
        (MutationMode::OwnedNoncriticalRepo, Some(Criticality::Critical)) => GateResult::failed(
            format!("the target is critical for {owner}, and mode `owned-noncritical-repo` is not for those"),
            "nothing short of `candidate-default` with its approvals reaches it",
        ),
        (_, Some(criticality)) => {
            let word = if criticality == Criticality::Critical { "critical" } else { "noncritical" };
            GateResult::passed(format!("owned by {owner}, {word}"))
        }
    }
}

/// `target.clean-start`
pub(super) fn clean_start(q: &Question<'_>) -> GateResult {
    let target = match target(q) {
        Ok(target) => target,
        Err(result) => return result,
    };
    if !q.contract.clean_start && q.contract.mutation_mode.is_none_or(|m| m >= MutationMode::SandboxRepo) {
        return GateResult::failed(
            "`clean_start = false` is only for modes `none` and `copied-fixture`",
            "take `clean_start = false` out of the contract",
        );
    }
    match &target.dirt {
        _ if target.is_fixture => GateResult::passed("a fixture is imported whole, as one commit"),
        None if !target.unreadable_forms.is_empty() => GateResult::missing(
            "nobody can say whether a work tree is clean that this version does not read",
            remedies(&target.unreadable_forms),
        ),
        None => GateResult::missing("nobody looked whether the work tree is clean", "gather the facts again"),
        Some(paths) if paths.is_empty() => GateResult::passed("the work tree is clean"),
        Some(paths) => {
            let shown = paths.iter().take(DIRT_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            GateResult::failed(
                format!(
                    "the work tree is not clean: {shown}{}",
                    if paths.len() > DIRT_SHOWN { ", …" } else { "" }
                ),
                "commit or stash these changes: a run sees the base commit and nothing else",
            )
        }
    }
}
