//! The observer: the kernel tells the stub, outside of the sandbox, what is executed inside and how it ends.
//!
//! The stub traces PID 1's child from its birth (ptrace(2), `PTRACE_SEIZE` with the fork, clone, vfork and exec
//! options), so that every process below it is traced from its first instruction on; nothing inside can leave that:
//! `CLONE_UNTRACED` is refused by the filter, and who ends the tracer ends the tree (`PTRACE_O_EXITKILL`). Arguments are
//! read while the program stands before its first instruction, so they are what the kernel copied.
//! Guarantees: each execve that succeeded is counted and, up to a bound, told; of each process that executed something
//! the kernel's wait status. Does not: see what a program does besides, or which execve failed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, PipeWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::libc;
use nix::unistd::Pid;
use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};
use rustix::process::{WaitOptions, WaitStatus, wait};

use super::arguments::Room;
use super::order::{Refusal, refused};
use super::policy::SandboxPolicy;
use super::refusals;
use super::sys::trace;
use super::wants::{Found, View, Wants};
use crate::evidence::LayerRow;
use crate::process::{ADDRESSES_MAX, Executed, Seen, TOLD_MAX, TOLD_OF_ONE, frame};
use crate::vocab::{Timestamp, shown_path};

/// What the tracer is told of. Whoever outlives the tracer is killed.
const OPTIONS: libc::c_int = libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_EXITKILL;
/// `__WALL` of wait(2): threads are children, too, for a tracer.
const ALL: WaitOptions = WaitOptions::from_bits_retain(0x4000_0000);

/// A folder that is only a place to begin at.
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Begins to trace PID 1, which has not been released yet; what the kernel says of that.
pub(super) fn begin(init: Pid) -> Result<LayerRow, Refusal> {
    trace::seize(init, OPTIONS).map_err(refused("observation", "trace PID 1"))?;
    let (me, tracer) = (nix::unistd::getpid(), said_of(init, "TracerPid:"));
    let ok = tracer == Some(me);
    Ok(LayerRow {
        layer: LayerRow::OBSERVATION.to_owned(),
        requested: "every program, refused call and address that is asked for, told from outside".to_owned(),
        enforced: if ok { "traced from before the first program" } else { "not traced" }.to_owned(),
        ok,
    })
}

/// Follows the tree to its end, which is PID 1's. `told` gets what was seen; `filter` brings the descriptor of the
/// filter's notifications; `policy` is the sandbox's.
pub(super) fn follow(init: Pid, told: PipeWriter, filter: UnixStream, policy: &SandboxPolicy) {
    let observer = Arc::new(Mutex::new(Observer::new(init, told, policy.learning)));
    let watcher = {
        let (observer, view) = (Arc::clone(&observer), View::of(policy));
        std::thread::spawn(move || refusals::watch(&filter, &observer, &view))
    };
    // INVARIANT: nothing else in this process waits, so every child and tracee is seen here.
    loop {
        match wait(ALL) {
            Ok(Some((pid, status))) => {
                let pid = Pid::from_raw(pid.as_raw_pid());
                if lock(&observer).next(pid, status) {
                    break;
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            // PID 1 is a child of this process until it is seen to end.
            Err(_) => break,
        }
    }
    // Nobody is left whose calls could be told. One that died leaves the sum out, and the observation incomplete.
    if watcher.join().is_ok() {
        lock(&observer).sum();
    }
}

pub(super) fn lock(observer: &Mutex<Observer>) -> MutexGuard<'_, Observer> {
    observer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One task (process or thread) that is traced.
struct Task {
    /// The process that it belongs to: its number, and its pid.
    process: u64,
    leader: Pid,
    /// Number of the nearest process above it that has executed something.
    parent: u64,
    /// Whether that process has executed something that was told.
    told: bool,
}

pub(super) struct Observer {
    init: Pid,
    /// `None` when nobody listens any more.
    told: Option<PipeWriter>,
    tasks: HashMap<Pid, Task>,
    /// Tasks that stand at their beginning, whose maker's event has not come yet.
    early: HashSet<Pid>,
    /// Tasks that were entered without their maker's event.
    met: HashSet<Pid>,
    processes: u64,
    executed: u64,
    refused: BTreeMap<String, u64>,
    sought: BTreeMap<String, u64>,
    /// Only where the sandbox learns.
    wants: Option<Wants>,
    /// The most tasks that there were at one moment.
    most_tasks: usize,
    room: Room,
}

impl Observer {
    fn new(init: Pid, told: PipeWriter, learning: bool) -> Self {
        Self {
            init,
            told: Some(told),
            tasks: HashMap::new(),
            early: HashSet::new(),
            met: HashSet::new(),
            processes: 0,
            executed: 0,
            refused: BTreeMap::new(),
            sought: BTreeMap::new(),
            wants: learning.then(Wants::default),
            most_tasks: 0,
            room: Room::new(),
        }
    }

    /// The last word.
    fn sum(&mut self) {
        if let Some(wants) = &self.wants {
            let most_tasks = self.most_tasks as u64;
            let (left_out, unread) = (wants.left_out(), wants.unread);
            self.tell(&Seen::Learned { left_out, unread, most_tasks });
        }
        let (refused, sought) = (std::mem::take(&mut self.refused), std::mem::take(&mut self.sought));
        self.tell(&Seen::Sum { executed: self.executed, processes: self.processes, refused, sought });
    }

    /// A call of `task` is about to be refused.
    pub(super) fn refuse(&mut self, task: Pid, call: &str) {
        // PID 1 makes one to show that it is refused.
        if task == self.init {
            return;
        }
        let count = self.refused.entry(call.to_owned()).or_default();
        *count += 1;
        if *count <= TOLD_OF_ONE {
            let seen =
                Seen::Refused { process: self.number_of(task), call: call.to_owned(), at: Timestamp::now() };
            self.tell(&seen);
        }
    }

    /// A call of `task` asks for an address outside.
    pub(super) fn seek(&mut self, task: Pid, call: &str, address: String) {
        let room = self.sought.len() < ADDRESSES_MAX || self.sought.contains_key(&address);
        let address = if room { address } else { "others".to_owned() };
        let count = self.sought.entry(address.clone()).or_default();
        *count += 1;
        if *count <= TOLD_OF_ONE {
            let (process, call) = (self.number_of(task), call.to_owned());
            self.tell(&Seen::Sought { process, call, address, at: Timestamp::now() });
        }
    }

    /// Whether anything but the sandbox's own code has run.
    pub(super) const fn has_begun(&self) -> bool {
        self.executed > 0
    }

    /// A call wants paths.
    pub(super) fn want(&mut self, found: Found) {
        let Some(wants) = &mut self.wants else { return };
        wants.unread += found.unread;
        let news: Vec<_> =
            found.paths.into_iter().filter(|(path, want)| wants.is_news(path, *want)).collect();
        for (path, want) in news {
            self.tell(&Seen::Wanted { path: shown_path(path.as_os_str().as_bytes()), want });
        }
    }

    fn number_of(&self, task: Pid) -> u64 {
        self.tasks.get(&task).map_or(0, |task| task.process)
    }

    /// Takes the next word of the kernel; true when it was PID 1's end.
    fn next(&mut self, pid: Pid, status: WaitStatus) -> bool {
        if let Some(signal) = status.stopping_signal() {
            // The event of a ptrace stop stands above the signal (ptrace(2), "PTRACE_EVENT stops").
            let event = status.as_raw() >> 16;
            // A tracee that was killed meanwhile is gone; its end comes next.
            self.stopped(pid, signal, event).ok();
            return false;
        }
        let ended = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exited:{code}"),
            (None, Some(signal)) => format!("signal:{signal}"),
            (None, None) => return false,
        };
        if let Some(task) = self.tasks.remove(&pid)
            && task.leader == pid
            && task.told
        {
            self.tell(&Seen::Ended { process: task.process, status: ended, at: Timestamp::now() });
        }
        // It may have been the maker of one that still waits, killed before it could have its event.
        for waiting in std::mem::take(&mut self.early) {
            self.meet(waiting);
            // One that is gone meanwhile says so itself.
            trace::resume(waiting, 0).ok();
        }
        pid == self.init
    }

    fn stopped(&mut self, pid: Pid, signal: libc::c_int, event: libc::c_int) -> io::Result<()> {
        if pid != self.init && !self.tasks.contains_key(&pid) {
            if event == libc::PTRACE_EVENT_STOP && signal == libc::SIGTRAP {
                // It stands at its beginning until the event of its maker says whose it is.
                self.early.insert(pid);
                return Ok(());
            }
            self.meet(pid);
        }
        match event {
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                let child = Pid::from_raw(trace::event_message(pid)?);
                self.born(child, pid, event == libc::PTRACE_EVENT_CLONE);
                if self.early.remove(&child) {
                    trace::resume(child, 0)?;
                }
                if pid == self.init {
                    // It makes nothing but the payload; what is its child is traced by now.
                    return trace::detach(pid);
                }
                trace::resume(pid, 0)
            }
            libc::PTRACE_EVENT_EXEC => {
                let seen = self.executed(pid);
                let resumed = trace::resume(pid, 0);
                // While it goes on.
                if let Some(seen) = seen {
                    self.tell(&seen);
                }
                resumed
            }
            // A task that begins, or a process that stops as a whole: job control stays what it is.
            libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => trace::resume(pid, 0),
            libc::PTRACE_EVENT_STOP => trace::listen(pid),
            // A signal on its way is passed on.
            0 => trace::resume(pid, signal),
            _ => trace::resume(pid, 0),
        }
    }

    /// `child` was made by `maker`: a thread of its process, or a new process.
    fn born(&mut self, child: Pid, maker: Pid, cloned: bool) {
        if self.met.remove(&child) {
            return;
        }
        let maker = self.tasks.get(&maker).map_or(maker, |task| task.leader);
        let leader = if cloned { said_of(child, "Tgid:").unwrap_or(child) } else { child };
        self.enter(child, leader, maker);
    }

    /// A task can be seen before the event of its maker, which may even be killed before it could have one.
    fn meet(&mut self, task: Pid) {
        let leader = said_of(task, "Tgid:").unwrap_or(task);
        let maker = said_of(task, "PPid:").unwrap_or(self.init);
        self.met.insert(task);
        self.enter(task, leader, maker);
    }

    fn enter(&mut self, task: Pid, leader: Pid, maker: Pid) {
        let number = |pid: &Pid, of: fn(&Task) -> u64| self.tasks.get(pid).map_or(0, of);
        let entry = if leader == task {
            // A process that executes nothing itself is no part of the tree: what it makes belongs to whoever made it.
            let parent = number(&maker, |maker| if maker.told { maker.process } else { maker.parent });
            self.processes += 1;
            Task { process: self.processes, leader, parent, told: false }
        } else {
            Task { process: number(&leader, |leader| leader.process), leader, parent: 0, told: false }
        };
        self.tasks.insert(task, entry);
        self.most_tasks = self.most_tasks.max(self.tasks.len());
    }

    /// `pid` stands before the first instruction of a new program. All other threads of its process are gone, and the
    /// one that asked has become the leader.
    fn executed(&mut self, pid: Pid) -> Option<Seen> {
        self.tasks.retain(|tid, task| *tid == pid || task.leader != pid);
        self.executed += 1;
        let told = self.executed <= TOLD_MAX;
        let task = self.tasks.get_mut(&pid)?;
        task.told |= told;
        if !told {
            return None;
        }
        let (process, parent) = (task.process, task.parent);
        let (argv, cut, program, cwd) =
            self.read(pid).unwrap_or((Vec::new(), true, String::new(), String::new()));
        let at = Timestamp::now();
        Some(Seen::Executed(Executed { process, parent, pid: pid.as_raw(), program, argv, cut, cwd, at }))
    }

    /// Arguments, whether any are missing, program and working folder.
    fn read(&mut self, pid: Pid) -> Option<(Vec<String>, bool, String, String)> {
        // Looked up once: the process stands meanwhile, and pays for each walk to it.
        let place = openat(CWD, format!("/proc/{pid}"), DIRECTORY, Mode::empty()).ok()?;
        let (argv, cut) = self.room.arguments(pid, &place);
        let link = |name: &str| {
            let target = readlinkat(&place, name, Vec::new()).unwrap_or_default();
            String::from_utf8_lossy(target.as_bytes()).into_owned()
        };
        Some((argv, cut, link("exe"), link("cwd")))
    }

    /// Blocks while the pipe is full: what the owner has not taken, the tree is beyond by what a pipe holds, and by what each
    /// task does until its next event.
    fn tell(&mut self, seen: &Seen) {
        let Some(told) = &mut self.told else { return };
        let written = frame(seen).and_then(|frame| told.write_all(&frame));
        if written.is_err() {
            // The owner misses the sum, and knows.
            self.told = None;
        }
    }
}

/// A pid that the kernel says of a task in `/proc`: `Tgid:`, the process that it belongs to, or `PPid:`, its parent.
fn said_of(task: Pid, field: &str) -> Option<Pid> {
    let status = std::fs::read_to_string(format!("/proc/{task}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().parse().ok().map(Pid::from_raw)
}
