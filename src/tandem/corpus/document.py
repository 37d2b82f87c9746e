"""A document, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass

from tandem.corpus.clean import Kind


@dataclass(frozen=True)
class Document:
    """One text."""

    text: str
    """The text, as read or as cleaned."""
    name: str
    """Its place, for messages: a path, with the line or row behind a colon."""
    kind: Kind = "text"
    """`code` keeps its white space in cleaning."""
    repaired: bool = False
    """Whether invalid UTF-8 in it became replacement characters."""
