"""A programming task: what is asked, what a program must define, and the tests that judge it.

Tests are seen or hidden. A method may run the seen ones and act on what they say; only the hidden ones score. The two
are kept apart here, so that nobody refines a program on the tests it is scored by without having chosen to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tandem.sandbox.verdict import Tests

Source: TypeAlias = Literal["humaneval", "mbpp", "mbpp_sanitized"]


@dataclass(frozen=True)
class Task:
    """One programming task."""

    id: str
    """Unique within its set: `HumanEval/0`, `MBPP/11`."""
    prompt: str
    """What is asked: code to be continued (HumanEval), or a sentence (MBPP)."""
    entry: tuple[str, ...]
    """Functions and classes that a program must define; the first one is what is asked for."""
    hidden: tuple[str, ...]
    """Tests that score, as Python."""
    gold: str
    """A program known to be right, whole."""
    source: Source
    """The form of the file it comes from."""
    seen: tuple[str, ...] = ()
    """Tests that may be shown and acted on, as Python."""
    setup: str = ""
    """Python run before the tests, in their process."""
    opening: str = ""
    """What every program begins with: code that completions continue."""

    def program(self, completion: str) -> str:
        """The whole program of a completion."""
        return self.opening + completion

    @property
    def gold_completion(self) -> str:
        """The known program without the opening."""
        return self.gold.removeprefix(self.opening)

    def scoring(self) -> Tests:
        """The hidden tests, for the sandbox."""
        return Tests(self.hidden, setup=self.setup, entry=self.entry, trusted=True)

    def showing(self, *, all: bool = False) -> Tests:
        """The seen tests, for the sandbox; with `all` it runs on after one that does not pass."""
        return Tests(self.seen, setup=self.setup, entry=self.entry, all=all, trusted=True)
