"""Files of items: what is found, in which order, while the file grows, breaks or is replaced."""

import json
import math
import string
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.view.items import ItemFile, Query, Range, found
from tandem.view.items.pairs import matched, pairs
from tandem.view.items.record import gold, id_of, key_of, margin, outcome, output, prompt, scalars, texts, verdict


def index_of(path):
    index = ItemFile(path).index()
    assert index.wait(None, 10)
    return index


def written(path, records):
    path.write_bytes(b"".join(json.dumps(r).encode() + b"\n" for r in records))
    return path


def asked(path, query):
    index = index_of(path)
    return found(index.snapshot(), query).tolist()


WORDS = st.text(st.sampled_from('abÄßİ \n"\\é日'), max_size=8)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {"id": st.integers(0, 30).map(lambda n: f"q{n}"), "prompt": WORDS},
        optional={
            "right": st.booleans(),
            "group": st.sampled_from(["one", "two", "three", ""]),
            "score": st.one_of(st.integers(-3, 3), st.floats(-2, 2, allow_nan=False), st.none()),
            "written": WORDS,
            "deep": st.lists(st.fixed_dictionaries({"text": WORDS}), max_size=2),
        },
    ),
    max_size=40,
)
LIMIT = st.one_of(st.none(), st.floats(-3, 3, allow_nan=False))
QUERIES = st.builds(
    Query,
    text=st.one_of(st.just(""), WORDS),
    verdict=st.sampled_from(["", "right", "wrong", "none"]),
    names=st.sampled_from([(), (("group", "one"),), (("group", "–"),), (("group", "nowhere"),)]),
    ranges=st.one_of(st.just(()), st.builds(lambda a, b: (("score", Range(a, b)),), LIMIT, LIMIT)),
    sort=st.sampled_from(["", "id", "-id", "score", "-score", "group", "-group", "verdict", "-verdict", "unknown"]),
)


def plainly(records, query):
    """The same by a loop over the records."""

    def holds(r):
        said = {True: "right", False: "wrong", None: "none"}[r.get("right")]
        score, group = r.get("score"), r.get("group")
        return (
            (not query.text or any(query.text.casefold() in t.casefold() for t in texts(r)))
            and (not query.verdict or said == query.verdict)
            and all((group is None if name == "–" else group == name) for _, name in query.names)
            and all(
                score is not None
                and (limits.low is None or score >= limits.low)
                and (limits.high is None or score <= limits.high)
                for _, limits in query.ranges
            )
        )

    rows = [row for row, r in enumerate(records) if holds(r)]
    column, down = query.sort.removeprefix("-"), query.sort.startswith("-")
    if column == "id":
        return sorted(rows, key=lambda row: int(records[row]["id"][1:]), reverse=down)
    if column in ("score", "group", "verdict"):
        field = "right" if column == "verdict" else column
        known = [row for row in rows if records[row].get(field) is not None]
        return sorted(known, key=lambda row: records[row][field], reverse=down) + [r for r in rows if r not in known]
    return rows


@settings(max_examples=150, deadline=None)
@given(records=RECORDS, query=QUERIES)
def test_a_filter_finds_what_a_loop_over_the_records_finds(tmp_path_factory, records, query):
    if not any(r.get("score") is not None for r in records):
        query = Query(query.text, query.verdict, "", query.names, (), query.sort.replace("score", "unknown"))
    # A column of scores of 0 and 1 is a verdict where there is no other; this test is not about that.
    records = [*records, {"id": "q99", "prompt": "", "right": True, "score": 0.25, "group": "one"}]
    path = written(tmp_path_factory.mktemp("items") / "x-items.jsonl", records)
    rows = asked(path, query)
    expected = plainly(records, query)
    assert sorted(rows) == sorted(expected)
    if query.sort:
        assert rows == expected


@given(
    text=st.text(string.printable, max_size=5),
    verdict=st.sampled_from(["", "right", "none"]),
    names=st.dictionaries(st.sampled_from(["group", "a.b"]), st.text("ab–&=", min_size=1, max_size=4)),
    low=LIMIT,
    high=LIMIT,
    sort=st.sampled_from(["", "-score"]),
)
def test_a_question_survives_the_address(text, verdict, names, low, high, sort):
    ranges = (("score", Range(low, high)),) if (low, high) != (None, None) else ()
    query = Query(text if text.strip() else "", verdict, "", tuple(sorted(names.items())), ranges, sort)
    again = Query.of(query.to())
    assert again.text == query.text and again.names == query.names and again.sort == query.sort
    for (_, a), (_, b) in zip(again.ranges, query.ranges, strict=True):
        assert all(
            x is y is None or math.isclose(x, y, rel_tol=1e-12, abs_tol=1e-300)
            for x, y in ((a.low, b.low), (a.high, b.high))
        )


def test_what_cannot_be_read_in_an_address_is_not_asked():
    given = [("verdict", "maybe"), ("min.acc", "much"), ("max.acc", "nan"), ("change", "x"), ("is.", "a"), ("q", " ")]
    assert Query.of(given) == Query()


def test_a_search_does_not_go_across_two_texts_or_two_records(tmp_path):
    path = written(tmp_path / "a.jsonl", [{"id": "1", "a": "left", "b": "right"}, {"id": "2", "a": "upper"}])
    assert asked(path, Query(text="leftright")) == [] == asked(path, Query(text="right2"))
    assert asked(path, Query(text="LEFT")) == [0]
    assert asked(path, Query(text="2")) == [1], "the id is searched too"


def test_lone_surrogates_and_separators_are_found_as_they_are(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "1", "a": "x\\ud800y"}\n{"id": "2", "a": "\\u00fe\\u00ff \\u0000"}\n')
    assert asked(path, Query(text="\ud800")) == [0]
    assert asked(path, Query(text="þÿ")) == [1] == asked(path, Query(text="\x00"))


def test_broken_lines_are_counted_with_their_place_and_the_rest_stands(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"id": "a"}\n{"id": "b", \n[1]\n\n{"id": "c"}\n\xff\xfe\n{"id": "d", "n": ' + b"9" * 5000 + b"}\n"
    )
    index = index_of(path)
    known = index.snapshot()
    assert known.ids == ["a", "c"] and known.broken == 4
    assert [b.line for b in known.first_broken] == [2, 3, 6, 7]
    assert known.first_broken[1].why == "no JSON object, but list" and "UTF-8" in known.first_broken[2].why
    assert [index.line_number(row) for row in (0, 1)] == [1, 5] and index.row_at(5, 2) == 1
    assert index.row_at(2, 2) is None


def test_a_line_nested_without_end_is_a_broken_line(tmp_path):
    path = tmp_path / "a.jsonl"
    deep = [b"[" * n + b"]" * n for n in (150, 250, 900, 100_000)]
    path.write_bytes(b"".join(b'{"id": "a", "x": ' + one + b"}\n" for one in deep) + b'{"id": "b"}\n')
    known = index_of(path).snapshot()
    assert known.ids == ["a", "b"] and known.broken == 3
    assert {b.why for b in known.first_broken} == {"nested too deeply"}


def test_a_torn_last_line_waits_until_it_is_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    file = ItemFile(path)
    file.LOOK = 0.0
    lines = [json.dumps({"id": str(n), "text": "é" * n}, ensure_ascii=False).encode() + b"\n" for n in range(4)]
    path.write_bytes(lines[0])
    for cut in range(1, len(lines[1])):
        with path.open("ab") as f:
            f.write(lines[1][cut - 1 : cut])
        index = file.index()
        index.wait(None, 5)
        known = index.snapshot()
        assert known.broken == 0 and known.n == (2 if cut == len(lines[1]) - 1 else 1), (
            "a whole object needs no newline"
        )
    with path.open("ab") as f:
        f.write(b"\n" + lines[2] + lines[3])
    index = file.index()
    index.wait(None, 5)
    assert index.snapshot().ids == ["0", "1", "2", "3"]
    assert [index.line_number(row) for row in range(4)] == [1, 2, 3, 4]
    assert [index.record(row)["text"] for row in range(4)] == ["", "é", "éé", "ééé"]


@pytest.mark.parametrize("renamed", [True, False])
def test_a_replaced_file_is_read_anew(tmp_path, renamed):
    path = written(tmp_path / "a.jsonl", [{"id": f"old{n}"} for n in range(50)])
    file = ItemFile(path)
    file.LOOK = 0.0
    before = file.index()
    before.wait(None, 5)
    fresh = [{"id": f"new{n}", "text": "longer than it was"} for n in range(60)]
    if renamed:
        written(tmp_path / "b", fresh).replace(path)
        assert before.record(3)["id"] == "old3", "the file that was there is still read"
    else:
        written(path, fresh)
    index = file.index()
    index.wait(None, 5)
    assert index is not before and index.snapshot().ids[:2] == ["new0", "new1"]


def test_what_is_known_at_one_moment_does_not_change_while_the_file_grows(tmp_path):
    path = written(tmp_path / "a.jsonl", [{"id": str(n), "score": n / 7, "group": "a"} for n in range(1000)])
    file = ItemFile(path)
    file.LOOK = 0.0
    index = file.index()
    index.wait(None, 5)
    before = index.snapshot()
    with path.open("a") as f:
        f.writelines(json.dumps({"id": str(n), "score": -1, "group": "b", "new": 1.0}) + "\n" for n in range(5000))
    file.index().wait(None, 5)
    after = index.snapshot()
    assert (before.n, after.n) == (1000, 6000)
    assert len(before.numbers["score"]) == 1000 and np.isnan(after.numbers["new"][:1000]).all()
    assert found(before, Query(ranges=(("score", Range(high=-0.5)),))).size == 0
    assert found(after, Query(ranges=(("score", Range(high=-0.5)),))).size == 5000


def test_the_first_rows_are_there_before_the_whole_file_is_read(tmp_path):
    records = [{"id": str(n), "text": "word " * 40} for n in range(40_000)]
    path = written(tmp_path / "a.jsonl", records)
    began = time.monotonic()
    index = ItemFile(path).index()
    assert index.wait(50, 5)
    first, known = time.monotonic() - began, index.snapshot()
    assert known.n >= 50 and (not known.complete or first < 0.2)
    assert index.wait(None, 20) and index.snapshot().n == 40_000


def test_a_column_of_many_or_long_texts_is_no_column_of_names(tmp_path):
    records = [{"id": str(n), "kind": "ab"[n % 2], "said": f"text {n}", "long": "x" * (70 if n == 900 else 3)}
               for n in range(1000)]  # fmt: skip
    names = index_of(written(tmp_path / "a.jsonl", records)).snapshot().names
    assert set(names) == {"kind"}


def test_scores_of_0_and_1_are_verdicts_where_nothing_else_is(tmp_path):
    path = written(tmp_path / "a.jsonl", [{"id": "a", "score": 1}, {"id": "b", "score": 0.0}, {"id": "c"}])
    assert index_of(path).snapshot().verdicts.tolist() == [1, 0, -1]
    path = written(tmp_path / "b.jsonl", [{"id": "a", "score": 1}, {"id": "b", "score": 7}])
    assert index_of(path).snapshot().verdicts.tolist() == [-1, -1]


CHOICE = {"id": "m1", "prompt": "Q?", "choices": ["moss", "rain"], "gold": 1, "prediction": 0, "logprobs": [-1.5, -2.0]}
PROGRAM = {"task_id": "H/1", "completion": "return 1", "passed": False, "outcome": "timeout", "sample": 3}
ANSWER = {"id": "a", "messages": [{"role": "user", "content": "Hi"}], "answers": [{"text": "Hello", "finish": "stop"}]}
FAILED = {"id": "a", "prompt": "p", "error": {"kind": "rate-limit", "message": "slow down"}}
RECIPE = {"id": "c1", "answer": 1, "predictions": [1, 0, 1], "system": "after", "logprobs": [-2.0, -1.0]}
PRODUCT = {"id": "1x1 4x4", "question": "Multiply 4 by 4.", "gold": 16, "written": "= 12", "answer": 12, "right": 0.0}
OUTPUTS = {"id": 0, "instruction": "Hi", "output_1": "of the baseline", "output_2": "of the model", "preference": 1.7}
WRITTEN = {"id": "t/1/after", "system": "after", "answer": "first", "written": " first", "right": True}


@pytest.mark.parametrize(
    "record, says",
    [
        (CHOICE, ("m1", False, "", "Q?", "A  moss", "B  rain")),
        (PROGRAM, ("H/1", False, "timeout", "", "return 1", "")),
        (ANSWER, ("a", None, "", "Hi", "Hello", "")),
        (FAILED, ("a", None, "error: rate-limit", "p", "slow down", "")),
        (RECIPE, ("c1", True, "", "", "B", "B")),
        (WRITTEN, ("t/1/after", True, "", "", " first", "")),
        (PRODUCT, ("1x1 4x4", False, "", "Multiply 4 by 4.", "= 12", "16")),
        (OUTPUTS, ("0", None, "", "Hi", "of the model", "")),
        ({"id": 4, "gold": 16, "prediction": 12}, ("4", False, "", "", "12", "16")),
        ({"id": 3, "gold": ["x", "y"], "score": 0.5}, ("3", None, "", "", "", "x / y")),
        ({"id": "e", "acc": 1.0, "prediction": "x", "gold": "x"}, ("e", True, "", "", "x", "x")),
    ],
)
def test_records_of_every_command_say_what_they_are(record, says):
    assert (id_of(record), verdict(record), outcome(record), prompt(record), output(record), gold(record)) == says


def test_the_margin_is_between_the_best_right_and_the_best_wrong_choice():
    assert margin(CHOICE) == pytest.approx(-0.5) and margin(RECIPE) == pytest.approx(1.0)
    assert margin(CHOICE | {"gold": [0, 1]}) is None and margin(CHOICE | {"logprobs": [None, -1.0]}) is None
    assert dict(scalars(CHOICE))["margin"] == pytest.approx(-0.5)


def test_whole_numbers_are_letters_only_where_there_are_choices():
    assert dict(scalars(CHOICE))["gold"] == "B" and dict(scalars(PRODUCT))["gold"] == 16


@given(st.lists(st.integers(0, 6), max_size=30), st.lists(st.integers(0, 6), max_size=30))
def test_the_kth_record_of_an_item_belongs_to_its_kth_record_there(here, there):
    partners = matched(np.array(here, np.int64), np.array(there, np.int64)).tolist()
    for row, key in enumerate(here):
        nth = here[:row].count(key)
        places = [place for place, other in enumerate(there) if other == key]
        expected = places[nth] if key and nth < len(places) else -1
        assert partners[row] == expected


def test_items_are_fixed_broken_or_only_here(tmp_path):
    def file(name, verdicts):
        return index_of(written(tmp_path / name, [{"id": id, "right": right} for id, right in verdicts]))

    here = file("a.jsonl", [("a", True), ("b", False), ("c", True), ("d", True), ("e", None), ("f", False)])
    there = file("b.jsonl", [("f", False), ("c", True), ("b", True), ("a", False), ("e", True), ("x", True)])
    both = pairs(here, here.snapshot(), there, there.snapshot())
    assert {name: np.flatnonzero(marks).tolist() for name, marks in both.changes.items()} == {
        "fixed": [0],
        "broken": [1],
        "right": [2],
        "wrong": [5],
        "differ": [0, 1, 4],
        "only": [3],
    }
    assert both.only_there == 1 and both.partners.tolist() == [3, 2, 1, -1, 4, 0]
    rows = found(here.snapshot(), Query(change="fixed"), both.changes)
    assert rows.tolist() == [0]


def test_answers_of_two_systems_to_one_item_are_two_records():
    ids = {key_of({"id": f"t/1/{s}", "system": s}) for s in ("before", "after")}
    assert len(ids) == 2 and key_of({"id": "c1", "system": "before"}) != key_of({"id": "c1", "system": "after"})
