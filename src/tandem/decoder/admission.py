"""Who is let in, and when: requests that wait, in an order in which what they share stands together.

Requests that wait are looked at together, so that what they share is known before anything is computed, and let in
while rows and memory last; who shares a span that is still to be computed waits for it. Memory is promised for the
longest answer a request may get, so nobody who was let in is ever put out. What this does not do: compute (the engine).
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field

from tandem.decoder.continuations import Plan
from tandem.decoder.jobs import Scoring, Writing
from tandem.decoder.space import Space
from tandem.decoder.tails import slot
from tandem.decoder.tree import Ids, Node, Tree, shared
from tandem.errors import UserError

SHARE = 16
"""Tokens from which a common beginning is worth a span of its own."""
LONGEST = 1_024
"""Tokens of a span at most, and of what one row reads at once."""
_WINDOW = 1_024
_FEW = 8
"""Requests that waited together, up to which a scored text is kept: of many, what they share is known already."""


@dataclass(eq=False)
class Unit:
    """A request while it waits and starts."""

    job: Writing | Scoring
    path: Ids
    """The part of its tokens that others may share."""
    most: int = 0
    """Tokens of a whole answer with its prompt, at most; 0 where nothing is written."""
    plan: Plan | None = None
    common: int = 0
    """Tokens it has in common with others that wait."""
    leaf: Node | None = None
    kept: int = 0
    """Tokens of its path that the tree holds or will hold."""
    filled: int = 0
    """Tokens of shared spans that were computed on its account."""
    left: deque[int] = field(default_factory=deque)
    """Samples not begun."""
    few: bool = False
    """Whether hardly anybody waited beside it, so that what it shares with others may show later."""

    @property
    def least(self) -> int:
        """Tokens of its path that have to go into the tree: the rest is read at once."""
        over = len(self.path) - LONGEST
        return max(over, SHARE) if over > 0 else 0

    def room(self, kept: int) -> int:
        """Tokens of the slot that one of its answers may come to need behind so many in the tree."""
        return slot(self.most - kept) if self.most else 0


class Admission:
    """The requests of an engine that have not begun."""

    def __init__(self, tree: Tree, space: Space, *, rows: int, pass_tokens: int) -> None:
        self._tree, self._space = tree, space
        self._rows, self._pass_tokens = rows, pass_tokens
        self._waiting: deque[Unit] = deque()
        self._window: deque[Unit] = deque()
        self._starting: list[Unit] = []

    def add(self, unit: Unit) -> None:
        """Queue a request. Raises `UserError` when memory could not hold even a single answer of it."""
        alone = unit.least + unit.room(unit.least)
        if alone > self._space.limit:
            needs, bound = (f"{count / 2**20:,.3g} MiB" for count in (self._space.needed(alone), self._space.memory))
            raise UserError(
                f"{len(unit.path) + 1:,} tokens and the answer may need {needs} of keys and values, "
                f"more than the {bound} there may be",
                where="memory",
                remedy="raise the bound, or ask for fewer tokens",
            )
        # In parts, so that neither rows nor memory are exceeded by one request of very many samples.
        share = (self._space.limit // 2 - unit.least) // max(1, unit.room(unit.least))
        part = max(1, min(self._rows, share))
        samples = list(unit.left)
        for at in range(0, max(1, len(samples)), part):
            self._waiting.append(Unit(unit.job, unit.path, unit.most, unit.plan, left=deque(samples[at : at + part])))

    @property
    def busy(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting or self._window or self._starting)

    @property
    def promised(self) -> int:
        """Tokens of the slots that those about to begin may come to need."""
        return sum(unit.room(unit.kept) * len(unit.left) for unit in self._starting)

    def clear(self) -> list[Writing | Scoring]:
        """Forget everybody; their requests."""
        units = [*self._waiting, *self._window, *self._starting]
        self._waiting.clear()
        self._window.clear()
        self._starting = []
        return [unit.job for unit in units]

    def drop_cancelled(self) -> None:
        """Forget those whose requests were cancelled."""
        # Looked at once: another thread may cancel meanwhile.
        gone = {unit for unit in (*self._waiting, *self._window, *self._starting) if unit.job.cancelled}
        if gone:
            self._waiting = deque(unit for unit in self._waiting if unit not in gone)
            self._window = deque(unit for unit in self._window if unit not in gone)
            for unit in self._starting:
                if unit in gone:
                    leave(unit)
            self._starting = [unit for unit in self._starting if unit not in gone]

    def admit(self, begun: int, promised: int) -> None:
        """Let waiting requests in beside so many rows, for which so many tokens are promised."""
        rows = begun + sum(len(unit.left) for unit in self._starting)
        tokens = sum(len(unit.path) for unit in self._starting if unit.plan)
        promised += self.promised
        while (self._window or self._waiting) and tokens < 2 * self._pass_tokens:
            if not self._window:
                self._look_ahead()
            unit = self._window[0]
            if rows and rows + len(unit.left) > self._rows:
                break
            known = self._tree.known(unit.path)
            keep = max(known, unit.common if unit.common - known >= SHARE else 0, len(unit.path) - LONGEST)
            keep = keep if keep >= SHARE else 0
            if not self._place(unit, keep, min(known, keep), promised):
                if begun or self._starting:
                    break
                placed = self._place(unit, unit.least, min(known, unit.least), promised)
                assert placed, "alone it fits: that was looked at when it came"
            self._window.popleft()
            self._starting.append(unit)
            promised += unit.room(unit.kept) * len(unit.left)
            rows += len(unit.left)
            tokens += len(unit.path) if unit.plan else 0

    def ready(self) -> tuple[list[Node], list[Unit], list[Unit]]:
        """Shared spans to compute now, answers to begin, texts to score: within the pass's tokens, at least one."""
        room = self._pass_tokens
        fills: dict[Node, None] = {}
        begin: list[Unit] = []
        texts: list[Unit] = []
        stay: list[Unit] = []
        for unit in self._starting:
            assert unit.leaf is not None
            missing = next((node for node in unit.leaf.path() if not node.ready), None)
            if missing is not None:
                if missing not in fills and (room >= len(missing.tokens) or room == self._pass_tokens):
                    fills[missing] = None
                    unit.filled += len(missing.tokens)
                    room -= len(missing.tokens)
                stay.append(unit)
                continue
            rest = len(unit.plan.tokens) - unit.kept if unit.plan else (len(unit.path) + 1 - unit.kept) * len(unit.left)
            if room < rest and room < self._pass_tokens:
                stay.append(unit)
                continue
            room -= rest
            (texts if unit.plan else begin).append(unit)
        self._starting = stay
        return list(fills), begin, texts

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _place(self, unit: Unit, keep: int, known: int, promised: int) -> bool:
        """Put the first `keep` tokens of a request, `known` of them there already, into the tree if all of it fits."""
        held = self._tree.insert(unit.path[:known])
        held.users += 1  # so that making room does not take what is about to be used
        fits = self._space.fits(promised + keep - known + unit.room(keep) * len(unit.left))
        held.users -= 1
        if fits:
            unit.leaf, unit.kept = self._tree.insert(unit.path[:keep]), keep
            unit.leaf.users += 1
        return fits

    def _look_ahead(self) -> None:
        """Order the requests that have waited longest by their tokens, and find what neighbours have in common."""
        count = min(_WINDOW, len(self._waiting))
        units = [self._waiting.popleft() for _ in range(count)]
        units.sort(key=lambda unit: unit.path.astype(">u4").tobytes())
        for unit in units:
            unit.common = len(unit.path) if len(unit.left) > 1 else 0
            unit.few = count <= _FEW
        for one, other in itertools.pairwise(units):
            both = shared(one.path, other.path)
            one.common, other.common = max(one.common, both), max(other.common, both)
        self._window.extend(units)


def leave(unit: Unit) -> None:
    """The request no longer needs its path."""
    assert unit.leaf is not None
    unit.leaf.users -= 1
