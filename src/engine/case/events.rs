//! One event of Case's to normalized ones: claims all of them. Case's own life cycle stays in `backend/case/`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::log::Record;
use super::outcome::Seen;
use super::{publish, result};
use crate::engine::adapter::{Claims, Step, Stream, unrecognized};
use crate::engine::follow::WatchedFile;
use crate::event::{Draft, EventKind};

/// What a cut text ends with.
const CUT: &str = "…[truncated]";
/// Calls of tools that are open at the same time; further ones are told without their end.
const OPEN_TOOLS: usize = 1_000;

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) seen: Seen,
    pub(super) claims: Claims,
    phase: Option<Phase>,
    /// Phases that began, which is what tells the calls of one from those of another.
    phases: u64,
    cycle: u64,
    tools: BTreeMap<(u64, String), Tool>,
    /// A second `pipeline_end`, or what comes after the first, means nothing.
    over: bool,
}

#[derive(Debug)]
struct Phase {
    name: String,
    agent: String,
}

#[derive(Debug)]
struct Tool {
    name: String,
    command: Option<String>,
}

fn event(kind: EventKind, data: Value) -> Step {
    Step::Event(Draft::claimed(kind, data))
}

impl Reading {
    /// The steps for the next event in order; `None` where nobody knows it.
    fn known(&mut self, record: &Record) -> Option<Vec<Step>> {
        if self.over {
            return None;
        }
        let value = &record.value;
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("");
        let sequence = record.sequence;
        Some(match record.kind.as_str() {
            "pipeline_start" => {
                let plan = value.get("plan").unwrap_or(&Value::Null);
                let phases: Vec<&Value> =
                    plan.get("phases")?.as_array()?.iter().filter_map(|row| row.get("phase")).collect();
                let data = json!({"phase": "pipeline", "profile": text("profile"), "phases": phases,
                    "revision_budget": plan.get("revisionBudget"), "sequence": sequence});
                vec![Step::ThreadId(text("runId").to_owned()), event(EventKind::PhaseStarted, data)]
            }
            "phase_start" => self.phase_start(text("phase"), text("agent"), sequence),
            "phase_end" => return self.phase_end(record),
            "tool_start" => self.tool_start(record)?,
            "tool_end" => self.tool_end(record)?,
            "revision_requested" => {
                self.cycle =
                    value.get("cycle").and_then(Value::as_u64).unwrap_or(self.cycle.saturating_add(1));
                let data = json!({"source": text("source"), "cycle": self.cycle,
                    "failed_categories": value.get("failedCategories"), "sequence": sequence});
                vec![event(EventKind::RevisionRequested, data)]
            }
            "revision_budget_exhausted" => {
                self.seen.exhausted = true;
                let words = format!("its rounds of revision are used up ({})", value.get("cycles")?);
                vec![super::words::said("warning", &words)]
            }
            "marker_written" => self.state(format!("left the marker {}", text("marker")), "", sequence),
            "status_changed" => Vec::new(),
            "pipeline_end" => {
                self.over = true;
                let agent = value.get("failedAgent").and_then(Value::as_str).map(str::to_owned);
                self.seen.end = Some((text("outcome").to_owned(), agent.clone()));
                let data = json!({"phase": "pipeline", "outcome": text("outcome"), "failed_agent": agent,
                    "duration_ms": value.get("durationMs"), "sequence": sequence});
                vec![event(EventKind::PhaseFinished, data)]
            }
            _ => return None,
        })
    }

    /// The steps for the next event in order.
    pub(super) fn record(&mut self, record: &Record, file: WatchedFile) -> Vec<Step> {
        let unknown = || vec![unrecognized(Stream::File(file), record.value.to_string().as_bytes())];
        self.known(record).unwrap_or_else(unknown)
    }

    fn phase_start(&mut self, phase: &str, agent: &str, sequence: u64) -> Vec<Step> {
        let mut steps: Vec<Step> = self.phase_without_end().into_iter().collect();
        self.phases = self.phases.saturating_add(1);
        self.phase = Some(Phase { name: phase.to_owned(), agent: agent.to_owned() });
        self.seen.implemented |= phase == "implement";
        let data = json!({"phase": phase, "agent": agent, "cycle": self.cycle, "sequence": sequence});
        steps.push(event(EventKind::PhaseStarted, data));
        if phase == "close" {
            self.seen.closing = true;
            let asked = json!({"what": "publication", "by": agent, "phase": phase, "sequence": sequence});
            steps.push(deny(asked, "the closing phase"));
        }
        steps
    }

    /// The end of a phase. One that never began is a ghost of the planned graph where it was skipped.
    fn phase_end(&mut self, record: &Record) -> Option<Vec<Step>> {
        let value = &record.value;
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("");
        let (phase, agent, outcome) = (text("phase"), text("agent"), text("outcome"));
        let open = self.phase.take_if(|open| open.name == phase && open.agent == agent);
        if open.is_none() {
            return (outcome == "skipped").then(Vec::new);
        }
        let said = result::read(phase, value.get("result").unwrap_or(&Value::Null));
        self.seen.critical = self.seen.critical.max(said.critical);
        self.seen.hard.extend(said.hard);
        let data = json!({"phase": phase, "agent": agent, "cycle": self.cycle, "outcome": outcome,
            "duration_ms": value.get("durationMs"), "sequence": record.sequence,
            "claims": {"summary": said.summary, "error": said.error}});
        let mut steps = vec![event(EventKind::PhaseFinished, data)];
        for path in said.files {
            self.claims.file(&path);
            steps.push(event(EventKind::FileChanged, json!({"path": path, "sequence": record.sequence})));
        }
        for statement in said.statements {
            steps.extend(self.state(statement, phase, record.sequence));
        }
        if said.pull_request {
            let asked =
                json!({"what": "publication", "by": agent, "phase": phase, "sequence": record.sequence});
            steps.push(deny(asked, "a pull request that it says it opened"));
        }
        Some(steps)
    }

    fn state(&mut self, statement: String, phase: &str, sequence: u64) -> Vec<Step> {
        let data = json!({"claim": statement, "phase": phase, "sequence": sequence});
        self.claims.statement(statement);
        vec![event(EventKind::EvidenceClaimed, data)]
    }

    fn tool_start(&mut self, record: &Record) -> Option<Vec<Step>> {
        let value = &record.value;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let (call, tool, args) = (text("toolCallId")?, text("tool")?, text("args").unwrap_or(""));
        let data = json!({"call": call, "tool": tool, "args": args, "cut": args.ends_with(CUT),
            "phase": text("phase"), "agent": text("agent"), "cycle": self.cycle, "sequence": record.sequence});
        let mut steps = vec![event(EventKind::ToolCalled, data)];
        let shell = tool == "bash";
        if self.tools.len() < OPEN_TOOLS {
            let command = publish::command_of(args).filter(|_| shell);
            self.tools.insert((self.phases, call.to_owned()), Tool { name: tool.to_owned(), command });
        }
        if shell && publish::is_attempt(args) {
            let asked = json!({"what": "publication", "by": text("agent"), "command": args,
                "sequence": record.sequence});
            steps.push(deny(asked, args));
        }
        Some(steps)
    }

    fn tool_end(&mut self, record: &Record) -> Option<Vec<Step>> {
        let value = &record.value;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let (call, result) = (text("toolCallId")?, text("result").unwrap_or(""));
        // Its line may come after the end of its phase, but belongs to no other one.
        let open = self.tools.remove(&(self.phases, call.to_owned()))?;
        if let Some(command) = open.command {
            // No event tells an exit code.
            self.claims.command(command, None);
        }
        let ok = value.get("isError").and_then(Value::as_bool).map(|error| !error);
        let data = json!({"call": call, "tool": open.name, "ok": ok, "result": result,
            "cut": result.ends_with(CUT), "duration_ms": value.get("durationMs"), "phase": text("phase"),
            "agent": text("agent"), "cycle": self.cycle, "sequence": record.sequence});
        Some(vec![event(EventKind::ToolFinished, data)])
    }

    /// Nothing comes any more: calls and a phase that are still open ended in nobody knows what.
    pub(super) fn close(&mut self) -> Vec<Step> {
        let open = |((_, call), tool): ((u64, String), Tool)| {
            if let Some(command) = tool.command {
                self.claims.command(command, None);
            }
            event(EventKind::ToolFinished, json!({"call": call, "tool": tool.name, "status": "unfinished"}))
        };
        let mut steps: Vec<Step> = std::mem::take(&mut self.tools).into_iter().map(open).collect();
        steps.extend(self.phase_without_end());
        steps
    }

    fn phase_without_end(&mut self) -> Option<Step> {
        let Phase { name, agent } = self.phase.take()?;
        let data = json!({"phase": name, "agent": agent, "cycle": self.cycle, "outcome": "unfinished"});
        Some(event(EventKind::PhaseFinished, data))
    }
}

/// What no engine may, on record as denied.
pub(super) fn deny(asked: Value, exactly: &str) -> Step {
    Step::Deny { asked, exactly: exactly.to_owned(), why: publish::WHY }
}
