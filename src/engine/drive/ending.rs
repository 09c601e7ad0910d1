//! How an engine is asked to end: because somebody said stop, its money or its time is over. Always in its own words first.

use serde_json::json;
use tokio::time::Instant;

use super::Drive;
use crate::engine::launch::EngineError;
use crate::event::{Draft, EventKind};

impl Drive<'_> {
    /// Somebody said stop.
    pub(super) async fn stop(&mut self, signal: &'static str) -> Result<(), EngineError> {
        self.stopped_by = Some(signal);
        let seconds = self.grace.as_secs();
        let data = json!({"phase": "stopping", "message": format!("stopping ({signal}), up to {seconds} s")});
        self.sink.append(Draft::observed(EventKind::PhaseStarted, data))?;
        self.wind_down().await
    }

    /// The engine is asked to end, in its own words or by SIGINT, and killed when its time is over.
    pub(super) async fn wind_down(&mut self) -> Result<(), EngineError> {
        self.ended_by_us = true;
        let steps = self.adapter.interrupt();
        if steps.is_empty() {
            self.payload.interrupt()?;
        }
        self.take(steps).await?;
        self.deadline.get_or_insert(Instant::now() + self.grace);
        Ok(())
    }

    /// Its time is over: it is asked in its own words, or by SIGTERM where it has none. What is left after the grace
    /// period is killed by the payload's own clock.
    pub(super) async fn ask_to_end(&mut self) -> Result<(), EngineError> {
        let steps = self.adapter.interrupt();
        if steps.is_empty() {
            self.payload.terminate()?;
        }
        self.take(steps).await
    }
}
