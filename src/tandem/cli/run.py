"""`tandem run RECIPE`: execute a recipe, or continue the run it began."""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem run`."""
    parser.add_argument("recipe", help="a recipe file, or the name of one that ships with Tandem (quickstart, gpu-1h)")
    parser.add_argument("--out", type=Path, help="run folder (default: runs/NAME of the recipe)")
    how_to_run(parser)


def how_to_run(parser: argparse.ArgumentParser) -> None:
    """Arguments of every command that executes a recipe."""
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one key of the recipe; repeatable",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")


def run(options: argparse.Namespace) -> int:
    """Check the recipe, execute it, say where the report is."""
    from tandem.recipes import schema

    recipe = schema.load(options.recipe, options.changes, files=True)
    return execute(recipe, options.out or Path("runs") / recipe.name, options.device, options.threads)


def execute(recipe: object, out: Path, device: str | None, threads: int | None) -> int:
    """Run a loaded recipe with progress on the terminal; used by `run` and `quickstart`."""
    from tandem.cli.progress import watcher
    from tandem.recipes import execute
    from tandem.recipes.schema import Recipe

    assert isinstance(recipe, Recipe)
    with watcher() as watch:
        results = execute.run(recipe, out, watch=watch, device=device, threads=threads)
    print(f"\n{results.title}\n{results.lead}\n")
    for step, command in results.next_steps:
        print(f"  {step}\n    {command}")
    print(f"\nReport: {out / 'report.html'}")
    return 0
