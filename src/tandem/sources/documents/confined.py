"""Reads risky formats in a child process that is ended when it takes too long, and replaced when it dies.

One child reads many files: it starts in a tenth of a second, once. What a hostile file can do is end it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import tandem
from tandem.sandbox.places import readable
from tandem.sources.documents.blocks import Block
from tandem.sources.documents.packed import Unreadable

SECONDS = 60.0
"""One file may take."""
MEMORY = 2 << 30
"""Address space of the child, libraries included."""


class Confined:
    """A child process that reads files; use as a context manager."""

    def __init__(self, *, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self._seconds, self._memory = seconds, memory
        self._child: subprocess.Popen[bytes] | None = None

    def read(self, kind: str, data: bytes) -> tuple[str, str, list[Block]]:
        """Title, date and blocks of a file's bytes. Raises Unreadable with the reason."""
        child = self._child or self._start()
        message = json.dumps({"kind": kind, "size": len(data)}).encode()
        deadline = time.monotonic() + self._seconds
        try:
            answer = _exchange(child, len(message).to_bytes(8, "little") + message + data, deadline)
        except TimeoutError:
            self.close()
            raise Unreadable(f"takes more than {self._seconds:g} s to read") from None
        except (OSError, EOFError):
            self.close()
            raise Unreadable("ends the process that reads it") from None
        told = json.loads(answer)
        if "reason" in told:
            raise Unreadable(told["reason"])
        blocks = [
            Block(tuple((int(place), str(line)) for place, line in lines), str(heading), bool(prose))
            for lines, heading, prose in told["blocks"]
        ]
        return told["title"], told["date"], blocks

    def _start(self) -> subprocess.Popen[bytes]:
        places = readable(tandem.__path__)
        command = [sys.executable, "-m", "tandem.sources.documents.child", str(self._memory), json.dumps(places)]
        environment = {"PYTHONPATH": str(Path(tandem.__path__[0]).parent), "OPENBLAS_NUM_THREADS": "1"}
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        return self._child

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            child, self._child = self._child, None
            child.kill()
            with contextlib.suppress(OSError):
                child.communicate()

    def __enter__(self) -> Confined:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None) -> None:
        self.close()


def _exchange(child: subprocess.Popen[bytes], request: bytes, deadline: float) -> bytes:
    """Send a request and receive its answer, both before a deadline: a child that hangs reads nothing either."""
    assert child.stdin is not None and child.stdout is not None
    to, back = child.stdin.fileno(), child.stdout.fileno()
    os.set_blocking(to, False)
    os.set_blocking(back, False)
    rest, answer = memoryview(request), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(back, selectors.EVENT_READ)
        selector.register(to, selectors.EVENT_WRITE)
        while len(answer) < 8 or len(answer) < 8 + int.from_bytes(answer[:8], "little"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _ in selector.select(left):
                if key.fd == to:
                    rest = rest[os.write(to, rest[: 1 << 16]) :]
                    if not rest:
                        selector.unregister(to)
                else:
                    part = os.read(back, 1 << 20)
                    if not part:
                        raise EOFError
                    answer += part
    return bytes(answer[8:])
