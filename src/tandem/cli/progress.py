"""What a run shows while it works: bars on a terminal, plain lines everywhere else.

Both say the same: which stage, tokens per second, loss, time left. Lines come at most every few seconds, so a log stays
readable; the loop is never slowed by its display.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from tandem.text import duration, quantity

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from tandem.train.loop import Progress

BETWEEN_LINES = 10.0
"""Seconds between two plain lines of one stage."""
BETWEEN_DRAWINGS = 0.1
"""Seconds between two drawings of a bar."""


def describe(progress: Progress) -> str:
    """One look at a training in words: `loss 3.21 · 8.10 K tokens/s · 23 s left`."""
    speed = f"{quantity(progress.tokens_per_second)} tokens/s"
    return f"loss {progress.loss:.2f} · {speed} · {duration(progress.seconds_left)} left"


class Lines:
    """Progress as plain lines, for logs and pipes."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self._last = 0.0
        self._title = ""

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None) -> None:
        pass

    def say(self, line: str) -> None:
        """A line of its own."""
        print(line, file=self.out, flush=True)

    def stage(self, title: str) -> None:
        """A stage begins."""
        self._title, self._last = title, time.monotonic()
        self.say(f"■ {title}")

    def standing(self, title: str) -> None:
        """A stage was finished by an earlier process."""
        self.say(f"✓ {title} (stands already)")

    def done(self, seconds: float) -> None:
        """The stage is finished."""
        self.say(f"  done in {duration(seconds)}")

    def step(self, progress: Progress) -> None:
        """A training step was taken."""
        now = time.monotonic()
        if now - self._last >= BETWEEN_LINES or progress.step == progress.steps:
            self._last = now
            self.say(f"  step {progress.step}/{progress.steps} · {describe(progress)}")


class Bars(Lines):
    """Progress as one live bar per training, for terminals."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._drawn = 0.0

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None

    def say(self, line: str) -> None:
        """A line above the bar."""
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            super().say(line)

    def stage(self, title: str) -> None:
        """A stage begins."""
        self._stop()
        super().stage(title)

    def done(self, seconds: float) -> None:
        """The stage is finished."""
        self._stop()
        super().done(seconds)

    def step(self, progress: Progress) -> None:
        """A training step was taken."""
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        now = time.monotonic()
        if self._bar is None:
            columns = (
                BarColumn(bar_width=24),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TextColumn("{task.description}"),
            )
            self._bar = Bar(*columns, transient=True, auto_refresh=False)
            self._bar.start()
            self._task = self._bar.add_task("", total=progress.steps)
        if now - self._drawn >= BETWEEN_DRAWINGS or progress.step == progress.steps:
            self._drawn = now
            assert self._task is not None
            self._bar.update(self._task, completed=progress.step, description=describe(progress))
            self._bar.refresh()


def watcher() -> Lines:
    """Bars where standard output is a terminal, lines where it is not."""
    return Bars() if sys.stdout.isatty() else Lines()
