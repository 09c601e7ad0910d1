//! Leave: what an engine that asks before it acts is told.
//!
//! Nothing is judged harmless by its text: what the contract does not forbid is granted, because the sandbox bounds it.
//! What is plainly a forbidden act is declined before it happens, so that an engine that only did not know can go on
//! with something else. What the contract marks is asked of a person (docs/adr/0020). It is a courtesy, not a wall: a
//! text can be written so that it is not recognized, and then the missing route, the patch inspection and what the
//! kernel sees executed have the last word (docs/adr/0017).

use super::people::People;
use crate::contract::command::{CommandLine, shows_in_commands};
use crate::contract::shell::simple_commands;
use crate::contract::{Action, PathGlobs, TaskContract};
use crate::vocab::ActionId;

/// What an engine asks leave for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// To run a command line.
    Command(String),
    /// To change files: paths relative to the work tree, or as the engine writes them where they lie elsewhere;
    /// `None` where it did not say which, or named too many.
    Change(Option<Vec<String>>),
}

/// What the contract forbids and what it marks, read once, and whom to ask about the latter.
#[derive(Debug, Default)]
pub struct Leave {
    forbidden: Rules,
    marked: Rules,
    people: Option<Box<dyn People>>,
}

/// Actions, as far as they show beforehand.
#[derive(Debug, Default)]
struct Rules {
    commands: Vec<(ActionId, Option<String>)>,
    paths: Vec<(ActionId, PathGlobs)>,
}

impl Leave {
    /// What `contract` forbids and marks. Nobody can be asked yet: what is marked is declined.
    #[must_use]
    pub fn of(contract: &TaskContract) -> Self {
        Self {
            forbidden: Rules::of(contract.forbidden_actions.iter().flatten()),
            marked: Rules::of(&contract.ask_first),
            people: None,
        }
    }

    /// The same with somebody who is asked about what is marked.
    #[must_use]
    pub fn asking(self, people: Box<dyn People>) -> Self {
        Self { people: Some(people), ..self }
    }

    pub(super) fn people(&mut self) -> Option<&mut (dyn People + 'static)> {
        self.people.as_deref_mut()
    }

    /// The forbidden action that `wish` is; `None` where it is none.
    #[must_use]
    pub fn forbids(&self, wish: &Wish) -> Option<&ActionId> {
        self.forbidden.met_by(wish)
    }

    /// The mark that `wish` meets: a person has to say yes first.
    #[must_use]
    pub fn marks(&self, wish: &Wish) -> Option<&ActionId> {
        self.marked.met_by(wish)
    }
}

impl Rules {
    fn of<'a>(ids: impl IntoIterator<Item = &'a ActionId>) -> Self {
        let mut rules = Self::default();
        for id in ids {
            match Action::parse(id) {
                Ok(Action::Command(glob)) => rules.commands.push((id.clone(), Some(glob))),
                Ok(Action::Path(globs)) => rules.paths.push((id.clone(), *globs)),
                Ok(Action::Named(rule)) => {
                    if shows_in_commands(rule.id) {
                        rules.commands.push((id.clone(), None));
                    }
                    if let Some(globs) = Some(rule.paths).filter(|paths| !paths.is_empty()) {
                        // They are part of this program, and read by its tests.
                        rules.paths.extend(PathGlobs::new(globs).ok().map(|globs| (id.clone(), globs)));
                    }
                }
                // A contract with it is not sealed.
                Err(_) => {}
            }
        }
        rules
    }

    fn met_by(&self, wish: &Wish) -> Option<&ActionId> {
        match wish {
            Wish::Command(line) => {
                let commands = simple_commands(line);
                let against = |glob: &Option<String>, id: &ActionId| {
                    commands.iter().any(|argv| {
                        let program = argv.first().map_or("", String::as_str);
                        let line = CommandLine { program, argv };
                        glob.as_ref().map_or_else(|| line.does(id.as_str()), |glob| line.matches(glob))
                    })
                };
                self.commands.iter().find(|(id, glob)| against(glob, id)).map(|(id, _)| id)
            }
            Wish::Change(Some(paths)) => {
                let hit = |globs: &PathGlobs| paths.iter().any(|path| globs.matches(path, false));
                self.paths.iter().find(|(_, globs)| hit(globs)).map(|(id, _)| id)
            }
            // What is not said cannot be held against a rule.
            Wish::Change(None) => self.paths.first().map(|(id, _)| id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave(forbidden: &[&str]) -> Leave {
        let mut contract = crate::engine::codex::tests::contract();
        let ids = forbidden.iter().map(|id| ActionId::parse(*id).unwrap());
        contract.forbidden_actions = Some(ids.collect());
        Leave::of(&contract)
    }

    #[test]
    fn what_is_plainly_forbidden_is_found_and_nothing_else() {
        let leave = leave(&["git.push", "command:curl *", "path:docs/", "vendor-source.mutate"]);
        let command = |line: &str| leave.forbids(&Wish::Command(line.to_owned())).map(ToString::to_string);
        assert_eq!(command("/bin/bash -lc 'cargo test && git push origin'").as_deref(), Some("git.push"));
        assert_eq!(command("echo $(git push)").as_deref(), Some("git.push"));
        assert_eq!(command("curl http://x").as_deref(), Some("command:curl *"));
        for granted in ["ls -la", "git commit -m push", "echo curl x", "cat docs/a", "echo \"$(git push)\""] {
            assert_eq!(command(granted), None, "{granted}");
        }
        let change = |paths: &[&str]| {
            let paths = paths.iter().map(|path| (*path).to_owned()).collect();
            leave.forbids(&Wish::Change(Some(paths))).map(ToString::to_string)
        };
        assert_eq!(change(&["src/a", "docs/a"]).as_deref(), Some("path:docs/"));
        assert_eq!(change(&["vendor/x/y"]).as_deref(), Some("vendor-source.mutate"));
        assert_eq!(change(&["src/a"]), None);
        assert!(leave.forbids(&Wish::Change(None)).is_some(), "unsaid paths are not taken for allowed ones");
    }

    #[test]
    fn where_nothing_is_forbidden_everything_is_granted() {
        let leave = leave(&[]);
        assert_eq!(leave.forbids(&Wish::Command("rm -rf /".to_owned())), None);
        assert_eq!(leave.forbids(&Wish::Change(None)), None);
    }
}
