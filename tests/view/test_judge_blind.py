"""Laws of blind judging: sheets, and what becomes of figures when systems change places."""

from __future__ import annotations

from pathlib import Path

import pytest
from judge_sample import likes_loud, two_files

from tandem.results import Figure
from tandem.stats import proportion
from tandem.view.judging import blind, ledger, pairs, told
from tandem.view.judging.ledger import Choice, Judging, Judgment, Ledger, Record
from tandem.view.judging.pairs import Fields, Pair


def some(n: int) -> list[Pair]:
    return [Pair(f"q{i}", "p", ("a", "b")) for i in range(n)]


@pytest.mark.parametrize("n", [1, 2, 49, 50])
def test_each_annotator_has_the_first_system_on_the_left_in_half_of_the_items(n: int) -> None:
    for name in ("Ann", "Ben", "Chloé"):
        left = blind.sheet([p.id for p in some(n)], name, 0).left
        assert len(left) == n and sum(side == 0 for side in left.values()) in (n // 2, (n + 1) // 2)


def test_orders_and_sides_are_each_annotators_own_and_do_not_depend_on_the_files_order() -> None:
    ids = [p.id for p in some(50)]
    ann, ben = blind.sheet(ids, "Ann", 0), blind.sheet(ids, "Ben", 0)
    assert ann == blind.sheet(reversed(ids), "Ann", 0)
    assert set(ann.ids) == set(ben.ids) and ann.ids != ben.ids
    assert 10 < sum(ann.left[id] == ben.left[id] for id in ids) < 40
    assert ann.ids != blind.sheet(ids, "Ann", 1).ids


def test_more_items_hold_the_fewer_ones_and_seeds_draw_others() -> None:
    every = some(200)
    few, more = ({p.id for p in blind.chosen(every, n, 0)} for n in (20, 50))
    assert few < more and len(more) == 50
    assert few == {p.id for p in blind.chosen(every[::-1], 20, 0)} != {p.id for p in blind.chosen(every, 20, 1)}
    assert len(blind.chosen(every, None, 0)) == 200


def judged(folder: Path, a: Path, b: Path, people: dict[str, dict[str, Choice] | None]) -> Record:
    """Everybody judges all pairs by what they say, or as given."""
    joined = pairs.join(pairs.side(a, a.stem, Fields()), pairs.side(b, b.stem, Fields()))
    folder.mkdir()
    kept = Ledger(folder / ledger.FILE, Judging(joined.names, "Which?", len(joined.pairs), 0, "x"))
    for name in people:
        mine = blind.sheet([p.id for p in joined.pairs], name, 0)
        for pair in joined.pairs:
            left = mine.left[pair.id]
            kept.judge(name, pair.id, likes_loud(pair.answers[left], pair.answers[1 - left]), left)
    kept.close()
    return ledger.read(folder / ledger.FILE)


def test_swapping_the_systems_mirrors_the_table(tmp_path: Path) -> None:
    a, b = two_files(tmp_path / "data", 12)
    forth = judged(tmp_path / "forth", a, b, {"Ann": None, "Ben": None})
    back = judged(tmp_path / "back", b, a, {"Ann": None, "Ben": None})
    one, other = told.preferences(forth), told.preferences(back)
    assert one.columns[1:3] == ("alpha", "omega") and other.columns[1:3] == ("omega", "alpha")
    for row, mirrored in zip(one.rows[:-1], other.rows[:-1], strict=True):
        assert (row[0], row[1], row[2], *row[3:]) == (mirrored[0], mirrored[2], mirrored[1], *mirrored[3:])
    for i, j in ((1, 2), (2, 1), (3, 3)):  # the last row's intervals are resampled, in the same draws
        left, right = one.rows[-1][i], other.rows[-1][j]
        assert isinstance(left, Figure) and isinstance(right, Figure)
        assert (left.value, left.low, left.high) == pytest.approx((right.value, right.low, right.high))
    assert told.agreement(forth) == told.agreement(back)


def record(**people: str) -> Record:
    """Annotators with a letter for each item: a, b, t a tie, u unsure; the first system is on the left of even ones."""
    found = Record(Judging(("cot", "edited"), "Which?", max(map(len, people.values())), 0, "x"))
    for name, letters in people.items():
        found.by[name] = {}
        for i, letter in enumerate(letters):
            left = i % 2
            sides: dict[str, Choice] = {"t": "tie", "u": "unsure", "ab"[left]: "left", "ab"[1 - left]: "right"}
            found.by[name][f"q{i:02}"] = Judgment(sides[letter], left)
    return found


def test_shares_are_of_what_was_said_with_wilsons_interval() -> None:
    """17, 53 and 30 of 100, as a published evaluation reports; five that cannot say count beside them."""
    (row,) = told.preferences(record(Ann="a" * 17 + "b" * 53 + "t" * 30 + "u" * 5)).rows
    assert row[0] == "Ann" and row[4] == "5 of 105"
    for cell, k in zip(row[1:4], (17, 53, 30), strict=True):
        wilson = proportion(k, 100)
        assert isinstance(cell, Figure)
        assert (cell.value, cell.low, cell.high, cell.n) == (wilson.value, wilson.low, wilson.high, 100)


def test_two_annotators_of_the_same_items_are_not_twice_as_sure() -> None:
    letters = "aabbbtabbt" * 5
    alone, both = (told.pooled(r)[1] for r in (record(Ann=letters), record(Ann=letters, Ben=letters)))
    assert alone and both and alone.value == both.value and both.n == 100
    assert alone.low and alone.high and both.low and both.high
    assert (both.high - both.low) / (alone.high - alone.low) == pytest.approx(1.0, abs=0.12)


def test_agreement_is_about_systems_and_leaves_out_what_cannot_be_said() -> None:
    """Of ten items of both, eight are alike; by chance 0.5 · 0.5 + 0.3 · 0.3 + 0.2 · 0.2 = 0.38: κ = 0.42 / 0.62."""
    table = told.agreement(record(Ann="aaaaabbbttu", Ben="aaaabbbatta"))
    assert table is not None
    ((pair, same, kappa, n),) = table.rows
    assert (pair, n) == ("Ann and Ben", 10)
    assert isinstance(same, Figure) and isinstance(kappa, Figure)
    assert same.value == 0.8 and kappa.value == pytest.approx(0.42 / 0.62) and kappa.low is not None
    assert "Ann and Ben 0.68" in table.note


def test_three_annotators_have_three_pairs_and_an_alpha_and_one_has_neither() -> None:
    table = told.agreement(record(Ann="aabbt", Ben="aabbt", Cy="aabbt"))
    assert table and [row[0] for row in table.rows[:3]] == ["Ann and Ben", "Ann and Cy", "Ben and Cy"]
    alpha = table.rows[3][2]
    assert isinstance(alpha, Figure) and alpha.value == pytest.approx(1.0)
    assert told.agreement(record(Ann="ab")) is None


def test_an_agreement_that_is_not_defined_says_why() -> None:
    table = told.agreement(record(Ann="aaaa", Ben="aaaa", Cy="u"))
    assert table and table.rows[0][2] is None and "not defined" in table.note
    assert [row[3] for row in table.rows[:3]] == [4, 0, 0]


def test_a_liking_for_the_left_shows_and_favours_no_system() -> None:
    always = record(Ann="ab" * 25)  # even items have the first system on the left, odd ones the second
    ((_, left, n),) = told.positions(always).rows
    assert isinstance(left, Figure) and (left.value, left.chance, n) == (1.0, 0.5, 50)
    a, b, _ = told.pooled(always)
    assert a and b and a.value == b.value == 0.5


def test_results_without_any_judgment_can_be_told() -> None:
    empty = Record(Judging(("a", "b"), "Which?", 5, 0, "x"))
    assert told.results(empty).headline == ()
    unsure = told.results(record(Ann="uu"))
    assert unsure.headline == () and "Better" not in unsure.lead
