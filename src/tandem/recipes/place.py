"""Where a run's stages meet: the recipe, the folder, the device, and the folders of what is finished.

A stage is a key, a title and a function that fills a folder. It reads what earlier stages left on disk and nothing
else, so a stage run by a later process sees exactly what it would have seen in the first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tandem.errors import Failure, UserError
from tandem.recipes.recipe import Recipe
from tandem.runs import Run

if TYPE_CHECKING:
    import torch

    from tandem.train.loop import Progress


class Watch(Protocol):
    """Who is told how the work goes."""

    def say(self, line: str) -> None:
        """A line worth showing."""
        ...

    def stage(self, title: str) -> None:
        """A stage begins."""
        ...

    def standing(self, title: str) -> None:
        """A stage was finished by an earlier process."""
        ...

    def done(self, seconds: float) -> None:
        """The stage is finished."""
        ...

    def step(self, progress: Progress) -> None:
        """A training step was taken."""
        ...


@dataclass(frozen=True)
class Place:
    """What every stage gets."""

    recipe: Recipe
    """The checked recipe."""
    run: Run
    """The open run folder."""
    watch: Watch
    """Who is told."""
    device: torch.device
    """Where models live."""

    def folder(self, key: str) -> Path:
        """Folder of a finished stage."""
        for path in self.run.path.glob(f"[0-9][0-9]-{key}"):
            if (path / "stage.json").exists():
                return path
        raise Failure(f"the stage {key!r} has not been finished", where=str(self.run.path))

    @contextmanager
    def made(self, key: str) -> Iterator[Path]:
        """Folder of a finished stage, to read from: what is damaged there the run can make again, and errors say so."""
        folder = self.folder(key)
        try:
            yield folder
        except UserError as e:
            remedy = f"remove {folder}, then run the recipe again in this folder: it makes the stage again"
            raise UserError(e.problem, where=e.where, remedy=remedy) from e

    def work(self, folder: Path) -> Path:
        """Folder for the checkpoints of the stage that is filling `folder`; gone when the stage stands."""
        return self.run.work(folder.name.removesuffix(".tmp"))

    def read(self, key: str, name: str) -> Any:
        """A JSON file that a finished stage left."""
        with self.made(key) as folder:
            try:
                return json.loads((folder / name).read_text())
            except (OSError, ValueError) as e:
                raise UserError(f"cannot be read ({e})", where=str(folder / name)) from e

    def lines(self, key: str, name: str) -> list[Any]:
        """A JSONL file that a finished stage left."""
        with self.made(key) as folder:
            try:
                text = (folder / name).read_text(encoding="utf-8")
                return [json.loads(line) for line in text.split("\n") if line]
            except (OSError, ValueError) as e:
                raise UserError(f"cannot be read ({e})", where=str(folder / name)) from e


@dataclass(frozen=True)
class StageOf:
    """One stage of a run."""

    key: str
    """Short name; its folder is `NN-key`."""
    title: str
    """What a person is told."""
    make: Callable[[Place, Path], None]
    """Fills the folder."""


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys, one line per top-level entry; NaN is not allowed."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")
