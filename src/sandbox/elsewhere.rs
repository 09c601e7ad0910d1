//! Where a process that was just forked begins: not behind its parent.
//!
//! Fork puts the child where the kernel thinks that a processor is free. In a virtual machine an idle one counts as taken
//! away by the host, so that the child is queued behind its parent and waits until that sleeps, next to a processor that
//! does nothing: three of four times on two processors. Where a parent and its child share work, that is all that the
//! sharing would have won. For the same reason one that will be woken can be kept where it is, and one that is woken together
//! with whoever has work to do can come last; one that stands still for its child lets it begin in its place, and one that waits
//! for what is about to come does not sleep over it. Best effort: whatever goes wrong here, things only take longer.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The lowest priority of an ordinary process (setpriority(2)).
const LAST: i32 = 19;
/// How long one stays awake for what is about to come: about as long as it takes to be woken behind somebody (measured on
/// two processors of a virtual machine: 45 microseconds, or 240 to 300 in one of four times).
const AWAKE: Duration = Duration::from_micros(200);

/// Lets `child`, which was just forked and has forked nothing yet, go on at once on another processor; afterwards it
/// may use all that this process may use now. Where anything else runs, the other one may be busy, and the choice stays the
/// kernel's. Whether it was moved.
pub(super) fn begin(child: nix::unistd::Pid) -> bool {
    let (Some(child), Ok(allowed)) = (Pid::from_raw(child.as_raw()), sched_getaffinity(None)) else {
        return false;
    };
    let others = without_this_one(&allowed);
    others.count() > 0 && nobody_else_runs() && move_over(child, &others, &allowed)
}

/// Keeps `child`, which was just forked, on the processor that this process is on and about to leave. What wakes it later
/// would queue it behind whoever is elsewhere, too.
pub(super) fn keep_here(child: nix::unistd::Pid) {
    if let Some((child, here)) = Pid::from_raw(child.as_raw()).zip(this_one()) {
        sched_setaffinity(Some(child), &here).ok();
    }
}

/// Keeps this process, and what it forks, on the processor that it is on, until it is [`released`](Bound::release). For one
/// that stands still until its child goes on: the child takes its place, and elsewhere it could wait behind somebody.
pub(super) fn bind_here() -> Bound {
    let allowed = sched_getaffinity(None).ok().zip(this_one());
    let bound = allowed.filter(|(_, here)| sched_setaffinity(None, here).is_ok());
    Bound { allowed: bound.map(|(allowed, _)| allowed) }
}

/// What a process that is kept on one processor may use otherwise.
pub(super) struct Bound {
    allowed: Option<CpuSet>,
}

impl Bound {
    /// Lets the calling process use all that again.
    pub(super) fn release(&self) {
        if let Some(allowed) = &self.allowed {
            sched_setaffinity(None, allowed).ok();
        }
    }
}

/// Lets others go first from here on: whoever is woken by the same event as this process has something to do then.
pub(super) fn come_last() {
    rustix::process::setpriority_process(None, LAST).ok();
}

/// Stays awake for a moment until there is something to read. Whoever is asleep by then is woken on the processor of
/// whoever wakes it, often behind him, and that takes longer than most answers here. Who else wants the processor goes
/// first. Nothing is read.
pub(super) fn stay_awake(channel: &UnixStream) {
    let begun = Instant::now();
    let readable = || {
        let mut ends = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        poll(&mut ends, PollTimeout::ZERO) != Ok(0)
    };
    while !readable() && begun.elapsed() < AWAKE {
        std::thread::yield_now();
    }
}

/// Puts `child` onto one of `others`, and lets it use all that are `allowed` from there on.
fn move_over(child: Pid, others: &CpuSet, allowed: &CpuSet) -> bool {
    let moved = sched_setaffinity(Some(child), others).is_ok();
    if moved {
        sched_setaffinity(Some(child), allowed).ok();
    }
    moved
}

fn without_this_one(allowed: &CpuSet) -> CpuSet {
    let mut others = *allowed;
    let number = sched_getcpu();
    if number < CpuSet::MAX_CPU {
        others.unset(number);
    }
    others
}

/// Nothing where a set has no place for it.
fn this_one() -> Option<CpuSet> {
    let (mut here, number) = (CpuSet::new(), sched_getcpu());
    (number < CpuSet::MAX_CPU).then(|| here.set(number))?;
    Some(here)
}

/// Whether this process and its child are all that runs on this machine now, by the fourth word of `/proc/loadavg`
/// (proc(5): what is runnable, a slash, and how much there is).
fn nobody_else_runs() -> bool {
    let Ok(text) = std::fs::read_to_string("/proc/loadavg") else { return false };
    let running = text.split(' ').nth(3).and_then(|word| word.split('/').next()?.parse::<u32>().ok());
    running.is_some_and(|running| running <= 2)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// Of a thread, which is what the kernel moves.
    #[test]
    fn whoever_is_moved_may_use_everything_afterwards() {
        let moved = || {
            let allowed = sched_getaffinity(None).unwrap();
            let others = without_this_one(&allowed);
            assert_eq!(others.count() + 1, allowed.count());
            if others.count() > 0 {
                move_over(rustix::thread::gettid(), &others, &allowed);
            }
            let now = sched_getaffinity(None).unwrap();
            assert!((0..CpuSet::MAX_CPU).all(|cpu| now.is_set(cpu) == allowed.is_set(cpu)));
        };
        std::thread::spawn(moved).join().unwrap();
    }

    #[test]
    fn whoever_is_bound_may_use_everything_when_it_is_released() {
        let bound = || {
            let allowed = sched_getaffinity(None).unwrap();
            let bound = bind_here();
            let here = sched_getaffinity(None).unwrap();
            assert!(here.count() == 1 && here.is_set(sched_getcpu()));
            bound.release();
            let now = sched_getaffinity(None).unwrap();
            assert!((0..CpuSet::MAX_CPU).all(|cpu| now.is_set(cpu) == allowed.is_set(cpu)));
        };
        std::thread::spawn(bound).join().unwrap();
    }

    /// It looks, and takes nothing; who says nothing is not waited for long.
    #[test]
    fn whoever_stays_awake_goes_on_when_something_comes_or_nobody_is_there_or_it_takes_too_long() {
        let timed = |channel: &UnixStream| {
            let begun = Instant::now();
            stay_awake(channel);
            begun.elapsed()
        };
        let (channel, mut other) = UnixStream::pair().unwrap();
        assert!(timed(&channel) >= AWAKE);
        other.write_all(b"x").unwrap();
        // Once of several times nobody else is in the way.
        assert!((0..20).any(|_| timed(&channel) < AWAKE));
        assert_eq!((&channel).read(&mut [0; 2]).unwrap(), 1);
        drop(other);
        assert!((0..20).any(|_| timed(&channel) < AWAKE));
    }

    #[test]
    fn whoever_is_kept_stays_and_whoever_comes_last_has_the_lowest_priority() {
        let kept = || {
            let me = rustix::thread::gettid();
            keep_here(nix::unistd::Pid::from_raw(me.as_raw_nonzero().get()));
            let now = sched_getaffinity(None).unwrap();
            assert!(now.count() == 1 && now.is_set(sched_getcpu()));
            come_last();
            assert_eq!(rustix::process::getpriority_process(None).unwrap(), LAST);
        };
        std::thread::spawn(kept).join().unwrap();
    }
}
