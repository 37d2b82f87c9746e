"""`tandem answers stats|show|export|import`: look into recorded answers, and carry them from file to file."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections import Counter

    from tandem.store import Record, Store

NAMED = 20
"""Lines that cannot be read are named up to so many, and counted beyond."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the four actions."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    stats = actions.add_parser("stats", help="how much is recorded, by model")
    show = actions.add_parser("show", help="the recorded answers as people read them")
    export = actions.add_parser("export", help="everything as JSON lines, without loss")
    take = actions.add_parser("import", help="take over JSON lines; what is recorded already stays as it is")
    for action in (stats, show, export):
        action.add_argument("file", type=Path, metavar="FILE", help="a file of recorded answers")
    for action in (show, export):
        action.add_argument("--model", metavar="NAME", help="of this model only")
        kinds = ("answers", "setbacks", "scores", *(("lookups",) if action is export else ()))
        action.add_argument("--only", choices=kinds, help="of this kind only")
    show.add_argument("--containing", metavar="TEXT", help="with this text in prompt or answer")
    show.add_argument("--limit", type=int, default=10, metavar="N", help="at most so many (default 10)")
    show.add_argument("--whole", action="store_true", help="do not shorten long texts")
    export.add_argument("--out", type=Path, metavar="FILE", help="a new file (default: standard output)")
    take.add_argument("file", type=Path, metavar="FILE", help="a file of recorded answers, made when there is none")
    take.add_argument("lines", nargs="+", metavar="JSONL", help="files of JSON lines; - is standard input")


def run(options: argparse.Namespace) -> int | None:
    """Do what was asked."""
    from tandem.errors import UserError

    if options.file.is_dir():
        raise UserError("is a folder", where=str(options.file), remedy="name a file of recorded answers")
    actions = {"stats": _stats, "show": _show, "export": _export, "import": _import}
    return actions[options.action](options)


def _stats(options: argparse.Namespace) -> None:
    from tandem.store import Store
    from tandem.text import size

    with Store(options.file, read_only=True) as store:
        counted = store.stats()
        print(f"{options.file}: {size(options.file.stat().st_size)}, {_named(store)}")
        for name, counts in counted.items():
            print(f"{printable(name)}")
            for line in _lines(counts):
                print(f"  {line}")
            if len(served := store.served(name)) > 1:
                print(f"  turned out to be, in this order: {', '.join(map(printable, served))}")


def _named(store: Store) -> str:
    """How many models and sources a file knows."""
    models, sources = len(store.names()), len(store.sources())
    told = f"{models} model{'s' * (models != 1)}"
    return told + (f", {sources} source{'s' * (sources != 1)}" if sources else "")


def _lines(counts: Counter[str]) -> Iterator[str]:
    """Counts of one model in words."""
    from tandem.text import count

    tokens = {what: counts.pop(what, 0) for what in ("tokens read", "tokens written")}
    yield ", ".join(f"{what} {count(n)}" for what, n in counts.items())
    if any(tokens.values()):
        yield ", ".join(f"{what} {count(n)}" for what, n in tokens.items())


def _show(options: argparse.Namespace) -> None:
    from tandem.errors import UserError
    from tandem.store import Store

    if options.limit < 1:
        remedy = "give at least 1; the recorded answers as JSON lines: tandem answers export"
        raise UserError(f"is {options.limit}", where="--limit", remedy=remedy)
    shown = 0
    with Store(options.file, read_only=True) as store:
        if options.model is not None and options.model not in store.names():
            names = ", ".join(map(printable, store.names()))
            raise UserError(f"nothing of {options.model!r} is recorded", where=str(options.file), remedy=f"of: {names}")
        for record in store.records(options.model, only=options.only):
            title, prompt, answer = _described(record)
            if options.containing and not any(options.containing in text for text in (prompt, answer)):
                continue
            if shown == options.limit:
                print(f"… more than {shown}; see --limit, --only, --containing")
                break
            shown += 1
            print(f"── {title}")
            for mark, text in (("  │ ", prompt), ("  → ", answer)):
                print("\n".join(mark + line for line in _shortened(printable(text), options.whole)))
    if not shown:
        print("nothing is recorded that fits")


def _described(record: Record) -> tuple[str, str, str]:
    """A record as title, prompt and answer."""
    import json
    import time

    from tandem.errors import CallFailed
    from tandem.lm.excerpt import readable
    from tandem.lm.keys import read_prompt
    from tandem.store import Scored

    body = json.loads(record.request.body)
    prompt = readable(read_prompt(body.get("context") or body.get("prompt")))
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.at))
    name = printable(record.request.name)
    if isinstance(record, Scored):
        score = record.score
        how = f"log-probability {score.logprob:.4f}, {score.tokens} tokens{', greedy' * score.greedy}"
        return f"{name} · score · {how} · {at}", prompt, record.continuation
    title = f"{name} · sample {record.index}"
    for part in ("sampling", "policies"):
        if part in body:
            title += f" · {printable(json.dumps(body[part], ensure_ascii=False))}"
    outcome = record.outcome
    if isinstance(outcome, CallFailed):
        return f"{title} · failed: {printable(outcome.kind)} · {at}", prompt, outcome.problem
    title += f" · {outcome.finish}, {outcome.usage.completion_tokens} of {record.max_tokens} tokens"
    if outcome.notes:
        title += f" · {printable(', '.join(outcome.notes))}"
    return f"{title} · {at}", prompt, outcome.text


def _shortened(text: str, whole: bool, most: int = 8, width: int = 110) -> Iterator[str]:
    """The last lines of a text, where prompts of one task differ; long lines are cut."""
    lines = text.split("\n")
    if whole:
        yield from lines
        return
    if len(lines) > most:
        yield f"… {len(lines) - most} lines"
    for line in lines[-most:]:
        yield line if len(line) <= width else f"{line[: width // 2]} … {line[-width // 2 :]}"


def printable(text: str) -> str:
    """Text that cannot steer a terminal: control characters are spelled out."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def _export(options: argparse.Namespace) -> None:
    from tandem.errors import UserError
    from tandem.runs import disk_failure
    from tandem.store import Store
    from tandem.store.lines import to_line
    from tandem.text import count

    if options.out is not None and options.out.exists():
        if options.out.is_dir():
            raise UserError("is a folder", where=str(options.out), remedy="name a new file")
        raise UserError("the file exists already", where=str(options.out), remedy="choose another, or remove it first")
    with Store(options.file, read_only=True) as store, contextlib.ExitStack() as undo:
        part = None if options.out is None else options.out.with_name(options.out.name + ".part")
        try:
            out: IO[bytes] = sys.stdout.buffer if part is None else undo.enter_context(part.open("wb"))
            n = 0
            looked_up = store.lookups() if options.model is None and options.only in (None, "lookups") else ()
            recorded = () if options.only == "lookups" else store.records(options.model, only=options.only)
            for n, record in enumerate(itertools.chain(recorded, looked_up), 1):  # noqa: B007
                out.write(to_line(record))
            out.flush()
            if part is not None:
                os.fsync(out.fileno())
                part.replace(options.out)
        except OSError as e:
            if part is None:
                raise
            part.unlink(missing_ok=True)
            raise disk_failure(e, options.out) from e
        except BaseException:
            if part is not None:
                part.unlink(missing_ok=True)
            raise
    print(f"{count(n)} records written", file=sys.stderr)


def _import(options: argparse.Namespace) -> int:
    from tandem.errors import UserError
    from tandem.lm.keys import checked
    from tandem.store import Store
    from tandem.store.lines import from_lines
    from tandem.text import count

    for name in options.lines:
        if name != "-" and (not Path(name).exists() or Path(name).is_dir()):
            problem = "is a folder" if Path(name).is_dir() else "no such file"
            raise UserError(problem, where=name, remedy="name files of JSON lines, or - for standard input")
    n_bad = 0

    def bad(place: str, why: str) -> None:
        nonlocal n_bad
        n_bad += 1
        if n_bad <= NAMED:
            print(f"{place}: {printable(why)}", file=sys.stderr)

    new = old = 0
    with Store(options.file) as store:
        for name in options.lines:
            with contextlib.ExitStack() as opened:
                lines = sys.stdin.buffer if name == "-" else opened.enter_context(Path(name).open("rb"))
                added, stood = store.add(from_lines(lines, name, checked, bad))
            new, old = new + added, old + stood
    print(f"{count(new)} new, {count(old)} recorded already, {count(n_bad)} lines that cannot be read")
    return 2 if n_bad else 0
