"""Which boundary a run gets, by name: the kernel's layers, a container, or none but limits.

`layers` refuses to start where too little is in force; `docker` runs the same sandbox inside a container without a
network; `unsafe` is for programs one would run oneself.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from tandem.errors import UserError
from tandem.sandbox.limits import Limits
from tandem.sandbox.pool import Sandbox
from tandem.sandbox.relay import Relayed
from tandem.sandbox.verdict import Ran, Tests, Verdict

KINDS = ("layers", "docker", "unsafe")
IMAGE = "python:3.11-slim"
"""Any image with Python 3.11 or later does: the sandbox needs nothing but the standard library."""


class Boundary(Protocol):
    """What runs programs nobody trusts."""

    limits: Limits
    """How much one run may take, unless told otherwise."""

    async def examine(self, program: str, tests: Tests, limits: Limits | None = None) -> Verdict:
        """Whether a program passes tests."""
        ...

    async def run(self, program: str, *, stdin: str = "", limits: Limits | None = None) -> Ran:
        """Run a program as a script."""
        ...

    async def __aenter__(self) -> Boundary:
        """Start."""
        ...

    async def __aexit__(self, *details: object) -> None:
        """End everything that runs."""
        ...


def choose(kind: str, *, limits: Limits | None = None, workers: int | None = None, image: str = IMAGE) -> Boundary:
    """The boundary of this name. Raises `UserError` for a name that is none, or where Docker is not installed."""
    if kind == "layers":
        return Sandbox(limits=limits, workers=workers)
    if kind == "unsafe":
        return Sandbox(limits=limits, workers=workers, unsafe=True)
    if kind == "docker":
        return Relayed(_docker(image, limits or Limits()), limits=limits)
    raise UserError(f"{kind!r} is not a kind of sandbox", where="--sandbox", remedy=f"kinds are {', '.join(KINDS)}")


def _docker(image: str, limits: Limits) -> list[str]:
    """The command that starts the relay in a container: no network, read-only, no rights, limits of its own."""
    program = shutil.which("docker")
    if program is None:
        raise UserError("docker is not installed", where="--sandbox docker", remedy="install it, or use another kind")
    source = Path(__file__).parents[2]
    held = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    held += ["--user", "65534:65534", "--pids-limit", "512", "--memory", f"{4 * limits.memory}b"]
    held += ["--tmpfs", f"/tmp:rw,nosuid,nodev,noexec,size={8 * limits.scratch}"]
    files = ["-v", f"{source}:/tandem:ro", "-e", "PYTHONPATH=/tandem", "-e", "PYTHONDONTWRITEBYTECODE=1"]
    return [program, "run", "--rm", "-i", "--init", *held, *files, image, "python", "-m", "tandem.sandbox.relay"]
