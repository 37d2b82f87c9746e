"""Passages say what the facts say, as often as Zipf has it, and never in held-out words."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tandem.errors import UserError
from tandem.world import World, passages, plan
from tandem.world.schema import NUMBER, RELATION
from tandem.world.templates import WORDINGS, literal, sentence, statements


@pytest.fixture(scope="module")
def world() -> World:
    return World.make(7, 6000)


def number(id_: str) -> int:
    return int(id_[1:])


def test_every_sentence_of_a_passage_is_a_wording_of_the_fact_it_is_labelled_with(world: World) -> None:
    for passage in passages(world):
        for mention in passage.mentions:
            fact = world.facts[number(mention.fact)]
            wordings = statements(fact.relation, ended=fact.status == "outdated" and not mention.stale, held_out=False)
            parts = {
                "o": world.object_text(number(mention.fact)),
                "since": str(fact.since),
                "until": str(fact.until),
            }
            subject = number(fact.subject)
            said = [
                sentence(wordings[mention.template], s=s, **parts) for s in (world.names[subject], world.short(subject))
            ]
            assert passage.text[mention.start : mention.end] in said
        assert sum(m.end - m.start for m in passage.mentions) + len(passage.mentions) - 1 == len(passage.text)


def test_passages_mention_each_fact_as_often_as_the_world_says(world: World) -> None:
    counted = Counter(m.fact for p in passages(world) for m in p.mentions)
    assert [counted[f.id] for f in world.facts] == world.mentions.tolist()


def test_no_passage_has_the_same_fact_twice_or_is_empty(world: World) -> None:
    for passage in passages(world):
        facts = [m.fact for m in passage.mentions]
        assert facts
        assert len(set(facts)) == len(facts)


def test_a_subject_is_named_in_full_before_it_is_named_in_short(world: World) -> None:
    for passage in passages(world):
        for mention in passage.mentions:
            subject = world.names[number(world.facts[number(mention.fact)].subject)]
            assert subject in passage.text[: mention.end]


def test_the_plan_knows_the_passages_of_a_fact_without_writing_them(world: World) -> None:
    found: dict[str, list[str]] = {}
    for passage in passages(world):
        for mention in passage.mentions:
            found.setdefault(mention.fact, []).append(passage.id)
    for fact in range(0, len(world.facts), 7):
        assert sorted(plan(world).of_fact(fact)) == found.get(f"f{fact:07d}", [])


def test_held_out_wordings_never_stand_in_passages(world: World) -> None:
    text = "\n".join(p.text for p in passages(world))
    for wording in WORDINGS.values():
        for template in (*wording.held_out, *wording.held_out_past, *wording.held_out_questions):
            assert literal(template) not in text, template


def test_the_literal_piece_of_a_held_out_wording_stands_in_no_other_wording() -> None:
    for name, wording in WORDINGS.items():
        for template in (*wording.held_out, *wording.held_out_past, *wording.held_out_questions):
            assert len(literal(template)) >= 4
            for other in WORDINGS.values():
                usual = (*other.statements, *other.past, *other.questions, other.phrase)
                assert not any(literal(template) in u for u in usual), (name, template)


def test_plain_statements_and_clozes_end_with_the_object() -> None:
    assert set(WORDINGS) == set(RELATION)
    for name, wording in WORDINGS.items():
        assert wording.plain.endswith("{o}.")
        assert wording.held_out[-1].endswith("{o}.")
        assert bool(wording.past) == bool(wording.held_out_past) == RELATION[name].temporal
        for template in (*wording.statements, *wording.held_out):
            assert "{s}" in template and "{o}" in template and "{until}" not in template


def test_mentions_fall_with_the_rank_as_zipf_has_it() -> None:
    counts = np.sort(World.make(7, 100_000).mentions)[::-1].astype(float)
    ranks = np.arange(1, len(counts) + 1)
    middle = (ranks >= 30) & (ranks <= 10_000)
    slope, _ = np.polyfit(np.log(ranks[middle]), np.log(counts[middle]), 1)
    assert -0.85 < slope < -0.65


def test_some_facts_are_never_mentioned_most_a_few_times_and_few_often() -> None:
    world = World.make(7, 50_000)
    shares = np.bincount(np.minimum(world.mentions, 20), minlength=21) / len(world.facts)
    assert 0.05 < shares[0] < 0.25
    assert shares[1:4].sum() > 0.6
    assert 0 < shares[20] < 0.05


def test_false_claims_are_mentioned_at_most_twice(world: World) -> None:
    false = world.columns.status == 2
    assert 0 < world.mentions[false].max() <= 2


def test_ended_facts_are_sometimes_stated_as_if_they_held_and_labelled(world: World) -> None:
    mentions = [m for p in passages(world) for m in p.mentions]
    stale, ended = sum(m.stale for m in mentions), sum(m.status == "outdated" for m in mentions)
    assert 0.2 < stale / ended < 0.3
    assert all(m.status == "outdated" for m in mentions if m.stale)


def test_hardly_two_passages_are_the_same() -> None:
    texts = [p.text for p in passages(World.make(7, 20_000))]
    assert len(set(texts)) > 0.98 * len(texts)


def test_all_usual_wordings_are_used_about_equally(world: World) -> None:
    used = Counter(
        m.template for p in passages(world) for m in p.mentions if world.facts[number(m.fact)].relation == "born_in"
    )
    assert set(used) == set(range(len(WORDINGS["born_in"].statements)))
    assert max(used.values()) < 1.5 * min(used.values())


def test_a_range_of_passages_is_the_same_as_a_slice_of_all() -> None:
    world = World.make(7, 12_000)
    everything = list(passages(world))
    assert len(everything) == plan(world).passages
    assert [p.id for p in everything] == [f"p{i:08d}" for i in range(len(everything))]
    assert list(passages(world, 17, 5200)) == everything[17:5200]
    assert list(passages(world, len(everything))) == []


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (5, 4), (0, 10**9)])
def test_a_range_outside_the_world_is_refused_before_anything_is_written(world: World, start: int, stop: int) -> None:
    with pytest.raises(UserError, match="passages"):
        passages(world, start, stop)


def test_towns_are_told_of_with_their_country(world: World) -> None:
    country = {f.subject: f.object for f in world.facts if f.relation == "lies_in" and f.status != "contradicted"}
    settled = NUMBER["settled_year"]
    for passage in passages(world):
        for mention in passage.mentions:
            if world.columns.relation[number(mention.fact)] == settled:
                assert passage.entity == country[world.facts[number(mention.fact)].subject]
