# R: reads. What is read must hold the secret, which outside everybody of the same uid gets.


@attack("R01", "read a file of the host by its path", "root", "ENOENT")
def _():
    expect(slurp(HOST + "/open/canary"))


@attack("R02", "list a folder of the host", "root", "ENOENT")
def _():
    os.listdir(HOST + "/home")


@attack("R03", "read a key in somebody's home", "root", "ENOENT")
def _():
    expect(slurp(HOST + "/home/key"))


@attack("R04", "read through a link in what was handed in", "root", "ENOENT")
def _():
    expect(slurp(RO + "/out"))


@attack("R05", "walk up from what was handed in", "root", "ENOENT")
def _():
    expect(slurp("/proc/self/fd/%d/../open/canary" % os.open(RO, os.O_PATH)))


@attack("R06", "read below a folder by the call that says where to stay, told not to", "root", "ENOENT", control="maybe")
def _():
    folder = os.open(TREE, os.O_PATH)
    how = ctypes.create_string_buffer(struct.pack("3Q", 0, 0, 0))
    fd = call("openat2", folder, ctypes.c_char_p(b"../home/key"), how, 24)
    expect(os.read(fd, 100))


@attack("R07", "find the secret in the environment", "environment", "not there")
def _():
    expect(os.environ.get("CANARY", ""))


@attack("R08", "find it in the environment that the kernel kept", "environment", "not there")
def _():
    expect(slurp("/proc/self/environ"))


@attack("R09", "find a folder of the host among inherited descriptors", "descriptors", "not there")
def _():
    for fd in range(3, 256):
        try:
            # By the descriptor, whatever it is called here.
            os.close(os.open("canary", os.O_RDONLY, dir_fd=fd))
            return
        except OSError:
            pass
    held("not there")


@attack("R10", "read the environment of a host process", "namespace.pid", "ENOENT")
def _():
    expect(slurp("/proc/%d/environ" % VICTIM))


@attack("R11", "read the memory of a host process", "namespace.pid", "ENOENT", control="maybe")
def _():
    fd = os.open("/proc/%d/mem" % VICTIM, os.O_RDONLY)
    expect(os.pread(fd, 100, WORLD["address"]))


@attack("R12", "read the words that started a host process", "namespace.pid", "ENOENT")
def _():
    slurp("/proc/%d/cmdline" % VICTIM)


@attack("R13", "read where a host process has its memory", "namespace.pid", "ENOENT")
def _():
    slurp("/proc/%d/maps" % VICTIM)


@attack("R14", "read a deleted file that a host process has open", "namespace.pid", "ENOENT")
def _():
    expect(slurp("/proc/%d/fd/%d" % (VICTIM, WORLD["held"])))


@attack("R15", "read through the current folder of a host process", "namespace.pid", "ENOENT")
def _():
    expect(slurp("/proc/%d/cwd/canary" % VICTIM))


@attack("R16", "read through the root of a host process", "namespace.pid", "ENOENT")
def _():
    expect(slurp("/proc/%d/root%s/home/key" % (VICTIM, HOST)))


@attack("R17", "read through the task folder of a host process", "namespace.pid", "ENOENT")
def _():
    expect(slurp("/proc/%d/task/%d/environ" % (VICTIM, VICTIM)))


@attack("R18", "read the environment of the process above", "undumpable", "EACCES")
def _():
    expect(slurp("/proc/%d/environ" % ONE))


@attack("R19", "read the memory of the process above", "undumpable", "EACCES", control="maybe")
def _():
    memory = os.open("/proc/%d/mem" % ONE, os.O_RDONLY)
    os.pread(memory, 100, int(slurp("/proc/%d/maps" % ONE).split(b"-")[0], 16))


@attack("R20", "read where the process above has its memory", "undumpable", "EACCES")
def _():
    slurp("/proc/%d/maps" % ONE)


@attack("R21", "list what the process above has open", "undumpable", "EACCES")
def _():
    os.listdir("/proc/%d/fd" % ONE)


@attack("R22", "list the mapped files of the process above", "undumpable", "EACCES")
def _():
    os.listdir("/proc/%d/map_files" % ONE)


@attack("R23", "open the program of the process above", "undumpable", "EACCES")
def _():
    os.open("/proc/%d/exe" % ONE, os.O_RDONLY)


@attack("R24", "enter the root of the process above", "undumpable", "EACCES")
def _():
    os.listdir("/proc/%d/root/" % ONE)


@attack("R25", "name the namespaces of the process above", "undumpable", "EACCES")
def _():
    os.readlink("/proc/%d/ns/mnt" % ONE)


@attack("R26", "read the stack and registers of the process above", "undumpable", "EACCES", control="maybe")
def _():
    slurp("/proc/%d/auxv" % ONE)
    slurp("/proc/%d/syscall" % ONE)


@attack("R27", "read a key of the session keyring", "system calls", "EPERM", control="maybe")
def _():
    # A keyring of this process's own, which ends with it.
    call("keyctl", 1, 0)
    key = call("add_key", ctypes.c_char_p(b"user"), ctypes.c_char_p(b"escape"), ctypes.c_char_p(CANARY.encode()),
               len(CANARY), -3)
    text = ctypes.create_string_buffer(100)
    call("keyctl", 11, key, text, 100)
    expect(text.raw)


@attack("R28", "find keys by their names", "masked /proc", "empty", "ENOENT", control="maybe")
def _():
    if not INSIDE:
        call("keyctl", 1, 0)
        call("add_key", ctypes.c_char_p(b"user"), ctypes.c_char_p(b"escape"), ctypes.c_char_p(b"x"), 1, -3)
    if not slurp("/proc/keys"):
        held("empty")


@attack("R29", "ask the kernel to fetch a key", "system calls", "EPERM", control="maybe")
def _():
    try:
        call("request_key", ctypes.c_char_p(b"user"), ctypes.c_char_p(b"escape-none"), 0, 0)
    except OSError as error:
        # It looked for it.
        if error.errno != errno.ENOKEY:
            raise


@attack("R30", "take the handle of a file", "system calls", "EPERM", control="maybe")
def _():
    handle, mount = ctypes.create_string_buffer(struct.pack("Ii", 120, 0) + bytes(120)), ctypes.c_int()
    call("name_to_handle_at", AT_FDCWD, ctypes.c_char_p(RO.encode()), handle, ctypes.byref(mount), 0)


@attack("R31", "open a file of the host by its handle", "system calls", "EPERM", control="root")
def _():
    handle, mount = ctypes.create_string_buffer(struct.pack("Ii", 120, 0) + bytes(120)), ctypes.c_int()
    if not INSIDE:
        name = ctypes.c_char_p((HOST + "/home/key").encode())
        call("name_to_handle_at", AT_FDCWD, name, handle, ctypes.byref(mount), 0)
    expect(os.read(call("open_by_handle_at", os.open(RO, os.O_RDONLY), handle, 0), 100))


@attack("R32", "read the addresses of the kernel", "masked /proc", "empty", "ENOENT", control="maybe")
def _():
    if not slurp("/proc/kallsyms"):
        held("empty")


@attack("R33", "read the log of the kernel", "system calls", "EPERM", control="maybe")
def _():
    call("syslog", 10, 0, 0)


@attack("R34", "open the log of the kernel as a device", "root", "ENOENT", control="maybe")
def _():
    os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)


@attack("R35", "see the host's interrupts", "masked /proc", "empty", "ENOENT", control="maybe")
def _():
    if not slurp("/proc/interrupts"):
        held("empty")


@attack("R36", "look at the devices of the host", "root", "ENOENT")
def _():
    os.listdir("/sys/class")


@attack("R37", "look at the control groups of the host", "root", "ENOENT", control="maybe")
def _():
    os.listdir("/sys/fs/cgroup")


@attack("R38", "list the host's unix sockets", "namespace.net", "not there")
def _():
    if WORLD["name"].encode() not in slurp("/proc/net/unix"):
        held("not there")


@attack("R39", "list the host's TCP listeners", "namespace.net", "not there")
def _():
    if b":%04X 00000000:0000 0A" % WORLD["tcp"] not in slurp("/proc/net/tcp"):
        held("not there")


@attack("R40", "list the host's TCP listeners by one of its processes", "namespace.pid", "ENOENT")
def _():
    slurp("/proc/%d/net/tcp" % VICTIM)


@attack("R41", "list the host's shared memory", "namespace.ipc", "not there")
def _():
    if not any(line.split()[1] == b"%d" % WORLD["shm"] for line in slurp("/proc/sysvipc/shm").splitlines()[1:]):
        held("not there")


@attack("R42", "list the locks that the host holds", "namespace.pid", "not there")
def _():
    if b":%d " % WORLD["inode"] not in slurp("/proc/locks"):
        held("not there")


@attack("R43", "learn the host's name", "namespace.uts", "not there", control="maybe")
def _():
    if os.uname().nodename == "sandbox":
        held("not there")


@attack("R44", "read where the kernel has what, by the newest calls", "system calls", "ENOSYS", control="maybe")
def _():
    request = ctypes.create_string_buffer(struct.pack("IIQQ", 24, 0, 0xffffffffffffffff, 0))
    call("listmount", request, ctypes.create_string_buffer(4096), 256, 0)


@attack("R45", "read the host's shared memory by its file", "mounts", "ENOENT")
def _():
    expect(slurp("/dev/shm/" + WORLD["name"]))


@attack("R46", "read a terminal of the host", "devpts of its own", "ENOENT")
def _():
    os.open(WORLD["tty"], os.O_RDWR | os.O_NOCTTY)


@attack("R47", "see what the host reads in what was handed in", "overlay", "timeout")
def _():
    watch = libc.inotify_init1(os.O_NONBLOCK)
    checked(libc.inotify_add_watch(watch, (RO + "/watched").encode(), 0x20))
    if not select.select([watch], [], [], 0.5)[0]:
        held("timeout")


@attack("R48", "watch a folder of the host", "root", "ENOENT")
def _():
    checked(libc.inotify_add_watch(libc.inotify_init1(0), (HOST + "/open").encode(), 0x20))


@attack("R49", "watch everything on a mount", "system calls", "EPERM", control="root")
def _():
    call("fanotify_init", 0, 0)


@attack("R50", "watch files by their identity", "system calls", "EPERM", control="maybe")
def _():
    call("fanotify_init", 0x200, 0)
