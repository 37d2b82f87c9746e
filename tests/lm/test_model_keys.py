"""Equal questions have equal keys, and only they."""

from __future__ import annotations

import dataclasses
import json
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.lm import keys
from tandem.store import Request
from tandem.types import Chat, Message, Role, Sampling, Text

words = st.text("ab \n", max_size=3)
few = st.sampled_from([0.0, 0.5, 1.0])
prompts = st.builds(Text, words) | st.builds(
    Chat,
    st.lists(st.builds(Message, st.sampled_from(typing.get_args(Role)), words), max_size=2).map(tuple),
    words,
)
samplings = st.builds(
    Sampling,
    temperature=st.none() | few | st.sampled_from([0, 1]),
    top_p=st.sampled_from([0.5, 1.0, 1]),
    max_tokens=st.integers(1, 3),
    stop=st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple),
    seed=st.integers(0, 2),
    logprobs=st.booleans(),
    presence_penalty=few,
    ignore_end=st.booleans(),
    alternatives=st.integers(0, 2),
)
policies = st.sets(st.sampled_from(["own-temperature", "without-seed"]), max_size=2)
questions = st.tuples(st.sampled_from(["m", "n"]), prompts, samplings, policies)


def meaning(question):
    """What an answer depends on, spelled out: the definition the key is held against."""
    name, prompt, sampling, applied = question
    greedy = sampling.temperature == 0
    return (
        name,
        prompt,
        sampling.temperature,
        None if greedy else sampling.top_p,
        None if greedy else sampling.seed,
        frozenset(sampling.stop),
        sampling.presence_penalty,
        sampling.ignore_end,
        sampling.alternatives,
        frozenset(applied),
    )


@settings(max_examples=200)
@given(questions, questions)
def test_two_questions_have_the_same_key_exactly_if_the_same_answer_serves_both(one, other):
    assert (keys.request(*one).key == keys.request(*other).key) == (meaning(one) == meaning(other))


@settings(max_examples=200)
@given(questions, st.data())
def test_changing_one_thing_that_matters_changes_the_key(question, data):
    name, prompt, sampling, applied = question
    field = data.draw(st.sampled_from([f.name for f in dataclasses.fields(Sampling)]))
    changed = dataclasses.replace(sampling, **{field: getattr(data.draw(samplings), field)})
    other = (name, prompt, changed, applied)
    assert (keys.request(*question) == keys.request(*other)) == (meaning(question) == meaning(other))


@given(st.sampled_from(["m", "n"]), prompts, prompts, st.booleans(), st.booleans())
def test_contexts_to_score_are_keyed_by_their_text_and_how_they_are_cut(name, one, other, cut_one, cut_other):
    a, b = (keys.score_request(name, p, cut_left=c) for p, c in ((one, cut_one), (other, cut_other)))
    assert (a == b) == ((one, cut_one) == (other, cut_other))


def test_a_request_to_score_is_never_one_to_generate():
    assert keys.request("m", Text("a"), Sampling()) != keys.score_request("m", Text("a"))


anything = st.text(st.characters(exclude_categories=()), max_size=5)


@given(questions, anything, anything)
def test_a_request_is_the_canonical_json_of_its_parts_half_characters_included(question, end, stop):
    name, prompt, sampling, applied = question
    if isinstance(prompt, Text):
        prompt = Text(prompt.text + end)
    sampling = dataclasses.replace(sampling, stop=(*sampling.stop, stop))
    body = {"prompt": keys.prompt_body(prompt), "sampling": keys._sampling_body(sampling), "policies": sorted(applied)}
    expected = Request.of(name, {part: value for part, value in body.items() if value})
    assert keys.request(name, prompt, sampling, applied) == expected
    as_list = dataclasses.replace(sampling, stop=list(sampling.stop))
    assert keys.request(name, prompt, as_list, applied) == expected


@given(questions)
def test_what_was_written_by_us_reads_back_as_the_same_request(question):
    request = keys.request(*question)
    assert keys.checked(request.name, json.loads(request.body)) == request


def test_what_somebody_else_wrote_is_brought_into_the_one_form():
    theirs = {
        "prompt": {"chat": [["user", "Hi"]], "prefill": ""},
        "sampling": {"temperature": 1.0, "top_p": 1.0, "stop": ["b", "a", "b"], "ignore_end": False},
        "policies": [],
    }
    ours = keys.request("m", Chat((Message("user", "Hi"),)), Sampling(1.0, stop=("a", "b")))
    assert keys.checked("m", theirs) == ours


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "JSON object"),
        ({}, "no prompt"),
        ({"prompt": "hi"}, "a prompt is"),
        ({"prompt": {"text": "hi", "chat": []}}, "a prompt is"),
        ({"prompt": {"chat": [["robot", "hi"]]}}, "role"),
        ({"prompt": {"text": "hi"}, "headers": {}}, "no field 'headers'"),
        ({"prompt": {"text": "hi"}, "sampling": {"temprature": 1}}, "no field 'temprature'"),
        ({"prompt": {"text": "hi"}, "sampling": {"temperature": "hot"}}, "temperature cannot be 'hot'"),
        ({"prompt": {"text": "hi"}, "sampling": {"seed": True}}, "seed cannot be True"),
        ({"prompt": {"text": "hi"}, "sampling": {"max_tokens": 3}}, "no field 'max_tokens'"),
        ({"prompt": {"text": "hi"}, "policies": "own-temperature"}, "list of names"),
        ({"context": {"text": "hi"}, "cut_left": 1}, "true or false"),
        ({"context": {"text": "hi"}, "sampling": {}}, "no field 'sampling'"),
    ],
)
def test_a_request_that_is_none_is_refused_with_the_reason(body, words):
    with pytest.raises(ValueError, match=words):
        keys.checked("m", body)


def test_every_field_of_the_sampling_is_either_keyed_or_checked_on_reading():
    assert {field.name for field in dataclasses.fields(Sampling)} == {*keys.DEFAULTS, *keys.UNKEYED}


def test_the_form_is_fixed():
    """A change here gives recorded answers to nobody: it needs a new version of the store."""
    asked = Chat((Message("system", "Be brief."), Message("user", "Où?")), prefill="À")
    request = keys.request("m", asked, Sampling(0.7, 0.95, 100, ("\n",), 3, True, 0.5, True), ["without-seed"])
    assert request.body == (
        '{"policies":["without-seed"],"prompt":{"chat":[["system","Be brief."],["user","Où?"]],"prefill":"À"},'
        '"sampling":{"ignore_end":true,"presence_penalty":0.5,"seed":3,"stop":["\\n"],"temperature":0.7,"top_p":0.95}}'
    )
    assert keys.request("m", Text("Hi"), Sampling()).body == '{"prompt":{"text":"Hi"}}'
    assert keys.request("m", Text("Hi"), Sampling()).key == "5c2970ae2892b5ed6e368183f6b70b21"
