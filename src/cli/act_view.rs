//! An act that waits for a person, shown exactly as it would happen, before a key is used for it.

use serde_json::Value;

use super::output::{Line, Output, Tone};
use super::problem::Problem;
use crate::approval::{PendingAct, PendingRequest};

/// Refuses a request whose text is not the one that an answer would sign.
pub(super) fn refuse_altered(request: &PendingRequest) -> Result<(), Problem> {
    match &request.act {
        Some(act) if act.digest() != request.request_digest => Err(Problem::usage(
            format!(
                "the request {} was altered: its text is not what an answer would sign",
                request.request_id
            ),
            "do not answer it; look who can write to the state folder",
        )),
        _ => Ok(()),
    }
}

/// Shows what is asked, every control made visible.
pub(super) fn show(request: &PendingRequest, output: &mut Output) {
    let Some(act) = &request.act else { return };
    let title = Line::new()
        .add(Tone::Strong, &request.title)
        .plain(format!(": {} asks before it goes on", act.run_id));
    output.say(&title);
    output.say(&Line::of(format!("mark of the contract: {}", act.rule)));
    for line in lines(act) {
        output.say(&line);
    }
    output.say(&Line::new().add(Tone::Quiet, format!("signed is {}", request.request_digest)));
}

fn lines(act: &PendingAct) -> Vec<Line> {
    match serde_json::from_str::<Value>(&act.exactly) {
        Ok(Value::Array(parts)) => match parts.as_slice() {
            [Value::String(command), Value::String(cwd)] => {
                let mut lines = block("command", command);
                lines.extend(block("in", cwd));
                lines
            }
            changes => changes.iter().flat_map(change).collect(),
        },
        // Whatever it is, it is shown as it stands.
        Ok(_) | Err(_) => block("exactly", &act.exactly),
    }
}

fn change(change: &Value) -> Vec<Line> {
    let text = |pointer: &str| change.pointer(pointer).and_then(Value::as_str);
    match (text("/path"), text("/kind/type"), text("/diff")) {
        (Some(path), Some(kind), Some(diff)) => {
            let to = text("/kind/move_path").map_or_else(String::new, |to| format!(" to {to}"));
            let mut lines = block(kind, &format!("{path}{to}"));
            lines.extend(block("", diff));
            lines
        }
        _ => block("change", &change.to_string()),
    }
}

/// A name, and its text with every line indented, so that no line of it can pass for one of ours.
fn block(name: &str, text: &str) -> Vec<Line> {
    let named = Some(Line::new().add(Tone::Quiet, name)).filter(|_| !name.is_empty());
    named.into_iter().chain(text.split('\n').map(|line| Line::of("  | ").plain(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::{ActionId, Digest, RunId};

    fn shown(exactly: &str) -> String {
        let rule = ActionId::parse("git.commit").unwrap();
        let act =
            PendingAct { run_id: RunId::new(), decision: Digest::of(b""), rule, exactly: exactly.to_owned() };
        lines(&act).iter().fold(String::new(), |all, line| all + &format!("{line:?}\n"))
    }

    #[test]
    fn everything_that_would_happen_is_there_and_nothing_can_hide() {
        let command =
            serde_json::json!(["git commit \u{1b}[2J\u{202e}x\r\nrm -rf /", "/workspace"]).to_string();
        let text = shown(&command);
        assert!(
            !text.contains('\u{1b}')
                && text.contains("u{d}")
                && text.contains("rm -rf /")
                && text.contains("/workspace"),
            "{text}"
        );
        let patch =
            r#"[{"path":"infra/x","kind":{"type":"update","move_path":"infra/y"},"diff":"@@\n-a\n+b"}]"#;
        let text = shown(patch);
        for part in ["infra/x", "infra/y", "+b", "update"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(shown("{\"odd\":1}").contains("odd"));
        assert!(shown("[1]").contains('1'));
    }
}
