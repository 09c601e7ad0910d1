//! What a payload's owner does between two events: waiting, reading, feeding, looking at the clock, burying.
//!
//! Each step takes one thing that is ready and leaves the rest for the next call, so that a caller may drop the
//! future at any await without losing anything.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use super::control::Up;
use super::ear::Ear;
use super::learned::Used;
use super::output::PayloadEvent;
use super::payload::{AskedBy, Payload, Phase, Reader, Woken};
use super::unread::Unread;
use crate::vocab::{LimitName, Timestamp};

/// How long the kernel may take to end a killed tree, milliseconds.
const DEATH_MILLIS: u16 = 20_000;

impl Payload {
    pub(super) async fn wait_for_anything(&self) -> Woken {
        let [stdout, stderr] = &self.readers;
        tokio::select! {
            () = readable(stdout.as_ref()) => Woken::Output(0),
            () = readable(stderr.as_ref()) => Woken::Output(1),
            () = writable(self.stdin.as_ref(), !self.outgoing.is_empty()) => Woken::Input,
            () = audible(self.control.as_ref()) => Woken::Control,
            () = told(self.observed.as_ref()) => Woken::Observed,
            _ = self.init.readable() => Woken::Death,
            () = tokio::time::sleep_until(self.deadline().into()) => Woken::Time,
        }
    }

    fn deadline(&self) -> Instant {
        if let Some(kill_at) = self.kill_at {
            return kill_at;
        }
        self.wall_end().min(self.idle_end()).min(self.watchdog.next())
    }

    fn wall_end(&self) -> Instant {
        self.started + Duration::from_secs(self.limits.wall_seconds).saturating_sub(self.used)
    }

    fn idle_end(&self) -> Instant {
        self.last_output + Duration::from_secs(self.limits.idle_seconds)
    }

    pub(super) fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        if self.kill_at.is_some_and(|at| now >= at) {
            // Should even this not work, ask again in a second; the limits never stop applying.
            self.kill_at = Some(now + Duration::from_secs(1));
            if self.kill().is_err() {
                self.control = None;
                self.bury();
            }
        } else if self.kill_at.is_none() && now >= self.wall_end() {
            self.reached(LimitName::WallSeconds, self.limits.wall_seconds);
        } else if self.kill_at.is_none() && now >= self.idle_end() {
            self.reached(LimitName::IdleSeconds, self.limits.idle_seconds);
        } else if self.kill_at.is_none() {
            let looked = self.watchdog.look(now, &self.limits);
            self.take_look(looked);
        }
    }

    fn take_look(&mut self, looked: Result<Option<(LimitName, u64)>, Unread>) {
        match looked {
            Ok(Some((name, value))) => self.reached(name, value),
            Ok(None) => {}
            Err(unread) => {
                self.lost.get_or_insert_with(|| format!("lost:{unread}"));
                // Nothing bounds it any more: it gets no time to end by itself.
                self.kill_at = Some(Instant::now());
            }
        }
    }

    fn reached(&mut self, name: LimitName, value: u64) {
        self.limited = true;
        self.queue.push_back(PayloadEvent::LimitReached { name, value, at: Timestamp::now() });
        let timed = matches!(name, LimitName::WallSeconds | LimitName::IdleSeconds);
        if self.phase == Phase::Running && self.asked_by == AskedBy::Owner && timed {
            self.kill_at = Some(Instant::now() + Duration::from_secs(self.limits.grace_seconds));
        } else if self.phase == Phase::Running && self.terminate().is_err() {
            self.kill_at = Some(Instant::now());
        }
    }

    /// Reads one chunk of a stream.
    pub(super) fn pull(&mut self, index: usize) {
        let mut chunk = std::mem::take(&mut self.chunk);
        let Some(reader) = self.readers.get_mut(index).and_then(Option::as_mut) else { return };
        match reader.pipe.try_read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => self.finish_stream(index),
            Ok(count) => self.take_output(index, chunk.get(..count).unwrap_or(&[])),
        }
        self.chunk = chunk;
    }

    fn take_output(&mut self, index: usize, bytes: &[u8]) {
        self.last_output = Instant::now();
        let before = self.output_before.saturating_add(self.output_bytes);
        self.output_bytes = self.output_bytes.saturating_add(bytes.len() as u64);
        let room = usize::try_from(self.limits.output_bytes.saturating_sub(before)).unwrap_or(usize::MAX);
        let kept = bytes.get(..room.min(bytes.len())).unwrap_or(&[]);
        if let Some(reader) = self.readers.get_mut(index).and_then(Option::as_mut) {
            let stream = reader.stream;
            let lines = reader.lines.push(kept).into_iter();
            self.queue.extend(lines.map(|(bytes, truncated)| PayloadEvent::Line {
                stream,
                bytes,
                truncated,
            }));
        }
        let limit = self.limits.output_bytes;
        if before <= limit && before.saturating_add(bytes.len() as u64) > limit {
            self.reached(LimitName::OutputBytes, limit);
        }
    }

    fn finish_stream(&mut self, index: usize) {
        if let Some(mut reader) = self.readers.get_mut(index).and_then(Option::take)
            && let Some((bytes, truncated)) = reader.lines.finish()
        {
            self.queue.push_back(PayloadEvent::Line { stream: reader.stream, bytes, truncated });
        }
    }

    /// Writes what waits for standard input.
    pub(super) fn feed(&mut self) {
        while let Some(stdin) = &self.stdin {
            let (front, _) = self.outgoing.as_slices();
            if front.is_empty() {
                if self.close_after_send {
                    self.stdin = None;
                }
                return;
            }
            match stdin.try_write(front) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // The payload closed its input: what was queued has no reader.
                    self.outgoing.clear();
                    self.stdin = None;
                }
            }
        }
    }

    /// Reads the control channel; its end means that stub and PID 1 are gone.
    pub(super) fn hear(&mut self) {
        let mut bytes = [0_u8; 4096];
        let Some(control) = &self.control else { return };
        match control.try_read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok(0) | Err(_) => {
                self.control = None;
                return self.bury();
            }
            Ok(count) => self.frames.push(bytes.get(..count).unwrap_or(&[])),
        }
        self.understand();
    }

    fn understand(&mut self) {
        loop {
            match self.frames.next::<Up>() {
                Ok(Some(message)) => self.note(message),
                Ok(None) => return,
                Err(_) => {
                    // PID 1 speaks no sense: it is not left running.
                    self.kill_at = Some(Instant::now());
                    return;
                }
            }
        }
    }

    fn note(&mut self, message: Up) {
        match message {
            Up::Started => {}
            Up::NotStarted { act, errno } => {
                self.exit.status = format!("not-started:{act}: {}", io::Error::from_raw_os_error(errno));
            }
            Up::Exited { code, signal, micros, cpu_micros, max_rss_kib } => {
                self.exit.micros = micros;
                self.exit.max_rss = max_rss_kib.saturating_mul(1024);
                self.exit.used.raise(&Used {
                    memory_bytes: self.exit.max_rss,
                    cpu_micros,
                    ..Used::default()
                });
                self.exit.status = match (code, signal) {
                    (Some(code), _) => format!("exited:{code}"),
                    (None, Some(signal)) => format!("signal:{signal}"),
                    (None, None) => return,
                };
                let ended_by = |which: Signal| signal == Some(which as i32);
                // One that ignores SIGXCPU gets a second more, and then SIGKILL, which names no reason.
                let used_up =
                    Duration::from_micros(cpu_micros) >= Duration::from_secs(self.limits.cpu_seconds);
                let counted = self.watchdog.counted(&self.limits);
                if self.limited {
                } else if !matches!(counted, Ok(None)) {
                    self.take_look(counted);
                } else if ended_by(Signal::SIGXCPU) || (ended_by(Signal::SIGKILL) && used_up) {
                    self.reached(LimitName::CpuSeconds, self.limits.cpu_seconds);
                } else if ended_by(Signal::SIGXFSZ) {
                    self.reached(LimitName::FileBytes, self.limits.file_bytes);
                }
            }
        }
    }

    /// Reads what the observer told.
    pub(super) fn see(&mut self) {
        let mut chunk = std::mem::take(&mut self.chunk);
        match self.observed.as_mut().and_then(|ear| ear.take(&mut chunk)) {
            Some(count) => self.take_seen(chunk.get(..count).unwrap_or(&[])),
            None => self.observed = None,
        }
        self.chunk = chunk;
    }

    fn take_seen(&mut self, bytes: &[u8]) {
        self.seen.push(bytes);
        loop {
            match self.seen.next() {
                Ok(Some(seen)) => self.queue.push_back(PayloadEvent::Seen(seen)),
                Ok(None) => return,
                // An observer that speaks no sense is not heard any more; the sum is missed.
                Err(_) => return self.observed = None,
            }
        }
    }

    /// The observer outlives the tree by what it still has to tell.
    fn see_the_rest(&mut self) {
        let mut chunk = std::mem::take(&mut self.chunk);
        while let Some(observed) = self.observed.as_ref().and_then(Ear::pipe)
            && is_ready(observed)
        {
            match rustix::io::read(observed, &mut chunk) {
                Ok(count) if count > 0 => self.take_seen(chunk.get(..count).unwrap_or(&[])),
                Ok(_) | Err(_) => break,
            }
        }
        self.observed = None;
        self.chunk = chunk;
    }

    /// Makes sure that the tree is dead, then empties the channel and the pipes.
    pub(super) fn bury(&mut self) {
        let seen_dead = is_dead(self.init.get_ref());
        // Below, the kernel is asked, not the reactor: with no writer left, "would block" cannot hide bytes.
        let mut last = [0_u8; 4096];
        while let Some(control) = &self.control
            && let Ok(count) = rustix::io::read(control, &mut last)
            && count > 0
        {
            self.frames.push(last.get(..count).unwrap_or(&[]));
        }
        self.control = None;
        self.understand();
        if !seen_dead {
            self.lost = Some("lost:the process tree was not seen to end".to_owned());
        }
        self.phase = Phase::Dead;
        if !self.limited {
            let looked = self.watchdog.last_look(&self.limits);
            self.take_look(looked);
        }
        if self.learning {
            self.exit.used.raise(&self.watchdog.used());
        }
        for index in 0..self.readers.len() {
            let mut chunk = std::mem::take(&mut self.chunk);
            while let Some(reader) = self.readers.get(index).and_then(Option::as_ref)
                && let Ok(count) = rustix::io::read(&reader.pipe, &mut chunk)
                && count > 0
            {
                self.take_output(index, chunk.get(..count).unwrap_or(&[]));
            }
            self.chunk = chunk;
            self.finish_stream(index);
        }
        self.see_the_rest();
        if let Err(error) = self.copies.finish() {
            self.lost.get_or_insert(format!("lost:output could not be written: {error}"));
        }
        if let Some(lost) = self.lost.take() {
            self.exit.status = lost;
        }
        self.stdin = None;
    }
}

/// Whether PID 1 is gone, and with it (the kernel sees to it) everything in its pid namespace.
pub(super) fn is_dead(init: &OwnedFd) -> bool {
    is_ready(init.as_fd())
}

/// Whether it has ended by now.
pub(super) fn has_ended(init: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(init.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Whether there is something to read, or the other end is gone, in the time that the kernel may take.
fn is_ready(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    loop {
        match poll(&mut fds, PollTimeout::from(DEATH_MILLIS)) {
            Ok(ready) => return ready > 0,
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

async fn told(observed: Option<&Ear>) {
    match observed {
        Some(ear) => ear.wait().await,
        None => std::future::pending().await,
    }
}

/// Ends PID 1 in which nothing was executed yet, and waits until it is dead.
pub(crate) fn end_and_wait(init: &OwnedFd) {
    rustix::process::pidfd_send_signal(init, rustix::process::Signal::KILL).ok();
    is_dead(init);
}

async fn readable(reader: Option<&Reader>) {
    match reader {
        Some(reader) => drop(reader.pipe.readable().await),
        None => std::future::pending().await,
    }
}

async fn writable(stdin: Option<&pipe::Sender>, wanted: bool) {
    match stdin {
        Some(stdin) if wanted => drop(stdin.writable().await),
        _ => std::future::pending().await,
    }
}

async fn audible(control: Option<&UnixStream>) {
    match control {
        Some(control) => drop(control.readable().await),
        None => std::future::pending().await,
    }
}
