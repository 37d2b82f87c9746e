"""System calls that the standard library does not offer, a thin function each; an error is an `OSError` with its name.

Linux on x86-64 and 64-bit ARM. Loaded by the warm process before anything untrusted runs; it decides nothing.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable

MACHINE = os.uname().machine
LINUX = sys.platform == "linux" and MACHINE in ("x86_64", "aarch64")
"""Whether these calls exist here; elsewhere only the layers of `resource` do."""

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 1, 2, 4
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_MOUNT_SETATTR, _LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 442, 444, 445, 446

_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


def _call(name: str, *arguments: int | bytes | None) -> int:
    """A function of the C library; -1 becomes an `OSError` with the function's name."""
    assert _libc is not None, "callers look at LINUX first"
    function: Callable[..., int] = getattr(_libc, name)
    result = function(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def _syscall(label: str, number: int, *arguments: int | bytes | None) -> int:
    try:
        return _call("syscall", number, *arguments)
    except OSError as error:
        raise OSError(error.errno, f"{label}: {os.strerror(error.errno or 0)}") from None


def unshare(flags: int) -> None:
    """Give this process namespaces of its own; a new process namespace begins with the next child."""
    _call("unshare", flags)


def enter(namespace: int, kind: int) -> None:
    """Join the namespace behind an open `/proc/…/ns/…` file; for processes it applies to later children."""
    _call("setns", namespace, kind)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """`mount(2)`."""
    _call("mount", *(t if isinstance(t, int) else _bytes(t) for t in (source, target, kind, flags, data)))


def read_only(target: str) -> None:
    """Make a mount and all below it read-only, without set-uid programs and devices (Linux 5.12)."""
    attributes = struct.pack("QQQQ", _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV, 0, 0, 0)
    _syscall("mount_setattr", _MOUNT_SETATTR, _AT_FDCWD, _bytes(target), _AT_RECURSIVE, attributes, len(attributes))


def read_only_here(target: str) -> None:
    """The same for one mount alone, not for those below it."""
    attributes = struct.pack("QQQQ", _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV, 0, 0, 0)
    _syscall("mount_setattr", _MOUNT_SETATTR, _AT_FDCWD, _bytes(target), 0, attributes, len(attributes))


def change_root(root: str) -> None:
    """Make `root` the file system's root and let go of the old one."""
    os.chdir(root)
    _syscall("pivot_root", _PIVOT_ROOT[MACHINE], b".", b".")
    _call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def no_new_privileges() -> None:
    """From here on no program gains rights by being started."""
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def dumpable() -> None:
    """Let this process own its `/proc` files again after it changed its user."""
    _call("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)


def drop_capabilities() -> None:
    """Give up every capability, also inside a user namespace."""
    header, nothing = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", 0, 0, 0, 0, 0, 0)
    _syscall("capset", _CAPSET[MACHINE], header, nothing)


def install_filter(program: bytes) -> None:
    """Install a seccomp filter (classic BPF instructions of 8 bytes each) for all threads of this process."""
    buffer = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    _syscall("seccomp", _SECCOMP[MACHINE], 1, 0, head)


def landlock_version() -> int:
    """Version of Landlock this kernel speaks; 0 where it has none."""
    try:
        return _syscall("landlock_create_ruleset", _LANDLOCK_CREATE, 0, 0, 1)
    except OSError:
        return 0


def landlock_create(attributes: bytes) -> int:
    """A new rule set; its file descriptor."""
    return _syscall("landlock_create_ruleset", _LANDLOCK_CREATE, attributes, len(attributes), 0)


def landlock_allow(rules: int, access: int, place: int) -> None:
    """Allow `access` at and below an opened place."""
    _syscall("landlock_add_rule", _LANDLOCK_ADD, rules, 1, struct.pack("=Qi", access, place), 0)


def landlock_enforce(rules: int) -> None:
    """Hold this process and its children to a rule set for good."""
    _syscall("landlock_restrict_self", _LANDLOCK_RESTRICT, rules, 0)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)
