//! What an agent of Case's says came of its phase: a model's own words, never checked by Case, and read defensively.

use serde_json::Value;

/// Categories of a review that end a run when they fail; the others ask for another round.
const HARD: [&str; 2] = ["principle-compliance", "scope-discipline"];
/// Characters of one statement.
const TEXT: usize = 300;
/// Entries of one list.
const ENTRIES: usize = 100;

/// What a phase says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) summary: Option<String>,
    pub(super) error: Option<String>,
    /// Paths that it says it changed.
    pub(super) files: Vec<String>,
    /// Everything else that it says is so.
    pub(super) statements: Vec<String>,
    /// Critical findings of a review.
    pub(super) critical: u64,
    /// Hard categories of a review that failed.
    pub(super) hard: Vec<String>,
    /// Whether it says that a pull request is open.
    pub(super) pull_request: bool,
}

/// Reads `result` of a `phase_end` of `phase`.
pub(super) fn read(phase: &str, result: &Value) -> Said {
    let text = |pointer: &str| result.pointer(pointer).and_then(Value::as_str).map(cut);
    let list = |pointer: &str| -> Vec<String> {
        let items = result.pointer(pointer).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).take(ENTRIES).map(cut).collect()
    };
    let mut said = Said {
        summary: text("/summary"),
        error: text("/error"),
        files: list("/artifacts/filesChanged"),
        ..Said::default()
    };
    let mut state = |words: String| said.statements.push(format!("{phase}: {words}"));
    if let Some(commit) = text("/artifacts/commit") {
        state(format!("committed {commit}"));
    }
    if let Some(passed) = result.pointer("/artifacts/testsPassed").and_then(Value::as_bool) {
        state(format!("tests {}", if passed { "passed" } else { "failed" }));
    }
    for marker in list("/artifacts/evidenceMarkers") {
        state(format!("left the marker {marker}"));
    }
    if let Some(url) = text("/artifacts/prUrl") {
        said.pull_request = true;
        said.statements.push(format!("{phase}: opened the pull request {url}"));
    }
    if phase == "review" {
        said.critical = result.pointer("/findings/critical").and_then(Value::as_u64).unwrap_or(0);
        said.hard = failed_categories(result);
    }
    said
}

fn failed_categories(result: &Value) -> Vec<String> {
    let categories = result.pointer("/rubric/categories").and_then(Value::as_array);
    let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let failed = |row: &&Value| text(row, "verdict") == "fail";
    let names =
        categories.into_iter().flatten().take(ENTRIES).filter(failed).map(|row| text(row, "category"));
    names.filter(|name| HARD.contains(&name.as_str())).collect()
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT).collect()
}
