"""The label of every claim follows from the facts and from what passages say, read here a second time from both."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from tandem.errors import UserError
from tandem.types import Question
from tandem.world import RELATION, STRATA, World, claims, fever_evidence, passages, stratified, stratum, stratum_of
from tandem.world.claims import LABELS
from tandem.world.schema import TERMS
from tandem.world.templates import WORDINGS

SUPPORTS, REFUTES, NEI = LABELS


class Known:
    """What holds by the view `facts`, and what passages say, sentence by sentence."""

    def __init__(self, world: World) -> None:
        self.named = {e.name: e for e in world.entities}
        name = {e.id: e.name for e in world.entities}
        self.facts = {f.id: f for f in world.facts}
        self.now: dict[tuple[str, str], str] = {}
        self.ever: dict[tuple[str, str], set[str]] = defaultdict(set)
        for fact in world.facts:
            value = name.get(fact.object, fact.object)
            self.ever[name[fact.subject], fact.relation].add(value)
            if fact.status == "current":
                self.now[name[fact.subject], fact.relation] = value
        self.said: dict[tuple[str, int], str] = {}
        self.told: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.sentences: dict[str, set[tuple[str, int]]] = defaultdict(set)
        for passage in passages(world):
            for number, mention in enumerate(passage.mentions):
                fact = self.facts[mention.fact]
                self.said[passage.id, number] = passage.text[mention.start : mention.end]
                value = name.get(fact.object, fact.object)
                self.told[name[fact.subject], fact.relation].add(value)
                self.sentences[mention.fact].add((passage.id, number))

    def claimed(self, text: str) -> tuple[str, list[str], str]:
        """Subject, relations and object of a claim, read from its words alone."""
        found = set()
        for relation, wording in WORDINGS.items():
            for template in (*wording.statements, *wording.held_out):
                if "{since}" in template:
                    continue
                pattern = re.escape(template).replace(r"\{s\}", "(?P<s>.+)").replace(r"\{o\}", "(?P<o>.+)")
                for form in (pattern, pattern[0].upper() + pattern[1:]):
                    if match := re.fullmatch(form, text):
                        about, relations = match["s"], [relation]
                        about = about[0].lower() + about[1:] if about.startswith("The ") else about
                        found |= self._led(about, relations, match["o"]) | self._led(match["s"], relations, match["o"])
        assert len(found) == 1, (text, found)
        subject, relations, object_ = found.pop()
        return subject, list(relations), object_

    def _led(self, about: str, relations: list[str], object_: str) -> set[tuple[str, tuple[str, ...], str]]:
        right = RELATION[relations[-1]].range
        if object_ in self.named and self.named[object_].kind not in right:
            return set()
        year = right == ("year",) and object_.isdigit()
        if object_ not in self.named and object_ not in TERMS.get(right[0], ()) and not year:
            return set()
        if about in self.named:
            fits = self.named[about].kind in RELATION[relations[0]].domain
            return {(about, tuple(relations), object_)} if fits else set()
        for relation, wording in WORDINGS.items():
            if match := re.fullmatch(re.escape(wording.phrase).replace(r"\{s\}", "(.+)"), about):
                return self._led(match[1], [relation, *relations], object_)
        return set()


@pytest.fixture(scope="module")
def world() -> World:
    return World.make(7, 6000)


@pytest.fixture(scope="module")
def known(world: World) -> Known:
    return Known(world)


@pytest.fixture(scope="module")
def made(world: World) -> list[Question]:
    return claims(world, 450) + claims(world, 240, held_out=True)


def test_every_label_is_right_by_the_facts_and_by_what_passages_say(made: list[Question], known: Known) -> None:
    for claim in made:
        subject, relations, object_ = known.claimed(claim.text)
        assert relations == claim.meta["relations"]
        told, reached = True, subject
        for relation in relations:
            told = told and bool(known.told[reached, relation])
            reached = known.now[reached, relation]
        (label,) = claim.answers
        assert told == (label != NEI), claim.text
        if told:
            assert (reached == object_) == (label == SUPPORTS), claim.text
        if label == REFUTES:
            before = subject
            for relation in relations[:-1]:
                before = known.now[before, relation]
            assert object_ not in known.ever[before, relations[-1]]


def test_passages_state_no_rival_of_what_a_claim_rests_on(made: list[Question], known: Known) -> None:
    for claim in made:
        for id_ in claim.meta["facts"]:
            fact = known.facts[id_]
            subject = next(n for n, e in known.named.items() if e.id == fact.subject)
            assert len(known.told[subject, fact.relation]) <= 1


def test_what_no_passage_tells_does_not_follow_from_what_another_tells(world: World, known: Known) -> None:
    for claim in claims(world, 600):
        if claim.answers != (NEI,):
            continue
        subject, relations, object_ = known.claimed(claim.text)
        for place in claim.meta["untold"]:
            fact = known.facts[claim.meta["facts"][place]]
            about = next(n for n, e in known.named.items() if e.id == fact.subject)
            true = known.now[about, fact.relation]
            if RELATION[fact.relation].symmetric:
                assert not known.told[true, fact.relation]
            if fact.relation == "capital":
                assert not known.told[true, "lies_in"]
        last = relations[-1]
        reached = subject
        for relation in relations[:-1]:
            reached = known.now[reached, relation]
        if RELATION[last].symmetric and object_ != known.now[reached, last]:
            assert not known.told[object_, last]


def test_labels_are_even_for_each_number_of_hops_and_each_relation(made: list[Question]) -> None:
    counted = Counter((c.meta["hops"], c.meta["relations"][-1], c.answers[0]) for c in made)
    for hops, relation, _ in counted:
        shares = [counted[hops, relation, label] for label in LABELS]
        assert max(shares) - min(shares) <= 2, (hops, relation, shares)
    for hops in (1, 2):
        total = Counter(c.answers[0] for c in made if c.meta["hops"] == hops)
        assert max(total.values()) - min(total.values()) <= 2


def test_half_of_what_nothing_tells_is_true(world: World, known: Known) -> None:
    true = []
    for claim in claims(world, 900, hops=(1,)):
        if claim.answers == (NEI,):
            subject, (relation,), object_ = known.claimed(claim.text)
            true.append(known.now[subject, relation] == object_)
    assert 0.35 < sum(true) / len(true) < 0.65


def test_the_evidence_is_every_sentence_that_states_the_facts(made: list[Question], known: Known) -> None:
    for claim in made:
        groups = list(fever_evidence(claim))
        if claim.answers == (NEI,):
            assert not claim.meta["evidence"] and not groups
            continue
        assert [e["fact"] for e in claim.meta["evidence"]] == claim.meta["facts"]
        for evidence in claim.meta["evidence"]:
            assert {tuple(s) for s in evidence["sentences"]} == known.sentences[evidence["fact"]]
        assert groups and all(len(group) == len(claim.meta["facts"]) for group in groups)


def test_claims_are_questions_with_labels_to_choose(made: list[Question]) -> None:
    for claim in made:
        assert claim.choices == LABELS and claim.answers[0] in LABELS and claim.meta["answer"] == "label"
    assert len({c.text for c in made}) > 0.95 * len(made)
    assert len({c.id for c in made}) == len(made)


def test_labels_over_all_sources_rest_on_facts_that_do_not_exist(world: World, known: Known) -> None:
    found = claims(world, 150, hops=(1,), over="sources")
    assert Counter(c.answers[0] for c in found) == dict.fromkeys(LABELS, 50)
    for claim in found:
        subject, (relation,), object_ = known.claimed(claim.text)
        if claim.answers == (NEI,):
            assert not known.ever[subject, relation]
            assert not RELATION[relation].symmetric or not known.ever[object_, relation]
        else:
            assert (known.now[subject, relation] == object_) == (claim.answers == (SUPPORTS,))


@pytest.mark.parametrize("wrong", [{"hops": (3,)}, {"hops": ()}, {"n": -1}, {"over": "sources", "hops": (1, 2)}])
def test_claims_that_cannot_be_made_are_refused(world: World, wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match="not made"):
        claims(world, **{"n": 10, **wrong})  # type: ignore[arg-type]


# ── Strata ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_strata_have_equally_many_questions_of_each_relation(world: World, known: Known) -> None:
    made = stratified(world, 120)
    per = {name: Counter(q.meta["relations"][0] for q in made if q.meta["stratum"] == name) for name in STRATA}
    assert len(made) > 60 and all(per[name] == per[STRATA[0]] for name in STRATA)
    assert len({q.id for q in made}) == len({tuple(q.meta["facts"]) for q in made}) == len(made)
    for question in made:
        (fact,) = question.meta["facts"]
        assert len(known.sentences[fact]) == question.meta["mentions"][0]
        assert stratum_of(question) == question.meta["stratum"]
        assert not question.meta["contested"]


def test_the_bounds_of_the_strata_are_where_they_say() -> None:
    assert [stratum(n) for n in (0, 1, 3, 4, 15, 16, 500)] == [
        "never", "1–3", "1–3", "4–15", "4–15", "16+", "16+",
    ]  # fmt: skip
