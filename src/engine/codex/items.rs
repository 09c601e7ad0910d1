//! What codex says it does, item by item, as normalized events.
//!
//! Items are told twice: as thread items (commands, patches, messages) and as raw response items (what the model
//! called, and what it was answered). A call that fails early has no thread item at all, so raw calls are kept until
//! they are answered, and those without a thread item become events of their own.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::engine::adapter::Claims;
use crate::event::{Draft, EventKind};

/// Calls that are remembered until they are answered.
const OPEN_CALLS: usize = 1_000;
/// Patches whose changes are remembered until they are made; each is as large as a line of output may be.
const OPEN_PATCHES: usize = 8;
/// Files of one patch that are looked at.
const PATCH_FILES: usize = 1_000;

/// Calls that were made and not yet answered.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// Raw calls without a thread item so far: call id → name and arguments.
    unseen: BTreeMap<String, (String, String)>,
    /// Thread items that began and have not ended: item id → tool.
    open: BTreeMap<String, &'static str>,
    /// What the patches that are open would change, as codex told it.
    changes: BTreeMap<String, Value>,
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

fn claimed(kind: EventKind, data: Value) -> Draft {
    Draft::claimed(kind, data)
}

/// The name of the tool behind a thread item, for items that are tool calls.
fn tool(item: &Value) -> Option<&'static str> {
    Some(match text(item, "type") {
        "commandExecution" => "command",
        "fileChange" => "patch",
        "mcpToolCall" => "mcp",
        "dynamicToolCall" => "dynamic",
        "collabAgentToolCall" => "collab",
        "webSearch" => "web-search",
        "imageView" => "image-view",
        "imageGeneration" => "image-generation",
        "sleep" => "sleep",
        _ => return None,
    })
}

impl Items {
    /// A thread item began. `None`: not an item that is known.
    pub(super) fn started(&mut self, item: &Value) -> Option<Vec<Draft>> {
        let id = text(item, "id");
        self.unseen.remove(id);
        let Some(tool) = tool(item) else { return quiet_or_spoken(item).then(Vec::new) };
        if self.open.len() < OPEN_CALLS {
            self.open.insert(id.to_owned(), tool);
        }
        if let (true, Some(changes)) = (self.changes.len() < OPEN_PATCHES, item.get("changes")) {
            self.changes.insert(id.to_owned(), changes.clone());
        }
        Some(vec![claimed(EventKind::ToolCalled, call_data(id, tool, item))])
    }

    /// A thread item ended. `None`: not an item that is known.
    pub(super) fn completed(&mut self, item: &Value, claims: &mut Claims) -> Option<Vec<Draft>> {
        let id = text(item, "id");
        self.unseen.remove(id);
        self.changes.remove(id);
        if let Some(tool) = tool(item) {
            let known = self.open.remove(id).is_some();
            let mut drafts = Vec::new();
            if !known {
                drafts.push(claimed(EventKind::ToolCalled, call_data(id, tool, item)));
            }
            drafts.push(claimed(EventKind::ToolFinished, result_data(id, tool, item)));
            drafts.extend(effects(tool, item, claims));
            return Some(drafts);
        }
        match text(item, "type") {
            "agentMessage" => Some(vec![message("assistant", text(item, "text"))]),
            "plan" => Some(vec![message("plan", text(item, "text"))]),
            "reasoning" => {
                let parts = item.get("summary").and_then(Value::as_array).into_iter().flatten();
                let summary: Vec<&str> = parts.filter_map(Value::as_str).collect();
                Some(if summary.is_empty() {
                    Vec::new()
                } else {
                    vec![message("reasoning", &summary.join("\n"))]
                })
            }
            "contextCompaction" => Some(vec![message("notice", "the context was compacted")]),
            _ => quiet_or_spoken(item).then(Vec::new),
        }
    }

    /// What an open patch would change.
    pub(super) fn changes(&self, id: &str) -> Option<&Value> {
        self.changes.get(id)
    }

    /// The model made a call, or was answered one. `None`: not an item that is known.
    pub(super) fn raw(&mut self, item: &Value) -> Option<Vec<Draft>> {
        let call = text(item, "call_id");
        match text(item, "type") {
            "function_call" | "custom_tool_call" => {
                let arguments =
                    if item.get("input").is_some() { text(item, "input") } else { text(item, "arguments") };
                if self.unseen.len() < OPEN_CALLS && !self.open.contains_key(call) {
                    self.unseen
                        .insert(call.to_owned(), (text(item, "name").to_owned(), arguments.to_owned()));
                }
                Some(Vec::new())
            }
            "function_call_output" | "custom_tool_call_output" => {
                let Some((name, arguments)) = self.unseen.remove(call) else { return Some(Vec::new()) };
                let output = item.get("output").cloned().unwrap_or(Value::Null);
                Some(vec![
                    claimed(EventKind::ToolCalled, json!({"call": call, "tool": name, "detail": arguments})),
                    claimed(EventKind::ToolFinished, json!({"call": call, "tool": name, "output": output})),
                ])
            }
            "message" | "reasoning" | "web_search_call" | "compaction" | "ghost_snapshot" => Some(Vec::new()),
            _ => None,
        }
    }

    /// What is still open when the process is gone.
    pub(super) fn unfinished(&mut self) -> Vec<Draft> {
        let open = std::mem::take(&mut self.open).into_iter().map(|(id, tool)| (id, tool.to_owned()));
        let unseen = std::mem::take(&mut self.unseen).into_iter().map(|(id, (name, _))| (id, name));
        open.chain(unseen)
            .map(|(id, tool)| {
                claimed(EventKind::ToolFinished, json!({"call": id, "tool": tool, "status": "unfinished"}))
            })
            .collect()
    }
}

/// Items that are known and have no event: our own words, and those that are told elsewhere or when they end.
fn quiet_or_spoken(item: &Value) -> bool {
    let known = [
        "userMessage",
        "agentMessage",
        "reasoning",
        "plan",
        "contextCompaction",
        "functionCallOutput",
        "enteredReviewMode",
        "exitedReviewMode",
        "subAgentActivity",
    ];
    known.contains(&text(item, "type"))
}

pub(super) fn message(role: &str, words: &str) -> Draft {
    claimed(EventKind::Message, json!({"role": role, "text": words}))
}

/// The files that `changes` name, both names of a moved one, relative to the work tree where they lie in it. `None`
/// where one has no name, or there are too many.
pub(super) fn changed_paths(changes: &Value) -> Option<Vec<String>> {
    let changes = changes.as_array().filter(|changes| changes.len() <= PATCH_FILES)?;
    let relative = |path: &str| path.strip_prefix("/workspace/").unwrap_or(path).to_owned();
    let mut paths = Vec::new();
    for change in changes {
        paths.push(relative(change.get("path").and_then(Value::as_str)?));
        let moved = change.pointer("/kind/move_path").and_then(Value::as_str);
        paths.extend(moved.map(relative));
    }
    Some(paths)
}

fn paths(item: &Value) -> Vec<&str> {
    let changes = item.get("changes").and_then(Value::as_array).into_iter().flatten();
    changes.map(|change| text(change, "path")).collect()
}

fn call_data(id: &str, tool: &str, item: &Value) -> Value {
    match tool {
        "command" => {
            json!({"call": id, "tool": tool, "command": text(item, "command"), "cwd": text(item, "cwd")})
        }
        "patch" => json!({"call": id, "tool": tool, "paths": paths(item)}),
        "web-search" => json!({"call": id, "tool": tool, "detail": text(item, "query")}),
        "image-view" => json!({"call": id, "tool": tool, "detail": text(item, "path")}),
        _ => json!({"call": id, "tool": tool, "server": text(item, "server"), "name": text(item, "tool"),
            "arguments": item.get("arguments")}),
    }
}

fn result_data(id: &str, tool: &str, item: &Value) -> Value {
    let status = text(item, "status");
    match tool {
        "command" => json!({"call": id, "tool": tool, "command": text(item, "command"), "status": status,
            "exit_code": item.get("exitCode"), "output": item.get("aggregatedOutput"),
            "millis": item.get("durationMs")}),
        "patch" => json!({"call": id, "tool": tool, "status": status, "paths": paths(item)}),
        _ => json!({"call": id, "tool": tool, "status": status, "error": item.get("error")}),
    }
}

/// What a finished tool call is said to have changed.
fn effects(tool: &str, item: &Value, claims: &mut Claims) -> Vec<Draft> {
    if tool == "command" && text(item, "status") != "declined" {
        claims.command(text(item, "command").to_owned(), item.get("exitCode").and_then(Value::as_i64));
    }
    if tool != "patch" || text(item, "status") != "completed" {
        return Vec::new();
    }
    let changes = item.get("changes").and_then(Value::as_array).into_iter().flatten();
    changes
        .map(|change| {
            let (path, kind) = (text(change, "path"), change.get("kind"));
            claims.file(path);
            let moved = kind.and_then(|kind| kind.get("move_path")).and_then(Value::as_str);
            if let Some(moved) = moved {
                claims.file(moved);
            }
            let change = match kind.map_or("", |kind| text(kind, "type")) {
                "add" => "added",
                "delete" => "deleted",
                "update" => "modified",
                _ => "unknown",
            };
            claimed(EventKind::FileChanged, json!({"path": path, "change": change, "moved_to": moved}))
        })
        .collect()
}
