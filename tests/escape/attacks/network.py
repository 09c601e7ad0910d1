# N: the network, and sockets of every other kind.

AF_VSOCK, AF_ALG, AF_PACKET, AF_XDP, AF_KEY = 40, 38, 17, 44, 15


def stream(family, address):
    with socket.socket(family) as made:
        made.settimeout(2)
        made.connect(address)


def netlink(kind, flags, body):
    """One request to the routing socket; an answer that is an error is raised."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as made:
        made.settimeout(2)
        made.send(struct.pack("IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        answer = made.recv(65536)
        if struct.unpack_from("H", answer, 4)[0] == 2:
            code = -struct.unpack_from("i", answer, 16)[0]
            if code:
                raise OSError(code, "")


@attack("N01", "connect to a service of the host", "namespace.net", "ECONNREFUSED")
def _():
    stream(socket.AF_INET, ("127.0.0.1", WORLD["tcp"]))


@attack("N02", "connect to it by another loopback address", "namespace.net", "ECONNREFUSED", control="maybe")
def _():
    with socket.socket() as made:
        made.bind(("127.0.0.9", 0))
        made.connect(("127.0.0.1", WORLD["tcp"]))


@attack("N03", "connect to it by no address", "namespace.net", "ECONNREFUSED")
def _():
    stream(socket.AF_INET, ("0.0.0.0", WORLD["tcp"]))


@attack("N04", "connect to it by a mapped address", "namespace.net", "ECONNREFUSED", "EAFNOSUPPORT", control="maybe")
def _():
    stream(socket.AF_INET6, ("::ffff:127.0.0.1", WORLD["tcp"]))


@attack("N05", "connect to a service of the host by IPv6", "namespace.net", "ECONNREFUSED", "EADDRNOTAVAIL", "ENETUNREACH",
        control="maybe")
def _():
    if WORLD["tcp6"] is None:
        held("ENETUNREACH")
    stream(socket.AF_INET6, ("::1", WORLD["tcp6"]))


@attack("N06", "connect with the first bytes, without a call to connect", "namespace.net", "ECONNREFUSED", "EOPNOTSUPP",
        control="maybe")
def _():
    with socket.socket() as made:
        made.sendto(b"x", 0x20000000, ("127.0.0.1", WORLD["tcp"]))


@attack("N07", "connect over several paths", "namespace.net", "ECONNREFUSED", "EPROTONOSUPPORT", "ENOPROTOOPT", control="maybe")
def _():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as made:
        made.connect(("127.0.0.1", WORLD["tcp"]))


@attack("N08", "ask a datagram service of the host", "namespace.net", "ECONNREFUSED")
def _():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.settimeout(2)
        made.connect(("127.0.0.1", WORLD["udp"]))
        made.send(b"x")
        expect(made.recv(100))


@attack("N09", "ask it without a connection", "namespace.net", "timeout")
def _():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.settimeout(0.5)
        made.sendto(b"x", ("127.0.0.1", WORLD["udp"]))
        expect(made.recv(100))


@attack("N10", "send to another network", "namespace.net", "ENETUNREACH", control="maybe")
def _():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        # Reserved for documents; nothing is sent by this.
        made.connect(("192.0.2.1", 53))


@attack("N11", "send to another network by IPv6", "namespace.net", "ENETUNREACH", "EADDRNOTAVAIL", control="maybe")
def _():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as made:
        made.connect(("2001:db8::1", 53))


@attack("N12", "find the host's name servers", "root", "ENOENT", control="maybe")
def _():
    slurp("/etc/resolv.conf")


@attack("N13", "find the host's network devices", "namespace.net", "only lo", control="maybe")
def _():
    if all(name == "lo" for _, name in socket.if_nameindex()):
        held("only lo")


@attack("N14", "be connected to from outside", "namespace.net", "timeout")
def _():
    with socket.create_server(("0.0.0.0", WORLD["awaited"])) as made:
        made.settimeout(0.7)
        made.accept()


@attack("N15", "be connected to from outside by an abstract name", "namespace.net", "timeout")
def _():
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("\0" + WORLD["name"] + "-awaited")
        made.listen()
        made.settimeout(0.7)
        made.accept()


@attack("N16", "connect to an abstract socket of the host", "namespace.net", "ECONNREFUSED")
def _():
    stream(socket.AF_UNIX, "\0" + WORLD["name"])


@attack("N17", "send to an abstract socket of the host", "namespace.net", "ECONNREFUSED")
def _():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.sendto(b"x", "\0" + WORLD["name"] + "-d")


@attack("N18", "connect to a socket of the host by its path", "root", "ENOENT")
def _():
    stream(socket.AF_UNIX, HOST + "/open/socket")


@attack("N19", "connect to a socket in what was handed in", "overlay", "ECONNREFUSED")
def _():
    stream(socket.AF_UNIX, RO + "/socket")


@attack("N20", "send to a socket in what was handed in", "overlay", "ECONNREFUSED")
def _():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.sendto(b"x", RO + "/datagrams")


@attack("N21", "connect to it by its descriptor", "overlay", "ECONNREFUSED")
def _():
    stream(socket.AF_UNIX, "/proc/self/fd/%d" % os.open(RO + "/socket", os.O_PATH))


@attack("N22", "send raw packets", "capabilities", "EPERM", control="own")
def _():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)


@attack("N23", "send raw packets by IPv6", "capabilities", "EPERM", control="own")
def _():
    socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)


@attack("N24", "listen to every packet", "system calls", "EPERM", control="own")
def _():
    socket.socket(AF_PACKET, socket.SOCK_RAW, 0)


@attack("N25", "speak to other virtual machines", "system calls", "EPERM", control="maybe")
def _():
    socket.socket(AF_VSOCK, socket.SOCK_STREAM)


@attack("N26", "use the kernel's cryptography", "system calls", "EPERM", control="maybe")
def _():
    socket.socket(AF_ALG, socket.SOCK_SEQPACKET)


@attack("N27", "take packets off a device", "system calls", "EPERM", control="maybe")
def _():
    socket.socket(AF_XDP, socket.SOCK_RAW)


@attack("N28", "manage keys of the network", "system calls", "EPERM", control="maybe")
def _():
    socket.socket(AF_KEY, socket.SOCK_RAW, 2)


@attack("N29", "open a family with its number in the high half", "system calls", "EPERM", control="maybe")
def _():
    NUMBERS["socket"] = (41, 198)
    call("socket", AF_VSOCK | 1 << 32, 1, 0)


@attack("N30", "hear the audit of the kernel", "system calls", "EPERM", control="maybe")
def _():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)


@attack("N31", "hear the device events of the host", "system calls", "EPERM")
def _():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15).bind((0, 1))


@attack("N32", "list the host's sockets by the kernel", "system calls", "EPERM", control="maybe")
def _():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)


@attack("N33", "reach the filters of packets", "system calls", "EPERM", control="maybe")
def _():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)


@attack("N34", "make a network device", "capabilities", "EPERM", control="own")
def _():
    attribute = struct.pack("HH", 8, 3) + b"way\0"
    kind = struct.pack("HH", 16, 18) + struct.pack("HH", 9, 1) + b"veth\0\0\0\0"
    netlink(16, 0x605, struct.pack("BxHiII", 0, 0, 0, 0, 0) + attribute + kind)


@attack("N35", "take the loopback down", "capabilities", "EPERM", control="own")
def _():
    with socket.socket() as made:
        fcntl.ioctl(made, 0x8914, struct.pack("16sH22x", b"lo", 0))


@attack("N36", "give the loopback another address", "capabilities", "EPERM", control="own")
def _():
    body = struct.pack("BBBBi", 2, 24, 0, 0, 1) + struct.pack("HH", 8, 2) + bytes([10, 9, 9, 9])
    netlink(20, 0x605, body)


@attack("N37", "have somebody else's socket sent over one that was handed in", "overlay", "ECONNREFUSED")
def _():
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(RO + "/socket")
        socket.send_fds(made, [b"x"], [0])


@attack("N38", "bind a name where the host would find it", "read-only mount", "EROFS")
def _():
    socket.socket(socket.AF_UNIX).bind(RO + "/found")
