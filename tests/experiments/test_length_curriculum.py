from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path

import length_curriculum
import pytest
import torch
import trials
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.decoder import Shape
from tandem.errors import UserError
from tandem.recipes.losses import beginnings

CPU = torch.device("cpu")


def small(vocabulary: int) -> length_curriculum.Design:
    shape = Shape(vocabulary, layers=1, width=32, heads=2, kv_heads=2, head_width=16, mlp_width=64, context=64)
    return length_curriculum.Design(shape, (8, 16, 32), (0.5, 0.3, 0.2), 64, 2000 * shape.flops_per_token(32), 1e-2)


@pytest.fixture(scope="module")
def figures(text: trials.Text) -> list[dict]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "EVALUATED", 2000)
        patch.setattr(length_curriculum, "POSITION_TOKENS", 1000)
        return length_curriculum.run(small(text.vocabulary), text, CPU, seeds=2)[0]


@settings(max_examples=50, deadline=None)
@given(tokens=st.integers(10_000, 10**9), layers=st.integers(1, 40), width=st.sampled_from([64, 128, 4096]))
def test_all_arms_cost_the_budget_to_half_a_step(tokens: int, layers: int, width: int) -> None:
    shape = Shape(2048, layers, width, width // 32, width // 32, 32, 3 * width, context=1024)
    flops = tokens * shape.flops_per_token(512)
    plan = length_curriculum.Design(shape, (128, 256, 512), (8 / 15, 4 / 15, 3 / 15), 2048, flops, 1e-3)
    a_step = 2048 * shape.flops_per_token(512)
    for arm in plan.arms():
        assert abs(plan.training(arm, 0).flops - plan.flops) <= 0.5 * a_step + 1e-9 * plan.flops


def test_the_experiment_as_it_stands_costs_every_arm_the_same_to_half_a_percent() -> None:
    plan = length_curriculum.design(2112)
    spent = {arm: plan.training(arm, 0).flops for arm in plan.arms()}
    assert max(spent.values()) / min(spent.values()) < 1.007
    tokens = [plan.training(arm, 0).tokens for arm in ("short only", "staged", "long only")]
    assert tokens == sorted(tokens, reverse=True) and len(set(tokens)) == 3


def test_the_control_has_the_rows_of_long_only_and_the_tokens_and_cost_of_short_only() -> None:
    plan = length_curriculum.design(2112)
    short, long, control = (plan.training(arm, 0) for arm in ("short only", "long only", "short window"))
    assert control.flops == short.flops and control.tokens == short.tokens
    assert [stage.context for stage in control.stages] == [stage.context for stage in long.stages]
    assert control.shape.window == short.stages[0].context
    assert dataclasses.replace(control.shape, window=None) == long.shape


def test_a_larger_scale_keeps_tokens_per_parameter_of_the_blocks() -> None:
    one, two = length_curriculum.design(2112), length_curriculum.design(2112, 2)

    def blocks(plan: length_curriculum.Design) -> int:
        return plan.shape.layers * plan.shape.mlp_parameters()

    tokens = [plan.flops / plan.shape.flops_per_token(plan.lengths[-1]) for plan in (one, two)]
    assert two.lengths == (256, 512, 1024)
    assert blocks(two) / blocks(one) == tokens[1] / tokens[0] == 8


def test_xgen_saves_an_eighth_by_arithmetic() -> None:
    steps = length_curriculum.xgen_steps()
    assert steps == [(2048, 800), (4096, 400), (8192, 300)]
    assert round(length_curriculum.saved(length_curriculum.xgen_shape(), steps), 2) == 0.13


def test_every_trial_is_measured_past_the_longest_length(figures: list[dict], text: trials.Text) -> None:
    assert [(f["seed"], f["arm"]) for f in figures] == [
        (seed, arm) for seed in (0, 1) for arm in ("short only", "staged", "long only", "short window")
    ]
    for f in figures:
        assert f["positions"][-1]["last"] == 64
        assert all(0 < b["nats"] < 2 * math.log(text.vocabulary) for b in f["positions"])
        assert f["held_out"]["mixture"] < math.log(text.vocabulary)


def test_arms_and_seeds_learn_differently(figures: list[dict]) -> None:
    assert len({f["held_out"]["mixture"] for f in figures}) == 8


def test_a_trial_run_again_gives_the_same_figures(
    figures: list[dict], text: trials.Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(length_curriculum, "POSITION_TOKENS", 1000)
    again, _ = length_curriculum.trial(small(text.vocabulary), "staged", 1, text, CPU)
    assert again == figures[5]


def test_the_summary_takes_differences_within_seeds(figures: list[dict], text: trials.Text) -> None:
    found = length_curriculum.summary(small(text.vocabulary), figures)
    staged, long = ([f["held_out"]["mixture"] for f in figures if f["arm"] == a] for a in ("staged", "long only"))
    expected = sum(a - b for a, b in zip(staged, long)) / 2
    assert found["held_out_differences"]["staged - long only"].value == pytest.approx(expected)
    assert found["held_out"]["staged"].value == pytest.approx(sum(staged) / 2)
    assert found["held_out"]["staged"].n == 2


def test_a_lost_arm_is_shown_as_lost(text: trials.Text, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(length_curriculum, "POSITION_TOKENS", 1000)
    plan = dataclasses.replace(small(text.vocabulary), peak=1e38)
    figures, seconds = length_curriculum.run(plan, text, CPU, seeds=1)
    assert all(f["lost"] for f in figures)
    found = length_curriculum.summary(plan, figures)
    loss = length_curriculum.tables(plan, found, figures, seconds)[0]
    assert [row[1] for row in loss.rows] == ["lost"] * 4


def test_documents_measured_by_position_are_twice_the_longest_length(text: trials.Text) -> None:
    rows = next(beginnings(list(text.held_out.values()), 2 * 32, 1000))
    assert rows.tokens.shape[1] == 64


@pytest.mark.slow
def test_the_command_writes_what_it_prints(
    pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(length_curriculum, "POSITION_TOKENS", 1000)
    out = tmp_path / "figures.json"
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "x",
            "--seeds",
            "1",
            "--tokens",
            "12288",
            "--text",
            str(pages),
            "--out",
            str(out),
            "--work",
            str(tmp_path / "work"),
        ],
    )
    length_curriculum.main()
    written, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert [t["arm"] for t in written["trials"]] == ["short only", "staged", "long only", "short window"]
    for arm in ("short only", "staged", "long only", "short window"):
        assert f"{written['summary']['held_out'][arm]['value']:.3f}" in printed
    assert "not whether it holds at 7B" in printed and "13.0%" in printed
    assert "seconds" in written["clock"] and "seconds" not in json.dumps(written["trials"])


def test_a_budget_too_small_for_every_length_is_the_users_error() -> None:
    with pytest.raises(UserError, match="too few tokens"):
        length_curriculum.design(2112, tokens=4096).arms()
