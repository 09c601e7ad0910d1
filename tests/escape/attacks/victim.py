"""Something of the host's that attacks are aimed at: a process with a secret in its memory, environment, folder, open
file, shared memory and queues. Told by a line of JSON; what was made is removed when its standard input ends."""

import ctypes, fcntl, json, os, select, sys

place, key, name, uid = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
canary = os.environ["CANARY"].encode()
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p

# Open to everybody, and the caller's; removed by a process of his, however this one ends.
shm, sem, msg = libc.shmget(key, 4096, 0o1666), libc.semget(key, 1, 0o1666), libc.msgget(key, 0o1666)
at = libc.shmat(shm, None, 0)
ctypes.memmove(at, canary, len(canary))
ends = os.pipe()
keeper = os.fork()
if keeper == 0:
    os.close(ends[1])
    os.close(0)
    os.close(1)
    os.read(ends[0], 1)
    libc.shmctl(shm, 0, None)
    libc.semctl(sem, 0, 0)
    libc.msgctl(msg, 0, None)
    os._exit(0)
if uid != os.getuid():
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    # As a program that was started by that user is.
    libc.prctl(4, 1, 0, 0, 0)

memory = ctypes.create_string_buffer(canary)
os.chdir(place + "/open")
with open("gone", "wb+", buffering=0) as file:
    file.write(canary)
    held = os.dup(file.fileno())
os.unlink("gone")
lock = open(place + "/ro/locked")
fcntl.flock(lock, fcntl.LOCK_EX)
queue = libc.mq_open(("/" + name).encode(), os.O_CREAT | os.O_RDWR, 0o666, None)
with open("/dev/shm/" + name, "wb") as file:
    file.write(canary)
terminal = os.openpty()
told = {"pid": os.getpid(), "address": ctypes.addressof(memory), "held": held, "shm": shm, "sem": sem, "msg": msg,
        "tty": os.ttyname(terminal[1]), "queue": queue, "inode": os.fstat(lock.fileno()).st_ino}
print(json.dumps(told), flush=True)
# What somebody who watches would see.
while not select.select([sys.stdin], [], [], 0.05)[0]:
    open(place + "/ro/watched").read()
    open("/usr/bin/true", "rb").read(1)
libc.mq_unlink(("/" + name).encode())
os.unlink("/dev/shm/" + name)
os.close(ends[1])
os.waitpid(keeper, 0)
