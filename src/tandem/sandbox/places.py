"""Where an interpreter keeps what a run may read: found by the parent, handed to the warm process as plain paths."""

from __future__ import annotations

import contextlib
import os
import site
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_COMMON = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
)


def readable(also: Iterable[str] = ()) -> list[str]:
    """Places a run may read: the interpreter's library, packages, shared libraries, a few devices, and `also`.

    A place inside another is left out; nothing that is someone's home as a whole is ever among them.
    """
    wanted = [*_COMMON, *_DEVICES, *also]
    wanted += [p for p in sysconfig.get_paths().values() if p.endswith(("site-packages", "dist-packages"))]
    wanted += [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), *site.getsitepackages()]
    base = sysconfig.get_config_var("LIBDIR")
    wanted += [os.path.join(base, name) for name in _shared(base)] if base else []  # noqa: PTH118
    real = {os.path.realpath(p) for p in wanted if p and Path(p).exists()}
    found = sorted(real | {p for p in wanted if Path(p).is_symlink()})
    keep: list[str] = []
    for place in found:
        if not any(place == k or place.startswith(k + "/") for k in keep):
            keep.append(place)
    return keep


def _shared(folder: str) -> list[str]:
    with contextlib.suppress(OSError):
        return [p.name for p in Path(folder).iterdir() if ".so" in p.name and p.name.startswith("libpython")]
    return []
