from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments"))

import trials  # noqa: E402


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> trials.Text:
    """This project's own code, tokenised."""
    return trials.prepare(tmp_path_factory.mktemp("text"), [str(ROOT / "src/tandem")], vocabulary=400, held_out=0.2)


@pytest.fixture(autouse=True)
def few_held_out_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "EVALUATED", 2000)
