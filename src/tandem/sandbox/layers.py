"""What guards a run, by name; what each layer guards; and how many must be there before anything is run.

Every property that matters must be held by at least one layer that is really in force, told by the process that put it
there, not guessed from a version. Where two hold it, a fault in one is not yet a way out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tandem.errors import UserError

ALL = {
    "users": "a user namespace: no right outside it, root becomes nobody",
    "files": "a file view: the interpreter's own files read-only, one scratch folder, no /proc",
    "network": "a network namespace without any device that is up",
    "processes": "a process namespace: nothing outside can be seen or signalled, all inside ends with the run",
    "ipc": "an IPC namespace: no shared memory or queues of others",
    "landlock": "Landlock: the kernel refuses files outside the view, TCP, signals to others",
    "seccomp": "a seccomp filter: only the system calls a calculation needs",
    "privileges": "no capabilities, and none to be had by starting a program",
    "limits": "limits of memory, processor time, file size, open files, threads",
    "deadline": "a deadline on the clock and on processor time, kept by the process outside",
}
"""Every layer and what it is."""

GUARDS: dict[str, tuple[str, ...]] = {
    "files": ("files", "landlock"),
    "network": ("network", "seccomp"),
    "other processes": ("processes", "seccomp"),
    "the kernel": ("seccomp",),
    "rights": ("privileges",),
    "memory and time": ("limits",),
    "the deadline": ("deadline",),
}
"""What is to be guarded, and the layers any one of which does it."""


@dataclass(frozen=True)
class Layers:
    """What is in force, as the warm process reports it."""

    active: frozenset[str]
    """Names of the layers in force."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Name → why it is not."""

    def unguarded(self) -> list[str]:
        """What no active layer guards."""
        return [what for what, by in GUARDS.items() if not self.active & set(by)]


def demand(layers: Layers, required: Iterable[str] | None) -> None:
    """Refuse to go on where something is unguarded, or a layer that was asked for by name is not there.

    Raises `UserError` that names them, and what can be done instead.
    """
    lacking = [name for name in required or () if name not in layers.active]
    open_ = layers.unguarded() if required is None else []
    if lacking or open_:
        reasons = "; ".join(f"{n}: {layers.missing[n]}" for n in layers.missing if n in lacking or open_)
        what = f"lacks {', '.join(lacking)}" if lacking else f"guards nothing against {', '.join(open_)}"
        raise UserError(
            f"the sandbox {what} here ({reasons})",
            where="sandbox",
            remedy="use --sandbox docker, or, for programs you would run yourself, --sandbox unsafe",
        )
