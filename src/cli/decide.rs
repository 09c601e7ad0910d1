//! `cto decide`: every gate with its proof or its remedy. Starts nothing.

use super::Exit;
use super::args::DecideArgs;
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::request::request;
use super::table::Table;
use crate::eligibility::{DecisionDocument, RefusalState};
use crate::home::Home;
use crate::run::decide_only;

/// Asks the gates and shows the answer.
pub(super) fn decide(args: &DecideArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let request = request(&args.contract, args.engine.as_deref())?;
    let decision = decide_only(&Home::open()?, &request)?;
    if args.json {
        let document = serde_json::to_value(&decision);
        output.json(&document.map_err(|error| Problem::usage(error.to_string(), "report this as a defect"))?);
    } else {
        for line in lines(&decision) {
            output.say(&line);
        }
    }
    Ok(if decision.eligible() { Exit::Pass } else { Exit::Blocked })
}

/// The decision as a person reads it.
pub(super) fn lines(decision: &DecisionDocument) -> Vec<Line> {
    let eligible = decision.selected_backend.is_some();
    let (tone, badge) =
        if eligible { (Tone::GoodBadge, " ELIGIBLE ") } else { (Tone::WarnBadge, " BLOCKED ") };
    let engine = decision.selected_backend.as_ref().unwrap_or(&decision.candidate);
    let mut out = vec![
        Line::new(),
        Line::of(" ")
            .add(tone, badge)
            .plain("  ")
            .add(Tone::Strong, decision.task_id.as_str())
            .add(Tone::Quiet, format!("  engine {engine}, {}", decision.risk_class))
            .add(Tone::Quiet, mode(decision)),
        Line::new(),
    ];
    let mut table = Table::new(&["", "gate", "proof or reason"]);
    for gate in &decision.missing_gates {
        let (tone, mark) = match gate.state {
            RefusalState::Failed => (Tone::Bad, "✗ failed"),
            RefusalState::Missing => (Tone::Warn, "? missing"),
            RefusalState::Errored => (Tone::Bad, "! errored"),
        };
        table.row([
            (tone, mark.into()),
            (Tone::Strong, gate.gate.to_string()),
            (Tone::Plain, gate.reason.clone()),
        ]);
        if !gate.remedy.is_empty() {
            let remedy = format!("→ {}  ({})", gate.remedy, word(&gate.escalation));
            table.row([(Tone::Plain, String::new()), (Tone::Plain, String::new()), (Tone::Accent, remedy)]);
        }
    }
    for gate in &decision.passed_gates {
        table.row([
            (Tone::Good, "✓ passed".into()),
            (Tone::Plain, gate.gate.to_string()),
            (Tone::Quiet, gate.proof.clone()),
        ]);
    }
    out.extend(table.lines().into_iter().map(|line| Line::of(" ").append(line)));
    out.push(Line::new());
    out.push(Line::of(" ").add(Tone::Quiet, format!("decision {}", decision.decision_id)));
    out.push(Line::of(" ").add(Tone::Quiet, format!("request  {}", decision.request_digest)));
    for denied in &decision.denied_backends {
        let why = denied.reasons.first().map_or("", |reason| reason.sentence.as_str());
        let line = Line::of(" ").add(Tone::Quiet, format!("not {}: {why}", denied.backend));
        out.push(line.cut(160));
    }
    out.push(Line::new());
    out
}

fn mode(decision: &DecisionDocument) -> String {
    decision.allowed_mutation_mode.map_or_else(String::new, |mode| format!(", mode {mode}"))
}

/// A closed word as it is written in documents.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
