//! Attempts that a change itself shows, whatever a contract forbids.

use crate::contract::PathGlobs;
use crate::contract::actions::RULES;
use crate::vocab::{ActionId, shown_path};
use crate::workspace::Change;

/// Each changed path that a named action is about, with the action.
#[must_use]
pub fn in_vendored(changes: &[Change]) -> Vec<(ActionId, String)> {
    let mut found = Vec::new();
    for rule in RULES.iter().filter(|rule| !rule.paths.is_empty()) {
        // A test of the contract reads the table.
        let (Ok(id), Ok(globs)) = (ActionId::parse(rule.id), PathGlobs::new(rule.paths)) else { continue };
        let paths = changes.iter().flat_map(|change| [Some(&change.path), change.from.as_ref()]).flatten();
        let hits = paths.filter(|path| globs.matches_bytes(path, false));
        found.extend(hits.map(|path| (id.clone(), shown_path(path))));
    }
    found
}
