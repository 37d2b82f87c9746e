"""Where a server's tokens stand in its answer: the pieces it lists, laid over the bytes of the text it returns.

Servers list more than the answer (a chain of reasoning before it, an end mark or a stop text after it) and spell half
a character as U+FFFD. A piece gets the bytes it covers, or nothing when it stands outside. Rejected: `text_offset`,
which counts characters, is thrown off by a start mark, and is not there in the chat format.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from typing import NamedTuple

from tandem.types import Token

UNKNOWN = "\N{REPLACEMENT CHARACTER}".encode()
"""What a server writes where a token holds a part of a character only."""
MOST_MARKS = 2
"""Tokens before a text that are not part of it, such as a start mark."""
MOST_OUTSIDE = 8
"""Hiding pieces behind a text's last one that are looked at before the pieces are given up as another text's."""

_BEYOND_ASCII = bytes(range(0x80, 0x100))
_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})")


class Piece(NamedTuple):
    """A token as a server lists it."""

    data: bytes
    """What it adds to the text."""
    logprob: float | None
    """Natural log of its probability; None for the first token of a prompt."""
    greedy: bool = False
    """Whether the server shows no likelier token in its place."""
    alternatives: tuple[tuple[str, float], ...] = ()
    """The likeliest tokens in its place, where they were asked for."""


class Span(NamedTuple):
    """Bytes of an answer."""

    start: int
    """The first."""
    end: int
    """One past the last."""
    sure: bool = True
    """False where the bytes of several pieces that hide theirs were shared out by guess."""


def spelled(token: str) -> bytes:
    """Bytes of a token that is given as text alone; `bytes:\\xe2\\x80` is how OpenAI writes what is not UTF-8."""
    if token.startswith("bytes:\\x"):
        return bytes(int(pair, 16) for pair in _ESCAPED.findall(token))
    return token.encode()


def place(answer: bytes, pieces: Sequence[bytes], *, late: bool = False) -> list[Span | None] | None:
    """The bytes of `answer` that each piece covers (None for a piece outside), or None when the pieces do not fit.

    `late` looks for the answer at its last place among the pieces, as when reasoning comes before it.
    """
    whole = b"".join(pieces)
    if late:
        first = len(whole) - len(answer) if whole.endswith(answer) else whole.rfind(answer)
    else:
        first = whole.find(answer)
    if first < 0:
        return _around_unknown(answer, pieces, late) if UNKNOWN in whole else None
    spans: list[Span | None] = []
    at = -first
    for piece in pieces:
        start, end = max(at, 0), min(at + len(piece), len(answer))
        at += len(piece)
        inside = start < end or (not piece and 0 <= at < len(answer))
        spans.append(Span(start, end) if inside else None)
    return spans


def tokens(
    answer: str, pieces: Sequence[Piece], *, length: int | None = None, late: bool = False
) -> tuple[Token, ...] | None:
    """The tokens of an answer's first `length` bytes (all), which they cover without a gap.

    A token that the cut goes through is shortened. None when the pieces do not fit, or one lacks a probability.
    """
    data = answer.encode()
    length = len(data) if length is None else length
    spans = place(data, [piece.data for piece in pieces], late=late)
    if spans is None:
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    placed: list[Token] = []
    covered = 0
    for piece, span in zip(pieces, spans, strict=True):
        if span is None or span.start >= length:
            continue
        if piece.logprob is None:
            return None
        covered = min(span.end, length)
        text = decoder.decode(data[span.start : covered])
        placed.append(Token(text, piece.logprob, span.start, covered, piece.alternatives))
    return tuple(placed) if covered == length else None


def torn(spans: Sequence[Span | None], pieces: Sequence[bytes], border: int) -> bool:
    """Whether it is a guess which pieces stand before byte `border` and which behind it."""
    run: list[Span] = []
    before = b""
    for piece, span in zip([*pieces, b""], [*spans, None], strict=True):
        if span and not span.sure:
            run.append(span)
            continue
        if run:
            begins = run[0].start < border or (run[0].start == border == 0 and UNKNOWN in before)
            if begins and border < run[-1].end:
                return True
            run = []
        before = piece
    return False


def _around_unknown(answer: bytes, pieces: Sequence[bytes], late: bool) -> list[Span | None] | None:
    """`place` where some pieces hold U+FFFD; the answer begins with one of the first pieces, or ends with the last."""
    if late:
        spans = _in_order(answer[::-1], [piece[::-1] for piece in reversed(pieces)], UNKNOWN[::-1])
        size = len(answer)
        return spans and [span and Span(size - span.end, size - span.start, span.sure) for span in reversed(spans)]
    for marks in range(MOST_MARKS + 1):
        if spans := _in_order(answer, pieces[marks:], UNKNOWN):
            return [None] * marks + spans
    return None


def _in_order(answer: bytes, pieces: Sequence[bytes], unknown: bytes) -> list[Span | None] | None:
    """Spans of pieces that cover `answer` from its first byte on; those after its last byte get none."""
    spans: list[Span | None] = []
    run: list[bytes] = []  # pieces that hide something, since the last clear one
    at = 0
    for piece in [*pieces, b""]:
        last = len(spans) + len(run) == len(pieces)
        if not last and (unknown in piece or (run and not piece)):
            run.append(piece)
            continue
        if run:
            hidden = None if last else _hidden(answer, at, run, unknown, before=piece)
            if hidden is None:
                hidden = _ending(answer, at, run, unknown)
            if hidden is None:
                return None
            spans += [*hidden, *[None] * (len(run) - len(hidden))]
            at = hidden[-1].end if hidden else at
            run = []
        if last:
            break
        covered = answer[at : at + len(piece)]
        if not piece.startswith(covered) or (covered != piece and at + len(covered) < len(answer)):
            return None
        spans.append(Span(at, at + len(covered)) if at < len(answer) else None)
        at += len(covered)
    return spans if at == len(answer) else None


def _ending(answer: bytes, at: int, run: Sequence[bytes], unknown: bytes) -> list[Span] | None:
    """Spans of the pieces with which the answer ends: all of a run, or some, and the others stand outside."""
    for used in (*range(len(run), max(0, len(run) - MOST_OUTSIDE), -1), 0):
        if (hidden := _hidden(answer, at, run[:used], unknown)) is not None:
            return [span._replace(sure=span.sure and used == len(run)) for span in hidden]
    return None


def _hidden(
    answer: bytes, at: int, run: Sequence[bytes], unknown: bytes, before: bytes | None = None
) -> list[Span] | None:
    """Spans of pieces from byte `at` to where `before` follows, or to the end of the answer.

    A mark stands for one to three bytes beyond ASCII. Marks in a row reach to the first place where what follows them
    can stand, and share what they cover evenly, which is sure only when each gets one byte.
    """
    parts = _parts(run, unknown)
    spans: list[Span | None] = [None] * len(run)
    for number, (clear, owners) in enumerate(parts):
        follows = parts[number + 1][0] if number + 1 < len(parts) else before
        count = len(owners)
        if clear:
            end = at + len(clear) if answer.startswith(clear, at) else -1
        elif follows is None:
            end = len(answer)
        else:
            end = answer.find(follows, at + count, at + 3 * count + len(follows))
        if not clear and (not count <= end - at <= 3 * count or answer[at:end].translate(None, _BEYOND_ASCII)):
            return None
        if end < 0:
            return None
        sure = bool(clear) or count in (1, end - at)
        for n, owner in enumerate(owners):
            first, after = at + (end - at) * n // count, at + (end - at) * (n + 1) // count
            so_far = spans[owner] or Span(first, first)
            spans[owner] = Span(so_far.start, after, so_far.sure and sure)
        at = end
    if not (at == len(answer) if before is None else answer.startswith(before, at)):
        return None
    placed: list[Span] = []
    for span in reversed(spans):  # pieces of nothing stand where the next one begins
        begin = placed[-1].start if placed else at
        placed.append(span or Span(begin, begin))
    return placed[::-1]


def _parts(run: Sequence[bytes], unknown: bytes) -> list[tuple[bytes, list[int]]]:
    """Clear texts, each with its piece, and marks in a row (an empty text), with the piece of each mark."""
    parts: list[tuple[bytes, list[int]]] = []
    for index, piece in enumerate(run):
        for number, clear in enumerate(piece.split(unknown)):
            if number and parts and not parts[-1][0]:
                parts[-1][1].append(index)
            elif number:
                parts.append((b"", [index]))
            if clear:
                parts.append((clear, [index]))
    return parts
