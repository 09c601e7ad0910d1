//! The only unsafe code of the house: system calls that no safe wrapper covers.
//!
//! Everything here is called by a single-threaded process: the stub, the zygote, or `main` before anything else. Each
//! function checks what it can and returns the kernel's error.
#![expect(unsafe_code, reason = "these calls have no safe wrapper; each block says why it is sound")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::libc;
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
pub(super) fn clone_into(
    namespaces: nix::sched::CloneFlags,
    group: Option<BorrowedFd<'_>>,
) -> io::Result<Made> {
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

/// fork(2); `None` in the child.
pub(super) fn fork() -> nix::Result<Option<Pid>> {
    // SAFETY: the caller is single-threaded, so the child may go on using the allocator and every lock.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
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
