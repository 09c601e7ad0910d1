//! `cto diff`: the recorded patch; coloured for a person, exact bytes for `git apply --binary`.

use super::Exit;
use super::args::RunRef;
use super::bundle_view::BundleView;
use super::output::{Line, Output, Tone};
use super::patch_view;
use super::problem::Problem;

/// Shows the patch of one run.
pub(super) fn diff(args: &RunRef, output: &mut Output) -> Result<Exit, Problem> {
    let view = BundleView::find(&args.run)?;
    let Some(patch) = view.read("patch.diff")? else {
        output.note(&Line::new().add(Tone::Quiet, "this run has no patch"));
        return Ok(Exit::Pass);
    };
    if args.json {
        output.json(&serde_json::json!({"patch": String::from_utf8_lossy(&patch)}));
    } else if output.is_terminal() {
        for line in patch_view::lines(&patch, usize::MAX) {
            output.say(&line);
        }
    } else {
        output.document(&patch);
    }
    Ok(Exit::Pass)
}
