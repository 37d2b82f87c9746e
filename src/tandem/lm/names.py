"""The name of a local model: a hash of everything that decides its answers, never a path.

A model that was trained again in the same folder gets a new name, the same model in another folder keeps its own. What
this does not do: trust a file's date. Rejected: hashing once and remembering by date and size; a copy tool that keeps
dates would make old answers those of a new model, and reading the files takes a fraction of loading them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import xxhash

from tandem.text import canonical

FILES = (
    "*.safetensors",
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "vocab*",
    "merges.txt",
)
"""What decides the answers: weights, configuration, tokenizer, template. A stray note beside them does not."""
PATHS = ("base_model_name_or_path", "_name_or_path")
"""Keys of a configuration that only say where something lay."""


def content_name(kind: str, folders: Sequence[Path], dtype: str) -> str:
    """`kind` and 16 hex digits: the content of the model's folder and its adapter's, and the arithmetic."""
    parts: list[tuple[str, str]] = []
    for number, folder in enumerate(folders):
        for file in sorted({file for pattern in FILES for file in folder.glob(pattern)}):
            digest = xxhash.xxh3_128()
            if file.name in ("config.json", "adapter_config.json"):
                digest.update(_without_paths(file))
                parts.append((f"{number}/{file.name}", digest.hexdigest()))
                continue
            with file.open("rb") as f:
                while block := f.read(1 << 22):
                    digest.update(block)
            parts.append((f"{number}/{file.name}", digest.hexdigest()))
    return f"{kind}-{xxhash.xxh3_128_hexdigest(canonical([parts, dtype]))[:16]}"


def _without_paths(file: Path) -> bytes:
    try:
        content = json.loads(file.read_bytes())
        return canonical({key: value for key, value in content.items() if key not in PATHS})
    except (ValueError, AttributeError):
        return file.read_bytes()  # whoever loads it says what is wrong with it
