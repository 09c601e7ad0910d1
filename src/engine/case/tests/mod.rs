//! The adapter against logs of the harness's own (`engines/case/transcripts`), each with the exact events and the
//! outcome that must come of it, and the plan.

mod plan;
mod replay;

use super::CaseAdapter;
