//! The task as Case wants to find it: a document, a text beside it, and a list of projects with one entry.
//!
//! An adapter has no clock, so the time at which a task was made is a fixed one; nothing reads it.

use serde_json::{Value, json};

use crate::contract::TaskContract;

/// The name of the one project.
const PROJECT: &str = "workspace";
/// A repository that no host has (RFC 2606).
pub(super) const NOWHERE: &str = "nobody.invalid/nowhere";
/// When every task was made.
const CREATED: &str = "1970-01-01T00:00:00.000Z";
/// Characters of a slug.
const SLUG_CHARS: usize = 100;
/// The agents that a task keeps account of.
const AGENTS: [&str; 5] = ["orchestrator", "implementer", "verifier", "reviewer", "closer"];

/// A name of small letters, digits and single dashes: Case uses it as the name of a folder.
pub(super) fn slug(task_id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = task_id.chars().take(SLUG_CHARS).map(plain).collect();
    let parts: Vec<&str> = text.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "task".to_owned() } else { parts.join("-") }
}

/// `<id>.task.json`.
pub(super) fn document(contract: &TaskContract, id: &str) -> String {
    let fresh = json!({"started": null, "completed": null, "status": "pending"});
    let agents: serde_json::Map<String, Value> =
        AGENTS.iter().map(|name| ((*name).to_owned(), fresh.clone())).collect();
    let check = checks(contract).into_iter().next();
    let document = json!({
        "id": id, "status": "active", "created": CREATED, "repo": PROJECT, "issue": id,
        "issueType": "freeform", "contractPath": null, "branch": "main", "mode": "unattended",
        "profile": "standard", "agents": agents, "tested": false, "manualTested": false, "prUrl": null,
        "prNumber": null, "fastTestCommand": check, "checkCommand": check, "checkBaseline": null,
        "checkTarget": null, "pendingRevision": null,
    });
    format!("{document:#}\n")
}

/// The list of projects: the work tree at `workspace`, with a remote that is none.
pub(super) fn projects(contract: &TaskContract, workspace: &str) -> String {
    let check = checks(contract).into_iter().next().unwrap_or_else(|| "true".to_owned());
    let document = json!({"repos": [{
        "name": PROJECT, "type": "library", "path": workspace, "remote": format!("https://{NOWHERE}.git"),
        "description": contract.title, "language": "any", "packageManager": "none",
        "commands": {"setup": "true", "test": check},
    }]});
    format!("{document:#}\n")
}

/// `<id>.md`: what the agents read. The bounds are told so that they need not run into them; they hold anyway.
pub(super) fn brief(contract: &TaskContract) -> String {
    let checks = checks(contract);
    let allowed: Vec<String> = contract.allowed_paths.iter().flatten().cloned().collect();
    let forbidden: Vec<String> =
        contract.forbidden_actions.iter().flatten().map(ToString::to_string).collect();
    let done = if checks.is_empty() { "the objective is met".to_owned() } else { checks.join("; ") };
    let listed = |texts: &[String], mark: &str| {
        texts.iter().flat_map(|text| ["- ", mark, "`", text, "`\n"].map(str::to_owned)).collect::<String>()
    };
    let (boxes, lines) = (|texts: &[String]| listed(texts, "[ ] "), |texts: &[String]| listed(texts, ""));
    format!(
        "# {title}\n\n> Mission: {title}\n> Repo: {PROJECT}\n> Done when: {done}\n\n\
         ## Objective\n\n{objective}\n\n## Target Repos\n\n- {PROJECT}\n\n## Playbook\n\n\
         Work in the repository. Nothing is pushed and no pull request is opened: there is no network, and whoever \
         gave the task takes the change from the work tree.\n\n\
         ## Acceptance Criteria\n\n{criteria}\n## Verification Scenarios\n\n{scenarios}\n\
         ## Non-Goals\n\nOnly these paths may change:\n\n{allowed}\nForbidden:\n\n{forbidden}\n\
         ## Evidence Expectations\n\nWhat is said is not counted; the commands above are run on the result.\n\n\
         ## Checklist\n\n- [ ] The change is in the work tree\n\n## Progress Log\n",
        title = one_line(&contract.title),
        objective = contract.instructions.trim_end(),
        criteria = boxes(&checks),
        scenarios = lines(&checks),
        allowed = lines(&allowed),
        forbidden = lines(&forbidden),
    )
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn checks(contract: &TaskContract) -> Vec<String> {
    contract.verification_commands.iter().map(|check| check.argv.join(" ")).collect()
}
