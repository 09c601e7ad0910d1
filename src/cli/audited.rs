//! One fsynced audit line before each act of an operator's that changes this installation.

use super::problem::Problem;
use crate::audit::{Act, Audit};
use crate::home::Home;

/// Announces an act; when this fails, the act must not happen.
pub(super) fn announce(home: &Home, act: Act, object: impl Into<String>) -> Result<(), Problem> {
    Audit::new(home.state(), home.caller_account()?).act(act, None, object)?;
    Ok(())
}
