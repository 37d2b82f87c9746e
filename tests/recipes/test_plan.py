from __future__ import annotations

import json
import math
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.decoder.shape import Shape
from tandem.recipes import published, schema
from tandem.recipes.plan import plan
from tandem.recipes.planned import Plan

BILLION = 1e9
STAGE_1 = published.table("xgen-stage-1")


def xgen(*changes: str) -> Plan:
    return plan(schema.load("xgen-7b", changes))


def test_the_first_table_is_the_published_one_to_the_digit() -> None:
    mixture = xgen().mixtures[0]
    assert f"{mixture.tokens / BILLION:,.2f}" == "1,374.52"
    for row, (title, tokens, epochs, share) in zip(mixture.rows, STAGE_1.rows[:-1], strict=True):
        assert row.title == title
        assert f"{row.tokens / BILLION:.2f}" == f"{tokens:.2f}"
        assert f"{100 * row.share:.2f}" == f"{share:.2f}"
        assert row.epochs == epochs
        assert row.unique is not None and row.epochs is not None
        assert row.unique * row.epochs == pytest.approx(row.tokens)


def test_the_second_table_is_half_stage_1_and_half_code_of_110_billion() -> None:
    mixture = xgen().mixtures[1]
    assert mixture.tokens == 110 * BILLION
    assert [(row.title, row.tokens / BILLION, row.share) for row in mixture.rows] == [
        ("Data from stage 1", 55, 0.5),
        ("BigCode Starcoderdata", 55, 0.5),
    ]


def test_unique_tokens_are_seen_over_epochs() -> None:
    unique = {row.title: row.unique for row in xgen().mixtures[0].rows}
    assert unique["C4 from 6 CC dumps (2019 - 2023)"] == pytest.approx(957.5 * BILLION)
    assert unique["Wikipedia-English"] == pytest.approx(4.88 * BILLION)
    assert unique["RedPajama-Books"] == pytest.approx(26.072 * BILLION)


def test_parameters_of_the_published_shape() -> None:
    p = xgen()
    assert p.parameters == 6_895_702_016
    assert p.matmul_parameters == 6_685_720_576
    assert p.shape.layer_parameters() == 202_383_360


def test_flops_per_token_at_each_length() -> None:
    by_length = {stage.context: (stage.flops_per_token, stage.flops_per_token_causal) for stage in xgen().stages}
    assert {length: f"{full / 1e9:.1f}" for length, (full, _) in by_length.items()} == {
        2048: "43.3",
        4096: "46.6",
        8192: "53.0",
    }
    products = 6 * 6_685_720_576
    for full, causal in by_length.values():
        assert causal - products == pytest.approx((full - products) / 2)


def test_the_published_speed_at_half_the_peak_of_an_h200() -> None:
    speeds = {stage.context: stage.tokens_per_second for stage in xgen("plan.devices=1", "plan.mfu=0.5").stages}
    assert {length: round(speed) for length, speed in speeds.items()} == {2048: 11_411, 4096: 10_621, 8192: 9_330}


def test_the_curriculum_saves_thirteen_percent() -> None:
    p = xgen()
    assert p.flops == pytest.approx(sum(s.tokens * s.flops_per_token for s in p.stages))
    assert f"{p.flops:.2e}" == "6.84e+22"
    assert round(100 * (1 - p.flops / p.flops_longest)) == 13


def test_the_talks_price_implies_42_to_59_percent_at_committed_prices_and_the_shortest_length() -> None:
    implied = {i.terms: i.mfu[0] for i in xgen().implied}
    assert round(100 * implied["3 years committed"]) == 42
    assert round(100 * implied["1 year committed"]) == 59


def test_only_the_rounded_context_step_differs_from_what_is_printed() -> None:
    differences = [(c.table, d.figure, d.printed, d.computed) for c in xgen().comparisons for d in c.differences]
    assert differences == [("Stage-wise sequence length", "8192, Tokens (B)", 300.0, 284.52)]
    assert sum(c.figures for c in xgen().comparisons) == 31 + 5 + 3


def test_an_altered_row_alters_shares_uniques_and_what_differs() -> None:
    p = xgen("mixture.first.books.tokens=165.18B", "mixture.first.books.epochs=5", "stage.2k.tokens=900B")
    books = next(row for row in p.mixtures[0].rows if row.name == "books")
    assert f"{p.mixtures[0].tokens / BILLION:,.2f}" == "1,474.52"
    assert books.unique == pytest.approx(33.036 * BILLION)
    assert books.share == pytest.approx(165.18 / 1474.52)
    differing = {d.figure for c in p.comparisons for d in c.differences}
    assert {
        "RedPajama-Books, Tokens (B)",
        "RedPajama-Books, Epochs",
        "RedPajama-Books, Sampling prop. (%)",
    } <= differing
    assert "RedPajama-CommonCrawl, Sampling prop. (%)" in differing
    assert "RedPajama-CommonCrawl, Tokens (B)" not in differing
    assert p.flops > xgen().flops


def test_a_share_wrong_in_the_last_printed_digit_is_told() -> None:
    p = xgen("mixture.first.apex.tokens=2.18B")
    differing = {d.figure for c in p.comparisons for d in c.differences if c.of == "mixture first"}
    assert "Apex code from 6 CC dumps, Sampling prop. (%)" in differing


def test_an_altered_shape_alters_parameters_flops_memory_and_time() -> None:
    p, other = xgen(), xgen("model.layers=16")
    assert p.parameters - other.parameters == 16 * p.shape.layer_parameters()
    assert other.flops < p.flops
    assert other.memory[0][1].most < p.memory[0][1].most
    assert other.cost.seconds == pytest.approx(p.cost.seconds * other.flops / p.flops)


def test_a_source_is_counted_through_nested_mixtures() -> None:
    p = xgen()
    books = next(source for source in p.sources if source.name == "books")
    assert books.tokens / BILLION == pytest.approx(65.18 + 55 * 65.18 / 1374.52)
    assert books.epochs == pytest.approx(books.tokens / BILLION / 26.072)
    assert sum(source.tokens for source in p.sources) == pytest.approx(p.tokens)
    assert f"{p.tokens / BILLION:,.2f}" == "1,484.52"


def test_time_and_money_follow_from_flops() -> None:
    p = xgen("plan.device=A100", "plan.devices=128", "plan.mfu=0.4", "plan.price_per_hour=2")
    assert p.cost.seconds == pytest.approx(p.flops / (128 * 312e12 * 0.4))
    assert p.cost.device_hours == pytest.approx(p.cost.seconds * 128 / 3600)
    assert p.cost.money == pytest.approx(2 * p.cost.device_hours)
    assert p.cost.per_trillion == pytest.approx(p.cost.money / 1.48452)


def test_a_device_of_ones_own_needs_its_peak_and_memory() -> None:
    p = xgen("plan.device=Abacus", "plan.tflops=2", "plan.memory_gib=1")
    assert (p.cost.device.name, p.cost.device.tflops) == ("Abacus", 2)
    with pytest.raises(schema.RecipeError, match="tflops"):
        xgen("plan.device=Abacus", "plan.memory_gib=1")


def test_steps_are_tokens_over_batch_to_the_nearest() -> None:
    for stage in xgen().stages:
        assert abs(stage.seen - stage.tokens) <= stage.batch / 2
        assert stage.seen == stage.steps * stage.batch == stage.steps * stage.rows * stage.context


def test_every_setting_has_a_status_and_unpublished_ones_are_not_called_published() -> None:
    status = {setting.key: (setting.status, setting.source) for setting in xgen().settings}
    assert status["model.layers"][0] == "published"
    assert status["mixture.first.books.tokens"][0] == "published"
    assert status["stage.4k.context"][0] == "published"
    assert status["stage.8k.tokens"][0] == "derived"
    for key in ("schedule.peak", "schedule.warmup", "optimizer.beta2", "optimizer.clip", "stage.2k.batch"):
        assert status[key] == ("default", "LLaMA")
    changed = {s.key: s.status for s in xgen("schedule.peak=1e-4").settings}
    assert changed["schedule.peak"] == "chosen"


def test_missing_files_are_a_warning_of_the_plan() -> None:
    assert any("11 of 11 sources" in warning for warning in xgen().warnings)


def test_more_data_parallel_devices_than_rows_is_a_warning() -> None:
    assert any("idle" in warning for warning in xgen("plan.devices=1024").warnings)
    assert not any("idle" in warning for warning in xgen("plan.devices=512").warnings)


def test_a_plan_without_the_tokenizer_asks_for_the_rows() -> None:
    changes = ("model.vocabulary=", "tokenizer.xgen=", "tokenizer.load=not/there")
    with pytest.raises(schema.UserError, match=r"model\.vocabulary"):
        xgen(*changes)
    assert xgen(*changes[1:]).parameters == 6_895_702_016


def test_a_plan_is_json() -> None:
    assert json.loads(json.dumps(asdict(xgen())))["parameters"] == 6_895_702_016


def test_the_hour_on_one_gpu_is_a_plan_of_less_than_an_hour_for_100_to_300_million_weights() -> None:
    p = plan(schema.load("gpu-1h"))
    assert 1e8 < p.parameters < 3e8
    assert 40 * 60 < p.cost.seconds < 55 * 60
    assert p.memory[-1][1].most < p.cost.device.memory_gib * 2**30


shapes = st.builds(
    Shape,
    vocabulary=st.integers(1, 1000),
    layers=st.integers(1, 4),
    width=st.sampled_from([8, 24]),
    heads=st.just(4),
    kv_heads=st.sampled_from([1, 2, 4]),
    head_width=st.sampled_from([2, 6]),
    mlp_width=st.integers(1, 64),
    norm=st.sampled_from(["rms", "layer"]),
    activation=st.sampled_from(["swiglu", "gelu"]),
    parallel=st.booleans(),
    qkv_bias=st.booleans(),
    qk_norm=st.booleans(),
    tied=st.booleans(),
)


@settings(max_examples=25, deadline=None)
@given(shapes)
def test_counted_parameters_are_those_the_decoder_has(shape: Shape) -> None:
    from tandem.decoder.model import Decoder

    assert sum(p.numel() for p in Decoder(shape).parameters()) == shape.parameters()


@given(shapes, st.integers(1, 4096), st.integers(1, 4096))
def test_causal_attention_is_half_the_square_and_a_window_never_adds(shape: Shape, context: int, window: int) -> None:
    from dataclasses import replace

    products = 6 * shape.matmul_parameters()
    full, causal = shape.flops_per_token(context), shape.flops_per_token(context, causal=True)
    assert causal - products == pytest.approx((full - products) / 2)
    narrow = replace(shape, window=window)
    assert narrow.flops_per_token(context) <= full
    assert narrow.flops_per_token(context, causal=True) <= causal * (1 + 1e-12)
    if window >= context:
        assert math.isclose(narrow.flops_per_token(context, causal=True), causal)
