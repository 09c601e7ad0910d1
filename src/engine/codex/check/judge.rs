//! What the exercise showed, step by step: a pure function of what was recorded and of what lay in the private home.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{home, protocol, script};
use crate::engine::adapter::PreparedFile;
use crate::engine::observed::EngineObservations;
use crate::event::{Draft, EventKind};
use crate::evidence::EngineOutcome;
use crate::vocab::{counted, shown};

/// Missing members that a sentence names; the rest is counted.
const NAMED: usize = 5;

/// Everything there is to judge by.
#[derive(Debug, Clone, Copy)]
pub struct Exercise<'a> {
    /// The events of the engine's run, as they were recorded.
    pub events: &'a [Draft],
    /// What was seen of it, and what it said.
    pub observed: &'a EngineObservations,
    /// What `--version` printed.
    pub version: Result<&'a str, &'a str>,
    /// The schema that it wrote.
    pub schema: Result<&'a [u8], &'a str>,
    /// The databases that it left in a new home.
    pub home: Result<&'a [PreparedFile], &'a str>,
    /// Names of the tools that the model was offered.
    pub offered: &'a BTreeSet<String>,
}

/// One step of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepRow {
    /// Which: `schema`, `home`, `handshake`, `thread`, `tools`, `message`, `command-granted`, `command-declined`, `patch`,
    /// `usage`, `turn`.
    pub step: String,
    /// Whether it came out as it has to.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
}

/// What a step shows, or what is wrong with it.
type Look = fn(&Exercise<'_>) -> Result<String, String>;

/// Every step of the check, in order. All of them have to be well.
#[must_use]
pub fn judge(exercise: &Exercise<'_>) -> Vec<StepRow> {
    let steps: [(&str, Look); 11] = [
        ("schema", schema),
        ("home", |exercise| home::home(exercise.home)),
        ("handshake", handshake),
        ("thread", thread),
        ("tools", |exercise| tools(exercise.offered)),
        ("message", message),
        ("command-granted", granted),
        ("command-declined", declined),
        ("patch", patch),
        ("usage", usage),
        ("turn", turn),
    ];
    let row = |(step, look): (&str, Look)| {
        let answer = look(exercise);
        let ok = answer.is_ok();
        StepRow { step: step.to_owned(), ok, detail: shown(&answer.unwrap_or_else(|wrong| wrong)) }
    };
    steps.into_iter().map(row).collect()
}

fn schema(exercise: &Exercise<'_>) -> Result<String, String> {
    let bytes =
        exercise.schema.map_err(|why| format!("the program wrote no schema of its protocol: {why}"))?;
    let document: Value = serde_json::from_slice(bytes)
        .map_err(|error| format!("the schema that the program wrote is not JSON: {error}"))?;
    let (looked, mut missing) = protocol::missing(&document)?;
    if missing.is_empty() {
        return Ok(format!("all {looked} messages, members and words that the adapter relies on are there"));
    }
    let more = match missing.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    missing.truncate(NAMED);
    Err(format!("the program's protocol lacks {}{more}", missing.join(", ")))
}

fn handshake(exercise: &Exercise<'_>) -> Result<String, String> {
    let mut notices = of(exercise, EventKind::Message).filter(|data| data["role"] == "notice");
    let agent = notices.find_map(|data| data["text"].as_str()?.strip_prefix("cto_harness/"));
    let agent = agent.ok_or("`initialize` was not answered with a user agent")?;
    let greeted = agent.split(' ').next().unwrap_or("");
    let printed = exercise.version.map_err(|why| format!("`--version` printed nothing: {why}"))?;
    let own = printed.trim().rsplit(' ').next().unwrap_or("");
    if greeted.is_empty() || greeted != own {
        return Err(format!("the user agent names version `{greeted}`, and `--version` prints `{own}`"));
    }
    Ok(format!("greeted as version {greeted}, as `--version` prints it"))
}

fn thread(exercise: &Exercise<'_>) -> Result<String, String> {
    exercise
        .observed
        .thread_id
        .as_ref()
        .map_or_else(|| Err("`thread/start` gave no thread".to_owned()), |id| Ok(format!("thread {id}")))
}

/// Exactly the known ones: each more would be a way to act that nobody here has looked at.
fn tools(offered: &BTreeSet<String>) -> Result<String, String> {
    let known: BTreeSet<String> = script::TOOLS.map(str::to_owned).into();
    let list = |names: BTreeSet<String>| Vec::from_iter(names).join("`, `");
    let more = offered - &known;
    if !more.is_empty() {
        return Err(format!("the model is offered `{}`, too, which the adapter does not know", list(more)));
    }
    let fewer = &known - offered;
    if !fewer.is_empty() {
        return Err(format!("the model is not offered `{}`", list(fewer)));
    }
    Ok(format!("the model is offered `{}` and nothing else", list(known)))
}

fn message(exercise: &Exercise<'_>) -> Result<String, String> {
    let words = of(exercise, EventKind::Message).filter(|data| data["role"] == "assistant");
    let words: Vec<&str> = words.filter_map(|data| data["text"].as_str()).collect();
    let last = exercise.observed.last_words.as_deref();
    if words == [script::FIRST, script::LAST] && last == Some(script::LAST) {
        return Ok("both messages came whole and in order".to_owned());
    }
    Err(format!("the model's messages came as {words:?}"))
}

/// The data of every event of one kind.
fn of<'a>(exercise: &'a Exercise<'_>, kind: EventKind) -> impl Iterator<Item = &'a Value> {
    exercise.events.iter().filter(move |draft| draft.kind == kind).map(|draft| &draft.data)
}

/// The digest of what was asked for, where exactly one thing was that is `what` and says `words`.
fn asked<'a>(exercise: &'a Exercise<'_>, what: &str, words: &str) -> Result<&'a Value, String> {
    let mut asked = of(exercise, EventKind::ApprovalRequested)
        .filter(|data| data.pointer("/asked/what").is_some_and(|asked| asked == what))
        .filter(|data| data["asked"].to_string().contains(words));
    match (asked.next(), asked.next()) {
        (Some(one), None) => Ok(&one["digest"]),
        (None, _) => Err(format!("it did not ask for leave for the {what}")),
        (Some(_), Some(_)) => Err(format!("it asked more than once for leave for the {what}")),
    }
}

/// That exactly one request with `digest` was answered so.
fn answered(exercise: &Exercise<'_>, kind: EventKind, digest: &Value) -> Result<(), String> {
    match of(exercise, kind).filter(|data| data["digest"] == *digest).count() {
        1 => Ok(()),
        count => Err(format!("it was answered {} by `{}`", counted(count, "time"), kind.as_str())),
    }
}

/// How the command that says `words` ended.
fn ended<'a>(exercise: &'a Exercise<'_>, words: &str) -> Result<&'a Value, String> {
    let mut ended = of(exercise, EventKind::ToolFinished).filter(|data| {
        data["tool"] == "command" && data["command"].as_str().is_some_and(|line| line.contains(words))
    });
    ended.next().ok_or_else(|| "its end was not told".to_owned())
}

fn granted(exercise: &Exercise<'_>) -> Result<String, String> {
    let digest = asked(exercise, "command", script::FOLDER)?;
    answered(exercise, EventKind::ApprovalGranted, digest)?;
    let end = ended(exercise, script::FOLDER)?;
    if (end["status"].as_str(), end["exit_code"].as_i64()) != (Some("completed"), Some(0)) {
        return Err(format!("it ended as {} with {}", end["status"], end["exit_code"]));
    }
    if !executed(exercise, "generate-json-schema") {
        return Err("the kernel saw nothing of it executed".to_owned());
    }
    Ok("asked for, granted, run to its end".to_owned())
}

/// Whether the kernel executed something with the argument `word`.
fn executed(exercise: &Exercise<'_>, word: &str) -> bool {
    let programs = exercise.observed.processes.programs();
    programs.iter().any(|program| program.executed.argv.iter().any(|argument| argument == word))
}

fn declined(exercise: &Exercise<'_>) -> Result<String, String> {
    let digest = asked(exercise, "command", script::DECLINED)?;
    answered(exercise, EventKind::ApprovalDenied, digest)?;
    if executed(exercise, "push") {
        return Err("declined, and the kernel saw it executed".to_owned());
    }
    match ended(exercise, script::DECLINED)?["status"].as_str() {
        Some("declined") => Ok("asked for, declined, not run, and the turn went on".to_owned()),
        status => Err(format!("declined, and it ended as {status:?}")),
    }
}

fn patch(exercise: &Exercise<'_>) -> Result<String, String> {
    let digest = asked(exercise, "patch", script::ADDED)?;
    answered(exercise, EventKind::ApprovalGranted, digest)?;
    let told = of(exercise, EventKind::FileChanged)
        .any(|data| data["path"] == script::ADDED && data["change"] == "added");
    if told {
        Ok("asked for, granted, made, told".to_owned())
    } else {
        Err("its file was not told".to_owned())
    }
}

fn usage(exercise: &Exercise<'_>) -> Result<String, String> {
    let answers = u64::try_from(script::turns().len()).unwrap_or(u64::MAX);
    let (input, output) = script::TOKENS;
    let each = of(exercise, EventKind::UsageReported)
        .filter(|data| data["input_tokens"] == json!(input) && data["output_tokens"] == json!(output));
    let told = u64::try_from(each.count()).unwrap_or(u64::MAX);
    let calls = exercise.observed.counts.broker.forwarded;
    // One more is asked for where words that were put in met an answer on its way.
    if told == answers && calls >= answers {
        return Ok(format!("{answers} answers, each with its tokens"));
    }
    Err(format!("of {answers} answers, {told} were told with their tokens, and {calls} were asked for"))
}

fn turn(exercise: &Exercise<'_>) -> Result<String, String> {
    let ends: Vec<&str> =
        of(exercise, EventKind::PhaseFinished).filter_map(|data| data["status"].as_str()).collect();
    let outcome = exercise.observed.outcome;
    if ends == ["completed"]
        && outcome == EngineOutcome::Completed
        && exercise.observed.counts.broker.refused == 0
    {
        return Ok("completed, and the program ended".to_owned());
    }
    let said = exercise.observed.message.as_deref().map_or_else(String::new, |words| format!(": {words}"));
    Err(format!("the turn ended as {ends:?}, the program as {outcome:?} ({}){said}", exercise.observed.exit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_more_and_a_tool_less_are_named() {
        let said = |names: &[&str]| tools(&names.iter().map(|name| (*name).to_owned()).collect());
        assert!(said(&script::TOOLS).is_ok());
        let more = said(&[&script::TOOLS[..], &["web_search"]].concat()).unwrap_err();
        assert!(more.contains("`web_search`, too"), "{more}");
        let fewer = said(&script::TOOLS[1..]).unwrap_err();
        assert!(fewer.contains("not offered `apply_patch`"), "{fewer}");
        assert!(said(&[]).is_err());
    }
}
