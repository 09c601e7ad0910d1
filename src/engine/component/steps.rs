//! Steps of a module, checked and made into the harness's own. Nothing is mended: what does not fit ends the adapter.

use serde_json::{Map, Value, json};

use super::bindings::seam;
use super::limits::{FIELDS, NAME_BYTES, SEND_BYTES, STEPS, WISH_PATHS, WORDS_BYTES};
use crate::engine::adapter::{AdapterOutcome, Claims, Step};
use crate::engine::leave::Wish;
use crate::engine::trouble::{Trouble, TroubleKind};
use crate::event::{Draft, EventKind};
use crate::evidence::EngineOutcome;

/// The steps of one call.
pub(super) fn steps(from: Vec<seam::Step>) -> Result<Vec<Step>, Trouble> {
    if from.len() > STEPS {
        return Err(TroubleKind::Output.because(format!("{} steps at once, at most {STEPS}", from.len())));
    }
    let mut room = SEND_BYTES;
    from.into_iter().map(|one| step(one, &mut room)).collect()
}

fn step(from: seam::Step, room: &mut usize) -> Result<Step, Trouble> {
    let mut send = |bytes: Vec<u8>| match room.checked_sub(bytes.len()) {
        Some(left) => {
            *room = left;
            Ok(bytes)
        }
        None => Err(TroubleKind::Output.because(format!("more than {SEND_BYTES} bytes for the engine"))),
    };
    Ok(match from {
        seam::Step::Event(event) => {
            Step::Event(Draft::claimed(kind(event.kind), Value::Object(fields(event.fields)?)))
        }
        seam::Step::Send(bytes) => Step::Send(send(bytes)?),
        seam::Step::Ask(ask) => Step::Ask {
            wish: wish(ask.wish)?,
            granted: send(ask.granted)?,
            declined: send(ask.declined)?,
            asked: Value::Object(fields(ask.asked)?),
            exactly: ask.exactly,
        },
        seam::Step::Thread(id) if id.len() <= WORDS_BYTES => Step::ThreadId(id),
        seam::Step::Thread(_) => return Err(TroubleKind::Output.because("a thread's name without end")),
        seam::Step::CloseInput => Step::CloseInput,
        seam::Step::Done => Step::Done,
    })
}

const fn kind(from: seam::EventKind) -> EventKind {
    match from {
        seam::EventKind::EngineError => EventKind::EngineError,
        seam::EventKind::EvidenceClaimed => EventKind::EvidenceClaimed,
        seam::EventKind::FileChanged => EventKind::FileChanged,
        seam::EventKind::Message => EventKind::Message,
        seam::EventKind::PhaseFinished => EventKind::PhaseFinished,
        seam::EventKind::PhaseStarted => EventKind::PhaseStarted,
        seam::EventKind::RawUnrecognized => EventKind::RawUnrecognized,
        seam::EventKind::RevisionRequested => EventKind::RevisionRequested,
        seam::EventKind::ToolCalled => EventKind::ToolCalled,
        seam::EventKind::ToolFinished => EventKind::ToolFinished,
        seam::EventKind::UsageReported => EventKind::UsageReported,
    }
}

fn fields(from: seam::Fields) -> Result<Map<String, Value>, Trouble> {
    if from.len() > FIELDS {
        return Err(TroubleKind::Output.because(format!("{} values in one event", from.len())));
    }
    let mut data = Map::new();
    for (name, value) in from {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        if name.is_empty() || name.len() > NAME_BYTES || !name.bytes().all(plain) {
            return Err(TroubleKind::Garbage.because("a value's name is not lower case, digits and `_`"));
        }
        let value = match value {
            seam::Value::Text(text) => json!(text),
            seam::Value::Number(number) => json!(number),
            seam::Value::Flag(flag) => json!(flag),
            seam::Value::Texts(texts) => json!(texts),
        };
        if data.insert(name, value).is_some() {
            return Err(TroubleKind::Garbage.because("a value's name stands twice in one event"));
        }
    }
    Ok(data)
}

fn wish(from: seam::Wish) -> Result<Wish, Trouble> {
    match from {
        seam::Wish::Command(line) => Ok(Wish::Command(line)),
        seam::Wish::Change(Some(paths)) if paths.len() > WISH_PATHS => {
            Err(TroubleKind::Output.because(format!("{} paths in one wish", paths.len())))
        }
        seam::Wish::Change(paths) => Ok(Wish::Change(paths)),
    }
}

/// How it says that the engine ended, and what it says the engine said.
pub(super) fn outcome(from: seam::Outcome) -> AdapterOutcome {
    let mut claims = Claims::default();
    for claim in from.commands {
        claims.command(claim.command, claim.exit_code);
    }
    from.files.iter().for_each(|path| claims.file(path));
    from.statements.into_iter().for_each(|text| claims.statement(text));
    claims.tokens(from.input_tokens, from.output_tokens);
    let outcome = match from.ending {
        seam::Ending::Completed => EngineOutcome::Completed,
        seam::Ending::Failed => EngineOutcome::Failed,
        seam::Ending::Crashed => EngineOutcome::Crashed,
        seam::Ending::Interrupted => EngineOutcome::Interrupted,
    };
    AdapterOutcome { outcome, message: from.message, last_words: None, claims }
}

/// What the engine recommends, as the claim that it is.
pub(super) fn recommendation(text: Option<String>) -> Result<Option<Step>, Trouble> {
    match text {
        Some(text) if text.len() > WORDS_BYTES => {
            Err(TroubleKind::Output.because(format!("a recommendation of {} bytes", text.len())))
        }
        Some(text) => {
            let data = json!({"recommendation": text});
            Ok(Some(Step::Event(Draft::claimed(EventKind::EvidenceClaimed, data))))
        }
        None => Ok(None),
    }
}
