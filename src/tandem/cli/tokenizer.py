"""`tandem tokenizer train | xgen | check | show`: make a tokenizer, and see what one does."""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")

    train = actions.add_parser(
        "train",
        help="train byte-level BPE with tokens for runs of white space",
        description="Train byte-level BPE on text files, JSONL, Parquet or folders of source code.",
    )
    train.add_argument("--text", required=True, nargs="+", metavar="PATH", help="files, folders, globs, or python:code")
    train.add_argument("--vocabulary", type=int, default=16_384, metavar="N", help="live ids (default 16384)")
    train.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write")
    train.add_argument("--field", default="text", help="field that holds the text in JSONL and Parquet (default text)")
    train.add_argument("--special", action="append", default=[], metavar="MARK", help="a further mark; may be repeated")
    train.add_argument("--no-whitespace-runs", action="store_true", help="only the runs that training finds itself")
    train.add_argument(
        "--row-multiple", type=int, default=64, metavar="N", help="rows are rounded up to it (default 64)"
    )
    train.add_argument("--limit", metavar="SIZE", help='read at most this much text, such as "6 MB"')

    xgen = actions.add_parser(
        "xgen",
        help="rebuild XGen's tokenizer from GPT-2's ranks",
        description="Rebuild XGen's tokenizer (50,313 live ids in 51,200 rows) from a file with GPT-2's ranks.",
    )
    xgen.add_argument(
        "--ranks",
        required=True,
        type=Path,
        metavar="FILE",
        help="a .tiktoken file, vocab.bpe or merges.txt, or a folder with GPT-2's tokenizer.json",
    )
    xgen.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write")

    check = actions.add_parser(
        "check",
        help="find what is wrong with a tokenizer; exit status 1 when something is",
        description="Find what is wrong with a tokenizer. Exit status 1 when an error is found.",
    )
    check.add_argument("folder", type=Path, metavar="DIR", help="a Hugging Face folder or a tokenizer.json")
    check.add_argument("--text", action="append", default=[], type=Path, metavar="FILE", help="measure this text too")

    show = actions.add_parser(
        "show", help="how a text is cut into tokens", description="How a text is cut into tokens, with their ids."
    )
    show.add_argument("folder", type=Path, metavar="DIR", help="a Hugging Face folder or a tokenizer.json")
    show.add_argument("text", help="the text")


def run(options: argparse.Namespace) -> int | None:
    """Run the chosen action; 1 when `check` finds errors."""
    actions = {"train": _train, "xgen": _xgen, "check": _check, "show": _show}
    return actions[options.action](options)


def _train(options: argparse.Namespace) -> None:
    import time
    from collections.abc import Iterator

    from tandem import text
    from tandem.corpus.read import SourceSpec, read
    from tandem.errors import UserError
    from tandem.recipes.quantities import n_bytes
    from tandem.tokenizer import train

    size = 0

    def texts() -> Iterator[str]:
        nonlocal size
        for path in options.text:
            room = None if limit is None else limit - size
            if room is not None and room <= 0:
                return
            for document in read(SourceSpec(path, field=options.field, limit=room)):
                size += len(document.text.encode("utf-8", "replace"))
                yield document.text

    try:
        limit = None if options.limit is None else n_bytes(options.limit)
    except ValueError as e:
        raise UserError(f"cannot read {options.limit!r}", where="--limit", remedy=str(e)) from e
    _vacant(options.out)
    if options.row_multiple < 1:
        raise UserError("rows are rounded up to a positive number", where="--row-multiple", remedy="give 64 or 128")
    start = time.perf_counter()
    tokenizer = train(
        texts(),
        options.vocabulary,
        whitespace_runs=not options.no_whitespace_runs,
        specials=options.special,
        row_multiple=options.row_multiple,
    )
    seconds = time.perf_counter() - start
    if size == 0:
        raise UserError("no text to train on", where=" ".join(options.text), remedy="name files that hold text")
    tokenizer.save(options.out)
    print(f"text     {text.size(size)}, read and trained on in {text.duration(seconds)}")
    if tokenizer.live < options.vocabulary:
        print(f"note     the text has pairs for {tokenizer.live:,} ids only, of {options.vocabulary:,} asked for")
    _summary(tokenizer, options.out)


def _xgen(options: argparse.Namespace) -> None:
    from tandem.tokenizer import xgen

    _vacant(options.out)
    tokenizer = xgen(options.ranks)
    tokenizer.save(options.out)
    _summary(tokenizer, options.out)


def _vacant(out: Path) -> None:
    """Refuse a folder that a tokenizer stands in: models and corpora may depend on it."""
    from tandem.errors import UserError

    if out.exists() and not out.is_dir():
        raise UserError("is a file, not a folder", where=str(out), remedy="name a new folder with --out")
    if (out / "tokenizer.json").exists():
        raise UserError("a tokenizer stands here already", where=str(out), remedy="choose another --out, or remove it")


def _summary(tokenizer: object, out: Path) -> None:
    from tandem.tokenizer import Tokenizer

    assert isinstance(tokenizer, Tokenizer)
    print(f"ids      {tokenizer.live:,} live in {tokenizer.vocabulary:,} rows")
    print(f"end      {tokenizer.end:,}")
    print(f"pad      {tokenizer.pad:,}")
    print(f"content  {tokenizer.fingerprint}")
    print(f"written  {out}\n\nNext: tandem tokenizer check {out}")


def _check(options: argparse.Namespace) -> int:
    import textwrap

    from tandem.errors import UserError
    from tandem.tokenizer import check, load

    texts = {}
    for path in options.text:
        if not path.is_file():
            raise UserError("no such file", where=str(path), remedy="name a text file")
        texts[path.name] = path.read_text(encoding="utf-8", errors="replace")
    report = check(load(options.folder), texts)
    for finding in report.findings:
        head = f"{finding.severity:<8} {finding.name}"
        body = finding.message + (f"  {finding.example}" if finding.example else "")
        lines = textwrap.wrap(f"{head}: {body}", 79, subsequent_indent=" " * 9, break_long_words=False)
        print("\n".join(lines))
    print(f"\n{len(report.errors)} errors, {len(report.warnings)} warnings")
    return 1 if report.errors else 0


def _show(options: argparse.Namespace) -> None:
    from tandem.tokenizer import load

    tokenizer = load(options.folder)
    ids = tokenizer.encode(options.text)
    for i in ids:
        data = tokenizer.decode_bytes([i])
        try:
            shown = repr(data.decode())
        except UnicodeDecodeError:
            shown = repr(data)
        print(f"{i:>8}  {shown}")
    size = len(options.text.encode("utf-8", "replace"))
    print(f"\n{len(ids)} tokens, {size} bytes" + (f", {size / len(ids):.2f} bytes per token" if ids else ""))
