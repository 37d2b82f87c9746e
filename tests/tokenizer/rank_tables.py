"""Rank tables shaped like GPT-2's, made for tests, and XGen's encoding of them by tiktoken."""

from __future__ import annotations

import base64
import itertools
from pathlib import Path

import tiktoken

from tandem.tokenizer import Tokenizer
from tandem.tokenizer.bytelevel import PIECE, spelling, unspell


def gpt2_shaped(learned: Tokenizer, *, runs: bool) -> dict[bytes, int]:
    """50,256 ranks: bytes in GPT-2's order, the merges of a small tokenizer, and compositions to fill the table.

    With `runs`, runs of spaces and tabs stay among them, as a table trained on code would have them.
    """
    tokens = [unspell(c) or b"" for c in sorted(spelling(), key=lambda c: (ord(c) >= 0x100, c))]
    known = set(tokens)
    vocabulary = sorted(learned.core.get_vocab(with_added_tokens=False).items(), key=lambda entry: entry[1])
    for token, _ in vocabulary[256:1400]:
        data = unspell(token) or b""
        run = not data.strip(b" ") or not data.strip(b"\t")
        if (runs or not run) and any(data[:cut] in known and data[cut:] in known for cut in range(1, len(data))):
            tokens.append(data)
            known.add(data)
    for left, right in itertools.product(tokens[256:], repeat=2):
        if len(tokens) == 50_256:
            break
        if left + right not in known and (left + right).strip():
            tokens.append(left + right)
            known.add(left + right)
    return {token: rank for rank, token in enumerate(tokens)}


def write_tiktoken(path: Path, ranks: dict[bytes, int]) -> Path:
    lines = [f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()]
    path.write_text("".join(lines))
    return path


def xgen_by_tiktoken(ranks: dict[bytes, int]) -> tiktoken.Encoding:
    """XGen as its published class makes it: runs assigned into the rank table, marks after them."""
    table = dict(ranks)
    rank = 50_257
    for run in [" " * n for n in range(31, 1, -1)] + ["\t" * n for n in range(9, 1, -1)]:
        table[run.encode()] = rank
        rank += 1
    return tiktoken.Encoding("xgen", pat_str=PIECE, mergeable_ranks=table, special_tokens={"<|endoftext|>": 50_256})
