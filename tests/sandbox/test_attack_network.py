"""A run reaches nobody: no socket but a pair it makes for itself, and that pair only between its own ends."""
# ruff: noqa: E501 — attacks are short programs, one line each where they can be

import asyncio
import contextlib
import socket
import threading

import pytest
from attacks import Attack, facts, holds

ATTACKS = {
    "it opens a TCP socket": Attack("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_STREAM)"),
    "it opens a UDP socket": Attack("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)"),
    "it opens a socket of IPv6": Attack("import socket\nsocket.socket(socket.AF_INET6, socket.SOCK_STREAM)"),
    "it opens a Unix socket": Attack("import socket\nsocket.socket(socket.AF_UNIX, socket.SOCK_STREAM)"),
    "it opens a raw socket": Attack(
        "import socket\nany_of(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),\n"
        "    lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))"
    ),
    "it opens a socket of the kernel's own families": Attack(
        "import socket\nany_of(*(lambda f=f: socket.socket(f, socket.SOCK_DGRAM) for f in (15, 16, 17, 31, 38, 40, 44)))"
    ),
    "it makes a pair that is not local": Attack("call(53, 2, 1, 0, ctypes.create_string_buffer(8))"),
    "it connects to a server": Attack("import socket\nsocket.create_connection(('127.0.0.1', $PORT), timeout=1)"),
    "it asks for a page": Attack(
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:%d/' % $PORT, timeout=1)", r"URLError"
    ),
    "it looks a name up": Attack("import socket\nsocket.getaddrinfo('example.com', 80)", r"gaierror|PermissionError"),
    "it sends from a pair to a name in memory": Attack(
        "import socket\na, _ = socket.socketpair(type=socket.SOCK_DGRAM)\na.sendto(b'x', '\\0' + $ABSTRACT)"
    ),
    "it sends from a pair to a socket in the file system": Attack(
        "import socket\na, _ = socket.socketpair(type=socket.SOCK_DGRAM)\na.sendto(b'x', '/dev/log')"
    ),
    "it sends a message with an address or open files": Attack(
        "import socket\na, _ = socket.socketpair(type=socket.SOCK_DGRAM)\n"
        "any_of(lambda: a.sendmsg([b'x'], [], 0, '\\0' + $ABSTRACT), lambda: socket.send_fds(a, [b'x'], [0]))"
    ),
    "it turns an end of a pair into a server": Attack(
        "import socket\na, _ = socket.socketpair()\nany_of(lambda: a.bind('\\0x'), lambda: a.listen(), a.accept)"
    ),
    "it changes the options of a pair": Attack(
        "import socket\na, _ = socket.socketpair()\na.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)"
    ),
}


@pytest.fixture(scope="module")
def server():
    """A server on this machine, and a name in memory where datagrams arrive; what came to either."""
    came = []
    listening = socket.create_server(("127.0.0.1", 0))
    named = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    named.bind(f"\0tandem-{listening.getsockname()[1]}")

    def accept():
        with contextlib.suppress(OSError):
            while True:
                came.append(listening.accept())

    threading.Thread(target=accept, daemon=True).start()
    named.setblocking(False)
    yield {"port": listening.getsockname()[1], "abstract": named.getsockname()[1:].decode(), "came": came}
    with contextlib.suppress(BlockingIOError):
        came.append(named.recv(10))
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    named.close()
    assert not came


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_the_network_is_out_of_reach_when(attack, confined, server):
    holds(confined, attack, port=server["port"], abstract=server["abstract"], **facts())


def test_an_event_loop_still_runs_in_a_program(confined):
    program = "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    print('ran')\nasyncio.run(main())"
    assert asyncio.run(confined.run(program)).out == "ran\n"
