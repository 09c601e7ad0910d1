//! `cto show|events|logs`: what the bundle of one run says. Shows; `cto verify` proves.

use super::Exit;
use super::args::RunRef;
use super::bundle_view::BundleView;
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::{publish, runs, summary};

/// The summary of one run; where no report is, what is known of it.
pub(super) fn show(args: &RunRef, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let view = BundleView::find(&args.run)?;
    let Some(report) = view.report()? else {
        return unfinished(&view, output);
    };
    if args.json {
        output.json(&serde_json::json!(report));
    } else {
        summary::print(&report, &view.dir, view.read("patch.diff")?.as_deref(), output);
        if let Some(record) = &view.record {
            publish::tell_record(record, output);
        }
    }
    Ok(Exit::Pass)
}

fn unfinished(view: &BundleView, output: &mut Output) -> Result<Exit, Problem> {
    let Some(record) = &view.record else {
        return Err(Problem::usage(
            format!("{} has no report.json", view.dir.display()),
            "name a bundle's folder; `cto runs` lists them",
        ));
    };
    let (tone, state) = runs::state(record);
    if output.is_for_programs() {
        output.json(&serde_json::json!({"run_id": record.run_id, "state": state, "bundle": record.bundle}));
        return Ok(Exit::Pass);
    }
    output.say(&Line::new().plain(record.run_id.as_str()).plain("  ").add(tone, state));
    output.say(&Line::new().plain("bundle  ").add(Tone::Accent, record.bundle.display().to_string()));
    if let Some(id) = &record.pending {
        output.say(&Line::of(format!("waits for: cto approve {id} --as NAME --key FILE")));
    }
    Ok(Exit::Pass)
}

/// The event log; the exact lines for a program.
pub(super) fn events(args: &RunRef, output: &mut Output) -> Result<Exit, Problem> {
    let view = BundleView::find(&args.run)?;
    let name = "events.normalized.jsonl";
    let bytes = view.read(name)?.ok_or_else(|| absent(&view, name))?;
    if args.json || !output.is_terminal() {
        output.document(&bytes);
        return Ok(Exit::Pass);
    }
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        output.say(&event(line));
    }
    Ok(Exit::Pass)
}

fn event(line: &[u8]) -> Line {
    let Ok(event) = serde_json::from_slice::<crate::event::Event>(line) else {
        return Line::new().add(Tone::Bad, "unreadable: ").plain(crate::vocab::shown_bytes(line));
    };
    let time = event.time.to_string();
    let clock = time.get(11..23).unwrap_or(&time).to_owned();
    let basis = match event.basis {
        crate::vocab::Basis::Observed => (Tone::Good, "observed"),
        crate::vocab::Basis::Claimed => (Tone::Warn, "claimed"),
    };
    Line::new()
        .add(Tone::Quiet, format!("{:>5} {clock}  ", event.seq))
        .add(basis.0, format!("{:<9}", basis.1))
        .add(Tone::Strong, format!("{:<22} ", event.kind.as_str()))
        .plain(event.data.to_string())
        .cut(200)
}

/// Raw engine output, then the test log.
pub(super) fn logs(args: &RunRef, output: &mut Output) -> Result<Exit, Problem> {
    let view = BundleView::find(&args.run)?;
    let mut names = view.backend_names()?;
    names.push("test.log".into());
    let mut found = false;
    for name in names {
        let Some(bytes) = view.read(&name)? else { continue };
        found = true;
        if args.json {
            output.json(&serde_json::json!({"name": name, "text": String::from_utf8_lossy(&bytes)}));
        } else {
            output.note(&Line::new().add(Tone::Strong, format!("== {name}")));
            output.document(&bytes);
        }
    }
    if found { Ok(Exit::Pass) } else { Err(absent(&view, "test.log")) }
}

fn absent(view: &BundleView, name: &str) -> Problem {
    Problem::usage(
        format!("{} has no {name}", view.dir.display()),
        "the run did not come so far; `cto show` tells how far it came",
    )
}
