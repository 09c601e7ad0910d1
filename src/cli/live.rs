//! What a person sees while a run is at work: stages with their times, and the last lines of the engine.
//!
//! On a terminal the block is redrawn in place and ticks; elsewhere each stage is one plain line. It goes to
//! standard error, so that standard output stays for the answer. Nothing here is evidence.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::output::{Line, Port, Tone};

/// Time between two frames.
const FRAME: Duration = Duration::from_millis(120);
/// Lines of the engine that stay in view.
const TAIL: usize = 5;
/// Longest part of an engine's line that is kept, characters.
const TAIL_WIDTH: usize = 200;
const SPINNER: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠧", "⠇", "⠏"];

struct Stage {
    name: String,
    since: Instant,
    took: Option<Duration>,
    note: String,
    well: bool,
}

struct State {
    port: Port,
    title: String,
    stages: Vec<Stage>,
    tail: VecDeque<String>,
    drawn: usize,
    frame: usize,
    over: bool,
}

/// A live view; the last frame stays when it is dropped.
pub(super) struct LiveView {
    shared: Arc<(Mutex<State>, Condvar)>,
    ticker: Option<JoinHandle<()>>,
}

impl LiveView {
    /// On standard error.
    pub(super) fn new() -> Self {
        Self::on(Port::stderr())
    }

    fn on(port: Port) -> Self {
        let terminal = port.is_terminal();
        let state = State {
            port,
            title: String::new(),
            stages: Vec::new(),
            tail: VecDeque::new(),
            drawn: 0,
            frame: 0,
            over: false,
        };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let ticker = terminal.then(|| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || tick(&shared))
        });
        Self { shared, ticker }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in the ticker leaves nothing but a picture behind.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stage begins.
    pub(super) fn begin(&self, name: &str) {
        let mut state = self.state();
        state.stages.push(Stage {
            name: name.into(),
            since: Instant::now(),
            took: None,
            note: String::new(),
            well: true,
        });
        if state.port.is_terminal() {
            state.draw();
        } else {
            state.port.line(&Line::of(format!("{name} …")));
        }
    }

    /// The run has a name.
    pub(super) fn title(&self, text: &str) {
        let mut state = self.state();
        if state.port.is_terminal() {
            text.clone_into(&mut state.title);
        } else {
            state.port.line(&Line::of(text));
        }
    }

    /// The stage of that name is over; `note` says what came of it, and `well` whether that is what one wants.
    pub(super) fn done(&self, name: &str, took: Duration, note: &str, well: bool) {
        let mut state = self.state();
        if let Some(stage) = state.stages.iter_mut().rev().find(|stage| stage.name == name) {
            stage.took = Some(took);
            note.clone_into(&mut stage.note);
            stage.well = well;
        }
        if state.port.is_terminal() {
            state.draw();
        } else {
            let line = Line::of(format!("{name} done in {}", seconds(took)));
            state.port.line(&if note.is_empty() { line } else { line.plain(": ").plain(note) });
        }
    }

    /// Something about the stage at work.
    pub(super) fn note(&self, text: &str) {
        let mut state = self.state();
        if state.port.is_terminal() {
            if let Some(stage) = state.stages.last_mut() {
                text.clone_into(&mut stage.note);
            }
        } else {
            state.port.line(&Line::new().plain("  ").plain(text));
        }
    }

    /// A line of the engine's.
    pub(super) fn engine_line(&self, text: &str) {
        let mut state = self.state();
        if state.port.is_terminal() {
            state.tail.push_back(text.chars().take(TAIL_WIDTH).collect());
            while state.tail.len() > TAIL {
                state.tail.pop_front();
            }
        } else {
            state.port.line(&Line::new().plain("  | ").plain(text));
        }
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        {
            let mut state = self.state();
            state.over = true;
            state.tail.clear();
            if state.port.is_terminal() {
                state.draw();
            }
        }
        self.shared.1.notify_all();
        if let Some(ticker) = self.ticker.take() {
            // The picture is complete; a ticker that panicked has nothing to add.
            drop(ticker.join());
        }
    }
}

fn tick(shared: &(Mutex<State>, Condvar)) {
    let mut state = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
    while !state.over {
        let (next, _) = shared.1.wait_timeout(state, FRAME).unwrap_or_else(PoisonError::into_inner);
        state = next;
        if !state.over {
            state.frame += 1;
            state.draw();
        }
    }
}

impl State {
    fn draw(&mut self) {
        // What is higher than the screen cannot be taken back; the last picture need not be.
        let rows =
            self.port.size().filter(|_| !self.over).map_or(usize::MAX, |(_, rows)| rows.saturating_sub(1));
        let lines = self.picture(rows.max(1));
        let drawn = lines.len();
        self.port.redraw(self.drawn, lines);
        self.drawn = drawn;
    }

    /// At most `rows` lines: the title and the newest stages first, then the newest lines of the engine.
    fn picture(&self, rows: usize) -> Vec<Line> {
        let widest = self.stages.iter().map(|stage| stage.name.chars().count()).max().unwrap_or(0);
        let mut lines = Vec::new();
        if rows > 1 {
            lines.push(Line::of(" ").add(Tone::Quiet, &self.title));
        }
        let room = rows - lines.len();
        for stage in self.stages.iter().skip(self.stages.len().saturating_sub(room)) {
            let spinner = SPINNER.get(self.frame % SPINNER.len()).copied().unwrap_or("·");
            let (tone, mark) = match (stage.took, self.over) {
                (Some(_), _) if stage.well => (Tone::Good, "✓"),
                (Some(_), _) => (Tone::Bad, "✗"),
                (None, true) => (Tone::Warn, "·"),
                (None, false) => (Tone::Accent, spinner),
            };
            let took = stage.took.unwrap_or_else(|| stage.since.elapsed());
            let line = Line::of(" ").add(tone, mark).plain(" ").plain(&stage.name).pad_to(widest + 5);
            lines.push(
                line.add(Tone::Quiet, format!("{:>8}", seconds(took)))
                    .plain("  ")
                    .add(Tone::Quiet, &stage.note),
            );
        }
        let skipped = self.tail.len().saturating_sub(rows - lines.len());
        let tail = self.tail.iter().skip(skipped);
        lines.extend(tail.map(|text| Line::new().add(Tone::Quiet, "   │ ").add(Tone::Quiet, text)));
        lines
    }
}

/// `0.01 s`, `12.3 s`, `3 min 05 s`.
pub(super) fn seconds(took: Duration) -> String {
    let secs = took.as_secs();
    if secs >= 60 {
        format!("{} min {:02} s", secs / 60, secs % 60)
    } else if secs >= 10 {
        format!("{:.1} s", took.as_secs_f64())
    } else {
        format!("{:.2} s", took.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::tests::port;

    #[test]
    fn off_a_terminal_every_stage_is_one_plain_line() {
        let (port, text) = port(false);
        let view = LiveView::on(port);
        view.begin("engine");
        view.engine_line("hello \u{1b}[31m");
        view.done("engine", Duration::from_millis(1500), "2 files", true);
        drop(view);
        assert_eq!(text.text(), "engine …\n  | hello \\u{1b}[31m\nengine done in 1.50 s: 2 files\n");
    }

    #[test]
    fn on_a_terminal_the_last_frame_has_the_stages_and_no_engine_lines() {
        let (port, text) = port(true);
        let view = LiveView::on(port);
        view.begin("engine");
        for n in 0..20 {
            view.engine_line(&format!("line {n}"));
        }
        view.done("engine", Duration::from_secs(61), "", true);
        drop(view);
        let all = text.text();
        let last = all.rsplit("\u{1b}[?7l").next().unwrap();
        assert!(last.contains("✓") && last.contains("1 min 01 s"), "{last:?}");
        assert!(!last.contains("line 19"), "{last:?}");
    }

    #[test]
    fn no_frame_is_higher_or_wider_than_the_screen_and_only_the_last_is_whole() {
        let (port, text) = port(true);
        let view = LiveView::on(port);
        view.title("run-0");
        for stage in 0..14 {
            view.begin(&format!("stage-{stage}"));
            for n in 0..7 {
                view.engine_line(&format!("{n} {}", "wide ".repeat(20)));
            }
            view.done(&format!("stage-{stage}"), Duration::from_secs(1), &"long ".repeat(20), true);
        }
        drop(view);
        let all = text.text();
        let frames: Vec<Vec<String>> =
            all.split("\u{1b}[?7l").skip(1).map(|frame| frame.lines().map(plain).collect()).collect();
        let (last, before) = frames.split_last().unwrap();
        assert_eq!(last.iter().filter(|line| line.contains("stage-")).count(), 14, "{last:?}");
        for frame in before {
            let lines = frame.iter().filter(|line| !line.trim().is_empty()).count();
            assert!(lines < 10 && frame.iter().all(|line| line.chars().count() <= 40), "{frame:?}");
        }
        assert!(before.iter().flatten().any(|line| line.ends_with('…')));
    }

    #[test]
    fn what_did_not_go_well_is_not_ticked_off() {
        let (port, text) = port(true);
        let view = LiveView::on(port);
        view.begin("verification");
        view.done("verification", Duration::from_secs(1), "0 of 1 passed", false);
        drop(view);
        let last = text.text().rsplit("\u{1b}[?7l").next().unwrap().to_owned();
        assert!(last.contains("✗") && !last.contains("✓"), "{last:?}");
    }

    /// Without escapes.
    fn plain(line: &str) -> String {
        let mut parts = line.split('\u{1b}');
        let first = parts.next().unwrap_or("").to_owned();
        parts.fold(first, |text, part| {
            text + part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest)
        })
    }
}
