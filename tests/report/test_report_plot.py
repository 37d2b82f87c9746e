from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_sample import loss_curve

from tandem.report import axis, plot, strip
from tandem.results import Curve, Figure, Mark, Series

finite = st.floats(-1e12, 1e12, allow_nan=False).map(lambda x: 0.0 if abs(x) < 1e-9 else x)


def one_line(y: list[float], x: list[float] | None = None, **more: object) -> Curve:
    series = Series("line", tuple(x or [float(i) for i in range(len(y))]), tuple(y))
    return Curve("title", "x", "y", (series,), **more)  # type: ignore[arg-type]


def line_paths(drawing: str) -> list[str]:
    return re.findall(r'd="([^"]*)" class="line', drawing)


@given(finite, st.floats(1e-6, 1e12), st.integers(5, 12))
def test_linear_ticks_lie_inside_and_are_evenly_spaced_and_few(low: float, span: float, wanted: int) -> None:
    high = low + max(span, abs(low) * 1e-6)
    ticks = axis.linear_ticks(low, high, wanted)
    step = axis.nice_step(high - low, wanted)
    assert 2 <= len(ticks) <= wanted + 1
    assert all(low - step * 1e-6 <= t <= high + step * 1e-6 for t in ticks)
    assert all(math.isclose(b - a, step, rel_tol=1e-6) for a, b in pairwise(ticks))


@given(finite, st.floats(1e-3, 1e9))
def test_tick_labels_of_one_axis_are_all_different(low: float, span: float) -> None:
    ticks = axis.linear_ticks(low, low + max(span, abs(low) * 1e-3), 8)
    assert len(set(axis.labels(ticks))) == len(ticks)


@given(st.floats(1e-6, 1e9), st.floats(1.1, 1e9))
def test_logarithmic_ticks_lie_inside_and_ascend(low: float, ratio: float) -> None:
    ticks = axis.log_ticks(low, low * ratio, 9)
    assert ticks == sorted(ticks)
    assert all(low * 0.999 <= t <= low * ratio * 1.001 for t in ticks)


def test_ticks_of_a_loss_by_position_are_the_ones_a_reader_expects() -> None:
    ticks = axis.log_ticks(1, 2048, 12)
    assert axis.labels(ticks, log=True) == ["1", "2", "5", "10", "20", "50", "100", "200", "500", "1000", "2000"]


def test_labels_share_a_unit_and_zero_has_none() -> None:
    assert axis.labels([0.0, 500_000.0, 1_000_000.0, 1_500_000.0]) == ["0", "0.5M", "1.0M", "1.5M"]


def test_labels_of_tiny_and_huge_numbers_stay_short() -> None:
    assert axis.labels([0.0, 2e-9, 4e-9]) == ["0", "2e−9", "4e−9"]
    assert axis.labels([0.0, 5e40, 1e41]) == ["0", "0.5e41", "1.0e41"]


def test_negative_labels_have_a_real_minus_sign() -> None:
    assert axis.labels([-1.0, 0.0, 1.0]) == ["−1", "0", "1"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(), st.floats()), max_size=20),
    st.lists(st.floats(), max_size=3),
    st.booleans(),
    st.sampled_from([plot.WIDE, plot.NARROW]),
)
def test_whatever_the_numbers_every_point_lies_inside_the_drawing(
    points: list[tuple[float, float]], marks: list[float], log: bool, frame: plot.Frame
) -> None:
    curve = one_line(
        [y for _, y in points], [x for x, _ in points], log_x=log, marks=tuple(Mark(m, "m") for m in marks)
    )
    drawing = str(plot.plot(curve, frame))
    drawn = len(points) - plot.left_out(curve)
    assert bool(drawing) == (drawn > 0)
    for path in line_paths(drawing):
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", path.replace("h0", ""))]
        assert all(0 <= n <= max(frame.width, frame.height) for n in numbers)
        assert "nan" not in path and "inf" not in path


@pytest.mark.parametrize("share", [0.0, 100.0])
def test_an_axis_of_percentages_ends_at_nothing_and_at_all(share: float) -> None:
    curve = replace(one_line([share, share]), y_label="right answers, %")
    labels = re.findall(r">([\u2212\d]+)<", str(plot.plot(curve, plot.WIDE)))
    assert "100" in labels and all(0 <= int(label) <= 100 for label in labels)


def test_a_value_that_is_not_a_number_leaves_a_gap() -> None:
    (path,) = line_paths(plot.plot(one_line([1.0, 2.0, math.nan, 3.0, 4.0]), plot.WIDE))
    assert path.count("M") == 2


def test_a_point_alone_between_gaps_is_still_drawn() -> None:
    (path,) = line_paths(plot.plot(one_line([1.0, math.nan, 3.0, math.nan, 4.0]), plot.WIDE))
    assert path.count("h0") == 3


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 300)), min_size=1, max_size=400))
def test_thinning_keeps_the_extremes_of_every_column_of_pixels(points: list[tuple[float, float]]) -> None:
    points.sort(key=lambda p: p[0])
    kept = list(plot.thinned(points))
    for column in {int(x) for x, _ in points}:
        before = [y for x, y in points if int(x) == column]
        after = [y for x, y in kept if int(x) == column]
        assert len(after) <= max(4, len([1 for _ in before if len(before) <= 4]))
        assert (min(before), max(before)) == (min(after), max(after))
    assert kept[0] == points[0] and kept[-1] == points[-1]


def test_a_long_series_is_thinned_and_its_spike_survives() -> None:
    y = [3.0] * 200_000
    y[77_777] = 90.0
    drawing = plot.plot(one_line(y), plot.WIDE)
    heights = [float(n) for n in re.findall(r"[\d.]+", line_paths(drawing)[0])][1::2]
    assert len(drawing) < 60_000
    assert min(heights) < 60 and sorted(heights)[1] > 200


def test_the_stage_switch_stands_where_it_happened_with_its_label() -> None:
    curve = one_line([4.0, 3.0, 2.0], [0.0, 50.0, 100.0], marks=(Mark(50.0, "long stage"),))
    drawing = plot.plot(curve, plot.WIDE)
    found = re.search(r'<line x1="([\d.]+)" x2="([\d.]+)"[^>]*class="mark"', drawing)
    middle = float(line_paths(drawing)[0].split("L")[1].split(" ")[0])
    assert found and float(found[1]) == float(found[2]) == pytest.approx(middle, abs=0.02)
    assert "long stage" in drawing


def test_labels_of_near_marks_do_not_share_a_row() -> None:
    marks = tuple(Mark(float(x), "a label of some length") for x in (10, 11, 12))
    drawing = plot.plot(one_line([1.0, 2.0], [0.0, 100.0], marks=marks), plot.NARROW)
    rows = re.findall(r'<text x="[\d.]+" y="([\d.]+)"[^>]*class="mark-word"', drawing)
    assert len(set(rows)) == 3


def test_lines_differ_in_dash_as_well_as_colour() -> None:
    pairs = [plot._line_class(i) for i in range(36)]
    assert len(set(pairs)) == 36
    assert len({p.split()[2] for p in pairs[:6]}) == 6 and len({p.split()[1] for p in pairs[:6]}) == 6


def test_names_at_the_ends_of_lines_do_not_touch() -> None:
    series = tuple(Series(f"s{i}", (0.0, 1.0), (1.0, 2.0 + i * 1e-4)) for i in range(6))
    drawing = plot.plot(Curve("t", "x", "y", series), plot.WIDE)
    heights = sorted(float(y) for y in re.findall(r'<text x="[\d.]+" y="([\d.]+)" class="tag', drawing))
    assert len(heights) == 6
    assert all(b - a >= 14.9 for a, b in pairwise(heights))
    assert heights[-1] <= plot.WIDE.height - 30


def test_lines_that_end_apart_are_named_in_the_legend_only() -> None:
    series = (Series("short", (0.0, 5.0), (1.0, 2.0)), Series("long", (0.0, 10.0), (1.0, 2.0)))
    curve = Curve("t", "x", "y", series)
    assert not plot.has_tags(curve)
    assert [name for _, name in plot.legend(curve)] == ["short", "long"]


def test_points_without_a_logarithm_are_counted_not_drawn() -> None:
    curve = one_line([5.0, 4.0, 3.0], [0.0, 1.0, 2.0], log_x=True)
    assert plot.left_out(curve) == 1
    assert plot.plot(curve, plot.WIDE).count('class="marker') == 2


def test_the_drawing_says_in_words_what_it_shows() -> None:
    assert "training from 8.5" in plot.spoken(loss_curve())


def test_a_point_is_hollow_exactly_when_its_interval_holds_the_chance_level() -> None:
    scale = strip.Scale(0.0, 1.0, "%")
    luck = strip.strip(Figure("", 0.27, "%", 0.20, 0.34, 0.25), scale)
    skill = strip.strip(Figure("", 0.35, "%", 0.28, 0.42, 0.25), scale)
    assert "hollow" in luck and "hollow" not in skill


def test_interval_and_chance_are_drawn_to_scale() -> None:
    drawing = strip.strip(Figure("", 0.8, "%", 0.7, 0.9, 0.25), strip.Scale(0.0, 1.0, "%"))
    assert re.search(r'x1="70%" x2="90%"[^>]*class="whisker"', drawing)
    assert re.search(r'x1="25%" x2="25%"[^>]*class="chance"', drawing)
    assert 'cx="80%"' in drawing


def test_strips_of_percentages_start_at_zero_and_share_one_scale() -> None:
    figures = [Figure("", 0.03, "%", 0.01, 0.06), Figure("", 0.31, "%", 0.25, 0.38)]
    assert strip.scale_of(figures) == strip.Scale(0.0, 0.5, "%")


def test_figures_without_interval_and_chance_have_no_strip() -> None:
    assert strip.scale_of([Figure("", 3.0), Figure("", 4.0)]) is None


def test_bars_start_at_zero_also_for_negative_numbers() -> None:
    drawing = strip.bar(-2.0, -2.0, 6.0)
    assert 'x="0%"' in drawing and 'width="25%"' in drawing
