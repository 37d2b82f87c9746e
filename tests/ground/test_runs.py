import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tandem.errors import Failure, UserError
from tandem.results import Curve, Example, Figure, Mark, Results, Section, Series, Table, from_json, to_json
from tandem.runs import Run, atomic_folder, file_hash, read_events, read_results, write_whole

RESULTS = Results(
    title="A model",
    lead="It works.",
    headline=(Figure("accuracy", 0.5, "%", 0.4, 0.6, chance=0.25, n=100),),
    sections=(
        Section(
            "loss",
            "Loss",
            items=(
                Curve("Loss", "step", "nats", (Series("train", (0.0, 1.0), (2.5, math.nan)),), (Mark(1.0, "switch"),)),
                Table("Facts", ("name", "value"), (("a", 1), ("b", None), ("c", Figure("d", 1.5)))),
                Example("Task", "prompt", (("before", "x"), ("after", "y")), "y", (False, True)),
            ),
        ),
    ),
)


def test_results_survive_json():
    again = from_json(json.loads(json.dumps(to_json(RESULTS))))
    assert repr(again) == repr(RESULTS)


def test_a_finished_stage_stands_with_hashes_and_is_found_again(tmp_path):
    with Run(tmp_path / "run", "a = 1\n") as run:
        assert not run.finished("01-x")
        with run.stage("01-x", size=3) as folder:
            (folder / "data").write_text("abc")
    with Run(tmp_path / "run", "a = 1\n") as run:
        assert run.finished("01-x")
        record = json.loads((run.path / "01-x/stage.json").read_text())
        assert record["files"] == {"data": file_hash(run.path / "01-x/data")}
        assert record["size"] == 3


def test_checkpoints_of_a_stage_that_stands_are_gone_after_a_kill_before_their_removal(tmp_path):
    out = tmp_path / "r"
    with Run(out, "seed = 1\n") as run, run.stage("01-a") as folder:
        (folder / "x.txt").write_text("hello")
    for name in ("01-a", "02-b"):  # as the kill leaves them: the first stands, the second is under way
        (out / f"{name}.work" / "step-1").mkdir(parents=True)
        (out / f"{name}.work" / "step-1" / "state.json").write_text("{}")
    with Run(out, "seed = 1\n"):
        pass
    assert not (out / "01-a.work").exists()
    assert (out / "02-b.work/step-1/state.json").exists()


def test_a_stage_that_fails_leaves_nothing_in_place(tmp_path):
    with Run(tmp_path / "run", "") as run:
        with pytest.raises(RuntimeError), run.stage("01-x") as folder:
            (folder / "data").write_text("abc")
            raise RuntimeError("no")
        assert not list(run.path.glob("01-x*"))


def test_a_changed_recipe_is_refused_and_the_difference_shown(tmp_path):
    with Run(tmp_path / "run", "a = 1\nb = 2\n") as run, run.stage("01-x") as folder:
        (folder / "data").write_text("abc")
    with pytest.raises(UserError, match=r"(?s)-b = 2.*\+b = 3"):
        Run(tmp_path / "run", "a = 1\nb = 3\n")


def test_a_folder_with_other_files_is_not_taken_over(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty"):
        Run(tmp_path, "")
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_second_process_is_kept_out(tmp_path):
    with Run(tmp_path / "run", ""):
        code = "import sys; from pathlib import Path; from tandem.runs import Run; Run(Path(sys.argv[1]), '')"
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode != 0
    assert "another process" in done.stderr


def test_a_torn_last_event_is_dropped_and_writing_goes_on(tmp_path):
    with Run(tmp_path / "run", "") as run:
        run.event("one")
    with (tmp_path / "run/events.jsonl").open("a") as f:
        f.write('{"event": "to')
    assert [e["event"] for e in read_events(tmp_path / "run")] == ["one"]
    with Run(tmp_path / "run", "") as run:
        run.event("two")
    assert [e["event"] for e in read_events(tmp_path / "run")] == ["one", "two"]


def test_a_broken_event_in_the_middle_is_named_by_line(tmp_path):
    (tmp_path / "events.jsonl").write_text('{"event": "a"}\nnonsense\n{"event": "b"}\n')
    with pytest.raises(UserError, match=r"events\.jsonl:2"):
        read_events(tmp_path)


def test_results_are_read_back_and_bad_ones_are_named(tmp_path):
    with Run(tmp_path / "run", "") as run:
        run.write_results(RESULTS)
    assert repr(read_results(tmp_path / "run")) == repr(RESULTS)
    (tmp_path / "run/results.json").write_text('{"kind": "Table"}')
    with pytest.raises(UserError, match=r"results\.json"):
        read_results(tmp_path / "run")
    with pytest.raises(UserError, match="no results"):
        read_results(tmp_path)


def test_an_atomic_folder_never_replaces_one_that_stands(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="exists already"), atomic_folder(tmp_path / "out"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="a full disk needs a small tmpfs, which needs root")
def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        target = Path(disk / "file")
        write_whole(target, "old")
        with pytest.raises(Failure, match="disk is full"):
            write_whole(target, b"x" * 200_000)
        assert target.read_text() == "old"
        assert [p.name for p in disk.iterdir()] == ["file"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_text_that_no_utf8_file_can_hold_is_written_all_the_same(tmp_path):
    odd = Results("A \ud800 title", "lead")
    with Run(tmp_path / "run", "") as run:
        run.write_results(odd)
    assert read_results(tmp_path / "run").title == "A ? title"


def test_a_run_in_which_nothing_was_made_takes_a_mended_recipe(tmp_path):
    with Run(tmp_path / "run", "seed = 1\n"):
        pass
    with Run(tmp_path / "run", "seed = 2\n"):
        pass
    assert (tmp_path / "run/recipe.toml").read_text() == "seed = 2\n"


def test_a_checkpoint_is_something_to_lose(tmp_path):
    with Run(tmp_path / "run", "seed = 1\n") as run:
        (run.work("01-train") / "step").write_text("1")
    with pytest.raises(UserError, match="changed"), Run(tmp_path / "run", "seed = 2\n"):
        pass


def test_a_damaged_recipe_in_a_run_folder_is_named(tmp_path):
    with Run(tmp_path / "run", "seed = 1\n"):
        pass
    (tmp_path / "run/recipe.toml").write_bytes(b"\xff\n")
    with pytest.raises(UserError, match=r"recipe\.toml"), Run(tmp_path / "run", "seed = 1\n"):
        pass


def test_a_file_cannot_be_a_run_folder(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="is a file"):
        Run(tmp_path / "run", "seed = 1\n")


def test_a_device_is_never_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a regular file"):
        write_whole(tmp_path / "pipe", "text")
    assert not (tmp_path / "pipe").is_file()
