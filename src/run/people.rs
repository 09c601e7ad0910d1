//! The people whom an engine at work may ask: its questions in the folder of approvals, and their signed answers.
//!
//! Guarantees: an answer is held against the file of principals, the requester, this run and this act at the moment
//! when it is read; it is used up by an exclusive record before anything is granted; and it goes into the bundle as it
//! was signed. Whatever cannot be read means no.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::approve::answer_name;
use super::cutoff::CutOff;
use super::execute::Tools;
use super::gather::Settings;
use super::recording::{RecordError, Recording};
use crate::approval::{
    Against, ApprovalFolder, Found, PendingAct, PendingRequest, SignedApproval, SpentRecord, check_approvals,
};
use crate::audit::{Act, Audit};
use crate::eligibility::{ApprovalAnswer, ExecutionPermit, Requester};
use crate::engine::{Asked, Leave, People, Question, Said};
use crate::home::Home;
use crate::vocab::{
    ApprovalId, Digest, KeyKind, MutationMode, PrincipalName, PublicKey, RiskClass, RunId, Timestamp, shown,
};

/// Bytes of a request on record; a larger one could not be read back, nor by a person.
const REQUEST_MAX: usize = 48 * 1024;
const AGAIN: &str = "Run again; if it happens again, look at the folder `approvals` of the state.";

/// Answers that counted, as they were signed.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<Mutex<Vec<SignedApproval>>>);

/// Whom the engine of one run may ask.
struct Approvers {
    home: Home,
    folder: ApprovalFolder,
    audit: Audit,
    run_id: RunId,
    decision: Digest,
    contract: Digest,
    mode: MutationMode,
    risk: RiskClass,
    title: String,
    requester: Requester,
    seconds: u64,
    sealing_key: PublicKey,
    open: BTreeMap<ApprovalId, PendingRequest>,
    refused: BTreeSet<(ApprovalId, PrincipalName)>,
    answers: Answers,
}

/// What the contract of this run forbids and marks, with the people who are asked about the latter.
pub(super) fn leave(permit: &ExecutionPermit, tools: &Tools<'_>) -> Result<(Leave, Answers), CutOff> {
    let (task, answers) = (tools.scene.asked.contract.task(), Answers::default());
    if task.ask_first.is_empty() {
        return Ok((Leave::of(task), answers));
    }
    let failed = |error: &dyn std::fmt::Display| CutOff::at("approval", error, AGAIN);
    let people = Approvers {
        home: tools.home.clone(),
        folder: ApprovalFolder::open(&tools.home.approvals_dir()).map_err(|error| failed(&error))?,
        audit: Audit::new(tools.home.state(), tools.scene.account()),
        run_id: tools.scene.run_id.clone(),
        decision: permit.request_digest(),
        contract: permit.contract_digest(),
        mode: permit.mode(),
        risk: permit.risk(),
        title: shown(&task.title),
        requester: tools.scene.facts.requester.clone(),
        seconds: permit.limits().answer_seconds,
        sealing_key: tools.home.sealing_key().map_err(|error| failed(&error))?.public(),
        open: BTreeMap::new(),
        refused: BTreeSet::new(),
        answers: answers.clone(),
    };
    Ok((Leave::of(task).asking(Box::new(people)), answers))
}

impl Answers {
    /// Those that counted in earlier attempts: they are in the folder of approvals still.
    pub(super) fn recall(&self, tools: &Tools<'_>) -> Result<(), CutOff> {
        if tools.earlier.answers().is_empty() {
            return Ok(());
        }
        let failed = |error: &dyn std::fmt::Display| CutOff::at("approval", error, AGAIN);
        let folder = ApprovalFolder::open(&tools.home.approvals_dir()).map_err(|error| failed(&error))?;
        for id in tools.earlier.answers() {
            let found = folder.answers_to(id).map_err(|error| failed(&error))?;
            let yes = found.answers.into_iter().map(|found| found.approval);
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(yes.filter(|answer| answer.answer == ApprovalAnswer::Grant));
        }
        Ok(())
    }

    /// Puts them into the bundle, as signed.
    pub(super) fn attach(&self, recording: &mut Recording<'_>) -> Result<(), RecordError> {
        for answer in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let name = answer_name(&answer.request_id, &answer.by, answer.answer);
            if recording.bundle().files().contains_key(&name) {
                continue;
            }
            let mut text = serde_json::to_vec_pretty(&answer)?;
            text.push(b'\n');
            recording.bundle().write(&name, &text)?;
        }
        Ok(())
    }
}

fn sentence(error: impl std::fmt::Display) -> String {
    shown(&error.to_string())
}

impl Approvers {
    /// One that this run asked before its process died (then it is on record), or a new one.
    fn request(&self, act: PendingAct) -> Result<(PendingRequest, bool), String> {
        let (now, digest, account) = (Timestamp::now(), act.digest(), &self.requester.account);
        let asked = |id: &ApprovalId| self.open.contains_key(id);
        if let Some(open) = self.folder.open_act(digest, account, now, asked).map_err(sentence)? {
            return Ok((open, true));
        }
        let seconds = i64::try_from(self.seconds).unwrap_or(i64::MAX);
        let request = PendingRequest {
            request_id: ApprovalId::fresh().map_err(sentence)?,
            request_digest: digest,
            mode: self.mode,
            risk: self.risk,
            contract_digest: self.contract,
            title: self.title.clone(),
            created_at: now,
            expires_at: now.plus_seconds(seconds).ok_or("the time to answer ends after the calendar")?,
            requester_account: account.clone(),
            requester: self.requester.principal.clone(),
            act: Some(act),
        };
        Ok((request, false))
    }

    /// Nobody can answer where the file of principals does not read; then looking says so.
    fn key_kinds(&self) -> BTreeSet<KeyKind> {
        let settings = Settings::read(&self.home).ok();
        let principals = settings.as_ref().and_then(|settings| settings.principals.as_ref());
        super::approve::key_kinds(principals.map(|(all, _)| all), Timestamp::now())
    }

    /// The answers, each with every reason why it does not count.
    fn check(&self, found: &[Found], digest: Digest) -> Result<Vec<Vec<String>>, String> {
        let settings = Settings::read(&self.home).map_err(sentence)?;
        let Some((principals, _)) = &settings.principals else {
            return Ok(found.iter().map(|_| vec!["there is no file of principals".to_owned()]).collect());
        };
        // Whoever asks may be one of those.
        if let Some(unclear) = principals.unclear(&settings.accounts).into_iter().next() {
            return Err(sentence(unclear));
        }
        let rows = check_approvals(
            found,
            &Against {
                principals,
                accounts: &settings.accounts,
                requester: &self.requester,
                request_digest: digest,
                mode: self.mode,
                risk: self.risk,
                run: &self.run_id,
                sealing_key: &self.sealing_key,
                now: Timestamp::now(),
            },
        );
        Ok(rows.into_iter().map(|row| row.refused).collect())
    }
}

impl People for Approvers {
    fn put(&mut self, question: &Question) -> Result<Asked, String> {
        let (run_id, decision) = (self.run_id.clone(), self.decision);
        let (rule, exactly) = (question.rule.clone(), question.exactly.clone());
        let (request, on_record) = self.request(PendingAct { run_id, decision, rule, exactly })?;
        if serde_json::to_vec_pretty(&request).map_err(sentence)?.len() > REQUEST_MAX {
            return Err("what it asks for is too large to be shown to a person".to_owned());
        }
        let left = request.expires_at.unix_micros().saturating_sub(Timestamp::now().unix_micros());
        let seconds = u64::try_from(left).unwrap_or(0).div_ceil(1_000_000).min(self.seconds);
        let asked = Asked {
            id: request.request_id.clone(),
            request_digest: request.request_digest,
            expires_at: request.expires_at,
            seconds,
            key_kinds: self.key_kinds(),
        };
        if !on_record {
            self.folder.post(&request).map_err(sentence)?;
        }
        self.open.insert(request.request_id.clone(), request);
        Ok(asked)
    }

    fn look(&mut self, id: &ApprovalId) -> Result<Said, String> {
        let request = self.open.get(id).ok_or_else(|| format!("{id} is not open"))?;
        let found = self.folder.answers_to(id).map_err(sentence)?;
        if let Some(how) = found.unreadable.into_iter().next() {
            return Err(how);
        }
        let mut said = Said::default();
        if found.answers.is_empty() {
            return Ok(said);
        }
        let reasons = self.check(&found.answers, request.request_digest)?;
        let mut counted: Option<SignedApproval> = None;
        for (Found { approval, .. }, reasons) in found.answers.into_iter().zip(reasons) {
            if reasons.is_empty() {
                // A no of anybody outweighs every yes.
                if counted.is_none() || approval.answer == ApprovalAnswer::Deny {
                    counted = Some(approval);
                }
            } else if self.refused.insert((id.clone(), approval.by.clone())) {
                said.refused.push((approval.by, reasons.iter().map(|reason| shown(reason)).collect()));
            }
        }
        said.answer = counted.map(|answer| {
            let with = answer.signature.made_with();
            let what = (answer.by.clone(), with, answer.answer == ApprovalAnswer::Grant);
            self.answers.0.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
            what
        });
        Ok(said)
    }

    fn close(&mut self, id: &ApprovalId) -> Result<(), String> {
        let request = self.open.remove(id).ok_or_else(|| format!("{id} is not open"))?;
        self.audit.act(Act::SpendApproval, Some(&self.run_id), id.to_string()).map_err(sentence)?;
        let record = SpentRecord {
            request_id: request.request_id,
            request_digest: request.request_digest,
            run_id: self.run_id.clone(),
            spent_at: Timestamp::now(),
        };
        self.folder.spend(&record).map_err(sentence)
    }
}

impl std::fmt::Debug for Approvers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Approvers").field("run_id", &self.run_id).finish_non_exhaustive()
    }
}
