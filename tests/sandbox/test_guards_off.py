"""The attacks are real: with the layers that hold a property switched off, the very same programs succeed.

Where two layers hold a property, each alone still refuses. All that is tried here is harmless: a file, a server, a
process and a memory segment of the test's own. The five kinds of namespace are entered together or not at all, so
switching one off switches off all five; every setting starts, which the last tests show. `deadline` cannot be switched
off: the process outside always watches the clock, and the name only makes the demand for it fail.
"""

import asyncio
import ctypes
import os
import platform
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import test_attack_files as files
import test_attack_kernel as kernel
import test_attack_memory_and_time as memory
import test_attack_network as network
import test_attack_processes as processes
from attacks import LIMITS, MIB, Attack, attempt, facts, next_is_right, told
from test_attack_network import server  # noqa: F401 — a fixture

from tandem.errors import UserError
from tandem.sandbox import Sandbox
from tandem.sandbox.layers import ALL, GUARDS

NAMESPACES = {"users", "files", "network", "processes", "ipc"}
pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="NOT TESTED: numbers of x86-64")


@pytest.fixture(scope="module")
def without(confined):
    """A sandbox with some layers switched off, kept for the next test that wants the same."""
    made = {}

    def make(*off):
        key = frozenset(off)
        if key not in made:
            made[key] = Sandbox(workers=1, limits=LIMITS, off=off, required=())
        return made[key]

    yield make
    for sandbox in made.values():
        sandbox.close()


@pytest.fixture
def planted():
    path = Path("/tmp") / f"tandem-planted-{os.getpid()}"
    path.write_text("planted")
    path.chmod(0o644)
    yield str(path)
    path.unlink()


@pytest.fixture
def child():
    """A process of the test's own."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def succeeds(sandbox, attack, **more):
    ran = attempt(sandbox, attack, **{**facts(), **more})
    assert ran.outcome == "passed", told(ran)


def refused(sandbox, attack, **more):
    ran = attempt(sandbox, attack, **{**facts(), **more})
    assert ran.outcome not in ("passed", "infrastructure"), told(ran)


FILES = ("it reads a file in the temporary folder", "it follows a symbolic link out", "it climbs out of its folder")


@pytest.mark.parametrize("name", FILES)
def test_without_view_and_landlock_files_are_read(name, without, planted):
    attack = replace(files.ATTACKS[name], program=files.ATTACKS[name].program.replace("'../../", "'../../../../"))
    succeeds(without("files", "landlock"), attack, planted=planted)
    refused(without("files"), attack, planted=planted)
    refused(without("landlock"), attack, planted=planted)


def test_without_view_and_landlock_files_are_written(without, planted):
    attack = files.ATTACKS["it writes to a file in the temporary folder"]
    for off in (["files"], ["landlock"]):
        refused(without(*off), attack, planted=planted)
    assert Path(planted).read_text() == "planted"
    succeeds(without("files", "landlock"), attack, planted=planted)
    assert Path(planted).read_text() == "plantedx"


def test_without_view_and_landlock_processes_are_listed(without):
    attack = files.ATTACKS["it lists processes"]
    succeeds(without("files", "landlock"), attack)
    refused(without("files"), attack)


def test_without_network_namespace_seccomp_and_landlock_a_server_is_reached(without, server):  # noqa: F811
    attack = network.ATTACKS["it connects to a server"]
    for off in (["network"], ["seccomp"], ["landlock"], ["seccomp", "landlock"]):
        refused(without(*off), attack, port=server["port"])
    assert not server["came"]
    succeeds(without("network", "seccomp", "landlock"), attack, port=server["port"])
    server["came"].pop()[0].close()


def test_without_network_namespace_and_seccomp_landlock_still_refuses_tcp(without, server):  # noqa: F811
    refused(without("network", "seccomp"), network.ATTACKS["it connects to a server"], port=server["port"])


def test_without_seccomp_sockets_are_made_and_reach_nobody(without, server):  # noqa: F811
    for name in (
        "it opens a TCP socket",
        "it opens a UDP socket",
        "it opens a Unix socket",
        "it opens a socket of IPv6",
    ):
        succeeds(without("seccomp"), network.ATTACKS[name])
    refused(
        without("seccomp"), network.ATTACKS["it sends from a pair to a name in memory"], abstract=server["abstract"]
    )


def test_without_seccomp_a_child_is_forked_and_counted(without):
    once = Attack("if os.fork() == 0:\n    os._exit(0)\nos.wait()")
    succeeds(without("seccomp"), once)
    refused(
        without("seccomp"), Attack("for _ in range(100):\n    if os.fork() == 0:\n        os.read(os.pipe()[0], 1)")
    )
    lost = without("seccomp").lost
    next_is_right(without("seccomp"), lost)


def test_without_process_namespace_seccomp_and_landlock_another_process_is_signalled(without, child):
    attack = Attack(f"os.kill({child.pid}, 0)")
    refused(without("processes"), attack)
    refused(without("seccomp", "landlock"), attack)
    succeeds(without("processes", "seccomp", "landlock"), attack)
    succeeds(without("processes", "seccomp", "landlock"), Attack(f"os.kill({child.pid}, 9)"))
    assert child.wait(timeout=10) == -9


def test_without_seccomp_the_process_namespace_hides_every_other_process(without):
    succeeds(without("seccomp"), Attack("any_of(*(lambda n=n: os.kill(n, 0) for n in (os.getpid(),)))"))
    refused(without("seccomp"), Attack("any_of(*(lambda n=n: os.kill(n, 0) for n in range(2, 5000)))"))
    refused(without("seccomp"), processes.ATTACKS["it traces its parent"])


@pytest.mark.parametrize(
    "attack",
    [
        Attack("os.memfd_create('x')"),
        processes.ATTACKS["it lets itself be traced"],
        processes.ATTACKS["it leaves its group"],
        Attack("call(29, 0, 4096, 0o600)"),
        Attack("call(68, 0, 0o600)"),
        Attack("call(135, 0xFFFFFFFF)"),
        Attack("r, w = os.pipe()\na, b = os.pipe()\nos.write(w, b'x')\nassert call(275, r, None, b, None, 1, 0) == 1"),
        Attack("call(294, 0)"),
        Attack("libc.prctl(36, 1, 0, 0, 0) == 0 or sys.exit(1)"),
        kernel.ATTACKS["it uses calls of 32 bits"],
        kernel.ATTACKS["it makes a namespace of its own"],
    ],
    ids=[
        "memory-file",
        "tracing",
        "group",
        "shared-memory",
        "queue",
        "personality",
        "splice",
        "inotify",
        "prctl",
        "int80",
        "namespace",
    ],
)
def test_without_seccomp_the_kernel_does_what_it_is_asked(attack, without, confined):
    refused(confined, attack)
    succeeds(without("seccomp"), attack)


def test_without_privileges_and_seccomp_the_root_is_changed(without):
    attack = files.ATTACKS["it changes the root"]
    succeeds(without("privileges", "seccomp"), attack)
    refused(without("privileges"), attack)
    refused(without("seccomp"), attack)


def test_without_users_a_run_has_its_owners_number(without):
    print_user = Attack("print(os.getuid())")
    assert attempt(without("users"), print_user).out == f"{os.getuid()}\n"


def test_without_ipc_namespace_and_seccomp_a_segment_of_others_is_found(without):
    libc = ctypes.CDLL(None)
    key = 0x7A000000 | os.getpid()
    number = libc.shmget(key, 4096, 0o1666)
    if number < 0:
        pytest.skip("NOT TESTED: no shared memory segment can be made here")
    try:
        attack = Attack(f"call(29, {key}, 4096, 0)")
        succeeds(without("ipc", "seccomp", "landlock"), attack)
        refused(without("seccomp"), attack)
        refused(without("ipc"), attack)
    finally:
        libc.shmctl(number, 0, None)


OVER = {
    "memory": Attack(f"x = bytearray({LIMITS.memory + 32 * MIB})"),
    "shared memory": Attack(f"import mmap\nmmap.mmap(-1, {LIMITS.memory + 32 * MIB})"),
    "open files": Attack(f"x = [os.open('/dev/null', 0) for _ in range({LIMITS.files + 40})]"),
    "threads": Attack(
        f"import threading, time\nfor _ in range({LIMITS.threads + 20}):\n"
        "    threading.Thread(target=time.sleep, args=(0.5,), daemon=True).start()"
    ),
    "the size of a file": Attack(f"os.ftruncate(os.open('x', os.O_CREAT | os.O_RDWR), {LIMITS.scratch + 1})"),
}


@pytest.mark.parametrize("attack", OVER.values(), ids=OVER)
def test_without_limits_a_little_more_is_taken(attack, without, confined):
    refused(confined, attack)
    succeeds(without("limits"), attack)


def test_without_limits_the_folder_is_still_of_limited_size(without):
    refused(without("limits"), memory.ATTACKS["it fills its folder by many files"])


def test_without_limits_the_deadline_still_ends_what_loops(without):
    brief = replace(LIMITS, cpu=0.2, wall=2)
    for program in ("while True: pass", "import time\ntime.sleep(60)"):
        ran = asyncio.run(without("limits").run(program, limits=brief))
        assert ran.outcome == "timeout"


@pytest.mark.parametrize("name", ALL)
def test_every_layer_can_be_switched_off_alone_and_is_then_reported_missing(name, without):
    sandbox = without(name)
    layers = sandbox.layers()
    gone = NAMESPACES if name in NAMESPACES else {name}
    assert layers.active == frozenset(set(ALL) - gone)
    assert set(layers.missing) == gone
    next_is_right(sandbox, sandbox.lost)


@pytest.mark.parametrize("property_", GUARDS)
def test_a_property_without_any_of_its_guards_is_refused_by_default(property_, confined):
    with Sandbox(workers=1, off=GUARDS[property_]) as sandbox, pytest.raises(UserError, match=property_):
        asyncio.run(sandbox.run("pass"))
