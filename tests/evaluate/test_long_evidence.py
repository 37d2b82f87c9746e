"""Evidence by position: it stands where it was asked to stand, and what is answered is told apart."""

import asyncio
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.evaluate.long import Asking, Inputs, documents, evidence, load, pairs, reading
from tandem.evaluate.long.asking import seen
from tandem.lm import Model, Rule, Scripted
from tandem.lm.scripted import ABLE
from tandem.metrics.normalise import normalise_answer

ORACLE = Rule((r"\2",), matches=r'"([0-9a-f-]+)": "([0-9a-f-]+)".*belongs to the key "\1"')
ASKING = Asking()


def measure(task, *rules, **abilities):
    model = Model(Scripted(rules, **abilities))
    return asyncio.run(task.measure(model, ASKING))


def shares(found):
    return {of: figure.value for of, figure in found.figures}


# ── Pairs ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10**6), st.sampled_from(["uuid", "short"]), st.data())
def test_the_object_of_a_prompt_holds_the_key_once_at_the_place_asked(n, seed, ids, data):
    place = data.draw(st.integers(1, n))
    how = pairs.Settings(pairs=n, seed=seed, ids=ids)
    made = pairs.made(how, 0)
    text = seen(pairs.probe(how, 0, made, place, ASKING).request.prompt)
    shown = json.loads(text[text.index("{") : text.rindex("}") + 1])
    key = text.rpartition('the key "')[2].partition('"')[0]
    assert list(shown)[place - 1] == key
    assert len(set(shown) | set(shown.values())) == 2 * n
    assert text.count(f'"{key}"') == 2  # in the object and in the question


def test_a_model_that_looks_the_key_up_is_always_right():
    found = measure(load("evidence_pairs", Inputs(limit=3), ["pairs=12"]), ORACLE)
    assert set(shares(found).values()) == {1.0}
    assert {row["kind"] for row in found.rows} == {"right"}


def test_a_model_that_gives_the_first_value_is_right_at_the_first_position_only():
    first = Rule((r"\1",), matches=r'^[^:]*: "([0-9a-f-]+)"')
    found = measure(load("evidence_pairs", Inputs(limit=4), ["pairs=5", "positions=1,3,5", "ids=short"]), first)
    assert shares(found) == {
        "all positions": pytest.approx(1 / 3),
        "pair at 1": 1.0,
        "pair at 3": 0.0,
        "pair at 5": 0.0,
        "evidence alone": 1.0,
    }
    wrong = [row for row in found.rows if not row["right"]]
    assert {(row["position"], row["kind"], row["offset"]) for row in wrong} == {
        (3, "another value", -2),
        (5, "another value", -4),
    }


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("aaaa1111", "right"),
        (' "AAAA1111",\nmore', "right"),
        ("bbbb2222", "another value"),
        ("k2", "a key"),
        ("the value is aaaa1111", "right, with more around it"),
        ("aaaa11", "begun right"),
        ("I cannot tell", "something else"),
        ("", "something else"),
    ],
)
def test_wrong_answers_are_told_apart(written, kind):
    assert pairs.judge({"k1": "aaaa1111", "k2": "bbbb2222"}, "k1", written)["kind"] == kind


# ── Documents ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def cases():
    return documents.from_world(3, 3_000, 30, 9)


def test_no_distractor_of_a_world_holds_an_answer_and_the_gold_document_does(cases):
    for case in cases:
        assert len(case.others) == 8
        assert documents.holds(case.gold.text, case.accepted[:1])
        assert not any(documents.holds(f"{other.title} {other.text}", case.accepted) for other in case.others)


@given(st.integers(0, 29), st.integers(1, 9))
def test_the_gold_document_stands_at_the_position_asked_and_the_others_keep_their_order(cases, n, place):
    shown = reading.arranged(cases[n], place)
    assert shown[place - 1] == cases[n].gold
    assert [one for one in shown if one is not cases[n].gold] == list(cases[n].others)


def test_a_model_that_finds_the_document_is_right_everywhere_but_without_it(cases):
    task = load("evidence_documents", Inputs(limit=4), ["documents=6", "facts=3000"])
    rules = [Rule((f"It is {c.accepted[0]}.",), contains=(c.gold.text, f"Question: {c.question}")) for c in task.cases]
    found = measure(task, *rules, Rule(("unknown",)))
    assert shares(found).pop("closed book") == 0.0
    assert {value for of, value in shares(found).items() if of != "closed book"} == {1.0}


def test_a_model_that_reads_the_first_document_only_gets_a_falling_curve(cases):
    task = load("evidence_documents", Inputs(limit=5), ["documents=3", "facts=3000"])
    rules = [
        Rule((c.accepted[0],), contains=(f"Document 1: {c.gold.title}\n{c.gold.text}", f"Question: {c.question}"))
        for c in task.cases
    ]
    found = measure(task, *rules, Rule(("unknown",)))
    assert shares(found) == {
        "all positions": pytest.approx(1 / 3),
        "document at 1": 1.0,
        "document at 2": 0.0,
        "document at 3": 0.0,
        "evidence alone": 1.0,
        "closed book": 0.0,
    }
    curve = next(item for item in found.items if type(item).__name__ == "Curve")
    assert [(line.name, line.y) for line in curve.series] == [
        ("evidence at the position", (100.0, 0.0, 0.0)),
        ("evidence alone", (100.0,) * 3),
        ("closed book", (0.0,) * 3),
    ]
    compared = next(item for item in found.items if "against" in getattr(item, "title", ""))
    assert [row[4] for row in compared.rows] == [None, pytest.approx(2 / 2**5), pytest.approx(2 / 2**5)]  # McNemar


def test_only_the_first_line_counts():
    probe = evidence.Probe("1", 1, "?", ("Sorun",), None)
    assert reading.judge(probe, "\n It is The Sorun.\nmore")["right"] == 1.0
    assert reading.judge(probe, "No.\nSorun")["right"] == 0.0
    assert normalise_answer("The Sorun.") == "sorun"


def line(**changed):
    gold = {"title": "A", "text": "Kel lives in Sorun.", "gold": True}
    others = [{"text": "Mem lives in Belt."}, {"text": "Sorun is old."}]
    row = {"question": "Where does Kel live?", "answers": ["Sorun"], "documents": [gold, *others]} | changed
    return json.dumps(row)


def test_a_file_of_ones_own_is_read_and_leaks_are_told(tmp_path):
    file = tmp_path / "evidence_documents.jsonl"
    file.write_text(line())
    task = load("evidence_documents", Inputs((tmp_path,)), ["documents=3", "positions=2"])
    found = measure(task, Rule(("Sorun",)))
    assert any(note.startswith("LEAK: 1 of 1 items") for note in found.notes)
    assert shares(found)["document at 2"] == 1.0
    assert task.facts["from"] == "evidence_documents.jsonl"
    assert len(task.facts["sha256"]) == 64


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (line(documents=[]), "0 documents are gold"),
        (line(documents=[{"text": "x", "gold": True}] * 2), "2 documents are gold"),
        (line(answers=["..."]), "no answer has a letter"),
        (line(question=3), "question is 3"),
        (line(documents=[{"title": "x", "gold": True}]), "title and text must be texts"),
        ("[]", "is not an object"),
        ("", "holds no rows"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, text, problem):
    file = tmp_path / "mine.jsonl"
    file.write_text(text)
    with pytest.raises(UserError, match=problem) as raised:
        load("evidence_documents", Inputs((Path(f"evidence_documents={file}"),)), ["documents=3"])
    assert str(file) in raised.value.where


def test_too_few_documents_and_a_position_outside_are_refused(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text(line())
    with pytest.raises(UserError, match="has 2 documents beside the gold one, 4 were asked for"):
        load("evidence_documents", Inputs((Path(f"evidence_documents={file}"),)), ["documents=5"])
    with pytest.raises(UserError, match="has 6"):
        load("evidence_documents", Inputs(), ["documents=5", "positions=1,6"])


def test_prompts_that_do_not_fit_are_refused_before_any_is_asked():
    small = replace(ABLE, context=40)
    backend = Scripted([ORACLE], abilities=small)
    task = load("evidence_pairs", Inputs(limit=2), ["pairs=30", "positions=1"])
    with pytest.raises(UserError, match="2 of 4 prompts cannot be asked"):
        asyncio.run(task.measure(Model(backend), ASKING))
    assert not backend.calls


def test_prompts_of_an_item_are_asked_next_to_each_other():
    backend = Scripted([ORACLE])
    asyncio.run(load("evidence_pairs", Inputs(limit=3), ["pairs=6"]).measure(Model(backend), ASKING))
    objects = [prompt.text[: prompt.text.index("}")] for prompt, _, _ in backend.calls]
    changes = sum(a != b for a, b in pairwise(objects))
    assert changes == len(set(objects)) - 1


def test_what_failed_is_missing_and_not_wrong():
    task = load("evidence_pairs", Inputs(limit=2), ["pairs=4", "positions=1,4"])
    bad = next(iter(pairs.made(task.settings, 1)))
    found = measure(task, Rule(fails="server", contains=(f'the key "{bad}"',)), ORACLE)
    assert [item for item, _ in found.missing] == ["0001@1"]
    assert shares(found)["pair at 1"] == 1.0
    assert any(note.startswith("MISSING: 1 of 6") for note in found.notes)
