//! What the scripted model says and calls, turn by turn, as output items of the Responses API.

use serde_json::{Value, json};

use super::NEW_HOME;
use crate::engine::PROGRAM;
use crate::engine::codex::config::{self, NO_PROGRAMS};

/// The contract of the check.
pub const CONTRACT: &str = include_str!("../../../../engines/codex/check/contract.toml");
/// The one file of its repository: path and text.
pub const REPOSITORY: (&str, &str) =
    ("README.md", include_str!("../../../../engines/codex/check/repo/README.md"));

/// Folder in the private home that the first command fills.
pub const FOLDER: &str = "check";
/// What `--version` printed, below [`FOLDER`].
pub const VERSION_FILE: &str = "version";
/// The schema that the program wrote of its own protocol, below [`FOLDER`].
pub const SCHEMA_FILE: &str = "schema/codex_app_server_protocol.schemas.json";

/// Tokens that each answer of the scripted model names: input, output.
pub const TOKENS: (u64, u64) = (100, 10);
/// The tools that the adapter's configuration leaves to the model.
pub(super) const TOOLS: [&str; 4] = ["apply_patch", "exec_command", "view_image", "write_stdin"];
/// Said before anything is called.
pub(super) const FIRST: &str = "First the protocol.";
/// Said at the end.
pub(super) const LAST: &str = "Everything was tried.";
/// Plainly forbidden by the contract of the check.
pub(super) const DECLINED: &str = "git push origin main";
/// What the patch adds, outside of the tree, which is read-only.
pub(super) const ADDED: &str = "/tmp/cto-engine-check.txt";

/// The command that leave is given for: the program tells of itself, into its private home, and starts once in a home
/// that is used for nothing else, configured as its own; with nobody to hear it ends.
pub(super) fn granted() -> String {
    let (program, folder) = (PROGRAM, format!("{}/{FOLDER}", config::HOME));
    let (own, new) = (format!("{}/{}", config::HOME, config::FILE), format!("{folder}/{NEW_HOME}"));
    format!(
        "mkdir -p {new}/tmp && {program} --version > {folder}/{VERSION_FILE} && \
         {program} app-server generate-json-schema --experimental --out {folder}/schema && cp {own} {new} && \
         CODEX_HOME={new} HOME={new} TMPDIR={new}/tmp PATH={NO_PROGRAMS} {program} app-server --strict-config < /dev/null"
    )
}

/// The items of each answer, in order.
#[must_use]
pub fn turns() -> Vec<Vec<Value>> {
    let patch = format!("*** Begin Patch\n*** Add File: {ADDED}\n+tried\n*** End Patch\n");
    vec![
        vec![message("m0", FIRST), exec("c0", &granted())],
        vec![exec("c1", DECLINED)],
        vec![json!({"type": "custom_tool_call", "id": "i2", "call_id": "c2", "name": "apply_patch",
            "status": "completed", "input": patch})],
        vec![message("m3", LAST)],
    ]
}

fn message(id: &str, text: &str) -> Value {
    json!({"type": "message", "role": "assistant", "id": id, "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}]})
}

fn exec(call: &str, command: &str) -> Value {
    json!({"type": "function_call", "id": format!("i{call}"), "call_id": call, "name": "exec_command",
        "status": "completed", "arguments": json!({"cmd": command, "yield_time_ms": 30_000}).to_string()})
}
