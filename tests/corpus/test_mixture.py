from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.corpus.mixture import Mixture, Row, seen
from tandem.errors import UserError

# The talk's tables: name, tokens seen (B), epochs, printed share (%).
STAGE_ONE = [
    ("RedPajama-CommonCrawl", 879.37, 1, 63.98),
    ("RedPajama-GitHub", 62.44, 1, 4.54),
    ("RedPajama-Books", 65.18, 2.5, 4.74),
    ("RedPajama-ArXiv", 63.32, 2, 4.61),
    ("RedPajama-StackExchange", 21.38, 1, 1.56),
    ("C4 from 6 CC dumps", 191.50, 0.2, 13.93),
    ("Wikipedia-English", 19.52, 4, 1.42),
    ("Wikipedia-21 other languages", 62.04, 2, 4.51),
    ("Pile-DM Mathematics", 7.68, 2, 0.56),
    ("Apex code from 6 CC dumps", 2.09, 1, 0.15),
]


def stage_one() -> Mixture:
    return Mixture("first", tuple(Row(name, tokens * 1e9, epochs=epochs) for name, tokens, epochs, _ in STAGE_ONE))


def stage_two() -> Mixture:
    return Mixture("second", (Row("mixture:first", 55e9), Row("starcoder", 55e9)))


def test_the_talks_first_table_comes_out_of_its_token_counts() -> None:
    mixture = stage_one()
    assert mixture.total == pytest.approx(1374.52e9, abs=1)
    printed = [row[-1] for row in mixture.table("stage 1").rows]
    assert printed == [share for *_, share in STAGE_ONE] + [100.0]
    assert sum(share for *_, share in STAGE_ONE) == pytest.approx(100.0)
    assert mixture.table("stage 1").rows[-1][1] == 1374.52


def test_unique_tokens_are_those_seen_by_epochs() -> None:
    unique = {row.name: row.unique for row in stage_one().rows}
    assert unique["RedPajama-Books"] == pytest.approx(26.072e9)
    assert unique["C4 from 6 CC dumps"] == pytest.approx(957.5e9)
    assert unique["Wikipedia-English"] == pytest.approx(4.88e9)
    assert Row("a", share=0.5, epochs=2).unique is None


def test_the_second_stage_is_half_code_and_half_what_the_first_was() -> None:
    mixture = stage_two()
    assert mixture.total == 110e9
    assert [row[-1] for row in mixture.table("stage 2").rows] == [50.0, 50.0, 100.0]
    shares = mixture.sources({"first": stage_one()})
    assert shares["starcoder"] == 0.5
    assert shares["RedPajama-CommonCrawl"] == pytest.approx(0.5 * 879.37 / 1374.52)
    assert math.fsum(shares.values()) == pytest.approx(1)


def test_a_source_that_stands_in_both_is_added_up() -> None:
    both = Mixture("both", (Row("mixture:first", share=0.5), Row("RedPajama-GitHub", share=0.5)))
    assert both.sources({"first": stage_one()})["RedPajama-GitHub"] == pytest.approx(0.5 + 0.5 * 62.44 / 1374.52)


def test_altering_a_row_alters_every_share() -> None:
    rows = stage_one().rows
    altered = Mixture("first", (Row(rows[0].name, 2 * 879.37e9, epochs=1), *rows[1:]))
    assert altered.total == pytest.approx(2253.89e9)
    assert all(altered.shares[name] != share for name, share in stage_one().shares.items())


def test_tokens_seen_add_up_over_stages() -> None:
    first, second = stage_one(), stage_two()
    total = seen([(first.shares, 1374.52e9), (second.sources({"first": first}), 110e9)])
    assert total["RedPajama-GitHub"] == pytest.approx(62.44e9 * (1 + 55 / 1374.52))
    assert math.fsum(total.values()) == pytest.approx(1484.52e9)


@settings(max_examples=50, deadline=None)
@given(tokens=st.lists(st.floats(1, 1e15), min_size=1, max_size=20))
def test_shares_are_in_proportion_and_sum_to_one(tokens: list[float]) -> None:
    shares = Mixture("m", tuple(Row(str(i), t) for i, t in enumerate(tokens))).shares
    assert math.fsum(shares.values()) == pytest.approx(1)
    assert all(shares[str(i)] * sum(tokens) == pytest.approx(t) for i, t in enumerate(tokens))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((), "no rows"),
        ((Row("a", share=0.5), Row("b", share=0.4)), r"sum to 0.9, not 1 \(0.5 \+ 0.4\)"),
        ((Row("a", share=60), Row("b", share=40)), "12.5 % as 0.125"),
        ((Row("a"),), "neither tokens nor a share"),
        ((Row("a", tokens=1, share=1),), "both tokens and a share"),
        ((Row("a", tokens=1), Row("b", share=1)), "tokens for some rows"),
        ((Row("a", share=0), Row("b", share=1)), "share = 0"),
        ((Row("a", tokens=-5),), "tokens = -5"),
        ((Row("a", tokens=5, epochs=0),), "epochs = 0"),
        ((Row("a", share=math.nan),), "share = nan"),
        ((Row("a", share=0.5), Row("a", share=0.5)), "twice"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_and_named(rows: tuple[Row, ...], message: str) -> None:
    with pytest.raises(UserError, match=message) as e:
        Mixture("oddly", rows)
    assert "mixture.oddly" in str(e.value)


def test_shares_rounded_to_three_digits_are_taken_in_proportion() -> None:
    shares = Mixture("m", tuple(Row(name, share=0.333) for name in "abc")).shares
    assert list(shares.values()) == pytest.approx([1 / 3] * 3)


def test_a_mixture_inside_itself_is_refused() -> None:
    a = Mixture("a", (Row("mixture:b", share=1.0),))
    b = Mixture("b", (Row("mixture:a", share=1.0),))
    with pytest.raises(UserError, match="contains itself"):
        a.sources({"a": a, "b": b})


def test_the_data_of_an_unknown_mixture_is_refused() -> None:
    with pytest.raises(UserError, match="no mixture 'frist'; there are: first"):
        Mixture("second", (Row("mixture:frist", share=1.0),)).sources({"first": stage_one()})
