"""An answer that grows token by token: its characters, the bytes each token covers, and where a stop text cuts it.

A token's text and bytes are what it completed: half a character adds nothing, the token that completes it adds it all.
What this does not do: choose tokens, or know which of them end an answer. Rejected: decoding the whole answer at each
token; time grows with the square of its length.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from tandem.types import Completion, Finish, Token, Usage

if TYPE_CHECKING:
    from tandem.tokenizer import Tokenizer

WINDOW = 6
"""Tokens before the next one that are decoded with it where a token's text depends on its neighbours."""
HALF = "\N{REPLACEMENT CHARACTER}"
LONGEST_CHARACTER = 4
"""Bytes of UTF-8."""


WATCH: ContextVar[Callable[[str], None] | None] = ContextVar("watch", default=None)
"""Who sees the answers that are begun in this context grow."""


STREAM: ContextVar[bool] = ContextVar("stream", default=False)
"""Whether servers are asked to send single answers piece by piece, so that they are seen growing, too."""


@contextmanager
def watching(watch: Callable[[str], None], *, stream: bool = False) -> Iterator[None]:
    """Let `watch` see each answer of a local model that is asked for inside grow; called from the model's thread.

    With `stream` also those of servers, of one sample, which costs more than a whole reply.
    """
    before, streamed_before = WATCH.set(watch), STREAM.set(stream)
    try:
        yield
    finally:
        WATCH.reset(before)
        STREAM.reset(streamed_before)


class Speller(Protocol):
    """Token ids to characters, one at a time."""

    def add(self, token: int) -> str:
        """Characters that this token completes."""
        ...

    def rest(self) -> str:
        """What was begun and never completed, as replacement characters."""
        ...


class Bytes:
    """Spelling of a byte-level tokenizer: each token is its bytes, whatever stands before it."""

    def __init__(self, bytes_of: Callable[[int], bytes]) -> None:
        self._bytes_of = bytes_of
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token: int) -> str:
        """Characters that this token completes."""
        return self._decoder.decode(self._bytes_of(token))

    def rest(self) -> str:
        """What was begun and never completed, as replacement characters."""
        return self._decoder.decode(b"", final=True)


class Window:
    """Spelling of any other tokenizer: the last few pieces with and without the new one, and the difference.

    A piece is what completed some characters, so the window never begins inside one of them.
    """

    def __init__(self, decode: Callable[[list[int]], str], before: Sequence[int] = ()) -> None:
        """`before` are the last ids of the prompt: whether a word begins with a space may depend on them."""
        self._decode = decode
        self._pieces: deque[list[int]] = deque([_whole(decode, list(before))])
        self._open: list[int] = []

    def add(self, token: int) -> str:
        """Characters that this token completes."""
        self._open.append(token)
        known = self._known()
        text = self._decode(known + self._open)
        before = self._decode(known)
        if text.endswith(HALF) or not text.startswith(before):
            return ""
        self._pieces.append(self._open)
        self._open = []
        while len(self._pieces) > 2 and sum(map(len, self._pieces)) > WINDOW:
            self._pieces.popleft()
        return text[len(before) :]

    def rest(self) -> str:
        """What was begun and never completed, as replacement characters."""
        known = self._known()
        return self._decode(known + self._open)[len(self._decode(known)) :] if self._open else ""

    def _known(self) -> list[int]:
        return [token for piece in self._pieces for token in piece]


def _whole(decode: Callable[[list[int]], str], ids: list[int]) -> list[int]:
    """The last ids, as many as it takes not to begin inside a character."""
    for size in range(WINDOW, WINDOW + LONGEST_CHARACTER):
        if HALF not in decode(ids[-size:]):
            return ids[-size:]
    return ids[-WINDOW:]


def speller(tokenizer: Tokenizer, before: Sequence[int] = ()) -> Speller:
    """The right spelling for a tokenizer; marks in an answer are no text."""
    if tokenizer.byte_level:
        return Bytes(lambda token: tokenizer.decode_bytes([token], marks=False))
    return Window(lambda ids: tokenizer.decode(ids, marks=False), before)


class Growing:
    """One answer while it is written."""

    def __init__(
        self,
        spelling: Speller,
        *,
        stop: Sequence[str] = (),
        logprobs: bool = False,
        watch: Callable[[str], None] | None = None,
    ) -> None:
        """Cut at the first of the texts in `stop`; keep tokens when `logprobs` are wanted.

        `watch` is called with the answer so far, without what may still turn out to be a stop text; by default it is
        what `watching` has put in place.
        """
        self.text = ""
        """What stands so far, a stop text included until `completion` cuts it."""
        self.tokens = 0
        """How many were added."""
        self._spelling = spelling
        self._stop = tuple(stop)
        self._longest = max(map(len, self._stop), default=0)
        self._kept: list[Token] | None = [] if logprobs else None
        self._bytes = 0
        self._cut: int | None = None
        self._watch = watch or WATCH.get()

    def add(self, token: int, logprob: float) -> bool:
        """Append a token; True when a stop text is complete, and the answer with it."""
        self.tokens += 1
        return self._append(self._spelling.add(token), logprob)

    def completion(self, finish: Finish, *, usage: Usage, served_model: str, notes: Sequence[str] = ()) -> Completion:
        """The answer as it stands, cut before its stop text; a stop text found makes the finish a stop."""
        rest = self._spelling.rest() if self._cut is None else ""
        if rest:
            self._complete_last(rest)
        text = self.text if self._cut is None else self.text[: self._cut]
        tokens = None if self._kept is None else within(self._kept, text)
        return Completion(text, finish if self._cut is None else "stop", tokens, usage, served_model, tuple(notes))

    def _append(self, new: str, logprob: float) -> bool:
        start = self._bytes
        self._bytes += len(new.encode()) if new else 0
        if self._kept is not None:
            self._kept.append(Token(new, logprob, start, self._bytes))
        searched = max(0, len(self.text) - self._longest + 1)
        self.text += new
        if new and self._stop:
            found = [at for stop in self._stop if (at := self.text.find(stop, searched)) >= 0]
            self._cut = min(found, default=None)
        if new and self._watch is not None:
            sure = max(0, len(self.text) - max(0, self._longest - 1))
            self._watch(self.text[: sure if self._cut is None else self._cut])
        return self._cut is not None

    def _complete_last(self, rest: str) -> None:
        """Characters left over at the end belong to the last token."""
        self.text += rest
        if self._kept:
            last = self._kept.pop()
            self._bytes += len(rest.encode())
            self._kept.append(Token(last.text + rest, last.logprob, last.start, self._bytes))


def within(tokens: Sequence[Token], text: str) -> tuple[Token, ...]:
    """The tokens of `text`, which was cut: one that reaches past its end is shortened, one that begins there left out.

    Half a surrogate pair, which a scripted answer may hold, is three bytes here; half a character adds nothing.
    """
    end = len(text.encode("utf-8", "surrogatepass"))
    if not tokens or tokens[-1].end <= end:
        return tuple(tokens)
    kept: list[Token] = []
    for token in tokens:
        if token.start >= end:
            break
        if token.end > end:
            inside = token.text.encode("utf-8", "surrogatepass")[: end - token.start]
            token = replace(token, text=inside.decode("utf-8", "ignore"), end=end)
        kept.append(token)
    return tuple(kept)


def sure(text: str, stop: Sequence[str]) -> str:
    """The part of a growing answer that stays: up to the first stop text, and without what may become one."""
    found = [at for one in stop if (at := text.find(one)) >= 0]
    return text[: min(found)] if found else text[: len(text) - max(0, max(map(len, stop), default=1) - 1)]
