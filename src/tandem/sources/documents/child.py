"""The child process that reads PDF, DOCX and HTML: limits first, then file after file over its pipes.

It is given bytes, not paths, and may open nothing but the interpreter's own libraries where the kernel has Landlock.
A message is its length in eight bytes and JSON; a file's bytes follow the message that announces it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
from typing import BinaryIO

from tandem.sources.documents import html, packed


def confine(memory: int, readable: list[str]) -> None:
    """Limits of this process, for good."""
    for name, value in (("RLIMIT_AS", memory), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(getattr(resource, name), (value, value))
    with contextlib.suppress(OSError):
        from tandem.sandbox import kernel, landlock

        if version := kernel.landlock_version():
            kernel.no_new_privileges()
            kernel.landlock_enforce(landlock.rules(version, readable, ()))


def read(kind: str, data: bytes) -> dict[str, object]:
    """What a file holds, or why it cannot be read."""
    try:
        if kind == "html":
            title, blocks = html.read(data.decode())
            date = ""
        else:
            title, date, blocks = (packed.pdf if kind == "pdf" else packed.docx)(data)
        return {"title": title, "date": date, "blocks": [[b.lines, b.heading, b.prose] for b in blocks]}
    except packed.Unreadable as e:
        return {"reason": str(e)}
    except MemoryError:
        return {"reason": "takes too much memory"}
    except RecursionError:
        return {"reason": "nested too deeply"}


def send(pipe: BinaryIO, message: object) -> None:
    """Write a message."""
    body = json.dumps(message).encode()
    pipe.write(len(body).to_bytes(8, "little") + body)
    pipe.flush()


def main() -> None:
    """Read files until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print does not belong among the messages
    confine(int(sys.argv[1]), json.loads(sys.argv[2]))
    while head := requests.read(8):
        asked = json.loads(requests.read(int.from_bytes(head, "little")))
        send(answers, read(asked["kind"], requests.read(asked["size"])))


if __name__ == "__main__":
    main()
