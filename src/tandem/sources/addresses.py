"""An address in, a source out: `open("web:brave")`, `open("sql:people.csv", recorder=Recorder(store))`.

Nothing is asked, and no file is read but flashcards, tables of names and encoders; libraries are imported for the kind
of address that needs them and no other. What this does not do: hold sources. Two calls with one address make two, which
share an encoder.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tandem.errors import UserError
from tandem.sources import urls
from tandem.sources.recorded import Recorded, Recorder
from tandem.types import Source

if TYPE_CHECKING:
    from tandem.sources.passages.dense import SentenceTransformer

FORMS = {
    "passages:DIR": "an index made by `tandem index`",
    "dataset": "the paragraphs that come with each question",
    "flashcards:FILE": "cards with questions and answers, JSON lines",
    "sparql:FILE": "triples (.ttl, .nt, .rdf …), or an Oxigraph store's folder",
    "sparql:URL": "a SPARQL endpoint; needs a contact",
    "sql:FILE[,FILE]": "SQLite, DuckDB, CSV, Parquet, JSON",
    "sql:URL": "a database server: postgresql://role@host/database",
    "wikipedia[:LANGUAGE|:URL]": "Wikipedia (English unless said), or any MediaWiki's api.php; needs a contact",
    "web:brave, web:serper, web:tavily": "web search; web:brave#SITE asks one site only",
    "replay:FILE[#NAME]": "recorded look-ups only",
}
"""Every form of address, and what it stands for."""
CONTACT = "TANDEM_CONTACT"
"""The environment variable that holds whom a polite program names."""

SETTINGS: dict[str, dict[str, tuple[type, ...]]] = {
    "passages": {"encoder": (str,), "by": (str,)},
    "dataset": {"seed": (int,)},
    "flashcards": {},
    "sparql": {"contact": (str,), "labels": (str,), "predicates": (dict,), "seconds": (int, float)},
    "sql": {"seconds": (int, float), "trust": (bool,)},
    "wikipedia": {
        "contact": (str,),
        "entities": (str,),
        "what": (str,),
        **dict.fromkeys(("sentences", "words", "hits", "options"), (int,)),
    },
    "web": {"site": (str,)},
    "replay": {},
}
"""What each kind of source can be told in sources.toml, and the types."""
BARE = ("wikipedia", "dataset")
"""Kinds that need nothing behind them."""


def open(
    address: str,
    *,
    settings: Mapping[str, Any] | None = None,
    recorder: Recorder | None = None,
    beside: Path | None = None,
    name: str = "",
) -> Source:
    """The source at an address; `FORMS` lists the addresses.

    `settings` are those of sources.toml, `beside` is the folder that relative files are looked for in, `name` replaces
    the source's own. With a `recorder` its look-ups are recorded and never sent twice. Raises UserError: no such
    address, file, setting or package, a missing key or contact.
    """
    given = dict(settings or {})
    kind, rest = parsed(address, given, where=f"source {name}" if name else "")
    source = _MAKERS[kind](rest, given, _Around(beside or Path(), recorder, name))
    return source if recorder is None or kind == "replay" else Recorded(source, recorder)


def parsed(address: str, settings: Mapping[str, Any], *, where: str = "") -> tuple[str, str]:
    """The kind of an address, and the rest of it. Raises UserError: no such kind, no such setting; opens nothing."""
    address = address.strip()
    kind, colon, rest = address.partition(":")
    if kind not in SETTINGS or (not rest and kind not in BARE) or (colon and not rest):
        problem = f"no source has the address {urls.shown(address)!r}"
        raise UserError(problem, where=where or None, remedy=_advice(kind, rest, address))
    check(settings, SETTINGS[kind], where or f"source {kind}")
    return kind, rest


async def close(sources: Iterable[Source]) -> None:
    """Close sources that hold something open."""
    for source in sources:
        closing = source.close() if hasattr(source, "close") else None
        if inspect.isawaitable(closing):
            await closing


# ── Making them ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Around:
    """What a source is made with besides its address and settings."""

    beside: Path
    recorder: Recorder | None
    name: str

    def file(self, name: str) -> Path:
        """A file or folder that has to be there."""
        path = self.beside / Path(name).expanduser()
        if not path.exists():
            there = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
            near = difflib.get_close_matches(path.name, there, n=1)
            remedy = f"did you mean {near[0]}?" if near else "check the path"
            raise UserError("no such file or folder", where=str(path), remedy=remedy)
        return path


def _passages(rest: str, settings: dict[str, Any], around: _Around) -> Source:
    from tandem.sources.passages import Passages

    folder, by, encoder = around.file(rest), settings.get("by"), settings.get("encoder", "")
    beside = around.beside / Path(encoder).expanduser()
    embedder = _encoder(str(beside) if beside.exists() else encoder) if encoder and by != "words" else None
    return Passages(folder, name=around.name or f"passages:{folder.name}", embedder=embedder, by=by)


@functools.cache
def _encoder(model: str) -> SentenceTransformer:
    from tandem.sources.passages.dense import SentenceTransformer

    return SentenceTransformer(model)


def _dataset(rest: str, settings: dict[str, Any], around: _Around) -> Source:
    from tandem.sources.dataset import Dataset

    if rest:
        raise UserError(f"{rest!r} follows the address", where="dataset", remedy="write dataset alone")
    return Dataset(around.name or "dataset", **settings)


def _flashcards(rest: str, settings: dict[str, Any], around: _Around) -> Source:
    from tandem.sources.flashcards import Flashcards

    return Flashcards(around.file(rest), name=around.name)


def _sparql(rest: str, settings: dict[str, Any], around: _Around) -> Source:
    labels = settings.get("labels", "en")
    if rest.startswith(("http://", "https://")):
        from tandem.sources.endpoint import Endpoint

        told, seconds = settings.get("predicates"), settings.get("seconds")
        contact = _contact(settings)
        return Endpoint(rest, contact=contact, labels=labels, predicates=told, seconds=seconds, name=around.name)
    from tandem.sources.sparql import GraphFile

    return GraphFile(*map(around.file, rest.split(",")), labels=labels, name=around.name)


def _sql(rest: str, settings: dict[str, Any], around: _Around) -> Source:
    file = re.match(r"(?:sqlite|duckdb):///(.+)", rest)
    if "://" in rest and not file:
        from tandem.sources.database import Database

        return Database(rest, name=around.name, **settings)
    from tandem.sources.sql import TableFiles

    return TableFiles(*map(around.file, (file[1] if file else rest).split(",")), name=around.name)


def _wikipedia(rest: str, settings: dict[str, Any], around: _Around) -> Source:
    from tandem.sources.entities import Linker, capitalised
    from tandem.sources.wikipedia import ENGLISH, Taken, Wikipedia

    if rest and not rest.startswith(("http://", "https://")) and not re.fullmatch(r"[a-z][a-z\-]{1,11}", rest):
        raise UserError(
            f"{rest!r} is no language", where="wikipedia", remedy="write wikipedia:de, or api.php's address"
        )
    language = ENGLISH.replace("//en.", f"//{rest}.") if rest else ENGLISH
    kinds = {key: settings[key] for key in ("what", "sentences", "words", "hits", "options") if key in settings}
    named = settings.get("entities", "")
    names: Callable[[str], Iterable[str]] | None = None
    if named:
        names = capitalised if named == "capitalised" else Linker.read(around.file(named)).names
    return Wikipedia(
        contact=_contact(settings),
        address=rest if "://" in rest else language,
        taken=Taken(**kinds),
        entities=names,
        recorder=around.recorder,
        name=around.name or ("wikipedia" if not rest or "://" in rest else f"wikipedia:{rest}"),
    )


def _web(rest: str, settings: dict[str, Any], around: _Around) -> Source:
    from tandem.sources.web import WebSearch

    engine, _, site = rest.partition("#")
    source = WebSearch(engine, site=settings.get("site", site))
    source.name = around.name or source.name
    return source


def _replay(rest: str, settings: dict[str, Any], around: _Around) -> Source:
    from tandem.sources.replayed import Replayed

    path, mark, name = (rest, "", "") if (around.beside / rest).exists() else rest.partition("#")
    source = Replayed.read(f"{around.file(path)}{mark}{name}")
    source.name = around.name or source.name
    return source


_MAKERS: dict[str, Callable[[str, dict[str, Any], _Around], Source]] = {
    "passages": _passages,
    "dataset": _dataset,
    "flashcards": _flashcards,
    "sparql": _sparql,
    "sql": _sql,
    "wikipedia": _wikipedia,
    "web": _web,
    "replay": _replay,
}


def _contact(settings: Mapping[str, Any]) -> str:
    return str(settings.get("contact") or os.environ.get(CONTACT, ""))


# ── Checking what is written ────────────────────────────────────────────────────────────────────────────────────────


def check(given: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]], where: str) -> None:
    """Raise UserError for a setting that is unknown or of another type."""
    known({key: value for key, value in given.items() if key != "address"}, kinds, where)
    for key, types in kinds.items():
        value = given.get(key)
        if key in given and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            wanted = " or ".join(_TYPES[one] for one in types)
            raise UserError(f"{key} cannot be {value!r}", where=where, remedy=f"give {wanted}")
    told = given.get("predicates", {})
    if "seconds" in given and not given["seconds"] > 0:
        raise UserError(f"seconds cannot be {given['seconds']:g}", where=where, remedy="give a number above 0")
    if (by := given.get("by", "words")) not in _BY:
        raise UserError(f"by cannot be {by!r}", where=where, remedy=f"give {', '.join(_BY)}")
    if not all(isinstance(text, str) for text in told.values()):
        raise UserError("predicates have to be described by texts", where=where, remedy='"wdt:P19" = "place of birth"')


_BY = ("words", "meaning", "both")
_TYPES = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", dict: "a table", list: "a list"
}  # fmt: skip


def known(given: Iterable[str], names: Iterable[str], where: str) -> None:
    """Raise UserError for a name that is none of `names`."""
    listed = list(names)
    for key in given:
        if key not in listed:
            near = difflib.get_close_matches(key, listed, n=1)
            others = f"known are {', '.join(listed)}" if listed else "it takes no settings"
            remedy = f"did you mean {near[0]!r}?" if near else others
            raise UserError(f"no setting is called {key!r}", where=where, remedy=remedy)


def _advice(kind: str, rest: str, address: str) -> str:
    """What may have been meant, or the forms there are."""
    suffix = Path(address).suffix.lower()
    fits = {
        "sparql": (".ttl", ".nt", ".nq", ".trig", ".rdf", ".owl"),
        "sql": (".csv", ".tsv", ".parquet", ".duckdb", ".sqlite"),
        "replay": (".db",),
    }
    if address and Path(address).exists():
        meant = next((word for word, suffixes in fits.items() if suffix in suffixes), None)
        if meant or Path(address).is_dir():
            return f"write {meant or 'passages'}:{address}"
    near = difflib.get_close_matches(kind, SETTINGS, n=1)
    told = f"did you mean {near[0] + (':' + urls.shown(rest) if rest else '')!r}? " if near and near[0] != kind else ""
    return told + forms()


def forms() -> str:
    """All forms of address, for a remedy."""
    width = max(map(len, FORMS))
    return "an address is one of:" + "".join(f"\n      {form:<{width}}  {what}" for form, what in FORMS.items())
