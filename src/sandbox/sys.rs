//! The only unsafe code of the house: system calls that no safe wrapper covers.
//!
//! Everything here is called by a single-threaded process: the stub, the zygote, or `main` before anything else. Each
//! function checks what it can and returns the kernel's error.
#![expect(unsafe_code, reason = "these calls have no safe wrapper; each block says why it is sound")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::libc;
use nix::sched::CloneFlags;
use nix::unistd::{ForkResult, Pid};

/// clone3(2); the constant of `libc` is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Both sides of a process that was just made.
#[derive(Debug)]
pub(super) enum Made {
    /// The new process.
    Child,
    /// The old one: pid and pid descriptor of the new.
    Parent(Pid, OwnedFd),
}

/// clone(2) into new namespaces like fork: no shared memory, no shared descriptors. With `group`, into the control
/// group (version 2) whose folder that is, too, which only clone3(2) can.
pub(super) fn clone_into(namespaces: CloneFlags, group: Option<BorrowedFd<'_>>) -> io::Result<Made> {
    let mut pidfd: libc::c_int = -1;
    if let Some(group) = group {
        // SAFETY: all zeroes is a valid `clone_args`.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        let flags = libc::c_longlong::from(namespaces.bits() | libc::CLONE_PIDFD);
        arguments.flags = flags.cast_unsigned() | CLONE_INTO_CGROUP;
        arguments.pidfd = std::ptr::from_mut(&mut pidfd).expose_provenance() as u64;
        arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
        arguments.cgroup = u64::from(group.as_raw_fd().cast_unsigned());
        // SAFETY: as below; the kernel reads `arguments`, whose true size is passed, and writes one int to `pidfd`.
        let pid = unsafe {
            libc::syscall(libc::SYS_clone3, std::ptr::from_ref(&arguments), size_of_val(&arguments))
        };
        return made(pid, pidfd);
    }
    let flags = i64::from(namespaces.bits() | libc::CLONE_PIDFD | libc::SIGCHLD);
    let unused: libc::c_long = 0;
    // SAFETY: without CLONE_VM and with a null stack this is fork; the process is single-threaded, so the child
    // holds no lock of another thread. CLONE_PIDFD makes the kernel write one int to `pidfd`, which lives on.
    let pid = unsafe {
        libc::syscall(libc::SYS_clone, flags, unused, std::ptr::from_mut(&mut pidfd), unused, unused)
    };
    made(pid, pidfd)
}

/// What a clone came to.
fn made(pid: libc::c_long, pidfd: libc::c_int) -> io::Result<Made> {
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Made::Child),
        pid => {
            let pid = i32::try_from(pid).map_err(io::Error::other)?;
            // SAFETY: on success the kernel stored a new descriptor that nothing else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Made::Parent(Pid::from_raw(pid), pidfd))
        }
    }
}

/// A fork whose parent is the caller's own parent (`CLONE_PARENT` of clone(2)); `None` in the child.
pub(super) fn fork_sibling() -> io::Result<Option<u32>> {
    let flags = i64::from(libc::CLONE_PARENT | libc::SIGCHLD);
    let unused: libc::c_long = 0;
    // SAFETY: without CLONE_VM and with a null stack this is fork; the zygote is single-threaded, so the child holds
    // no lock of another thread.
    match unsafe { libc::syscall(libc::SYS_clone, flags, unused, unused, unused, unused) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => u32::try_from(pid).map(Some).map_err(io::Error::other),
    }
}

/// Overwrites a part of what the kernel laid out for this process as its arguments and environment, at an address that
/// it told itself (`/proc/self/stat`). Whoever reads them later reads what stands there then.
pub(super) fn overwrite_call(start: u64, bytes: &[u8]) -> io::Result<()> {
    let start = usize::try_from(start).map_err(io::Error::other)?;
    let target = std::ptr::with_exposed_provenance_mut::<u8>(start);
    if target.is_null() || bytes.is_empty() {
        return Ok(());
    }
    // SAFETY: the kernel mapped these bytes writable, on the stack above every frame, before the program began; no
    // reference to them exists, only pointers that the C library reads strings through, and each write leaves NUL-ended
    // strings. The zygote is single-threaded.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    Ok(())
}

/// fork(2); `None` in the child.
pub(super) fn fork() -> nix::Result<Option<Pid>> {
    // SAFETY: the caller is single-threaded, so the child may go on using the allocator and every lock.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Stack of a process that shares this one's memory, bytes.
const LENT_STACK: usize = 256 << 10;

/// Makes a process in this one's memory, which stands still until the new one executes a program or ends (clone(2), as
/// `posix_spawn(3)` uses it): nothing is copied, neither page tables now nor pages later. What `life` leaves in variables is
/// there afterwards. It ends by execve or with its value as exit code, and in no other way.
pub(super) fn lend(mut life: impl FnMut() -> i32) -> nix::Result<Pid> {
    let mut stack = vec![0; LENT_STACK];
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    let life = Box::new(|| isize::try_from(life()).unwrap_or(-1));
    // SAFETY: the caller is single-threaded and stands still as long as the new process uses its memory, so nobody else
    // does, the allocator's and the C library's state among it; `stack` and `life` live beyond that. Descriptors, signal
    // actions, folder and limits are copies.
    unsafe { nix::sched::clone(life, &mut stack, flags, Some(libc::SIGCHLD)) }
}

/// Sets mount attributes (and makes the mounts private) on a mount, or on it and everything below.
pub(super) fn mount_setattr(mount: BorrowedFd<'_>, set: u64, recursive: bool) -> io::Result<()> {
    let attributes =
        libc::mount_attr { attr_set: set, attr_clr: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    let recursive = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a constant C string, `attributes` outlives the call and its true size is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            std::ptr::from_ref(&attributes),
            size_of_val(&attributes),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The same number on every architecture that this is built for; libc does not name it.
const SYS_LISTMOUNT: libc::c_long = 458;

/// Most mounts that are counted by one call; a sandbox has three dozen.
const MOUNTS_MOST: usize = 512;

/// How many mounts this process's namespace shows (listmount(2), since Linux 6.8); `None` where the kernel has no such
/// call, or more than are counted.
pub(super) fn count_mounts() -> Option<usize> {
    /// Of `linux/mount.h`.
    #[repr(C)]
    struct MountIds {
        size: u32,
        spare: u32,
        mount: u64,
        after: u64,
    }
    /// Everything below the root (`LSMT_ROOT`).
    const BELOW_THE_ROOT: u64 = u64::MAX;
    let request = MountIds { size: 24, spare: 0, mount: BELOW_THE_ROOT, after: 0 };
    let mut found = [0_u64; MOUNTS_MOST];
    // SAFETY: `request` is the first version of the kernel's struct and says its size; the kernel writes at most as many
    // ids as `found` has room for; both outlive the call.
    let count = unsafe {
        libc::syscall(
            SYS_LISTMOUNT,
            std::ptr::from_ref(&request),
            found.as_mut_ptr(),
            libc::c_long::try_from(found.len()).ok()?,
            0 as libc::c_long,
        )
    };
    usize::try_from(count).ok().filter(|count| (1..MOUNTS_MOST).contains(count))
}

/// Closes every descriptor from `first` on; with `on_exec` they are only marked to be closed by execve.
pub(super) fn close_from(first: u32, on_exec: bool) -> io::Result<()> {
    let flags = if on_exec { libc::CLOSE_RANGE_CLOEXEC } else { 0 };
    // SAFETY: called by the stub before it owns any of these descriptors (or, with `on_exec`, closing nothing
    // now), so no `OwnedFd` is left dangling.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Brings the loopback interface of this network namespace up.
pub(super) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all zeroes is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let flags = libc::IFF_UP | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`, which lives through the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, std::ptr::from_ref(&request)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives every signal its default action again (Rust ignores SIGPIPE, and ignoring survives execve).
pub(super) fn default_signals() -> nix::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    for each in Signal::iterator().filter(|each| !matches!(each, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: SIG_DFL installs no handler, so no code of ours runs in signal context.
        unsafe { signal(each, SigHandler::SigDfl) }?;
    }
    Ok(())
}

/// The Landlock ABI of this kernel, 0 where there is none (`landlock_create_ruleset(2)` with the version flag).
pub(super) fn landlock_abi() -> u32 {
    let version_flag: libc::c_ulong = 1;
    let none: libc::c_ulong = 0;
    // SAFETY: with the version flag the kernel takes a null pointer and size 0, and reads no memory.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, none, version_flag) };
    u32::try_from(abi).unwrap_or(0)
}

/// Drops one capability from the bounding set; false when the kernel knows no such capability.
pub(super) fn drop_bounding(capability: u32) -> io::Result<bool> {
    // SAFETY: PR_CAPBSET_DROP takes a number and touches no memory of ours.
    let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) };
    match result {
        0 => Ok(true),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
            error => Err(error),
        },
    }
}

/// Installs a filter for this process and all that it makes.
pub(super) fn filter(steps: &[libc::sock_filter]) -> io::Result<()> {
    install_filter(steps, 0).map(drop)
}

/// Installs a filter whose `SECCOMP_RET_USER_NOTIF` answers are told to the holder of the descriptor. A notification that
/// was taken is interrupted by nothing but the task's end, where the kernel knows that (Linux 5.19).
pub(super) fn watched_filter(steps: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let fd =
        install_filter(steps, listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV).or_else(|error| {
            let older = error.raw_os_error() == Some(libc::EINVAL);
            if older { install_filter(steps, listener) } else { Err(error) }
        })?;
    // SAFETY: on success the kernel made a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What the kernel answers: 0, or the descriptor that `flags` ask for.
fn install_filter(steps: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<RawFd> {
    let len = libc::c_ushort::try_from(steps.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: steps.as_ptr().cast_mut() };
    // SAFETY: `program` describes a slice that outlives the call, and the kernel only reads it.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&program))
    };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        RawFd::try_from(answer).map_err(io::Error::other)
    }
}

/// Notifications of a watched filter (`seccomp_unotify(2)`).
pub(super) mod notified {
    use std::io;
    use std::os::fd::{AsRawFd as _, BorrowedFd};

    use nix::libc::{self, seccomp_data, seccomp_notif, seccomp_notif_resp};

    mod ask {
        use nix::libc::{seccomp_notif, seccomp_notif_resp};
        nix::ioctl_readwrite!(receive, b'!', 0, seccomp_notif);
        nix::ioctl_readwrite!(send, b'!', 1, seccomp_notif_resp);
        nix::ioctl_write_ptr!(is_valid, b'!', 2, u64);
    }

    /// A call that waits for its answer.
    #[derive(Debug, Clone, Copy)]
    pub(in super::super) struct Call {
        id: u64,
        /// Thread that asks, as this process counts; 0 when it is not visible here.
        pub(in super::super) task: i32,
        /// Number of the call.
        pub(in super::super) number: i64,
        pub(in super::super) arguments: [u64; 6],
    }

    /// The next call, blocking.
    pub(in super::super) fn receive(fd: BorrowedFd<'_>) -> io::Result<Call> {
        let data = seccomp_data { nr: 0, arch: 0, instruction_pointer: 0, args: [0; 6] };
        let mut call = seccomp_notif { id: 0, pid: 0, flags: 0, data };
        // SAFETY: the kernel writes one `seccomp_notif`, which has to be zeroed before and lives through the call.
        unsafe { ask::receive(fd.as_raw_fd(), std::ptr::from_mut(&mut call)) }?;
        let task = i32::try_from(call.pid).unwrap_or(0);
        Ok(Call { id: call.id, task, number: i64::from(call.data.nr), arguments: call.data.args })
    }

    /// Refuses it with EPERM, or lets the kernel carry it out.
    pub(in super::super) fn answer(fd: BorrowedFd<'_>, call: &Call, go_on: bool) -> io::Result<()> {
        let flags = if go_on { libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE } else { 0 };
        let flags = u32::try_from(flags).map_err(io::Error::other)?;
        let error = if go_on { 0 } else { -libc::EPERM };
        let mut answer = seccomp_notif_resp { id: call.id, val: 0, error, flags };
        // SAFETY: the kernel reads one `seccomp_notif_resp`, which lives through the call.
        unsafe { ask::send(fd.as_raw_fd(), std::ptr::from_mut(&mut answer)) }?;
        Ok(())
    }

    /// Whether the call still waits, so that what was read of its task was that task's.
    pub(in super::super) fn still_waits(fd: BorrowedFd<'_>, call: &Call) -> bool {
        // SAFETY: the kernel reads one number, which lives through the call.
        unsafe { ask::is_valid(fd.as_raw_fd(), std::ptr::from_ref(&call.id)) }.is_ok()
    }
}

/// ptrace(2) as the observer needs it; no memory of the tracee is touched.
pub(super) mod trace {
    use std::io;

    use nix::libc;
    use nix::unistd::Pid;

    fn ask(request: libc::c_uint, pid: Pid, data: libc::c_long) -> io::Result<()> {
        // SAFETY: of the requests below none reads or writes this process's memory by `data`, but for
        // PTRACE_GETEVENTMSG, whose caller passes the address of a number that outlives the call.
        let result = unsafe { libc::ptrace(request, pid.as_raw(), 0 as libc::c_long, data) };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Begins to trace, without stopping the tracee.
    pub(in super::super) fn seize(pid: Pid, options: libc::c_int) -> io::Result<()> {
        ask(libc::PTRACE_SEIZE, pid, libc::c_long::from(options))
    }

    /// Lets a stopped tracee go on, with `signal` delivered unless it is 0.
    pub(in super::super) fn resume(pid: Pid, signal: libc::c_int) -> io::Result<()> {
        ask(libc::PTRACE_CONT, pid, libc::c_long::from(signal))
    }

    /// Leaves it stopped until somebody continues it.
    pub(in super::super) fn listen(pid: Pid) -> io::Result<()> {
        ask(libc::PTRACE_LISTEN, pid, 0)
    }

    /// Traces it no more; it goes on.
    pub(in super::super) fn detach(pid: Pid) -> io::Result<()> {
        ask(libc::PTRACE_DETACH, pid, 0)
    }

    /// What belongs to the event that stopped it: of a fork or clone, the pid of the new task.
    pub(in super::super) fn event_message(pid: Pid) -> io::Result<libc::pid_t> {
        let mut message: libc::c_ulong = 0;
        let address = std::ptr::from_mut(&mut message).expose_provenance();
        ask(libc::PTRACE_GETEVENTMSG, pid, libc::c_long::try_from(address).map_err(io::Error::other)?)?;
        libc::pid_t::try_from(message).map_err(io::Error::other)
    }

    #[cfg(target_arch = "aarch64")]
    const STACK_POINTER: usize = std::mem::offset_of!(libc::user_regs_struct, sp);
    #[cfg(target_arch = "x86_64")]
    const STACK_POINTER: usize = std::mem::offset_of!(libc::user_regs_struct, rsp);

    /// Where the stack of a stopped tracee ends. An error for a program of 32 bits, which has fewer registers.
    pub(in super::super) fn stack_pointer(pid: Pid) -> io::Result<u64> {
        const WORD: usize = size_of::<u64>();
        let mut registers = [0_u64; size_of::<libc::user_regs_struct>() / WORD];
        let whole = size_of_val(&registers);
        let mut room = libc::iovec { iov_base: std::ptr::from_mut(&mut registers).cast(), iov_len: whole };
        let set = libc::c_long::from(libc::NT_PRSTATUS);
        // SAFETY: the kernel writes at most `iov_len` bytes to `registers`, which are numbers, and the length to `room`;
        // both live through the call.
        let result =
            unsafe { libc::ptrace(libc::PTRACE_GETREGSET, pid.as_raw(), set, std::ptr::from_mut(&mut room)) };
        match registers.get(STACK_POINTER / WORD) {
            _ if result == -1 => Err(io::Error::last_os_error()),
            Some(pointer) if room.iov_len == whole => Ok(*pointer),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}
