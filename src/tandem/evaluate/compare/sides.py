"""What is compared: a run's folder, or a file of JSON lines with ids and scores; each becomes scores by task.

    tandem evaluate     TASK-items.jsonl, or TASK-stepN.jsonl of programs; settings in recipe.toml
                        and of judges: question_id with its turn, or the instruction, stands for an id
    tandem quickstart   NN-evaluate/items.jsonl: each kind of item and each system is a task
    any file            one JSON object a line: id, a score, and whatever shows the item

What this does not do: score anything; a file without scores is measured first, or named with its field.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.evaluate.choices import METRICS
from tandem.evaluate.compare.scores import Scores, gather
from tandem.programs import rows
from tandem.runs import file_hash

IDS = ("id", "task_id", "question_id", "instruction")
"""Fields that hold an item's id: the first that is there counts."""
_STEP = re.compile(r"(.+)-step(\d+)")
Row = tuple[str, Mapping[str, Any], Any]


@dataclass(frozen=True)
class Side:
    """One of the systems that are compared."""

    name: str
    """Short name, unlike the others'."""
    path: Path
    """Where its scores come from."""
    scores: Mapping[str, Scores]
    """By task."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How the run was made."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """File → SHA-256 of what was read."""
    finished: bool = True
    """Whether a run's folder has its results."""


def read(
    paths: Sequence[Path], metrics: Sequence[str] = (), *, id: str | None = None, group: str | None = "group"
) -> list[Side]:
    """The sides, named so that they differ. Raises UserError, with the place, on what cannot be compared."""
    sides = []
    for name, path in zip(_names(paths), paths, strict=True):
        if path.is_dir():
            sides.append(_folder(name, path, metrics, group))
        elif path.exists():
            found = list(_rows(path, *([id] if id else IDS)))
            scores = gather("items", found, metrics, where=str(path), group=group)
            sides.append(Side(name, path, {"items": scores}, hashes={path.name: file_hash(path)}))
        else:
            remedy = "name a run's folder, or a file of JSON lines with ids and scores"
            raise UserError("no such file or folder", where=str(path), remedy=remedy)
    return sides


def _folder(name: str, path: Path, metrics: Sequence[str], group: str | None) -> Side:
    """A run's folder."""
    recipe = _recipe(path / "recipe.toml")
    scores: dict[str, Scores] = {}
    hashes: dict[str, str] = {}
    items = sorted(path.glob("*-items.jsonl"))
    steps = sorted(file for file in path.glob("*-step*.jsonl") if _STEP.fullmatch(file.stem))
    for file in [*items, *steps]:
        task = file.stem.removesuffix("-items")
        facts = recipe.get(task, {})
        if match := _STEP.fullmatch(file.stem):
            benchmark, step = match.group(1), int(match.group(2))
            task, facts = benchmark if step == 1 else f"{benchmark} step {step}", recipe.get(benchmark, {})
        found = list(_rows(file, *IDS))
        scores[task] = gather(task, found, metrics, where=str(file), facts=_table(facts), group=group)
        hashes[file.name] = file_hash(file)
    for file in sorted(path.glob("*-evaluate/items.jsonl")):
        for task, found in _quickstart(file).items():
            scores[task] = gather(task, found, metrics, where=str(file), facts=_world(recipe), group=group)
        hashes[f"{file.parent.name}/{file.name}"] = file_hash(file)
    if not scores:
        remedy = "name a folder of tandem evaluate or tandem quickstart, or a file of JSON lines"
        raise UserError("holds no scores of items", where=str(path), remedy=remedy)
    return Side(name, path, scores, _table(recipe.get("evaluate", {})), hashes, (path / "results.json").exists())


def _quickstart(file: Path) -> dict[str, list[Row]]:
    """Rows of a recipe's evaluation, by kind of item and system."""
    found: dict[str, list[Row]] = {}
    for id, record, line in _rows(file, "id"):
        system, kind = str(record.get("system", "")), str(record.get("kind", "items"))
        task = f"{kind}, {system}" if system else kind
        predictions = record.get("predictions")
        if isinstance(predictions, list) and "right" not in record:
            verdicts = {m: p == record.get("answer") for m, p in zip(METRICS, predictions, strict=False)}
            record = {**record, **verdicts}
        found.setdefault(task, []).append((id.removesuffix(f"/{system}"), record, line))
    return found


def _world(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What the items of a recipe's evaluation depend on."""
    kept = {name: recipe[name] for name in ("world", "evaluation") if isinstance(recipe.get(name), dict)}
    return {f"{name}.{key}": value for name, part in kept.items() for key, value in part.items()}


def _rows(file: Path, *ids: str) -> Iterator[Row]:
    """Every record with its id and its line. Raises UserError on a line without one, and on no lines."""
    empty = True
    if file.suffix == ".jsonl":
        source = _lines(file)
    else:
        source = ((where, row, row) for where, row in rows.read(file))
    for where, record, line in source:
        empty = False
        if not isinstance(record, dict):
            raise UserError("is not an object", where=where, remedy="write one JSON object a line, with id and score")
        id = next((record[name] for name in ids if name in record), None)
        if id is None or isinstance(id, list | dict):
            there = f"its fields: {', '.join(record)}"
            remedy = "say which field holds it: --id FIELD"
            raise UserError(f"no field {' or '.join(ids)} ({there:.200})", where=where, remedy=remedy)
        if "turn" in record:  # turns of one conversation are items that share a source
            yield f"{id}, turn {record['turn']}", {"group": str(id), **record}, line
        else:
            yield str(id), record, line
    if empty:
        raise UserError("holds no rows", where=str(file), remedy="is the run that wrote it finished?")


def _lines(file: Path) -> Iterator[tuple[str, Any, Any]]:
    """Parsed lines of a plain file, each with its bytes; also a last line that a kill has torn is an error."""
    with file.open("rb") as open_file:
        for number, line in enumerate(open_file, 1):
            if line.strip():
                try:
                    yield f"{file}:{number}", json.loads(line), line
                except (ValueError, RecursionError) as e:
                    remedy = "mend the line, or run the command that wrote it again"
                    raise UserError(f"not JSON ({e})", where=f"{file}:{number}", remedy=remedy) from None


def _recipe(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as e:
        raise UserError(f"cannot be read ({e})", where=str(file), remedy="is it the run's own recipe.toml?") from None


def _table(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _names(paths: Sequence[Path]) -> list[str]:
    """The ends of paths, as long as it takes to tell them apart; the same path twice is numbered."""
    parts = [path.resolve().parts for path in paths]
    for length in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{path.name} ({number})" for number, path in enumerate(paths, 1)]
