"""Fast encoding on one thread: text is cut by array operations, and pieces looked up in a table of pieces seen.

Pieces repeat, and what a piece becomes never depends on its neighbours. Each piece of up to 16 bytes is looked up by
its bytes themselves (two 64-bit words and the length, compared exactly: no id rests on a hash alone); only pieces not
seen before go to the merging of `tokenizers`. So the ids are the library's, at 10 times its speed. A piece has one
place in the table; where another took it first, it stays in a dictionary beside.

Rejected: a dictionary of pieces filled from Python's `re` (as fast as tiktoken at best, a third of this: a match costs
150 ns, however short); handing the ranks to tiktoken (it merges any neighbours whose bytes are a token, a
`tokenizer.json` only the pairs it lists: equal for most tables, not for every one); merging new pieces in array
operations of our own, one merge of every piece a round (2.1 µs a piece for 5,000 together and 4.8 for 300; the library
2.7, however few); probing for another place (a round of array operations for each step, on every short text).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import tokenizers
from numpy.typing import NDArray

from tandem.tokenizer.bytelevel import PIECE, spelling
from tandem.tokenizer.splitting import BORDER, Places, Words, first_words, piece_starts, stretches

Ids: TypeAlias = NDArray[np.int32]

_STRETCH = 1 << 18
"""Bytes cut at a time: arrays of this length stay in the processor's cache. Longer texts are cut where a piece ends."""
_SHORT = 128
"""Characters below which the library alone is faster than a few dozen array operations."""
_SLOTS = 1 << 19
"""Places in the table, 24 bytes each; it is emptied when half full. Python's library has 51,000 different pieces."""
_LONG = 128
"""Pieces of more bytes are not kept: they seldom repeat, and would fill the memory."""
_TOGETHER = 512
"""New pieces that go into the table together: until then they wait in a dictionary, which is faster for a few."""
_SHIFT, _COUNT = 28, (1 << 28) - 1
"""An entry: where the ids of a piece begin in the store, and in the lowest bits how many there are."""
_BITS, _SIZE = 5, (1 << 5) - 1
"""In the table an entry stands above the bytes of its piece."""


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
        self._model = core.model
        self._lock = threading.Lock()
        self._empty()

    def _empty(self) -> None:
        # One row a piece: its first eight bytes, zeros after its end; the next eight; and in one word its entry and how
        # many bytes it has, 0 where the place is free.
        self._table: Words = np.zeros((_SLOTS, 3), np.uint64)
        self._store: Ids = np.zeros(1 << 16, np.int32)
        self._stored = 0
        self._held = 0
        # Entries of pieces kept beside the table: those of 17 bytes up to `_LONG`, those whose place is taken, and new
        # ones, which go into the table together.
        self._beside: dict[bytes, int] = {b"\xff": 0}
        self._new: list[bytes] = []

    def encode(self, text: str) -> list[int]:
        """Token ids of a well-formed text, equal to what the tokenizer itself makes of it."""
        if len(text) < _SHORT:
            short: list[int] = self._core.encode(text, add_special_tokens=False).ids
            return short
        ids: list[int] = self.arrays([text])[0].tolist()
        return ids

    def arrays(self, texts: Sequence[str]) -> list[Ids]:
        """Token ids of each text. Short texts are encoded together, which makes them as fast as long ones."""
        found: list[Ids] = []
        group: list[bytes] = []
        room = _STRETCH
        for text in texts:
            data = text.encode()
            if len(data) > _STRETCH:
                found += self._group(group)
                found.append(
                    np.concatenate([self._look_up(part, starts)[0] for part, starts in stretches(data, _STRETCH)])
                )
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
        starts = piece_starts(np.frombuffer(data, np.uint8))
        ids, counts = self._look_up(data, starts)
        if len(texts) == 1:
            return [ids]
        before = np.cumsum(counts)
        borders = np.cumsum([len(text) + 1 for text in texts[:-1]]) - 1
        return np.split(ids, before[np.searchsorted(starts, borders)])

    def _look_up(self, data: bytes, starts: Places) -> tuple[Ids, Places]:
        """Ids of all pieces in order, and how many each has."""
        with self._lock:
            return self._locked_look_up(data, starts)

    def _locked_look_up(self, data: bytes, starts: Places) -> tuple[Ids, Places]:
        if self._held + len(self._beside) > _SLOTS // 2:
            self._empty()
        lengths = np.empty_like(starts)
        np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
        lengths[-1] = len(data) - starts[-1]
        entries, missing = self._find(*first_words(data, starts, lengths), lengths)
        if len(missing):
            entries[missing] = self._look_beside(data, starts, lengths, missing)
        counts = entries & _COUNT
        entries >>= _SHIFT
        before = np.cumsum(counts)
        places = np.arange(int(before[-1]))
        places += np.repeat(entries - before + counts, counts)
        return self._store[places], counts

    def _find(self, head: Words, tail: Words, lengths: Places) -> tuple[Places, Places]:
        """The entry of each piece, and the pieces not in the table."""
        rows = self._table.take(_place(head, tail), axis=0)
        entries = rows[:, 2].astype(np.int64)
        same = (rows[:, 0] == head) & (rows[:, 1] == tail) & (entries & _SIZE == lengths)
        return entries >> _BITS, (~same).nonzero()[0]

    def _look_beside(self, data: bytes, starts: Places, lengths: Places, missing: Places) -> Places:
        """Where the ids of pieces are that are not in the table; those never seen are learnt."""
        begins, ends = starts[missing], starts[missing] + lengths[missing]
        pieces = [data[begin:end] for begin, end in zip(begins.tolist(), ends.tolist())]
        beside = self._beside
        fresh = [piece for piece in dict.fromkeys(pieces) if piece not in beside]
        if fresh:
            self._learn(fresh)
        found = np.fromiter(map(beside.__getitem__, pieces), np.int64, len(pieces))
        if len(self._new) >= _TOGETHER:
            self._insert()
        if fresh and len(fresh[-1]) > _LONG:
            for piece in fresh:
                if len(piece) > _LONG:
                    del beside[piece]
        return found

    def _learn(self, fresh: list[bytes]) -> None:
        """Ask the library for the ids of new pieces, and keep them: those of very long ones until the next call."""
        fresh.sort(key=len)
        spelt: str = _SPELLING[np.frombuffer(b"\xff".join(fresh), np.uint8)].tobytes().decode("utf-16-le")
        tokenize = self._model.tokenize
        ids: list[int] = []
        kept = 0
        for piece, word in zip(fresh, spelt.split(_BORDER)):
            first = len(ids)
            ids += [token.id for token in tokenize(word)]
            self._beside[piece] = self._stored + first << _SHIFT | len(ids) - first
            if len(piece) <= 16:
                self._new.append(piece)
            if len(piece) <= _LONG:
                kept = len(ids)
        assert len(ids) <= _COUNT
        stop = self._stored + len(ids)
        if stop > len(self._store):
            self._store = np.concatenate([self._store, np.zeros(max(len(self._store), len(ids)), np.int32)])
        self._store[self._stored : stop] = ids
        self._stored += kept

    def _insert(self) -> None:
        """Move the new pieces into the table, those whose place is free; the others stay beside it."""
        lengths = np.array([len(piece) for piece in self._new], np.int64)
        head, tail = first_words(b"".join(self._new), np.cumsum(lengths) - lengths, lengths)
        entries = np.array([self._beside[piece] for piece in self._new], np.int64)
        places, first = np.unique(_place(head, tail), return_index=True)
        free = self._table[places, 2] == 0
        places, first = places[free], first[free]
        self._table[places, 0], self._table[places, 1] = head[first], tail[first]
        self._table[places, 2] = entries[first] << _BITS | lengths[first]
        self._held += len(places)
        for moved in first.tolist():
            del self._beside[self._new[moved]]
        self._new = []


def _place(head: Words, tail: Words) -> Places:
    """A place in the table for a piece's words: multiply and keep the top bits."""
    mixed = (head ^ (tail * _ODD[1])) * _ODD[0]
    place: Places = ((mixed ^ (mixed >> np.uint64(29))) * _ODD[1] >> np.uint64(64 - 19)).astype(np.int64)
    return place


_BORDER = spelling()[BORDER]
_SPELLING = np.array([ord(character) for character in spelling()], "<u2")
_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
