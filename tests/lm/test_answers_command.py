"""`tandem answers`: what is recorded can be seen, counted, and carried from file to file without loss."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import threading

import pytest
from ledger_backend import Ledger

from tandem.cli.main import main
from tandem.errors import CallFailed
from tandem.lm.model import Model
from tandem.store import Store
from tandem.types import Chat, Message, Sampling, Text

WARM = Sampling(temperature=0.5, logprobs=True)


@pytest.fixture
def recorded(tmp_path):
    """A file with answers, a truncated one, a refusal, a failure, scores, of two models."""
    path = tmp_path / "answers.db"

    async def asking(store):
        backend = Ledger()
        model = Model(backend, store=store)
        await model.generate(Text("one\ntwo \x1b[31mred"), WARM, range(3))
        await model.generate(Text("long"), Sampling(max_tokens=2))
        await model.score(Text("context"), ["yes", "no"])
        backend.finish = "refusal"
        await model.generate(Text("bad"), WARM)
        backend.fails = lambda *_: CallFailed("took too long", kind="timeout", status=504)
        with pytest.raises(CallFailed):
            await model.generate(Text("slow"), WARM)
        await Model(Ledger(name="gpt-9@host"), store=store).generate(Chat((Message("user", "Où?"),), "Là"), WARM)

    with Store(path) as store:
        asyncio.run(asking(store))
    return path


def everything(path) -> list:
    with Store(path, read_only=True) as store:
        return [
            (r.request, getattr(r, "index", r.__dict__.get("continuation")), r.at, repr(getattr(r, "outcome", None)))
            for r in store.records()
        ]


def test_what_is_exported_is_imported_without_loss_and_only_once(recorded, tmp_path, capsys):
    lines = tmp_path / "answers.jsonl"
    assert main(["answers", "export", str(recorded), "--out", str(lines)]) == 0
    assert "9 records written" in capsys.readouterr().err
    copy = tmp_path / "new" / "copy.db"
    assert main(["answers", "import", str(copy), str(lines)]) == 0
    assert "9 new, 0 recorded already, 0 lines" in capsys.readouterr().out
    assert main(["answers", "import", str(copy), str(lines), str(lines)]) == 0
    assert "0 new, 18 recorded already" in capsys.readouterr().out
    assert everything(copy) == everything(recorded)
    assert main(["answers", "export", str(copy), "--out", str(tmp_path / "again.jsonl")]) == 0
    assert (tmp_path / "again.jsonl").read_bytes() == lines.read_bytes()


def test_lines_go_through_pipes(recorded, tmp_path, capsysbinary, monkeypatch):
    assert main(["answers", "export", str(recorded), "--model", "gpt-9@host"]) == 0
    lines = capsysbinary.readouterr().out
    assert [json.loads(line)["model"] for line in lines.splitlines()] == ["gpt-9@host"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert main(["answers", "import", str(tmp_path / "copy.db"), "-"]) == 0
    assert capsysbinary.readouterr().out.startswith(b"1 new")


def test_bad_lines_are_named_counted_and_spoil_no_others(recorded, tmp_path, capsys):
    lines = tmp_path / "answers.jsonl"
    main(["answers", "export", str(recorded), "--out", str(lines)])
    whole = lines.read_text().splitlines()
    typo = whole[0].replace('"temperature"', '"temprature"')
    lines.write_text("\n".join([whole[0], typo, *whole[1:], "torn {"]))
    assert main(["answers", "import", str(tmp_path / "copy.db"), str(lines)]) == 2
    told = capsys.readouterr()
    assert "9 new, 0 recorded already, 2 lines that cannot be read" in told.out
    assert f"{lines}:2: sampling has no field 'temprature'" in told.err and f"{lines}:11: not JSON" in told.err


def test_many_bad_lines_are_counted_and_not_all_named(tmp_path, capsys):
    (tmp_path / "bad.jsonl").write_text("x\n" * 1000)
    assert main(["answers", "import", str(tmp_path / "copy.db"), str(tmp_path / "bad.jsonl")]) == 2
    told = capsys.readouterr()
    assert "1,000 lines that cannot be read" in told.out and len(told.err.splitlines()) == 20


def test_what_somebody_else_wrote_is_found_by_the_model_it_is_of(tmp_path):
    line = {
        "kind": "stop", "model": "m", "request": {"prompt": {"text": "Hi"}, "sampling": {"temperature": 1.0}},
        "sample": 0, "max_tokens": 256, "logprobs": False, "text": "Hello.", "served_model": "", "notes": [],
        "tokens": None, "at": 0,
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "cached_tokens": 0, "reasoning_tokens": 0},
    }  # fmt: skip
    (tmp_path / "theirs.jsonl").write_text(json.dumps(line))
    assert main(["answers", "import", str(tmp_path / "answers.db"), str(tmp_path / "theirs.jsonl")]) == 0
    with Store(tmp_path / "answers.db") as store:
        model = Model(backend := Ledger(name="m"), store=store)
        assert asyncio.run(model.generate(Text("Hi"), Sampling(temperature=1)))[0].text == "Hello."
        assert backend.calls == []


def test_statistics_by_model(recorded, capsys):
    assert main(["answers", "stats", str(recorded)]) == 0
    told = capsys.readouterr().out
    assert "2 models" in told
    assert "ledger\n  requests 5, answers 3, truncated 1, failed: timeout 1, refusal 1, scores 2\n" in told
    assert "tokens read 35, tokens written 22" in told


def test_answers_are_shown_as_people_read_them_and_cannot_steer_the_terminal(recorded, capsys):
    assert main(["answers", "show", str(recorded), "--limit", "20"]) == 0
    told = capsys.readouterr().out
    assert "── ledger · sample 1" in told and '"temperature":0.5' in told.replace(": ", ":")
    assert "  │ two \\x1b[31mred" in told and "\x1b" not in told
    assert "  → w2 x1 x1 x1 x1" in told
    assert "length, 2 of 2 tokens" in told
    assert "failed: timeout" in told and "  → took too long" in told
    assert "  │ user: Où?\n  │ assistant: Là" in told
    assert "log-probability -3.0000, 1 tokens" in told


def test_what_is_shown_can_be_narrowed_down(recorded, capsys):
    main(["answers", "show", str(recorded), "--containing", "x2"])
    assert capsys.readouterr().out.count("──") == 1
    main(["answers", "show", str(recorded), "--only", "setbacks"])
    assert capsys.readouterr().out.count("──") == 2
    main(["answers", "show", str(recorded), "--limit", "2"])
    told = capsys.readouterr().out
    assert told.count("──") == 2 and "more than 2" in told
    main(["answers", "show", str(recorded), "--containing", "nowhere"])
    assert "nothing is recorded that fits" in capsys.readouterr().out
    assert main(["answers", "show", str(recorded), "--model", "gtp"]) == 2
    assert "nothing of 'gtp' is recorded" in capsys.readouterr().err


def test_long_texts_are_shortened_unless_all_is_wanted(tmp_path, capsys):
    async def asking(store):
        await Model(Ledger(), store=store).generate(Text("\n".join(f"line {n} " + "x" * 200 for n in range(30))), WARM)

    with Store(tmp_path / "answers.db") as store:
        asyncio.run(asking(store))
    main(["answers", "show", str(tmp_path / "answers.db")])
    told = capsys.readouterr().out
    assert "… 22 lines" in told and max(map(len, told.splitlines())) < 125
    main(["answers", "show", str(tmp_path / "answers.db"), "--whole"])
    assert "x" * 200 in capsys.readouterr().out


@pytest.mark.parametrize("action", ["stats", "show", "export"])
def test_a_missing_file_is_an_error_and_none_is_made(tmp_path, action, capsys):
    assert main(["answers", action, str(tmp_path / "none.db")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_and_a_missing_input_are_refused(recorded, tmp_path, capsys):
    assert main(["answers", "export", str(recorded), "--out", str(recorded)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["answers", "import", str(tmp_path / "copy.db"), str(tmp_path / "none.jsonl")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert not (tmp_path / "copy.db").exists()


def test_a_full_disk_leaves_no_half_export(tmp_path, capsys):
    import resource

    async def asking(store):
        await Model(Ledger(), store=store).generate(Text("x" * 500_000), WARM)

    with Store(tmp_path / "answers.db") as store:
        asyncio.run(asking(store))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        assert main(["answers", "export", str(tmp_path / "answers.db"), "--out", str(tmp_path / "a.jsonl")]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "a.jsonl: cannot write" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["answers.db"]


def test_lines_are_taken_from_a_named_pipe(recorded, tmp_path, capsys):
    lines, pipe = tmp_path / "answers.jsonl", tmp_path / "pipe"
    assert main(["answers", "export", str(recorded), "--out", str(lines)]) == 0
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(lines.read_bytes()))
    writer.start()
    assert main(["answers", "import", str(tmp_path / "copy.db"), str(pipe)]) == 0
    writer.join()
    assert "9 new" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ("stats", "{folder}"),
        ("show", "{folder}"),
        ("export", "{folder}"),
        ("export", "{file}", "--out", "{folder}"),
        ("import", "{folder}", "{file}"),
        ("import", "{new}", "{folder}"),
    ],
)
def test_a_folder_is_called_a_folder(recorded, tmp_path, capsys, arguments):
    folder = tmp_path / "folder"
    folder.mkdir()
    named = {"folder": folder, "file": recorded, "new": tmp_path / "new.db"}
    assert main(["answers", *(argument.format(**named) for argument in arguments)]) == 2
    assert f"{folder}: is a folder" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["0", "-1"])
def test_a_limit_of_nothing_is_refused(recorded, capsys, limit):
    assert main(["answers", "show", str(recorded), "--limit", limit]) == 2
    assert f"--limit: is {limit}\n  → give at least 1" in capsys.readouterr().err
