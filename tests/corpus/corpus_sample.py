"""A tokenizer of bytes and shards of given tokens, for the tests of this room."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tandem.corpus.shards import Shards, write_shards


class ByteEncoder:
    """UTF-8 bytes as tokens, 256 as the end mark."""

    vocabulary = 257
    end = 256
    fingerprint = "bytes"

    def encode_arrays(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.frombuffer(text.encode(), np.uint8).astype(np.int32) for text in texts]


class PlainIds:
    """For token ids that are given, not made from text: any id below the vocabulary, the last one is the end mark."""

    def __init__(self, vocabulary: int, fingerprint: str = "plain") -> None:
        self.vocabulary = vocabulary
        self.end = vocabulary - 1
        self.fingerprint = fingerprint

    def encode_arrays(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.array([int(word) for word in text.split()], np.int32) for text in texts]


def numbered(folder: Path, lengths: Sequence[int], seed: int = 0) -> Shards:
    """Documents of the given lengths in which no token occurs twice: seeing an id is seeing that very token."""
    starts = np.cumsum([0, *lengths])
    documents = [np.arange(a, b) for a, b in pairwise(starts)]
    return write_shards(folder, documents, PlainIds(int(starts[-1]) + 1), seed=seed)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of the given size; skips the test where mounting one is not allowed."""
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True
    ).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def text_of(shards: Shards) -> list[str]:
    """The documents of byte shards as text, in stored order."""
    return [bytes(shards.document(i).astype(np.uint8)).decode() for i in range(shards.documents)]
