"""Records go out as JSON lines and come in again as they were; a line that is none is named and spoils no other."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_store_records import anything, completions, failures, told

from tandem.store import Request, Sample, Scored
from tandem.store.lines import from_line, from_lines, to_line
from tandem.types import Completion, Score, Token, Usage

USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "cached_tokens": 1, "reasoning_tokens": 1}
ERROR = {"problem": "x", "kind": "y", "status": None, "where": None, "remedy": None}
ASK = Request.of("model", {"prompt": {"text": "Why?"}})
ANSWER = Sample(
    ASK, 2, 16, True, Completion("So.", "stop", (Token("So.", -0.5, 0, 3),), Usage(3, 1), "m-1", ("n",)), 1.5
)


@given(completions | failures, anything, st.integers(0, 99), st.integers(1, 99), st.booleans())
def test_a_sample_that_went_out_comes_in_as_it_was(outcome, prompt, index, max_tokens, logprobs):
    sample = Sample(Request.of("m", {"prompt": {"text": prompt}}), index, max_tokens, logprobs, outcome, 12.25)
    line = to_line(sample)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    again = from_line(line, Request.of)
    assert told(again.outcome) == told(outcome)
    assert replace(again, outcome=ANSWER.outcome) == replace(sample, outcome=ANSWER.outcome)


@given(st.lists(st.tuples(st.text(), st.floats(max_value=0, allow_nan=False)), max_size=3).map(tuple))
def test_the_likeliest_tokens_come_in_as_they_went_out(alternatives):
    tokens = (Token("So", -0.5, 0, 2, alternatives), Token(".", -0.5, 2, 3))
    answer = replace(ANSWER, outcome=replace(ANSWER.outcome, tokens=tokens))
    assert from_line(to_line(answer), Request.of) == answer


@given(st.floats(allow_nan=False), st.integers(0, 9), st.booleans(), st.text())
def test_a_score_that_went_out_comes_in_as_it_was(logprob, tokens, greedy, continuation):
    scored = Scored(ASK, continuation, Score(logprob, tokens, greedy), 0.1)
    assert from_line(to_line(scored), Request.of) == scored


def test_a_logarithm_of_nothing_has_a_name():
    scored = Scored(ASK, "x", Score(-math.inf, 1, False), 0.0)
    assert json.loads(to_line(scored))["logprob"] == "-inf"


def changed(**changes) -> bytes:
    line = json.loads(to_line(ANSWER)) | changes
    return json.dumps({k: v for k, v in line.items() if v != "(gone)"}).encode()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[1]", "not a JSON object"),
        (b"{}", "kind is missing"),
        (changed(kind="guess"), "unknown kind 'guess'"),
        (changed(text="(gone)"), "text is missing"),
        (changed(text=None), "text cannot be 'None'"),
        (changed(sample=-1), "sample begins with 0"),
        (changed(sample=True), "sample cannot be 'True'"),
        (changed(sample=10**30), "sample cannot be '1000"),
        (changed(at=1e300), "at is no time"),
        (changed(max_tokens=0), "max_tokens with 1"),
        (changed(max_tokens=1.5), r"max_tokens cannot be '1\.5'"),
        (changed(headers={"authorization": "x"}), "unknown field headers"),
        (changed(usage={"prompt_tokens": 1}), r"usage\.completion_tokens is missing"),
        (changed(usage=USAGE | {"x": 1}), r"unknown field usage\.x"),
        (changed(notes=[1]), "list of texts"),
        (changed(tokens=[["a", 0, 1]]), "a token is"),
        (changed(tokens=[["a", "much", 0, 1]]), "not a number"),
        (changed(error=ERROR), "an error in a record"),
        (changed(kind="failed", error={"problem": "x"}), r"error\.kind is missing"),
        (changed(request="Why?"), "request cannot be"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_record_is_refused_with_the_reason(line, why):
    with pytest.raises(ValueError, match=why):
        from_line(line, Request.of)


def test_bad_lines_are_named_by_file_and_line_and_the_others_are_read():
    good, bad = to_line(ANSWER), []
    lines = [b"\xef\xbb\xbf" + good, b"\n", b"{}\n", b"  \n", good, good[:50]]
    records = list(from_lines(lines, "answers.jsonl", Request.of, lambda *told: bad.append(told)))
    assert records == [ANSWER, ANSWER]
    assert [place for place, _ in bad] == ["answers.jsonl:3", "answers.jsonl:6"]
