"""What an index holds: documents, each with its passages and the place of each passage in a file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

Unit: TypeAlias = Literal["line", "page", "paragraph"]


@dataclass(frozen=True)
class Passage:
    """A piece of a document, of about a hundred words."""

    text: str
    """What it says."""
    first: int = 0
    """First line of it in the file (or page, or paragraph), from 1; 0 where there is no file."""
    last: int = 0
    """Last line of it."""
    heading: str = ""
    """Headings above it, from the outermost, joined by ` › `; for source code classes and functions."""


@dataclass(frozen=True)
class About:
    """What is known of a document besides its text."""

    id: str
    """Unique among the documents of its file."""
    title: str = ""
    """Its title."""
    file: str = ""
    """The file it stands in, by its absolute path; empty for documents that come from no file."""
    unit: Unit = "line"
    """What places in the file are counted in."""
    date: str = ""
    """Date of the text, where known."""
    url: str = ""
    """Where people read it, where that is not the file."""

    def place(self, first: int) -> str:
        """Where a passage that begins at `first` can be looked at."""
        if self.url or not self.file:
            return self.url or self.id
        return f"{self.file}:{first}" if self.unit == "line" else f"{self.file}#{self.unit}={first}"

    def to_json(self) -> bytes:
        """As it is stored: defaults are left out."""
        kept = {name: value for name in _DEFAULTS if (value := getattr(self, name)) != _DEFAULTS[name]}
        return json.dumps(kept, ensure_ascii=False).encode("utf-8", "replace")

    @classmethod
    def from_json(cls, data: bytes) -> About:
        """The inverse."""
        return cls(**json.loads(data.decode()))


_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(About)}


@dataclass(frozen=True)
class Document:
    """A document to be indexed."""

    about: About
    """What is known of it."""
    passages: Sequence[Passage]
    """Its pieces, in order."""


@dataclass(frozen=True)
class Origin:
    """What is replaced and removed as a whole: a file, usually."""

    key: str
    """Tells it from all others: the absolute path of a file."""
    content: str
    """Hash of its bytes: the same hash under the same key is not read again."""


def from_here(place: str) -> str:
    """A place as it is shown in a terminal: without the current folder's path where it lies below that.

    Places are kept, recorded and reported with absolute paths, which mean the same wherever somebody asks.
    """
    try:
        here = os.getcwd().rstrip("/") + "/"  # noqa: PTH109 — a string is wanted
    except FileNotFoundError:  # the current folder was removed
        return place
    return place.removeprefix(here)


def searched(about: About, passage: Passage) -> str:
    """The words a passage is found by: its own, and those of its title and headings."""
    return "\n".join(part for part in (about.title, passage.heading, passage.text) if part)
