"""The facts of a world agree with each other, whatever the seed and the size."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.world import RELATION, RELATIONS, World
from tandem.world.schema import NOW, TERMS, Fact

WORLDS = st.builds(World.make, st.integers(0, 2**63 - 1), st.integers(100, 1500))
few = settings(max_examples=15, deadline=None)


def index(world: World) -> dict[tuple[str, str], list[Fact]]:
    """Facts by subject and relation, false claims left out."""
    found: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in world.facts:
        if fact.status != "contradicted":
            found[fact.subject, fact.relation].append(fact)
    return found


@given(st.integers(0, 2**63 - 1), st.integers(100, 3000))
@settings(max_examples=60, deadline=None)
def test_a_world_has_exactly_the_number_of_facts_asked_for(seed: int, facts: int) -> None:
    assert len(World.make(seed, facts).facts) == facts


@given(WORLDS)
@few
def test_every_fact_joins_kinds_that_its_relation_allows(world: World) -> None:
    kinds = {e.id: e.kind for e in world.entities}
    for fact in world.facts:
        relation = RELATION[fact.relation]
        assert kinds[fact.subject] in relation.domain
        if relation.to_entity:
            assert kinds[fact.object] in relation.range
        elif relation.range == ("year",):
            assert 1000 <= int(fact.object) < NOW + 13
        else:
            assert fact.object in TERMS[relation.range[0]]


@given(WORLDS)
@few
def test_a_subject_has_at_most_one_object_of_a_relation_that_holds_now(world: World) -> None:
    for (_, relation), facts in index(world).items():
        current = [f for f in facts if f.status == "current"]
        assert len(current) <= 1
        assert RELATION[relation].temporal or len(facts) == 1


@given(WORLDS)
@few
def test_outdated_facts_are_those_that_have_ended(world: World) -> None:
    for fact in world.facts:
        assert (fact.status == "outdated") == (fact.until is not None)
        assert (fact.since is not None) == (RELATION[fact.relation].temporal and fact.status != "contradicted")
        if fact.since is not None:
            assert fact.since < (fact.until or NOW + 1)


@given(WORLDS)
@few
def test_a_false_claim_contradicts_a_fact_with_another_object(world: World) -> None:
    true = index(world)
    false = [f for f in world.facts if f.status == "contradicted"]
    assert len(false) == len(world.facts) // 50
    for claim in false:
        (fact,) = true[claim.subject, claim.relation]
        assert fact.object != claim.object


@given(WORLDS)
@few
def test_nobody_acts_before_birth_or_after_death(world: World) -> None:
    facts = index(world)

    def year(entity: str, relation: str) -> int | None:
        found = facts.get((entity, relation))
        return int(found[0].object) if found else None

    for (subject, relation), found in facts.items():
        for fact in found:
            if relation in ("lives_in", "works_for", "married_to"):
                born, died = year(subject, "born_year"), year(subject, "died_year")
                assert born is not None and fact.since is not None
                assert born + 18 <= fact.since < (died or NOW + 1)
                assert died is None or (fact.until is not None and fact.until <= died)
            if relation in ("founded_by", "written_by"):
                when = year(subject, "founded_year" if relation == "founded_by" else "published_year")
                born, died = year(fact.object, "born_year"), year(fact.object, "died_year")
                assert born is not None and when is not None
                assert born + 20 <= when <= (died or NOW)
            if relation == "headed_by":
                born = year(fact.object, "born_year")
                assert born is not None and fact.since is not None
                assert born + 25 <= fact.since
                assert year(fact.object, "died_year") is None


@given(WORLDS)
@few
def test_nobody_joins_an_organisation_before_it_exists(world: World) -> None:
    facts = index(world)
    for (subject, relation), found in facts.items():
        for fact in found:
            if relation == "works_for":
                assert fact.since is not None
                assert int(facts[fact.object, "founded_year"][0].object) <= fact.since
            if relation == "studied_at":
                born = int(facts[subject, "born_year"][0].object)
                assert int(facts[fact.object, "founded_year"][0].object) <= born + 17
            if relation == "headed_by":
                assert fact.since is not None
                assert int(facts[subject, "founded_year"][0].object) <= fact.since


@given(WORLDS)
@few
def test_symmetric_relations_hold_in_both_directions_for_the_same_years(world: World) -> None:
    symmetric = {r.name for r in RELATIONS if r.symmetric}
    assert symmetric
    facts = index(world)
    for (subject, relation), found in facts.items():
        if relation in symmetric:
            for fact in found:
                back = [f for f in facts[fact.object, relation] if f.object == subject]
                assert [(f.since, f.until) for f in back] == [(fact.since, fact.until)]
                assert fact.object != subject


@given(WORLDS)
@few
def test_a_capital_lies_in_its_country(world: World) -> None:
    facts = index(world)
    capitals = [f for f in world.facts if f.relation == "capital"]
    assert capitals
    for fact in capitals:
        assert facts[fact.object, "lies_in"][0].object == fact.subject


@given(WORLDS)
@few
def test_residences_follow_each_other_without_a_gap(world: World) -> None:
    for (_, relation), found in index(world).items():
        if relation == "lives_in":
            for one, following in pairwise(found):
                assert one.until == following.since
                assert one.object != following.object


@pytest.mark.parametrize("facts", [100, 700, 20_000, 200_000])
def test_names_are_distinct_and_aliases_mean_one_entity(facts: int) -> None:
    world = World.make(3, facts)
    meant: dict[str, str] = {}
    for entity in world.entities:
        for name in (entity.name, *entity.aliases):
            assert meant.setdefault(name, entity.id) == entity.id, name
    assert len(set(world.names)) == world.census.total


def test_the_form_of_a_name_tells_its_category() -> None:
    for entity in World.make(5, 5000).entities:
        words = entity.name.split()
        seen = "work" if words[0] == "The" else "place" if len(words) == 1 else "organisation"
        endings = {
            "person": ("ard", "ett", "ing", "ow"),
            "place": ("ford", "wick", "dale", "ham", "mouth", "ia", "land"),
        }
        if len(words) == 2 and words[1].endswith(endings["person"]):
            seen = "person"
        assert seen == entity.category
        assert seen != "place" or entity.name.endswith(endings["place"])


def test_facts_read_in_blocks_are_the_facts_read_one_by_one() -> None:
    world = World.make(11, 70_000)
    everything = list(world.facts)
    assert [world.facts[i] for i in (0, 65_535, 65_536, 69_999, -1)] == [
        everything[i] for i in (0, 65_535, 65_536, 69_999, -1)
    ]
    assert list(world.facts[10:20]) == everything[10:20]
    with pytest.raises(IndexError):
        world.facts[70_000]


def test_other_seeds_make_other_worlds() -> None:
    one, other = World.make(1, 1000), World.make(2, 1000)
    assert one.names != other.names
    assert np.mean(one.columns.object == other.columns.object) < 0.5


@pytest.mark.parametrize(
    ("seed", "facts", "where"),
    [(-1, 1000, "seed"), (2**63, 1000, "seed"), (1, 99, "facts"), (1, 0, "facts"), (1, 10_000_001, "facts"),
     (1.5, 1000, "seed"), (1, 1000.0, "facts"), (True, 1000, "seed")],
)  # fmt: skip
def test_a_seed_or_size_that_cannot_be_used_is_refused_by_name(seed: int, facts: int, where: str) -> None:
    with pytest.raises(UserError) as refused:
        World.make(seed, facts)
    assert refused.value.where == where
    assert refused.value.remedy


@pytest.mark.slow
def test_ten_million_facts_fit() -> None:
    world = World.make(1, 10_000_000)
    assert len(world.facts) == 10_000_000
    assert len(set(world.names)) == world.census.total
    assert world.mentions.sum() > 10_000_000
