//! `report.md`: the report for a person with five seconds, a pure function of the report.
//!
//! Every text that came from elsewhere is escaped, so that nothing in it is read as Markdown or HTML.

use std::collections::BTreeMap;

use super::action_rows::{ActionResult, ActionRow};
use super::money::{CountedSpend, Spend};
use super::report::Report;
use super::work::{ChangeKind, ChangedFile, CommandOutcome};
use crate::vocab::{MicroUsd, Verdict, counted};

/// Changed files, findings and the like shown of each kind; the rest is counted.
const SHOWN: usize = 20;
/// Levels of the tree of programs that are indented.
const DEEPEST: usize = 8;
/// Characters of a command line.
const COMMAND_SHOWN: usize = 120;

/// The file's text.
#[must_use]
pub fn summary(report: &Report) -> String {
    let mut page = Page(String::new());
    head(report, &mut page);
    change(report, &mut page);
    output(report, &mut page);
    proof(report, &mut page);
    verification(report, &mut page);
    findings(report, &mut page);
    boundaries(report, &mut page);
    forbidden(report, &mut page);
    programs(report, &mut page);
    model_calls(report, &mut page);
    identity(report, &mut page);
    page.0
}

/// Lines of Markdown.
struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn section(&mut self, title: &str) {
        self.line("");
        self.line(&format!("## {title}"));
        self.line("");
    }

    /// A bullet for each of `items`, up to [`SHOWN`].
    fn bullets<T>(&mut self, items: &[T], bullet: impl Fn(&T) -> String) {
        for item in items.iter().take(SHOWN) {
            self.line(&format!("- {}", bullet(item)));
        }
        if items.len() > SHOWN {
            self.line(&format!("- … and {} more, see `report.json`", items.len() - SHOWN));
        }
    }
}

fn head(report: &Report, page: &mut Page) {
    let (mark, meaning) = match report.verdict {
        Verdict::Pass => ("PASS", "Everything expected is there, and nothing is wrong."),
        Verdict::Fail => ("FAIL", "The work was not done, or not shown to work."),
        Verdict::Blocked => ("BLOCKED", "A rule was broken, or proof is missing."),
    };
    page.line(&format!("# {mark}: {}", escaped(report.task_id.as_str())));
    page.line("");
    page.line(meaning);
    if !report.reasons.is_empty() {
        page.section("Why");
        page.bullets(&report.reasons, |reason| {
            let remedy = if reason.remedy.is_empty() {
                String::new()
            } else {
                format!(" *{}*", escaped(&reason.remedy))
            };
            format!("**{}**: {}{remedy}", escaped(&reason.code), escaped(&reason.sentence))
        });
    }
}

fn change(report: &Report, page: &mut Page) {
    page.section("Change");
    let Some(patch) = &report.sections.patch else {
        return page.line("There is no patch: the run did not get that far.");
    };
    if patch.files.is_empty() {
        return page.line("Nothing was changed.");
    }
    let (files, added, removed) = (patch.files.len(), patch.added_lines, patch.removed_lines);
    page.line(&format!("{}, +{added} -{removed} lines; `patch.diff`.", counted(files, "file")));
    page.line("");
    page.bullets(&patch.files, changed);
}

/// The document that was handed back, where one was to be.
fn output(report: &Report, page: &mut Page) {
    let Some(section) = &report.sections.output else { return };
    page.section(section.title());
    let (opening, items) = section.page();
    page.line(&opening);
    if !items.is_empty() {
        page.line("");
        page.bullets(&items, Clone::clone);
    }
}

/// The gates that were taken away, where the run was the proof of them.
fn proof(report: &Report, page: &mut Page) {
    let Some(section) = &report.sections.proof else { return };
    page.section("Gates");
    let cells = counted(section.cells.len(), "cell");
    let wrong: Vec<_> = section.wrong().collect();
    page.line(&format!(
        "Stage `{}`, adapter `{}`, no process: {cells}, {} not as they have to be.",
        section.stage,
        section.adapter,
        wrong.len()
    ));
    if !wrong.is_empty() {
        page.line("");
        page.bullets(&wrong, |cell| {
            format!("`{}` without {}: {} instead of {}", cell.mode, cell.removed, cell.found, cell.expected)
        });
    }
}

fn changed(file: &ChangedFile) -> String {
    let word = match file.change {
        ChangeKind::Added => "added",
        ChangeKind::Modified => "modified",
        ChangeKind::Deleted => "deleted",
        ChangeKind::ModeChanged => "mode changed",
        ChangeKind::Renamed => "renamed",
        ChangeKind::TypeChanged => "type changed",
    };
    let from = file.from.as_ref().map_or_else(String::new, |from| format!(" (was {})", escaped(from)));
    format!("{word} {}{from}", escaped(&file.path))
}

fn verification(report: &Report, page: &mut Page) {
    page.section("Verification");
    let Some(section) = &report.sections.verification else {
        return page.line("Nothing was verified.");
    };
    if section.commands.is_empty() {
        page.line("The contract names no verification command.");
    }
    page.bullets(&section.commands, |row| {
        let outcome = match row.outcome {
            CommandOutcome::Passed => "passed",
            CommandOutcome::Failed => "failed",
            CommandOutcome::Errored => "no answer",
        };
        let statuses: Vec<String> = [("on the base", &row.on_base), ("on the result", &row.on_result)]
            .into_iter()
            .filter_map(|(where_, result)| {
                result.as_ref().map(|r| format!("{where_} {}", escaped(&r.status)))
            })
            .collect();
        format!("**{outcome}** {} ({})", escaped(&row.command), statuses.join(", "))
    });
}

fn findings(report: &Report, page: &mut Page) {
    let sections = &report.sections;
    if !sections.findings.is_empty() {
        page.section("Findings");
        page.bullets(&sections.findings, |finding| {
            let line = finding.line.map_or_else(String::new, |line| format!(":{line}"));
            let place = format!("{}{line}", escaped(&finding.path));
            format!(
                "**{}** {place} {} ({})",
                escaped(&finding.code),
                escaped(&finding.sentence),
                finding.weight
            )
        });
    }
    if !sections.changes_to_checks.is_empty() {
        page.section("Changes to checks");
        page.bullets(&sections.changes_to_checks, |change| {
            let permitted = if change.permitted { "named in the contract" } else { "not permitted" };
            format!("{} ({}): {permitted}", escaped(&change.path), escaped(&change.pattern))
        });
    }
    if !report.withheld.is_empty() {
        page.section("Withheld");
        page.bullets(&report.withheld, |one| format!("{}: {}", one.name, escaped(&one.rules.join(", "))));
    }
}

fn boundaries(report: &Report, page: &mut Page) {
    page.section("Boundaries");
    match &report.sections.sandbox {
        None => page.line("No sandbox was needed, because nothing ran."),
        Some(sandbox) => {
            let missing: Vec<_> = sandbox.layers.iter().filter(|layer| !layer.ok).collect();
            let all = sandbox.layers.len();
            page.line(&format!("{} of {all} sandbox layers in force.", all - missing.len()));
            page.bullets(&missing, |layer| {
                format!("**{}** {}", escaped(&layer.layer), escaped(&layer.enforced))
            });
        }
    }
    let reached: Vec<_> = report.sections.limits.iter().filter(|row| row.reached.is_some()).collect();
    page.bullets(&reached, |row| format!("limit reached: {:?} = {}", row.name, row.requested));
}

/// A row for each action that the contract forbids: what stops it, where it was looked for, what was seen.
fn forbidden(report: &Report, page: &mut Page) {
    actions("Forbidden actions", &report.sections.actions, page);
    actions("Actions that a person is asked about first", &report.sections.asked_first, page);
}

fn actions(title: &str, actions: &[ActionRow], page: &mut Page) {
    if actions.is_empty() {
        return;
    }
    page.section(title);
    page.line("| action | stopped by | looked for | attempts | result |");
    page.line("|---|---|---|--:|---|");
    for row in actions.iter().take(SHOWN) {
        let attempts = (row.attempts.len() as u64).saturating_add(row.left_out);
        let result = match row.result {
            ActionResult::Attempted => "**attempted**",
            ActionResult::NoneSeen => "none seen",
            ActionResult::NotObservable => ActionResult::NOWHERE,
        };
        let (action, by, place) = (escaped(&row.action), escaped(&row.enforced_by), escaped(&row.observable));
        page.line(&format!("| {action} | {by} | {place} | {attempts} | {result} |"));
    }
    if let Some(more) = actions.len().checked_sub(SHOWN + 1) {
        page.line("");
        page.line(&format!("… and {} more in `report.json`", more + 1));
    }
}

/// The tree of programs: each below the nearest one that made it.
fn programs(report: &Report, page: &mut Page) {
    let Some(section) = report.sections.processes.as_ref().filter(|section| section.executed > 0) else {
        return;
    };
    page.section("What the kernel executed");
    let seen = if section.complete { "seen to its end" } else { "**not seen to its end**" };
    page.line(&format!("{}, {seen}.", counted_long(section.executed, "program")));
    page.line("");
    let parents: BTreeMap<u64, u64> = section.rows.iter().map(|row| (row.process, row.parent)).collect();
    let depth = |process: u64| {
        let mut above = parents.get(&process);
        let mut depth = 0;
        while let Some(next) = above.filter(|_| depth < DEEPEST) {
            above = parents.get(next);
            depth += usize::from(above.is_some());
        }
        depth
    };
    for row in section.rows.iter().take(SHOWN) {
        let status = row.status.as_deref().unwrap_or("not seen to end");
        let argv: String = row.argv.chars().take(COMMAND_SHOWN).collect();
        page.line(&format!("{}- {}: {}", "  ".repeat(depth(row.process)), escaped(&argv), escaped(status)));
    }
    let more = section.executed.saturating_sub(SHOWN.min(section.rows.len()) as u64);
    if more > 0 {
        page.line(&format!("- … and {more} more, see `report.json` and the events"));
    }
    tried("Refused system calls", &section.refused_calls, page);
    tried("Asked for outside, without a route", &section.sought, page);
}

/// What was refused and asked for, each with how often.
fn tried(what: &str, counts: &BTreeMap<String, u64>, page: &mut Page) {
    let mut all: Vec<String> =
        counts.iter().take(SHOWN).map(|(name, count)| format!("{} ({count})", escaped(name))).collect();
    if counts.len() > SHOWN {
        all.push(format!("and {} more", counts.len() - SHOWN));
    }
    if !all.is_empty() {
        page.line("");
        page.line(&format!("{what}: {}.", all.join(", ")));
    }
}

fn counted_long(count: u64, what: &str) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), what)
}

/// Calls, tokens and money, as the broker counted them.
fn model_calls(report: &Report, page: &mut Page) {
    let usage = &report.sections.usage;
    if usage.forwarded_calls + usage.refused_calls == 0 {
        return;
    }
    page.section("Model calls");
    let (calls, refused) =
        (counted(usize::try_from(usage.forwarded_calls).unwrap_or(usize::MAX), "call"), usage.refused_calls);
    page.line(&format!(
        "- {calls}, {refused} refused; {} tokens in ({} of them cached), {} out",
        usage.input_tokens, usage.cached_input_tokens, usage.output_tokens
    ));
    match &report.sections.spend {
        Spend::Nothing => page.line("- they cost nothing: the endpoint is declared `unpriced`"),
        Spend::Counted(spend) => {
            let CountedSpend { sums, run_cap_micro_usd: cap, provider, model, .. } = spend.as_ref();
            let open = match sums.unsettled_micro_usd {
                MicroUsd::ZERO => String::new(),
                open => format!(", and {open} that nobody settled"),
            };
            let (provider, model) = (escaped(provider), escaped(model));
            let settled = sums.settled_micro_usd;
            page.line(&format!("- {settled} dollars of {cap} for {model} at {provider}{open}"));
        }
    }
}

fn identity(report: &Report, page: &mut Page) {
    page.section("Identity");
    let engine = report.sections.engine.as_ref().map_or_else(
        || "none".to_owned(),
        |engine| match &engine.version {
            Some(version) => format!("{} (its package says {version})", engine.id),
            None => engine.id.clone(),
        },
    );
    let mode = report.mutation_mode.map_or("not given", |mode| mode.as_str());
    page.line("| | |");
    page.line("|---|---|");
    for (name, value) in [
        ("run", report.run_id.to_string()),
        ("engine", escaped(&engine)),
        ("harness", escaped(&report.harness)),
        ("risk, mode", format!("{}, {mode}", report.risk_class)),
        ("started", report.sections.times.started.to_string()),
        ("finished", report.sections.times.finished.to_string()),
        ("contract", report.contract_digest.to_string()),
        ("decision", report.decision_id.to_string()),
    ] {
        page.line(&format!("| {name} | {value} |"));
    }
    if let Some(learning) = &report.sections.learning {
        let told = match (&learning.fragment, learning.whole) {
            (Some(name), true) => format!("it needed what `{}` says", escaped(name)),
            (Some(name), false) => format!("it needed what `{}` says, which is not the whole", escaped(name)),
            (None, _) => "it ended before anything was written of it".to_owned(),
        };
        page.line("");
        page.line(&format!("The run was to tell what it needs, and nothing was granted for that: {told}."));
    }
    page.line("");
    page.line("Check it with `cto verify` on this folder.");
}

/// Text without power over the page.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\t' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '+' | '!' | '|' | '~' => {
                out.push('\\');
                out.push(letter);
            }
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_words_have_no_power() {
        assert_eq!(escaped("a|b\n<img> [x](y)"), "a\\|b &lt;img&gt; \\[x\\]\\(y\\)");
    }
}
