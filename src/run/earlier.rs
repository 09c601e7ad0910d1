//! What earlier attempts of a run left in its event log: counted and judged together with the attempt that goes on.
//!
//! Nothing is counted twice, because everything is read from the one log that each attempt appended to. What is a claim
//! there is a claim here.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::report::Told;
use crate::broker::is_an_attempt;
use crate::engine::{Before, Claims, EarlierAttempt, EngineObservations, RawStream, Wish, Yes};
use crate::event::{Draft, Event, EventKind, Source};
use crate::evidence::{Aside, AttemptEnd, AttemptRow, CallSums, Finding, RESUMED};
use crate::process::ProcessTree;
use crate::vocab::{ApprovalId, Basis, LimitName, Reason, Timestamp, Verdict};
use crate::workspace::Base;

/// What earlier attempts did, as far as it is on record.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// When the run began.
    started: Option<Timestamp>,
    /// One row for each attempt.
    rows: Vec<AttemptRow>,
    /// The engine's last thread.
    thread: Option<String>,
    /// Whether its tree is there to be gone on with.
    kept: bool,
    base: Option<(String, String)>,
    wall: Duration,
    /// Since when the engine of the attempt that is read runs, and whether it ran at all.
    running: Option<Timestamp>,
    ran: bool,
    last: Option<Timestamp>,
    processes: ProcessTree,
    claims: Claims,
    calls: CallSums,
    asked: BTreeMap<String, (Wish, String)>,
    /// What people said yes to, and by which answers.
    yes: Vec<Yes>,
    answers: Vec<ApprovalId>,
    forwarded: u64,
    refused_calls: u64,
    refused: Vec<String>,
    pushes: Vec<String>,
    limits: Vec<(LimitName, Timestamp, String)>,
    /// Files in which a secret was replaced.
    marked: Vec<String>,
    /// What the engines wrote to their streams.
    output_bytes: u64,
}

impl Earlier {
    /// Takes the next event of the log.
    pub(super) fn see(&mut self, event: &Event) {
        self.started.get_or_insert(event.time);
        self.processes.recall(event);
        match (event.source, event.basis) {
            (Source::Harness, Basis::Observed) => self.of_the_harness(event),
            (Source::Broker, _) => self.of_the_broker(event),
            (Source::Engine, _) => self.claimed(event),
            _ => {}
        }
        self.last = Some(event.time);
    }

    fn of_the_harness(&mut self, event: &Event) {
        let text = |name: &str| event.data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match event.kind {
            EventKind::PhaseStarted if text("phase") == RESUMED => {
                let why = event.data.get("why").cloned().map(serde_json::from_value);
                let thread = event.data.get("thread_id").and_then(Value::as_str).map(str::to_owned);
                self.over(event.seq - 1, thread, why.and_then(Result::ok).unwrap_or(AttemptEnd::HarnessDied));
            }
            EventKind::WorkspacePrepared => self.base = Some((text("base_commit"), text("base_tree"))),
            EventKind::EngineStarted => (self.running, self.ran) = (Some(event.time), true),
            EventKind::EngineFinished => {
                let micros = event.data.get("micros").and_then(Value::as_u64).unwrap_or_default();
                self.wall += Duration::from_micros(micros);
                self.running = None;
            }
            EventKind::LimitReached => {
                let name = event.data.get("name").cloned().map(serde_json::from_value);
                self.limits.extend(name.and_then(Result::ok).map(|name| (name, event.time, text("during"))));
            }
            EventKind::ApprovalRequested => self.asked_for(event),
            EventKind::ApprovalGranted if text("by") == "human" => {
                self.answers.extend(ApprovalId::parse(text("approval")).ok());
                if let Some((wish, cwd)) = self.asked.get(&text("digest")).cloned() {
                    self.yes.push(Yes { wish, cwd, at: event.time });
                }
            }
            _ => {}
        }
    }

    /// As it stands in the log: what was made visible there is another text, and a yes to it covers nothing.
    fn asked_for(&mut self, event: &Event) {
        let text = |pointer: &str| event.data.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let wish = if text("/asked/what") == "command" {
            Wish::Command(text("/asked/command").to_owned())
        } else {
            let paths = event.data.pointer("/asked/paths").and_then(Value::as_array);
            let names =
                |paths: &Vec<Value>| paths.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            Wish::Change(paths.map(names))
        };
        self.asked.insert(text("/digest").to_owned(), (wish, text("/asked/cwd").to_owned()));
    }

    /// An attempt is over; its last event has the number `events`.
    fn over(&mut self, events: u64, thread_id: Option<String>, why: AttemptEnd) {
        if let (Some(since), Some(last)) = (self.running.take(), self.last) {
            let micros = last.unix_micros().saturating_sub(since.unix_micros());
            self.wall += Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        }
        self.processes.attempt_over(std::mem::take(&mut self.ran));
        let attempt = u32::try_from(self.rows.len() + 1).unwrap_or(u32::MAX);
        self.rows.push(AttemptRow { attempt, events, thread_id, why });
    }

    fn of_the_broker(&mut self, event: &Event) {
        let text = |name: &str| event.data.get(name).and_then(Value::as_str).unwrap_or("");
        if event.kind == EventKind::EgressAllowed && text("stage") == "request" {
            self.forwarded += 1;
        }
        if event.basis == Basis::Observed {
            self.calls.take(event.kind, &event.data);
        }
        if event.kind == EventKind::EgressDenied {
            self.refused_calls += 1;
        }
        if is_an_attempt(event.kind, &event.data) {
            let refused = format!("{} {}: {}", text("method"), text("target"), text("reason"));
            if text("action") == "git.push" {
                self.pushes.push(refused.clone());
            }
            if self.refused.len() < EngineObservations::REFUSED_KEPT {
                self.refused.push(refused);
            }
        }
    }

    fn claimed(&mut self, event: &Event) {
        let data = &event.data;
        let text = |name: &str| data.get(name).and_then(Value::as_str);
        match event.kind {
            EventKind::ThreadStarted => self.thread = text("thread_id").map(str::to_owned),
            EventKind::ToolFinished
                if text("tool") == Some("command") && text("status") != Some("declined") =>
            {
                if let Some(command) = text("command") {
                    self.claims.command(command.to_owned(), data.get("exit_code").and_then(Value::as_i64));
                }
            }
            EventKind::FileChanged => {
                [text("path"), text("moved_to")]
                    .into_iter()
                    .flatten()
                    .for_each(|path| self.claims.file(path));
            }
            EventKind::EvidenceClaimed => {
                if let Some(claim) = text("claim") {
                    self.claims.statement(claim.to_owned());
                }
            }
            EventKind::UsageReported => {
                let count = |name: &str| data.get(name).and_then(Value::as_u64);
                self.claims.tokens(count("input_tokens"), count("output_tokens"));
            }
            _ => {}
        }
    }

    /// The attempt whose log was read is over, `why`: says in the log, as the first event of the next one, that it goes
    /// on. `events`: how many there are. `keeps`: thread and
    /// tree are there to be gone on with. `cut`: bytes of a line that was cut off.
    pub(super) fn begin_next(&mut self, events: u64, why: AttemptEnd, keeps: bool, cut: u64) -> Draft {
        self.kept = keeps && self.thread.is_some();
        let thread = self.thread.clone().filter(|_| keeps);
        self.over(events, thread.clone(), why);
        let attempt = self.rows.len() + 1;
        let how = match (&thread, &self.thread) {
            (Some(thread), _) => format!("goes on with thread {thread}, on the work tree as it was"),
            (None, Some(thread)) => format!("begins anew: of thread {thread}, nothing is there any more"),
            (None, None) => "begins anew: no thread is on record".to_owned(),
        };
        let message = format!("attempt {attempt} {how}");
        let data = json!({"phase": RESUMED, "attempt": attempt, "why": why, "thread_id": thread, "cut_bytes": cut,
            "message": message});
        Draft::observed(EventKind::PhaseStarted, data)
    }

    /// Which attempt it is that died.
    pub(super) fn attempt(&self) -> u32 {
        u32::try_from(self.rows.len() + 1).unwrap_or(u32::MAX)
    }

    /// What earlier attempts left on disk.
    pub(super) fn left(&mut self, aside: Aside) {
        self.output_bytes = RawStream::OUTPUT.iter().map(|stream| aside.bytes_of(stream.name())).sum();
        self.marked = aside.marked;
    }

    /// When the run began; now, for its first attempt.
    pub(super) fn started(&self) -> Timestamp {
        self.started.unwrap_or_else(Timestamp::now)
    }

    /// Whether an engine died once already: it is started again once, and no more.
    pub(super) fn engine_died(&self) -> bool {
        self.rows.iter().any(|row| row.why == AttemptEnd::EngineDied)
    }

    /// What the engine is told of earlier attempts; `None` in the first.
    pub(super) fn for_the_engine(&self) -> Option<EarlierAttempt<'_>> {
        let thread = self.thread.as_deref().filter(|_| self.kept);
        (!self.rows.is_empty()).then_some(EarlierAttempt { thread, tree: self.kept })
    }

    /// Answers of people that counted.
    pub(super) fn answers(&self) -> &[ApprovalId] {
        &self.answers
    }

    /// Whether the work tree is gone on with.
    pub(super) const fn keeps_the_tree(&self) -> bool {
        self.kept
    }

    /// What counts for the engine's limits, and is judged with it.
    pub(super) fn before(&self) -> Before {
        Before {
            wall: self.wall,
            output_bytes: self.output_bytes,
            processes: self.processes.clone(),
            calls: self.calls.clone(),
        }
    }

    /// Why the kept tree does not fit what was decided on now.
    pub(super) fn refuses_base(&self, base: Option<&Base>) -> Option<Reason> {
        let (commit, tree) = self.base.as_ref().filter(|_| self.kept)?;
        let same =
            base.is_some_and(|base| base.commit.to_string() == *commit && base.tree.to_string() == *tree);
        (!same).then(|| {
            let sentence = format!("The run began at commit {commit}, and the base is another one now.");
            let remedy = "Run the contract again: it begins at the base that there is now.";
            Reason::observed("resume.base-moved", sentence, remedy)
        })
    }

    /// Puts what earlier attempts did into what is told.
    pub(super) fn tell(&self, told: &mut Told) {
        told.sections.times.attempts.clone_from(&self.rows);
        if !self.processes.programs().is_empty() {
            // Until this attempt's engine has ended, too.
            told.sections.processes = Some(self.processes.section());
        }
        for name in &self.marked {
            told.secret_in(name, &["found by an earlier attempt".to_owned()]);
        }
    }

    /// Limits that were reached before; there are rows for them once a permit is there.
    pub(super) fn tell_limits(&self, told: &mut Told) {
        for (name, at, during) in &self.limits {
            told.limit_reached(*name, *at, during);
        }
    }

    /// Adds what was said and counted before to what the last attempt showed, and says what became of the thread.
    pub(super) fn join(&self, observed: &mut EngineObservations) -> Option<Finding> {
        let last = std::mem::replace(&mut observed.claims, self.claims.clone());
        let all = &mut observed.claims;
        last.commands.into_iter().for_each(|one| all.command(one.command, one.exit_code));
        last.files.iter().for_each(|path| all.file(path));
        last.statements.into_iter().for_each(|text| all.statement(text));
        all.tokens(last.input_tokens, last.output_tokens);
        all.left_out = all.left_out.saturating_add(last.left_out);
        observed.counts.broker.forwarded += self.forwarded;
        observed.counts.broker.refused += self.refused_calls;
        let mut refused = self.refused.clone();
        refused.append(&mut observed.refused);
        refused.truncate(EngineObservations::REFUSED_KEPT);
        observed.refused = refused;
        observed.pushes.splice(0..0, self.pushes.iter().cloned());
        observed.yes.splice(0..0, self.yes.iter().cloned());
        self.thread_finding(observed)
    }

    fn thread_finding(&self, observed: &EngineObservations) -> Option<Finding> {
        let asked = self.thread.as_ref().filter(|_| self.kept)?;
        let (code, sentence, weight) = match &observed.thread_id {
            Some(got) if got == asked => return None,
            Some(got) => {
                let sentence =
                    format!("The engine had nothing of thread {asked}, and began thread {got} anew.");
                ("thread.anew", sentence, Verdict::Pass)
            }
            None => {
                let sentence = format!("Thread {asked} was to be resumed, and the engine did not do so.");
                ("thread.not-resumed", sentence, Verdict::Fail)
            }
        };
        Some(Finding { code: code.to_owned(), path: String::new(), line: None, sentence, weight })
    }
}
