//! Why a run stopped before its end: a reason that is sealed, or something that could not be recorded.

use super::recording::RecordError;
use crate::engine::AdapterError;
use crate::event::SinkError;
use crate::evidence::BundleError;
use crate::vocab::Reason;

/// A run that stops early.
#[derive(Debug)]
pub(super) enum CutOff {
    /// It is sealed with this reason.
    Sealed(Reason),
    /// The engine, or what confined it, died by itself, and its thread can be gone on with.
    EngineDied,
    /// It cannot be recorded, so there is no outcome.
    Unrecorded(RecordError),
}

impl CutOff {
    /// A stage that could not be carried out: what `code` names is missing, so nothing is proven.
    pub(super) fn at(code: &'static str, sentence: impl std::fmt::Display, remedy: &str) -> Self {
        Self::Sealed(Reason::observed(format!("internal.{code}"), sentence.to_string(), remedy))
    }

    /// An adapter that does not give what `code` names; what is wrong with a module has codes of its own.
    pub(super) fn adapter(code: &'static str, error: &AdapterError, remedy: &str) -> Self {
        match error.trouble() {
            None => Self::at(code, error, remedy),
            Some(trouble) => {
                let sentence = format!("There is no plan: {trouble}.");
                Self::Sealed(Reason::observed(trouble.kind.code(), sentence, trouble.kind.remedy()))
            }
        }
    }

    /// Somebody said stop.
    pub(super) fn cancelled(signal: &str) -> Self {
        let sentence = format!("The run was cancelled by {signal}.");
        Self::Sealed(Reason::observed("cancelled", sentence, "Run it again when you want its result."))
    }
}

impl From<RecordError> for CutOff {
    fn from(error: RecordError) -> Self {
        Self::Unrecorded(error)
    }
}

impl From<SinkError> for CutOff {
    fn from(error: SinkError) -> Self {
        Self::Unrecorded(error.into())
    }
}

impl From<BundleError> for CutOff {
    fn from(error: BundleError) -> Self {
        Self::Unrecorded(error.into())
    }
}
