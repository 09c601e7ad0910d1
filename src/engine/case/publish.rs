//! Attempts to publish, as they show in what Case says that it does. What was executed, the kernel says.

use serde_json::Value;

use crate::contract::command::CommandLine;
use crate::contract::shell::simple_commands;

/// Why it is denied.
pub(super) const WHY: &str = "no engine publishes: a branch is made by the harness, from a verified patch";

/// Beginnings that tell in a text that cannot be taken apart, because it is cut.
const NEEDLES: [&str; 8] =
    ["git push", "git send-pack", "gh pr", "gh release", "gh api", "gh issue", "gh repo", "ca upload"];

/// The command of a shell call, where its arguments are whole.
pub(super) fn command_of(args: &str) -> Option<String> {
    let document: Value = serde_json::from_str(args).ok()?;
    Some(document.get("command")?.as_str()?.to_owned())
}

/// Whether the arguments of a shell call ask for publishing.
pub(super) fn is_attempt(args: &str) -> bool {
    let publishes = |argv: &Vec<String>| {
        let program = argv.first().map_or("", |name| name.rsplit('/').next().unwrap_or(name));
        let line = CommandLine { program, argv };
        match program {
            "gh" | "hub" => true,
            "ca" => argv.get(1).is_some_and(|verb| verb == "upload"),
            _ => line.does("git.push"),
        }
    };
    match command_of(args) {
        Some(line) => simple_commands(&line).iter().any(publishes),
        None => NEEDLES.iter().any(|needle| args.contains(needle)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(command: &str) -> String {
        serde_json::json!({ "command": command }).to_string()
    }

    #[test]
    fn publishing_is_seen_and_other_work_is_not() {
        for line in [
            "git push origin HEAD",
            "cd x && git -C . push",
            "bash -lc 'gh pr create --title t'",
            "ca upload shot.png",
            "/usr/bin/gh api repos",
            "echo $(git push)",
        ] {
            assert!(is_attempt(&args(line)), "{line}");
        }
        for line in [
            "git status",
            "grep 'git push' README.md",
            "git commit -m 'x'",
            "ca mark-tested",
            "npm test",
            "grep -r ghost .",
        ] {
            assert!(!is_attempt(&args(line)), "{line}");
        }
        // Cut in the middle, it is no JSON any more.
        assert!(is_attempt("{\"command\":\"gh pr create --body \\\"long…[truncated]"));
        assert!(!is_attempt("{\"command\":\"npm test -- long…[truncated]"));
    }
}
