"""Where a benchmark's data come from: a folder with files of the usual names, files named one by one, or the hub.

A place is a folder, `NAME=FILE` (NAME is the task's, or the file's usual name), a file of a usual name, or `hub`. Files
are JSON Lines (gzip or not), a JSON list, or parquet. The hub is read with what `transformers` brings along, through
the parquet files it makes of every data set; nothing else here opens a connection.

What this does not do: guess at files of other names; two copies of a benchmark with different texts look alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tandem.errors import Failure, UserError
from tandem.evaluate.multiple_choice.benchmarks import Benchmark
from tandem.evaluate.multiple_choice.item import Item
from tandem.evaluate.places import ENDINGS, HUB
from tandem.evaluate.row import Row
from tandem.programs import rows
from tandem.runs import file_hash

READ = (*ENDINGS, ".parquet")
"""Endings of files that are read."""
CONVERTED = "refs/convert/parquet"
"""The hub's branch with every data set as parquet: CONFIG/SPLIT/0000.parquet."""

Part = Literal["items", "examples"]


@dataclass(frozen=True)
class Loaded:
    """A file's rows as items."""

    items: tuple[Item, ...]
    """In the file's order."""
    rows: tuple[Row, ...]
    """The rows they come from."""
    file: str
    """Its name, for people; no path."""
    sha256: str
    """Of its bytes."""


def load(benchmark: Benchmark, places: Sequence[Path], part: Part) -> Loaded:
    """The items or the examples of a benchmark.

    Raises UserError on data that are missing, and with file, line, field and what fields there are on a row that does
    not fit; on an id that occurs twice.
    """
    files = _files(benchmark, places, part)
    read: list[Row] = []
    items: list[Item] = []
    seen: dict[str, str] = {}
    counts: Counter[object] = Counter()
    for where, fields in (row for file in files for row in _rows(file)):
        if not isinstance(fields, dict):
            raise UserError("is not an object", where=where, remedy=benchmark.form)
        group = fields.get("subject") if benchmark.name == "mmlu" else None
        row = Row(where, counts[str(group)], fields, benchmark.form)
        counts[str(group)] += 1
        item = benchmark.read(row)
        if item.id in seen:
            problem = f"the id {item.id!r} stands at {seen[item.id]} already"
            raise UserError(problem, where=where, remedy="give each row an id of its own, or none")
        seen[item.id] = where
        read.append(row)
        items.append(item)
    if not items:
        raise UserError("holds no rows", where=str(files[0]), remedy=benchmark.form)
    digest = file_hash(files[0]) if len(files) == 1 else "+".join(file_hash(file)[:16] for file in files)
    return Loaded(tuple(items), tuple(read), ", ".join(file.name for file in files), digest)


def preamble(benchmark: Benchmark, places: Sequence[Path]) -> tuple[str, Path] | None:
    """The text that stands before every item, and its file; None where there is none. Raises UserError if missing."""
    if benchmark.preamble is None:
        return None
    named = _named(places)
    for place in [named[benchmark.preamble]] if benchmark.preamble in named else places:
        file = place / f"{benchmark.preamble}.txt" if place.is_dir() else place
        if file.is_file() and (file.stem == benchmark.preamble or place in named.values()):
            try:
                text = file.read_text(encoding="utf-8").strip("\n")
            except (OSError, UnicodeDecodeError) as e:
                raise UserError(f"cannot be read: {e}", where=str(file), remedy="save it as UTF-8") from None
            if not text.strip():
                raise UserError("is empty", where=str(file), remedy="it holds the benchmark's questions and answers")
            return text, file
    raise UserError(
        f"{benchmark.name} needs the text that stands before its questions",
        where="--data",
        remedy=f"put {benchmark.preamble}.txt into the folder, or name it: {benchmark.preamble}=FILE; it is the "
        "benchmark's own six questions with answers, a blank line between",
    )


def _files(benchmark: Benchmark, places: Sequence[Path], part: Part) -> list[Path]:
    """The files of a part; several where the hub has cut it."""
    name = benchmark.items if part == "items" else benchmark.examples
    assert name is not None, f"{benchmark.name} has no {part}"
    named, tried = _named(places), []
    for key in (name, *((benchmark.name,) if part == "items" else ())):
        if key in named:
            return [_existing(named[key])]
    for place in places:
        if str(place) == HUB and not place.exists():
            return _from_hub(benchmark, part)
        if "=" in str(place) and not place.exists():
            continue
        if not place.exists():
            raise UserError("no such file or folder", where=str(place), remedy=f"it would hold {name}.jsonl.gz")
        if place.is_dir():
            if found := [place / (name + ending) for ending in READ if (place / (name + ending)).is_file()]:
                return found[:1]
            tried.append(f"{place} has {_listing(place)}")
        elif any(place.name == name + ending for ending in READ):
            return [place]
    what = f"the {part} of {benchmark.name}"
    there = f" ({'; '.join(tried)})" if tried else ""
    raise UserError(
        f"no data for {what}{there}",
        where="--data",
        remedy=f"put {name}.jsonl.gz into the folder, name a file: {name}=FILE, or read the usual data set: hub; "
        + benchmark.form,
    )


def _named(places: Sequence[Path]) -> dict[str, Path]:
    """NAME=FILE places."""
    pairs = (str(place).partition("=") for place in places if "=" in str(place) and not place.exists())
    return {name.strip(): Path(file) for name, _, file in pairs}


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise UserError("no such file", where=str(file), remedy="check the path")
    return file


def _listing(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir() if p.name.endswith(ENDINGS))
    return ", ".join(names[:6]) + (" …" if len(names) > 6 else "") if names else "no such files"


def _rows(file: Path) -> Iterator[tuple[str, Any]]:
    if file.suffix != ".parquet":
        yield from rows.read(file)
        return
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(file)
    except (OSError, pyarrow.ArrowException) as e:
        raise UserError(f"is no parquet file: {e}", where=str(file), remedy="name a JSONL or parquet file") from None
    for number, row in enumerate(table.to_pylist(), 1):
        yield f"{file}: row {number}", row


def _from_hub(benchmark: Benchmark, part: Part) -> list[Path]:
    """The files of the usual data set, out of the hub's cache on this machine where they are there."""
    try:
        import huggingface_hub
    except ImportError:
        raise UserError("the hub needs a package", where="--data hub", remedy="pip install 'tandem-llm[hf]'") from None
    hub = benchmark.hub
    split = hub.items if part == "items" else hub.examples
    where = f"hub: {hub.repository}, {hub.config}, {split}"
    try:
        listed = huggingface_hub.list_repo_files(hub.repository, repo_type="dataset", revision=CONVERTED)
        names = sorted(n for n in listed if n.startswith(f"{hub.config}/{split}/") and n.endswith(".parquet"))
        files = [
            Path(huggingface_hub.hf_hub_download(hub.repository, name, repo_type="dataset", revision=CONVERTED))
            for name in names
        ]
    except Exception as e:
        remedy = "check the connection, or give files: --data DIR"
        raise Failure(f"cannot be had: {str(e).splitlines()[0] if str(e) else e!r}", where=where, remedy=remedy) from e
    if not files:
        raise UserError("holds no such split", where=where, remedy="give files: --data DIR")
    return files
