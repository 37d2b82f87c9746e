"""Fast encoding on one thread: what white space separates is looked up; only what was not seen before is merged.

Between a character that is not white space and a space GPT-2's expression always cuts, so ids of ` word` do not depend
on what surrounds it, and a text is the concatenation of its units' ids. Units repeat; a dictionary answers in 50 ns
what takes `tokenizers` microseconds. It does not change any id: unseen units go through the tokenizer itself.

Rejected: caching GPT-2's own pieces (twice as many look-ups, and its letter classes would have to be kept equal to
those of another library's Unicode version); handing the ranks to tiktoken (merges by bytes, not by listed pairs: equal
for tables trained as BPE, not for every `tokenizer.json`).
"""

from __future__ import annotations

import json
import re
from itertools import chain

import tokenizers

from tandem.tokenizer.bytelevel import PIECE

WHITE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""Unicode's White_Space, which is `\\s` to the expression; Python's own `\\s` has four control characters more."""
_UNIT = re.compile(rf" ?[^{WHITE}]+|[{WHITE}]+(?![^{WHITE}])|[{WHITE}]+")
_SAFE_CUT = re.compile(rf"[^{WHITE}](?= [^{WHITE}])")

_LONGEST = 48
"""Units of more characters are encoded each time: they seldom repeat, and would fill the memory."""
_MOST = 1 << 18
"""Units kept, 100–200 bytes each; past it the cache starts again."""
_STRETCH = 1 << 20
"""Characters split at a time, so that a text of any length needs bounded memory besides its ids."""


def splits_like_gpt2(core: tokenizers.Tokenizer) -> bool:
    """Whether a tokenizer cuts text exactly as GPT-2 does, with nothing done to the text before."""
    content = json.loads(core.to_str())
    if content["normalizer"] is not None or content["model"].get("dropout") is not None:
        return False
    if any(not token["special"] for token in content["added_tokens"]):
        return False
    steps = content["pre_tokenizer"] or {}
    steps = steps.get("pretokenizers", [steps])
    match steps:
        case [{"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]:
            return True
        case [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ]:
            return bool(pattern == PIECE)
    return False


class PieceCache:
    """Encodes with a tokenizer that splits like GPT-2, remembering the ids of each unit of text."""

    def __init__(self, core: tokenizers.Tokenizer) -> None:
        self._core = core
        self._ids: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, equal to what the tokenizer itself makes of it."""
        if len(text) <= _STRETCH:
            return self._stretch(text)
        ids: list[int] = []
        start = 0
        while start < len(text):
            cut = _SAFE_CUT.search(text, start + _STRETCH)
            stop = cut.end() if cut else len(text)
            ids += self._stretch(text[start:stop])
            start = stop
        return ids

    def _stretch(self, text: str) -> list[int]:
        units = _UNIT.findall(text)
        try:
            return list(chain.from_iterable(map(self._ids.__getitem__, units)))
        except KeyError:
            known = self._known(set(units))
            return list(chain.from_iterable(map(known.__getitem__, units)))

    def _known(self, units: set[str]) -> dict[str, tuple[int, ...]]:
        """Ids of every unit; another thread may be emptying the cache meanwhile."""
        get = self._ids.get
        known = {unit: ids for unit in units if (ids := get(unit)) is not None}
        unseen = [unit for unit in units if unit not in known]
        encodings = self._core.encode_batch_fast(unseen, add_special_tokens=False)
        fresh = {unit: tuple(encoding.ids) for unit, encoding in zip(unseen, encodings)}
        if len(self._ids) + len(fresh) > _MOST:
            self._ids = {}
        self._ids.update({unit: ids for unit, ids in fresh.items() if len(unit) <= _LONGEST})
        return known | fresh
