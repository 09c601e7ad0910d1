# L: what is not claimed. It works inside as well; a row that no longer does is one less to write down.


@attack("L01", "connect to a socket in a folder that is handed in for writing", "nothing", "worked")
def _():
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(RW + "/socket")


@attack("L02", "leave a program of the caller's that runs as its owner in such a folder", "nothing", "worked")
def _():
    spit(RW + "/left", "x")
    os.chmod(RW + "/left", 0o4755)
    if not os.stat(RW + "/left").st_mode & stat.S_ISUID:
        held("cleared")


@attack("L03", "read where a mount comes from", "nothing", "worked", control="maybe")
def _():
    if HOST.rsplit("/", 1)[1].encode() not in slurp("/proc/self/mountinfo"):
        held("hidden")


@attack("L04", "change the limits of the process above, which can end the run", "nothing", "worked", control="maybe")
def _():
    resource.prlimit(ONE, resource.RLIMIT_CORE, (0, 0))


@attack("L05", "see when somebody outside opens a program of the system", "nothing", "worked")
def _():
    watch = libc.inotify_init1(os.O_NONBLOCK)
    checked(libc.inotify_add_watch(watch, b"/usr/bin/true", 0x20))
    if not select.select([watch], [], [], 1)[0]:
        held("timeout")
