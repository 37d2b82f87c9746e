"""Which places of a command line are a task's."""

from pathlib import Path

from tandem.evaluate.places import chosen


def test_a_place_that_names_the_task_goes_before_those_that_name_none(tmp_path):
    places = [tmp_path, Path("mbpp=m.jsonl"), Path("humaneval=h.jsonl"), Path("hub")]
    assert chosen(places, "humaneval") == [Path("h.jsonl")]
    assert chosen(places, "mt_bench") == [tmp_path]


def test_a_path_that_exists_is_itself_whatever_stands_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a=b").mkdir()
    assert chosen([Path("a=b"), Path("missing")], "mbpp") == [Path("a=b"), Path("missing")]
