# W: writes and metadata. What the host has, it has by its own path; what was handed in read-only, by another; and the
# payload owns all of it, so that no permission is what holds.

PLACE = HOST + "/open"


@attack("W01", "write a file of the host by its path", "root", "ENOENT")
def _():
    spit(PLACE + "/canary", "x", os.O_WRONLY)


@attack("W02", "write through a link planted in the work tree", "root", "ENOENT")
def _():
    os.symlink(PLACE + "/canary", TREE + "/planted")
    spit(TREE + "/planted", "x", os.O_WRONLY)


@attack("W03", "walk up from a descriptor of the work tree", "root", "ENOENT")
def _():
    folder = os.open(TREE, os.O_RDONLY)
    os.close(os.open("../open/canary", os.O_WRONLY, dir_fd=folder))


@attack("W04", "walk up far above the top", "root", "ENOENT")
def _():
    os.chdir(TREE)
    spit("../" * 40 + PLACE.lstrip("/") + "/canary", "x", os.O_WRONLY)


@attack("W05", "write through the root of a host process", "namespace.pid", "ENOENT")
def _():
    spit("/proc/%d/root%s/canary" % (VICTIM, PLACE), "x", os.O_WRONLY)


@attack("W06", "write through the current folder of a host process", "namespace.pid", "ENOENT")
def _():
    spit("/proc/%d/cwd/canary" % VICTIM, "x", os.O_WRONLY)


@attack("W07", "write through an open file of a host process", "namespace.pid", "ENOENT")
def _():
    spit("/proc/%d/fd/%d" % (VICTIM, WORLD["held"]), "x", os.O_WRONLY)


@attack("W08", "write through the root of the process above", "undumpable", "EACCES")
def _():
    spit("/proc/%d/root%s/canary" % (ONE, PLACE), "x", os.O_WRONLY)


@attack("W09", "write a file that was handed in", "read-only mount", "EROFS")
def _():
    spit(RO + "/file", "x", os.O_WRONLY)


@attack("W10", "make it empty by opening it for reading", "read-only mount", "EROFS")
def _():
    os.open(RO + "/file", os.O_RDONLY | os.O_TRUNC)


@attack("W11", "truncate it by its name", "read-only mount", "EROFS")
def _():
    os.truncate(RO + "/file", 1)


@attack("W12", "open it again for writing by its descriptor", "read-only mount", "EROFS")
def _():
    os.open("/proc/self/fd/%d" % os.open(RO + "/file", os.O_RDONLY), os.O_RDWR)


@attack("W13", "change its mode", "read-only mount", "EROFS")
def _():
    os.chmod(RO + "/file", 0o600)


@attack("W14", "change its mode by a descriptor that is only a path", "read-only mount", "EROFS")
def _():
    os.chmod("/proc/self/fd/%d" % os.open(RO + "/file", os.O_PATH), 0o600)


@attack("W15", "change its mode by the newer call", "read-only mount", "EROFS", control="maybe")
def _():
    call("fchmodat2", AT_FDCWD, ctypes.c_char_p((RO + "/file").encode()), 0o600, 0)


@attack("W16", "change its owner", "read-only mount", "EROFS")
def _():
    os.chown(RO + "/file", os.getuid(), os.getgid())


@attack("W17", "change its times", "read-only mount", "EROFS")
def _():
    os.utime(RO + "/file", (1, 1))


@attack("W18", "change the times of the folder by its descriptor", "read-only mount", "EROFS")
def _():
    os.utime(os.open(RO, os.O_RDONLY), (1, 1))


@attack("W19", "set an extended attribute", "read-only mount", "EROFS", control="maybe")
def _():
    os.setxattr(RO + "/file", "user.x", b"1")


@attack("W20", "remove an extended attribute", "read-only mount", "EROFS", control="maybe")
def _():
    os.removexattr(RO + "/file", "user.mark")


@attack("W21", "set attributes by the newest call", "system calls", "ENOSYS", control="maybe")
def _():
    value = ctypes.create_string_buffer(b"1")
    packed = ctypes.create_string_buffer(struct.pack("QII", ctypes.addressof(value), 1, 0))
    call("setxattrat", AT_FDCWD, ctypes.c_char_p((RO + "/file").encode()), 0, ctypes.c_char_p(b"user.y"), packed, 16)


@attack("W22", "set flags of the file system on it", "read-only mount", "EROFS", "ENOTTY", control="maybe")
def _():
    fcntl.ioctl(os.open(RO + "/file", os.O_RDONLY), FS_IOC_SETFLAGS, struct.pack("l", NODUMP))


@attack("W23", "remove it", "read-only mount", "EROFS")
def _():
    os.unlink(RO + "/goner")


@attack("W24", "rename it", "read-only mount", "EROFS")
def _():
    os.rename(RO + "/moved", RO + "/moved-away")


@attack("W25", "rename it into the work tree", "read-only mount", "EXDEV")
def _():
    os.rename(RO + "/leaves", TREE + "/leaves")


@attack("W26", "rename a file of the work tree over it", "read-only mount", "EXDEV")
def _():
    spit(TREE + "/comes", "x")
    os.rename(TREE + "/comes", RO + "/covered")


@attack("W27", "link it into the work tree", "read-only mount", "EXDEV")
def _():
    os.link(RO + "/file", TREE + "/linked")


@attack("W28", "link it beside itself", "read-only mount", "EROFS")
def _():
    os.link(RO + "/file", RO + "/linked")


@attack("W29", "make a folder beside it", "read-only mount", "EROFS")
def _():
    os.mkdir(RO + "/folder")


@attack("W30", "make a link beside it", "read-only mount", "EROFS")
def _():
    os.symlink("/", RO + "/link")


@attack("W31", "make a FIFO beside it", "read-only mount", "EROFS")
def _():
    os.mkfifo(RO + "/pipe")


@attack("W32", "make a socket beside it", "read-only mount", "EROFS")
def _():
    socket.socket(socket.AF_UNIX).bind(RO + "/listens")


@attack("W33", "make a file without a name beside it", "read-only mount", "EROFS", control="maybe")
def _():
    os.open(RO, os.O_TMPFILE | os.O_RDWR, 0o600)


@attack("W34", "make a device in the work tree", "capabilities", "EPERM", control="root")
def _():
    os.mknod(TREE + "/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))


@attack("W35", "make what overlays call a whiteout", "overlay", "EPERM", control="maybe")
def _():
    os.mknod(TREE + "/whiteout", stat.S_IFCHR, os.makedev(0, 0))


@attack("W36", "give a file capabilities", "capabilities", "EPERM", control="root")
def _():
    os.setxattr(TREE + "/a", "security.capability", struct.pack("<5I", 0x2000001, 1 << 21, 0, 0, 0))


@attack("W37", "move the top of the work tree away", "mounts", "EBUSY", "EROFS")
def _():
    os.rename(TREE, TREE + ".away")
    os.rename(TREE + ".away", TREE)


@attack("W38", "move what was handed in away", "mounts", "EBUSY", "EROFS")
def _():
    os.rename(RO, RO + ".away")
    os.rename(RO + ".away", RO)


@attack("W39", "make what was handed in writable by a remount", "system calls", "EPERM", control="own")
def _():
    where = ctypes.c_char_p(RO.encode())
    if not INSIDE:
        call("mount", where, where, 0, 0x1000, 0)
    call("mount", 0, where, 0, 0x20 | 0x1000, 0)


@attack("W40", "make it writable by the attributes of its mount", "system calls", "EPERM", control="own")
def _():
    where = ctypes.c_char_p(RO.encode())
    if not INSIDE:
        call("mount", where, where, 0, 0x1000, 0)
    call("mount_setattr", AT_FDCWD, where, 0, ctypes.create_string_buffer(struct.pack("4Q", 0, 1, 0, 0)), 32)


@attack("W41", "take a mount off to see what lies below", "system calls", "EPERM", control="own")
def _():
    where = ctypes.c_char_p(RO.encode())
    if not INSIDE:
        call("mount", where, where, 0, 0x1000, 0)
    call("umount2", where, 2)


@attack("W42", "lay a tmpfs over a folder of the system", "system calls", "EPERM", control="own")
def _():
    call("mount", ctypes.c_char_p(b"x"), ctypes.c_char_p(b"/usr"), ctypes.c_char_p(b"tmpfs"), 0, 0)


@attack("W43", "bind a folder over another", "system calls", "EPERM", control="own")
def _():
    call("mount", ctypes.c_char_p(TREE.encode()), ctypes.c_char_p(b"/usr"), 0, 0x1000, 0)


@attack("W44", "mount by the newer calls", "system calls", "EPERM", control="own")
def _():
    context = call("fsopen", ctypes.c_char_p(b"tmpfs"), 0)
    call("fsconfig", context, 6, 0, 0, 0)
    made = call("fsmount", context, 0, 0)
    call("move_mount", made, ctypes.c_char_p(b""), AT_FDCWD, ctypes.c_char_p(b"/usr"), 4)


@attack("W45", "copy a mount", "system calls", "EPERM", control="own")
def _():
    call("open_tree", AT_FDCWD, ctypes.c_char_p(b"/"), 0x8001)


@attack("W46", "change the root and leave it by a descriptor", "system calls", "EPERM", control="own")
def _():
    call("chroot", ctypes.c_char_p(TREE.encode()))


@attack("W47", "put another root in the place of the root", "system calls", "EPERM", control="own")
def _():
    where = ctypes.c_char_p(TREE.encode())
    if not INSIDE:
        call("mount", ctypes.c_char_p(b"x"), where, ctypes.c_char_p(b"tmpfs"), 0, 0)
        os.mkdir(TREE + "/old")
    call("pivot_root", where, ctypes.c_char_p((TREE + "/old").encode()))


@attack("W48", "open a setting of the kernel for writing", "read-only /proc", "EACCES", "EROFS", control="root")
def _():
    os.open("/proc/sys/kernel/domainname", os.O_WRONLY)


@attack("W49", "open the system request trigger", "masked /proc", "masked", "ENOENT", control="maybe")
def _():
    if os.major(os.fstat(os.open("/proc/sysrq-trigger", os.O_WRONLY)).st_rdev) == 1:
        held("masked")


@attack("W50", "be spared when memory runs out", "read-only /proc", "EROFS", control="maybe")
def _():
    spit("/proc/self/oom_score_adj", "-1000", os.O_WRONLY)


@attack("W51", "have the process above ended when memory runs out", "read-only /proc", "EROFS", "EACCES")
def _():
    spit("/proc/%d/oom_score_adj" % ONE, "1000", os.O_WRONLY)


@attack("W52", "hold a lock that the host waits for", "overlay", "apart")
def _():
    try:
        fcntl.flock(os.open(RO + "/locked", os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    held("apart")


@attack("W53", "follow what was handed in to where it lies", "root", "ENOENT")
def _():
    os.chdir(RO)
    spit("../open/canary", "x", os.O_WRONLY)


@attack("W54", "write by a link in what was handed in", "root", "ENOENT")
def _():
    spit(RO + "/out", "x", os.O_WRONLY)
