//! The request digest: what an approver approves.
//!
//! It covers the bound facts and nothing else, so it is the same tomorrow, and different as soon as anything
//! that the approver relied on is. Time, load and who asks are not part of it.

use super::{EngineFacts, Facts, GATE_SET, Observed};
use crate::contract::TaskContract;
use crate::contract::limits::rows;
use crate::vocab::{Digest, EngineId, Hasher};

/// Keeps this digest apart from every other one made here.
const DOMAIN: &str = "cto-request-digest-v1";

/// Digest of the bound facts for one engine.
pub(super) fn digest(
    contract: &TaskContract,
    contract_digest: Digest,
    facts: &Facts,
    engine_id: &EngineId,
) -> Digest {
    let engine = facts.engines.get(engine_id);
    let mut bound = Bound(Hasher::new());
    bound.add("domain", DOMAIN);
    bound.add("gate_set", &GATE_SET.to_string());
    bound.add("contract", &contract_digest.to_string());
    bound.add("mode", contract.mutation_mode.map_or("", crate::vocab::MutationMode::as_str));
    bound.add("risk", contract.risk_class.as_str());
    bound.add("policy", &facts.policy.to_string());
    bound.engine(engine_id, engine, contract);
    bound.observed("target", &facts.target, |bound, target| {
        bound.add("identity", &target.identity);
        bound.add("commit", target.commit.as_str());
        bound.add("tree", target.tree.as_str());
    });
    bound.observed("authority", &facts.authority, |bound, authority| {
        bound.add("digest", &authority.digest.to_string());
    });
    for (name, provision) in &facts.provisions {
        bound.observed(name, provision, |bound, digest| bound.add("digest", &digest.to_string()));
    }
    bound.limits(&contract.limits);
    if facts.checking {
        bound.add("checking", "yes");
    }
    if facts.proving {
        bound.add("proving", "yes");
    }
    if facts.learning {
        bound.add("learning", "yes");
    }
    bound.0.finish()
}

struct Bound(Hasher);

impl Bound {
    /// INVARIANT: every name and value is preceded by its length, so no two lists of facts feed the same bytes.
    fn add(&mut self, name: &str, value: &str) {
        for text in [name, value] {
            self.0.update(&(text.len() as u64).to_be_bytes());
            self.0.update(text.as_bytes());
        }
    }

    fn observed<T>(&mut self, name: &str, observed: &Observed<T>, seen: impl FnOnce(&mut Self, &T)) {
        match observed {
            Observed::Seen(value) => {
                self.add(name, "seen");
                seen(self, value);
            }
            Observed::Absent(_) => self.add(name, "absent"),
            Observed::Error(_) => self.add(name, "error"),
        }
    }

    fn engine(&mut self, id: &EngineId, engine: Option<&EngineFacts>, contract: &TaskContract) {
        self.add("engine", id.as_str());
        let Some(engine) = engine else {
            return self.add("registered", "no");
        };
        self.add("adapter", &engine.adapter.to_string());
        let asked = contract.engine.as_ref().and_then(|choice| choice.model.as_deref());
        self.add("model", asked.or(engine.model.as_deref()).unwrap_or(""));
        self.observed("program", &engine.program, |bound, program| {
            bound.add("digest", &program.digest.to_string());
        });
    }

    fn limits(&mut self, limits: &crate::vocab::Limits) {
        for (name, value) in rows(&mut limits.clone()) {
            self.add(name, &value.to_string());
        }
    }
}
