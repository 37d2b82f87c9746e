"""`tandem world`: write a made-up world as files of text, facts, triples and tables, and show what is in it."""

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
    more = parser.add_argument_group("knowledge", "from the same facts: what can be looked up, and what needs it")
    more.add_argument("--claims", type=int, default=1200, help="claims to be judged (default: 1,200)")
    more.add_argument("--strata", type=int, default=400, help="questions by number of mentions (default: 400)")
    more.add_argument("--table-questions", type=int, default=300, help="answered by a sentence (default: 300)")
    more.add_argument("--mixed", type=int, default=600, help="questions that need several sources (default: 600)")
    more.add_argument("--mixed-by", choices=("fact", "relation"), default="fact", help="what the sources share out")
    more.add_argument("--queries", type=int, default=2000, help="pairs of need and query to train on (default: 2,000)")
    more.add_argument("--schemas", type=int, default=6, help="table schemas, at least 3 (default: 6)")
    more.add_argument(
        "--without",
        nargs="+",
        default=[],
        metavar="PART",
        help="leave out: triples, tables, claims, strata, table-questions, mixed, queries; or all of it: knowledge",
    )


def run(options: argparse.Namespace) -> int:
    """Make the world, write it, say what it holds."""
    from tandem.errors import UserError
    from tandem.runs import atomic_folder
    from tandem.world import PARTS, Sizes, World, write, write_knowledge

    sizes = ("claims", "strata", "table_questions", "mixed", "queries", "schemas")
    for flag in ("questions", "choices", "per_task", *sizes):
        if getattr(options, flag) < 0:
            raise UserError("must not be negative", where="--" + flag.replace("_", "-"), remedy="give 0 or more")
    if options.schemas < 3:
        raise UserError("there are three layouts", where="--schemas", remedy="give 3 or more")
    if unknown := set(options.without) - {*PARTS, "knowledge"}:
        remedy = f"choose among {', '.join(PARTS)}, knowledge"
        raise UserError(f"there is no part {min(unknown)!r}", where="--without", remedy=remedy)
    world = World.make(options.seed, options.facts)
    with atomic_folder(options.out) as folder:
        counts = write(
            world,
            folder,
            n_questions=options.questions,
            n_choices=options.choices,
            n_per_task=options.per_task,
        )
        if "knowledge" not in options.without:
            knowledge = Sizes(**{name: getattr(options, name) for name in sizes})
            counts |= write_knowledge(world, folder, knowledge, without=options.without, by=options.mixed_by)
    _show(world, counts)
    print(f"\nwritten to {options.out}/ (what it holds in sum: world.json, knowledge.json)")
    return 0


def _show(world: World, counts: dict[str, int]) -> None:
    from tandem.world import MECHANISM, summary

    print(f"A made-up world from seed {world.seed}. Results measured on it are labelled “{MECHANISM}”.\n")
    for view, count in counts.items():
        print(f"  {view:<20}{count:>12,}")
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
