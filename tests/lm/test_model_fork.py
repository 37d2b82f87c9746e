"""A process made by a fork has a model's object and none of its threads: nothing may wait for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tandem import decoder
from tandem import tokenizer as tokenizers
from tandem.decoder import Shape

WORKER = [sys.executable, str(Path(__file__).with_name("fork_worker.py"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("forked") / "m"
    made = tokenizers.train(["Karo lies in Lusta, a country of rivers. Miro lies in Tama."] * 20, 320)
    shape = Shape(
        vocabulary=made.vocabulary, layers=2, width=32, heads=4, kv_heads=2, head_width=8, mlp_width=64, context=96,
        init_std=0.4, eos=made.end,
    )  # fmt: skip
    decoder.save(decoder.Decoder(shape, seed=3), place)
    made.save(place)
    return place


@pytest.mark.parametrize(("kind", "child"), [("local", "nothing"), ("local", "everything"), ("hf", "everything")])
def test_a_fork_in_the_middle_of_an_answer_is_refused_ends_at_once_and_the_answer_comes(tmp_path, folder, kind, child):
    if kind == "hf":
        pytest.importorskip("transformers", reason="needs the extra hf")
    command = [*WORKER, folder, tmp_path / "answers.db", kind, child]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)  # which no hang survives
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == f"{30 * 90}\n"
