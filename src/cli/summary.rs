//! What a person understands in five seconds: the verdict, why, what changed, what was checked, where the
//! evidence is, and the patch. Everything shown is from the report; nothing is concluded here.

use std::path::Path;
use std::time::Duration;

use super::document_view;
use super::live::seconds;
use super::output::{Line, Output, Tone};
use super::patch_view;
use crate::evidence::{
    ChangeKind, ChangedFile, CommandOutcome, CommandRow, EngineSection, Report, Spend, VerificationSection,
};
use crate::vocab::{MicroUsd, Reason, Verdict, counted};

/// Reasons that are shown before `… more`.
const MAX_REASONS: usize = 8;
/// Changed files that are shown before `… more`.
const MAX_FILES: usize = 12;
/// Lines of the patch that are shown before `… more`.
const MAX_PATCH_LINES: usize = 40;
/// Column of the values.
const VALUES: usize = 11;

/// Prints the summary of one run.
pub(super) fn print(report: &Report, bundle: &Path, patch: Option<&[u8]>, output: &mut Output) {
    for line in lines(report, bundle, patch) {
        output.say(&line);
    }
}

/// The summary as lines.
pub(super) fn lines(report: &Report, bundle: &Path, patch: Option<&[u8]>) -> Vec<Line> {
    let sections = &report.sections;
    let mut out = vec![Line::new(), headline(report), Line::new()];
    out.extend(why(report.verdict, &report.reasons));
    if let Some(section) = &sections.patch {
        let count = section.files.len();
        let files = counted(count, "file");
        let line = named("change").plain(if count == 0 { "nothing".into() } else { files });
        out.push(
            line.add(Tone::Good, format!("  +{}", section.added_lines))
                .add(Tone::Bad, format!(" -{}", section.removed_lines)),
        );
        out.extend(section.files.iter().take(MAX_FILES).map(changed));
        out.extend(more(count, MAX_FILES, "report.md has them all"));
    }
    out.extend(sections.verification.iter().flat_map(checks));
    let rows = sections.actions.iter().chain(&sections.asked_first);
    for row in rows.filter(|row| !row.attempts.is_empty()) {
        let more = if row.left_out > 0 { format!("; and {} more", row.left_out) } else { String::new() };
        let attempts = row.attempts.join("; ");
        out.push(named("attempt").add(Tone::Bad, &row.action).plain(format!(": {attempts}{more}")));
    }
    for row in &sections.limits {
        if let Some(reached) = &row.reached {
            out.push(
                named("limit")
                    .add(Tone::Bad, row.name.as_str())
                    .plain(format!(" of {} reached in {}", row.requested, reached.during)),
            );
        }
    }
    let documents: Vec<Line> = sections.output.iter().flat_map(document_view::lines).collect();
    out.extend(sections.engine.iter().map(|section| engine(section, documents.is_empty())));
    out.extend(documents);
    out.extend(spent(&sections.spend));
    let place = from_here(bundle).display().to_string();
    out.push(named("evidence").add(Tone::Accent, &place));
    out.push(named("").add(Tone::Quiet, format!("cto verify {place}")));
    if let Some(name) = sections.learning.iter().find_map(|learning| learning.fragment.as_ref()) {
        let learned = named("learned").add(Tone::Accent, format!("{place}/{name}"));
        out.push(learned.plain("  nothing was granted, review it"));
    }
    if let Some(patch) = patch.filter(|patch| !patch.is_empty()) {
        out.push(Line::new());
        out.extend(patch_view::lines(patch, MAX_PATCH_LINES));
    }
    out.push(Line::new());
    out
}

/// The path as seen from the current folder, where that is shorter.
fn from_here(path: &Path) -> &Path {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}

pub(super) fn named(name: &str) -> Line {
    Line::of(" ").add(Tone::Quiet, name).pad_to(VALUES)
}

fn headline(report: &Report) -> Line {
    let (tone, badge) = badge(report.verdict);
    let times = &report.sections.times;
    let micros = times.finished.unix_micros().saturating_sub(times.started.unix_micros());
    let took = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    Line::of(" ")
        .add(tone, badge)
        .plain("  ")
        .add(Tone::Strong, report.task_id.as_str())
        .add(Tone::Quiet, format!("  {}  {}", report.run_id, seconds(took)))
}

/// The verdict in its colours.
pub(super) const fn badge(verdict: Verdict) -> (Tone, &'static str) {
    match verdict {
        Verdict::Pass => (Tone::GoodBadge, " PASS "),
        Verdict::Fail => (Tone::BadBadge, " FAIL "),
        Verdict::Blocked => (Tone::WarnBadge, " BLOCKED "),
    }
}

/// The reasons with their remedies.
pub(super) fn why(verdict: Verdict, reasons: &[Reason]) -> Vec<Line> {
    if reasons.is_empty() {
        let text = match verdict {
            Verdict::Pass => "nothing is wrong, and everything that was expected is there",
            Verdict::Fail | Verdict::Blocked => "no reason is recorded",
        };
        return vec![named("why").plain(text)];
    }
    let mut out = Vec::new();
    for (n, reason) in reasons.iter().take(MAX_REASONS).enumerate() {
        let line = named(if n == 0 { "why" } else { "" }).plain(&reason.sentence);
        out.push(line.add(Tone::Quiet, format!("  [{}]", reason.code)));
        if !reason.remedy.is_empty() {
            out.push(named("").add(Tone::Accent, "→ ").plain(&reason.remedy));
        }
    }
    out.extend(more(reasons.len(), MAX_REASONS, "report.md has them all"));
    out
}

fn more(count: usize, shown: usize, where_else: &str) -> Option<Line> {
    (count > shown).then(|| named("").add(Tone::Quiet, format!("… {} more; {where_else}", count - shown)))
}

fn changed(file: &ChangedFile) -> Line {
    let (tone, mark) = match file.change {
        ChangeKind::Added => (Tone::Good, "A "),
        ChangeKind::Modified => (Tone::Warn, "M "),
        ChangeKind::Deleted => (Tone::Bad, "D "),
        ChangeKind::ModeChanged => (Tone::Warn, "m "),
        ChangeKind::Renamed => (Tone::Warn, "R "),
        ChangeKind::TypeChanged => (Tone::Warn, "T "),
    };
    let line = named("").add(tone, mark);
    let line = match &file.from {
        Some(from) => line.plain(from).add(Tone::Quiet, " → ").plain(&file.path),
        None => line.plain(&file.path),
    };
    if file.binary { line.add(Tone::Quiet, format!("  binary, {} bytes", file.size)) } else { line }
}

fn checks(section: &VerificationSection) -> Vec<Line> {
    let row = |(n, command): (usize, &CommandRow)| {
        let (tone, mark) = match command.outcome {
            CommandOutcome::Passed => (Tone::Good, "✓ "),
            CommandOutcome::Failed => (Tone::Bad, "✗ "),
            CommandOutcome::Errored => (Tone::Warn, "! "),
        };
        let mut line = named(if n == 0 { "checks" } else { "" }).add(tone, mark).plain(&command.command);
        if let Some(base) = &command.on_base {
            line = line.add(Tone::Quiet, format!("  before: {}", base.status));
        }
        if let Some(result) = &command.on_result {
            let label = if command.on_base.is_some() { "after: " } else { "" };
            let took = seconds(Duration::from_micros(result.micros));
            line = line.add(Tone::Quiet, format!("  {label}{}  {took}", result.status));
        }
        line
    };
    section.commands.iter().enumerate().map(row).collect()
}

fn calls(number: u64) -> String {
    counted(usize::try_from(number).unwrap_or(usize::MAX), "call")
}

/// What the run cost, where it could cost anything.
fn spent(spend: &Spend) -> Option<Line> {
    let Spend::Counted(spend) = spend else { return None };
    let sums = &spend.sums;
    let text = format!(
        "{} of {} dollars in {}",
        sums.settled_micro_usd,
        spend.run_cap_micro_usd,
        calls(sums.reservations)
    );
    let line = named("spent").plain(text);
    Some(match sums.unsettled_micro_usd {
        MicroUsd::ZERO => line,
        open => line.add(Tone::Warn, format!(", {open} more that nobody settled")),
    })
}

/// `words`: its last ones are shown, because nothing else shows them.
fn engine(section: &EngineSection, words: bool) -> Line {
    let outcome = serde_json::to_value(section.outcome).ok();
    let word = outcome.as_ref().and_then(|value| value.as_str()).unwrap_or("unknown");
    let mut line = named("engine").plain(&section.id);
    if let Some(model) = &section.model {
        line = line.plain(format!(" ({model})"));
    }
    line = line.add(Tone::Quiet, format!("  {word}"));
    if let Some(exit) = &section.exit {
        line = line.add(Tone::Quiet, format!(", {exit}"));
    }
    match section.message.as_ref().filter(|_| words) {
        Some(message) => line.plain(format!("  “{}”", message.lines().next().unwrap_or(""))).cut(160),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::tests::port;
    use crate::evidence::{CommandResult, PatchSection, Sections, Times, Usage};
    use crate::vocab::{Digest, GitId, RiskClass, RunId, TaskId, Timestamp};
    use std::collections::BTreeMap;

    fn report(verdict: Verdict, reasons: Vec<Reason>) -> Report {
        let started = Timestamp::from_unix_micros(0).unwrap();
        let id = GitId::new("0".repeat(40)).unwrap();
        Report {
            report_version: "1".into(),
            harness: "cto-harness 0".into(),
            basis: BTreeMap::new(),
            run_id: RunId::new(),
            task_id: TaskId::parse("fix").unwrap(),
            contract_digest: Digest::of(b"c"),
            decision_id: Digest::of(b"d"),
            risk_class: RiskClass::Safe,
            mutation_mode: None,
            verdict,
            reasons,
            sections: Sections {
                processes: None,
                refused_gates: Vec::new(),
                stage_reached: "sealed".into(),
                times: Times { started, finished: started.plus_seconds(2).unwrap(), attempts: Vec::new() },
                engine: None,
                sandbox: None,
                limits: Vec::new(),
                actions: Vec::new(),
                asked_first: Vec::new(),
                patch: Some(PatchSection {
                    base_commit: id.clone(),
                    base_tree: id,
                    result_tree: None,
                    files: vec![ChangedFile {
                        path: "src/lib.rs".into(),
                        change: ChangeKind::Modified,
                        from: None,
                        old_mode: None,
                        new_mode: None,
                        binary: false,
                        size: 3,
                    }],
                    ignored: 0,
                    digest: Digest::of(b"p"),
                    added_lines: 1,
                    removed_lines: 1,
                }),
                verification: Some(VerificationSection {
                    commands: vec![CommandRow {
                        command: "make test".into(),
                        expect: "fail-to-pass".into(),
                        on_base: Some(CommandResult { status: "exited:1".into(), micros: 1 }),
                        on_result: Some(CommandResult { status: "exited:0".into(), micros: 400_000 }),
                        outcome: CommandOutcome::Passed,
                    }],
                    sandbox_ok: true,
                }),
                findings: Vec::new(),
                changes_to_checks: Vec::new(),
                expectations: Vec::new(),
                claims: Vec::new(),
                unclaimed: Vec::new(),
                usage: Usage::default(),
                spend: Spend::default(),
                output: None,
                learning: None,
                proof: None,
                cut_off: None,
            },
            artifacts: BTreeMap::new(),
            withheld: Vec::new(),
        }
    }

    fn text(report: &Report) -> String {
        let (mut port, text) = port(false);
        for line in lines(report, Path::new("evidence/runs/r"), Some(b"@@ -1 +1 @@\n-a\n+b\n")) {
            port.line(&line);
        }
        text.text()
    }

    #[test]
    fn a_pass_shows_verdict_change_checks_evidence_and_patch() {
        let shown = text(&report(Verdict::Pass, Vec::new()));
        for part in [
            " PASS   fix",
            "2.00 s",
            "1 file  +1 -1",
            "M src/lib.rs",
            "✓ make test  before: exited:1  after: exited:0  0.40 s",
            "cto verify evidence/runs/r",
            "+b",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }

    #[test]
    fn every_reason_comes_with_its_remedy_and_many_are_cut() {
        let reasons = (0..20).map(|n| Reason::observed(format!("code.{n}"), "it is so", "do this")).collect();
        let shown = text(&report(Verdict::Blocked, reasons));
        assert!(shown.contains(" BLOCKED "), "{shown}");
        assert_eq!(shown.matches("→ do this").count(), MAX_REASONS, "{shown}");
        assert!(shown.contains("… 12 more; report.md"), "{shown}");
    }
}
