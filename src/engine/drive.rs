//! Following a running engine to its end: lines in, steps out, limits and stops, and the broker's notices.
//!
//! Everything happens in one task, so the log has one order. The log comes before the act where there is one: a grant
//! is recorded before it is sent, a request before it leaves.

mod asking;
mod ending;
mod files;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::adapter::{Adapter, Claims, Step, Stream};
use super::claim::{self, ClaimGate};
use super::follow::Follower;
use super::launch::{EngineError, FinishedEngine, RunningEngine};
use super::leave::Leave;
use super::observed::{EngineCounts, EngineObservations, LimitHit};
use super::raw_log::{RawLog, RawStream};
use super::stop::{StopSignal, said_stop};
use crate::broker::{Broker, Notice, Notices};
use crate::event::{Draft, EventKind, EventSink};
use crate::evidence::{CallSums, EngineOutcome};
use crate::process::{self, Exit, Payload, PayloadEvent, ProcessError, ProcessTree};
use crate::vocab::LimitName;

use asking::{Asking, Words};

/// How long the broker's last notices are waited for once the engine is dead: answers that are paid for are read on.
const LAST_NOTICES: Duration = Duration::from_secs(5);

/// An engine on its way to its end.
struct Drive<'a> {
    payload: Payload,
    adapter: Box<dyn Adapter>,
    broker: Option<Broker>,
    sink: &'a mut dyn EventSink,
    raw: &'a mut dyn RawLog,
    gate: ClaimGate,
    leave: Leave,
    asking: Asking,
    follower: Option<Follower>,
    files_at: Option<Instant>,
    counts: EngineCounts,
    grace: Duration,
    deadline: Option<Instant>,
    done: bool,
    /// The harness ended it: by a limit, a stop, or because it would not go.
    ended_by_us: bool,
    input_lost: bool,
    thread_id: Option<String>,
    processes: ProcessTree,
    limits: Vec<LimitHit>,
    stopped_by: Option<&'static str>,
    calls: CallSums,
    refused: Vec<String>,
    pushes: Vec<String>,
}

impl RunningEngine {
    /// Follows the engine until its whole tree is dead. That it starts was recorded before it was launched. Needs a
    /// tokio runtime with I/O and time.
    pub async fn drive(
        self,
        sink: &mut dyn EventSink,
        raw: &mut dyn RawLog,
        mut stop: StopSignal,
    ) -> Result<FinishedEngine, EngineError> {
        let Self { permit, mut payload, workspace, adapter, broker, leave, before, follower } = self;
        let grace = Duration::from_secs(permit.limits().grace_seconds);
        payload.leave_asking_to_the_owner();
        payload.count_before(before.wall, before.output_bytes);
        let mut drive = Drive::new(payload, adapter, leave, grace, sink, raw);
        (drive.processes, drive.calls) = (before.processes, before.calls);
        drive.files_at = follower.as_ref().map(|_| Instant::now());
        drive.follower = follower;
        let observed = drive.until_dead(broker, &mut stop).await?;
        Ok(FinishedEngine { permit, workspace, observed })
    }
}

/// What woke the loop up.
enum Woken {
    Stop(Option<&'static str>),
    Deadline,
    Look,
    Files,
    Notice(Option<Notice>),
    Payload(PayloadEvent),
}

impl<'a> Drive<'a> {
    fn new(
        payload: Payload,
        adapter: Box<dyn Adapter>,
        leave: Leave,
        grace: Duration,
        sink: &'a mut dyn EventSink,
        raw: &'a mut dyn RawLog,
    ) -> Self {
        Self {
            payload,
            adapter,
            broker: None,
            sink,
            raw,
            gate: ClaimGate::default(),
            leave,
            asking: Asking::default(),
            follower: None,
            files_at: None,
            counts: EngineCounts::default(),
            grace,
            deadline: None,
            done: false,
            ended_by_us: false,
            input_lost: false,
            thread_id: None,
            processes: ProcessTree::default(),
            limits: Vec::new(),
            stopped_by: None,
            calls: CallSums::default(),
            refused: Vec::new(),
            pushes: Vec::new(),
        }
    }

    async fn until_dead(
        mut self,
        broker: Option<(Broker, Notices)>,
        stop: &mut StopSignal,
    ) -> Result<EngineObservations, EngineError> {
        let mut notices = None;
        if let Some((broker, from_it)) = broker {
            self.broker = Some(broker);
            notices = Some(from_it);
        }
        let exit = self.follow(&mut notices, stop).await?;
        self.finish(exit, notices).await
    }

    async fn follow(
        &mut self,
        notices: &mut Option<Notices>,
        stop: &mut StopSignal,
    ) -> Result<Exit, EngineError> {
        let opening = self.adapter.opening();
        self.take(opening).await?;
        let mut listening = true;
        loop {
            let (deadline, look, files) = (self.deadline, self.asking.next_look(), self.files_at);
            // In this order: a stop is heard before whatever a talkative engine or a busy broker has waiting. What the
            // broker does for long (reading bodies) it does beside this loop.
            let woken = tokio::select! {
                biased;
                said = said_stop(stop, self.stopped_by.is_some()), if listening => Woken::Stop(said),
                () = at(deadline) => Woken::Deadline,
                () = at(look) => Woken::Look,
                () = at(files) => Woken::Files,
                notice = next_notice(notices.as_mut()) => Woken::Notice(notice),
                event = self.payload.next() => Woken::Payload(event),
            };
            match woken {
                Woken::Stop(None) => listening = false,
                Woken::Stop(Some(_)) if self.stopped_by.is_some() => self.payload.kill()?,
                Woken::Stop(Some(signal)) => self.stop(signal).await?,
                Woken::Deadline => {
                    self.ended_by_us = true;
                    self.deadline = None;
                    if self.stopped_by.is_some() {
                        // It was asked to end and had its time.
                        self.payload.kill()?;
                    } else {
                        // From here on the payload's own clock turns TERM into KILL.
                        self.payload.terminate()?;
                    }
                }
                Woken::Look => self.look().await?,
                Woken::Files => self.files().await?,
                Woken::Notice(Some(notice)) => {
                    let out_of_money = notice.is_out_of_money();
                    self.record(notice)?;
                    if out_of_money && !self.ended_by_us {
                        self.wind_down().await?;
                    }
                }
                Woken::Notice(None) => *notices = None,
                Woken::Payload(PayloadEvent::Line { stream, bytes, .. }) => self.line(stream, &bytes).await?,
                Woken::Payload(PayloadEvent::Seen(seen)) => self.see(seen)?,
                Woken::Payload(PayloadEvent::LimitReached { name, value, at }) => {
                    self.ended_by_us = true;
                    self.limits.push(LimitHit { name, value, at });
                    let data = json!({"name": name, "value": value, "during": "engine"});
                    self.sink.append(Draft::observed(EventKind::LimitReached, data))?;
                    if matches!(name, LimitName::WallSeconds | LimitName::IdleSeconds) {
                        self.ask_to_end().await?;
                    }
                }
                Woken::Payload(PayloadEvent::Exited(exit)) => return Ok(exit),
            }
        }
    }

    /// The kernel showed something.
    fn see(&mut self, seen: process::Seen) -> Result<(), EngineError> {
        if let Some(draft) = self.processes.take(seen, "engine") {
            self.sink.append(draft)?;
        }
        Ok(())
    }

    async fn line(&mut self, stream: process::Stream, bytes: &[u8]) -> Result<(), EngineError> {
        self.counts.lines = self.counts.lines.saturating_add(1);
        let (stream, raw) = match stream {
            process::Stream::Stdout => (Stream::Stdout, RawStream::Stdout),
            process::Stream::Stderr => (Stream::Stderr, RawStream::Stderr),
        };
        self.raw.append(raw, bytes).and_then(|()| self.raw.append(raw, b"\n")).map_err(EngineError::Raw)?;
        let steps = self.adapter.on_line(stream, bytes);
        self.take(steps).await
    }

    async fn take(&mut self, steps: Vec<Step>) -> Result<(), EngineError> {
        for step in steps {
            match step {
                Step::Event(draft) => {
                    if let Some(draft) = self.gate.admit(draft, &mut self.counts) {
                        self.sink.append(draft)?;
                    }
                }
                Step::Send(bytes) => self.send(&bytes).await?,
                Step::Ask { wish, granted, declined, asked, exactly } => {
                    self.ask(wish, asked, exactly, Words { granted, declined }).await?;
                }
                Step::Deny { asked, exactly, why } => self.deny(asked, &exactly, why)?,
                Step::ThreadId(id) => {
                    let id = claim::text(&id);
                    self.sink.append(Draft::claimed(EventKind::ThreadStarted, json!({"thread_id": id})))?;
                    self.thread_id.get_or_insert(id);
                }
                Step::CloseInput => self.payload.close_stdin(),
                Step::Done => {
                    self.done = true;
                    self.deadline.get_or_insert(Instant::now() + self.grace);
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        self.raw.append(RawStream::Stdin, bytes).map_err(EngineError::Raw)?;
        match self.payload.send(bytes).await {
            Ok(()) => Ok(()),
            Err(error @ (ProcessError::InputClosed | ProcessError::InputFull(_))) => self.input_lost(&error),
            Err(error) => Err(error.into()),
        }
    }

    /// It does not listen any more. It may be about to end by itself; it gets the grace period for that.
    fn input_lost(&mut self, error: &ProcessError) -> Result<(), EngineError> {
        if !self.input_lost && !self.done {
            self.input_lost = true;
            let data = json!({"message": error.to_string(), "final": false});
            self.sink.append(Draft::observed(EventKind::EngineError, data))?;
            self.deadline.get_or_insert(Instant::now() + self.grace);
        }
        Ok(())
    }

    fn record(&mut self, notice: Notice) -> Result<(), EngineError> {
        let data = &notice.draft.data;
        self.calls.take(notice.draft.kind, data);
        if notice.is_an_attempt() {
            let field = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or("");
            let text = format!("{} {}: {}", field("method"), field("target"), field("reason"));
            if field("action") == "git.push" {
                self.pushes.push(text.clone());
            }
            if self.refused.len() < EngineObservations::REFUSED_KEPT {
                self.refused.push(text);
            }
        }
        self.sink.append(notice.draft)?;
        // Whoever waits for it may be gone by now; then nothing is done either.
        notice.recorded.send(()).ok();
        Ok(())
    }

    async fn finish(
        mut self,
        exit: Exit,
        notices: Option<Notices>,
    ) -> Result<EngineObservations, EngineError> {
        if let Some(mut notices) = notices {
            self.last_notices(&mut notices).await?;
        }
        self.abandon()?;
        self.last_files().await?;
        let steps = self.adapter.on_exit(&exit.status);
        self.take(nothing_sent(steps)).await?;
        self.counts.output_bytes = exit.output_bytes;
        self.counts.micros = exit.micros;
        self.counts.max_rss = exit.max_rss;
        self.counts.used = exit.used;
        let read = self.adapter.outcome();
        let outcome = if self.ended_by_us { EngineOutcome::Interrupted } else { read.outcome };
        let message = match exit.status.strip_prefix("not-started:") {
            Some(why) => Some(format!("it could not be started: {}", claim::text(why))),
            None => read.message.as_deref().map(claim::text),
        };
        self.sink.append(Draft::observed(
            EventKind::EngineFinished,
            json!({"exit": exit.status, "outcome": outcome, "micros": exit.micros, "max_rss": exit.max_rss,
                "output_bytes": exit.output_bytes, "lines": self.counts.lines, "events": self.counts.events,
                "suppressed": self.counts.suppressed, "unrecognized": self.counts.unrecognized,
                "granted": self.counts.granted, "declined": self.counts.declined, "forwarded_calls": self.counts.broker.forwarded,
                "refused_calls": self.counts.broker.refused, "tunnels": self.counts.broker.tunnels, "stopped_by": self.stopped_by}),
        ))?;
        Ok(EngineObservations {
            exit: exit.status,
            outcome,
            thread_id: self.thread_id,
            message,
            last_words: read.last_words,
            processes: self.processes,
            limits: self.limits,
            stopped_by: self.stopped_by,
            claims: visible(read.claims),
            counts: self.counts,
            calls: self.calls,
            refused: self.refused,
            pushes: self.pushes,
            yes: self.asking.yes,
            trouble: self.adapter.trouble(),
        })
    }

    /// The engine is dead, so nobody can ask for anything new; what was asked before is recorded to its end. An answer
    /// that costs money is read on for what it used.
    async fn last_notices(&mut self, notices: &mut Notices) -> Result<(), EngineError> {
        let Some(broker) = self.broker.take() else { return Ok(()) };
        broker.stop();
        let end = Instant::now() + LAST_NOTICES;
        while let Ok(Some(notice)) = timeout_at(end, notices.recv()).await {
            self.record(notice)?;
        }
        self.counts.broker = broker.counts();
        Ok(())
    }
}

/// The engine is dead: what is to be recorded of it stays, and there is nobody left to send anything to.
fn nothing_sent(steps: Vec<Step>) -> Vec<Step> {
    let recorded = |step: &Step| matches!(step, Step::Event(_) | Step::Deny { .. } | Step::ThreadId(_));
    steps.into_iter().filter(recorded).collect()
}

/// The claims with nothing hidden in them.
fn visible(mut claims: Claims) -> Claims {
    for command in &mut claims.commands {
        command.command = claim::text(&command.command);
    }
    for words in claims.files.iter_mut().chain(&mut claims.statements) {
        *words = claim::text(words);
    }
    claims
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn next_notice(notices: Option<&mut mpsc::Receiver<Notice>>) -> Option<Notice> {
    match notices {
        Some(notices) => notices.recv().await,
        None => std::future::pending().await,
    }
}
