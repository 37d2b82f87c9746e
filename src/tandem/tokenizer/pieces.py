"""Fast encoding on one thread: text is cut by array operations, and pieces looked up in a table of pieces seen.

Pieces repeat, and what a piece becomes never depends on its neighbours. Each piece of up to 16 bytes is looked up by
its bytes themselves (two 64-bit words and the length, compared exactly: no id rests on a hash alone); only pieces not
seen before go to the merging of `tokenizers`. So the ids are the library's, at 10 times its speed.

Rejected: a dictionary of pieces filled from Python's `re` (as fast as tiktoken at best, a third of this: a match costs
150 ns, however short); handing the ranks to tiktoken (it merges any neighbours whose bytes are a token, a
`tokenizer.json` only the pairs it lists: equal for most tables, not for every one).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import tokenizers
from numpy.typing import NDArray

from tandem.tokenizer.bytelevel import PIECE, spell
from tandem.tokenizer.splitting import Bytes, Places, Words, first_words, piece_starts, stretches

Ids: TypeAlias = NDArray[np.int32]

_STRETCH = 1 << 18
"""Bytes cut at a time: arrays of this length stay in the processor's cache. Longer texts are cut where a piece ends."""
_SHORT = 256
"""Characters below which the library alone is faster than a few dozen array operations."""
_SLOTS = 1 << 19
"""Places in the table, 21 bytes each; it is emptied when half full. Python's library has 95,000 different pieces."""
_LONG = 128
"""Pieces of more bytes are not kept: they seldom repeat, and would fill the memory."""


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
        self._head: Words = np.zeros(_SLOTS, np.uint64)  # the first eight bytes, zeros after the piece's end
        self._tail: Words = np.zeros(_SLOTS, np.uint64)  # the next eight
        self._length: Bytes = np.zeros(_SLOTS, np.uint8)  # bytes in the piece; 0 where the place is free
        self._where: Ids = np.zeros(_SLOTS, np.int32)  # where its ids begin in the store
        self._count: Bytes = np.zeros(_SLOTS, np.uint8)  # how many
        self._store: Ids = np.zeros(1 << 16, np.int32)
        self._stored = 0
        self._held = 0
        self._longer: dict[bytes, tuple[int, int]] = {}  # pieces of 17 bytes up to `_LONG`

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
        if self._held + len(self._longer) > _SLOTS // 2:
            self._empty()
        lengths = np.diff(starts, append=len(data))
        head, tail = first_words(data, starts, lengths)
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
        fresh = []
        for piece in dict.fromkeys(pieces):
            if piece in self._longer:
                known[piece] = self._longer[piece]
            elif piece not in known:
                ids = [token.id for token in self._model.tokenize(spell(piece))]
                if len(piece) > _LONG:
                    known[piece] = (-1 - len(extra), len(ids))
                    extra += ids
                    continue
                known[piece] = self._keep(ids)
                if len(piece) > 16:
                    self._longer[piece] = known[piece]
                else:
                    fresh.append(piece)
        found = np.array([known[piece] for piece in pieces], np.int64)
        places = np.where(found[:, 0] < 0, self._stored - 1 - found[:, 0], found[:, 0])  # `extra` follows the store
        where[missing], counts[missing] = places, found[:, 1]
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
        head, tail = first_words(joined, np.cumsum(lengths) - lengths, lengths)
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


def _hash(head: Words, tail: Words) -> Places:
    """A place in the table for a piece's words: multiply and keep the top bits."""
    mixed = (head ^ (tail * _ODD[1])) * _ODD[0]
    place: Places = ((mixed ^ (mixed >> np.uint64(29))) * _ODD[1] >> np.uint64(64 - 19)).astype(np.int64)
    return place


_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
