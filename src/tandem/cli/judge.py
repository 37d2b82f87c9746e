"""`tandem judge A B`: people say which of two answers is better, blind, on a page of this machine.

Every judgment is on disk before the page goes on; Ctrl-C ends, the same command goes on. `--summary` prints what a
folder or file of judgments says, at any time and without a page.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tandem.runs import Run
    from tandem.view.judging.ledger import Judging, Ledger, Record
    from tandem.view.judging.pairs import Joined, Pair

QUESTION = "Which answer is better?"
ITEMS = 50


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem judge`."""
    add = parser.add_argument
    add(
        "sides",
        nargs="*",
        type=Path,
        metavar="A B",
        help="answers of two systems: files of JSON lines with id, prompt and output, or folders of runs",
    )
    add("--question", default=QUESTION, metavar="TEXT", help=f"what is asked about each pair (default: {QUESTION})")
    add("--items", type=int, default=ITEMS, metavar="N", help=f"judge N pairs, drawn by the seed; 0: all ({ITEMS})")
    add("--seed", type=int, default=0, metavar="N", help="decides pairs, their order and their sides (default: 0)")
    add(
        "--annotator",
        action="append",
        default=[],
        metavar="NAME",
        help="who judges; may be given again (default: anybody, by a name typed on the page)",
    )
    add("--show", action="append", default=[], metavar="FIELD", help="show a field, too: reference, context, rationale")
    add("--names", nargs=2, metavar=("A", "B"), help="names of the systems for the results (default: from the paths)")
    add("--task", default="", metavar="NAME", help="which task of a run's folder, where it has several")
    add("--id", default="", metavar="FIELD", help="field that holds the id (default: id, task_id, question_id)")
    add("--prompt", default="", metavar="FIELD", help="field that holds the prompt (default: question, instruction, …)")
    add("--answer", default="", metavar="FIELD", help="field that holds the answer (default: output, answer, …)")
    add("--answer-b", default="", metavar="FIELD", help="the same for B, where it is another one")
    add("--code", action="store_true", help="set all answers in a fixed width (default: those with indented lines)")
    add("--out", type=Path, metavar="DIR", help="run folder for judgments, results, report (default: judged-A-B)")
    add("--port", type=int, default=0, metavar="N", help="port of the page (default: a free one)")
    add("--host", default="127.0.0.1", help="loopback address of the page (default: 127.0.0.1)")
    add("--open", action="store_true", help="show the page in a browser")
    add("--summary", type=Path, metavar="PATH", help="print what a folder or file of judgments says, and end")
    add("--json", action="store_true", help="with --summary: everything as JSON")
    add("--csv", type=Path, metavar="FILE", help="with --summary: write every judgment as a row")


def run(options: argparse.Namespace) -> int:
    """Read both sides, open the folder, serve until it is interrupted; or print a summary."""
    from tandem.errors import UserError

    if options.summary:
        return _summary(options)
    for given, name in ((options.json, "--json"), (options.csv, "--csv")):
        if given:
            raise UserError("goes with --summary", where=name, remedy="tandem judge --summary DIR " + name)
    if len(options.sides) != 2:
        raise UserError(f"{len(options.sides)} sides are given", remedy="name two: tandem judge A B")
    if options.items < 0:
        raise UserError(f"is {options.items}", where="--items", remedy="give a number, or 0 for all")
    return _serve(options)


def _serve(options: argparse.Namespace) -> int:
    from tandem.runs import Run
    from tandem.text import fingerprint
    from tandem.view.judging import blind, ledger
    from tandem.view.judging.site import Site, name_of
    from tandem.view.pages import Pages
    from tandem.view.serving import application, open_door, serve

    annotators = [name_of(name) for name in options.annotator]
    joined = _joined(options)
    pairs = blind.chosen(joined.pairs, options.items or None, options.seed)
    content = fingerprint([[p.id, p.prompt, p.answers] for p in pairs])
    judging = ledger.Judging(joined.names, options.question.strip() or QUESTION, len(pairs), options.seed, content)
    out = options.out or Path(re.sub(r"[^\w.-]+", "-", f"judged-{'-'.join(joined.names)}").rstrip("-"))
    if (out / ledger.FILE).exists():
        ledger.check(ledger.read(out / ledger.FILE).judging, judging, out / ledger.FILE)
    for line in _told(joined, len(pairs), options):
        print(line)
    door = open_door(options.port, options.host)
    hashes = {side.name: side.sha256 for side in joined.sides}
    with Run(out, _recipe(judging, options), {"seed": options.seed, "sha256": hashes}) as folder:
        kept = ledger.Ledger(out / ledger.FILE, judging)
        print(f"Judgments: {kept.path}" + _standing(kept.record))
        folder.event("judging begins")
        pages = Pages(door.keys.form)
        site = Site(
            pairs,
            kept,
            pages,
            annotators=annotators,
            code=options.code,
            finished=lambda: _write(folder, kept, pairs),
        )
        try:
            serve(application(site.routes(), door, pages), door, open=options.open)
        finally:
            folder.event("judging ends", judged={name: len(judged) for name, judged in kept.record.by.items()})
            kept.close()
        print(f"\nSaved: {kept.path}" + _standing(kept.record))
        if kept.record.by:
            print(f"Report: {_write(folder, kept, pairs)}")
        print(f"The same command goes on; the table: tandem judge --summary {shlex.quote(str(out))}")
    return 0


def _joined(options: argparse.Namespace) -> Joined:
    from tandem.errors import UserError
    from tandem.view.judging import pairs
    from tandem.view.judging.ledger import TIE, UNSURE

    names = tuple(options.names) if options.names else pairs.names(options.sides)
    if len({*names, TIE, UNSURE}) < 4 or not all(name.strip() for name in names):
        raise UserError(f"the systems are called {names[0]!r} and {names[1]!r}", where="--names", remedy="name others")
    fields = [
        pairs.Fields(options.id, options.prompt, answer, tuple(options.show))
        for answer in (options.answer, options.answer_b or options.answer)
    ]
    first, second = (
        pairs.side(path, name, each, options.task)
        for path, name, each in zip(options.sides, names, fields, strict=True)
    )
    return pairs.join(first, second, options.show)


def _told(joined: Joined, n: int, options: argparse.Namespace) -> list[str]:
    """What was read and what of it is judged."""
    from tandem.text import count

    lines = [f"{s.name}: {count(len(s.rows))} row{'s' * (len(s.rows) != 1)} of {s.file}" for s in joined.sides]
    for side in joined.sides:
        if side.further:
            lines.append(f"left out: {count(side.further)} further samples of {side.name}; the first is judged")
    drawn = f", drawn by seed {options.seed}" if n < len(joined.pairs) else ""
    lines.append(f"{count(n)} of {count(len(joined.pairs))} pairs{drawn}")
    for name, alone in zip(joined.names, joined.unmatched, strict=True):
        if alone:
            lines.append(f"left out: {count(alone)} rows of {name} that the other side has not")
    if joined.unanswered:
        lines.append(f"left out: {count(joined.unanswered)} pairs without an answer on one side")
    if joined.alike:
        lines.append(f"{count(joined.alike)} of the pairs have the same text on both sides")
    return lines


def _standing(record: Record) -> str:
    """`: Anna 12 of 50, Ben 50 of 50 (finished)`."""
    each = [
        f"{name} {len(judged)} of {record.judging.items}" + (" (finished)" if name in record.finished else "")
        for name, judged in record.by.items()
    ]
    return f": {', '.join(each)}" if each else ""


def _recipe(judging: Judging, options: argparse.Namespace) -> str:
    """What is judged, as TOML: texts, numbers and lists of texts, which JSON writes alike."""
    import json

    values = judging.to_json() | {"show": options.show}
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(["[judge]", *lines]).replace("\x7f", "\\u007f") + "\n"


def _write(folder: Run, kept: Ledger, pairs: tuple[Pair, ...]) -> Path:
    """Results, final judgments and the report."""
    from tandem import report
    from tandem.runs import write_whole
    from tandem.view.judging import export, told

    write_whole(folder.path / "items.jsonl", export.as_lines(kept.record).encode("utf-8", "replace"))
    folder.write_results(told.results(kept.record, {pair.id: pair for pair in pairs}))
    return report.write(folder.path)


def _summary(options: argparse.Namespace) -> int:
    """The tables of a folder or file of judgments."""
    from tandem.cli.markdown import markdown
    from tandem.errors import UserError
    from tandem.runs import write_whole
    from tandem.view.judging import export, ledger, told

    if options.sides:
        raise UserError("takes a folder or a file, and no sides", where="--summary", remedy="leave A and B out")
    path = options.summary / ledger.FILE if options.summary.is_dir() else options.summary
    record = ledger.read(path)
    if options.csv:
        write_whole(options.csv, export.as_csv(record).encode("utf-8", "replace"))
        print(f"Judgments: {options.csv}", file=sys.stderr)
    if options.json:
        print(export.as_json(record), end="")
        return 0
    print(record.judging.question)
    print(told.lead_of(record, told.pooled(record)))
    for table in told.tables(record) if record.by else []:
        print(f"\n{table.title}\n")
        print(markdown(table))
        if table.note:
            print(f"\n{table.note}")
    return 0
