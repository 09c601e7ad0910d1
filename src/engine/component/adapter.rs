//! The adapter that speaks through a module: one fresh instance for the plan, one for everything after it.
//!
//! INVARIANT: after the first trouble the module is not called again. The engine is then ended, its lines stay in the raw
//! log, and the run says why.

use serde_json::json;

use super::bindings::seam;
use super::instance::Instance;
use super::module::Module;
use super::{plan, steps};
use crate::engine::adapter::{
    Adapter, AdapterError, AdapterOutcome, Claims, LaunchPlan, PlanInput, Step, Stream,
};
use crate::engine::trouble::Trouble;
use crate::event::{Draft, EventKind};
use crate::evidence::EngineOutcome;

/// The adapter.
pub(super) struct ComponentAdapter {
    module: Module,
    job: Option<seam::Job>,
    running: Option<Instance>,
    outcome: Option<AdapterOutcome>,
    trouble: Option<Trouble>,
}

impl ComponentAdapter {
    pub(super) const fn new(module: Module) -> Self {
        Self { module, job: None, running: None, outcome: None, trouble: None }
    }

    /// The instance of the run, made when it is first spoken to.
    fn running(&mut self) -> Result<&mut Instance, Trouble> {
        let instance = match self.running.take() {
            Some(instance) => instance,
            None => self.module.fresh()?,
        };
        Ok(self.running.insert(instance))
    }

    /// One call for steps; nothing once there was trouble.
    fn ask(&mut self, call: impl FnOnce(&mut Instance) -> Result<Vec<seam::Step>, Trouble>) -> Vec<Step> {
        if self.trouble.is_some() {
            return Vec::new();
        }
        let answer = self.running().and_then(call).and_then(steps::steps);
        answer.unwrap_or_else(|trouble| self.give_up(trouble))
    }

    /// The module is not asked again, and the engine is to end.
    fn give_up(&mut self, trouble: Trouble) -> Vec<Step> {
        self.running = None;
        let data = json!({"message": trouble.to_string(), "code": trouble.kind.code(), "final": true});
        self.trouble = Some(trouble);
        vec![Step::Event(Draft::claimed(EventKind::EngineError, data)), Step::CloseInput, Step::Done]
    }
}

impl Adapter for ComponentAdapter {
    fn plan(&mut self, input: &PlanInput<'_>) -> Result<LaunchPlan, AdapterError> {
        let job = plan::job(input)?;
        let answer = self.module.fresh()?.call(|seam, store| seam.call_plan(store, &job))?;
        self.job = Some(job);
        plan::plan(answer, input)
    }

    fn opening(&mut self) -> Vec<Step> {
        // Without a plan there is no job to speak of: a transcript is read once more.
        let Some(job) = self.job.take() else { return Vec::new() };
        self.ask(|instance| instance.call(|seam, store| seam.call_opening(store, &job)))
    }

    fn on_line(&mut self, stream: Stream, line: &[u8]) -> Vec<Step> {
        let from = match stream {
            Stream::Stdout => seam::Output::Stdout,
            Stream::Stderr => seam::Output::Stderr,
            // No plan of a module watches any.
            Stream::File(_) => return Vec::new(),
        };
        self.ask(|instance| instance.call(|seam, store| seam.call_on_line(store, from, line)))
    }

    fn on_exit(&mut self, exit: &str) -> Vec<Step> {
        let mut done = self.ask(|instance| instance.call(|seam, store| seam.call_on_exit(store, exit)));
        if self.trouble.is_some() {
            return done;
        }
        let told = self.running().and_then(|instance| {
            let outcome = instance.call(|seam, store| seam.call_conclude(store))?;
            let words = instance.call(|seam, store| seam.call_recommendation(store))?;
            Ok((steps::outcome(outcome), steps::recommendation(words)?))
        });
        match told {
            Ok((outcome, recommended)) => {
                self.outcome = Some(outcome);
                done.extend(recommended);
            }
            Err(trouble) => done.extend(self.give_up(trouble)),
        }
        // Nothing more is asked of it.
        self.running = None;
        done
    }

    fn declined(&mut self, why: &str) -> Vec<Step> {
        self.ask(|instance| instance.call(|seam, store| seam.call_declined(store, why)))
    }

    fn interrupt(&mut self) -> Vec<Step> {
        self.ask(|instance| instance.call(|seam, store| seam.call_interrupt(store)))
    }

    fn outcome(&self) -> AdapterOutcome {
        self.outcome.clone().unwrap_or_else(|| AdapterOutcome {
            outcome: EngineOutcome::Crashed,
            message: self.trouble.as_ref().map(ToString::to_string),
            last_words: None,
            claims: Claims::default(),
        })
    }

    fn trouble(&self) -> Option<Trouble> {
        self.trouble.clone()
    }
}

impl From<Trouble> for AdapterError {
    fn from(trouble: Trouble) -> Self {
        Self::Module(trouble)
    }
}
