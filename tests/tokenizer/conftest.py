"""Tokenizers the tests of this room share: one trained on our own sources, and tables shaped like GPT-2's."""

from __future__ import annotations

from pathlib import Path

import pytest
from rank_tables import gpt2_shaped, write_tiktoken

import tandem
from tandem.tokenizer import Tokenizer, train, xgen


@pytest.fixture(scope="session")
def sources() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(Path(tandem.__file__).parent.rglob("*.py"))][:60]


@pytest.fixture(scope="session")
def trained(sources: list[str]) -> Tokenizer:
    return train(sources, 1500, specials=["<|im_start|>", "<|im_end|>"])


@pytest.fixture(scope="session")
def ranks(trained: Tokenizer) -> dict[bytes, int]:
    return gpt2_shaped(trained, runs=False)


@pytest.fixture(scope="session")
def ranks_file(ranks: dict[bytes, int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiktoken(tmp_path_factory.mktemp("ranks") / "gpt2.tiktoken", ranks)


@pytest.fixture(scope="session")
def xgen_tokenizer(ranks_file: Path) -> Tokenizer:
    return xgen(ranks_file)
