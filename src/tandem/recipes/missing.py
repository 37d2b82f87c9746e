"""What a recipe reads from disk and is not there. What this does not do: read any of it."""

from __future__ import annotations

from pathlib import Path

from tandem.recipes.agreement import ANSWERING
from tandem.recipes.check import Problem
from tandem.recipes.recipe import Recipe


def files(recipe: Recipe) -> list[Problem]:
    """Files and folders the recipe reads that do not exist."""
    found = []
    for name, source in recipe.sources.items():
        if not source.path.startswith(("python:", "world:")) and not _exists(source.path):
            found.append(
                Problem(
                    ("sources", name, "path"),
                    f"is '{source.path}', and there is no such file or folder",
                    f"put the text there, or give its place: --set sources.{name}.path=DIR",
                )
            )
    for key in ("load", "xgen"):
        given = getattr(recipe.tokenizer, key)
        if given is not None and not Path(given).exists():
            found.append(Problem(("tokenizer", key), f"is '{given}', and there is no such file or folder"))
    if recipe.tuning is not None and recipe.tuning.data != "world" and not Path(recipe.tuning.data).exists():
        found.append(
            Problem(
                ("tuning", "data"),
                f"is '{recipe.tuning.data}', and there is no such file",
                "give a chat JSONL, Alpaca or ShareGPT file, or `world`",
            )
        )
    kind, _, rest = recipe.answers.model.partition(":") if recipe.answers is not None else ("", "", "")
    if kind in ANSWERING and rest and not Path(rest).exists():
        found.append(Problem(("answers", "model"), f"names '{rest}', and there is no such {ANSWERING[kind].lower()}"))
    return found


def _exists(path: str) -> bool:
    if any(mark in path for mark in "*?["):
        anchor = Path(path).anchor
        return any(True for _ in Path(anchor or ".").glob(path.removeprefix(anchor)))
    return Path(path).exists()
