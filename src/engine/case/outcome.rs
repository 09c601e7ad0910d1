//! How a run of Case's ended, in a fixed order of precedence. Its exit status alone says nothing: it ends with 0 also
//! when it failed, and a log that says `completed` may have done nothing. A marker or its task file is never asked.

use crate::evidence::EngineOutcome;

/// Everything that the answer rests on, besides what the harness does itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that was seen, and no two exclude each other"
)]
pub(super) struct Seen {
    /// The harness asked it to end.
    pub(super) stopping: bool,
    /// Why its log was not read to its end.
    pub(super) refused: Option<String>,
    /// `exited:<code>` or `signal:<number>`.
    pub(super) exit: Option<String>,
    /// Why it says that it crashed.
    pub(super) crash: Option<String>,
    /// `pipeline_end`: its outcome, and the agent that failed.
    pub(super) end: Option<(String, Option<String>)>,
    /// Numbers of events that never came.
    pub(super) gaps: Vec<(u64, u64)>,
    /// An implementation phase began.
    pub(super) implemented: bool,
    /// Rounds of revision were used up.
    pub(super) exhausted: bool,
    /// Critical findings of any review.
    pub(super) critical: u64,
    /// Hard categories that any review failed.
    pub(super) hard: Vec<String>,
    /// The closing phase, whose whole work is publishing, began.
    pub(super) closing: bool,
}

impl Seen {
    /// The answer, and the sentence for it.
    pub(super) fn outcome(&self) -> (EngineOutcome, Option<String>) {
        use EngineOutcome::{Completed, Crashed, Failed, Interrupted};
        if self.stopping {
            return (Interrupted, None);
        }
        if let Some(why) = &self.refused {
            return (Failed, Some(format!("its event log cannot be relied on: {why}")));
        }
        let (Some((outcome, agent)), Some("exited:0")) = (&self.end, self.exit.as_deref()) else {
            return (Crashed, Some(self.crash_sentence()));
        };
        match (outcome.as_str(), agent.as_deref()) {
            ("completed", _) => {}
            // What could not be published is still there to be verified.
            ("failed", Some("closer")) if self.closing && self.doubt().is_none() => {
                return (Completed, Some("nothing was published: that was denied".to_owned()));
            }
            ("failed", agent) => {
                let who = agent.unwrap_or("no agent in particular");
                let also = self.doubt().map(|doubt| format!("; {doubt}")).unwrap_or_default();
                return (Failed, Some(format!("it failed at {who}{also}")));
            }
            (other, _) => return (Failed, Some(format!("it ended as `{other}`"))),
        }
        match self.doubt() {
            Some(doubt) => (Failed, Some(format!("it says that it completed, and {doubt}"))),
            None => (Completed, None),
        }
    }

    /// What makes a completion none.
    fn doubt(&self) -> Option<String> {
        if let Some((first, last)) = self.gaps.first() {
            return Some(format!("its events {first} to {last} are missing"));
        }
        if !self.implemented {
            return Some("it never began to implement".to_owned());
        }
        if self.exhausted {
            return Some("its rounds of revision were used up: somebody has to look".to_owned());
        }
        if self.critical > 0 {
            return Some(format!("its review has {} critical findings", self.critical));
        }
        let hard = self.hard.first()?;
        Some(format!("its review failed `{hard}`"))
    }

    fn crash_sentence(&self) -> String {
        let exit = self.exit.as_deref().unwrap_or("unknown");
        match (&self.crash, &self.end) {
            (Some(why), _) => format!("it crashed ({exit}): {why}"),
            (None, None) => format!("it ended ({exit}) without the end of its run"),
            (None, Some(_)) => format!("it says that its run ended, and ended with {exit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Seen {
        Seen {
            exit: Some("exited:0".into()),
            end: Some(("completed".into(), None)),
            implemented: true,
            closing: true,
            ..Seen::default()
        }
    }

    #[test]
    fn the_order_of_precedence() {
        use EngineOutcome::*;
        let failed = |agent: &str| Some(("failed".to_owned(), Some(agent.to_owned())));
        let rows = [
            (well(), Completed, ""),
            (Seen { stopping: true, refused: Some("x".into()), ..well() }, Interrupted, ""),
            (Seen { refused: Some("resumed".into()), exit: None, ..well() }, Failed, "resumed"),
            (Seen { exit: Some("exited:1".into()), ..well() }, Crashed, "ended with exited:1"),
            (Seen { end: None, exit: Some("signal:9".into()), ..well() }, Crashed, "without the end"),
            (Seen { end: None, crash: Some("no model".into()), ..well() }, Crashed, "no model"),
            (Seen { end: failed("closer"), ..well() }, Completed, "nothing was published"),
            (Seen { end: failed("closer"), critical: 2, ..well() }, Failed, "2 critical"),
            (Seen { end: failed("closer"), closing: false, ..well() }, Failed, "closer"),
            (Seen { end: failed("implementer"), ..well() }, Failed, "implementer"),
            (Seen { end: Some(("aborted".into(), None)), ..well() }, Failed, "aborted"),
            (Seen { gaps: vec![(3, 4)], ..well() }, Failed, "3 to 4"),
            (Seen { implemented: false, ..well() }, Failed, "never began"),
            (Seen { exhausted: true, ..well() }, Failed, "used up"),
            (Seen { critical: 1, ..well() }, Failed, "1 critical"),
            (Seen { hard: vec!["scope-discipline".into()], ..well() }, Failed, "scope-discipline"),
        ];
        for (seen, outcome, sentence) in rows {
            let (got, said) = seen.outcome();
            assert_eq!(got, outcome, "{seen:?}");
            assert!(said.unwrap_or_default().contains(sentence), "{seen:?}");
        }
    }
}
