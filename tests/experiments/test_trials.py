from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import trials
from trials import Stage, Training

from tandem.decoder import Shape
from tandem.errors import UserError


def test_the_text_is_prepared_once(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    for i in range(40):
        (sources / f"{i}.txt").write_text(f"Document {i} says {i * i} in so many words. " * 20)
    first = trials.prepare(tmp_path / "work", [str(sources)], vocabulary=350)
    made = {p: p.stat().st_mtime_ns for p in (tmp_path / "work").rglob("*.bin")}
    again = trials.prepare(tmp_path / "work", [str(sources)], vocabulary=350)
    assert first.facts() == again.facts()
    assert made and made == {p: p.stat().st_mtime_ns for p in (tmp_path / "work").rglob("*.bin")}
    assert first.held_out["text1"].documents + first.train["text1"].documents == 40


def test_a_text_of_one_document_cannot_be_held_out(tmp_path: Path) -> None:
    (tmp_path / "only.txt").write_text("one document\n" * 50)
    with pytest.raises(UserError, match="too few documents"):
        trials.prepare(tmp_path / "work", [str(tmp_path / "only.txt")], vocabulary=350)


def test_stages_go_on_in_data_and_schedule(text: trials.Text) -> None:
    shape = Shape(text.vocabulary, layers=1, width=16, heads=1, kv_heads=1, head_width=16, mlp_width=16, context=32)
    in_two = Training(shape, (Stage(16, 6), Stage(32, 6)), 64, 1e-2, 2, seed=3)
    trained = trials.train(in_two, text, torch.device("cpu"))
    assert len(trained.losses) == in_two.steps == 12
    assert in_two.tokens == 12 * 64
    assert in_two.flops == 6 * 64 * (shape.flops_per_token(16) + shape.flops_per_token(32))


def test_differences_are_taken_within_seeds_and_without_lost_ones() -> None:
    found = trials.paired({0: 1.0, 1: 2.0, 2: math.nan, 3: 4.0}, {0: 0.5, 1: 1.0, 2: 1.0, 3: 3.3})
    assert found is not None
    assert found.n == 3
    assert found.value == pytest.approx((0.5 + 1.0 + 0.7) / 3)
    assert trials.paired({0: math.nan}, {0: 1.0}) is None


def test_a_star_marks_a_difference_whose_interval_excludes_zero() -> None:
    assert trials.shown(trials.over_seeds([0.10, 0.11, 0.12]), sign=True).endswith("*")
    assert not trials.shown(trials.over_seeds([-0.1, 0.0, 0.1]), sign=True).endswith("*")


def test_figures_are_written_as_json_without_nan(tmp_path: Path) -> None:
    path = tmp_path / "results" / "x.json"
    trials.write(path, {"mean": trials.over_seeds([1.0]), "all": None}, [{"seed": 0, "nats": math.nan}], {"seconds": 1})
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {
        "mean": {"value": 1.0, "low": None, "high": None, "n": 1},
        "all": None,
        "trials": [{"seed": 0, "nats": None}],
        "clock": {"seconds": 1},
    }


def test_a_quick_look_does_not_replace_the_figures() -> None:
    usual, quick, large = (
        trials.out_path(trials.parser("x", None).parse_args(options)).name
        for options in ([], ["--tokens", "5000"], ["--scale", "2"])
    )
    assert (usual, quick, large) == ("x.json", "x-tokens-5000.json", "x-scale-2.json")
