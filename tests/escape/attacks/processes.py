# P: other processes, and what is shared with them.


def one():
    """A process above that may be ended: inside the sandbox's own, outside a child."""
    if APART:
        return 1
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
    return pid


def state(pid):
    return slurp("/proc/%d/stat" % pid).rsplit(b")", 1)[1].split()[0].decode()


@attack("P01", "signal a host process", "namespace.pid", "ESRCH")
def _():
    os.kill(VICTIM, 0)


@attack("P02", "signal a thread of a host process", "namespace.pid", "ESRCH")
def _():
    call("tgkill", VICTIM, VICTIM, 0)


@attack("P03", "queue a signal with a value for a host process", "namespace.pid", "ESRCH")
def _():
    # SIGURG, which nobody minds.
    call("rt_sigqueueinfo", VICTIM, 23, ctypes.create_string_buffer(struct.pack("3i", 23, 0, -1) + bytes(116)))


@attack("P04", "take a descriptor of a host process", "namespace.pid", "ESRCH")
def _():
    os.pidfd_open(VICTIM)


@attack("P05", "signal through the folder of a host process", "namespace.pid", "ENOENT")
def _():
    call("pidfd_send_signal", os.open("/proc/%d" % VICTIM, os.O_RDONLY), 0, 0, 0)


@attack("P06", "have the kernel signal a host process about a descriptor", "namespace.pid", "ESRCH")
def _():
    fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, VICTIM)


@attack("P07", "trace a host process", "system calls", "EPERM", control="maybe")
def _():
    call("ptrace", 0x4206, VICTIM, 0, 0)


@attack("P08", "trace the process above", "system calls", "EPERM", control="maybe")
def _():
    call("ptrace", 0x4206, ONE, 0, 0)


@attack("P09", "trace a child", "system calls", "EPERM")
def _():
    forked(lambda: call("ptrace", 0, 0, 0, 0))


@attack("P10", "read the memory of a host process by a call", "system calls", "EPERM", control="maybe")
def _():
    text = ctypes.create_string_buffer(100)
    here = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(text), 40))
    there = ctypes.create_string_buffer(struct.pack("QQ", WORLD["address"], 40))
    call("process_vm_readv", VICTIM, here, 1, there, 1, 0)
    expect(text.raw)


@attack("P11", "write the memory of a child by a call", "system calls", "EPERM")
def _():
    text = ctypes.create_string_buffer(b"x")
    at = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(text), 1))
    call("process_vm_writev", os.getpid(), at, 1, at, 1, 0)


@attack("P12", "take a descriptor out of another process", "system calls", "EPERM", control="maybe")
def _():
    call("pidfd_getfd", os.pidfd_open(os.getpid()), 0, 0)


@attack("P13", "compare the insides of two processes", "system calls", "EPERM", control="maybe")
def _():
    call("kcmp", os.getpid(), os.getpid(), 1, 0, 0)


@attack("P14", "give advice about the memory of another process", "system calls", "EPERM", control="maybe")
def _():
    area = mmap.mmap(-1, 4096)
    at = ctypes.addressof(ctypes.c_char.from_buffer(area))
    vector = ctypes.create_string_buffer(struct.pack("QQ", at, 4096))
    call("process_madvise", os.pidfd_open(os.getpid()), vector, 1, 20, 0)


@attack("P15", "move the pages of a process", "system calls", "EPERM", control="maybe")
def _():
    call("move_pages", 0, 0, 0, 0, 0, 0)


@attack("P16", "change the limits of a host process", "namespace.pid", "ESRCH", control="maybe")
def _():
    resource.prlimit(VICTIM, resource.RLIMIT_NOFILE)


@attack("P17", "choose the processors of a host process", "namespace.pid", "ESRCH")
def _():
    os.sched_setaffinity(VICTIM, os.sched_getaffinity(VICTIM))


@attack("P18", "make a host process slow", "namespace.pid", "ESRCH")
def _():
    os.setpriority(os.PRIO_PROCESS, VICTIM, 19)


@attack("P19", "make a host process wait for the disk", "namespace.pid", "ESRCH")
def _():
    call("ioprio_set", 1, VICTIM, 0x4007)


@attack("P20", "read the robust list of a host process", "namespace.pid", "ESRCH")
def _():
    call("get_robust_list", VICTIM, ctypes.byref(ctypes.c_void_p()), ctypes.byref(ctypes.c_size_t()))


@attack("P21", "ask for the session of a host process", "namespace.pid", "ESRCH")
def _():
    os.getsid(VICTIM)


@attack("P22", "ask which processors a host process may use", "namespace.pid", "ESRCH")
def _():
    os.sched_getaffinity(VICTIM)


@attack("P23", "speak on a socket in the name of another process", "capabilities", "EPERM", "ESRCH", control="root")
def _():
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ends[1].setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    claim = struct.pack("3i", VICTIM, os.getuid(), os.getgid())
    ends[0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, claim)])


@attack("P24", "speak on a socket as the superuser", "namespace.user", "EINVAL", "EPERM", control="root")
def _():
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ends[0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("3i", os.getpid(), 0, 0))])


@attack("P25", "end the process above", "namespace.pid", "alive")
def _():
    pid = one()
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    if state(pid) != "Z":
        held("alive")


@attack("P26", "stop the process above", "namespace.pid", "alive")
def _():
    pid = one()
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.1)
    if state(pid) != "T":
        held("alive")


@attack("P27", "stop the process above by its descriptor", "namespace.pid", "alive")
def _():
    pid = one()
    signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGSTOP)
    time.sleep(0.1)
    if state(pid) != "T":
        held("alive")


@attack("P28", "read a message queue of the host", "namespace.ipc", "ENOENT")
def _():
    checked(libc.mq_open(("/" + WORLD["name"]).encode(), os.O_RDWR))


@attack("P29", "attach shared memory of the host", "namespace.ipc", "EINVAL")
def _():
    libc.shmat.restype = ctypes.c_void_p
    expect(ctypes.string_at(checked(libc.shmat(WORLD["shm"], None, 0o10000)), 40))


@attack("P30", "find semaphores of the host", "namespace.ipc", "EINVAL")
def _():
    checked(libc.semctl(WORLD["sem"], 0, 12))


@attack("P31", "send to a System V queue of the host", "namespace.ipc", "EINVAL")
def _():
    checked(libc.msgsnd(WORLD["msg"], ctypes.create_string_buffer(struct.pack("q", 1) + b"x"), 1, 0o4000))


@attack("P32", "type into a terminal", "system calls", "EPERM", control="maybe")
def _():
    terminal = os.open(os.ttyname(os.openpty()[1]), os.O_RDWR)
    fcntl.ioctl(terminal, 0x5412, b"x")


@attack("P33", "type into a terminal by a request with high bits", "system calls", "EPERM", control="maybe")
def _():
    terminal = os.open(os.ttyname(os.openpty()[1]), os.O_RDWR)
    call("ioctl", terminal, 0x100005412, ctypes.c_char_p(b"x"))


@attack("P34", "paste into a console", "system calls", "EPERM", control="maybe")
def _():
    fcntl.ioctl(os.openpty()[1], 0x541C, struct.pack("b", 3) + bytes(15))


@attack("P35", "find the terminal that the harness was started from", "session", "ENXIO", control="maybe")
def _():
    if not INSIDE:
        os.open(os.ttyname(os.openpty()[1]), os.O_RDWR)
    os.open("/dev/tty", os.O_RDWR)


@attack("P36", "run as a real-time process", "capabilities", "EPERM", control="maybe")
def _():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


@attack("P37", "run before everybody else", "capabilities", "EACCES", "EPERM", control="maybe")
def _():
    os.setpriority(os.PRIO_PROCESS, 0, -10)


@attack("P38", "raise a hard limit", "capabilities", "EPERM", "ValueError", control="maybe")
def _():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ours = (ctypes.c_uint64 * 2)(soft, hard + 1)
    call("prlimit64", 0, 7, ours, 0)


@attack("P39", "become the superuser", "namespace.user", "EINVAL", "EPERM", control="root")
def _():
    os.setresuid(0, 0, 0)


@attack("P40", "become somebody else", "namespace.user", "EINVAL", "EPERM", control="root")
def _():
    os.setresuid(65534, 65534, 65534)


@attack("P41", "join other groups", "namespace.user", "EPERM", control="root")
def _():
    os.setgroups([4])


@attack("P42", "take a capability", "capabilities", "EPERM", control="root")
def _():
    header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0))
    sets = ctypes.create_string_buffer(struct.pack("6I", 2, 2, 0, 0, 0, 0))
    call("capset", header, sets)


@attack("P43", "unlock what superusers get", "capabilities", "EPERM", control="root")
def _():
    checked(libc.prctl(28, 0, 0, 0, 0))


@attack("P44", "keep capabilities over a program", "capabilities", "EPERM", control="plain")
def _():
    checked(libc.prctl(8, 1, 0, 0, 0))


@attack("P45", "hold up what releases a stopped process's memory", "namespace.pid", "ESRCH", control="maybe")
def _():
    fd = os.pidfd_open(VICTIM)
    try:
        call("process_mrelease", fd, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
