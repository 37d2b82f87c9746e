from __future__ import annotations

import math
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from corpus_sample import PlainIds, numbered
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.corpus.batches import IGNORED, Batch, Mixed, Part, apportion, once, tokens_given
from tandem.corpus.shards import Shards, write_shards
from tandem.errors import UserError


def seen(mixed: Mixed) -> Counter[int]:
    """How often each id comes as an input in the whole stage."""
    counts: Counter[int] = Counter()
    for step in range(mixed.steps):
        counts.update(mixed.batch(step).tokens.ravel().tolist())
    return counts


def check_documents(shards: Shards, counts: Counter[int], epochs: float) -> None:
    allowed = {math.floor(epochs + 1e-9), math.ceil(epochs - 1e-9)}
    for number in range(shards.documents):
        times = {counts[i] for i in shards.document(number).tolist()}
        assert times <= allowed, f"document {number} is seen {times} times in {epochs} epochs"


def naive(rows: np.ndarray, end: int) -> tuple[list[list[int]], list[list[int]]]:
    """Targets and document numbers, token by token."""
    targets, documents = [], []
    for row in rows.tolist():
        t, d, number = [], [], 0
        for at in range(len(row) - 1):
            d.append(number)
            if row[at] == end:
                number += 1
                t.append(IGNORED)
            else:
                t.append(row[at + 1])
        targets.append(t)
        documents.append(d)
    return targets, documents


def test_targets_and_documents_are_those_of_a_loop_over_tokens(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shards = write_shards(
        tmp_path / "s", [rng.integers(0, 50, rng.integers(1, 30)) for _ in range(300)], PlainIds(51), seed=1
    )
    mixed = Mixed([Part(shards, 1.0)], context=64, rows=16, steps=8, seed=5)
    for step in range(8):
        batch = mixed.batch(step)
        _, starts = mixed.places(np.arange(16) + step * 16)
        rows = np.array([[int(shards.read(int(s) + i, 1)[0]) for i in range(65)] for s in starts])
        targets, documents = naive(rows, 50)
        assert batch.tokens.tolist() == rows[:, :-1].tolist()
        assert batch.targets.tolist() == targets
        assert batch.documents.tolist() == documents


def test_arrays_have_the_promised_types_and_shapes(tmp_path: Path) -> None:
    mixed = Mixed([Part(numbered(tmp_path / "s", [9] * 20), 1.0)], context=16, rows=3, steps=4, seed=0)
    batch = mixed.batch(0)
    assert [a.dtype for a in batch] == [np.int32, np.int32, np.int32, np.int16]
    assert [a.shape for a in batch] == [(3, 16), (3, 16), (3, 16), (3,)]
    assert all(a.flags.c_contiguous and a.flags.writeable for a in batch)


STAGE_ONE = [879.37, 62.44, 65.18, 63.32, 21.38, 191.50, 19.52, 62.04, 7.68, 2.09]


def test_over_a_stage_the_shares_of_the_rows_are_those_of_the_table(tmp_path: Path) -> None:
    parts = [Part(numbered(tmp_path / str(i), [5 + i] * 7), share) for i, share in enumerate(STAGE_ONE)]
    mixed = Mixed(parts, context=4, rows=50, steps=40, seed=11)
    rows = Counter(int(s) for step in range(40) for s in mixed.batch(step).sources)
    for i, share in enumerate(STAGE_ONE):
        assert abs(rows[i] / 2000 - share / 1374.52) < 0.001
        assert mixed.realised()[i].share == rows[i] / 2000
    assert tokens_given(STAGE_ONE, 4, 50, 40) == [r.tokens for r in mixed.realised()]


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    context=st.integers(1, 50),
    rows=st.integers(1, 6),
    steps=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
def test_each_document_is_seen_floor_or_ceil_of_the_epochs(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], context: int, rows: int, steps: int, seed: int
) -> None:
    shards = numbered(tmp_path_factory.mktemp("s") / "s", lengths)
    mixed = Mixed([Part(shards, 1.0)], context, rows, steps, seed)
    check_documents(shards, seen(mixed), mixed.realised()[0].epochs)


def test_whole_epochs_show_every_document_equally_often(tmp_path: Path) -> None:
    shards = numbered(tmp_path / "s", [31] * 16)  # 16 · 32 = 512 tokens
    counts = seen(Mixed([Part(shards, 1.0)], context=64, rows=4, steps=6, seed=3))  # 1,536 tokens: 3 epochs
    assert {counts[i] for i in range(16 * 31)} == {3}


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=2, max_size=20),
    stages=st.lists(st.tuples(st.sampled_from([8, 16, 32, 50]), st.integers(1, 10)), min_size=2, max_size=4),
    share=st.floats(0.05, 1.0),
)
def test_stages_of_other_lengths_continue_where_the_last_one_stopped(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], stages: list[tuple[int, int]], share: float
) -> None:
    folder = tmp_path_factory.mktemp("s")
    sources = [numbered(folder / "a", lengths), numbered(folder / "b", lengths[::-1])]
    offsets, tokens = [0, 0], [0, 0]
    counts: list[Counter[int]] = [Counter(), Counter()]
    for context, steps in stages:
        parts = [Part(s, w, o) for s, w, o in zip(sources, (share, 1.0), offsets)]
        mixed = Mixed(parts, context, 3, steps, seed=1)
        for step in range(steps):
            batch = mixed.batch(step)
            for s in (0, 1):
                counts[s].update(batch.tokens[batch.sources == s].ravel().tolist())
        offsets = [r.offset_tokens for r in mixed.realised()]
        tokens = [t + r.tokens for t, r in zip(tokens, mixed.realised())]
    for s in (0, 1):
        check_documents(sources[s], counts[s], tokens[s] / sources[s].tokens)


def test_rows_do_not_depend_on_how_many_are_asked_for(tmp_path: Path) -> None:
    parts = [Part(numbered(tmp_path / "a", [11] * 30), 0.3), Part(numbered(tmp_path / "b", [7] * 30), 0.7)]
    mixed = Mixed(parts, context=24, rows=12, steps=10, seed=4)
    for step in range(10):
        whole = mixed.batch(step)
        for first in range(12):
            for n in range(13 - first):
                part = mixed.batch(step, first, n)
                assert all((a[first : first + n] == b).all() for a, b in zip(whole, part))
            assert all((a[first:] == b).all() for a, b in zip(whole, mixed.batch(step, first)))


def test_a_worker_that_receives_the_mixture_by_pickle_makes_the_same_batches(tmp_path: Path) -> None:
    mixed = Mixed([Part(numbered(tmp_path / "s", [100] * 1000), 1.0)], context=32, rows=8, steps=100, seed=2)
    sent = pickle.dumps(mixed)
    assert len(sent) < 5_000, "the tokens themselves went along"
    assert all((a == b).all() for a, b in zip(mixed.batch(77), pickle.loads(sent).batch(77)))


def test_steps_in_any_order_give_the_same_batches(tmp_path: Path) -> None:
    def make() -> Mixed:
        return Mixed([Part(Shards(tmp_path / "s"), 1.0)], context=16, rows=4, steps=50, seed=2)

    numbered(tmp_path / "s", [20] * 50)
    forward = make()
    batches = [forward.batch(step) for step in range(50)]
    backward = make()
    for step in reversed(range(50)):
        assert (backward.batch(step).tokens == batches[step].tokens).all()


def test_another_seed_gives_another_order_of_the_same_windows(tmp_path: Path) -> None:
    shards = numbered(tmp_path / "s", [20] * 50)
    rows = [
        [tuple(row) for step in range(10) for row in Mixed([Part(shards, 1.0)], 16, 4, 10, seed).batch(step).tokens]
        for seed in (1, 2)
    ]
    assert rows[0] != rows[1]
    assert sorted(rows[0]) == sorted(rows[1])


def test_a_step_a_million_away_needs_none_of_those_before(tmp_path: Path) -> None:
    shards = numbered(tmp_path / "s", [50] * 40)
    mixed = Mixed([Part(shards, 0.5), Part(shards, 0.5)], context=128, rows=2048, steps=2_000_000, seed=1)
    batch = mixed.batch(1_000_000, 0, 2)
    source, start = mixed.places(np.arange(2) + 1_000_000 * 2048)
    assert batch.tokens[0].tolist() == shards.read(int(start[0]), 128).tolist()
    assert batch.sources.tolist() == source.tolist()


def test_a_source_shorter_than_the_context_is_repeated(tmp_path: Path) -> None:
    shards = numbered(tmp_path / "s", [2])  # tokens 0 1 end
    batch = Mixed([Part(shards, 1.0)], context=7, rows=3, steps=1, seed=0).batch(0)
    stream = [0, 1, 2] * 20
    for row in batch.tokens.tolist():
        start = row[0]
        assert row == stream[start : start + 7]
    assert (batch.targets[batch.tokens == 2] == IGNORED).all()
    assert (np.diff(batch.documents) == (batch.tokens[:, :-1] == 2)).all()


def test_tokens_of_two_tokenizers_are_not_mixed(tmp_path: Path) -> None:
    a = write_shards(tmp_path / "a", [[1, 2]], PlainIds(10, "one"))
    b = write_shards(tmp_path / "b", [[1, 2]], PlainIds(10, "two"))
    with pytest.raises(UserError, match="another tokenizer"):
        Mixed([Part(a, 0.5), Part(b, 0.5)], 4, 1, 1, 0)


@pytest.mark.parametrize("share", [0.0, -1.0, math.nan])
def test_a_share_that_is_not_positive_is_refused(tmp_path: Path, share: float) -> None:
    shards = numbered(tmp_path / "s", [5])
    with pytest.raises(UserError, match="share"):
        Mixed([Part(shards, 0.5), Part(shards, share)], 4, 1, 1, 0)


def test_a_step_past_the_stage_is_refused(tmp_path: Path) -> None:
    mixed = Mixed([Part(numbered(tmp_path / "s", [5]), 1.0)], 4, 2, 3, 0)
    for step, first, n in ((3, 0, None), (-1, 0, None), (0, 1, 2), (0, -1, 1)):
        with pytest.raises(IndexError):
            mixed.batch(step, first, n)


@settings(max_examples=50, deadline=None)
@given(shares=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12), total=st.integers(0, 10**9))
def test_apportioned_counts_sum_up_and_miss_the_share_by_less_than_one(shares: list[float], total: int) -> None:
    counts = apportion(shares, total)
    assert counts.sum() == total
    exact = np.array(shares) / sum(shares) * total
    assert (np.abs(counts - exact) < 1 + 1e-6).all()


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    context=st.integers(1, 40),
    rows=st.integers(1, 5),
    limit=st.one_of(st.none(), st.integers(1, 300)),
)
def test_once_shows_every_token_once_and_predicts_all_but_the_first_of_each_document(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], context: int, rows: int, limit: int | None
) -> None:
    shards = numbered(tmp_path_factory.mktemp("s") / "s", lengths)
    batches: list[Batch] = list(once(shards, context, rows, tokens=limit))
    stop = shards.tokens if limit is None else min(limit, shards.tokens)
    stream = shards.read(0, shards.tokens).tolist()
    shown = Counter(t for b in batches for t in b.tokens.ravel().tolist() if t != shards.end)
    assert shown == Counter(t for t in stream[:stop] if t != shards.end)
    predicted = sorted(t for b in batches for t in b.targets.ravel().tolist() if t != IGNORED)
    assert predicted == sorted(stream[i + 1] for i in range(stop) if stream[i] != shards.end)
