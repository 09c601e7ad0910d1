"""Something of the host's that attacks are aimed at: a process with a secret in its memory, environment, folder, open
file, shared memory and queues. Told by a line of JSON; it removes what it made when its standard input ends."""

import ctypes, fcntl, json, os, select, sys

place, key, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
canary = os.environ["CANARY"].encode()
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
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
shm = libc.shmget(key, 4096, 0o1666)
at = libc.shmat(shm, None, 0)
ctypes.memmove(at, canary, len(canary))
sem = libc.semget(key, 1, 0o1666)
msg = libc.msgget(key, 0o1666)
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
libc.shmctl(shm, 0, None)
libc.semctl(sem, 0, 0)
libc.msgctl(msg, 0, None)
