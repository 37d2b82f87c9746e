"""Packing: every conversation whole, by itself, learnt as often as asked; nothing lost without being counted."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.corpus.batches import IGNORED
from tandem.errors import UserError
from tandem.train.packing import Packed, first_fit_decreasing, some_fit

PAD = 9999


def conversation(number: int, *turns: int) -> tuple[list[int], list[bool]]:
    """Ids that name conversation and place; turns of the given lengths, questions and answers in turn."""
    is_target = [bool(i % 2) for i, length in enumerate(turns) for _ in range(length)]
    return [1000 * number + place for place in range(len(is_target))], is_target


TURNS = st.lists(st.integers(1, 6), min_size=2, max_size=6)
SETS = st.lists(TURNS, min_size=1, max_size=12).map(
    lambda many: [conversation(number, *turns) for number, turns in enumerate(many)]
)


def rows_of(packed: Packed):
    for step in range(packed.steps):
        yield from zip(*packed.batch(step)[:3], strict=True)


def documents_of(tokens, targets, documents):
    """(ids, targets) of each document of a row that is not padding."""
    for document in np.unique(documents):
        inside = documents == document
        if (tokens[inside] != PAD).any():
            yield tokens[inside].tolist(), targets[inside].tolist()


@settings(max_examples=60, deadline=None)
@given(SETS, st.integers(1, 4), st.integers(1, 3), st.integers(0, 5))
def test_each_epoch_shows_every_conversation_whole_and_once(encoded, rows, epochs, seed):
    packed = Packed(encoded, context=40, rows=rows, pad=PAD, seed=seed, epochs=epochs)
    seen = Counter()
    for row in rows_of(packed):
        for ids, targets in documents_of(*row):
            whole, is_target = encoded[ids[0] // 1000]
            assert ids == whole[:-1]
            assert targets == [i if t else IGNORED for i, t in zip(whole[1:], is_target[1:], strict=True)]
            seen[ids[0] // 1000] += 1
    assert seen == dict.fromkeys(range(len(encoded)), epochs)


@settings(max_examples=60, deadline=None)
@given(SETS)
def test_documents_are_numbered_from_0_and_padding_is_one_of_its_own_without_targets(encoded):
    packed = Packed(encoded, context=64, rows=2, pad=PAD, seed=0)
    for tokens, targets, documents in rows_of(packed):
        numbers = np.unique(documents)
        assert numbers.tolist() == list(range(len(numbers)))
        assert (np.diff(documents) >= 0).all()
        padding = tokens == PAD
        assert (targets[padding] == IGNORED).all()
        assert not set(documents[padding]) & set(documents[~padding])
        assert len(set(documents[padding])) <= 1


@settings(max_examples=40, deadline=None)
@given(SETS, st.integers(1, 5), st.integers(0, 3))
def test_any_slice_of_a_batch_is_that_part_of_the_whole_batch(encoded, rows, seed):
    packed = Packed(encoded, context=40, rows=rows, pad=PAD, seed=seed)
    again = Packed(encoded, context=40, rows=rows, pad=PAD, seed=seed)
    for step in reversed(range(packed.steps)):
        whole = packed.batch(step)
        for row in range(rows):
            part = again.batch(step, row, 1)
            assert all((a[row : row + 1] == b).all() for a, b in zip(whole, part, strict=True))


def test_epochs_visit_the_rows_in_different_orders_and_so_do_seeds():
    encoded = [conversation(number, 3, 8) for number in range(30)]

    def order(seed, epoch):
        packed = Packed(encoded, context=10, rows=30, pad=PAD, seed=seed, epochs=2)
        return packed.batch(epoch).tokens[:, 0].tolist()

    assert sorted(order(0, 0)) == sorted(order(0, 1)) == sorted(order(1, 0))
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_the_fingerprint_changes_with_whatever_changes_the_batches():
    encoded = [conversation(number, 3, 8) for number in range(5)]
    given_settings = {"context": 20, "rows": 2, "pad": PAD, "seed": 0, "epochs": 2}

    def fingerprint(data=encoded, **changed):
        return Packed(data, **(given_settings | changed)).fingerprint

    others = [fingerprint(**{name: value + 1}) for name, value in given_settings.items()]
    ids, is_target = encoded[0]
    others += [fingerprint([(ids[::-1], is_target), *encoded[1:]]), fingerprint(encoded[1:])]
    others.append(fingerprint([(ids, [False, False, True, *is_target[3:]]), *encoded[1:]]))
    assert fingerprint() == fingerprint()
    assert len({fingerprint(), *others}) == len(others) + 1


def test_half_an_epoch_shows_half_the_rows():
    encoded = [conversation(number, 3, 8) for number in range(30)]
    packed = Packed(encoded, context=10, rows=4, pad=PAD, seed=0, epochs=0.5)
    assert sum((tokens != PAD).any() for tokens, _, _ in rows_of(packed)) == 15
    assert packed.steps == 4


def test_a_conversation_too_long_is_cut_after_its_last_whole_answer():
    ids, is_target = conversation(0, 4, 6, 4, 6, 4, 6)
    packed = Packed([(ids, is_target)], context=23, rows=1, pad=PAD, seed=0)
    tokens, targets, _, _ = packed.batch(0)
    assert tokens[0, :19].tolist() == ids[:19] and (tokens[0, 19:] == PAD).all()
    assert targets[0, 18] == ids[19]
    assert (packed.report.cut, packed.report.dropped, packed.report.packed) == (1, 0, 1)


@settings(max_examples=60, deadline=None)
@given(TURNS, st.integers(2, 20))
def test_a_cut_conversation_ends_with_an_answer_and_as_late_as_it_can(turns, context):
    ids, is_target = conversation(0, *turns)
    ends = [sum(turns[: i + 1]) for i in range(1, len(turns), 2)]
    fitting = [end for end in ends if end - 1 <= context] if len(ids) - 1 > context else [len(ids)]
    filler = conversation(1, 1, 1)
    packed = Packed([(ids, is_target), filler], context=context, rows=1, pad=PAD, seed=0)
    assert packed.report.dropped == (not fitting)
    shown = [d for row in rows_of(packed) for d, _ in documents_of(*row) if d[0] < 1000]
    assert shown == ([ids[: fitting[-1] - 1]] if fitting else [])


def test_what_is_dropped_and_what_has_nothing_to_learn_is_counted():
    encoded = [conversation(0, 30, 5), conversation(1, 5), conversation(2, 2, 3)]
    report = Packed(encoded, context=16, rows=1, pad=PAD, seed=0).report
    assert (report.conversations, report.packed, report.dropped, report.without_answer) == (3, 1, 1, 1)
    assert (report.tokens, report.targets, report.rows) == (4, 3, 1)
    assert report.efficiency == 4 / 16


def test_nothing_that_fits_is_an_error_that_says_what_to_change():
    with pytest.raises(UserError, match="none of 1 conversations fits into 8 tokens") as caught:
        Packed([conversation(0, 30, 5)], context=8, rows=1, pad=PAD, seed=0)
    assert caught.value.where == "tuning.context"


LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=80)


@settings(max_examples=100, deadline=None)
@given(LENGTHS)
def test_first_fit_decreasing_fills_bins_as_its_definition_says(lengths):
    bins: list[list[int]] = []
    for item in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        for content in bins:
            if sum(lengths[i] for i in content) + lengths[item] <= 50:
                content.append(item)
                break
        else:
            bins.append([item])
    assert first_fit_decreasing(lengths, 50) == bins


def test_rows_of_ordinary_conversations_are_nearly_full():
    rng = np.random.default_rng(0)
    encoded = [conversation(n, int(q), int(a)) for n, (q, a) in enumerate(rng.integers(5, 120, (2000, 2)))]
    assert Packed(encoded, context=512, rows=8, pad=PAD, seed=0).report.efficiency > 0.99


@settings(max_examples=100, deadline=None)
@given(SETS, st.integers(1, 30))
def test_some_fit_exactly_where_they_can_be_packed(encoded, context):
    def refusal(work):
        try:
            work()
        except UserError as e:
            return str(e)
        return None

    packed = refusal(lambda: Packed(encoded, context=context, rows=1, pad=PAD, seed=0))
    assert refusal(lambda: some_fit(iter(encoded), context)) == packed
