"""`tandem corpus overlap --text PATH … --tasks NAMES --data PATH`: do test items stand in a text?"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tandem.evaluate.overlap import Training

QUESTION = ("question", "prompt", "text", "claim", "instruction")
ANSWER = ("answer", "answers", "response", "completion", "reference", "gold")
SHOWN = 10
"""Items of a task that are printed."""


def configure(parser: argparse.ArgumentParser, forms: tuple[str, ...]) -> None:
    """Arguments of the command."""
    add = parser.add_argument
    add(
        "--text",
        nargs="+",
        required=True,
        metavar="PATH",
        help="files, folders, quoted globs; plain, .gz, .zst, JSONL, Parquet, or a folder of tokens",
    )
    add("--tasks", metavar="NAMES", help="benchmarks whose items are looked for, as tandem evaluate names them")
    add("--data", type=Path, nargs="+", default=[], metavar="PATH", help="where their data lie (docs/benchmarks.md)")
    add("--items", type=Path, metavar="FILE", help="items of your own: JSON lines with a question and its answer")
    add("--question", metavar="FIELD", help=f"of --items (default: the first of {', '.join(QUESTION)})")
    add("--answer", metavar="FIELD", help=f"of --items (default: the first of {', '.join(ANSWER)}, if there is one)")
    add("--form", choices=forms, default="auto", help="what the files are; auto (default): by each file's name")
    add("--field", default="text", metavar="NAME", help="JSONL field or Parquet column with the text (default text)")
    add("--tokenizer", type=Path, metavar="DIR", help="of a folder of tokens (default: the one beside it)")
    add("--out", type=Path, metavar="FILE", help="write every item found, one line of JSON each")


def run(options: argparse.Namespace) -> int:
    """Look, print, write."""
    from tandem.cli.markdown import markdown
    from tandem.cli.training_text import looked
    from tandem.errors import UserError
    from tandem.evaluate.overlap import told
    from tandem.results import Table
    from tandem.text import count, size

    sought: dict[str, Mapping[str, str]] = {}
    for name in dict.fromkeys(part.strip() for part in (options.tasks or "").split(",") if part.strip()):
        sought[name] = _of_task(name, options)
    if options.items:
        sought[options.items.name] = _of_file(options)
    if not sought:
        raise UserError("nothing to look for", remedy="name benchmarks with --tasks and --data, or a file with --items")
    found = looked(sought, options.text, field=options.field, tokenizer=options.tokenizer, form=options.form)
    print(f"{size(found.text_bytes)} of text, {count(found.documents)} document{'s' * (found.documents != 1)}")
    for name, here in found.looked.items():
        print(f"{name}: {told.note(here)}")
        if here.found:
            table = told.table(here)
            print(markdown(Table(table.title, table.columns, table.rows[:SHOWN])))
            if (more := len(here.found) - SHOWN) > 0:
                print(f"and {count(more)} more{'' if options.out else ': --out FILE writes them all'}")
    if options.out:
        _write(options.out, found)
    return 0


def _of_task(name: str, options: argparse.Namespace) -> Mapping[str, str]:
    """The items of a benchmark."""
    from tandem.cli.evaluate_options import CODE

    if name in CODE:
        from tandem.evaluate import code

        return code.load(name, options.data, examples=False).sought()
    from tandem.evaluate import multiple_choice

    return multiple_choice.load(name, options.data).sought()


def _of_file(options: argparse.Namespace) -> dict[str, str]:
    """The items of a file, by id, or by line where they have none."""
    from tandem.errors import UserError
    from tandem.programs import rows

    found: dict[str, str] = {}
    for where, row in rows.read(options.items):
        if not isinstance(row, dict):
            raise UserError("is not an object", where=where, remedy="write one JSON object a line")
        question = _field(row, [options.question] if options.question else QUESTION)
        if question is None:
            there = f"its fields: {', '.join(row)}"
            raise UserError(f"no question ({there:.200})", where=where, remedy="say which field holds it: --question")
        answer = _field(row, [options.answer] if options.answer else ANSWER) or ""
        id = str(row.get("id", row.get("task_id", where.rpartition(":")[2])))
        if id in found:
            raise UserError(
                f"the id {id!r} stands twice", where=where, remedy="give each item an id of its own, or none"
            )
        found[id] = f"{question}\n{answer}"
    if not found:
        raise UserError("holds no items", where=str(options.items), remedy="write one JSON object a line")
    return found


def _field(row: Mapping[str, Any], names: tuple[str, ...] | list[str]) -> str | None:
    """The first of the fields that is a text; of a list its first."""
    for name in names:
        value = row.get(name)
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, str) and value:
            return value
    return None


def _write(path: Path, found: Training) -> None:
    from tandem.runs import write_lines

    rows = [
        {"task": task, "id": id, **one.to_json()}
        for task, here in found.looked.items()
        for id, one in here.found.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_lines(path, rows)
    print(f"Items found: {path}")
