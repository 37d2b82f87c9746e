"""The file of judgments: on disk at once, once for each thing said, and never about something else."""

from __future__ import annotations

import json
import resource
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tandem.errors import Failure, UserError
from tandem.view.judging import export, ledger
from tandem.view.judging.ledger import Judging, Ledger

JUDGING = Judging(("cot", "edited"), "Which?", 3, 7, "f00d")


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_judged_is_in_the_file_and_read_back(tmp_path: Path) -> None:
    kept = Ledger(tmp_path / "j.jsonl", JUDGING)
    kept.judge("Ann", "q1", "left", 1, "because")
    kept.judge("Ann", "q2", "tie", 0)
    kept.judge("Ben", "q1", "unsure", 0)
    assert [line.get("preferred") for line in lines(kept.path)] == [None, "edited", "tie", "cannot say"]
    again = ledger.read(kept.path)
    assert again == kept.record and again.by["Ann"]["q1"].preferred == 1


def test_a_form_sent_twice_counts_once_and_a_changed_mind_counts_last(tmp_path: Path) -> None:
    kept = Ledger(tmp_path / "j.jsonl", JUDGING)
    assert kept.judge("Ann", "q1", "left", 0)
    assert not kept.judge("Ann", "q1", "left", 0)
    assert kept.judge("Ann", "q1", "right", 0)
    assert len(lines(kept.path)) == 3
    assert ledger.read(kept.path).by["Ann"]["q1"].preferred == 1


def test_a_torn_last_line_is_dropped_and_the_next_judgment_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    kept = Ledger(path, JUDGING)
    kept.judge("Ann", "q1", "left", 0)
    kept.close()
    with path.open("a") as f:
        f.write('{"annotator": "Ann", "id": "q2", "cho')
    assert list(ledger.read(path).by["Ann"]) == ["q1"]
    again = Ledger(path, JUDGING)
    again.judge("Ann", "q3", "tie", 0)
    assert list(ledger.read(path).by["Ann"]) == ["q1", "q3"]


def test_any_other_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    for bad in ("{", "[]", '{"annotator": "Ann"}', '{"annotator":"A","id":"q","choice":"up","left":"cot","at":1}'):
        path.write_text(json.dumps({"judging": JUDGING.to_json()}) + f"\n{bad}\n")
        with pytest.raises(UserError) as told:
            ledger.read(path)
        assert told.value.where == f"{path}:2"
    path.write_text('{"id": 1}\n')
    with pytest.raises(UserError, match="no file of judgments"):
        ledger.read(path)


def test_a_file_about_something_else_is_refused_with_the_difference(tmp_path: Path) -> None:
    Ledger(tmp_path / "j.jsonl", JUDGING).close()
    with pytest.raises(UserError, match="question was 'Which\\?', is 'Why\\?'"):
        Ledger(tmp_path / "j.jsonl", replace(JUDGING, question="Why?"))
    with pytest.raises(UserError, match="the answers to be judged have changed"):
        Ledger(tmp_path / "j.jsonl", replace(JUDGING, content="beef"))


def test_a_disk_that_is_full_loses_nothing_and_leaves_no_half_line(tmp_path: Path) -> None:
    kept = Ledger(tmp_path / "j.jsonl", JUDGING)
    kept.judge("Ann", "q1", "left", 0)
    whole = kept.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, hard))
        with pytest.raises(Failure, match="cannot write"):
            kept.judge("Ann", "q2", "right", 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert kept.path.read_bytes() == whole and list(kept.record.by["Ann"]) == ["q1"]
    assert kept.judge("Ann", "q2", "right", 0)
    assert list(ledger.read(kept.path).by["Ann"]) == ["q1", "q2"]


def test_who_has_finished_cannot_change_and_who_has_not_judged_all_cannot_finish(tmp_path: Path) -> None:
    kept = Ledger(tmp_path / "j.jsonl", JUDGING)
    for id in ("q1", "q2"):
        kept.judge("Ann", id, "left", 0)
    with pytest.raises(UserError, match="1 items are still"):
        kept.finish("Ann")
    kept.judge("Ann", "q3", "left", 0)
    kept.finish("Ann")
    kept.finish("Ann")
    with pytest.raises(UserError, match="has finished"):
        kept.judge("Ann", "q1", "right", 0)
    kept.judge("Ben", "q1", "left", 0)
    assert ledger.read(kept.path).finished == {"Ann"}


def test_exports_hold_no_clock_and_no_formula(tmp_path: Path) -> None:
    kept = Ledger(tmp_path / "j.jsonl", JUDGING)
    kept.judge("Ann", "=cmd()", "left", 1, "-1, 'quoted'\nlines")
    rows = export.as_csv(kept.record)
    assert rows.splitlines()[0] == "annotator,id,choice,left,preferred,note"
    assert "Ann,'=cmd(),left,edited,edited,\"'-1, 'quoted'\nlines\"" in rows
    whole = json.loads(export.as_json(kept.record))
    assert whole["judgments"][0]["preferred"] == "edited" and whole["judging"]["seed"] == 7
    assert '"at"' not in export.as_json(kept.record) + export.as_lines(kept.record)
