"""What goes into the store comes out of it, and serves exactly the questions it should."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.errors import CallFailed
from tandem.store import Request, Sample, Scored, Store, fits
from tandem.types import Completion, Score, Token, Usage

ASK = Request.of("model", {"prompt": {"text": "What is seven times six?"}})
ANSWER = Completion("42", "stop", None, Usage(9, 3, 2, 1), "model-2026")


def sample(outcome=ANSWER, *, request=ASK, index=0, max_tokens=16, logprobs=False) -> Sample:
    return Sample(request, index, max_tokens, logprobs, outcome, 1.5)


def put(store: Store, *samples: Sample):
    async def putting():
        return await store.put(samples)

    return asyncio.run(putting())


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "answers.db") as opened:
        yield opened


anything = st.text(st.characters(exclude_categories=()), max_size=30)
numbers = st.floats(allow_nan=False)
completions = st.builds(
    Completion,
    text=anything,
    finish=st.sampled_from(["stop", "length", "refusal", "filter"]),
    tokens=st.none()
    | st.lists(st.builds(Token, anything, numbers, st.integers(0, 99), st.integers(0, 99)), max_size=4).map(tuple),
    usage=st.builds(Usage, *[st.integers(0, 2**40)] * 4),
    served_model=anything,
    notes=st.lists(anything, max_size=3).map(tuple),
)
failures = st.builds(
    CallFailed,
    anything,
    kind=st.sampled_from(["timeout", "server", "malformed"]),
    where=st.none() | anything,
    remedy=st.none() | anything,
    status=st.none() | st.integers(400, 599),
)


def told(outcome):
    """An outcome as something that can be compared; pairs of surrogates count as the character they spell in JSON."""
    if isinstance(outcome, CallFailed):
        parts = (outcome.problem, outcome.kind, outcome.where, outcome.remedy, outcome.status)
        return tuple(joined(part) if isinstance(part, str) else part for part in parts)
    tokens = outcome.tokens and tuple(replace(token, text=joined(token.text)) for token in outcome.tokens)
    return replace(outcome, tokens=tokens, notes=tuple(map(joined, outcome.notes)))


def joined(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@settings(max_examples=60, deadline=None)
@given(outcome=completions | failures, body=st.dictionaries(anything, anything, max_size=2))
def test_every_outcome_comes_back_as_it_was_whatever_characters_are_in_it(tmp_path_factory, outcome, body):
    path = tmp_path_factory.mktemp("store") / "answers.db"
    request = Request.of("model\ud800", {"prompt": body})
    logprobs = isinstance(outcome, Completion) and outcome.tokens is not None
    with Store(path) as store:
        put(store, sample(outcome, request=request, logprobs=logprobs))
    with Store(path) as store:
        found = store.find(request, [0], max_tokens=16, logprobs=logprobs)[0]
        (recorded,) = store.records()
    assert told(found) == told(outcome)
    assert told(recorded.outcome) == told(outcome)
    assert (recorded.request, recorded.index, recorded.max_tokens, recorded.logprobs, recorded.at) == (
        request,
        0,
        16,
        logprobs,
        1.5,
    )


def test_a_number_that_is_not_finite_survives_as_well(store):
    token = Token("x", -math.inf, 0, 1)
    put(store, sample(replace(ANSWER, tokens=(token,)), logprobs=True))
    assert store.find(ASK, [0], max_tokens=16, logprobs=True)[0].tokens == (token,)


def test_the_likeliest_tokens_are_kept_with_their_token(store):
    token = Token("42", -0.1, 0, 2, (("42", -0.1), (" 42", -3.0), ("<x>", -math.inf)))
    put(store, sample(replace(ANSWER, tokens=(token,)), logprobs=True))
    assert store.find(ASK, [0], max_tokens=16, logprobs=True)[0].tokens == (token,)


def test_requests_are_the_same_whatever_the_order_of_keys_and_the_kind_of_numbers():
    one = Request.of("m", {"a": 1, "b": [0.5, 2.0, -0.0], "c": {"x": True}})
    other = Request.of("m", {"c": {"x": True}, "b": (0.5, 2, 0), "a": 1.0})
    assert one == other and one.key == other.key


def test_names_of_models_tell_requests_apart():
    assert Request.of("m", {"a": 1}).key != Request.of("n", {"a": 1}).key


def test_tokens_are_given_out_only_when_log_probabilities_are_asked_for(store):
    with_tokens = replace(ANSWER, tokens=(Token("42", -0.1, 0, 2),))
    put(store, sample(with_tokens, logprobs=True))
    assert store.find(ASK, [0], max_tokens=16)[0] == ANSWER
    assert store.find(ASK, [0], max_tokens=16, logprobs=True)[0] == with_tokens


@pytest.mark.parametrize(
    ("finish", "written", "wanted", "serves"),
    [
        ("stop", 3, 16, True),
        ("stop", 3, 3, True),
        ("stop", 3, 2, False),
        ("stop", 3, 500, True),
        ("stop", 0, 15, False),  # a server that does not say how long it is
        ("stop", 0, 16, True),
        ("stop", 40, 16, True),  # a server that counts otherwise: what was asked for is found again
        ("length", 16, 16, True),
        ("length", 16, 8, False),
        ("length", 16, 32, False),
    ],
)
def test_a_finished_answer_serves_where_it_fits_and_a_truncated_one_only_its_own_limit(
    store, finish, written, wanted, serves
):
    put(store, sample(replace(ANSWER, finish=finish, usage=Usage(9, written))))
    assert (0 in store.find(ASK, [0], max_tokens=wanted)) == serves


def test_an_answer_without_tokens_is_not_used_when_log_probabilities_are_asked_for(store):
    put(store, sample())
    assert store.find(ASK, [0], max_tokens=16, logprobs=True) == {}


def test_an_answer_that_was_asked_for_log_probabilities_in_vain_is_not_paid_for_again(store):
    put(store, sample(logprobs=True))
    assert store.find(ASK, [0], max_tokens=16, logprobs=True) == {0: ANSWER}


flags = st.booleans()
limits = st.integers(1, 6)
rows = st.tuples(
    st.sampled_from(["stop", "length", "refusal", "filter", "failed"]), limits, st.integers(0, 6), flags, flags
)


@given(rows, limits, flags)
def test_whatever_was_asked_is_served_by_its_own_outcome(row, max_tokens, logprobs):
    finish, asked, written, asked_logprobs, has_tokens = row
    served = fits(
        finish,
        asked=asked,
        written=written,
        asked_logprobs=asked_logprobs,
        has_tokens=has_tokens,
        max_tokens=max_tokens,
        logprobs=logprobs,
    )
    if (asked, asked_logprobs) == (max_tokens, logprobs):
        assert served  # otherwise the same question is paid for each time
    if served and finish in ("length", "failed"):
        assert asked == max_tokens
    if served and finish == "stop":
        assert max_tokens >= min(asked, written or asked)
    if served and logprobs:
        assert has_tokens or asked_logprobs


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, max_size=8), limits, flags)
def test_the_oldest_answer_that_fits_comes_back_and_a_setback_only_without_one(
    tmp_path_factory, recorded, max_tokens, logprobs
):
    """Against a plain model of the rule: a list searched from the front."""
    standing: list[tuple[Sample, bool]] = []
    with Store(tmp_path_factory.mktemp("store") / "answers.db") as store:
        for number, (finish, asked, written, asked_logprobs, has_tokens) in enumerate(recorded):
            if finish == "failed":
                outcome = CallFailed(f"failure {number}", kind="timeout")
            else:
                tokens = (Token("x", -1.0, 0, 1),) if has_tokens and asked_logprobs else None
                outcome = Completion(f"answer {number}", finish, tokens, Usage(1, written), "s")
            new = sample(outcome, max_tokens=asked, logprobs=asked_logprobs)
            put(store, new)
            same = [s for s in standing if (s.max_tokens, s.logprobs) == (asked, asked_logprobs)]
            if not any(s.answered for s in same):
                standing = [s for s in standing if s not in same] + [new]
        found = store.find(ASK, [0], max_tokens=max_tokens, logprobs=logprobs).get(0)

    def serves(s: Sample) -> bool:
        completion = s.outcome if isinstance(s.outcome, Completion) else ANSWER
        return fits(
            s.finish,
            asked=s.max_tokens,
            written=completion.usage.completion_tokens,
            asked_logprobs=s.logprobs,
            has_tokens=completion.tokens is not None,
            max_tokens=max_tokens,
            logprobs=logprobs,
        )

    answers = [s for s in standing if s.answered and serves(s)]
    setbacks = [s for s in reversed(standing) if not s.answered and serves(s)]
    expected = (answers + setbacks)[0].outcome if answers + setbacks else None
    if isinstance(expected, Completion) and not logprobs:
        expected = replace(expected, tokens=None)
    if isinstance(expected, CallFailed):
        assert told(found) == told(expected)
    else:
        assert found == expected


def test_truncated_answers_of_several_lengths_stand_side_by_side(store):
    for limit in (4, 8, 16):
        put(store, sample(Completion("x" * limit, "length", None, Usage(9, limit), "s"), max_tokens=limit))
    assert [len(store.find(ASK, [0], max_tokens=n)[0].text) for n in (16, 4, 8)] == [16, 4, 8]


def test_an_answer_that_stands_is_returned_instead_of_a_later_one(store):
    put(store, sample())
    assert put(store, sample(replace(ANSWER, text="43"))) == [ANSWER]
    assert store.find(ASK, [0], max_tokens=16) == {0: ANSWER}


def test_a_refusal_gives_way_to_an_answer_and_never_replaces_one(store):
    refusal = replace(ANSWER, text="no", finish="refusal")
    put(store, sample(refusal))
    assert store.find(ASK, [0], max_tokens=16) == {0: refusal}
    put(store, sample())
    assert put(store, sample(refusal)) == [ANSWER]
    assert store.find(ASK, [0], max_tokens=16) == {0: ANSWER}
    assert [record.finish for record in store.records()] == ["stop"]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), completions | failures), max_size=70))
def test_what_is_handed_in_together_stands_as_if_it_came_one_by_one(tmp_path_factory, drawn):
    folder = tmp_path_factory.mktemp("store")
    samples = [
        sample(outcome, request=Request.of(f"model \ud800{number}", {"prompt": number}), index=index)
        for number, index, outcome in drawn
    ]

    async def together(store):
        return await asyncio.gather(*(store.put([one]) for one in samples))

    with Store(folder / "one.db") as one_by_one, Store(folder / "many.db") as at_once:
        expected = [put(one_by_one, one)[0] for one in samples]
        assert [told(one) for (one,) in asyncio.run(together(at_once))] == [told(one) for one in expected]
        for left, right in zip(one_by_one.records(), at_once.records(), strict=True):
            assert replace(left, outcome=told(left.outcome)) == replace(right, outcome=told(right.outcome))


def test_samples_are_kept_apart_by_index_and_missing_ones_are_told_from_recorded(store):
    put(store, *(sample(replace(ANSWER, text=str(i)), index=i) for i in (0, 2, 5)))
    found = store.find(ASK, range(2, 7), max_tokens=16)
    assert {i: c.text for i, c in found.items()} == {2: "2", 5: "5"}


def test_setbacks_recorded_before_the_opening_are_passed_over_on_request(tmp_path):
    path = tmp_path / "answers.db"
    refusal = replace(ANSWER, finish="refusal")
    with Store(path) as store:
        put(store, sample(refusal), sample(CallFailed("slow", kind="timeout"), index=1), sample(index=2))
    with Store(path, retry_failed=True) as store:
        assert store.find(ASK, range(3), max_tokens=16) == {2: ANSWER}
        put(store, sample(refusal))  # refused again, in this run: not asked a third time
        assert store.find(ASK, range(3), max_tokens=16) == {0: refusal, 2: ANSWER}


def test_scores_come_back_exactly(store):
    request = Request.of("model", {"context": {"text": "The sky is"}})
    scores = {" blue": Score(-0.1234567890123, 1, True), "": Score(0.0, 0, True), "\udfff": Score(-math.inf, 2, False)}

    async def putting():
        return await store.put_scores([Scored(request, text, score, 2.0) for text, score in scores.items()])

    assert asyncio.run(putting()) == list(scores.values())
    assert store.find_scores(request, [*scores, " green"]) == scores
    assert {record.continuation: record.score for record in store.records()} == scores


def test_what_a_name_turned_out_to_be_is_listed_in_order(store):
    for index, served in enumerate(["a", "b", "", "a", "c"]):
        put(store, sample(replace(ANSWER, served_model=served), index=index))
    assert store.served("model") == ("a", "b", "c")
    assert store.served("nobody") == ()


def test_statistics_count_every_kind_of_outcome(store):
    put(
        store,
        sample(),
        sample(replace(ANSWER, finish="length"), index=1),
        sample(replace(ANSWER, finish="refusal"), index=2),
        sample(CallFailed("slow", kind="timeout"), index=3),
        sample(request=Request.of("other", {"prompt": {"text": "hi"}})),
    )
    assert store.stats() == {
        "model": {
            "requests": 1,
            "answers": 1,
            "truncated": 1,
            "refusal": 1,
            "failed: timeout": 1,
            "tokens read": 27,
            "tokens written": 9,
        },
        "other": {"requests": 1, "answers": 1, "tokens read": 9, "tokens written": 3},
    }


def test_people_can_read_the_file_with_the_sqlite_tool(store):
    put(store, sample(), sample(replace(ANSWER, finish="refusal", text="I will not"), index=1))
    put(store, sample(CallFailed("took too long", kind="timeout"), index=2))
    views = {
        "answers": ["What is seven times six?", "42", "stop", "model-2026"],
        "refusals": ["I will not", "refusal"],
        "failures": ["timeout", "took too long"],
    }
    for view, words in views.items():
        shown = sqlite(store.path, f"select * from {view} limit 5")
        assert len(shown) == 1
        assert all(word in shown[0].values() for word in words)


def sqlite(path, query: str) -> list[dict]:
    """The rows the command-line tool shows; without the tool, those of a plain connection."""
    try:
        done = subprocess.run(["sqlite3", "-json", str(path), query], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        import sqlite3

        connection = sqlite3.connect(path)
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]
    return json.loads(done.stdout)
