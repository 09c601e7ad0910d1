//! The adapter of the stage `default-deny`: it is loaded, asked everything that an adapter is asked, and starts nothing.
//!
//! It spends a permit that is for it alone, as launching would. Guarantees: its plan executes nothing, and it answers
//! nothing that could decide; [`super::launch`] refuses its permit, and this refuses every other one.

use super::adapter::{
    Adapter, AdapterError, AdapterOutcome, Claims, LaunchPlan, PlanInput, Step, Stream, WORKSPACE,
};
use super::launch::EngineError;
use super::manifest::AdapterKind;
use crate::contract::TaskContract;
use crate::eligibility::{ExecutionPermit, SpentPermit};
use crate::evidence::EngineOutcome;

/// Plans nothing, says nothing.
#[derive(Debug, Default)]
struct NoOp;

/// What came of loading it.
#[derive(Debug)]
pub struct NoOpSeen {
    /// The terms under which it was loaded.
    pub permit: SpentPermit,
    /// Name and version of the adapter.
    pub adapter: &'static str,
    /// What it did that it must not do; empty is good.
    pub did: Vec<String>,
}

/// Loads it, asks it everything, and uses the permit up. No process is started.
pub fn exercise_no_op(permit: ExecutionPermit, contract: &TaskContract) -> Result<NoOpSeen, EngineError> {
    if !permit.starts_nothing() {
        return Err(EngineError::OtherPermit("for an adapter that starts a process"));
    }
    let mut adapter = NoOp;
    let mut did = Vec::new();
    let plan = adapter.plan(&PlanInput {
        contract,
        script: None,
        model: None,
        program: "",
        entry: None,
        listener_port: 0,
        environment: &std::collections::BTreeMap::new(),
        earlier: None,
        prepared: &[],
    });
    match plan {
        Ok(plan) if plan.argv.is_empty() && plan.files.is_empty() && plan.home.is_none() => {}
        Ok(_) => did.push("it planned to start something".to_owned()),
        Err(error) => did.push(error.to_string()),
    }
    let line = b"{\"verdict\":\"pass\"}";
    let mut steps = adapter.opening();
    steps.extend(adapter.on_line(Stream::Stdout, line));
    steps.extend(adapter.on_line(Stream::Stderr, line));
    steps.extend(adapter.interrupt());
    steps.extend(adapter.on_exit("exited:0"));
    if !steps.is_empty() {
        did.push("it asked the harness to do something".to_owned());
    }
    if adapter.outcome().outcome == EngineOutcome::Completed {
        did.push("it says that it completed something".to_owned());
    }
    Ok(NoOpSeen { permit: permit.spend(), adapter: AdapterKind::NoOp.version(), did })
}

impl Adapter for NoOp {
    fn plan(&mut self, _: &PlanInput<'_>) -> Result<LaunchPlan, AdapterError> {
        Ok(LaunchPlan { cwd: WORKSPACE.to_owned(), ..LaunchPlan::default() })
    }

    fn opening(&mut self) -> Vec<Step> {
        Vec::new()
    }

    fn on_line(&mut self, _: Stream, _: &[u8]) -> Vec<Step> {
        Vec::new()
    }

    fn on_exit(&mut self, _: &str) -> Vec<Step> {
        Vec::new()
    }

    fn interrupt(&mut self) -> Vec<Step> {
        Vec::new()
    }

    fn outcome(&self) -> AdapterOutcome {
        AdapterOutcome {
            outcome: EngineOutcome::Failed,
            message: None,
            last_words: None,
            claims: Claims::default(),
        }
    }
}
