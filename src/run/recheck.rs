//! What `cto verify` can only check with a repository or a sandbox: the trees, and the verification again.
//!
//! The bundle was read as hostile input before (`verify`); here its contract and patch are used the way a run
//! uses its own. A replay happens only after a trusted signature, in the full sandbox.

use std::path::Path;

use tokio::sync::watch;

use super::RunError;
use super::gather::own_places;
use super::recording::RecordError;
use super::resume::free_uid;
use crate::contract::{Attachments, FileSource, SealedContract};
use crate::eligibility::landlock_floor;
use crate::event::{Draft, EventSink, SinkError};
use crate::evidence::{CommandRow, INPUTS_DIR, PATCH};
use crate::home::Home;
use crate::inspection::inspect_patch;
use crate::inspection::secrets::Scanner;
use crate::store::LiveFolder;
use crate::verification::{
    Provisions, ReadyTree, SearchPlaces, Tree, Verification, Verified, replay as run_again,
    verification_files,
};
use crate::verify::{BundleContents, Check, Outcome, VerifyReport};
use crate::workspace::{
    Base, ObserveOptions, Patch, Placement, VerificationTree, import_fixture, observe_target, remove_remains,
};

const TREES: &str = "trees";
const REPLAY: &str = "replay";

/// What a bundle's change is made of, once it was derived again.
#[derive(Debug)]
pub struct Derived {
    base: Base,
    patch: Patch,
}

/// Derives base tree, patch and result tree again from the clone (or fixture) at `repo`, and adds the answer.
pub fn trees(home: &Home, repo: &Path, report: &mut VerifyReport) -> Option<Derived> {
    let contents = report.contents.as_ref()?;
    let answer = derive(home, repo, &report.bundle, contents);
    let check = match &answer {
        Ok(Some(derived)) => {
            let tree = derived.patch.section.result_tree.as_ref().map_or("nothing", |tree| tree.as_str());
            Check::ok(TREES, format!("commit {} and the patch give tree {tree}", derived.base.commit))
        }
        Ok(None) => Check::ok(TREES, "the run recorded no patch: there is none to derive"),
        Err(Wrong::NotDone(why)) => Check::not_done(TREES, why),
        Err(Wrong::Failed(why)) => Check::failed(TREES, why),
    };
    report.add_asked(check);
    answer.ok().flatten()
}

impl Derived {
    /// The base, and the sealed patch read against it.
    pub(super) const fn parts(&self) -> (&Base, &Patch) {
        (&self.base, &self.patch)
    }
}

enum Wrong {
    NotDone(String),
    Failed(String),
}

fn failed(error: impl std::fmt::Display) -> Wrong {
    Wrong::Failed(error.to_string())
}

fn derive(
    home: &Home,
    repo: &Path,
    bundle: &Path,
    contents: &BundleContents,
) -> Result<Option<Derived>, Wrong> {
    let Some(recorded) = &contents.report.sections.patch else { return Ok(None) };
    let base = base_in(home, repo, recorded.base_commit.as_str())?;
    if base.commit != recorded.base_commit || base.tree != recorded.base_tree {
        let found = format!("{} holds commit {} with tree {}", repo.display(), base.commit, base.tree);
        return Err(Wrong::Failed(format!(
            "{found}; the bundle says {} with tree {}",
            recorded.base_commit, recorded.base_tree
        )));
    }
    if contents.withheld(PATCH).is_some() || recorded.result_tree.is_none() {
        return Err(Wrong::NotDone("the patch is withheld: its trees are not re-derivable".to_owned()));
    }
    let text = contents.bytes(bundle, PATCH).map_err(failed)?;
    let patch = Patch::recorded(&base, &text).map_err(failed)?;
    let patch = patch.ok_or_else(|| Wrong::Failed("the patch does not apply to the base tree".to_owned()))?;
    if patch.section.result_tree != recorded.result_tree {
        return Err(Wrong::Failed("base and patch give another tree than the recorded one".to_owned()));
    }
    if patch.section.files != recorded.files {
        return Err(Wrong::Failed("the patch changes other files than the report says".to_owned()));
    }
    if let Some(contract) = &contents.contract {
        let scanner = Scanner::embedded();
        let unsaid = contents.unsaid(&inspect_patch(contract.task(), &patch, &scanner));
        if !unsaid.is_empty() {
            return Err(Wrong::Failed(format!("the report is not the patch's: {}", unsaid.join("; "))));
        }
    }
    Ok(Some(Derived { base, patch }))
}

/// The commit in a clone, or in a fixture's plain files.
fn base_in(home: &Home, repo: &Path, commit: &str) -> Result<Base, Wrong> {
    let plain = if repo.join("contract.toml").is_file() { repo.join("repo") } else { repo.to_owned() };
    if std::fs::symlink_metadata(plain.join(".git")).is_err() && !plain.join("objects").is_dir() {
        let imported = import_fixture(&plain, &home.cache().join("fixtures.git")).map_err(failed)?;
        return Ok(imported.base());
    }
    let target = observe_target(repo, commit, &ObserveOptions::default()).map_err(failed)?;
    let forms = target.facts.unreadable_forms;
    if forms.is_empty() {
        Ok(target.base)
    } else {
        Err(Wrong::Failed(format!("this version does not read {}: {}", repo.display(), forms.join(", "))))
    }
}

/// Runs the recorded verification again on what [`trees`] derived, and adds the answer.
pub fn replay(home: &Home, derived: Option<&Derived>, report: &mut VerifyReport) -> Result<(), RunError> {
    let check = if !matches!(report.outcome, Outcome::Verified | Outcome::NotAllDone) {
        Check::not_done(REPLAY, "only a bundle with a trusted signature that holds is run again")
    } else if let Some(contents) = &report.contents {
        let event_loop = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let again =
            event_loop.map_err(RecordError::Loop)?.block_on(again(home, derived, &report.bundle, contents));
        match again {
            Ok(check) => check,
            Err(why) => Check::failed(REPLAY, why),
        }
    } else {
        Check::not_done(REPLAY, "the bundle could not be read")
    };
    report.add_asked(check);
    Ok(())
}

async fn again(
    home: &Home,
    derived: Option<&Derived>,
    bundle: &Path,
    contents: &BundleContents,
) -> Result<Check, String> {
    let Some(recorded) = &contents.report.sections.verification else {
        return Ok(Check::ok(REPLAY, "the run came to no verification: there is none to run again"));
    };
    let Some(derived) = derived else { return Ok(Check::not_done(REPLAY, "the trees were not derived")) };
    let (Some(contract), Some(decision)) = (&contents.contract, &contents.decision) else {
        return Ok(Check::not_done(REPLAY, "contract or decision is withheld"));
    };
    let config = home.load_config().map_err(|error| error.to_string())?;
    let own = own_places(home, &config);
    let places = SearchPlaces::of_this_process();
    let (provisions, _) = Provisions::describe(contract.task(), &config.toolchains, &places, &own);
    provisions.agree_with(&decision.facts.provision_digests()).map_err(|problem| problem.to_string())?;
    let verified =
        carry_out(home, derived, contract, &attachments(contract, bundle, contents)?, &provisions).await?;
    let (before, after) = (outcomes(&recorded.commands), outcomes(&verified.section.commands));
    if before == after && verified.section.sandbox_ok {
        return Ok(Check::ok(REPLAY, format!("{} commands came out as recorded", after.len())));
    }
    Err(format!("the commands came out as {after:?}; recorded is {before:?}"))
}

fn outcomes(rows: &[CommandRow]) -> Vec<String> {
    rows.iter().map(|row| format!("{:?}", row.outcome).to_lowercase()).collect()
}

/// The sealed files of the contract, from the bundle's `inputs/`.
fn attachments(
    contract: &SealedContract,
    bundle: &Path,
    contents: &BundleContents,
) -> Result<Attachments, String> {
    let mut verification_files = std::collections::BTreeMap::new();
    for file in &contract.task().verification_files {
        if let FileSource::Sealed(digest) = file.from {
            let bytes = contents.bytes(bundle, &format!("{INPUTS_DIR}{}", digest.hex()))?;
            verification_files.insert(file.path.clone(), bytes.into_owned());
        }
    }
    Ok(Attachments { verification_files, script: None })
}

async fn carry_out(
    home: &Home,
    derived: &Derived,
    contract: &SealedContract,
    attached: &Attachments,
    provisions: &Provisions,
) -> Result<Verified, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let task = contract.task();
    let host = crate::sandbox::probe(home).map_err(|error| text(&error))?;
    let lease = free_uid(home).map_err(|error| text(&error))?;
    let folder = LiveFolder::make(home.state(), "replay").map_err(|error| text(&error))?;
    let run_dir = folder.path();
    let placement = Placement {
        cache_dir: home.cache().to_owned(),
        run_dir: run_dir.clone(),
        uid: lease.uid(),
        overlay: host.overlay,
        mounted: task.inputs.iter().map(|input| input.to.clone()).collect(),
    };
    let files = verification_files(task, attached, &derived.base).map_err(|problem| text(&problem))?;
    let trees = |tree: Tree| {
        let patch = (tree == Tree::Result).then_some(&derived.patch);
        let laid = VerificationTree::prepare(&derived.base, patch, &files, &placement);
        laid.map(|laid| ReadyTree::of(&laid)).map_err(|error| error.to_string())
    };
    let scanner = Scanner::embedded();
    let (_never, cancelled) = watch::channel(false);
    let verified = run_again(Verification {
        contract: task,
        provisions: Ok(provisions),
        trees: &trees,
        uid: lease.uid(),
        landlock_floor: landlock_floor(task.risk_class),
        landlock_at_most: host.landlock_abi_at_most,
        events: &mut Unrecorded,
        learning: false,
        redact: &scanner,
        cancelled,
    })
    .await
    .map_err(|error| text(&error))?;
    remove_remains(&run_dir).map_err(|error| text(&error))?;
    Ok(verified)
}

/// A replay is not evidence; its events go nowhere.
struct Unrecorded;

impl EventSink for Unrecorded {
    fn append(&mut self, _: Draft) -> Result<(), SinkError> {
        Ok(())
    }
}
