# K: namespaces, and parts of the kernel that have no business here.


def unshared(flag):
    return lambda: checked(libc.unshare(flag))


def cloned(flags):
    """clone(2) by its number; the child ends at once."""
    def act():
        if call("clone", flags | 17, 0, 0, 0, 0) == 0:
            os._exit(0)
    return act


attack("K01", "make a user namespace", "system calls", "EPERM")(unshared(NEWUSER))
attack("K02", "make a mount namespace", "system calls", "EPERM", control="own")(unshared(NEWNS))
attack("K03", "make a process namespace", "system calls", "EPERM", control="own")(unshared(NEWPID))
attack("K04", "make a network namespace", "system calls", "EPERM", control="own")(unshared(NEWNET))
attack("K05", "make an IPC namespace", "system calls", "EPERM", control="own")(unshared(NEWIPC))
attack("K06", "make a name namespace", "system calls", "EPERM", control="own")(unshared(NEWUTS))
attack("K07", "make a control-group namespace", "system calls", "EPERM", control="own")(unshared(NEWCGROUP))
attack("K08", "make a time namespace", "system calls", "EPERM", control="own")(unshared(NEWTIME))
attack("K09", "make a child in a user namespace", "system calls", "EPERM")(cloned(NEWUSER))
attack("K10", "make a child in a user and a network namespace", "system calls", "EPERM")(cloned(NEWUSER | NEWNET))
attack("K11", "make a child in a mount namespace", "system calls", "EPERM", control="own")(cloned(NEWNS))


@attack("K12", "make a child in a user namespace by the call whose flags lie in memory", "system calls", "ENOSYS",
        control="maybe")
def _():
    if call("clone3", ctypes.create_string_buffer(struct.pack("8Q", NEWUSER, 0, 0, 0, 17, 0, 0, 0)), 64) == 0:
        os._exit(0)


attack("K13", "make one with something in the high half of the flags", "system calls", "EPERM")(
    cloned(NEWUSER | 1 << 32))


@attack("K14", "make a namespace within the namespace it would have", "system calls", "EPERM")
def _():
    forked(lambda: forked(unshared(NEWUSER | NEWNS | NEWPID)))


@attack("K15", "enter a namespace by its file", "system calls", "EPERM", control="own")
def _():
    call("setns", os.open("/proc/self/ns/uts", os.O_RDONLY), 0)


@attack("K16", "enter the namespaces of a host process", "namespace.pid", "ENOENT", control="root")
def _():
    call("setns", os.open("/proc/%d/ns/mnt" % VICTIM, os.O_RDONLY), 0)


@attack("K17", "enter the namespaces of a process by its descriptor", "system calls", "EPERM", control="own")
def _():
    call("setns", os.pidfd_open(os.getpid()), NEWUTS)


@attack("K18", "set the host's name", "system calls", "EPERM", control="own")
def _():
    call("sethostname", ctypes.c_char_p(b"x"), 1)


@attack("K19", "set the host's domain", "system calls", "EPERM", control="own")
def _():
    call("setdomainname", ctypes.c_char_p(b"x"), 1)


@attack("K20", "set up an asynchronous ring", "system calls", "EPERM", control="maybe")
def _():
    call("io_uring_setup", 1, ctypes.create_string_buffer(120))


@attack("K21", "make a map of the kernel's virtual machine", "system calls", "EPERM", control="maybe")
def _():
    call("bpf", 0, ctypes.create_string_buffer(struct.pack("5I", 2, 4, 4, 1, 0) + bytes(108)), 128)


@attack("K22", "count events of the processor", "system calls", "EPERM", control="maybe")
def _():
    # A software clock, user mode only.
    call("perf_event_open", ctypes.create_string_buffer(struct.pack("2I4Q", 1, 112, 0, 0, 0, 0)
         + struct.pack("Q", 0x61) + bytes(64)), 0, -1, -1, 0)


@attack("K23", "handle page faults", "system calls", "EPERM", control="maybe")
def _():
    call("userfaultfd", 1)


@attack("K24", "make memory that the kernel does not see", "system calls", "EPERM", control="maybe")
def _():
    call("memfd_secret", 0)


@attack("K25", "make everything that is readable executable", "system calls", "EPERM")
def _():
    call("personality", 0x0400000)


@attack("K26", "pretend to be another system", "system calls", "EPERM")
def _():
    call("personality", 8)


@attack("K27", "call by the numbers of the third ABI", "system calls", "ENOSYS", control="maybe")
def _():
    call("x32_getpid")


@attack("K28", "call by the numbers of 32 bits", "system calls", "signal:31", "no such call", control="maybe")
def _():
    if os.uname().machine != "x86_64":
        held("no such call")
    # mov eax, 20 (getpid); int 0x80; ret
    area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    area.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    forked(lambda: ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(area)))())


@attack("K29", "set an entry of the descriptor table", "system calls", "EPERM", "no such call", control="maybe")
def _():
    call("modify_ldt", 0, ctypes.create_string_buffer(16), 16)


@attack("K30", "open the ports of the machine", "system calls", "EPERM", "no such call", control="maybe")
def _():
    call("ioperm", 0x80, 1, 1)


@attack("K31", "read the clock's adjustment", "system calls", "EPERM")
def _():
    call("adjtimex", ctypes.create_string_buffer(208))


@attack("K32", "ask for quotas", "system calls", "EPERM", control="maybe")
def _():
    call("quotactl", 0x800001 << 8, 0, 0, 0)


@attack("K33", "list the file systems that the kernel knows", "system calls", "EPERM", "no such call", control="maybe")
def _():
    call("sysfs", 3)


@attack("K34", "move a process's memory between nodes", "system calls", "EPERM", control="maybe")
def _():
    nodes = ctypes.create_string_buffer(struct.pack("Q", 1))
    call("migrate_pages", 0, 64, nodes, nodes)


@attack("K35", "ask what the page cache holds", "system calls", "ENOSYS", control="maybe")
def _():
    at, told = ctypes.create_string_buffer(struct.pack("2Q", 0, 4096)), ctypes.create_string_buffer(40)
    call("cachestat", os.open(RO + "/file", os.O_RDONLY), at, told, 0)


@attack("K36", "set a label of the security modules", "system calls", "ENOSYS", control="maybe")
def _():
    try:
        call("lsm_set_self_attr", 100, ctypes.create_string_buffer(40), 40, 0)
    except OSError as error:
        # It was read.
        if error.errno not in (errno.EINVAL, errno.E2BIG, errno.EOPNOTSUPP):
            raise


@attack("K37", "call a number that no kernel has yet", "system calls", "ENOSYS", control="maybe")
def _():
    NUMBERS["future"] = (9999, 9999)
    call("future")


@attack("K38", "loosen what Landlock holds by another layer of it", "Landlock", "EROFS")
def _():
    attribute = ctypes.create_string_buffer(struct.pack("Q", 1 << 1))
    NUMBERS.update(make=(444, 444), add=(445, 445), restrict=(446, 446))
    if INSIDE or PEER:
        rules = call("make", attribute, 8, 0)
        top = os.open("/", os.O_PATH)
        call("add", rules, 1, ctypes.create_string_buffer(struct.pack("<Qi", 1 << 1, top)), 0)
        checked(libc.prctl(38, 1, 0, 0, 0))
        call("restrict", rules, 0)
    spit(RO + "/file", "x", os.O_WRONLY)


@attack("K39", "loosen the filter of calls by another one", "system calls", "EPERM")
def _():
    if INSIDE or PEER:
        checked(libc.prctl(38, 1, 0, 0, 0))
        # One instruction: allow everything.
        program = ctypes.create_string_buffer(struct.pack("<HBBI", 6, 0, 0, 0x7fff0000))
        call("seccomp", 1, 0, ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", 1, ctypes.addressof(program))))
    checked(libc.unshare(NEWUSER))
