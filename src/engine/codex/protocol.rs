//! The messages that are sent to `codex app-server`: one JSON object a line, without a `jsonrpc` member.

use serde_json::{Value, json};

use crate::contract::{OutputKind, TaskContract};
use crate::engine::adapter::{Step, WORKSPACE};

/// Request ids of ours, one for each kind that is sent once.
pub(super) const INITIALIZE: u64 = 0;
pub(super) const THREAD_START: u64 = 1;
pub(super) const TURN_START: u64 = 2;
pub(super) const INTERRUPT: u64 = 3;
pub(super) const THREAD_RESUME: u64 = 4;
/// The first of the ids of words that are put in while a turn goes on; each further one is one more.
pub(super) const FIRST_STEER: u64 = 100;

pub(super) fn line(message: &Value) -> Vec<u8> {
    let mut bytes = message.to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}

fn send(message: &Value) -> Step {
    Step::Send(line(message))
}

pub(super) fn initialize() -> Step {
    send(&json!({"id": INITIALIZE, "method": "initialize", "params": {
        "clientInfo": {"name": "cto_harness", "title": "CTO Harness", "version": env!("CARGO_PKG_VERSION")},
        "capabilities": {"experimentalApi": true}}}))
}

pub(super) fn initialized() -> Step {
    send(&json!({"method": "initialized"}))
}

/// `untrusted` makes it ask before every command and patch, so that each grant is on record; its own sandbox cannot
/// work inside ours.
pub(super) fn thread_start() -> Step {
    send(&json!({"id": THREAD_START, "method": "thread/start", "params": {"cwd": WORKSPACE,
        "approvalPolicy": "untrusted", "sandbox": "danger-full-access", "experimentalRawEvents": true}}))
}

/// The same settings again: a thread does not remember its sandbox (facts of 0.169.0), and its folder is told anew.
pub(super) fn thread_resume(thread: &str) -> Step {
    send(
        &json!({"id": THREAD_RESUME, "method": "thread/resume", "params": {"threadId": thread, "excludeTurns": true,
        "cwd": WORKSPACE, "approvalPolicy": "untrusted", "sandbox": "danger-full-access"}}),
    )
}

/// `form` is the JSON Schema of the last message, where it has to be a document.
pub(super) fn turn_start(thread: &str, text: &str, form: Option<&Value>) -> Step {
    let mut params = json!({"threadId": thread, "input": [{"type": "text", "text": text}]});
    if let (Some(form), Some(params)) = (form, params.as_object_mut()) {
        params.insert("outputSchema".to_owned(), form.clone());
    }
    send(&json!({"id": TURN_START, "method": "turn/start", "params": params}))
}

pub(super) fn interrupt(thread: &str, turn: &str) -> Step {
    send(
        &json!({"id": INTERRUPT, "method": "turn/interrupt", "params": {"threadId": thread, "turnId": turn}}),
    )
}

/// Puts words in while a turn goes on: a declined request has no room for a reason.
pub(super) fn steer(id: u64, thread: &str, turn: &str, words: &str) -> Step {
    send(&json!({"id": id, "method": "turn/steer", "params": {"threadId": thread, "expectedTurnId": turn,
        "input": [{"type": "text", "text": words}]}}))
}

/// What was asked is granted.
pub(super) fn accept(id: &Value) -> Vec<u8> {
    line(&json!({"id": id, "result": {"decision": "accept"}}))
}

/// What was asked is too much.
pub(super) fn decline(id: &Value) -> Vec<u8> {
    line(&json!({"id": id, "result": {"decision": "decline"}}))
}

/// What was asked is not something that this harness answers.
pub(super) fn refuse(id: &Value) -> Step {
    send(&json!({"id": id, "error": {"code": -32601, "message": "not offered by this client"}}))
}

/// The contract as the engine is told it. The bounds are told so that it need not run into them; they hold anyway.
pub(super) fn task_text(contract: &TaskContract) -> String {
    let mut text =
        format!("{}\n\n{}\n\nBounds, enforced from outside:\n", contract.title, contract.instructions);
    text.push_str(&format_list("- only these paths may change", contract.allowed_paths.iter().flatten()));
    let forbidden = contract.forbidden_actions.iter().flatten().map(ToString::to_string).collect::<Vec<_>>();
    text.push_str(&format_list("- forbidden", forbidden.iter()));
    if !contract.ask_first.is_empty() {
        let marked: Vec<String> = contract.ask_first.iter().map(ToString::to_string).collect();
        text.push_str(&format_list("- a person is asked before", marked.iter()));
    }
    let checks: Vec<String> =
        contract.verification_commands.iter().map(|check| check.argv.join(" ")).collect();
    text.push_str(&format_list("- afterwards these are run on the result", checks.iter()));
    text.push_str(&match contract.network_allow.as_slice() {
        [] => "- there is no network\n".to_owned(),
        some => format_list(NETWORK, some.iter()),
    });
    text.push_str(match contract.output.map(|output| output.kind) {
        None => "- do not commit; leave the change in the work tree\n",
        Some(OutputKind::Plan) => PLAN,
        Some(OutputKind::Review) => REVIEW,
    });
    text
}

const PLAN: &str = "- change nothing; your last message is the plan, one JSON document of the given schema\n";
const REVIEW: &str = "- change nothing; your last message is the review, one JSON document of the given schema; \
    a finding names a file of this tree (relative to its top) and lines that are in it\n";

const NETWORK: &str = "- the only network is HTTPS, by the proxy in HTTPS_PROXY, to these";

fn format_list<'a>(what: &str, items: impl Iterator<Item = &'a String>) -> String {
    let items: Vec<&str> = items.map(String::as_str).collect();
    if items.is_empty() { format!("{what}: none\n") } else { format!("{what}: {}\n", items.join(", ")) }
}
