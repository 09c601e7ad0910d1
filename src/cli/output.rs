//! The only place that prints.
//!
//! Guarantees: what comes from strangers cannot move the cursor or hide (controls are made visible before any
//! style is added); colour only on a terminal, never with `NO_COLOR`; a closed pipe is quiet; any other failure
//! to print is remembered, so that the program can end as `could not record`.

use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::path::PathBuf;

use crate::vocab::{Reason, RunId, shown, shown_bytes};

/// What a piece of text means; the colours follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Strong,
    Quiet,
    Good,
    Bad,
    Warn,
    Accent,
    /// White on green, red or yellow: the verdict's own badge.
    GoodBadge,
    BadBadge,
    WarnBadge,
    /// The changed words inside of an added or removed line.
    GoodWord,
    BadWord,
}

impl Tone {
    /// The parameters of ECMA-48 "select graphic rendition".
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "1",
            Self::Quiet => "2",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Warn => "33",
            Self::Accent => "36",
            Self::GoodBadge => "1;97;42",
            Self::BadBadge => "1;97;41",
            Self::WarnBadge => "1;30;43",
            Self::GoodWord => "7;32",
            Self::BadWord => "7;31",
        }
    }
}

/// One line of text with tones; holds no escapes and no newline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line(Vec<(Tone, String)>);

impl Line {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// One plain piece.
    pub(super) fn of(text: impl AsRef<str>) -> Self {
        Self::new().add(Tone::Plain, text)
    }

    /// Adds a piece; controls become visible, newlines become spaces.
    pub(super) fn add(mut self, tone: Tone, text: impl AsRef<str>) -> Self {
        let text = shown(text.as_ref()).replace('\n', " ");
        match self.0.last_mut() {
            Some((last, before)) if *last == tone => before.push_str(&text),
            _ => self.0.push((tone, text)),
        }
        self
    }

    /// Adds a plain piece.
    pub(super) fn plain(self, text: impl AsRef<str>) -> Self {
        self.add(Tone::Plain, text)
    }

    /// Adds all of another line.
    pub(super) fn append(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Adds spaces up to a column, at least one when there is something already.
    pub(super) fn pad_to(self, column: usize) -> Self {
        let width = self.width();
        let spaces = if width >= column { usize::from(width > 0) } else { column - width };
        self.plain(" ".repeat(spaces))
    }

    /// Characters that it shows.
    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// At most `width` characters, the last one `…` when something was cut.
    pub(super) fn cut(mut self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut left = width.saturating_sub(1);
        let mut kept = Vec::new();
        for (tone, text) in self.0.drain(..) {
            let piece: String = text.chars().take(left).collect();
            left -= piece.chars().count();
            kept.push((tone, piece));
        }
        kept.push((Tone::Quiet, "…".into()));
        Self(kept)
    }

    fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        for (tone, text) in &self.0 {
            if colour && *tone != Tone::Plain && !text.is_empty() {
                out.push_str("\u{1b}[");
                out.push_str(tone.code());
                out.push('m');
                out.push_str(text);
                out.push_str("\u{1b}[0m");
            } else {
                out.push_str(text);
            }
        }
        out
    }
}

/// Text of several lines, as lines.
pub(super) fn lines_of(text: &str) -> impl Iterator<Item = Line> + '_ {
    text.lines().map(Line::of)
}

/// One of the two streams.
pub(super) struct Port {
    sink: Box<dyn Write + Send>,
    colour: bool,
    terminal: bool,
    /// Columns and rows of the terminal, asked anew for each frame.
    size: fn() -> Option<(usize, usize)>,
    health: Health,
}

/// Whether a stream still takes what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Open,
    /// The reader went away (`cto runs | head`): no failure of ours.
    Closed,
    Failed,
}

impl Port {
    fn new(sink: Box<dyn Write + Send>, terminal: bool, size: fn() -> Option<(usize, usize)>) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            sink,
            colour: terminal && !set("NO_COLOR") && !dumb,
            terminal: terminal && !dumb,
            size,
            health: Health::Open,
        }
    }

    /// Standard error.
    pub(super) fn stderr() -> Self {
        Self::new(Box::new(io::stderr()), io::stderr().is_terminal(), || room(io::stderr()))
    }

    fn stdout() -> Self {
        Self::new(Box::new(io::stdout()), io::stdout().is_terminal(), || room(io::stdout()))
    }

    /// Whether a person looks at it, on something that can move its cursor.
    pub(super) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// One line.
    pub(super) fn line(&mut self, line: &Line) {
        let text = line.render(self.colour);
        self.bytes(format!("{}\n", text.trim_end()).as_bytes());
    }

    /// Columns and rows, where they are known.
    pub(super) fn size(&self) -> Option<(usize, usize)> {
        (self.size)()
    }

    /// Replaces the `above` lines drawn last by `lines`, each on one row. Terminals only.
    pub(super) fn redraw(&mut self, above: usize, lines: Vec<Line>) {
        let width = self.size().map_or(usize::MAX, |(columns, _)| columns);
        let up = if above > 0 { format!("\u{1b}[{above}A\r") } else { String::new() };
        // Without wrapping, for characters that are wider than one column.
        let mut frame = format!("\u{1b}[?7l{up}");
        for line in lines {
            frame.push_str("\u{1b}[K");
            frame.push_str(&line.cut(width).render(self.colour));
            frame.push('\n');
        }
        // The rest is erased last: erasing all of a screen makes some terminals keep a copy of it.
        frame.push_str("\u{1b}[J\u{1b}[?7h");
        self.bytes(frame.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if self.health != Health::Open {
            return;
        }
        if let Err(error) = self.sink.write_all(bytes).and_then(|()| self.sink.flush()) {
            let closed = error.kind() == ErrorKind::BrokenPipe;
            self.health = if closed { Health::Closed } else { Health::Failed };
        }
    }
}

fn room(stream: impl std::os::fd::AsFd) -> Option<(usize, usize)> {
    let (width, height) = terminal_size::terminal_size_of(stream)?;
    Some((usize::from(width.0), usize::from(height.0)))
}

/// Both streams, and whether a program reads the first one.
pub(super) struct Output {
    out: Port,
    err: Port,
    json: bool,
    launch: Option<(RunId, PathBuf)>,
}

impl Output {
    /// The process's own streams.
    pub(super) fn new() -> Self {
        Self { out: Port::stdout(), err: Port::stderr(), json: false, launch: None }
    }

    /// From now on standard output is for programs: [`Output::say`] is silent.
    pub(super) fn for_programs(&mut self, json: bool) {
        self.json = json;
    }

    /// Whether standard output is for programs.
    pub(super) const fn is_for_programs(&self) -> bool {
        self.json
    }

    /// Whether a person reads standard output on a terminal.
    pub(super) const fn is_terminal(&self) -> bool {
        self.out.is_terminal()
    }

    /// One line for a person on standard output; nothing when programs read it.
    pub(super) fn say(&mut self, line: &Line) {
        if !self.json {
            self.out.line(line);
        }
    }

    /// One line on standard error.
    pub(super) fn note(&mut self, line: &Line) {
        self.err.line(line);
    }

    /// A text of the caller's on standard error, kept as it is (help, usage).
    pub(super) fn note_styled(&mut self, styled: &clap::builder::StyledStr) {
        let text = if self.err.colour { styled.ansi().to_string() } else { styled.to_string() };
        self.err.bytes(text.as_bytes());
    }

    /// Help on standard output.
    pub(super) fn help(&mut self, styled: &clap::builder::StyledStr) {
        let text = if self.out.colour { styled.ansi().to_string() } else { styled.to_string() };
        self.out.bytes(text.as_bytes());
    }

    /// One JSON document on one line of standard output.
    pub(super) fn json(&mut self, value: &serde_json::Value) {
        self.out.bytes(format!("{value}\n").as_bytes());
    }

    /// The first line of a run for programs.
    pub(super) fn launched(&mut self, run_id: RunId, bundle: PathBuf) {
        self.json(&serde_json::json!({"launch": {"run_id": run_id, "bundle": bundle}}));
        self.launch = Some((run_id, bundle));
    }

    /// The last line for programs where there is no answer; names the run, if one was launched.
    pub(super) fn no_answer(&mut self, error: &str, reason: &Reason, exit: u8) {
        let (run_id, bundle) = self.launch.take().unzip();
        self.json(&serde_json::json!({"result": {"run_id": run_id, "verdict": null, "reasons": [reason],
            "bundle": bundle, "error": error, "exit_code": exit}}));
    }

    /// Text of our own or of a stranger's on standard output: exact for a program, made visible for a person.
    pub(super) fn document(&mut self, bytes: &[u8]) {
        if self.out.is_terminal() {
            self.out.bytes(shown_bytes(bytes).as_bytes());
        } else {
            self.out.bytes(bytes);
        }
    }

    /// Whether something could not be printed for another reason than a closed pipe.
    pub(super) fn has_failed(&self) -> bool {
        self.out.health == Health::Failed
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// What was printed.
    #[derive(Clone, Default)]
    pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A port that a test can read; a small terminal, when it is one.
    pub(crate) fn port(colour: bool) -> (Port, Captured) {
        let captured = Captured::default();
        let sink = Box::new(captured.clone());
        (Port { sink, colour, terminal: colour, size: || Some((40, 10)), health: Health::Open }, captured)
    }

    #[test]
    fn a_strangers_escapes_stay_visible_and_ours_work() {
        let (mut port, text) = port(true);
        port.line(&Line::new().add(Tone::Bad, "a\u{1b}[2Jb\nc"));
        assert_eq!(text.text(), "\u{1b}[31ma\\u{1b}[2Jb c\u{1b}[0m\n");
    }

    #[test]
    fn without_colour_there_is_not_one_escape() {
        let (mut port, text) = port(false);
        port.line(&Line::new().add(Tone::Good, "yes").pad_to(6).add(Tone::BadBadge, "no"));
        assert_eq!(text.text(), "yes   no\n");
    }

    #[test]
    fn lines_are_cut_with_a_mark() {
        let line = Line::of("abcdef").add(Tone::Good, "ghij").cut(8);
        assert_eq!(line.render(false), "abcdefg…");
        assert_eq!(Line::of("abc").cut(3).render(false), "abc");
    }

    #[test]
    fn an_error_after_the_launch_names_the_run() {
        let ((out, text), (err, _)) = (port(false), port(false));
        let mut output = Output { out, err, json: true, launch: None };
        let id = RunId::new();
        output.launched(id.clone(), "/b".into());
        output.no_answer("it broke", &Reason::observed("call.failed", "it broke", "mend it"), 4);
        let last = text.text().lines().last().unwrap().to_owned();
        assert!(last.contains(id.as_str()) && last.contains("\"/b\"") && last.contains("mend it"), "{last}");
    }

    struct Broken(ErrorKind);
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_quiet_and_a_full_disk_is_not() {
        for (kind, health) in
            [(ErrorKind::BrokenPipe, Health::Closed), (ErrorKind::StorageFull, Health::Failed)]
        {
            let mut port = Port::new(Box::new(Broken(kind)), false, || None);
            port.line(&Line::of("x"));
            assert_eq!(port.health, health);
        }
    }
}
