"""`tandem corpus`: raw text to tokens on disk, a look at what lies there, test items that stand in it."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tandem.cli import corpus_overlap

if TYPE_CHECKING:
    from tandem.corpus.shards import Shards
    from tandem.tokenizer import Tokenizer

FORMS = ("auto", "text", "lines", "code", "jsonl", "parquet")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the commands."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    build = commands.add_parser(
        "build",
        help="read, clean, de-duplicate, split and tokenise text into a new folder",
        description="Read, clean, de-duplicate, split and tokenise text into OUT/train and OUT/validation.",
        epilog="Example: tandem corpus build --text notes/ --tokenizer tokenizer/ --out corpus/",
    )
    build.add_argument(
        "--text",
        required=True,
        metavar="PATH",
        help="a file, a folder, a quoted glob, python:code or python:docstrings (the library of this Python); "
        "plain, .gz or .zst",
    )
    build.add_argument(
        "--tokenizer", required=True, type=Path, metavar="DIR", help="tokenizer folder or tokenizer.json"
    )
    build.add_argument("--out", required=True, type=Path, metavar="DIR", help="new folder for the tokens")
    build.add_argument(
        "--validation", type=float, default=0.01, metavar="SHARE", help="share of documents held out (default 0.01)"
    )
    build.add_argument(
        "--form",
        choices=FORMS,
        default="auto",
        help="text, code: a document per file; lines: one per line; jsonl, parquet: one per record; "
        "auto (default): by each file's name",
    )
    build.add_argument(
        "--field", default="text", metavar="NAME", help="JSONL field or Parquet column with the text (default text)"
    )
    build.add_argument(
        "--limit", metavar="SIZE", help='read at most this much text, such as "6 MB", from files spread over the source'
    )
    build.add_argument("--longest", default="1 MiB", metavar="SIZE", help="longer documents are split (default 1 MiB)")
    build.add_argument(
        "--longest-line", default="64 MiB", metavar="SIZE", help="longer JSONL lines are left out (default 64 MiB)"
    )
    build.add_argument(
        "--keep-damaged", action="store_true", help="keep what can be read of truncated .gz and .zst files"
    )
    build.add_argument("--keep-duplicates", action="store_true", help="keep documents that are equal after cleaning")
    build.add_argument("--seed", type=int, default=0, help="of the order of the documents (default 0)")
    build.add_argument(
        "--memory", default="256 MiB", metavar="SIZE", help="for the hashes of documents seen (default 256 MiB)"
    )

    inspect = commands.add_parser(
        "inspect",
        help="say what a folder of tokens holds",
        description="Say what a folder of tokens holds; with its tokenizer, show the first documents.",
    )
    inspect.add_argument("folder", type=Path, metavar="DIR", help="what `tandem corpus build` wrote")
    inspect.add_argument("--tokenizer", type=Path, metavar="DIR", help="decode the first documents with this tokenizer")
    inspect.add_argument("--documents", type=int, default=3, metavar="N", help="how many documents to show (default 3)")
    inspect.add_argument("--verify", action="store_true", help="read every token and compare with the stored hash")

    overlap = commands.add_parser(
        "overlap",
        help="say which test items stand in a text",
        description="Say which items of benchmarks, or of a file, stand in a text: 13 words in a row.",
        epilog="Example: tandem corpus overlap --text notes/ --tasks mmlu --data data/",
    )
    corpus_overlap.configure(overlap, FORMS)


def run(options: argparse.Namespace) -> int | None:
    """Do what was asked."""
    if options.action == "overlap":
        return corpus_overlap.run(options)
    return _build(options) if options.action == "build" else _inspect(options)


def _build(options: argparse.Namespace) -> int:
    from tandem import tokenizer
    from tandem.corpus.build import build
    from tandem.corpus.read import SourceSpec
    from tandem.text import count, size

    source = SourceSpec(
        options.text,
        form=options.form,
        field=options.field,
        limit=None if options.limit is None else _bytes("--limit", options.limit),
        longest=_bytes("--longest", options.longest),
        longest_line=_bytes("--longest-line", options.longest_line),
        keep_damaged=options.keep_damaged,
    )
    began = last = time.monotonic()
    live = sys.stderr.isatty()

    def progress(documents: int, n_bytes: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < (0.2 if live else 10):
            return
        last = now
        line = f"{count(documents)} documents, {size(n_bytes)}, {size(n_bytes / (now - began))}/s"
        print(f"\r{line:<70}" if live else line, end="" if live else "\n", file=sys.stderr, flush=True)

    try:
        report = build(
            source,
            tokenizer.load(options.tokenizer),
            options.out,
            seed=options.seed,
            validation=options.validation,
            deduplicate=not options.keep_duplicates,
            memory=_bytes("--memory", options.memory),
            progress=progress,
        )
    finally:
        if live:
            print(f"\r{'':<70}\r", end="", file=sys.stderr, flush=True)
    print("\n".join(report.ledger.lines()))
    print()
    for name, portion in (("train", report.train), ("validation", report.validation)):
        print(f"{name:<10} {count(portion.documents):>12} documents {count(portion.tokens):>15} tokens")
    print(f"{report.bytes_per_token:.2f} bytes a token; {size(report.bytes_read)} read; in {options.out}")
    if not report.validation.documents and options.validation:
        print("note: a single document cannot be split: nothing is held out for validation")
    return 0


def _inspect(options: argparse.Namespace) -> int:
    from tandem import tokenizer
    from tandem.corpus.shards import Shards
    from tandem.text import count, size

    encoder = None if options.tokenizer is None else tokenizer.load(options.tokenizer)
    parts = [options.folder / name for name in ("train", "validation") if (options.folder / name).is_dir()]
    for folder in parts or [options.folder]:
        shards = Shards(folder, encoder)
        if options.verify:
            shards.verify()
        n_bytes = f", {shards.text_bytes / shards.tokens:.2f} bytes of text a token" if shards.text_bytes else ""
        print(f"{folder}")
        print(f"  {count(shards.documents)} documents, {count(shards.tokens)} tokens{n_bytes}")
        lengths = f"shortest {_length(shards, 0.0)}, median {_length(shards, 0.5)}, longest {_length(shards, 1.0)}"
        print(f"  tokens a document, end mark included: {lengths}")
        print(f"  {size(shards.stored_bytes)} on disk, vocabulary {count(shards.vocabulary)}, end mark {shards.end}")
        print(f"  content {shards.fingerprint}, tokenizer {shards.tokenizer}")
        if options.verify:
            print("  every token is as it was written")
        if encoder is not None:
            _show(shards, encoder, options.documents)
    return 0


def _show(shards: Shards, encoder: Tokenizer, n: int) -> None:
    for number in range(min(n, shards.documents)):
        ids = shards.document(number)
        text = encoder.decode(ids[:200].tolist())
        shown = "\n".join("  | " + line[:75] for line in text.split("\n")[:8])
        print(f"  document {number}, {len(ids):,} tokens:\n{shown}")


def _length(shards: Shards, quantile: float) -> str:
    import numpy as np

    return f"{np.quantile(np.diff(shards.starts), quantile):,.0f}"


def _bytes(flag: str, given: str) -> int:
    from tandem.errors import UserError
    from tandem.recipes.quantities import n_bytes

    try:
        return n_bytes(given)
    except ValueError as e:
        raise UserError(f"cannot read {given!r}", where=flag, remedy=str(e)) from e
