"""What a terminal shows of an answer before it is complete: what is waited for, then the answer as far as it goes.

Where standard output is no terminal the answer is printed once, whole. What this does not do: count (`counting` does).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


class Shown:
    """One answer, or several one after the other, on standard output."""

    def __init__(self, *, live: bool = True) -> None:
        self.live = live and sys.stdout.isatty()
        """Whether answers are shown as they are written."""
        self.stop: Sequence[str] = ()
        """Stop texts that only come to be cut once the answer is complete."""
        self._text = ""
        self._waiting = False

    def wait(self, what: str) -> None:
        """A line on standard error that goes away again."""
        self.end()
        if sys.stderr.isatty():
            from tandem.cli.asking import columns

            # A line that wraps could not be taken away whole; of a long address the end tells most.
            room = columns() - 3
            what = what if len(what) <= room else f"…{what[len(what) - max(0, room - 1) :]}"
            print(f"{what} …"[: room + 2], end="", file=sys.stderr, flush=True)
            self._waiting = True

    def end(self) -> None:
        """Take the line away."""
        if self._waiting:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._waiting = False

    def grow(self, text: str) -> None:
        """Print what is new; white space at either end waits for what follows it."""
        from tandem.lm.growing import sure

        text = safe(sure(text, self.stop).strip())
        if self.live and len(text) > len(self._text):
            self.end()
            print(text[len(self._text) :], end="", flush=True)
            self._text = text

    def finish(self, text: str) -> None:
        """Print what is not shown yet, and end the line."""
        self.end()
        text = safe(text.strip() or "(nothing)")
        if not text.startswith(self._text):
            self.broken()  # the answer turned out to be another one: show it whole
        print(text[len(self._text) :], flush=True)
        self._text = ""

    def broken(self) -> None:
        """No more will come: end the line that was begun."""
        self.end()
        if self._text:
            print(flush=True)
            self._text = ""


def safe(text: str) -> str:
    """The text, on a terminal without characters that could steer it."""
    from tandem.cli.answers import printable

    return printable(text) if sys.stdout.isatty() else text
