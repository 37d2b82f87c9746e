"""Landlock: which files a run may read, which folder it may write, and no way to reach the network or other processes.

Needs no rights at all, so it holds where namespaces are refused. Version 1 knows files; 2 moving, 3 truncating, 4 TCP,
5 device controls, 6 signals and abstract sockets: what a kernel knows is used.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from tandem.sandbox import kernel

_EXECUTE, _WRITE, _READ, _READ_FOLDER = 1, 2, 4, 8
_FOLDER_CHANGES = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 12  # remove both kinds; make folder, file, symbolic link
_MOVE, _TRUNCATE, _CONTROL = 1 << 13, 1 << 14, 1 << 15
_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_ON_A_FILE = _EXECUTE | _WRITE | _READ | _TRUNCATE | _CONTROL


def rules(version: int, readable: Iterable[str], writable: Iterable[str]) -> int:
    """A rule set: read below `readable`, read and write below `writable`, nothing else; missing places are passed over.

    Returns its file descriptor; `kernel.landlock_enforce` puts it into force.
    """
    known = _BY_VERSION[min(version, 5)]
    tcp = 0b11 if version >= 4 else 0
    scoped = 0b11 if version >= 6 else 0
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    handle = kernel.landlock_create(struct.pack("QQQ", known, tcp, scoped)[:size])
    read = _READ | _READ_FOLDER
    write = (read | _WRITE | _FOLDER_CHANGES | _MOVE | _TRUNCATE) & known
    for access, places in ((read, readable), (write, writable)):
        for place in places:
            try:
                opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                folder = os.path.isdir(place)  # noqa: PTH112 — the folder may vanish; no Path for each
                kernel.landlock_allow(handle, access if folder else access & _ON_A_FILE, opened)
            finally:
                os.close(opened)
    return handle
