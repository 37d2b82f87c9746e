"""Which of several files with equal content is indexed, and what becomes of the others when it changes or goes.

One is indexed, the first; the others are kept in the index as origins without documents. What this does not do: read
files. Rejected: a list of repeats beside the header, which every merge and removal would have to know of.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tandem.sources.passages.writer import Writer


class Copies:
    """What an index held when an indexing began."""

    def __init__(self, writer: Writer) -> None:
        self.held = {origin.key: origin.content for origin in writer.origins()}
        """Content of each file, repeats included."""
        self._bare = {origin.key for origin in writer.bare()}
        self.before = {content: key for key, content in self.held.items() if key not in self._bare}
        """The file that was indexed for each content."""

    def indexed(self, key: str, content: str) -> bool:
        """Whether a file was indexed as it is now."""
        return self.held.get(key) == content and key not in self._bare

    def kept(self, key: str, content: str) -> bool:
        """Whether a file was a repeat as it is now."""
        return self.held.get(key) == content and key in self._bare

    def orphaned(self, given: Mapping[str, str], writer: Writer) -> list[str]:
        """Repeats that were not given, whose content no indexed file has any more; `given` is key → content now."""
        rest = self._rest(given, writer)
        stands = {content for key, content in rest.items() if key not in self._bare}
        stands |= {content for key, content in given.items() if self.indexed(key, content)}
        return [key for key, content in rest.items() if key in self._bare and content not in stands]

    def owners(self, given: Mapping[str, str], writer: Writer) -> dict[str, str]:
        """The file that is to be indexed for each content: one that is so, then a repeat, then another held, a new one.

        A file that is indexed and there no longer does not count: who is given and says the same is read.
        """
        owner: dict[str, str] = {}
        for key, content in given.items():
            if self.indexed(key, content):
                owner.setdefault(content, key)
        for key, content in self._rest(given, writer).items():
            if key not in self._bare and Path(key).exists():
                owner.setdefault(content, key)
        for key in sorted(given, key=lambda key: (self.held.get(key) != given[key], key not in self.held)):
            owner.setdefault(given[key], key)
        return owner

    def _rest(self, given: Mapping[str, str], writer: Writer) -> dict[str, str]:
        """What the index still holds of files that were not given."""
        return {origin.key: origin.content for origin in writer.origins() if origin.key not in given}
