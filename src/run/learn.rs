//! `cto run --learn`: what a run needed, as one more file of its bundle.
//!
//! The run is a run like any other: same gates, same sandboxes, same verdict. What it wanted and used was told by both of
//! its sandboxes (docs/adr/0015).

use super::execute::Tools;
use super::gather::own_places;
use super::recording::{RecordError, Recording};
use super::report::Told;
use crate::engine::FinishedEngine;
use crate::evidence::{LEARNED, LearningSection};
use crate::inspection::{ActionObservations, every_action};
use crate::learning::{ChangeSize, HandedIn, HandedKind, HostView, Lesson, Witness, fragment, in_vendored};
use crate::process::Witnessed;
use crate::verification::SearchPlaces;
use crate::workspace::Patch;

/// Writes the fragment, if this is a run that learns. `actions` is what was observed of actions, `verification` what its
/// commands wanted and used.
pub(super) fn write(
    tools: &Tools<'_>,
    finished: &FinishedEngine,
    patch: &Patch,
    actions: ActionObservations,
    verification: Option<Witnessed>,
    recording: &mut Recording<'_>,
    told: &mut Told,
) -> Result<(), RecordError> {
    if !tools.scene.facts.learning {
        return Ok(());
    }
    let change = Some(ChangeSize::of(patch));
    let mut witnesses = vec![Witness {
        who: "the engine",
        seen: of_engine(finished),
        output_counted: true,
        timed: true,
        change,
    }];
    // Its commands have a timeout of their own each, and the change that they verify is not theirs.
    let verification = verification.map(|seen| Witness {
        who: "verification",
        seen,
        output_counted: true,
        timed: false,
        change: None,
    });
    witnesses.extend(verification);
    let whole = witnesses.iter().all(|one| one.seen.learned.is_whole() && one.seen.programs_whole);
    let scene = tools.scene;
    let contract = scene.asked.contract.task();
    let config = &scene.settings.config;
    let places = SearchPlaces::of_this_process();
    let own = own_places(tools.home, config);
    let text = fragment(&Lesson {
        about: format!("A run of the task `{}`", contract.task_id),
        by_hand: false,
        changes: &patch.changes,
        witnesses: &witnesses,
        actions: &every_action(&ActionObservations { in_patch: in_vendored(&patch.changes), ..actions }),
        handed_in: &handed_in(tools, finished),
        host: &HostView::new(own, &config.toolchains, places, &contract.toolchains),
        ceilings: &scene.settings.ceilings.limits,
    });
    recording.bundle().write(LEARNED, text.as_bytes())?;
    told.sections.learning = Some(LearningSection { fragment: Some(LEARNED.to_owned()), whole });
    Ok(())
}

fn of_engine(finished: &FinishedEngine) -> Witnessed {
    let (tree, counts) = (&finished.observed.processes, &finished.observed.counts);
    Witnessed {
        learned: tree.learned().clone(),
        sought: tree.sought().clone(),
        programs_whole: tree.is_whole(),
        used: counts.used,
        micros: counts.micros,
        output_bytes: counts.output_bytes,
    }
}

/// Toolchains and inputs, by their names and places inside.
fn handed_in(tools: &Tools<'_>, finished: &FinishedEngine) -> Vec<HandedIn> {
    let provisions = &tools.scene.seen.provisions;
    let top = finished.workspace().mount().at;
    let toolchains = provisions.toolchains.iter().map(|chain| HandedIn {
        kind: HandedKind::Toolchain,
        name: chain.name.clone(),
        at: chain.read_only.iter().map(|bind| bind.to.clone()).collect(),
    });
    let inputs = provisions.inputs.iter().map(|input| HandedIn {
        kind: HandedKind::Input,
        name: input.to.clone(),
        at: vec![top.join(&input.to)],
    });
    toolchains.chain(inputs).collect()
}
