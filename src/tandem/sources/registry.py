"""sources.toml: named sources, and which of them serve which domain.

    registry = Registry.read("sources.toml", recorder=Recorder(store))
    registry.source("cards"); registry.domains["medical"].about; registry.serving("medical")

    [source.cards]
    address = "flashcards:cards.jsonl"       # files are looked for beside sources.toml
    [source.encyclopedia]
    address = "wikipedia"
    contact = "you@example.org"
    [domain.medical]
    about = "diseases, drugs, anatomy"
    sources = ["cards", "encyclopedia", "web:brave"]

A key that is not known is an error, since a misspelt limit must not pass for no limit; every source is checked when the
file is read, also one that no domain lists. What this does not do: choose among domains, or hold a key of a service.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.sources import addresses
from tandem.sources.addresses import BARE, SETTINGS, check, forms, known
from tandem.sources.recorded import Recorder
from tandem.types import Source


@dataclass(frozen=True)
class Domain:
    """A field of knowledge, and who serves it."""

    name: str
    """As a model says it."""
    about: str
    """What belongs to it, for the prompt that chooses domains."""
    sources: tuple[str, ...]
    """Names of sources, or addresses."""


class Registry:
    """The sources and domains of a sources.toml. Sources are opened when they are first wanted, each once."""

    def __init__(
        self, tables: Mapping[str, Any], *, where: str, beside: Path | None = None, recorder: Recorder | None = None
    ) -> None:
        """`tables` as TOML has them, `where` names the file in messages. Raises UserError for anything unknown."""
        self.where = where
        self._beside = beside
        self._recorder = recorder
        self._opened: dict[str, Source] = {}
        known(tables, ("source", "domain"), where)
        self._tables = {
            name: _table(table, f"{where}: source.{name}") for name, table in _named(tables, "source", where)
        }
        for name, table in self._tables.items():
            if not isinstance(table.get("address"), str):
                raise UserError("has no address", where=f"{where}: source.{name}", remedy=forms())
            settings = {key: value for key, value in table.items() if key != "address"}
            addresses.parsed(table["address"], settings, where=f"{where}: source.{name}")
        self.domains = {name: self._domain(name, table) for name, table in _named(tables, "domain", where)}
        """Domains by name, in the order of the file."""
        if not self._tables and not self.domains:
            remedy = 'write one: [source.cards] and below it address = "flashcards:cards.jsonl" (docs/sources.md)'
            raise UserError("names no source", where=where, remedy=remedy)

    @classmethod
    def read(cls, path: str | Path, *, recorder: Recorder | None = None) -> Registry:
        """The registry in a file. Raises UserError."""
        file = Path(path)
        try:
            tables = tomllib.loads(file.read_text("utf-8"))
        except OSError as e:
            raise UserError(f"cannot be read ({e.strerror})", where=str(path), remedy="name a sources.toml") from e
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
            raise UserError(f"is no TOML: {e}", where=str(path), remedy="mend the file") from e
        return cls(tables, where=str(path), beside=file.parent, recorder=recorder)

    def source(self, name: str) -> Source:
        """The source of a name in the file, or at an address."""
        if name not in self._opened:
            if name in self._tables:
                settings = {key: value for key, value in self._tables[name].items() if key != "address"}
                address = self._tables[name]["address"]
            else:
                settings, address = {}, name
                if ":" not in name and name not in BARE:
                    near = difflib.get_close_matches(name, [*self._tables, *BARE], n=1)
                    listed = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self._tables) or 'none'}"
                    raise UserError(f"no source is called {name!r}", where=self.where, remedy=listed)
            called = name if name in self._tables else ""
            self._opened[name] = addresses.open(
                address, settings=settings, recorder=self._recorder, beside=self._beside, name=called
            )
        return self._opened[name]

    def serving(self, domain: str) -> tuple[Source, ...]:
        """The sources of a domain, in the order of the file."""
        if domain not in self.domains:
            near = difflib.get_close_matches(domain, self.domains, n=1)
            listed = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self.domains) or 'none'}"
            raise UserError(f"no domain is called {domain!r}", where=self.where, remedy=listed)
        return tuple(self.source(name) for name in self.domains[domain].sources)

    def all(self) -> tuple[Source, ...]:
        """Every source, each once: those of the file in its order, also of no domain, then addresses that domains list.

        Those of no domain belong to every question.
        """
        listed = [one for domain in self.domains.values() for one in domain.sources]
        return tuple(self.source(name) for name in dict.fromkeys([*self._tables, *listed]))

    async def close(self) -> None:
        """Close what was opened."""
        await addresses.close(self._opened.values())

    def _domain(self, name: str, given: Any) -> Domain:
        where = f"{self.where}: domain.{name}"
        if not name.strip(" .") or name != name.strip(" .") or re.search(r"[,\n\r]", name):
            problem = "cannot be chosen: a model names domains with commas between"
            raise UserError(problem, where=where, remedy="give a name without comma, and a letter at either end")
        table = _table(given, where)
        check(table, {"about": (str,), "sources": (list,)}, where)
        sources = table.get("sources") or []
        if not table.get("about") or not sources or not all(isinstance(one, str) for one in sources):
            raise UserError(
                "needs about and sources", where=where, remedy='about = "…", sources = ["NAME", "web:brave"]'
            )
        for one in sources:
            if one not in self._tables and one not in BARE and one.partition(":")[0] not in SETTINGS:
                near = difflib.get_close_matches(one, [*self._tables, *SETTINGS], n=1)
                remedy = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self._tables) or 'no sources'}"
                raise UserError(f"no source is called {one!r}", where=where, remedy=remedy)
        return Domain(name, table["about"], tuple(sources))


def _named(tables: Mapping[str, Any], part: str, where: str) -> list[tuple[str, Any]]:
    return list(_table(tables.get(part, {}), f"{where}: {part}").items())


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError("is no table", where=where, remedy="write [source.NAME] or [domain.NAME] above it")
    return value
