"""`replay:FILE[#NAME]`: recorded look-ups and nothing else; what is missing is an error that says so.

The file is a store of answers, or a JSONL export of one. What this does not do: open a connection, or give a similar
look-up instead of the one that is asked for.
"""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NoReturn, cast

from tandem.errors import SourceFailed, UserError
from tandem.sources import as_json
from tandem.sources.recorded import lookup_body, part_of, schema_body
from tandem.store import Lookup, Request, Store
from tandem.store.recorded import open_recorded
from tandem.text import fingerprint
from tandem.types import Question, Result, Schema, Source

LOOKED_THROUGH = 5_000
"""Recorded look-ups that are looked through for the nearest one when one is missing."""


class Replayed:
    """A source that answers from a record."""

    def __init__(
        self, store: Store, recorded: str, *, part: str = "", folder: TemporaryDirectory[str] | None = None
    ) -> None:
        """Answer from what `store` holds of the source recorded as `recorded`; `folder` goes when it is closed."""
        self.name = recorded.rpartition("@")[0] or recorded
        self.store = store
        self._recorded = recorded
        self._part = part
        self._folder = folder
        self._parts: bool | None = None
        first = next(_lookups(store, recorded), None)
        language = json.loads(first.request.body)["language"] if first is not None else "text"
        self.language = cast(Literal["text", "sparql", "sql"], language)

    @classmethod
    def read(cls, file: str) -> Replayed:
        """The record at `FILE` or `FILE#NAME`; the name may be left out where the file holds one source only.

        Raises UserError: no such file, no record, no such source in it, or several and none named.
        """
        path, _, name = (file, "", "") if Path(file).exists() or "#" not in file else file.rpartition("#")
        if not Path(path).is_file():
            raise UserError("no such file", where=path, remedy="name a store of answers, or a JSONL export of one")
        store, folder = open_recorded(Path(path), Request.of)
        try:
            return cls(store, _chosen(store, name, path), folder=folder)
        except BaseException:
            store.close()
            if folder is not None:
                folder.cleanup()
            raise

    @cached_property
    def identity(self) -> str:
        """What is on record of it."""
        told = ([lookup.request.key, lookup.result, lookup.error] for lookup in _lookups(self.store, self._recorded))
        return fingerprint([self._recorded, self._part, sorted(fingerprint(one) for one in told)])

    def describe(self) -> Schema:
        """What it held. Raises SourceFailed where that is not recorded."""
        return as_json.to_schema(self._find(schema_body(self.language, self._part)))

    def about(self, question: Question) -> Source:
        """The part of the record that belongs to one question, where there is one."""
        if self._parts is None:
            bodies = (json.loads(lookup.request.body) for lookup in _lookups(self.store, self._recorded))
            self._parts = any(body.get("part") for body in bodies)
        return Replayed(self.store, self._recorded, part=part_of(question)) if self._parts else self

    async def look_up(self, query: str, limit: int) -> Result:
        """The recorded findings. Raises what was raised then, or SourceFailed where nothing is recorded."""
        return as_json.to_result(self._find(lookup_body(self.language, self._part, query, limit)))

    async def close(self) -> None:
        """Close the record."""
        self.store.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _find(self, body: dict[str, Any]) -> Mapping[str, Any]:
        found = self.store.find_lookup(Request.of(self._recorded, body))
        if found is None:
            self._missing(body)
        if found.result is not None:
            return found.result
        assert found.error is not None, "a look-up has a result or an error"
        raise as_json.to_error(found.error, remedy="as it was recorded")

    def _missing(self, body: dict[str, Any]) -> NoReturn:
        what = "its description" if "describe" in body else f"{body['query']!r} (limit {body['limit']})"
        where = f"{self.store.path}, {self._recorded}"
        raise SourceFailed(f"{what} is not recorded", kind="not-recorded", where=where, remedy=self._nearest(body))

    def _nearest(self, body: dict[str, Any]) -> str | None:
        if "query" not in body:
            return "record a run that asks the source itself"
        lookups = itertools.islice(_lookups(self.store, self._recorded), LOOKED_THROUGH)
        bodies = [told for lookup in lookups if "query" in (told := json.loads(lookup.request.body))]
        limits = sorted({told["limit"] for told in bodies if told["query"] == body["query"]})
        if limits:
            return f"this query is recorded with limit {', '.join(map(str, limits))}, or of another question's part"
        near = difflib.get_close_matches(body["query"], {told["query"] for told in bodies}, n=1)
        return f"the nearest recorded query: {near[0]!r}" if near else None


def _lookups(store: Store, name: str) -> Iterator[Lookup]:
    """Look-ups and descriptions of a source; not the pages it fetched for them."""
    return (lookup for lookup in store.lookups(name) if '"language":' in lookup.request.body)


def _chosen(store: Store, name: str, path: str) -> str:
    """The source to answer for: named in full, by its own name where that is enough, or the only one."""
    names = [known for known in store.sources() if next(_lookups(store, known), None) is not None]
    if not names:
        raise UserError(
            "holds no recorded look-ups", where=path, remedy="record some: give a store when asking a source"
        )
    fitting = [known for known in names if name in (known, known.rpartition("@")[0], "")]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        near = difflib.get_close_matches(name, names, n=1)
        listed = f"did you mean {near[0]}?" if near else f"it holds: {', '.join(names)}"
        raise UserError(f"holds no look-ups of a source {name!r}", where=path, remedy=listed)
    told = f"name one: replay:{path}#NAME, of {', '.join(fitting)}"
    raise UserError(f"holds the look-ups of {len(fitting)} sources", where=path, remedy=told)
