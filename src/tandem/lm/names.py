"""The name of a local model: a hash of everything that decides its answers, never a path.

A model that was trained again in the same folder gets a new name, the same model in another folder keeps its own. What
this does not do: trust a file's date. Rejected: hashing once and remembering by date and size; a copy tool that keeps
dates would make old answers those of a new model, and reading the files takes a fraction of loading them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xxhash

from tandem.text import canonical

FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
"""What decides the answers: weights, configuration, tokenizer, template."""


def content_name(kind: str, folders: Sequence[Path], dtype: str) -> str:
    """`kind` and 16 hex digits: the content of the model's folder and its adapter's, and the arithmetic."""
    parts: list[tuple[str, str]] = []
    for number, folder in enumerate(folders):
        for file in sorted({file for pattern in FILES for file in folder.glob(pattern)}):
            digest = xxhash.xxh3_128()
            with file.open("rb") as f:
                while block := f.read(1 << 22):
                    digest.update(block)
            parts.append((f"{number}/{file.name}", digest.hexdigest()))
    return f"{kind}-{xxhash.xxh3_128_hexdigest(canonical([parts, dtype]))[:16]}"
