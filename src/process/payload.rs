//! The owner's hold on a payload: events out, input and signals in, limits of time and output.
//!
//! A payload that reaches a limit is asked to end (SIGTERM to everything inside), and after the grace period
//! its PID 1 is killed, which makes the kernel kill the rest. [`PayloadEvent::Exited`] comes last, after PID 1's pid
//! descriptor says that the namespace is empty, and the pipes are drained. The stub has nothing more to do then, and
//! nobody waits for it.
//! Dropping a [`Payload`] kills the tree and waits for its end.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use super::control::{Down, Frames, frame};
use super::copied::Copies;
use super::ear::Ear;
use super::group::Group;
use super::launch::{Launched, StubProcess};
use super::learned::Used;
use super::lines::LineBuffer;
use super::output::{Exit, PayloadEvent, Stream};
use super::owner::ProcessIdentity;
use super::tree::WatchedTree;
use super::watch::is_dead;
use super::watchdog::Watchdog;
use crate::vocab::Limits;

/// Most bytes of input that wait for a payload that does not read.
const INPUT_WAITING_MAX: usize = 16 * 1024 * 1024;
/// Bytes read at once from a stream.
const CHUNK: usize = 64 * 1024;

/// What a sandbox hands over when its payload was started.
#[derive(Debug)]
pub struct PayloadParts {
    /// The stub and its channel.
    pub launched: Launched,
    /// Pid descriptor of PID 1.
    pub init: OwnedFd,
    /// Its pid, as `/proc` counts.
    pub pid: u32,
    /// Write end of standard input, if it is a pipe.
    pub stdin: Option<OwnedFd>,
    /// Read end of standard output, if it is a pipe.
    pub stdout: Option<OwnedFd>,
    /// Read end of standard error, if it is a pipe.
    pub stderr: Option<OwnedFd>,
    /// Output that is copied to files of the caller's.
    pub copies: Copies,
    /// Read end of what the kernel shows, if somebody was to be asked.
    pub observed: Option<OwnedFd>,
    /// Whether what it used is to be told, too.
    pub learning: bool,
    /// The limits in force.
    pub limits: Limits,
    /// The control group that holds it, if there is one.
    pub group: Option<Group>,
    /// The work tree that it can write to, if there is one.
    pub tree: Option<WatchedTree>,
}

/// Why an owner's request could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// A descriptor could not be watched.
    #[error("cannot watch the payload's {what}: {source}")]
    Watch {
        /// Which.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Standard input is closed, or never was a pipe.
    #[error("the payload's standard input is closed")]
    InputClosed,
    /// The payload does not read what it is sent.
    #[error("the payload does not read its input: {0} bytes are waiting")]
    InputFull(usize),
    /// PID 1 could not be told.
    #[error("cannot tell the payload to end: {0}")]
    Signal(#[source] io::Error),
}

/// A running payload.
#[derive(Debug)]
pub struct Payload {
    // INVARIANT: `Some` until `drop` takes it.
    pub(super) stub: Option<StubProcess>,
    pub(super) init: AsyncFd<OwnedFd>,
    pub(super) control: Option<UnixStream>,
    pub(super) frames: Frames,
    pub(super) copies: Copies,
    pub(super) observed: Option<Ear>,
    pub(super) seen: Frames,
    pub(super) readers: [Option<Reader>; 2],
    pub(super) stdin: Option<pipe::Sender>,
    pub(super) outgoing: VecDeque<u8>,
    pub(super) close_after_send: bool,
    pub(super) limits: Limits,
    pub(super) started: Instant,
    /// Wall time that earlier attempts had.
    pub(super) used: Duration,
    pid: u32,
    pub(super) asked_by: AskedBy,
    pub(super) last_output: Instant,
    pub(super) kill_at: Option<Instant>,
    pub(super) limited: bool,
    /// Why nothing that is said of its end counts; an exit status of `lost:`.
    pub(super) lost: Option<String>,
    pub(super) watchdog: Watchdog,
    pub(super) learning: bool,
    pub(super) output_bytes: u64,
    /// What earlier attempts of the same work wrote, as it is kept; at most the limit.
    pub(super) output_before: u64,
    pub(super) exit: Exit,
    pub(super) phase: Phase,
    pub(super) queue: VecDeque<PayloadEvent>,
    pub(super) chunk: Vec<u8>,
}

/// Who asks it to end where its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AskedBy {
    /// By SIGTERM.
    Us,
    /// In its own words.
    Owner,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Dead,
    Told,
}

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) stream: Stream,
    pub(super) pipe: pipe::Receiver,
    pub(super) lines: LineBuffer,
}

/// What [`Payload::wait_for_anything`] woke up for.
pub(super) enum Woken {
    Output(usize),
    Input,
    Control,
    Observed,
    Death,
    Time,
}

impl Payload {
    /// Takes over a started payload; the clock of its wall time starts here.
    pub fn new(parts: PayloadParts) -> Result<Self, ProcessError> {
        let watch = |what| move |source| ProcessError::Watch { what, source };
        let Launched { stub, control } = parts.launched;
        control.set_nonblocking(true).map_err(watch("control channel"))?;
        let control = UnixStream::from_std(control).map_err(watch("control channel"))?;
        let reader = |fd: Option<OwnedFd>, stream: Stream| {
            fd.map(|fd| {
                let pipe = pipe::Receiver::from_owned_fd(fd).map_err(watch(stream.as_str()))?;
                Ok(Reader { stream, pipe, lines: LineBuffer::default() })
            })
            .transpose()
        };
        let readers = [reader(parts.stdout, Stream::Stdout)?, reader(parts.stderr, Stream::Stderr)?];
        let stdin = parts.stdin.map(pipe::Sender::from_owned_fd).transpose().map_err(watch("stdin"))?;
        let init = parts.init.try_clone().map_err(watch("pid descriptor"))?;
        let watchdog = Watchdog::begin(init, parts.pid, parts.group, parts.tree, &parts.limits)
            .map_err(watch("work tree"))?;
        #[expect(
            deprecated,
            reason = "unsound only for types that change their descriptor; its successor is unsafe"
        )]
        let init = AsyncFd::with_interest(parts.init, Interest::READABLE).map_err(watch("pid descriptor"))?;
        let observed = parts.observed.map(Ear::listen).transpose();
        let observed = observed.map_err(watch("observer"))?;
        let now = Instant::now();
        Ok(Self {
            stub: Some(stub),
            init,
            control: Some(control),
            frames: Frames::default(),
            copies: parts.copies,
            observed,
            seen: Frames::default(),
            readers,
            stdin,
            outgoing: VecDeque::new(),
            close_after_send: false,
            limits: parts.limits,
            started: now,
            used: Duration::ZERO,
            pid: parts.pid,
            asked_by: AskedBy::Us,
            last_output: now,
            kill_at: None,
            limited: false,
            lost: None,
            watchdog,
            learning: parts.learning,
            output_bytes: 0,
            output_before: 0,
            // What stands if PID 1 is killed before it can report.
            exit: Exit {
                status: "signal:9".to_owned(),
                micros: 0,
                max_rss: 0,
                output_bytes: 0,
                used: Used::default(),
            },
            phase: Phase::Running,
            queue: VecDeque::new(),
            chunk: vec![0; CHUNK],
        })
    }

    /// Its PID 1, as the host knows it; `None` once that is dead.
    #[must_use]
    pub fn init(&self) -> Option<ProcessIdentity> {
        ProcessIdentity::of(self.pid)
    }

    /// Wall time that earlier attempts of the same work had, and bytes that they wrote, count as its own. Those may be more
    /// than the limit (ends of lines, marks in the place of secrets): then the first byte more reaches it.
    pub fn count_before(&mut self, used: Duration, output_bytes: u64) {
        self.used = used;
        self.output_before = output_bytes.min(self.limits.output_bytes);
    }

    /// Where its time is over, the owner asks it to end; only what is left after the grace period is killed.
    pub const fn leave_asking_to_the_owner(&mut self) {
        self.asked_by = AskedBy::Owner;
    }

    /// The next thing that happens. Cancel-safe: nothing is lost when the future is dropped.
    /// After [`PayloadEvent::Exited`] it gives the same exit again.
    pub async fn next(&mut self) -> PayloadEvent {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return event;
            }
            match self.phase {
                Phase::Running => match self.wait_for_anything().await {
                    Woken::Output(index) => self.pull(index),
                    Woken::Input => self.feed(),
                    Woken::Control => self.hear(),
                    Woken::Observed => self.see(),
                    Woken::Death => self.bury(),
                    Woken::Time => self.look_at_the_clock(),
                },
                Phase::Dead => {
                    self.phase = Phase::Told;
                    self.exit.output_bytes = self.output_bytes;
                    if self.exit.micros == 0 {
                        self.exit.micros =
                            u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
                    }
                }
                Phase::Told => return PayloadEvent::Exited(self.exit.clone()),
            }
        }
    }

    /// Queues bytes for standard input; they are written while [`Payload::next`] is awaited, so a payload that
    /// does not read cannot block its owner.
    #[expect(clippy::unused_async, reason = "callers must not rely on it being immediate")]
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), ProcessError> {
        if self.stdin.is_none() || self.close_after_send {
            return Err(ProcessError::InputClosed);
        }
        let waiting = self.outgoing.len() + bytes.len();
        if waiting > INPUT_WAITING_MAX {
            return Err(ProcessError::InputFull(waiting));
        }
        self.outgoing.extend(bytes);
        self.feed();
        Ok(())
    }

    /// Closes standard input once everything queued is written.
    pub fn close_stdin(&mut self) {
        self.close_after_send = true;
        self.feed();
    }

    /// SIGINT to the payload's process group: what a person's Ctrl-C would be.
    pub fn interrupt(&mut self) -> Result<(), ProcessError> {
        self.tell(Down::Interrupt)
    }

    /// SIGTERM to everything inside, and after the grace period the end.
    pub fn terminate(&mut self) -> Result<(), ProcessError> {
        self.kill_at.get_or_insert(Instant::now() + Duration::from_secs(self.limits.grace_seconds));
        self.tell(Down::Terminate)
    }

    /// Kills the whole tree now; [`PayloadEvent::Exited`] still comes when it is dead.
    pub fn kill(&mut self) -> Result<(), ProcessError> {
        match pidfd_send_signal(self.init.get_ref(), Signal::KILL) {
            // Already gone.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(ProcessError::Signal(errno.into())),
        }
    }

    /// Starts the clock of its silence anew: it waits for an answer of its owner's, and is not silent of itself.
    pub fn not_idle(&mut self) {
        self.last_output = Instant::now();
    }

    fn tell(&mut self, what: Down) -> Result<(), ProcessError> {
        let Some(control) = &self.control else { return Ok(()) };
        let bytes = frame(&what).map_err(ProcessError::Signal)?;
        match control.try_write(&bytes) {
            Ok(written) if written == bytes.len() => Ok(()),
            // A PID 1 that cannot be told is not left running.
            _ if self.phase == Phase::Running => self.kill(),
            _ => Ok(()),
        }
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        let Some(mut stub) = self.stub.take() else { return };
        if self.phase != Phase::Running {
            return stub.leave();
        }
        // Either of the two ends the tree; the wait below is bounded by the kernel's own work.
        let told = self.kill();
        let killed = stub.kill();
        if told.is_ok() || killed.is_ok() {
            stub.wait().ok();
            is_dead(self.init.get_ref());
        }
    }
}
