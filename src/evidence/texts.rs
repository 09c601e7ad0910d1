//! The report's free text: what is redacted in it. Codes, ids, digests, names of files of evidence and words from
//! a fixed list are not, since a report without them would be none.

use std::collections::BTreeSet;

use super::action_rows::ActionRow;
use super::document::OutputSection;
use super::report::{
    CheckChange, ClaimRow, EngineSection, ExpectationRow, Finding, LimitRow, ProcessRow, ProcessSection,
    SandboxSection, Sections,
};
use super::work::{ChangedFile, CommandResult, CommandRow, PatchSection, VerificationSection};
use crate::event::Redact;
use crate::vocab::Reason;

/// How often one text is redacted at most: replacing a part can make a secret of what is left.
const ROUNDS: usize = 4;

/// Redacts every free text of `sections`. Returns the rules that matched.
pub(super) fn redact_sections(sections: &mut Sections, redact: &dyn Redact) -> BTreeSet<String> {
    let mut rules = BTreeSet::new();
    for text in texts(sections) {
        for _ in 0..ROUNDS {
            let Some((clean, matched)) = redact.redact(text.as_bytes()) else { break };
            rules.extend(matched);
            *text = String::from_utf8_lossy(&clean).into_owned();
        }
    }
    rules
}

/// Every field is named here, so that a new one has to be put on one side or the other.
fn texts(sections: &mut Sections) -> Vec<&mut String> {
    let Sections {
        refused_gates,
        stage_reached: _,
        times,
        engine,
        sandbox,
        processes,
        limits,
        actions,
        asked_first,
        patch,
        verification,
        findings,
        changes_to_checks,
        expectations,
        claims,
        unclaimed,
        usage: _,
        spend: _,
        output,
        learning: _,
        // Words of the harness alone.
        proof: _,
        cut_off,
    } = sections;
    let mut all = Vec::new();
    for Reason { code: _, sentence, remedy, basis: _ } in refused_gates.iter_mut().chain(cut_off) {
        all.extend([sentence, remedy]);
    }
    all.extend(times.attempts.iter_mut().filter_map(|row| row.thread_id.as_mut()));
    all.extend(engine.iter_mut().flat_map(of_engine));
    if let Some(SandboxSection { layers, workspace_form: _, identity: _ }) = sandbox {
        all.extend(layers.iter_mut().flat_map(|row| [&mut row.requested, &mut row.enforced]));
    }
    all.extend(processes.iter_mut().flat_map(of_processes));
    for LimitRow { name: _, requested: _, enforced: _, held_by: _, holding: _, reached } in limits {
        all.extend(reached.as_mut().map(|reached| &mut reached.during));
    }
    for ActionRow { action, enforced_by: _, observable: _, attempts, left_out: _, result: _ } in
        actions.iter_mut().chain(asked_first)
    {
        all.push(action);
        all.extend(attempts);
    }
    if let Some(PatchSection { files, .. }) = patch {
        for ChangedFile { path, from, .. } in files {
            all.push(path);
            all.extend(from);
        }
    }
    if let Some(VerificationSection { commands, sandbox_ok: _ }) = verification {
        for CommandRow { command, expect: _, on_base, on_result, outcome: _ } in commands {
            all.push(command);
            let results = [on_base, on_result].into_iter().flatten();
            all.extend(results.map(|CommandResult { status, micros: _ }| status));
        }
    }
    for Finding { code: _, path, line: _, sentence, weight: _ } in findings {
        all.extend([path, sentence]);
    }
    all.extend(changes_to_checks.iter_mut().map(|CheckChange { path, pattern: _, permitted: _ }| path));
    all.extend(expectations.iter_mut().map(|ExpectationRow { expectation, met: _ }| expectation));
    all.extend(claims.iter_mut().flat_map(|ClaimRow { claim, observation }| [claim, observation]));
    all.extend(unclaimed);
    all.extend(output.iter_mut().flat_map(OutputSection::texts));
    all
}

fn of_engine(section: &mut EngineSection) -> impl Iterator<Item = &mut String> {
    let EngineSection {
        id: _,
        program: _,
        version,
        adapter: _,
        adapter_version: _,
        model,
        thread_id,
        exit,
        outcome: _,
        message,
        prepared_by: _,
    } = section;
    [version, model, thread_id, exit, message].into_iter().flatten()
}

fn of_processes(section: &mut ProcessSection) -> impl Iterator<Item = &mut String> {
    // Names of calls and addresses are words of the kernel's.
    let ProcessSection {
        complete: _,
        cut: _,
        executed: _,
        processes: _,
        rows,
        left_out: _,
        refused_calls: _,
        sought: _,
    } = section;
    rows.iter_mut().flat_map(|row| {
        let ProcessRow { process: _, parent: _, program, argv, cwd, started: _, ended: _, status: _ } = row;
        [program, argv, cwd]
    })
}
