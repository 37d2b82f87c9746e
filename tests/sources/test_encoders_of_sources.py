"""An index with vectors as a source: by its address with settings, in a sources.toml, and on the command line.

The encoder counts letters. It stands where sentence-transformers would, with the interface of its version 6; nothing of
ours is replaced.
"""

from __future__ import annotations

import asyncio
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from tandem.cli.main import main
from tandem.errors import UserError
from tandem.sources import addresses
from tandem.sources.passages import Passages
from tandem.sources.recorded import Recorder, identity_of, recorded_name
from tandem.sources.registry import Registry
from tandem.store import Store

RULES = """
[[rule]]
contains = "Finding: a.txt: xylophone"
answers = " It was the xylophone."
[[rule]]
contains = "Check:"
answers = " polyxo?"
[[rule]]
contains = "Steps:"
answers = [" It was a drum.\\nAnswer: drum"]
[[rule]]
contains = ""
answers = [" It was a drum."]
"""


class Letters:
    """Texts to counts of their letters, times the number that the model's folder holds."""

    def __init__(self, model):
        try:
            self._scale = torch.tensor([float((Path(model) / "scale.txt").read_text())])
        except OSError as e:
            raise OSError(f"{model} is no model") from e

    def state_dict(self):
        return {"scale": self._scale}

    def encode_query(self, texts, *, convert_to_numpy, show_progress_bar):
        rows = [[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts]
        return np.array(rows, np.float32).reshape(len(texts), 26) * self._scale.numpy()

    encode_document = encode_query


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stands = types.ModuleType("sentence_transformers")
    stands.SentenceTransformer = Letters
    monkeypatch.setitem(sys.modules, "sentence_transformers", stands)
    addresses._encoder.cache_clear()
    for name in ("letters", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "letters" / "scale.txt").write_text("1")
    (tmp_path / "other" / "scale.txt").write_text("2")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("xylophone\n")
    (tmp_path / "notes" / "b.txt").write_text("a drum in the street\n")
    (tmp_path / "rules.toml").write_text(RULES)
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": "What played?", "answer": "xylophone"}) + "\n")
    assert main(["index", "notes", "--out", "ix", "--encoder", "letters"]) == 0
    assert main(["index", "notes", "--out", "plain"]) == 0
    return tmp_path


def toml(**settings):
    told = "".join(f"{key} = {json.dumps(value)}\n" for key, value in {"address": "passages:ix", **settings}.items())
    Path("sources.toml").write_text(f"[source.notes]\n{told}")
    return Registry.read("sources.toml")


def found(source, query):
    try:
        return [finding.title for finding in asyncio.run(source.look_up(query, 1)).findings]
    finally:
        asyncio.run(addresses.close([source]))


@pytest.mark.parametrize(
    ("settings", "by_letters"),
    [
        ({}, False),
        ({"by": "words"}, False),
        ({"encoder": "letters"}, True),
        ({"encoder": "letters", "by": "meaning"}, True),
    ],
)
def test_a_sources_toml_says_what_an_index_is_searched_by(here, settings, by_letters):
    assert found(toml(**settings).source("notes"), "polyxo") == (["a.txt"] if by_letters else [])


def test_an_encoder_is_looked_for_beside_the_sources_toml(here, monkeypatch):
    registry = toml(encoder="letters")
    monkeypatch.chdir("/")
    registry = Registry.read(here / "sources.toml")
    assert found(registry.source("notes"), "polyxo") == ["a.txt"]


def test_each_way_to_search_is_a_source_of_its_own_on_record(here):
    ways = [{}, {"encoder": "letters"}, {"encoder": "letters", "by": "meaning"}]
    sources = [toml(**settings).source("notes") for settings in ways]
    assert len({identity_of(source) for source in sources}) == len({recorded_name(source) for source in sources}) == 3
    assert identity_of(sources[0]) == identity_of(toml(by="words").source("notes"))
    with Store(Path("answers.db")) as store:
        recorder = Recorder(store)
        assert found(addresses.open("passages:ix", recorder=recorder), "polyxo") == []
        assert found(addresses.open("passages:ix", settings=ways[1], recorder=recorder), "polyxo") == ["a.txt"]
        assert len(store.sources()) == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"by": "sense"}, "by cannot be 'sense'"),
        ({"by": "both"}, "no encoder to search by meaning"),
        ({"encoder": "other"}, "not of 'other@"),
        ({"encoder": "nothing"}, "cannot be loaded"),
        ({"encoder": "letters", "address": "passages:plain"}, "without vectors"),
        ({"encoder": 3}, "encoder cannot be 3"),
    ],
)
def test_what_does_not_go_together_is_said(here, settings, said):
    with pytest.raises(UserError) as e:
        toml(**settings).all()
    assert said in str(e.value) and e.value.remedy


def test_only_an_index_whose_vectors_nobody_spoke_of_leaves_them_unused(here):
    assert Passages("ix").unused
    assert not Passages("ix", by="words").unused
    assert not Passages("plain").unused


def answer(capsys, *arguments):
    common = ["--model", "scripted:rules.toml", "--samples", "1", "--shots", "0", "--gate", "always", "--explain"]
    status = main(["answer", "What played?", *common, *arguments])
    told = capsys.readouterr()
    return status, told.out, told.err


def test_the_command_searches_by_meaning_with_the_encoder_and_says_so_where_it_does_not(here, capsys):
    status, out, err = answer(capsys, "--source", "passages:ix")
    assert status == 0 and "passages:ix: nothing" in out
    assert "note: passages:ix holds vectors and is searched by words only; --encoder MODEL" in err
    status, out, err = answer(capsys, "--source", "passages:ix", "--encoder", "letters")
    assert status == 0 and "found 2" in out and "xylophone" in out
    assert "by words only" not in err
    assert "by words only" not in answer(capsys, "--source", "passages:plain")[2]
    toml(encoder="letters")
    assert "found 2" in answer(capsys, "--sources", "sources.toml")[1]


def test_an_encoder_without_an_index_to_search_is_an_error(here, capsys):
    toml(encoder="letters")
    status, _, err = answer(capsys, "--sources", "sources.toml", "--encoder", "letters")
    assert status == 2 and 'in a sources.toml write encoder = "…"' in err


def test_a_search_of_the_index_by_words_only_is_told(here, capsys):
    def typed(*more):
        main(["index", "--search", "drum", "ix", *more])
        return capsys.readouterr().err

    assert "searched by words only; --encoder MODEL" in typed()
    assert not typed("--by", "words") and not typed("--encoder", "letters")
