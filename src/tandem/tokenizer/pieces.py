"""Fast encoding on one thread: GPT-2's split done by array operations, pieces looked up in a table of pieces seen.

Pieces repeat; what a piece becomes never depends on its neighbours. So a stretch of text is cut into pieces by comparing
the classes of neighbouring bytes, each piece of up to 16 bytes is looked up by its bytes themselves (two 64-bit words
and the length, compared exactly; no id rests on a hash alone), and only pieces not seen before go through `tokenizers`.
The ids are the same: the split follows the same expression, and letters and digits are what that library says they are.

Rejected: a dictionary of pieces filled from Python's `re` (as fast as tiktoken at best, a third of this; a match costs
150 ns, however short); handing the ranks to tiktoken (it merges any neighbours whose bytes are a token, a
`tokenizer.json` only the pairs it lists: equal for most tables, not for every one).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import pre_tokenizers

from tandem.tokenizer.bytelevel import PIECE

Bytes: TypeAlias = NDArray[np.uint8]
Words: TypeAlias = NDArray[np.uint64]
Ids: TypeAlias = NDArray[np.int32]
Places: TypeAlias = NDArray[np.int64]

_STRETCH = 1 << 18
"""Bytes cut at a time: arrays of this length stay in the processor's cache. Longer texts are cut where a piece ends."""
_SHORT = 256
"""Characters below which the library alone is faster than a few dozen array operations."""
_SLOTS = 1 << 19
"""Places in the table, 21 bytes each; it is emptied when half full. Python's library has 95,000 different pieces."""
_LONG = 64
"""Pieces of more bytes are not kept: they seldom repeat, and would fill the memory."""

_UNKNOWN, _LETTER, _NUMBER, _OTHER, _WHITE, _BORDER = range(6)
_SPACE, _APOSTROPHE, _BETWEEN = 0x20, 0x27, 0xFF  # 0xFF is in no UTF-8: it stands between two texts


def splits_like_gpt2(core: tokenizers.Tokenizer) -> bool:
    """Whether a tokenizer is a BPE that cuts text exactly as GPT-2 does, with nothing done to the text before."""
    content = json.loads(core.to_str())
    if content["model"]["type"] != "BPE" or content["model"].get("dropout") or content["normalizer"] is not None:
        return False
    if any(not token["special"] for token in content["added_tokens"]):
        return False  # cut out of the text before it is split
    steps = content["pre_tokenizer"] or {}
    match steps.get("pretokenizers", [steps]):
        case [{"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]:
            return True
        case [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ]:
            return bool(pattern == PIECE)
    return False


class PieceTable:
    """Encodes with a tokenizer that splits like GPT-2, remembering what each piece became. Safe to share by threads."""

    def __init__(self, core: tokenizers.Tokenizer) -> None:
        self._core = core
        self._lock = threading.Lock()
        self._empty()

    def _empty(self) -> None:
        self._head: Words = np.zeros(_SLOTS, np.uint64)  # the first eight bytes, zeros after the piece's end
        self._tail: Words = np.zeros(_SLOTS, np.uint64)  # the next eight
        self._length: Bytes = np.zeros(_SLOTS, np.uint8)  # bytes in the piece; 0 where the place is free
        self._where: Ids = np.zeros(_SLOTS, np.int32)  # where its ids begin in the store
        self._count: Bytes = np.zeros(_SLOTS, np.uint8)  # how many
        self._store: Ids = np.zeros(1 << 16, np.int32)
        self._stored = 0
        self._held = 0
        self._longer: dict[bytes, tuple[int, int]] = {}  # pieces of 17 to 64 bytes

    def encode(self, text: str) -> list[int]:
        """Token ids of a well-formed text, equal to what the tokenizer itself makes of it."""
        if len(text) < _SHORT:
            ids: list[int] = self._core.encode(text, add_special_tokens=False).ids
            return ids
        return self.arrays([text])[0].tolist()

    def arrays(self, texts: Sequence[str]) -> list[Ids]:
        """Token ids of each text. Short texts are encoded together, which makes them as fast as long ones."""
        found: list[Ids] = []
        group: list[bytes] = []
        room = _STRETCH
        for text in texts:
            data = text.encode()
            if len(data) > _STRETCH:
                found += self._group(group)
                found.append(np.concatenate([ids for part in _parts(data) for ids in self._group([part])]))
                group, room = [], _STRETCH
                continue
            if len(data) > room:
                found += self._group(group)
                group, room = [], _STRETCH
            group.append(data)
            room -= len(data)
        return found + self._group(group)

    def _group(self, texts: list[bytes]) -> list[Ids]:
        """Ids of texts that together fill a stretch."""
        if not texts:
            return []
        data = b"\xff".join(texts)
        if not data:
            return [np.zeros(0, np.int32)]
        starts = _starts(np.frombuffer(data, np.uint8))
        with self._lock:
            ids, counts = self._look_up(data, starts)
        if len(texts) == 1:
            return [ids]
        before = np.cumsum(counts)
        borders = np.cumsum([len(text) + 1 for text in texts[:-1]]) - 1
        return np.split(ids, before[np.searchsorted(starts, borders)])

    def _look_up(self, data: bytes, starts: Places) -> tuple[Ids, Places]:
        """Ids of all pieces in order, and how many each has."""
        if self._held + len(self._longer) > _SLOTS // 2:
            self._empty()
        lengths = np.diff(starts, append=len(data))
        head, tail = _words(data, starts, lengths)
        slots, missing = self._find(head, tail, lengths)
        where = self._where[slots].astype(np.int64)
        counts = self._count[slots].astype(np.int64)
        extra: list[int] = []
        if len(missing):
            self._learn(data, starts, lengths, missing, where, counts, extra)
        total = int(counts.sum())
        first = np.cumsum(counts) - counts
        store = np.concatenate([self._store[: self._stored], np.array(extra, np.int32)]) if extra else self._store
        return store[np.repeat(where - first, counts) + np.arange(total)], counts

    def _find(self, head: Words, tail: Words, lengths: Places) -> tuple[Places, Places]:
        """The place of each piece, and the pieces that have none (longer ones, borders and those not seen before)."""
        slots = _hash(head, tail)
        same = (self._head[slots] == head) & (self._tail[slots] == tail) & (self._length[slots] == lengths)
        open_ = np.flatnonzero(~same)
        missing: list[Places] = []
        while len(open_):
            at = slots[open_]
            free = (self._length[at] == 0) | (lengths[open_] > 16)
            missing.append(open_[free])
            open_ = open_[~free]
            at = (at[~free] + 1) % _SLOTS
            slots[open_] = at
            same = (self._head[at] == head[open_]) & (self._tail[at] == tail[open_])
            open_ = open_[~(same & (self._length[at] == lengths[open_]))]
        return slots, np.concatenate(missing) if missing else np.zeros(0, np.int64)

    def _learn(
        self,
        data: bytes,
        starts: Places,
        lengths: Places,
        missing: Places,
        where: Places,
        counts: Places,
        extra: list[int],
    ) -> None:
        """Fill in `where` and `counts` of missing pieces; ids of those too long to keep go to `extra`."""
        pieces = [data[s:e] for s, e in zip(starts[missing].tolist(), (starts + lengths)[missing].tolist())]
        known: dict[bytes, tuple[int, int]] = {b"\xff": (0, 0)}
        unseen = []
        for piece in dict.fromkeys(pieces):
            if piece in self._longer:
                known[piece] = self._longer[piece]
            elif piece not in known:
                unseen.append(piece)
        encodings = self._core.encode_batch_fast([piece.decode() for piece in unseen], add_special_tokens=False)
        fresh = []
        unkept = []
        for piece, encoding in zip(unseen, encodings):
            if len(piece) > _LONG:
                unkept.append((piece, encoding.ids))
                continue
            known[piece] = self._keep(encoding.ids)
            if len(piece) > 16:
                self._longer[piece] = known[piece]
            else:
                fresh.append(piece)
        for piece, ids in unkept:
            known[piece] = (self._stored + len(extra), len(ids))
            extra += ids
        found = np.array([known[piece] for piece in pieces], np.int64)
        where[missing], counts[missing] = found[:, 0], found[:, 1]
        self._insert(fresh, known)

    def _keep(self, ids: list[int]) -> tuple[int, int]:
        start, stop = self._stored, self._stored + len(ids)
        if stop > len(self._store):
            self._store = np.concatenate([self._store, np.zeros(max(len(self._store), len(ids)), np.int32)])
        self._store[start:stop] = ids
        self._stored = stop
        return start, len(ids)

    def _insert(self, pieces: list[bytes], known: dict[bytes, tuple[int, int]]) -> None:
        if not pieces:
            return
        lengths = np.array([len(piece) for piece in pieces], np.int64)
        joined = b"".join(pieces)
        head, tail = _words(joined, np.cumsum(lengths) - lengths, lengths)
        entries = np.array([known[piece] for piece in pieces], np.int64)
        slots = _hash(head, tail)
        waiting = np.arange(len(pieces))
        while len(waiting):  # of those that want the same free place the first takes it, the others go one further
            at = slots[waiting]
            _, first = np.unique(at, return_index=True)
            takes = first[self._length[at[first]] == 0]
            to, of = at[takes], waiting[takes]
            self._head[to], self._tail[to], self._length[to] = head[of], tail[of], lengths[of]
            self._where[to], self._count[to] = entries[of, 0], entries[of, 1]
            waiting = np.delete(waiting, takes)
            slots[waiting] = (slots[waiting] + 1) % _SLOTS
        self._held += len(pieces)


# ── cutting ─────────────────────────────────────────────────────────────────────────────────────────────────────────


_SAFE_CUT = re.compile(rb"[!-~](?= [!-~])")


def _parts(data: bytes) -> Iterator[bytes]:
    """A long text in stretches, each but the last cut before a space between visible characters: a piece starts there."""
    start = 0
    while start < len(data):
        cut = _SAFE_CUT.search(data, start + _STRETCH)
        stop = cut.end() if cut else len(data)
        yield data[start:stop]
        start = stop


def _starts(data: Bytes) -> Places:
    """Where GPT-2's pieces begin in UTF-8 bytes; 0xFF ends one text and begins the next, and is a piece of its own."""
    kind = _ASCII[data]
    leads = np.flatnonzero(data >= 0xC0)
    leads = leads[data[leads] != _BETWEEN]
    width = _mark_characters(data, kind, leads) if len(leads) else leads
    white = kind == _WHITE
    visible = kind < _WHITE
    begins = np.empty(len(data), np.bool_)
    begins[0] = True
    np.not_equal(kind[1:], kind[:-1], out=begins[1:])
    begins[1:] |= kind[1:] == _BORDER
    # A run of white space gives up its last character when something visible follows: `\s+(?!\S)`, then `\s+` …
    begins[1:-1] |= white[1:-1] & white[:-2] & visible[2:]
    if len(leads):
        _mend_wide_white(begins, white, visible, leads, width)
    # … and if that is a space, the visible piece begins with it: ` ?\p{L}+` and its like.
    begins[1:] &= ~(visible[1:] & (data[:-1] == _SPACE))
    _contractions(data, kind, begins)
    return np.flatnonzero(begins)


def _mark_characters(data: Bytes, kind: Bytes, leads: Places) -> Places:
    """Give every byte of the characters beyond ASCII that begin at `leads` their class; returns their widths."""
    first = data[leads].astype(np.int64)
    width = 2 + (first >= 0xE0) + (first >= 0xF0)
    code = first & np.array([0, 0, 0x1F, 0x0F, 0x07])[width]
    for place in range(1, 4):
        inside = width > place
        code[inside] = code[inside] << 6 | (data[leads[inside] + place] & 0x3F)
    found = _classes(code)
    for place in range(4):
        inside = width > place
        kind[leads[inside] + place] = found[inside]
    return width


def _mend_wide_white(
    begins: NDArray[np.bool_], white: NDArray[np.bool_], visible: NDArray[np.bool_], leads: Places, width: Places
) -> None:
    """White space of several bytes that ends a run begins at its first byte, not its last."""
    wide = white[leads]
    at, after = leads[wide], (leads + width)[wide]
    begins[after - 1] = False
    inner = (at > 0) & (after < len(white))
    at, after = at[inner], after[inner]
    begins[at] |= white[at - 1] & visible[after]


def _contractions(data: Bytes, kind: Bytes, begins: NDArray[np.bool_]) -> None:
    """`'s 't 're 've 'm 'll 'd` where a piece begins with the apostrophe; the letters after them begin another."""
    at = np.flatnonzero(data == _APOSTROPHE)
    at = at[begins[at]]
    if not len(at):
        return
    padded = np.concatenate([data[1:], np.zeros(2, np.uint8)])
    one, two = padded[at], padded[at + 1]
    single = _SINGLE[one]
    double = ((one == ord("l")) & (two == ord("l"))) | (((one == ord("v")) | (one == ord("r"))) & (two == ord("e")))
    end = at + 2 + double
    at, end = at[single | double], end[single | double]
    begins[at + 1] = False
    begins[end[end < len(data)]] = True


def _words(data: bytes, starts: Places, lengths: Places) -> tuple[Words, Words]:
    """The first sixteen bytes of each piece as two little-endian words, zeros after its end."""
    padded = data + bytes(16)
    view: Words = np.ndarray((len(data) + 8,), "<u8", padded, strides=(1,))
    head = view[starts] & _MASKS[np.minimum(lengths, 8)]
    tail = view[starts + 8 * (lengths > 8)] & _MASKS[np.clip(lengths - 8, 0, 8)]
    return head, tail


def _hash(head: Words, tail: Words) -> Places:
    """A place in the table for a piece's words: multiply and keep the top bits."""
    mixed = (head ^ (tail * _ODD[1])) * _ODD[0]
    return ((mixed ^ (mixed >> np.uint64(29))) * _ODD[1] >> np.uint64(64 - 19)).astype(np.int64)


_MASKS = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
_SINGLE = np.isin(np.arange(256), [ord(c) for c in "sdmt"])


# ── what a character is ─────────────────────────────────────────────────────────────────────────────────────────────


def _classify(characters: str) -> list[int]:
    """Letter, number, white space or other, as the library's own expressions say."""
    left = {c: _OTHER for c in characters}
    for expression, kind in ((r"\p{L}", _LETTER), (r"\p{N}", _NUMBER), (r"\s", _WHITE)):
        split = pre_tokenizers.Split(tokenizers.Regex(expression), "removed")
        others = {c for part, _ in split.pre_tokenize_str(characters) for c in part}
        left |= {c: kind for c in characters if c not in others}
    return [left[c] for c in characters]


_KINDS: Bytes = np.zeros(0x110000, np.uint8)  # filled in as characters are met


def _classes(codes: NDArray[np.int64]) -> Bytes:
    found: Bytes = _KINDS[codes]
    if not found.all():
        new = np.unique(codes[found == _UNKNOWN])
        _KINDS[new] = _classify("".join(map(chr, new.tolist())))
        found = _KINDS[codes]
    return found


_ASCII: Bytes = np.zeros(256, np.uint8)
_ASCII[:128] = _classify("".join(map(chr, range(128))))
_ASCII[_BETWEEN] = _BORDER
