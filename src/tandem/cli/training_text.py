"""Looking for test items in training text: for `tandem evaluate --training` and `tandem corpus overlap`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tandem.cli.progress import BETWEEN_LINES
from tandem.errors import UserError

if TYPE_CHECKING:
    from tandem.cli.evaluating import Named
    from tandem.evaluate.overlap import Looked, Training
    from tandem.tokenizer import Tokenizer


@runtime_checkable
class Sought(Protocol):
    """A task whose items can be looked for."""

    name: str
    """Its name."""

    def sought(self) -> Mapping[str, str]:
        """Each item's question and right answer as one text, by id."""
        ...

    def trained(self, looked: Looked, facts: Mapping[str, Any]) -> None:
        """Take what was found, and what it was found in."""
        ...


def training_text(parser: argparse._ActionsContainer) -> None:
    """The options of `tandem evaluate`."""
    add = parser.add_argument
    add(
        "--training",
        nargs="+",
        metavar="PATH",
        help="look for the items in this training text: files, folders, globs; plain, .gz, .zst, JSONL, Parquet, or "
        "a tokenised corpus",
    )
    add("--training-field", default="text", metavar="NAME", help="JSONL field or Parquet column with the text (text)")
    add("--training-tokenizer", type=Path, metavar="DIR", help="of a tokenised corpus (default: the one beside it)")


def look_for(tasks: Sequence[Named], options: argparse.Namespace) -> None:
    """Look for the items of tasks in the training text, once for all of them, and tell each what was found."""
    if not options.training:
        return
    sought = [task for task in tasks if isinstance(task, Sought)]
    if others := [task.name for task in tasks if not isinstance(task, Sought)]:
        if not sought:
            remedy = (
                "it is for multiple choice and programs; tandem corpus overlap --items FILE looks for items of yours"
            )
            raise UserError(f"does not look for {', '.join(others)}", where="--training", remedy=remedy)
        print(f"--training does not look for {', '.join(others)}", file=sys.stderr)
    found = looked(
        {task.name: task.sought() for task in sought},
        options.training,
        field=options.training_field,
        tokenizer=options.training_tokenizer,
    )
    for task in sought:
        here = found.looked[task.name]
        task.trained(here, found.facts() | {"training_found": len(here.found)})


def looked(
    sought: Mapping[str, Mapping[str, str]],
    paths: Sequence[str],
    *,
    field: str,
    tokenizer: Path | None,
    form: str = "auto",
) -> Training:
    """Look through training text, with progress; what was not read is told."""
    from tandem.evaluate.overlap import look

    given = None
    if tokenizer is not None:
        from tandem.tokenizer import load

        given = load(tokenizer)
    found = look(
        paths,
        sought,
        form=form,  # type: ignore[arg-type]
        field=field,
        tokenizer=given,
        find_tokenizer=beside,
        progress=_shown(),
    )
    for line in found.left_out:
        print(f"training text: not read: {line}", file=sys.stderr)
    return found


def beside(folder: Path) -> Tokenizer | None:
    """The tokenizer that made a folder of tokens, where it lies in a folder beside one of those above."""
    from tandem.corpus import Shards
    from tandem.tokenizer import load

    wanted = Shards(folder).tokenizer
    for above in list(folder.resolve().parents)[:4]:
        for file in sorted(above.glob("*/tokenizer.json")):
            try:
                found = load(file.parent)
            except UserError:
                continue
            if found.fingerprint == wanted:
                return found
    return None


def _shown() -> Callable[[int], None]:
    """Progress as a line now and then."""
    from tandem.text import size

    begun = last = time.monotonic()
    done = 0

    def advance(n_bytes: int) -> None:
        nonlocal last, done
        done += n_bytes
        if (now := time.monotonic()) - last >= BETWEEN_LINES:
            last = now
            print(f"training text: {size(done)} · {size(done / (now - begun))}/s", file=sys.stderr, flush=True)

    return advance
