from __future__ import annotations

import dataclasses
import json
import math
import random
import sys
from pathlib import Path

import architecture
import pytest
import torch
import trials

from tandem.decoder import Shape

CPU = torch.device("cpu")


def small(vocabulary: int, rate: float = 1e-2) -> architecture.Design:
    shape = Shape(vocabulary, layers=1, width=64, heads=2, kv_heads=2, head_width=32, mlp_width=64, context=16)
    return architecture.Design(shape, 16, 64, 40, {"ordinary": rate})


@pytest.fixture(scope="module")
def figures(text: trials.Text) -> list[dict]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "EVALUATED", 2000)
        return architecture.run(small(text.vocabulary), text, CPU, seeds=2)[0]


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_all_arms_have_equal_flops_and_parameters_to_one_percent(scale: int) -> None:
    plan = architecture.design(2112, scale)
    base = plan.training(architecture.REFERENCE, "high", 0)
    for arm in architecture.CHANGES:
        training = plan.training(arm, "high", 0)
        assert training.flops == base.flops
        assert training.shape.parameters() == pytest.approx(base.shape.parameters(), rel=0.01)


def test_each_arm_changes_what_its_name_says_and_nothing_else() -> None:
    plan = architecture.design(2112)
    reference = dataclasses.asdict(plan.reference)
    changed = {
        arm: {k: v for k, v in dataclasses.asdict(plan.shape(arm)).items() if v != reference[k]}
        for arm in architecture.CHANGES
    }
    assert changed == {
        "XGen's choices": {},
        "parallel layers": {"parallel": True},
        "GELU": {"activation": "gelu", "mlp_width": 528},
        "LayerNorm": {"norm": "layer"},
    }


def test_a_rise_beyond_the_noise_is_a_jump_and_the_noise_is_not() -> None:
    draw = random.Random(0)
    losses = [4 - step / 500 + draw.uniform(-0.1, 0.1) for step in range(200)]
    assert architecture.jumps(losses) == []
    losses[120] += 1.0
    losses[150] = math.nan
    assert architecture.jumps(losses) == [120, 150]
    assert architecture.highest_rise(losses) == pytest.approx(1.0, abs=0.2)


def test_the_first_steps_are_not_judged() -> None:
    assert architecture.jumps([1.0] * 31 + [9.0]) == []
    assert architecture.jumps([1.0] * 32 + [9.0]) == [32]


def test_noisier_batches_hide_lower_jumps() -> None:
    draw = random.Random(1)
    calm, noisy = ([4 + draw.uniform(-width, width) for _ in range(100)] for width in (0.1, 1.0))
    assert architecture.jump_height(noisy) > 5 * architecture.jump_height(calm)
    calm[70] += 0.5
    noisy[70] += 0.5
    assert (architecture.jumps(calm), architecture.jumps(noisy)) == ([70], [])


def test_every_arm_learns_under_every_seed(figures: list[dict], text: trials.Text) -> None:
    assert [(f["seed"], f["arm"]) for f in figures] == [(s, arm) for s in (0, 1) for arm in architecture.CHANGES]
    assert all(f["held_out"]["mixture"] < math.log(text.vocabulary) - 0.5 for f in figures)
    assert len({f["held_out"]["mixture"] for f in figures}) == 8


def test_jumps_can_be_counted_again_from_the_losses_kept(figures: list[dict]) -> None:
    for f in figures:
        assert len(f["losses"]) == 40
        assert f["jumps"] == architecture.jumps(f["losses"])


def test_the_summary_takes_differences_within_seeds(figures: list[dict], text: trials.Text) -> None:
    found = architecture.summary(small(text.vocabulary), figures)["ordinary"]
    gelu, reference = (
        [f["held_out"]["mixture"] for f in figures if f["arm"] == arm] for arm in ("GELU", architecture.REFERENCE)
    )
    added = found["GELU"]["added"]["held_out"]
    assert added.value == pytest.approx(sum(a - b for a, b in zip(gelu, reference)) / 2)
    assert found[architecture.REFERENCE]["added"] is None


def test_a_training_that_diverges_is_counted_as_lost(text: trials.Text) -> None:
    plan = small(text.vocabulary, rate=1e38)
    figures, _ = architecture.run(plan, text, CPU, seeds=1)
    found = architecture.summary(plan, figures)
    assert found["ordinary"]["GELU"]["lost"] == 1
    assert found["ordinary"]["GELU"]["mean"]["held_out"] is None
    assert len(figures[0]["not_finite"]) == 10  # ten in a row end it
    table = architecture.tables(plan, found, figures)[1]
    assert table.rows[0][:2] == ("XGen's choices (1 lost)", "lost")


@pytest.mark.slow
def test_the_command_writes_what_it_prints(
    pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["x", "--seeds", "1", "--tokens", "2048", "--text", str(pages), "--out", str(out)])
    architecture.main()
    written, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert len(written["trials"]) == 8
    for arm, parameters in written["parameters"].items():
        assert arm in printed and f"{parameters:,}" in printed
    assert "Reported by XGen's authors" in printed and "not whether it holds at 7B" in printed
    assert "seconds" in written["clock"] and "seconds" not in json.dumps(written["trials"])
