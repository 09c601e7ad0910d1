//! What a command showed, by how it ended on both trees.

use super::*;

fn ended(status: &str) -> CommandResult {
    CommandResult { status: status.to_owned(), micros: 1 }
}

#[test]
fn only_a_plain_failure_on_the_base_counts() {
    let good = ended("exited:0");
    for status in ["exited:1", "exited:2", "exited:101", "exited:125", "exited:128"] {
        let outcome = outcome(Expect::FailToPass, Some(&ended(status)), &good);
        assert_eq!(outcome, CommandOutcome::Passed, "{status}");
    }
    for status in [
        "exited:0",
        "exited:126",
        "exited:127",
        "signal:11",
        "signal:9",
        "timeout",
        "limit:output_bytes",
        "not-started:execute x: no such file",
        "lost:the process tree was not seen to end",
        "",
    ] {
        let outcome = outcome(Expect::FailToPass, Some(&ended(status)), &good);
        assert_eq!(outcome, CommandOutcome::Errored, "{status}");
    }
    assert_eq!(outcome(Expect::FailToPass, None, &good), CommandOutcome::Errored);
}

#[test]
fn on_the_result_only_zero_passes() {
    for (status, expected) in [
        ("exited:0", CommandOutcome::Passed),
        ("exited:1", CommandOutcome::Failed),
        ("signal:11", CommandOutcome::Failed),
        ("exited:126", CommandOutcome::Errored),
        ("exited:127", CommandOutcome::Errored),
        ("timeout", CommandOutcome::Errored),
        ("limit:output_bytes", CommandOutcome::Errored),
        ("not-started:x", CommandOutcome::Errored),
        ("exited:00", CommandOutcome::Failed),
    ] {
        assert_eq!(outcome(Expect::Pass, None, &ended(status)), expected, "{status}");
        let base = ended("exited:1");
        assert_eq!(outcome(Expect::FailToPass, Some(&base), &ended(status)), expected, "{status}");
    }
}
