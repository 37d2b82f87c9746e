from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments"))

import trials  # noqa: E402

from tandem import world  # noqa: E402


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 texts, each of 20 passages about a made-up world."""
    folder = tmp_path_factory.mktemp("pages")
    some = islice(world.passages(world.World.make(7, 3000)), 1200)
    sentences = [passage.text for passage in some]
    for i in range(60):
        (folder / f"{i}.txt").write_text("\n".join(sentences[i::60]))
    return folder


@pytest.fixture(scope="session")
def text(pages: Path, tmp_path_factory: pytest.TempPathFactory) -> trials.Text:
    """Those pages, tokenised."""
    return trials.prepare(tmp_path_factory.mktemp("text"), [str(pages)], vocabulary=400, held_out=0.2)


@pytest.fixture(autouse=True)
def few_held_out_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "EVALUATED", 2000)
