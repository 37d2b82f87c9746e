from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_sample import write_run

from tandem import report
from tandem.errors import UserError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def refused(run: Path) -> str:
    """What the page's maker says about this folder; nothing may be left in it."""
    with pytest.raises(UserError) as caught:
        report.write(run)
    assert not (run / "report.html").exists()
    return str(caught.value)


def test_a_missing_folder_is_the_users_to_mend(tmp_path: Path) -> None:
    assert "no such run folder" in refused(tmp_path / "nowhere")


def test_an_unfinished_run_says_how_to_finish(run: Path) -> None:
    (run / "results.json").unlink()
    assert "finish the run first" in refused(run)


@pytest.mark.parametrize(
    "text", ["", "{", '{"kind": "Results"}', "[]", '{"kind": "Series", "name": "a"}', "null", "\x00"]
)
def test_a_results_file_that_is_none_is_named(text: str, run: Path) -> None:
    (run / "results.json").write_text(text)
    assert "results.json" in refused(run)


def test_results_that_are_not_text_are_named(run: Path) -> None:
    (run / "results.json").write_bytes(b"\xff\xfe{")
    assert "results.json" in refused(run)


def test_results_that_are_a_folder_are_named(run: Path) -> None:
    (run / "results.json").unlink()
    (run / "results.json").mkdir()
    assert "results.json" in refused(run)


def table(results: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = results["sections"][1]["items"][0]
    return found


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "title": lambda r: r.update(title=7),
    "headline[0].value": lambda r: r["headline"][0].update(value="a lot"),
    "headline[0].n": lambda r: r["headline"][0].update(n=10**90),
    "sections[0]": lambda r: r["sections"].__setitem__(0, {"no": "kind"}),
    "sections[1].items[0].rows[1]: 1 cells under 3 columns": lambda r: table(r)["rows"].__setitem__(1, ["x"]),
    "sections[1].items[0].rows[0][0]": lambda r: table(r)["rows"][0].__setitem__(0, ["x"]),
    "sections[1].items[0].bars": lambda r: table(r).update(bars="nothing"),
    "sections[2].items[0].series[0]": lambda r: r["sections"][2]["items"][0]["series"][0].update(x=[1.0]),
    "sections[0].items[0].correct": lambda r: r["sections"][0]["items"][0].update(correct=[True] * 3),
    "sections[0].items[0].correct[0]": lambda r: r["sections"][0]["items"][0].update(correct=["yes"]),
    "next_steps[0]": lambda r: r["next_steps"].__setitem__(0, ["one"]),
}


@pytest.mark.parametrize("place", CHANGES)
def test_a_field_that_does_not_fit_is_named_by_its_place(place: str, run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    CHANGES[place](results)
    (run / "results.json").write_text(json.dumps(results))
    message = refused(run)
    assert place in message and "results.json" in message


def test_a_value_that_was_not_a_number_is_shown_as_unknown(run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    results["headline"][0].update(value=None, low=None, high=None)
    (run / "results.json").write_text(json.dumps(results))
    assert '<span class="big">–</span>' in report.render(run)


@pytest.mark.parametrize(
    ("name", "text"), [("run.json", "{"), ("run.json", "[1]"), ("recipe.toml", "a = "), ("events.jsonl", "{\n{}\n")]
)
def test_a_broken_file_beside_the_results_is_named(name: str, text: str, run: Path) -> None:
    (run / name).write_text(text)
    assert name in refused(run)


def test_a_torn_last_event_is_left_out(run: Path) -> None:
    whole = report.render(run)
    with (run / "events.jsonl").open("a") as events:
        events.write('{"event": "stage en')
    assert report.render(run) == whole


def test_a_run_without_events_recipe_and_versions_renders(run: Path) -> None:
    for name in ("run.json", "recipe.toml", "events.jsonl"):
        (run / name).unlink()
    assert "Time and tokens" not in report.render(run)
