"""One multiple-choice item: what is read before each choice, the choices, and which of them are right."""

from __future__ import annotations

from dataclasses import dataclass

DELIMITER = " "
"""Stands between what is read and the choice."""


@dataclass(frozen=True)
class Item:
    """One item, without what comes before it in a prompt."""

    id: str
    """Unique within its task."""
    stems: tuple[str, ...]
    """What is read before each choice: the same for all, or another for each where one continuation follows them all
    (partial scoring)."""
    texts: tuple[str, ...]
    """What is scored after each stem, without the delimiter."""
    right: tuple[int, ...]
    """Indices of the right choices; the first is the gold one."""
    question: str
    """The question alone, for finding it elsewhere."""
    group: str = ""
    """A part of the task that has examples and figures of its own: a subject."""
    lead: str = ""
    """What every prompt of its kind begins with, the white space after it included."""
    answer: str = ""
    """The right choice in words, where `texts` has only its letter."""

    @property
    def gold(self) -> int:
        """Index of the right choice; where several are, of the first."""
        return self.right[0]

    @property
    def shown(self) -> str:
        """The item with its answer, as an example in another one's prompt."""
        return f"{self.stems[self.gold]}{DELIMITER}{self.texts[self.gold]}"

    @property
    def sought(self) -> str:
        """Question and right answer as one text, without a prompt's cues: for finding them elsewhere."""
        if len(set(self.stems)) > 1:  # the answer stands within the sentence
            return self.shown
        return f"{self.question}\n{self.answer or self.texts[self.gold]}"


def plain(id: str, stem: str, texts: tuple[str, ...], gold: int, question: str, group: str = "") -> Item:
    """An item whose choices all follow one stem."""
    return Item(id, (stem,) * len(texts), texts, (gold,), question, group)
