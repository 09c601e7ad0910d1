//! `cto sandbox --learn`: what a command by hand needed, as a part of a contract. Nothing is granted for it.

use std::path::Path;

use super::args::SandboxArgs;
use super::out_file::{Already, OutFile};
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use crate::contract::Ceilings;
use crate::event::Redact as _;
use crate::home::Home;
use crate::inspection::secrets::Scanner;
use crate::inspection::{ActionObservations, every_action};
use crate::learning::{ChangeSize, HandedIn, HandedKind, HostView, Lesson, Witness, fragment, in_vendored};
use crate::process::{Exit, ProcessTree, Want, Witnessed};
use crate::run::own_places;
use crate::sandbox::{Grouping, SandboxPolicy};
use crate::verification::SearchPlaces;
use crate::vocab::shown_path;
use crate::workspace::Patch;

/// What was asked to be learned, before the command runs.
pub(super) struct Learning {
    file: OutFile,
    argv: Vec<String>,
    handed_in: Vec<HandedIn>,
}

impl Learning {
    /// Makes sure that the file can be written, and has `policy` tell more. It allows no more.
    pub(super) fn prepare(args: &SandboxArgs, policy: &mut SandboxPolicy) -> Result<Option<Self>, Problem> {
        let Some(path) = &args.learn else { return Ok(None) };
        let file = OutFile::open("--learn", path, policy, Already::Keep)?;
        (policy.observed, policy.learning) = (true, true);
        // For what only a group counts, where there can be one.
        policy.group = Grouping::WherePossible;
        let folder = |path: &Path| HandedIn {
            kind: HandedKind::Folder,
            name: shown_path(path.as_os_str().as_encoded_bytes()),
            at: vec![path.to_owned()],
        };
        let handed_in = policy.read_only.iter().map(|bind| folder(&bind.to)).collect();
        Ok(Some(Self { file, argv: policy.argv.clone(), handed_in }))
    }

    /// Writes what was learned. `patch` is what changed in the view, if there was one.
    pub(super) fn write(
        self,
        home: &Home,
        exit: &Exit,
        tree: &ProcessTree,
        patch: Option<&Patch>,
        output: &mut Output,
    ) -> Result<(), Problem> {
        let changes = patch.map_or(&[][..], |patch| &patch.changes);
        let observed = ActionObservations {
            executed: Some(tree.programs().to_vec()),
            all_seen: tree.is_whole(),
            sought: Some(tree.sought().clone()),
            left_behind: tree.is_complete().then(|| tree.left_behind()),
            in_patch: in_vendored(changes),
            // There is no listener, so nothing can have reached one.
            refused_requests: Some(Vec::new()),
            ..ActionObservations::default()
        };
        let program = self.argv.first().map_or("", String::as_str);
        let mut seen = Witnessed::of(exit, tree);
        if program.starts_with('/') && exit.status.starts_with("not-started:") {
            seen.learned.want(&shown_path(program.as_bytes()), Want::Run);
        }
        let change = patch.map(ChangeSize::of);
        let witness = Witness { who: "the command", seen, output_counted: false, timed: true, change };
        let config = home.load_config()?;
        let places = SearchPlaces::of_this_process();
        let text = fragment(&Lesson {
            // Without its arguments, which may hold what is nobody's to review.
            about: format!("A call of `{program}` in `cto sandbox --learn`"),
            by_hand: true,
            changes,
            witnesses: &[witness],
            actions: &every_action(&observed),
            handed_in: &self.handed_in,
            host: &HostView::new(own_places(home, &config), &config.toolchains, places, &[]),
            ceilings: &Ceilings::standard().limits,
        });
        let place = self.file.path().display().to_string();
        let clean = Scanner::embedded().redact(text.as_bytes()).map(|(clean, _)| clean);
        self.file.publish(&clean.unwrap_or_else(|| text.into_bytes()))?;
        let note = Line::new().add(Tone::Quiet, "learned: ").add(Tone::Accent, place);
        output.note(&note.plain("; nothing was granted, review it"));
        Ok(())
    }
}
