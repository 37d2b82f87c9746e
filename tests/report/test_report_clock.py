from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.report import clock

anything = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
)


def event(kind: str, at: float, **facts: Any) -> dict[str, Any]:
    return {"event": kind, "at": at} | facts


def test_a_stage_takes_what_its_end_says() -> None:
    (stage,) = clock.stages([event("stage begins", 0.0, stage="a"), event("stage ends", 99.0, stage="a", seconds=12.5)])
    assert (stage.seconds, stage.attempts, stage.finished) == (12.5, 1, True)


def test_an_attempt_cut_off_by_a_kill_counts_up_to_its_last_sign_of_life() -> None:
    (stage,) = clock.stages(
        [
            event("stage begins", 100.0, stage="a"),
            event("progress", 130.0, stage="a", tokens=10),
            event("run begins", 9_000.0),
            event("stage begins", 9_001.0, stage="a"),
            event("stage ends", 9_021.0, stage="a", seconds=20.0),
        ]
    )
    assert (stage.seconds, stage.attempts) == (50.0, 2)


def test_a_stage_that_never_ended_is_told_so() -> None:
    (stage,) = clock.stages([event("stage begins", 5.0, stage="a"), event("progress", 8.0, stage="a")])
    assert (stage.seconds, stage.finished) == (3.0, False)


def test_tokens_are_those_at_the_end_and_speed_is_the_median() -> None:
    marks = [
        event("progress", float(i), stage="a", tokens=100 * i, step=i, loss=5.0 - i, tokens_per_second=s)
        for i, s in enumerate((50, 10, 20, 30))
    ]
    (stage,) = clock.stages(marks)
    assert (stage.tokens, stage.steps, stage.loss, stage.speed) == (300, 3, 2.0, 25)


def test_stages_come_in_the_order_in_which_they_began() -> None:
    events = [event("stage begins", float(i), stage=s) for i, s in enumerate("cab")]
    assert [s.name for s in clock.stages(events)] == ["c", "a", "b"]


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["event", "at", "stage", "tokens", "step", "loss", "seconds", "tokens_per_second", "else"]),
            anything | st.sampled_from(["stage begins", "stage ends", "progress", "s"]),
        ),
        max_size=12,
    )
)
def test_events_of_any_kind_are_passed_over_or_counted_never_refused(events: list[dict[str, Any]]) -> None:
    for stage in clock.stages(events):
        assert stage.seconds >= 0 and stage.attempts >= 0
    clock.span(events)


def test_the_span_of_a_run_is_its_first_and_last_moment() -> None:
    assert clock.span([{"at": 3.0}, {"at": "x"}, {"at": 9.5}, {}]) == pytest.approx((3.0, 9.5))
    assert clock.span([{}]) is None
