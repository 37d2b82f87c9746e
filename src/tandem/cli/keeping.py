"""Long work on files that is kept as it goes: committed now and then, and ended between two files at an interrupt.

    with Keeping(writer.commit) as keeping:
        for file in files:
            ...
            if not keeping.go_on():
                break

The first Ctrl-C lets the file under way come to its end, the second ends at once; so does the first where nothing has
been begun, or a file is under way that is only kept as a whole (`whole`). What this does not do: catch other signals; a
process that is killed leaves what was committed last.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

EVERY = 30.0
"""Seconds between two commits, at least."""
_SHARE = 20
"""Times as long as the last commit took that work goes on before the next one: at most a twentieth is spent on them."""


class Keeping:
    """See the top of this module."""

    def __init__(self, commit: Callable[[], object], every: float = EVERY) -> None:
        self._commit, self._every = commit, every
        self._took, self._last = 0.0, time.monotonic()
        self._begun = False
        self._ours = False
        self.asked = False
        """Whether an interrupt came that lets the file under way come to its end."""
        self.commits = 0
        """How often something was committed."""

    def go_on(self) -> bool:
        """Whether to begin another file; commits what is there where it is time."""
        self._begun = True
        if not self.asked and time.monotonic() - self._last >= max(self._every, _SHARE * self._took):
            self.keep()
        return not self.asked

    def keep(self) -> None:
        """Commit what is there."""
        began = time.monotonic()
        self._commit()
        self._last = time.monotonic()
        self._took = self._last - began
        self.commits += 1

    def whole(self) -> None:
        """Commit what is there; what follows is kept as a whole or not at all, so an interrupt need not wait for it."""
        self.keep()
        self._begun = False

    def __enter__(self) -> Keeping:
        own = threading.current_thread() is threading.main_thread()
        self._ours = own and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self._begun:
            raise KeyboardInterrupt
        self.asked = True
        told = "\nends after this file and keeps what is read; Ctrl-C again ends at once\n"
        os.write(2, told.encode())  # a print could meet one that was interrupted
