//! Events, one after the other, become spans: what starts opens one, what ends closes it.
//!
//! It keeps a few words for each tool call and nothing of any other event, so a long log costs little.

use std::collections::BTreeMap;

use serde_json::Value;

use super::otlp::{Span, render};
use crate::event::{Event, EventKind};
use crate::evidence::report::{EngineSection, Report};
use crate::vocab::{Digest, RunId, Verdict, shown};

/// Most spans of one trace; calls beyond it are counted on the run's span.
const MAX_SPANS: usize = 50_000;
/// Longest text taken from an event into a name, characters.
const MAX_TEXT: usize = 200;

/// The keys of an event's data that a trace reads; a reader of logs may leave out all others.
pub const TRACE_KEYS: &[&str] = &[
    "argv",
    "call",
    "command",
    "cwd",
    "during",
    "endpoint",
    "error",
    "first_byte_ms",
    "model",
    "ok",
    "on_base",
    "on_result",
    "outcome",
    "parent",
    "phase",
    "pid",
    "process",
    "program",
    "response",
    "status",
    "tool",
    "what",
];

/// Gathers spans while events are written, or while they are read again.
pub struct TraceBuilder {
    run: RunId,
    spans: Vec<Span>,
    open: BTreeMap<String, usize>,
    /// When the stage that is going on began.
    stage_start: Option<i64>,
    last: i64,
    left_out: u64,
}

impl TraceBuilder {
    /// For a log without events.
    #[must_use]
    pub fn new(run: &RunId) -> Self {
        let (spans, open) = (Vec::new(), BTreeMap::new());
        Self { run: run.clone(), spans, open, stage_start: None, last: 0, left_out: 0 }
    }

    /// Takes the next event.
    pub fn observe(&mut self, event: &Event) {
        let at = event.time.unix_micros();
        self.last = at;
        if self.spans.is_empty() {
            self.begin("run", event.seq, "run", at);
            self.stage_start = Some(at);
        }
        match event.kind {
            EventKind::DecisionEmitted => self.stage("decide", event),
            EventKind::WorkspacePrepared => self.stage("workspace", event),
            EventKind::SandboxEstablished => self.stage("sandbox", event),
            EventKind::VerdictReached => self.stage("inspect", event),
            EventKind::EngineStarted => self.begin("engine", event.seq, "invoke_agent", at),
            EventKind::EngineFinished => {
                self.end("engine", at);
                self.end_phases(at);
                self.stage_start = Some(at);
            }
            EventKind::PhaseStarted | EventKind::PhaseFinished => self.phase(event),
            EventKind::ToolCalled | EventKind::ToolFinished => self.tool(event),
            EventKind::ExecObserved => self.process(event),
            EventKind::EgressAllowed if self.call(event) => {}
            EventKind::VerificationStarted => self.begin("verification", event.seq, "verify", at),
            EventKind::CheckFinished => self.check(event),
            EventKind::VerificationFinished => {
                self.end("verification", at);
                self.stage_start = Some(at);
            }
            EventKind::RunFinished => self.end("run", at),
            EventKind::ApprovalRequested
            | EventKind::ApprovalGranted
            | EventKind::ApprovalDenied
            | EventKind::ActionAttempted
            | EventKind::EgressAllowed
            | EventKind::EgressDenied
            | EventKind::LimitReached
            | EventKind::EngineError => self.point(event),
            _ => {}
        }
    }

    /// The file's bytes. `harness` is the version that the root names.
    #[must_use]
    pub fn finish(mut self, report: &Report, harness: &str) -> Vec<u8> {
        let trace_id: String = self.run_digest("").hex().chars().take(32).collect();
        if let Some(run) = self.spans.first_mut() {
            run.attributes = run_attributes(report);
            if self.left_out > 0 {
                run.attributes.push(("opencto.trace.left_out", self.left_out.into()));
            }
            run.name = format!("invoke_workflow {}", report.task_id);
            if run.error.is_none() && report.verdict != Verdict::Pass {
                run.error = report.reasons.first().map(|reason| reason.code.clone());
            }
        }
        if let (Some(section), Some(span)) = (&report.sections.engine, self.span("engine")) {
            span.name = format!("invoke_agent {}", section.id);
            span.attributes = agent_attributes(section, report);
        }
        render(&trace_id, harness, &self.spans, self.last)
    }

    pub(super) fn span(&mut self, key: &str) -> Option<&mut Span> {
        self.open.get(key).copied().and_then(|index| self.spans.get_mut(index))
    }

    fn run_digest(&self, part: &str) -> Digest {
        Digest::of(format!("{}{part}", self.run).as_bytes())
    }

    fn begin(&mut self, key: &str, seq: u64, name: &str, start: i64) {
        let parent = match key {
            _ if key.starts_with("tool ") || key.starts_with("phase ") => "engine",
            _ if key.starts_with("check ") => "verification",
            // Of the run itself there is none open yet.
            _ => "run",
        };
        self.begin_below(parent, key, seq, name, start);
    }

    /// Whether there was room for it.
    pub(super) fn begin_below(&mut self, parent: &str, key: &str, seq: u64, name: &str, start: i64) -> bool {
        if self.spans.len() >= MAX_SPANS {
            self.left_out += 1;
            return false;
        }
        let parent = self.open.get(parent).or_else(|| self.open.get("run")).copied();
        let parent = parent.and_then(|index| self.spans.get(index)).map(|span| span.id.clone());
        let id = self.run_digest(&format!("/{seq}/{name}")).hex().chars().take(16).collect();
        self.open.insert(key.to_owned(), self.spans.len());
        let (attributes, points) = (Vec::new(), Vec::new());
        self.spans.push(Span {
            id,
            parent,
            name: name.to_owned(),
            start,
            end: None,
            attributes,
            points,
            error: None,
        });
        true
    }

    /// Spans whose keys begin so cannot be reached any more.
    pub(super) fn forget(&mut self, prefix: &str) {
        self.open.retain(|key, _| !key.starts_with(prefix));
    }

    pub(super) fn end(&mut self, key: &str, at: i64) {
        if let Some(span) = self.span(key) {
            span.end = Some(at);
        }
    }

    /// Phases that nobody ended have ended with the engine.
    fn end_phases(&mut self, at: i64) {
        for index in self.open.iter().filter(|(key, _)| key.starts_with("phase ")).map(|(_, index)| *index) {
            if let Some(span) = self.spans.get_mut(index) {
                span.end.get_or_insert(at);
            }
        }
    }

    /// A stage of the harness that is told by one event, at its end.
    fn stage(&mut self, name: &'static str, event: &Event) {
        let at = event.time.unix_micros();
        self.begin(name, event.seq, name, self.stage_start.unwrap_or(at));
        self.end(name, at);
        self.stage_start = Some(at);
        if let Some(span) = self.span(name) {
            span.attributes.push(("cicd.pipeline.task.name", name.into()));
        }
    }

    fn phase(&mut self, event: &Event) {
        let phase = word(&event.data, &["phase"]).unwrap_or_else(|| "phase".to_owned());
        let key = format!("phase {phase}");
        if event.kind == EventKind::PhaseStarted {
            self.begin(&key, event.seq, &key.clone(), event.time.unix_micros());
        } else {
            self.end(&key, event.time.unix_micros());
        }
    }

    fn tool(&mut self, event: &Event) {
        let at = event.time.unix_micros();
        let call = word(&event.data, &["call"]);
        let key = format!("tool {}", call.as_deref().unwrap_or(""));
        if event.kind == EventKind::ToolFinished {
            let failed = event.data.get("ok") == Some(&Value::Bool(false));
            let status = word(&event.data, &["status"]);
            if let Some(span) = self.span(&key) {
                span.end = Some(at);
                if failed || matches!(status.as_deref(), Some("failed" | "declined" | "error" | "unfinished"))
                {
                    span.error = Some(status.unwrap_or_else(|| "failed".to_owned()));
                }
            }
            return;
        }
        let tool = word(&event.data, &["tool"]).unwrap_or_else(|| "tool".to_owned());
        let before = self.spans.len();
        self.begin(&key, event.seq, &format!("execute_tool {tool}"), at);
        if self.spans.len() > before
            && let Some(span) = self.spans.last_mut()
        {
            span.attributes.push(("gen_ai.operation.name", "execute_tool".into()));
            span.attributes.push(("gen_ai.tool.name", tool.into()));
            if let Some(call) = call {
                span.attributes.push(("gen_ai.tool.call.id", call.into()));
            }
            span.attributes.push(("opencto.basis", serde_json::json!(event.basis)));
        }
    }

    fn check(&mut self, event: &Event) {
        let at = event.time.unix_micros();
        let name = word(&event.data, &["command"]).unwrap_or_else(|| "check".to_owned());
        let took = |tree: &str| event.data.pointer(tree).and_then(Value::as_i64).unwrap_or(0).clamp(0, at);
        // The check ran on the base first, then on the result.
        let micros = took("/on_base/micros").saturating_add(took("/on_result/micros")).min(at);
        let outcome = word(&event.data, &["outcome"]);
        let (key, before) = (format!("check {}", event.seq), self.spans.len());
        self.begin(&key, event.seq, "check", at - micros);
        if self.spans.len() == before {
            return;
        }
        if let Some(span) = self.spans.last_mut() {
            span.end = Some(at);
            span.attributes.push(("test.case.name", name.into()));
            if let Some(outcome) = outcome {
                let status = if outcome == "passed" { "pass" } else { "fail" };
                span.attributes.push(("test.case.result.status", status.into()));
                if outcome != "passed" {
                    span.error = Some(outcome);
                }
            }
        }
    }

    fn point(&mut self, event: &Event) {
        let running = self.span("engine").is_some_and(|span| span.end.is_none());
        let at = event.time.unix_micros();
        if let Some(span) = self.span(if running { "engine" } else { "run" }) {
            // More points than this say nothing more.
            if span.points.len() < 1000 {
                span.points.push((at, event.kind.as_str()));
            }
        }
    }
}

/// The first of `keys` that is a text in `data`, bounded and with controls made visible.
pub(super) fn word(data: &Value, keys: &[&str]) -> Option<String> {
    let text = keys.iter().find_map(|key| data.get(key).and_then(Value::as_str))?;
    Some(shown(&text.chars().take(MAX_TEXT).collect::<String>()))
}

fn run_attributes(report: &Report) -> Vec<(&'static str, Value)> {
    let result = match report.verdict {
        Verdict::Pass => "success",
        Verdict::Fail => "failure",
        Verdict::Blocked => "skip",
    };
    let mut attributes = vec![
        ("gen_ai.operation.name", "invoke_workflow".into()),
        ("gen_ai.workflow.name", report.task_id.as_str().into()),
        ("gen_ai.conversation.id", report.run_id.as_str().into()),
        ("cicd.pipeline.run.id", report.run_id.as_str().into()),
        ("cicd.pipeline.result", result.into()),
        ("opencto.task.id", report.task_id.as_str().into()),
        ("opencto.risk_class", report.risk_class.as_str().into()),
        ("opencto.verdict", report.verdict.as_str().into()),
    ];
    if let Some(mode) = report.mutation_mode {
        attributes.push(("opencto.mutation_mode", mode.as_str().into()));
    }
    if let Some(patch) = &report.sections.patch {
        attributes.push(("vcs.ref.base.revision", patch.base_commit.as_str().into()));
    }
    attributes
}

fn agent_attributes(engine: &EngineSection, report: &Report) -> Vec<(&'static str, Value)> {
    let mut attributes = vec![
        ("gen_ai.operation.name", "invoke_agent".into()),
        ("gen_ai.agent.name", engine.id.as_str().into()),
        ("opencto.engine.outcome", serde_json::json!(engine.outcome)),
    ];
    if let Some(model) = &engine.model {
        attributes.push(("gen_ai.request.model", model.as_str().into()));
    }
    if let Some(exit) = &engine.exit {
        attributes.push(("opencto.engine.exit", exit.as_str().into()));
    }
    let usage = &report.sections.usage;
    if let Some(tokens) = usage.claimed_input_tokens {
        attributes.push(("gen_ai.usage.input_tokens", tokens.into()));
    }
    if let Some(tokens) = usage.claimed_output_tokens {
        attributes.push(("gen_ai.usage.output_tokens", tokens.into()));
    }
    attributes
}
