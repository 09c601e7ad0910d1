//! The fragment: what was learned, field by field, each with the comment that a reviewer would ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::globs::{self, Named};
use super::limits::{Witness, proposed};
use super::wanted::{HostView, Wanted, Whereabouts, wanted};
use crate::contract::{CheckPatterns, Fragment};
use crate::evidence::{ActionResult, ActionRow};
use crate::process::Want;
use crate::vocab::{Limits, MutationMode, RiskClass, counted, shown_path};
use crate::workspace::Change;

/// Everything that was observed of what is to be allowed next time.
#[derive(Debug)]
pub struct Lesson<'a> {
    /// What was run, as a beginning of a sentence.
    pub about: String,
    /// By hand there is no contract yet, and output goes where nobody counts it.
    pub by_hand: bool,
    /// What changed.
    pub changes: &'a [Change],
    /// What ran, with what was seen of each.
    pub witnesses: &'a [Witness],
    /// Every named action, with the attempts that were seen.
    pub actions: &'a [ActionRow],
    /// What was handed in.
    pub handed_in: &'a [HandedIn],
    /// This host.
    pub host: &'a HostView,
    /// The most that may be asked for.
    pub ceilings: &'a Limits,
}

/// Something that was handed in read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedIn {
    /// What it is.
    pub kind: HandedKind,
    /// By which name.
    pub name: String,
    /// Where it appears inside; empty where it lies in the system's folders.
    pub at: Vec<PathBuf>,
}

/// What was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandedKind {
    /// A toolchain of the contract.
    Toolchain,
    /// An input of the contract.
    Input,
    /// A folder of `--ro`.
    Folder,
}

/// The fragment's text. Looks at this host for paths that were wanted.
#[must_use]
pub fn fragment(lesson: &Lesson<'_>) -> String {
    let mut out = Fragment::default();
    let at: Vec<PathBuf> = lesson.handed_in.iter().flat_map(|one| one.at.clone()).collect();
    let found = |witness: &Witness| (witness.who, wanted(&witness.seen.learned, &at, lesson.host));
    let outside: Vec<_> = lesson.witnesses.iter().map(found).collect();
    heading(lesson, &mut out);
    reach(lesson, &mut out);
    paths(lesson, &mut out);
    toolchains(lesson, outside.iter().flat_map(|(_, (rows, _))| rows), &mut out);
    network(lesson, &mut out);
    actions(lesson, &mut out);
    for (who, (rows, left_out)) in &outside {
        places(who, rows, *left_out, lesson, &mut out);
    }
    out.comment(
        "Limits: twice what was measured, rounded up to a power of two, within a floor and the ceiling. What is not here \
         was not measured, and has its default.",
    );
    out.limits(&proposed(lesson.witnesses, lesson.ceilings));
    out.into_text()
}

fn heading(lesson: &Lesson<'_>, out: &mut Fragment) {
    out.comment(&format!("{} needed this, as far as it was observed.", lesson.about));
    out.comment(
        "Nothing was granted for it: what was refused stayed refused, and what it would have done next is not known. \
         Review every line, and put it behind the fields that it lacks.",
    );
    for witness in lesson.witnesses {
        let gaps = gaps(witness);
        if !gaps.is_empty() {
            out.comment(&format!("NOT WHOLE, of {}: {}.", witness.who, gaps.join("; ")));
        }
    }
    out.gap();
}

/// What was not seen.
fn gaps(witness: &Witness) -> Vec<String> {
    let learned = &witness.seen.learned;
    let mut gaps = Vec::new();
    if learned.left_out() > 0 {
        gaps.push(format!("more paths were wanted than are kept, {} times", learned.left_out()));
    }
    if learned.unread() > 0 {
        gaps.push(format!("a path could not be read, {} times", learned.unread()));
    }
    if !learned.is_whole() && gaps.is_empty() {
        gaps.push("its paths were not followed to the end".to_owned());
    }
    if !witness.seen.programs_whole {
        gaps.push("not every program was seen".to_owned());
    }
    gaps
}

/// Mode and risk class.
fn reach(lesson: &Lesson<'_>, out: &mut Fragment) {
    let mode = if lesson.changes.is_empty() { MutationMode::None } else { MutationMode::CopiedFixture };
    let risk = RiskClass::ALL.iter().find(|risk| risk.widest_mode() >= mode).copied();
    if mode == MutationMode::None {
        out.comment("Nothing changed.");
    } else {
        out.comment(
            "The narrowest mode in which something may change, and the lowest class that it takes. A repository of your \
             own takes `sandbox-repo` or wider, and `RESTRICTED` or higher.",
        );
    }
    out.text("mutation_mode", mode.as_str());
    out.text("risk_class", risk.unwrap_or(RiskClass::Critical).as_str());
    out.gap();
}

/// What may change.
fn paths(lesson: &Lesson<'_>, out: &mut Fragment) {
    let both = lesson.changes.iter().flat_map(|change| [Some(&change.path), change.from.as_ref()]);
    let all: BTreeSet<Vec<u8>> = both.flatten().cloned().collect();
    let checks: BTreeSet<Vec<u8>> =
        all.iter().filter(|path| CheckPatterns::embedded().matching_bytes(path).is_some()).cloned().collect();
    let named = globs::name(&all);
    if !all.is_empty() {
        let how = format!("more than {} of one folder are the folder", globs::FILES_MAX);
        out.comment(&format!("{} changed; {how}.", counted(all.len(), "path")));
    }
    disguises(&named, out);
    out.list("allowed_paths", &named.globs);
    out.gap();
    if !checks.is_empty() {
        out.comment(
            "These are read by test runners, builds or CI by themselves: whoever changes one can change what a check \
             means.",
        );
        out.list("may_change_checks", &globs::name(&checks).globs);
        out.gap();
    }
}

fn disguises(named: &Named, out: &mut Fragment) {
    for (path, glob) in &named.disguised {
        out.comment(&format!("`{path}` cannot be written as it is: `{glob}` has a `?` for each such byte."));
    }
    for path in &named.nameless {
        out.comment(&format!("No glob names `{path}`: it stays out of bounds."));
    }
}

/// What was handed in and used, and what would have to be.
fn toolchains<'a>(lesson: &Lesson<'_>, outside: impl Iterator<Item = &'a Wanted>, out: &mut Fragment) {
    let is_used = |one: &HandedIn| {
        let told = |at: &PathBuf| {
            let path = shown_path(at.as_os_str().as_encoded_bytes());
            lesson.witnesses.iter().any(|witness| witness.seen.learned.wanted().contains_key(&path))
        };
        one.at.is_empty() || one.at.iter().any(told)
    };
    let mut names = BTreeSet::new();
    for one in lesson.handed_in {
        let (used, name) = (is_used(one), &one.name);
        match one.kind {
            HandedKind::Toolchain if used => {
                if one.at.is_empty() {
                    out.comment(&format!("`{name}` lies in the system's folders: use of it is not seen."));
                }
                names.insert(name.clone());
            }
            HandedKind::Toolchain => out.comment(&format!("The toolchain `{name}` was not used.")),
            HandedKind::Input if used => out.comment(&format!("The input `{name}` was used: keep it.")),
            HandedKind::Input => out.comment(&format!("The input `{name}` was not used.")),
            HandedKind::Folder if used => out.comment(&format!(
                "`--ro {name}` was used. A contract shows a folder as a configured toolchain, or as one of `inputs`."
            )),
            HandedKind::Folder => out.comment(&format!("`--ro {name}` was not used.")),
        }
    }
    for one in outside {
        if let Whereabouts::Toolchain(name) = &one.place {
            names.insert(name.clone());
        }
    }
    out.list("toolchains", &names.into_iter().collect::<Vec<_>>());
    out.gap();
}

fn network(lesson: &Lesson<'_>, out: &mut Fragment) {
    let mut sought: BTreeMap<&String, u64> = BTreeMap::new();
    for (address, count) in lesson.witnesses.iter().flat_map(|witness| &witness.seen.sought) {
        *sought.entry(address).or_default() += count;
    }
    if sought.is_empty() {
        return;
    }
    out.comment(
        "Addresses outside that were asked for; none was reached. Only addresses are known, not the names that stood for \
         them, and `network.allow` takes a name where TLS is spoken to one, so nothing is proposed:",
    );
    for (to, count) in sought {
        out.row(&format!("{to} ({count} times)"));
    }
    out.gap();
}

fn actions(lesson: &Lesson<'_>, out: &mut Fragment) {
    let attempted = |row: &&ActionRow| row.result == ActionResult::Attempted;
    let (tried, others): (Vec<_>, Vec<_>) = lesson.actions.iter().partition(attempted);
    out.comment("Everything that can be forbidden by its name and of which no attempt was seen.");
    for row in tried {
        let first = row.attempts.first().map_or("", String::as_str);
        out.row(&format!("attempted, so forbidding it would block: \"{}\" ({first})", row.action));
    }
    out.list("forbidden_actions", &others.iter().map(|row| row.action.clone()).collect::<Vec<_>>());
    out.gap();
}

/// What was wanted outside.
fn places(who: &str, outside: &[Wanted], left_out: usize, lesson: &Lesson<'_>, out: &mut Fragment) {
    if outside.is_empty() {
        return;
    }
    out.comment(&format!(
        "Wanted by {who}, there on this host, and not shown inside or not writable there (looked at with the caller's own rights, \
         after the end). No field of a contract but `toolchains` and `inputs` shows a folder of the host:"
    ));
    for one in outside {
        let wants: Vec<&str> = one.wants.iter().map(|want| want.as_str()).collect();
        let kind = match one.files {
            Some(files) => format!("{files} files in it"),
            None if one.is_folder => "a folder".to_owned(),
            None => "a file".to_owned(),
        };
        let path = shown_path(one.path.as_os_str().as_encoded_bytes());
        let remedy = match &one.place {
            Whereabouts::Toolchain(name) => format!("the toolchain `{name}`"),
            Whereabouts::Secret => "a place of keys or of the harness's own: not proposed".to_owned(),
            Whereabouts::Elsewhere => by_hand(one, &path, lesson),
        };
        out.row(&format!("{path}: {}; {kind}; {remedy}", wants.join(", ")));
    }
    if left_out > 0 {
        out.row(&format!("and {left_out} more"));
    }
    out.gap();
}

/// How a person would show it, and learn again.
fn by_hand(one: &Wanted, path: &str, lesson: &Lesson<'_>) -> String {
    let wide = one.is_folder && one.path.components().count() <= 2;
    if wide {
        return "too wide to be handed in as a whole".to_owned();
    }
    match (one.wants.contains(&Want::Write), lesson.by_hand) {
        (true, true) => format!("`--workspace` above it, or `--rw` with a folder of your own: {path}"),
        (false, true) => format!("`--ro {path}`, and learn again"),
        (true, false) => "nothing outside of the work tree can be written in a run".to_owned(),
        (false, false) => format!("try by hand: `cto sandbox --learn --ro {path}`"),
    }
}
