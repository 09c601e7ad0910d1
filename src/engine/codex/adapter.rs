//! The conversation with `codex app-server`: initialize, one thread, one turn, its end.
//!
//! ```text
//! Opened ─initialize→ Initialized ─thread/start→ Threaded ─turn/start→ Turning ─turn/completed→ Over
//!                            └──thread/resume──────↗ (or, where nothing was written down, thread/start after all)
//!    └──────────────── an error answer to any of them, from any state ──────────────────────────↗
//! ```
//! Nothing after `Over` counts: a process that was left behind may go on talking.

use serde_json::{Value, json};

use super::config;
use super::items::{self, Items, message};
use super::protocol;
use super::resume::Resume;
use crate::engine::adapter::{
    Adapter, AdapterError, AdapterOutcome, Claims, LaunchPlan, PlanInput, PrivateHome, Step, Stream,
    WORKSPACE, unrecognized,
};
use crate::engine::leave::Wish;
use crate::event::{Draft, EventKind};
use crate::evidence::{Document, EngineOutcome};

/// Bytes of an id that codex may choose; a longer one is not an id.
const ID_BYTES: usize = 128;

/// Where the conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Default)]
enum Phase {
    #[default]
    Opened,
    Initialized,
    Threaded,
    Turning,
    Over,
}

/// How the turn ended, by its own word.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Completed,
    Interrupted,
    Failed(String),
}

/// The adapter of the engine `codex`.
#[derive(Debug, Default)]
pub struct CodexAdapter {
    phase: Phase,
    task: String,
    resume: Resume,
    /// The form of the last message, where a document is asked for.
    form: Option<Value>,
    thread: Option<String>,
    turn: Option<String>,
    /// Words that were put in while the turn went on.
    steers: u64,
    items: Items,
    claims: Claims,
    last_message: Option<String>,
    end: Option<End>,
    stopping: bool,
    exit: Option<String>,
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn id_text(value: &Value, pointer: &str) -> Option<String> {
    let id = text(value, pointer);
    let fine = !id.is_empty() && id.len() <= ID_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic());
    fine.then(|| id.to_owned())
}

fn event(kind: EventKind, data: Value) -> Step {
    Step::Event(Draft::claimed(kind, data))
}

impl CodexAdapter {
    /// An adapter that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the conversation. What the end was is settled once.
    fn over(&mut self, end: End) -> Vec<Step> {
        self.phase = Phase::Over;
        self.end.get_or_insert(end);
        vec![Step::CloseInput, Step::Done]
    }

    fn is_steer(&self, id: u64) -> bool {
        id.checked_sub(protocol::FIRST_STEER).is_some_and(|number| number < self.steers)
    }

    fn failed(&mut self, why: &str) -> Vec<Step> {
        let mut steps = vec![event(EventKind::EngineError, json!({"message": why, "final": true}))];
        steps.extend(self.over(End::Failed(why.to_owned())));
        steps
    }

    fn on_answer(&mut self, id: u64, document: &Value) -> Option<Vec<Step>> {
        if let Some(error) = document.get("error") {
            // A turn that ended meanwhile takes neither, and has ended all the same.
            if id == protocol::INTERRUPT || self.is_steer(id) {
                return Some(Vec::new());
            }
            let why = text(error, "/message");
            let anew = (id == protocol::THREAD_RESUME).then(|| self.resume.gives_way(why)).flatten();
            return Some(match anew {
                Some(said) => vec![Step::Event(said), protocol::thread_start()],
                None => self.failed(why),
            });
        }
        let result = document.get("result")?;
        match (id, self.phase) {
            (protocol::INITIALIZE, Phase::Opened) => {
                self.phase = Phase::Initialized;
                let greeting = message("notice", text(result, "/userAgent"));
                let thread =
                    self.resume.thread().map_or_else(protocol::thread_start, protocol::thread_resume);
                Some(vec![Step::Event(greeting), protocol::initialized(), thread])
            }
            (protocol::THREAD_START | protocol::THREAD_RESUME, Phase::Initialized) => {
                let Some(thread) = id_text(result, "/thread/id") else {
                    return Some(self.failed("thread/start was answered without a thread id"));
                };
                if let Some(why) = self.resume.refuses(&thread) {
                    return Some(self.failed(&why));
                }
                self.phase = Phase::Threaded;
                self.thread = Some(thread.clone());
                let text = self.resume.turn_text(&self.task);
                let turn = protocol::turn_start(&thread, &text, self.form.as_ref());
                Some(vec![Step::ThreadId(thread), turn])
            }
            (protocol::TURN_START, Phase::Threaded) => {
                self.phase = Phase::Turning;
                self.turn = id_text(result, "/turn/id");
                Some(Vec::new())
            }
            (protocol::INTERRUPT, _) => Some(Vec::new()),
            (id, _) if self.is_steer(id) => Some(Vec::new()),
            _ => None,
        }
    }

    /// A request of codex to us: leave for a command or a patch. Nothing else is offered.
    fn on_request(&self, id: &Value, method: &str, document: &Value, line: &[u8]) -> Vec<Step> {
        let call = text(document, "/params/itemId");
        let reason = document.pointer("/params/reason");
        match method {
            "item/commandExecution/requestApproval" => {
                let (command, cwd) = (text(document, "/params/command"), text(document, "/params/cwd"));
                let asked = json!({"call": call, "what": "command", "command": command, "cwd": cwd, "reason": reason});
                vec![ask(id, Wish::Command(command.to_owned()), asked, &json!([command, cwd]))]
            }
            "item/fileChange/requestApproval" => {
                let changes = self.items.changes(call);
                let paths = changes.and_then(items::changed_paths);
                let asked = json!({"call": call, "what": "patch", "paths": paths, "reason": reason,
                    "grant_root": document.pointer("/params/grantRoot")});
                vec![ask(id, Wish::Change(paths), asked, changes.unwrap_or(&Value::Null))]
            }
            _ => vec![unrecognized(Stream::Stdout, line), protocol::refuse(id)],
        }
    }

    fn on_notification(&mut self, method: &str, document: &Value) -> Option<Vec<Step>> {
        let params = document.get("params").unwrap_or(&Value::Null);
        let item = params.get("item").unwrap_or(&Value::Null);
        let drafts = match method {
            "item/started" => self.items.started(item)?,
            "item/completed" => {
                if text(item, "/type") == "agentMessage" {
                    self.last_message = Some(text(item, "/text").to_owned());
                }
                self.items.completed(item, &mut self.claims)?
            }
            "rawResponseItem/completed" => self.items.raw(item)?,
            "rawResponse/completed" => vec![self.usage(params)],
            "thread/tokenUsage/updated" => self.grown(params).into_iter().collect(),
            "turn/started" => vec![Draft::claimed(EventKind::PhaseStarted, json!({"phase": "turn"}))],
            "turn/completed" => return Some(self.turn_completed(params)),
            "error" => {
                let data = json!({"message": text(params, "/error/message"),
                    "info": params.pointer("/error/codexErrorInfo"),
                    "final": params.get("willRetry") == Some(&Value::Bool(false))});
                vec![Draft::claimed(EventKind::EngineError, data)]
            }
            "warning" | "guardianWarning" => vec![message("warning", text(params, "/message"))],
            "configWarning" | "deprecationNotice" => vec![message("warning", text(params, "/summary"))],
            "model/rerouted" => {
                let words =
                    format!("model {} became {}", text(params, "/fromModel"), text(params, "/toModel"));
                vec![message("warning", &words)]
            }
            "turn/plan/updated" => {
                vec![message("plan", &params.get("plan").unwrap_or(&Value::Null).to_string())]
            }
            quiet if QUIET.contains(&quiet) => Vec::new(),
            _ => return None,
        };
        Some(drafts.into_iter().map(Step::Event).collect())
    }

    fn usage(&mut self, params: &Value) -> Draft {
        let count =
            |name: &str| params.get("usage").and_then(|usage| usage.get(name)).and_then(Value::as_u64);
        let (input, output) = (count("inputTokens"), count("outputTokens"));
        self.claims.tokens(input, output);
        let data = json!({"response": text(params, "/responseId"), "input_tokens": input, "output_tokens": output,
            "cached_input_tokens": count("cachedInputTokens"),
            "reasoning_output_tokens": count("reasoningOutputTokens")});
        Draft::claimed(EventKind::UsageReported, data)
    }

    /// Of a thread that was resumed, its totals tell what was used.
    fn grown(&mut self, params: &Value) -> Option<Draft> {
        let draft = self.resume.usage(params, self.turn.as_deref() == Some(text(params, "/turnId")))?;
        let count = |name: &str| draft.data.get(name).and_then(Value::as_u64);
        self.claims.tokens(count("input_tokens"), count("output_tokens"));
        Some(draft)
    }

    fn turn_completed(&mut self, params: &Value) -> Vec<Step> {
        let thread = text(params, "/threadId");
        if self.thread.as_deref() != Some(thread) {
            // A thread that codex started by itself; ours goes on.
            return vec![event(EventKind::PhaseFinished, json!({"phase": "turn", "thread": thread}))];
        }
        let status = text(params, "/turn/status");
        let mut steps = vec![event(EventKind::PhaseFinished, json!({"phase": "turn", "status": status}))];
        let end = match status {
            "completed" => End::Completed,
            "interrupted" => End::Interrupted,
            _ => {
                let why = match text(params, "/turn/error/message") {
                    "" => format!("the turn ended as `{status}`"),
                    why => why.to_owned(),
                };
                let info = params.pointer("/turn/error/codexErrorInfo");
                steps.push(event(
                    EventKind::EngineError,
                    json!({"message": why, "info": info, "final": true}),
                ));
                End::Failed(why)
            }
        };
        steps.extend(self.over(end));
        steps
    }
}

/// Notifications that are known and have no event: pieces of what is told whole later, and state that nobody asked
/// for. The raw log has them.
const QUIET: [&str; 23] = [
    "account/rateLimits/updated",
    "account/updated",
    "hook/completed",
    "hook/started",
    "item/agentMessage/delta",
    "item/commandExecution/outputDelta",
    "item/commandExecution/terminalInteraction",
    "item/fileChange/outputDelta",
    "item/fileChange/patchUpdated",
    "item/mcpToolCall/progress",
    "item/plan/delta",
    "item/reasoning/summaryPartAdded",
    "item/reasoning/summaryTextDelta",
    "item/reasoning/textDelta",
    "mcpServer/startupStatus/updated",
    "remoteControl/status/changed",
    "serverRequest/resolved",
    "skills/changed",
    "thread/readState/changed",
    "thread/settings/updated",
    "thread/started",
    "thread/status/changed",
    "turn/diff/updated",
];

fn ask(id: &Value, wish: Wish, asked: Value, exactly: &Value) -> Step {
    Step::Ask {
        wish,
        granted: protocol::accept(id),
        declined: protocol::decline(id),
        asked,
        exactly: exactly.to_string(),
    }
}

impl Adapter for CodexAdapter {
    fn plan(&mut self, input: &PlanInput<'_>) -> Result<LaunchPlan, AdapterError> {
        let model = input.model.ok_or_else(|| AdapterError::NoModel("codex".into()))?;
        self.task = protocol::task_text(input.contract);
        self.resume = Resume::of(input.earlier);
        self.form = input.contract.output.map(|output| Document::form(output.kind));
        let config = config::config_toml(input, model)?;
        let prepared = input.prepared.iter().map(|file| (file.name.clone(), file.bytes.clone()));
        Ok(LaunchPlan {
            argv: vec![input.program.to_owned(), "app-server".to_owned(), "--strict-config".to_owned()],
            env: config::environment(input),
            cwd: WORKSPACE.to_owned(),
            home: Some(PrivateHome {
                at: config::HOME.to_owned(),
                folders: vec!["home".to_owned(), "tmp".to_owned()],
                files: [(config::FILE.to_owned(), config.into_bytes())].into_iter().chain(prepared).collect(),
                kept: Some(config::kept()),
                also_at: Vec::new(),
            }),
            needs_listener: true,
            ..LaunchPlan::default()
        })
    }

    fn opening(&mut self) -> Vec<Step> {
        vec![protocol::initialize()]
    }

    fn on_line(&mut self, stream: Stream, line: &[u8]) -> Vec<Step> {
        let raw = || vec![unrecognized(stream, line)];
        if stream == Stream::Stderr || self.phase == Phase::Over {
            return raw();
        }
        let Ok(document) = serde_json::from_slice::<Value>(line) else { return raw() };
        let method = document.get("method").and_then(Value::as_str);
        let known = match (method, document.get("id")) {
            (Some(method), Some(id)) => Some(self.on_request(id, method, &document, line)),
            (Some(method), None) => self.on_notification(method, &document),
            (None, Some(id)) => id.as_u64().and_then(|id| self.on_answer(id, &document)),
            (None, None) => None,
        };
        known.unwrap_or_else(raw)
    }

    fn on_exit(&mut self, exit: &str) -> Vec<Step> {
        self.exit = Some(exit.to_owned());
        self.items.unfinished().into_iter().map(Step::Event).collect()
    }

    fn declined(&mut self, why: &str) -> Vec<Step> {
        let (Some(thread), Some(turn)) = (&self.thread, &self.turn) else { return Vec::new() };
        let id = protocol::FIRST_STEER.saturating_add(self.steers);
        self.steers = self.steers.saturating_add(1);
        vec![protocol::steer(id, thread, turn, &format!("Declined by the harness: {why}. Go on without it."))]
    }

    fn interrupt(&mut self) -> Vec<Step> {
        self.stopping = true;
        match (self.phase, &self.thread, &self.turn) {
            (Phase::Turning, Some(thread), Some(turn)) => vec![protocol::interrupt(thread, turn)],
            _ => vec![Step::CloseInput],
        }
    }

    fn outcome(&self) -> AdapterOutcome {
        let clean = self.exit.as_deref() == Some("exited:0");
        let (outcome, message) = match &self.end {
            _ if self.stopping => (EngineOutcome::Interrupted, self.last_message.clone()),
            Some(End::Failed(why)) => (EngineOutcome::Failed, Some(why.clone())),
            Some(End::Interrupted) => {
                (EngineOutcome::Failed, Some("the turn was interrupted by itself".to_owned()))
            }
            Some(End::Completed) if clean => (EngineOutcome::Completed, self.last_message.clone()),
            Some(End::Completed) | None => (EngineOutcome::Crashed, self.last_message.clone()),
        };
        let last_words = self.last_message.clone();
        AdapterOutcome { outcome, message, last_words, claims: self.claims.clone() }
    }
}
