//! What a contract marks for a person: acts that show in a command or a patch before they happen.

use std::collections::BTreeSet;

use super::actions::Action;
use super::check::{Checked, Checker};
use super::command::shows_in_commands;
use crate::vocab::ActionId;

impl Action {
    /// Whether an engine that asks before it acts shows it in what it asks.
    #[must_use]
    pub fn shows_beforehand(&self) -> bool {
        match self {
            Self::Named(rule) => shows_in_commands(rule.id) || !rule.paths.is_empty(),
            Self::Command(_) | Self::Path(_) => true,
        }
    }
}

impl Checker<'_> {
    /// The marks: each is read, stands there once, shows beforehand, and is not forbidden anyway.
    pub(super) fn ask_first(
        &self,
        given: Option<Vec<ActionId>>,
        forbidden: &[ActionId],
    ) -> Checked<Vec<ActionId>> {
        let marks = given.unwrap_or_default();
        let mut seen = BTreeSet::new();
        for (index, id) in marks.iter().enumerate() {
            let field = format!("ask_first[{index}]");
            self.once(&field, &mut seen, id.as_str())?;
            if !self.action(&field, id)?.shows_beforehand() {
                let remedy =
                    "mark what shows in a command or a patch, like `command:<glob>` or `path:<glob>`";
                return Err(self.wrong(&field, id.as_str(), "shows nowhere before it happens", remedy));
            }
            if forbidden.contains(id) {
                let remedy = "take it out of `ask_first` or out of `forbidden_actions`";
                let why = "is forbidden, so nobody can say yes to it";
                return Err(self.wrong(&field, id.as_str(), why, remedy));
            }
        }
        Ok(marks)
    }
}
