"""Tries the attacks of one class, each in a process of its own, and tells how each ended, a line of JSON each.

The same text runs outside (positive control) and inside, and in other sandboxes, where it does as outside. A class of attacks and a call of `main` follow it. An attack
that comes to its end has worked; what held it is an error of the kernel, by name, or what it tells by `held`.
"""

import array, ctypes, errno, fcntl, json, mmap, os, resource, select, signal, socket, stat, struct, sys, time

INSIDE, PEER = sys.argv[1] == "inside", sys.argv[1] == "peer"
WORLD = json.loads(sys.argv[2])
HOST, RO, RW, TREE = WORLD["host"], WORLD["ro"], WORLD["rw"], WORLD["tree"]
VICTIM, CANARY = WORLD["victim"], WORLD["canary"]
# Whether the first process is a sandbox's own: where it is the host's, it is left alone.
APART = INSIDE or PEER and os.readlink("/proc/self/ns/pid") != WORLD["pids"]
# The process above: inside it is the sandbox's own, outside the victim stands in its place.
ONE = 1 if APART else VICTIM
SECONDS = 5

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.mmap.restype = ctypes.c_void_p

# Numbers of calls: x86_64, aarch64.
NUMBERS = {
    "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "bpf": (321, 280), "capset": (126, 91),
    "chroot": (161, 51), "clone": (56, 220), "clone3": (435, 435), "fanotify_init": (300, 262), "fsmount": (432, 432),
    "fsconfig": (431, 431), "fsopen": (430, 430), "get_robust_list": (274, 100), "io_uring_setup": (425, 425),
    "ioctl": (16, 29), "ioperm": (173, None), "ioprio_set": (251, 30), "kcmp": (312, 272), "keyctl": (250, 219),
    "memfd_secret": (447, 447), "migrate_pages": (256, 238), "modify_ldt": (154, None), "mount": (165, 40),
    "mount_setattr": (442, 442), "move_mount": (429, 429), "move_pages": (279, 239), "mknod": (133, None),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "open_tree": (428, 428),
    "openat2": (437, 437), "perf_event_open": (298, 241), "personality": (135, 92), "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434), "pivot_root": (155, 41), "process_madvise": (440, 440), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "ptrace": (101, 117), "quotactl": (179, 60), "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138), "setdomainname": (171, 162), "sethostname": (170, 161), "setns": (308, 268),
    "syslog": (103, 116), "tgkill": (234, 131), "umount2": (166, 39), "unshare": (272, 97), "userfaultfd": (323, 282),
    "fchmodat2": (452, 452), "vmsplice": (278, 75), "pidfd_send_signal": (424, 424), "prlimit64": (302, 261),
    "timer_create": (222, 107), "x32_getpid": (0x40000027, None), "process_mrelease": (448, 448),
    "sysfs": (139, None), "seccomp": (317, 277), "fspick": (433, 433), "open_tree_attr": (467, 467),
    "listmount": (458, 458), "statmount": (457, 457), "lsm_set_self_attr": (460, 460), "setxattrat": (463, 463),
    "file_setattr": (469, 469), "cachestat": (451, 451), "map_shadow_stack": (453, None),
}
NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEWUSER, NEWPID, NEWNET, NEWTIME = 0x10000000, 0x20000000, 0x40000000, 0x80
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
# What an outside owner may do to a file without changing what is in it.
FS_IOC_SETFLAGS, NODUMP = 0x40086602, 0x40

ATTACKS = []


class Held(Exception):
    """What held an attack, where it was no error of the kernel's."""


def held(word):
    raise Held(word)


def attack(name, what, by, *words, control="plain"):
    """An attack: id, what is tried, the layer that holds it, what it sees inside, and who can show it outside:
    `plain` anybody, `root` the superuser, `own` anybody in namespaces of his own, `maybe` some kernels."""
    def kept(how):
        ATTACKS.append({"id": name, "what": what, "by": by, "held": words, "control": control, "how": how})
        return how
    return kept


def call(name, *arguments):
    number = NUMBERS[name][0 if os.uname().machine == "x86_64" else 1]
    if number is None:
        held("no such call")
    ctypes.set_errno(0)
    # A ctypes object goes as it is, and `byref` has no class that is public.
    plain = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    answer = libc.syscall(ctypes.c_long(number), *plain)
    if answer < 0:
        raise OSError(ctypes.get_errno(), name)
    return answer


def checked(answer):
    """The answer of a C function that says -1 where it failed."""
    if answer in (-1, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "")
    return answer


def spit(path, text, flags=os.O_WRONLY | os.O_CREAT):
    with open(os.open(path, flags, 0o644), "wb", buffering=0) as file:
        left = text.encode()
        while left:
            left = left[file.write(left):]


def slurp(path):
    with open(path, "rb") as file:
        return file.read()


def expect(text, word="not there"):
    """The attack goes on only if the secret is in what was read."""
    if CANARY.encode() not in (text if isinstance(text, bytes) else text.encode()):
        held(word)


def forked(act):
    """Runs `act` in a child and gives its exit code; an error of the kernel becomes the caller's."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or 255)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code > 0:
        raise OSError(code, "")
    if code < 0:
        held("signal:%d" % -code)


def own_namespaces():
    """Becomes root of namespaces of its own; every mount in them is private."""
    uid, gid = os.geteuid(), os.getegid()
    checked(libc.unshare(NEWUSER | NEWNS | NEWUTS | NEWIPC | NEWNET))
    for name, text in (("setgroups", "deny"), ("uid_map", "0 %d 1" % uid), ("gid_map", "0 %d 1" % gid)):
        spit("/proc/self/" + name, text, os.O_WRONLY)
    checked(libc.mount(b"none", b"/", None, 0x40000 | 0x4000, None))


def word_of(entry):
    try:
        if not INSIDE and entry["control"] == "own":
            own_namespaces()
        entry["how"]()
        return "worked"
    except Held as held_by:
        return str(held_by)
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except BaseException as error:
        return "broken: %r" % error


def tried(entry):
    """One attack in a session of its own, which is ended with everything that it made."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.setsid()
        os.write(writer, word_of(entry).encode())
        os._exit(0)
    os.close(writer)
    ready = select.select([reader], [], [], SECONDS)[0]
    word = os.read(reader, 4096).decode() if ready else "no end"
    if not ready:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass
    os.close(reader)
    if not word:
        word = "signal:%d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else "no word"
    return word


def main():
    for entry in ATTACKS:
        told = {name: value for name, value in entry.items() if name != "how"} if not INSIDE else {"id": entry["id"]}
        print(json.dumps({**told, "word": tried(entry)}), flush=True)
