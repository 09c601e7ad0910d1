# X: resources. Inside the bounds are small; outside a folder of the test's own takes as much.

SCRATCH = "/tmp" if APART else HOST + "/open"
INFINITE = 2**64 - 1


def fill(place, files, size):
    """Writes files, and removes them again."""
    made = []
    try:
        for number in range(files):
            made.append("%s/fill-%s-%d" % (place, WORLD["name"], number))
            spit(made[-1], "x" * size)
    finally:
        for path in made:
            try:
                os.unlink(path)
            except OSError:
                pass


def raised(which, value):
    """Sets both bounds of a limit, by the call, which tells what it is refused for."""
    call("prlimit64", 0, which, (ctypes.c_uint64 * 2)(value, value), 0)


@attack("X01", "open more files than are allowed", "rlimits", "EMFILE")
def _():
    for _ in range(200):
        os.open("/dev/null", os.O_RDONLY)


@attack("X02", "copy descriptors above the bound", "rlimits", "EINVAL")
def _():
    fcntl.fcntl(0, fcntl.F_DUPFD, 200)


@attack("X03", "allow itself more open files", "rlimits", "EPERM")
def _():
    raised(7, 200)


@attack("X04", "write a file that is too large", "rlimits", "EFBIG")
def _():
    fill(TREE, 1, 2 << 20)


@attack("X05", "make a sparse file that is larger than any disk", "rlimits", "EFBIG")
def _():
    spit(TREE + "/sparse", "x")
    os.truncate(TREE + "/sparse", 1 << 40)


@attack("X06", "reserve a file that is too large", "rlimits", "EFBIG", control="maybe")
def _():
    fd = os.open(TREE + "/reserved", os.O_WRONLY | os.O_CREAT)
    os.posix_fallocate(fd, 0, 2 << 20)
    os.unlink(TREE + "/reserved")


@attack("X07", "allow itself larger files", "rlimits", "EPERM")
def _():
    raised(1, INFINITE)


@attack("X08", "allow itself more time of the processor", "rlimits", "EPERM")
def _():
    raised(0, INFINITE)


@attack("X09", "allow itself dumps of its memory", "rlimits", "EPERM", control="maybe")
def _():
    raised(4, INFINITE)


@attack("X10", "fill the folder for temporary files", "size of /tmp", "ENOSPC")
def _():
    fill(SCRATCH, 8, 900 << 10)


@attack("X11", "fill it with files that hold nothing", "size of /tmp", "ENOSPC")
def _():
    fill(SCRATCH, 1500, 0)


@attack("X12", "fill the shared memory", "size of /dev/shm", "ENOSPC")
def _():
    fill("/dev/shm", 3, 600 << 10)


@attack("X13", "fill the work tree", "size of the upper layer", "ENOSPC")
def _():
    fill(TREE, 8, 900 << 10)


@attack("X14", "fill the work tree with files that hold nothing", "size of the upper layer", "ENOSPC")
def _():
    fill(TREE, 1500, 0)


@attack("X15", "write past the bound through a mapping", "rlimits", "EFBIG")
def _():
    fd = os.open(TREE + "/mapped", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 2 << 20)
    mmap.mmap(fd, 2 << 20)[-1] = 1


@attack("X16", "copy past the bound without writing", "rlimits", "EFBIG")
def _():
    source, target = os.open("/dev/zero", os.O_RDONLY), os.open(TREE + "/sent", os.O_RDWR | os.O_CREAT)
    reader, writer = os.pipe()
    for _ in range(40):
        os.write(writer, bytes(60000))
        while os.splice(reader, target, 60000) < 60000:
            if select.select([reader], [], [], 0)[0] == []:
                break
    os.close(source)


@attack("X17", "start more processes than are allowed", "rlimits", "EAGAIN",
        "works: not claimed where the uid is the caller's")
def _():
    started = []
    try:
        for _ in range(80):
            pid = os.fork()
            if pid == 0:
                time.sleep(30)
                os._exit(0)
            started.append(pid)
    finally:
        for pid in started:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if INSIDE and not WORLD["own"]:
        # Written down among what is not claimed.
        held("works: not claimed where the uid is the caller's")
