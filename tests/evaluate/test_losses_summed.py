"""Perplexity per source and loss by position: sums over targets, whatever the batches look like."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.corpus.batches import IGNORED, Batch
from tandem.errors import UserError
from tandem.evaluate import positions
from tandem.evaluate.perplexity import perplexity, ratio, table, token_bytes
from tandem.evaluate.positions import buckets, curve, loss_by_position, tokens_seen
from tandem.results import from_json, to_json

VOCABULARY = 11


@st.composite
def batches(draw, sources=3):
    """A few batches of random rows: documents of any length, some targets left out, every row of some source."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    found = []
    for _ in range(draw(st.integers(1, 3))):
        rows, length = draw(st.integers(1, 4)), draw(st.integers(1, 40))
        targets = rng.integers(0, VOCABULARY, (rows, length), dtype=np.int32)
        targets[rng.random((rows, length)) < 0.3] = IGNORED
        targets[0, 0] = 1
        documents = np.cumsum(rng.random((rows, length)) < 0.1, axis=1).astype(np.int32)
        documents -= documents[:, :1]
        found.append(Batch(np.zeros_like(targets), targets, documents, rng.integers(0, sources, rows).astype(np.int16)))
    return found


def losses(batch: Batch) -> np.ndarray:
    """Some loss that depends on the target and its place; not 0 where there is nothing to predict."""
    return (batch.targets * 0.25 + 0.5 + np.arange(batch.targets.shape[1]) * 0.01).astype(np.float32)


BYTES = np.array([0, 1, 2, 3, 4, 1, 1, 0, 5, 2, 7])


@settings(max_examples=50, deadline=None)
@given(batches())
def test_the_loss_of_a_source_is_the_mean_over_its_targets(given_batches):
    sums = {}
    for batch in given_batches:
        loss = losses(batch).astype(np.float64)
        for b, t in zip(*np.nonzero(batch.targets != IGNORED)):
            target = batch.targets[b, t]
            sums.setdefault(int(batch.sources[b]), []).append((loss[b, t], BYTES[target]))
    found = perplexity(given_batches, losses, ["a", "b", "c"], BYTES)
    assert [f.source for f in found] == ["abc"[s] for s in sorted(sums)]
    for source, (_, targets) in zip(found, sorted(sums.items())):
        nats = [loss for loss, _ in targets]
        assert source.tokens == len(nats)
        assert source.nats_per_token.value == pytest.approx(sum(nats) / len(nats), rel=1e-6)
        assert source.perplexity == pytest.approx(math.exp(sum(nats) / len(nats)), rel=1e-5)
        assert source.bytes == sum(n for _, n in targets)
        text = [loss for loss, n in targets if n]
        if source.bytes:
            assert source.bits_per_byte.value == pytest.approx(sum(text) / math.log(2) / source.bytes, rel=1e-6)
        else:
            assert source.bits_per_byte is None


@settings(max_examples=25, deadline=None)
@given(batches())
def test_cutting_batches_into_rows_changes_nothing(given_batches):
    rows = [Batch(*(a[b : b + 1] for a in batch)) for batch in given_batches for b in range(len(batch.targets))]
    assert perplexity(rows, losses, ["a", "b", "c"], BYTES) == perplexity(given_batches, losses, ["a", "b", "c"], BYTES)
    assert loss_by_position(rows, losses) == loss_by_position(given_batches, losses)


def test_a_model_that_knows_nothing_has_the_vocabulary_as_perplexity():
    batch = Batch(*(np.ones((4, 8), np.int32) for _ in range(3)), np.zeros(4, np.int16))
    uniform = lambda b: np.full(b.targets.shape, math.log(VOCABULARY), np.float32)  # noqa: E731
    (found,) = perplexity([batch], uniform, ["text"])
    assert found.perplexity == pytest.approx(VOCABULARY, rel=1e-6)
    assert found.nats_per_token.low == pytest.approx(found.nats_per_token.high)
    assert found.bits_per_byte is None


def test_nothing_to_predict_is_an_error():
    batch = Batch(
        np.zeros((1, 4), np.int32), np.full((1, 4), IGNORED, np.int32), np.zeros((1, 4), np.int32), np.zeros(1)
    )
    with pytest.raises(UserError, match="no token to predict"):
        perplexity([batch], losses, ["text"])
    with pytest.raises(UserError, match="no token to predict"):
        loss_by_position([batch], losses)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_an_error_unless_nothing_is_to_be_predicted_there(bad):
    targets = np.array([[1, IGNORED]], np.int32)
    batch = Batch(np.zeros_like(targets), targets, np.zeros_like(targets), np.zeros(1, np.int16))
    perplexity([batch], lambda b: np.array([[1.0, bad]], np.float32), ["text"])
    for measure in (lambda f: perplexity([batch], f, ["text"]), lambda f: loss_by_position([batch], f)):
        with pytest.raises(UserError, match="not finite at 1 positions"):
            measure(lambda b: np.array([[bad, 1.0]], np.float32))


def test_bytes_of_tokens_leave_marks_out():
    texts = [b"a", "é".encode(), b"<end>"]
    assert token_bytes(lambda ids: texts[ids[0]], 3, [2]).tolist() == [1, 2, 0]


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    """Ratios of sums over 60 rows of unequal length; of 200 intervals at 95 % between 89 and 99 % hold the mean."""
    rng = np.random.default_rng(5)
    hits = 0
    for draw in range(200):
        n = rng.integers(1, 50, 60).astype(float)
        nats = n * rng.normal(3.0, 0.4, 60)
        interval = ratio(nats, n, seed=draw)
        hits += interval.low <= 3.0 <= interval.high
    assert 178 <= hits <= 198


def test_one_row_has_no_interval_to_show():
    batch = Batch(*(np.ones((1, 8), np.int32) for _ in range(3)), np.zeros(1, np.int16))
    found = perplexity([batch], losses, ["text"])
    cell = table(found).rows[0][1]
    assert (cell.low, cell.high, cell.n) == (None, None, 1)


# ── Positions ───────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=50, deadline=None)
@given(batches())
def test_loss_by_position_is_the_mean_over_targets_with_that_many_tokens_before_them(given_batches):
    sums = {}
    for batch in given_batches:
        loss = losses(batch).astype(np.float64)
        for b in range(batch.targets.shape[0]):
            for t in range(batch.targets.shape[1]):
                if batch.targets[b, t] != IGNORED:
                    seen = sum(batch.documents[b, u] == batch.documents[b, t] for u in range(t + 1))
                    bucket = next(k for k in range(20) if seen <= 2**k)
                    sums.setdefault(bucket, []).append(loss[b, t])
    found = loss_by_position(given_batches, losses)
    assert [(b.last, b.tokens) for b in found] == [(2**k, len(v)) for k, v in sorted(sums.items())]
    for bucket, (_, values) in zip(found, sorted(sums.items())):
        assert bucket.nats.value == pytest.approx(np.mean(values), rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 100_000))
def test_a_bucket_holds_what_its_name_says(seen):
    k = int(buckets(np.array([seen]))[0])
    assert (1 << k) // 2 + 1 <= seen <= 1 << k


def test_a_trained_length_is_the_last_of_its_bucket():
    n = 512
    batch = Batch(*(np.zeros((1, n), np.int32) for _ in range(3)), np.zeros(1, np.int16))
    found = loss_by_position([batch], lambda b: np.where(np.arange(n) < 256, 1.0, 9.0)[None].astype(np.float32))
    assert [(b.name, b.nats.value, b.tokens) for b in found[-2:]] == [("129–256", 1.0, 128), ("257–512", 9.0, 256)]


def test_tokens_seen_begins_anew_with_each_document():
    assert tokens_seen(np.array([[0, 0, 0, 1, 1, 2]], np.int32)).tolist() == [[1, 2, 3, 1, 2, 1]]


def test_tables_and_curves_survive_being_kept():
    batch = Batch(*(np.ones((3, 8), np.int32) for _ in range(3)), np.zeros(3, np.int16))
    found = loss_by_position([batch], losses)
    for kept in (
        table(perplexity([batch], losses, ["text", "other"], BYTES)),
        positions.table(found),
        curve({"2K": found, "4K": found}, [8]),
    ):
        assert from_json(to_json(kept)) == kept
    assert [m.label for m in curve({"a": found}, [2048]).marks] == ["trained on 2,048"]
