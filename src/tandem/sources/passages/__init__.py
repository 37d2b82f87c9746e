"""An index of passages on disk: BM25 over segments, vectors where wanted, additions without rebuilding."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tandem.sources.passages.document import About, Document, Origin, Passage
    from tandem.sources.passages.header import Settings
    from tandem.sources.passages.index import Hit, Index
    from tandem.sources.passages.source import Passages
    from tandem.sources.passages.words import Splitting
    from tandem.sources.passages.writer import Writer

__all__ = ["About", "Document", "Hit", "Index", "Origin", "Passage", "Passages", "Settings", "Splitting", "Writer"]

_HOMES = dict.fromkeys(("About", "Document", "Origin", "Passage"), "document")
_HOMES |= {"Hit": "index", "Index": "index", "Passages": "source", "Settings": "header", "Splitting": "words"}
_HOMES |= {"Writer": "writer"}


def __getattr__(name: str) -> Any:  # loaded when asked for: the command line starts without it
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"tandem.sources.passages.{_HOMES[name]}"), name)
