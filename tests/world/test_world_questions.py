"""Every answer of a question or choice follows from the facts by walking the graph, and from nothing else."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.types import Question
from tandem.world import RELATION, World, choices, passages, questions
from tandem.world.templates import WORDINGS, literal


@pytest.fixture(scope="module")
def world() -> World:
    return World.make(7, 6000)


class Graph:
    """Names and current facts, read from the views `entities` and `facts` only."""

    def __init__(self, world: World) -> None:
        self.named = {e.name: e for e in world.entities}
        self.entity = {e.id: e for e in world.entities}
        self.facts = {f.id: f for f in world.facts}
        self.current: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.ever: dict[tuple[str, str], set[str]] = defaultdict(set)
        for fact in world.facts:
            if fact.status == "current":
                self.current[fact.subject, fact.relation].add(fact.object)
            self.ever[fact.subject, fact.relation].add(fact.object)

    def text(self, object_: str) -> str:
        return self.entity[object_].name if object_ in self.entity else object_

    def walk(self, start: str, relations: list[str]) -> set[str]:
        reached = {start}
        for relation in relations:
            reached = {o for s in reached for o in self.current[s, relation]}
        return reached


@pytest.fixture(scope="module")
def graph(world: World) -> Graph:
    return Graph(world)


def understood(graph: Graph, text: str) -> tuple[str, list[str]]:
    """Entity and relations a question asks about, read from its words alone."""
    for relation, wording in WORDINGS.items():
        for template in (*wording.questions, *wording.held_out_questions):
            found = re.fullmatch(re.escape(template).replace(r"\{s\}", "(.+)"), text)
            if found:
                about, relations = found[1], [relation]
                while about not in graph.named:
                    inner = (
                        (name, re.fullmatch(re.escape(w.phrase).replace(r"\{s\}", "(.+)"), about))
                        for name, w in WORDINGS.items()
                    )
                    step = next(((name, m[1]) for name, m in inner if m), None)
                    if step is None:
                        break
                    relations.insert(0, step[0])
                    about = step[1]
                else:
                    return graph.named[about].id, relations
    raise AssertionError(f"not understood: {text}")


@pytest.mark.parametrize("held_out", [False, True])
def test_the_words_of_a_question_lead_to_its_answer_and_to_no_other(world: World, graph: Graph, held_out: bool) -> None:
    for question in questions(world, n=600, held_out=held_out):
        start, relations = understood(graph, question.text)
        assert relations == question.meta["relations"]
        (reached,) = graph.walk(start, relations)
        assert question.answers[0] == graph.text(reached)
        if reached in graph.entity:
            assert question.answers[1:] == graph.entity[reached].aliases
            assert question.meta["kind"] == graph.entity[reached].kind
        else:
            assert question.meta["kind"] == RELATION[relations[-1]].range[0]


@given(st.integers(0, 10**6), st.integers(100, 800))
@settings(max_examples=10, deadline=None)
def test_questions_of_any_small_world_have_one_answer(seed: int, facts: int) -> None:
    world = World.make(seed, facts)
    graph = Graph(world)
    for question in questions(world, n=30, seed=seed):
        start, relations = understood(graph, question.text)
        assert [graph.text(o) for o in graph.walk(start, relations)] == [question.answers[0]]


def test_a_question_has_as_many_hops_as_it_says(world: World) -> None:
    counted = Counter(q.meta["hops"] for q in questions(world, n=301))
    assert counted == {1: 101, 2: 100, 3: 100}
    for question in questions(world, (3,), 20):
        assert len(question.meta["facts"]) == len(question.meta["evidence"]) == len(question.meta["mentions"]) == 3


def test_the_evidence_states_the_chain_and_its_last_sentence_the_answer(world: World, graph: Graph) -> None:
    for question in questions(world, n=300):
        evidence = question.meta["evidence"]
        assert [e["fact"] for e in evidence] == question.meta["facts"]
        for one in evidence:
            fact = graph.facts[one["fact"]]
            assert graph.entity[fact.subject].name in one["text"]
            assert graph.text(fact.object) in one["text"]
        assert question.answers[0] in evidence[-1]["text"]
        assert question.meta["chain"] == [e["text"] for e in evidence] + [f"So the answer is {question.answers[0]}."]


def test_passages_given_as_evidence_do_mention_the_fact(world: World) -> None:
    mentioned = {(p.id, m.fact) for p in passages(world) for m in p.mentions}
    for question in questions(world, n=300):
        for evidence, mentions in zip(question.meta["evidence"], question.meta["mentions"], strict=True):
            assert len(evidence["passages"]) == min(mentions, 3)
            assert all((passage, evidence["fact"]) in mentioned for passage in evidence["passages"])


def test_distractors_are_true_sentences_that_do_not_hold_the_answer(world: World, graph: Graph) -> None:
    for question in questions(world, n=300):
        assert question.meta["distractors"]
        for distractor in question.meta["distractors"]:
            fact = graph.facts[distractor["fact"]]
            assert fact.status == "current"
            assert fact.id not in question.meta["facts"]
            assert graph.entity[fact.subject].name in distractor["text"]
            assert graph.text(fact.object) in distractor["text"]
            assert question.answers[0] not in distractor["text"]


def test_the_context_is_evidence_and_distractors_in_no_fixed_order(world: World) -> None:
    first = 0
    made = questions(world, (2,), 300)
    for question in made:
        parts = [p["text"] for p in (*question.meta["evidence"], *question.meta["distractors"])]
        assert sorted(question.context) == sorted(parts)
        first += question.context[0] in parts[:2]
    assert 0.25 < first / len(made) < 0.6


def test_contested_questions_are_those_with_a_rival_in_the_passages(world: World, graph: Graph) -> None:
    told = {m.fact for p in passages(world) for m in p.mentions}
    made = questions(world, n=300)
    assert 0 < sum(q.meta["contested"] for q in made) < len(made)
    for question in made:
        chain = [graph.facts[f] for f in question.meta["facts"]]
        rivals = [
            f
            for link in chain
            for f in graph.facts.values()
            if (f.subject, f.relation) == (link.subject, link.relation) and f.id != link.id and f.id in told
        ]
        assert question.meta["contested"] == bool(rivals)


def test_held_out_questions_share_no_wording_with_the_usual_ones(world: World) -> None:
    pieces = [literal(t) for w in WORDINGS.values() for t in w.held_out_questions]
    assert not any(piece in q.text for q in questions(world, n=600) for piece in pieces)
    for question in questions(world, n=300, held_out=True):
        assert question.meta["template_held_out"]
        assert any(piece in question.text for piece in pieces)


def test_no_question_is_asked_twice_and_ids_are_unique(world: World) -> None:
    made = questions(world, n=900) + questions(world, n=900, held_out=True)
    assert len({q.id for q in made}) == len(made)
    assert len({tuple(q.meta["facts"]) for q in questions(world, n=900)}) == 900


def test_other_seeds_ask_other_questions_about_the_same_world(world: World) -> None:
    assert questions(world, n=50, seed=1) == questions(world, n=50, seed=1)
    assert {q.text for q in questions(world, n=50, seed=1)} != {q.text for q in questions(world, n=50, seed=2)}


def test_a_world_too_small_for_the_number_asked_gives_what_it_has() -> None:
    made = questions(World.make(1, 100), (1,), 10_000)
    assert 30 < len(made) < 100


def test_long_chains_can_be_had_and_leave_the_short_ones_as_they_are(world: World) -> None:
    made = questions(world, (1, 6), n=20)
    assert [q.meta["hops"] for q in made] == [1] * 10 + [6] * 10
    assert all(len(set(q.meta["facts"])) == q.meta["hops"] for q in made)
    assert made[:10] == questions(world, (1,), n=10)


@pytest.mark.parametrize("hops", [(), (0,), (1, 7)])
def test_other_numbers_of_hops_are_refused(world: World, hops: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="hops"):
        questions(world, hops)


# ── Choices ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def items(world: World) -> list[Question]:
    return choices(world, 1000)


def test_the_options_hold_the_answer_once_and_at_the_place_named(items: list[Question]) -> None:
    assert len(items) > 900
    for item in items:
        assert len(item.choices) == len(set(item.choices)) == 4
        assert item.choices.count(item.answers[0]) == 1
        assert item.choices[item.meta["answer"]] == item.answers[0]


def test_no_wrong_option_was_ever_true_or_is_claimed_in_passages(items: list[Question], graph: Graph) -> None:
    for item in items:
        fact = graph.facts[item.meta["facts"][-1]]
        ever = {graph.text(o) for o in graph.ever[fact.subject, fact.relation]}
        assert ever & set(item.choices) == {item.answers[0]}


def test_all_options_are_of_the_kind_of_the_answer(items: list[Question], graph: Graph, world: World) -> None:
    values = defaultdict(set)
    for fact in world.facts:
        values[fact.relation].add(graph.text(fact.object))
    for item in items:
        kinds = {graph.named[c].kind for c in item.choices if c in graph.named}
        assert kinds in (set(), {item.meta["kind"]})
        assert set(item.choices) <= values[item.meta["relations"][-1]]


def test_the_place_of_the_answer_is_even(items: list[Question]) -> None:
    counted = Counter(item.meta["answer"] for item in items)
    expected = len(items) / 4
    assert sum((counted[i] - expected) ** 2 / expected for i in range(4)) < 16.3  # χ², 3 degrees of freedom, p = 0.001


def test_the_longest_and_the_most_common_option_are_not_the_answer_more_often_than_chance(
    items: list[Question],
) -> None:
    longest = sum(max(item.choices, key=len) == item.answers[0] for item in items)
    frequency = Counter(c for item in items for c in item.choices)
    commonest = sum(max(item.choices, key=lambda c: frequency[c]) == item.answers[0] for item in items)
    for right in (longest, commonest):
        assert 0.18 < right / len(items) < 0.33


def test_a_cloze_completed_with_the_answer_is_a_statement_of_the_fact(items: list[Question], graph: Graph) -> None:
    for item in items:
        wording = WORDINGS[item.meta["relations"][-1]]
        subject = graph.entity[graph.facts[item.meta["facts"][-1]].subject].name
        completed = f"{item.meta['cloze']} {item.answers[0]}."
        assert completed == wording.plain.format(s=subject, o=item.answers[0])
        held_out = f"{item.meta['cloze_held_out']} {item.answers[0]}."
        assert held_out == wording.held_out[-1].format(s=subject, o=item.answers[0])


def test_items_with_other_numbers_of_options_and_hops_can_be_had(world: World) -> None:
    for item in choices(world, 60, options=6, hops=(2, 3), held_out=True):
        assert len(item.choices) == 6
        assert item.meta["hops"] in (2, 3)
        assert item.meta["template_held_out"]


@pytest.mark.parametrize("options", [1, 11])
def test_a_number_of_options_that_makes_no_choice_is_refused(world: World, options: int) -> None:
    with pytest.raises(UserError, match="options"):
        choices(world, 10, options=options)
