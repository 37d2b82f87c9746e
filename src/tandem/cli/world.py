"""`tandem world`: write a made-up world as JSON Lines files and show what is in it."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tandem.world import World


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags of `tandem world`."""
    parser.add_argument("--seed", type=int, required=True, help="what the world is drawn from: same seed, same bytes")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make; must not exist yet")
    parser.add_argument("--facts", type=int, default=20_000, help="facts, from 100 to 10,000,000 (default: 20,000)")
    parser.add_argument("--questions", type=int, default=1200, help="questions of 1 to 3 hops (default: 1,200)")
    parser.add_argument("--choices", type=int, default=1000, help="multiple-choice items (default: 1,000)")
    parser.add_argument("--per-task", type=int, default=400, help="instruction items of each task (default: 400)")


def run(options: argparse.Namespace) -> int:
    """Make the world, write it, say what it holds."""
    from tandem.errors import UserError
    from tandem.runs import atomic_folder
    from tandem.world import World, write

    for flag in ("questions", "choices", "per_task"):
        if getattr(options, flag) < 0:
            raise UserError("must not be negative", where="--" + flag.replace("_", "-"), remedy="give 0 or more")
    world = World.make(options.seed, options.facts)
    with atomic_folder(options.out) as folder:
        counts = write(
            world,
            folder,
            n_questions=options.questions,
            n_choices=options.choices,
            n_per_task=options.per_task,
        )
    _show(world, counts)
    print(f"\nwritten to {options.out}/ (what it holds in sum: world.json)")
    return 0


def _show(world: World, counts: dict[str, int]) -> None:
    from tandem.world import MECHANISM, summary

    print(f"A made-up world from seed {world.seed}. Results measured on it are labelled “{MECHANISM}”.\n")
    for view, count in counts.items():
        print(f"  {view:<10}{count:>12,}")
    print()
    held = summary(world)
    _print("entities: " + ", ".join(f"{count:,} {kind}" for kind, count in held["entities_by_kind"].items()))
    _print("facts: " + ", ".join(f"{count:,} {status}" for status, count in held["facts_by_status"].items()))
    often = [f"{count:,} × {times}" for times, count in held["facts_by_mentions"].items()]
    _print("facts by how often passages mention them: " + ", ".join(often))
    _examples(world)


def _examples(world: World) -> None:
    from itertools import islice

    from tandem.world import choices, passages, questions, tasks

    print("\nA passage")
    _print(max((p.text for p in islice(passages(world), 20)), key=len))
    print("\nQuestions of one, two and three hops")
    for question in questions(world, n=3):
        _print(f"{question.text} → {question.answers[0]}")
    print("\nMultiple choice")
    for item in choices(world, 1):
        _print(f"{item.text} {' · '.join(item.choices)} → {item.answers[0]}")
    print("\nInstruction tasks, one of each type")
    shown = {item.type: item for item in reversed(tasks(world, 1))}
    for type_, example in sorted(shown.items()):
        _print(f"{type_}: {example.prompt} → {example.response}")


def _print(text: str) -> None:
    print(textwrap.fill(text, 78, initial_indent="  ", subsequent_indent="    "))
