//! Where a process that was just forked begins: not behind its parent.
//!
//! Fork puts the child where the kernel thinks that a processor is free. In a virtual machine an idle one counts as taken
//! away by the host, so that the child is queued behind its parent and waits until that sleeps, next to a processor that
//! does nothing: three of four times on two processors. Where a parent and its child share work, that is all that the
//! sharing would have won. For the same reason one that will be woken can be kept where it is, and one that is woken together
//! with whoever has work to do can come last. Best effort: whatever goes wrong here, things only take longer.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The lowest priority of an ordinary process (setpriority(2)).
const LAST: i32 = 19;

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
    let mut here = CpuSet::new();
    here.set(sched_getcpu());
    if let Some(child) = Pid::from_raw(child.as_raw()) {
        sched_setaffinity(Some(child), &here).ok();
    }
}

/// Lets others go first from here on: whoever is woken by the same event as this process has something to do then.
pub(super) fn come_last() {
    rustix::process::setpriority_process(None, LAST).ok();
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
    others.unset(sched_getcpu());
    others
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
