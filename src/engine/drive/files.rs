//! What an engine writes into files while it works, on the same way as its lines: raw first, then what the adapter makes of it.

use serde_json::json;
use tokio::time::{Duration, Instant};

use super::{Drive, nothing_sent};
use crate::engine::adapter::Stream;
use crate::engine::follow::{FileTrouble, Follower, News};
use crate::engine::launch::EngineError;
use crate::event::{Draft, EventKind};

/// How often it is looked whether files have grown.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The same, where there is more to be had at once: everything else gets its turn in between.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Looks at what a dead engine left; a file is read to its bound in fewer.
const LAST_LOOKS: usize = 10_000;

impl Drive<'_> {
    /// Looks whether there are new lines.
    pub(super) async fn files(&mut self) -> Result<(), EngineError> {
        let more = self.new_lines(false).await?;
        self.files_at = Some(Instant::now() + if more { LOOK_AGAIN } else { LOOK_EVERY });
        Ok(())
    }

    /// Everything that could write is dead: what is left to be read, and what is wrong with it.
    pub(super) async fn last_files(&mut self) -> Result<(), EngineError> {
        let mut looks = 0;
        while self.new_lines(true).await? && looks < LAST_LOOKS {
            looks += 1;
        }
        let news = self.follower.as_mut().map(Follower::last_look).unwrap_or_default();
        self.hear(news, true).await
    }

    async fn new_lines(&mut self, dead: bool) -> Result<bool, EngineError> {
        let Some(follower) = &mut self.follower else { return Ok(false) };
        let (news, more) = follower.look();
        self.hear(news, dead).await?;
        Ok(more)
    }

    async fn hear(&mut self, news: Vec<News>, dead: bool) -> Result<(), EngineError> {
        for one in news {
            let steps = match one {
                News::Line(file, line) => {
                    self.counts.lines = self.counts.lines.saturating_add(1);
                    if !dead {
                        self.payload.not_idle();
                    }
                    self.adapter.on_line(Stream::File(file), &line)
                }
                News::Trouble(trouble) => {
                    self.trouble(&trouble)?;
                    self.adapter.on_trouble(&trouble)
                }
            };
            let steps = if dead { nothing_sent(steps) } else { steps };
            self.take(steps).await?;
        }
        Ok(())
    }

    fn trouble(&mut self, trouble: &FileTrouble) -> Result<(), EngineError> {
        let message = crate::engine::claim::text(&trouble.sentence);
        let data = json!({"message": message, "final": false});
        self.sink.append(Draft::observed(EventKind::EngineError, data))?;
        Ok(())
    }
}
