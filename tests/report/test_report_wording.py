from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tandem.report import tables, wording
from tandem.results import Figure, Table


def plain(text: str) -> str:
    return text.replace(wording.NARROW, " ")


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (Figure("", 0.8123, "%", 0.784, 0.837, 0.25), "81.2 % [78.4, 83.7] · chance 25 %"),
        (Figure("", 0.5, "%"), "50.0 %"),
        (Figure("", 0.5, "%", chance=1 / 3), "50.0 % · chance 33.3 %"),
        (Figure("", 0.99951, "%", 0.9992, 0.9997), "99.95 % [99.92, 99.97]"),
        (Figure("", 2.2137, "nats", 2.1961, 2.2318), "2.214 nats [2.196, 2.232]"),
        (Figure("", 11.42, "", 10.96, 11.90), "11.4 [11.0, 11.9]"),
        (Figure("", 4.5, "", 2.0, 7.0), "4.5 [2.0, 7.0]"),
        (Figure("", 2_571_264), "2.57 M"),
        (Figure("", 51_200, "tokens"), "51,200 tokens"),
        (Figure("", -0.034), "−0.0340"),
        (Figure("", 3e-7), "3 × 10⁻⁷"),
        (Figure("", math.nan, "%", None, None, 0.25), "– · chance 25 %"),
        (Figure("", 1.5, "", -math.inf, math.inf), "1.50"),
        (Figure("", 0.0, "%", 0.0, 0.0), "0.0 % [0.0, 0.0]"),
    ],
)
def test_a_figure_is_written_as_finely_as_it_was_measured(figure: Figure, expected: str) -> None:
    assert plain(wording.sentence(figure)) == expected


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([879.37, 62.44, 2.09], ["879.37", "62.44", "2.09"]),
        ([30.0, 30.0, 40.0], ["30", "30", "40"]),
        ([1.0933, 0.684, 1.41], ["1.093", "0.684", "1.410"]),
        ([0.0003, math.nan], ["0.0003", "–"]),
        ([1e-9, 2.5], ["1 × 10⁻⁹", "2.5"]),
        ([-0.001, 0.0], ["−0.001", "0.000"]),
    ],
)
def test_the_numbers_of_a_column_share_their_decimals(numbers: list[float], expected: list[str]) -> None:
    assert [plain(t) for t in wording.column(numbers)] == expected


def test_cells_of_other_kinds_are_written_as_words() -> None:
    assert wording.column([1_374_520, True, False, None, "a\x07b", -3]) == ["1,374,520", "yes", "no", "", "a␇b", "−3"]


@example(0.0, 0.0, 3.6e306, None, "%")
@example(0.0, 0.0, 5e-324, None, "")
@example(0.5, -1.7e308, 1.7e308, None, "%")
@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.none() | st.floats(),
    st.none() | st.floats(),
    st.none() | st.floats(),
    st.sampled_from(["", "%", "nats"]),
)
def test_any_figure_can_be_written(
    value: float, low: float | None, high: float | None, chance: float | None, unit: str
) -> None:
    written = wording.sentence(Figure("x", value, unit, low, high, chance))
    assert written and "nan" not in written and "inf" not in written


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12))
def test_a_short_number_says_its_value_to_three_digits(value: float) -> None:
    written = wording.short(value)
    if "×" not in written:
        read = float(written.replace(",", "").replace(wording.MINUS, "-"))
        assert read == pytest.approx(value, rel=5.1e-3, abs=1e-9)


@given(st.text(st.characters(exclude_categories=())))
def test_visible_text_holds_no_hidden_character_and_changes_no_further(text: str) -> None:
    shown = wording.visible(text)
    shown.encode()
    assert all(c in "\n\t" or c.isprintable() or ord(c) > 0x9F for c in shown)
    assert wording.visible(shown) == shown


def test_a_direction_override_is_shown_by_its_number() -> None:
    assert wording.visible("a\u202eb") == "a⟨U+202E⟩b"


def test_figures_in_one_column_share_their_decimals() -> None:
    figures = (Figure("", 27.9, "", 26.1, 29.8), Figure("", 4.61, "", 4.52, 4.70))
    shown = tables.view(Table("t", ("p",), tuple((f,) for f in figures)))
    assert [row[0].text for row in shown.rows] == ["27.90", "4.61"]


def test_percentages_in_bars_are_parts_of_a_hundred() -> None:
    shown = tables.view(Table("t", ("s", "Share (%)"), (("a", 40.0), ("b", 60.0)), bars="Share (%)"))
    assert 'width="40%"' in shown.rows[0][2].drawing and "track" in shown.rows[0][2].drawing


def test_counts_in_bars_are_parts_of_the_largest() -> None:
    shown = tables.view(Table("t", ("s", "n"), (("a", 40), ("b", 80), ("c", None)), bars="n"))
    assert 'width="50%"' in shown.rows[0][2].drawing
    assert shown.rows[2][2].drawing == ""


def test_the_number_of_items_is_told_once_when_it_is_the_same() -> None:
    rows = tuple((Figure("", 0.5, "%", 0.4, 0.6, n=200),) for _ in range(3))
    assert tables.view(Table("t", ("a",), rows), explain=False).notes == ("n\u00a0=\u00a0200 each.",)


def test_a_chance_level_that_all_figures_share_is_told_once_below() -> None:
    shared = [Figure("", v, "%", v - 0.1, v + 0.1, 0.25) for v in (0.4, 0.6)]
    table = Table("t", ("p",), ((Figure("", 0.25, "%"),), *((f,) for f in shared)))
    for explain, said in ((True, "Upright tick: chance level 25\u202f%."), (False, "Chance 25\u202f%.")):
        shown = tables.view(table, explain=explain)
        assert said in shown.notes[-1]
        assert [row[0].detail for row in shown.rows] == [(), ("[30.0, 50.0]",), ("[50.0, 70.0]",)]


def test_chance_levels_that_differ_stand_beside_their_figures() -> None:
    two = [Figure("", 0.5, "%", 0.4, 0.6, chance) for chance in (0.2, 0.25)]
    shown = tables.view(Table("t", ("p",), tuple((f,) for f in two)))
    assert [row[0].detail[1] for row in shown.rows] == ["chance 20\u202f%", "chance 25\u202f%"]
    assert "chance level." in shown.notes[-1]


def test_a_table_of_a_pages_width_gives_its_strips_what_the_other_columns_leave() -> None:
    cell = Figure("", 0.5, "%", 0.4, 0.6)
    widths = [tables.view(Table("t", ("x",) * (n + 1), ((("a", *[cell] * n)),))).strip for n in (1, 2, 3, 5)]
    assert widths == ["strip-15", "strip-12", "strip-6", "strip-6"]
