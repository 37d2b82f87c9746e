"""Entity linking by a table of names: the longest names in a text, and which thing each one means.

    linker = Linker.read("people.jsonl")      # {"id": …, "label": …, "aliases": […], "about": …} a line
    linker = Linker.read("people.tsv")        # id, label, aliases parted by |, and a description if there is one
    linker = await Linker.of_graph(source)    # labels and other names of an RDF graph
    for mention in linker.link("When did Ada Lovelace meet Babbage?"):
        mention.text, mention.best.id

Names are compared without case, accents and compatibility forms, word by word; the longest match wins. Of several
things with one name, that is preferred whose description shares most words with the text around, then the one that
stands first. What this does not do: guess names that are in no table, or tell from a name alone which thing is meant
(`Mention.candidates` has them all).
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tandem.errors import UserError

if TYPE_CHECKING:
    from tandem.sources.sparql import AskedInSparql

LONGEST_NAME = 12
"""Words of a name; longer ones are not looked for."""
_WORD = re.compile(r"\w[\w\u0300-\u036f]*")
_REMEDY = 'write a line like {"id": "Q7259", "label": "Ada Lovelace", "aliases": ["Ada Byron"], "about": "…"}'
_NAMES = """SELECT ?i ?label ?name ?about WHERE {
  ?i <http://www.w3.org/2000/01/rdf-schema#label> ?label
  OPTIONAL { ?i <http://www.w3.org/2004/02/skos/core#altLabel>|<http://schema.org/alternateName> ?name }
  OPTIONAL { ?i <http://www.w3.org/2000/01/rdf-schema#comment>|<http://schema.org/description> ?about } }"""


@dataclass(frozen=True)
class Entity:
    """A thing with names."""

    id: str
    """What a query names it by: an IRI, a Wikidata item, a key."""
    label: str
    """Its usual name."""
    aliases: tuple[str, ...] = ()
    """Its other names."""
    about: str = ""
    """A description, to tell it from others of the same name."""


@dataclass(frozen=True)
class Mention:
    """A name in a text, and what it may mean."""

    text: str
    """The name as it is written."""
    start: int
    """Its first character."""
    end: int
    """One past its last."""
    candidates: tuple[Entity, ...]
    """Things of that name, the likeliest first."""

    @property
    def best(self) -> Entity:
        """The likeliest."""
        return self.candidates[0]


class Linker:
    """See the top of this module."""

    def __init__(self, entities: Iterable[Entity]) -> None:
        self._named: dict[tuple[str, ...], list[Entity]] = defaultdict(list)
        self._count = 0
        whole = hashlib.sha256()
        for entity in entities:
            self._count += 1
            whole.update(repr(entity).encode("utf-8", "surrogatepass"))
            for name in dict.fromkeys(tuple(words(name)) for name in (entity.label, *entity.aliases)):
                if 0 < len(name) <= LONGEST_NAME:
                    self._named[name].append(entity)
        self._longest = max(map(len, self._named), default=0)
        self.identity = whole.hexdigest()
        """Hash of the things and their names."""

    def __len__(self) -> int:
        return self._count

    @classmethod
    def read(cls, path: str | Path) -> Linker:
        """The table in a file. Raises UserError that names the line of what is no entity."""
        where = Path(path)
        try:
            text = where.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as e:
            raise UserError(f"cannot be read ({e})", where=str(path), remedy="name a JSONL or TSV file") from e
        rows = _tsv if where.suffix in (".tsv", ".txt") else _jsonl
        return cls(rows(text, str(path)))

    @classmethod
    async def of_graph(cls, source: AskedInSparql, most: int = 200_000) -> Linker:
        """The labels, other names and descriptions of a graph."""
        rows, _ = await source.select(_NAMES, most)
        names: dict[str, tuple[str, dict[str, None], str]] = {}
        for thing, label, name, about in rows.rows:
            first, others, _ = names.setdefault(str(thing), (str(label), {}, str(about or "")))
            others |= dict.fromkeys(str(one) for one in (label, name) if one is not None and str(one) != first)
        return cls(Entity(thing, label, tuple(others), about) for thing, (label, others, about) in names.items())

    def link(self, text: str) -> list[Mention]:
        """The names in a text, in order, none inside another."""
        tokens = [(found.start(), found.end(), folded(found[0])) for found in _WORD.finditer(text)]
        around = set(words(text))
        mentions, at = [], 0
        while at < len(tokens):
            for length in range(min(self._longest, len(tokens) - at), 0, -1):
                name = tuple(token for _, _, token in tokens[at : at + length])
                if name in self._named:
                    start, end = tokens[at][0], tokens[at + length - 1][1]
                    mentions.append(Mention(text[start:end], start, end, self._ranked(name, around)))
                    at += length
                    break
            else:
                at += 1
        return mentions

    def names(self, text: str) -> list[str]:
        """Labels of what is named in a text, each once: what `Wikipedia` searches for besides the text."""
        return list(dict.fromkeys(mention.best.label for mention in self.link(text)))

    def _ranked(self, name: tuple[str, ...], around: set[str]) -> tuple[Entity, ...]:
        context = around - set(name)
        return tuple(sorted(self._named[name], key=lambda one: -len(context & set(words(f"{one.label} {one.about}")))))


def capitalised(text: str) -> list[str]:
    """Runs of capitalised words behind the first word, each once: names where there is no table of names."""
    runs = re.finditer(r"\b[^\W\d_a-z]\w*(?:[\s\-]+(?:(?:of|the|de|von|van|and|la)\s+)*[^\W\d_a-z]\w*)*", text)
    found = [run[0] for run in runs if run[0][0].isupper()]
    return list(dict.fromkeys(name for name in found if not (text.startswith(name) and " " not in name)))


def _jsonl(text: str, path: str) -> Iterator[Entity]:
    for n, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            aliases = told.get("aliases", [])
            parts = [told["id"], told["label"], told.get("about", ""), *aliases]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
            raise UserError(f"is no entity ({type(e).__name__}: {e})", where=f"{path}:{n}", remedy=_REMEDY) from e
        if not isinstance(aliases, list) or not all(isinstance(part, str) for part in parts) or not parts[1].strip():
            raise UserError("id, label and aliases have to be texts", where=f"{path}:{n}", remedy=_REMEDY)
        yield Entity(parts[0], parts[1], tuple(aliases), parts[2])


def _tsv(text: str, path: str) -> Iterator[Entity]:
    for n, row in enumerate(csv.reader(text.split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE), 1):
        if not row or (n == 1 and row[0].casefold() == "id"):
            continue
        if len(row) < 2 or not row[1].strip():
            raise UserError("has no label", where=f"{path}:{n}", remedy="write id, label, aliases parted by |")
        aliases = tuple(name.strip() for name in row[2].split("|") if name.strip()) if len(row) > 2 else ()
        yield Entity(row[0], row[1], aliases, row[3] if len(row) > 3 else "")


def folded(text: str) -> str:
    """A name as it is compared: compatibility forms, case and accents make no difference."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFKC", "".join(c for c in apart if not unicodedata.combining(c)))


def words(text: str) -> list[str]:
    """The words of a name in their order, folded; the index's own (`passages.words`) have none in Chinese or Thai."""
    return re.findall(r"\w+", folded(text))
