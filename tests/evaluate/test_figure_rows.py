"""The rows that people paste: one form for all tasks. Lines of items: every reader reads them."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.evaluate import rows
from tandem.evaluate.code import figures as code
from tandem.evaluate.long import found as long
from tandem.evaluate.multiple_choice import figures as choices
from tandem.evaluate.multiple_choice.scoring import Mean
from tandem.results import Figure
from tandem.runs import write_lines

LAST = ("metric", "direction", "value ± stderr", "95 %", "n")


@pytest.mark.parametrize("table", [code.table([]), long.table([]), choices.table([])])
def test_every_tables_columns_begin_and_end_alike(table):
    assert table.columns[:2] == ("task", "version") and table.columns[-5:] == LAST


def test_a_row_says_what_was_measured_and_how_sure_that_is():
    one = Figure("acc", 0.25342, "%", 0.24631, 0.26049, n=14042)
    row = rows.row("mmlu", "1.0", 5, metric="acc", figure=one, error=0.00362)
    assert row == ("mmlu", "1.0", 5, "acc", "↑", "0.2534 ± 0.0036", "[0.2463, 0.2605]", 14042)
    assert len(row) == len(rows.columns("shots"))


@pytest.mark.parametrize("figure", [None, Figure("acc", math.nan, n=0)])
def test_what_there_was_nothing_to_measure_of_has_a_row_without_a_number(figure):
    assert rows.row("t", "1", metric="acc", figure=figure) == ("t", "1", "acc", "↑", "–", "", 0)


def test_an_interval_with_an_open_end_is_none():
    assert rows.interval(Figure("x", 0.5, low=-math.inf, high=1.0)) == rows.interval(Figure("x", 0.5)) == ""


@pytest.mark.parametrize("right", [0, 1, 3])
def test_a_share_of_few_items_has_wilsons_interval_which_is_never_a_point(right):
    figure = choices.figure("acc", Mean(right / 3, 0.0, 3, None, right))
    assert figure.low <= right / 3 <= figure.high and figure.high - figure.low > 0.4


def test_all_items_of_several_groups_right_still_leaves_room_for_doubt():
    figure = choices.figure("acc", Mean(1.0, 0.0, 10, None, 10, pooled=True))
    assert figure.low < 0.75 and figure.high == 1.0


def test_a_pooled_error_gives_the_interval_of_groups():
    figure = choices.figure("acc", Mean(0.5, 0.1, 100, None, 50, pooled=True))
    assert (figure.low, figure.high) == pytest.approx((0.5 - 0.196, 0.5 + 0.196), abs=1e-4)


@given(st.lists(st.text(st.characters(codec=None), max_size=8), max_size=4))
def test_lines_of_any_text_are_utf_8_and_read_back_the_same(tmp_path_factory, texts):
    """Also lone surrogates, which a model's JSON can hold."""
    path = tmp_path_factory.mktemp("lines") / "items.jsonl"
    write_lines(path, [{"id": n, "text": text} for n, text in enumerate(texts)])
    read = [json.loads(line)["text"] for line in path.read_bytes().decode().split("\n") if line]
    joined = [re.sub("[\ud800-\udbff][\udc00-\udfff]", _pair, text) for text in texts]
    assert read == joined


def _pair(found):
    """Two surrogates in a row are one character to every reader of JSON."""
    return found.group().encode("utf-16", "surrogatepass").decode("utf-16")
