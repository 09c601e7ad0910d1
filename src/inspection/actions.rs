//! Forbidden actions: what stops each, whether an attempt can be seen here, and the attempts that were seen.
//!
//! What stops an act is a missing route, credential or right. "Seen" means: in what the kernel executed, in the patch,
//! at the listener, in the engine's throw-away repository, or in how the process tree ended. A row without attempts
//! promises that the act could not succeed, not that nobody tried: it says where it was looked.

use std::collections::BTreeMap;

use crate::contract::actions::{Observed, RULES};
use crate::contract::command::{CommandLine, shows_in_commands};
use crate::contract::{Action, TaskContract};
use crate::evidence::{ActionResult, ActionRow};
use crate::process::Program;
use crate::vocab::{ActionId, shown};

const NOWHERE: &str = ActionResult::NOWHERE;
pub(super) const IN_PATCH: &str = "in the patch";
/// An attempt that found no route leaves no trace: only what reached the listener is seen.
const AT_LISTENER: &str = "at the listener";
/// What is said to an allowed host is said within TLS.
const AT_LISTENER_NOT_WITHIN: &str = "at the listener, not within allowed tunnels";
/// Not in `sendmsg` with an address, and not in what a program that was not observed asked for.
const AT_LISTENER_AND_OUTSIDE: &str = "at the listener, in connect and sendto";
const IN_REPOSITORY: &str = "in the engine's throw-away repository only";
const AT_THE_END: &str = "in what was still alive when the engine ended";
pub(super) const EXECUTED: &str = "in what the kernel executed";
pub(super) const PARTLY: &str = "in the part that was seen of what the kernel executed";

/// Characters of a command line that is an attempt.
pub(super) const TEXT_MAX: usize = 400;
/// Attempts kept for each action.
pub(super) const ATTEMPTS_KEPT: usize = 20;

/// What was seen besides the patch. `None` means that nobody could look, which is not the same as "nothing".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActionObservations {
    /// What the kernel executed, as far as it was seen. An attempt counts wherever it was seen.
    pub executed: Option<Vec<Program>>,
    /// Whether that, and what was asked for outside, is everything: only then, nothing found means something.
    pub all_seen: bool,
    /// Addresses outside that were asked for, with how often.
    pub sought: Option<BTreeMap<String, u64>>,
    /// Forbidden actions that the patch shows, from [`super::inspect_patch`].
    pub in_patch: Vec<(ActionId, String)>,
    /// Requests that reached the listener and were refused, one text each (method, host, path).
    pub refused_requests: Option<Vec<String>>,
    /// How many were refused, also those of which no text was kept.
    pub refused_calls: u64,
    /// Those of them that were a push, as the broker judged the whole request.
    pub pushes: Vec<String>,
    /// Commits that the engine made in its throw-away repository, one text each.
    pub commits: Option<Vec<String>>,
    /// Merge commits among them.
    pub merges: Option<Vec<String>>,
    /// Branches of the throw-away repository that no longer contain its first commit.
    pub rewritten: Option<Vec<String>>,
    /// Processes that were still alive when the engine's first process had ended.
    pub left_behind: Option<Vec<String>>,
}

/// One row for each action that the contract forbids, in the contract's order.
#[must_use]
pub fn actions(contract: &TaskContract, observed: &ActionObservations) -> Vec<ActionRow> {
    let routes = !contract.network_allow.is_empty();
    contract.forbidden_actions.iter().flatten().map(|action| row(action, routes, observed)).collect()
}

/// The same for every named action, whatever is forbidden.
#[must_use]
pub fn every_action(observed: &ActionObservations) -> Vec<ActionRow> {
    let ids = RULES.iter().filter_map(|rule| ActionId::parse(rule.id).ok());
    ids.map(|id| row(&id, false, observed)).collect()
}

/// Every forbidden action that was attempted, for the events: action and what shows it.
pub fn attempts(rows: &[ActionRow]) -> impl Iterator<Item = (&str, &str)> {
    rows.iter().flat_map(|row| row.attempts.iter().map(|attempt| (row.action.as_str(), attempt.as_str())))
}

fn row(id: &ActionId, routes: bool, observed: &ActionObservations) -> ActionRow {
    let seen = seen(id, observed);
    let executed = executed(id, observed);
    let in_patch = observed.in_patch.iter().filter(|(found, _)| found == id).map(|(_, what)| what.clone());
    let (enforced_by, patch) = match Action::parse(id) {
        Ok(Action::Named(rule)) => {
            let stops = rule.with_routes.filter(|_| routes).unwrap_or(rule.enforced_by);
            (stops, rule.observed_in == Some(Observed::Patch))
        }
        Ok(action @ Action::Path(_)) => (action.enforced_by(), true),
        Ok(action @ Action::Command(_)) => (action.enforced_by(), false),
        Err(_) => ("nothing: this version does not know the action", false),
    };
    // Where it was looked; a place where nobody could look is not named.
    let places = [
        executed.as_ref().filter(|_| observed.all_seen).map(|_| EXECUTED),
        executed.as_ref().filter(|found| !observed.all_seen && !found.is_empty()).map(|_| PARTLY),
        patch.then_some(IN_PATCH),
        seen.as_ref().map(|_| place(id.as_str(), routes, observed)),
    ];
    let places: Vec<&str> = places.into_iter().flatten().collect();
    let observable = if places.is_empty() { NOWHERE.to_owned() } else { places.join(", ") };
    let without_text = match (id.as_str(), &seen) {
        ("network.egress", Some(_)) => {
            let told = observed.refused_requests.as_ref().map_or(0, Vec::len);
            observed.refused_calls.saturating_sub(told as u64)
        }
        _ => 0,
    };
    let all = executed.into_iter().chain(seen).flatten().chain(in_patch);
    let mut attempts: Vec<String> = all.map(|text| shown(&text)).collect();
    let seen = attempts.len();
    attempts.dedup();
    attempts.truncate(ATTEMPTS_KEPT);
    let left_out = without_text.saturating_add((seen - attempts.len()) as u64);
    let result = ActionResult::of(&observable, &attempts);
    let (action, enforced_by) = (shown(id.as_str()), enforced_by.to_owned());
    ActionRow { action, enforced_by, observable, attempts, left_out, result }
}

/// Programs that were executed against the rule; `None` where it does not show in programs, or not all were seen.
fn executed(id: &ActionId, observed: &ActionObservations) -> Option<Vec<String>> {
    let programs = observed.executed.as_ref()?;
    let glob = match Action::parse(id) {
        Ok(Action::Command(glob)) => Some(glob),
        _ if shows_in_commands(id.as_str()) => None,
        _ => return None,
    };
    let against = |program: &&Program| {
        let line = CommandLine { program: &program.executed.program, argv: &program.executed.argv };
        match &glob {
            Some(glob) => line.matches(glob),
            None => line.does(id.as_str()),
        }
    };
    let text = |program: &Program| program.executed.argv.join(" ").chars().take(TEXT_MAX).collect();
    Some(programs.iter().filter(against).map(text).collect())
}

/// Where [`seen`] looks for attempts of a named action.
fn place(id: &str, routes: bool, observed: &ActionObservations) -> &'static str {
    match id {
        "git.push" if routes => AT_LISTENER_NOT_WITHIN,
        "network.egress" if observed.sought.is_some() && observed.all_seen => AT_LISTENER_AND_OUTSIDE,
        "git.push" | "network.egress" => AT_LISTENER,
        "process.daemonize" => AT_THE_END,
        _ => IN_REPOSITORY,
    }
}

/// What was seen besides the patch; `None` where nobody could look.
fn seen(id: &ActionId, observed: &ActionObservations) -> Option<Vec<String>> {
    match id.as_str() {
        "git.push" => {
            let requests = observed.refused_requests.as_ref()?;
            let named =
                requests.iter().filter(|request| is_git_push(request) && !observed.pushes.contains(request));
            Some(observed.pushes.iter().chain(named).cloned().collect())
        }
        "network.egress" => {
            let requests = observed.refused_requests.clone()?;
            let sought = observed.sought.iter().flatten();
            let sought = sought.map(|(address, count)| format!("connect to {address}, {count} times"));
            Some(requests.into_iter().chain(sought).collect())
        }
        "git.merge" => observed.merges.clone(),
        "git.commit" => observed.commits.clone(),
        "git.history-rewrite" => observed.rewritten.clone(),
        "process.daemonize" => observed.left_behind.clone(),
        _ => None,
    }
}

/// Git's own words for a push over HTTP (gitprotocol-http).
fn is_git_push(request: &str) -> bool {
    request.contains("git-receive-pack")
}

#[cfg(test)]
mod tests {
    use super::super::verdict_tests::contract;
    use super::*;

    fn forbidding(ids: &[&str]) -> TaskContract {
        let ids = ids.iter().map(|id| ActionId::parse(*id).unwrap()).collect();
        TaskContract { forbidden_actions: Some(ids), ..contract() }
    }

    #[test]
    fn what_nobody_could_see_is_not_called_seen() {
        let all =
            ["git.push", "git.merge", "git.commit", "git.history-rewrite", "network.egress", "secrets.read"];
        let rows = actions(&forbidding(&all), &ActionObservations::default());
        assert_eq!(rows.len(), all.len());
        assert!(rows.iter().all(|row| row.observable == NOWHERE && row.attempts.is_empty()));
    }

    #[test]
    fn a_push_over_the_listener_is_an_attempt_of_both_rules() {
        let observed = ActionObservations {
            refused_requests: Some(vec![
                "POST /repo.git/git-receive-pack".to_owned(),
                "GET http://exfil.test/".to_owned(),
            ]),
            ..ActionObservations::default()
        };
        let rows = actions(&forbidding(&["git.push", "network.egress", "deploy"]), &observed);
        let counts: Vec<_> = rows.iter().map(|row| (row.observable.as_str(), row.attempts.len())).collect();
        assert_eq!(counts, [("at the listener", 1), ("at the listener", 2), (NOWHERE, 0)]);
        let results: Vec<_> = rows.iter().map(|row| row.result).collect();
        assert_eq!(results, [ActionResult::Attempted, ActionResult::Attempted, ActionResult::NotObservable]);
        assert_eq!(attempts(&rows).count(), 3);
    }

    #[test]
    fn where_there_are_routes_no_row_says_that_there_are_none() {
        let seen = ActionObservations { refused_requests: Some(Vec::new()), ..ActionObservations::default() };
        let ids = ["git.push", "deploy", "issue.close", "package.install", "external-repo.mutate"];
        let offline = actions(&forbidding(&ids), &seen);
        assert!(offline[0].enforced_by.starts_with("no route out"), "{offline:?}");
        let contract = TaskContract { network_allow: vec!["a.example:443".to_owned()], ..forbidding(&ids) };
        let rows = actions(&contract, &seen);
        assert!(rows.iter().all(|row| !row.enforced_by.contains("no route out")), "{rows:?}");
        assert_eq!(rows[0].observable, AT_LISTENER_NOT_WITHIN);
    }

    #[test]
    fn an_attempt_counts_although_not_everything_was_seen() {
        let at = crate::vocab::Timestamp::now();
        let argv = ["git", "push"].map(str::to_owned).to_vec();
        let (program, cwd) = ("/usr/bin/git".to_owned(), "/".to_owned());
        let executed =
            crate::process::Executed { process: 1, parent: 0, pid: 1, program, argv, cut: false, cwd, at };
        let seen = |all_seen| ActionObservations {
            executed: Some(vec![Program { executed: executed.clone(), status: None, ended: None }]),
            all_seen,
            ..ActionObservations::default()
        };
        for all_seen in [true, false] {
            let rows = actions(&forbidding(&["command:git push*", "git.push", "deploy"]), &seen(all_seen));
            let results: Vec<_> = rows.iter().map(|row| row.result).collect();
            let nothing = if all_seen { ActionResult::NoneSeen } else { ActionResult::NotObservable };
            assert_eq!(results, [ActionResult::Attempted, ActionResult::Attempted, nothing]);
        }
    }

    #[test]
    fn whatever_is_cut_is_counted() {
        let observed = ActionObservations {
            refused_requests: Some(["a", "b", "b"].map(str::to_owned).to_vec()),
            refused_calls: 32,
            ..ActionObservations::default()
        };
        let rows = actions(&forbidding(&["network.egress"]), &observed);
        assert_eq!((rows[0].attempts.len(), rows[0].left_out), (2, 30));
    }

    #[test]
    fn attempts_in_the_patch_belong_to_their_own_rule() {
        let rule = ActionId::parse("path:infra/**").unwrap();
        let observed =
            ActionObservations { in_patch: vec![(rule, "infra/main.tf".to_owned())], ..Default::default() };
        let rows = actions(&forbidding(&["path:infra/**", "path:docs/**"]), &observed);
        let counts: Vec<_> = rows.iter().map(|row| (row.observable.as_str(), row.attempts.len())).collect();
        assert_eq!(counts, [("in the patch", 1), ("in the patch", 0)]);
        assert_eq!(rows[1].result, ActionResult::NoneSeen);
    }

    #[test]
    fn attempts_are_bounded_and_made_visible() {
        let observed = ActionObservations {
            commits: Some((0..50).map(|n| format!("{n}\u{1b}[2J")).collect()),
            ..ActionObservations::default()
        };
        let rows = actions(&forbidding(&["git.commit"]), &observed);
        assert_eq!(rows[0].attempts.len(), ATTEMPTS_KEPT);
        assert_eq!(rows[0].left_out, 50 - ATTEMPTS_KEPT as u64);
        assert!(rows[0].attempts[0].contains("\\u{1b}"));
    }
}
