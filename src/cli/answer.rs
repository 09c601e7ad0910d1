//! `cto approve|deny`: a principal's signed answer to a pending request.
//!
//! What can be seen to count for nothing is refused here with its reason; what counts is decided again, from the
//! recorded answer alone, when the next run gathers its facts.

use super::act_view;
use super::args::AnswerArgs;
use super::keyfile;
use super::output::{Line, Output, Tone};
use super::principal;
use super::problem::Problem;
use super::{Exit, audited};
use crate::approval::{
    ApprovalFolder, PendingRequest, Principal, Principals, Role, SignedApproval, Spending, approval_message,
};
use crate::audit::Act;
use crate::eligibility::ApprovalAnswer;
use crate::home::{Accounts, Home};
use crate::vocab::{ApprovalId, PrincipalName, PublicKey, Signature, SignatureFault, Timestamp};

/// Says yes.
pub(super) fn approve(args: &AnswerArgs, output: &mut Output) -> Result<Exit, Problem> {
    answer(args, ApprovalAnswer::Grant, output)
}

/// Says no.
pub(super) fn deny(args: &AnswerArgs, output: &mut Output) -> Result<Exit, Problem> {
    answer(args, ApprovalAnswer::Deny, output)
}

fn answer(args: &AnswerArgs, answer: ApprovalAnswer, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let id = ApprovalId::parse(&args.id)
        .map_err(|error| Problem::usage(error.to_string(), "copy the id that the blocked run printed"))?;
    let home = Home::open()?;
    let folder = ApprovalFolder::open(&home.approvals_dir())?;
    let request = folder.pending(&id)?.ok_or_else(|| {
        Problem::usage(format!("no request {id} is on record here"), "see `cto runs` for what waits")
    })?;
    act_view::refuse_altered(&request)?;
    if !output.is_for_programs() && !args.print_message {
        act_view::show(&request, output);
    }
    let Some(name) = &args.principal else { return only_asked(&request, output) };
    let name = PrincipalName::parse(name)
        .map_err(|error| Problem::usage(error.to_string(), "see `cto principal list`"))?;
    let principals = principal::load(&home)?;
    let signer = standing(&principals, &name)?;
    refuse_what_cannot_count(&folder, &request, signer)?;
    let message = approval_message(&request, answer, &name);
    if args.print_message {
        output.document(&message);
        return Ok(Exit::Pass);
    }
    let (key, signature) = signed(args, signer, &message)?;
    let word = if answer == ApprovalAnswer::Grant { "approved" } else { "denied" };
    let kind = signature.made_with().kind.as_str();
    audited::announce(&home, Act::RecordApproval, format!("{id} {word} by {name} ({kind})"))?;
    folder.answer(&SignedApproval::of(&request, answer, &name, &key, signature))?;
    tell(&request, word, &name, output);
    Ok(Exit::Pass)
}

/// The signature, made here or elsewhere, and the principal's key that it is by.
fn signed(args: &AnswerArgs, signer: &Principal, message: &[u8]) -> Result<(PublicKey, Signature), Problem> {
    let another = |name: &PrincipalName| {
        Problem::usage(
            format!("this is not a key of `{name}`"),
            "give the private half of a registered key, or its OpenSSH public file",
        )
    };
    if let Some(file) = &args.key {
        let with = keyfile::signer(file)?;
        // Before anybody has to touch a key.
        let own =
            signer.keys.iter().find(|key| **key == with.public()).ok_or_else(|| another(&signer.name))?;
        return Ok((own.clone(), with.sign(message)?));
    }
    let file = args.signature.as_deref().ok_or_else(|| {
        Problem::usage("nobody answered: it was not said with which key", "give --key or --signature")
    })?;
    let signature = keyfile::signature(file)?;
    let mut fault = SignatureFault::AnotherKey;
    for key in &signer.keys {
        match key.check(message, &signature) {
            Ok(()) => return Ok((key.clone(), signature)),
            Err(SignatureFault::AnotherKey) => {}
            Err(other) => fault = other,
        }
    }
    if fault == SignatureFault::AnotherKey {
        return Err(another(&signer.name));
    }
    Err(Problem::usage(
        fault.to_string(),
        "sign exactly what `cto approve|deny ID --as NAME --print-message` writes; see `cto approve --help`",
    ))
}

/// Says what an answer takes.
fn only_asked(request: &PendingRequest, output: &mut Output) -> Result<Exit, Problem> {
    if output.is_for_programs() {
        output.json(&serde_json::json!({"request": request}));
        return Ok(Exit::Pass);
    }
    let remedy = format!("cto approve|deny {} --as NAME --key FILE", request.request_id);
    Err(Problem::usage("nobody answered: it was not said who does", remedy))
}

fn standing<'a>(principals: &'a Principals, name: &PrincipalName) -> Result<&'a Principal, Problem> {
    let signer = principals.find(name).ok_or_else(|| {
        let remedy = "an operator adds one: cto principal add NAME --key FILE --role approve";
        Problem::usage(format!("`{name}` is not in the file of principals"), remedy)
    })?;
    if signer.roles.contains(&Role::Approve) {
        return Ok(signer);
    }
    Err(Problem::usage(format!("`{name}` has no role `approve`"), "ask a principal who has it"))
}

fn refuse_what_cannot_count(
    folder: &ApprovalFolder,
    request: &PendingRequest,
    signer: &Principal,
) -> Result<(), Problem> {
    let (name, refuse) =
        (&signer.name, |sentence: String, remedy: &str| Err(Problem::usage(sentence, remedy)));
    let now = Timestamp::now();
    if !signer.valid_at(now) {
        return refuse(
            format!("`{name}` is not valid now"),
            "ask an operator to look at the file of principals",
        );
    }
    if request.requester.as_ref() == Some(name)
        || signer.has_account(&request.requester_account, &Accounts::read())
    {
        return refuse(
            format!("`{name}` asked for this: nobody answers an own request"),
            "ask another principal",
        );
    }
    if request.expires_at <= now {
        return refuse(
            format!("the request ended at {}", request.expires_at),
            "run the contract again for a new one",
        );
    }
    if folder.spending(&request.request_id) != Spending::Unspent {
        return refuse(
            "the request was used by a run already".into(),
            "run the contract again for a new one",
        );
    }
    Ok(())
}

fn tell(request: &PendingRequest, word: &str, name: &PrincipalName, output: &mut Output) {
    if output.is_for_programs() {
        output.json(&serde_json::json!({"answer": word, "by": name, "request": request}));
        return;
    }
    let tone = if word == "approved" { Tone::Good } else { Tone::Bad };
    output.say(&Line::new().add(tone, word).plain(format!(" by {name}: ")).add(Tone::Strong, &request.title));
    let what = format!("mode {}, risk {}, until {}", request.mode, request.risk, request.expires_at);
    output.say(&Line::new().add(Tone::Quiet, what));
    output.say(&Line::new().add(Tone::Quiet, format!("request {}", request.request_digest)));
    if request.act.is_some() {
        output.say(&Line::of("the run that waits for it goes on by itself"));
    } else if word == "approved" {
        output.say(&Line::of("run the same contract again to use it (a run with --wait goes on by itself)"));
    }
}
