"""What is wrong with a file is said before a model is asked; what lies on a server is asked when it is needed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tandem.cli.main import main
from tandem.errors import UserError
from tandem.sources import addresses
from tandem.sources.opening import opened_first
from tandem.sources.recorded import Recorder
from tandem.sources.replayed import Replayed
from tandem.store import Store

BROKEN = {
    "sparql:facts.ttl": ("facts.ttl", b"this is no triple\n"),
    "sparql:facts.nt": ("facts.nt", bytes(range(128, 256))),
    "sql:people.sqlite": ("people.sqlite", b"SQLite format 3\x00" + bytes(range(200))),
    "sql:people.parquet": ("people.parquet", bytes(range(200))),
    "sql:people.csv": ("people.csv", b""),
    "sql:people.json": ("people.json", b'{"name": '),
}
MODEL = '[[rule]]\ncontains = ""\nanswers = [" It was long ago.\\nAnswer: Karo", " It was late.\\nAnswer: Brell"]\n'


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.toml").write_text(MODEL)
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": "Where?", "answer": "Karo"}) + "\n")
    return tmp_path


def answer(*arguments):
    return main(["answer", "q.jsonl", "--model", "scripted:rules.toml", "--samples", "2", "--out", "run", *arguments])


def answers(path):
    with Store(Path(path)) as store:
        return sum(1 for _ in store.records())


@pytest.mark.parametrize("address", BROKEN)
@pytest.mark.parametrize("named", ["--source", "--sources"])
def test_a_broken_file_is_an_error_before_a_model_is_asked(here, capsys, address, named):
    name, content = BROKEN[address]
    (here / name).write_bytes(content)
    (here / "sources.toml").write_text(f'[source.own]\naddress = "{address}"\n')
    assert answer(named, address if named == "--source" else "sources.toml") == 2
    said = capsys.readouterr().err
    assert (name if content or named == "--source" else "own") in said
    assert answers("run.answers.db") == 0 and not Path("run").exists()


def test_a_method_that_looks_nothing_up_opens_no_source(here):
    (here / "facts.ttl").write_text("this is no triple")
    assert answer("--source", "sparql:facts.ttl", "--method", "cot-sc") == 0
    assert answers("run.answers.db") == 2


def test_a_server_that_is_down_is_no_error_before_anything_is_asked():
    source = addresses.open("sql:postgresql://reader@127.0.0.1:1/history", recorder=Recorder(None))
    asyncio.run(opened_first([source]))


def test_what_is_on_record_opens_no_file(here, monkeypatch):
    (here / "people.csv").write_text("name,born\nAda,1815\n")

    async def look(source):
        await opened_first([source])
        return (await source.look_up("SELECT name FROM people", 3)).findings

    with Store(here / "answers.db") as store:
        source = addresses.open("sql:people.csv", recorder=Recorder(store))
        found = asyncio.run(look(source))
        again = addresses.open("sql:people.csv", recorder=Recorder(store))
        (here / "people.csv").write_bytes(b"")  # its identity was taken before
        assert asyncio.run(look(again)) == found
        asyncio.run(addresses.close([source, again]))
    (here / "people.csv").unlink()
    replayed = Replayed.read("answers.db")
    assert asyncio.run(look(replayed)) == found
    asyncio.run(replayed.close())


def test_every_source_is_opened_once_for_all(here):
    (here / "people.csv").write_text("name\nAda\n")
    (here / "bad.csv").write_bytes(b"")
    good, bad = addresses.open("sql:people.csv"), addresses.open("sql:bad.csv")
    with pytest.raises(UserError, match="no table"):
        asyncio.run(opened_first([good, bad]))
    (here / "people.csv").unlink()
    assert "people" in good.describe().parts
    asyncio.run(addresses.close([good, bad]))
