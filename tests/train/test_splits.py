"""Held-out splits: nothing seen in training under another name, whatever the data look like."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.train.conversations import Conversation, pair
from tandem.train.splits import Splits, held_out, sample


def prompt(item: Conversation) -> str:
    return " ".join(item.opening.casefold().split())


@st.composite
def data(draw):
    """Up to 4 types of up to 4 tasks, prompts from a small pool, so that tasks share some."""
    items = []
    for type in range(draw(st.integers(1, 4))):
        for task in range(draw(st.integers(1, 4))):
            for said in draw(st.lists(st.integers(0, 40), min_size=1, max_size=12)):
                shared = draw(st.integers(0, 9)) == 0
                text = f"Say {said}" if shared else f"In {type}.{task} say {said}"
                items.append(pair(f"i{len(items)}", text, "x", f"task {type}.{task}", f"type {type}"))
    return items


def parts(splits: Splits) -> dict[str, tuple[Conversation, ...]]:
    return {"train": splits.train, **splits.held}


CHOICES = {
    "instances": st.sampled_from([0.0, 0.1, 0.3, 0.9]),
    "tasks": st.integers(0, 3),
    "types": st.integers(0, 2),
    "seed": st.integers(0, 9),
}


def split_or_skip(items, **choices) -> Splits:
    try:
        return held_out(items, **choices)
    except UserError:
        assume(False)
        raise


@settings(max_examples=60, deadline=None)
@given(data(), st.fixed_dictionaries(CHOICES))
def test_every_item_is_in_exactly_one_part_or_counted_as_removed(items, choices):
    splits = split_or_skip(items, **choices)
    everywhere = [i.id for part in (*parts(splits).values(), splits.removed) for i in part]
    assert sorted(everywhere) == sorted(i.id for i in items)


@settings(max_examples=60, deadline=None)
@given(data(), st.fixed_dictionaries(CHOICES))
def test_no_prompt_stands_in_two_parts(items, choices):
    found = parts(split_or_skip(items, **choices))
    prompts = {name: {prompt(i) for i in part} for name, part in found.items()}
    assert sum(map(len, prompts.values())) == len(set().union(*prompts.values()))


@settings(max_examples=60, deadline=None)
@given(data(), st.fixed_dictionaries(CHOICES))
def test_each_part_has_seen_exactly_what_its_name_says(items, choices):
    splits = split_or_skip(items, **choices)
    tasks, types = {i.task for i in splits.train}, {i.type for i in splits.train}
    assert all(i.task in tasks for i in splits.instances)
    assert all(i.task not in tasks and i.type in types for i in splits.tasks)
    assert all(i.type not in types for i in splits.types)


@settings(max_examples=60, deadline=None)
@given(data(), st.fixed_dictionaries(CHOICES))
def test_as_many_tasks_and_types_are_held_out_as_asked_and_each_type_left_is_trained_on(items, choices):
    splits = split_or_skip(items, **choices)
    assert (len(splits.held_tasks), len(splits.held_types)) == (choices["tasks"], choices["types"])
    assert {i.type for i in splits.train} == {i.type for i in items} - set(splits.held_types)


@settings(max_examples=50, deadline=None)
@given(data(), st.fixed_dictionaries(CHOICES), st.randoms(use_true_random=False))
def test_the_order_of_the_items_does_not_matter(items, choices, rng: random.Random):
    splits = split_or_skip(items, **choices)
    shuffled = list(items)
    rng.shuffle(shuffled)
    again = held_out(shuffled, **choices)
    assert {k: {i.id for i in v} for k, v in parts(again).items()} == {
        k: {i.id for i in v} for k, v in parts(splits).items()
    }


@settings(max_examples=50, deadline=None)
@given(data(), st.integers(0, 3), st.integers(0, 2), st.integers(0, 5))
def test_what_can_be_held_out_by_number_is_found(items, tasks, types, seed):
    """The choice fails only where no set of types leaves one type and enough spare tasks (checked exhaustively)."""
    sizes = Counter(type for _, type in {(i.task, i.type) for i in items})
    smallest_first = sorted(sizes.values())
    possible = len(sizes) - types >= 1 and sum(n - 1 for n in smallest_first[types:]) >= tasks
    own_prompts = [pair(i.id, f"{i.task} {i.id}", "x", i.task, i.type) for i in items]
    if possible:
        assert len(held_out(own_prompts, tasks=tasks, types=types, seed=seed).held_types) == types
    else:
        with pytest.raises(UserError, match="cannot hold out"):
            held_out(own_prompts, tasks=tasks, types=types, seed=seed)


def regular(types=3, tasks=3, each=20) -> list[Conversation]:
    return [
        pair(f"{k}.{t}.{n}", f"{k} {t} {n}?", "x", f"task {k}.{t}", f"type {k}")
        for k in range(types)
        for t in range(tasks)
        for n in range(each)
    ]


def test_the_share_of_instances_is_exact_for_each_task():
    splits = held_out(regular(), instances=0.15, seed=1)
    assert Counter(i.task for i in splits.instances) == dict.fromkeys({i.task for i in regular()}, 3)


def test_a_task_with_two_prompts_keeps_one_of_each():
    splits = held_out(regular(each=2), instances=0.01, seed=1)
    assert len(splits.instances) == len(splits.train) == 9


def test_seeds_choose_differently():
    chosen = {held_out(regular(), tasks=2, types=1, seed=seed).held_tasks for seed in range(8)}
    assert len(chosen) > 3


def test_held_out_tasks_are_spread_over_the_types():
    for seed in range(5):
        splits = held_out(regular(), tasks=3, seed=seed)
        assert len({task.split(".")[0] for task in splits.held_tasks}) == 3


def test_tasks_and_types_can_be_named():
    splits = held_out(regular(), tasks=["task 0.1"], types=["type 2"], seed=0)
    assert (splits.held_tasks, splits.held_types) == (("task 0.1",), ("type 2",))
    assert {i.task for i in splits.tasks} == {"task 0.1"} and {i.type for i in splits.types} == {"type 2"}


def test_a_prompt_that_differs_in_case_and_spaces_only_is_the_same_prompt():
    items = [*regular(), pair("copy", "2  1 5?\n", "x", "task 0.0", "type 0")]
    splits = held_out(items, types=["type 2"], seed=0)
    assert [i.id for i in splits.removed] == ["copy"]


def test_conversations_without_labels_are_one_task():
    splits = held_out([pair(str(n), f"{n}?", "x") for n in range(50)], instances=0.1, seed=0)
    assert (len(splits.train), len(splits.instances)) == (45, 5)


@pytest.mark.parametrize(
    ("choices", "problem", "remedy"),
    [
        ({"tasks": ["task 0.9"]}, "no such name among the tasks", "did you mean"),
        ({"types": ["tipe 0"]}, "no such name among the types", "did you mean 'type 0'?"),
        ({"types": ["type 0"], "tasks": ["task 0.1"]}, "outside the held-out types ['type 0']", "did you mean"),
        ({"types": ["type 0", "type 1", "type 2"]}, "nothing is left", None),
        ({"types": 3}, "cannot hold out 3 types", "lower the numbers"),
        ({"tasks": 7}, "cannot hold out 7 tasks", "lower the number"),
        ({"tasks": ["task 0.0", "task 0.1", "task 0.2"]}, "all tasks of type 'type 0'", "hold the type out"),
        ({"instances": 1.0}, "lies in [0, 1)", None),
    ],
)
def test_what_cannot_be_held_out_is_explained(choices, problem, remedy):
    with pytest.raises(UserError) as caught:
        held_out(regular(), seed=0, **choices)
    assert problem in caught.value.problem
    assert remedy is None or remedy in (caught.value.remedy or "")


def test_a_task_of_two_types_is_an_error():
    items = [pair("a", "1?", "x", "sum", "maths"), pair("b", "2?", "x", "sum", "text")]
    with pytest.raises(UserError, match="belongs to two types"):
        held_out(items, seed=0)


def test_a_type_whose_prompts_all_stand_in_held_out_tasks_is_an_error():
    items = [pair("a", "1?", "x", "sum", "maths"), pair("b", "1?", "x", "add", "other"), *regular()]
    with pytest.raises(UserError, match="nothing of type 'maths' is left"):
        held_out(items, types=["other"], seed=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 200), st.randoms(use_true_random=False))
def test_a_sample_does_not_depend_on_the_order_and_larger_ones_contain_smaller(n, rng: random.Random):
    items = regular()
    shuffled = list(items)
    rng.shuffle(shuffled)
    chosen = {i.id for i in sample(items, n, seed=3)}
    assert len(chosen) == min(n, len(items))
    assert chosen == {i.id for i in sample(shuffled, n, seed=3)}
    assert chosen <= {i.id for i in sample(items, n + 5, seed=3)}
