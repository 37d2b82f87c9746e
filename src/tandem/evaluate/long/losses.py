"""`loss_by_position`: mean loss over the number of tokens seen, of any model that scores given text, on any text.

A document is cut between words where it has 32, 64, 128 … tokens, and each piece is scored after all before it: the
same buckets as `positions` gives for our own batches, by nothing but `score`. An engine that keeps what it has read
reads a document once; one that does not reads about twice its length. A bucket's ends are moved to the word boundary
before. A mark that begins every text of a model counts as seen; a model without one sees its mark for an empty text
before the first piece, and before that alone.

Which documents reach a bucket changes from bucket to bucket, and with it the text: a second line shows only those that
reach the last one. What this does not do: batch, or look inside a model (`positions`).
"""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tandem.corpus.read import read
from tandem.errors import BudgetSpent, CallFailed, UserError
from tandem.evaluate import positions
from tandem.evaluate.long.asking import Asked, Asking
from tandem.evaluate.long.found import Found
from tandem.evaluate.long.inputs import Inputs
from tandem.evaluate.long.settings import OPTION, at_least
from tandem.evaluate.perplexity import figure, ratio
from tandem.evaluate.positions import Bucket
from tandem.lm.policies import check_scoring
from tandem.results import Curve, Figure, Item, Table
from tandem.text import count, fingerprint
from tandem.together import together
from tandem.types import Text

VERSION = "1"
SOME = 12
"""Characters a token has at most on average; what is longer gives shorter windows."""
_BOUNDARY = re.compile(r"(?<=\S)(?=\s)")


@dataclass(frozen=True)
class Settings:
    """What `--set` may say."""

    length: int = 0
    """Tokens of a window; 0: what fits into the model's context."""
    least: int = 32
    """Tokens of the first bucket; each further one ends at twice as many."""
    windows: int = 1
    """Windows of a document, one behind the other, each read afresh; 0: all."""
    trained: tuple[int, ...] = ()
    """Lengths to mark as trained on; none: the model's context."""

    def __post_init__(self) -> None:
        at_least(0, length=self.length, windows=self.windows)
        at_least(1, least=self.least)
        if 0 < self.length < self.least:
            raise UserError(f"is {self.length}", where=f"{OPTION} length", remedy=f"give {self.least} or more")


@dataclass(frozen=True)
class Piece:
    """A part of a window, scored after all before it."""

    last: int
    """Tokens of the window at its end, as far as words allow."""
    nats: float
    """Summed loss."""
    tokens: int
    """Tokens."""
    bytes: int
    """UTF-8 bytes."""


@dataclass(frozen=True)
class Window:
    """A scored stretch of a document."""

    id: str
    """Document and number."""
    pieces: tuple[Piece, ...]
    """In order."""


class LossByPosition:
    """The task as it was asked for."""

    name = "loss_by_position"
    version = VERSION

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        self.settings = settings
        named = [str(p).partition("=")[2] for p in inputs.data if str(p).startswith(f"{self.name}=")]
        places = named or [str(p) for p in inputs.data if p.exists()]
        if not places:
            remedy = "name files or folders: --data FILE (text, JSONL with `text`, Parquet; plain or compressed)"
            raise UserError("no text to measure on", where="--data", remedy=remedy)
        self.documents: list[tuple[str, str]] = []
        for place in places:
            for document in read(place):
                if inputs.limit is not None and len(self.documents) == inputs.limit:
                    break
                self.documents.append((document.name, document.text))
        self.total = len(self.documents)
        self.facts: Mapping[str, Any] = asdict(settings) | {
            "trained": list(settings.trained),
            "documents": self.total,
            "text": fingerprint([text for _, text in self.documents]),
        }

    async def measure(self, model: Asked, asking: Asking) -> Found:
        """Score every window."""
        check_scoring(Text(""), model.abilities, name=model.name)
        context = model.abilities.context
        length = self.settings.length or context
        if length > context:
            remedy = f"give at most {context}, or 0"
            raise UserError(f"is {length}; the context is {context}", where=f"{OPTION} length", remedy=remedy)
        ends = edges(self.settings.least, length)
        windows: list[Window] = []
        missing: list[tuple[str, str]] = []
        short = 0
        for number, (name, text) in enumerate(self.documents):
            made = 0
            for n, (piece, places) in enumerate(cut(text, ends, model, self.settings.windows)):
                made += 1
                id = f"{number:05d} {name} {n + 1}"
                try:
                    windows.append(await scored(id, piece, places, ends, model))
                except (CallFailed, BudgetSpent) as e:
                    missing.append((id, str(e).splitlines()[0]))
            short += made == 0
            asking.done()
        notes = [f"{count(short)} documents have fewer than {ends[0]} tokens and are left out"] if short else []
        if missing:
            notes.append(f"MISSING: {count(len(missing))} windows; first: {missing[0][1]}")
        if not windows and not missing:
            raise UserError(
                f"no document has {ends[0]} tokens", where="--data", remedy=f"give longer ones, or {OPTION} least=8"
            )
        marks = self.settings.trained or (model.abilities.context,)
        return _found(windows, ends, marks, notes, tuple(missing))


def edges(least: int, length: int) -> list[int]:
    """Where buckets end: `least`, twice as many, and so on, the last at `length`."""
    found = [least]
    while found[-1] * 2 <= length:
        found.append(found[-1] * 2)
    return found if found[-1] == length else [*found, length]


def cut(text: str, ends: Sequence[int], model: Asked, most: int) -> Iterator[tuple[str, list[int]]]:
    """Windows of a document: each one's text, and its characters at every bucket's end that it reaches.

    A window that ends within a bucket has its own end as the last; one without a whole first bucket is none.
    """
    at = made = 0
    while at < len(text) and (made < most or not most):
        window = text[at : at + SOME * ends[-1]].strip()
        if len(window) < len(text[at:].strip()) and (boundaries := [m.start() for m in _BOUNDARY.finditer(window)]):
            window = window[: boundaries[-1]]  # cut inside a word, perhaps
        places = [m.start() for m in _BOUNDARY.finditer(window)] + [len(window)]
        found: list[int] = []
        for end in ends:
            n = bisect.bisect_right(places, end, key=lambda place: model.count(Text(window[:place])).tokens)
            if n == 0 or (found and places[n - 1] <= found[-1]):
                break
            found.append(places[n - 1])
            if n == len(places):
                break
        if not found or (len(found) == 1 and found[0] == len(window) and _few(window, ends[0], model)):
            return
        yield window[: found[-1]], found
        made += 1
        at = text.index(window[: found[-1]], at) + found[-1]


def _few(window: str, least: int, model: Asked) -> bool:
    """Whether a text that lies within the first bucket leaves it less than half full."""
    return 2 * (model.count(Text(window)).tokens) < least


async def scored(id: str, text: str, places: Sequence[int], ends: Sequence[int], model: Asked) -> Window:
    """The loss on each piece. Raises UserError where it is not finite."""
    starts = [0, *places[:-1]]
    calls = [model.score(Text(text[:a]), (text[a:b],)) for a, b in zip(starts, places, strict=True)]
    pieces = []
    for (score,), a, b, end in zip(await together(calls), starts, places, ends):
        if not math.isfinite(score.logprob):
            remedy = "the weights are damaged or the training diverged: evaluate an earlier checkpoint"
            raise UserError("the model's loss is not finite", where=id, remedy=remedy)
        pieces.append(Piece(end, -score.logprob, score.tokens, len(text[a:b].encode("utf-8", "surrogatepass"))))
    return Window(id, tuple(pieces))


def buckets(windows: Sequence[Window], ends: Sequence[int]) -> tuple[list[Bucket], list[Figure]]:
    """Mean loss in nats per token, and in bits per byte, for each bucket that some window reaches."""
    found: list[Bucket] = []
    bits: list[Figure] = []
    for before, last in zip([0, *ends], ends):
        pieces = [piece for window in windows for piece in window.pieces if piece.last == last]
        if pieces:
            nats, tokens, size = (
                np.array([getattr(piece, name) for piece in pieces], dtype=np.float64)
                for name in ("nats", "tokens", "bytes")
            )
            found.append(Bucket(before + 1, last, ratio(nats, tokens), int(tokens.sum())))
            bits.append(figure("bits/byte", ratio(nats / math.log(2), size)))
    return found, bits


def _found(
    windows: Sequence[Window],
    ends: Sequence[int],
    marks: Sequence[int],
    notes: list[str],
    missing: tuple[tuple[str, str], ...],
) -> Found:
    every, bits = buckets(windows, ends)
    lines = {"all windows": every}
    deepest = max((len(window.pieces) for window in windows), default=0)
    whole = [window for window in windows if len(window.pieces) == deepest]
    if 1 <= len(whole) < len(windows):
        lines[f"the {len(whole)} that reach the end"] = buckets(whole, ends)[0]
        notes.append(
            f"{count(len(whole))} of {count(len(windows))} windows reach the last bucket: buckets rest on different "
            "texts, the second line on the same ones"
        )
    items: list[Item] = []
    if every:
        curve: Curve = positions.curve(lines, marks)
        reached = [sum(any(p.last == b.last for p in w.pieces) for w in windows) for b in every]
        table = Table(
            "Loss by position",
            ("tokens seen", "nats/token", "bits/byte", "tokens", "windows"),
            tuple(
                (b.name, figure("nats/token", b.nats), bit, b.tokens, n)
                for b, bit, n in zip(every, bits, reached, strict=True)
            ),
            note="95 % intervals by bootstrap over windows. Nats per token depend on the tokenizer, bits per byte do "
            "not. Buckets end at the word boundary before the number named.",
        )
        items = [curve, table]
    figures = tuple((f"{b.name} tokens seen", figure("nats/token", b.nats)) for b in every)
    headline = tuple(figure(f"nats/token, {b.name} tokens seen", b.nats) for b in (every[:1] + every[1:][-1:]))
    rows = tuple({"id": w.id, "pieces": [asdict(piece) for piece in w.pieces]} for w in windows)
    lead = f"{count(len(windows))} windows."
    return Found("loss_by_position", VERSION, figures, headline, tuple(items), rows, lead, tuple(notes), missing)
