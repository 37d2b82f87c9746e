"""Plain text into sentences and passages, by rules for languages with full stops.

What this does not do: parse. An unknown abbreviation before a capital ends a sentence too early; nothing is lost by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\W_a-z])|(?<=[。！？])")
_SHORT = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|Mt|Lt|Col|Gen|Capt|Rev|Hon|vs|etc|cf|ca|approx|No|Nos|Vol|Fig|Eq|Inc|Ltd|Co|"
    r"Corp|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|e\.g|i\.e|al)|(?<![\w.])\w|\b(?:\w\.)+\w)\.$"
)
"""What may stand before a full stop that ends no sentence: titles, months, initials, U.S."""


def sentences(text: str) -> list[str]:
    """The sentences of a text, white space collapsed; a line break between paragraphs ends one."""
    found: list[str] = []
    for paragraph in re.split(r"\n+", text):
        rest = " ".join(paragraph.split())
        start = 0
        for end in _END.finditer(rest):
            if not _SHORT.search(rest[start : end.start()]):
                found.append(rest[start : end.end()].strip())
                start = end.end()
        if rest[start:].strip():
            found.append(rest[start:].strip())
    return found


def passages(text: str, words: int = 100) -> Iterator[str]:
    """Whole sentences together, up to so many words; a sentence that is longer stands alone. Paragraphs stay apart."""
    for paragraph in re.split(r"\n+", text):
        held: list[str] = []
        length = 0
        for sentence in sentences(paragraph):
            n = len(sentence.split())
            if held and length + n > words:
                yield " ".join(held)
                held, length = [], 0
            held.append(sentence)
            length += n
        if held:
            yield " ".join(held)
